// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! CTF, read by babeltrace2.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::{SOME, calls, export, printed, report};
use crate::boots::scratch;

/// An event as babeltrace2 prints it.
struct Event<'a> {
    name: &'a str,
    /// From `{ cpu_id` on.
    fields: &'a str,
}

impl<'a> Event<'a> {
    /// `[time] guest NAME: FIELDS`
    fn parse(line: &'a str) -> Event<'a> {
        let rest = line.split_once("] guest ").unwrap_or_else(|| panic!("no event: {line}")).1;
        let (name, fields) = rest.split_once(": {").expect("fields");
        Event { name, fields }
    }

    /// The value of a field, without quotes.
    fn field(&self, name: &str) -> &'a str {
        let key = format!(" {name} = ");
        let at = self.fields.find(&key).unwrap_or_else(|| panic!("no {name}: {}", self.fields)) + key.len();
        let rest = &self.fields[at..];
        match rest.strip_prefix('"') {
            Some(text) => text.split('"').next().expect("text"),
            None => rest.split([',', ' ']).next().expect("a number"),
        }
    }
}

fn read(directory: &Path) -> String {
    printed(
        Command::new("babeltrace2")
            .args(["--clock-seconds", "--no-delta"])
            .arg("--fields=trace:hostname")
            .arg(directory),
    )
}

#[test]
fn babeltrace_counts_the_calls_of_the_report() {
    let directory = scratch("ctf").join("trace");
    export("ctf", &directory, SOME);
    let text = read(&directory);
    let mut entries: BTreeMap<String, u64> = BTreeMap::new();
    let mut stacks: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    // An interrupt that comes as a call returns is told inside it, and begins after it.
    let (mut exits, mut switches, mut after) = (0u64, 0, 0);
    let mut levels: Vec<&str> = Vec::new();
    for event in text.lines().map(Event::parse) {
        let call = || (event.field("addr"), event.field("call_site"));
        let task = || (event.field("vtid"), event.field("procname"));
        match event.name {
            "lttng_ust_cyg_profile:func_entry" => {
                *entries.entry(event.field("name").to_owned()).or_default() += 1;
                let stack = stacks.entry(task()).or_default();
                after += u64::from(stack.last().copied().unwrap_or("0x0") != call().1);
                stack.push(call().0);
            }
            "lttng_ust_cyg_profile:func_exit" => {
                exits += 1;
                let stack = stacks.entry(task()).or_default();
                assert_eq!(stack.pop(), Some(call().0), "a call ends in the task in which it began");
            }
            "sched_switch" => switches += 1,
            "level_begin" => levels.push(event.field("level")),
            "level_end" => assert_eq!(levels.last(), Some(&event.field("level"))),
            "initcall_start" | "initcall_finish" => {}
            other => panic!("an event that is not expected: {other}"),
        }
    }
    let report = report(SOME);
    assert_eq!(entries, calls(&report));
    assert!(after * 1000 <= exits, "{after} of {exits} calls are not in their callers");
    let open = stacks.values().map(Vec::len).sum::<usize>() as u64;
    assert_eq!(exits + open, entries.values().sum::<u64>());
    let unfinished = |f: &serde_json::Value| f["open"].as_u64().expect("a count");
    assert_eq!(open, report["functions"].as_array().expect("functions").iter().map(unfinished).sum::<u64>());
    assert!(switches > 100, "{switches} switches");
    assert!(levels.windows(2).any(|pair| pair == ["arch", "subsys"]), "{levels:?}");

    let map = std::fs::read_to_string(directory.join("symbols/functions.map")).expect("the names of functions");
    let lines: Vec<&str> = map.lines().collect();
    assert!(lines.is_sorted(), "as nm prints it");
    let names: Vec<&str> = lines.iter().map(|line| line.split_once(" T ").expect("ADDRESS T NAME").1).collect();
    assert!(entries.keys().all(|name| names.contains(&name.as_str())));
}

#[test]
fn with_a_least_duration_times_still_never_step_back() {
    let directory = scratch("ctf_min").join("trace");
    let long = &["--min", "20us"];
    export("ctf", &directory, long);
    let text = read(&directory);
    let seconds = |line: &str| -> f64 {
        let text = line.strip_prefix('[').and_then(|line| line.split_once(']')).expect("a time").0;
        text.parse().expect("seconds")
    };
    assert!(text.lines().map(seconds).is_sorted());
    let mut entries: BTreeMap<String, u64> = BTreeMap::new();
    for event in text.lines().map(Event::parse).filter(|event| event.name.ends_with(":func_entry")) {
        *entries.entry(event.field("name").to_owned()).or_default() += 1;
    }
    let ours = calls(&report(long));
    let sum = |calls: &BTreeMap<String, u64>| calls.values().sum::<u64>();
    assert!(sum(&ours) > 1000, "{} calls", sum(&ours));
    // A short call is told too if an interrupt that came as it returned is long.
    assert!(ours.iter().all(|(name, &calls)| entries.get(name).is_some_and(|&told| told >= calls)));
    assert!(sum(&entries) - sum(&ours) <= sum(&ours) / 1000, "{} and {}", sum(&entries), sum(&ours));
}
