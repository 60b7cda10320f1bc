// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench in-tree`: what the tracer in the tree costs a kernel that is not asked to trace, and
//! what an event costs beside ftrace's function_graph on the same kernel. In: a series of Debian's source.
//! Out: a table on stdout, `in-tree.json`. All boots run under QEMU's icount, where time is instructions.
//!
//! function_graph's events are those that its ring buffer has taken when init asks at its end
//! (`per_cpu/cpu0/stats`: entries that are there, and overrun ones): an entry and a return each are one, as
//! with us. It starts in the `core` level, we before `start_kernel`. What a tracer does once (function_graph
//! turns its sites into calls; we leave out what `ftrace_init` does) is told from what an event costs by
//! boots in which init does its work twice: the differences between the two are events only.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::image::Image;
use crate::kernel_build::{self, Built, Flavour};
use crate::machine::Machine;
use crate::recording::{self, number};
use crate::steps::Steps;
use crate::witness::{Counts, Witness};
use crate::{initrd, tools, workspace};

/// A kernel with the tracer in its tree, and off, may execute so many times what one without it does.
const MOST_OFF_RATIO: f64 = 1.005;

/// All boots have it on their command lines, so that init does the same in each.
const STATS: &str = "eft.stats";
/// With it init does its work twice.
const TWICE: &str = "eft.twice";

/// One boot.
struct Boot {
    name: &'static str,
    /// Of the kernel, tracers included.
    instructions: u64,
    /// Calls of traceable functions, as the witness counted them.
    calls: u64,
    /// Recorded by whichever tracer ran.
    events: u64,
}

/// What all boots share.
struct Bench {
    steps: Steps,
    directory: std::path::PathBuf,
    symbolize: std::path::PathBuf,
    initrd: std::path::PathBuf,
}

/// Measures; whether the target is met.
///
/// # Errors
/// When a build, a boot or a program fails.
pub fn run(series: &str) -> Result<bool> {
    let steps = Steps::default();
    tools::ensure(tools::TEST)?;
    let plain = kernel_build::build(series, Flavour::Plain, &steps)?;
    let ours = kernel_build::build(series, Flavour::Hypergraph, &steps)?;
    steps.step("building symbolize and the witness");
    let symbolize = workspace::build_release("symbolizer", "symbolize")?;
    let directory = workspace::target().join("bench/in-tree");
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let initrd = directory.join("initrd.cpio");
    initrd::build(&initrd)?;
    let bench = Bench { steps, directory, symbolize, initrd };

    let plain = bench.untraced("plain", &plain, "")?;
    let off = bench.untraced("off", &ours, "")?;
    let on = bench.recorded("on", &ours, "hypergraph=on")?;
    let graph = bench.untraced("function_graph", &ours, "ftrace=function_graph")?;
    let off_twice = bench.untraced("off-twice", &ours, TWICE)?;
    let on_twice = bench.recorded("on-twice", &ours, &format!("hypergraph=on {TWICE}"))?;
    let graph_twice = bench.untraced("graph-twice", &ours, &format!("ftrace=function_graph {TWICE}"))?;
    let boots = [&plain, &off, &on, &graph, &off_twice, &on_twice, &graph_twice];

    let ratio = off.instructions as f64 / plain.instructions as f64;
    let each = |boot: &Boot, base: &Boot| (boot.instructions as f64 - base.instructions as f64) / boot.events as f64;
    let mut table =
        format!("{:<16}{:>16}{:>12}{:>12}{:>16}{:>12}\n", "boot", "instructions", "calls", "events", "over off", "%");
    for boot in boots {
        let over = boot.instructions as i64 - off.instructions as i64;
        let percent = over as f64 / off.instructions as f64 * 100.0;
        let Boot { name, instructions, calls, events } = boot;
        let _ = writeln!(table, "{name:<16}{instructions:>16}{calls:>12}{events:>12}{over:>16}{percent:>12.2}");
    }
    let more = |twice: &Boot, once: &Boot| twice.instructions as f64 - once.instructions as f64;
    let event = |twice: &Boot, once: &Boot| {
        (more(twice, once) - more(&off_twice, &off)) / (twice.events as f64 - once.events as f64)
    };
    let (ours_each, graph_each) = (each(&on, &off), each(&graph, &off));
    let (ours_event, graph_event) = (event(&on_twice, &on), event(&graph_twice, &graph));
    println!("{table}");
    println!("off over plain: {ratio:.5} (at most {MOST_OFF_RATIO})");
    println!("hypergraph=on: {ours_event:.1} instructions per event; the whole boot over off: {ours_each:.1}");
    println!("function_graph: {graph_event:.1} instructions per event; the whole boot over off: {graph_each:.1}");
    println!("\nper event: by what boots with twice the work take more. The whole boot has in it what is done once:");
    println!("function_graph patches its sites; ours does without ftrace_init().");
    println!("events: ours from the trace; function_graph's from its ring buffer's stats, from `core` on.");
    let rows: Vec<Value> = boots
        .iter()
        .map(|boot| {
            json!({"boot": boot.name, "instructions": boot.instructions, "calls": boot.calls, "events": boot.events})
        })
        .collect();
    let json = json!({"series": series, "rows": rows, "off_over_plain": ratio, "target_off_over_plain": MOST_OFF_RATIO,
        "instructions_per_event": ours_event, "whole_boot_instructions_per_event": ours_each,
        "function_graph_instructions_per_event": graph_event,
        "function_graph_whole_boot_instructions_per_event": graph_each});
    let path = workspace::target().join("bench/in-tree.json");
    super::write(&path, &serde_json::to_vec_pretty(&json)?)?;
    let met = ratio <= MOST_OFF_RATIO && ours_event < graph_event;
    if !met {
        eprintln!(
            "missed: off costs more than {MOST_OFF_RATIO} times the plain kernel, or an event more than ftrace's"
        );
    }
    Ok(met)
}

impl Bench {
    /// One CPU that counts to `out`.
    fn machine(&self, name: &str, kernel: &Built, out: &Path) -> Result<Machine> {
        self.steps.step(format_args!("boot: {name}"));
        if out.exists() {
            std::fs::remove_file(out).with_context(|| format!("cannot remove {}", out.display()))?;
        }
        let witness = Witness::prepare(&Image::read(&kernel.vmlinux)?, &self.directory)?;
        Ok(Machine { cpus: 1, single_thread: true, extra: witness.arguments(out, true) }.icount())
    }

    fn untraced(&self, name: &'static str, kernel: &Built, words: &str) -> Result<Boot> {
        let out = self.directory.join(format!("{name}.json"));
        let machine = self.machine(name, kernel, &out)?;
        let mut boot = machine.untraced_with(&kernel.vmlinux, &self.initrd, &format!("{STATS} {words}"));
        let console = recording::untraced(&mut boot, name)?;
        let events = buffered(&console).with_context(|| format!("the boot {name} shows no stats:\n{console}"))?;
        self.boot(name, &out, events)
    }

    fn recorded(&self, name: &'static str, kernel: &Built, words: &str) -> Result<Boot> {
        let (out, trace) = (self.directory.join(format!("{name}.json")), self.directory.join(name));
        recording::clear(&trace)?;
        let machine = self.machine(name, kernel, &out)?;
        let line = format!("{STATS} {words}");
        let output = recording::record_with(&self.symbolize, &kernel.vmlinux, &self.initrd, &trace, &machine, &line)
            .output()
            .context("cannot run symbolize")?;
        let console = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !console.contains(initrd::DONE) {
            bail!("boot {name}: {}: {console}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        let meta = recording::meta(&trace)?;
        if number(&meta, "/totals/lost")? != 0 {
            bail!("the boot {name} lost events");
        }
        self.boot(name, &out, number(&meta, "/totals/events")?)
    }

    fn boot(&self, name: &'static str, out: &Path, events: u64) -> Result<Boot> {
        let counts = Counts::read(out)?;
        let counted = counts.instructions.context("the witness counted no instructions")?;
        Ok(Boot { name, instructions: counted.kernel + counted.hook, calls: counts.calls(), events })
    }
}

/// Events that have gone through ftrace's ring buffer: those in it, and those that were overwritten.
fn buffered(console: &str) -> Option<u64> {
    let value = |name: &str| {
        let line = console.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
        line?.trim().parse::<u64>().ok()
    };
    Some(value("entries")? + value("overrun")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_overwritten_counts_too() {
        assert_eq!(buffered("x\r\nentries: 5\r\noverrun: 7\r\ncommit overrun: 9\r\n"), Some(12));
        assert_eq!(buffered("entries: 5\n"), None);
    }
}
