// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! One range, searched by `symbolize bisect` as a user would: it is told two revisions, how to build and what to boot.
//! In: a [`Kind`]. Out: what it said, and whether that is right. Never here: what a regression looks like; nothing of
//! it is handed on.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::history::{Is, Kind};
use super::kernels::LATEST;
use super::{GOOD, Planted};
use crate::machine::{COMMAND_LINE, Machine};
use crate::recording;

/// Programs and files that a search uses.
#[derive(Clone, Copy, Debug)]
pub struct With<'a> {
    /// The command.
    pub symbolize: &'a Path,
    /// The `xtask` that builds.
    pub xtask: &'a Path,
    /// The demo's.
    pub initrd: &'a Path,
    /// For the state of the search; emptied first.
    pub work: &'a Path,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Found {
    /// Exit code.
    pub code: Option<i32>,
    /// All that it printed.
    pub report: String,
    /// What it said meanwhile.
    pub messages: String,
    /// From begin to end.
    pub took: Duration,
    /// The commit that is to blame.
    planted: String,
    functions: &'static [&'static str],
}

/// What a search has done, from its state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Steps {
    /// Commits between the ends that were looked at.
    pub tried: usize,
    /// Those of them of which nothing could be told.
    pub skipped: usize,
    /// For kernels, in seconds.
    pub building: f64,
    /// For boots, in seconds.
    pub booting: f64,
}

/// Of the search whose state is kept in `work`.
pub fn steps(work: &Path) -> Steps {
    let state = std::fs::read(work.join("state.json")).unwrap_or_default();
    let state: Value = serde_json::from_slice(&state).unwrap_or_default();
    let known = state["known"].as_array().map_or(&[][..], Vec::as_slice);
    let spent = |name: &str| state["spent"][name].as_f64().unwrap_or_default();
    Steps {
        tried: known.len(),
        skipped: known.iter().filter(|step| step["mark"] == "skip").count(),
        building: spent("build_seconds"),
        booting: spent("boot_seconds"),
    }
}

/// Searches.
///
/// # Errors
/// When something other than the search fails.
pub fn search(planted: &Planted, kind: &Kind, with: With<'_>) -> Result<Found> {
    recording::clear(with.work)?;
    let ids = planted.ids(kind)?;
    let at = kind.commits().position(|commit| commit.is == Is::Regression).context("nothing is planted there")?;
    let mut command = bisect(planted, kind, with);
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    Ok(Found {
        code: output.status.code(),
        report: String::from_utf8_lossy(&output.stdout).into_owned(),
        messages: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: began.elapsed(),
        planted: ids[at].clone(),
        functions: kind.functions,
    })
}

/// The command.
pub fn bisect(planted: &Planted, kind: &Kind, with: With<'_>) -> Command {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
    let words = [with.xtask, Path::new("planted-kernel"), planted.root(), &planted.kernel_config];
    let build = words.map(quoted).join(" ");
    let vmlinux = planted.root().join(LATEST);
    let mut command = Command::new(with.symbolize);
    command.arg("bisect").arg("--tree").arg(planted.tree()).arg("--in-place");
    command.args(["--good", GOOD, "--bad", kind.name, "--build", &build]).arg("--vmlinux").arg(vmlinux);
    command.arg("--work").arg(with.work).arg("--initrd").arg(with.initrd).args(["--append", COMMAND_LINE]);
    if kind.cpus > 1 {
        // Two CPUs agree on nothing under icount.
        command.args(["--real-time", "--boots", "5"]);
    }
    // The ring must hold the whole boot, so that no guest waits for the recorder.
    let extra = ["-m", "1G"].map(OsString::from).to_vec();
    command.arg("--").args(Machine { extra, ..Machine::with_cpus(kind.cpus) }.qemu());
    command
}

impl Found {
    /// The first line of the report.
    pub fn headline(&self) -> &str {
        self.report.lines().next().unwrap_or_default()
    }

    /// The first line has the commit.
    pub fn is_right_commit(&self) -> bool {
        let id = self.headline().split_ascii_whitespace().next().unwrap_or_default();
        id.len() >= 7 && self.planted.starts_with(id)
    }

    /// The first line has a function that is to blame.
    pub fn is_right_function(&self) -> bool {
        let mut words = self.headline().split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.any(|word| self.functions.contains(&word))
    }
}
