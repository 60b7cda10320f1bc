// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Boots merged: the mean of a boot with itself is that boot, and real boots are near each other.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use xtask::machine::Machine;
use xtask::recording;

use crate::boots::{OLD, boot_lock, recorder, scratch, setup, shared, subject};

fn merge(traces: &[&Path], arguments: &[&str]) -> Value {
    let mut command = Command::new(&setup().symbolize);
    command.arg("merge").args(traces).arg(&subject(OLD).vmlinux).args(["--format", "json"]).args(arguments);
    recording::json(&mut command).expect("merged boots")
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no list {name}"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Sums of the means of a figure, by name.
fn means(merged: &Value, list_name: &str, figure: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for row in list(merged, list_name) {
        *sums.entry(row["name"].as_str().expect("a name").to_owned()).or_default() += number(&row[figure]["mean"]);
    }
    sums
}

/// The same figure of a report.
fn sums(report: &Value, list_name: &str, figure: impl Fn(&Value) -> f64) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for row in list(report, list_name) {
        *sums.entry(row["name"].as_str().expect("a name").to_owned()).or_default() += figure(row);
    }
    sums
}

#[test]
fn a_boot_merged_with_itself_is_that_boot_without_spread() {
    let trace = shared().trace.as_path();
    let merged = merge(&[trace, trace, trace], &[]);
    let mut command = recording::report(&setup().symbolize, trace, &subject(OLD).vmlinux);
    let report = recording::json(command.args(["--format", "json"])).expect("our report");
    for name in ["levels", "initcalls", "functions"] {
        for row in list(&merged, name) {
            let spreads = row.as_object().expect("a row").values().filter(|value| value.get("sd").is_some());
            for spread in spreads {
                assert_eq!(number(&spread["sd"]), 0.0, "{row}");
                assert!(
                    ["min", "median", "max"].iter().all(|&at| number(&spread[at]) == number(&spread["mean"])),
                    "{row}"
                );
            }
        }
    }
    let khz = report["summary"]["tsc_khz"].as_u64().expect("a clock");
    let ns = |function: &Value, all: &str, idle: &str| {
        let ticks = function[all].as_u64().expect("ticks") - function[idle].as_u64().expect("ticks");
        ((u128::from(ticks) * 1_000_000 + u128::from(khz) / 2) / u128::from(khz)) as f64
    };
    let own = |function: &Value| ns(function, "self_ticks", "idle_self_ticks");
    let total = |function: &Value| ns(function, "total_ticks", "idle_total_ticks");
    assert_eq!(means(&merged, "functions", "self"), sums(&report, "functions", own));
    assert_eq!(means(&merged, "functions", "total"), sums(&report, "functions", total));
    assert_eq!(means(&merged, "functions", "calls"), sums(&report, "functions", |row| number(&row["calls"])));
    assert_eq!(means(&merged, "initcalls", "time"), sums(&report, "initcalls", |row| number(&row["ns"])));
    let mut levels = sums(&report, "levels", |row| number(&row["ns"]));
    // No part of a trace.
    levels.remove("firmware");
    assert_eq!(means(&merged, "levels", "time"), levels);
    assert_eq!(merged["events"]["mean"].as_f64(), report["summary"]["events"].as_f64());
}

#[test]
fn boots_of_a_kernel_are_merged_and_those_of_other_settings_refused() {
    let directory = scratch("merge");
    let boot = |name: &str, cpus: u32| {
        let trace = directory.join(name);
        let _one_at_a_time = boot_lock();
        let done = recorder(subject(OLD), &trace, &Machine::with_cpus(cpus)).output().expect("symbolize runs");
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        trace
    };
    let (one, two) = (boot("one", 1), boot("two", 1));
    let merged = merge(&[&one, &two], &[]);
    for boot in list(&merged, "boots") {
        assert_eq!((number(&boot["lost"]), number(&boot["gaps"])), (0.0, 0.0), "{boot}");
    }
    let calls = means(&merged, "functions", "calls");
    // As often in each boot, whatever the time it takes.
    assert_eq!(calls["start_kernel"], 1.0);
    assert!(calls.len() > 1000, "{} functions", calls.len());
    let wide = boot("wide", 2);
    let mut command = Command::new(&setup().symbolize);
    command.arg("merge").args([&one, &wide]).arg(&subject(OLD).vmlinux);
    let refused = command.output().expect("symbolize runs");
    assert_eq!(refused.status.code(), Some(2));
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("CPUs: 1") && message.contains("--force"), "{message}");
    let forced = merge(&[&one, &wide], &["--force"]);
    assert!(!list(&forced, "differences").is_empty());
}
