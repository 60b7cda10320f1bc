// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Small made-up boots, recorded by a recorder of known cost: without it they are what they were.

use early_ftrace_format::event::Event;
use early_ftrace_format::mark::Mark;
use proptest::prelude::*;

use super::costs::PARTS;
use super::*;
use crate::calltree::aggregate::Aggregate;
use crate::calltree::levels::Levels;
use crate::calltree::phases::Timeline;
use crate::calltree::tests::chunk;
use crate::calltree::{Filter, build};
use crate::decode::pipeline;
use crate::decode::source::Memory;
use crate::trace_dir::{Block, Gap};

const A: u64 = 0xffff_ffff_8100_1005;
const B: u64 = 0xffff_ffff_8100_2005;
const C: u64 = 0xffff_ffff_8100_3005;

/// Ticks of each piece of a made-up recorder.
const HEAD: u64 = 8;
const TAIL: u64 = 14;
const WORD: u64 = 16;
const LEAF: u64 = 25;
const EXIT: u64 = 13;

fn costs() -> Costs {
    Costs {
        before_entry: HEAD as i64 * PARTS,
        after_entry: TAIL as i64 * PARTS,
        entry_word: WORD as i64 * PARTS,
        after_leaf: LEAF as i64 * PARTS,
        after_exit: EXIT as i64 * PARTS,
    }
}

/// A function that works, calls, works, ..., returns.
#[derive(Clone, Debug)]
struct Work {
    site: u64,
    before: u64,
    calls: Vec<(Work, u64)>,
}

impl Work {
    fn leaf(site: u64, ticks: u64) -> Work {
        Work { site, before: ticks, calls: Vec::new() }
    }

    /// Runs it from `now` on; what a recorder writes that takes time, or one that takes none.
    fn run(&self, now: &mut u64, slow: bool, events: &mut Vec<Event>) {
        let cost = |ticks: u64| if slow { ticks } else { 0 };
        *now += cost(HEAD);
        let start = *now;
        *now += cost(TAIL) + self.before;
        if self.calls.is_empty() {
            events.push(Event::Leaf { site: self.site, start, end: *now });
            *now += cost(LEAF);
            return;
        }
        events.push(Event::Entry { site: self.site, time: start });
        *now += cost(WORD);
        for (call, after) in &self.calls {
            call.run(now, slow, events);
            *now += after;
        }
        events.push(Event::Exit { time: *now });
        *now += cost(EXIT);
    }
}

/// Calls as they come, with times.
#[derive(Default, Debug, PartialEq)]
struct Calls {
    all: Vec<(u32, u64, u64, u64, u64)>,
    ran: Vec<(u32, u64, u64)>,
    marks: Vec<(Mark, u64)>,
}

impl Sink for Calls {
    fn function(&mut self, _function: Function, _site: Site<'_>) {}
    fn attach(&mut self, _id: TaskId, _task: &Task, _cpu: u32, _time: u64) {}
    fn enter(&mut self, _frames: &[Frame]) {}
    fn leaf(&mut self, _frames: &[Frame], function: Function, start: u64, ticks: u64) {
        self.all.push((function.0, start, start + ticks, ticks, ticks));
    }
    fn leave(&mut self, _frames: &[Frame], call: &Call) {
        self.all.push((call.function.0, call.start, call.end, call.total, call.own));
    }
    fn mark(&mut self, _task: &Task, time: u64, mark: Mark, _value: u32) {
        self.marks.push((mark, time));
    }
    fn ran(&mut self, task: &Task, from: u64, to: u64) {
        self.ran.push((task.pid, from, to));
    }
}

type Streams = Vec<Vec<Result<Block, Gap>>>;

fn plain(streams: Streams) -> (Calls, Totals) {
    let memory = Memory { streams: (0u32..).zip(streams).collect() };
    let mut calls = Calls::default();
    let totals = pipeline::run(&memory, |pipeline| build(pipeline, &mut calls, |_| {}));
    (calls, totals)
}

fn corrected(streams: Streams, costs: Costs) -> (Calls, Totals, Subtracted) {
    let memory = Memory { streams: (0u32..).zip(streams).collect() };
    let mut calls = Calls::default();
    let mut sink = Corrected::new(&mut calls, costs);
    let mut totals = pipeline::run(&memory, |pipeline| build(pipeline, &mut sink, |_| {}));
    let subtracted = sink.finish(&mut totals);
    (calls, totals, subtracted)
}

/// The stream of one task that does one thing after the other.
fn stream(work: &[Work], slow: bool) -> Streams {
    let (mut now, mut events) = (1_000, Vec::new());
    for work in work {
        work.run(&mut now, slow, &mut events);
        now += 5;
    }
    // The time that the last exit takes lies before the end.
    events.push(Event::Switch { state: 0, prio: 120, pid: 9, time: now });
    events.push(Event::End { reason: early_ftrace_format::word::EndReason::PowerOff, time: now });
    vec![vec![chunk(0, 1_000, 0, 1, &events)]]
}

fn tree() -> Vec<Work> {
    let b = Work { site: B, before: 100, calls: vec![(Work::leaf(C, 7), 3), (Work::leaf(C, 0), 0)] };
    let a = Work { site: A, before: 10, calls: vec![(b.clone(), 20), (Work::leaf(C, 30_000), 0), (b, 1)] };
    vec![Work::leaf(C, 50), a]
}

#[test]
fn without_the_recorder_each_call_is_what_it_was() {
    let (expected, totals) = plain(stream(&tree(), false));
    let (got, fixed, subtracted) = corrected(stream(&tree(), true), costs());
    assert_eq!(got, expected);
    assert_eq!((fixed.first, fixed.last), (totals.first, totals.last));
    let on_cpu = |totals: &Totals| totals.tasks.iter().map(|task| task.on_cpu).collect::<Vec<_>>();
    assert_eq!(on_cpu(&fixed), on_cpu(&totals));
    assert_eq!((subtracted.leaves, subtracted.others), (6, 3));
    assert_eq!(subtracted.sums.clamped, 0);
    let spent = 6 * (HEAD + TAIL + LEAF) + 3 * (HEAD + TAIL + WORD + EXIT);
    assert_eq!((subtracted.sums.ticks, subtracted.sums.busy), (spent, spent));
}

#[test]
fn a_recorder_that_costs_nothing_changes_nothing() {
    let (expected, _) = plain(stream(&tree(), true));
    let (got, _, subtracted) = corrected(stream(&tree(), true), Costs::default());
    assert_eq!(got, expected);
    assert_eq!(subtracted.sums, Sums::default());
}

#[test]
fn what_is_not_there_is_not_taken_and_is_counted() {
    // A recorder said to cost a hundred times what it does.
    let dear = Costs { after_leaf: 100 * LEAF as i64 * PARTS, ..costs() };
    let (got, totals, subtracted) = corrected(stream(&tree(), true), dear);
    assert!(subtracted.sums.clamped > 0);
    for (_, start, end, total, own) in got.all {
        assert!(start <= end && total == end - start && own <= total);
    }
    assert!(totals.last >= totals.first);
}

/// The time that measuring has taken belongs to nobody, and phases and initcalls begin and end without what
/// the recorder took before them and in them.
#[test]
fn marks_move_with_the_calls_and_calibration_is_gone() {
    let build_events = |slow: bool| {
        let (mut now, mut events) = (1_000u64, Vec::new());
        let took = if slow { 5_000 } else { 0 };
        now += took;
        events.push(Event::Mark { mark: Mark::Calibration(Measured::Took as u8), value: took as u32, time: now });
        for (mark, value) in [(Mark::Phase(7), 0), (Mark::InitcallStart, 0x8100_1000)] {
            events.push(Event::Mark { mark, value, time: now });
        }
        tree()[1].run(&mut now, slow, &mut events);
        now += 9;
        events.push(Event::Mark { mark: Mark::InitcallEnd, value: 0, time: now });
        now += 1;
        events.push(Event::End { reason: early_ftrace_format::word::EndReason::PowerOff, time: now });
        vec![vec![chunk(0, 1_000, 0, 1, &events)]]
    };
    let (expected, _) = plain(build_events(false));
    let (got, _, _) = corrected(build_events(true), costs());
    assert_eq!(got.marks, expected.marks);
    // A recorder under Levels: the initcall lasts as long as it did.
    let levels = |streams: Streams, costs: Option<Costs>| {
        let memory = Memory { streams: (0u32..).zip(streams).collect() };
        let mut levels = Levels::new(Timeline::default(), None, None);
        let mut totals = match costs {
            Some(costs) => {
                let mut sink = Corrected::new(&mut levels, costs);
                let mut totals = pipeline::run(&memory, |pipeline| build(pipeline, &mut sink, |_| {}));
                sink.finish(&mut totals);
                totals
            }
            None => pipeline::run(&memory, |pipeline| build(pipeline, &mut levels, |_| {})),
        };
        levels.finish(totals.last, &totals.tasks);
        totals.tasks.clear();
        (levels.initcalls.clone(), levels.timeline.starts().to_vec())
    };
    let right = levels(build_events(false), None);
    let fixed = levels(build_events(true), Some(costs()));
    assert_eq!(fixed, right);
}

/// A task that has waited on one CPU goes on on another, whose clock is further behind: it cannot go on
/// there before it stopped here.
#[test]
fn a_task_that_moves_does_not_travel_in_time() {
    let switch = |pid, time| Event::Switch { state: 0, prio: 120, pid, time };
    let (mut now, mut events) = (1_000, Vec::new());
    for _ in 0..100 {
        Work::leaf(C, 10).run(&mut now, true, &mut events);
    }
    // CPU 0 is 4,700 ticks behind now, CPU 1 not at all.
    let behind = 100 * (HEAD + TAIL + LEAF);
    assert_eq!(now, 1_000 + behind + 1_000);
    events.push(switch(2, 9_000));
    events.push(Event::Entry { site: B, time: 9_100 });
    events.push(Event::Exit { time: 9_300 });
    let first = chunk(0, 1_000, 0, 1, &events);
    let second = chunk(0, 1_000, 0, 2, &[Event::Entry { site: A, time: 8_000 }, switch(3, 8_900)]);
    let (got, totals, _) = corrected(vec![vec![first], vec![second]], costs());
    let task = totals.tasks.iter().find(|task| task.pid == 2).expect("task 2");
    let stays: Vec<_> = got.ran.iter().filter(|ran| ran.0 == 2).collect();
    assert_eq!(stays.len(), 2, "{:?}", got.ran);
    assert!(stays[0].2 <= stays[1].1, "{stays:?}");
    assert_eq!(task.on_cpu, stays.iter().map(|stay| stay.2 - stay.1).sum::<u64>());
    let inner = got.all.iter().find(|call| call.3 == 200 - TAIL).expect("B, less what its entry took");
    assert!(inner.1 >= stays[0].2);
}

fn work() -> impl Strategy<Value = Work> {
    let leaf = (0u64..3, 0u64..5_000).prop_map(|(which, ticks)| Work::leaf(A + which * 0x1000, ticks));
    leaf.prop_recursive(5, 60, 6, |inner| {
        (0u64..3, 0u64..5_000, proptest::collection::vec((inner, 0u64..500), 0..6))
            .prop_map(|(which, before, calls)| Work { site: A + which * 0x1000, before, calls })
    })
}

proptest! {
    /// Whatever was run: what is subtracted is calls times cost, and what is left is what would have been.
    #[test]
    fn what_is_subtracted_is_calls_times_cost(work in proptest::collection::vec(work(), 1..8)) {
        let (expected, _) = plain(stream(&work, false));
        let (got, totals, subtracted) = corrected(stream(&work, true), costs());
        prop_assert_eq!(&got, &expected);
        prop_assert_eq!(subtracted.sums.clamped, 0);
        let spent = subtracted.leaves * (HEAD + TAIL + LEAF) + subtracted.others * (HEAD + TAIL + WORD + EXIT);
        prop_assert_eq!(subtracted.sums.ticks, spent);
        prop_assert_eq!(totals.last - totals.first, got.ran.iter().map(|ran| ran.2 - ran.1).sum::<u64>());
        // Self times add up to what the outermost calls last.
        let own: u64 = got.all.iter().map(|call| call.4).sum();
        let gaps = 5 * work.len() as u64;
        prop_assert_eq!(own + gaps, totals.last - totals.first);
    }

    /// Costs that are not those of the trace take nothing that is not there, whatever they are.
    #[test]
    fn wrong_costs_do_no_harm(
        work in proptest::collection::vec(work(), 1..5),
        parts in proptest::array::uniform5(-(1i64 << 40)..1 << 40),
    ) {
        let [before_entry, after_entry, entry_word, after_leaf, after_exit] = parts;
        let costs = Costs { before_entry, after_entry, entry_word, after_leaf, after_exit };
        let (got, totals, _) = corrected(stream(&work, true), costs);
        prop_assert!(totals.first <= totals.last);
        for (_, start, end, total, own) in got.all {
            prop_assert!(start <= end && own <= total && total <= end - start);
        }
    }
}

/// The sums of a report: self times are what the task was on its CPU.
#[test]
fn sums_by_function_are_those_of_the_boot_without_the_recorder() {
    let name = |_: Site<'_>| String::new();
    let figures = |streams: Streams, costs: Costs| {
        let memory = Memory { streams: (0u32..).zip(streams).collect() };
        let mut aggregate = Aggregate::new(Filter::new(Default::default(), &name));
        let mut sink = Corrected::new(&mut aggregate, costs);
        let mut totals = pipeline::run(&memory, |pipeline| build(pipeline, &mut sink, |_| {}));
        sink.finish(&mut totals);
        (0..3).map(|number| aggregate.all(Function(number))).collect::<Vec<_>>()
    };
    assert_eq!(figures(stream(&tree(), true), costs()), figures(stream(&tree(), false), Costs::default()));
}
