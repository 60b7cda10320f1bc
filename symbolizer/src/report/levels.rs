// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The boot by its levels, as plain data. In: what [`crate::calltree::levels`] collected, sums per
//! function and phase, names. Out: [`Boot`]. Times in ticks. Never here: formatting.

use std::collections::BTreeMap;

use bootlevel::{Phase, Problem};

use super::names::{CALL, Names};
use super::style::printable;
use crate::calltree::aggregate::{Aggregate, Figures};
use crate::calltree::levels::{Initcall, Kind, Levels, Outcome};
use crate::calltree::{Function, Site, Totals};

/// Functions that are kept for each phase, by self time.
const TOP_FUNCTIONS: usize = 100;

/// A phase that occurred.
#[derive(Clone, Debug)]
pub struct LevelRow {
    /// Which.
    pub phase: Phase,
    /// Since the trace began; of the firmware, 0.
    pub began: u64,
    /// Up to the next phase, or the end. Of the firmware: what the time stamp counter stood at when the
    /// trace began.
    pub ticks: u64,
    /// On-CPU time of tasks that are not idle, over all CPUs.
    pub busy: u64,
    /// Entries and exits.
    pub events: u64,
    /// Calls that began.
    pub calls: u64,
    /// Its part of the bytes on disk, by the words that its events take.
    pub bytes: u64,
    /// Initcalls and module inits that began in it.
    pub initcalls: u64,
    /// The one of them that took longest, as an index into [`Boot::initcalls`].
    pub slowest: Option<usize>,
    /// Functions that pass the filters, most self time first: name and figures without idle.
    pub functions: Vec<(String, Figures)>,
}

/// An initcall, or other work like it.
#[derive(Clone, Debug)]
pub struct InitcallRow {
    /// Its function.
    pub name: String,
    /// Address of that.
    pub address: u64,
    /// What it is.
    pub kind: Kind,
    /// The module, or what would be the module of built-in code.
    pub module: Option<String>,
    /// The phase in which it began.
    pub phase: Option<Phase>,
    /// Since the trace began.
    pub start: u64,
    /// From begin to end.
    pub wall: u64,
    /// Of that, on a CPU.
    pub on_cpu: u64,
    /// Calls made in it.
    pub calls: u64,
    /// Whose.
    pub task: String,
    /// How it ended.
    pub outcome: Outcome,
}

impl InitcallRow {
    /// What it returned, if it is of a kind that returns something, and did.
    pub fn returned(&self) -> Option<i32> {
        match (self.kind, self.outcome) {
            (Kind::BuiltIn | Kind::Module, Outcome::Returned(value)) => Some(value),
            _ => None,
        }
    }
}

/// The initcalls of a module, or of what would be one.
#[derive(Clone, Debug, Default)]
pub struct ModuleRow {
    /// Its name.
    pub name: String,
    /// Loaded as a module.
    pub loaded: bool,
    /// How many initcalls.
    pub initcalls: u64,
    /// Their time from begin to end.
    pub wall: u64,
    /// Of that, on a CPU.
    pub on_cpu: u64,
    /// Calls in them.
    pub calls: u64,
    /// The longest of them, as an index into [`Boot::initcalls`].
    pub slowest: usize,
}

/// A part of the options that the guest left out.
#[derive(Clone, Debug)]
pub struct ProblemRow {
    /// The part, as far as the text has it.
    pub part: String,
    /// Where it begins in the text.
    pub at: u16,
    /// Its bytes.
    pub len: u16,
    /// What is wrong.
    pub description: String,
}

/// What marks tell of the boot.
#[derive(Clone, Debug, Default)]
pub struct Boot {
    /// Phases that occurred, in order; empty if the trace has no marks.
    pub levels: Vec<LevelRow>,
    /// In the order of their begins.
    pub initcalls: Vec<InitcallRow>,
    /// By name.
    pub modules: Vec<ModuleRow>,
    /// Text after `hypergraph=`.
    pub options: Option<String>,
    /// What of it was left out.
    pub problems: Vec<ProblemRow>,
    /// Marks that cannot be right, for people.
    pub doubts: Vec<String>,
}

impl Boot {
    /// Puts it together. `bytes` is what the trace takes on disk.
    pub fn new(levels: &Levels, aggregate: &Aggregate<'_>, totals: &Totals, names: &Names<'_>, bytes: u64) -> Boot {
        let initcalls = initcall_rows(levels, totals, names);
        Boot {
            levels: level_rows(levels, aggregate, totals, names, &initcalls, bytes),
            modules: module_rows(&initcalls),
            initcalls,
            options: levels.options().map(|text| printable(&text)),
            problems: problems(levels),
            doubts: doubts(levels),
        }
    }

    /// Initcalls and module inits, without what is async or deferred, which runs beside or in them.
    pub fn plain(&self) -> impl Iterator<Item = (usize, &InitcallRow)> {
        self.initcalls.iter().enumerate().filter(|(_, row)| matches!(row.kind, Kind::BuiltIn | Kind::Module))
    }
}

fn initcall_rows(levels: &Levels, totals: &Totals, names: &Names<'_>) -> Vec<InitcallRow> {
    if levels.initcalls.is_empty() {
        return Vec::new();
    }
    let row = |initcall: &Initcall| {
        let site = match initcall.kind {
            Kind::BuiltIn | Kind::Module => initcall.address.wrapping_add(CALL),
            Kind::Async | Kind::Deferred => initcall.address,
        };
        let loaded = (initcall.kind == Kind::Module)
            .then(|| totals.modules.loaded_at(initcall.address, initcall.start))
            .flatten();
        let named = names.quick(Site { address: site, module: loaded });
        let kmod = names.kernel().kmod(named.address).filter(|_| initcall.kind == Kind::BuiltIn);
        let task = totals.tasks.get(initcall.task.index());
        InitcallRow {
            name: named.name,
            address: named.address,
            kind: initcall.kind,
            module: initcall.module.as_deref().or(kmod).map(printable),
            phase: phase_at(levels, initcall.start),
            start: initcall.start.saturating_sub(totals.first),
            wall: initcall.wall(),
            on_cpu: initcall.on_cpu,
            calls: initcall.calls,
            task: task.map_or_else(String::new, |task| format!("{}-{}", task.label(), task.pid)),
            outcome: initcall.outcome,
        }
    };
    levels.initcalls.iter().map(row).collect()
}

fn phase_at(levels: &Levels, time: u64) -> Option<Phase> {
    let (slot, _) = levels.timeline.at(time);
    Phase::ALL.get(slot).copied().filter(|_| !levels.timeline.starts().is_empty())
}

fn level_rows(
    levels: &Levels,
    aggregate: &Aggregate<'_>,
    totals: &Totals,
    names: &Names<'_>,
    initcalls: &[InitcallRow],
    bytes: u64,
) -> Vec<LevelRow> {
    let starts = levels.timeline.starts();
    if starts.is_empty() {
        return Vec::new();
    }
    let words = levels.phases.iter().fold(0u64, |sum, phase| sum.saturating_add(phase.words));
    let sites: Vec<Site<'_>> = totals.functions().collect();
    let row = |phase: Phase, began: u64, ticks: u64| {
        let sums = levels.phases[phase as usize];
        let own = |row: &&InitcallRow| row.phase == Some(phase) && matches!(row.kind, Kind::BuiltIn | Kind::Module);
        let slowest = initcalls.iter().enumerate().filter(|(_, row)| own(row)).max_by_key(|(_, row)| row.wall);
        let mut functions: Vec<(usize, Figures)> = (0..sites.len())
            .map(|index| (index, aggregate.in_slot(Function(index as u32), phase as usize)))
            .filter(|(_, figures)| figures.own > 0)
            .collect();
        functions.sort_by_key(|&(index, figures)| (std::cmp::Reverse(figures.own), index));
        functions.truncate(TOP_FUNCTIONS);
        LevelRow {
            phase,
            began,
            ticks,
            busy: sums.busy,
            events: sums.events,
            calls: sums.calls,
            bytes: (u128::from(bytes) * u128::from(sums.words)).checked_div(u128::from(words)).unwrap_or(0) as u64,
            initcalls: initcalls.iter().filter(own).count() as u64,
            slowest: slowest.map(|(index, _)| index),
            functions: functions
                .into_iter()
                .map(|(index, figures)| (names.quick(sites[index]).name, figures))
                .collect(),
        }
    };
    let mut rows = Vec::new();
    if starts[0].0 != Phase::Firmware {
        rows.push(row(Phase::Firmware, 0, totals.first));
    }
    for (index, &(phase, began)) in starts.iter().enumerate() {
        let end = starts.get(index + 1).map_or(totals.last, |next| next.1);
        rows.push(row(phase, began.saturating_sub(totals.first), end.saturating_sub(began.max(totals.first))));
    }
    rows
}

fn module_rows(initcalls: &[InitcallRow]) -> Vec<ModuleRow> {
    let mut modules: BTreeMap<(&str, bool), ModuleRow> = BTreeMap::new();
    for (index, initcall) in initcalls.iter().enumerate() {
        let loaded = match initcall.kind {
            Kind::BuiltIn => false,
            Kind::Module => true,
            Kind::Async | Kind::Deferred => continue,
        };
        let name = initcall.module.as_deref().unwrap_or(if loaded { "[module]" } else { "[kernel]" });
        let row = modules.entry((name, loaded)).or_insert_with(|| ModuleRow {
            name: name.to_owned(),
            loaded,
            slowest: index,
            ..ModuleRow::default()
        });
        row.initcalls += 1;
        row.wall = row.wall.saturating_add(initcall.wall);
        row.on_cpu = row.on_cpu.saturating_add(initcall.on_cpu);
        row.calls = row.calls.saturating_add(initcall.calls);
        if initcall.wall > initcalls[row.slowest].wall {
            row.slowest = index;
        }
    }
    modules.into_values().collect()
}

fn problems(levels: &Levels) -> Vec<ProblemRow> {
    let text = levels.options().unwrap_or_default();
    let row = |problem: &crate::calltree::levels::OptionProblem| {
        let (from, to) = (usize::from(problem.at), usize::from(problem.at) + usize::from(problem.len));
        let part = text.as_bytes().get(from..to.min(text.len())).unwrap_or_default();
        let description = Problem::from_u8(problem.number)
            .map_or_else(|| format!("problem {} of a later version", problem.number), |p| p.description().to_owned());
        let part = printable(&String::from_utf8_lossy(part));
        ProblemRow { part, at: problem.at, len: problem.len, description }
    };
    levels.problems.iter().map(row).collect()
}

fn doubts(levels: &Levels) -> Vec<String> {
    [
        (levels.dropped, "initcalls found no room here and are left out"),
        (levels.unmatched_ends, "initcalls end without a begin"),
        (levels.bad_marks, "marks of phases contradict the order of a boot and are left out"),
    ]
    .into_iter()
    .filter(|&(count, _)| count > 0)
    .map(|(count, what)| format!("{} {what}", super::units::count(count)))
    .collect()
}
