// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Why what the host has seen cannot be kept or read. In: nothing. Out: what, where, what to do. Damage inside a file
//! that opens is no error but a gap ([`super::file::HostFile::gaps`]).

use std::path::PathBuf;

/// See the module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The system refuses.
    #[error("{}: cannot {action} the host's events: {cause}; without that file the trace is read as one of a guest alone", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        cause: std::io::Error,
    },
    /// Nothing in it can be read.
    #[error("{}: {reason}; move it away to read the trace without the host's events", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
}
