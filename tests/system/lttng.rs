// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! LTTng in the test bed: its trace of KVM, read by us, beside trace-cmd's and our own recorder's of the same run. In:
//! known hypercalls. Out: assertions. Never here: made traces (symbolizer/tests/integration/import.rs has them).

use std::collections::BTreeMap;
use std::path::Path;

use symbolizer::host::event::HostEvent;
use symbolizer::host::file::{self, Writer};
use symbolizer::import::guest::{self, Summary};
use symbolizer::import::{Import, Kind};
use xtask::steps::Steps;
use xtask::testbed::Testbed;
use xtask::{lttng, workspace};

use crate::kvm;

/// An exit: reason, place, hypercall.
type Exit = (u64, u64, Option<[u64; 5]>);

/// Exits of each vCPU in their order, and what was counted.
fn imported(path: &Path, kind: Kind) -> (BTreeMap<u64, Vec<Exit>>, Summary) {
    let mut import = Import::open(&[path]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(import.kinds(), [kind]);
    let work = tempfile::tempdir().expect("a directory");
    let mut host = Writer::create(work.path(), &import.times().clock()).expect("it is created");
    let summary = guest::run(&mut import, &[], None, &mut host).expect("it is written");
    host.finish().expect("it is written");
    let notes = import.notes();
    // What this version of LTTng does not tell of entries is said, and nothing else.
    let other: Vec<&String> = notes.warnings.iter().filter(|text| !text.starts_with("kvm_x86_entry ")).collect();
    assert_eq!((notes.lost, notes.gaps, other.len()), (0, 0, 0), "{kind:?}: {notes:?}");
    assert!(kind == Kind::Ctf || notes.warnings.is_empty(), "{kind:?}: {notes:?}");
    let host = file::read(work.path()).expect("readable").expect("host events");
    let mut exits: BTreeMap<u64, Vec<Exit>> = BTreeMap::new();
    for event in host.events {
        if let HostEvent::Exit(exit) = event {
            let call = exit.hypercall.map(|call| {
                let [a0, a1, a2, a3] = call.args;
                [call.number, a0, a1, a2, a3]
            });
            exits.entry(exit.vcpu.into()).or_default().push((exit.reason.into(), exit.rip, call));
        }
    }
    (exits, summary)
}

#[test]
fn what_lttng_records_of_kvm_is_what_trace_cmd_and_we_record() {
    let (made, forged) = (1_000, 10);
    let calls = kvm::calls(made);
    let steps = Steps::default();
    let bed = Testbed::new(&steps).and_then(|bed| bed.with_lttng(&steps));
    let bed = bed.unwrap_or_else(|error| panic!("{error:#}"));
    let script = format!(
        "set -e\n{}\
         lttng create t -o /out/ctf\n\
         lttng enable-channel -k --subbuf-size=4M --num-subbuf=4 c\n\
         lttng enable-event -k -c c \
         kvm_x86_exit,kvm_x86_hypercall,kvm_x86_entry,kvm_x86_write_tsc_offset,sched_switch\n\
         lttng add-context -k -t tid\n\
         lttng start\n\
         trace-cmd record -C x86-tsc -b 20000 -o /out/trace.dat -e kvm:kvm_exit -e kvm:kvm_hypercall \
         -e kvm:kvm_entry -e kvm:kvm_write_tsc_offset -e sched:sched_switch \
         ./host_record /out/lines ./hypercalls calls --cpus 2 --forge {forged}\n\
         lttng stop\n\
         lttng destroy\n",
        lttng::start("kvm-x86,sched")
    );
    let output = kvm::run(&bed, &script, &calls);
    let work = tempfile::tempdir_in(workspace::target()).expect("a directory");
    output.save(work.path()).expect("its files");
    let (theirs, counted) = imported(&work.path().join("ctf"), Kind::Ctf);
    let (dat, counted_dat) = imported(&work.path().join("trace.dat"), Kind::TraceDat);
    let mut ours: BTreeMap<u64, Vec<Exit>> = BTreeMap::new();
    for exit in kvm::read(output.file("lines").expect("recorded")).exits {
        ours.entry(exit.vcpu).or_default().push((exit.reason, exit.rip, exit.call));
    }
    assert_eq!(theirs.keys().collect::<Vec<_>>(), [&0, &1], "two virtual CPUs");
    for (vcpu, exits) in &theirs {
        let found = exits.iter().filter(|(reason, ..)| *reason == kvm::HYPERCALL);
        let found: Vec<[u64; 5]> = found.filter_map(|(_, _, call)| *call).collect();
        let expected: Vec<[u64; 5]> = calls.iter().chain(&calls[..forged]).copied().collect();
        assert!(found == expected, "vCPU {vcpu}: other hypercalls, or another order");
        assert!(Some(exits) == dat.get(vcpu), "vCPU {vcpu}: trace-cmd has other exits");
        assert!(Some(exits) == ours.get(vcpu), "vCPU {vcpu}: our recorder has other exits");
    }
    // Three of LTTng's events to a hypercall, all of them put together; and its calls are those of trace-cmd's.
    assert_eq!((counted.calls, counted.twice), (counted_dat.calls, counted_dat.twice));
    assert!(counted.counts.unpaired <= 4, "the first entry and the last exit of each: {counted:?}");
    assert!(counted.counts.raw >= 3 * 2 * (made + forged as u64), "{counted:?}");
}
