// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The file of a kept boot: JSON (symbolizer/JSON.md describes it), compressed by zstd: `NAME.boot.zst`. In and out:
//! [`Boot`] and the file. A file may come from anywhere: what it says is checked before it is believed. Never here:
//! traces.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bootlevel::Phase;

use super::boot::{Boot, NO_LEVEL, Tree, VERSION};
use crate::trace_dir::meta::MAX_CPUS;

/// How the name of such a file ends.
pub const ENDING: &str = ".boot.zst";

/// Most bytes of JSON that are read: several times what a boot of a large kernel takes.
const MOST: u64 = 128 << 20;

/// Most functions, and most initcalls: many times what any kernel has.
const MOST_NAMES: usize = 1_000_000;

/// Most words of the monitor's command line.
const MOST_WORDS: usize = 4_096;

/// Most callers above each other: many times what a kernel stack has room for.
const DEEPEST: u32 = 4_096;

/// What can be wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// It cannot be read or written.
    #[error("{}: cannot {what} this boot", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `write`.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It is no kept boot, or damaged.
    #[error("{}: this is no boot that symbolize keep has written, or it is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A later version has written it.
    #[error("{}: a newer symbolize has written this boot (version {found}; this one knows {VERSION}); update symbolize", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

/// Writes a boot.
///
/// # Errors
/// Of the output.
pub fn write(boot: &Boot, out: impl Write) -> io::Result<()> {
    let mut out = zstd::Encoder::new(out, 3)?;
    serde_json::to_writer(BufWriter::new(&mut out), boot)?;
    out.finish()?.flush()
}

/// Reads a boot from a file.
///
/// # Errors
/// [`KeptError`].
pub fn read(path: &Path) -> Result<Boot, KeptError> {
    let file = File::open(path).map_err(|source| KeptError::Io { path: path.to_owned(), what: "read", source })?;
    read_from(BufReader::new(file), path)
}

/// The same from anything; `path` is for messages.
///
/// # Errors
/// [`KeptError`].
pub fn read_from(input: impl Read, path: &Path) -> Result<Boot, KeptError> {
    let damaged = |reason: String| KeptError::Damaged { path: path.to_owned(), reason };
    let input = zstd::Decoder::new(input).map_err(|error| damaged(error.to_string()))?;
    let boot: Boot = serde_json::from_reader(BufReader::new(input.take(MOST))).map_err(|e| damaged(e.to_string()))?;
    if boot.version > VERSION {
        return Err(KeptError::Newer { path: path.to_owned(), found: boot.version });
    }
    check(&boot).map_err(|reason| damaged(reason.to_owned()))?;
    Ok(boot)
}

/// Columns are of equal length, numbers point to what is there, callers come first.
fn check(boot: &Boot) -> Result<(), &'static str> {
    let Boot { sums, cpus, tree, functions, .. } = boot;
    if boot.version == 0 {
        return Err("it has no version");
    }
    if boot.levels.len() > Phase::ALL.len() {
        return Err("more levels than there are");
    }
    if boot.initcalls.len().max(functions.len()) > MOST_NAMES || boot.meta.vmm.len() > MOST_WORDS {
        return Err("more functions, initcalls or words than any boot has");
    }
    let function = |&number: &u32| (number as usize) < functions.len();
    let level = |&level: &u8| level == NO_LEVEL || usize::from(level) < Phase::ALL.len();
    let lengths = [sums.level.len(), sums.calls.len(), sums.own.len(), sums.total.len()];
    if lengths.iter().any(|&length| length != sums.function.len()) {
        return Err("columns of sums differ in length");
    }
    if !sums.function.iter().all(function) || !sums.level.iter().all(level) {
        return Err("sums are of a function or level that is not there");
    }
    if [cpus.cpu.len(), cpus.calls.len(), cpus.own.len()].iter().any(|&length| length != cpus.function.len()) {
        return Err("columns of cpus differ in length");
    }
    if !cpus.function.iter().all(function) || cpus.cpu.iter().any(|&cpu| cpu >= MAX_CPUS) {
        return Err("cpus are of a function or CPU that is not there");
    }
    let lengths = [tree.function.len(), tree.calls.len(), tree.own.len(), tree.total.len()];
    if lengths.iter().any(|&length| length != tree.parent.len()) {
        return Err("columns of the tree differ in length");
    }
    if !tree.function.iter().all(|number| *number == Tree::NONE || function(number)) {
        return Err("the tree has a function that is not there");
    }
    let root = |&(number, node): &(u8, u32)| level(&number) && tree.parent.get(node as usize) == Some(&node);
    if !tree.roots.iter().all(root) {
        return Err("a root of the tree is not there");
    }
    let roots = tree.parent.iter().enumerate().filter(|&(node, &parent)| parent as usize == node).count();
    if roots != tree.roots.len() || tree.parent.iter().enumerate().any(|(node, &parent)| parent as usize > node) {
        return Err("the tree is no tree");
    }
    // Callers stand before those whom they call, as has been seen.
    let mut depths: Vec<u32> = Vec::with_capacity(tree.parent.len());
    for (node, &parent) in tree.parent.iter().enumerate() {
        let depth = depths.get(parent as usize).filter(|_| parent as usize != node).map_or(0, |above| above + 1);
        if depth > DEEPEST {
            return Err("the tree is deeper than any stack");
        }
        depths.push(depth);
    }
    Ok(())
}
