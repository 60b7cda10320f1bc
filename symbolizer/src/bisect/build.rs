// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The kernel of a commit that is checked out: by the user's command, or with a configuration by `kernel-config`. In:
//! the tree. Out: a copy of its vmlinux in the commit's directory, or why there is none. Never here: git.

use std::fs::File;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::process::Command;

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
                    Some(126 | 127) | None => return Err(BisectError::Command { option: "build", status, log }),
                    Some(_) => return no(&log, &status, dir),
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
        std::fs::rename(&fresh, &kept).map_err(BisectError::io("write", &kept))?;
        Ok(Made::Kernel(kept))
    }
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
