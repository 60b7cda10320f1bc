// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench levels`: the boot untraced, off, whole, and each initcall level alone. In: a
//! kernel. Out: a table on stdout, `levels.json`. All boots run under QEMU's icount, where time is
//! instructions: two boots of the same kernel repeat, and differ only by what tracing takes.
//!
//! Beside each level stand the calls that the filtered trace and the whole one have between the same
//! marks, and in how many they differ: of all tasks, and of pid 1 outside of interrupts. Timer interrupts
//! and what other tasks do meanwhile fall elsewhere in a boot that spends less time on tracing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{Bench, size_of_directory};
use crate::kernels::Kernel;
use crate::machine::COMMAND_LINE;
use crate::recording::{self, number};
use crate::witness::Counts;

/// The initcall levels, in boot order (`bootlevel::Level`; a demo does not build that crate).
const LEVELS: [&str; 10] = ["early", "pure", "core", "postcore", "arch", "subsys", "fs", "rootfs", "device", "late"];

/// A boot with `filter:fs` may cost so many times what its own events cost.
const MOST_TIMES_OWN: f64 = 1.5;

/// One traced boot.
pub(super) struct Boot {
    /// Kernel and tracer instructions.
    pub instructions: u64,
    pub events: u64,
    pub bytes: u64,
    /// What `symbolize bench-levels` prints.
    pub between: Value,
    /// Its `meta.json`.
    pub meta: Value,
    /// Where it is.
    pub trace: PathBuf,
    /// What the witness has counted.
    pub counts: Counts,
}

/// Measures; whether the target is met.
///
/// # Errors
/// When a boot or a program fails.
pub fn run(kernel: &Kernel) -> Result<bool> {
    let bench = Bench::prepare(kernel)?;
    let untraced = bench.untraced_icount("level")?;
    let off = bench.level("off", "hypergraph=off")?;
    let full = bench.level("full", "")?;
    let own = (full.instructions - off.instructions) as f64 / full.events as f64;
    let mut table = format!(
        "{:<10}{:>11}{:>12}{:>12}{:>8}{:>8}  {:>11}{:>8}{:>8}{:>8}\n",
        "boot", "events", "disk, B", "added insn", "%", "x own", "calls", "differ", "pid 1", "differ"
    );
    let mut rows = Vec::new();
    let mut row = |name: &str, boot: Option<&Boot>, instructions: u64, compared: Option<[u64; 4]>| {
        let added = instructions as i64 - off.instructions as i64;
        let (events, bytes) = boot.map_or((0, 0), |boot| (boot.events, boot.bytes));
        let times = if events == 0 { f64::NAN } else { added as f64 / (events as f64 * own) };
        let percent = added as f64 / off.instructions as f64 * 100.0;
        let shown = |value: f64| if value.is_nan() { "-".to_owned() } else { format!("{value:.2}") };
        let _ = write!(table, "{name:<10}{events:>11}{bytes:>12}{added:>12}{percent:>8.2}{:>8}", shown(times));
        if let Some([calls, differ, first, first_differ]) = compared {
            let _ = write!(table, "  {calls:>11}{differ:>8}{first:>8}{first_differ:>8}");
        }
        table.push('\n');
        rows.push(json!({"boot": name, "events": events, "disk_bytes": bytes, "instructions": instructions,
            "added_instructions": added, "times_own": if times.is_nan() { Value::Null } else { json!(times) },
            "compared": compared.map(|[calls, differ, first, first_differ]| json!({"calls": calls,
                "differ": differ, "pid1_calls": first, "pid1_differ": first_differ}))}));
        times
    };
    row("untraced", None, untraced, None);
    row("off", Some(&off), off.instructions, None);
    row("full", Some(&full), full.instructions, None);
    let mut met = true;
    for level in LEVELS {
        let boot = bench.level(level, &format!("hypergraph=filter:{level}"))?;
        let compared = compare(&full.between, &boot.between, level)?;
        let times = row(level, Some(&boot), boot.instructions, Some(compared));
        met &= level != "fs" || times <= MOST_TIMES_OWN;
    }
    println!("{table}");
    println!("own: {own:.1} instructions per event, of the full trace over off; added: over off.");
    println!("calls: in the level's own phase, differ: sum over functions of the difference from the full trace.");
    let debug = bench.initcall_debug()?;
    println!("\n{}", debug.0);
    let path = bench.directory.join("levels.json");
    let json = json!({"own_instructions_per_event": own, "rows": rows, "initcall_debug": debug.1});
    super::write(&path, &serde_json::to_vec_pretty(&json)?)?;
    if !met {
        eprintln!("missed: filter:fs costs more than {MOST_TIMES_OWN} times its own events");
    }
    Ok(met)
}

impl Bench {
    /// A boot with these words on its command line.
    fn level(&self, name: &str, words: &str) -> Result<Boot> {
        self.boot_icount(&format!("level-{name}"), &[], words, &[], &[])
    }

    /// The same, recorded with these arguments, on a machine with more devices; pid 1's calls in the functions of
    /// `apart` are told apart.
    pub(super) fn boot_icount(
        &self,
        name: &str,
        arguments: &[&str],
        words: &str,
        devices: &[String],
        apart: &[&str],
    ) -> Result<Boot> {
        self.steps.step(format_args!("boot: {name}"));
        let (out, trace) = (self.directory.join(format!("{name}.json")), self.directory.join(name));
        recording::clear(&trace)?;
        let mut machine = self.machine(&out)?.icount();
        machine.extra.extend(devices.iter().map(std::ffi::OsString::from));
        let line = format!("{COMMAND_LINE} {words}");
        let mut record = Command::new(&self.symbolize);
        record.arg("record").args(arguments).arg("--vmlinux").arg(&self.vmlinux).arg("-o").arg(&trace);
        record.arg("--initrd").arg(&self.initrd).args(["--append", line.trim_end(), "--"]).args(machine.qemu());
        record.stdin(Stdio::null());
        let output = record.output().context("cannot run symbolize")?;
        if !output.status.success() {
            bail!("symbolize record: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        let meta = recording::meta(&trace)?;
        let region = number(&meta, "/region/virt")?;
        let counts = Counts::read(&out)?;
        let counted = counts.instructions_with(region..region + number(&meta, "/region/size")?)?;
        let events = number(&meta, "/totals/events")?;
        let between = if words == "hypergraph=off" { Value::Null } else { self.between(&trace, apart)? };
        let (bytes, instructions) = (size_of_directory(&trace)?, counted.kernel + counted.hook);
        Ok(Boot { bytes, instructions, events, between, meta, trace, counts })
    }

    /// What `symbolize bench-levels` prints of a trace; pid 1's calls in the functions of `apart` are told apart.
    pub(super) fn between(&self, trace: &Path, apart: &[&str]) -> Result<Value> {
        let mut between = Command::new(&self.symbolize);
        between.arg("bench-levels").arg(trace);
        if let Some([enter, leave]) = self.interrupts() {
            between.args(["--irq", &enter.to_string(), &leave.to_string()]);
        }
        let apart: Vec<String> = apart.iter().filter_map(|name| Some(self.site(name)?.to_string())).collect();
        if !apart.is_empty() {
            between.arg("--apart").args(apart);
        }
        recording::json(&mut between)
    }

    /// Sites of `irq_enter_rcu` and `irq_exit_rcu`, as the hook sees them.
    fn interrupts(&self) -> Option<[u64; 2]> {
        Some([self.site("irq_enter_rcu")?, self.site("irq_exit_rcu")?])
    }

    /// The site of a function, as the hook sees it.
    fn site(&self, name: &str) -> Option<u64> {
        let functions = self.image.functions();
        let (&address, _) = functions.iter().find(|(_, names)| names.iter().any(|n| n == name))?;
        // The call is the first instruction, or comes after endbr64.
        [address, address + 4].into_iter().find(|at| self.witness.sites.binary_search(at).is_ok()).map(|at| at + 5)
    }

    /// The same boot's initcalls by our marks and by the kernel's `initcall_debug`: a table, and JSON.
    fn initcall_debug(&self) -> Result<(String, Value)> {
        self.steps.step("boot: initcall_debug");
        let out = self.directory.join("level-debug.json");
        let trace = self.directory.join("level-debug");
        recording::clear(&trace)?;
        let machine = self.machine(&out)?.icount();
        let words = "hypergraph=events:initcall initcall_debug ignore_loglevel log_buf_len=4M";
        let mut record = recording::record_with(&self.symbolize, &self.vmlinux, &self.initrd, &trace, &machine, words);
        let output = record.output().context("cannot run symbolize")?;
        let console = [output.stdout, output.stderr].concat();
        let console = String::from_utf8_lossy(&console);
        let mut theirs: BTreeMap<String, u64> = BTreeMap::new();
        for line in console.lines() {
            let Some((_, rest)) = line.split_once("initcall ") else { continue };
            // initcall NAME+0x0/0xSIZE returned N after N usecs
            let Some((name, rest)) = rest.split_once('+') else { continue };
            let usecs = rest.split(" after ").nth(1).and_then(|text| text.split(' ').next());
            let Some(usecs) = usecs.and_then(|text| text.parse::<u64>().ok()) else { continue };
            *theirs.entry(name.to_owned()).or_default() += usecs;
        }
        let between = recording::json(std::process::Command::new(&self.symbolize).arg("bench-levels").arg(&trace))?;
        let per_us = number(&between, "/tsc_khz")? as f64 / 1000.0;
        let functions = self.image.functions();
        let mut levels: BTreeMap<usize, (u64, f64, f64, f64)> = BTreeMap::new();
        for initcall in between["initcalls"].as_array().context("no initcalls in the trace")? {
            let names = functions.get(&number(initcall, "/address")?);
            let level = LEVELS.iter().position(|level| initcall["phase"] == **level);
            let (Some(names), Some(level)) = (names, level) else { continue };
            let Some(usecs) = names.iter().find_map(|name| theirs.get(name)) else { continue };
            let ours = number(initcall, "/ticks")? as f64 / per_us;
            let sum = levels.entry(level).or_default();
            *sum = (sum.0 + 1, sum.1 + ours, sum.2 + *usecs as f64, sum.3.max(ours - *usecs as f64));
        }
        if levels.is_empty() {
            bail!("the console has no line of initcall_debug");
        }
        let mut table = format!(
            "{:<10}{:>10}{:>12}{:>16}{:>12}{:>14}\n",
            "level", "initcalls", "marks, us", "initcall_debug", "each, +us", "most, +us"
        );
        let mut rows = Vec::new();
        for (level, (count, ours, theirs, most)) in levels {
            let each = (ours - theirs) / count as f64;
            let _ =
                writeln!(table, "{:<10}{count:>10}{ours:>12.0}{theirs:>16.0}{each:>12.1}{most:>14.1}", LEVELS[level]);
            rows.push(json!({"level": LEVELS[level], "initcalls": count, "marks_us": ours,
                "initcall_debug_us": theirs, "most_difference_us": most}));
        }
        table.push_str(
            "Same boot, icount. The marks stand around initcall_debug's two lines, so that they hold its printk.\n",
        );
        Ok((table, Value::Array(rows)))
    }
}

/// Calls of the level in the filtered trace and in how many it differs from the whole trace; the same for
/// pid 1 outside of interrupts.
fn compare(full: &Value, filtered: &Value, level: &str) -> Result<[u64; 4]> {
    let calls = |trace: &Value, which: &str| -> Result<BTreeMap<u64, u64>> {
        let list = trace.pointer(&format!("/phases/{level}/{which}")).and_then(Value::as_array);
        list.map_or(Ok(BTreeMap::new()), |list| {
            list.iter().map(|pair| Ok((number(pair, "/0")?, number(pair, "/1")?))).collect()
        })
    };
    let mut found = [0; 4];
    for (i, which) in ["calls", "first"].into_iter().enumerate() {
        let (whole, part) = (calls(full, which)?, calls(filtered, which)?);
        let sites: std::collections::BTreeSet<&u64> = whole.keys().chain(part.keys()).collect();
        found[i * 2] = part.values().sum();
        found[i * 2 + 1] =
            sites.iter().map(|site| whole.get(site).unwrap_or(&0).abs_diff(*part.get(site).unwrap_or(&0))).sum();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_counts_in_both_directions() {
        let full = json!({"phases": {"fs": {"calls": [[1, 5], [2, 3]], "first": [[1, 5]]}}});
        let part = json!({"phases": {"fs": {"calls": [[1, 4], [3, 2]], "first": [[1, 5]]}}});
        assert_eq!(compare(&full, &part, "fs").expect("well-formed"), [6, 1 + 3 + 2, 5, 0]);
    }
}
