// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The index beside a real trace: what is reported with it is what is reported without it, and what is wrong with
//! an index is said and does no harm.

use std::path::{Path, PathBuf};
use std::process::Output;

use xtask::recording;

use crate::boots::{OLD, setup, shared, subject};

/// A copy of the shared trace, whose directory others use too.
fn copy() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let trace = dir.path().join("trace");
    std::fs::create_dir(&trace).expect("a directory");
    for entry in std::fs::read_dir(&shared().trace).expect("the shared trace").flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().ends_with(".eft") && name != "index.eft" || name == "meta.json" {
            std::fs::copy(entry.path(), trace.join(&name)).expect("space");
        }
    }
    (dir, trace)
}

fn report(trace: &Path, arguments: &[&str]) -> Output {
    let mut command = recording::report(&setup().symbolize, trace, &subject(OLD).vmlinux);
    let done = command.args(["--format", "json"]).args(arguments).output().expect("symbolize runs");
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

#[test]
fn with_an_index_reports_are_what_they_are_without_it() {
    let (_dir, trace) = copy();
    let index = trace.join("index.eft");
    let filters: [&[&str]; 6] = [
        &["--level", "fs"],
        &["--level", "core,device", "--min", "5us"],
        &["--from", "400ms", "--to", "600ms"],
        &["--from", "900ms", "--task", "kworker*"],
        &["--to", "300ms", "--inside", "*alloc*", "--depth", "12"],
        &["--level", "user", "--task", "1"],
    ];
    let without: Vec<Output> =
        filters.iter().map(|filter| report(&trace, &[filter, &["--no-index"][..]].concat())).collect();
    assert!(!index.exists(), "--no-index has written one");
    report(&trace, &[]);
    assert!(index.exists(), "a report of the whole has written none");
    for (filter, without) in filters.iter().zip(without) {
        let with = report(&trace, &[filter, &["--timings"][..]].concat());
        assert!(with.stdout == without.stdout, "{filter:?}");
        let timings = String::from_utf8_lossy(&with.stderr);
        assert!(timings.contains("decode ") && timings.contains(" parts of "), "{filter:?}: {timings}");
    }
}

#[test]
fn an_index_that_is_damaged_or_of_another_trace_is_left_aside() {
    let (_dir, trace) = copy();
    let index = trace.join("index.eft");
    let filter = ["--level", "fs"];
    let right = report(&trace, &filter).stdout;
    let whole = std::fs::read(&index).expect("the report has written one");
    let identity = 16;
    for (what, at) in [("it is no index", 0), ("checksum", whole.len() / 2), ("another trace", identity)] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&index, &damaged).expect("space");
        let with = report(&trace, &filter);
        let said = String::from_utf8_lossy(&with.stderr);
        assert!(said.contains("warning") && said.contains(what), "{what}: {said}");
        assert!(with.stdout == right, "{what}");
    }
    std::fs::write(&index, &whole[..whole.len() - 9]).expect("space");
    assert!(report(&trace, &filter).stdout == right);
    // One that cannot be written is none.
    std::fs::remove_file(&index).expect("it is there");
    std::fs::create_dir(&index).expect("a directory in its place");
    let with = report(&trace, &filter);
    assert!(String::from_utf8_lossy(&with.stderr).contains("index.eft"), "nothing is said");
    assert!(with.stdout == right);
}
