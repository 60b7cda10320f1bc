// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Exits and steal in small made-up executions, to the tick.

use early_ftrace_format::event::Event;

use super::aggregate::{Aggregate, Figures};
use super::both::Both;
use super::exits::{Exits, Lane, Place};
use super::filter::{Filter, Wanted};
use super::levels::Levels;
use super::phases::Timeline;
use super::steal::{Taken, Unstolen};
use super::tests::chunk;
use super::{Site, Totals, build};
use crate::decode::pipeline;
use crate::decode::source::Memory;
use crate::host::placed::{Placed, Reason};
use crate::host::reasons;
use crate::trace_dir::{Block, Gap};

const A: u64 = 0xffff_ffff_8100_1005;
const B: u64 = 0xffff_ffff_8100_2005;
const C: u64 = 0xffff_ffff_8100_3005;
const HLT: Reason = Reason { isa: 2, code: 0x78 };
const NPF: Reason = Reason { isa: 2, code: 0x400 };

fn enter(site: u64, time: u64) -> Event {
    Event::Entry { site, time }
}

fn exit(time: u64) -> Event {
    Event::Exit { time }
}

fn leaf(site: u64, start: u64, end: u64) -> Event {
    Event::Leaf { site, start, end }
}

fn switch(pid: u32, time: u64) -> Event {
    Event::Switch { state: 0, prio: 120, pid, time }
}

fn left(time: u64) -> Placed {
    Placed::Exit { time, reason: NPF, host: 1, stolen: 0, asleep: 0 }
}

fn stolen(time: u64, length: u64) -> Placed {
    Placed::Stolen { time, length }
}

struct Seen {
    totals: Totals,
    taken: Taken,
    figures: Vec<Figures>,
    /// Place by site: 0 in none, 1 outside; reason, exits.
    exits: Vec<(u64, Reason, u64)>,
    /// On-CPU time in the only phase.
    busy: u64,
}

impl Seen {
    fn of(&self, site: u64) -> (u64, u64, u64) {
        let index = self.totals.sites.addresses().position(|address| address == site).unwrap();
        (self.figures[index].calls, self.figures[index].total, self.figures[index].own)
    }
}

fn run(streams: Vec<Vec<Result<Block, Gap>>>, lanes: Vec<(u32, Vec<Placed>)>) -> Seen {
    let memory = Memory { streams: (0u32..).zip(streams).collect() };
    let nameless = |_: Site<'_>| String::new();
    let mut aggregate = Aggregate::new(Filter::new(Wanted::default(), &nameless));
    let mut levels = Levels::new(Timeline::default(), None, None);
    let mut sums = Both(&mut aggregate, &mut levels);
    let lanes_of = || lanes.iter().map(|(cpu, all)| (*cpu, Box::new(all.iter().copied()) as Lane<'_>));
    let (mut exits, mut unstolen) = (Exits::new(lanes_of(), None), Unstolen::new(&mut sums, lanes_of()));
    let mut both = Both(&mut exits, &mut unstolen);
    let mut totals = pipeline::run(&memory, |pipeline| build(pipeline, &mut both, |_| {}));
    let taken = unstolen.finish(&mut totals);
    let addresses: Vec<u64> = totals.sites.addresses().collect();
    let figures = (0..addresses.len() as u32).map(|number| aggregate.all(super::Function(number))).collect();
    let place = |place| match place {
        Place::In(function) => addresses[function.index()],
        Place::Nowhere => 0,
        Place::Outside => 1,
    };
    let mut exits: Vec<_> = exits.finish().0.into_iter().map(|(at, why, sums)| (place(at), why, sums.exits)).collect();
    exits.sort_unstable();
    let busy = totals.tasks.iter().map(|task| task.on_cpu).sum();
    Seen { totals, taken, figures, exits, busy }
}

#[test]
fn an_exit_belongs_to_the_innermost_function_from_its_entry_up_to_before_its_exit() {
    let events =
        [enter(A, 100), leaf(B, 110, 120), enter(C, 130), leaf(B, 140, 145), exit(150), exit(200), leaf(B, 210, 220)];
    let times = [
        99, 100, 109, // outside, A, A
        110, 119, 120, // B, B, A
        130, 139, 144, 145, // C, C, B, C
        149, 150, 199, 200, // C, A, A, nowhere
        210, 300, // B, behind the last event
    ];
    let lanes = vec![(0, times.map(left).to_vec())];
    let seen = run(vec![vec![chunk(0, 100, 0, 1, &events)]], lanes);
    let expected = [(0, 1), (1, 2), (A, 5), (B, 4), (C, 4)];
    assert_eq!(seen.exits, expected.map(|(place, exits)| (place, NPF, exits)));
    // Nothing was stolen: nothing has changed.
    assert_eq!((seen.of(A), seen.of(B), seen.of(C)), ((1, 100, 70), (3, 25, 25), (1, 20, 15)));
    assert_eq!(seen.taken, Taken::default());
}

#[test]
fn switches_interrupts_and_reasons_are_told_apart() {
    // Task 1 in A, then task 2 in C, interrupted by B, then task 1 again.
    let events =
        [enter(A, 0), switch(2, 50), enter(C, 60), enter(B, 70), exit(80), exit(90), switch(1, 100), exit(120)];
    let halt = |time| Placed::Exit { time, reason: HLT, host: 2, stolen: 3, asleep: 4 };
    let lanes =
        vec![(0, vec![left(49), left(50), left(59), left(60), halt(75), left(85), left(99), left(100), left(119)])];
    let seen = run(vec![vec![chunk(0, 0, 0, 1, &events)]], lanes);
    assert_eq!(seen.exits, [(0, NPF, 3), (A, NPF, 3), (B, HLT, 1), (C, NPF, 2)]);
}

#[test]
fn each_cpu_has_the_exits_of_its_own_vcpu() {
    // One task goes from CPU 0 to CPU 1 inside A; exits at the same times of both.
    let first = [enter(A, 10), switch(0, 50), leaf(B, 60, 90)];
    let second = [leaf(C, 30, 40), switch(7, 55), exit(100)];
    let streams = vec![vec![chunk(0, 0, 0, 7, &first)], vec![chunk(0, 5, 0, 0, &second)]];
    let times = [20, 35, 60, 95];
    let seen = run(streams, vec![(0, times.map(left).to_vec()), (1, times.map(left).to_vec()), (9, vec![left(1)])]);
    // CPU 0: A, A, B, outside (its last event is at 90). CPU 1: none, C, A, A. CPU 9 is not in the trace.
    assert_eq!(seen.exits, [(0, NPF, 1), (1, NPF, 2), (A, NPF, 4), (B, NPF, 1), (C, NPF, 1)]);
}

#[test]
fn what_was_stolen_is_nobodys_time() {
    let events = [enter(A, 100), leaf(B, 110, 140), enter(C, 150), exit(180), exit(200)];
    let plain = run(vec![vec![chunk(0, 100, 0, 1, &events)]], vec![]);
    assert_eq!((plain.of(A), plain.of(B), plain.of(C)), ((1, 100, 40), (1, 30, 30), (1, 30, 30)));
    // In A itself, 5; inside B, 7; from C over its end into A, 10 and 3; behind all.
    let gaps = vec![stolen(102, 5), stolen(120, 7), stolen(170, 13), stolen(300, 50)];
    let seen = run(vec![vec![chunk(0, 100, 0, 1, &events)]], vec![(0, gaps)]);
    assert_eq!((seen.of(A), seen.of(B), seen.of(C)), ((1, 75, 32), (1, 23, 23), (1, 20, 20)));
    assert_eq!(seen.taken, Taken { busy: 25, ..Taken::default() });
    assert_eq!(seen.busy, plain.busy - 25);
}

#[test]
fn steal_stays_with_the_task_that_was_there_and_the_cpu_that_lost_it() {
    // Task 7 is in A on CPU 0 and then on CPU 1; task 8 is in C on CPU 0 meanwhile.
    let first = [enter(A, 10), switch(8, 50), enter(C, 60), exit(90)];
    let second = [leaf(B, 30, 40), switch(7, 55), exit(100)];
    let streams = || vec![vec![chunk(0, 0, 0, 7, &first)], vec![chunk(0, 5, 0, 0, &second)]];
    let plain = run(streams(), vec![]);
    assert_eq!((plain.of(A), plain.of(B), plain.of(C)), ((1, 85, 85), (1, 10, 10), (1, 30, 30)));
    // CPU 0: over the switch, 4 of A and 6 of nobody; 8 of C. CPU 1: 2 of A.
    let lanes = vec![(0, vec![stolen(46, 10), stolen(70, 8)]), (1, vec![stolen(60, 2)])];
    let seen = run(streams(), lanes);
    assert_eq!((seen.of(A), seen.of(B), seen.of(C)), ((1, 79, 79), (1, 10, 10), (1, 22, 22)));
    assert_eq!(seen.taken, Taken { busy: 4 + 6 + 8 + 2, ..Taken::default() });
    assert_eq!(seen.busy, plain.busy - 20);
}

#[test]
fn gaps_that_overlap_or_come_late_count_once() {
    let events = [enter(A, 100), exit(200)];
    let gaps = vec![stolen(110, 20), stolen(120, 20), stolen(105, 10), stolen(90, 500)];
    let seen = run(vec![vec![chunk(0, 100, 0, 1, &events)]], vec![(0, gaps)]);
    // From 110 on all is stolen, whatever the gaps say together.
    assert_eq!(seen.of(A), (1, 10, 10));
    assert_eq!(seen.taken.busy, 90);
}

#[test]
fn our_own_hypercalls_are_nobodys_time_and_have_a_sum_of_their_own() {
    let own = |time, host, stolen| {
        let reason = Reason { isa: reasons::OURS, code: 0x81 };
        Placed::Exit { time, reason, host, stolen, asleep: 0 }
    };
    let events = [enter(A, 100), leaf(B, 110, 140), enter(C, 150), exit(180), exit(200)];
    // In A 5; in B 6 of ours, 4 of which were stolen; in C 3 stolen and an exit that is the guest's own.
    let lane = vec![own(102, 5, 0), own(120, 2, 4), stolen(121, 4), left(155), stolen(170, 3), own(300, 1, 0)];
    let seen = run(vec![vec![chunk(0, 100, 0, 1, &events)]], vec![(0, lane)]);
    assert_eq!((seen.of(A), seen.of(B), seen.of(C)), ((1, 86, 35), (1, 24, 24), (1, 27, 27)));
    assert_eq!(seen.taken, Taken { busy: 3, idle: 0, ours: 11 });
    let ours = Reason { isa: reasons::OURS, code: 0x81 };
    assert_eq!(seen.exits, [(1, ours, 1), (A, ours, 1), (B, ours, 1), (C, NPF, 1)]);
    assert_eq!(seen.busy, 100 - 14);
}
