// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `hypergraph=` on real boots: each reaches its end, and records what was asked for, no more and no
//! less. The witness counts the same boot from outside, whatever the trace leaves out.

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use xtask::initrd;
use xtask::recording::{self, number};
use xtask::witness::mismatches;

use crate::boots::{self, NEW, OLD, Recorded, setup};

/// A boot with these options, to its end and with nothing lost.
fn boot(series: &str, cpus: u32, name: &str, options: &str) -> Recorded {
    let recorded = boots::record_with(series, cpus, name, options);
    assert!(recorded.console.contains(initrd::DONE), "init's line is not on the console:\n{}", recorded.console);
    let meta = recording::meta(&recorded.trace).expect("meta.json");
    assert_eq!(meta["ended"]["how"], "power-off", "{meta:#}");
    assert_eq!(number(&meta, "/totals/lost").expect("lost"), 0, "{meta:#}");
    recorded
}

fn between(recorded: &Recorded) -> Value {
    let mut command = Command::new(&setup().symbolize);
    recording::json(command.arg("bench-levels").arg(&recorded.trace)).expect("what lies between the marks")
}

fn calls(between: &Value, phase: &str) -> u64 {
    let calls = between["phases"][phase]["calls"].as_array().expect("a phase");
    calls.iter().map(|pair| pair[1].as_u64().expect("a count")).sum()
}

const PHASES: [&str; 18] = [
    "start", "console", "setup", "early", "smp", "pure", "core", "postcore", "arch", "subsys", "fs", "rootfs",
    "device", "late", "final", "init", "user", "shutdown",
];

/// Each phase comes, in order, and so does each initcall of the kernel's table.
fn check_marks(between: &Value, least_initcalls: usize) {
    let mut last = 0;
    for phase in PHASES {
        let began = between["phases"][phase]["began"].as_u64().unwrap_or_else(|| panic!("no phase {phase}"));
        assert!(began > last, "{phase} began at {began}, the one before at {last}");
        last = began;
    }
    let initcalls = between["initcalls"].as_array().expect("initcalls");
    assert!(initcalls.len() >= least_initcalls, "{} initcalls", initcalls.len());
    let mut by_level: BTreeMap<&str, u32> = BTreeMap::new();
    for initcall in initcalls {
        *by_level.entry(initcall["phase"].as_str().expect("a name")).or_default() += 1;
    }
    assert_eq!(by_level.len(), 10, "{by_level:?}");
}

#[test]
fn a_whole_boot_has_all_phases_and_initcalls() {
    check_marks(&between(boots::shared()), 500);
}

fn only_fs(series: &str) {
    let recorded = boot(series, 1, &format!("{series}-fs"), "hypergraph=filter:fs");
    let between = between(&recorded);
    check_marks(&between, 500);
    assert!(calls(&between, "fs") > 10_000, "{}", calls(&between, "fs"));
    for phase in PHASES.iter().filter(|phase| **phase != "fs") {
        assert_eq!(calls(&between, phase), 0, "{phase}");
    }
}

#[test]
fn one_level_of_6_1_is_traced_alone() {
    only_fs(OLD);
}

#[test]
fn one_level_of_6_12_is_traced_alone() {
    only_fs(NEW);
}

/// With two CPUs the call sites are changed while both are held by stop_machine.
#[test]
fn levels_begin_and_end_with_two_cpus() {
    let recorded = boot(OLD, 2, "two-cpus-levels", "hypergraph=filter:core,fs,late,shutdown");
    let meta = recording::meta(&recorded.trace).expect("meta.json");
    assert!(number(&meta, "/totals/events").expect("events") > 100_000);
}

#[test]
fn off_records_nothing() {
    let recorded = boot(OLD, 1, "off", "hypergraph=off");
    let meta = recording::meta(&recorded.trace).expect("meta.json");
    assert_eq!(number(&meta, "/totals/words").expect("words"), 0);
}

/// Excluded functions are not in the trace; each other one is there as often as the witness saw it.
#[test]
fn excluded_functions_and_no_others_are_missing() {
    let recorded = boot(OLD, 1, "notrace", "hypergraph=notrace:_raw_*,mutex_*,kmem_cache_alloc");
    let excluded = |name: &str| name.starts_with("_raw_") || name.starts_with("mutex_") || name == "kmem_cache_alloc";
    let mut report = recording::report(&setup().symbolize, &recorded.trace, &recorded.subject.vmlinux);
    let report = recording::json(report.args(["--format", "json"])).expect("a report");
    let traced = recording::traced_functions(&report, &recorded.subject.witness.sites).expect("functions");
    assert!(traced.values().all(|function| !excluded(&function.name)));
    let whole = boots::shared();
    let mut all = recording::report(&setup().symbolize, &whole.trace, &whole.subject.vmlinux);
    let all = recording::json(all.args(["--format", "json"])).expect("a report");
    let names = recording::traced_functions(&all, &whole.subject.witness.sites).expect("functions");
    for mismatch in mismatches(&traced, &recorded.counts) {
        let name = names.get(&mismatch.site).map_or("", |function| function.name.as_str());
        assert!(mismatch.traced == 0 && (excluded(name) || name.is_empty()), "{mismatch} ({name})");
    }
}

/// Full shadow stacks all over the boot, on the kernel where a return that an interrupt had come into
/// was once redirected.
#[test]
fn a_boot_of_a_few_levels_of_calls_goes_to_its_end() {
    let recorded = boot(NEW, 1, "depth", "hypergraph=until:core,notrace:_raw_*,depth:6");
    let mut tree = recording::report(&setup().symbolize, &recorded.trace, &recorded.subject.vmlinux);
    let output = tree.args(["--format", "tree"]).output().expect("a tree");
    let deepest = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once("| "))
        .map(|(_, call)| (call.len() - call.trim_start().len()) / 2)
        .max();
    // One more where a function was interrupted between its entry and its first call.
    assert!(deepest.is_some_and(|deepest| (4..=8).contains(&deepest)), "{deepest:?}");
}

/// What is not understood never stops a boot, and is told.
#[test]
fn a_broken_line_boots_and_the_trace_says_what_was_left_out() {
    let line = "hypergraph=fliter:fs,depth:0,notrace:mutex_*";
    let subject = boots::subject(OLD);
    let directory = boots::scratch("broken");
    let machine = xtask::machine::Machine::with_cpus(1);
    let setup = setup();
    let trace = directory.join("trace");
    let record = |more: &[&str]| {
        let mut command =
            recording::record_with(&setup.symbolize, &subject.vmlinux, &setup.initrd, &trace, &machine, line);
        let arguments: Vec<_> = command.get_args().skip(1).map(ToOwned::to_owned).collect();
        command = Command::new(command.get_program());
        command.arg("record").args(more).args(arguments);
        boots::bounded(&command).output().expect("symbolize runs")
    };
    let refused = record(&[]);
    let messages = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{messages}");
    assert!(messages.contains("filter") && messages.contains("^^^^^^"), "{messages}");
    assert!(!trace.exists());
    let _one_at_a_time = boots::boot_lock();
    let output = record(&["--unchecked-options"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut command = Command::new(&setup.symbolize);
    let between = recording::json(command.arg("bench-levels").arg(&trace)).expect("marks");
    assert_eq!(between["options"], "fliter:fs,depth:0,notrace:mutex_*");
    let places: Vec<_> = between["problems"].as_array().expect("problems").iter().map(|p| &p["at"]).collect();
    assert_eq!(places, [0, 16]);
}
