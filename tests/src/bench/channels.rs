// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench channels`: the same boot, its events carried by each channel. In: a kernel. Out: a table on
//! stdout, `channels.json`. Under TCG, with QEMU's icount and the witness: two boots of a kernel differ by what their
//! channels cost only. Hypercalls need KVM, and so the test bed: [`hypercall`].
//!
//! Of each: events, bytes that went through the channel and accesses that leave the guest for them (what would be exits
//! under KVM), guest instructions per event; by how many calls the trace differs from the witness's counts of that very
//! boot (none, but for the last few of a stream).
//!
//! And by how many calls the boot is another than the one by RAM. For that all boots have the same machine (both
//! devices, whether they are used or not) and as many words on the command line: each parameter is compared with each
//! level's, and each device is probed. What is compared are the calls of pid 1 up to the start of init, by phase and
//! function, outside of interrupts and of the functions in `APART`: a slower boot has its timer interrupts, and so
//! other tasks, at other places in the code, and these functions do what interrupts and other tasks have left to do.
//! How many calls are outside of that, and in how many those differ, stands beside it.

pub mod hypercall;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Bench;
use super::levels::Boot;
use crate::kernels::Kernel;
use crate::recording::{self, number};
use crate::witness;

/// Names, and what `hypergraph=channel:` is told.
const CHANNELS: [(&str, &str); 4] = [("ram", "ram"), ("ivshmem", "ivshmem"), ("virtio-pmem", "pmem"), ("port", "port")];

/// The phases of a boot in which calls are compared. Behind them pid 1 is a program at random addresses.
const PHASES: [&str; 15] = [
    "start", "console", "setup", "early", "smp", "pure", "core", "postcore", "arch", "subsys", "fs", "rootfs",
    "device", "late", "final",
];

/// Functions whose calls are not compared, nor any calls in them: how often they are called, and what they then do, hangs
/// on when interrupts and other tasks come.
pub(super) const APART: &[&str] = &[
    // The scheduler, which a tick asks for, and what it reckons by the time that has passed.
    "schedule",
    "schedule_timeout",
    "__cond_resched",
    "try_to_wake_up",
    "wake_up_process",
    "wake_up_new_task",
    "update_curr",
    "place_entity",
    // Waiting, if the other one is not through.
    "wait_for_completion",
    "wait_for_completion_killable",
    "__mutex_lock.constprop.0",
    "__mutex_lock_slowpath",
    "__mutex_lock_killable_slowpath",
    "__mutex_unlock_slowpath.constprop.0",
    // Allocators, where the CPU's own list is empty or full: interrupts and other tasks take from it, too.
    "___slab_alloc",
    "__slab_free",
    "get_page_from_freelist",
    "free_unref_page",
    "free_unref_page_list",
    "__purge_vmap_area_lazy",
    // Random numbers: seeded anew after some time, mixed by interrupts, drawn again if they do not suit.
    "crng_make_state",
    "get_random_bytes",
    "_get_random_bytes",
    "get_random_u32",
    "blake2s_update",
    // Who has the console prints what others wrote meanwhile.
    "console_unlock",
    // Waiting for a clock.
    "__const_udelay",
    "acpi_pm_read",
];

/// Memory of the devices: that of the region.
const SHARED_MIB: u32 = 16;

/// Words of a chunk that is sent, and of one at the very end, which may not be sent. (`early_ftrace_format::stream` has both;
/// the demo, which builds this crate first, does not wait for it. A test compares.)
const SENT_WORDS: u64 = 247;
const TAIL_WORDS: u64 = 16;

/// Most functions that are shown of those that differ.
const SHOWN: usize = 5;

/// Measures; whether each channel has carried all.
///
/// # Errors
/// When a boot or a program fails.
pub fn run(kernel: &Kernel) -> Result<bool> {
    let bench = Bench::prepare(kernel)?;
    let off = bench.boot_icount("channel-off", &[], "hypergraph=off", &devices(""), &[])?;
    let mut table = format!(
        "{:<12}{:>12}{:>14}{:>12}{:>12}{:>8}{:>10}{:>12}{:>10}\n",
        "channel", "events", "bytes through", "exits/1000", "insns/event", "lost", "witness", "calls", "differ"
    );
    let (mut rows, mut whole, mut first) = (Vec::new(), true, None::<Boot>);
    let mut remarks = String::new();
    for (name, word) in CHANNELS {
        let words = format!("hypergraph=channel:{word}");
        let boot = bench.boot_icount(&format!("channel-{name}"), &[], &words, &devices(word), APART)?;
        let words = number(&boot.meta, "/totals/words")?;
        let lost = number(&boot.meta, "/totals/lost")?;
        // A port carries bytes, one an access, and a head and a header with each chunk; memory is seen by both sides, and
        // nothing is carried.
        let (bytes, exits) = match name {
            "port" => [8 * (words + words.div_ceil(SENT_WORDS) * 9); 2].into(),
            _ => (words * 8, 0),
        };
        let each = (boot.instructions as f64 - off.instructions as f64) / boot.events as f64;
        let missing = bench.differ_from_witness(&boot)?;
        let same = Same::of(&first.as_ref().unwrap_or(&boot).between, &boot.between, &PHASES)?;
        let Same { calls, differ, .. } = same;
        let exits = exits as f64 * 1_000.0 / boot.events as f64;
        let _ = writeln!(
            table,
            "{name:<12}{:>12}{bytes:>14}{exits:>12.1}{each:>12.2}{lost:>8}{missing:>10}{calls:>12}{differ:>10}",
            boot.events
        );
        rows.push(json!({"channel": name, "events": boot.events, "bytes": bytes, "exits_per_1000_events": exits,
            "instructions_per_event": each, "lost": lost, "witness_differs_by_calls": missing,
            "calls_compared": calls, "calls_differ": differ, "calls_apart": same.apart,
            "calls_apart_differ": same.apart_differ, "disk_bytes": boot.bytes}));
        let _ = write!(remarks, "{}", bench.remark(name, &same));
        whole &= missing <= if name == "port" { TAIL_WORDS } else { 0 } && lost == 0;
        first = first.or(Some(boot));
    }
    print!("{table}");
    println!(
        "insns/event: over the same kernel with hypergraph=off; witness: calls that it has counted otherwise; of the \
         port's, the last few.\ncalls: of pid 1 up to the start of init, outside of interrupts and of functions that do \
         what these have left to do; differ: from the boot by RAM.\n{remarks}"
    );
    let (hypercalls, lines) = hypercall::measure(&bench)?;
    println!("{lines}");
    whole &= hypercalls.iter().all(|row| row["lost"] == 0 && row["warnings"] == 0);
    rows.extend(hypercalls);
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

/// QEMU's arguments for a machine that has both devices, where one of them is for the channel and so `record`'s.
fn devices(channel: &str) -> Vec<String> {
    // Of two -m, QEMU takes what each says; memory devices want room behind the RAM.
    let mut all = vec!["-m".to_owned(), "size=512M,maxmem=2576M".to_owned()];
    for (slot, name, device) in [(1, "ivshmem", "ivshmem-plain"), (2, "pmem", "virtio-pmem-pci")] {
        if channel != name {
            let id = format!("spare{slot}");
            all.extend(["-object".to_owned(), format!("memory-backend-ram,id={id},size={SHARED_MIB}M,share=on")]);
            all.extend(["-device".to_owned(), format!("{device},memdev={id},addr={slot}")]);
        }
    }
    all
}

/// How two boots compare: calls of pid 1 outside of interrupts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Same {
    /// Calls that are compared, of the second boot, and in how many of them they differ.
    pub calls: u64,
    pub differ: u64,
    /// The same of those that are in [`APART`]'s functions.
    pub apart: u64,
    pub apart_differ: u64,
    /// Which of the former differ: phase, site, calls of the first boot and of the second one.
    pub which: Vec<(String, u64, u64, u64)>,
}

impl Same {
    /// Of what `symbolize bench-levels` prints of two traces.
    pub(super) fn of(one: &Value, other: &Value, phases: &[&str]) -> Result<Self> {
        let mut same = Same::default();
        let list = |trace: &Value, phase: &str, which: &str| -> Result<BTreeMap<u64, u64>> {
            let list = trace.pointer(&format!("/phases/{phase}/{which}")).and_then(Value::as_array);
            let pairs = list.into_iter().flatten();
            pairs.map(|pair| Ok((number(pair, "/0")?, number(pair, "/1")?))).collect()
        };
        for phase in phases {
            let get = |trace, which| list(trace, phase, which).with_context(|| format!("calls of phase {phase}"));
            let (whole, steady) =
                ((get(one, "first")?, get(other, "first")?), (get(one, "steady")?, get(other, "steady")?));
            let of = |map: &BTreeMap<u64, u64>, site: u64| map.get(&site).copied().unwrap_or(0);
            let sites: BTreeSet<u64> = whole.0.keys().chain(whole.1.keys()).copied().collect();
            for site in sites {
                let (a, b) = (of(&steady.0, site), of(&steady.1, site));
                let (c, d) = (of(&whole.0, site).saturating_sub(a), of(&whole.1, site).saturating_sub(b));
                same.calls += b;
                same.differ += a.abs_diff(b);
                same.apart += d;
                same.apart_differ += c.abs_diff(d);
                if a != b {
                    same.which.push(((*phase).to_owned(), site, a, b));
                }
            }
        }
        Ok(same)
    }
}

impl Bench {
    /// What is not the same, in words.
    pub(super) fn remark(&self, name: &str, same: &Same) -> String {
        let mut text = format!("{name}: {} calls apart, of which {} differ\n", same.apart, same.apart_differ);
        let functions = self.image.functions();
        let mut which: Vec<_> = same.which.iter().collect();
        which.sort_by_key(|(_, _, one, other)| std::cmp::Reverse(one.abs_diff(*other)));
        for (phase, site, one, other) in which.into_iter().take(SHOWN) {
            // The hook sees the address behind the call, which may come after endbr64.
            let names = [site - 5, site - 9].iter().find_map(|at| functions.get(at)?.first().cloned());
            let _ = writeln!(text, "    {phase}: {} {one} -> {other}", names.unwrap_or_else(|| format!("{site:#x}")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_as_long_as_the_guests() {
        use early_ftrace_format::stream;
        assert_eq!([SENT_WORDS, TAIL_WORDS], [stream::SENT_WORDS as u64, stream::TAIL_WORDS as u64]);
    }

    #[test]
    fn calls_apart_do_not_hide_others() {
        let boot = |steady: Value, first: Value| json!({"phases": {"core": {"steady": steady, "first": first}}});
        let one = boot(json!([[1, 5], [2, 3]]), json!([[1, 9], [2, 3], [3, 7]]));
        let other = boot(json!([[1, 5], [2, 4]]), json!([[1, 6], [2, 4]]));
        let same = Same::of(&one, &other, &["core", "fs"]).expect("well-formed");
        let which = vec![("core".to_owned(), 2, 3, 4)];
        assert_eq!(same, Same { calls: 9, differ: 1, apart: 1, apart_differ: 3 + 7, which });
    }

    #[test]
    fn each_machine_has_both_devices() {
        let count = |channel: &str| devices(channel).iter().filter(|word| word.contains("memdev=spare")).count();
        assert_eq!([count("ram"), count("port"), count("ivshmem"), count("pmem")], [2, 2, 1, 1]);
    }
}
