// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The recorder's own cost on real boots: each boot measures it, and `--correct` takes it out of the times and of
//! nothing else. How long anything takes on this machine is asserted nowhere; only under icount, where
//! the time stamp counter counts instructions, a corrected boot is held against an untraced one.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use xtask::machine::Machine;
use xtask::recording::{self, number};

use crate::boots::{self, NEW, OLD, setup};

/// In percent of the untraced boot. The witness's bench says by how much less it is.
const MOST_RESIDUE: f64 = 2.0;

fn report(trace: &Path, vmlinux: &Path, arguments: &[&str]) -> Value {
    let mut command = recording::report(&setup().symbolize, trace, vmlinux);
    recording::json(command.args(["--format", "json"]).args(arguments)).expect("a report")
}

fn calls(report: &Value) -> BTreeMap<&str, u64> {
    let functions = report["functions"].as_array().expect("functions");
    functions.iter().map(|f| (f["site"].as_str().expect("a site"), number(f, "/calls").expect("calls"))).collect()
}

/// The same calls, less time; what was subtracted is what the calls cost.
fn check(trace: &Path, vmlinux: &Path) {
    let (plain, corrected) = (report(trace, vmlinux, &[]), report(trace, vmlinux, &["--correct"]));
    assert_eq!(calls(&plain), calls(&corrected));
    let correction = &corrected["correction"];
    let get = |what: &str| number(correction, &format!("/{what}")).unwrap_or_else(|e| panic!("{e:#}: {correction:#}"));
    let cost = |what: &str| correction[what].as_f64().expect("a cost");
    assert!(cost("leaf_ticks") > 0.0 && cost("other_ticks") > 0.0, "{correction:#}");
    let (leaves, others) = (get("leaf_calls"), get("other_calls"));
    assert_eq!(leaves + others, calls(&plain).values().sum::<u64>());
    // Of calls in which nothing happened, though they are no leaves in the trace, a part is not owed; and
    // what measuring took is owed too.
    let owed = leaves as f64 * cost("leaf_ticks") + others as f64 * cost("other_ticks");
    let taken = (get("subtracted_ticks") + get("clamped_ticks")) as f64;
    assert!(taken > owed * 0.5 && taken < owed * 1.1, "{taken} of {owed}: {correction:#}");
    let summary = |report: &Value, what: &str| number(report, &format!("/summary/{what}")).expect("a time");
    assert_eq!(get("span_recorded_ticks"), summary(&plain, "span_ticks"));
    assert!(summary(&corrected, "span_ticks") < summary(&plain, "span_ticks"));
    assert_eq!(get("busy_recorded_ticks") - get("subtracted_busy_ticks"), summary(&corrected, "busy_ticks"));
    for task in corrected["tasks"].as_array().expect("tasks") {
        let (own, on_cpu) = (number(task, "/self_ticks").expect("self"), number(task, "/on_cpu_ticks").expect("CPU"));
        assert!(own <= on_cpu, "{task:#}");
    }
}

#[test]
fn a_6_1_boot_measures_its_own_cost() {
    let recorded = boots::shared();
    check(&recorded.trace, &recorded.subject.vmlinux);
}

#[test]
fn a_6_1_boot_with_two_cpus_measures_its_own_cost() {
    let recorded = boots::record_with(OLD, 2, "overhead-two-cpus", "");
    check(&recorded.trace, &recorded.subject.vmlinux);
}

#[test]
fn a_6_12_boot_measures_its_own_cost() {
    let recorded = boots::record_with(NEW, 1, "overhead-new", "");
    check(&recorded.trace, &recorded.subject.vmlinux);
}

/// The whole claim, in instructions: a traced boot, corrected, takes what the untraced one takes.
#[test]
fn a_corrected_boot_takes_as_many_instructions_as_an_untraced_one() {
    let subject = boots::subject(OLD);
    let trace = boots::scratch("overhead-icount").join("trace");
    let machine = Machine { single_thread: true, ..Machine::with_cpus(1) }.icount();
    let plain = boots::recorder(subject, &trace, &machine);
    let mut command = Command::new(plain.get_program());
    // A ring for nearly the whole boot: waiting for a recorder that gets no CPU here would be instructions, too.
    command.args(["record", "--untraced-too", "--ring-mib", "64"]).args(plain.get_args().skip(1));
    {
        let _one_at_a_time = boots::boot_lock();
        let output = boots::bounded(&command).output().expect("symbolize runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let report = report(&trace, &subject.vmlinux, &["--correct"]);
    let all = &report["correction"]["compared"][0];
    let (recorded, untraced) = (number(all, "/recorded_ticks"), number(all, "/untraced_ticks"));
    let (recorded, untraced) = (recorded.expect("recorded"), untraced.expect("untraced"));
    assert!(recorded as f64 > untraced as f64 * 1.1, "tracing took next to nothing: {all:#}");
    let residue = all["residue_percent"].as_f64().expect("a residue");
    assert!(residue.abs() < MOST_RESIDUE, "{all:#}");
    // The untraced boot has nothing to correct.
    let mut refused = recording::report(&setup().symbolize, &trace.join("untraced"), &subject.vmlinux);
    let refused = refused.arg("--correct").output().expect("symbolize runs");
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
}
