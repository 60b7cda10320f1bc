// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! All that is kept of one boot to compare it with others: settings, levels, initcalls, functions by level and by
//! CPU, the merged call tree. In: a [`Report`] and what was gathered beside it. Out: [`Boot`], which [`super::kept`]
//! writes to a file. By names, not addresses, so that boots of different kernels can be compared. Without idling.
//! Never here: other boots.

use std::collections::HashMap;

use bootlevel::Phase;
use serde::{Deserialize, Serialize};

use crate::calltree::by_cpu::ByCpu;
use crate::calltree::contexts::{Merged, Node};
use crate::report::Report;
use crate::report::names::Named;
use crate::trace_dir::Meta;

/// Version of the file; grows when a field changes its meaning.
pub const VERSION: u32 = 1;

/// Number of a level that is not known; else it is an index into [`Phase::ALL`].
pub const NO_LEVEL: u8 = 255;

/// Most nodes of the call tree that are kept; those with the least time go first.
pub const MOST_NODES: usize = 300_000;

/// A function, as it is found again in another kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Function {
    /// Its symbol; with ` [MODULE]` behind it in a loaded module.
    pub name: String,
    /// Path in the source tree; empty if not known.
    pub file: String,
    /// The loaded module; empty for the kernel itself.
    pub module: String,
}

/// The whole boot. Times in nanoseconds, or in ticks if [`Boot::ns`] is false.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Entries and exits.
    pub events: u64,
    /// Calls that began, without idling.
    pub calls: u64,
    /// Events that the guest lost.
    pub lost: u64,
    /// Parts of the trace that are missing.
    pub gaps: u64,
    /// From the first event to the last.
    pub span: u64,
    /// On-CPU time of tasks that are not idle.
    pub busy: u64,
    /// How it ended, in a word: `power-off`, `stopped`, `died`, `missing`.
    pub ended: String,
}

/// A phase of the boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Level {
    /// [`Phase::name`].
    pub name: String,
    /// Since the trace began.
    pub began: u64,
    /// Up to the next phase.
    pub time: u64,
    /// On-CPU time of tasks that are not idle.
    pub busy: u64,
    /// Entries and exits.
    pub events: u64,
    /// Calls that began.
    pub calls: u64,
}

/// An initcall, or other work like it; all its runs in the boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Initcall {
    /// Its function.
    pub name: String,
    /// Its module, or what would be its module; empty if that is not known.
    pub module: String,
    /// `built-in`, `module`, `async`, `deferred`.
    pub kind: String,
    /// Name of the level in which it first began; empty if not known.
    pub level: String,
    /// How often it ran.
    pub runs: u64,
    /// From begin to end.
    pub time: u64,
    /// Of that, on a CPU.
    pub on_cpu: u64,
    /// Calls made in it.
    pub calls: u64,
}

/// Figures of functions by level; columns of equal length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sums {
    /// Index into [`Boot::functions`].
    pub function: Vec<u32>,
    /// Index into [`Phase::ALL`], or [`NO_LEVEL`].
    pub level: Vec<u8>,
    /// Calls that began in it.
    pub calls: Vec<u64>,
    /// Self time spent in it.
    pub own: Vec<u64>,
    /// Total time spent in it.
    pub total: Vec<u64>,
}

/// Figures of functions by CPU, if there is more than one; columns of equal length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OnCpus {
    /// The CPU.
    pub cpu: Vec<u32>,
    /// Index into [`Boot::functions`].
    pub function: Vec<u32>,
    /// Calls that ended there.
    pub calls: Vec<u64>,
    /// Their self time.
    pub own: Vec<u64>,
}

/// The merged call tree of each level: columns of equal length, callers before those whom they call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tree {
    /// Roots: level (as in [`Sums::level`]) and node. A root is no function.
    pub roots: Vec<(u8, u32)>,
    /// The caller's node; its own number for a root.
    pub parent: Vec<u32>,
    /// Index into [`Boot::functions`]; [`Tree::NONE`] for roots and for ways that found no room.
    pub function: Vec<u32>,
    /// Calls that began here.
    pub calls: Vec<u64>,
    /// Self time.
    pub own: Vec<u64>,
    /// With all that it called, also what is not kept.
    pub total: Vec<u64>,
}

impl Tree {
    /// No function.
    pub const NONE: u32 = u32::MAX;
}

/// One boot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Boot {
    /// [`VERSION`].
    pub version: u32,
    /// What it is called: the trace's path, or what the user says.
    pub name: String,
    /// What the trace says of itself.
    pub meta: Meta,
    /// Text after `hypergraph=` as the guest read it.
    pub options: Option<String>,
    /// Which calls were chosen, in words, if not all.
    pub filtered: Option<String>,
    /// The recorder's own cost was taken out of all times.
    pub corrected: bool,
    /// Times are nanoseconds; else ticks of the time stamp counter.
    pub ns: bool,
    /// Sums of the whole boot.
    pub totals: Totals,
    /// Phases that occurred, in order, without the firmware's.
    pub levels: Vec<Level>,
    /// In the order of their first begins.
    pub initcalls: Vec<Initcall>,
    /// Functions that were called, each once.
    pub functions: Vec<Function>,
    /// Their figures.
    pub sums: Sums,
    /// The same by CPU.
    pub cpus: OnCpus,
    /// How they called each other.
    pub tree: Tree,
}

impl Boot {
    /// Time is instructions, and each boot of this kernel is the same to the last event.
    pub fn is_deterministic(&self) -> bool {
        self.meta.deterministic
    }

    /// It is deterministic, and nothing came between: no CPU waited for the recorder, nothing is lost. Then any
    /// difference from another such boot is real.
    pub fn is_exact(&self) -> bool {
        let Totals { lost, gaps, .. } = self.totals;
        self.is_deterministic() && self.waits() == 0 && lost == 0 && gaps == 0
    }

    /// How often its CPUs waited for the recorder.
    pub fn waits(&self) -> u64 {
        self.meta.per_cpu.iter().fold(0, |sum: u64, cpu| sum.saturating_add(cpu.waits))
    }

    /// Whether it got to no end, so that its figures are not those of a boot.
    pub fn is_dead(&self) -> bool {
        matches!(&*self.totals.ended, "died" | "missing")
    }

    /// Puts it together. `named` has the functions by their numbers; `report` is made of the same run, as are the
    /// others.
    pub fn of(name: &str, report: &Report<'_>, named: &[Named], merged: &Merged, by_cpu: &ByCpu) -> Boot {
        let clock = report.clock;
        let ns = clock.khz().is_some();
        let time = |ticks: u64| clock.ns(ticks).unwrap_or(ticks);
        let mut table = Table::default();
        let numbers: Vec<u32> = named.iter().map(|named| table.number(named)).collect();
        let mut boot = Boot {
            version: VERSION,
            name: name.to_owned(),
            meta: report.meta.clone(),
            options: report.boot.options.clone(),
            filtered: report.filtered.clone(),
            corrected: report.correction.is_some(),
            ns,
            totals: Totals {
                events: report.totals.events,
                calls: 0,
                lost: report.totals.lost,
                gaps: report.totals.gap_count,
                span: time(report.span()),
                busy: time(report.busy()),
                ended: report.end.words().0.to_owned(),
            },
            ..Boot::default()
        };
        boot.levels = report
            .boot
            .levels
            .iter()
            .filter(|row| row.phase != Phase::Firmware)
            .map(|row| Level {
                name: row.phase.name().to_owned(),
                began: time(row.began),
                time: time(row.ticks),
                busy: time(row.busy),
                events: row.events,
                calls: row.calls,
            })
            .collect();
        boot.initcalls = initcalls(report, time);
        let mut sums = HashMap::new();
        for row in &report.functions {
            let function = table.number(&row.named);
            for &(phase, figures) in &row.phases {
                let line: &mut [u64; 3] = sums.entry((function, level(phase))).or_default();
                line[0] = line[0].saturating_add(figures.calls);
                line[1] = line[1].saturating_add(figures.own);
                line[2] = line[2].saturating_add(figures.total);
                boot.totals.calls = boot.totals.calls.saturating_add(figures.calls);
            }
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_unstable();
        for ((function, level), [calls, own, total]) in sums {
            boot.sums.function.push(function);
            boot.sums.level.push(level);
            boot.sums.calls.push(calls);
            boot.sums.own.push(time(own));
            boot.sums.total.push(time(total));
        }
        if report.meta.cpus > 1 {
            boot.cpus = on_cpus(by_cpu, &numbers, time);
        }
        boot.tree = tree(merged, &numbers, time);
        boot.functions = table.functions;
        boot
    }
}

fn level(phase: Option<Phase>) -> u8 {
    phase.and_then(|phase| Phase::ALL.iter().position(|&other| other == phase)).map_or(NO_LEVEL, |at| at as u8)
}

/// Functions, each once: two of one name in one file (a static function of a header) are one.
#[derive(Default)]
struct Table {
    functions: Vec<Function>,
    numbers: HashMap<Function, u32>,
}

impl Table {
    fn number(&mut self, named: &Named) -> u32 {
        let function = Function {
            name: named.name.clone(),
            file: named.file.clone().unwrap_or_default(),
            module: named.module.clone().unwrap_or_default(),
        };
        let Table { functions, numbers } = self;
        *numbers.entry(function).or_insert_with_key(|function| {
            functions.push(function.clone());
            functions.len() as u32 - 1
        })
    }
}

fn initcalls(report: &Report<'_>, time: impl Fn(u64) -> u64) -> Vec<Initcall> {
    let mut all: Vec<Initcall> = Vec::new();
    let mut known: HashMap<(String, String, &'static str), usize> = HashMap::new();
    for row in &report.boot.initcalls {
        let (module, kind) = (row.module.clone().unwrap_or_default(), row.kind.name());
        let at = *known.entry((row.name.clone(), module.clone(), kind)).or_insert_with(|| {
            let level = row.phase.map_or_else(String::new, |phase| phase.name().to_owned());
            let (name, kind) = (row.name.clone(), kind.to_owned());
            all.push(Initcall { name, module, kind, level, ..Initcall::default() });
            all.len() - 1
        });
        let initcall = &mut all[at];
        initcall.runs += 1;
        initcall.time = initcall.time.saturating_add(time(row.wall));
        initcall.on_cpu = initcall.on_cpu.saturating_add(time(row.on_cpu));
        initcall.calls = initcall.calls.saturating_add(row.calls);
    }
    all
}

fn on_cpus(by_cpu: &ByCpu, numbers: &[u32], time: impl Fn(u64) -> u64) -> OnCpus {
    let mut sums: HashMap<(u32, u32), (u64, u64)> = HashMap::new();
    for (cpu, function, calls, own) in by_cpu.rows() {
        let Some(&number) = numbers.get(function.index()) else { continue };
        let line = sums.entry((cpu, number)).or_default();
        *line = (line.0.saturating_add(calls), line.1.saturating_add(own));
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_unstable();
    let mut all = OnCpus::default();
    for ((cpu, function), (calls, own)) in sums {
        all.cpu.push(cpu);
        all.function.push(function);
        all.calls.push(calls);
        all.own.push(time(own));
    }
    all
}

/// Nodes with calls or time in or below them; the largest, if there are too many.
fn tree(merged: &Merged, numbers: &[u32], time: impl Fn(u64) -> u64) -> Tree {
    let count = merged.nodes.len();
    let mut least = 0;
    if count > MOST_NODES {
        let mut totals = merged.totals.clone();
        let (_, &mut at, _) = totals.select_nth_unstable(count - MOST_NODES);
        least = at.saturating_add(1);
    }
    let calls = merged.calls_below();
    let roots: HashMap<u32, u8> = merged
        .groups
        .iter()
        .filter(|(group, _)| !group.idle)
        .map(|&(group, root)| {
            (root, group.slot.filter(|&slot| slot < Phase::ALL.len()).map_or(NO_LEVEL, |at| at as u8))
        })
        .collect();
    // The node in the new tree.
    let mut place: Vec<u32> = vec![Tree::NONE; count];
    let mut tree = Tree::default();
    for (index, node) in merged.nodes.iter().enumerate() {
        let at = tree.parent.len() as u32;
        let parent = if node.function == Node::ROOT {
            let Some(&level) = roots.get(&(index as u32)) else { continue };
            tree.roots.push((level, at));
            at
        } else {
            let parent = place[node.parent as usize];
            let there = merged.totals[index] >= least && (calls[index] > 0 || merged.totals[index] > 0);
            if parent == Tree::NONE || !there {
                continue;
            }
            parent
        };
        place[index] = at;
        tree.parent.push(parent);
        tree.function.push(numbers.get(node.function as usize).copied().unwrap_or(Tree::NONE));
        tree.calls.push(node.calls);
        tree.own.push(time(node.own));
        tree.total.push(time(merged.totals[index]));
    }
    tree
}
