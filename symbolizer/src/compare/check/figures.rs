// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The figures that a budget is about. In: a budget, boots. Out: numbers, one for each boot. Never here: what is
//! allowed.

use std::collections::{BTreeMap, BTreeSet};

use bootlevel::Phase;

use crate::compare::boot::{Boot, Function};
use crate::compare::budget::parse::nearest;
use crate::compare::budget::{Budget, Figure, Subject};

/// Things that are named of those that are new or gone.
const NAMED: usize = 3;

/// A name, its figure in each boot, and in each boot of the baseline.
pub type Measured = (String, Vec<f64>, Vec<f64>);

/// What a budget asks for: one for each name, or the sum.
pub fn measure(budget: &Budget, boots: &[Boot], baseline: &[Boot]) -> Vec<Measured> {
    let read = |boots: &[Boot]| boots.iter().map(|boot| of(budget, boot)).collect::<Vec<_>>();
    let (after, before) = (read(boots), read(baseline));
    if !budget.each {
        let sums = |all: &[BTreeMap<String, f64>]| all.iter().map(|figures| figures.values().sum()).collect();
        return vec![(budget.name.text().to_owned(), sums(&after), sums(&before))];
    }
    let names: BTreeSet<&String> = after.iter().chain(&before).flat_map(BTreeMap::keys).collect();
    let column = |all: &[BTreeMap<String, f64>], name: &String| {
        all.iter().map(|figures| figures.get(name).copied().unwrap_or(0.0)).collect()
    };
    let mut all: Vec<Measured> =
        names.into_iter().map(|name| (name.clone(), column(&after, name), column(&before, name))).collect();
    // Levels in the order of a boot.
    let place = |name: &str| Phase::ALL.iter().position(|phase| phase.name() == name);
    if budget.subject == Subject::Level {
        all.sort_by_key(|(name, ..)| place(name));
    }
    all
}

/// A boot's figures by name.
fn of(budget: &Budget, boot: &Boot) -> BTreeMap<String, f64> {
    let mut figures: BTreeMap<String, f64> = BTreeMap::new();
    // An instruction is so many nanoseconds.
    let scale = if budget.figure == Figure::Instructions { 1.0 / (1u64 << icount_shift(boot)) as f64 } else { 1.0 };
    let mut add = |name: &str, value: u64| *figures.entry(name.to_owned()).or_default() += value as f64 * scale;
    let matches = |name: &str| budget.name.matches(name);
    match budget.subject {
        Subject::Boot => {
            let totals = &boot.totals;
            let value = match budget.figure {
                Figure::Busy | Figure::Instructions => totals.busy,
                Figure::Calls => totals.calls,
                Figure::Events => totals.events,
                Figure::Lost => totals.lost,
                _ => totals.span,
            };
            add("", value);
        }
        Subject::Level => {
            for level in boot.levels.iter().filter(|level| matches(&level.name)) {
                let value = match budget.figure {
                    Figure::Busy | Figure::Instructions => level.busy,
                    Figure::Calls => level.calls,
                    Figure::Events => level.events,
                    _ => level.time,
                };
                add(&level.name, value);
            }
        }
        Subject::Initcall | Subject::Module => {
            for initcall in &boot.initcalls {
                let name = if budget.subject == Subject::Module { &initcall.module } else { &initcall.name };
                if name.is_empty() || !matches(name) {
                    continue;
                }
                let value = match budget.figure {
                    Figure::Busy | Figure::Instructions => initcall.on_cpu,
                    Figure::Calls => initcall.calls,
                    _ => initcall.time,
                };
                add(name, value);
            }
        }
        Subject::Function => {
            let wanted: Vec<bool> = boot.functions.iter().map(|f| matches(&f.name) || matches(plain(f))).collect();
            let sums = &boot.sums;
            let column = match budget.figure {
                Figure::Own | Figure::Instructions => &sums.own,
                Figure::Total => &sums.total,
                _ => &sums.calls,
            };
            for (&number, &value) in sums.function.iter().zip(column) {
                if let (Some(true), Some(function)) = (wanted.get(number as usize), boot.functions.get(number as usize))
                {
                    add(&function.name, value);
                }
            }
        }
        _ => {}
    }
    figures
}

/// Without its module behind it.
fn plain(function: &Function) -> &str {
    function.name.split_once(" [").map_or(&*function.name, |(name, _)| name)
}

/// `-icount shift=N`: an instruction takes 2^N nanoseconds.
fn icount_shift(boot: &Boot) -> u32 {
    let after = boot.meta.vmm.iter().skip_while(|word| *word != "-icount").nth(1);
    let shift = after.and_then(|options| options.split(',').find_map(|option| option.strip_prefix("shift=")));
    shift.and_then(|shift| shift.parse::<u32>().ok()).unwrap_or(0).min(10)
}

/// How many functions or initcalls only one of the sides has, and the first of them.
pub fn alone(subject: Subject, boots: &[Boot], baseline: &[Boot]) -> (f64, Vec<String>) {
    let names = |boots: &[Boot]| -> BTreeSet<(String, String)> {
        let of = |boot: &Boot| -> Vec<(String, String)> {
            match subject {
                Subject::NewFunctions | Subject::GoneFunctions => {
                    boot.functions.iter().map(|f| (f.name.clone(), f.module.clone())).collect()
                }
                _ => boot.initcalls.iter().map(|initcall| (initcall.name.clone(), initcall.module.clone())).collect(),
            }
        };
        boots.iter().flat_map(of).collect()
    };
    let (after, before) = (names(boots), names(baseline));
    let (there, not_there) = match subject {
        Subject::NewFunctions | Subject::NewInitcalls => (&after, &before),
        _ => (&before, &after),
    };
    let only: Vec<&(String, String)> = there.difference(not_there).collect();
    let mut named: Vec<String> = only.iter().take(NAMED).map(|(name, _)| name.clone()).collect();
    if only.len() > NAMED {
        named.push(format!("and {} more", only.len() - NAMED));
    }
    (only.len() as f64, named)
}

/// What is said of a name that nothing has: it may be misspelled.
pub fn nothing(budget: &Budget, boots: &[Boot]) -> String {
    if budget.subject == Subject::Boot || budget.figure == Figure::Lost {
        return String::new();
    }
    let name = budget.name.text();
    let names: BTreeSet<&str> = boots
        .iter()
        .flat_map(|boot| -> Vec<&str> {
            match budget.subject {
                Subject::Initcall => boot.initcalls.iter().map(|initcall| &*initcall.name).collect(),
                Subject::Module => boot.initcalls.iter().map(|initcall| &*initcall.module).collect(),
                Subject::Function => boot.functions.iter().map(plain).collect(),
                _ => boot.levels.iter().map(|level| &*level.name).collect(),
            }
        })
        .collect();
    if names.iter().any(|known| budget.name.matches(known)) {
        return String::new();
    }
    let hint = if budget.name.is_wild() { None } else { nearest(name, names) };
    let hint = hint.map(|hint| format!(" (did you mean {hint}?)")).unwrap_or_default();
    format!("no {} of these boots is called {name}{hint}", budget.subject.words())
}
