// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Filters hold for text, JSON and tree alike.

use super::fixture::Fixture;

/// Names and calls in JSON, by name.
fn calls(fixture: &Fixture, trace: &std::path::Path, args: &[&str]) -> String {
    let json = fixture.json(trace, args);
    let mut calls: Vec<String> = json["functions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|function| format!("{}={}", function["name"].as_str().unwrap(), function["calls"]))
        .collect();
    calls.sort();
    calls.join(" ")
}

#[test]
fn each_filter_chooses_calls() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    for (args, wanted) in [
        (&["--function", "*kmalloc"][..], "__kmalloc=4"),
        (&["--function", "acpi*", "--function", "rest_*"], "acpi_early_init=1 rest_init=2"),
        (&["--inside", "kmem_cache_init"], "__kmalloc=2 kmem_cache_init=2"),
        (&["--inside", "start_kernel", "--depth", "2"], "kmem_cache_init=1 rest_init=1 start_kernel=1"),
        (&["--min", "1us", "--function", "__kmalloc"], "__kmalloc=3"),
        (&["--min", "1500t", "--function", "__kmalloc"], "__kmalloc=1"),
        (&["--from", "20us", "--to", "40us"], "__kmalloc=1 acpi_early_init=1"),
        (&["--cpu", "1", "--function", "rest_init"], "rest_init=1"),
        (&["--task", "init"], "__kmalloc=2 acpi_early_init=1 kmem_cache_init=1"),
        (&["--task", "1"], "__kmalloc=2 acpi_early_init=1 kmem_cache_init=1"),
        (&["--task", "swapper/1"], "rest_init=1"),
    ] {
        assert_eq!(calls(&fixture, &trace, args), wanted, "{args:?}");
        let text = fixture.output(&trace, args);
        assert!(text.contains("filter        only "), "{text}");
    }
}

#[test]
fn a_task_is_found_by_its_last_name() {
    let fixture = Fixture::new();
    let named = |name: &[u8; 16]| early_ftrace_format::event::Event::Named { pid: 1, name: *name };
    let events = vec![
        named(b"swapper/0\0\0\0\0\0\0\0"),
        fixture.leaf("__kmalloc", 10, 20),
        named(b"init\0\0\0\0\0\0\0\0\0\0\0\0"),
        fixture.leaf("rest_init", 30, 40),
    ];
    let trace = fixture.trace(fixture.meta(), &[vec![(0, 0, 1, events)]]);
    assert_eq!(calls(&fixture, &trace, &["--task", "init"]), "__kmalloc=1 rest_init=1");
}

#[test]
fn the_tree_keeps_the_callers_of_long_calls() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    let tree = fixture.output(&trace, &["--format", "tree", "--task", "0", "--cpu", "0", "--min", "1200t"]);
    let calls: Vec<&str> = tree.lines().filter_map(|line| line.split(" | ").nth(1)).collect();
    assert_eq!(
        calls,
        [
            "start_kernel() {",
            "  kmem_cache_init() {",
            "    __kmalloc();",
            "  } /* kmem_cache_init */",
            "} /* start_kernel */ /* still open */"
        ],
        "{tree}"
    );
}

#[test]
fn bad_values_are_errors_with_advice() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    let output = fixture.symbolize(&trace, &["--min", "10 parsecs"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("10us"));
    let output = fixture.symbolize(&trace, &["--function", "a[b"]);
    assert_eq!(output.status.code(), Some(2));
}
