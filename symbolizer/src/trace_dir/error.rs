// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Why a trace directory cannot be written or opened: what, where, and what to do. Damage inside a
//! trace that opens is not an error but a [`super::Gap`].

use std::io;
use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The path does not exist.
    #[error("{}: no such directory; give the directory that `symbolize record -o` wrote", .0.display())]
    NotFound(PathBuf),
    /// The path is a file.
    #[error("{}: not a directory; a trace is a directory with meta.json in it", .0.display())]
    NotADirectory(PathBuf),
    /// A directory without `meta.json`.
    #[error("{}: not a trace: {}; record one with `symbolize record`", .path.display(), if *.empty { "the directory is empty" } else { "it has no meta.json" })]
    NotATrace {
        /// The directory.
        path: PathBuf,
        /// Whether it holds nothing at all.
        empty: bool,
    },
    /// `meta.json` is not what it should be.
    #[error("{}: {reason} (line {line}, column {column}); the events in the cpuN.eft files may be whole all the same", .path.display())]
    BadMeta {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// Written by a later version.
    #[error("{}: the trace has format version {found}, this program reads up to {supported}; use a newer `symbolize`", .path.display())]
    NewerVersion {
        /// The directory.
        path: PathBuf,
        /// Version of the trace.
        found: u32,
        /// Version of this program.
        supported: u32,
    },
    /// `meta.json` names a CPU whose file is not there.
    #[error("{}: missing, though meta.json says that CPU {cpu} was recorded; copy the whole trace directory", .path.display())]
    MissingCpuFile {
        /// The CPU.
        cpu: u32,
        /// The file.
        path: PathBuf,
    },
    /// Would overwrite something that is no trace.
    #[error("{}: not empty and not a trace; nothing was changed, choose another directory", .0.display())]
    NotOurs(PathBuf),
    /// Would overwrite a trace.
    #[error("{}: holds a trace already; give --force to replace it, or choose another directory", .0.display())]
    Exists(PathBuf),
    /// No CPU of this number in the trace.
    #[error("CPU {cpu} is beyond the {cpus} CPUs that the trace was created for")]
    NoSuchCpu {
        /// Asked for.
        cpu: u32,
        /// There are.
        cpus: u32,
    },
    /// The disk is full (or the file too large). What was written before stays a valid trace.
    #[error("{}: no space left for the trace; what was written so far is valid. Free some space or record to another disk with -o", .0.display())]
    Full(PathBuf),
    /// The system refuses.
    #[error("{}: permission denied; check the owner and mode of the file and its directory", .0.display())]
    Permission(PathBuf),
    /// Any other failure of the system.
    #[error("{}: cannot {action}: {cause}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        cause: io::Error,
    },
}

impl TraceError {
    /// Sorts an I/O error.
    pub(crate) fn io(path: &Path, action: &'static str, cause: io::Error) -> TraceError {
        let path = path.to_path_buf();
        match cause.kind() {
            io::ErrorKind::PermissionDenied => TraceError::Permission(path),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                TraceError::Full(path)
            }
            _ => TraceError::Io { path, action, cause },
        }
    }
}
