// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The trace goes on to the last function, whichever way the machine ends, and `symbolize shutdown` tells the steps.
//! The witness counts each call site from outside up to the end of the machine: where both agree on all of them, the
//! last function in the trace is the last that was executed.

use serde_json::Value;
use xtask::initrd;
use xtask::recording;
use xtask::witness::{Mismatch, mismatches};

use crate::boots::{self, NEW, OLD, Recorded, setup};

/// A boot that ends in such a way, of which nothing is lost or missing; and how it ended.
fn ended(series: &str, cpus: u32, name: &str, words: &str) -> Value {
    let recorded = boots::record_with(series, cpus, &format!("shutdown-{name}"), words);
    assert!(recorded.console.contains(initrd::DONE), "{}", recorded.console);
    let mut report = recording::report(&setup().symbolize, &recorded.trace, &recorded.subject.vmlinux);
    let report = recording::json(report.args(["--format", "json"])).expect("a report");
    let traced = recording::traced_functions(&report, &recorded.subject.witness.sites).expect("functions");
    let wrong = mismatches(&traced, &recorded.counts);
    let shown: Vec<_> = wrong.iter().take(20).map(Mismatch::to_string).collect();
    assert!(wrong.is_empty(), "{} functions differ:\n{}", wrong.len(), shown.join("\n"));
    shutdown(&recorded)
}

fn shutdown(recorded: &Recorded) -> Value {
    let mut command = std::process::Command::new(&setup().symbolize);
    command.arg("shutdown").arg(&recorded.trace).arg(&recorded.subject.vmlinux);
    recording::json(command.args(["--format", "json"]).env("EFT_NAMES_CACHE", "off")).expect("JSON")
}

fn steps(document: &Value) -> Vec<&str> {
    let steps = document["shutdown"]["steps"].as_array().expect("steps").iter();
    steps.map(|step| step["step"].as_str().expect("a name")).collect()
}

fn last(document: &Value) -> &Value {
    document["shutdown"]["last"].as_array().and_then(|last| last.last()).expect("a last function")
}

/// A write to a port asks QEMU to end the machine, which it does a little later: the guest may go on meanwhile, such as
/// to `acpi_os_stall`, on a busy host many times. So the last function came while `by` was open, and the step `off` has that
/// write.
fn check_last(document: &Value, by: &str) {
    let last = last(document);
    let path = last["path"].as_array().expect("callers");
    assert!(path.iter().any(|name| name == by), "{last}");
    let off = document["shutdown"]["steps"].as_array().and_then(|steps| steps.last()).expect("steps");
    let functions = off["functions"].as_array().expect("functions");
    assert!(functions.iter().any(|function| function["name"] == "acpi_os_write_port"), "{functions:#?}");
}

/// Steps of an orderly end.
const ORDERLY: [&str; 8] = ["user", "notifiers", "devices", "prepare", "syscore", "messages", "machine", "off"];

fn parts<'a>(document: &'a Value, step: &str) -> Vec<&'a str> {
    let steps = document["shutdown"]["steps"].as_array().expect("steps").iter();
    let parts = steps.filter(|row| row["step"] == step).flat_map(|row| row["parts"].as_array().expect("parts"));
    parts.map(|part| part["name"].as_str().expect("a name")).collect()
}

fn a_busy_power_off(series: &str, cpus: u32) {
    let document = ended(series, cpus, &format!("busy-{series}-{cpus}"), "eft.busy");
    assert_eq!(document["shutdown"]["way"], "power-off");
    assert_eq!(steps(&document), ORDERLY);
    check_last(&document, "kernel_power_off");
    assert_eq!(document["shutdown"]["told_all"], true, "init has sent a signal to all");
    // Five processes end, the file system goes.
    let user = parts(&document, "user");
    assert!(user.contains(&"do_exit") && user.contains(&"__x64_sys_umount"), "{user:?}");
    let devices = parts(&document, "devices");
    assert!(devices.contains(&"i8042_shutdown") && devices.contains(&"cmos_pnp_shutdown"), "{devices:?}");
    // The steps fill the time from the first to the last event.
    let sum = |of: &str| -> u64 {
        let steps = document["shutdown"]["steps"].as_array().expect("steps").iter();
        steps.map(|step| step[of].as_u64().expect("ticks")).sum()
    };
    assert_eq!(sum("lasted_ticks"), document["shutdown"]["lasted_ticks"].as_u64().expect("ticks"));
    assert!(sum("on_cpu_ticks") <= sum("lasted_ticks") * u64::from(cpus) && sum("calls") > 2000, "{document:#}");
}

#[test]
fn a_power_off_of_6_1_is_traced_to_its_last_function() {
    a_busy_power_off(OLD, 1);
}

#[test]
fn a_power_off_of_6_12_is_traced_to_its_last_function() {
    a_busy_power_off(NEW, 1);
}

#[test]
fn a_power_off_with_two_cpus_is_traced_to_its_last_function() {
    a_busy_power_off(OLD, 2);
}

#[test]
fn a_restart_is_traced_to_its_last_function() {
    let document = ended(OLD, 1, "restart", "eft.end=restart");
    assert_eq!(document["shutdown"]["way"], "restart");
    assert_eq!(steps(&document), ORDERLY);
    check_last(&document, "native_machine_emergency_restart");
}

#[test]
fn an_emergency_restart_is_traced_to_its_last_function() {
    let document = ended(OLD, 1, "sysrq-b", "eft.end=sysrq-b");
    assert_eq!(document["shutdown"]["way"], "emergency-restart");
    assert_eq!(steps(&document), ["off"]);
    check_last(&document, "sysrq_handle_reboot");
}

#[test]
fn a_panic_is_traced_to_its_last_function() {
    let document = ended(OLD, 1, "panic", "eft.end=panic");
    assert_eq!(document["shutdown"]["way"], "panic");
    assert_eq!(steps(&document), ["panic", "off"]);
    check_last(&document, "panic");
}

#[test]
fn a_shutdown_that_was_left_out_is_told() {
    let recorded = boots::record_with(OLD, 1, "shutdown-left-out", "hypergraph=filter:early");
    let document = shutdown(&recorded);
    assert_eq!((&document["recorded"], &document["shutdown"]), (&Value::Bool(false), &Value::Null));
    assert!(document["reason"].as_str().is_some_and(|reason| reason.contains("filter:shutdown")), "{document}");
}
