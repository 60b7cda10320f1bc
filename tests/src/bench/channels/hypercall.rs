// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Hypercalls, for the table of channels: a Linux as guest of real KVM in the test bed, packed by four words, two and one,
//! and once by RAM. In: a kernel. Out: rows, and the table's text. Never here: the other channels.
//!
//! The test bed runs under icount: its time stamp counter, and so its guest's, counts the instructions of all that runs
//! there. The guest traces the levels early to core. KVM's tracepoints part what sending takes beyond the way by RAM:
//! from an exit's to the entry's behind it (`host's`: KVM's work, its tracepoints and our recorder's in it), and from an
//! entry's to that of the next exit within a frame (`between`: the guest's few instructions, and KVM's way into the guest
//! and out of it, which is most of that). What the guest alone takes cannot be told from outside.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::super::Bench;
use super::{APART, Same};
use crate::recording::{self, number};
use crate::testbed::{self, Testbed};

/// What is booted: the name, the channel, and the words of a hypercall.
const BOOTS: [(&str, &str, u32); 4] =
    [("L2 ram", "ram", 0), ("pack:4", "hypercall", 4), ("pack:2", "hypercall", 2), ("pack:1", "hypercall", 1)];

/// The phases that are traced.
const PHASES: [&str; 4] = ["early", "smp", "pure", "core"];

/// Four boots of two kernels, one in the other, each instruction of which is counted.
const LIMIT: Duration = Duration::from_secs(1800);

fn script() -> String {
    let boot = |(name, channel, pack): &(&str, &str, u32)| {
        let pack = if *pack == 0 { String::new() } else { format!(",pack:{pack}") };
        let out = name.replace([' ', ':'], "-");
        format!(
            "./symbolize record --channel {channel} --vmlinux vmlinux --initrd initrd -o /out/{out} --append \
             \"console=ttyS0 panic=-1 quiet no_timer_check tsc=reliable hypergraph=channel:{channel},filter:early-core{pack}\" -- \
             qemu-system-x86_64 -M q35 -accel kvm -cpu host -m 512M -nodefaults -display none -serial stdio -no-reboot \
             < /dev/null || exit 1\n"
        )
    };
    BOOTS.iter().map(boot).collect()
}

/// Boots, and measures.
///
/// # Errors
/// When a boot or a program fails.
pub(super) fn measure(bench: &Bench) -> Result<(Vec<Value>, String)> {
    let directory = bench.directory.join("hypercalls");
    recording::clear(&directory)?;
    std::fs::create_dir_all(&directory)?;
    let slim = directory.join("vmlinux");
    testbed::slimmed(&bench.vmlinux, &slim)?;
    let bed = Testbed::new(&bench.steps)?.with_qemu()?.with_icount();
    bench.steps.step("hypercalls: four boots in the test bed");
    let files = [("vmlinux", &*slim), ("initrd", &*bench.initrd), ("symbolize", &*bench.symbolize)];
    let output = bed.run(&script(), &files, LIMIT)?;
    output.save(&directory)?;
    let mut table = format!(
        "{:<12}{:>12}{:>14}{:>12}{:>12}{:>12}{:>8}{:>12}{:>10}\n",
        "under KVM", "events", "bytes through", "exits/1000", "between", "host's", "lost", "calls", "differ"
    );
    let (mut rows, mut remarks, mut first) = (Vec::new(), String::new(), None);
    for (name, _, _) in BOOTS {
        let trace = directory.join(name.replace([' ', ':'], "-"));
        let (row, between) = row(bench, name, &trace)?;
        let same = Same::of(first.as_ref().unwrap_or(&between), &between, &PHASES)?;
        let _ = write!(remarks, "{}", bench.remark(name, &same));
        let mut row = row;
        if row["warnings"] != 0 {
            let _ = writeln!(remarks, "{name}: not whole: {}", recording::meta(&trace)?["warnings"]);
        }
        row["calls_compared"] = json!(same.calls);
        row["calls_differ"] = json!(same.differ);
        row["calls_apart"] = json!(same.apart);
        row["calls_apart_differ"] = json!(same.apart_differ);
        let figure = |at: &str| row[at].as_f64().unwrap_or_default();
        let _ = writeln!(
            table,
            "{name:<12}{:>12}{:>14}{:>12.1}{:>12.2}{:>12.1}{:>8}{:>12}{:>10}",
            figure("events"),
            figure("bytes"),
            figure("exits_per_1000_events"),
            figure("instructions_between_per_event"),
            figure("host_instructions_per_event"),
            figure("lost"),
            same.calls,
            same.differ
        );
        rows.push(row);
        first = first.or(Some(between));
    }
    let _ = writeln!(
        table,
        "levels early to core of an L2; between, host's: instructions per event that sending takes, from KVM's entry to its \
         exit and from there to its entry, tracepoints and the recorder among them; differ: from L2 by RAM.\n{remarks}"
    );
    Ok((rows, table))
}

/// One boot's figures, and what `symbolize bench-levels` prints of it.
fn row(bench: &Bench, name: &str, trace: &Path) -> Result<(Value, Value)> {
    let meta = recording::meta(trace)?;
    let (events, words) = (number(&meta, "/totals/events")?, number(&meta, "/totals/words")?);
    if events == 0 {
        bail!("{name}: the trace has no events");
    }
    let between = bench.between(trace, APART)?;
    let own = &between["own_hypercalls"];
    let of = |at: &str| if own.is_null() { Ok(0) } else { number(own, at) };
    let (calls, host, behind, guest) = (of("/calls")?, of("/host")?, of("/behind")?, of("/guest")?);
    let per_event = |value: f64| value / events as f64;
    let sending = if behind == 0 { 0.0 } else { guest as f64 / behind as f64 };
    let row = json!({
        "channel": name, "events": events, "bytes": words * 8, "lost": number(&meta, "/totals/lost")?,
        "warnings": meta["warnings"].as_array().map_or(0, Vec::len),
        "hypercalls": calls, "exits_per_1000_events": per_event(calls as f64) * 1000.0,
        "instructions_between_per_event": per_event(sending * calls as f64),
        "instructions_between_hypercalls": sending, "host_instructions_per_event": per_event(host as f64),
    });
    Ok((row, between))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_boot_has_its_own_directory_and_words() {
        let script = script();
        let lines: Vec<&str> = script.lines().collect();
        assert_eq!(lines.len(), BOOTS.len());
        assert!(lines[0].contains("-o /out/L2-ram ") && !lines[0].contains("pack"), "{}", lines[0]);
        assert!(lines[3].contains("-o /out/pack-1 ") && lines[3].contains("early-core,pack:1\""), "{}", lines[3]);
    }
}
