// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Callgrind: what callgrind_annotate makes of the file, alone and inclusive, function by function.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::{by_name, export, printed, report};
use crate::boots::scratch;

/// Time and calls of a line such as `1,234 (5.6%)  78 (0.1%)  mm/slub.c:kfree`; of nothing, there is no share.
fn row(line: &str) -> Option<(u64, u64, &str)> {
    let (time, rest) = cost(line)?;
    let (calls, rest) = cost(rest)?;
    let (_file, name) = rest.trim().split_once(':')?;
    Some((time, calls, name))
}

fn cost(text: &str) -> Option<(u64, &str)> {
    let text = text.trim_start();
    let (number, rest) = text.split_once(' ')?;
    let rest = rest.trim_start();
    let rest = if rest.starts_with('(') { rest.split_once(')')?.1 } else { rest };
    Some((number.replace(',', "").parse().ok()?, rest))
}

/// Name, time, calls of all functions, where `inclusive` with what they called.
fn annotated(path: &std::path::Path, inclusive: &str) -> Vec<(String, u64, u64)> {
    let mut command = Command::new("callgrind_annotate");
    command.args(["--threshold=100", "--auto=no"]).arg(format!("--inclusive={inclusive}")).arg(path);
    let text = printed(&mut command);
    let rows = text.lines().filter_map(row).filter(|row| !row.2.starts_with('['));
    rows.map(|(time, calls, name)| (name.to_owned(), time, calls)).collect()
}

#[test]
fn callgrind_annotate_has_the_figures_of_the_report() {
    let path = scratch("callgrind").join("callgrind.out");
    export("callgrind", &path, &[]);
    let report = report(&[]);
    let khz = report["summary"]["tsc_khz"].as_u64().expect("a clock");
    let busy = |key: &'static str| {
        let idle = format!("idle_{key}");
        by_name(&report, move |function: &Value| {
            function[key].as_u64().expect("a number") - function[idle.as_str()].as_u64().expect("a number")
        })
    };
    let (calls, own, total) = (busy("calls"), busy("self_ticks"), busy("total_ticks"));
    let near = |name: &str, found: u64, ticks: u64, calls: u64| {
        let ns = ticks as f64 * 1e6 / khz as f64;
        // Each of the ways to a function was rounded to whole nanoseconds.
        let slack = ns * 1e-5 + 2.0 * calls as f64 + 2.0;
        assert!((ns - found as f64).abs() <= slack, "{name}: {found} ns for the reader, {ns} in the report");
    };

    // Self: what stands inside itself has a name of its own there, `NAME'2`.
    let mut read: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (name, time, count) in annotated(&path, "no") {
        let name = name.split('\'').next().unwrap_or(&name).to_owned();
        let sum = read.entry(name).or_default();
        *sum = (sum.0 + time, sum.1 + count);
    }
    assert!(read.len() > 4_000, "{} functions", read.len());
    for (name, &(time, count)) in &read {
        let known = calls.get(name).copied();
        assert_eq!(known, Some(count), "{name}: calls");
        near(name, time, own[name], count);
    }
    let missing: Vec<&String> =
        calls.iter().filter(|(name, calls)| **calls > 0 && !read.contains_key(*name)).map(|c| c.0).collect();
    assert!(missing.is_empty(), "not there: {missing:?}");

    // Inclusive: that of the outermost calls is the report's total.
    let mut inclusive: BTreeMap<String, u64> = BTreeMap::new();
    let mut inside = 0;
    for (name, time, _) in annotated(&path, "yes") {
        if name.contains('\'') {
            inside += 1;
        } else {
            *inclusive.entry(name).or_default() += time;
        }
    }
    assert!(inside > 10, "{inside} functions inside themselves");
    assert_eq!(inclusive.len(), read.len());
    for (name, &time) in &inclusive {
        near(name, time, total[name], calls[name]);
    }
}
