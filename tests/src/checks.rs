// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask test`, `bless` and `ci`: cargo's own checks in the project's order. Out: whether all
//! passed; what cargo prints goes straight to the terminal, so that its last lines are the last
//! lines. Never here: tests.

use anyhow::{Context, Result};

use crate::steps::Steps;
use crate::{tools, workspace};

/// All tests. Tools come first: a test that needs QEMU should fail for its own reasons only.
///
/// # Errors
/// When tools cannot be installed or cargo cannot be run.
pub fn test(arguments: &[String]) -> Result<bool> {
    tools::ensure(tools::TEST)?;
    cargo(&[&["test", "--workspace"], &borrowed(arguments)[..]].concat(), &[])
}

/// Rewrites the goldens.
///
/// # Errors
/// As [`test()`].
pub fn bless() -> Result<bool> {
    tools::ensure(tools::TEST)?;
    cargo(&["test", "--workspace", "golden"], &[("EFT_BLESS", "1")])
}

/// Everything that must pass before a merge. Stops at the first failure.
///
/// # Errors
/// As [`test()`].
pub fn ci() -> Result<bool> {
    let steps = Steps::default();
    steps.step("formatting");
    if !cargo(&["fmt", "--all", "--check"], &[])? {
        return Ok(false);
    }
    steps.step("lints");
    if !cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])? {
        return Ok(false);
    }
    steps.step("documentation");
    if !cargo(&["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])? {
        return Ok(false);
    }
    steps.step("tests");
    test(&[])
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<bool> {
    let status = workspace::cargo()
        .args(arguments)
        .envs(environment.iter().copied())
        .status()
        .with_context(|| format!("cannot run cargo {}", arguments.join(" ")))?;
    Ok(status.success())
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}
