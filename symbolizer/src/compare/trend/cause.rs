// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a change is made of: the initcall, or the function, whose time changed most with it. In: the boots before and
//! those after. Out: one of them, if it has most of the change. Never here: where changes are.

use std::collections::BTreeMap;

use crate::compare::boot::Boot;

/// A smaller part of the change is no explanation.
const LEAST: f64 = 0.3;

/// Most boots of each side that are looked at: those nearest to the change.
const MOST: usize = 20;

/// The largest part of a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// `initcall` or `function`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// How much more time it takes: from begin to end, or self time.
    pub more: f64,
    /// Mean calls before and after; of an initcall the calls made in it.
    pub calls: (f64, f64),
}

/// Of a change by `more`.
pub fn of(before: &[Boot], after: &[Boot], more: f64) -> Option<Cause> {
    if before.is_empty() || after.is_empty() || more == 0.0 {
        return None;
    }
    let before = &before[before.len().saturating_sub(MOST)..];
    let after = &after[..after.len().min(MOST)];
    largest("initcall", &mean(before, initcalls), &mean(after, initcalls), more)
        .or_else(|| largest("function", &mean(before, functions), &mean(after, functions), more))
}

/// Time and calls of each name.
type Figures = BTreeMap<String, [f64; 2]>;

fn initcalls(boot: &Boot) -> Vec<(&str, [f64; 2])> {
    // What runs beside the others takes no time of the boot.
    let waited = boot.initcalls.iter().filter(|initcall| matches!(&*initcall.kind, "built-in" | "module"));
    waited.map(|initcall| (&*initcall.name, [initcall.time as f64, initcall.calls as f64])).collect()
}

fn functions(boot: &Boot) -> Vec<(&str, [f64; 2])> {
    let sums = &boot.sums;
    let rows = sums.function.iter().zip(sums.own.iter().zip(&sums.calls));
    rows.filter_map(|(&number, (&own, &calls))| {
        Some((&*boot.functions.get(number as usize)?.name, [own as f64, calls as f64]))
    })
    .collect()
}

/// Names with time and calls.
type Named<'a> = Vec<(&'a str, [f64; 2])>;

fn mean(boots: &[Boot], read: fn(&Boot) -> Named<'_>) -> Figures {
    let mut sums = Figures::new();
    for boot in boots {
        for (name, [time, calls]) in read(boot) {
            let sum = match sums.get_mut(name) {
                Some(sum) => sum,
                None => sums.entry(name.to_owned()).or_default(),
            };
            sum[0] += time / boots.len() as f64;
            sum[1] += calls / boots.len() as f64;
        }
    }
    sums
}

fn largest(kind: &'static str, before: &Figures, after: &Figures, more: f64) -> Option<Cause> {
    let figure = |figures: &Figures, name: &String| figures.get(name).copied().unwrap_or_default();
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    let cause = names
        .map(|name| (name, figure(after, name)[0] - figure(before, name)[0]))
        .max_by(|(_, one), (_, other)| (one * more.signum()).total_cmp(&(other * more.signum())))
        .filter(|(_, part)| part / more >= LEAST);
    cause.map(|(name, part)| Cause {
        kind,
        name: name.clone(),
        more: part,
        calls: (figure(before, name)[1], figure(after, name)[1]),
    })
}
