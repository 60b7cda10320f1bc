// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench recorder`: what a hypercall costs its host when KVM's events are recorded: not at all, through perf's
//! rings, put together in the kernel by BPF. In: nothing. Out: a table on stdout, `recorder.json`. In the test bed under
//! icount, whose clock counts instructions: what is told repeats.
//!
//! The guest is `tests/guest/hypercalls.rs`. All costs are the difference between two counts of hypercalls, so that begin and
//! end are not in them. In the kernel: the same, while the recorder sleeps; and how many hypercalls are lost so.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::steps::Steps;
use crate::testbed::{self, Testbed};
use crate::{tools, workspace};

/// Counts of hypercalls; so many that an unread ring holds them.
const FEW: u64 = 5_000;
const MANY: u64 = 25_000;
/// So many that it holds them no more, one way.
const BURST: u64 = 50_000;

/// Names, and what stands before the guest's command, with and without reading.
const WAYS: [(&str, &str, &str); 3] = [
    ("none", "", ""),
    ("perf", "./host_record --no-raw /tmp/o", "./host_record --no-raw --every 9000 /tmp/o"),
    ("bpf", "./host_record --bpf --no-raw /tmp/o", "./host_record --bpf --no-raw --every 9000 /tmp/o"),
];

/// On a busy machine.
const LIMIT: Duration = Duration::from_secs(1200);

/// What a run has said.
struct Run {
    /// Instructions.
    took: u64,
    /// The recorder's counts.
    counts: Value,
}

impl Run {
    fn count(&self, name: &str) -> u64 {
        self.counts[name].as_u64().unwrap_or(0)
    }
}

/// Measures; whether what is taken where the kernel allows it is the better way.
///
/// # Errors
/// When the test bed fails.
pub fn run() -> Result<bool> {
    let steps = Steps::default();
    tools::ensure(tools::TEST)?;
    steps.step("building the recorder");
    let recorder = testbed::recorder("release")?;
    let directory = workspace::target().join("bench");
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let (guest, calls) = (directory.join("hypercalls"), directory.join("recorder-calls"));
    testbed::hypercalls(&guest)?;
    super::write(&calls, &testbed::calls((0..BURST).map(|i| [1000 + i % 8, i, !i, i << 32, 7])))?;
    let mut script = String::new();
    for count in [FEW, MANY] {
        let _ = writeln!(script, "head -c {} calls > /tmp/{count}", count * 40);
    }
    for (name, read, unread) in WAYS {
        for (what, before, count) in
            [("read", read, FEW), ("read", read, MANY), ("unread", unread, FEW), ("unread", unread, MANY)]
        {
            let _ = writeln!(script, "echo '== {name} {what} {count}'; {before} ./hypercalls /tmp/{count}");
        }
        let _ = writeln!(script, "echo '== {name} unread {BURST}'; {unread} ./hypercalls calls");
    }
    let bed = Testbed::new(&steps)?.with_icount();
    steps.step("hypercalls in the test bed");
    let files: [(&str, &Path); 3] = [("hypercalls", &guest), ("calls", &calls), ("host_record", &recorder)];
    let console = bed.run(&script, &files, LIMIT)?.console;

    let mut table = format!(
        "{:<10}{:>20}{:>16}{:>18}{:>22}\n",
        "recorder", "insns/hypercall", "in the kernel", "bytes/hypercall", "lost of 50,000 unread"
    );
    let (mut rows, mut costs) = (Vec::new(), Vec::new());
    for (name, before, _) in WAYS {
        let of = |what: &str, count: u64| read(&console, &format!("== {name} {what} {count}"));
        let each = |what: &str| -> Result<f64> {
            Ok((of(what, MANY)?.took as f64 - of(what, FEW)?.took as f64) / (MANY - FEW) as f64)
        };
        let (all, unread) = (each("read")?, each("unread")?);
        let (few, many) = (of("unread", FEW)?, of("unread", MANY)?);
        if many.count("lost") > 0 {
            bail!("{name}: events are lost where the ring should hold them");
        }
        let bytes = (many.count("bytes") as f64 - few.count("bytes") as f64) / (MANY - FEW) as f64;
        // Three events each; what is lost at the very end perf does not tell.
        let events = of("unread", BURST)?.count("events");
        let lost = if before.is_empty() { 0 } else { BURST.saturating_sub(events / 3) };
        let _ = writeln!(table, "{name:<10}{all:>20.0}{unread:>16.0}{bytes:>18.0}{lost:>22}");
        rows.push(json!({"recorder": name, "instructions_per_hypercall": all, "instructions_unread": unread,
            "bytes_per_hypercall": bytes, "hypercalls_lost_unread": lost}));
        costs.push((all, lost));
    }
    println!("{table}");
    println!(
        "A hypercall's own instructions, of guest and host, are those of none. In the kernel: with the recorder asleep."
    );
    super::write(&directory.join("recorder.json"), &serde_json::to_vec_pretty(&rows)?)?;
    let better = matches!(costs[..], [_, perf, bpf] if bpf.0 < perf.0 && bpf.1 <= perf.1);
    if !better {
        eprintln!("missed: BPF costs more or loses more than perf's rings, and is taken before them");
    }
    Ok(better)
}

/// What stands behind a line of the console, up to the next run.
fn read(console: &str, head: &str) -> Result<Run> {
    let missing = || format!("the test bed did not get to {head:?}; its console:\n{console}");
    let (_, rest) = console.split_once(&format!("{head}\n")).with_context(missing)?;
    let part = rest.split("\n== ").next().unwrap_or(rest);
    // `hypercalls: 1 virtual CPUs made 5000 and forged 0 in 30674 us`: a nanosecond an instruction.
    let line = part.lines().find(|line| line.starts_with("hypercalls: ")).with_context(missing)?;
    let took = line.split_whitespace().rev().nth(1).and_then(|number| number.parse::<u64>().ok());
    let counts = part.lines().find_map(|line| serde_json::from_str(line).ok()).unwrap_or(Value::Null);
    Ok(Run { took: took.with_context(missing)? * 1000, counts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_found_by_its_head() {
        let console = "== perf read 5000\nhypercalls: 1 virtual CPUs made 5000 and forged 0 in 30 us\n{\"lost\":3}\n\
                       == perf read 25000\nhypercalls: 1 virtual CPUs made 25000 and forged 0 in 90 us\nother\n";
        let found = read(console, "== perf read 5000").unwrap();
        assert_eq!((found.took, found.count("lost")), (30_000, 3));
        let found = read(console, "== perf read 25000").unwrap();
        assert_eq!((found.took, found.count("lost")), (90_000, 0));
        assert!(read(console, "== bpf read 5000").is_err());
    }
}
