// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Integration into a tree that has nothing but the anchors, and out of it again. Real trees are too large
//! to be kept here.

use kernel_config::intree::places::{Action, PLACES};
use kernel_config::intree::{IntegrateError, integrate, remove};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each file: its anchors, a line before and after each.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().expect("a directory");
    let mut files: BTreeMap<&str, String> = BTreeMap::from([("Kbuild", "# top\n".into())]);
    files.insert("arch/x86/include/asm/current.h", "struct task_struct *current;\n".into());
    for place in PLACES {
        let text = files.entry(place.file).or_default();
        text.push_str(&match place.action {
            Action::Before(anchor, _) | Action::After(anchor, _) => format!("before\n\t{anchor}\nafter\n"),
            Action::Rename(names) => format!("before\n\t{}(x);\nafter\n", names[0].0),
        });
    }
    for (path, text) in files {
        let path = tree.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }
    tree
}

fn contents(directory: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(directory).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            contents(&path, found);
        } else {
            found.insert(path.clone(), std::fs::read(&path).expect("readable"));
        }
    }
}

fn all(tree: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    contents(tree, &mut found);
    found
}

#[test]
fn twice_is_once_and_removal_leaves_every_byte() {
    let tree = tree();
    let before = all(tree.path());
    integrate(tree.path()).expect("all anchors").write().expect("writable");
    let once = all(tree.path());
    assert_ne!(once, before);
    let again = integrate(tree.path()).expect("integrated already");
    assert_eq!(again.changes().count(), 0);
    remove(tree.path()).expect("removable").write().expect("writable");
    assert_eq!(all(tree.path()), before);
    assert!(!tree.path().join("kernel/hypergraph").exists());
    assert_eq!(remove(tree.path()).expect("nothing to do").changes().count(), 0);
}

#[test]
fn a_tree_without_an_anchor_is_refused_and_left_alone() {
    let tree = tree();
    let main = tree.path().join("init/main.c");
    std::fs::write(&main, "nothing\n").expect("writable");
    let before = all(tree.path());
    let error = integrate(tree.path()).expect_err("no anchor");
    assert!(matches!(error, IntegrateError::Anchor { .. }) && error.to_string().contains("init/main.c"), "{error}");
    assert_eq!(all(tree.path()), before);
    let empty = tempfile::tempdir().expect("a directory");
    assert!(matches!(integrate(empty.path()), Err(IntegrateError::NotLinux(_))));
}

#[test]
fn what_somebody_has_edited_is_not_removed() {
    let tree = tree();
    integrate(tree.path()).expect("all anchors").write().expect("writable");
    let fork = tree.path().join("kernel/fork.c");
    let text = std::fs::read_to_string(&fork).expect("readable");
    std::fs::write(&fork, text.replace("hypergraph_task_init(p);", "hypergraph_task_init(q);")).expect("writable");
    let edited = all(tree.path());
    let error = remove(tree.path()).expect_err("edited");
    assert!(matches!(error, IntegrateError::Edited { .. }) && error.to_string().contains("fork.c"), "{error}");
    assert_eq!(all(tree.path()), edited);
}
