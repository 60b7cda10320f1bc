// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Random executions of several tasks on several CPUs, against a model that adds up each call where
//! it is made, with nothing of the builder's in it; and random words, which must do no harm.

use std::collections::HashMap;

use early_ftrace_format::event::Event;
use proptest::prelude::*;

use super::tests::{chunk, run};
use crate::trace_dir::{Block, Gap, Run};

/// One step of the CPU whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Call(u64),
    Leaf(u64, u64),
    Return,
    /// To the waiting task with this number, if there is one.
    Switch(usize),
    /// A new chunk begins.
    Chunk,
    /// The task ends and the CPU goes idle.
    End,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<(usize, u64, Step)>> {
    let step = prop_oneof![
        4 => (0u64..6).prop_map(Step::Call),
        6 => ((0u64..6), prop_oneof![0u64..50, 32_000u64..34_000]).prop_map(|(f, d)| Step::Leaf(f, d)),
        4 => Just(Step::Return),
        2 => (0usize..8).prop_map(Step::Switch),
        1 => Just(Step::Chunk),
        1 => Just(Step::End),
    ];
    proptest::collection::vec((0usize..3, prop_oneof![9 => 1u64..100, 1 => 70_000u64..1 << 33], step), 0..300)
}

fn site(function: u64) -> u64 {
    0xffff_ffff_8123_0005 + function * 16
}

#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
struct Sum {
    calls: u64,
    total: u64,
    own: u64,
}

/// A task that knows its own on-CPU clock: calls are measured with that.
#[derive(Default)]
struct Task {
    pid: u32,
    clock: u64,
    /// Function, clock at entry, time in calls made from it.
    stack: Vec<(u64, u64, u64)>,
}

impl Task {
    fn pop(&mut self, sums: &mut HashMap<u64, Sum>) {
        let (function, entered, children) = self.stack.pop().unwrap();
        self.count(sums, function, self.clock - entered, children);
    }

    fn count(&mut self, sums: &mut HashMap<u64, Sum>, function: u64, total: u64, children: u64) {
        let sum = sums.entry(function).or_default();
        sum.calls += 1;
        sum.own += total - children;
        if self.stack.iter().all(|frame| frame.0 != function) {
            sum.total += total;
        }
        if let Some(parent) = self.stack.last_mut() {
            parent.2 += total;
        }
    }
}

struct Cpu {
    chunks: Vec<(u64, u32, Vec<Event>)>,
    task: usize,
    /// Until when the running task's clock has been set.
    set: u64,
}

/// What was executed, and how it would be recorded.
pub(super) struct Execution {
    sums: HashMap<u64, Sum>,
    pub(super) streams: Vec<Vec<Result<Block, Gap>>>,
}

/// Takes the steps, one after the other.
pub(super) fn execution(steps: Vec<(usize, u64, Step)>) -> Execution {
    let mut sums: HashMap<u64, Sum> = HashMap::new();
    let mut now = 1000;
    // Tasks 0 to 2 are the idle ones of the CPUs.
    let mut tasks: Vec<Task> =
        (0..8).map(|n: u32| Task { pid: if n < 3 { 0 } else { n + 40_000 * (n % 2) }, ..Task::default() }).collect();
    let mut waiting: Vec<usize> = (3..8).collect();
    let mut cpus: Vec<Cpu> = (0..3).map(|n| Cpu { chunks: vec![(now, 0, Vec::new())], task: n, set: now }).collect();
    for (cpu, pause, step) in steps {
        now += pause;
        let at = cpu;
        let cpu = &mut cpus[cpu];
        let task = &mut tasks[cpu.task];
        task.clock += now - cpu.set;
        cpu.set = now;
        match step {
            Step::Call(function) => {
                task.stack.push((function, task.clock, 0));
                cpu.chunks.last_mut().unwrap().2.push(Event::Entry { site: site(function), time: now });
            }
            Step::Leaf(function, ticks) => {
                now += ticks;
                task.clock += ticks;
                cpu.set = now;
                task.count(&mut sums, function, ticks, 0);
                let event = Event::Leaf { site: site(function), start: now - ticks, end: now };
                cpu.chunks.last_mut().unwrap().2.push(event);
            }
            Step::Return if !task.stack.is_empty() => {
                task.pop(&mut sums);
                cpu.chunks.last_mut().unwrap().2.push(Event::Exit { time: now });
            }
            Step::Return => {}
            Step::Switch(number) => {
                if waiting.is_empty() {
                    continue;
                }
                let next = waiting.remove(number % waiting.len());
                if cpu.task >= 3 {
                    waiting.push(cpu.task);
                }
                cpu.task = next;
                let pid = tasks[next].pid;
                cpu.chunks.last_mut().unwrap().2.push(Event::Switch { state: 2, prio: 100, pid, time: now });
            }
            Step::Chunk => cpu.chunks.push((now, task.pid, Vec::new())),
            Step::End if cpu.task >= 3 => {
                // Its note stands before the last switch; the time of a note is that of the event before.
                let marker = Event::Leaf { site: site(99), start: now, end: now };
                task.count(&mut sums, 99, 0, 0);
                while !task.stack.is_empty() {
                    task.pop(&mut sums);
                }
                let events = &mut cpu.chunks.last_mut().unwrap().2;
                events.push(marker);
                events.push(Event::Ended { pid: task.pid });
                events.push(Event::Switch { state: 64, prio: 120, pid: 0, time: now });
                // The pid may come again, as another task.
                let pid = task.pid;
                tasks[cpu.task] = Task { pid, ..Task::default() };
                waiting.push(cpu.task);
                cpu.task = at;
            }
            Step::End => {
                // An idle task has no end. Something must happen, or the trace ends before this.
                task.count(&mut sums, 98, 0, 0);
                let event = Event::Leaf { site: site(98), start: now, end: now };
                cpu.chunks.last_mut().unwrap().2.push(event);
            }
        }
    }
    // What is open at the end counts up to the last event of the CPU where its task ran.
    for task in &mut tasks {
        while !task.stack.is_empty() {
            task.pop(&mut sums);
        }
    }

    let streams = cpus
        .iter()
        .map(|cpu| {
            (0u64..).zip(&cpu.chunks).map(|(seq, (tsc, pid, events))| chunk(seq, *tsc, 0, *pid, events)).collect()
        })
        .collect();
    Execution { sums, streams }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn aggregates_equal_the_model(steps in steps()) {
        let Execution { sums, streams } = execution(steps);
        let built = run(streams);
        prop_assert_eq!(built.totals.orphans, 0);
        prop_assert_eq!(built.totals.mismatches, 0);
        prop_assert_eq!(built.totals.cut, 0);
        for (function, sum) in sums {
            let found = built.of(site(function));
            prop_assert_eq!(Sum { calls: found.calls, total: found.total, own: found.own }, sum, "{}", function);
        }
    }

    #[test]
    fn any_words_do_no_harm(
        cpus in proptest::collection::vec(
            proptest::collection::vec(
                (
                    any::<u64>(), any::<u64>(), 0u64..3, 0u32..5,
                    proptest::collection::vec(
                        prop_oneof![
                            any::<u64>(),
                            (any::<u64>(), 0u64..8).prop_map(|(high, low)| high << 32 | 0x8100_0000 | low),
                            (any::<u64>(), 1u64..12).prop_map(|(high, low)| high << 32 | 0x8000_0000 | low),
                            (any::<u64>(), 1u64..12).prop_map(|(high, low)| high << 32 | low),
                        ],
                        0..60,
                    ),
                ),
                0..4,
            ),
            0..4,
        )
    ) {
        let streams = cpus
            .into_iter()
            .map(|runs| {
                runs.into_iter()
                    .map(|(seq, tsc, lost, pid, words)| {
                        Ok(Block { runs: vec![Run { seq, tsc, lost, pid, depth: 0, words: 0..words.len() }], words })
                    })
                    .collect()
            })
            .collect();
        let built = run(streams);
        prop_assert!(built.totals.gap_count <= 20);
    }
}
