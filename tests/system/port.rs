// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Boots whose events leave the guest through the debug port, against the witness; and a channel that is not there. In:
//! Debian's kernel. Never here: frames (`symbolizer::capture::stream` has them).

use std::process::Command;

use early_ftrace_format::stream::TAIL_WORDS;
use serde_json::Value;
use xtask::initrd;
use xtask::machine::Machine;
use xtask::recording::{self, number};
use xtask::witness::mismatches;

use crate::boots::{self, OLD, Recorded, setup};

/// What may be missing at the very end of each CPU: words of the last chunk, and the entry that was pending.
const TAIL: u64 = TAIL_WORDS as u64 + 1;

/// Few functions, all over the boot: each byte is an exit of its own.
const FEW: &str = "hypergraph=channel:port,func:*_init,vfs_*,kmem_cache_create*,device_*,kernel_power_off";

fn traced(recorded: &Recorded) -> std::collections::BTreeMap<u64, recording::Traced> {
    let mut report = recording::report(&setup().symbolize, &recorded.trace, &recorded.subject.vmlinux);
    let report = recording::json(report.args(["--format", "json"])).expect("a report");
    recording::traced_functions(&report, &recorded.subject.witness.sites).expect("functions")
}

fn check(cpus: u32, name: &str, words: &str) {
    let recorded = boots::record_with(OLD, cpus, &format!("port-{name}"), &format!("{FEW}{words}"));
    assert!(recorded.console.contains(initrd::DONE), "init's line is not on the console:\n{}", recorded.console);
    let meta = recording::meta(&recorded.trace).expect("meta.json");
    assert_eq!(meta["ended"]["how"], "power-off", "{meta:#}");
    assert_eq!(number(&meta, "/totals/lost").expect("lost"), 0, "{meta:#}");
    assert_eq!(meta["warnings"], Value::Array(Vec::new()));
    assert!(meta["tsc_khz"].as_u64().is_some_and(|khz| khz > 0), "{meta:#}");
    let traced = traced(&recorded);
    assert!(traced.len() > 200, "{} functions", traced.len());
    let (mut missing, mut which) = (0, Vec::new());
    for mismatch in mismatches(&traced, &recorded.counts) {
        // Functions that were not asked for are not in the trace.
        if mismatch.traced > 0 {
            assert!(mismatch.traced < mismatch.witnessed, "{mismatch}");
            missing += mismatch.witnessed - mismatch.traced;
            which.push(mismatch.to_string());
        }
    }
    assert!(missing <= TAIL * u64::from(cpus), "{missing} calls are missing: {which:?}");
}

#[test]
fn a_boot_through_the_port_is_what_the_witness_saw() {
    check(1, "one", "");
}

#[test]
fn two_cpus_share_the_port() {
    check(2, "two", "");
}

/// The kernel ends the machine on its first CPU, wherever it was asked to: what is open there is sent, too.
#[test]
fn who_asks_for_the_end_may_run_on_another_cpu() {
    check(2, "asked", " eft.on=1");
}

/// The kernel finds no root and panics: what it did last is in the trace.
#[test]
fn a_panic_sends_what_is_open() {
    let (subject, setup) = (boots::subject(OLD), setup());
    let directory = boots::scratch("port-panic");
    let trace = directory.join("trace");
    let machine = Machine::with_cpus(2);
    let line = "hypergraph=channel:port,filter:final-shutdown,events:func,initcall rdinit=/none root=/dev/none";
    let _one_at_a_time = boots::boot_lock();
    let command = recording::record_with(&setup.symbolize, &subject.vmlinux, &setup.initrd, &trace, &machine, line);
    let output = boots::bounded(&command).output().expect("symbolize runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains("Kernel panic"), "no panic: {output:?}");
    let mut tree = Command::new(&setup.symbolize);
    let tree = tree.arg(&trace).arg(&subject.vmlinux).args(["--format", "tree"]).output().expect("a tree");
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    for last in ["mount_block_root", "panic"] {
        assert!(tree.contains(last), "{last} is not in the trace");
    }
}

/// Under TCG the instruction of a hypercall is invalid: it is never reached, and who records is told to take KVM.
#[test]
fn hypercalls_are_not_made_where_nobody_takes_them() {
    let (subject, setup) = (boots::subject(OLD), setup());
    let directory = boots::scratch("no-hypercalls");
    let line = "hypergraph=channel:hypercall,filter:late";
    let machine = Machine::with_cpus(1);
    let _one_at_a_time = boots::boot_lock();
    let trace = directory.join("trace");
    let command = recording::record_with(&setup.symbolize, &subject.vmlinux, &setup.initrd, &trace, &machine, line);
    let output = boots::bounded(&command).output().expect("symbolize runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("add -accel kvm"), "{output:?}");
    let image = directory.join("vmlinux.traced");
    let mut inject = Command::new(&setup.symbolize);
    let output = inject.arg("inject").arg(&subject.vmlinux).arg("-o").arg(&image).output().expect("symbolize runs");
    assert!(output.status.success(), "{output:?}");
    let boot = machine.untraced_with(&image, &setup.initrd, line);
    let output = boots::bounded(&boot).output().expect("QEMU runs");
    let console = String::from_utf8_lossy(&output.stdout);
    assert!(console.contains(initrd::DONE), "{console}");
}
