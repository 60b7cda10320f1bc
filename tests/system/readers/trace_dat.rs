// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! trace.dat, read by trace-cmd.

use std::collections::BTreeMap;
use std::process::Command;

use super::{SOME, calls, export, printed, report};
use crate::boots::scratch;

/// What stands for a function without a symbol, which has no name among the calls.
const NAMELESS: &str = "?";

/// A name of the report as trace-cmd has it: without its module.
fn plain(name: &str) -> &str {
    match name.split_once(" [") {
        _ if name.starts_with('[') => NAMELESS,
        Some((name, _)) => name,
        None => name,
    }
}

#[test]
fn trace_cmd_counts_the_calls_of_the_report() {
    let path = scratch("trace-dat").join("boot.dat");
    export("trace-dat", &path, SOME);
    let text = printed(Command::new("trace-cmd").arg("report").arg("-i").arg(&path));
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    let (mut opened, mut closed, mut switches) = (0u64, 0u64, 0u64);
    for line in text.lines() {
        if line.contains("funcgraph_entry:") {
            let call = line.rsplit_once('|').expect("a call").1.trim();
            let name = call.strip_suffix("();").or_else(|| call.strip_suffix("() {")).expect("a function");
            let name = if name.starts_with("_unknown__") { NAMELESS } else { name };
            *found.entry(name.to_owned()).or_default() += 1;
            opened += u64::from(call.ends_with('{'));
        }
        closed += u64::from(line.contains("funcgraph_exit:"));
        switches += u64::from(line.contains("sched_switch:"));
    }
    let mut ours: BTreeMap<String, u64> = BTreeMap::new();
    for (name, count) in calls(&report(SOME)) {
        *ours.entry(plain(&name).to_owned()).or_default() += count;
    }
    assert_eq!(found, ours);
    assert!(closed <= opened && closed + 100 > opened, "{opened} calls with calls in them, {closed} ends");
    assert!(switches > 100, "{switches} context switches");
    assert!(text.contains("init-1 ") && text.contains("kthreadd:2 "), "names of tasks");
}
