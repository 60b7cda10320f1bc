// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `--correct`: times without the recorder's own cost, from traces whose recorder has a known one.

use std::path::PathBuf;

use bootlevel::Phase;
use early_ftrace_format::event::Event;
use early_ftrace_format::mark::{BATCH, Mark, Measured};
use symbolizer::trace_dir::Meta;

use super::fixture::Fixture;
use super::golden::golden;

/// A leaf call costs 50 ticks: 14 in the call as recorded, 36 before and after it; any other call 55.
const MEASURED: [(Measured, u32); 10] = [
    (Measured::Took, 9_000),
    (Measured::Empty, 4),
    (Measured::PlainLeaves, 3 * BATCH + 4),
    (Measured::PlainPairs, 6 * BATCH + 4),
    (Measured::Leaves, 53 * BATCH + 4),
    (Measured::LeavesInside, 14 * BATCH),
    (Measured::Pairs, 111 * BATCH + 4),
    (Measured::PairsBefore, 40 * BATCH),
    (Measured::PairsInside, 14 * BATCH),
    (Measured::PairsAfter, 30 * BATCH),
];

fn mark(mark: Mark, value: u32, time: u64) -> Event {
    Event::Mark { mark, value, time }
}

/// Measuring takes the first 9,000 ticks; 100 leaf calls of 400 ticks in one that takes 200,000; a phase
/// amid them.
fn events(fixture: &Fixture) -> Vec<Event> {
    let mut events = vec![mark(Mark::Phase(Phase::Start as u8), 0, 1_000_000)];
    events.extend(MEASURED.map(|(what, ticks)| mark(Mark::Calibration(what as u8), ticks, 1_009_000)));
    events.push(fixture.enter("start_kernel", 1_010_000));
    for call in 0..100 {
        let start = 1_020_000 + call * 600;
        if call == 50 {
            events.push(mark(Mark::Phase(Phase::Early as u8), 0, start - 100));
        }
        events.push(fixture.leaf("__kmalloc", start, start + 400));
    }
    events.extend([
        Event::Exit { time: 1_210_000 },
        mark(Mark::Phase(Phase::Shutdown as u8), 0, 1_220_000),
        Event::Switch { state: 1, prio: 120, pid: 7, time: 1_230_000 },
    ]);
    events
}

fn phases(starts: &[(&str, u64)]) -> Vec<(String, u64)> {
    starts.iter().map(|&(name, time)| (name.to_owned(), time)).collect()
}

fn trace(fixture: &Fixture) -> PathBuf {
    let phases = phases(&[("start", 1_000_000), ("early", 1_049_900), ("shutdown", 1_220_000)]);
    fixture.trace(Meta { phases, ..fixture.meta() }, &[vec![(1_000_000, 0, 1, events(fixture))]])
}

#[test]
fn costs_are_subtracted_along_the_tree_and_told() {
    let fixture = Fixture::new();
    let trace = trace(&fixture);
    let (as_it_is, corrected) = (fixture.json(&trace, &[]), fixture.json(&trace, &["--correct"]));
    assert!(as_it_is.get("correction").is_none());
    let correction = &corrected["correction"];
    assert_eq!((&correction["leaf_ticks"], &correction["other_ticks"]), (&50.0.into(), &55.0.into()));
    assert_eq!((&correction["leaf_calls"], &correction["other_calls"]), (&100.into(), &1.into()));
    assert_eq!(correction["clamped_ticks"], 0);
    assert_eq!(correction["subtracted_ticks"], 9_000 + 100 * 50 + 55);
    let of = |report: &serde_json::Value, name: &str, what: &str| {
        let functions = report["functions"].as_array().unwrap();
        functions.iter().find(|function| function["name"] == name).unwrap()[what].as_u64().unwrap()
    };
    assert_eq!(of(&as_it_is, "__kmalloc", "self_ticks"), 40_000);
    assert_eq!(of(&corrected, "__kmalloc", "self_ticks"), 100 * (400 - 14));
    assert_eq!(of(&as_it_is, "start_kernel", "total_ticks"), 200_000);
    // All that the leaves cost, and of its own call what lies between its entry and its exit.
    let total = of(&corrected, "start_kernel", "total_ticks");
    let inside = 200_000 - total - 100 * 50;
    assert!((30..=55).contains(&inside), "{inside}");
    assert_eq!(of(&corrected, "start_kernel", "self_ticks"), total - 100 * (400 - 14));
    let span = |report: &serde_json::Value| report["summary"]["span_ticks"].as_u64().unwrap();
    assert_eq!(span(&as_it_is) - span(&corrected), 9_000 + 100 * 50 + 55);
    assert_eq!(correction["span_recorded_ticks"], span(&as_it_is));
    // Levels are the boot's, and calls are where they were.
    let levels = |report: &serde_json::Value| {
        let levels = report["levels"].as_array().unwrap();
        levels.iter().map(|level| level["ticks"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let (before, after) = (levels(&as_it_is), levels(&corrected));
    assert_eq!(before.len(), after.len());
    let changes: Vec<u64> = before.iter().zip(&after).map(|(before, after)| before - after).collect();
    assert_eq!(changes.iter().sum::<u64>(), 9_000 + 100 * 50 + 55, "{before:?} {after:?}");
}

/// A kernel may change the recorder's code while it boots: what is measured then holds from there on.
#[test]
fn a_second_measurement_counts_from_there_on() {
    let fixture = Fixture::new();
    let measured = |leaf: u32, time: u64| {
        MEASURED.map(|(what, ticks)| {
            let ticks = match what {
                Measured::Took => 0,
                Measured::Leaves => (39 + leaf) * BATCH + 4,
                Measured::LeavesInside => leaf * BATCH,
                _ => ticks,
            };
            mark(Mark::Calibration(what as u8), ticks, time)
        })
    };
    let mut events = measured(14, 1_000_100).to_vec();
    events.push(fixture.enter("start_kernel", 1_001_000));
    events.push(fixture.leaf("__kmalloc", 1_002_000, 1_002_400));
    events.extend(measured(10, 1_003_000));
    events.push(fixture.leaf("__kmalloc", 1_004_000, 1_004_400));
    events.push(Event::Exit { time: 1_005_000 });
    let trace = fixture.trace(fixture.meta(), &[vec![(1_000_000, 0, 1, events)]]);
    let json = fixture.json(&trace, &["--correct"]);
    let functions = json["functions"].as_array().unwrap();
    let kmalloc = functions.iter().find(|function| function["name"] == "__kmalloc").unwrap();
    assert_eq!((&kmalloc["min_ticks"], &kmalloc["max_ticks"]), (&(400 - 14).into(), &(400 - 10).into()));
    assert_eq!(json["correction"]["leaf_ticks"], 46.0);
}

#[test]
fn the_residue_is_told_of_a_time_and_of_a_trace() {
    let fixture = Fixture::new();
    let corrected = trace(&fixture);
    let residue = |of: &serde_json::Value| of["residue_percent"].as_f64().unwrap();
    let json = fixture.json(&corrected, &["--correct", "--untraced", "200000t"]);
    let compared = &json["correction"]["compared"][0];
    assert_eq!((&compared["level"], &compared["untraced_ticks"]), (&serde_json::Value::Null, &200_000.into()));
    assert!((residue(compared) - (215_945.0 / 2_000.0 - 100.0)).abs() < 0.02, "{compared}");

    // A trace of marks alone, beside, by a clock of half the speed.
    let other = Fixture::new();
    let marks = [(Phase::Start, 500), (Phase::Early, 40_500), (Phase::Shutdown, 100_500)];
    let marks = marks.map(|(phase, time)| mark(Mark::Phase(phase as u8), 0, time)).to_vec();
    let starts = phases(&[("start", 500), ("early", 40_500), ("shutdown", 100_500)]);
    let meta = Meta { tsc_khz: Some(500_000), phases: starts, ..other.meta() };
    let untraced = other.trace(meta, &[vec![(500, 0, 1, marks)]]);
    let json = fixture.json(&corrected, &["--correct", "--untraced", untraced.to_str().unwrap()]);
    let compared = json["correction"]["compared"].as_array().unwrap();
    let levels: Vec<_> = compared.iter().map(|row| (&row["level"], &row["untraced_ticks"])).collect();
    let (start, early) = ("start".into(), "early".into());
    assert_eq!(
        levels,
        [(&serde_json::Value::Null, &200_000.into()), (&start, &80_000.into()), (&early, &120_000.into())]
    );
    assert_eq!(compared[1]["recorded_ticks"], 49_900);

    // Where `record --untraced-too` puts it, it is found.
    std::fs::rename(&untraced, corrected.join("untraced")).unwrap();
    let found = fixture.json(&corrected, &["--correct"]);
    assert_eq!(found["correction"]["compared"], json["correction"]["compared"]);
}

#[test]
fn what_cannot_be_corrected_is_refused_with_a_reason() {
    let fixture = Fixture::new();
    let refused = |trace: &PathBuf, args: &[&str], words: &[&str]| {
        let output = fixture.symbolize(trace, args);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    refused(&fixture.boot(), &["--correct"], &["--correct", "does not say what recording costs"]);
    let trace = trace(&fixture);
    refused(&trace, &["--untraced", "1s"], &["--correct"]);
    refused(&trace, &["--correct", "--untraced", "soon"], &["'soon' is no time", "no directory"]);
    let other = Fixture::new();
    let short = other.trace(other.meta(), &[vec![(1_000, 0, 1, vec![mark(Mark::Phase(1), 0, 1_000)])]]);
    refused(&trace, &["--correct", "--untraced", short.to_str().unwrap()], &["does not tell its levels"]);
    let mut bad = events(&fixture);
    bad.retain(|event| !matches!(event, Event::Mark { mark: Mark::Calibration(3), .. }));
    let trace = fixture.trace(fixture.meta(), &[vec![(1_000_000, 0, 1, bad)]]);
    refused(&trace, &["--correct"], &["contradicts itself"]);
}

#[test]
fn golden_of_a_corrected_report() {
    let fixture = Fixture::pinned();
    let trace = trace(&fixture);
    golden("corrected.txt", &fixture.output(&trace, &["--correct", "--untraced", "215us"]));
}
