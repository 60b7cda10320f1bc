// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench micro`: what a system call and a context switch cost under each tracer. In: a kernel. Out: a
//! table on stdout, `micro.json`. The loops run in the guest (`tests/guest/micro.rs`) under QEMU's icount, where the
//! time stamp counter counts instructions: figures repeat, and tell nothing of caches. Never here: the loops.
//!
//! A mode of `MODES` is one boot. What they record is not the same, and stands beside the figures, as events of one system
//! call or switch: tracepoints are two of a system call and one of a switch, wherever these come from; function tracers,
//! ours among them, record each function that is called in it. So the modes are in groups, and ours is in each with
//! what is most alike. Events are counted, not computed: ours in the trace, between the times of a loop's begin and
//! end; ftrace's by its own counter; those of perf and LTTng by their readers, in the guest, loop by loop, and what a
//! loop that does nothing has is taken off.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::kernels::Kernel;
use crate::machine::{COMMAND_LINE, Machine};
use crate::recording::{self, number};
use crate::steps::Steps;
use crate::{initrd, lttng, tools, workspace};

/// Who traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracer {
    /// Nobody.
    None,
    /// We: what `symbolize record --channel` is told, and words behind `hypergraph=`.
    Ours(Option<&'static str>, &'static str),
    /// What the guest's init turns on, by its word after `eft.micro=`.
    Guest(&'static str),
    /// What [`PERF`] starts.
    Perf,
    /// What [`LTTNG`] starts.
    Lttng,
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
const TRACEPOINTS: &str = "system calls' begin and end; switches";
const CALLS: &str = "system calls' functions, entry and exit; switches";

/// A line here is a boot more. The first is what all are compared with.
const MODES: &[Mode] = &[
    mode("untraced", "nothing", Tracer::None),
    mode("ours, off in user space", "nothing in the loops", Tracer::Ours(None, "until:late")),
    mode("ours, gate closed", "nothing in the loops", Tracer::Ours(None, "filter:late,shutdown")),
    mode("ours, ram", EVERY_CALL, Tracer::Ours(None, "channel:ram")),
    mode("ours, ivshmem", EVERY_CALL, Tracer::Ours(Some("ivshmem"), "")),
    mode("ours, virtio-pmem", EVERY_CALL, Tracer::Ours(Some("pmem"), "")),
    mode("ours, port", EVERY_CALL, Tracer::Ours(Some("port"), "")),
    mode("ftrace function", "each function, entry only", Tracer::Guest("function")),
    mode("ftrace function_graph", EVERY_CALL, Tracer::Guest("graph")),
    mode("ours, switches alone", "switches", Tracer::Ours(None, "events:sched")),
    mode("ours, system calls", CALLS, Tracer::Ours(None, "func:__x64_sys_*,__do_sys_*")),
    mode("ftrace events", TRACEPOINTS, Tracer::Guest("events")),
    mode("perf record", TRACEPOINTS, Tracer::Perf),
    mode("LTTng", TRACEPOINTS, Tracer::Lttng),
];

/// What is not among them, and why.
const NOT_MEASURED: &str = "hypercalls, packed by 1, 2 and 4: they need KVM (cargo xtask bench channels has them). RAM, ivshmem \
                            and pmem go by chunks of 8,192 words, the port by chunks of 247: a loop that fills few of \
                            them pays the port for one more or less than its share.";

/// For perf and LTTng: a loop at a time, and what was recorded from before it to behind it.
const EACH: &str = "for loop in none getppid read write roundtrip; do\n";

/// How perf records, and counts.
const PERF: &str = "    perf record -q -a -m 4096 -o /tmp/perf.data --no-buildid \
    -e raw_syscalls:sys_enter,raw_syscalls:sys_exit,sched:sched_switch -- /init micro $loop\n    \
    echo early-ftrace: micro-events $loop $(perf script -i /tmp/perf.data -F event | wc -l)\n\
done\n";

/// How LTTng does. Its buffers are large enough that its consumer has nothing to do while a loop runs, as perf's are.
const LTTNG: &str = "    (\n    lttng create $loop -o /tmp/$loop\n    \
    lttng enable-channel -k --subbuf-size=4M --num-subbuf=4 c\n    \
    lttng enable-event -k -c c --syscall --all\n    \
    lttng enable-event -k -c c sched_switch\n    \
    lttng start ) > /tmp/log 2>&1 || cat /tmp/log\n    \
    /init micro $loop\n    \
    lttng destroy $loop > /tmp/log 2>&1 || cat /tmp/log\n    \
    babeltrace2 /tmp/$loop --component=sink.utils.counter > /tmp/counted\n    \
    echo early-ftrace: micro-events $loop $(sed -n 's/^ *\\([0-9]*\\) Event messages$/\\1/p' /tmp/counted | tail -n 1)\n\
done\n";

/// The reader of LTTng's traces, and where its plugins are.
const READER: &str = "/usr/bin/babeltrace2";
const PLUGINS: &str = "/usr/lib/x86_64-linux-gnu/babeltrace2/plugins";

/// The published ones, of other hardware and measured in time; the slowdown of the worst system call.
const PUBLISHED: &str = "published (i7-6700K, KVM, time): worst system call +3.6 % hypertracing, +12.6 % compressed \
                         by two and nested, +18 % LTTng, +15 % perf, x2 ftrace";

/// What the guest's loops are called, and how many system calls or switches one round has.
const LOOPS: [(&str, &str, u64); 4] =
    [("getppid", "getppid", 1), ("read", "read", 1), ("write", "write", 1), ("roundtrip", "switch", 2)];

/// The loop that does nothing.
const NOTHING: &str = "none";

/// System calls of a loop before it is measured: perf and LTTng record them too (`WARM` of `tests/guest/micro.rs`).
const WARM: f64 = 50.0;

/// Of a system call or switch: instructions, and events.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Took {
    instructions: f64,
    events: f64,
}

/// A loop's line on a console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    count: u64,
    ticks: u64,
    begin: u64,
}

/// Numbers behind `early-ftrace: KIND LOOP `.
fn numbers<const N: usize>(console: &str, kind: &str, name: &str) -> Option<[u64; N]> {
    let prefix = format!("early-ftrace: {kind} {name} ");
    let line = console.lines().find_map(|line| line.trim_end().strip_prefix(&prefix))?;
    let numbers: Vec<u64> = line.split(' ').map(|word| word.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// The loops' lines on a console.
fn lines(console: &str) -> Result<[Line; 4]> {
    let mut all = [Line { count: 0, ticks: 0, begin: 0 }; 4];
    for ((name, ..), to) in LOOPS.iter().zip(&mut all) {
        let found = numbers::<3>(console, "micro", name).filter(|[count, ..]| *count > 0);
        let [count, ticks, begin] =
            found.with_context(|| format!("the guest has not told of its loop {name}:\n{console}"))?;
        *to = Line { count, ticks, begin };
    }
    Ok(all)
}

/// Figures of the loops, where `events` were recorded of each.
fn took(lines: &[Line; 4], events: [f64; 4]) -> [Took; 4] {
    std::array::from_fn(|at| {
        let calls = (lines[at].count * LOOPS[at].2) as f64;
        Took { instructions: lines[at].ticks as f64 / calls, events: events[at] / calls }
    })
}

/// Events that the guest has counted itself, by the order of [`LOOPS`]; `warm` if those of a loop's first calls are among
/// them.
fn counted(console: &str, lines: &[Line; 4], warm: bool) -> Result<[f64; 4]> {
    let of = |name: &str| -> Result<f64> {
        let found = numbers(console, "micro-events", name);
        let [events] = found.with_context(|| format!("nobody has counted events of the loop {name}:\n{console}"))?;
        Ok(events as f64)
    };
    let nothing = of(NOTHING)?;
    let mut all = [0.0; 4];
    for ((to, (name, ..)), line) in all.iter_mut().zip(LOOPS).zip(lines) {
        let count = line.count as f64;
        *to = (of(name)? - nothing) * if warm { count / (count + WARM) } else { 1.0 };
    }
    Ok(all)
}

struct Bench {
    steps: Steps,
    directory: PathBuf,
    symbolize: PathBuf,
    vmlinux: PathBuf,
    initrd: PathBuf,
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
    let initrd = directory.join("initrd.cpio");
    initrd::build(&initrd)?;
    let bench = Bench { steps, directory, symbolize, vmlinux, initrd };
    let (mut rows, mut missing) = (Vec::new(), vec![NOT_MEASURED.to_owned()]);
    for mode in MODES {
        bench.steps.step(mode.name);
        match bench.boot(mode).with_context(|| mode.name) {
            Ok(took) => {
                eprint!("{}", row(mode, &took, &rows.first().map_or(took, |(_, untraced)| *untraced)));
                rows.push((mode, took));
            }
            // LTTng's modules are built for Debian's kernels only, and what perf runs in comes with them.
            Err(error) if matches!(mode.tracer, Tracer::Lttng | Tracer::Perf) && matches!(kernel, Kernel::File(_)) => {
                missing.push(format!("not measured: {error:#}"));
            }
            Err(error) => return Err(error),
        }
    }
    let untraced = rows.first().context("no modes")?.1;
    print!("{}", table(&rows, untraced));
    println!("{PUBLISHED}\n{}", missing.join("\n"));
    let path = bench.directory.join("micro.json");
    super::write(&path, &serde_json::to_vec_pretty(&document(&rows, untraced, &missing))?)?;
    Ok(true)
}

impl Bench {
    fn boot(&self, mode: &Mode) -> Result<[Took; 4]> {
        let machine = Machine { cpus: 1, single_thread: true, extra: Vec::new() }.icount();
        let plain = |initrd: &Path, word: &str| {
            let mut boot = machine.untraced_with(&self.vmlinux, initrd, &format!("eft.micro={word}"));
            recording::untraced(&mut boot, mode.name)
        };
        let (console, warm) = match mode.tracer {
            Tracer::None => return Ok(took(&lines(&plain(&self.initrd, "none")?)?, [0.0; 4])),
            Tracer::Ours(channel, words) => return self.recorded(&machine, mode.name, channel, words),
            Tracer::Guest(word) => (plain(&self.initrd, word)?, false),
            Tracer::Perf => (plain(&self.with_perf()?, "script")?, true),
            Tracer::Lttng => (plain(&self.with_lttng()?, "script")?, true),
        };
        let lines = lines(&console)?;
        Ok(took(&lines, counted(&console, &lines, warm)?))
    }

    fn recorded(&self, machine: &Machine, name: &str, channel: Option<&str>, words: &str) -> Result<[Took; 4]> {
        let trace = self.directory.join("trace");
        recording::clear(&trace)?;
        let hypergraph = if words.is_empty() { String::new() } else { format!(" hypergraph={words}") };
        let mut record = Command::new(&self.symbolize);
        record.arg("record").args(channel.map(|channel| format!("--channel={channel}")));
        record.arg("--vmlinux").arg(&self.vmlinux).arg("-o").arg(&trace).arg("--initrd").arg(&self.initrd);
        record.args(["--append", &format!("{COMMAND_LINE} eft.micro=none{hypergraph}"), "--"]).args(machine.qemu());
        let output = record.stdin(Stdio::null()).output().context("cannot run symbolize")?;
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
        let (lines, first) = (lines(&console)?, number(&meta, "/first_tsc")?);
        let mut events = [0.0; 4];
        for ((to, line), (.., each)) in events.iter_mut().zip(&lines).zip(LOOPS) {
            let (calls, switches) = self.events(&trace, line.begin.saturating_sub(first), line.ticks)?;
            // The report does not tell when the switches were; so many are in the trace only if those of this loop are.
            let own = if each > 1 && switches >= line.count * each { line.count * each } else { 0 };
            *to = (calls + own) as f64;
        }
        Ok(took(&lines, events))
    }

    /// Entries and exits in so many ticks of a trace; switches in all of it.
    fn events(&self, trace: &Path, from: u64, ticks: u64) -> Result<(u64, u64)> {
        let mut report = recording::report(&self.symbolize, trace, &self.vmlinux);
        report.args(["--format", "json"]).args([format!("--from={from}t"), format!("--to={}t", from + ticks)]);
        let report = recording::json(&mut report)?;
        Ok((2 * number(&report, "/summary/calls")?, number(&report, "/summary/switches")?))
    }

    /// An initial RAM disk in which perf records each loop.
    fn with_perf(&self) -> Result<PathBuf> {
        let mut files = program_with_libraries(Path::new("/usr/bin/perf"))?;
        files.push(self.script(&format!("{EACH}{PERF}"))?);
        // The shell, and what it calls.
        let busybox = lttng::files(&self.vmlinux, &self.steps)?.into_iter().find(|(name, _)| name == "bin/busybox");
        files.extend(busybox);
        let path = self.directory.join("initrd-perf.cpio");
        initrd::build_with(&path, &files)?;
        Ok(path)
    }

    /// One in which LTTng does.
    fn with_lttng(&self) -> Result<PathBuf> {
        let mut files = lttng::files(&self.vmlinux, &self.steps)?;
        let plugins = std::fs::read_dir(PLUGINS).with_context(|| format!("cannot read {PLUGINS}"))?;
        let plugins = plugins.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some());
        for program in std::iter::once(PathBuf::from(READER)).chain(plugins) {
            files.extend(program_with_libraries(&program)?);
        }
        files.push(self.script(&format!("{}{EACH}{LTTNG}", lttng::start("sched")))?);
        files.sort();
        // A library of several programs.
        files.dedup_by(|a, b| a.0 == b.0);
        let path = self.directory.join("initrd-lttng.cpio");
        initrd::build_with(&path, &files)?;
        Ok(path)
    }

    /// `/micro.sh`.
    fn script(&self, text: &str) -> Result<(String, PathBuf)> {
        let path = self.directory.join("micro.sh");
        std::fs::write(&path, format!("/bin/busybox --install -s /bin\n{text}"))?;
        Ok(("micro.sh".to_owned(), path))
    }
}

/// A program that is installed here, and the libraries that the loader finds for it: paths in the guest, and here.
fn program_with_libraries(program: &Path) -> Result<Vec<(String, PathBuf)>> {
    let output = Command::new("ldd").arg(program).output().context("cannot run ldd")?;
    if !output.status.success() {
        bail!("ldd {}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    let all = std::iter::once(program.to_owned()).chain(libraries);
    Ok(all.map(|path| (path.to_string_lossy().trim_start_matches('/').to_owned(), path)).collect())
}

fn table(rows: &[(&Mode, [Took; 4])], untraced: [Took; 4]) -> String {
    let mut text = format!("{:<26}", "instructions, events");
    for (_, unit, _) in LOOPS {
        let _ = write!(text, "{unit:>9}{:>8}{:>7}", "x", "ev");
    }
    text.push_str("  records\n");
    rows.iter().for_each(|(mode, took)| text.push_str(&row(mode, took, &untraced)));
    text
}

/// A mode's line of the table.
fn row(mode: &Mode, took: &[Took; 4], untraced: &[Took; 4]) -> String {
    let mut text = format!("{:<26}", mode.name);
    for (took, untraced) in took.iter().zip(untraced) {
        let ratio = took.instructions / untraced.instructions;
        let _ = write!(text, "{:>9.0}{ratio:>8.2}{:>7.1}", took.instructions, took.events);
    }
    text + "  " + mode.records + "\n"
}

fn document(rows: &[(&Mode, [Took; 4])], untraced: [Took; 4], missing: &[String]) -> Value {
    let row = |(mode, took): &(&Mode, [Took; 4])| {
        let of = |at: usize| {
            json!({"instructions": took[at].instructions, "ratio": took[at].instructions / untraced[at].instructions,
                "events": took[at].events})
        };
        let (channel, options) = match mode.tracer {
            Tracer::Ours(channel, words) => (json!(channel), json!(words)),
            _ => (Value::Null, Value::Null),
        };
        json!({"mode": mode.name, "records": mode.records, "channel": channel, "hypergraph": options,
            "getppid": of(0), "read": of(1), "write": of(2), "switch": of(3)})
    };
    json!({"modes": rows.iter().map(row).collect::<Vec<_>>(), "not_measured": missing, "published": PUBLISHED})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console() -> String {
        let line = |name: &str, count: u32, ticks: u32| format!("early-ftrace: micro {name} {count} {ticks} 77\r\n");
        let figures = [line("getppid", 10, 3000), line("read", 10, 5000), line("write", 10, 4000)];
        let events = ["none 7", "getppid 27", "read 27", "write 27", "roundtrip 107"];
        let events = events.map(|text| format!("early-ftrace: micro-events {text}\r\n"));
        ["[ 1.0] x\r\n".to_owned()]
            .into_iter()
            .chain(figures)
            .chain([line("roundtrip", 10, 80000)])
            .chain(events)
            .collect()
    }

    #[test]
    fn figures_are_of_one_call_and_one_switch() {
        let found = lines(&console()).expect("whole");
        assert_eq!(found[3], Line { count: 10, ticks: 80000, begin: 77 });
        let events = counted(&console(), &found, false).expect("counted");
        let took = took(&found, events);
        assert_eq!(took.map(|took| took.instructions), [300.0, 500.0, 400.0, 4000.0]);
        assert_eq!(took.map(|took| took.events), [2.0, 2.0, 2.0, 5.0]);
        // 50 calls more than are measured.
        assert_eq!(counted(&console(), &found, true).expect("counted")[0], 20.0 * (10.0 / 60.0));
        assert!(lines(&console().replace("write 10", "wrote 10")).is_err());
        assert!(lines(&console().replace(" 10 4000", " 0 4000")).is_err());
        assert!(counted(&console().replace("events none", "events nome"), &found, false).is_err());
    }

    #[test]
    fn a_mode_is_a_line_of_the_table() {
        let of = |values: [f64; 4], events| values.map(|instructions| Took { instructions, events });
        let (before, after) = (of([300.0, 500.0, 400.0, 4000.0], 0.0), of([600.0, 500.0, 400.0, 8000.0], 2.0));
        let other = mode("other", "all", Tracer::Ours(None, "pack:4"));
        let all = table(&[(&MODES[0], before), (&other, after)], before);
        assert_eq!(
            all.lines().nth(2).expect("a line of it"),
            "other                           600    2.00    2.0      500    1.00    2.0      400    1.00    2.0     \
             8000    2.00    2.0  all"
        );
    }
}
