// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Why a bisection cannot go on, for the user: what, where, and what to do. Never here: a commit that does not build
//! or boot, which is a result.

use std::io;
use std::path::{Path, PathBuf};

use kernel_config::build::BuildError;

use crate::compare::kept::KeptError;

/// See the head of this file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BisectError {
    /// Ctrl-C, or a request to terminate.
    #[error("stopped; the same command goes on from here")]
    Stopped,
    /// A file cannot be read or written, or a program cannot be run.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or program.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another one works there.
    #[error("{}: another bisection works in this directory; wait for it, or name another with --work", .0.display())]
    Busy(PathBuf),
    /// The directory has files that are none of ours.
    #[error("{}: this directory has files, and no bisection has made them; name an empty or new one with --work", .0.display())]
    Foreign(PathBuf),
    /// The directory has another search, which is not at its end.
    #[error("{}: here is an unfinished bisection of something else:\n{there}\nGo on with that by its own command, forget it with --restart (what was built and booted stays), or name another directory with --work", work.display())]
    Unfinished {
        /// The directory.
        work: PathBuf,
        /// What it searches.
        there: String,
    },
    /// git has refused.
    #[error("git {command}: {said}")]
    Git {
        /// Its arguments.
        command: String,
        /// What it said.
        said: String,
    },
    /// What was asked for cannot be searched.
    #[error("{0}")]
    Range(String),
    /// An end does not build.
    #[error("the {end} end, {name}, does not build: {why}")]
    EndNotBuilt {
        /// `good` or `bad`.
        end: &'static str,
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
    /// An end does not boot.
    #[error("the {end} end, {name}, does not boot to its power-off: {why}")]
    EndNotBooted {
        /// `good` or `bad`.
        end: &'static str,
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
    /// An end boots, and nothing can be said of it.
    #[error("the {end} end, {name}: {why}")]
    EndNotRead {
        /// `good` or `bad`.
        end: &'static str,
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
    /// The ends are alike: there is nothing to search for.
    #[error("{0}")]
    NoDifference(String),
    /// The build cannot begin.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The build has not come to its own end.
    #[error("the build was killed, for want of memory most likely (see {}); with fewer --jobs the same command goes on", log.display())]
    Killed {
        /// What it said.
        log: PathBuf,
    },
    /// A kept boot cannot be read.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// The boots must not be compared.
    #[error("{0}")]
    Refused(String),
    /// The user's command has failed in a way that is no verdict.
    #[error("--{option}: the command has ended with {status}, which is no answer: 0 means good, 125 cannot be told, 1 to 124 bad; see {}", log.display())]
    Command {
        /// Which option names it.
        option: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        log: PathBuf,
    },
    /// The disk is full.
    #[error("{}: less than {mib} MiB are left on this disk; make room, and the same command goes on", path.display())]
    NoRoom {
        /// The directory.
        path: PathBuf,
        /// How little.
        mib: u64,
    },
}

impl BisectError {
    /// For `map_err`. Who was interrupted was stopped.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BisectError {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::Interrupted => BisectError::Stopped,
            _ => BisectError::Io { action, path, source },
        }
    }
}
