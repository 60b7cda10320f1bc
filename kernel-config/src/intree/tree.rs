// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Both directions, worked out in memory before the first byte is written. In: the path of a tree. Out: a
//! [`Plan`]: each file before and after. A file is replaced as a whole, by renaming.

use super::edit::{apply, undo};
use super::manifest::{self, Manifest};
use super::places::PLACES;
use super::{IntegrateError, files};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Files before and after; `None`: does not exist.
#[derive(Clone, Debug)]
pub struct Plan {
    tree: PathBuf,
    /// By path in the tree.
    files: BTreeMap<String, (Option<String>, Option<String>)>,
}

/// Plans to put CONFIG_HYPERGRAPH into a tree; what an earlier integration left is replaced.
///
/// # Errors
/// When the tree is none, or a place in it is not as expected. Nothing is written.
pub fn integrate(tree: &Path) -> Result<Plan, IntegrateError> {
    let mut plan = remove(tree)?;
    let percpu_hot = plan.now("arch/x86/include/asm/current.h")?.is_some_and(|text| text.contains("pcpu_hot"));
    let mut manifest = Manifest::default();
    for (path, text) in files::files(percpu_hot)? {
        if plan.now(path)?.is_some() {
            return Err(IntegrateError::InTheWay(tree.join(path)));
        }
        plan.set(path, Some(text));
        manifest.new.push(path.into());
    }
    for place in PLACES {
        let anchor = |what| IntegrateError::Anchor { path: tree.join(place.file), what };
        let text = plan.now(place.file)?.ok_or_else(|| anchor("there is no such file".into()))?;
        let (changed, edit) = apply(&text, &place.action).map_err(anchor)?;
        if undo(&changed, &edit).as_ref() != Ok(&text) {
            return Err(anchor("a change could not be taken back".into()));
        }
        plan.set(place.file, Some(changed));
        manifest.edits.push((place.file.into(), edit));
    }
    plan.set(manifest::PATH, Some(manifest.print()));
    Ok(plan)
}

/// Plans to take everything out again. A tree that was never integrated has an empty plan.
///
/// # Errors
/// When the tree is none, or somebody has edited what was put in. Nothing is written.
pub fn remove(tree: &Path) -> Result<Plan, IntegrateError> {
    if !tree.join("Kbuild").is_file() || !tree.join("arch/x86").is_dir() {
        return Err(IntegrateError::NotLinux(tree.into()));
    }
    let mut plan = Plan { tree: tree.into(), files: BTreeMap::new() };
    let Some(text) = plan.now(manifest::PATH)? else { return Ok(plan) };
    let manifest =
        Manifest::parse(&text).map_err(|line| IntegrateError::Manifest { path: tree.join(manifest::PATH), line })?;
    for (path, edit) in manifest.edits.iter().rev() {
        let Some(text) = plan.now(path)? else { continue };
        match undo(&text, edit) {
            Ok(before) => plan.set(path, Some(before)),
            // Never got there: an integration that was interrupted.
            Err(_) if !text.contains("hypergraph") => {}
            Err(what) => return Err(IntegrateError::Edited { path: tree.join(path), what }),
        }
    }
    for path in manifest.new.iter().map(String::as_str).chain([manifest::PATH]) {
        plan.now(path)?;
        plan.set(path, None);
    }
    Ok(plan)
}

impl Plan {
    /// A file as the plan leaves it.
    fn now(&mut self, path: &str) -> Result<Option<String>, IntegrateError> {
        if let Some((_, after)) = self.files.get(path) {
            return Ok(after.clone());
        }
        let full = self.tree.join(path);
        let text = match std::fs::read_to_string(&full) {
            Ok(text) => Some(text),
            Err(source) if source.kind() == ErrorKind::NotFound => None,
            Err(source) => return Err(IntegrateError::Io { path: full, action: "read", source }),
        };
        self.files.insert(path.into(), (text.clone(), text.clone()));
        Ok(text)
    }

    fn set(&mut self, path: &str, text: Option<String>) {
        if let Some((_, after)) = self.files.get_mut(path) {
            *after = text;
        } else {
            self.files.insert(path.into(), (None, text));
        }
    }

    /// What changes: path, before, after.
    pub fn changes(&self) -> impl Iterator<Item = (&str, Option<&str>, Option<&str>)> {
        let all = self.files.iter().filter(|(_, (before, after))| before != after);
        all.map(|(path, (before, after))| (&**path, before.as_deref(), after.as_deref()))
    }

    /// Does it. The manifest is written before all else and removed after it, so that an interruption
    /// can be taken back.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self) -> Result<(), IntegrateError> {
        let (mut early, mut late) = (Vec::new(), Vec::new());
        for change in self.changes() {
            let first = change.0 == manifest::PATH && change.2.is_some();
            if first { early.push(change) } else { late.push(change) }
        }
        late.sort_by_key(|(path, ..)| *path == manifest::PATH);
        for (path, _, after) in early.into_iter().chain(late) {
            let full = self.tree.join(path);
            let io = |action| {
                let path = full.clone();
                move |source| IntegrateError::Io { path, action, source }
            };
            let Some(parent) = full.parent() else { continue };
            if let Some(text) = after {
                std::fs::create_dir_all(parent).map_err(io("make the directory of"))?;
                let new = full.with_extension("hypergraph-new");
                std::fs::write(&new, text).map_err(io("write"))?;
                if let Ok(old) = std::fs::metadata(&full) {
                    std::fs::set_permissions(&new, old.permissions()).map_err(io("set the mode of"))?;
                }
                std::fs::rename(&new, &full).map_err(io("replace"))?;
            } else {
                std::fs::remove_file(&full).map_err(io("remove"))?;
                // Stays if somebody keeps other files there.
                let _ = std::fs::remove_dir(parent);
            }
        }
        Ok(())
    }
}
