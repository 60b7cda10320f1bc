// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where a difference comes from. In: a [`Diff`]. Out: [`Cause`]s, the one that matters most first. Never here: text.
//!
//! A call tree has each difference many times: in the function that has changed and in all its callers. What is new
//! of a way itself is what its caller does not explain: calls beyond those that more calls of the caller bring, and
//! self time beyond what its own calls bring. Of that, only as much counts as the functions below it differ over the
//! whole boot: what has only moved to another caller, level or CPU is nothing new.

use std::collections::{HashMap, HashSet};

use bootlevel::Phase;

use super::super::diff::{Basis, Change, Diff, Kind, Metric, Row};
use super::super::ways::Ways;
use super::elsewhere;

/// Ways that are looked at in detail: those with the largest differences.
const MOST: usize = 2_000;

/// Most ways that are visited below them.
const VISITS: usize = 20_000_000;

/// A structural change counts so many times its own time: it is a fact, and what else differs may follow from it.
pub const STRUCTURE: f64 = 3.0;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What<'d> {
    /// The function is called more often, or less.
    Calls {
        /// Calls there, on each side.
        there: (f64, f64),
        /// It is only one of many places where that happens.
        scattered: bool,
    },
    /// The function takes more or less time itself.
    Own {
        /// Self time there, on each side.
        there: (f64, f64),
        /// It is only one of many places where that happens.
        scattered: bool,
    },
    /// The initcall begins in another level.
    Moved,
    /// The initcall is there on one side only.
    Initcall,
    /// The function runs on another CPU.
    OtherCpu {
        /// Who waits for it now.
        waits: Option<&'d Row>,
    },
    /// The initcall (or level) takes longer or shorter, but not on a CPU.
    Waits {
        /// A way in it that is new and ends in the scheduler.
        by: Option<usize>,
        /// Other tasks ran longer (or shorter) meanwhile.
        for_others: bool,
    },
}

/// A cause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cause<'d> {
    /// What happened.
    pub what: What<'d>,
    /// To whom: a function, an initcall, a level.
    pub row: &'d Row,
    /// Where in the call tree, if that is known.
    pub at: Option<usize>,
    /// What it does to the time, with its sign; 0 if it only moves something.
    pub effect: f64,
    /// How much it matters.
    pub weight: f64,
}

impl Cause<'_> {
    /// It is a fact, whatever time it takes.
    pub fn is_structure(&self) -> bool {
        matches!(self.what, What::Moved | What::Initcall | What::OtherCpu { .. })
    }

    /// The level in which it is; none if it is in many, or that is not known.
    pub fn level(&self, ways: &Ways<'_>) -> Option<Phase> {
        let scattered = matches!(self.what, What::Calls { scattered: true, .. } | What::Own { scattered: true, .. });
        let of_row = || self.row.levels.1.first().or(self.row.levels.0.first()).copied();
        if scattered { None } else { self.at.and_then(|at| ways.level(at)).or_else(of_row) }
    }
}

/// All causes that are found, the one that matters most first.
pub fn find<'d>(diff: &'d Diff, ways: &Ways<'d>) -> Vec<Cause<'d>> {
    let mut found = elsewhere::initcalls(diff, ways);
    found.extend(elsewhere::other_cpus(diff, ways));
    let waits = elsewhere::waits(diff, ways, &found);
    found.extend(waits);
    found.extend(in_ways(diff, ways));
    // Where callers are others than before, ways explain little: then functions are told without them.
    let largest = |causes: &[Cause<'d>]| causes.iter().map(|cause| cause.weight).fold(0.0, f64::max);
    let alone: Vec<Cause<'d>> = without_ways(diff).collect();
    if largest(&found) < largest(&alone) * 0.5 {
        found.extend(alone);
    }
    found.sort_by(|a, b| {
        b.weight.total_cmp(&a.weight).then_with(|| (a.row.kind, &a.row.item).cmp(&(b.row.kind, &b.row.item)))
    });
    distinct(found, ways)
}

/// Whether a row's figures may be told as a cause: they have changed, or nothing can be said of chance at all.
pub fn counts(diff: &Diff, row: &Row) -> bool {
    diff.basis == Basis::TooFew || row.changed()
}

/// The difference of a figure; 0 if the row has no such figure.
pub fn difference(row: &Row, metric: Metric) -> f64 {
    row.change(metric).map_or(0.0, |change| change.difference)
}

/// That of both which is nearer to nothing; nothing if their signs differ.
fn nearer(one: f64, other: f64) -> f64 {
    if one * other <= 0.0 {
        0.0
    } else if one.abs() < other.abs() {
        one
    } else {
        other
    }
}

/// What is new of a way itself: calls, and what they take; self time.
fn new_of(ways: &Ways<'_>, at: usize) -> (f64, f64, f64) {
    let way = ways.way(at);
    let (a, b) = way.calls;
    let caller = ways.caller(at).filter(|&caller| ways.caller(caller).is_some()).map(|caller| ways.way(caller).calls);
    let expected = match caller {
        Some((before, after)) if before > 0.0 => a * after / before,
        // The caller is new, and is told instead.
        Some((_, after)) if after > 0.0 => b,
        _ => a,
    };
    let calls = nearer(b - expected, b - a);
    let each = match calls > 0.0 {
        true if b > 0.0 => way.total.1 / b,
        false if a > 0.0 => way.total.0 / a,
        _ => 0.0,
    };
    let (before, after) = way.own;
    let own = match (a > 0.0, b > 0.0) {
        (true, true) => nearer(after - before * b / a, after - before),
        (false, false) => after - before,
        _ => 0.0,
    };
    (calls, calls * each, own)
}

/// A function's changes of one kind, over all ways to it.
#[derive(Default)]
struct Group {
    /// Calls or time, over all ways.
    amount: f64,
    effect: f64,
    /// The way with most of it, and how much.
    largest: Option<(usize, f64)>,
    /// The same, without signs.
    all: f64,
}

/// Causes that the call tree shows.
fn in_ways<'d>(diff: &'d Diff, ways: &Ways<'d>) -> Vec<Cause<'d>> {
    let mut candidates: Vec<(usize, bool, f64, f64)> = Vec::new();
    for at in (0..ways.len()).filter(|&at| ways.caller(at).is_some()) {
        let Some(row) = ways.function(at).filter(|row| counts(diff, row)) else { continue };
        let (calls, by_calls, own) = new_of(ways, at);
        if calls != 0.0 && difference(row, Metric::Calls) * calls > 0.0 {
            candidates.push((at, true, calls, by_calls));
        }
        if own != 0.0 && difference(row, Metric::Own) * own > 0.0 {
            candidates.push((at, false, own, own));
        }
    }
    candidates.sort_by(|a, b| b.3.abs().total_cmp(&a.3.abs()).then_with(|| (a.0, a.1).cmp(&(b.0, b.1))));
    candidates.truncate(MOST);
    let mut groups: HashMap<(usize, bool), Group> = HashMap::new();
    let wrappers = wrappers(diff, ways);
    let mut visits = 0;
    for &(at, by_calls, amount, raw) in &candidates {
        let Some(function) = ways.way(at).function else { continue };
        let effect = if !by_calls {
            raw
        } else if wrappers.contains(&function) {
            nearer(ways.way(at).own.1 - ways.way(at).own.0, raw)
        } else if visits > VISITS {
            continue;
        } else {
            below(diff, ways, at, raw, &mut visits)
        };
        let group = groups.entry((function, by_calls)).or_default();
        group.amount += amount;
        group.effect += effect;
        group.all += raw.abs();
        if group.largest.is_none_or(|(_, largest)| raw.abs() > largest) {
            group.largest = Some((at, raw.abs()));
        }
    }
    let causes = groups.into_iter().filter_map(|((function, by_calls), group)| {
        let (row, (at, largest)) = (diff.functions.get(function)?, group.largest?);
        let way = ways.way(at);
        // No more than the function differs over the whole boot.
        let limit = difference(row, if by_calls { Metric::Calls } else { Metric::Own });
        let part = (nearer(group.amount, limit) / group.amount).clamp(0.0, 1.0);
        let effect = group.effect * part;
        let scattered = largest < group.all * 0.6;
        let what = match by_calls {
            true => What::Calls { there: way.calls, scattered },
            false => What::Own { there: way.own, scattered },
        };
        // Calls that cost next to nothing are told if there is nothing else.
        let least = if by_calls { group.all * part * 1e-3 } else { 0.0 };
        Some(Cause { what, row, at: Some(at), effect, weight: effect.abs().max(least) })
    });
    causes.filter(|cause| cause.weight > 0.0).collect()
}

/// Functions that are there on one side only, and most of whose time is in functions that the other side calls as
/// often: from elsewhere, then.
fn wrappers(diff: &Diff, ways: &Ways<'_>) -> HashSet<usize> {
    let larger = |(a, b): (f64, f64)| f64::max(a, b);
    let one_sided = |function: usize| diff.functions.get(function).is_some_and(|row| row.is_new() || row.is_gone());
    let mut totals: HashMap<usize, f64> = HashMap::new();
    // Calls and time of those whom they call.
    let mut below: HashMap<(usize, usize), (f64, f64)> = HashMap::new();
    for at in 0..ways.len() {
        let Some(function) = ways.way(at).function.filter(|&function| one_sided(function)) else { continue };
        *totals.entry(function).or_default() += larger(ways.way(at).total);
        for way in ways.callees(at).iter().map(|&callee| ways.way(callee)) {
            let Some(callee) = way.function else { continue };
            let sum = below.entry((function, callee)).or_default();
            *sum = (sum.0 + larger(way.calls), sum.1 + larger(way.total));
        }
    }
    let mut old: HashMap<usize, f64> = HashMap::new();
    for ((function, callee), (calls, total)) in below {
        let Some(row) = diff.functions.get(callee) else { continue };
        if difference(row, Metric::Calls).abs() < calls * 0.5 {
            *old.entry(function).or_default() += total;
        }
    }
    old.into_iter().filter(|(function, time)| *time > totals[function] * 0.6).map(|(function, _)| function).collect()
}

/// How much of the time below a way is really new: of each function there what it differs by over the whole boot, with
/// its sign, and at most as much as it differs there.
fn below(diff: &Diff, ways: &Ways<'_>, at: usize, raw: f64, visits: &mut usize) -> f64 {
    let mut own: HashMap<usize, f64> = HashMap::new();
    let mut sum = 0.0;
    for at in ways.subtree(at) {
        *visits += 1;
        let way = ways.way(at);
        let there = way.own.1 - way.own.0;
        match way.function {
            Some(function) => *own.entry(function).or_default() += there,
            None => sum += there,
        }
    }
    let mut own: Vec<(usize, f64)> = own.into_iter().collect();
    // A sum of fractions must not depend on the order of a hash map.
    own.sort_by_key(|&(function, _)| function);
    for (function, there) in own {
        let whole = diff.functions.get(function).map_or(0.0, |row| difference(row, Metric::Own));
        sum += whole.clamp(-there.abs(), there.abs());
    }
    nearer(sum, raw)
}

/// Without a call tree: what functions say themselves.
fn without_ways(diff: &Diff) -> impl Iterator<Item = Cause<'_>> {
    diff.functions.iter().filter(|row| counts(diff, row)).filter_map(|row| {
        let own = row.change(Metric::Own)?;
        let by_calls = row.change(Metric::Calls).filter(|calls| explains(calls, own));
        let what = match by_calls {
            Some(calls) => What::Calls { there: (calls.a.mean, calls.b.mean), scattered: false },
            None => What::Own { there: (own.a.mean, own.b.mean), scattered: false },
        };
        let effect = own.difference;
        (effect != 0.0).then_some(Cause { what, row, at: None, effect, weight: effect.abs() })
    })
}

/// Calls grew as the time did, or more.
fn explains(calls: &Change, own: &Change) -> bool {
    let (a, b) = (calls.a.mean, calls.b.mean);
    let expected = if a > 0.0 { own.a.mean * (b - a) / a } else { own.difference };
    calls.difference != 0.0 && nearer(expected, own.difference).abs() >= own.difference.abs() * 0.5
}

/// Without those that are part of one told before: in the call tree above or below it, or the same thing.
fn distinct<'d>(found: Vec<Cause<'d>>, ways: &Ways<'d>) -> Vec<Cause<'d>> {
    let mut told: Vec<Cause<'d>> = Vec::new();
    for cause in found {
        let above = |one: usize, other: usize| ways.up(other).any(|at| at == one);
        let same = |other: &Cause<'d>| {
            let names = cause.row.item.name == other.row.item.name && cause.row.item.module == other.row.item.module;
            let kin = match (cause.at, other.at) {
                (Some(one), Some(other)) => above(one, other) || above(other, one),
                _ => false,
            };
            // A row of calls under one that moved as a whole is not of that move.
            let whole = matches!(other.what, What::Moved) && cause.row.kind == Kind::Function && !names;
            names || (kin && !whole)
        };
        if !told.iter().any(same) {
            told.push(cause);
        }
        if told.len() >= 50 {
            break;
        }
    }
    told
}
