// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Several programs on the same work, in one run. In: commands. Out: the time of each, a table, JSON. They take turns,
//! so that what else the machine does falls on all. Never here: what the work is.

use std::fmt::Write;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use super::{child, median};
use crate::steps::Steps;

/// Who takes longer runs once: three runs of it would tell no more.
const LONG: f64 = 20.0;

/// Turns that each gets. Before them is one that does not count: files are read into memory by it.
const TURNS: usize = 5;

/// A program, and how it is started.
pub struct Peer<'a> {
    /// For the table.
    pub name: &'a str,
    /// Whether it is ours.
    pub ours: bool,
    /// Makes its command; what it prints goes nowhere.
    pub command: Box<dyn Fn() -> Result<Command> + 'a>,
}

/// What one took.
#[derive(Clone, Debug, PartialEq)]
pub struct Took {
    /// Of the [`Peer`].
    pub name: String,
    /// Of the [`Peer`].
    pub ours: bool,
    /// Median of its turns.
    pub seconds: f64,
    /// Most memory in any.
    pub peak_bytes: u64,
}

/// Lets them take turns.
///
/// # Errors
/// When one fails.
pub fn race(steps: &Steps, peers: &[Peer<'_>]) -> Result<Vec<Took>> {
    let mut seconds = vec![Vec::new(); peers.len()];
    let mut peak = vec![0; peers.len()];
    for turn in 0..=TURNS {
        for (index, peer) in peers.iter().enumerate() {
            if seconds[index].first().is_some_and(|&first| first > LONG) {
                continue;
            }
            if turn == 0 {
                steps.step(peer.name);
            }
            let usage = child::measure(&mut (peer.command)()?)?;
            if turn > 0 || usage.seconds > LONG {
                seconds[index].push(usage.seconds);
            }
            peak[index] = peak[index].max(usage.peak_bytes);
        }
    }
    let took = peers.iter().zip(seconds).zip(peak).map(|((peer, seconds), peak_bytes)| Took {
        name: peer.name.to_owned(),
        ours: peer.ours,
        seconds: median(seconds),
        peak_bytes,
    });
    Ok(took.collect())
}

/// The least time that another needs.
pub fn fastest(took: &[Took]) -> Option<&Took> {
    took.iter().filter(|took| !took.ours).min_by(|a, b| a.seconds.total_cmp(&b.seconds))
}

/// How many times as fast as the fastest other one is.
pub fn ratio(took: &[Took], name: &str) -> Option<f64> {
    let one = took.iter().find(|took| took.name == name)?;
    Some(fastest(took)?.seconds / one.seconds)
}

/// For people; `work` units of `unit` were done by each.
pub fn table(took: &[Took], work: f64, unit: &str) -> String {
    let mut text = format!("{:<36}{:>10}{:>16}{:>10}{:>12}\n", "", "s", format!("{unit}/s"), "MB", "x fastest");
    for one in took {
        let ratio = fastest(took).map_or(f64::NAN, |fastest| fastest.seconds / one.seconds);
        let _ = writeln!(
            text,
            "{:<36}{:>10.3}{:>16.0}{:>10.0}{:>12.2}",
            one.name,
            one.seconds,
            work / one.seconds,
            one.peak_bytes as f64 / 1e6,
            ratio
        );
    }
    text
}

/// For machines.
pub fn list(took: &[Took], work: f64) -> Value {
    let one = |one: &Took| json!({"name": one.name, "seconds": one.seconds, "per_s": work / one.seconds, "peak_bytes": one.peak_bytes});
    took.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_the_fastest_other_one() {
        let took = |name: &str, ours, seconds| Took { name: name.to_owned(), ours, seconds, peak_bytes: 1_000_000 };
        let all = [took("ours", true, 0.5), took("slow", false, 9.0), took("fast", false, 2.0)];
        assert_eq!(ratio(&all, "ours"), Some(4.0));
        assert_eq!(ratio(&all, "slow"), Some(2.0 / 9.0));
        let table = table(&all, 1000.0, "events");
        assert!(
            table.contains("ours                                     0.500            2000         1        4.00"),
            "{table}"
        );
    }
}
