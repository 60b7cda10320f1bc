// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The boots of one side by what they have: each function, initcall and level once, with a figure of each boot; 0 in
//! a boot that does not have it. In: [`Boot`]s. Out: [`Functions`], [`initcalls`], [`levels`]. Never here: the other
//! side.

use std::collections::BTreeMap;
use std::collections::HashMap;

use bootlevel::Phase;

use crate::compare::boot::{Boot, Function, Initcall, Level};

/// Figures of one boot: of a function calls, self time, total time; of the rest time, on-CPU time, calls, events.
pub type Figures = [f64; 4];

/// Calls of a function.
pub const CALLS: usize = 0;
/// Its self time.
pub const OWN: usize = 1;
/// Its total time.
pub const TOTAL: usize = 2;
/// Its self time on CPU 0, if there is more than one.
pub const ON_FIRST: usize = 3;

/// Something that boots of this side have.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Of each boot.
    pub figures: Vec<Figures>,
    /// Boots that have it.
    pub seen: usize,
    /// Levels where it runs, that with most first.
    pub levels: Vec<Phase>,
}

impl Line {
    fn new(boots: usize) -> Line {
        Line { figures: vec![[0.0; 4]; boots], ..Line::default() }
    }
}

/// Functions of one side.
#[derive(Debug, Default)]
pub struct Functions {
    /// Each once.
    pub keys: Vec<Function>,
    /// Their figures.
    pub lines: Vec<Line>,
    /// Of each boot: where its functions are in these lists.
    pub numbers: Vec<Vec<u32>>,
}

impl Functions {
    /// Of these boots.
    pub fn of(boots: &[Boot]) -> Functions {
        let mut all = Functions::default();
        let mut known: HashMap<&Function, u32> = HashMap::new();
        // Of each function and level: time, and calls where there is none.
        let mut weights: HashMap<(u32, u8), (f64, f64)> = HashMap::new();
        for (at, boot) in boots.iter().enumerate() {
            let numbers: Vec<u32> = boot
                .functions
                .iter()
                .map(|function| {
                    *known.entry(function).or_insert_with(|| {
                        all.keys.push(function.clone());
                        all.lines.push(Line::new(boots.len()));
                        all.keys.len() as u32 - 1
                    })
                })
                .collect();
            let sums = &boot.sums;
            for index in 0..sums.function.len() {
                let Some(&number) = numbers.get(sums.function[index] as usize) else { continue };
                let (calls, own) = (sums.calls[index] as f64, sums.own[index] as f64);
                let figures = &mut all.lines[number as usize].figures[at];
                figures[CALLS] += calls;
                figures[OWN] += own;
                figures[TOTAL] += sums.total[index] as f64;
                let weight = weights.entry((number, sums.level[index])).or_default();
                *weight = (weight.0 + own, weight.1 + calls);
            }
            for index in 0..boot.cpus.function.len() {
                let Some(&number) = numbers.get(boot.cpus.function[index] as usize) else { continue };
                if boot.cpus.cpu[index] == 0 {
                    all.lines[number as usize].figures[at][ON_FIRST] += boot.cpus.own[index] as f64;
                }
            }
            all.numbers.push(numbers);
        }
        let mut weights: Vec<_> = weights.into_iter().filter(|(_, weight)| *weight > (0.0, 0.0)).collect();
        weights.sort_by(|(a, (own, calls)), (b, (other_own, other_calls))| {
            a.0.cmp(&b.0).then(other_own.total_cmp(own)).then(other_calls.total_cmp(calls)).then(a.1.cmp(&b.1))
        });
        for ((number, level), _) in weights {
            all.lines[number as usize].levels.extend(Phase::ALL.get(usize::from(level)));
        }
        for line in &mut all.lines {
            line.seen = line.figures.iter().filter(|figures| **figures != [0.0; 4]).count();
        }
        all
    }
}

/// An initcall, as it is found again.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InitcallKey {
    /// Its function.
    pub name: String,
    /// Its module.
    pub module: String,
    /// What it is.
    pub kind: String,
}

/// Initcalls of one side: time, on-CPU time, calls.
pub fn initcalls(boots: &[Boot]) -> BTreeMap<InitcallKey, Line> {
    let mut all: BTreeMap<InitcallKey, Line> = BTreeMap::new();
    for (at, boot) in boots.iter().enumerate() {
        for initcall in &boot.initcalls {
            let Initcall { name, module, kind, .. } = initcall;
            let key = InitcallKey { name: name.clone(), module: module.clone(), kind: kind.clone() };
            let line = all.entry(key).or_insert_with(|| Line::new(boots.len()));
            // A damaged file may have one twice.
            line.seen += usize::from(line.figures[at] == [0.0; 4]);
            add(&mut line.figures[at], of_initcall(initcall));
            let level = phase(&initcall.level).filter(|level| !line.levels.contains(level));
            line.levels.extend(level);
        }
    }
    all
}

/// The figures of an initcall; a run that took no time has been there too.
pub fn of_initcall(initcall: &Initcall) -> Figures {
    [initcall.time.max(1) as f64, initcall.on_cpu as f64, initcall.calls as f64, 0.0]
}

/// The figures of a level.
pub fn of_level(level: &Level) -> Figures {
    [level.time as f64, level.busy as f64, level.calls as f64, level.events as f64]
}

/// The figures of a boot.
pub fn of_boot(boot: &Boot) -> Figures {
    let totals = &boot.totals;
    [totals.span as f64, totals.busy as f64, totals.calls as f64, totals.events as f64]
}

/// Levels of one side.
pub fn levels(boots: &[Boot]) -> BTreeMap<Phase, Line> {
    let mut all: BTreeMap<Phase, Line> = BTreeMap::new();
    for (at, boot) in boots.iter().enumerate() {
        let mut before = Vec::new();
        for level in &boot.levels {
            let Some(phase) = phase(&level.name).filter(|phase| !before.contains(phase)) else { continue };
            before.push(phase);
            let line = all.entry(phase).or_insert_with(|| Line::new(boots.len()));
            line.figures[at] = of_level(level);
            line.seen += 1;
            line.levels = vec![phase];
        }
    }
    all
}

/// The whole boots as a line.
pub fn whole(boots: &[Boot]) -> Line {
    Line { figures: boots.iter().map(of_boot).collect(), seen: boots.len(), levels: Vec::new() }
}

/// Adds figures up.
pub fn add(to: &mut Figures, other: Figures) {
    for (to, other) in to.iter_mut().zip(other) {
        *to += other;
    }
}

/// The phase of this name.
pub fn phase(name: &str) -> Option<Phase> {
    Phase::ALL.into_iter().find(|phase| phase.name() == name)
}
