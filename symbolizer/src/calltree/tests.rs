// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Call trees of small made-up executions, one situation each.

use early_ftrace_format::encode::Encoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::word::EndReason;

use super::aggregate::{Aggregate, Figures, Unfinished};
use super::filter::{Filter, Globs, Wanted};
use super::{Function, Site, Totals, build};
use crate::decode::pipeline;
use crate::decode::source::Memory;
use crate::trace_dir::{Block, Gap, Run};

/// Sites of functions a, b, c.
const A: u64 = 0xffff_ffff_8100_1005;
const B: u64 = 0xffff_ffff_8100_2005;
const C: u64 = 0xffff_ffff_8100_3005;

/// A chunk of one CPU: number, opening time, events lost before it, running pid, events.
pub(super) fn chunk(seq: u64, tsc: u64, lost: u64, pid: u32, events: &[Event]) -> Result<Block, Gap> {
    let mut words = Vec::new();
    let mut encoder = Encoder::new(tsc);
    for &event in events {
        encoder.push(event, |word| words.push(word)).unwrap();
    }
    Ok(Block { runs: vec![Run { seq, tsc, lost, pid, depth: 0, words: 0..words.len() }], words })
}

pub(super) struct Built {
    pub totals: Totals,
    /// Of each function: in tasks that idle not, and in those that do.
    figures: Vec<[Figures; 2]>,
    unfinished: Vec<Unfinished>,
    pub longest: Vec<super::aggregate::Long>,
}

impl Built {
    pub(super) fn index(&self, site: u64) -> Option<usize> {
        self.totals.sites.addresses().position(|address| address == site)
    }

    pub(super) fn of(&self, site: u64) -> Figures {
        self.index(site).map_or_else(Figures::default, |index| {
            let mut sum = self.figures[index][0];
            sum.add(&self.figures[index][1]);
            sum
        })
    }

    /// Of the function with this number.
    pub(super) fn calls(&self, index: usize) -> u64 {
        self.figures[index][0].calls + self.figures[index][1].calls
    }

    fn idle(&self, site: u64) -> Figures {
        self.index(site).map_or_else(Figures::default, |index| self.figures[index][1])
    }

    fn unfinished(&self, site: u64) -> Unfinished {
        self.index(site).map_or_else(Unfinished::default, |index| self.unfinished[index])
    }
}

pub(super) fn run_wanted(streams: Vec<Vec<Result<Block, Gap>>>, wanted: Wanted) -> Built {
    let memory = Memory { streams: (0u32..).zip(streams).collect() };
    let name = |site: Site<'_>| match site.address {
        A => "alpha".to_owned(),
        B => "beta".to_owned(),
        _ => "gamma".to_owned(),
    };
    let mut aggregate = Aggregate::new(Filter::new(wanted, &name));
    let totals = pipeline::run(&memory, |pipeline| build(pipeline, &mut aggregate, |_| {}));
    let figures = (0..totals.sites.addresses().len() as u32)
        .map(|number| [aggregate.busy(Function(number)), aggregate.idle(Function(number))])
        .collect();
    let Aggregate { unfinished, longest, .. } = aggregate;
    Built { totals, figures, unfinished, longest }
}

pub(super) fn run(streams: Vec<Vec<Result<Block, Gap>>>) -> Built {
    run_wanted(streams, Wanted::default())
}

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

fn times(figures: Figures) -> (u64, u64, u64) {
    (figures.calls, figures.total, figures.own)
}

#[test]
fn nested_calls_have_self_and_total_time() {
    let built = run(vec![vec![chunk(
        0,
        100,
        0,
        1,
        &[enter(A, 100), leaf(B, 110, 120), enter(C, 130), leaf(B, 140, 145), exit(150), exit(200)],
    )]]);
    assert_eq!(times(built.of(A)), (1, 100, 70));
    assert_eq!(times(built.of(B)), (2, 15, 15));
    assert_eq!(times(built.of(C)), (1, 20, 15));
    assert_eq!((built.of(B).min, built.of(B).max), (5, 10));
    assert_eq!(built.totals.events, 8);
    // A is 100 long, of which no single call takes half.
    assert_eq!(built.longest[0].call.total, 100);
    assert_eq!(built.longest[1].path, [Function(0)]);
}

#[test]
fn recursion_counts_in_total_once() {
    let built = run(vec![vec![chunk(0, 0, 0, 1, &[enter(A, 0), enter(A, 10), leaf(A, 20, 25), exit(60), exit(100)])]]);
    assert_eq!(times(built.of(A)), (3, 100, 50 + 45 + 5));
}

#[test]
fn the_same_function_in_two_tasks_is_no_recursion() {
    let built = run(vec![vec![chunk(
        0,
        0,
        0,
        1,
        &[enter(A, 0), switch(2, 10), enter(A, 20), exit(50), switch(1, 60), exit(100)],
    )]]);
    // Task 1 was away from 10 to 60.
    assert_eq!(times(built.of(A)), (2, 50 + 30, 50 + 30));
}

#[test]
fn time_away_counts_for_nobody() {
    let built = run(vec![vec![chunk(
        0,
        0,
        0,
        1,
        &[enter(A, 0), enter(B, 10), switch(0, 20), leaf(C, 30, 40), switch(1, 1000), exit(1010), exit(1030)],
    )]]);
    assert_eq!(times(built.of(B)), (1, 20, 20));
    assert_eq!(times(built.of(A)), (1, 50, 30));
    assert_eq!(times(built.idle(C)), (1, 10, 10));
    assert_eq!(built.totals.tasks.iter().find(|task| task.idle == Some(0)).unwrap().on_cpu, 980);
}

#[test]
fn a_task_takes_its_stack_to_another_cpu() {
    let first = chunk(0, 0, 0, 7, &[enter(A, 10), enter(B, 20), switch(0, 30), leaf(C, 200, 210)]);
    let second = chunk(0, 5, 0, 0, &[leaf(C, 6, 9), switch(7, 100), exit(120), exit(150), switch(0, 160)]);
    for streams in [vec![vec![first.clone()], vec![second.clone()]], vec![vec![second], vec![first]]] {
        let built = run(streams);
        assert_eq!(times(built.of(A)), (1, 70, 40));
        assert_eq!(times(built.of(B)), (1, 30, 30));
        assert_eq!(built.totals.orphans, 0);
        // One idle task for each CPU.
        assert_eq!(built.totals.tasks.iter().filter(|task| task.idle.is_some()).count(), 2);
    }
}

#[test]
fn a_task_that_ends_closes_its_calls_and_frees_its_pid() {
    let built = run(vec![vec![chunk(
        0,
        0,
        0,
        7,
        &[
            enter(A, 0),
            enter(B, 10),
            Event::Ended { pid: 7 },
            leaf(C, 20, 30),
            switch(7, 40),
            enter(A, 50),
            exit(60),
            exit(70),
        ],
    )]]);
    assert_eq!(built.unfinished(A).ended, 1);
    assert_eq!(built.of(A).calls, 2);
    assert_eq!(times(built.of(B)), (1, 0, 0));
    // The second task 7 has nothing from the first: its second exit is an orphan.
    assert_eq!(built.totals.orphans, 1);
    assert_eq!(built.totals.tasks.len(), 2);
}

#[test]
fn an_end_noted_elsewhere_does_not_hit_the_next_task_with_the_pid() {
    // CPU 1 reaps task 7 at 100, in a segment that began at 0; CPU 0 runs the new task 7 from 200.
    let first = chunk(
        0,
        0,
        0,
        7,
        &[enter(A, 10), switch(0, 50), switch(7, 200), enter(B, 210), switch(0, 220), switch(7, 230), exit(240)],
    );
    let second = chunk(0, 0, 0, 9, &[leaf(C, 90, 100), Event::Ended { pid: 7 }, leaf(C, 300, 310)]);
    let built = run(vec![vec![first], vec![second]]);
    assert_eq!(built.unfinished(A).ended, 1);
    assert_eq!(times(built.of(B)), (1, 20, 20));
    assert_eq!(built.totals.orphans, 0);
}

#[test]
fn a_loss_cuts_what_was_open_on_its_cpu() {
    let built = run(vec![
        vec![
            chunk(0, 0, 0, 1, &[enter(A, 0), switch(2, 10), enter(B, 20), leaf(C, 30, 40)]),
            chunk(1, 500, 17, 1, &[exit(510), enter(C, 520), exit(530)]),
        ],
        vec![chunk(0, 0, 0, 3, &[enter(B, 0), exit(900)])],
    ]);
    assert_eq!((built.totals.lost, built.totals.losses), (17, 1));
    assert_eq!(built.totals.cut, 2);
    assert_eq!(built.totals.orphans, 1);
    assert_eq!(built.unfinished(A).cut, 1);
    // Known up to the last event before the loss.
    assert_eq!(times(built.of(A)), (1, 10, 10));
    // B: 20 ticks cut on CPU 0, 900 whole on CPU 1.
    assert_eq!(times(built.of(B)), (2, 20 + 900, 10 + 900));
    assert_eq!((built.of(B).min, built.of(B).max), (900, 900));
    assert_eq!(times(built.of(C)), (2, 20, 20));
}

#[test]
fn what_waits_on_another_cpu_is_suspect_after_a_loss() {
    let built = run(vec![
        vec![chunk(0, 0, 0, 1, &[leaf(C, 1, 2)]), chunk(1, 500, 1, 1, &[leaf(C, 510, 520)])],
        vec![chunk(0, 0, 0, 3, &[enter(B, 0), switch(0, 100), switch(3, 800), exit(900)])],
    ]);
    assert_eq!(built.totals.suspect, 1);
    assert_eq!(built.of(B).calls, 1);
}

#[test]
fn gaps_and_missing_chunks_cut_too() {
    let gap = || Err(Gap { offset: 99, reason: "bad checksum".to_owned() });
    let built = run(vec![vec![
        chunk(0, 0, 0, 1, &[enter(A, 0)]),
        gap(),
        chunk(1, 100, 0, 1, &[enter(B, 100)]),
        chunk(5, 200, 0, 1, &[exit(210)]),
        gap(),
    ]]);
    assert_eq!(built.totals.gap_count, 3);
    assert_eq!(built.totals.gaps[0], (0, Some(99), "bad checksum".to_owned()));
    assert_eq!(built.totals.gaps[1].2, "chunks 2 to 4 are missing");
    assert_eq!((built.totals.cut, built.totals.orphans), (2, 1));
}

#[test]
fn lost_words_and_unwritten_slots_cut() {
    let mut bad = chunk(
        0,
        0,
        0,
        1,
        &[enter(A, 0), Event::Lost { count: 3 }, enter(B, 10), leaf(C, 12, 14), leaf(C, 15, 16), exit(20)],
    )
    .unwrap();
    bad.words[3] = 0xffff_ffff_0000_0000;
    let built = run(vec![vec![Ok(bad)]]);
    assert_eq!((built.totals.lost, built.totals.unwritten, built.totals.losses), (3, 1, 2));
    assert_eq!((built.totals.cut, built.totals.orphans), (2, 1));
    assert_eq!(built.of(C).calls, 1);
}

#[test]
fn what_is_open_at_the_end_is_listed() {
    let built = run(vec![vec![chunk(
        0,
        0,
        0,
        1,
        &[
            enter(A, 10),
            enter(B, 20),
            Event::Named { pid: 1, name: *b"init\0\0\0\0\0\0\0\0\0\0\0\0" },
            leaf(C, 30, 50),
            Event::End { reason: EndReason::Died, time: 60 },
        ],
    )]]);
    assert_eq!(built.totals.ends, [(0, Some(EndReason::Died))]);
    let (task, frames) = &built.totals.open[0];
    assert_eq!(built.totals.tasks[task.index()].label(), "init");
    assert_eq!(frames.iter().map(|frame| frame.start).collect::<Vec<_>>(), [10, 20]);
    assert_eq!(times(built.of(A)), (1, 50, 10));
    assert_eq!(built.unfinished(B).open, 1);
}

#[test]
fn an_interrupt_nests_in_what_it_interrupts() {
    let built = run(vec![vec![chunk(0, 0, 0, 1, &[enter(A, 0), enter(C, 50), leaf(B, 60, 65), exit(80), exit(100)])]]);
    assert_eq!(times(built.of(A)), (1, 100, 70));
}

#[test]
fn times_that_step_back_do_no_harm() {
    let built =
        run(vec![vec![chunk(0, 100, 0, 1, &[enter(A, 200), leaf(B, 210, 220), enter(C, 205), exit(203), exit(198)])]]);
    assert_eq!(times(built.of(A)), (1, 0, 0));
    assert_eq!(times(built.of(C)), (1, 0, 0));
}

#[test]
fn filters_choose_calls() {
    let glob = |pattern: &'static str| Globs::new([pattern]);
    let trace = || {
        vec![vec![chunk(
            0,
            0,
            0,
            1,
            &[
                enter(A, 0),
                leaf(B, 10, 20),
                enter(C, 30),
                leaf(B, 40, 45),
                exit(60),
                exit(100),
                leaf(B, 200, 205),
                switch(2, 300),
                leaf(B, 310, 311),
            ],
        )]]
    };
    let calls = |wanted: Wanted| {
        let built = run_wanted(trace(), wanted);
        (built.of(A).calls, built.of(B).calls, built.of(C).calls)
    };
    let none = Wanted::default;
    assert_eq!(calls(none()), (1, 4, 1));
    assert_eq!(calls(Wanted { functions: glob("b*"), ..none() }), (0, 4, 0));
    assert_eq!(calls(Wanted { inside: glob("gamma"), ..none() }), (0, 1, 1));
    assert_eq!(calls(Wanted { inside: glob("beta"), ..none() }), (0, 4, 0));
    assert_eq!(calls(Wanted { depth: Some(1), ..none() }), (1, 2, 0));
    assert_eq!(calls(Wanted { min: Some(10), ..none() }), (1, 1, 1));
    assert_eq!(calls(Wanted { from: Some(35), to: Some(205), ..none() }), (0, 2, 0));
    assert_eq!(calls(Wanted { cpus: Some(vec![1]), ..none() }), (0, 0, 0));
    assert_eq!(calls(Wanted { pids: vec![2], ..none() }), (0, 1, 0));
}

#[test]
fn booting_in_the_idle_task_is_not_idling() {
    let built = run(vec![vec![chunk(
        0,
        0,
        0,
        0,
        &[
            enter(A, 0),
            leaf(B, 10, 20),
            enter(C, 30),
            switch(1, 100),
            leaf(B, 110, 120),
            switch(0, 200),
            leaf(B, 210, 220),
            exit(230),
            enter(C, 240),
            switch(1, 300),
        ],
    )]]);
    // A: 100 while booting, 100 while idling; it made calls of 10 + 70 and of 10 + 20 + 60.
    let index = built.index(A).unwrap();
    assert_eq!(times(built.figures[index][0]), (1, 100, 20));
    assert_eq!(times(built.idle(A)), (0, 100, 10));
    // C: the first began while booting, the second while idling.
    assert_eq!(times(built.idle(C)), (1, 30 + 60, 20 + 60));
    assert_eq!(times(built.of(C)), (2, 70 + 30 + 60, 70 + 20 + 60));
    let swapper = &built.totals.tasks[0];
    assert_eq!((swapper.boot, swapper.on_cpu), (100, 200));
}

#[test]
fn time_goes_to_the_phases_in_which_it_was_spent() {
    use bootlevel::Phase;

    use super::phases::Timeline;
    use early_ftrace_format::mark::Mark;

    let mark = |phase: Phase, time| Event::Mark { mark: Mark::Phase(phase as u8), value: 0, time };
    // A spans three phases; task 1 is away from 150 to 250, while fs begins; on CPU 1, B spans two.
    let streams = || {
        vec![
            vec![chunk(
                0,
                0,
                0,
                1,
                &[
                    mark(Phase::Start, 0),
                    enter(A, 10),
                    mark(Phase::Early, 100),
                    leaf(C, 110, 120),
                    switch(0, 150),
                    switch(1, 250),
                    leaf(C, 260, 290),
                    exit(300),
                ],
            )],
            vec![chunk(0, 0, 0, 2, &[enter(B, 50), mark(Phase::Fs, 200), exit(240)])],
        ]
    };
    let known = vec![(Phase::Start, 0), (Phase::Early, 100), (Phase::Fs, 200)];
    let name = |_: Site<'_>| String::new();
    let mut aggregate = Aggregate::new(Filter::new(Wanted::default(), &name)).by_phase(Timeline::new(known));
    let memory = Memory { streams: (0u32..).zip(streams()).collect() };
    let totals = pipeline::run(&memory, |pipeline| build(pipeline, &mut aggregate, |_| {}));
    let in_phase = |site: u64, phase: Phase| {
        let index = totals.sites.addresses().position(|address| address == site).unwrap();
        times(aggregate.in_slot(Function(index as u32), phase as usize))
    };
    assert_eq!(in_phase(A, Phase::Start), (1, 90, 90));
    assert_eq!(in_phase(A, Phase::Early), (0, 50, 40));
    assert_eq!(in_phase(A, Phase::Fs), (0, 50, 20));
    assert_eq!(in_phase(C, Phase::Early), (1, 10, 10));
    assert_eq!(in_phase(C, Phase::Fs), (1, 30, 30));
    assert_eq!(in_phase(B, Phase::Start), (1, 50, 50));
    assert_eq!(in_phase(B, Phase::Early), (0, 100, 100));
    assert_eq!(in_phase(B, Phase::Fs), (0, 40, 40));
    // Told apart or not, the sums are the same.
    let whole = run(streams());
    for site in [A, B, C] {
        let index = totals.sites.addresses().position(|address| address == site).unwrap();
        assert_eq!(aggregate.all(Function(index as u32)), whole.of(site));
    }
    assert_eq!(totals.other, 0);
}
