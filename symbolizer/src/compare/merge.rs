// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The figures of many boots of one kernel. In: a [`Profile`] of each, one at a time. Out: [`Merged`]: means and
//! spread. What is kept of a boot are some numbers for each function. Never here: traces, text.

use std::collections::BTreeMap;

use bootlevel::Phase;

use super::profile::{FunctionFigures, FunctionKey, InitcallFigures, InitcallKey, LevelFigures, Profile, Unit};
use super::settings::Difference;
use super::spread::Spread;

/// Order of initcalls and functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// Mean time, longest first
    Mean,
    /// Standard deviation of the time, largest first
    Spread,
    /// The time that was longest in some boot
    Max,
}

impl Order {
    /// What it orders by.
    fn key(self, spread: &Spread) -> f64 {
        match self {
            Order::Mean => spread.mean,
            Order::Spread => spread.sd.unwrap_or(0.0),
            Order::Max => spread.max as f64,
        }
    }
}

/// A boot, as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootRow {
    /// What the user calls it.
    pub name: String,
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
}

/// A phase, over the boots that have it.
#[derive(Clone, Debug)]
pub struct LevelRow {
    /// Which.
    pub phase: Phase,
    /// Boots that have it.
    pub boots: usize,
    /// Up to the next phase.
    pub time: Spread,
    /// On-CPU time of tasks that are not idle.
    pub busy: Spread,
    /// Entries and exits.
    pub events: Spread,
    /// Calls that began.
    pub calls: Spread,
}

/// An initcall, over the boots in which it ran.
#[derive(Clone, Debug)]
pub struct InitcallRow {
    /// Which.
    pub key: InitcallKey,
    /// The phase in which it began, in the first of the boots that have it.
    pub phase: Option<Phase>,
    /// Boots in which it ran.
    pub boots: usize,
    /// From begin to end.
    pub time: Spread,
    /// Of that, on a CPU.
    pub on_cpu: Spread,
    /// Calls made in it.
    pub calls: Spread,
}

/// A function, over all boots: where it was not called its figures are 0.
#[derive(Clone, Debug)]
pub struct FunctionRow {
    /// Which.
    pub key: FunctionKey,
    /// Path in the source tree, if that was looked up.
    pub file: Option<String>,
    /// Line of its entry.
    pub line: Option<u32>,
    /// Boots in which it was called.
    pub boots: usize,
    /// Calls.
    pub calls: Spread,
    /// Self time.
    pub own: Spread,
    /// Total time.
    pub total: Spread,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Merged {
    /// What the boots have in common.
    pub same: Same,
    /// In the order given.
    pub boots: Vec<BootRow>,
    /// From the first event to the last.
    pub span: Spread,
    /// On-CPU time of tasks that are not idle.
    pub busy: Spread,
    /// Entries and exits.
    pub events: Spread,
    /// In the order of a boot.
    pub levels: Vec<LevelRow>,
    /// In the order asked for.
    pub initcalls: Vec<InitcallRow>,
    /// In the order asked for, by self time.
    pub functions: Vec<FunctionRow>,
}

/// What boots have in common.
#[derive(Clone, Debug)]
pub struct Same {
    /// Kernel release.
    pub release: String,
    /// Its build ID.
    pub build_id: String,
    /// Command line of the first boot.
    pub command_line: String,
    /// What times are in.
    pub unit: Unit,
    /// Which calls were chosen, in words, if not all.
    pub filtered: Option<String>,
    /// Settings that are not the same in all boots.
    pub differences: Vec<Difference>,
}

/// Figures of the boots so far.
#[derive(Debug, Default)]
pub struct Gather {
    boots: BTreeMap<usize, BootRow>,
    levels: BTreeMap<Phase, Vec<LevelFigures>>,
    /// With the number of the boot.
    initcalls: BTreeMap<InitcallKey, Vec<(usize, InitcallFigures)>>,
    functions: BTreeMap<FunctionKey, Vec<FunctionFigures>>,
}

impl Gather {
    /// Adds a boot; they may come in any order of their numbers.
    pub fn add(&mut self, number: usize, name: String, profile: Profile) {
        let Profile { events, lost, gaps, span, busy, ended, levels, initcalls, functions } = profile;
        self.boots.insert(number, BootRow { name, events, lost, gaps, span, busy, ended });
        for (phase, figures) in levels {
            self.levels.entry(phase).or_default().push(figures);
        }
        for (key, figures) in initcalls {
            self.initcalls.entry(key).or_default().push((number, figures));
        }
        for (key, figures) in functions {
            self.functions.entry(key).or_default().push(figures);
        }
    }

    /// All boots are there.
    pub fn finish(self, same: Same, order: Order) -> Merged {
        let count = self.boots.len();
        let boots: Vec<BootRow> = self.boots.into_values().collect();
        let of = |value: fn(&BootRow) -> u64| Spread::of(boots.iter().map(value));
        let (span, busy, events) = (of(|boot| boot.span), of(|boot| boot.busy), of(|boot| boot.events));
        let levels = self.levels.into_iter().map(|(phase, figures)| level_row(phase, &figures)).collect();
        let mut initcalls: Vec<InitcallRow> =
            self.initcalls.into_iter().map(|(key, figures)| initcall_row(key, figures)).collect();
        initcalls.sort_by(|a, b| order.key(&b.time).total_cmp(&order.key(&a.time)).then_with(|| a.key.cmp(&b.key)));
        let mut functions: Vec<FunctionRow> =
            self.functions.into_iter().map(|(key, figures)| function_row(key, &figures, count)).collect();
        functions.sort_by(|a, b| order.key(&b.own).total_cmp(&order.key(&a.own)).then_with(|| a.key.cmp(&b.key)));
        Merged { same, boots, span, busy, events, levels, initcalls, functions }
    }
}

fn level_row(phase: Phase, figures: &[LevelFigures]) -> LevelRow {
    let of = |value: fn(&LevelFigures) -> u64| Spread::of(figures.iter().map(value));
    LevelRow {
        phase,
        boots: figures.len(),
        time: of(|level| level.time),
        busy: of(|level| level.busy),
        events: of(|level| level.events),
        calls: of(|level| level.calls),
    }
}

fn initcall_row(key: InitcallKey, mut figures: Vec<(usize, InitcallFigures)>) -> InitcallRow {
    figures.sort_by_key(|&(number, _)| number);
    let of = |value: fn(&InitcallFigures) -> u64| Spread::of(figures.iter().map(|(_, figures)| value(figures)));
    InitcallRow {
        key,
        phase: figures.iter().find_map(|(_, figures)| figures.phase),
        boots: figures.len(),
        time: of(|initcall| initcall.time),
        on_cpu: of(|initcall| initcall.on_cpu),
        calls: of(|initcall| initcall.calls),
    }
}

fn function_row(key: FunctionKey, figures: &[FunctionFigures], boots: usize) -> FunctionRow {
    let without = boots.saturating_sub(figures.len());
    let of = |value: fn(&FunctionFigures) -> u64| {
        Spread::of(figures.iter().map(value).chain(std::iter::repeat_n(0, without)))
    };
    FunctionRow {
        key,
        file: None,
        line: None,
        boots: figures.len(),
        calls: of(|function| function.calls),
        own: of(|function| function.own),
        total: of(|function| function.total),
    }
}
