// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Parts of random executions, from checkpoints, against the whole with the same filter; and bytes of an outline
//! that were changed, which must do no harm.

use std::ops::Range;

use bootlevel::Phase;
use proptest::prelude::*;

use super::aggregate::Aggregate;
use super::build::build_noting;
use super::checkpoint::Notes;
use super::filter::{Filter, Globs, Wanted};
use super::levels::Levels;
use super::model_tests::{Step, execution, steps};
use super::partial::Outline;
use super::phases::{SLOTS, Timeline};
use super::sink::Nothing;
use super::{Function, Site, build, wire};
use crate::decode::pipeline;
use crate::decode::source::Memory;

fn name(site: Site<'_>) -> String {
    format!("f{}", site.address >> 4 & 3)
}

/// All that a report takes from the sums.
fn sums(aggregate: &Aggregate<'_>, functions: usize, tasks: usize) -> String {
    let figures = (0..functions as u32).map(Function).map(|function| {
        let slots = (0..SLOTS).map(|slot| aggregate.in_slot(function, slot)).collect::<Vec<_>>();
        (slots, aggregate.idle(function))
    });
    let figures: Vec<_> = figures.collect();
    let of_tasks: Vec<_> = (0..tasks).map(|task| aggregate.tasks.get(task).copied().unwrap_or_default()).collect();
    format!("{figures:?} {:?} {:?} {of_tasks:?}", aggregate.unfinished, aggregate.longest)
}

fn noted(memory: &Memory, every: u64) -> (Outline, Levels) {
    let mut notes = Notes::every(every);
    let mut levels = Levels::new(Timeline::default(), Some(7), None);
    let totals = pipeline::run(memory, |pipeline| build_noting(pipeline, &mut levels, Some(&mut notes), |_| {}));
    levels.finish(totals.last, &totals.tasks);
    (Outline::new(notes, totals), levels)
}

fn back(outline: &Outline, levels: &Levels, streams: usize) -> (Outline, Levels) {
    let mut bytes = Vec::new();
    wire::put(outline, levels, &mut bytes);
    let (outline, levels) = wire::take(&bytes, streams).expect("what was put can be taken");
    let mut again = Vec::new();
    wire::put(&outline, &levels, &mut again);
    assert_eq!(bytes, again);
    (outline, levels)
}

fn timeline(starts: &[u64]) -> Timeline {
    let phases = [Phase::Start, Phase::Early, Phase::Core, Phase::Fs, Phase::Late];
    Timeline::new(phases.into_iter().zip(starts.iter().copied()).collect())
}

fn memory(steps: Vec<(usize, u64, Step)>) -> Memory {
    Memory { streams: (0u32..).zip(execution(steps).streams).collect() }
}

fn spans() -> impl Strategy<Value = Option<Vec<Range<u64>>>> {
    let span = (0u64..12_000, 1u64..3_000).prop_map(|(start, long)| start..start + long);
    prop_oneof![
        1 => Just(None),
        1 => span.clone().prop_map(|span| Some(vec![span])),
        1 => (span.clone(), span).prop_map(|(first, second)| {
            let second = first.end + second.start..first.end + second.end;
            Some(vec![first, second])
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn parts_equal_the_whole(
        steps in steps(),
        every in prop_oneof![Just(0u64), 1u64..40],
        starts in proptest::collection::vec(900u64..12_000, 0..5),
        spans in spans(),
        from in proptest::option::of(0u64..8_000),
        to in proptest::option::of(0u64..12_000),
        depth in proptest::option::of(1usize..4),
        min in proptest::option::of(1u64..2_000),
        inside in any::<bool>(),
        pid in proptest::option::of(0u32..4),
        thinner in 0..3,
    ) {
        let mut starts = starts;
        starts.sort_unstable();
        let memory = memory(steps);
        let wanted = Wanted {
            spans,
            from,
            to,
            depth,
            min,
            inside: inside.then(|| Globs::new(["f1"])).flatten(),
            pids: pid.into_iter().collect(),
            ..Wanted::default()
        };
        let mut whole = Aggregate::new(Filter::new(wanted.clone(), &name)).by_phase(timeline(&starts));
        let totals = pipeline::run(&memory, |pipeline| build(pipeline, &mut whole, |_| {}));

        let (mut outline, levels) = noted(&memory, every);
        for _ in 0..thinner {
            outline.thin();
        }
        let (outline, _) = back(&outline, &levels, memory.streams.len());
        let mut parts = Aggregate::new(Filter::new(wanted, &name)).by_phase(timeline(&starts));
        let read = outline.run(&memory, &mut parts).expect("the outline is of this trace");
        prop_assert!(read.read <= read.of);
        let (functions, tasks) = (totals.sites.len(), totals.tasks.len());
        prop_assert_eq!(sums(&parts, functions, tasks), sums(&whole, functions, tasks));
        prop_assert_eq!(format!("{:?}", outline.totals().tasks), format!("{:?}", totals.tasks));
    }

    #[test]
    fn changed_bytes_do_no_harm(
        steps in steps(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let memory = memory(steps);
        let (outline, levels) = noted(&memory, 8);
        let mut bytes = Vec::new();
        wire::put(&outline, &levels, &mut bytes);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some((outline, _)) = wire::take(&bytes, memory.streams.len()) {
            let wanted = Wanted { from: Some(500), to: Some(2_000), ..Wanted::default() };
            let mut parts = Aggregate::new(Filter::new(wanted, &name));
            // Right, wrong or a contradiction: but an end, and no panic.
            let _ = outline.run(&memory, &mut parts);
        }
    }
}

#[test]
fn what_concerns_nobody_is_not_read() {
    let steps = (0..200).map(|turn| (0, 10, if turn % 4 == 3 { Step::Switch(turn) } else { Step::Leaf(1, 5) }));
    let memory = memory(steps.collect());
    let (outline, _) = noted(&memory, 0);
    let read = outline.run(&memory, &mut Nothing).expect("the outline is of this trace");
    assert_eq!(read.read, 0);
    assert!(read.of > 40, "{read:?}");
    let wanted = Wanted { from: Some(1_000), to: Some(1_100), ..Wanted::default() };
    let mut parts = Aggregate::new(Filter::new(wanted, &name));
    let read = outline.run(&memory, &mut parts).expect("the outline is of this trace");
    assert!((1..6).contains(&read.read), "{read:?}");
    assert!(parts.busy(Function(0)).calls > 0);
}
