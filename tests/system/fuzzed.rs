// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The fuzz targets without a fuzzer: each takes every input of its corpus, as it is and mutated. In:
//! `tests/fuzz`. Out: a failure with the path of the input that broke a promise. Seeds are fixed: a
//! failure comes again. Never here: what a target demands.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use xtask::workspace;

use crate::fuzz;
use crate::random::Random;

/// Bytes of all corpora together: they are cloned with the project.
const LARGEST: u64 = 140_000;

/// Values that parsers get wrong.
const VALUES: [u64; 12] = [
    0,
    1,
    u64::MAX,
    u64::MAX - 7,
    1 << 63,
    (1 << 63) - 1,
    0xffff_ffff,
    0x7fff_ffff,
    0xffff_ffff_8000_0000,
    0xffff_ffff_ffff_f000,
    1 << 32,
    0x1000,
];

fn corpus() -> PathBuf {
    workspace::root().join("tests/fuzz/corpus")
}

/// Names and contents, by name.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = corpus().join(target);
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("a readable directory").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a readable input"))
        })
        .collect();
    inputs.sort();
    assert!(inputs.len() >= 3, "{target}: a corpus has valid, truncated and hostile inputs");
    inputs
}

/// Runs `target` over its corpus, and over `mutants` mutated copies of each input; `EFT_MUTANTS=100` in
/// the environment makes them a hundred times as many.
fn replay(target: &str, run: fn(&[u8]), mutants: u64) {
    let times = std::env::var("EFT_MUTANTS").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let mutants = mutants.saturating_mul(times);
    for (name, input) in inputs(target) {
        try_one(target, &format!("{name} as it is"), run, &input);
        let mut random = Random(input.len() as u64);
        for mutant in 0..mutants {
            let mut copy = input.clone();
            for _ in 0..=random.below(4) {
                mutate(&mut copy, &mut random);
            }
            try_one(target, &format!("mutant {mutant} of {name}"), run, &copy);
        }
    }
}

fn try_one(target: &str, which: &str, run: fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(|| run(input)) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("broke-{target}"));
        let saved = std::fs::write(&path, input);
        let text = panic.downcast_ref::<String>().map_or("", String::as_str);
        let text = panic.downcast_ref::<&str>().copied().unwrap_or(text);
        panic!("{target}: {which} ({}, {saved:?}): {text}", path.display());
    }
}

/// One change of the kinds that damage and malice make.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return bytes.push(random.next() as u8);
    }
    let at = random.below(bytes.len() as u64) as usize;
    match random.below(10) {
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = random.next() as u8,
        // Fields are aligned, so most of these hit a whole one.
        3..=6 => {
            let size = [4, 8][random.below(2) as usize];
            let at = at / size * size;
            let value = VALUES[random.below(VALUES.len() as u64) as usize].to_le_bytes();
            let end = bytes.len().min(at + size);
            bytes[at..end].copy_from_slice(&value[..end - at]);
        }
        7 => bytes.truncate(at),
        8 => {
            let end = at + random.below((bytes.len() - at).min(64) as u64 + 1) as usize;
            let piece = bytes[at..end].to_vec();
            let to = random.below(bytes.len() as u64 + 1) as usize;
            bytes.splice(to..to, piece);
        }
        _ => {
            let end = at + random.below((bytes.len() - at).min(64) as u64 + 1) as usize;
            bytes.drain(at..end);
        }
    }
}

#[test]
fn corpora_are_small() {
    let mut bytes = 0;
    for target in std::fs::read_dir(corpus()).expect("the corpora").flatten() {
        let name = target.file_name().into_string().expect("UTF-8");
        bytes += inputs(&name).iter().map(|(_, input)| input.len() as u64).sum::<u64>();
    }
    assert!(bytes < LARGEST, "{bytes} bytes");
}

#[test]
fn any_vmlinux_is_injected_or_refused() {
    replay("inject", fuzz::inject::run, 600);
}

#[test]
fn any_vmlinux_gives_names_or_is_refused() {
    replay("resolve", fuzz::resolve::run, 300);
}

#[test]
fn any_kept_table_of_names_answers_or_is_refused() {
    replay("names", fuzz::names::run, 3_000);
}

#[test]
fn any_module_gives_names_or_is_refused() {
    replay("ko", fuzz::ko::run, 300);
}

#[test]
fn any_qemu_command_is_read_or_refused() {
    replay("qemu_args", fuzz::qemu_args::run, 2_000);
}

#[test]
fn any_command_line_of_a_kernel_is_read() {
    replay("options", fuzz::options::run, 3_000);
}

#[test]
fn any_shared_memory_is_drained_or_refused() {
    replay("region", fuzz::region::run, 200);
}

#[test]
fn whatever_a_guest_writes_meanwhile_is_recorded() {
    replay("guest", fuzz::guest::run, 150);
}

#[test]
fn any_words_are_decoded() {
    replay("words", fuzz::words::run, 2_000);
}

#[test]
fn any_file_of_a_cpu_is_read_and_reported() {
    replay("trace", fuzz::trace::run, 200);
}

#[test]
fn any_meta_file_is_read_or_refused() {
    replay("meta", fuzz::meta::run, 500);
}

#[test]
fn any_index_is_used_or_refused() {
    replay("index", fuzz::index::run, 1_000);
}

#[test]
fn any_kept_boot_is_compared_or_refused() {
    replay("kept", fuzz::kept::run, 300);
}

#[test]
fn any_frames_are_taken_or_dropped() {
    replay("stream", fuzz::stream::run, 2_000);
}

#[test]
fn any_budgets_are_read_or_refused() {
    replay("budget", fuzz::budget::run, 2_000);
}

#[test]
fn any_file_of_a_host_is_read_or_refused() {
    replay("host", fuzz::host::run, 400);
}

#[test]
fn any_recording_of_others_is_read_or_refused() {
    replay("import", fuzz::import::run, 300);
}
