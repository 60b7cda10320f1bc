// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Kernels of planted commits. In: a tree with a commit checked out. Out: its vmlinux, from the cache if one was made
//! from the same source by the same compiler, else built by `kernel-config build` from the objects of the last one.
//! Never here: which commit.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::git_at;
use crate::kernel_build::output_of;
use crate::kernels::remove;

/// Kernels that are kept: more than all ranges need.
const KEPT: usize = 64;

/// Where the kernel of the last build is, below the root.
pub const LATEST: &str = "vmlinux";

/// Builds what is checked out in `root`'s tree, with `kernel-config`'s program, and leaves it as [`LATEST`]; whether it
/// builds. The compiler's messages go to our own output.
///
/// # Errors
/// When it cannot be told whether it builds.
pub fn build_checked_out(root: &Path, kernel_config: &Path) -> Result<bool> {
    let tree = root.join("linux");
    let config = root.join("config");
    let text = std::fs::read(&config).with_context(|| format!("cannot read {}", config.display()))?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&text);
    for program in ["cc", "ld"] {
        hasher.write(output_of(Command::new(program).arg("--version"))?.as_bytes());
    }
    let id = git_at(&tree, &["rev-parse", "HEAD^{tree}"], 0)?;
    let kernels = root.join("kernels");
    let kept = kernels.join(format!("{id}-{:016x}", hasher.finish())).join("vmlinux");
    let latest = root.join(LATEST);
    if kept.is_file() {
        println!("from the cache: {}", kept.display());
        // Says that it is in use, for `forget_old`.
        let _ = File::open(&kept).and_then(|file| file.set_modified(std::time::SystemTime::now()));
        return link(&kept, &latest).map(|()| true);
    }
    let objects = root.join("objects");
    let mut build = Command::new(kernel_config);
    build.arg("build").arg(&tree).arg("-o").arg(&objects).arg("--config").arg(&config).stdin(Stdio::null());
    if !build.status().context("cannot run kernel-config")?.success() {
        return Ok(false);
    }
    let fresh = kernels.join("tmp");
    remove(&fresh)?;
    std::fs::create_dir_all(&fresh).with_context(|| format!("cannot create {}", fresh.display()))?;
    // Most of it is debug information, which packs well.
    let mut objcopy = Command::new("objcopy");
    objcopy.arg("--compress-debug-sections=zlib").arg(objects.join("vmlinux")).arg(fresh.join("vmlinux"));
    output_of(&mut objcopy)?;
    let directory = kept.parent().unwrap_or(&kernels);
    remove(directory)?;
    std::fs::rename(&fresh, directory).with_context(|| format!("cannot move {}", fresh.display()))?;
    forget_old(&kernels)?;
    link(&kept, &latest).map(|()| true)
}

fn link(kept: &Path, latest: &Path) -> Result<()> {
    let _ = std::fs::remove_file(latest);
    std::fs::hard_link(kept, latest).with_context(|| format!("cannot link {}", latest.display()))
}

fn forget_old(kernels: &Path) -> Result<()> {
    let entries = std::fs::read_dir(kernels).with_context(|| format!("cannot read {}", kernels.display()))?.flatten();
    let used = |entry: PathBuf| Some((entry.join("vmlinux").metadata().ok()?.modified().ok()?, entry));
    let mut found: Vec<_> = entries.filter_map(|entry| used(entry.path())).collect();
    found.sort();
    found.iter().rev().skip(KEPT).try_for_each(|(_, path)| remove(path))
}
