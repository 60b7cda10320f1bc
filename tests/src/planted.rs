// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A git repository of Debian's kernel source in which regressions are planted, for `symbolize bisect` to find. In:
//! the source's archive, the commits of [`history`]. Out: a tree in the cache with a branch for each kind of
//! regression, and the kernels of its commits ([`kernels`]); [`ranges`] runs the search. The tour:
//!
//! - [`edits`]: how a file of the kernel is changed without any of its text standing here;
//! - [`history`]: the commits;
//! - [`kernels`]: built one after another from the same objects, and kept by what they were made from;
//! - [`ranges`]: a bisection of one range, and what came out.
//!
//! The tree lacks what the kernel that is built from it never has (drivers of graphics, other architectures,
//! documents): a third of the files, a tenth of the time and the room. What is there is all known to git. One process
//! at a time has it (a lock is held as long as [`Planted`] lives).

pub mod edits;
pub mod history;
pub mod kernels;
pub mod ranges;

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::kernel_build::output_of;
use crate::kernels::{cache, remove};
use crate::steps::Steps;
use crate::{kernel_build, tools, workspace};
use history::{COMMON, Commit, KINDS, Kind, SETUP};

/// Series of Debian's source.
const SERIES: &str = "6.1";

/// The good end of all ranges.
pub const GOOD: &str = "planted-good";

/// Other architectures; their Kconfig and Makefiles stay.
const ARCHITECTURES: &[&str] = &[
    "alpha",
    "arc",
    "arm",
    "arm64",
    "csky",
    "hexagon",
    "ia64",
    "loongarch",
    "m68k",
    "microblaze",
    "mips",
    "nios2",
    "openrisc",
    "parisc",
    "powerpc",
    "riscv",
    "s390",
    "sh",
    "sparc",
    "um",
    "xtensa",
];

/// Directories whose sources are left out; Kconfig and Makefiles stay.
const LEFT_OUT: &[&str] = &[
    "drivers/gpu",
    "drivers/infiniband",
    "drivers/media",
    "drivers/net/ethernet",
    "drivers/net/wireless",
    "drivers/scsi",
    "drivers/staging",
    "drivers/usb",
    "sound",
    "tools/perf",
    "tools/testing",
];

/// `cargo xtask planted`: makes the repository, and says how to search in it.
///
/// # Errors
/// When source, tools or disk fail.
pub fn run() -> Result<bool> {
    let planted = Planted::prepare(&Steps::default())?;
    for kind in KINDS {
        println!("{}: {} commits, {}", kind.name, kind.commits().count(), kind.what);
    }
    let tree = planted.tree();
    println!("symbolize bisect --tree {} --good {GOOD} --bad {} ...", tree.display(), KINDS[0].name);
    Ok(true)
}

/// The repository, for this process alone.
#[derive(Debug)]
pub struct Planted {
    root: PathBuf,
    /// The program that builds.
    kernel_config: PathBuf,
    /// Locked until it is closed.
    _lock: File,
}

impl Planted {
    /// The repository with all its branches; made if it is not there, mended if somebody was killed in it.
    ///
    /// # Errors
    /// When source, tools or disk fail.
    pub fn prepare(steps: &Steps) -> Result<Self> {
        tools::ensure(tools::PLANTED)?;
        let source = kernel_build::archive(SERIES, steps)?;
        let root = cache()?.join("planted").join(source.file_name().context("the source has no name")?);
        std::fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
        let lock_path = root.join("lock");
        let lock = File::create(&lock_path).with_context(|| format!("cannot create {}", lock_path.display()))?;
        lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
        let kernel_config = workspace::build_release("kernel-config", "kernel-config")?;
        let planted = Self { root, kernel_config, _lock: lock };
        planted.unpack(&source.join(kernel_build::ARCHIVE), steps)?;
        planted.plant(steps)?;
        planted.configure()?;
        Ok(planted)
    }

    /// The checkout.
    pub fn tree(&self) -> PathBuf {
        self.root.join("linux")
    }

    /// Where tree, objects and kernels are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn unpack(&self, archive: &Path, steps: &Steps) -> Result<()> {
        let tree = self.tree();
        if tree.join(".git/planted-base").is_file() {
            return Ok(());
        }
        steps.step(format_args!("unpacking the source to {}", tree.display()));
        let fresh = self.root.join("linux.tmp");
        remove(&tree)?;
        remove(&fresh)?;
        std::fs::create_dir_all(&fresh).with_context(|| format!("cannot create {}", fresh.display()))?;
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--xz", "--no-same-owner", "--strip-components=1", "--wildcards", "--directory"]);
        tar.arg(&fresh);
        tar.args(ARCHITECTURES.iter().map(|name| format!("--exclude=*/arch/{name}/*.*")));
        tar.args(LEFT_OUT.iter().map(|name| format!("--exclude=*/{name}/*.[chS]")));
        tar.args(["rst", "yaml", "txt", "svg"].map(|ending| format!("--exclude=*/Documentation/*.{ending}")));
        output_of(tar.arg("--file").arg(archive))?;

        steps.step("adding it to git");
        let git = |words: &[&str]| git_at(&fresh, words, 0);
        git(&["init", "--quiet", "--initial-branch=base", "."])?;
        // Kept for speed, not for room; and nothing of it happens behind our back.
        for (name, value) in [("core.looseCompression", "1"), ("gc.auto", "0"), ("maintenance.auto", "false")] {
            git(&["config", name, value])?;
        }
        // Debian's list of ignored files has files of the source in it.
        git(&["add", "--all", "--force", "."])?;
        git(&["commit", "--quiet", "--message=The source as Debian has it, less what is not built"])?;
        let head = git(&["rev-parse", "HEAD"])?;
        let mark = fresh.join(".git/planted-base");
        std::fs::write(&mark, head).with_context(|| format!("cannot write {}", mark.display()))?;
        std::fs::rename(&fresh, &tree).with_context(|| format!("cannot move {}", fresh.display()))
    }

    /// The commits and branches, if they are not those of [`history`].
    fn plant(&self, steps: &Steps) -> Result<()> {
        let tree = self.tree();
        let git = |words: &[&str]| git_at(&tree, words, 0);
        // Who was killed has left a bisection, a lock, half a checkout.
        let _ = std::fs::remove_file(tree.join(".git/index.lock"));
        if tree.join(".git/BISECT_START").exists() {
            git(&["bisect", "reset", "HEAD"])?;
        }
        git(&["reset", "--hard", "--quiet"])?;
        let mut hasher = DefaultHasher::new();
        hasher.write(format!("{SETUP:?}{COMMON:?}{KINDS:?}").as_bytes());
        let (mark, history) = (tree.join(".git/planted-history"), format!("{:016x}", hasher.finish()));
        if std::fs::read_to_string(&mark).is_ok_and(|planted| planted == history) {
            return Ok(());
        }
        steps.step(format_args!("planting {} ranges of {} commits", KINDS.len(), COMMON.len() + 1));
        let base = tree.join(".git/planted-base");
        let base = std::fs::read_to_string(&base).with_context(|| format!("cannot read {}", base.display()))?;
        git(&["checkout", "--quiet", "--force", "--detach", &base])?;
        let mut ids = vec![self.commit(&SETUP, 1)?];
        git(&["tag", "--force", GOOD])?;
        for (at, commit) in COMMON.iter().enumerate() {
            ids.push(self.commit(commit, at + 2)?);
        }
        for kind in KINDS {
            git(&["checkout", "--quiet", "--detach", &ids[kind.before]])?;
            for (at, commit) in kind.commits().enumerate().skip(kind.before) {
                self.commit(commit, at + 2)?;
            }
            git(&["branch", "--force", kind.name])?;
        }
        git(&["checkout", "--quiet", "--detach", GOOD])?;
        std::fs::write(&mark, history).with_context(|| format!("cannot write {}", mark.display()))
    }

    /// Its id. The same each time: a commit's date is its number.
    fn commit(&self, commit: &Commit, number: usize) -> Result<String> {
        let tree = self.tree();
        for edit in commit.edits {
            edit.apply(&tree).with_context(|| format!("commit \"{}\"", commit.subject))?;
        }
        let files: Vec<_> = commit.edits.iter().map(edits::Edit::file).collect();
        git_at(&tree, &[&["add", "--force", "--"][..], &files].concat(), number)?;
        git_at(&tree, &["commit", "--quiet", "--message", commit.subject], number)?;
        git_at(&tree, &["rev-parse", "HEAD"], number)
    }

    /// The whole `.config` of what is built, made from the few lines that stand here.
    fn configure(&self) -> Result<()> {
        let wanted = workspace::root().join("tests/src/planted/kernel.config");
        let text = std::fs::read(&wanted).with_context(|| format!("cannot read {}", wanted.display()))?;
        let (config, asked) = (self.root.join("config"), self.root.join("asked.config"));
        if config.is_file() && std::fs::read(&asked).is_ok_and(|before| before == text) {
            return Ok(());
        }
        let objects = self.root.join("configured");
        std::fs::create_dir_all(&objects).with_context(|| format!("cannot create {}", objects.display()))?;
        let mut make = Command::new("make");
        make.arg("--silent").arg("-C").arg(self.tree()).arg(format!("O={}", objects.display()));
        output_of(make.arg("allnoconfig").arg(format!("KCONFIG_ALLCONFIG={}", wanted.display())))?;
        std::fs::copy(objects.join(".config"), &config)
            .with_context(|| format!("cannot write {}", config.display()))?;
        std::fs::write(&asked, text).with_context(|| format!("cannot write {}", asked.display()))?;
        remove(&objects)
    }

    /// How many kernels there are in the cache.
    pub fn kernels(&self) -> usize {
        std::fs::read_dir(self.root.join("kernels")).map_or(0, |entries| entries.flatten().count())
    }

    /// The ids of a range's commits, oldest first.
    ///
    /// # Errors
    /// When git fails.
    pub fn ids(&self, kind: &Kind) -> Result<Vec<String>> {
        let range = format!("{GOOD}..{}", kind.name);
        let text = git_at(&self.tree(), &["rev-list", "--reverse", &range], 0)?;
        let ids: Vec<_> = text.lines().map(str::to_owned).collect();
        if ids.len() != kind.commits().count() {
            bail!("the range {range} has {} commits", ids.len());
        }
        Ok(ids)
    }
}

/// Runs git in a tree, with nobody's settings but the repository's; what it prints, less the last line's end.
fn git_at(tree: &Path, words: &[&str], number: usize) -> Result<String> {
    let mut git = Command::new("git");
    git.current_dir(tree).args(words);
    // Set while git runs a hook, such as one that runs these tests.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(name);
    }
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let date = format!("2026-01-01T00:{number:02}:00Z");
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), "early-ftrace").env(format!("GIT_{role}_EMAIL"), "early-ftrace@localhost");
        git.env(format!("GIT_{role}_DATE"), &date);
    }
    Ok(output_of(&mut git)?.trim_end().to_owned())
}
