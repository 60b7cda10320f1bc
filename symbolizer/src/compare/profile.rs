// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The figures of one boot, by what is the same in each boot of a kernel. In: a [`Report`]. Out: [`Profile`]. Times
//! in nanoseconds, or in ticks if asked for. Without idle, but for counts of calls. Never here: other boots.

use std::collections::BTreeMap;

use bootlevel::Phase;

use crate::calltree::levels::Kind;
use crate::report::Report;
use crate::report::units::Clock;

/// A function. Functions of a module that have the same name are one; the kernel's own are told apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionKey {
    /// Its name, with its module.
    pub name: String,
    /// Its call of `__fentry__` in the vmlinux; 0 in a module, which is elsewhere in each boot.
    pub site: u64,
}

/// Figures of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionFigures {
    /// Calls, idle tasks too.
    pub calls: u64,
    /// Self time.
    pub own: u64,
    /// Total time.
    pub total: u64,
}

/// An initcall, or other work like it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InitcallKey {
    /// Its function.
    pub name: String,
    /// Its module, or what would be its module; empty if that is not known.
    pub module: String,
    /// What it is.
    pub kind: &'static str,
}

/// Figures of an initcall; those of all its runs in the boot, if it ran more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InitcallFigures {
    /// The phase in which it first began.
    pub phase: Option<Phase>,
    /// How often it ran.
    pub runs: u64,
    /// From begin to end.
    pub time: u64,
    /// Of that, on a CPU.
    pub on_cpu: u64,
    /// Calls made in it.
    pub calls: u64,
}

/// Figures of a phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelFigures {
    /// Up to the next phase.
    pub time: u64,
    /// On-CPU time of tasks that are not idle.
    pub busy: u64,
    /// Entries and exits.
    pub events: u64,
    /// Calls that began.
    pub calls: u64,
}

/// One boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Entries and exits.
    pub events: u64,
    /// Events that the guest lost.
    pub lost: u64,
    /// Parts of the trace that are missing.
    pub gaps: u64,
    /// From the first event to the last.
    pub span: u64,
    /// On-CPU time of tasks that are not idle.
    pub busy: u64,
    /// How it ended, in a word.
    pub ended: &'static str,
    /// Phases that occurred, without the firmware's.
    pub levels: BTreeMap<Phase, LevelFigures>,
    /// Initcalls and what is like them.
    pub initcalls: BTreeMap<InitcallKey, InitcallFigures>,
    /// Functions that were called.
    pub functions: BTreeMap<FunctionKey, FunctionFigures>,
}

/// What times are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// Ticks of the time stamp counter: not all boots say how fast that is.
    Ticks,
}

impl Unit {
    /// A clock of which a tick is one of this unit.
    pub fn clock(self) -> Clock {
        Clock::new((self == Unit::Nanoseconds).then_some(1_000_000))
    }
}

impl Profile {
    /// The figures of a report.
    pub fn of(report: &Report<'_>, unit: Unit) -> Profile {
        let time = |ticks: u64| match unit {
            Unit::Nanoseconds => report.clock.ns(ticks).unwrap_or(ticks),
            Unit::Ticks => ticks,
        };
        let mut profile = Profile {
            events: report.totals.events,
            lost: report.totals.lost,
            gaps: report.totals.gap_count,
            span: time(report.span()),
            busy: time(report.busy()),
            ended: report.end.words().0,
            ..Profile::default()
        };
        for row in report.boot.levels.iter().filter(|row| row.phase != Phase::Firmware) {
            let (events, calls) = (row.events, row.calls);
            let level = LevelFigures { time: time(row.ticks), busy: time(row.busy), events, calls };
            profile.levels.insert(row.phase, level);
        }
        for row in &report.boot.initcalls {
            let key = InitcallKey {
                name: row.name.clone(),
                module: row.module.clone().unwrap_or_default(),
                kind: row.kind.name(),
            };
            let figures = profile.initcalls.entry(key).or_default();
            figures.phase = figures.phase.or(row.phase);
            figures.runs += 1;
            figures.time = figures.time.saturating_add(time(row.wall));
            figures.on_cpu = figures.on_cpu.saturating_add(time(row.on_cpu));
            figures.calls = figures.calls.saturating_add(row.calls);
        }
        for row in &report.functions {
            let site = if row.named.module.is_some() { 0 } else { row.named.site };
            let figures = profile.functions.entry(FunctionKey { name: row.named.name.clone(), site }).or_default();
            figures.calls = figures.calls.saturating_add(row.all.calls);
            figures.own = figures.own.saturating_add(time(row.busy_own()));
            figures.total = figures.total.saturating_add(time(row.busy_total()));
        }
        profile
    }
}

/// Whether initcalls of this kind are what phases consist of, and not beside them.
pub fn is_plain(kind: &str) -> bool {
    kind == Kind::BuiltIn.name() || kind == Kind::Module.name()
}
