// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Errors say what, where and what to do; exit codes tell them apart from success.

use std::io::Read;
use std::process::{Command, Stdio};

use symbolizer::trace_dir::Meta;

use super::fixture::{BUILD_ID, Fixture, symbolize};

#[test]
fn a_vmlinux_of_another_kernel_is_refused_unless_forced() {
    let fixture = Fixture::new();
    let other = "ffff".repeat(10);
    let trace = fixture.trace(Meta { build_id: other.clone(), ..fixture.meta() }, &fixture.boot_chunks());
    let output = fixture.symbolize(&trace, &[]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(error.contains(BUILD_ID) && error.contains(&other) && error.contains("--force"), "{error}");
    let output = fixture.symbolize(&trace, &["--force"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stderr).unwrap().contains("warning"));
}

#[test]
fn files_of_the_wrong_kind_are_told_apart() {
    let fixture = Fixture::new();
    let trace = fixture.boot();
    let text = fixture.dir.path().join("notes.txt");
    std::fs::write(&text, "not an ELF file").unwrap();
    let fails = |trace: &std::path::Path, vmlinux: &std::path::Path| {
        let output = symbolize([trace.as_os_str(), vmlinux.as_os_str()]);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(fails(&trace, &text).contains("no 64-bit x86 ELF file"));
    assert!(fails(&trace, &fixture.dir.path().join("absent")).contains("absent: cannot read the vmlinux"));
    assert!(fails(&text, &fixture.vmlinux).contains("notes.txt"));
    let stripped = fixture.dir.path().join("stripped");
    assert!(Command::new("strip").arg("-o").arg(&stripped).arg(&fixture.vmlinux).status().unwrap().success());
    assert!(fails(&trace, &stripped).contains("no function symbols"));
}

#[test]
fn usage_errors_are_errors() {
    assert_eq!(symbolize([]).status.code(), Some(2));
    assert_eq!(symbolize(["one".as_ref()]).status.code(), Some(2));
    assert_eq!(symbolize(["--help".as_ref()]).status.code(), Some(0));
    let completions = symbolize(["completions".as_ref(), "bash".as_ref()]);
    assert!(String::from_utf8(completions.stdout).unwrap().contains("symbolize"));
    let man = symbolize(["man".as_ref()]);
    assert!(String::from_utf8(man.stdout).unwrap().starts_with(".ie"));
}

#[test]
fn a_closed_pipe_is_success() {
    let fixture = Fixture::new();
    // More than a pipe holds.
    let leaf = fixture.leaf("__kmalloc", 10, 20);
    let chunk = (0, 0, 1, vec![leaf; 5_000]);
    let trace = fixture.trace(fixture.meta(), &[vec![chunk; 1]]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_symbolize"))
        .args([trace.as_os_str(), fixture.vmlinux.as_os_str()])
        .args(["--format", "tree"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
}
