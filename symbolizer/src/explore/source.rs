// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The source of a function. In: a directory and a path within it, as the vmlinux names it. Out: lines fit for
//! a terminal, or why there are none. A vmlinux may come from anywhere: only plain files within the directory
//! are read, and no more of them than a source file may have.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::report::style::printable;

/// The largest file that is read; the kernel's largest source (a table) has some 20 MB, its largest code
/// less than 1 MB.
const MOST: u64 = 8 << 20;

/// Where a tab ends.
const TAB: usize = 8;

/// What there is of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Its lines.
    Lines(Vec<String>),
    /// Why there are none, for people.
    None(String),
}

/// Reads a file of the tree.
pub fn read(tree: Option<&Path>, file: Option<&str>) -> Source {
    let Some(file) = file else { return Source::None("the vmlinux says no file for this function".to_owned()) };
    let Some(tree) = tree else {
        return Source::None("to see the lines here, start with --source DIR, the kernel's source tree".to_owned());
    };
    let lacking = |why: &str| Source::None(printable(&format!("{file}: {why}; the tree is {}", tree.display())));
    let (Ok(root), Ok(path)) = (tree.canonicalize(), tree.join(file).canonicalize()) else {
        return lacking("no such file there");
    };
    if !path.starts_with(&root) {
        return lacking("lies outside the tree");
    }
    if !path.is_file() {
        return lacking("is no plain file");
    }
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes)) {
        Err(error) => lacking(&error.to_string()),
        Ok(_) if bytes.len() as u64 > MOST => lacking("is too large"),
        Ok(_) => Source::Lines(String::from_utf8_lossy(&bytes).lines().map(line).collect()),
    }
}

/// A line with its tabs as spaces.
fn line(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for c in text.chars() {
        let wide = if c == '\t' { TAB - column % TAB } else { 1 };
        if c == '\t' {
            out.extend(std::iter::repeat_n(' ', wide))
        } else {
            out.push(c)
        }
        column += wide;
    }
    printable(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_from_within_the_tree_alone() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("mm")).unwrap();
        std::fs::write(tree.join("mm/a.c"), "int\tx;\n\u{1b}[31mred\n").unwrap();
        std::fs::write(dir.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", tree.join("link")).unwrap();
        let read = |file: &str| match read(Some(&tree), Some(file)) {
            Source::Lines(lines) => lines.join("|"),
            Source::None(why) => why.split([':', ';']).nth(1).unwrap_or_default().trim().to_owned(),
        };
        assert_eq!(read("mm/a.c"), "int     x;|\u{fffd}[31mred");
        assert_eq!(read("mm/b.c"), "no such file there");
        assert_eq!(read("mm"), "is no plain file");
        assert_eq!(read("../secret"), "lies outside the tree");
        assert_eq!(read("link"), "lies outside the tree");
        assert_eq!(read(dir.path().join("secret").to_str().unwrap()), "lies outside the tree");
        assert!(matches!(super::read(None, Some("mm/a.c")), Source::None(why) if why.contains("--source")));
    }
}
