// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Folded stacks: each line is parted as flame graph tools part it.

use std::collections::BTreeMap;

use super::{by_name, export, report};
use crate::boots::scratch;

#[test]
fn folded_stacks_have_the_self_times_of_the_report() {
    let path = scratch("folded").join("boot.folded");
    export("folded", &path, &[]);
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    let mut lines: BTreeMap<String, u64> = BTreeMap::new();
    for line in std::fs::read_to_string(&path).expect("text").lines() {
        let (stack, time) = line.rsplit_once(' ').expect("a stack and a number");
        let last = stack.rsplit(';').next().expect("a function");
        *sums.entry(last.to_owned()).or_default() += time.parse::<u64>().expect("a number");
        *lines.entry(last.to_owned()).or_default() += 1;
    }
    let ticks = |function: &serde_json::Value, key: &str| function[key].as_u64().expect("ticks");
    let report = report(&[]);
    let khz = report["summary"]["tsc_khz"].as_u64().expect("a clock");
    let ours = by_name(&report, |f| ticks(f, "self_ticks") - ticks(f, "idle_self_ticks"));
    for (name, &ticks) in &ours {
        let (ns, found) = (ticks as f64 * 1e6 / khz as f64, sums.get(name).copied().unwrap_or(0));
        // Each line rounds to whole nanoseconds, and what rounds to none has no line.
        let slack = lines.get(name).copied().unwrap_or(0) as f64 / 2.0 + ns * 0.001 + 50.0;
        assert!((ns - found as f64).abs() <= slack, "{name}: {found} ns in stacks, {ns} in the report");
    }
    assert!(sums.keys().all(|name| ours.contains_key(name)), "a function that the report does not know");
    assert!(sums.len() > 1000, "{} functions", sums.len());
}
