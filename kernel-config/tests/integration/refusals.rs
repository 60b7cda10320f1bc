// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Images that cannot be traced: each is refused before anything is written, and the message says what
//! it is and what to do. (Real kernels, stripped or with nops at their sites, are in `tests/`.)

use kernel_config::{InjectError, Options, inject};
use std::path::Path;
use std::process::Command;

/// What `inject` says of a file with these bytes.
fn refusal(bytes: &[u8]) -> InjectError {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("vmlinux");
    std::fs::write(&input, bytes).unwrap();
    refused(&input)
}

fn refused(input: &Path) -> InjectError {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let error = inject(input, &output, &Options::default()).expect_err("it is refused");
    assert!(!output.exists(), "nothing may be written");
    assert!(error.to_string().contains(&input.display().to_string()), "the message names the file: {error}");
    error
}

/// A linked x86-64 program, from C.
fn program(source: &str, flags: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (c, out) = (dir.path().join("a.c"), dir.path().join("a"));
    std::fs::write(&c, source).unwrap();
    let base = ["-static", "-nostdlib", "-no-pie", "-fno-pie", "-g"];
    let status = Command::new("gcc").args(base).args(flags).arg("-o").arg(&out).arg(&c).status().expect("gcc");
    assert!(status.success());
    std::fs::read(&out).unwrap()
}

const START: &str = "void _start(void) {}";
/// Xen's PVH note, as the kernel has it.
const NOTE: &str =
    r#"asm(".pushsection .notes,\"a\",@note\n.long 4,4,18\n.asciz \"Xen\"\n.long 0x1000000\n.popsection");"#;

#[test]
fn not_an_elf_file() {
    assert!(matches!(refusal(b"#!/bin/sh\n"), InjectError::NotElf(_)));
    assert!(matches!(refusal(b"x"), InjectError::NotElf(_)));
}

#[test]
fn a_file_that_is_not_there_and_a_directory() {
    assert!(matches!(refused(Path::new("/nonexistent/vmlinux")), InjectError::Io { .. }));
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(refused(dir.path()), InjectError::Malformed { .. }));
}

#[test]
fn a_bzimage_is_told_from_other_files() {
    let mut image = vec![0; 4096];
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    let error = refusal(&image);
    assert!(matches!(error, InjectError::BzImage(_)));
    assert!(error.to_string().contains("-dbg"), "it says where to find the vmlinux: {error}");
}

#[test]
fn another_machines_kernel() {
    let mut elf = program(START, &[]);
    elf[18] = 183;
    let error = refusal(&elf);
    assert!(error.to_string().contains("arm64"), "{error}");
    elf[18] = 62;
    elf[4] = 1;
    assert!(matches!(refusal(&elf), InjectError::Machine { .. }));
}

#[test]
fn stripped() {
    assert!(matches!(refusal(&program(START, &["-s"])), InjectError::NoSymbols(_)));
}

#[test]
fn no_pvh_entry() {
    assert!(matches!(refusal(&program(START, &[])), InjectError::NoPvhNote(_)));
}

#[test]
fn symbols_are_missing_and_named() {
    let error = refusal(&program(&format!("{NOTE}\n{START}"), &[]));
    let InjectError::MissingSymbols { ref names, .. } = error else { panic!("{error}") };
    for name in ["__fentry__", "ftrace_graph_init_task", "init_task"] {
        assert!(names.iter().any(|n| n == name), "{names:?}");
    }
    assert!(error.to_string().contains("CONFIG_FUNCTION_TRACER"), "{error}");
}

#[test]
fn a_module_is_no_kernel() {
    let mut elf = program(START, &[]);
    elf[16] = 1;
    assert!(refusal(&elf).to_string().contains("not a linked kernel"));
}

/// Any prefix, and any damaged byte of the headers, is an error and never a panic or a huge allocation.
#[test]
fn damaged_headers() {
    let elf = program(&format!("{NOTE}\n{START}"), &[]);
    for len in (0..elf.len()).step_by(97) {
        refusal(&elf[..len]);
    }
    for at in 0..512.min(elf.len()) {
        for value in [0, 0x7f, 0xff] {
            let mut bad = elf.clone();
            bad[at] = value;
            refusal(&bad);
        }
    }
}

#[test]
fn options_that_make_no_sense() {
    let check = |options: Options| kernel_config::layout::Layout::new(&options, 0x400_0000).map_err(|e| e.to_string());
    assert!(check(Options { cpus: 0, ..Options::default() }).is_err());
    assert!(check(Options { ring_bytes: 3 << 20, ..Options::default() }).unwrap_err().contains("power of two"));
    assert!(check(Options { ring_bytes: 64 << 10, ..Options::default() }).is_err());
    assert!(check(Options { cpus: 64, ..Options::default() }).unwrap_err().contains("--ring-mib"));
    assert!(check(Options { ram_bytes: Some(96 << 20), ..Options::default() }).unwrap_err().contains("-m"));
    assert!(check(Options { region_phys: Some(0x500_0001), ..Options::default() }).is_err());
    assert!(check(Options { region_phys: Some(0x200_0000), ..Options::default() }).is_err());
    let good = check(Options { cpus: 2, ram_bytes: Some(512 << 20), ..Options::default() }).unwrap();
    assert_eq!(good.phys % (2 << 20), 0);
    assert!(good.phys >= 0x400_0000);
}
