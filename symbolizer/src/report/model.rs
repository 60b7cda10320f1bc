// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! All that a report says, as plain data. In: totals, sums and names. Out: [`Report`]. Times in
//! ticks; the writers convert them. Never here: formatting.

use std::collections::BTreeMap;

use bootlevel::Phase;
use early_ftrace_format::word::EndReason;

use super::exits::ExitReport;
use super::levels::Boot;
use super::names::{Coverage, Named};
use super::overhead::Correction;
use super::units::Clock;
use crate::calltree::aggregate::{Aggregate, Figures, Unfinished};
use crate::calltree::phases::SLOTS;
use crate::calltree::{Function, Task, Totals};
use crate::resolve::{Inlined, Missing, Slide, tree};
use crate::trace_dir::{Ended, Meta};

/// Order of the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    /// Self time, longest first.
    #[value(name = "self")]
    Own,
    /// Total time, longest first.
    Total,
    /// Number of calls, most first.
    Calls,
    /// Longest single call first.
    Max,
    /// By name.
    Name,
}

/// A function's line.
#[derive(Clone, Debug)]
pub struct FunctionRow {
    /// Name and place.
    pub named: Named,
    /// In all tasks.
    pub all: Figures,
    /// In idle tasks.
    pub idle: Figures,
    /// Of tasks that are not idle, by phase, as far as there is anything in it: a call counts in the phase in
    /// which it began, its time where it was spent. `None`: before the first known phase, or none is known.
    pub phases: Vec<(Option<Phase>, Figures)>,
    /// Calls that did not return.
    pub unfinished: Unfinished,
}

impl FunctionRow {
    /// What its code belongs to: a directory of the source tree, or what is known instead.
    pub fn subsystem(&self) -> &str {
        let module = self.named.module.is_some() || self.named.name.starts_with("[module]");
        match (&self.named.file, module) {
            (Some(file), _) => tree::subsystem(file),
            (None, true) => "[modules]",
            (None, false) => "[no source known]",
        }
    }

    /// Self time in tasks that are not idle.
    pub fn busy_own(&self) -> u64 {
        self.all.own.saturating_sub(self.idle.own)
    }

    /// Total time in tasks that are not idle.
    pub fn busy_total(&self) -> u64 {
        self.all.total.saturating_sub(self.idle.total)
    }
}

/// A task's line.
#[derive(Clone, Debug)]
pub struct TaskRow {
    /// Name for people.
    pub name: String,
    /// Pid; 0 for idle tasks.
    pub pid: u32,
    /// The CPU whose idle task it is.
    pub idle: Option<u32>,
    /// Time on a CPU.
    pub on_cpu: u64,
    /// Self time of its calls.
    pub traced: u64,
    /// Its calls.
    pub calls: u64,
    /// How often it came onto a CPU.
    pub switches: u64,
    /// First seen, since the trace began.
    pub first: u64,
    /// It ended within the trace.
    pub ended: bool,
}

/// A long call.
#[derive(Clone, Debug)]
pub struct LongRow {
    /// Its function's name.
    pub name: String,
    /// On-CPU time.
    pub total: u64,
    /// Since the trace began.
    pub start: u64,
    /// Names of its callers, outermost first.
    pub path: Vec<String>,
    /// Whose.
    pub task: String,
    /// Where.
    pub cpu: u32,
}

/// A stack that was open at the end.
#[derive(Clone, Debug)]
pub struct OpenRow {
    /// Whose.
    pub task: String,
    /// Its pid.
    pub pid: u32,
    /// Functions and since when they are open (since the trace began), outermost first.
    pub stack: Vec<(String, u64)>,
}

/// Self time and calls of a source directory.
#[derive(Clone, Debug)]
pub struct SubsystemRow {
    /// Directory in the tree.
    pub name: String,
    /// Self time of its functions in tasks that are not idle.
    pub own: u64,
    /// Calls of them, idle tasks too.
    pub calls: u64,
}

/// How the trace ended, for all CPUs together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest powered off.
    PowerOff,
    /// The recorder was told to stop.
    Stopped(String),
    /// The guest died.
    Died(String),
    /// Nothing says so: the recorder was killed, or files are cut off.
    Missing,
}

impl End {
    /// In a word, and what else is known of it.
    pub fn words(&self) -> (&'static str, &str) {
        match self {
            End::PowerOff => ("power-off", ""),
            End::Stopped(detail) => ("stopped", detail),
            End::Died(detail) => ("died", detail),
            End::Missing => ("missing", ""),
        }
    }
}

/// Everything.
#[derive(Debug)]
pub struct Report<'a> {
    /// What the trace says of itself.
    pub meta: &'a Meta,
    /// Of the vmlinux.
    pub build_id: Option<String>,
    /// How far the kernel ran from where the vmlinux has it.
    pub slide: Slide,
    /// Ticks to nanoseconds.
    pub clock: Clock,
    /// What was in the trace.
    pub totals: &'a Totals,
    /// How it ended.
    pub end: End,
    /// How much code was seen.
    pub coverage: Coverage,
    /// Modules whose functions have no names, and why.
    pub nameless: Vec<(String, Missing)>,
    /// Whether calls were filtered, in words.
    pub filtered: Option<String>,
    /// In the order asked for.
    pub functions: Vec<FunctionRow>,
    /// Idle tasks too; most time on a CPU first.
    pub tasks: Vec<TaskRow>,
    /// Most self time first.
    pub subsystems: Vec<SubsystemRow>,
    /// Longest first.
    pub longest: Vec<LongRow>,
    /// By task.
    pub open: Vec<OpenRow>,
    /// Phases, initcalls and options.
    pub boot: Boot,
    /// What is inlined into the first functions, if that was asked for: name and parts.
    pub inlined: Vec<(String, Vec<Inlined>)>,
    /// What was subtracted from all times, if that was asked for.
    pub correction: Option<Correction>,
    /// Exits, if the host's events were recorded too.
    pub exits: Option<ExitReport>,
}

/// What a report is made of.
pub struct Sources<'a, 'b> {
    /// What the trace says of itself.
    pub meta: &'a Meta,
    /// Of the vmlinux.
    pub build_id: Option<String>,
    /// How far the kernel ran from where the vmlinux has it.
    pub slide: Slide,
    /// What was in the trace.
    pub totals: &'a Totals,
    /// The sums.
    pub aggregate: &'b Aggregate<'b>,
    /// Each function of `totals.sites`, in their order.
    pub named: Vec<Named>,
    /// How much code was seen.
    pub coverage: Coverage,
    /// Modules whose functions have no names, and why.
    pub nameless: Vec<(String, Missing)>,
    /// Phases, initcalls and options.
    pub boot: Boot,
}

impl<'a> Report<'a> {
    /// Puts a report together.
    pub fn new(sources: Sources<'a, '_>, sort: Sort, filtered: Option<String>) -> Report<'a> {
        let Sources { meta, build_id, slide, totals, aggregate, named, coverage, nameless, boot } = sources;
        let name = |function: Function| {
            named.get(function.index()).map_or_else(|| "[unknown]".to_owned(), |named| named.name.clone())
        };
        let label = |task: &Task| match task.idle {
            Some(_) => task.label(),
            None => format!("{}-{}", task.label(), task.pid),
        };
        let longest = aggregate
            .longest
            .iter()
            .map(|long| LongRow {
                name: name(long.call.function),
                total: long.call.total,
                start: long.call.start.saturating_sub(totals.first),
                path: long.path.iter().map(|&function| name(function)).collect(),
                task: totals.tasks.get(long.task.index()).map_or_else(String::new, label),
                cpu: long.cpu,
            })
            .collect();
        let open = totals
            .open
            .iter()
            .filter_map(|(id, frames)| Some((totals.tasks.get(id.index())?, frames)))
            .map(|(task, frames)| OpenRow {
                task: task.label(),
                pid: task.pid,
                stack: frames
                    .iter()
                    .map(|frame| (name(frame.function), frame.start.saturating_sub(totals.first)))
                    .collect(),
            })
            .collect();
        let functions = function_rows(named, aggregate, sort);
        Report {
            meta,
            build_id,
            slide,
            clock: Clock::new(meta.tsc_khz),
            totals,
            end: end(meta, totals),
            coverage,
            nameless,
            filtered,
            subsystems: subsystems(&functions),
            functions,
            tasks: task_rows(totals, aggregate),
            longest,
            open,
            boot,
            inlined: Vec::new(),
            correction: None,
            exits: None,
        }
    }

    /// Ticks from the first chunk to the last event.
    pub fn span(&self) -> u64 {
        self.totals.last.saturating_sub(self.totals.first)
    }

    /// On-CPU time of the tasks that are not idle.
    pub fn busy(&self) -> u64 {
        self.tasks.iter().filter(|task| task.idle.is_none()).fold(0, |sum, task| sum.saturating_add(task.on_cpu))
    }

    /// Calls that the report is about.
    pub fn calls(&self) -> u64 {
        self.functions.iter().map(|row| row.all.calls).sum()
    }
}

/// Puts functions in order; equal ones by name, so that the order is the same each time.
pub fn sort(rows: &mut [FunctionRow], by: Sort) {
    rows.sort_by(|a, b| {
        let order = match by {
            Sort::Own => b.busy_own().cmp(&a.busy_own()),
            Sort::Total => b.busy_total().cmp(&a.busy_total()),
            Sort::Calls => b.all.calls.cmp(&a.all.calls),
            Sort::Max => b.all.max.cmp(&a.all.max),
            Sort::Name => std::cmp::Ordering::Equal,
        };
        order.then_with(|| a.named.name.cmp(&b.named.name)).then_with(|| a.named.address.cmp(&b.named.address))
    });
}

fn function_rows(named: Vec<Named>, aggregate: &Aggregate<'_>, by: Sort) -> Vec<FunctionRow> {
    let mut rows: Vec<FunctionRow> = named
        .into_iter()
        .enumerate()
        .map(|(index, named)| {
            let function = Function(index as u32);
            FunctionRow {
                named,
                all: aggregate.all(function),
                idle: aggregate.idle(function),
                phases: phases(aggregate, function),
                unfinished: aggregate.unfinished[index],
            }
        })
        .filter(|row| row.all.calls > 0)
        .collect();
    sort(&mut rows, by);
    rows
}

fn phases(aggregate: &Aggregate<'_>, function: Function) -> Vec<(Option<Phase>, Figures)> {
    let phase = |slot| Phase::ALL.get(slot).copied().filter(|&phase| phase != Phase::Firmware);
    (0..SLOTS)
        .map(|slot| (phase(slot), aggregate.in_slot(function, slot)))
        .filter(|(_, figures)| *figures != Figures::default())
        .collect()
}

fn subsystems(functions: &[FunctionRow]) -> Vec<SubsystemRow> {
    let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in functions {
        let sum = sums.entry(row.subsystem()).or_default();
        sum.0 = sum.0.saturating_add(row.busy_own());
        sum.1 += row.all.calls;
    }
    let mut rows: Vec<SubsystemRow> =
        sums.into_iter().map(|(name, (own, calls))| SubsystemRow { name: name.to_owned(), own, calls }).collect();
    rows.sort_by(|a, b| b.own.cmp(&a.own).then_with(|| a.name.cmp(&b.name)));
    rows
}

fn task_rows(totals: &Totals, aggregate: &Aggregate<'_>) -> Vec<TaskRow> {
    let mut rows: Vec<TaskRow> = Vec::new();
    for (index, task) in totals.tasks.iter().enumerate() {
        let [busy, idle] = aggregate.tasks.get(index).copied().unwrap_or_default();
        let row = |name: String, idle, on_cpu, (traced, calls), switches| TaskRow {
            name,
            pid: task.pid,
            idle,
            on_cpu,
            traced,
            calls,
            switches,
            first: task.first.saturating_sub(totals.first),
            ended: task.ended,
        };
        match task.idle {
            None => rows.push(row(task.label(), None, task.on_cpu, busy, task.switches)),
            // What it did before it idled is work like any other task's.
            Some(cpu) => {
                let boot = u64::from(task.boot > 0 || busy.1 > 0);
                if boot > 0 {
                    rows.push(row(format!("{} (booting)", task.label()), None, task.boot, busy, boot));
                }
                let idling = task.on_cpu.saturating_sub(task.boot);
                if idling > 0 || task.switches > boot {
                    rows.push(row(task.label(), Some(cpu), idling, idle, task.switches - boot));
                }
            }
        }
    }
    rows.retain(|row| row.switches > 0);
    rows.sort_by(|a, b| b.on_cpu.cmp(&a.on_cpu).then(a.pid.cmp(&b.pid)).then(a.idle.cmp(&b.idle)));
    rows
}

/// `meta.json` knows how the recording ended; if it was never finished, the last words do.
fn end(meta: &Meta, totals: &Totals) -> End {
    match &meta.ended {
        Some(Ended::PowerOff) => return End::PowerOff,
        Some(Ended::Stopped { detail }) => return End::Stopped(detail.clone()),
        Some(Ended::Died { detail }) => return End::Died(detail.clone()),
        None => {}
    }
    let all_ended = !totals.ends.is_empty() && totals.ends.iter().all(|(_, end)| end.is_some());
    match totals.ends.iter().find_map(|(_, end)| *end).filter(|_| all_ended) {
        Some(EndReason::PowerOff) => End::PowerOff,
        Some(EndReason::Stopped) => End::Stopped(String::new()),
        Some(EndReason::Died) => End::Died(String::new()),
        None => End::Missing,
    }
}
