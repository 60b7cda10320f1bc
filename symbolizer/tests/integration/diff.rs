// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Boots compared: from traces with known figures to text, JSON, a flame graph and the exit code.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use symbolizer::trace_dir::Meta;

use super::fixture::{Fixture, symbolize};
use super::golden::golden;
use super::merge::boot;

/// Of traces of these names, with no directory before them: their names are in the output.
fn run(fixture: &Fixture, args: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_symbolize"))
        .current_dir(fixture.dir.path())
        .args(args)
        .env_remove("COLUMNS")
        .output()
        .unwrap()
}

/// What it prints, if it ends so.
fn text(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn message(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Deterministic boots: two that are the same, and one in which `__kmalloc` is called a hundred times as often.
fn deterministic() -> Fixture {
    let fixture = Fixture::pinned();
    let meta = || Meta { deterministic: true, ..fixture.meta() };
    boot(&fixture, "before", meta(), 40_000, 3);
    boot(&fixture, "again", meta(), 40_000, 3);
    boot(&fixture, "after", meta(), 55_000, 300);
    fixture
}

#[test]
fn golden_of_a_comparison() {
    let fixture = deterministic();
    golden("diff.txt", &text(&run(&fixture, &["diff", "before", "after", "vmlinux"]), 1));
    golden("diff.json", &text(&run(&fixture, &["diff", "before", "after", "vmlinux", "--format", "json"]), 1));
}

#[test]
fn the_first_line_names_the_function_and_what_about_it() {
    let fixture = deterministic();
    let told = text(&run(&fixture, &["diff", "before", "after", "vmlinux"]), 1);
    let first = told.lines().next().unwrap();
    for part in [
        "boot is 15.0 us",
        "slower",
        "in level early: `acpi_early_init` -> `__kmalloc` called 297 times more (3 -> 300)",
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
    let told = text(&run(&fixture, &["diff", "after", "before", "vmlinux", "--format", "json"]), 1);
    let told: Value = serde_json::from_str(&told).unwrap();
    let first = told["headline"][0].as_str().unwrap();
    assert!(first.contains("faster") && first.contains("`__kmalloc` called 297 times less (300 -> 3)"), "{first}");
}

#[test]
fn boots_that_are_the_same_are_no_change_and_exit_so() {
    let fixture = deterministic();
    for sides in [&["before", "again"][..], &["before", "before"], &["before", "--", "again"]] {
        let mut args = vec!["diff", "--vmlinux", "vmlinux"];
        args.extend(sides);
        let told = text(&run(&fixture, &args), 0);
        assert!(told.starts_with("no change: boot "), "{sides:?}: {told}");
    }
}

#[test]
fn sides_are_told_by_two_dashes_or_by_being_two() {
    let fixture = deterministic();
    for odd in [&["diff", "before", "again", "after", "vmlinux"][..], &["diff", "before", "vmlinux"]] {
        let said = message(&run(&fixture, odd));
        assert!(said.contains("symbolize diff A1/ A2/ A3/ -- B1/ B2/ B3/"), "{said}");
    }
    let both = ["diff", "--vmlinux", "vmlinux", "before", "again", "--", "after", "again"];
    assert!(message(&run(&fixture, &both)).contains("given on both sides"));
    let twice = ["diff", "--vmlinux", "vmlinux", "before", "./before", "--", "after"];
    assert!(message(&run(&fixture, &twice)).contains("given twice"));
    assert!(message(&run(&fixture, &["diff", "before", "nowhere"])).contains("nowhere"));
}

#[test]
fn a_trace_and_what_was_kept_of_it_are_one_boot() {
    let fixture = Fixture::pinned();
    for (name, second, kmallocs) in [("one", 0, 3), ("other", 60, 300)] {
        let meta = Meta { deterministic: true, started_at: 1_700_000_000 + second, ..fixture.meta() };
        boot(&fixture, name, meta, 40_000, kmallocs);
        text(&run(&fixture, &["keep", name, "vmlinux", "-o", "kept"]), 0);
    }
    let kept = std::fs::read_dir(fixture.dir.path().join("kept")).unwrap().count();
    assert_eq!(kept, 2);
    let output = run(&fixture, &["diff", "--vmlinux", "vmlinux", "one", "kept/one.boot.zst", "--", "other"]);
    text(&output, 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("the same boot as"), "{output:?}");
    let both = run(&fixture, &["diff", "--vmlinux", "vmlinux", "one", "--", "kept/one.boot.zst", "other"]);
    assert!(message(&both).contains("on the other side"), "{both:?}");
}

#[test]
fn sets_of_kept_boots_are_compared_by_a_test() {
    let fixture = Fixture::pinned();
    for (name, ticks, kmallocs) in [("before", 400_000, 3), ("after", 415_000, 300)] {
        for number in 0..5 {
            let trace = format!("{name}-{number}");
            // Not all the same, as boots are.
            boot(&fixture, &trace, fixture.meta(), ticks + number * 100, kmallocs);
            text(&run(&fixture, &["keep", &trace, "vmlinux", "-o", name]), 0);
        }
    }
    let told = text(&run(&fixture, &["diff", "before", "after"]), 1);
    assert!(told.contains("Linux 6.1.0-test, 5 boots"), "{told}");
    assert!(told.lines().next().unwrap().contains("`__kmalloc` called 297 times more"), "{told}");
    assert!(told.contains("95 % interval"), "{told}");
    // One a side says nothing of chance, and nothing is called a change.
    let told = text(&run(&fixture, &["diff", "before/before-0.boot.zst", "after/after-0.boot.zst"]), 0);
    assert!(told.starts_with("cannot tell from chance with 1 boot a side: boot is 15.0 us"), "{told}");
}

#[test]
fn boots_that_were_made_otherwise_are_compared_by_force_only() {
    let fixture = deterministic();
    let other = Meta { deterministic: true, command_line: "quiet".to_owned(), ..fixture.meta() };
    boot(&fixture, "other", other, 40_000, 3);
    let said = message(&run(&fixture, &["diff", "before", "other", "vmlinux"]));
    for part in ["command line", "'quiet' (other)", "--force"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let told = text(&run(&fixture, &["diff", "before", "other", "vmlinux", "--force"]), 0);
    assert!(told.contains("not the same in all boots: command line"), "{told}");
}

#[test]
fn a_flame_graph_tells_both_sides_of_each_frame() {
    let fixture = deterministic();
    let svg = |args: &[&str]| {
        let mut all = vec!["diff", "before", "after", "vmlinux", "-o", "diff.svg"];
        all.extend(args);
        assert_eq!(text(&run(&fixture, &all), 1), "");
        std::fs::read_to_string(fixture.dir.path().join("diff.svg")).unwrap()
    };
    let after = svg(&[]);
    for part in ["<title>__kmalloc (15,000 ns", "150 ns -&gt; 15.0 us", "calls 3 -&gt; 300", "level early"] {
        assert!(after.contains(part), "{part}");
    }
    assert!(svg(&["--before"]).contains("<title>__kmalloc (150 ns"));
}

#[test]
fn options_of_no_sense_are_refused() {
    let fixture = deterministic();
    let sides = ["diff", "before", "after", "vmlinux"];
    for (odd, part) in [
        (&["--significance", "2"][..], "between 0 and 1"),
        (&["--effect", "0"], "above 0"),
        (&["-o", "diff.pftrace"], "--format"),
    ] {
        let said = message(&run(&fixture, &[&sides[..], odd].concat()));
        assert!(said.contains(part), "{said}");
    }
    assert!(!Path::new(&fixture.dir.path().join("diff.pftrace")).exists());
    let help = symbolize(["diff".as_ref(), "--help".as_ref()]);
    assert!(text(&help, 0).contains("symbolize diff before/ after/"));
}
