// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Causes that no sum of times shows: an initcall in another level, work on another CPU, waiting. In: a [`Diff`].
//! Out: [`Cause`]s. Never here: text.

use std::collections::{HashMap, HashSet};

use super::super::diff::{Basis, Diff, Kind, Metric, Row};
use super::super::ways::Ways;
use super::causes::{Cause, STRUCTURE, What, counts, difference};

/// Millionths of its time that a function must spend on another CPU to have moved there.
const MOVED: f64 = 500_000.0;

/// So much of its time counts a wait for which the call tree has a reason.
const FOR_OTHERS: f64 = 0.3;

/// Functions in which a task gives up its CPU.
const SLEEPS: [&str; 4] = ["schedule", "__schedule", "schedule_timeout", "schedule_hrtimeout_range_clock"];

/// The mean of a figure on each side.
fn means(row: &Row, metric: Metric) -> (f64, f64) {
    row.change(metric).map_or((0.0, 0.0), |change| (change.a.mean, change.b.mean))
}

/// The outermost way to a function of this name with most time.
pub fn way_to(ways: &Ways<'_>, diff: &Diff) -> HashMap<usize, usize> {
    let mut largest: HashMap<usize, usize> = HashMap::new();
    let time = |at: usize| ways.way(at).total.0.max(ways.way(at).total.1);
    for at in (0..ways.len()).filter(|&at| ways.caller(at).is_some()) {
        let Some(function) = ways.way(at).function.filter(|&function| function < diff.functions.len()) else {
            continue;
        };
        let known = largest.entry(function).or_insert(at);
        if time(at) > time(*known) {
            *known = at;
        }
    }
    largest
}

/// Initcalls that are new, gone, or in another level.
pub fn initcalls<'d>(diff: &'d Diff, ways: &Ways<'d>) -> Vec<Cause<'d>> {
    let named: HashMap<&str, usize> = way_to(ways, diff)
        .into_iter()
        .map(|(function, at)| (diff.functions[function].item.name.as_str(), at))
        .collect();
    // Without both sides in the comparison, all would be new.
    let both = diff.initcalls.iter().any(|row| row.boots.0 > 0) && diff.initcalls.iter().any(|row| row.boots.1 > 0);
    let found = diff.initcalls.iter().filter(|_| both).filter_map(|row| {
        let (a, b) = means(row, Metric::Time);
        let at = named.get(row.item.name.as_str()).copied();
        if row.moved() {
            // The least time counts for something: it is a fact all the same.
            return Some(Cause { what: What::Moved, row, at, effect: 0.0, weight: a.max(b).max(1.0) * STRUCTURE });
        }
        let effect = b - a;
        (row.is_new() || row.is_gone()).then_some(Cause { what: What::Initcall, row, at, effect, weight: effect.abs() })
    });
    found.collect()
}

/// Functions that run on another CPU, those that others of them have called left out.
pub fn other_cpus<'d>(diff: &'d Diff, ways: &Ways<'d>) -> Vec<Cause<'d>> {
    let moved: HashSet<usize> = diff
        .functions
        .iter()
        .enumerate()
        .filter(|(_, row)| {
            let change = row.change(Metric::OnFirstCpu);
            change.is_some_and(|change| {
                change.difference.abs() >= MOVED && (change.changed || diff.basis == Basis::TooFew)
            })
        })
        .map(|(at, _)| at)
        .collect();
    let largest = if moved.is_empty() { HashMap::new() } else { way_to(ways, diff) };
    let outermost = moved.iter().filter(|&function| {
        let Some(&at) = largest.get(function) else { return true };
        !ways
            .up(at)
            .skip(1)
            .any(|at| ways.way(at).function.is_some_and(|above| above != *function && moved.contains(&above)))
    });
    let causes = outermost.map(|&function| {
        let row = &diff.functions[function];
        let (a, b) = means(row, Metric::Total);
        let time = a.max(b);
        let cause = Cause {
            what: What::OtherCpu { waits: None },
            row,
            at: largest.get(&function).copied(),
            effect: 0.0,
            weight: time * STRUCTURE,
        };
        (function, cause)
    });
    let mut causes: Vec<(usize, Cause<'d>)> = causes.collect();
    causes.sort_by(|(_, a), (_, b)| b.weight.total_cmp(&a.weight).then_with(|| a.row.item.cmp(&b.row.item)));
    // One such move takes many functions with it; the rest of the list would be its followers.
    causes.truncate(3);
    let with_waiter =
        |(function, cause)| Cause { what: What::OtherCpu { waits: waiter(diff, ways, function) }, ..cause };
    causes.into_iter().map(with_waiter).collect()
}

/// By how much longer a task waits in an initcall.
fn waiting(row: &Row) -> f64 {
    difference(row, Metric::Time) - difference(row, Metric::Busy)
}

/// The initcall in which this function was called before, and which waits longer now.
fn waiter<'d>(diff: &'d Diff, ways: &Ways<'d>, function: usize) -> Option<&'d Row> {
    let mut above: HashSet<&str> = HashSet::new();
    for at in (0..ways.len()).filter(|&at| ways.way(at).function == Some(function) && ways.way(at).calls.0 > 0.0) {
        above.extend(ways.up(at).filter_map(|at| Some(ways.function(at)?.item.name.as_str())));
    }
    let waits = diff.initcalls.iter().filter(|row| above.contains(row.item.name.as_str()));
    waits.filter(|row| waiting(row) > 0.0).max_by(|a, b| waiting(a).total_cmp(&waiting(b)))
}

/// Initcalls that wait longer or shorter, and levels that do so without one of theirs. `told` are those that have a
/// cause already.
pub fn waits<'d>(diff: &'d Diff, ways: &Ways<'d>, told: &[Cause<'d>]) -> Vec<Cause<'d>> {
    let mut found: Vec<Cause<'d>> = Vec::new();
    for row in diff.initcalls.iter().chain(&diff.levels) {
        let (time, wait) = (difference(row, Metric::Time), waiting(row));
        let changed = diff.basis == Basis::TooFew || row.change(Metric::Time).is_some_and(|change| change.changed);
        let other = row.moved() || row.is_new() || row.is_gone();
        if !changed || other || time * wait <= 0.0 || wait.abs() < time.abs() * 0.5 {
            continue;
        }
        let waits_for_cpu = told.iter().any(|cause| match cause.what {
            What::OtherCpu { waits } => waits.is_some_and(|waits| std::ptr::eq(waits, row) || in_level(waits, row)),
            _ => false,
        });
        // A level waits with its initcalls.
        let with: f64 = found.iter().filter(|cause| in_level(cause.row, row)).map(|cause| cause.effect).sum();
        if waits_for_cpu || with.abs() >= wait.abs() * 0.5 {
            continue;
        }
        let by = if row.kind == Kind::Initcall { sleeper(diff, ways, row) } else { None };
        // Its level's CPUs had something else to do meanwhile: the call tree says what.
        let level = diff.levels.iter().find(|level| in_level(row, level));
        let others = level.map_or(0.0, |level| difference(level, Metric::Busy) - difference(row, Metric::Busy));
        let for_others = others * wait > 0.0 && others.abs() >= wait.abs() * 0.5;
        let weight = if for_others { wait.abs() * FOR_OTHERS } else { wait.abs() };
        found.push(Cause { what: What::Waits { by, for_others }, row, at: by, effect: wait, weight });
    }
    found
}

/// Whether an initcall is one of this level.
fn in_level(initcall: &Row, level: &Row) -> bool {
    level.kind == Kind::Level
        && initcall.kind == Kind::Initcall
        && initcall.levels.1.first().is_some_and(|phase| phase.name() == level.item.name)
}

/// The way in an initcall that is called more often, or newly, and gives up the CPU: the outermost such.
fn sleeper(diff: &Diff, ways: &Ways<'_>, initcall: &Row) -> Option<usize> {
    let name = initcall.item.name.as_str();
    let is_it = |at: usize| ways.function(at).is_some_and(|row| row.item.name == name);
    let more = |at: usize| {
        let (a, b) = ways.way(at).calls;
        if difference(initcall, Metric::Time) > 0.0 { b > a } else { a > b }
    };
    // Callers come before those whom they call: the first that is found is the outermost.
    let inside = |at: usize| ways.up(at).skip(1).any(is_it);
    let sleeps = |at: usize| {
        ways.subtree(at)
            .any(|at| more(at) && ways.function(at).is_some_and(|row| SLEEPS.contains(&row.item.name.as_str())))
    };
    let told = |at: usize| ways.function(at).is_some_and(|row| counts(diff, row) || sleeps_itself(row));
    (0..ways.len()).filter(|&at| ways.caller(at).is_some() && more(at) && inside(at)).find(|&at| told(at) && sleeps(at))
}

/// A function that does nothing but sleep need not differ over the whole boot.
fn sleeps_itself(row: &Row) -> bool {
    row.item.name.contains("sleep") || SLEEPS.contains(&row.item.name.as_str())
}
