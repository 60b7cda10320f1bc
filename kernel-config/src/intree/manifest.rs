// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a tree remembers of an integration. In and out: text, one fact a line. Never here: files.
//!
//! ```text
//! # ...                      a comment
//! new PATH                   a file of ours
//! edit PATH                  an edited file; its edits follow
//! +LINE                      an inserted line; those in a row are one edit
//! rename FROM TO             a call
//! ```

use super::edit::Edit;

/// Where it lies in the tree.
pub const PATH: &str = "kernel/hypergraph/.integrated";

/// Files and edits, in the order they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Files of ours.
    pub new: Vec<String>,
    /// Edits of the kernel's files.
    pub edits: Vec<(String, Edit)>,
}

impl Manifest {
    /// As text.
    pub fn print(&self) -> String {
        let mut text =
            String::from("# What `kernel-config integrate` has put into this tree; `kernel-config remove` reads it.\n");
        for path in &self.new {
            text.push_str(&format!("new {path}\n"));
        }
        for (path, edit) in &self.edits {
            text.push_str(&format!("edit {path}\n"));
            match edit {
                Edit::Inserted(lines) => lines.iter().for_each(|line| text.push_str(&format!("+{line}\n"))),
                Edit::Renamed(from, to) => text.push_str(&format!("rename {from} {to}\n")),
            }
        }
        text
    }

    /// From text.
    ///
    /// # Errors
    /// With the number of the line that is not understood, from 1.
    pub fn parse(text: &str) -> Result<Manifest, usize> {
        let mut manifest = Manifest::default();
        let mut file: Option<String> = None;
        for (i, line) in text.lines().enumerate() {
            let bad = i + 1;
            if line.starts_with('#') {
                continue;
            } else if let Some(path) = line.strip_prefix("new ") {
                manifest.new.push(inside(path).ok_or(bad)?);
            } else if let Some(path) = line.strip_prefix("edit ") {
                file = Some(inside(path).ok_or(bad)?);
            } else if let Some(added) = line.strip_prefix('+') {
                match (file.take(), manifest.edits.last_mut()) {
                    (Some(path), _) => manifest.edits.push((path, Edit::Inserted(vec![added.into()]))),
                    (None, Some((_, Edit::Inserted(lines)))) => lines.push(added.into()),
                    _ => return Err(bad),
                }
            } else if let Some((from, to)) = line.strip_prefix("rename ").and_then(|names| names.split_once(' ')) {
                manifest.edits.push((file.take().ok_or(bad)?, Edit::Renamed(from.into(), to.into())));
            } else {
                return Err(bad);
            }
        }
        Ok(manifest)
    }
}

/// A path that stays inside the tree.
fn inside(path: &str) -> Option<String> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(plain).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        let manifest = Manifest {
            new: vec!["kernel/hypergraph/Kconfig".into()],
            edits: vec![
                ("a.c".into(), Edit::Inserted(vec!["\tone".into(), String::new(), "+two".into()])),
                ("a.c".into(), Edit::Inserted(vec!["three".into()])),
                ("b.c".into(), Edit::Renamed("from".into(), "to".into())),
            ],
        };
        assert_eq!(Manifest::parse(&manifest.print()), Ok(manifest));
    }

    #[test]
    fn a_damaged_manifest_names_its_line() {
        assert_eq!(Manifest::parse("# x\nnew ../../etc/passwd\n"), Err(2));
        assert_eq!(Manifest::parse("new /etc/passwd\n"), Err(1));
        assert_eq!(Manifest::parse("+line\n"), Err(1));
        assert_eq!(Manifest::parse("edit a\nrename b c\n+d\n"), Err(3));
    }
}
