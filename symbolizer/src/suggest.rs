// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Which functions to leave out next time. In: a trace and names. Out: a [`Suggestion`]: the few functions
//! that make most of the events, as a `hypergraph=notrace:` line, and what is lost with them. The tour:
//! [`load`] counts what each function costs, [`choose`] picks names, [`patterns`] shortens the list,
//! [`show`] writes it. Never here: reading of files, standard output.
//!
//! A function that is left out loses its own entries and exits only. What it calls stays; its self time
//! counts for its caller. Time is *covered* as long as any function that stays is open around it.

pub mod choose;
pub mod load;
pub mod patterns;
pub mod show;

use crate::calltree::{self, Function};
use crate::decode::pipeline;
use crate::report::names::Named;
use crate::trace_dir::TraceDir;

use choose::{Candidate, Limits};
use load::{Load, Uncovered};

/// What to leave out, and what that gives. Times in ticks, of tasks that are not idle.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Suggestion {
    /// Entries and exits in the trace.
    pub events: u64,
    /// Names of functions that were called.
    pub called: usize,
    /// Self time of all functions.
    pub time: u64,
    /// What is left out, most events first.
    pub chosen: Vec<Candidate>,
    /// The same as patterns.
    pub patterns: Vec<String>,
    /// Entries and exits of the chosen ones.
    pub removed: u64,
    /// Self time of the chosen ones: it counts for their callers.
    pub moved: u64,
    /// Time in which none but chosen ones are open.
    pub uncovered: u64,
    /// The line was full before enough events were removed.
    pub full: bool,
}

impl Suggestion {
    /// The word for the kernel command line; empty if nothing is to be left out.
    pub fn line(&self) -> String {
        if self.patterns.is_empty() { String::new() } else { format!("hypergraph=notrace:{}", self.patterns.join(",")) }
    }
}

/// Finds what to leave out: reads the whole trace twice, rarely more often. `names`: names of sites.
pub fn suggest(trace: &TraceDir, limits: &Limits, names: impl Fn(&[u64]) -> Vec<Named>) -> Suggestion {
    let mut load = Load::default();
    let totals = pipeline::run(trace, |pipeline| calltree::build(pipeline, &mut load, |_| {}));
    let sites: Vec<u64> = totals.sites.addresses().collect();
    let named = names(&sites);
    let candidates = choose::candidates(&named, load.functions());
    let time: u64 = candidates.iter().fold(0, |sum: u64, candidate| sum.saturating_add(candidate.own));
    let mut suggestion = Suggestion { events: totals.events, called: candidates.len(), time, ..Suggestion::default() };
    let mut forbidden: Vec<String> = Vec::new();
    loop {
        let choice = choose::choose(&candidates, &forbidden, totals.events, time, limits);
        let chosen: Vec<&str> = choice.chosen.iter().map(|candidate| candidate.name.as_str()).collect();
        let mut uncovered = Uncovered::new(named.iter().map(|named| chosen.contains(&named.name.as_str())).collect());
        pipeline::run(trace, |pipeline| calltree::build(pipeline, &mut uncovered, |_| {}));
        let lost = uncovered.total();
        if lost as f64 <= time as f64 * (1.0 - limits.keep_time) || choice.chosen.is_empty() {
            suggestion.removed = choice.chosen.iter().map(|candidate| candidate.events).sum();
            suggestion.moved = choice.chosen.iter().fold(0, |sum: u64, candidate| sum.saturating_add(candidate.own));
            (suggestion.patterns, suggestion.full) = (choice.patterns, choice.full);
            suggestion.chosen = choice.chosen;
            suggestion.uncovered = lost;
            return suggestion;
        }
        // Time that nobody else covers is what the estimate could not see: give up the one with most of it.
        let worst = (0..named.len()).max_by_key(|&index| uncovered.of(Function(index as u32)));
        match worst.and_then(|index| named.get(index)) {
            Some(worst) => forbidden.push(worst.name.clone()),
            None => return suggestion,
        }
    }
}
