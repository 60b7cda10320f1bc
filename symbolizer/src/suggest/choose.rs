// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Picks the functions to leave out: many events for little self time, leaves first, few names. In: sums
//! by function, names, limits. Out: a choice. Never here: the trace.

use std::collections::HashMap;

use super::load::Sums;
use super::patterns;
use crate::report::names::{Named, Origin};

/// A full line weighs as much as this share of all self time that moves to callers, and each byte its part
/// of that: without it hundreds of functions that are called ten times would be cheaper than one that is
/// called a million times.
const LINE: f64 = 0.5;

/// A prefix may stand for all functions that have it if each makes at least this share of the events: the
/// rare ones are those that tell what the many are called for.
const HOT: f64 = 1e-4;

/// So many in a row may fail to fit before the line counts as full.
const TRIES: usize = 20;

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Share of the time that must stay covered.
    pub keep_time: f64,
    /// Share of the events that is to go.
    pub reduce: f64,
    /// Most patterns on the line.
    pub patterns: usize,
    /// Most bytes of `notrace:` and what follows.
    pub bytes: usize,
}

/// All functions of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// The name.
    pub name: String,
    /// It is in the symbol table, and could stand on a command line.
    pub can_be_named: bool,
    /// Calls.
    pub calls: u64,
    /// Entries and exits.
    pub events: u64,
    /// Calls without another call in them.
    pub leaves: u64,
    /// Self time in tasks that are not idle.
    pub own: u64,
    /// The part of it that no other function is open around.
    pub bare: u64,
}

/// What is to be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The functions, most events first.
    pub chosen: Vec<Candidate>,
    /// The same as patterns.
    pub patterns: Vec<String>,
    /// The line was full before enough events were removed.
    pub full: bool,
}

/// Adds up functions of the same name: a pattern cannot tell them apart.
pub fn candidates(named: &[Named], sums: &[Sums]) -> Vec<Candidate> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut all: Vec<Candidate> = Vec::new();
    for (named, sums) in named.iter().zip(sums) {
        let place = *places.entry(&named.name).or_insert(all.len());
        if place == all.len() {
            let can_be_named = patterns::is_plain(&named.name);
            all.push(Candidate { name: named.name.clone(), can_be_named, ..Candidate::default() });
        }
        let sum = &mut all[place];
        sum.can_be_named &= named.origin == Origin::Symbol;
        sum.calls += sums.calls;
        sum.events += sums.events;
        sum.leaves += sums.leaves;
        sum.own = sum.own.saturating_add(sums.own);
        sum.bare = sum.bare.saturating_add(sums.bare);
    }
    all
}

/// Chooses, none of the `forbidden`.
pub fn choose(all: &[Candidate], forbidden: &[String], events: u64, time: u64, limits: &Limits) -> Choice {
    let usable = |one: &Candidate| one.can_be_named && one.events > 0 && !forbidden.contains(&one.name);
    let mut order: Vec<(f64, Vec<&Candidate>)> = groups(all, (events as f64 * HOT) as u64)
        .into_iter()
        .chain(all.iter().map(|one| (one.name.len(), vec![one])))
        .filter(|(_, members)| members.iter().all(|one| usable(one)))
        .map(|(bytes, members)| (worth(&members, bytes, events, time, limits), members))
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1[0].name.cmp(&b.1[0].name)));

    let wanted = (limits.reduce * events as f64).ceil() as u64;
    let allowed = (1.0 - limits.keep_time) * time as f64;
    let called: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    let fits = |chosen: &[&Candidate]| {
        let line = shortened(chosen, &called);
        line.len() <= limits.patterns && length(&line) <= limits.bytes
    };
    let (mut chosen, mut removed, mut bare) = (Vec::<&Candidate>::new(), 0, 0u64);
    let mut failed = 0;
    for (_, members) in order {
        if removed >= wanted || failed == TRIES {
            break;
        }
        let new: Vec<&Candidate> =
            members.into_iter().filter(|one| !chosen.iter().any(|other| other.name == one.name)).collect();
        let more = new.iter().fold(bare, |sum, one| sum.saturating_add(one.bare));
        if new.is_empty() || more as f64 > allowed {
            continue;
        }
        let before = chosen.len();
        chosen.extend(&new);
        if !fits(&chosen) {
            chosen.truncate(before);
            failed += 1;
            continue;
        }
        failed = 0;
        removed += new.iter().map(|one| one.events).sum::<u64>();
        bare = more;
    }
    // A late one with many events may make small early ones needless, if the line does not grow by it.
    chosen.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.name.cmp(&b.name)));
    for index in (0..chosen.len()).rev() {
        let one = chosen[index];
        if removed - one.events >= wanted {
            let line = length(&shortened(&chosen, &called));
            chosen.remove(index);
            if length(&shortened(&chosen, &called)) > line {
                chosen.insert(index, one);
            } else {
                removed -= one.events;
            }
        }
    }
    let patterns = shortened(&chosen, &called);
    let full = failed > 0 && removed < wanted;
    Choice { chosen: chosen.into_iter().cloned().collect(), patterns, full }
}

/// Events for what they cost: self time that moves, bytes of the line; leaves first.
fn worth(members: &[&Candidate], bytes: usize, events: u64, time: u64, limits: &Limits) -> f64 {
    let sum = |of: fn(&Candidate) -> u64| members.iter().map(|one| of(one) as f64).sum::<f64>();
    let share = |part: f64, whole: f64| if whole == 0.0 { 0.0 } else { part / whole };
    let leaves = (1.0 + share(sum(|one| one.leaves), sum(|one| one.calls))) / 2.0;
    let line = LINE * share(bytes as f64 + 1.0, limits.bytes as f64);
    share(sum(|one| one.events), events as f64) * leaves / (share(sum(|one| one.own), time as f64) + line)
}

/// Prefixes that only functions with at least `least` events have, and those functions: at least two. With
/// each the bytes of its pattern.
fn groups(all: &[Candidate], least: u64) -> Vec<(usize, Vec<&Candidate>)> {
    let mut by_prefix: HashMap<&str, Vec<&Candidate>> = HashMap::new();
    for one in all {
        for prefix in patterns::prefixes(&one.name) {
            by_prefix.entry(prefix).or_default().push(one);
        }
    }
    by_prefix.retain(|_, members| members.len() > 1 && members.iter().all(|one| one.events >= least));
    by_prefix.into_iter().map(|(prefix, members)| (prefix.len() + 1, members)).collect()
}

fn shortened(chosen: &[&Candidate], called: &[&str]) -> Vec<String> {
    let names: Vec<&str> = chosen.iter().map(|one| one.name.as_str()).collect();
    patterns::shorten(&names, called)
}

/// Bytes of the text.
fn length(patterns: &[String]) -> usize {
    "notrace:".len() + patterns.iter().map(|pattern| pattern.len() + 1).sum::<usize>().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, calls: u64, own: u64) -> Candidate {
        let (name, can_be_named) = (name.to_owned(), true);
        Candidate { name, can_be_named, calls, events: 2 * calls, leaves: calls, own, bare: 0 }
    }

    const LIMITS: Limits = Limits { keep_time: 0.99, reduce: 0.8, patterns: 100, bytes: 500 };

    fn names(all: &[Candidate], limits: &Limits) -> Vec<String> {
        let (events, time) = (all.iter().map(|one| one.events).sum(), all.iter().map(|one| one.own).sum());
        choose(all, &[], events, time, limits).chosen.into_iter().map(|one| one.name).collect()
    }

    #[test]
    fn many_events_for_little_time_come_first_and_no_more_than_needed() {
        let all = [one("lock", 500, 10), one("copy", 400, 800), one("unlock", 350, 10), one("rest", 50, 180)];
        assert_eq!(names(&all, &Limits { reduce: 0.6, ..LIMITS }), ["lock", "unlock"]);
        assert_eq!(names(&all, &Limits { reduce: 0.38, ..LIMITS }), ["lock"]);
        // The largest alone does what it and a small one did.
        let all = [one("tiny", 100, 0), one("large", 900, 500), one("rest", 100, 500)];
        assert_eq!(names(&all, &LIMITS), ["large"]);
    }

    #[test]
    fn a_prefix_stands_for_all_that_have_it_if_all_are_hot() {
        let line = |all: &[Candidate]| {
            let (events, time) = (all.iter().map(|one| one.events).sum(), all.iter().map(|one| one.own).sum());
            choose(all, &[], events, time, &LIMITS).patterns.join(",")
        };
        let mut all = vec![one("math_add", 40_000, 10), one("math_mul", 30_000, 10), one("math_div", 10_000, 10)];
        all.push(one("rest", 19_000, 9_970));
        assert_eq!(line(&all), "math_*");
        all.push(one("math_init", 1, 0));
        assert_eq!(line(&all), "math_add,math_mul,math_div");
    }

    #[test]
    fn limits_hold() {
        let all: Vec<Candidate> = (0..200).map(|number| one(&format!("f{number:03}x"), 200 - number, 1)).collect();
        assert_eq!(names(&all, &Limits { patterns: 3, ..LIMITS }), ["f000x", "f001x", "f002x"]);
        let choice = choose(&all, &["f001x".to_owned()], 40_200, 200, &Limits { bytes: 24, ..LIMITS });
        assert_eq!((choice.patterns.join(","), choice.full), ("f000x,f002x".to_owned(), true));
        let mut bare = all.clone();
        bare[0].bare = 100;
        bare[1].can_be_named = false;
        assert_eq!(names(&bare, &Limits { patterns: 1, ..LIMITS }), ["f002x"]);
    }

    #[test]
    fn leaves_come_before_what_holds_the_tree_together() {
        let mut all = [one("inner", 100, 10), one("leaf", 100, 10), one("rest", 200, 980)];
        all[0].leaves = 0;
        assert_eq!(names(&all, &Limits { reduce: 0.2, ..LIMITS }), ["leaf"]);
    }
}
