// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What tells two sets of boots apart most clearly, to say of boots between them which they are like. In: a [`Diff`].
//! Out: [`Signature`], and [`nearer`] of other boots. For a bisection: a boot in the middle of the range is not
//! compared with both ends as a whole, but asked for the one difference that is sought. Never here: kernels, commits.
//!
//! Two regressions in one range are two findings. The first decides: the range is halved around its commit, and the
//! others need another bisection.

use super::boot::Boot;
use super::diff::{Change, Diff, Item, Kind, Metric, Row};
use super::judge::gather::{self, of_boot, of_initcall, of_level};
use super::matching;
use super::statistics::pooled_sd;

/// Most findings.
const MOST: usize = 8;

/// A figure whose ends are this many standard deviations apart tells them apart in each boot.
const CLEAR: f64 = 4.0;

/// A boot is on the side of the middle that it is on if it is this many standard errors away from it.
const SURE: f64 = 2.0;

/// A difference between the ends that a boot can be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What differs.
    pub row: Row,
    /// In which of its figures; none if it begins in another level, or is there on one side only.
    pub metric: Option<Metric>,
    /// What the figure is on the good side, and on the bad one.
    pub ends: (f64, f64),
    /// How far single boots are from these, as standard deviation.
    pub spread: f64,
}

/// The most telling differences, best first; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// Each of another item.
    pub findings: Vec<Finding>,
}

/// What a boot is like.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Side A.
    Good,
    /// Side B.
    Bad,
    /// It cannot be told.
    Unclear {
        /// In words.
        why: String,
    },
}

impl Signature {
    /// Of what has changed; none if nothing has.
    ///
    /// Best is what tells the ends apart in each single boot; of this, functions and initcalls before levels and the
    /// whole boot, which have more reasons to change; of these, if the boot's time has changed, what has done so in the
    /// same direction or begins in another level, and if it has not, what is new, gone or begins in another level; then
    /// the largest.
    pub fn of(diff: &Diff) -> Option<Signature> {
        let busy = mean(&diff.boot, Metric::Busy).max(1.0);
        let calls = mean(&diff.boot, Metric::Calls).max(1.0);
        let slower = [Metric::Time, Metric::Busy]
            .iter()
            .filter_map(|&metric| diff.boot.change(metric))
            .find(|change| change.changed)
            .map(|change| change.difference.signum());
        let rows = diff.functions.iter().chain(&diff.initcalls).chain(&diff.levels).chain([&diff.boot]);
        let mut found: Vec<(Rank, Finding)> = rows
            .filter_map(|row| {
                let (finding, size) = if row.restructured() {
                    (Finding { row: row.clone(), metric: None, ends: (0.0, 1.0), spread: 0.0 }, structure(row, busy))
                } else {
                    best(row, busy, calls)?
                };
                let specific = matches!(row.kind, Kind::Function | Kind::Initcall);
                let direction = match slower {
                    None => finding.metric.is_none(),
                    // What begins elsewhere may take longer there, or make others wait.
                    Some(sign) => row.moved() || size.signum() == sign,
                };
                let clear = (finding.ends.1 - finding.ends.0).abs() >= CLEAR * finding.spread;
                Some((Rank { clear, specific, direction, size: size.abs() }, finding))
            })
            .collect();
        found.sort_by(|(one, _), (other, _)| other.compare(one));
        let findings: Vec<Finding> = found.into_iter().take(MOST).map(|(_, finding)| finding).collect();
        (!findings.is_empty()).then_some(Signature { findings })
    }

    /// The most telling difference.
    pub fn headline(&self) -> Option<&Row> {
        self.findings.first().map(|finding| &finding.row)
    }
}

/// How telling a finding is.
struct Rank {
    clear: bool,
    specific: bool,
    direction: bool,
    size: f64,
}

impl Rank {
    fn compare(&self, other: &Rank) -> std::cmp::Ordering {
        let of = |rank: &Rank| (rank.clear, rank.specific, rank.direction);
        of(self).cmp(&of(other)).then(self.size.total_cmp(&other.size))
    }
}

fn mean(row: &Row, metric: Metric) -> f64 {
    row.change(metric).map_or(0.0, |change| (change.a.mean + change.b.mean) / 2.0)
}

/// Standard deviation of a single boot on either side.
fn spread(change: &Change) -> f64 {
    pooled_sd((change.a.sd, change.a.all.len()), (change.b.sd, change.b.all.len()))
}

/// How much of the boot an initcall is that is new, gone or elsewhere; less than nothing if it is gone.
fn structure(row: &Row, busy: f64) -> f64 {
    let time = row.change(Metric::Time).map_or(0.0, |change| change.a.mean.max(change.b.mean));
    if row.is_gone() { -time / busy } else { time / busy }
}

/// The clearest of its figures, and how much of the boot that is; with its sign.
fn best(row: &Row, busy: f64, calls: f64) -> Option<(Finding, f64)> {
    let own = row.change(Metric::Own).map_or(0.0, |change| change.a.mean.max(change.b.mean));
    let size = |change: &Change| match change.metric {
        Metric::Time | Metric::Busy | Metric::Own | Metric::Total => change.difference / busy,
        // An event is an entry or an exit.
        Metric::Calls => change.difference / calls,
        Metric::Events => change.difference / calls / 2.0,
        Metric::OnFirstCpu => change.difference / 1e6 * own / busy,
    };
    // A function's total time says what it calls: those speak for themselves.
    let tells = |change: &&Change| change.changed && !(row.kind == Kind::Function && change.metric == Metric::Total);
    let clear = |change: &Change| {
        let spread = spread(change);
        // Beyond that one figure is as good as another.
        if spread == 0.0 { CLEAR } else { (change.difference.abs() / spread).min(CLEAR) }
    };
    let change =
        row.changes.iter().filter(tells).max_by(|one, other| {
            clear(one).total_cmp(&clear(other)).then(size(one).abs().total_cmp(&size(other).abs()))
        })?;
    // Of the same function in other figures: the largest is how much it matters.
    let largest = row.changes.iter().filter(tells).map(size).max_by(|one, other| one.abs().total_cmp(&other.abs()))?;
    let finding = Finding {
        row: row.clone(),
        metric: Some(change.metric),
        ends: (change.a.mean, change.b.mean),
        spread: spread(change),
    };
    Some((finding, largest))
}

/// Which end these boots (of one kernel) are like, by the first finding that they can be asked for.
pub fn nearer(signature: &Signature, boots: &[Boot]) -> Verdict {
    let unclear = |why: &str| Verdict::Unclear { why: why.to_owned() };
    if boots.is_empty() {
        return unclear("there is no boot");
    }
    for finding in &signature.findings {
        let values: Option<Vec<f64>> = boots.iter().map(|boot| figure(boot, finding)).collect();
        let Some(values) = values else { continue };
        let value = values.iter().sum::<f64>() / values.len() as f64;
        let (good, bad) = finding.ends;
        let middle = (good + bad) / 2.0;
        let error = finding.spread / (values.len() as f64).sqrt();
        if value == middle || (value - middle).abs() < SURE * error {
            return Verdict::Unclear {
                why: format!(
                    "{}: {value:.0} is between {good:.0} (good) and {bad:.0} (bad), and single boots differ by {:.0}",
                    crate::report::style::printable(name(&finding.row.item)),
                    finding.spread
                ),
            };
        }
        return if (value > middle) == (bad > good) { Verdict::Bad } else { Verdict::Good };
    }
    unclear("nothing that the ends differ in can be told of these boots")
}

fn name(item: &Item) -> &str {
    if item.name.is_empty() { "the whole boot" } else { &item.name }
}

/// The figure of a boot; none if it cannot be told.
fn figure(boot: &Boot, finding: &Finding) -> Option<f64> {
    let row = &finding.row;
    let place = |metric| match metric {
        Metric::Time => Some(0),
        Metric::Busy => Some(1),
        Metric::Calls => Some(2),
        Metric::Events => Some(3),
        Metric::Own | Metric::Total | Metric::OnFirstCpu => None,
    };
    match (row.kind, finding.metric) {
        (Kind::Boot, Some(metric)) => Some(of_boot(boot)[place(metric)?]),
        (Kind::Level, Some(metric)) => {
            let level = boot.levels.iter().find(|level| level.name == row.item.name)?;
            Some(of_level(level)[place(metric)?])
        }
        (Kind::Initcall, metric) => of_this_initcall(boot, row, metric.map(place)),
        (Kind::Function, Some(metric)) => of_function(boot, row, metric),
        (Kind::Module | Kind::Boot | Kind::Level | Kind::Function, _) => None,
    }
}

/// Of an initcall a figure, or (without one) whether it is as on side B: 1, or 0.
fn of_this_initcall(boot: &Boot, row: &Row, place: Option<Option<usize>>) -> Option<f64> {
    let names = || std::iter::once(&row.item).chain(&row.formerly);
    let is = |exact: bool| {
        boot.initcalls.iter().filter(move |initcall| {
            names().any(|item| {
                let same = initcall.name == item.name && initcall.kind == item.kind && initcall.module == item.module;
                same || (!exact && matching::bare_name(&initcall.name) == matching::bare_name(&item.name))
            })
        })
    };
    let found: Vec<_> = if is(true).next().is_some() { is(true).collect() } else { is(false).collect() };
    let Some(place) = place else {
        let (a, b) = &row.levels;
        let Some(level) = found.first().map(|initcall| gather::phase(&initcall.level)) else {
            // Not there: as on the side that does not have it.
            return if b.is_empty() {
                Some(1.0)
            } else if a.is_empty() {
                Some(0.0)
            } else {
                None
            };
        };
        return match level {
            _ if b.is_empty() => Some(0.0),
            _ if a.is_empty() => Some(1.0),
            Some(level) if b.contains(&level) => Some(1.0),
            Some(level) if a.contains(&level) => Some(0.0),
            _ => None,
        };
    };
    Some(found.iter().map(|initcall| of_initcall(initcall)[place.unwrap_or(0)]).sum())
}

fn of_function(boot: &Boot, row: &Row, metric: Metric) -> Option<f64> {
    let names: Vec<&Item> = std::iter::once(&row.item).chain(&row.formerly).collect();
    let numbers = |is: &dyn Fn(&crate::compare::boot::Function, &Item) -> bool| -> Vec<u32> {
        let found =
            boot.functions.iter().enumerate().filter(|(_, function)| names.iter().any(|item| is(function, item)));
        found.map(|(number, _)| number as u32).collect()
    };
    let mut found = numbers(&|function, item| {
        (&function.name, &function.file, &function.module) == (&item.name, &item.file, &item.module)
    });
    if found.is_empty() {
        found = numbers(&|function, item| {
            matching::base(function) == matching::base_name(&item.name) && function.file == item.file
        });
    }
    let sum = |of: &[u32], values: &[u64]| -> f64 {
        of.iter().zip(values).filter(|(number, _)| found.contains(number)).map(|(_, &value)| value as f64).sum()
    };
    let own = || sum(&boot.sums.function, &boot.sums.own);
    match metric {
        Metric::Calls => Some(sum(&boot.sums.function, &boot.sums.calls)),
        Metric::Own => Some(own()),
        Metric::Total => Some(sum(&boot.sums.function, &boot.sums.total)),
        Metric::OnFirstCpu => {
            let cpus = &boot.cpus;
            let on_first: f64 = (0..cpus.function.len())
                .filter(|&at| cpus.cpu[at] == 0 && found.contains(&cpus.function[at]))
                .map(|at| cpus.own[at] as f64)
                .sum();
            (own() > 0.0).then(|| (on_first / own()).min(1.0) * 1e6)
        }
        Metric::Time | Metric::Busy | Metric::Events => None,
    }
}
