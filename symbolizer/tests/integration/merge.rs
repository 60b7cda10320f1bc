// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Boots merged: from traces with known figures to text and JSON.

use std::path::PathBuf;
use std::process::Output;

use bootlevel::Phase;
use early_ftrace_format::event::Event;
use early_ftrace_format::mark::Mark;
use serde_json::{Value, json};
use symbolizer::trace_dir::Meta;

use super::fixture::{Fixture, symbolize};
use super::golden::golden;

fn mark(mark: Mark, value: u32, time: u64) -> Event {
    Event::Mark { mark, value, time }
}

/// A boot in which an initcall takes so long, and `__kmalloc` is called so often in it.
pub fn boot(fixture: &Fixture, name: &str, meta: Meta, ticks: u64, kmallocs: u64) -> PathBuf {
    let phase = |phase: Phase, time| mark(Mark::Phase(phase as u8), 0, time);
    let mut events = vec![
        phase(Phase::Start, 1_000_000),
        fixture.enter("start_kernel", 1_000_000),
        phase(Phase::Early, 1_010_000),
        mark(Mark::InitcallStart, (fixture.site("acpi_early_init") - 5) as u32, 1_010_000),
        fixture.enter("acpi_early_init", 1_010_000),
    ];
    events.extend((0..kmallocs).map(|at| fixture.leaf("__kmalloc", 1_010_000 + at * 100, 1_010_000 + at * 100 + 50)));
    let end = 1_010_000 + ticks;
    events.extend([
        Event::Exit { time: end },
        mark(Mark::InitcallEnd, 0, end),
        phase(Phase::User, end + 1_000),
        Event::Exit { time: end + 2_000 },
    ]);
    let trace = fixture.trace(meta, &[vec![(1_000_000, 0, 1, events)]]);
    let place = trace.with_file_name(name);
    std::fs::rename(trace, &place).unwrap();
    place
}

/// Of three traces of these names, with no directory before them: their names are in the output.
fn merge(fixture: &Fixture, traces: &[&str], args: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_symbolize"))
        .current_dir(fixture.dir.path())
        .arg("merge")
        .args(traces)
        .arg("vmlinux")
        .args(args)
        .env_remove("COLUMNS")
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn three() -> Fixture {
    let fixture = Fixture::pinned();
    boot(&fixture, "first", fixture.meta(), 40_000, 3);
    boot(&fixture, "second", fixture.meta(), 60_000, 3);
    boot(&fixture, "third", fixture.meta(), 80_000, 0);
    fixture
}

fn row<'a>(list: &'a Value, name: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {list}"))
}

#[test]
fn golden_of_merged_boots() {
    let fixture = three();
    golden("merge.txt", &text(&merge(&fixture, &["first", "second", "third"], &["--lines"])));
    golden("merge.json", &text(&merge(&fixture, &["first", "second", "third"], &["--format", "json"])));
}

#[test]
fn means_and_spread_are_those_of_the_boots() {
    let fixture = three();
    let merged = text(&merge(&fixture, &["third", "first", "second"], &["--format", "json"]));
    let merged: Value = serde_json::from_str(&merged).unwrap();
    let spread = |mean: f64, sd: f64, min: u64, median: f64, max: u64| json!({ "mean": mean, "sd": sd, "min": min, "median": median, "max": max });
    assert_eq!(row(&merged["initcalls"], "acpi_early_init")["time"], spread(6e4, 2e4, 40_000, 6e4, 80_000));
    assert_eq!(row(&merged["levels"], "early")["time"], spread(61e3, 2e4, 41_000, 61e3, 81_000));
    assert_eq!(row(&merged["levels"], "start")["time"], spread(1e4, 0.0, 10_000, 1e4, 10_000));
    let kmalloc = row(&merged["functions"], "__kmalloc");
    // It is not called in the third boot, which counts as no time.
    assert_eq!((&kmalloc["boots"], &kmalloc["calls"]["mean"]), (&json!(2), &json!(2.0)));
    assert_eq!(kmalloc["self"]["mean"], 100.0);
    assert_eq!((&kmalloc["self"]["min"], &kmalloc["self"]["median"]), (&json!(0), &json!(150.0)));
    assert_eq!(kmalloc["file"], "mm/slub.c");
    let names: Vec<&Value> = merged["boots"].as_array().unwrap().iter().map(|boot| &boot["name"]).collect();
    assert_eq!(names, ["third", "first", "second"]);
    assert_eq!(merged["time_unit"], "ns");
}

#[test]
fn orders_and_parts_are_as_asked_for() {
    let fixture = three();
    let traces = ["first", "second", "third"];
    let all = text(&merge(&fixture, &traces, &["--order", "spread", "--by", "function"]));
    let at = |name: &str| all.find(name).unwrap_or_else(|| panic!("no {name}: {all}"));
    // start_kernel has the same time in each boot.
    assert!(at("acpi_early_init") < at("__kmalloc") && at("__kmalloc") < at("start_kernel"), "{all}");
    assert!(!all.contains("Initcalls") && !all.contains("By level"), "{all}");
    let one = text(&merge(&fixture, &traces, &["--function", "__kmalloc", "--by", "function"]));
    assert!(one.contains("only calls of __kmalloc") && !one.contains("start_kernel"), "{one}");
}

#[test]
fn boots_that_differ_are_merged_by_force_only() {
    let fixture = three();
    let other = Meta { command_line: "quiet".to_owned(), tsc_khz: None, ..fixture.meta() };
    boot(&fixture, "other", other, 50_000, 1);
    let refused = merge(&fixture, &["first", "other"], &[]);
    assert_eq!(refused.status.code(), Some(2));
    let message = String::from_utf8(refused.stderr).unwrap();
    for part in ["command line: 'console=ttyS0 panic=-1' (first); 'quiet' (other)", "speed of the clock", "--force"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let forced = text(&merge(&fixture, &["first", "other"], &["--force"]));
    assert!(forced.contains("not the same in all boots: command line"), "{forced}");
    assert!(forced.contains("in ticks"), "{forced}");
}

#[test]
fn one_trace_is_not_enough_and_none_is_named() {
    let fixture = three();
    let alone = merge(&fixture, &["first"], &[]);
    assert_eq!(alone.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&alone.stderr).contains("two traces or more"));
    let missing = merge(&fixture, &["first", "nowhere"], &[]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nowhere"));
    std::fs::remove_file(fixture.dir.path().join("second/cpu0.eft")).unwrap();
    let broken = merge(&fixture, &["first", "second", "third"], &[]);
    assert_eq!(broken.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&broken.stderr).contains("second"));
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_command_without_parquet_says_how_to_get_it() {
    let fixture = three();
    let trace = fixture.dir.path().join("first");
    let fleet = fixture.dir.path().join("fleet");
    let refused = fixture.symbolize(&trace, &["--format", "parquet", "-o", fleet.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--features parquet"));
    assert!(!fixture.dir.path().join("fleet").exists());
}

#[test]
fn help_of_merge_has_examples() {
    let output = symbolize(["merge".as_ref(), "--help".as_ref()]);
    assert!(text(&output).contains("symbolize merge boots/*/ vmlinux"));
}
