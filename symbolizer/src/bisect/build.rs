// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The kernel of a commit that is checked out: by the user's command, or with a configuration by `kernel-config`. In:
//! the tree. Out: a copy of its vmlinux in the commit's directory, or why there is none. Never here: git.

use std::fs::File;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use kernel_config::build::{Build, BuildError, Config, tail};

use super::BisectError;
use super::child::Hands;
use super::search::{Candidate, Made};
use crate::report::style::printable;

/// What is shown of a compiler's message.
const SHOWN: usize = 160;

/// How a kernel is built.
#[derive(Clone, Debug)]
pub enum How {
    /// By `kernel-config`.
    Config(Config),
    /// By the user's command, for `sh -c`, in the tree.
    Command(String),
    /// It stands there already.
    Nothing,
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Builder {
    /// How.
    pub how: How,
    /// Directory for objects, kept from commit to commit.
    pub objects: PathBuf,
    /// Where the vmlinux is then, from the tree; [`How::Config`] knows it.
    pub vmlinux: PathBuf,
    /// At the same time.
    pub jobs: usize,
}

impl Builder {
    /// In words: what decides on the result, beside the commit.
    pub fn settings(&self) -> String {
        let number = |text: &str| {
            let mut hasher = std::hash::DefaultHasher::new();
            hasher.write(text.as_bytes());
            hasher.finish()
        };
        match &self.how {
            How::Config(Config::Fragment(text)) => format!("build: kernel-config, fragment {:016x}\n", number(text)),
            How::Config(Config::Whole(text)) => format!("build: kernel-config, .config {:016x}\n", number(text)),
            How::Command(command) => format!("build: {command}; vmlinux {}\n", self.vmlinux.display()),
            How::Nothing => String::from("build: none\n"),
        }
    }

    /// Builds what is checked out in `tree`.
    ///
    /// # Errors
    /// When it cannot be told whether it builds.
    pub fn build(&self, tree: &Path, candidate: &Candidate, dir: &Path, hands: &Hands) -> Result<Made, BisectError> {
        let log = dir.join("build.log");
        let vmlinux = match &self.how {
            How::Nothing => tree.join(&self.vmlinux),
            How::Config(config) => {
                let small = Build::small(tree, &self.objects);
                let build = Build { config: config.clone(), log: log.clone(), jobs: self.jobs, ..small };
                match build.run(&mut |command| hands.run(command, None)) {
                    Ok(vmlinux) => vmlinux,
                    Err(BuildError::Io { action, path, source }) => return Err(BisectError::io(action, &path)(source)),
                    Err(BuildError::Make { status, .. }) if was_killed(status, &log) => {
                        return Err(BisectError::Killed { log });
                    }
                    Err(error) if error.is_of_source() => return no(&log, &error, dir),
                    Err(error) => return Err(error.into()),
                }
            }
            How::Command(text) => {
                let file = File::create(&log).map_err(BisectError::io("write", &log))?;
                let mut command = Command::new("sh");
                command.arg("-c").arg(text).current_dir(tree);
                command.env("EFT_COMMIT", &candidate.id).env("EFT_OBJECTS", &self.objects);
                command.stdout(file.try_clone().map_err(BisectError::io("write", &log))?).stderr(file);
                std::fs::create_dir_all(&self.objects).map_err(BisectError::io("create", &self.objects))?;
                let status = hands.run(&mut command, None).map_err(BisectError::io("run", Path::new("sh")))?;
                match status.code() {
                    Some(0) => {}
                    // It is not there, or may not be run: of no commit can anything be told.
                    Some(126 | 127) => return Err(BisectError::Command { option: "build", status, log }),
                    _ if was_killed(status, &log) => return Err(BisectError::Killed { log }),
                    _ => return no(&log, &status, dir),
                }
                tree.join(&self.vmlinux)
            }
        };
        if !vmlinux.is_file() {
            return Ok(Made::No(format!("the build has left no {}", vmlinux.display())));
        }
        if matches!(self.how, How::Nothing) {
            return Ok(Made::Kernel(vmlinux));
        }
        // The next build will write over it.
        let (fresh, kept) = (dir.join("vmlinux.tmp"), dir.join("vmlinux"));
        std::fs::copy(&vmlinux, &fresh).map_err(BisectError::io("copy to", &fresh))?;
        // The objects it could be made of again will have changed.
        let whole = File::open(&fresh).and_then(|file| file.sync_all());
        whole.and_then(|()| std::fs::rename(&fresh, &kept)).map_err(BisectError::io("write", &kept))?;
        Ok(Made::Kernel(kept))
    }
}

/// Whether something of the build was killed, for want of memory most likely: that is no property of a commit.
fn was_killed(status: ExitStatus, log: &Path) -> bool {
    // A shell says 128 and the signal.
    let by_signal = status.code().is_none_or(|code| code > 128);
    let said = |line: &str| {
        let line = line.trim_end();
        line.ends_with("Killed")
            || line.contains("Killed signal terminated program")
            || line.contains("virtual memory exhausted")
            || line.contains("Cannot allocate memory")
    };
    by_signal || tail(log, 200).lines().any(said)
}

/// It does not build: in a line, why.
fn no(log: &Path, error: &dyn std::fmt::Display, dir: &Path) -> Result<Made, BisectError> {
    room(dir)?;
    let said = tail(log, 200);
    let telling = said.lines().find(|line| line.contains("error:") || line.contains("undefined reference"));
    let told = telling.map_or_else(|| error.to_string().lines().next().unwrap_or_default().to_owned(), str::to_owned);
    Ok(Made::No(printable(told.trim()).chars().take(SHOWN).collect()))
}

/// A full disk is no property of a commit.
///
/// # Errors
/// [`BisectError::NoRoom`].
pub fn room(dir: &Path) -> Result<(), BisectError> {
    /// A link of a kernel needs as much.
    const LEAST_MIB: u64 = 256;
    let Ok(disk) = rustix::fs::statvfs(dir) else { return Ok(()) };
    let mib = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
    if mib < LEAST_MIB {
        return Err(BisectError::NoRoom { path: dir.to_owned(), mib: LEAST_MIB });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_compiler_that_was_killed_tells_nothing_of_the_commit() {
        let dir = tempfile::tempdir().unwrap();
        let candidate = Candidate { id: "step".to_owned(), title: String::new() };
        let build = |text: &str| {
            let how = How::Command(text.to_owned());
            let builder = Builder { how, objects: dir.path().join("o"), vmlinux: PathBuf::from("vmlinux"), jobs: 1 };
            builder.build(dir.path(), &candidate, dir.path(), &Hands::new(Arc::default(), dir.path()))
        };
        assert!(matches!(build("echo 'a.c:1:2: error: no such thing' >&2; exit 2"), Ok(Made::No(_))));
        for killed in [
            "echo 'gcc: fatal error: Killed signal terminated program cc1' >&2; exit 2",
            "echo 'make: *** [Makefile:1: vmlinux] Killed' >&2; exit 2",
            "kill -9 $$",
            "sh -c 'kill -9 $$'; exit $?",
        ] {
            let error = build(killed).unwrap_err();
            assert!(matches!(error, BisectError::Killed { .. }), "{killed}: {error}");
        }
    }
}
