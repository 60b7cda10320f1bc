// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What can be wrong with another recorder's file. In: what went wrong. Out: a sentence that says what, where, and what
//! to do. Never here: damage that a reader steps over (`Notes` has it).

use std::path::{Path, PathBuf};

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file system says no.
    #[error("{}: cannot {what}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// None of the formats.
    #[error(
        "{}: neither trace-cmd's trace.dat nor perf.data, and no directory of LTTng's (CTF 1.8); \
         `symbolize import --help` says how to record one", path.display()
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// Something that is known to exist and is not read.
    #[error("{}: {what}; {todo}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
        /// What to do instead.
        todo: String,
    },
    /// Damage where everything else hangs on it.
    #[error("{}: damaged at offset {offset:#x}: {what}; was it copied whole, and has its recorder ended?", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong.
        what: String,
    },
}

impl ImportError {
    pub(super) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> ImportError {
        ImportError::Damaged { path: path.to_path_buf(), offset, what: what.into() }
    }

    pub(super) fn unsupported(path: &Path, what: impl Into<String>, todo: impl Into<String>) -> ImportError {
        ImportError::Unsupported { path: path.to_path_buf(), what: what.into(), todo: todo.into() }
    }
}
