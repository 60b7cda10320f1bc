// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Kernels from source, for those who build many of nearly the same source: objects are kept, so that the next
//! build costs what has changed, and equal source gives an equal kernel. In: a tree, a configuration, a directory
//! for objects. Out: files in it, or why not, with the end of the log. How commands are run is the caller's affair
//! (see [`Run`]): one may want to stop them. Never here: where the source comes from.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::SystemTime;

use crate::check;

/// A small kernel that is built like a distribution's and has all that tracing needs.
pub const SMALL: &str = include_str!("../fragments/small.config");

/// Lines of a failed build that are told.
const TOLD: usize = 30;
/// Most of a log that is read for them.
const TOLD_BYTES: u64 = 1 << 20;
/// There while make runs, and still there when it was killed.
const UNDER_WAY: &str = "build-under-way";
/// How deep a directory of objects is searched.
const DEPTH: usize = 32;

/// Runs a command to its end; an error is that it could not be run, or was stopped.
pub type Run<'a> = &'a mut dyn FnMut(&mut Command) -> io::Result<ExitStatus>;

/// What is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Config {
    /// What is not named is off (`allnoconfig`), as in `fragments/`.
    Fragment(String),
    /// A whole `.config`; what a newer tree knows beyond has its default (`olddefconfig`).
    Whole(String),
}

impl Config {
    /// [`SMALL`].
    pub fn small() -> Config {
        Config::Fragment(SMALL.to_owned())
    }

    /// Its text.
    pub fn text(&self) -> &str {
        match self {
            Config::Fragment(text) | Config::Whole(text) => text,
        }
    }
}

/// What to build.
#[derive(Clone, Debug)]
pub struct Build {
    /// Top of the source tree; nothing is written there.
    pub tree: PathBuf,
    /// Directory for objects, kept from build to build.
    pub objects: PathBuf,
    /// The configuration.
    pub config: Config,
    /// make's targets: `vmlinux`, `bzImage`.
    pub targets: Vec<String>,
    /// What make and the compiler say.
    pub log: PathBuf,
    /// At the same time.
    pub jobs: usize,
    /// Use ccache, if it is installed.
    pub ccache: bool,
}

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Not the top of a kernel's source.
    #[error("{}: no Linux source tree: it has no {missing}", path.display())]
    NoTree {
        /// The directory.
        path: PathBuf,
        /// What should be there.
        missing: &'static str,
    },
    /// A file cannot be read or written, or a command cannot be run.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or program.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// make has failed: the source does not build.
    #[error("make {what}: {status}; the end of {}:\n{tail}", log.display())]
    Make {
        /// Targets.
        what: String,
        /// How it ended.
        status: ExitStatus,
        /// Where all stands that it said.
        log: PathBuf,
        /// The end of that.
        tail: String,
    },
    /// What was configured has not all that tracing needs.
    #[error("{}: this kernel could not be traced; missing: {}", config.display(), missing.join("; "))]
    CannotTrace {
        /// The `.config`.
        config: PathBuf,
        /// What and why.
        missing: Vec<String>,
    },
}

impl BuildError {
    /// The source is to blame, not the machine or what was asked for.
    pub fn is_of_source(&self) -> bool {
        matches!(self, BuildError::Make { .. } | BuildError::CannotTrace { .. })
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BuildError {
        let path = path.to_owned();
        move |source| BuildError::Io { action, path, source }
    }
}

/// As many as there are processors.
pub fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Build {
    /// The small kernel's vmlinux, with all processors.
    pub fn small(tree: &Path, objects: &Path) -> Build {
        Build {
            tree: tree.to_owned(),
            objects: objects.to_owned(),
            config: Config::small(),
            targets: vec!["vmlinux".to_owned()],
            log: objects.join("make.log"),
            jobs: jobs(),
            ccache: true,
        }
    }

    /// Configures, looks whether the result can be traced, and builds. The vmlinux.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn run(&self, run: Run<'_>) -> Result<PathBuf, BuildError> {
        self.configure(run)?;
        let config = self.objects.join(".config");
        let text = std::fs::read_to_string(&config).map_err(BuildError::io("read", &config))?;
        let missing = check::configuration(&text).missing;
        if !missing.is_empty() {
            return Err(BuildError::CannotTrace { config, missing });
        }
        self.make(run)?;
        Ok(self.objects.join("vmlinux"))
    }

    /// Writes `.config`. Of the same text and tree always the same one, whatever was there before; make sees what
    /// has changed in it.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn configure(&self, run: Run<'_>) -> Result<(), BuildError> {
        for missing in ["Kconfig", "Makefile", "scripts"] {
            if !self.tree.join(missing).exists() {
                return Err(BuildError::NoTree { path: self.tree.clone(), missing });
            }
        }
        std::fs::create_dir_all(&self.objects).map_err(BuildError::io("create", &self.objects))?;
        let write = |name: &str, text: &str| {
            let path = self.objects.join(name);
            std::fs::write(&path, text).map_err(BuildError::io("write", &path)).map(|()| path)
        };
        File::create(&self.log).map_err(BuildError::io("write", &self.log))?;
        match &self.config {
            Config::Fragment(text) => {
                let wanted = write("wanted.config", text)?;
                self.call(&["allnoconfig", &format!("KCONFIG_ALLCONFIG={}", wanted.display())], run)
            }
            Config::Whole(text) => {
                // Anew each time: else it would hang on the trees that were configured before.
                write(".config", &without_version_of_tree(text))?;
                self.call(&["olddefconfig"], run)
            }
        }
    }

    /// Builds what was configured.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn make(&self, run: Run<'_>) -> Result<(), BuildError> {
        let under_way = self.objects.join(UNDER_WAY);
        if let Ok(began) = under_way.metadata().and_then(|there| there.modified()) {
            remove_half_written(&self.objects, began, 0);
        }
        File::create(&under_way).map_err(BuildError::io("write", &under_way))?;
        let targets: Vec<&str> = self.targets.iter().map(String::as_str).collect();
        let done = self.call(&targets, run);
        // A make that was stopped may have been killed: then the mark stays.
        if !matches!(done, Err(BuildError::Io { .. })) {
            let _ = std::fs::remove_file(&under_way);
        }
        done
    }

    fn call(&self, arguments: &[&str], run: Run<'_>) -> Result<(), BuildError> {
        let log = OpenOptions::new().append(true).create(true).open(&self.log);
        let log = log.map_err(BuildError::io("write", &self.log))?;
        let mut command = Command::new("make");
        // Of the environment kbuild reads KCFLAGS, ARCH, LOCALVERSION and much more, and so would the result.
        let kept = |name: &str| ["PATH", "HOME", "TMPDIR"].contains(&name) || name.starts_with("CCACHE_");
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(kept)));
        command.env("LC_ALL", "C").env("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970");
        command.env("KBUILD_BUILD_USER", "early-ftrace").env("KBUILD_BUILD_HOST", "early-ftrace");
        command.env("KBUILD_BUILD_VERSION", "1");
        command.arg("-C").arg(&self.tree).arg(format!("O={}", self.objects.display()));
        // Given and empty: no + for commits without a tag.
        command.arg(format!("-j{}", self.jobs.max(1))).arg("LOCALVERSION=");
        if self.ccache && in_path("ccache") {
            command.arg("CC=ccache gcc");
        }
        command.args(arguments).stdin(Stdio::null());
        command.stdout(log.try_clone().map_err(BuildError::io("write", &self.log))?).stderr(log);
        let status = run(&mut command).map_err(BuildError::io("run", Path::new("make")))?;
        if status.success() {
            return Ok(());
        }
        let what = arguments.iter().map(|argument| argument.split('=').next().unwrap_or_default());
        let what = what.collect::<Vec<_>>().join(" ");
        Err(BuildError::Make { what, status, log: self.log.clone(), tail: tail(&self.log, TOLD) })
    }
}

/// A `.config` under which the release does not name the commit.
fn without_version_of_tree(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.contains("CONFIG_LOCALVERSION_AUTO"));
    lines.chain(["# CONFIG_LOCALVERSION_AUTO is not set"]).map(|line| format!("{line}\n")).collect()
}

/// The compiler writes an object where it stays: one that it was killed in would be taken for whole.
fn remove_half_written(directory: &Path, since: SystemTime, depth: usize) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let Ok(told) = entry.metadata() else { continue };
        if told.is_dir() {
            // Kconfig renames what it writes there; without its list of what was on, make would build all again.
            if depth < DEPTH && !entry.path().ends_with("include/config") {
                remove_half_written(&entry.path(), since, depth + 1);
            }
        } else if told.is_file() && told.modified().is_ok_and(|modified| modified >= since) {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // Configurations are whole: make has not written them since.
            if !name.ends_with(".config") && !name.ends_with(".log") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// The last lines of a log.
pub fn tail(log: &Path, lines: usize) -> String {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut bytes = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TOLD_BYTES)))?;
        file.take(TOLD_BYTES).read_to_end(&mut bytes)
    });
    if read.is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A tree whose Makefile does what a kernel's does, as far as it matters here.
    fn tree(rule: &str) -> (tempfile::TempDir, Build) {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = dir.path().join("linux");
        std::fs::create_dir_all(tree.join("scripts")).expect("a directory");
        std::fs::write(tree.join("Kconfig"), "").expect("written");
        let makefile = format!(
            "allnoconfig:\n\tcp $(KCONFIG_ALLCONFIG) $(O)/.config\nolddefconfig:\n\t@true\nvmlinux:\n\t{rule}\n"
        );
        std::fs::write(tree.join("Makefile"), makefile).expect("written");
        let mut build = Build::small(&tree, &dir.path().join("objects"));
        // What a real make finds out.
        build.config = Config::Fragment(format!("{SMALL}CONFIG_X86_64=y\nCONFIG_DEBUG_INFO=y\n"));
        (dir, build)
    }

    fn run(command: &mut Command) -> io::Result<ExitStatus> {
        command.status()
    }

    #[test]
    fn what_make_says_and_where_it_says_it() {
        let (_dir, build) = tree("echo made by $$KBUILD_BUILD_USER with $$KCFLAGS. >$(O)/vmlinux");
        let vmlinux = build.run(&mut run).expect("it builds");
        assert_eq!(std::fs::read_to_string(vmlinux).expect("there"), "made by early-ftrace with .\n");
        assert!(!build.objects.join(UNDER_WAY).exists());

        let (_dir, build) = tree("echo no such thing >&2; exit 3");
        let error = build.run(&mut run).expect_err("it fails");
        assert!(error.is_of_source(), "{error}");
        assert!(error.to_string().contains("no such thing"), "{error}");
    }

    #[test]
    fn a_kernel_that_could_not_be_traced_is_not_built() {
        let (_dir, mut build) = tree("touch $(O)/vmlinux");
        build.config = Config::Fragment(SMALL.replace("CONFIG_PVH=y", ""));
        let error = build.run(&mut run).expect_err("it fails").to_string();
        assert!(error.contains("CONFIG_PVH"), "{error}");
        assert!(!build.objects.join("vmlinux").exists());
    }

    #[test]
    fn what_a_killed_build_left_is_built_again() {
        let (_dir, build) = tree("cp $(O)/a.o $(O)/vmlinux");
        let objects = &build.objects;
        std::fs::create_dir_all(objects.join("fs")).expect("a directory");
        let old = objects.join("a.o");
        std::fs::write(&old, "whole").expect("written");
        let past = SystemTime::now() - Duration::from_secs(100);
        File::options().write(true).open(&old).and_then(|file| file.set_modified(past)).expect("a time");
        File::create(objects.join(UNDER_WAY)).expect("written");
        std::fs::write(objects.join("fs/half.o"), "ha").expect("written");
        let listed = objects.join("include/config/auto.conf");
        std::fs::create_dir_all(objects.join("include/config")).expect("a directory");
        std::fs::write(&listed, "whole").expect("written");
        build.run(&mut run).expect("it builds");
        assert!(old.exists() && listed.exists() && !objects.join("fs/half.o").exists());
        assert_eq!(std::fs::read_to_string(objects.join("vmlinux")).expect("there"), "whole");
    }

    #[test]
    fn a_whole_configuration_loses_the_version_of_the_tree() {
        let (_dir, mut build) = tree("cp $(O)/.config $(O)/vmlinux");
        build.config =
            Config::Whole(format!("{SMALL}CONFIG_LOCALVERSION_AUTO=y\nCONFIG_X86_64=y\nCONFIG_DEBUG_INFO=y\n"));
        let vmlinux = build.run(&mut run).expect("it builds");
        let text = std::fs::read_to_string(vmlinux).expect("there");
        assert!(text.contains("# CONFIG_LOCALVERSION_AUTO is not set") && !text.contains("AUTO=y"), "{text}");
    }

    #[test]
    fn no_tree_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = Build::small(dir.path(), &dir.path().join("o")).run(&mut run).expect_err("no tree");
        assert!(error.to_string().contains("Kconfig") && !error.is_of_source(), "{error}");
    }
}
