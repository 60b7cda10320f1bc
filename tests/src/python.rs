// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Python with packages of pinned versions, for outside readers of what we write. In: a list of
//! requirements. Out: the interpreter of a virtual environment in the cache, made if it is not there. A
//! package comes from PyPI once. Never here: what is read.

use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::kernels::cache;

/// Readers of single files: Perfetto's own protobuf classes, and DuckDB.
pub const READERS: &[&str] = &["perfetto==0.59.1", "protobuf==7.36.2", "duckdb==2.0.0"];

/// Readers of CI's files: workflows, and what tests report.
pub const CI: &[&str] = &["PyYAML==6.0.3", "junitparser==5.0.3"];

/// Spark, which is large.
pub const SPARK: &[&str] = &["pyspark==4.3.0"];

/// The interpreter of an environment that has `requirements`, each `NAME==VERSION`.
///
/// # Errors
/// When there is no Python 3 with venv, or a package cannot be had.
pub fn with(requirements: &[&str]) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    requirements.iter().for_each(|requirement| hasher.write(requirement.as_bytes()));
    let home = cache()?.join("python").join(format!("{:016x}", hasher.finish()));
    let python = home.join("bin/python3");
    // Written last: an environment that was interrupted is made again.
    let done = home.join("complete");
    let _lock = lock(&home)?;
    if done.exists() {
        return Ok(python);
    }
    eprintln!("installing for Python: {}", requirements.join(", "));
    if home.exists() {
        std::fs::remove_dir_all(&home).with_context(|| format!("cannot remove {}", home.display()))?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"];
    run(Command::new(&python).args(pip).args(requirements))?;
    std::fs::write(&done, requirements.join("\n")).with_context(|| format!("cannot write {}", done.display()))?;
    Ok(python)
}

/// Held while an environment is looked at or made; tests of two processes may want it.
fn lock(home: &Path) -> Result<std::fs::File> {
    let directory = home.parent().context("the cache has a directory")?;
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let path = home.with_extension("lock");
    let file = std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(())
}
