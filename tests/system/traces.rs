// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Trace directories that are none, or not whole, and outputs that would overwrite something.

use std::path::{Path, PathBuf};

use serde_json::Value;
use xtask::recording;

use crate::boots::{self, NEW, OLD, scratch, setup, shared, subject};
use crate::refusal::{record_of, refused};

/// Refused by the report.
fn refused_trace(trace: &Path, about: &[&str]) -> String {
    refused(&recording::report(&setup().symbolize, trace, &subject(OLD).vmlinux), about)
}

/// A copy of the shared trace, to be spoilt.
fn copy(name: &str) -> PathBuf {
    let directory = scratch(name);
    for entry in std::fs::read_dir(&shared().trace).expect("the shared trace").flatten() {
        std::fs::copy(entry.path(), directory.join(entry.file_name())).expect("space for a trace");
    }
    directory
}

#[test]
fn a_missing_trace_is_named() {
    refused_trace(Path::new("no-such-trace"), &["no-such-trace", "no such"]);
}

#[test]
fn an_empty_directory_is_no_trace() {
    let message = refused_trace(&scratch("trace-empty"), &["trace-empty", "not a trace|no trace"]);
    assert!(message.contains("record"), "the message does not say how to get one: {message}");
}

#[test]
fn a_file_is_no_trace() {
    let path = scratch("trace-file").join("file");
    std::fs::write(&path, "x").expect("a small file");
    refused_trace(&path, &["directory"]);
}

#[test]
fn a_newer_trace_is_refused_with_both_versions() {
    let trace = copy("trace-newer");
    let path = trace.join("meta.json");
    let mut meta: Value = serde_json::from_slice(&std::fs::read(&path).expect("meta.json")).expect("JSON");
    meta["format_version"] = 999.into();
    std::fs::write(&path, meta.to_string()).expect("a small file");
    refused_trace(&trace, &["version", "999", "newer"]);
}

#[test]
fn a_damaged_meta_file_is_named_with_the_place() {
    let trace = copy("trace-meta");
    std::fs::write(trace.join("meta.json"), "{\"format_version\": 1,").expect("a small file");
    refused_trace(&trace, &["meta.json", "line"]);
}

#[test]
fn a_missing_cpu_file_is_named() {
    let trace = copy("trace-cpu");
    std::fs::remove_file(trace.join("cpu0.eft")).expect("the file of CPU 0");
    refused_trace(&trace, &["cpu0.eft", "missing|no such"]);
}

#[test]
fn a_trace_without_its_end_is_still_reported() {
    let trace = copy("trace-cut");
    let path = trace.join("cpu0.eft");
    let bytes = std::fs::read(&path).expect("the file of CPU 0");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("space for half of it");
    let mut report = recording::report(&setup().symbolize, &trace, &subject(OLD).vmlinux);
    let json = recording::json(report.args(["--format", "json"])).expect("half a trace is readable");
    let traced = recording::traced_functions(&json, &subject(OLD).witness.sites).expect("functions");
    let calls: u64 = traced.values().map(|function| function.calls).sum();
    assert!(calls > 0 && calls < shared().counts.calls(), "{calls} calls in half a trace");
}

#[test]
fn another_kernel_than_the_traced_one_is_refused() {
    let report = recording::report(&setup().symbolize, &shared().trace, &subject(NEW).vmlinux);
    refused(&report, &["build id|build-id|another kernel|does not match"]);
}

#[test]
fn a_trace_is_not_replaced_unasked() {
    let before = std::fs::read(shared().trace.join("meta.json")).expect("meta.json");
    refused(&record_of(&subject(OLD).vmlinux, &shared().trace), &["--force"]);
    assert_eq!(std::fs::read(shared().trace.join("meta.json")).expect("meta.json"), before);
}

#[test]
fn a_directory_with_other_files_is_left_alone() {
    let directory = boots::scratch("trace-not-ours");
    std::fs::write(directory.join("letter"), "dear").expect("a small file");
    refused(&record_of(&subject(OLD).vmlinux, &directory), &["trace-not-ours"]);
    let names: Vec<_> = std::fs::read_dir(&directory).expect("still there").flatten().map(|e| e.file_name()).collect();
    assert_eq!(names, ["letter"]);
}
