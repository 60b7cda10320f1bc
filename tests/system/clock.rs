// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! One axis for the host's times and the guest's, on real KVM in the test bed. In: a guest that reads its time stamp
//! counter before each hypercall, and passes it on. Out: assertions: what the host has seen of the same moments encloses
//! it, within the bound that reports print. Never here: how an axis is found; scaled counters, which the bed does not
//! have (TCG's SVM has no TSC_RATIO): `symbolizer/src/host/corridor.rs` tests their arithmetic.

use symbolizer::host::axes::axes;
use symbolizer::host::clock::{Axis, Clock, How};
use symbolizer::host::corridor::Corridor;
use symbolizer::host::event::{self, HostEvent, Hypercall};
use symbolizer::host::file::{HostFile, Writer};
use xtask::steps::Steps;
use xtask::testbed::Testbed;

use crate::kvm;

/// A reading of the guest's counter, and the host's times between which it was: the entry before, the exit behind.
#[derive(Clone, Copy, Debug)]
struct Reading {
    entered: u64,
    guest: u64,
    left: u64,
}

impl Reading {
    /// Whether the axis puts the host's moments around it, but for `error` ticks.
    fn is_enclosed(&self, axis: &Axis, error: u64) -> bool {
        let [from, to] = [self.entered, self.left].map(|time| axis.guest(time).expect("on the axis"));
        from.saturating_sub(error) <= self.guest && self.guest <= to.saturating_add(error)
    }
}

#[test]
fn readings_of_the_guests_clock_lie_between_the_hosts_times() {
    const CALLS: u64 = 1000;
    // The guest puts its counter where all bits are set.
    let asked: Vec<[u64; 5]> = (0..CALLS).map(|i| [1000, u64::MAX, i, !i, 0]).collect();
    let bed = Testbed::new(&Steps::default()).unwrap_or_else(|error| panic!("{error:#}"));
    let output = kvm::run(&bed, "./host_record /out/lines ./hypercalls calls", &asked);
    let found = kvm::read(output.file("lines").expect("recorded"));
    let mut readings = Vec::new();
    for pair in found.exits.windows(2) {
        let [before, exit] = pair else { continue };
        if let Some(call) = exit.call {
            readings.push(Reading { entered: before.time + before.length, guest: call[1], left: exit.time });
        }
    }
    // The first has no exit before it, if no page was missing.
    assert!(readings.len() as u64 >= CALLS - 1, "{} of {CALLS}; {}", readings.len(), found.summary);
    assert!(readings.windows(2).all(|two| two[0].guest < two[1].guest), "the guest's clock goes on");

    // By the offset that KVM has set, read back as a report does.
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path(), &found);
    let all = axes(&HostFile::open(dir.path()).expect("readable").expect("there"), None);
    let axis = all.by_vcpu.get(&0).expect("of the one virtual CPU");
    assert_eq!((axis.how(), axis.error()), (How::Offset, found.count("clock_error")));
    assert!(axis.error() > 0, "times are made of nanoseconds");
    let offset = found.offsets.last().expect("told by KVM").1;
    assert!(offset != 0 && found.offsets.iter().all(|told| told.0 == 0), "{:?}", found.offsets);
    for reading in &readings {
        assert!(reading.is_enclosed(axis, axis.error()), "{reading:?}: {:?} {offset}", axis.guest(reading.left));
    }

    // Without that: a corridor through every second one encloses the others within its own bound, and so is no further
    // from the offset than that.
    let mut corridor = Corridor::new(1.0).expect("a rate").with_slack(axis.error());
    for reading in readings.iter().step_by(2) {
        corridor.at_most(reading.entered, reading.guest);
        corridor.at_least(reading.left, reading.guest);
    }
    assert_eq!(corridor.refused(), 0);
    let (first, last) = (readings[0].entered, readings[readings.len() - 1].left);
    let estimated = Axis::of_corridor(clock(&found), &corridor, first, last).expect("bounds on both sides");
    for reading in &readings {
        assert!(reading.is_enclosed(&estimated, estimated.error()), "{reading:?}: +-{}", estimated.error());
        let [by_offset, by_bounds] = [axis, &estimated].map(|axis| axis.guest(reading.left).expect("on the axis"));
        assert!(by_offset.abs_diff(by_bounds) <= axis.error() + estimated.error(), "{by_offset} {by_bounds}");
    }

    // What is said can be wrong: another offset leaves readings outside.
    let shift = estimated.error() * 2 + axis.error() + 2;
    for moved in [shift, shift.wrapping_neg()] {
        let wrong = |reading: &&Reading| {
            let moved = Reading { guest: reading.guest.wrapping_add(moved), ..**reading };
            !moved.is_enclosed(axis, axis.error())
        };
        assert!(readings.iter().any(|reading| wrong(&reading)), "moved by {}", moved.cast_signed());
    }
}

/// What the recorder's times are.
fn clock(found: &kvm::Found) -> Clock {
    Clock::Ticks { error: found.count("clock_error") }
}

/// Writes what was recorded as `host.eft`, with the clock that the recorder gives its times.
fn write(dir: &std::path::Path, found: &kvm::Found) {
    let mut events: Vec<HostEvent> = found
        .offsets
        .iter()
        .map(|&(vcpu, next)| {
            // Before all else: the program makes its virtual CPU before it runs it.
            HostEvent::Offset { vcpu: vcpu as u32, time: 0, next }
        })
        .collect();
    events.extend(found.exits.iter().map(|exit| {
        let hypercall = exit.call.map(|[number, args @ ..]| Hypercall { number, args });
        let cpus = (exit.cpus.0 as u32, exit.cpus.1 as u32);
        let (vcpu, reason) = (exit.vcpu as u32, exit.reason as u32);
        let (time, length, rip) = (exit.time, exit.length, exit.rip);
        HostEvent::Exit(event::Exit {
            vcpu,
            thread: 1,
            cpus,
            time,
            length,
            isa: 2,
            reason,
            rip,
            info: [0; 2],
            hypercall,
        })
    }));
    let mut writer = Writer::create(dir, &clock(found)).expect("a new file");
    events.iter().try_for_each(|event| writer.push(event)).and_then(|()| writer.finish()).expect("room for it");
}
