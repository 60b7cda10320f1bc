// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A kernel that panics in an initcall: what it did last is in the trace, whichever channel carries it. In: Debian's
//! kernels as they are. Out: assertions. Never here: panics that come later (`channels`, `port`, `shutdown`).
//!
//! The kernel does it by itself: told to make the hash table of TCP's metrics larger than all memory is, it finds no memory
//! for it. 6.12 panics in `tcp_metrics_init` then; 6.1 means to, but takes back before what it has not made, and ends by an
//! oops (`net/ipv4/tcp_metrics.c`). Both in `inet_init`, an fs_initcall of every boot.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use early_ftrace_format::stream::TAIL_WORDS;
use serde_json::Value;
use xtask::recording::{self, number};
use xtask::steps::Steps;
use xtask::testbed::Testbed;
use xtask::witness::mismatches;

use crate::boots::{self, NEW, OLD, setup};
use crate::kvm;

/// One GiB of eight bytes each; the machine has 512 MiB. (On a busy host the emulated timer may be too late for the check.)
const TOO_MUCH: &str = "no_timer_check tcpmhash_entries=134217728";

/// The initcall.
const INITCALL: &str = "inet_init";

/// Words that may be missing of a stream, at its very end: those of its last chunk, and what is pending.
const TAIL: u64 = TAIL_WORDS as u64 + 1;

/// A whole Linux in the test bed takes half a minute on an idle machine.
const LIMIT: Duration = Duration::from_secs(600);

/// What is recorded where each word costs an exit or more: initcalls, what they call, the end.
const FEW: &str = "func:*_init,*initcall*,*pernet*,panic,*restart*,acpi_re*,acpi_os_write_port";

/// The console tells of the panic, and that it came in the initcall.
fn check_console(series: &str, console: &str) {
    let message = if series == NEW { "Could not allocate the tcp_metrics hash table" } else { "Fatal exception" };
    assert!(console.contains(&format!("Kernel panic - not syncing: {message}")), "no panic on the console:\n{console}");
    let Some((_, behind)) = console.split_once("Call Trace:") else { panic!("no call trace:\n{console}") };
    for caller in ["tcp_metrics_init+", "inet_init+", "do_one_initcall+", "kernel_init+"] {
        let shown = behind.lines().any(|line| line.contains(caller) && !line.contains('?'));
        assert!(shown, "no {caller} in the call trace:\n{console}");
    }
}

/// The report names the initcall in which the boot ended, and the trace has what came after, inside of it: the panic, and
/// the restart.
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
        let path = function["path"].as_array().expect("callers").iter().chain([&function["name"]]);
        path.map(|name| name.as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let found = last.iter().any(|function| {
        let path = path(function);
        let at = |name: &str| path.iter().position(|caller| caller == name);
        let order = [INITCALL, "tcp_metrics_init", "panic", "emergency_restart"].map(at);
        order[0].is_some() && order.is_sorted_by(|a, b| a < b)
    });
    assert!(found, "{last:#?}");
}

/// What `symbolize` says of a trace, as JSON and checked.
fn report(trace: &Path, vmlinux: &Path) -> Value {
    let report = recording::json(recording::report(&setup().symbolize, trace, vmlinux).args(["--format", "json"]));
    let report = report.expect("a report");
    let mut shutdown = Command::new(&setup().symbolize);
    shutdown.arg("shutdown").arg(trace).arg(vmlinux).args(["--format", "json"]).env("EFT_NAMES_CACHE", "off");
    check_report(&report, &recording::json(&mut shutdown).expect("a report of the shutdown"));
    report
}

/// A boot that panics, under the witness. Of functions that are recorded at all, `missing` calls may be missing.
fn panics(series: &str, cpus: u32, name: &str, words: &str, missing: u64) {
    let recorded = boots::record_with(series, cpus, &format!("initcall-{name}"), &format!("{words} {TOO_MUCH}"));
    check_console(series, &recorded.console);
    let meta = recording::meta(&recorded.trace).expect("meta.json");
    assert_eq!(number(&meta, "/totals/lost").expect("a total"), 0, "{meta:#}");
    assert_eq!(meta["warnings"], Value::Array(Vec::new()), "{meta:#}");
    let report = report(&recorded.trace, &recorded.subject.vmlinux);
    let traced = recording::traced_functions(&report, &recorded.subject.witness.sites).expect("functions");
    let few = words.contains("func:");
    let differ = mismatches(&traced, &recorded.counts);
    // Functions that were not asked for are not in the trace.
    let differ: Vec<_> = differ.iter().filter(|mismatch| !few || mismatch.traced > 0).collect();
    let shown: Vec<_> = differ.iter().take(20).map(ToString::to_string).collect();
    assert!(differ.iter().all(|mismatch| mismatch.traced < mismatch.witnessed), "{shown:#?}");
    let sum: u64 = differ.iter().map(|mismatch| mismatch.witnessed - mismatch.traced).sum();
    assert!(sum <= missing, "{sum} calls are missing: {shown:#?}");
    assert!(traced.len() > 100, "{} functions", traced.len());
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

/// In the test bed: under real KVM each word is a part of a hypercall, and there is no witness.
#[test]
fn a_panic_in_an_initcall_comes_by_hypercalls() {
    let (subject, setup) = (boots::subject(OLD), setup());
    let directory = boots::scratch("initcall-hypercall");
    let traced = directory.join("traced");
    let mut inject = Command::new(&setup.symbolize);
    let done = inject.arg("inject").arg(&subject.vmlinux).arg("-o").arg(&traced).output().expect("symbolize runs");
    assert!(done.status.success(), "{done:?}");
    let bed = Testbed::new(&Steps::default()).and_then(Testbed::with_qemu).expect("a test bed");
    let recorder = kvm::recorder();
    let files = [("traced", &*traced), ("initrd", &setup.initrd), ("host_record", &recorder)];
    let script = format!(
        "./host_record --trace /out/trace qemu-system-x86_64 -M q35 -accel kvm -cpu host -m 512M -nodefaults \
         -display none -serial stdio -no-reboot -kernel traced -initrd initrd -append \
         \"console=ttyS0 panic=-1 quiet no_timer_check tsc=reliable {TOO_MUCH} hypergraph=channel:hypercall,{FEW}\" \
         < /dev/null"
    );
    let output = {
        let _one_at_a_time = boots::boot_lock();
        bed.run(&script, &files, LIMIT).unwrap_or_else(|error| panic!("{error:#}"))
    };
    check_console(OLD, &output.console);
    let trace = directory.join("trace");
    output.save(&directory).expect("its files");
    let meta = recording::meta(&trace).expect("meta.json");
    assert_eq!(number(&meta, "/totals/lost").expect("a total"), 0, "{meta:#}");
    report(&trace, &subject.vmlinux);
}
