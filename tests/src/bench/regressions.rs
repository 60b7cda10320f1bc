// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench regressions`: what is planted in a kernel's history ([`crate::planted`]) is found by `symbolize
//! bisect`. In: nothing. Out: a table on stdout, `regressions.json`. Kernels of an earlier run are taken from the
//! cache; with the cache's `planted/*/kernels` removed it tells what a first search costs.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::planted::Planted;
use crate::planted::history::{KINDS, Kind};
use crate::planted::ranges::{self, Found, With};
use crate::steps::Steps;
use crate::{initrd, tools, workspace};

/// Searches these ranges, or all; whether each right commit and function was found.
///
/// # Errors
/// When something other than a search fails.
pub fn run(kinds: &[String]) -> Result<bool> {
    let say = Steps::default();
    tools::ensure(tools::TEST)?;
    let symbolize = workspace::build_release("symbolizer", "symbolize")?;
    let xtask = std::env::current_exe().context("cannot find ourselves")?;
    let directory = workspace::target().join("bench/regressions");
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let initrd = directory.join("initrd.cpio");
    initrd::build(&initrd)?;
    let planted = Planted::prepare(&say)?;

    let mut rows = Vec::new();
    for kind in KINDS.iter().filter(|kind| kinds.is_empty() || kinds.iter().any(|name| name == kind.name)) {
        let kernels = planted.kernels();
        say.step(format_args!("{}: {} commits", kind.what, kind.commits().count()));
        let work = directory.join(kind.name);
        let with = With { symbolize: &symbolize, xtask: &xtask, initrd: &initrd, work: &work };
        let found = ranges::search(&planted, kind, with)?;
        if found.code != Some(0) {
            eprintln!("{}", found.messages);
        }
        let built = planted.kernels().saturating_sub(kernels);
        std::fs::write(directory.join(format!("{}.txt", kind.name)), &found.report)?;
        rows.push(row(kind, &found, &work, built));
    }
    for row in &rows {
        let text = |name: &str| row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
        println!("{}", text("what"));
        println!(
            "  {} commits, {} tried, {} skipped, {} kernels built, {} s (builds {} s, boots {} s): {}",
            text("commits"),
            text("tried"),
            text("skipped"),
            text("built"),
            text("seconds"),
            text("building"),
            text("booting"),
            if row["right"] == true { "right" } else { "WRONG" },
        );
        println!("  {}", text("headline"));
    }
    let all = rows.iter().all(|row| row["right"] == true);
    super::write(&directory.with_extension("json"), &serde_json::to_vec_pretty(&rows)?)?;
    Ok(all)
}

fn row(kind: &Kind, found: &Found, work: &Path, built: usize) -> Value {
    let steps = ranges::steps(work);
    json!({
        "kind": kind.name,
        "what": kind.what,
        "commits": kind.commits().count(),
        "tried": steps.tried,
        "skipped": steps.skipped,
        "built": built,
        "seconds": found.took.as_secs(),
        "building": steps.building.round(),
        "booting": steps.booting.round(),
        "headline": found.headline(),
        "right": found.code == Some(0) && found.is_right_commit() && found.is_right_function(),
    })
}
