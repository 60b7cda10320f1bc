// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The call graph around one function: who called it, what it called. In: the merged call tree. Out:
//! [`Graph`], plain data. Times in ticks, without idle. Never here: names, formatting.
//!
//! Callers: each branch is a backtrace, and its figures are those of the function's calls that came that way.
//! Callees: figures of what was called, on that way below the function. Time counts once: a call of the
//! function inside another one of it is part of that one. As a caller or callee it is marked as recursion.

use std::collections::HashMap;

use crate::calltree::contexts::{Merged, Node};

/// What to leave out.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Levels of callers.
    pub callers: usize,
    /// Levels of callees.
    pub callees: usize,
    /// Branches with less than this part of the function's time (of its calls, if it took none) are summed up;
    /// from 0 to 1.
    pub share: f64,
}

/// Figures of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Calls that began.
    pub calls: u64,
    /// On-CPU time with what they called.
    pub total: u64,
    /// On-CPU time without.
    pub own: u64,
    /// The longest one.
    pub longest: u64,
}

impl Sums {
    fn add(&mut self, other: Sums) {
        self.calls = self.calls.saturating_add(other.calls);
        self.total = self.total.saturating_add(other.total);
        self.own = self.own.saturating_add(other.own);
        self.longest = self.longest.max(other.longest);
    }
}

/// A caller or a callee.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branch {
    /// Number of the function; [`Node::ROOT`] where no traced call is around, [`Node::REST`] for ways that found
    /// no room in the tree.
    pub function: u32,
    /// It is the function itself.
    pub recursion: bool,
    /// See the module.
    pub sums: Sums,
    /// Its callers, or its callees; longest first.
    pub next: Vec<Branch>,
    /// How many of those are left out, and their figures.
    pub more: (usize, Sums),
}

/// All about one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// Number of the function.
    pub function: u32,
    /// Over all its calls.
    pub sums: Sums,
    /// Its calls in idling tasks, which count nowhere else.
    pub idle: u64,
    /// Who called it; `function` of this branch is its own number.
    pub callers: Branch,
    /// What it called.
    pub callees: Branch,
}

/// A tree under construction: branches by number, each with its parent's.
struct Growing {
    branches: Vec<(u32, u32, Sums)>,
    children: HashMap<(u32, u32), u32>,
}

impl Growing {
    fn new(function: u32) -> Growing {
        Growing { branches: vec![(0, function, Sums::default())], children: HashMap::new() }
    }

    fn child(&mut self, parent: u32, function: u32) -> u32 {
        let next = self.branches.len() as u32;
        let child = *self.children.entry((parent, function)).or_insert(next);
        if child == next {
            self.branches.push((parent, function, Sums::default()));
        }
        child
    }

    fn add(&mut self, branch: u32, sums: Sums) {
        self.branches[branch as usize].2.add(sums);
    }

    /// The tree, with what `limits` wants of it.
    fn grown(self, whole: Sums, share: f64) -> Branch {
        let itself = self.branches[0].1;
        let part = |sums: &Sums| match whole.total {
            0 => sums.calls as f64 / whole.calls.max(1) as f64,
            total => sums.total as f64 / total as f64,
        };
        let mut grown: Vec<Branch> = self
            .branches
            .iter()
            .enumerate()
            .map(|(index, &(_, function, sums))| Branch {
                function,
                recursion: index > 0 && function == itself,
                sums,
                ..Branch::default()
            })
            .collect();
        // A branch comes after its parent: from the last to the first, each is whole when it is taken.
        for index in (1..grown.len()).rev() {
            let mut branch = std::mem::take(&mut grown[index]);
            branch.next.sort_by_key(|b| (std::cmp::Reverse((b.sums.total, b.sums.calls)), b.function));
            let parent = &mut grown[self.branches[index].0 as usize];
            if part(&branch.sums) < share {
                parent.more.0 += 1;
                parent.more.1.add(branch.sums);
            } else if branch.sums != Sums::default() {
                parent.next.push(branch);
            }
        }
        let mut root = std::mem::take(&mut grown[0]);
        root.next.sort_by_key(|b| (std::cmp::Reverse((b.sums.total, b.sums.calls)), b.function));
        root
    }
}

/// The graph of a function.
pub fn graph(merged: &Merged, function: u32, limits: Limits) -> Graph {
    // For each node: whether it idles, and its branch among the callees if it is in a call of the function.
    const OUTSIDE: u32 = u32::MAX;
    const DEEPER: u32 = u32::MAX - 1;
    let mut idling = vec![false; merged.nodes.len()];
    for (group, root) in &merged.groups {
        idling[*root as usize] = group.idle;
    }
    let mut at: Vec<(u32, usize)> = Vec::with_capacity(merged.nodes.len());
    let (mut sums, mut idle) = (Sums::default(), 0u64);
    let (mut callers, mut callees) = (Growing::new(function), Growing::new(function));
    for (index, node) in merged.nodes.iter().enumerate() {
        let parent = node.parent as usize;
        if parent == index {
            at.push((OUTSIDE, 0));
            continue;
        }
        idling[index] = idling[parent];
        let is_it = node.function == function;
        if idling[index] {
            idle += if is_it { node.calls } else { 0 };
            at.push((OUTSIDE, 0));
            continue;
        }
        let total = merged.totals[index];
        let all = Sums { calls: node.calls, total, own: node.own, longest: node.longest };
        let (around, depth) = at[parent];
        at.push(match around {
            OUTSIDE if is_it => (0, 0),
            OUTSIDE => (OUTSIDE, 0),
            DEEPER => (DEEPER, 0),
            _ if depth >= limits.callees => (DEEPER, 0),
            branch => {
                let child = callees.child(branch, node.function);
                callees.add(child, all);
                (child, depth + 1)
            }
        });
        if is_it {
            // What is inside another call of it is part of that one.
            let all = if around == OUTSIDE { all } else { Sums { total: 0, ..all } };
            sums.add(all);
            let (mut branch, mut above) = (0, parent);
            for _ in 0..limits.callers {
                let caller = &merged.nodes[above];
                branch = callers.child(branch, caller.function);
                callers.add(branch, all);
                if caller.function == Node::ROOT || caller.function == function {
                    break;
                }
                above = caller.parent as usize;
            }
        }
    }
    callers.branches[0].2 = sums;
    callees.branches[0].2 = sums;
    Graph {
        function,
        sums,
        idle,
        callers: callers.grown(sums, limits.share),
        callees: callees.grown(sums, limits.share),
    }
}

/// The functions that were called, idling or not: for each number the calls without idle, and the total time.
pub fn called(merged: &Merged) -> HashMap<u32, (u64, u64)> {
    let mut called: HashMap<u32, (u64, u64)> = HashMap::new();
    let mut idling = vec![false; merged.nodes.len()];
    for (group, root) in &merged.groups {
        idling[*root as usize] = group.idle;
    }
    for (index, node) in merged.nodes.iter().enumerate() {
        let parent = node.parent as usize;
        idling[index] |= idling[parent];
        if node.function != Node::ROOT && node.function != Node::REST && node.calls > 0 {
            let busy = u64::from(!idling[index]);
            let sum = called.entry(node.function).or_default();
            sum.0 = sum.0.saturating_add(node.calls * busy);
            // Close enough for an order: recursion counts more than once.
            sum.1 = sum.1.saturating_add(merged.totals[index] * busy);
        }
    }
    called
}

#[cfg(test)]
mod tests;
