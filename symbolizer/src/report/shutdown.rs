// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! How the machine was ended, for people and for programs. In: what [`crate::calltree::shutdown`] has found, and
//! names. Out: text within a width, or one JSON object, as `symbolizer/JSON.md` describes. Never here: which function
//! belongs to which step, standard output.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;

use super::names::Named;
use super::style::{DIM, HEADING, heading, left, printable, right, shorten, table, wrap};
use super::units::{Clock, count};
use crate::calltree::shutdown::{Figures, Found, Late, STEPS, Step, Sums, Way};
use crate::calltree::{Function, Task};
use crate::trace_dir::Meta;

/// Parts and functions of a step in text, unless told otherwise.
pub const TOP: usize = 5;

/// A step of the shutdown.
#[derive(Clone, Debug, Serialize)]
pub struct StepRow {
    step: &'static str,
    /// Since the shutdown began.
    began_ns: Option<u64>,
    began_ticks: u64,
    /// Up to the next step, or the last event.
    lasted_ns: Option<u64>,
    lasted_ticks: u64,
    on_cpu_ns: Option<u64>,
    on_cpu_ticks: u64,
    calls: u64,
    /// Longest first.
    parts: Vec<PartRow>,
    /// Most self time first.
    functions: Vec<FunctionRow>,
}

/// What a step is made of: a driver's function, who was notified, a system call.
#[derive(Clone, Debug, Serialize)]
struct PartRow {
    name: String,
    total_ns: Option<u64>,
    total_ticks: u64,
    calls: u64,
}

#[derive(Clone, Debug, Serialize)]
struct FunctionRow {
    name: String,
    self_ns: Option<u64>,
    self_ticks: u64,
    calls: u64,
}

/// One of the last functions.
#[derive(Clone, Debug, Serialize)]
struct LastRow {
    name: String,
    /// Since the shutdown began.
    at_ns: Option<u64>,
    at_ticks: u64,
    cpu: u32,
    task: String,
    pid: u32,
    returned: bool,
    /// Its callers, outermost first.
    path: Vec<String>,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Shutdown {
    way: &'static str,
    #[serde(skip)]
    kind: Way,
    began_with: String,
    task: String,
    pid: u32,
    told_all: bool,
    /// Since the trace began.
    began_ns: Option<u64>,
    began_ticks: u64,
    lasted_ns: Option<u64>,
    lasted_ticks: u64,
    steps: Vec<StepRow>,
    last: Vec<LastRow>,
}

/// Why there is nothing to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The mark of the phase is there, but no call in it.
    LeftOut,
    /// The trace ends before.
    NotReached,
}

impl Absent {
    /// In words, with what to do.
    pub fn words(self) -> &'static str {
        match self {
            Absent::LeftOut => {
                "the machine was ended, but the calls of it were not recorded: hypergraph= left the level shutdown \
                 out; record again with filter:shutdown (beside others, or without until:)"
            }
            Absent::NotReached => {
                "no shutdown in this trace: neither kernel_power_off, kernel_restart, kernel_halt, kernel_kexec, \
                 emergency_restart nor panic was called in it. The recording was stopped or the guest died before, \
                 or hypergraph= (notrace:, func:, depth:, until:) left these functions out"
            }
        }
    }
}

/// What the runs through the trace have found.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Steps and last functions.
    pub found: &'a Found,
    /// What the steps took.
    pub sums: &'a [Sums; STEPS],
    /// Each function, by its number.
    pub named: &'a [Named],
    /// All tasks.
    pub tasks: &'a [Task],
    /// Ticks to times.
    pub clock: Clock,
    /// When the trace began and ended.
    pub span: (u64, u64),
}

impl Shutdown {
    /// Puts it together.
    pub fn new(from: Sources<'_>) -> Shutdown {
        let Sources { found, sums, named, tasks, clock, span } = from;
        let name = |function: Function| {
            named.get(function.index()).map_or_else(|| "[unknown]".to_owned(), |named| named.name.clone())
        };
        let task = |index: usize| tasks.get(index).map_or_else(|| ("?".to_owned(), 0), |t| (t.label(), t.pid));
        let began = found.began();
        let ends = found.steps.iter().skip(1).map(|step| step.1).chain([span.1.max(began)]);
        let step = |(&(step, start), end): (&(Step, u64), u64)| {
            let (sums, lasted) = (&sums[step as usize], end.saturating_sub(start));
            StepRow {
                step: step.name(),
                began_ns: clock.ns(start.saturating_sub(began)),
                began_ticks: start.saturating_sub(began),
                lasted_ns: clock.ns(lasted),
                lasted_ticks: lasted,
                on_cpu_ns: clock.ns(sums.busy),
                on_cpu_ticks: sums.busy,
                calls: sums.calls,
                parts: parts(&sums.parts, name, clock),
                functions: functions(&sums.functions, name, clock),
            }
        };
        let last = |late: &Late| {
            let (task, pid) = task(late.task.index());
            let at = late.time.saturating_sub(began);
            LastRow {
                name: name(late.function),
                at_ns: clock.ns(at),
                at_ticks: at,
                cpu: late.cpu,
                task,
                pid,
                returned: late.returned,
                path: late.path.iter().map(|function| name(*function)).collect(),
            }
        };
        let (label, pid) = task(found.task.index());
        let (since, lasted) = (began.saturating_sub(span.0), span.1.saturating_sub(began));
        Shutdown {
            way: found.way.name(),
            kind: found.way,
            began_with: name(found.began_with),
            task: label,
            pid,
            told_all: found.told_all,
            began_ns: clock.ns(since),
            began_ticks: since,
            lasted_ns: clock.ns(lasted),
            lasted_ticks: lasted,
            steps: found.steps.iter().zip(ends).map(step).collect(),
            last: found.last.iter().map(last).collect(),
        }
    }
}

fn parts(of: &HashMap<Function, Figures>, name: impl Fn(Function) -> String, clock: Clock) -> Vec<PartRow> {
    let row = |(function, figures): (&Function, &Figures)| PartRow {
        name: name(*function),
        total_ns: clock.ns(figures.total),
        total_ticks: figures.total,
        calls: figures.calls,
    };
    let mut rows: Vec<PartRow> = of.iter().map(row).collect();
    rows.sort_by(|a, b| (Reverse(a.total_ticks), &a.name).cmp(&(Reverse(b.total_ticks), &b.name)));
    rows
}

fn functions(of: &HashMap<Function, Figures>, name: impl Fn(Function) -> String, clock: Clock) -> Vec<FunctionRow> {
    let row = |(function, figures): (&Function, &Figures)| FunctionRow {
        name: name(*function),
        self_ns: clock.ns(figures.own),
        self_ticks: figures.own,
        calls: figures.calls,
    };
    let mut rows: Vec<FunctionRow> = of.iter().map(row).collect();
    rows.sort_by(|a, b| (Reverse(a.self_ticks), &a.name).cmp(&(Reverse(b.self_ticks), &b.name)));
    rows
}

/// What a step is, for people, and what its parts are.
fn words(step: &str) -> (&'static str, &'static str) {
    let known = Step::ALL.into_iter().find(|known| known.name() == step);
    match known {
        Some(Step::User) => ("processes end, then the reboot system call", "system calls"),
        Some(Step::Notifiers) => ("who has asked to be told is told", "who was told"),
        Some(Step::Panic) => ("the message of the panic, its notifiers and dumpers", "who was told"),
        Some(Step::Devices) => ("device_shutdown: drivers, last device first", "by driver"),
        Some(Step::Prepare) => ("who switches off prepares; to the boot CPU", "who was told"),
        Some(Step::Core) => ("syscore_shutdown: what belongs to no device", "by function"),
        Some(Step::Messages) => ("the last line on the console, the dumpers", "by function"),
        Some(Step::Machine) => ("other CPUs and interrupt controllers stop", "by function"),
        Some(Step::Off) => ("firmware and hardware end it", "who was told"),
        None => ("", ""),
    }
}

/// Writes it for people, `top` lines of each list.
///
/// # Errors
/// Those of the writer.
pub fn text(shutdown: &Shutdown, clock: Clock, width: usize, top: usize, out: &mut dyn Write) -> io::Result<()> {
    let show = |ticks: u64| clock.show(ticks);
    let what = match shutdown.kind {
        Way::PowerOff => "Power-off",
        Way::Restart => "Restart",
        Way::Halt => "Halt",
        Way::Kexec => "Start of another kernel",
        Way::Emergency => "Restart at once",
        Way::Panic => "Panic",
    };
    writeln!(out, "{HEADING}{what}, {} long{HEADING:#}", show(shutdown.lasted_ticks))?;
    let mut begin = format!(
        "from {} after the trace began, by {} in {}",
        show(shutdown.began_ticks),
        shutdown.began_with,
        printable(&shutdown.task),
    );
    let user = shutdown.steps.first().is_some_and(|first| first.step == Step::User.name());
    begin.push_str(match (user, shutdown.told_all) {
        (true, true) => "; it begins with the first signal to all processes",
        (true, false) => "; it begins with the reboot system call, since no signal to all processes was seen",
        (false, _) => "; user space was not asked",
    });
    wrap(&begin, width.saturating_sub(2).max(20)).iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    heading(
        out,
        width,
        "Steps",
        "from the first call of each up to the next; on CPU: in traced functions, of all CPUs",
    )?;
    let columns = [right("at"), right("lasted"), right("on CPU"), right("calls"), left("step"), left("")];
    let row = |row: &StepRow| {
        let (at, lasted, on_cpu) = (show(row.began_ticks), show(row.lasted_ticks), show(row.on_cpu_ticks));
        vec![at, lasted, on_cpu, count(row.calls), row.step.to_owned(), words(row.step).0.to_owned()]
    };
    table(out, width, &columns, 5, &shutdown.steps.iter().map(row).collect::<Vec<_>>())?;
    for step in &shutdown.steps {
        let title = format!("{}: {}", step.step, words(step.step).1);
        if !step.parts.is_empty() {
            heading(out, width, &title, "total time, with what they call")?;
            let line = |part: &PartRow| vec![show(part.total_ticks), count(part.calls), part.name.clone()];
            let rows: Vec<_> = step.parts.iter().take(top).map(line).collect();
            table(out, width, &[right("total"), right("calls"), left("function")], 2, &rows)?;
            more(step.parts.len(), top, out)?;
        }
        if !step.functions.is_empty() {
            heading(out, width, &format!("{}: functions", step.step), "self time")?;
            let line = |row: &FunctionRow| vec![show(row.self_ticks), count(row.calls), row.name.clone()];
            let rows: Vec<_> = step.functions.iter().take(top).map(line).collect();
            table(out, width, &[right("self"), right("calls"), left("function")], 2, &rows)?;
            more(step.functions.len(), top, out)?;
        }
    }
    last(shutdown, clock, width, out)
}

fn more(all: usize, top: usize, out: &mut dyn Write) -> io::Result<()> {
    match all.saturating_sub(top) {
        0 => Ok(()),
        more => writeln!(out, "  {DIM}and {} more (--top){DIM:#}", count(more as u64)),
    }
}

fn last(shutdown: &Shutdown, clock: Clock, width: usize, out: &mut dyn Write) -> io::Result<()> {
    heading(out, width, "The last functions", "those that were entered last, on any CPU; the last one at the end")?;
    for row in &shutdown.last {
        let end = if row.returned { "" } else { "  (did not return)" };
        let at = clock.show(row.at_ticks);
        let name = shorten(&row.name, width.saturating_sub(44).max(16));
        writeln!(out, "  {at:>8}  CPU {}  {name}{DIM}{end}{DIM:#}", row.cpu)?;
    }
    if let Some(row) = shutdown.last.last() {
        let path = row.path.iter().chain([&row.name]).map(String::as_str).collect::<Vec<_>>().join(" > ");
        for line in wrap(&path, width.saturating_sub(4).max(20)) {
            writeln!(out, "    {DIM}{line}{DIM:#}")?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Document<'a> {
    json_version: u32,
    kernel_release: &'a str,
    build_id: &'a str,
    recorded: bool,
    reason: Option<&'static str>,
    shutdown: Option<&'a Shutdown>,
}

/// Writes it for programs; `top` functions and parts of each step.
///
/// # Errors
/// Those of the writer.
pub fn json(
    shutdown: Result<&Shutdown, Absent>,
    meta: &Meta,
    top: Option<usize>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut shown = shutdown.ok().cloned();
    if let (Some(shown), Some(top)) = (&mut shown, top) {
        for step in &mut shown.steps {
            step.parts.truncate(top);
            step.functions.truncate(top);
        }
    }
    let document = Document {
        json_version: super::json::JSON_VERSION,
        kernel_release: &meta.release,
        build_id: &meta.build_id,
        recorded: shown.is_some(),
        reason: shutdown.err().map(Absent::words),
        shutdown: shown.as_ref(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}
