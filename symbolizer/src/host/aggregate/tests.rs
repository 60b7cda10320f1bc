// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The aggregation: single cases by hand, and random guests whose exits are known. In: events. Out: assertions.

use super::*;
use proptest::prelude::*;

const SVM: u32 = 2;
const HYPERCALL: u32 = 0x81;
const NPF: u32 = 0x400;

fn raw(time: u64, cpu: u32, thread: u32, kind: RawKind) -> Raw {
    Raw { time, cpu, thread, kind }
}

fn exit(vcpu: u32, reason: u32, rip: u64) -> RawKind {
    RawKind::Exit { vcpu: Some(vcpu), isa: SVM, reason, rip, info: [0; 2] }
}

fn call(number: u64) -> Hypercall {
    Hypercall { number, args: [number, !number, number << 32, 7] }
}

fn entry(vcpu: u32) -> RawKind {
    RawKind::Entry { vcpu, rip: None }
}

fn all(events: &[Raw]) -> (Vec<HostEvent>, Counts) {
    let (mut aggregator, mut found) = (Aggregator::new(), Vec::new());
    for &event in events {
        aggregator.push(event, &mut |event| found.push(event));
    }
    aggregator.finish(&mut |event| found.push(event));
    (found, aggregator.counts())
}

fn exits(events: &[HostEvent]) -> Vec<Exit> {
    events.iter().filter_map(|event| if let HostEvent::Exit(exit) = event { Some(*exit) } else { None }).collect()
}

/// A hypercall's record: of vCPU 3 in thread 9, from 10 to 15, with the entry on that CPU.
fn made(entered: u32) -> Exit {
    Exit {
        vcpu: 3,
        thread: 9,
        cpus: (0, entered),
        time: 10,
        length: 5,
        isa: SVM,
        reason: HYPERCALL,
        rip: 0x1000,
        info: [0; 2],
        hypercall: Some(call(1000)),
    }
}

#[test]
fn three_events_are_one_record() {
    let (found, counts) = all(&[
        raw(5, 0, 9, entry(3)),
        raw(10, 0, 9, exit(3, HYPERCALL, 0x1000)),
        raw(12, 0, 9, RawKind::Hypercall(call(1000))),
        raw(15, 0, 9, entry(3)),
    ]);
    assert_eq!(found, [HostEvent::Exit(made(0))]);
    assert_eq!(counts, Counts { raw: 4, out: 1, unpaired: 1 }, "the first entry has no exit");
}

#[test]
fn a_thread_that_moves_between_the_events_keeps_its_exit() {
    // Both exit on CPU 0; one goes on on CPU 1 while the other's hypercall comes on CPU 0.
    let (found, _) = all(&[
        raw(10, 0, 1, exit(0, HYPERCALL, 0xa)),
        raw(11, 0, 2, exit(1, HYPERCALL, 0xb)),
        raw(12, 1, 1, RawKind::Hypercall(call(1000))),
        raw(13, 0, 2, RawKind::Hypercall(call(1001))),
        raw(14, 2, 1, entry(0)),
        raw(15, 0, 2, entry(1)),
    ]);
    let found = exits(&found);
    assert_eq!(
        found.iter().map(|exit| (exit.vcpu, exit.rip, exit.cpus, exit.length)).collect::<Vec<_>>(),
        [(0, 0xa, (0, 2), 4), (1, 0xb, (0, 0), 4)]
    );
    assert_eq!(found.iter().map(|exit| exit.hypercall).collect::<Vec<_>>(), [Some(call(1000)), Some(call(1001))]);
}

#[test]
fn a_thread_that_runs_two_virtual_cpus_in_turn_keeps_them_apart() {
    let (found, counts) = all(&[
        raw(1, 0, 1, exit(0, NPF, 0xa)),
        raw(2, 0, 1, entry(1)),
        raw(3, 0, 1, exit(1, NPF, 0xb)),
        raw(4, 0, 1, entry(0)),
        raw(6, 0, 1, exit(0, NPF, 0xc)),
        raw(8, 0, 1, entry(1)),
    ]);
    let found = exits(&found);
    assert_eq!(
        found.iter().map(|exit| (exit.vcpu, exit.rip, exit.length)).collect::<Vec<_>>(),
        [(0, 0xa, 3), (1, 0xb, 5), (0, 0xc, 0)]
    );
    assert_eq!(counts.unpaired, 2, "the first entry of 1, the last exit of 0");
}

#[test]
fn the_same_number_of_a_virtual_cpu_in_two_machines_is_told_by_the_thread() {
    let (found, _) = all(&[
        raw(1, 0, 1, exit(0, HYPERCALL, 0xa)),
        raw(2, 1, 2, exit(0, HYPERCALL, 0xb)),
        raw(3, 1, 2, RawKind::Hypercall(call(2))),
        raw(4, 0, 1, RawKind::Hypercall(call(1))),
        raw(5, 1, 2, entry(0)),
        raw(6, 0, 1, entry(0)),
    ]);
    let found = exits(&found);
    assert_eq!(
        found.iter().map(|exit| (exit.rip, exit.hypercall)).collect::<Vec<_>>(),
        [(0xb, Some(call(2))), (0xa, Some(call(1)))]
    );
}

#[test]
fn a_kernel_that_names_no_virtual_cpu_at_the_exit_names_it_at_the_entry() {
    let nameless = RawKind::Exit { vcpu: None, isa: 1, reason: 18, rip: 0xa, info: [0; 2] };
    let (found, _) = all(&[raw(1, 0, 1, nameless), raw(2, 0, 1, entry(4)), raw(3, 0, 1, nameless)]);
    assert_eq!(exits(&found).iter().map(|exit| (exit.vcpu, exit.length)).collect::<Vec<_>>(), [(4, 1), (4, 0)]);
}

#[test]
fn hypercalls_alone_are_kept_and_marked() {
    let (found, counts) = all(&[raw(1, 0, 1, RawKind::Hypercall(call(1))), raw(2, 0, 1, RawKind::Hypercall(call(2)))]);
    let found = exits(&found);
    assert!(found.iter().all(|exit| exit.isa == NO_EXIT && exit.vcpu == NO_VCPU && exit.rip == 0));
    assert_eq!(found.iter().map(|exit| exit.hypercall).collect::<Vec<_>>(), [Some(call(1)), Some(call(2))]);
    assert_eq!(counts, Counts { raw: 2, out: 2, unpaired: 2 });
}

#[test]
fn an_exit_whose_entry_is_lost_has_no_length_and_keeps_its_hypercall() {
    let (found, counts) = all(&[
        raw(1, 0, 1, exit(0, HYPERCALL, 0xa)),
        raw(2, 0, 1, RawKind::Hypercall(call(1))),
        raw(9, 0, 1, exit(0, NPF, 0xb)),
        raw(10, 0, 1, entry(0)),
    ]);
    let found = exits(&found);
    assert_eq!(
        found.iter().map(|exit| (exit.rip, exit.length, exit.hypercall)).collect::<Vec<_>>(),
        [(0xa, 0, Some(call(1))), (0xb, 1, None)]
    );
    assert_eq!(counts.unpaired, 1);
}

#[test]
fn preemption_and_sleep_of_virtual_cpus_alone_are_gaps() {
    let switch = |prev, runnable, next| RawKind::Switch { prev, runnable, next };
    let (found, counts) = all(&[
        raw(1, 0, 7, switch(7, true, 1)),
        raw(2, 0, 1, entry(5)),
        raw(3, 0, 1, switch(1, true, 7)),
        raw(9, 1, 7, switch(7, false, 1)),
        raw(10, 1, 1, switch(1, false, 0)),
        raw(30, 0, 0, switch(0, true, 1)),
        raw(31, 0, 0, RawKind::Offset { vcpu: 5, next: 77 }),
    ]);
    assert_eq!(
        found,
        [
            HostEvent::Away { vcpu: 5, time: 3, length: 6, preempted: true },
            HostEvent::Away { vcpu: 5, time: 10, length: 20, preempted: false },
            HostEvent::Offset { vcpu: 5, time: 31, next: 77 },
        ]
    );
    assert_eq!((counts.raw, counts.out), (7, 3));
}

#[test]
fn what_was_put_together_already_passes_as_it_is_and_tells_whose_thread_it_is() {
    let made = made(1);
    let last = Exit { time: 50, length: 0, hypercall: None, ..made };
    let (mut aggregator, mut found) = (Aggregator::new(), Vec::new());
    let switch = |prev, runnable, next| RawKind::Switch { prev, runnable, next };
    // Nobody knows of the thread yet.
    aggregator.push(raw(5, 0, 9, switch(9, true, 0)), &mut |event| found.push(event));
    aggregator.push(raw(7, 0, 9, switch(0, true, 9)), &mut |event| found.push(event));
    aggregator.whole(made, &mut |event| found.push(event));
    aggregator.push(raw(20, 0, 9, switch(9, true, 0)), &mut |event| found.push(event));
    aggregator.push(raw(24, 1, 9, switch(0, true, 9)), &mut |event| found.push(event));
    aggregator.whole(last, &mut |event| found.push(event));
    aggregator.finish(&mut |event| found.push(event));
    let away = HostEvent::Away { vcpu: 3, time: 20, length: 4, preempted: true };
    assert_eq!(found, [HostEvent::Exit(made), away, HostEvent::Exit(last)]);
    // Three events and two; of the last there is no entry.
    assert_eq!(aggregator.counts(), Counts { raw: 4 + 3 + 2, out: 3, unpaired: 1 });
}

#[test]
fn a_hostile_stream_holds_a_bounded_number_of_exits() {
    let mut aggregator = Aggregator::new();
    let mut given = 0;
    for vcpu in 0..10_000 {
        aggregator.push(raw(vcpu.into(), 0, 1, exit(vcpu, NPF, 1)), &mut |_| given += 1);
    }
    assert_eq!(given, 10_000 - MOST_OPEN);
    aggregator.finish(&mut |_| given += 1);
    assert_eq!(given, 10_000);
}

/// A step of the random host: which virtual CPU goes on, and on which CPU its thread is then.
#[derive(Clone, Copy, Debug)]
struct Step {
    vcpu: usize,
    cpu: u32,
    hypercall: bool,
    lost: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..4usize, 0..3u32, any::<bool>(), prop::bool::weighted(0.02));
    prop::collection::vec(step.prop_map(|(vcpu, cpu, hypercall, lost)| Step { vcpu, cpu, hypercall, lost }), 0..400)
}

/// What the steps make: events, and the exits that they belong to. Virtual CPUs 2 and 3 are 0 and 1 of a second machine.
fn host(steps: &[Step]) -> (Vec<(Raw, bool)>, Vec<Exit>) {
    let (mut events, mut exits) = (Vec::new(), Vec::<Exit>::new());
    // Of each: the exit that it is in, and whether its hypercall has been made.
    let mut inside: [Option<(usize, bool)>; 4] = [None; 4];
    for (number, step) in steps.iter().enumerate() {
        let (time, thread, vcpu) = (10 * number as u64, 100 + step.vcpu as u32, step.vcpu as u32 % 2);
        let kind = match inside[step.vcpu] {
            None => {
                let (reason, rip) = (if step.hypercall { HYPERCALL } else { NPF }, number as u64);
                inside[step.vcpu] = Some((exits.len(), !step.hypercall));
                let cpus = (step.cpu, step.cpu);
                let info = [0; 2];
                let isa = SVM;
                exits.push(Exit { vcpu, thread, cpus, time, length: 0, isa, reason, rip, info, hypercall: None });
                exit(vcpu, reason, rip)
            }
            Some((at, false)) => {
                inside[step.vcpu] = Some((at, true));
                exits[at].hypercall = Some(call(number as u64));
                RawKind::Hypercall(call(number as u64))
            }
            Some((at, true)) => {
                inside[step.vcpu] = None;
                exits[at].length = time - exits[at].time;
                exits[at].cpus.1 = step.cpu;
                entry(vcpu)
            }
        };
        events.push((raw(time, step.cpu, thread, kind), step.lost));
    }
    (events, exits)
}

proptest! {
    #[test]
    fn exits_of_interleaved_and_moving_threads_come_out_as_they_were(steps in steps()) {
        let (events, mut expected) = host(&steps);
        let events: Vec<Raw> = events.into_iter().map(|(raw, _)| raw).collect();
        let (found, counts) = all(&events);
        let mut found = exits(&found);
        found.sort_by_key(|exit| exit.time);
        expected.sort_by_key(|exit| exit.time);
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(counts.raw, events.len() as u64);
        prop_assert_eq!(counts.out, expected.len() as u64);
    }

    /// Where the recorder says that events are lost, nothing is paired wrongly, and no hypercall that was recorded is.
    #[test]
    fn nothing_is_paired_across_a_gap(steps in steps()) {
        let (events, expected) = host(&steps);
        let (mut aggregator, mut found) = (Aggregator::new(), Vec::new());
        let mut calls = 0;
        for (raw, lost) in events {
            if lost {
                aggregator.lost(&mut |event| found.push(event));
                continue;
            }
            calls += usize::from(matches!(raw.kind, RawKind::Hypercall(_)));
            aggregator.push(raw, &mut |event| found.push(event));
        }
        aggregator.finish(&mut |event| found.push(event));
        let found = exits(&found);
        prop_assert_eq!(found.iter().filter(|exit| exit.hypercall.is_some()).count(), calls);
        for exit in found.iter().filter(|exit| exit.isa != NO_EXIT) {
            let real = expected.iter().find(|real| real.time == exit.time).expect("an exit that was");
            prop_assert_eq!((exit.vcpu, exit.thread, exit.rip), (real.vcpu, real.thread, real.rip));
            prop_assert!(exit.length == 0 || exit.length == real.length);
            prop_assert!(exit.hypercall.is_none() || exit.hypercall == real.hypercall);
        }
    }
}
