// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Which differences are changes. In: rows with their figures on both sides. Out: the same rows, judged. Never here:
//! which boots may be compared.
//!
//! A change is no chance, and large enough to matter ([`Least`]). What is no chance:
//! - of deterministic boots, whatever lies beyond all that the boots of one side differ by among themselves (which is
//!   nothing, if all went well);
//! - else what [`permutation`] gives a probability of at most the level, corrected for all figures of the comparison:
//!   those of the boot, levels, initcalls, modules and functions together;
//! - of too few boots for that, nothing.
//!
//! An initcall that took longer and did no more has waited: for something slow, or for others that ran meanwhile, as
//! chance will have it (a timer's tick, a kworker). It has changed if its level has taken longer with it.

use super::rows::Rows;
use super::{Least, Options};
use crate::compare::boot::Boot;
use crate::compare::diff::{Basis, Change, Metric, Row};
use crate::compare::statistics::permutation::{self, Figure, Smallest};
use crate::compare::statistics::welch_interval;

/// The slack of a time, as a part of the smallest that matters.
const TIME_SLACK: f64 = 0.1;
/// That of calls, as a part of their mean; and one call.
const CALLS_SLACK: f64 = 0.001;
/// That of where a function runs, in millionths.
const MOVED_SLACK: f64 = 10_000.0;

/// What large differences are, in the units of the figures.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Nanoseconds or ticks.
    time: f64,
    calls: f64,
    events: f64,
    least: Least,
}

impl Scale {
    /// Of boots like these.
    pub fn of(a: &[Boot], b: &[Boot], least: Least) -> Scale {
        let count = (a.len() + b.len()) as f64;
        // The mean of all boots is the same whichever are called A.
        let mean = |of: fn(&Boot) -> u64| a.iter().chain(b).map(|boot| of(boot) as f64).sum::<f64>() / count;
        Scale {
            time: least.time * mean(|boot| boot.totals.busy),
            calls: least.calls * mean(|boot| boot.totals.calls),
            events: least.calls * mean(|boot| boot.totals.events),
            least,
        }
    }

    /// The smallest time that matters.
    pub fn time(&self) -> f64 {
        self.time
    }

    fn smallest(&self, metric: Metric) -> Smallest {
        let plain = |difference: f64| Smallest { difference, times: f64::INFINITY, more: f64::INFINITY };
        match metric {
            Metric::Time | Metric::Busy | Metric::Own | Metric::Total => plain(self.time),
            Metric::Calls => Smallest { difference: self.calls, times: self.least.times, more: self.least.more },
            Metric::Events => plain(self.events),
            Metric::OnFirstCpu => plain(self.least.moved * super::rows::WHOLE),
        }
    }

    fn slack(&self, change: &Change) -> f64 {
        match change.metric {
            Metric::Time | Metric::Busy | Metric::Own | Metric::Total => TIME_SLACK * self.time + 1.0,
            Metric::Calls | Metric::Events => {
                let count = (change.a.all.len() + change.b.all.len()) as f64;
                CALLS_SLACK * change.a.all.iter().chain(&change.b.all).sum::<f64>() / count + 1.0
            }
            Metric::OnFirstCpu => MOVED_SLACK,
        }
    }

    /// Whether it is large enough to matter.
    pub fn matters(&self, change: &Change) -> bool {
        let smallest = self.smallest(change.metric);
        change.difference != 0.0 && smallest.reached(change.a.mean, change.b.mean)
    }
}

/// Part of an initcall's longer wait that its level must have taken longer.
const WAITED: f64 = 0.5;

/// Nanoseconds: the longest time between two timer interrupts (CONFIG_HZ=100). Who sleeps until the next one waits up to
/// so long, by where in it the boot has come so far: a few instructions more or less decide.
const TIMER: f64 = 10e6;

/// Judges all; how many figures were tested. `ns`: times are nanoseconds.
pub fn judge(rows: &mut Rows, basis: Basis, scale: &Scale, options: &Options, ns: bool) -> usize {
    let tests = figures(rows, basis, scale, options);
    let Rows { boot, levels, initcalls, modules, .. } = rows;
    // Of many boots, too: where the interrupt falls hangs on how fast the machine was just then, of all boots of a side.
    if ns {
        let all = std::iter::once(boot).chain(&mut *levels).chain(&mut *initcalls).chain(&mut *modules);
        all.filter(|row| waited_for_timer(row)).for_each(take_back);
    }
    for row in initcalls.iter_mut() {
        only_waited(row, levels);
    }
    // A module's time is that of its initcalls.
    for row in modules.iter_mut().filter(|row| changed(row, Metric::Time) && !changed(row, Metric::Busy)) {
        let of = |initcall: &Row| initcall.item.module == row.item.module && changed(initcall, Metric::Time);
        if !initcalls.iter().any(of) {
            take_back(row);
        }
    }
    tests
}

fn changed(row: &Row, metric: Metric) -> bool {
    row.change(metric).is_some_and(|change| change.changed)
}

/// Its time has changed by what it did not run, and by no more than a wait for the next timer interrupt.
fn waited_for_timer(row: &Row) -> bool {
    let difference = |metric| row.change(metric).map_or(0.0, |change| change.difference);
    let waited = difference(Metric::Time) - difference(Metric::Busy);
    changed(row, Metric::Time) && !changed(row, Metric::Busy) && waited.abs() < TIMER
}

/// Its time has not changed.
fn take_back(row: &mut Row) {
    for change in row.changes.iter_mut().filter(|change| change.metric == Metric::Time) {
        change.changed = false;
    }
}

/// Takes back that an initcall's time has changed if it has only waited, and its level not with it.
fn only_waited(row: &mut Row, levels: &[Row]) {
    if !changed(row, Metric::Time) || changed(row, Metric::Busy) {
        return;
    }
    let phase = row.levels.1.first().or(row.levels.0.first()).map(|phase| phase.name());
    let level = levels.iter().find(|level| Some(level.item.name.as_str()) == phase);
    let level = level.and_then(|level| level.change(Metric::Time)).map_or(0.0, |change| change.difference);
    let longer = row.change(Metric::Time).map_or(0.0, |change| change.difference);
    if level * longer.signum() < WAITED * longer.abs() {
        take_back(row);
    }
}

fn figures(rows: &mut Rows, basis: Basis, scale: &Scale, options: &Options) -> usize {
    let mut changes: Vec<&mut Change> = std::iter::once(&mut rows.boot)
        .chain(&mut rows.levels)
        .chain(&mut rows.initcalls)
        .chain(&mut rows.modules)
        .chain(&mut rows.functions)
        .flat_map(|row| &mut row.changes)
        .collect();
    match basis {
        Basis::Exact => {
            for change in &mut changes {
                change.interval = Some((change.difference, change.difference));
                change.changed = scale.matters(change) && apart(change);
            }
            changes.len()
        }
        Basis::TooFew => {
            intervals(&mut changes);
            0
        }
        Basis::Tested => {
            intervals(&mut changes);
            let figures: Vec<Figure> = changes
                .iter()
                .map(|change| Figure {
                    values: change.a.all.iter().chain(&change.b.all).copied().collect(),
                    smallest: scale.smallest(change.metric),
                    slack: scale.slack(change),
                })
                .collect();
            let boots = changes.first().map_or(0, |change| change.a.all.len());
            let chances = permutation::test(&figures, boots, options.permutations, options.seed);
            for (change, chance) in changes.iter_mut().zip(&chances) {
                let Some(chance) = chance else { continue };
                (change.p, change.adjusted) = (Some(chance.p), Some(chance.adjusted));
                change.changed = chance.adjusted <= options.level && scale.matters(change);
            }
            chances.iter().flatten().count()
        }
    }
}

fn intervals(changes: &mut [&mut Change]) {
    for change in changes {
        change.interval = welch_interval(&change.a.all, &change.b.all);
    }
}

/// Each boot of one side is beyond each of the other.
fn apart(change: &Change) -> bool {
    change.effect.abs() >= 1.0
}
