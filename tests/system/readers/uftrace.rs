// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! uftrace's data directory, read by uftrace.

use std::collections::BTreeMap;
use std::process::Command;

use super::{SOME, calls, export, printed, report};
use crate::boots::scratch;

/// What uftrace adds for the time in which a task was not on a CPU.
const AWAY: &str = "linux:schedule";

#[test]
fn uftrace_counts_the_calls_of_the_report() {
    let directory = scratch("uftrace").join("data");
    export("uftrace", &directory, SOME);
    let uftrace = |arguments: &[&str]| printed(Command::new("uftrace").args(arguments).arg("-d").arg(&directory));

    let text = uftrace(&["report", "--no-pager", "-f", "call", "-s", "call"]);
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for line in text.lines() {
        let Some((count, name)) = line.trim_start().split_once(char::is_whitespace) else { continue };
        if let Ok(count) = count.parse::<u64>() {
            *found.entry(name.trim().to_owned()).or_default() += count;
        }
    }
    found.remove(AWAY);
    let ours = calls(&report(SOME));
    assert_eq!(found, ours);

    // Depths are those of nested calls, and each task has a name.
    let text = uftrace(&["dump", "--no-pager"]);
    let mut depth = 0u64;
    let mut records = 0u64;
    for line in text.lines() {
        if line.starts_with("reading") {
            depth = 0;
        }
        let Some((_, record)) = line.split_once(": [") else { continue };
        let (kind, rest) = record.split_once(']').expect("entry or exit");
        if !matches!(kind.trim(), "entry" | "exit") {
            continue;
        }
        let told: u64 = rest.split_once("depth: ").expect("a depth").1.trim().parse().expect("a number");
        if kind.trim() == "entry" {
            assert_eq!(told, depth, "{line}");
            depth += 1;
        } else {
            depth -= 1;
            assert_eq!(told, depth, "{line}");
        }
        records += 1;
    }
    let ours: u64 = ours.values().sum();
    assert!(records <= 2 * ours && records + 100 > 2 * ours, "{records} records of {ours} calls");
    let tasks = uftrace(&["report", "--no-pager", "--task"]);
    assert!(tasks.contains("kthreadd") && tasks.contains("swapper:0"), "{tasks}");
}
