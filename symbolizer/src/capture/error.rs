// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Why nothing can be captured, or no more: what, where, and what to do.

use crate::trace_dir::TraceError;
use std::io;
use std::path::PathBuf;

/// See the module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The RAM file cannot be used.
    #[error("{}: cannot {action} the guest's RAM file: {cause}", .path.display())]
    RamFile {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        cause: io::Error,
    },
    /// No traced kernel in the RAM file.
    #[error("{}: no traced kernel in this RAM file (searched {searched} bytes in steps of 2 MiB). Boot a kernel made by `symbolize inject` with memory-backend-file,share=on on this file", .path.display())]
    NoRegion {
        /// The file.
        path: PathBuf,
        /// Its size.
        searched: u64,
    },
    /// The guest did not come so far.
    #[error(
        "the traced kernel did not appear in the guest's memory within {seconds} s; is the guest started paused (-S), or from another kernel?"
    )]
    NoStart {
        /// How long was waited.
        seconds: u64,
    },
    /// The header in the shared memory makes no sense.
    #[error("{}: the header of the trace memory at {offset:#x} is damaged: {reason}", .path.display())]
    BadHeader {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The guest's code is of another version.
    #[error(
        "the traced kernel writes event words of version {found}, this program reads version {supported}; make it again with this `symbolize inject`"
    )]
    OtherVersion {
        /// In the guest.
        found: u32,
        /// Here.
        supported: u32,
    },
    /// An argument of the user's that the tool needs for itself.
    #[error("{argument}: {why}")]
    Conflict {
        /// The argument.
        argument: String,
        /// What to do.
        why: &'static str,
    },
    /// An argument that cannot be understood.
    #[error("{option} {value}: {expected}")]
    BadArgument {
        /// The option.
        option: String,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The virtual machine monitor did not start.
    #[error("{}: cannot start it: {cause}. Is it installed, and is its name right?", .program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The virtual machine monitor ended before the kernel ran.
    #[error("{program} {status} before the kernel ran; nothing was recorded. It said:\n{stderr}")]
    Refused {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// The virtual machine monitor cannot be watched.
    #[error("cannot {action} the virtual machine monitor: {cause}")]
    Watch {
        /// What was tried.
        action: &'static str,
        /// What the system says.
        cause: io::Error,
    },
    /// The host's own events cannot be recorded.
    #[error(transparent)]
    Kvm(#[from] super::kvm::KvmError),
    /// The trace cannot be written.
    #[error(transparent)]
    Trace(#[from] TraceError),
}
