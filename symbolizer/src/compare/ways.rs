// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The call trees of both sides to walk in: who called a way, whom it calls. In: a [`Diff`]. Out: [`Ways`]. Never
//! here: judgement.

use bootlevel::Phase;

use super::diff::{Diff, Row, Way};

/// The ways of a comparison, with what lies below each.
#[derive(Debug)]
pub struct Ways<'d> {
    diff: &'d Diff,
    /// For each way, where the ways below it begin in `below`; one more for the end.
    first: Vec<usize>,
    below: Vec<usize>,
    levels: Vec<Option<Phase>>,
}

impl<'d> Ways<'d> {
    /// Of this comparison.
    pub fn new(diff: &'d Diff) -> Ways<'d> {
        let ways = &diff.ways;
        let mut first = vec![0; ways.len() + 1];
        let mut levels = vec![None; ways.len()];
        for (at, way) in ways.iter().enumerate() {
            // Callers come first; what claims otherwise is as a level.
            if way.parent < at {
                first[way.parent + 1] += 1;
                levels[at] = levels[way.parent];
            } else {
                levels[at] = way.level;
            }
        }
        for at in 0..ways.len() {
            first[at + 1] += first[at];
        }
        let mut next = first.clone();
        let mut below = vec![0; first.last().copied().unwrap_or(0)];
        for (at, way) in ways.iter().enumerate().filter(|(at, way)| way.parent < *at) {
            below[next[way.parent]] = at;
            next[way.parent] += 1;
        }
        Ways { diff, first, below, levels }
    }

    /// One of them.
    pub fn way(&self, at: usize) -> &'d Way {
        &self.diff.ways[at]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.diff.ways.len()
    }

    /// Whether the boots have none.
    pub fn is_empty(&self) -> bool {
        self.diff.ways.is_empty()
    }

    /// Its caller; none of a level.
    pub fn caller(&self, at: usize) -> Option<usize> {
        Some(self.way(at).parent).filter(|&parent| parent < at)
    }

    /// Its level, if that is known.
    pub fn level(&self, at: usize) -> Option<Phase> {
        self.levels[at]
    }

    /// Its function.
    pub fn function(&self, at: usize) -> Option<&'d Row> {
        self.diff.functions.get(self.way(at).function?)
    }

    /// Whom it calls.
    pub fn callees(&self, at: usize) -> &[usize] {
        &self.below[self.first[at]..self.first[at + 1]]
    }

    /// Those that nobody calls: levels.
    pub fn roots(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).filter(|&at| self.caller(at).is_none())
    }

    /// It and its callers, innermost first, up to the level, which is left out.
    pub fn up(&self, at: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(at), |&at| self.caller(at)).filter(|&at| self.caller(at).is_some())
    }

    /// It and all below it, in no order that means anything.
    pub fn subtree(&self, at: usize) -> impl Iterator<Item = usize> {
        let mut open = vec![at];
        std::iter::from_fn(move || {
            let at = open.pop()?;
            open.extend_from_slice(self.callees(at));
            Some(at)
        })
    }
}
