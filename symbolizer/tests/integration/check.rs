// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize check` and `trend` on boots with known figures: what counts, and how it exits.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use symbolizer::compare::kept;
use symbolizer::trace_dir::Meta;
use symbolizer::trace_dir::meta::Ended;

use super::fixture::Fixture;
use super::merge::boot;

fn command(fixture: &Fixture, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_symbolize"));
    command.current_dir(fixture.dir.path()).args(args).env_remove("COLUMNS").env_remove("GITHUB_ACTIONS");
    command
}

fn run(fixture: &Fixture, args: &[&str]) -> Output {
    command(fixture, args).output().unwrap()
}

fn printed(output: &Output, code: i32) -> (String, String) {
    let told = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (told(&output.stdout), told(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    (out, err)
}

/// Deterministic boots: one before, one that is slower after.
fn slower() -> Fixture {
    let fixture = Fixture::pinned();
    let meta = || Meta { deterministic: true, started_at: 1_700_000_000, ..fixture.meta() };
    boot(&fixture, "before", meta(), 40_000, 3);
    boot(&fixture, "after", Meta { started_at: 1_700_000_060, ..meta() }, 60_000, 3);
    fixture
}

#[test]
fn a_boot_that_died_is_a_regression_and_not_an_error() {
    let fixture = slower();
    let died = Some(Ended::Died { detail: "killed".to_owned() });
    boot(&fixture, "died", Meta { deterministic: true, ended: died, ..fixture.meta() }, 40_000, 3);
    let (out, _) = printed(&run(&fixture, &["check", "--baseline", "before", "died", "vmlinux"]), 1);
    assert!(out.contains("boots that died") && out.contains("how it ended"), "{out}");
    // A baseline that died is none.
    let (_, err) = printed(&run(&fixture, &["check", "--baseline", "died", "before", "vmlinux"]), 2);
    assert!(err.contains("how it ended") && err.contains("Make the baseline anew"), "{err}");
}

#[test]
fn who_closes_the_pipe_does_not_change_the_verdict() {
    let fixture = slower();
    for args in
        [["check", "--baseline", "before", "after", "vmlinux"].as_slice(), &["diff", "before", "after", "vmlinux"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = command(&fixture, args).stdout(writer).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(1), "{args:?}");
    }
}

#[test]
fn a_boot_counts_once_however_often_it_is_given() {
    let fixture = slower();
    printed(&run(&fixture, &["keep", "before", "vmlinux", "-o", "before.boot.zst"]), 0);
    let all = ["before", "before.boot.zst", "./before", "after", "vmlinux"];
    let (out, err) = printed(&run(&fixture, &[&["trend"], all.as_slice()].concat()), 0);
    assert!(out.starts_with("2 deterministic boots"), "{out}");
    assert!(
        err.contains("before.boot.zst is the same boot as before") || err.contains("before is the same boot"),
        "{err}"
    );
    // On both sides of boots that are not deterministic it would hide what differs.
    for (name, started_at) in [("before", 0), ("one", 60), ("two", 120)] {
        let mut boot = kept::read(&fixture.dir.path().join("before.boot.zst")).unwrap();
        boot.meta.deterministic = false;
        boot.meta.started_at += started_at;
        let file = fixture.dir.path().join(Path::new(name).with_extension("boot.zst"));
        kept::write(&boot, std::fs::File::create(file).unwrap()).unwrap();
    }
    let sides = ["check", "--baseline", "one.boot.zst", "--baseline", "before.boot.zst"];
    let (_, err) = printed(&run(&fixture, &[sides.as_slice(), &["two.boot.zst", "one.boot.zst"]].concat()), 2);
    assert!(err.contains("this boot is in the baseline, too"), "{err}");
    printed(&run(&fixture, &["check", "--baseline", "one.boot.zst", "one.boot.zst"]), 2);
}
