// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A whole Linux as the guest of real KVM, whose events are hypercalls: one boot, recorded by `symbolize record --channel
//! hypercall`, by trace-cmd and by perf at once. In: a kernel that is stripped to what such a host has: symbols and BTF.
//! Out: assertions: all three have the same calls. Never here: single hypercalls.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use xtask::recording;
use xtask::steps::Steps;
use xtask::testbed::{self, Testbed};

use crate::boots::{self, OLD, setup};

/// What L2 traces: enough for calls of a thousand functions, and no more, since each hypercall takes the nested machine
/// some 50 microseconds.
const SCRIPT: &str = r#"
E="-e kvm:kvm_hypercall -e kvm:kvm_exit -e kvm:kvm_entry -e kvm:kvm_write_tsc_offset"
perf record -a -m 8M -o /out/perf.data $E -- trace-cmd record -C x86-tsc -b 20000 -o /out/trace.dat $E \
  ./symbolize record --channel hypercall --vmlinux vmlinux --initrd initrd -o /out/trace \
  --append "console=ttyS0 panic=-1 quiet no_timer_check tsc=reliable hypergraph=filter:early-core" -- \
  qemu-system-x86_64 -M q35 -accel kvm -cpu host -m 512M -nodefaults -display none -serial stdio -no-reboot \
  < /dev/null 2> /out/messages || { cat /out/messages; exit 1; }
"#;

/// Most events of one virtual CPU that become a record alone.
const ALONE: u64 = 8;

fn report(trace: &Path) -> Value {
    let mut report = recording::report(&setup().symbolize, trace, &boots::subject(OLD).vmlinux);
    recording::json(report.args(["--format", "json"])).expect("a report")
}

/// Calls of each function in a trace.
fn calls(report: &Value) -> BTreeMap<String, u64> {
    let functions = report["functions"].as_array().expect("functions");
    let calls = |function: &Value| Some((function["name"].as_str()?.to_owned(), function["calls"].as_u64()?));
    let mut sums = BTreeMap::new();
    for (name, calls) in functions.iter().filter_map(calls) {
        *sums.entry(name).or_insert(0) += calls;
    }
    sums
}

/// The numbers of "1 events of the host became 2 records; 3 had no partner", and of the recorder's line, behind `begin`.
fn numbers(messages: &str, begin: &str) -> [u64; 3] {
    let lines = messages.lines().filter(|line| line.contains("events of the ") && line.contains("records"));
    let line = lines.filter_map(|line| line.strip_prefix(begin)).next().expect("the summary");
    let mut numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
    [(); 3].map(|()| numbers.next().unwrap_or_else(|| panic!("no three numbers: {line}")))
}

#[test]
fn three_recorders_have_the_same_calls_of_a_boot() {
    let (subject, setup) = (boots::subject(OLD), setup());
    let directory = boots::scratch("kvm-linux");
    let slim = directory.join("vmlinux");
    testbed::slimmed(&subject.vmlinux, &slim).expect("a smaller kernel");
    let bed = Testbed::new(&Steps::default()).and_then(Testbed::with_qemu).expect("a test bed");
    let files = [("vmlinux", &*slim), ("initrd", &*setup.initrd), ("symbolize", &*setup.symbolize)];
    let output = {
        let _one_at_a_time = boots::boot_lock();
        bed.run(SCRIPT, &files, Duration::from_secs(600)).unwrap_or_else(|error| panic!("{error:#}"))
    };
    output.save(&directory).expect("its files");
    let trace = directory.join("trace");
    let whole = report(&trace);
    let own = calls(&whole);
    assert!(own.len() > 1_000 && own.values().sum::<u64>() > 40_000, "{}\n{own:?}", output.console);
    assert_eq!(recording::meta(&trace).expect("meta.json")["totals"]["lost"], 0);

    // Put together in the kernel, while perf listens to the same tracepoints.
    let messages = String::from_utf8_lossy(output.file("messages").expect("what it said"));
    let [_, records, lost] = numbers(&messages, "symbolize: the host saw ");
    let ours = recording::number(&whole, "/exits/own_hypercalls").expect("exits");
    assert_eq!(lost, 0, "{messages}");
    assert!(ours > 10_000 && records > ours, "{records} records, {ours} hypercalls");
    // They cost no function anything.
    let taken = recording::number(&whole, "/exits/own_hypercalls_taken_off_ticks").expect("exits");
    assert!(taken > 0, "{}", whole["exits"]);

    for name in ["trace.dat", "perf.data"] {
        let to = directory.join(format!("{name}.imported"));
        let mut import = Command::new(&setup.symbolize);
        import.arg("import").arg(directory.join(name)).arg("--vmlinux").arg(&subject.vmlinux).arg("-o").arg(&to);
        let done = import.output().expect("symbolize runs");
        assert!(done.status.success(), "{done:?}");
        // Exit, hypercall and entry become one record: three to one, and of other exits two to one. What has no partner is
        // the first entry, the last exit, and an offset.
        let [events, records, _] = numbers(&String::from_utf8_lossy(&done.stderr), "");
        assert!(events + ALONE >= 2 * records + ours, "{events} events, {records} records, {ours} hypercalls");
        let meta = recording::meta(&to).expect("meta.json");
        assert_eq!(meta["totals"]["lost"], 0, "{meta:#}");
        let imported = report(&to);
        assert_eq!(calls(&imported), own, "{name}");
        assert_eq!(recording::number(&imported, "/exits/own_hypercalls").expect("exits"), ours, "{name}");
    }
}
