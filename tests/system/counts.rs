// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The claim of the project: each call of each traced function, from the first one to power-off,
//! once. The witness counted the same boot from outside the guest.

use xtask::initrd;
use xtask::recording::{self, number};
use xtask::witness::{Mismatch, mismatches};

use crate::boots::{self, NEW, OLD, Recorded, setup};

/// So many events a boot has at least.
const EVENTS: u64 = 10_000_000;

fn check(recorded: &Recorded, cpus: u64) {
    assert!(recorded.console.contains(initrd::DONE), "init's line is not on the console:\n{}", recorded.console);

    let meta = recording::meta(&recorded.trace).expect("meta.json");
    let total = |name: &str| number(&meta, &format!("/totals/{name}")).expect("a total");
    assert_eq!(total("lost"), 0, "{meta:#}");
    let events = total("events");
    assert!(events >= EVENTS, "only {events} events");
    assert_eq!(number(&meta, "/cpus").expect("cpus"), cpus);
    assert_eq!(meta["ended"]["how"], "power-off", "{meta:#}");

    let mut report = recording::report(&setup().symbolize, &recorded.trace, &recorded.subject.vmlinux);
    let report = recording::json(report.args(["--format", "json"])).expect("a report");
    let traced = recording::traced_functions(&report, &recorded.subject.witness.sites).expect("functions");
    let wrong = mismatches(&traced, &recorded.counts);
    let shown: Vec<_> = wrong.iter().take(20).map(Mismatch::to_string).collect();
    assert!(wrong.is_empty(), "{} functions differ:\n{}", wrong.len(), shown.join("\n"));

    // Each call is an entry, and no function returns more often than it was entered.
    let calls: u64 = traced.values().map(|function| function.calls).sum();
    assert_eq!(calls, recorded.counts.calls());
    assert!((calls..=2 * calls).contains(&events), "{events} events of {calls} calls");
}

#[test]
fn each_call_of_a_6_1_boot_is_traced_once() {
    check(boots::shared(), 1);
}

#[test]
fn each_call_of_a_6_1_boot_with_two_cpus_is_traced_once() {
    check(&boots::record(OLD, 2), 2);
}

#[test]
fn each_call_of_a_6_12_boot_is_traced_once() {
    check(&boots::record(NEW, 1), 1);
}
