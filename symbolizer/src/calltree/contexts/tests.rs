// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The merged tree against [`Aggregate`]: both add up the same calls, each in its own way, so they must
//! agree function by function, under every filter. Random executions with phases, losses, ended tasks and
//! idle tasks that boot; and a few by hand, where the tree itself is compared.

use std::collections::BTreeMap;

use bootlevel::Phase;
use early_ftrace_format::event::Event;
use early_ftrace_format::mark::Mark;
use proptest::prelude::*;

use super::*;
use crate::calltree::aggregate::Aggregate;
use crate::calltree::both::Both;
use crate::calltree::filter::{Globs, Wanted};
use crate::calltree::tests::chunk;
use crate::calltree::{Totals, build};
use crate::decode::pipeline;
use crate::decode::source::Memory;

/// A made-up trace.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// For each CPU its chunks: opening time, events lost before, running pid, events.
    cpus: Vec<Vec<(u64, u64, u32, Vec<Event>)>>,
    /// The phases and their begins, as `meta.json` would have them.
    pub(crate) phases: Vec<(Phase, u64)>,
}

const BASE: u64 = 0xffff_ffff_8123_0005;

fn site(function: u64) -> u64 {
    BASE + function * 16
}

/// `f0`, `f1` and so on.
pub(crate) fn name_of(site: Site<'_>) -> String {
    format!("f{}", site.address.wrapping_sub(BASE) / 16)
}

/// Runs a sink through it.
pub(crate) fn run(trace: &Trace, sink: &mut impl Sink) -> Totals {
    let blocks = |chunks: &Vec<(u64, u64, u32, Vec<Event>)>| {
        let numbered = (0u64..).zip(chunks);
        numbered.map(|(seq, (tsc, lost, pid, events))| chunk(seq, *tsc, *lost, *pid, events)).collect()
    };
    let memory = Memory { streams: (0u32..).zip(trace.cpus.iter().map(blocks)).collect() };
    pipeline::run(&memory, |pipeline| build(pipeline, sink, |_| {}))
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Call(u64),
    Leaf(u64, u64),
    Return,
    Switch(usize),
    Chunk,
    Lose,
    End,
    /// The next phase, or one further on.
    Phase(u8),
    Name,
}

fn step() -> impl Strategy<Value = Step> {
    let ticks = prop_oneof![8 => 0u64..50, 2 => 50u64..400, 1 => 32_000u64..40_000];
    prop_oneof![
        30 => (0u64..5).prop_map(Step::Call),
        30 => (0u64..5, ticks).prop_map(|(function, ticks)| Step::Leaf(function, ticks)),
        25 => Just(Step::Return),
        12 => (0usize..8).prop_map(Step::Switch),
        3 => Just(Step::Chunk),
        1 => Just(Step::Lose),
        2 => Just(Step::End),
        6 => (1u8..3).prop_map(Step::Phase),
        2 => Just(Step::Name),
    ]
}

struct Cpu {
    chunks: Vec<(u64, u64, u32, Vec<Event>)>,
    task: usize,
}

/// Three CPUs, five tasks besides their idle ones.
pub(crate) fn traces() -> impl Strategy<Value = Trace> {
    let steps = proptest::collection::vec((0usize..3, 1u64..100, step()), 0..250);
    steps.prop_map(|steps| {
        let mut now = 1000;
        let pids: Vec<u32> = (0..8).map(|n: u32| if n < 3 { 0 } else { n }).collect();
        let mut depths = [0u32; 8];
        let mut waiting: Vec<usize> = (3..8).collect();
        let mut cpus: Vec<Cpu> = (0..3).map(|n| Cpu { chunks: vec![(now, 0, 0, Vec::new())], task: n }).collect();
        let mut phases = vec![(Phase::Start, now)];
        let mut phase = Phase::Start as u8;
        for (at, pause, step) in steps {
            now += pause;
            let cpu = &mut cpus[at];
            let pid = pids[cpu.task];
            let mut push = |event| cpu.chunks.last_mut().unwrap().3.push(event);
            match step {
                Step::Call(function) => {
                    push(Event::Entry { site: site(function), time: now });
                    depths[cpu.task] += 1;
                }
                Step::Leaf(function, ticks) => {
                    let start = now;
                    now += ticks;
                    push(Event::Leaf { site: site(function), start, end: now });
                }
                Step::Return if depths[cpu.task] > 0 => {
                    push(Event::Exit { time: now });
                    depths[cpu.task] -= 1;
                }
                Step::Return => {}
                Step::Switch(_) if waiting.is_empty() => {}
                Step::Switch(number) => {
                    // Past the number of those that wait: to the idle task.
                    let next = if number < waiting.len() { waiting.remove(number) } else { at };
                    if next == cpu.task {
                        continue;
                    }
                    push(Event::Switch { state: 1, prio: 120, pid: pids[next], time: now });
                    if cpu.task >= 3 {
                        waiting.push(cpu.task);
                    }
                    cpu.task = next;
                }
                Step::Chunk => cpu.chunks.push((now, 0, pid, Vec::new())),
                Step::Lose => {
                    cpu.chunks.push((now, 7, pid, Vec::new()));
                    depths[cpu.task] = 0;
                }
                Step::End if cpu.task >= 3 => {
                    push(Event::Ended { pid });
                    push(Event::Switch { state: 64, prio: 120, pid: 0, time: now });
                    depths[cpu.task] = 0;
                    // Its pid may come again, as another task.
                    waiting.push(cpu.task);
                    cpu.task = at;
                }
                Step::End => {}
                Step::Phase(further) => {
                    let next = phase.saturating_add(further);
                    if let Some(known) = Phase::from_u8(next) {
                        phase = next;
                        phases.push((known, now));
                        push(Event::Mark { mark: Mark::Phase(next), value: 0, time: now });
                    }
                }
                Step::Name if pid > 0 => push(Event::Named { pid, name: *b"renamed\0\0\0\0\0\0\0\0\0" }),
                Step::Name => {}
            }
        }
        Trace { cpus: cpus.into_iter().map(|cpu| cpu.chunks).collect(), phases }
    })
}

/// Filters of all kinds, alone and together.
pub(crate) fn filters() -> impl Strategy<Value = Wanted> {
    let globs = |all: &'static [&'static str]| {
        proptest::option::weighted(0.3, proptest::sample::select(all))
            .prop_map(|glob| glob.and_then(|g| Globs::new([g])))
    };
    let times = || proptest::option::weighted(0.2, 0u64..5_000);
    let few = proptest::option::weighted(0.2, proptest::collection::vec(0u32..3, 1..3));
    let spans = proptest::option::weighted(0.2, (1_000u64..3_000, 1u64..2_000, 1u64..500, 1u64..9_000));
    let pids = proptest::collection::vec(3u32..8, 0..2);
    (
        (globs(&["f0", "f1", "f?", "none"]), globs(&["f2", "f3"]), globs(&["renamed", "swapper*"])),
        (proptest::option::weighted(0.2, 1usize..4), proptest::option::weighted(0.3, 0u64..300)),
        (times(), times(), few, spans, prop_oneof![4 => Just(Vec::new()), 1 => pids]),
    )
        .prop_map(|((functions, inside, tasks), (depth, min), (from, to, cpus, spans, pids))| {
            let spans = spans.map(|(a, b, c, d)| vec![a..a + b, a + b + c..a + b + c + d]);
            Wanted { functions, inside, tasks, depth, min, from, to, cpus, spans, pids, ..Wanted::default() }
        })
}

/// Calls and self time.
type Sum = (u64, u64);

/// By phase, idling or not, and function.
type Sums = BTreeMap<(usize, bool, u32), Sum>;

fn sums(merged: &Merged) -> Sums {
    let mut sums = Sums::new();
    let visit = |group: &Group, stack: &[u32], index: usize| {
        let (node, &function) = (&merged.nodes[index], stack.last().unwrap());
        assert_eq!(node.function, function);
        let sum = sums.entry((group.slot.unwrap_or(0), group.idle, function)).or_default();
        *sum = (sum.0 + node.calls, sum.1 + node.own);
        Ok::<_, ()>(())
    };
    merged.visit(visit).unwrap();
    sums.retain(|_, sum| *sum != (0, 0));
    sums
}

fn by_function(sums: &Sums) -> BTreeMap<(bool, u32), Sum> {
    let mut all: BTreeMap<_, Sum> = BTreeMap::new();
    for (&(_, idle, function), sum) in sums {
        let of = all.entry((idle, function)).or_default();
        *of = (of.0 + sum.0, of.1 + sum.1);
    }
    all
}

/// The same from the other side.
fn reference(aggregate: &Aggregate<'_>, functions: usize) -> Sums {
    let mut sums = Sums::new();
    for number in 0..functions as u32 {
        let function = Function(number);
        let idle = aggregate.idle(function);
        sums.insert((0, true, number), (idle.calls, idle.own));
        for slot in 0..crate::calltree::phases::SLOTS {
            let busy = aggregate.in_slot(function, slot);
            sums.insert((slot, false, number), (busy.calls, busy.own));
        }
    }
    sums.retain(|_, sum| *sum != (0, 0));
    sums
}

/// Total time by function: what is inside a call of the same function is part of that.
fn totals(merged: &Merged) -> BTreeMap<(bool, u32), u64> {
    let mut sums = BTreeMap::new();
    let visit = |group: &Group, stack: &[u32], index: usize| {
        let (function, around) = stack.split_last().unwrap();
        if !around.contains(function) {
            *sums.entry((group.idle, *function)).or_default() += merged.totals[index];
        }
        Ok::<_, ()>(())
    };
    merged.visit(visit).unwrap();
    sums.retain(|_, sum| *sum != 0);
    sums
}

fn both<'a>(
    trace: &Trace,
    wanted: &Wanted,
    timeline: &Timeline,
    grouping: Grouping,
) -> (Merged, Aggregate<'a>, Totals) {
    let mut contexts = Contexts::new(Filter::new(wanted.clone(), &name_of), timeline.clone(), grouping);
    let mut aggregate = Aggregate::new(Filter::new(wanted.clone(), &name_of)).by_phase(timeline.clone());
    let totals = run(trace, &mut Both(&mut contexts, &mut aggregate));
    (contexts.finish(), aggregate, totals)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn sums_equal_the_aggregate(trace in traces(), wanted in filters(), tasks in any::<bool>(), known in any::<bool>()) {
        let timeline = Timeline::new(if known { trace.phases.clone() } else { Vec::new() });
        for phases in [false, true] {
            let (merged, aggregate, totals) = both(&trace, &wanted, &timeline, Grouping { phases, tasks });
            let (ours, theirs) = (sums(&merged), reference(&aggregate, totals.functions().len()));
            prop_assert_eq!(by_function(&ours), by_function(&theirs));
            if phases && known {
                let busy = |sums: &Sums| sums.iter().filter(|sum| !sum.0.1).map(|sum| (*sum.0, *sum.1)).collect::<Vec<_>>();
                prop_assert_eq!(busy(&ours), busy(&theirs));
            }
        }
    }

    #[test]
    fn totals_equal_the_aggregate(trace in traces(), tasks in any::<bool>()) {
        let wanted = Wanted::default();
        let grouping = Grouping { phases: false, tasks };
        let (merged, aggregate, found) = both(&trace, &wanted, &Timeline::default(), grouping);
        let mut wanted = BTreeMap::new();
        for number in 0..found.functions().len() as u32 {
            wanted.insert((true, number), aggregate.idle(Function(number)).total);
            wanted.insert((false, number), aggregate.busy(Function(number)).total);
        }
        wanted.retain(|_, total| *total != 0);
        prop_assert_eq!(totals(&merged), wanted);
    }

    #[test]
    fn a_caller_has_the_time_of_its_callees(trace in traces(), tasks in any::<bool>()) {
        let grouping = Grouping { phases: false, tasks };
        let (merged, ..) = both(&trace, &Wanted::default(), &Timeline::default(), grouping);
        let mut below: Vec<u64> = merged.nodes.iter().map(|node| node.own).collect();
        for (index, node) in merged.nodes.iter().enumerate() {
            prop_assert!(node.parent as usize <= index);
            if node.parent as usize != index {
                below[node.parent as usize] += merged.totals[index];
            }
        }
        for (index, total) in merged.totals.iter().enumerate() {
            prop_assert_eq!(below[index], *total);
        }
    }
}

fn of(chunks: Vec<Vec<Event>>) -> Trace {
    Trace { cpus: chunks.into_iter().map(|events| vec![(0, 0, 1, events)]).collect(), phases: Vec::new() }
}

/// `path calls own total` of each node, as visited.
fn printed(merged: &Merged, totals: &Totals) -> Vec<String> {
    let names: Vec<String> = totals.functions().map(name_of).collect();
    let mut lines = Vec::new();
    let visit = |group: &Group, stack: &[u32], index: usize| {
        let node = &merged.nodes[index];
        let path: Vec<&str> = stack.iter().map(|&number| names[number as usize].as_str()).collect();
        let phase = group.slot.map_or("", |slot| Phase::ALL[slot].name());
        let numbers = [node.calls, node.own, merged.totals[index], node.longest];
        lines.push(format!("{phase}{}{} {numbers:?}", if group.idle { "~" } else { ":" }, path.join(">")));
        Ok::<_, ()>(())
    };
    merged.visit(visit).unwrap();
    lines
}

#[test]
fn equal_ways_are_one_node_and_recursion_nests() {
    let enter = |function, time| Event::Entry { site: site(function), time };
    let leaf = |function, start, end| Event::Leaf { site: site(function), start, end };
    let events = vec![
        enter(0, 0),
        enter(0, 10),
        leaf(1, 20, 25),
        Event::Exit { time: 30 },
        leaf(1, 40, 50),
        leaf(1, 50, 51),
        Event::Exit { time: 100 },
        enter(0, 200),
        Event::Exit { time: 205 },
    ];
    let (merged, _, totals) = both(&of(vec![events]), &Wanted::default(), &Timeline::default(), Grouping::default());
    assert_eq!(
        printed(&merged, &totals),
        [":f0 [2, 74, 105, 100]", ":f0>f0 [1, 15, 20, 20]", ":f0>f0>f1 [1, 5, 5, 5]", ":f0>f1 [2, 11, 11, 10]"]
    );
}

#[test]
fn an_open_call_is_told_apart_by_phase() {
    let enter = |function, time| Event::Entry { site: site(function), time };
    let phase = |phase: Phase, time| Event::Mark { mark: Mark::Phase(phase as u8), value: 0, time };
    let events = vec![
        phase(Phase::Start, 0),
        enter(0, 10),
        enter(1, 20),
        phase(Phase::Early, 100),
        Event::Leaf { site: site(2), start: 110, end: 120 },
        Event::Exit { time: 150 },
        phase(Phase::Fs, 200),
        Event::Exit { time: 260 },
    ];
    let known = Timeline::new(vec![(Phase::Start, 0), (Phase::Early, 100), (Phase::Fs, 200)]);
    for timeline in [known, Timeline::default()] {
        let grouping = Grouping { phases: true, tasks: false };
        let (merged, _, totals) = both(&of(vec![events.clone()]), &Wanted::default(), &timeline, grouping);
        let lines = [
            "start:f0 [1, 10, 90, 250]",
            "start:f0>f1 [1, 80, 80, 130]",
            "early:f0 [0, 50, 100, 0]",
            "early:f0>f1 [0, 40, 50, 0]",
            "early:f0>f1>f2 [1, 10, 10, 10]",
            "fs:f0 [0, 60, 60, 0]",
        ];
        assert_eq!(printed(&merged, &totals), lines);
    }
}

#[test]
fn what_a_filter_leaves_out_stays_in_its_callers_total() {
    let enter = |function, time| Event::Entry { site: site(function), time };
    let exit = |time| Event::Exit { time };
    let trace = of(vec![vec![enter(0, 0), enter(1, 10), enter(2, 20), exit(30), exit(40), exit(50)]]);
    let wanted = Wanted { functions: Globs::new(["f0", "f2"]), ..Wanted::default() };
    let (merged, _, totals) = both(&trace, &wanted, &Timeline::default(), Grouping::default());
    assert_eq!(printed(&merged, &totals), [":f0 [1, 20, 50, 50]", ":f0>f2 [1, 10, 10, 10]"]);
}

#[test]
fn the_end_of_time_ends_nothing() {
    let call = |time| vec![(time, 0, 1, vec![Event::Entry { site: site(0), time }, Event::Exit { time }])];
    let trace = Trace { cpus: vec![call(5), call(u64::MAX)], phases: vec![(Phase::Start, 5), (Phase::Early, 9)] };
    for phases in [false, true] {
        let grouping = Grouping { phases, tasks: false };
        let (merged, ..) = both(&trace, &Wanted::default(), &Timeline::new(trace.phases.clone()), grouping);
        assert_eq!(merged.calls_below().iter().max(), Some(&if phases { 1 } else { 2 }));
    }
}
