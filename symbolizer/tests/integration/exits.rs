// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A trace with the host's events beside it: what the report, `--by exit` and the JSON say.

use std::path::Path;

use symbolizer::host::clock::Clock;
use symbolizer::host::event::{Exit, HostEvent};
use symbolizer::host::file::Writer;
use symbolizer::trace_dir::HOST_FILE;

use super::fixture::Fixture;

/// The host's counter is so far ahead of the guest's.
const AHEAD: u64 = 5_000_000;

/// An exit at a time of the guest.
fn exit(guest: u64, length: u64, reason: u32) -> HostEvent {
    let (time, cpus, info) = (guest + AHEAD, (3, 3), [0; 2]);
    HostEvent::Exit(Exit { vcpu: 0, thread: 77, cpus, time, length, isa: 2, reason, rip: 0, info, hypercall: None })
}

fn write(trace: &Path) {
    let mut writer = Writer::create(trace, &Clock::Tsc).unwrap();
    let events = [
        // Before the offset is known.
        exit(900_000, 10, 0x7b),
        HostEvent::Offset { vcpu: 0, time: 950_000 + AHEAD, next: AHEAD.wrapping_neg() },
        exit(999_000, 100, 0x7b),
        // In __kmalloc, in kmem_cache_init, and in start_kernel, where it is preempted for 3,000.
        exit(1_002_500, 200, 0x400),
        exit(1_003_600, 200, 0x400),
        HostEvent::Away { vcpu: 0, time: 1_012_010 + AHEAD, length: 3_000, preempted: true },
        exit(1_012_000, 3_020, 0x60),
        exit(1_025_000, 70, 0x400),
    ];
    events.iter().for_each(|event| writer.push(event).unwrap());
    writer.finish().unwrap();
}

#[test]
fn exits_are_charged_and_steal_is_taken_off() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    let alone = fixture.json(&trace, &[]);
    assert!(alone.get("exits").is_none());
    let none = fixture.output(&trace, &["--by", "exit"]);
    assert!(none.contains("has no host.eft"), "{none}");
    write(&trace);
    let with = fixture.json(&trace, &[]);
    let exits = &with["exits"];
    assert_eq!((&exits["exits"], &exits["unplaced"]), (&5.into(), &1.into()));
    assert_eq!((&exits["work_ticks"], &exits["stolen_ticks"]), (&(100 + 200 + 200 + 20 + 70).into(), &3_000.into()));
    assert_eq!((&exits["clocks"][0]["error_ticks"], &exits["clocks"][0]["how"]), (&0.into(), &"offset".into()));
    let found: Vec<(&str, u64)> = exits["functions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["exits"].as_u64().unwrap()))
        .collect();
    let mut sorted = found.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [("(outside trace)", 1), ("__kmalloc", 1), ("acpi_early_init", 1), ("kmem_cache_init", 1), ("start_kernel", 1)]
    );
    assert_eq!(exits["reasons"][0]["name"], "npf");
    assert_eq!(exits["reasons"][0]["exits"], 3);
    // Steal is nobody's time, and nothing else has changed.
    let own = |json: &serde_json::Value, name: &str| {
        let rows = json["functions"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == name).unwrap();
        (row["self_ticks"].as_u64().unwrap(), row["total_ticks"].as_u64().unwrap())
    };
    let (before, after) = (own(&alone, "start_kernel"), own(&with, "start_kernel"));
    assert_eq!((before.0 - after.0, before.1 - after.1), (3_000, 3_000));
    for name in ["__kmalloc", "kmem_cache_init", "acpi_early_init"] {
        assert_eq!(own(&alone, name), own(&with, name));
    }
    let busy = |json: &serde_json::Value| json["summary"]["busy_ticks"].as_u64().unwrap();
    assert_eq!(busy(&alone) - busy(&with), 3_000);

    let text = fixture.output(&trace, &["--by", "exit"]);
    for part in [
        "host times +-0 ns, from the offset",
        "npf",
        "start_kernel",
        "3.00 us in which the host",
        "1 exits have no place",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(fixture.output(&trace, &[]).contains("Functions by exits"));
}

#[test]
fn only_exits_in_calls_that_were_asked_for_count() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    write(&trace);
    for (filter, expected) in [
        (&["--function", "__kmalloc"][..], &["__kmalloc"][..]),
        // A call's own length decides, once it has ended: that of __kmalloc is 1.5 us.
        (&["--min", "2us"], &["acpi_early_init", "kmem_cache_init", "start_kernel"]),
        (&["--inside", "kmem_cache_init"], &["__kmalloc", "kmem_cache_init"]),
        (&["--task", "init"], &["acpi_early_init"]),
        (&["--depth", "1", "--task", "swapper*"], &["start_kernel"]),
        (&["--from", "24us"], &[]),
    ] {
        let json = fixture.json(&trace, filter);
        let exits = &json["exits"];
        let mut found: Vec<&str> =
            exits["functions"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{filter:?}");
        // Five have a place, one of them before the trace.
        let (all, left_out) = (exits["exits"].as_u64().unwrap(), exits["left_out"].as_u64().unwrap());
        assert_eq!((all, all + left_out), (expected.len() as u64, 5), "{filter:?}");
        let text = fixture.output(&trace, &[&["--by", "exit"], filter].concat());
        assert!(text.contains(&format!("{left_out} exits in no such call are left out")), "{filter:?}: {text}");
    }
    assert!(fixture.json(&trace, &[])["exits"].get("left_out").is_none());
}

#[test]
fn a_damaged_file_is_a_warning_and_a_new_recording_removes_it() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    std::fs::write(trace.join(HOST_FILE), b"no blocks").unwrap();
    assert!(fixture.json(&trace, &[]).get("exits").is_none());
    fixture.boot();
    assert!(!trace.join(HOST_FILE).exists());
}
