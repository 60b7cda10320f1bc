// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A kernel that panics in an initcall: what it did last is in the trace, whichever channel carries it. In: Debian's
//! kernels as they are. Out: assertions. Never here: panics that come later (`channels`, `port`, `shutdown`).
//!
//! The kernel does it by itself: told to make the hash table of TCP's metrics larger than all memory is, `inet_init` finds
//! no memory for it, and `tcp_metrics_init` panics (`net/ipv4/tcp_metrics.c`), an fs_initcall of every boot.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use xtask::recording::{self, Traced, number};
use xtask::steps::Steps;
use xtask::testbed::Testbed;
use xtask::witness::mismatches;

use crate::boots::{self, NEW, OLD, Recorded, setup};
use crate::kvm;

/// One GiB of eight bytes each; the machine has 512 MiB.
const TOO_MUCH: &str = "tcpmhash_entries=134217728";

/// The panic's message.
const MESSAGE: &str = "Kernel panic - not syncing: Could not allocate the tcp_metrics hash table";

/// The initcall.
const INITCALL: &str = "inet_init";

/// Words that may be missing of a stream, at its very end: `TAIL` of the guest's `channel/frames.rs`, and what is
/// pending.
const TAIL: u64 = 17;

/// What is recorded where each byte is an exit: initcalls, what they call to get memory, the end.
const FEW: &str = "func:*_init,*pernet*,*vmalloc*,kvmalloc*,panic,*restart*,__delay,_raw_spin_lock*";

/// The console tells of the panic, and that it came in the initcall.
fn check_console(console: &str) {
    let Some((_, behind)) = console.split_once(MESSAGE) else { panic!("no panic on the console:\n{console}") };
    for caller in ["tcp_metrics_init+", "inet_init+", "do_one_initcall+"] {
        assert!(behind.contains(caller), "no {caller} in the panic's call trace:\n{console}");
    }
}

/// The report names the initcall in which the boot ended, and the trace has what came after: the panic, and the restart.
fn check_report(report: &Value, shutdown: &Value) {
    let initcalls = report["initcalls"].as_array().expect("initcalls").iter();
    let open: Vec<_> = initcalls.filter(|initcall| initcall["ended"] == "open").collect();
    assert_eq!(open.len(), 1, "{open:#?}");
    assert_eq!((&open[0]["name"], &open[0]["level"]), (&INITCALL.into(), &"fs".into()), "{open:#?}");
    let functions = report["functions"].as_array().expect("functions");
    for last in [INITCALL, "tcp_init", "tcp_metrics_init", "panic", "emergency_restart"] {
        let calls = functions.iter().filter(|f| f["name"] == last).filter_map(|f| f["calls"].as_u64()).sum::<u64>();
        assert_eq!(calls, 1, "calls of {last}");
    }
    assert_eq!(shutdown["shutdown"]["way"], "panic", "{shutdown:#}");
    let last = shutdown["shutdown"]["last"].as_array().expect("last functions");
    let path = |function: &Value| {
        let path = function["path"].as_array().expect("callers").iter();
        path.map(|name| name.as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let found = last.iter().any(|function| {
        let path = path(function);
        let at = |name: &str| path.iter().position(|caller| caller == name);
        at(INITCALL).is_some() && at(INITCALL) < at("tcp_metrics_init") && at("tcp_metrics_init") < at("panic")
    });
    assert!(found, "{last:#?}");
}

/// `symbolize shutdown` of a trace.
fn shutdown(recorded: &Recorded) -> Value {
    let mut command = Command::new(&setup().symbolize);
    command.arg("shutdown").arg(&recorded.trace).arg(&recorded.subject.vmlinux);
    recording::json(command.args(["--format", "json"]).env("EFT_NAMES_CACHE", "off")).expect("JSON")
}

/// A boot that panics, under the witness. Of functions that are recorded at all, `missing` calls may be missing.
fn panics(series: &str, cpus: u32, name: &str, words: &str, missing: u64) {
    let recorded = boots::record_with(series, cpus, &format!("initcall-{name}"), &format!("{words} {TOO_MUCH}"));
    check_console(&recorded.console);
    let meta = recording::meta(&recorded.trace).expect("meta.json");
    assert_eq!(number(&meta, "/totals/lost").expect("a total"), 0, "{meta:#}");
    assert_eq!(meta["warnings"], Value::Array(Vec::new()), "{meta:#}");
    let mut report = recording::report(&setup().symbolize, &recorded.trace, &recorded.subject.vmlinux);
    let report = recording::json(report.args(["--format", "json"])).expect("a report");
    check_report(&report, &shutdown(&recorded));
    let traced = recording::traced_functions(&report, &recorded.subject.witness.sites).expect("functions");
    let few = words.contains("func:");
    let differ = mismatches(&traced, &recorded.counts);
    // Functions that were not asked for are not in the trace.
    let differ: Vec<_> = differ.iter().filter(|mismatch| !few || mismatch.traced > 0).collect();
    let shown: Vec<_> = differ.iter().take(20).map(ToString::to_string).collect();
    assert!(differ.iter().all(|mismatch| mismatch.traced < mismatch.witnessed), "{shown:#?}");
    let sum: u64 = differ.iter().map(|mismatch| mismatch.witnessed - mismatch.traced).sum();
    assert!(sum <= missing, "{sum} calls are missing: {shown:#?}");
    let calls: u64 = traced.values().map(|Traced { calls, .. }| calls).sum();
    assert!(calls > 1_000, "{calls} calls");
}

#[test]
fn a_panic_in_an_initcall_is_in_memory() {
    panics(OLD, 1, "ram", "", 0);
}

#[test]
fn a_panic_in_an_initcall_of_6_12_is_in_memory() {
    panics(NEW, 2, "ram-6.12", "", 0);
}

#[test]
fn a_panic_in_an_initcall_is_in_the_memory_of_ivshmem() {
    panics(OLD, 1, "ivshmem", "hypergraph=channel:ivshmem", 0);
}

#[test]
fn a_panic_in_an_initcall_is_in_the_memory_of_pmem() {
    panics(OLD, 1, "pmem", "hypergraph=channel:pmem", 0);
}

#[test]
fn a_panic_in_an_initcall_comes_through_the_port() {
    panics(OLD, 1, "port", &format!("hypergraph=channel:port,{FEW}"), TAIL);
}
