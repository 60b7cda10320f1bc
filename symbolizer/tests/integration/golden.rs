// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What is printed, byte for byte, against the files under `tests/golden`. In: a small boot whose
//! functions have fixed addresses, a sequence of events, the command's help. Out: a difference, or with
//! `EFT_BLESS=1` new files. `cargo xtask bless` runs what has `golden` in its name: all that is here.

use std::fmt::Write;
use std::path::Path;

use early_ftrace_format::encode::Encoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::word::{EndReason, Word};

use super::fixture::{Fixture, symbolize};

/// Compares, or writes.
pub fn golden(name: &str, found: &str) {
    let bless = std::env::var_os("EFT_BLESS").is_some_and(|bless| bless == "1");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name);
    if let Err(difference) = compare(&path, found, bless) {
        panic!("{difference}");
    }
}

fn compare(path: &Path, found: &str, bless: bool) -> Result<(), String> {
    let name = path.display();
    if bless {
        std::fs::create_dir_all(path.parent().unwrap()).and_then(|()| std::fs::write(path, found)).unwrap();
        return Ok(());
    }
    let wanted = std::fs::read_to_string(path)
        .map_err(|e| format!("{name}: {e}; if the output is right, run `cargo xtask bless`"))?;
    if wanted == found {
        return Ok(());
    }
    Err(format!(
        "{name} differs; if the new output is right, run `cargo xtask bless`\n--- golden\n{wanted}\n--- found\n{found}"
    ))
}

#[test]
fn a_golden_that_is_missing_or_differs_fails_until_it_is_blessed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("golden/new.txt");
    let missing = compare(&path, "one\n", false).unwrap_err();
    assert!(missing.contains("new.txt") && missing.contains("cargo xtask bless"), "{missing}");
    assert!(!path.exists(), "written unasked");
    compare(&path, "one\n", true).unwrap();
    compare(&path, "one\n", false).unwrap();
    let different = compare(&path, "two\n", false).unwrap_err();
    assert!(different.contains("cargo xtask bless"), "{different}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
}

#[test]
fn reports_of_a_small_boot() {
    let fixture = Fixture::pinned();
    let trace = fixture.boot();
    golden("report.txt", &fixture.output(&trace, &["--lines"]));
    golden("report.json", &fixture.output(&trace, &["--format", "json"]));
    golden("tree.txt", &fixture.output(&trace, &["--format", "tree"]));
}

#[test]
fn graph_of_a_function() {
    let fixture = Fixture::pinned();
    let trace = fixture.boot();
    let of = |args: &[&str]| {
        let fixed = ["graph", trace.to_str().unwrap(), fixture.vmlinux.to_str().unwrap(), "--function", "__kmalloc"];
        let output = symbolize(fixed.iter().chain(args).map(|arg| arg.as_ref()));
        String::from_utf8(output.stdout).unwrap()
    };
    golden("graph.txt", &of(&["--lines"]));
    golden("graph.json", &of(&["--format", "json"]));
}

#[test]
fn help() {
    let output = symbolize(["--help".as_ref()]);
    golden("help.txt", &String::from_utf8(output.stdout).unwrap());
}

/// What the fields of a word are called, raw.
fn label(word: u64) -> String {
    match Word::classify(word) {
        Word::Unwritten => "unwritten".to_owned(),
        Word::Entry(w) => format!("entry: site {:#x}, time {:#x}", w.site(), w.time()),
        Word::Leaf(w) => format!("leaf: site {:#x}, duration {:#x}, end {:#x}", w.site(), w.duration(), w.end()),
        Word::Switch(w) => {
            format!("switch: pid {:#x}, state {:#x}, prio {:#x}, time {:#x}", w.pid(), w.state(), w.prio(), w.time())
        }
        Word::Control(kind, w) => format!("{kind:?}: arg {:#x}, data {:#x}", w.arg(), w.data()).to_lowercase(),
        Word::Unknown(w) => format!("unknown: kind {:#x}", w.kind()),
    }
}

#[test]
fn words_of_each_kind_of_event() {
    let opened = 0x1_2345_6789;
    let site = 0xffff_ffff_8100_1005;
    let at = |ticks: u64| opened + ticks;
    let named = |pid, name| Event::Named { pid, name };
    let events = [
        ("the task that runs when the chunk is opened", Event::Running { pid: 1 }),
        ("a function is entered", Event::Entry { site, time: at(100) }),
        ("a leaf call", Event::Leaf { site: site + 0x1000, start: at(130), end: at(150) }),
        ("a call too long for a leaf word", Event::Leaf { site: site + 0x1000, start: at(200), end: at(0x9000) }),
        ("the function returns", Event::Exit { time: at(0x9100) }),
        ("a task gets its name", named(70_000, *b"kworker/0:1\0\0\0\0\0")),
        ("a switch that fits", Event::Switch { state: 1, prio: 120, pid: 2, time: at(0x9200) }),
        ("a pid that does not", Event::Switch { state: 0, prio: 120, pid: 70_000, time: at(0x9300) }),
        ("nor state nor priority", Event::Switch { state: 0x1000, prio: -2, pid: 0, time: at(0x9400) }),
        ("2^32 ticks later", Event::Entry { site, time: at(0x1_0000_0000) }),
        ("events were lost", Event::Lost { count: 1234 }),
        ("and back", Event::Exit { time: at(0x1_0000_0100) }),
        ("the task is gone", Event::Ended { pid: 70_000 }),
        ("the guest powers off", Event::End { reason: EndReason::PowerOff, time: at(0x1_0000_0200) }),
    ];
    let mut text = format!("# chunk opened at {opened:#x}\n");
    let mut encoder = Encoder::new(opened);
    for (what, event) in events {
        writeln!(text, "\n# {what}").unwrap();
        encoder.push(event, |word| writeln!(text, "{word:016x}  {}", label(word)).unwrap()).unwrap();
    }
    golden("words.txt", &text);
}
