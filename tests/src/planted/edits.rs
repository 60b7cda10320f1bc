// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Changes of a kernel's source that need none of its text: a place is found by a name (of a function, a Kconfig
//! entry, an initcall), and lines of ours go there. In: a tree, an [`Edit`]. Out: the tree changed, or what was not
//! found. Never here: text of the kernel.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// One change of one file, whose path in the tree comes first.
#[derive(Clone, Copy, Debug)]
pub enum Edit {
    /// A new file with this text.
    Create(&'static str, &'static str),
    /// Text at the end.
    Append(&'static str, &'static str),
    /// Text before the definition of this function.
    Define(&'static str, &'static str, &'static str),
    /// In the body of this function, before the first line after the declarations that has this word: text.
    Call(&'static str, &'static str, &'static str, &'static str),
    /// `from(argument)` becomes `to(argument)`: `from`, `to`, `argument`.
    Rename(&'static str, &'static str, &'static str, &'static str),
    /// This line is the first of the help of this Kconfig entry.
    Help(&'static str, &'static str, &'static str),
    /// Text that an earlier edit has brought, once in the file, becomes this one.
    Ours(&'static str, &'static str, &'static str),
}

impl Edit {
    /// The file's path in the tree.
    pub fn file(&self) -> &'static str {
        match self {
            Edit::Create(file, ..)
            | Edit::Append(file, ..)
            | Edit::Define(file, ..)
            | Edit::Call(file, ..)
            | Edit::Rename(file, ..)
            | Edit::Help(file, ..)
            | Edit::Ours(file, ..) => file,
        }
    }

    /// Makes the change.
    ///
    /// # Errors
    /// When its place is not there, or the disk fails.
    pub fn apply(&self, tree: &Path) -> Result<()> {
        let path = tree.join(self.file());
        let text = match self {
            Edit::Create(..) if path.exists() => bail!("{}: it is there already", path.display()),
            Edit::Create(..) => String::new(),
            _ => std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?,
        };
        let changed = self.changed(&text).with_context(|| format!("cannot change {}", path.display()))?;
        std::fs::write(&path, changed).with_context(|| format!("cannot write {}", path.display()))
    }

    fn changed(&self, text: &str) -> Result<String> {
        match *self {
            Edit::Create(_, ours) => Ok(ours.to_owned()),
            Edit::Append(_, ours) => Ok(format!("{text}{ours}")),
            Edit::Define(_, function, ours) => Ok(inserted(text, definition(text, function)?.0, ours)),
            Edit::Call(_, function, word, ours) => {
                let (_, body) = definition(text, function)?;
                let lines = text.lines().enumerate().skip(body).take_while(|(_, line)| *line != "}");
                let mut found = lines.filter(|(_, line)| words(line).any(|found| found == word));
                let (at, _) = found.next().with_context(|| format!("no `{word}` in `{function}`"))?;
                Ok(inserted(text, at, ours))
            }
            Edit::Rename(_, from, to, argument) => {
                once(text, &format!("{from}({argument})"), &format!("{to}({argument})"))
            }
            Edit::Help(_, entry, ours) => {
                let head = format!("config {entry}");
                let mut lines = text.lines().enumerate().skip_while(|(_, line)| *line != head);
                let help = lines.find(|(_, line)| line.trim() == "help");
                let (at, _) = help.with_context(|| format!("no help of `{head}`"))?;
                Ok(inserted(text, at + 1, ours))
            }
            Edit::Ours(_, old, new) => once(text, old, new),
        }
    }
}

fn once(text: &str, old: &str, new: &str) -> Result<String> {
    match text.matches(old).count() {
        1 => Ok(text.replacen(old, new, 1)),
        count => bail!("`{}` is there {count} times", old.lines().next().unwrap_or_default()),
    }
}

/// Text before line `at`.
fn inserted(text: &str, at: usize, ours: &str) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines.insert(at.min(lines.len()), ours);
    lines.concat()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// The first line of a function's definition, its return type included, and the first of its body.
fn definition(text: &str, function: &str) -> Result<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let named = line.match_indices(function).any(|(from, _)| {
            line[from + function.len()..].starts_with('(')
                && !line[..from].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        });
        if !named || line.starts_with(|c: char| c.is_whitespace() || "#*/".contains(c)) {
            continue;
        }
        // A definition's parameters are followed by the brace; a declaration's by a semicolon.
        let Some(open) = (at..lines.len().min(at + 12)).find(|&i| lines[i] == "{" || lines[i].ends_with(';')) else {
            continue;
        };
        if lines[open] != "{" {
            continue;
        }
        // Return types stand on the line before, in some files.
        let mut first = at;
        while first > 0 && !lines[first - 1].is_empty() && !lines[first - 1].ends_with([';', '}', '/', '\\', ')']) {
            if lines[first - 1].starts_with('#') {
                break;
            }
            first -= 1;
        }
        return Ok((first, open + 1));
    }
    bail!("no definition of `{function}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#include <a.h>\nstatic int two(void);\n\nstatic int __init\ntwo(void)\n{\n\tint first;\n\n\tone();\n\tone();\n}\n\nstart(two);\n";

    fn changed(edit: Edit) -> String {
        edit.changed(TEXT).expect("its place is there")
    }

    #[test]
    fn places_are_found_by_names() {
        let defined = changed(Edit::Define("f", "two", "NEW\n"));
        assert!(defined.contains("\n\nNEW\nstatic int __init\ntwo(void)\n{\n"), "{defined}");
        let called = changed(Edit::Call("f", "two", "one", "\tNEW();\n"));
        assert!(called.contains("\n\n\tNEW();\n\tone();\n\tone();\n"), "{called}");
        assert!(changed(Edit::Rename("f", "start", "early", "two")).ends_with("early(two);\n"));
        let help = Edit::Help("f", "B", "\t  NEW\n").changed("config A\n\thelp\n\t  a\nconfig B\n\thelp\n\t  b\n");
        assert_eq!(help.expect("found"), "config A\n\thelp\n\t  a\nconfig B\n\thelp\n\t  NEW\n\t  b\n");
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        assert!(Edit::Define("f", "three", "").changed(TEXT).is_err());
        assert!(Edit::Call("f", "two", "three", "").changed(TEXT).is_err());
        assert!(Edit::Ours("f", "\tone();\n", "").changed(TEXT).is_err(), "twice");
        assert!(Edit::Rename("f", "start", "early", "three").changed(TEXT).is_err());
    }
}
