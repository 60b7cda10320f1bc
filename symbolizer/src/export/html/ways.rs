// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The merged call tree, as far as a page can show it, and who calls whom. In: nodes, callers first. Out:
//! the nodes with the most time, closed under callers, with what was left out counted at theirs; and for
//! each pair of caller and callee its sums, of all nodes. Never here: names, text.

use std::collections::HashMap;

use bootlevel::Phase;

use crate::export::Context;

/// Who is called by nobody who is traced.
pub const NOBODY: u32 = u32::MAX;

/// Whose calls are below a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The phase of the boot.
    pub phase: Option<Phase>,
    /// Number of the task.
    pub task: Option<u32>,
    /// The task idles.
    pub idle: bool,
}

/// A root.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Whose calls.
    pub key: Key,
    /// Their time.
    pub total: u64,
    /// Functions below the root itself that were left out.
    pub dropped: u32,
}

/// A node that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Index of the group.
    pub group: u32,
    /// 0 below the root.
    pub depth: u32,
    /// Number of the function.
    pub function: u32,
    /// Calls.
    pub calls: u64,
    /// On-CPU time with what was called.
    pub total: u64,
    /// On-CPU time without that.
    pub own: u64,
    /// The longest call.
    pub longest: u64,
    /// Callees that were left out.
    pub dropped: u32,
}

/// Calls of one function by another, and their time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Calls.
    pub calls: u64,
    /// On-CPU time, once where the function is below itself.
    pub total: u64,
}

/// Collects nodes.
#[derive(Debug)]
pub struct Ways {
    /// The roots, in order of appearance.
    pub groups: Vec<Group>,
    /// Callers first.
    pub ways: Vec<Way>,
    /// By caller and callee; not of idling tasks.
    pub edges: HashMap<(u32, u32), Sums>,
    /// Nodes with less time are left out.
    pub least: u64,
    /// How many are.
    pub left_out: u64,
    budget: usize,
    /// Kept nodes from the root to the last one.
    open: Vec<usize>,
}

impl Ways {
    /// At most `budget` nodes in the end, and twice as many meanwhile.
    pub fn new(budget: usize) -> Ways {
        Ways {
            groups: Vec::new(),
            ways: Vec::new(),
            edges: HashMap::new(),
            least: 1,
            left_out: 0,
            budget: budget.max(1),
            open: Vec::new(),
        }
    }

    /// The next node.
    pub fn push(&mut self, context: &Context<'_>) {
        let Some((&function, callers)) = context.stack.split_last() else { return };
        let key = Key { phase: context.phase, task: context.task.map(|task| task.number), idle: context.idle };
        if self.groups.last().is_none_or(|group| group.key != key) {
            self.groups.push(Group { key, total: 0, dropped: 0 });
            self.open.clear();
        }
        let group = self.groups.len() - 1;
        if callers.is_empty() {
            self.groups[group].total = self.groups[group].total.saturating_add(context.total);
        }
        if !context.idle {
            let sums = self.edges.entry((callers.last().copied().unwrap_or(NOBODY), function)).or_default();
            sums.calls = sums.calls.saturating_add(context.calls);
            if !callers.contains(&function) {
                sums.total = sums.total.saturating_add(context.total);
            }
        }
        let depth = callers.len();
        self.open.truncate(depth);
        if context.total < self.least {
            self.left_out += 1;
            // Only what would stand directly below a kept node is one of those that it lacks.
            if self.open.len() == depth {
                match self.open.last() {
                    Some(&caller) => self.ways[caller].dropped += 1,
                    None => self.groups[group].dropped += 1,
                }
            }
            return;
        }
        self.open.push(self.ways.len());
        self.ways.push(Way {
            group: group as u32,
            depth: depth as u32,
            function,
            calls: context.calls,
            total: context.total,
            own: context.own,
            longest: context.longest,
            dropped: 0,
        });
        if self.ways.len() >= 2 * self.budget {
            self.prune();
        }
    }

    /// Leaves out the shortest, down to a smaller budget.
    pub fn prune_to(&mut self, budget: usize) {
        self.budget = budget.max(1);
        self.prune();
    }

    /// Leaves out the shortest, down to the budget. Their callers have at least as much time.
    fn prune(&mut self) {
        let over = self.ways.len().saturating_sub(self.budget);
        let Some(last) = over.checked_sub(1) else { return };
        let mut totals: Vec<u64> = self.ways.iter().map(|way| way.total).collect();
        let (_, &mut total, _) = totals.select_nth_unstable(last);
        self.least = total.saturating_add(1);
        let mut kept: Vec<Way> = Vec::with_capacity(self.budget);
        let (mut path, mut open) = (Vec::<usize>::new(), Vec::new());
        let mut group = u32::MAX;
        for (index, way) in self.ways.iter().enumerate() {
            if way.group != group {
                (group, path) = (way.group, Vec::new());
            }
            path.truncate(way.depth as usize);
            if way.total >= self.least {
                if self.open.contains(&index) {
                    open.push(kept.len());
                }
                path.push(kept.len());
                kept.push(*way);
                continue;
            }
            self.left_out += 1;
            if path.len() == way.depth as usize {
                match path.last() {
                    Some(&caller) => kept[caller].dropped += 1,
                    None => self.groups[group as usize].dropped += 1,
                }
            }
        }
        (self.ways, self.open) = (kept, open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node<'a>(stack: &'a [u32], total: u64, own: u64) -> Context<'a> {
        Context { phase: None, task: None, idle: false, stack, calls: 1, total, own, longest: total }
    }

    /// 0 calls 1 to 9, each of which calls 10.
    fn tree(ways: &mut Ways) {
        let part = |n: u64| 2 * n;
        ways.push(&node(&[0], (1..10).map(part).sum(), 0));
        for function in (1..10u32).rev() {
            ways.push(&node(&[0, function], part(function.into()), function.into()));
            ways.push(&node(&[0, function, 10], function.into(), function.into()));
        }
    }

    #[test]
    fn all_are_kept_where_there_is_room() {
        let mut ways = Ways::new(100);
        tree(&mut ways);
        ways.prune();
        assert_eq!((ways.ways.len(), ways.left_out, ways.groups[0].total), (19, 0, 90));
        assert_eq!(ways.edges[&(0, 3)], Sums { calls: 1, total: 6 });
        assert_eq!(ways.edges[&(NOBODY, 0)], Sums { calls: 1, total: 90 });
    }

    #[test]
    fn what_is_left_out_is_counted_at_its_caller() {
        let mut ways = Ways::new(4);
        tree(&mut ways);
        ways.prune();
        assert!(ways.ways.len() <= 4);
        assert_eq!(ways.ways.len() as u64 + ways.left_out, 19);
        let root = ways.ways[0];
        assert_eq!((root.function, root.depth), (0, 0));
        let below = ways.ways.iter().filter(|way| way.depth == 1).count() as u32;
        assert_eq!(root.dropped + below, 9);
        assert!(ways.ways.iter().all(|way| way.total >= ways.least));
        // The sums of callers and callees are of all nodes.
        assert_eq!(ways.edges.len(), 19);
    }

    #[test]
    fn a_function_below_itself_counts_its_time_once() {
        let mut ways = Ways::new(10);
        ways.push(&node(&[7], 5, 1));
        ways.push(&node(&[7, 7], 4, 4));
        assert_eq!(ways.edges[&(7, 7)], Sums { calls: 1, total: 0 });
    }
}
