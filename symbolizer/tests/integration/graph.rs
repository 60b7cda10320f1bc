// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize graph`: figures of the report, trees in text and JSON, and what is said where nothing is found.

use std::path::Path;

use early_ftrace_format::event::Event;
use serde_json::Value;

use super::fixture::{Fixture, symbolize};

fn graph(fixture: &Fixture, trace: &Path, args: &[&str]) -> std::process::Output {
    let fixed = ["graph", trace.to_str().unwrap(), fixture.vmlinux.to_str().unwrap()];
    symbolize(fixed.iter().chain(args).map(|arg| arg.as_ref()))
}

fn text(fixture: &Fixture, trace: &Path, args: &[&str]) -> String {
    let output = graph(fixture, trace, args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(fixture: &Fixture, trace: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&text(fixture, trace, &[args, &["--format", "json"]].concat())).unwrap()
}

#[test]
fn figures_are_those_of_the_report() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    for filter in [&[][..], &["--cpu", "0"], &["--task", "init"], &["--inside", "start_kernel"], &["--min", "1us"]] {
        let report = fixture.json(&trace, filter);
        let functions = report["functions"].as_array().unwrap();
        let found = json(&fixture, &trace, &[&["--function", "*", "--top", "100"], filter].concat());
        let graphs = found["functions"].as_array().unwrap();
        assert_eq!(graphs.len(), functions.len(), "{filter:?}");
        for function in functions {
            let graph = graphs.iter().find(|graph| graph["name"] == function["name"]).unwrap();
            let number = |value: &Value, key: &str| value[key].as_u64().unwrap();
            for (ours, all, idle) in [
                ("calls", "calls", "idle_calls"),
                ("total_ticks", "total_ticks", "idle_total_ticks"),
                ("self_ticks", "self_ticks", "idle_self_ticks"),
            ] {
                let busy = number(function, all) - number(function, idle);
                assert_eq!(number(graph, ours), busy, "{filter:?} {} {ours}", function["name"]);
            }
            assert_eq!(graph["idle_calls"], function["idle_calls"]);
            assert_eq!(graph["address"], function["address"]);
        }
    }
}

#[test]
fn backtraces_and_callees_have_counts() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    let found = json(&fixture, &trace, &["--function", "__kmalloc"]);
    assert_eq!(found["functions_matched"], 1);
    let callers = &found["functions"][0]["callers"];
    // 2.5 us in kmem_cache_init in start_kernel, 1.5 us in acpi_early_init.
    assert_eq!((&callers[0]["name"], &callers[0]["calls"]), (&"kmem_cache_init".into(), &2.into()));
    assert_eq!(callers[0]["total_ns"], 2_500);
    assert_eq!(callers[0]["next"][0]["name"], "start_kernel");
    assert_eq!(callers[0]["next"][0]["next"][0]["name"], Value::Null, "no caller");
    assert_eq!((&callers[1]["name"], &callers[1]["total_ns"]), (&"acpi_early_init".into(), &1_500.into()));
    let callees = &json(&fixture, &trace, &["--function", "start_kernel"])["functions"][0]["callees"];
    assert_eq!((&callees[0]["name"], &callees[0]["total_ns"]), (&"kmem_cache_init".into(), &9_000.into()));
    assert_eq!(callees[0]["next"][0]["name"], "__kmalloc");
    let few = json(&fixture, &trace, &["--function", "start_kernel", "--callees", "1", "--min-share", "99%"]);
    assert_eq!(few["functions"][0]["callees"], Value::Array(Vec::new()));
    assert_eq!(few["functions"][0]["callees_left_out"]["branches"], 1);
}

#[test]
fn several_functions_come_longest_first_and_recursion_is_marked() {
    let fixture = Fixture::new();
    let events = vec![
        fixture.enter("kmem_cache_init", 1_000),
        fixture.enter("__kmalloc", 2_000),
        fixture.enter("kmem_cache_init", 3_000),
        Event::Exit { time: 5_000 },
        Event::Exit { time: 6_000 },
        Event::Exit { time: 9_000 },
        fixture.leaf("rest_init", 9_100, 9_200),
    ];
    let trace = fixture.trace(fixture.meta(), &[vec![(1_000, 0, 1, events)]]);
    let all = text(&fixture, &trace, &["--function", "*", "--top", "2"]);
    let first = all.find("kmem_cache_init\n").unwrap();
    assert!(first < all.find("\n__kmalloc\n").unwrap(), "{all}");
    assert!(all.contains("2 calls, total 8.00 us") && all.contains("↺ recursion"), "{all}");
    assert!(all.contains("1 more functions match (--top 3 shows all)"), "{all}");
    assert!(!all.contains('\u{1b}') && all.lines().all(|line| line.chars().count() <= 100), "{all}");
    let lines = text(&fixture, &trace, &["--function", "__kmalloc", "--lines", "--width", "70"]);
    assert!(lines.contains("mm/slub.c:1") && lines.lines().all(|line| line.chars().count() <= 70), "{lines}");
}

#[test]
fn what_is_not_found_is_explained() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    let error = |args: &[&str]| {
        let output = graph(&fixture, &trace, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let message = error(&["--function", "kmem_cache_inti"]);
    assert!(message.contains("did you mean kmem_cache_init?"), "{message}");
    assert!(error(&["--function", "zzz"]).trim_end().ends_with("no such function was called in this trace"));
    assert!(error(&["--function", "_start"]).contains("is in the vmlinux, but no call of it is in the trace"));
    assert!(error(&["--function", "start_kernel", "--cpu", "1"]).contains("no call passes the filters"));
    assert!(error(&[]).contains("--function"), "it is required");
}
