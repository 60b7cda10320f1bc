// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize suggest`: the figures of a small trace, reckoned by hand.

use std::path::{Path, PathBuf};

use early_ftrace_format::event::Event;
use serde_json::Value;

use super::fixture::{Fixture, symbolize};

/// 100 calls of `__kmalloc` inside `start_kernel`, 10 ticks each; 20 calls of `rest_init` that nobody
/// called, 500 ticks each; in the idle task 50 more of these, whose time does not count.
fn trace(fixture: &Fixture) -> PathBuf {
    let mut events = vec![fixture.enter("start_kernel", 1_000)];
    events.extend((0..100).map(|n| fixture.leaf("__kmalloc", 1_100 + 100 * n, 1_110 + 100 * n)));
    events.push(Event::Exit { time: 12_000 });
    events.extend((0..20).map(|n| fixture.leaf("rest_init", 20_000 + 1_000 * n, 20_500 + 1_000 * n)));
    events.push(Event::Switch { state: 1, prio: 120, pid: 0, time: 50_000 });
    events.extend((0..50).map(|n| fixture.leaf("rest_init", 60_000 + 1_000 * n, 60_500 + 1_000 * n)));
    fixture.trace(fixture.meta(), &[vec![(1_000, 0, 1, events)]])
}

fn run(trace: &Path, fixture: &Fixture, args: &[&str]) -> String {
    let fixed = [trace.to_str().unwrap(), fixture.vmlinux.to_str().unwrap()];
    let output = symbolize(["suggest"].iter().chain(&fixed).chain(args).map(|arg| arg.as_ref()));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn figures_are_those_of_the_trace() {
    let fixture = Fixture::new();
    let trace = trace(&fixture);
    let json = |args: &[&str]| -> Value {
        serde_json::from_str(&run(&trace, &fixture, &[&["--format", "json"], args].concat())).unwrap()
    };
    let found = json(&["--reduce", "50%"]);
    // 342 events; self time 11000 of start_kernel and __kmalloc, 10000 of rest_init.
    assert_eq!(found["line"], "hypergraph=notrace:__kmalloc");
    assert_eq!((&found["events"], &found["events_removed"]), (&342.into(), &200.into()));
    assert_eq!((&found["self_ticks"], &found["self_ticks_moved"]), (&21_000.into(), &1_000.into()));
    assert_eq!((&found["uncovered_ticks"], &found["functions_called"]), (&0.into(), &3.into()));
    // Nothing covers rest_init.
    assert_eq!(json(&["--reduce", "90"])["line"], "hypergraph=notrace:__kmalloc");
    let found = json(&["--reduce", "90", "--keep-time", "50"]);
    assert_eq!(found["line"], "hypergraph=notrace:__kmalloc,rest_init");
    assert_eq!((&found["events_removed"], &found["uncovered_ticks"]), (&340.into(), &10_000.into()));
    assert_eq!(json(&["--reduce", "90", "--keep-time", "50", "--patterns", "1"])["functions"][0]["name"], "__kmalloc");
    assert_eq!(json(&["--reduce", "0"])["line"], "");
}

#[test]
fn text_has_a_line_to_copy_and_says_what_is_short() {
    let fixture = Fixture::new();
    let trace = trace(&fixture);
    let text = run(&trace, &fixture, &["--reduce", "50"]);
    assert!(text.lines().any(|line| line == "hypergraph=notrace:__kmalloc"), "{text}");
    assert!(text.contains("142 of 342 events are left: 58.5 % are gone"), "{text}");
    assert!(!text.contains("less than the") && !text.contains('\x1b'), "{text}");
    let text = run(&trace, &fixture, &["--reduce", "90"]);
    assert!(text.contains("less than the 90 % asked for: more would hide too much time"), "{text}");
    let text = run(&trace, &fixture, &["--reduce", "90", "--keep-time", "0", "--patterns", "1"]);
    assert!(text.contains("less than the 90 % asked for: more names would not fit"), "{text}");
    assert!(run(&trace, &fixture, &["--bytes", "9"]).starts_with("No function can be left out"));
}
