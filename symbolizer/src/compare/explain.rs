// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What has changed, in plain sentences. In: a [`Diff`]. Out: [`headline`]: the first sentence says what the boot does
//! and names the level, the initcall and the function that matter most; a few more say what else. Never here: tables,
//! judgement of what is chance.
//!
//! [`causes`] finds where differences come from, `elsewhere` those that no sum of times shows; `sentences` has the
//! words for each kind.

pub mod causes;
mod elsewhere;
mod sentences;
#[cfg(test)]
mod tests;

use self::sentences::Teller;
use super::diff::{Basis, Change, Diff, Metric, Row};
use super::diff_words::{Words, count, percent};
use super::statistics::smallest_seen;
use super::ways::Ways;

/// Most sentences.
const MOST: usize = 5;

/// Causes that explain less than this part of what differs are not worth a sentence of their own.
const LEAST: f64 = 0.02;

/// The first sentence, then a few more.
pub fn headline(diff: &Diff) -> Vec<String> {
    let ways = Ways::new(diff);
    let words = Words { ns: diff.ns };
    if !diff.changed() && diff.basis != Basis::TooFew {
        return vec![no_change(diff, words)];
    }
    let mut found = causes::find(diff, &ways);
    // First comes what the boot's own change is made of, if there is that; then what works against it.
    if let Some(at) = found.iter().position(|cause| is_of(diff, cause)) {
        let first = found.remove(at);
        found.insert(0, first);
    }
    let teller = Teller { diff, ways: &ways, words };
    let chance = match diff.basis {
        Basis::TooFew => {
            let least = diff.a.boots.len().min(diff.b.boots.len());
            format!("cannot tell from chance with {} a side: ", boots(least))
        }
        Basis::Exact | Basis::Tested => String::new(),
    };
    let Some(first) = found.first() else {
        let whole = chance + &whole_boot(diff, words);
        let same = |row: &Row| row.changes.iter().all(|change| change.difference == 0.0);
        if same(&diff.boot) && diff.functions.iter().all(same) {
            return vec![format!("{whole}, and each function too")];
        }
        return vec![match teller.level_most() {
            Some(level) => format!("{whole}; {level}, spread over many functions"),
            None => format!("{whole}; no single function stands out"),
        }];
    };
    let mut told = vec![format!("{chance}{}{}", whole_boot(diff, words), teller.first(first))];
    let least = LEAST * found.iter().map(|cause| cause.weight).fold(0.0, f64::max);
    let more = found.iter().skip(1).filter(|cause| cause.weight >= least || cause.is_structure());
    told.extend(more.take(MOST - 1).map(|cause| teller.further(cause)));
    told
}

/// Whether a cause is a good part of the boot's change, or a fact of its own.
fn is_of(diff: &Diff, cause: &causes::Cause<'_>) -> bool {
    let change = diff.boot.change(Metric::Time).filter(|time| time.changed || diff.basis == Basis::TooFew);
    let whole = change.map_or(0.0, |time| time.difference);
    whole == 0.0
        || (cause.is_structure() && cause.effect * whole >= 0.0)
        || (cause.effect * whole > 0.0 && cause.weight >= whole.abs() * 0.3)
}

fn boots(number: usize) -> String {
    if number == 1 { "1 boot".to_owned() } else { format!("{number} boots") }
}

/// How long the boot takes now: `boot is 41.0 ms (12 %) slower`.
fn whole_boot(diff: &Diff, words: Words) -> String {
    let Some(time) = diff.boot.change(Metric::Time) else { return "boot has changed".to_owned() };
    let told = time.changed || diff.basis == Basis::TooFew;
    // What rounds to nothing is nothing.
    if !told || time.difference.abs() < time.a.mean.abs() * 1e-5 {
        return format!("boot takes {} as before", words.time(time.b.mean));
    }
    let part = time.relative.map_or_else(String::new, |part| format!(" ({})", percent(part)));
    let how = if time.difference > 0.0 { "slower" } else { "faster" };
    format!("boot is {}{part} {how}", words.time(time.difference))
}

/// Nothing has changed; and what would have been seen.
fn no_change(diff: &Diff, words: Words) -> String {
    let Some(time) = diff.boot.change(Metric::Time) else { return "no change".to_owned() };
    let events = diff.boot.change(Metric::Events).filter(|events| events.b.mean > 0.0);
    let (a, b) = (words.time(time.a.mean), words.time(time.b.mean));
    if diff.basis == Basis::Exact {
        return match events {
            Some(events) if events.difference == 0.0 && time.difference == 0.0 => format!(
                "no change: boot {a} and {} events on both sides (deterministic boots: any difference would be seen)",
                count(events.b.mean)
            ),
            Some(events) => format!(
                "no change: boot {a} before, {b} after ({}), {} of {} events more or less: too little to matter",
                words.signed(Metric::Time, time.difference),
                count(events.difference),
                count(events.a.mean)
            ),
            None => format!("no change: boot {a} before, {b} after: too little to matter"),
        };
    }
    let sides = match a == b {
        true => format!("boot {a} on both sides"),
        false => format!("boot {a} before, {b} after, which may be chance"),
    };
    match seen(time) {
        Some(part) => format!("no change: {sides}; a change of {} would have been seen", percent(part)),
        None => format!("no change: {sides}"),
    }
}

/// The smallest change that would have been told from chance, as a part of the whole.
fn seen(time: &Change) -> Option<f64> {
    let (a, b) = (time.a.all.len(), time.b.all.len());
    let squares = time.a.sd.powi(2) * a.saturating_sub(1) as f64 + time.b.sd.powi(2) * b.saturating_sub(1) as f64;
    let sd = (squares / (a + b).saturating_sub(2).max(1) as f64).sqrt();
    let part = smallest_seen(sd, a, b) / time.a.mean;
    (part.is_finite() && part > 0.0).then_some(part)
}
