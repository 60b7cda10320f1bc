// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Debian's kernels with debug information, in a cache outside the tree. In: a [`Kernel`]. Out: the
//! path of a vmlinux. A file stands in the cache under its final name only when it is whole; two
//! processes may ask at once. Never here: which package (see [`crate::debian`]).

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail};

use crate::debian::{self, Package};
use crate::steps::Steps;

/// Which kernel to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Debian's newest cloud kernel of a series, such as `6.1`.
    Series(String),
    /// A vmlinux of the user's own.
    File(PathBuf),
}

impl Kernel {
    /// The path of its vmlinux, downloaded and unpacked if need be.
    ///
    /// # Errors
    /// When the file does not exist, or the archive or the disk fails.
    pub fn vmlinux(&self, steps: &Steps) -> Result<PathBuf> {
        match self {
            Kernel::File(path) if path.is_file() => Ok(path.clone()),
            Kernel::File(path) => bail!("{}: no such file; --vmlinux wants a kernel image", path.display()),
            Kernel::Series(series) => from_archive(series, steps),
        }
    }
}

/// Where everything is kept that would be slow to get again.
///
/// # Errors
/// Without a home directory.
pub fn cache() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => {
            PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache")
        }
    };
    Ok(base.join("early-ftrace"))
}

fn from_archive(series: &str, steps: &Steps) -> Result<PathBuf> {
    let kernels = cache()?.join("kernels");
    std::fs::create_dir_all(&kernels).with_context(|| format!("cannot create {}", kernels.display()))?;
    let lock_path = kernels.join("lock");
    // Kept open, and so locked, until the end of this function.
    let lock = File::create(&lock_path).with_context(|| format!("cannot create {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;

    if let Some(vmlinux) = newest_cached(&kernels, series).filter(|vmlinux| is_newer_than_lists(vmlinux)) {
        return Ok(vmlinux);
    }
    let package = match debian::newest(series) {
        Ok(package) => package,
        // A kernel that is there already is better than none on a machine without a network.
        Err(error) => match newest_cached(&kernels, series) {
            Some(vmlinux) => {
                eprintln!("{error:#}\nusing the one in the cache: {}", vmlinux.display());
                return Ok(vmlinux);
            }
            None => return Err(error),
        },
    };
    let directory = kernels.join(format!("{}_{}", package.name, package.version));
    let vmlinux = directory.join("vmlinux");
    if vmlinux.is_file() {
        // Says that it is the newest of today's lists, for `is_newer_than_lists`.
        let _ = File::open(&directory).and_then(|directory| directory.set_modified(SystemTime::now()));
        return Ok(vmlinux);
    }
    let work = kernels.join(format!("{}.tmp", package.name));
    remove(&work)?;
    std::fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
    steps.step(format_args!("downloading {} {} ({} MB)", package.name, package.version, package.size / 1_000_000));
    let deb = debian::download(&package, &work)?;
    steps.step(format_args!("unpacking its vmlinux"));
    let unpacked = unpack(&deb, &work, &package)?;
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    std::fs::rename(&unpacked, &vmlinux).with_context(|| format!("cannot move {}", unpacked.display()))?;
    remove(&work)?;
    Ok(vmlinux)
}

/// The most recently unpacked vmlinux of a series.
fn newest_cached(kernels: &Path, series: &str) -> Option<PathBuf> {
    let prefix = format!("linux-image-{series}.");
    std::fs::read_dir(kernels)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)))
        .map(|entry| entry.path().join("vmlinux"))
        .filter_map(|vmlinux| Some((vmlinux.metadata().ok()?.modified().ok()?, vmlinux)))
        .max()
        .map(|(_, vmlinux)| vmlinux)
}

/// Whether apt's lists are the same as when this kernel was taken for the newest: then the answer is
/// the same, too, and the second or two that apt needs for it are saved.
pub(crate) fn is_newer_than_lists(vmlinux: &Path) -> bool {
    let changed = |path: &Path| path.metadata().ok()?.modified().ok();
    // The directory's time, since the file has that of its build.
    match (vmlinux.parent().and_then(changed), changed(Path::new("/var/lib/apt/lists"))) {
        (Some(cached), Some(lists)) => cached > lists,
        _ => false,
    }
}

/// Takes `vmlinux` out of `deb`; it lies in `work` afterwards.
fn unpack(deb: &Path, work: &Path, package: &Package) -> Result<PathBuf> {
    let mut source = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // It would complain of the pipe that tar closes early.
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run dpkg-deb")?;
    let mut tar = Command::new("tar")
        .args(["--extract", "--no-same-owner", "--wildcards", "--transform=s|.*/|unpacked-|", "--occurrence=1"])
        .arg("--directory")
        .arg(work)
        .arg("./usr/lib/debug/boot/vmlinux-*")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot run tar")?;
    let (from, to) = (source.stdout.take(), tar.stdin.take());
    let (Some(from), Some(to)) = (from, to) else { bail!("no pipe to dpkg-deb and tar") };
    copy_with_progress(from, to, package.installed);
    let status = tar.wait()?;
    // The rest of the package are modules, which nobody reads.
    let _ = source.kill();
    source.wait()?;
    if !status.success() {
        bail!("cannot unpack the vmlinux from {} (tar's message is above; is the disk full?)", deb.display());
    }
    for entry in std::fs::read_dir(work)? {
        let path = entry?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("unpacked-vmlinux-")) {
            return Ok(path);
        }
    }
    bail!("{} has no usr/lib/debug/boot/vmlinux-*", deb.display())
}

/// Copies until either side ends; `total` is a guess, for the eye.
fn copy_with_progress(mut from: impl Read, mut to: impl Write, total: u64) {
    let show = std::io::stderr().is_terminal();
    let mut buffer = vec![0; 1 << 20];
    let (mut done, mut shown) = (0u64, Instant::now());
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        // tar closes its end when it has what it wants; its exit status tells whether it has.
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        done += count as u64;
        if show && shown.elapsed().as_millis() > 200 {
            shown = Instant::now();
            eprint!("\r    {} of at most {} MB", done / 1_000_000, total / 1_000_000);
        }
    }
    if show {
        eprint!("\r\x1b[K");
    }
}

pub(crate) fn remove(directory: &Path) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}
