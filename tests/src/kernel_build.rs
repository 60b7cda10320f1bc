// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Kernels that are built from Debian's source, with the tracer in the tree or without it. In: a series,
//! a [`Flavour`]. Out: a vmlinux and a bzImage in the cache. A result stands there under a name made of
//! all that went into it; source trees and objects stay beside, so that a changed recorder costs a link,
//! not a build. Never here: which package (see [`crate::debian`]), what is put into a tree (`kernel-config`).

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::debian;
use crate::kernels::{cache, is_newer_than_lists, remove};
use crate::steps::Steps;
use crate::{tools, workspace};

/// Results of one flavour that are kept: two worktrees may differ in the recorder.
const KEPT: usize = 3;
/// The source as it is in its package.
pub(crate) const ARCHIVE: &str = "linux.tar.xz";

/// What is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The source as Debian has it.
    Plain,
    /// With `kernel-config integrate`, and CONFIG_HYPERGRAPH.
    Hypergraph,
}

impl Flavour {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Hypergraph => "hypergraph",
        }
    }

    /// What is configured, each file on top of those before it. The first is what `kernel-config build` has by itself.
    fn fragments(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &["small.config"],
            Self::Hypergraph => &["small.config", "hypergraph.config"],
        }
    }
}

/// A kernel that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// With debug information; QEMU boots it through PVH, without KASLR.
    pub vmlinux: PathBuf,
    /// The same kernel as boot loaders want it.
    pub image: PathBuf,
}

impl Built {
    fn of(directory: &Path) -> Self {
        Self { vmlinux: directory.join("vmlinux"), image: directory.join("bzImage") }
    }
}

/// The kernel, from the cache if nothing has changed.
///
/// # Errors
/// When source, tools or disk fail, or the compiler does.
pub fn build(series: &str, flavour: Flavour, steps: &Steps) -> Result<Built> {
    let base = cache()?;
    let (sources, results) = (base.join("sources"), base.join("built"));
    std::fs::create_dir_all(&results).with_context(|| format!("cannot create {}", results.display()))?;
    // Kept until the end of this function.
    let _locked = locked(&sources)?;

    tools::ensure(tools::KERNEL)?;
    let source = source(series, &sources, steps)?;
    let work = source.join(flavour.name());
    let tree = unpacked(&source, &work, steps)?;
    let kernel_config = workspace::build_release("kernel-config", "kernel-config")?;
    let mut made_from = format!("{}\n{}{}", source.display(), version_of("cc")?, version_of("ld")?);
    let fragments = flavour.fragments().iter();
    let fragments: Vec<_> =
        fragments.map(|name| workspace::root().join("kernel-config/fragments").join(name)).collect();
    for path in &fragments {
        made_from += &std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    if flavour == Flavour::Hypergraph {
        output_of(Command::new(&kernel_config).arg("integrate").arg(&tree))?;
        // What it would take away is what it has put there.
        made_from += &output_of(Command::new(&kernel_config).args(["remove", "--diff"]).arg(&tree))?;
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(made_from.as_bytes());
    let prefix = format!("{}-{}-", source.file_name().unwrap_or_default().to_string_lossy(), flavour.name());
    let result = results.join(format!("{prefix}{:016x}", hasher.finish()));
    let recorded = result.join("made-from");
    if std::fs::read(&recorded).is_ok_and(|bytes| bytes == made_from.as_bytes()) {
        return Ok(Built::of(&result));
    }

    let objects = work.join("objects");
    steps.step(format_args!(
        "building vmlinux and bzImage (the first time some minutes; {} tells more)",
        objects.join("make.log").display()
    ));
    let mut build = Command::new(&kernel_config);
    // A result is kept for good, and has no use for objects of others.
    build.arg("build").arg(&tree).arg("-o").arg(&objects).args(["--target=vmlinux", "--target=bzImage", "--no-ccache"]);
    output_of(build.args(fragments.iter().skip(1).flat_map(|path| [Path::new("--fragment"), path])))?;
    let fresh = results.join(format!("{prefix}tmp"));
    remove(&fresh)?;
    std::fs::create_dir_all(&fresh).with_context(|| format!("cannot create {}", fresh.display()))?;
    for (from, to) in [("vmlinux", "vmlinux"), ("arch/x86/boot/bzImage", "bzImage"), (".config", "config")] {
        let from = objects.join(from);
        std::fs::copy(&from, fresh.join(to)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let written = fresh.join("made-from");
    std::fs::write(&written, made_from).with_context(|| format!("cannot write {}", written.display()))?;
    remove(&result)?;
    std::fs::rename(&fresh, &result).with_context(|| format!("cannot move {}", fresh.display()))?;
    forget_old(&results, &prefix)?;
    Ok(Built::of(&result))
}

/// The directory of the newest source of `series`, in which [`ARCHIVE`] lies.
///
/// # Errors
/// When it is not there and cannot be fetched.
pub(crate) fn archive(series: &str, steps: &Steps) -> Result<PathBuf> {
    let sources = cache()?.join("sources");
    let _locked = locked(&sources)?;
    source(series, &sources, steps)
}

/// The directory of sources, for one process at a time: as long as the file is open.
fn locked(sources: &Path) -> Result<File> {
    std::fs::create_dir_all(sources).with_context(|| format!("cannot create {}", sources.display()))?;
    let path = sources.join("lock");
    let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(lock)
}

/// The directory of the newest source of `series`: in it lies the archive, `linux.tar.xz`.
fn source(series: &str, sources: &Path, steps: &Steps) -> Result<PathBuf> {
    let name = format!("linux-source-{series}");
    let cached = newest_cached(sources, &name, ARCHIVE);
    if let Some(archive) = cached.as_deref().filter(|archive| is_newer_than_lists(archive)) {
        return Ok(archive.parent().unwrap_or(sources).to_owned());
    }
    let package = match (debian::newest_named(&name), cached.as_deref().and_then(Path::parent)) {
        (Ok(package), _) => package,
        // A source that is there already is better than none on a machine without a network.
        (Err(error), Some(directory)) => {
            eprintln!("{error:#}\nusing the one in the cache: {}", directory.display());
            return Ok(directory.to_owned());
        }
        (Err(error), None) => return Err(error),
    };
    let directory = sources.join(format!("{name}_{}", package.version));
    let archive = directory.join(ARCHIVE);
    if archive.is_file() {
        // Says that it is the newest of today's lists, for `is_newer_than_lists`.
        let _ = File::open(&directory).and_then(|directory| directory.set_modified(std::time::SystemTime::now()));
        return Ok(directory);
    }
    let work = sources.join(format!("{name}.tmp"));
    std::fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
    steps.step(format_args!("downloading {name} {} ({} MB)", package.version, package.size / 1_000_000));
    let deb = debian::download(&package, &work)?;
    let mut extract = Command::new("dpkg-deb");
    output_of(extract.arg("--extract").arg(&deb).arg(work.join("deb")))?;
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let packed = work.join("deb/usr/src").join(format!("{name}.tar.xz"));
    std::fs::rename(&packed, &archive).with_context(|| format!("cannot move {}", packed.display()))?;
    remove(&work)?;
    Ok(directory)
}

fn newest_cached(sources: &Path, name: &str, archive: &str) -> Option<PathBuf> {
    std::fs::read_dir(sources)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{name}_")))
        .map(|entry| entry.path().join(archive))
        .filter_map(|archive| Some((archive.metadata().ok()?.modified().ok()?, archive)))
        .max()
        .map(|(_, archive)| archive)
}

/// The flavour's own tree.
fn unpacked(source: &Path, work: &Path, steps: &Steps) -> Result<PathBuf> {
    let tree = work.join("linux");
    if tree.is_dir() {
        return Ok(tree);
    }
    steps.step(format_args!("unpacking the source to {}", tree.display()));
    let fresh = work.join("linux.tmp");
    remove(&fresh)?;
    std::fs::create_dir_all(&fresh).with_context(|| format!("cannot create {}", fresh.display()))?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--xz", "--no-same-owner", "--strip-components=1", "--directory"]).arg(&fresh);
    output_of(tar.arg("--file").arg(source.join(ARCHIVE)))?;
    std::fs::rename(&fresh, &tree).with_context(|| format!("cannot move {}", fresh.display()))?;
    Ok(tree)
}

/// The first line of what it says about itself.
fn version_of(program: &str) -> Result<String> {
    let text = output_of(Command::new(program).arg("--version"))?;
    Ok(format!("{}\n", text.lines().next().unwrap_or_default()))
}

/// Standard output of a command.
///
/// # Errors
/// When it fails, with all that it said.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("{command:?}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(text.into_owned())
}

/// The oldest results of a flavour.
fn forget_old(results: &Path, prefix: &str) -> Result<()> {
    let mut found: Vec<_> = std::fs::read_dir(results)
        .with_context(|| format!("cannot read {}", results.display()))?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .filter_map(|entry| Some((entry.path().join("made-from").metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    found.sort();
    for (_, path) in found.iter().rev().skip(KEPT) {
        remove(path)?;
    }
    Ok(())
}
