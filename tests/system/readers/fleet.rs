// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A fleet of real boots as Parquet tables, read by DuckDB and Spark: the queries of symbolizer/queries, unchanged,
//! answer the same on both, and sums are those of our reports.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use xtask::machine::Machine;
use xtask::{python, recording, workspace};

use super::{by_name, calls, printed, report, script};
use crate::boots::{NEW, OLD, boot_lock, recorder, scratch, setup, shared, subject};

/// What the shared boot is called here.
const SHARED: &str = "shared";

/// A name that paths must not see as it is, of a boot that is there twice.
const TWIN: &str = "50% of a/b = {#1}";

/// A boot with the times of a machine that is a hundred times slower.
const SLOW: &str = "slow";

/// Questions whose answers our report knows.
const CHECKS: [(&str, &str); 6] = [
    ("check_boots", "SELECT kernel, boot, events, calls, cpus, ended, span_ns FROM boots ORDER BY kernel, boot"),
    (
        "check_functions",
        "SELECT function, sum(calls) AS calls, sum(self_ns) AS self_ns, count(*) AS parts, \
         sum(CASE WHEN idle THEN self_ns ELSE 0 END) AS idle_ns FROM functions WHERE boot = 'shared' \
         GROUP BY function ORDER BY function",
    ),
    (
        "check_level_functions",
        "SELECT function, self_ns, calls FROM functions WHERE boot = 'shared' AND level = 'late' \
         ORDER BY self_ns DESC, function LIMIT 50",
    ),
    (
        "check_initcalls",
        "SELECT function, start_ns, time_ns, on_cpu_ns, returned, ended FROM initcalls WHERE boot = 'shared' \
         ORDER BY start_ns, function",
    ),
    ("check_levels", "SELECT level, time_ns, busy_ns, events FROM levels WHERE boot = 'shared' ORDER BY level_number"),
    ("check_names", "SELECT DISTINCT boot FROM functions ORDER BY boot"),
];

fn export(fleet: &Path, trace: &Path, series: &str, boot: &str) {
    let mut command = recording::report(&setup().symbolize, trace, &subject(series).vmlinux);
    let done = command.args(["--format", "parquet", "--boot", boot, "-o"]).arg(fleet).output().expect("symbolize");
    assert!(done.status.success(), "{boot}: {}", String::from_utf8_lossy(&done.stderr));
}

/// One more boot, without the witness.
fn boot(directory: &Path, series: &str, name: &str) -> PathBuf {
    let trace = directory.join(name);
    let _one_at_a_time = boot_lock();
    let done = recorder(subject(series), &trace, &Machine::with_cpus(1)).output().expect("symbolize runs");
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    trace
}

/// A copy of a trace, made a hundred times slower.
fn slowed(trace: &Path, copy: &Path) {
    std::fs::create_dir(copy).expect("a directory");
    for entry in std::fs::read_dir(trace).expect("a trace").flatten() {
        std::fs::copy(entry.path(), copy.join(entry.file_name())).expect("space for a trace");
    }
    let path = copy.join("meta.json");
    let mut meta: Value = serde_json::from_slice(&std::fs::read(&path).expect("meta.json")).expect("JSON");
    meta["tsc_khz"] = (meta["tsc_khz"].as_u64().expect("a clock") / 100).into();
    std::fs::write(&path, meta.to_string()).expect("a small file");
}

/// Six boots of one kernel, two of another.
fn fleet() -> PathBuf {
    let directory = scratch("fleet");
    let fleet = directory.join("fleet");
    let old = boot(&directory, OLD, "old");
    let new = boot(&directory, NEW, "new");
    let slow = directory.join("slow");
    slowed(&shared().trace, &slow);
    for (trace, name) in
        [(&shared().trace, SHARED), (&old, "2"), (&old, "03"), (&shared().trace, TWIN), (&old, "5e1"), (&slow, SLOW)]
    {
        export(&fleet, trace, OLD, name);
    }
    // The same boot again takes the place of the first.
    export(&fleet, &shared().trace, OLD, SHARED);
    export(&fleet, &new, NEW, "2");
    export(&fleet, &new, NEW, "another");
    let checks = directory.join("checks");
    std::fs::create_dir(&checks).expect("a directory");
    for (name, query) in CHECKS {
        std::fs::write(checks.join(format!("{name}.sql")), format!("{query};\n")).expect("a small file");
    }
    directory
}

/// All queries on one engine.
fn run(engine: &str, packages: &[&str], directory: &Path) -> Value {
    let python = python::with(packages).expect("Python packages");
    let mut command = Command::new(python);
    command.arg(script("fleet.py")).arg(engine).arg(queries()).arg(directory.join("checks"));
    let text = printed(command.current_dir(directory).stdin(Stdio::null()));
    serde_json::from_str(&text).expect("JSON")
}

fn queries() -> PathBuf {
    workspace::root().join("symbolizer/queries")
}

/// The rows of a query, each by column.
fn rows(results: &Value, query: &str) -> Vec<BTreeMap<String, Value>> {
    let result = &results[query];
    let columns = result["columns"].as_array().expect("columns");
    let named = |row: &Value| {
        let cells = row.as_array().expect("a row").iter().cloned();
        columns.iter().map(|name| name.as_str().expect("a name").to_owned()).zip(cells).collect()
    };
    result["rows"].as_array().expect("rows").iter().map(named).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Equal, but for the last digits of means.
fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() <= 1e-9 * one.abs().max(other.abs()),
        _ => one == other,
    }
}

#[test]
fn queries_over_a_fleet_answer_the_same_on_duckdb_and_spark() {
    let directory = fleet();
    let duckdb = run("duckdb", python::READERS, &directory);
    let spark = run("spark", python::SPARK, &directory);
    let written: Vec<String> = duckdb.as_object().expect("queries").keys().cloned().collect();
    let files = std::fs::read_dir(queries()).expect("queries").count();
    assert_eq!(written.len(), files - 2 + CHECKS.len(), "{written:?}");
    for query in &written {
        assert_eq!(duckdb[query]["columns"], spark[query]["columns"], "{query}");
        let (one, other) = (&duckdb[query]["rows"], &spark[query]["rows"]);
        let (one, other) = (one.as_array().expect("rows"), other.as_array().expect("rows"));
        assert!(!one.is_empty() && one.len() == other.len(), "{query}: {} rows, {} rows", one.len(), other.len());
        for (one, other) in one.iter().zip(other) {
            let (left, right) = (one.as_array().expect("a row"), other.as_array().expect("a row"));
            assert!(left.iter().zip(right).all(|(a, b)| same(a, b)), "{query}: DuckDB {one}, Spark {other}");
        }
    }
    boots_are_all_there(&duckdb);
    sums_are_those_of_the_report(&duckdb);
    what_is_known_is_found(&duckdb);
}

fn boots_are_all_there(results: &Value) {
    let mut names = vec![SHARED, "2", "03", TWIN, "5e1", SLOW, "another"];
    names.sort_unstable();
    let found = rows(results, "check_names");
    let found: Vec<&str> = found.iter().map(|row| row["boot"].as_str().expect("text")).collect();
    assert_eq!(found, names);
    assert_eq!(rows(results, "check_boots").len(), 8);
}

fn sums_are_those_of_the_report(results: &Value) {
    let report = report(&[]);
    let summary = &report["summary"];
    let khz = number(&summary["tsc_khz"]);
    let boots = rows(results, "check_boots");
    let boot = boots.iter().find(|row| row["boot"] == SHARED).expect("the shared boot");
    for (column, field) in [
        ("kernel", "kernel_release"),
        ("events", "events"),
        ("calls", "calls"),
        ("cpus", "cpus"),
        ("ended", "ended"),
        ("span_ns", "span_ns"),
    ] {
        assert_eq!(boot[column], summary[field], "{column}");
    }

    let ticks = |function: &Value, field: &str| function[field].as_u64().expect("ticks");
    let own = by_name(&report, |function| ticks(function, "self_ticks"));
    let idle = by_name(&report, |function| ticks(function, "idle_self_ticks"));
    let calls = calls(&report);
    let functions = rows(results, "check_functions");
    assert_eq!(functions.len(), calls.len());
    for row in &functions {
        let name = row["function"].as_str().expect("a name");
        assert_eq!(number(&row["calls"]), calls[name] as f64, "calls of {name}");
        // Each part is rounded to whole nanoseconds.
        let slack = number(&row["parts"]) / 2.0 + 1.0;
        for (column, ticks) in [("self_ns", own[name]), ("idle_ns", idle[name])] {
            let (found, wanted) = (number(&row[column]), ticks as f64 * 1e6 / khz);
            assert!((found - wanted).abs() <= slack, "{column} of {name}: {found}, the report has {wanted}");
        }
    }

    let late = report["levels"].as_array().expect("levels").iter().find(|level| level["name"] == "late");
    let late: Vec<&Value> = late.expect("late")["functions"].as_array().expect("functions").iter().collect();
    for row in rows(results, "check_level_functions") {
        let is_it = |function: &&&Value| {
            ["calls", "self_ns"].iter().all(|&field| function[field] == row[field])
                && function["name"] == row["function"]
        };
        assert!(late.iter().any(|function| is_it(&function)), "{row:?} is not in the report's level");
    }

    let ours = report["initcalls"].as_array().expect("initcalls");
    let theirs = rows(results, "check_initcalls");
    assert_eq!(theirs.len(), ours.len());
    let mut ours: Vec<&Value> = ours.iter().collect();
    ours.sort_by_key(|initcall| (initcall["start_ns"].as_u64(), initcall["name"].to_string()));
    for (row, initcall) in theirs.iter().zip(ours) {
        for (column, field) in [
            ("function", "name"),
            ("time_ns", "ns"),
            ("on_cpu_ns", "on_cpu_ns"),
            ("returned", "returned"),
            ("ended", "ended"),
        ] {
            assert_eq!(row[column], initcall[field], "{column} of {initcall}");
        }
    }

    let levels = report["levels"].as_array().expect("levels");
    let theirs = rows(results, "check_levels");
    assert_eq!(theirs.len(), levels.len());
    for (row, level) in theirs.iter().zip(levels) {
        for (column, field) in [("level", "name"), ("time_ns", "ns"), ("busy_ns", "busy_ns"), ("events", "events")] {
            assert_eq!(row[column], level[field], "{column} of {}", level["name"]);
        }
    }
}

/// Answers that follow from how the fleet was made.
fn what_is_known_is_found(results: &Value) {
    // A machine that is busy may hold up one initcall of any boot even longer.
    let both: Vec<_> =
        rows(results, "slowest_initcalls").into_iter().filter(|row| number(&row["kernels"]) == 2.0).collect();
    let slow = both.iter().filter(|row| row["worst_boot"] == SLOW).count();
    assert!(slow > 0 && slow * 2 > both.len(), "{both:?}");
    let outliers = rows(results, "outliers");
    assert!(outliers.iter().any(|row| row["boot"] == SLOW && row["level"] == "late"), "{outliers:?}");
    let spread = rows(results, "level_spread");
    let late: Vec<_> = spread.iter().filter(|row| row["level"] == "late").collect();
    assert_eq!(late.iter().map(|row| number(&row["boots"])).collect::<Vec<_>>(), [6.0, 2.0]);
    // The second kernel's boots are the same one.
    assert_eq!(number(&late[1]["stddev_ms"]), 0.0);
    let parts: f64 = rows(results, "time_by_module").iter().map(|row| number(&row["part"])).sum();
    assert!((parts - 2.0).abs() < 1e-9, "parts of two kernels add up to {parts}");
    // Some of those that differ most are in one of the kernels only.
    let between = rows(results, "functions_between_kernels");
    let only_one = |row: &BTreeMap<String, Value>| number(&row["old_calls"]) == 0.0 || number(&row["new_calls"]) == 0.0;
    assert!(between.iter().any(only_one), "{between:?}");
}
