// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The workspace and cargo. In: package names. Out: directories, and files that cargo built. Never
//! here: what is done with them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The directory with the workspace's Cargo.toml.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// Where builds and results go.
pub fn target() -> PathBuf {
    let given = std::env::var_os("CARGO_TARGET_DIR").and_then(|given| std::path::absolute(given).ok());
    given.unwrap_or_else(|| root().join("target"))
}

/// The cargo that runs us, at the workspace's root.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // A relative directory of builds was meant from where the user stands, not from the root.
    command.current_dir(root()).env("CARGO_TARGET_DIR", target());
    // Set by the outer cargo for this package; the inner one would pass them on to other packages'
    // build scripts and rebuild what has not changed.
    for (name, _) in std::env::vars_os() {
        let cargo_s =
            name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if cargo_s {
            command.env_remove(name);
        }
    }
    command
}

/// Builds `package` in the release profile; the file that has `target` as its target name.
///
/// # Errors
/// When the build fails.
pub fn build_release(package: &str, target: &str) -> Result<PathBuf> {
    build_release_with(package, target, &[])
}

/// The same, with features of the package.
///
/// # Errors
/// When the build fails.
pub fn build_release_with(package: &str, target: &str, features: &[&str]) -> Result<PathBuf> {
    let output = cargo()
        .args(["build", "--release", "--message-format=json-render-diagnostics", "--package", package])
        .args(["--features", &features.join(",")])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo build --release --package {package} failed; its messages are above");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let files = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == target)
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default());
    let mut paths = files.filter_map(|file| Some(PathBuf::from(file.as_str()?)));
    // A library's metadata stands in the list too.
    paths
        .find(|path| path.extension().is_none_or(|extension| extension == "so"))
        .with_context(|| format!("cargo built {package}, but names no file for {target}"))
}
