// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench micro`: what a system call and a context switch cost under each tracer. In: a kernel. Out: a
//! table on stdout, `micro.json`. The loops run in the guest (`tests/guest/micro.rs`) under QEMU's icount, where the
//! time stamp counter counts instructions: figures repeat, and tell nothing of caches. Never here: the loops.
//!
//! A mode of `MODES` is one boot. What they record is not the same, and stands beside the figures: ftrace's
//! tracepoints and perf record two events for a system call and one for a switch, wherever these come from; function
//! tracers, ours among them, record each function that is called in it. So the modes are in groups, and ours is in
//! each with what is most alike.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::kernels::Kernel;
use crate::machine::Machine;
use crate::recording::{self, number};
use crate::steps::Steps;
use crate::{initrd, tools, workspace};

/// Who traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracer {
    /// Nobody.
    None,
    /// We, with these words after `hypergraph=`.
    Ours(&'static str),
    /// What the guest's init turns on, by its word after `eft.micro=`.
    Guest(&'static str),
}

/// One boot.
struct Mode {
    name: &'static str,
    /// What it records.
    records: &'static str,
    tracer: Tracer,
}

const fn mode(name: &'static str, records: &'static str, tracer: Tracer) -> Mode {
    Mode { name, records, tracer }
}

const EVERY_CALL: &str = "each function, entry and exit";
const TRACEPOINTS: &str = "2 a system call, 1 a switch";
const CALLS: &str = "system calls' functions, entry and exit; switches";

/// A line here is a boot more. The first is what all are compared with.
const MODES: &[Mode] = &[
    mode("untraced", "nothing", Tracer::None),
    mode("ours, off in user space", "nothing in the loops", Tracer::Ours("until:late")),
    mode("ours, gate closed", "nothing in the loops", Tracer::Ours("filter:late,shutdown")),
    mode("ours, ram", EVERY_CALL, Tracer::Ours("channel:ram")),
    mode("ftrace function", "each function, entry only", Tracer::Guest("function")),
    mode("ftrace function_graph", EVERY_CALL, Tracer::Guest("graph")),
    mode("ours, switches alone", "1 a switch", Tracer::Ours("events:sched")),
    mode("ours, system calls", CALLS, Tracer::Ours("func:__x64_sys_*")),
    mode("ftrace events", TRACEPOINTS, Tracer::Guest("events")),
    mode("perf record", TRACEPOINTS, Tracer::Guest("perf")),
];

/// What is not among them, and why.
const NOT_MEASURED: &str = "LTTng: not measured. Debian has its modules as source for dkms only, and its daemons \
                            (lttng-sessiond, lttng-consumerd) would have to run in the guest.";

/// The published ones, of other hardware and measured in time; the slowdown of the worst system call.
const PUBLISHED: &str = "published (i7-6700K, KVM, time): worst system call +3.6 % hypertracing, +12.6 % compressed \
                         by two and nested, +18 % LTTng, +15 % perf, x2 ftrace";

/// What the guest's loops are called, and how many system calls or switches one round has.
const LOOPS: [(&str, &str, u64); 4] =
    [("getppid", "getppid", 1), ("read", "read", 1), ("write", "write", 1), ("roundtrip", "switch", 2)];

/// Instructions of a round of each loop, by the order of [`LOOPS`].
type Took = [f64; 4];

/// The loops' lines on a console.
fn took(console: &str) -> Result<Took> {
    let mut all = [0.0; 4];
    for ((name, _, each), took) in LOOPS.iter().zip(&mut all) {
        let prefix = format!("early-ftrace: micro {name} ");
        let line = console.lines().find_map(|line| line.trim_end().strip_prefix(&prefix));
        let line = line.with_context(|| format!("the guest has not told of its loop {name}:\n{console}"))?;
        let numbers = line.split_once(' ').and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?)));
        let (count, ticks) = numbers.filter(|(count, _)| *count > 0).with_context(|| format!("no figures: {line}"))?;
        *took = ticks as f64 / (count * each) as f64;
    }
    Ok(all)
}

struct Bench {
    steps: Steps,
    directory: PathBuf,
    symbolize: PathBuf,
    vmlinux: PathBuf,
    initrd: PathBuf,
    with_perf: PathBuf,
}

/// Measures; nothing that could be missed has a target.
///
/// # Errors
/// When a boot or a program fails.
pub fn run(kernel: &Kernel) -> Result<bool> {
    let steps = Steps::default();
    tools::ensure(tools::MICRO)?;
    let vmlinux = kernel.vmlinux(&steps)?;
    steps.step("building symbolize");
    let symbolize = workspace::build_release("symbolizer", "symbolize")?;
    let directory = workspace::target().join("bench/micro");
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let (initrd, with_perf) = (directory.join("initrd.cpio"), directory.join("initrd-perf.cpio"));
    initrd::build(&initrd)?;
    initrd::build_with(&with_perf, &program_with_libraries("perf")?)?;
    let bench = Bench { steps, directory, symbolize, vmlinux, initrd, with_perf };
    let mut rows = Vec::new();
    for mode in MODES {
        bench.steps.step(mode.name);
        rows.push((mode, bench.boot(mode).with_context(|| mode.name)?));
    }
    let untraced = rows.first().context("no modes")?.1;
    print!("{}", table(&rows, untraced));
    println!("{PUBLISHED}\n{NOT_MEASURED}");
    let path = bench.directory.join("micro.json");
    super::write(&path, &serde_json::to_vec_pretty(&document(&rows, untraced))?)?;
    Ok(true)
}

impl Bench {
    fn boot(&self, mode: &Mode) -> Result<Took> {
        let machine = Machine { cpus: 1, single_thread: true, extra: Vec::new() }.icount();
        let console = match mode.tracer {
            Tracer::None => recording::untraced(&mut self.plain(&machine, &self.initrd, "none"), mode.name)?,
            Tracer::Guest(word) => {
                let initrd = if word == "perf" { &self.with_perf } else { &self.initrd };
                recording::untraced(&mut self.plain(&machine, initrd, word), mode.name)?
            }
            Tracer::Ours(words) => self.recorded(&machine, mode.name, words)?,
        };
        took(&console)
    }

    fn plain(&self, machine: &Machine, initrd: &Path, word: &str) -> Command {
        machine.untraced_with(&self.vmlinux, initrd, &format!("eft.micro={word}"))
    }

    fn recorded(&self, machine: &Machine, name: &str, words: &str) -> Result<String> {
        let trace = self.directory.join("trace");
        recording::clear(&trace)?;
        let line = format!("eft.micro=none hypergraph={words}");
        let mut record = recording::record_with(&self.symbolize, &self.vmlinux, &self.initrd, &trace, machine, &line);
        let output = record.stderr(Stdio::piped()).output().context("cannot run symbolize")?;
        let console = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() || !console.contains(initrd::DONE) {
            bail!("{name}: {}: {}\n{console}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        let meta = recording::meta(&trace)?;
        let (waits, lost) = (number(&meta, "/per_cpu/0/waits")?, number(&meta, "/totals/lost")?);
        if waits + lost > 0 {
            bail!(
                "{name}: the guest waited {waits} times for the recorder and lost {lost} events: its figures are not \
                 its own; run it again on a quieter machine"
            );
        }
        Ok(console)
    }
}

/// A program that is installed here, and the libraries that the loader finds for it: paths in the guest, and here.
fn program_with_libraries(name: &str) -> Result<Vec<(String, PathBuf)>> {
    let program = PathBuf::from("/usr/bin").join(name);
    let output = Command::new("ldd").arg(&program).output().context("cannot run ldd")?;
    if !output.status.success() {
        bail!("ldd {}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    let all = std::iter::once(program).chain(libraries);
    Ok(all.map(|path| (path.to_string_lossy().trim_start_matches('/').to_owned(), path)).collect())
}

fn table(rows: &[(&Mode, Took)], untraced: Took) -> String {
    let mut text = format!("{:<26}", "instructions");
    for (_, unit, _) in LOOPS {
        let _ = write!(text, "{:>9}{:>8}", unit, "x");
    }
    text.push_str("  records\n");
    for (mode, took) in rows {
        let _ = write!(text, "{:<26}", mode.name);
        for (took, untraced) in took.iter().zip(untraced) {
            let _ = write!(text, "{took:>9.0}{:>8.2}", took / untraced);
        }
        let _ = writeln!(text, "  {}", mode.records);
    }
    text
}

fn document(rows: &[(&Mode, Took)], untraced: Took) -> Value {
    let row = |(mode, took): &(&Mode, Took)| {
        let of = |at: usize| json!({"instructions": took[at], "ratio": took[at] / untraced[at]});
        let options = match mode.tracer {
            Tracer::Ours(words) => json!(words),
            Tracer::None | Tracer::Guest(_) => Value::Null,
        };
        json!({"mode": mode.name, "records": mode.records, "hypergraph": options, "getppid": of(0), "read": of(1),
            "write": of(2), "switch": of(3)})
    };
    json!({"modes": rows.iter().map(row).collect::<Vec<_>>(), "not_measured": [NOT_MEASURED], "published": PUBLISHED})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_one_call_and_one_switch() {
        let line = |name: &str, count: u32, ticks: u32| format!("early-ftrace: micro {name} {count} {ticks}\r\n");
        let console = ["[ 1.0] x\r\n".to_owned(), line("getppid", 10, 3000), line("read", 10, 5000)]
            .into_iter()
            .chain([line("write", 10, 4000), line("roundtrip", 10, 80000)]);
        let console: String = console.collect();
        let took = took(&console).expect("whole");
        assert_eq!(took, [300.0, 500.0, 400.0, 4000.0]);
        assert!(super::took(&console.replace("write", "wrote")).is_err());
        assert!(super::took(&console.replace(" 10 4000", " 0 4000")).is_err());
        let other = mode("other", "all", Tracer::Ours("pack:4"));
        let all = table(&[(&MODES[0], took), (&other, [600.0, 500.0, 400.0, 8000.0])], took);
        let line = all.lines().nth(2).expect("a line of it");
        assert_eq!(
            line,
            "other                           600    2.00      500    1.00      400    1.00     8000    2.00  all"
        );
    }
}
