// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The flame graph: Python's XML reader takes it apart.

use std::process::Command;

use serde_json::Value;

use super::{by_name, export, printed, report, script};
use crate::boots::scratch;

#[test]
fn frames_have_the_figures_of_the_report() {
    let path = scratch("flamegraph").join("boot.svg");
    export("flamegraph", &path, &[]);
    let text = printed(Command::new("python3").arg(script("flamegraph.py")).arg(&path));
    let found: Value = serde_json::from_str(&text).expect("JSON");
    let report = report(&[]);
    let khz = report["summary"]["tsc_khz"].as_u64().expect("a clock") as f64;
    let busy = |key: &'static str| {
        let idle = format!("idle_{key}");
        by_name(&report, move |function: &Value| {
            function[key].as_u64().expect("a number") - function[idle.as_str()].as_u64().expect("a number")
        })
    };
    let (calls, own, total) = (busy("calls"), busy("self_ticks"), busy("total_ticks"));
    let ns = |ticks: u64| ticks as f64 * 1e6 / khz;

    // All levels are there, and their time is that of all functions.
    let groups: Vec<&str> = found["groups"].as_array().expect("groups").iter().filter_map(Value::as_str).collect();
    for level in ["start", "setup", "subsys", "device", "late", "user"] {
        assert!(groups.iter().any(|group| group.starts_with(&format!("level {level} ("))), "no {level}: {groups:?}");
    }
    let (whole, all) = (found["whole"].as_f64().expect("a width"), ns(own.values().sum()));
    assert!((whole / all - 1.0).abs() < 0.005, "{whole} ns drawn, {all} in the report");

    // Narrow frames are left out: where all calls of a function are drawn, its times must be the report's.
    let functions = found["functions"].as_object().expect("functions");
    let mut compared = 0;
    for (name, figures) in functions {
        let number = |key: &str| figures[key].as_f64().expect("a number");
        let all = *calls.get(name).unwrap_or_else(|| panic!("{name} is not in the report"));
        assert!(number("calls") <= all as f64, "{name}: more calls than in the report");
        let (most, inclusive) = (ns(own[name]), ns(total[name]));
        assert!(number("self") <= most * 1.006 + number("frames"), "{name}: more self time than in the report");
        if number("calls") == all as f64 {
            compared += 1;
            // Three digits are shown.
            assert!((number("self") - most).abs() <= most * 0.006 + number("frames"), "{name}: self {most}");
            let drawn = number("total");
            assert!((drawn - inclusive).abs() <= inclusive * 0.005 + 1000.0, "{name}: {drawn} drawn, {inclusive}");
        }
    }
    assert!(compared > 200, "{compared} functions compared");
}
