// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The guest as a part of a kernel that is built from source. In: a source tree. Out: the tree with
//! CONFIG_HYPERGRAPH, or without it again, byte for byte. The tour:
//! 1. [`places`]: where the tree is changed; [`edit`]: how, and back;
//! 2. [`files`]: what is put beside; 3. [`manifest`]: what the tree remembers of it;
//! 4. [`tree`]: both directions, as a plan that is written or printed ([`diff`]).
//!
//! No text of the kernel is kept here but the anchors: places are found by a line or a call.

pub mod diff;
pub mod edit;
pub mod files;
pub mod manifest;
pub mod places;
pub mod tree;

use std::path::PathBuf;

pub use tree::{Plan, integrate, remove};

/// A tree cannot be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrateError {
    /// A file cannot be read or written.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Not a kernel's source.
    #[error("{}: not the top of a Linux source tree (no Kbuild and arch/x86 in it)", .0.display())]
    NotLinux(PathBuf),
    /// A place is not as expected.
    #[error("{path}: {what}; this kernel version is not known: nothing was changed", path = path.display())]
    Anchor {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: String,
    },
    /// A file of ours is there already, but not by us.
    #[error("{}: is there already, and not from `kernel-config integrate`; nothing was changed", .0.display())]
    InTheWay(PathBuf),
    /// Somebody has edited what was put in.
    #[error("{path}: {what}; take it back by hand, then try again: nothing was changed", path = path.display())]
    Edited {
        /// The file.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
    /// The manifest cannot be understood.
    #[error("{path}: line {line} is not one of ours; nothing was changed", path = path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// A mistake of this program.
    #[error("the guest needs the symbol {0}, for which no definition in a kernel is known")]
    UnknownSymbol(&'static str),
}
