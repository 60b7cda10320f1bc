// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Compares two sets of boots. In: [`Boot`]s. Out: [`Diff`]. Never here: text for people, except for sentences about
//! doubts.
//!
//! [`gather`] has the figures of one side, `rows` puts both sides next to each other, `chance` and `within` say which
//! differences are changes, `doubts` whether these boots can be compared, `ways` makes one call tree of all.

mod chance;
mod doubts;
pub mod gather;
mod rows;
mod ways;
mod within;

use super::boot::Boot;
use super::diff::{Basis, Diff, Metric, Row, Side};
use super::settings::Difference;

/// The smallest differences that count as changes.
///
/// The defaults stand above what is no change: deterministic boots of Debian's 6.1 with another word on the command
/// line, so that all timer interrupts fall elsewhere, differ by less than 0.01 % of the boot in each function, but for
/// one that waits for a clock to tick (`hpet_alloc`: 0.06 %). Of a small kernel that boots in 0.3 s such a tick is more
/// than 0.1 %, and shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Least {
    /// Times: as a part of the boot's on-CPU time.
    pub time: f64,
    /// Calls and events: as a part of all of the boot.
    pub calls: f64,
    /// A smaller difference in calls is a change too if there are that many times more (or less) calls,
    pub times: f64,
    /// and at least so many more (or less).
    pub more: f64,
    /// Part of a function's time that has moved to or from CPU 0.
    pub moved: f64,
}

impl Default for Least {
    fn default() -> Self {
        Least { time: 0.001, calls: 0.001, times: 2.0, more: 100.0, moved: 0.5 }
    }
}

/// Probability of a false alarm that is accepted if the user names none. One comparison in twenty, as is usual in papers,
/// would be an alarm a month in a CI that compares each day's kernel; at 1 % five boots on each side still tell.
pub const LEVEL: f64 = 0.01;

/// How it is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Probability of any false alarm in a comparison of boots that are the same.
    pub level: f64,
    /// What is large enough.
    pub least: Least,
    /// Most permutations of the boots that are looked at, if there are too many for all.
    pub permutations: u64,
    /// Chooses them.
    pub seed: u64,
    /// The change of the boot's time that the user wants to see, as a part of it.
    pub effect: f64,
    /// Compare boots although their settings differ.
    pub force: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { level: LEVEL, least: Least::default(), permutations: 20_000, seed: 1, effect: 0.01, force: false }
    }
}

/// Why boots are not compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// A side has none.
    #[error("no boot on side {0}")]
    Empty(char),
    /// They were not made alike.
    #[error("these boots were not made alike, so their figures do not mean the same: {}", list(.0))]
    Settings(Vec<Difference>),
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Compares `a`, the boots before, with `b`, those after.
///
/// # Errors
/// [`Refused`].
pub fn diff(a: &[Boot], b: &[Boot], options: &Options) -> Result<Diff, Refused> {
    for (side, boots) in [('A', a), ('B', b)] {
        if boots.is_empty() {
            return Err(Refused::Empty(side));
        }
    }
    let settings = doubts::settings(a, b);
    if !settings.is_empty() && !options.force {
        return Err(Refused::Settings(settings));
    }
    let scale = chance::Scale::of(a, b, options.least);
    let mut rows = rows::rows(a, b, scale.time());
    let basis = doubts::basis(a, b, options);
    let ns = a.iter().chain(b).all(|boot| boot.ns);
    let tests = chance::judge(&mut rows, basis, &scale, options, ns);
    if basis == Basis::Tested {
        within::unexplained(&mut rows, a, b);
    }
    let (doubts, needed) = doubts::doubts(a, b, &rows, basis, options);
    sort(&mut rows.initcalls, Metric::Time);
    sort(&mut rows.modules, Metric::Time);
    let places = sort(&mut rows.functions, Metric::Own);
    for numbers in rows.numbers_a.iter_mut().chain(&mut rows.numbers_b).flatten() {
        *numbers = places[*numbers as usize];
    }
    let ways = ways::ways(a, &rows.numbers_a, b, &rows.numbers_b);
    Ok(Diff {
        a: side(a),
        b: side(b),
        basis,
        ns,
        cpus: a.iter().chain(b).map(|boot| boot.meta.cpus).max().unwrap_or_default(),
        settings,
        doubts,
        needed,
        boot: rows.boot,
        levels: rows.levels,
        initcalls: rows.initcalls,
        modules: rows.modules,
        functions: rows.functions,
        ways,
        tests,
    })
}

/// Largest change first: what has changed before what has not, then by the difference of this figure. The new place of
/// each row.
fn sort(rows: &mut Vec<Row>, metric: Metric) -> Vec<u32> {
    let size = |row: &Row| row.change(metric).map_or(0.0, |change| change.difference.abs());
    let mut sorted: Vec<(usize, Row)> = rows.drain(..).enumerate().collect();
    sorted.sort_by(|(_, one), (_, other)| other.changed().cmp(&one.changed()).then(size(other).total_cmp(&size(one))));
    let mut places = vec![0; sorted.len()];
    for (place, (before, row)) in sorted.into_iter().enumerate() {
        places[before] = place as u32;
        rows.push(row);
    }
    places
}

fn side(boots: &[Boot]) -> Side {
    let each_once = |of: fn(&Boot) -> &String| {
        let mut all: Vec<String> = Vec::new();
        for boot in boots {
            if !all.contains(of(boot)) {
                all.push(of(boot).clone());
            }
        }
        all
    };
    Side {
        boots: boots.iter().map(|boot| boot.name.clone()).collect(),
        releases: each_once(|boot| &boot.meta.release),
        build_ids: each_once(|boot| &boot.meta.build_id),
    }
}

#[cfg(test)]
mod tests;
