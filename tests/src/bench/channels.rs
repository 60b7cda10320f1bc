// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench channels`: the same boot, its events carried by each channel that TCG has. In: a kernel. Out: a table
//! on stdout, `channels.json`. All boots run under QEMU's icount and the witness: two boots of a kernel differ by what
//! their channels cost only.
//!
//! Of each: events, bytes that went through the channel and accesses that leave the guest for them (what would be exits
//! under KVM), guest instructions per event; by how many calls the trace differs from the witness's counts of that very
//! boot (none, but for the last few of a stream); and calls of pid 1 outside of interrupts that are not the same as in the boot by RAM:
//! the timer's interrupts fall elsewhere in a boot that is slowed more. Hypercalls need KVM: the test bed has them.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::json;

use super::Bench;
use super::levels::{Boot, compare};
use crate::kernels::Kernel;
use crate::recording::{self, number};
use crate::witness;

/// Names, and what `symbolize record` is told.
const CHANNELS: [(&str, &[&str]); 4] = [
    ("ram", &[]),
    ("ivshmem", &["--channel", "ivshmem"]),
    ("virtio-pmem", &["--channel", "pmem"]),
    ("port", &["--channel", "port"]),
];

/// The phases of a boot, in which calls are compared.
const PHASES: [&str; 17] = [
    "start", "console", "setup", "early", "smp", "pure", "core", "postcore", "arch", "subsys", "fs", "rootfs",
    "device", "late", "final", "init", "user",
];

/// Calls at the very end that a stream may have not sent: `TAIL` of the guest's `channel/frames.rs`.
const TAIL: u64 = 16;

/// Most functions that are shown of those that differ.
const SHOWN: usize = 5;

/// Measures; whether each channel has carried all.
///
/// # Errors
/// When a boot or a program fails.
pub fn run(kernel: &Kernel) -> Result<bool> {
    let bench = Bench::prepare(kernel)?;
    let off = bench.boot_icount("channel-off", &[], "hypergraph=off")?;
    let mut table = format!(
        "{:<12}{:>12}{:>14}{:>12}{:>12}{:>8}{:>10}{:>12}{:>10}\n",
        "channel", "events", "bytes through", "exits/1000", "insns/event", "lost", "witness", "pid 1 calls", "differ"
    );
    let (mut rows, mut whole, mut first) = (Vec::new(), true, None);
    for (name, arguments) in CHANNELS {
        let boot = bench.boot_icount(&format!("channel-{name}"), arguments, "")?;
        let words = number(&boot.meta, "/totals/words")?;
        let lost = number(&boot.meta, "/totals/lost")?;
        // A port carries bytes, one an access (and 72 more with each chunk of up to 64 KiB, which are left out here);
        // memory is seen by both sides, and nothing is carried.
        let (bytes, exits) = (words * 8, if name == "port" { words * 8 } else { 0 });
        let each = (boot.instructions as f64 - off.instructions as f64) / boot.events as f64;
        let missing = bench.differ_from_witness(&boot)?;
        let (calls, differ) = same_calls(first.as_ref().unwrap_or(&boot), &boot)?;
        let exits = exits as f64 * 1_000.0 / boot.events as f64;
        let _ = writeln!(
            table,
            "{name:<12}{:>12}{bytes:>14}{exits:>12.1}{each:>12.2}{lost:>8}{missing:>10}{calls:>12}{differ:>10}",
            boot.events
        );
        rows.push(json!({"channel": name, "events": boot.events, "bytes": bytes, "exits_per_1000_events": exits,
            "instructions_per_event": each, "lost": lost, "witness_differs_by_calls": missing,
            "pid1_calls": calls, "pid1_calls_differ": differ, "disk_bytes": boot.bytes}));
        whole &= missing <= if name == "port" { TAIL } else { 0 } && lost == 0;
        first = first.or(Some(boot));
    }
    println!("{table}");
    println!(
        "insns/event: over the same kernel with hypergraph=off; witness: calls that it has counted otherwise; of the port's, the last few."
    );
    super::write(&bench.directory.join("channels.json"), &serde_json::to_vec_pretty(&rows)?)?;
    if !whole {
        eprintln!("missed: a channel lost events, or its trace is not what the witness has counted");
    }
    Ok(whole)
}

impl Bench {
    /// Calls in which the trace differs from what the processor has made.
    fn differ_from_witness(&self, boot: &Boot) -> Result<u64> {
        let mut report = recording::report(&self.symbolize, &boot.trace, &self.vmlinux);
        let report = recording::json(report.args(["--format", "json"]))?;
        let traced = recording::traced_functions(&report, &self.witness.sites)?;
        let mismatches = witness::mismatches(&traced, &boot.counts);
        for mismatch in mismatches.iter().take(SHOWN) {
            eprintln!("    {mismatch}");
        }
        Ok(mismatches.iter().map(|mismatch| mismatch.traced.abs_diff(mismatch.witnessed)).sum())
    }
}

/// Calls of pid 1 outside of interrupts, and in how many two boots differ.
fn same_calls(one: &Boot, other: &Boot) -> Result<(u64, u64)> {
    let mut sums = (0, 0);
    for phase in PHASES {
        let [_, _, calls, differ] =
            compare(&one.between, &other.between, phase).with_context(|| format!("calls of phase {phase}"))?;
        sums = (sums.0 + calls, sums.1 + differ);
    }
    Ok(sums)
}
