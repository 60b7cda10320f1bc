// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! JSON lines, read by DuckDB.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::{SOME, calls, export, printed, report, script};
use crate::boots::scratch;

#[test]
fn duckdb_finds_the_calls_and_times_of_the_report() {
    let path = scratch("json_lines").join("boot.jsonl");
    export("jsonl", &path, SOME);
    let python = xtask::python::with(xtask::python::READERS).expect("Python");
    let text = printed(Command::new(python).arg(script("json_lines.py")).arg(&path));
    let found: Value = serde_json::from_str(&text).expect("JSON");
    let report = report(SOME);
    let ours = calls(&report);
    let theirs: BTreeMap<String, u64> = serde_json::from_value(found["calls"].clone()).expect("counts");
    assert_eq!(theirs, ours);

    // Each call is rounded to whole nanoseconds.
    let mut own: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    let mut longest: BTreeMap<&str, i64> = BTreeMap::new();
    for function in report["functions"].as_array().expect("functions") {
        let name = function["name"].as_str().expect("a name");
        let number = |key: &str| function[key].as_i64();
        let sums = own.entry(name).or_default();
        *sums = (sums.0 + number("self_ns").expect("a time"), sums.1 + number("calls").expect("calls"));
        if let Some(max) = number("max_ns") {
            let most = longest.entry(name).or_default();
            *most = max.max(*most);
        }
    }
    for (name, (ns, calls)) in own {
        let theirs = found["own_ns"][name].as_i64().expect("a time");
        assert!((theirs - ns).abs() <= calls / 2 + 2, "{name}: {theirs} ns, {ns} in the report");
    }
    for (name, max) in longest {
        assert_eq!(found["longest_ns"][name], max, "{name}");
    }

    let levels = report["levels"].as_array().expect("levels").iter().map(|level| level["name"].clone());
    assert_eq!(found["levels"], levels.collect::<Value>());
    assert_eq!(found["initcalls"], report["initcalls"].as_array().expect("initcalls").len());
    assert_eq!(found["nameless"], 0, "calls of tasks that were not told");
    assert_eq!(found["first"], "trace");
    assert_eq!(found["end"], serde_json::json!([[ours.values().sum::<u64>(), 0, 0]]));
}
