// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize options` from outside, and the same check before `symbolize record` boots.

use std::fmt::Write;

use super::fixture::{Fixture, symbolize};
use super::golden::golden;

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let output = symbolize(args.iter().map(|arg| arg.as_ref()));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn golden_of_lines_that_are_right_and_wrong() {
    let mut shown = String::new();
    for line in [
        "filter:core-fs,late,depth:20,notrace:*_lock,until:init",
        "off",
        "console=ttyS0 hypergraph=fliter:fs,late \"hypergraph=events:func,call, depth=3\" quiet",
        "filter:late-fs,flies,firmware,func:vfs_[rw]*,depth:0,overflow:,on:1,channel:usb",
        "hypergaph=on",
        "console=ttyS0 quiet",
    ] {
        let (code, out, err) = run(&["options", line]);
        writeln!(shown, "$ symbolize options '{line}'\n{err}{out}exit code {}\n", code.unwrap()).unwrap();
    }
    golden("options.txt", &shown);
}

#[test]
fn functions_of_a_kernel_are_counted() {
    let fixture = Fixture::new();
    let vmlinux = fixture.vmlinux.to_str().unwrap();
    let (code, out, err) = run(&["options", "func:*_init,notrace:acpi_*,zebra", "--vmlinux", vmlinux]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains(": 2 of 6 that can be traced"), "{out}");
    assert!(err.contains("notrace:zebra matches no function") && err.lines().count() == 1, "{err}");
}

#[test]
fn record_refuses_before_it_boots_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let fixture = Fixture::new();
    let vmlinux = fixture.vmlinux.to_str().unwrap();
    let record = |extra: &[&str]| {
        let args =
            ["record", "--vmlinux", vmlinux, "-o", trace.to_str().unwrap(), "--append", "ro hypergraph=fliter:fs"];
        run(&[&args, extra, &["--", "/nonexistent/qemu"]].concat())
    };
    let (code, _, err) = record(&[]);
    assert_eq!(code, Some(2));
    assert!(err.contains("did you mean `filter`?") && err.contains("nothing was booted"), "{err}");
    // The fixture is no kernel that can be traced: whoever goes on comes to that.
    let (code, _, err) = record(&["--unchecked-options"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("did you mean `filter`?") && err.contains("cannot be traced"), "{err}");
    assert!(!trace.exists());
}
