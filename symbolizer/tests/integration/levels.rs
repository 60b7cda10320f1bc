// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Phases, initcalls and options: from marks to reports.

use std::path::PathBuf;

use bootlevel::Phase;
use early_ftrace_format::event::Event;
use early_ftrace_format::mark::Mark;
use serde_json::Value;
use symbolizer::trace_dir::Meta;

use super::fixture::Fixture;

const OPTIONS: &str = "filter:fs,flate";

/// A kernel with one entry in its tables of initcalls.
fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let entry = dir.path().join("entry.s");
    let text = ".data\n__initcall__kmod_acpi_bus__12_34_acpi_early_init4:\n.long acpi_early_init - .\n\
                .section .note.GNU-stack\n";
    std::fs::write(&entry, text).unwrap();
    Fixture::with(&["-g", entry.to_str().unwrap()])
}

fn mark(mark: Mark, value: u32, time: u64) -> Event {
    Event::Mark { mark, value, time }
}

fn phase(phase: Phase, time: u64) -> Event {
    mark(Mark::Phase(phase as u8), 0, time)
}

fn initcall(fixture: &Fixture, name: &str, time: u64) -> Event {
    mark(Mark::InitcallStart, (fixture.site(name) - 5) as u32, time)
}

/// Two CPUs; level boundaries amid a call; the guest dies in the second initcall.
fn boot(fixture: &Fixture, meta: Meta) -> PathBuf {
    let mut first: Vec<Event> = (0u16..)
        .zip(OPTIONS.as_bytes().chunks(4))
        .map(|(part, bytes)| {
            let mut four = [0; 4];
            four[..bytes.len()].copy_from_slice(bytes);
            mark(Mark::Option(part), u32::from_le_bytes(four), 1_000_000)
        })
        .collect();
    first.extend([
        mark(Mark::Problem(bootlevel::Problem::UnknownPhase as u8), 5 << 16 | 10, 1_000_000),
        phase(Phase::Start, 1_000_000),
        fixture.enter("start_kernel", 1_000_100),
        phase(Phase::Early, 1_010_000),
        initcall(fixture, "acpi_early_init", 1_010_100),
        fixture.enter("acpi_early_init", 1_010_200),
        fixture.leaf("__kmalloc", 1_011_000, 1_012_000),
        Event::Exit { time: 1_013_000 },
        mark(Mark::InitcallEnd, -19i32 as u32, 1_013_100),
        phase(Phase::Fs, 1_020_000),
        initcall(fixture, "kmem_cache_init", 1_020_100),
        fixture.enter("kmem_cache_init", 1_020_200),
    ]);
    let second = [1_009_000, 1_015_000, 1_021_000].map(|time| fixture.leaf("rest_init", time, time + 100));
    fixture.trace(meta, &[vec![(1_000_000, 0, 1, first)], vec![(1_005_000, 0, 2, second.to_vec())]])
}

fn with_phases(fixture: &Fixture) -> Meta {
    let phases = [("start", 1_000_000), ("early", 1_010_000), ("fs", 1_020_000)];
    Meta { phases: phases.map(|(name, time)| (name.to_owned(), time)).to_vec(), ..fixture.meta() }
}

/// `name: value value ...` of each object.
fn rows(list: &Value, fields: &[&str]) -> Vec<String> {
    let row = |value: &Value| fields.iter().map(|field| value[field].to_string()).collect::<Vec<_>>().join(" ");
    list.as_array().unwrap().iter().map(row).collect()
}

#[test]
fn phases_initcalls_and_options_are_told() {
    let fixture = fixture();
    // The recorder finished, or was killed: then only marks tell of the phases.
    for meta in [with_phases(&fixture), Meta { ended: None, ..fixture.meta() }] {
        let trace = boot(&fixture, meta);
        let json = fixture.json(&trace, &[]);
        let levels =
            rows(&json["levels"], &["name", "began_ticks", "ticks", "busy_ticks", "events", "calls", "initcalls"]);
        let wanted = [
            r#""firmware" 0 1000000 0 0 0 0"#,
            r#""start" 0 10000 15000 3 2 0"#,
            r#""early" 10000 10000 20000 6 3 1"#,
            r#""fs" 20000 1100 1300 3 2 1"#,
        ];
        assert_eq!(levels, wanted);
        assert_eq!(json["summary"]["events"], 12);
        let initcalls = rows(
            &json["initcalls"],
            &["name", "kind", "module", "level", "start_ticks", "ticks", "calls", "returned", "ended"],
        );
        let wanted = [
            r#""acpi_early_init" "built-in" "acpi_bus" "early" 10100 3000 2 -19 "returned""#,
            r#""kmem_cache_init" "built-in" null "fs" 20100 1000 1 null "open""#,
        ];
        assert_eq!(initcalls, wanted);
        assert_eq!(json["options"], OPTIONS);
        assert_eq!(rows(&json["problems"], &["part", "offset", "bytes"]), [r#""flate" 10 5"#]);
        assert_eq!(json["mark_doubts"], Value::Array(Vec::new()));
        let text = fixture.output(&trace, &[]);
        for part in ["By level", "-19", "acpi_bus", "did not", "left out: 'flate' at byte 10: no such phase"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        // The time of start_kernel goes to the phases in which it was spent.
        let functions = rows(&json["levels"][2]["functions"], &["name", "self_ticks", "calls"]);
        assert_eq!(functions[0], r#""start_kernel" 7200 0"#);
    }
}

#[test]
fn calls_of_one_level_are_those_that_begin_in_it() {
    let fixture = fixture();
    for meta in [with_phases(&fixture), Meta { ended: None, ..fixture.meta() }] {
        let trace = boot(&fixture, meta);
        for (level, wanted) in [
            ("start", vec![r#""rest_init" 1"#, r#""start_kernel" 1"#]),
            ("early", vec![r#""__kmalloc" 1"#, r#""acpi_early_init" 1"#, r#""rest_init" 1"#]),
            ("fs", vec![r#""kmem_cache_init" 1"#, r#""rest_init" 1"#]),
        ] {
            let json = fixture.json(&trace, &["--level", level]);
            let mut found = rows(&json["functions"], &["name", "calls"]);
            found.sort();
            assert_eq!(found, wanted, "{level}");
        }
        let tree = fixture.output(&trace, &["--format", "tree", "--level", "early"]);
        assert!(tree.contains("level early") && tree.contains("acpi_early_init() {"), "{tree}");
        assert!(!tree.contains("kmem_cache_init") && !tree.contains("start_kernel()"), "{tree}");
        let refused = fixture.symbolize(&trace, &["--level", "late"]);
        assert_eq!(refused.status.code(), Some(2));
        let message = String::from_utf8(refused.stderr).unwrap();
        assert!(message.contains("start, early, fs"), "{message}");
    }
}

#[test]
fn each_order_of_the_text_has_its_tables() {
    let fixture = fixture();
    let trace = boot(&fixture, with_phases(&fixture));
    for (by, has, lacks) in [
        ("level", "early_initcall", "Top functions"),
        ("initcall", "Initcalls", "By level"),
        ("function", "Top functions", "By level"),
        ("module", "By module", "Top functions"),
    ] {
        let text = fixture.output(&trace, &["--by", by]);
        assert!(text.contains(has) && !text.contains(lacks), "{by}: {text}");
    }
}

#[test]
fn traces_without_marks_have_no_levels() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    let json = fixture.json(&trace, &[]);
    assert_eq!((&json["levels"], &json["initcalls"]), (&Value::Array(Vec::new()), &Value::Array(Vec::new())));
    assert_eq!(json["options"], Value::Null);
    let text = fixture.output(&trace, &[]);
    assert!(!text.contains("By level") && !text.contains("initcall"), "{text}");
    assert!(fixture.output(&trace, &["--by", "level"]).contains("No marks"));
    assert_eq!(fixture.symbolize(&trace, &["--level", "fs"]).status.code(), Some(2));
}

#[test]
fn marks_that_cannot_be_right_are_counted_and_bounded() {
    let fixture = fixture();
    let mut events = vec![
        phase(Phase::Fs, 1_000_000),
        phase(Phase::Early, 1_000_001),
        phase(Phase::Fs, 1_000_002),
        mark(Mark::Phase(60), 0, 1_000_003),
        mark(Mark::InitcallEnd, 0, 1_000_004),
        mark(Mark::Option(127), u32::MAX, 1_000_005),
        mark(Mark::ModuleName(0), 0x1b5b_1b5b, 1_000_006),
    ];
    events.extend((0..500).map(|number| mark(Mark::Problem(63), number, 1_000_010)));
    // Begins without an end, and then whole ones, more than are kept.
    events.extend((0..1_000).map(|number| mark(Mark::ModuleInitStart, number, 1_000_020)));
    for number in 0..70_000 {
        events.extend([mark(Mark::InitcallEnd, number, 1_000_030), mark(Mark::ModuleInitStart, number, 1_000_030)]);
    }
    let trace = fixture.trace(fixture.meta(), &[vec![(1_000_000, 0, 1, events)]]);
    let json = fixture.json(&trace, &[]);
    assert_eq!(json["initcalls"].as_array().unwrap().len(), 1 << 16);
    assert_eq!(json["problems"].as_array().unwrap().len(), 256);
    assert_eq!(json["initcalls"][0]["module"], "[\u{fffd}[\u{fffd}");
    assert_eq!(rows(&json["levels"], &["name"]), [r#""firmware""#, r#""fs""#]);
    let doubts = json["mark_doubts"].to_string();
    for part in ["1 initcalls end without", "3 marks of phases", "initcalls found no room"] {
        assert!(doubts.contains(part), "{doubts}");
    }
    let text = fixture.output(&trace, &["--by", "initcall", "--top", "3"]);
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn work_that_was_put_off_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("async.c");
    let text = "void async_run_entry_fn(void) { asm volatile(\"\"); }\n\
                void deferred_probe_work_func(void) { asm volatile(\"\"); }\n";
    std::fs::write(&source, text).unwrap();
    let fixture = Fixture::with(&["-g", source.to_str().unwrap()]);
    let exit = |time| Event::Exit { time };
    let events = vec![
        phase(Phase::Device, 1_000_000),
        fixture.enter("async_run_entry_fn", 1_000_100),
        fixture.enter("rest_init", 1_000_200),
        exit(1_000_210),
        fixture.enter("acpi_early_init", 1_000_300),
        fixture.leaf("__kmalloc", 1_000_400, 1_000_500),
        exit(1_000_900),
        fixture.enter("rest_init", 1_000_910),
        exit(1_000_920),
        exit(1_001_000),
        phase(Phase::Late, 1_002_000),
        fixture.enter("deferred_probe_work_func", 1_002_100),
        exit(1_002_600),
        // The recording is stopped in it.
        fixture.enter("async_run_entry_fn", 1_003_000),
        fixture.enter("kmem_cache_init", 1_003_100),
        fixture.leaf("__kmalloc", 1_003_200, 1_003_300),
    ];
    let trace = fixture.trace(fixture.meta(), &[vec![(1_000_000, 0, 7, events)]]);
    let json = fixture.json(&trace, &[]);
    let fields = ["name", "kind", "level", "start_ticks", "ticks", "returned", "ended"];
    let wanted = [
        r#""acpi_early_init" "async" "device" 300 600 null "returned""#,
        r#""deferred_probe_work_func" "deferred" "late" 2100 500 null "returned""#,
        r#""kmem_cache_init" "async" "late" 3100 200 null "open""#,
    ];
    assert_eq!(rows(&json["initcalls"], &fields), wanted);
    assert!(rows(&json["levels"], &["initcalls"]).iter().all(|count| count == "0"));
    let text = fixture.output(&trace, &[]);
    assert!(text.contains("Async and deferred work") && !text.contains("Slowest initcalls"), "{text}");
}

#[test]
fn time_away_and_losses_are_no_time_on_a_cpu() {
    let fixture = fixture();
    let text = u32::from_le_bytes(*b"nvme");
    let switch = |pid, time| Event::Switch { state: 1, prio: 120, pid, time };
    let events = vec![
        phase(Phase::User, 1_000_000),
        mark(Mark::ModuleName(0), text, 1_000_010),
        mark(Mark::ModuleInitStart, 0xc000_1000, 1_000_100),
        switch(0, 1_000_300),
        switch(9, 1_000_800),
        mark(Mark::InitcallEnd, 0, 1_001_000),
        initcall(&fixture, "kmem_cache_init", 1_002_000),
        fixture.leaf("__kmalloc", 1_002_100, 1_002_200),
    ];
    let after = vec![fixture.leaf("__kmalloc", 1_005_100, 1_005_200), mark(Mark::InitcallEnd, 0, 1_005_300)];
    let trace = fixture.trace(fixture.meta(), &[vec![(1_000_000, 0, 9, events), (1_005_000, 44, 9, after)]]);
    let json = fixture.json(&trace, &[]);
    let fields = ["name", "kind", "module", "start_ticks", "ticks", "on_cpu_ticks", "ended"];
    let wanted = [
        r#""[module] 0xffffffffc0001000" "module" "nvme" 100 900 400 "returned""#,
        r#""kmem_cache_init" "built-in" null 2000 3000 3000 "cut""#,
    ];
    assert_eq!(rows(&json["initcalls"], &fields), wanted);
    assert!(json["mark_doubts"].to_string().contains("1 initcalls end without a begin"));
    let text = fixture.output(&trace, &["--by", "module"]);
    assert!(text.contains("[nvme]"), "{text}");
}
