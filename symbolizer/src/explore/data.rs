// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What there is to explore. In: a report and the merged call tree, by phases and tasks. Out: [`Data`], which
//! answers: who is called by whom, what a function costs in a level or a task. Times in ticks. Never here:
//! what is selected or drawn.

use std::collections::HashMap;
use std::path::PathBuf;

use bootlevel::Phase;

use crate::calltree::TaskId;
use crate::calltree::contexts::{Group, Merged, Node};
use crate::report::Report;
use crate::report::names::Named;
use crate::report::units::Clock;

/// Which calls are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Those of this phase; else of the whole boot.
    pub phase: Option<Phase>,
    /// Those of the task in this line of [`Report::tasks`]; else of all that do not idle.
    pub task: Option<usize>,
}

/// What calls cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Calls that began.
    pub calls: u64,
    /// On-CPU time with the calls made from them.
    pub total: u64,
    /// On-CPU time without those.
    pub own: u64,
    /// The longest of them.
    pub longest: u64,
}

impl Sum {
    /// Adds the figures of one way of getting to a function.
    pub fn add(&mut self, node: &Node, total: u64) {
        self.calls = self.calls.saturating_add(node.calls);
        self.own = self.own.saturating_add(node.own);
        self.total = self.total.saturating_add(total);
        self.longest = self.longest.max(node.longest);
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.calls == 0 && self.total == 0
    }

    /// Mean of the calls' on-CPU time.
    pub fn mean(&self) -> u64 {
        self.total.checked_div(self.calls).unwrap_or(0)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Data<'a> {
    /// All that the text report says.
    pub report: &'a Report<'a>,
    /// Where the kernel's source is, if that was said.
    pub source: Option<PathBuf>,
    named: &'a [Named],
    merged: &'a Merged,
    /// Those below node N are `kids[kids_from[N]..kids_from[N + 1]]`.
    kids_from: Vec<u32>,
    kids: Vec<u32>,
    /// For each node the index of its group.
    group: Vec<u32>,
    /// For each node whether one of its callers is the same function.
    nested: Vec<bool>,
    /// For each line of the report's tasks.
    tasks: Vec<Option<TaskId>>,
    /// For each initcall of the report its function.
    initcalls: Vec<Option<u32>>,
}

impl<'a> Data<'a> {
    /// `named` has the functions by their numbers in `merged`.
    pub fn new(report: &'a Report<'a>, named: &'a [Named], merged: &'a Merged, source: Option<PathBuf>) -> Data<'a> {
        let (kids_from, kids) = kids(merged);
        let mut data = Data {
            report,
            source,
            named,
            merged,
            kids_from,
            kids,
            group: groups(merged),
            nested: Vec::new(),
            tasks: tasks(report),
            initcalls: initcalls(report, named),
        };
        data.nested = data.find_nested();
        data
    }

    /// Ticks to nanoseconds.
    pub fn clock(&self) -> Clock {
        self.report.clock
    }

    /// Name of a function.
    pub fn name(&self, function: u32) -> &str {
        match function {
            Node::REST => "[other ways]",
            number => self.named.get(number as usize).map_or("[unknown]", |named| &named.name),
        }
    }

    /// All that is known of a function.
    pub fn named(&self, function: u32) -> Option<&Named> {
        self.named.get(function as usize)
    }

    /// File and line of a function.
    pub fn place(&self, function: u32) -> Option<String> {
        let named = self.named(function)?;
        let file = named.file.as_ref()?;
        Some(named.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}")))
    }

    /// How many functions there are.
    pub fn functions(&self) -> usize {
        self.named.len()
    }

    /// The phases that the trace knows, without the firmware's.
    pub fn phases(&self) -> impl Iterator<Item = Phase> + '_ {
        self.report.boot.levels.iter().map(|level| level.phase).filter(|&phase| phase != Phase::Firmware)
    }

    /// The function of an initcall of the report; none if it was not traced.
    pub fn initcall(&self, row: usize) -> Option<u32> {
        self.initcalls.get(row).copied().flatten()
    }

    /// Initcalls whose function this is, as indices into the report's.
    pub fn initcalls_of(&self, function: u32) -> impl Iterator<Item = usize> + '_ {
        let of_it = move |&(_, known): &(usize, &Option<u32>)| *known == Some(function);
        self.initcalls.iter().enumerate().filter(of_it).map(|(row, _)| row)
    }

    /// On-CPU time that shares of a scope refer to.
    pub fn busy(&self, scope: Scope) -> u64 {
        let own = |&(root, _): &(u32, &Group)| self.merged.totals[root as usize];
        let calls = || self.roots(scope).iter().map(own).fold(0, u64::saturating_add);
        let level = |phase| self.report.boot.levels.iter().find(|level| level.phase == phase);
        match (scope.phase, scope.task) {
            (None, None) => self.report.busy(),
            (Some(phase), None) => level(phase).map_or(0, |level| level.busy),
            // Its first call may begin before it is known to be on a CPU.
            (None, Some(task)) => self.report.tasks.get(task).map_or(0, |task| task.on_cpu).max(calls()),
            (Some(_), Some(_)) => calls(),
        }
    }

    fn includes(&self, scope: Scope, group: &Group) -> bool {
        let phase = scope.phase.is_none_or(|phase| group.slot.is_none_or(|slot| slot == phase as usize));
        let task = match scope.task {
            None => !group.idle,
            Some(row) => {
                let idle = self.report.tasks.get(row).is_some_and(|task| task.idle.is_some());
                group.idle == idle && self.tasks.get(row).copied().flatten().is_some_and(|id| group.task == Some(id))
            }
        };
        phase && task
    }

    /// The roots of a scope.
    fn roots(&self, scope: Scope) -> Vec<(u32, &Group)> {
        let groups = self.merged.groups.iter();
        groups.filter(|(group, _)| self.includes(scope, group)).map(|(group, root)| (*root, group)).collect()
    }

    /// Nodes of the outermost calls of a scope.
    pub fn outermost(&self, scope: Scope) -> Vec<u32> {
        self.roots(scope).iter().flat_map(|&(root, _)| self.kids(root)).copied().collect()
    }

    /// All nodes of a scope, callers first.
    pub fn nodes(&self, scope: Scope) -> impl Iterator<Item = u32> + '_ {
        let wanted: Vec<bool> = self.merged.groups.iter().map(|(group, _)| self.includes(scope, group)).collect();
        (0..self.merged.nodes.len() as u32).filter(move |&node| {
            wanted.get(self.group[node as usize] as usize) == Some(&true) && self.function(node) != Node::ROOT
        })
    }

    /// A node, and its time with that of all below it.
    pub fn node(&self, node: u32) -> (&Node, u64) {
        (&self.merged.nodes[node as usize], self.merged.totals[node as usize])
    }

    /// Function of a node.
    pub fn function(&self, node: u32) -> u32 {
        self.merged.nodes[node as usize].function
    }

    /// The node of its caller; none for an outermost call.
    pub fn caller(&self, node: u32) -> Option<u32> {
        let parent = self.merged.nodes[node as usize].parent;
        (parent != node && self.function(parent) != Node::ROOT).then_some(parent)
    }

    /// Slot of the phase in which its calls were.
    pub fn slot(&self, node: u32) -> Option<usize> {
        self.merged.groups.get(self.group[node as usize] as usize)?.0.slot
    }

    /// Nodes of what it calls, those only that have calls or time.
    pub fn kids(&self, node: u32) -> &[u32] {
        let at = node as usize;
        &self.kids[self.kids_from[at] as usize..self.kids_from[at + 1] as usize]
    }

    /// Whether a caller of the node is the same function: its time is in that one's too.
    pub fn is_nested(&self, node: u32) -> bool {
        self.nested[node as usize]
    }

    /// What each function costs in a scope, by number; then what found no room ([`Node::REST`]).
    pub fn sums(&self, scope: Scope) -> Vec<Sum> {
        let mut sums = vec![Sum::default(); self.named.len() + 1];
        for index in self.nodes(scope) {
            let (node, total) = self.node(index);
            let at = (node.function as usize).min(self.named.len());
            sums[at].add(node, if self.is_nested(index) { 0 } else { total });
        }
        sums
    }

    /// For each node whether it, or one below it, is of a function that `wanted` has.
    pub fn lead_to(&self, wanted: &[bool]) -> Vec<bool> {
        let hit = |function: u32| wanted.get(function as usize) == Some(&true);
        let mut leads: Vec<bool> = self.merged.nodes.iter().map(|node| hit(node.function)).collect();
        for index in (0..leads.len()).rev() {
            if leads[index] {
                leads[self.merged.nodes[index].parent as usize] = true;
            }
        }
        leads
    }

    fn find_nested(&self) -> Vec<bool> {
        let mut nested = vec![false; self.merged.nodes.len()];
        let mut open: HashMap<u32, u32> = HashMap::new();
        // Down, then up again.
        let mut todo: Vec<(u32, bool)> = self.merged.groups.iter().map(|&(_, root)| (root, false)).collect();
        while let Some((node, done)) = todo.pop() {
            let function = self.function(node);
            let count = open.entry(function).or_default();
            if done {
                *count = count.saturating_sub(1);
                continue;
            }
            nested[node as usize] = *count > 0;
            *count += 1;
            todo.push((node, true));
            todo.extend(self.kids(node).iter().map(|&kid| (kid, false)));
        }
        nested
    }
}

/// Children of each node that have calls or time.
fn kids(merged: &Merged) -> (Vec<u32>, Vec<u32>) {
    let calls = merged.calls_below();
    let alive = |index: usize| calls[index] > 0 || merged.totals[index] > 0;
    let mut from = vec![0u32; merged.nodes.len() + 1];
    let each = || {
        let nodes = merged.nodes.iter().enumerate();
        nodes.filter(|&(index, node)| node.parent as usize != index && alive(index))
    };
    each().for_each(|(_, node)| from[node.parent as usize + 1] += 1);
    for index in 1..from.len() {
        from[index] += from[index - 1];
    }
    let mut next = from.clone();
    let mut kids = vec![0u32; from.last().copied().unwrap_or(0) as usize];
    for (index, node) in each() {
        let place = &mut next[node.parent as usize];
        kids[*place as usize] = index as u32;
        *place += 1;
    }
    (from, kids)
}

fn groups(merged: &Merged) -> Vec<u32> {
    let mut group = vec![u32::MAX; merged.nodes.len()];
    for (number, &(_, root)) in (0u32..).zip(&merged.groups) {
        group[root as usize] = number;
    }
    for index in 0..group.len() {
        if group[index] == u32::MAX {
            group[index] = group[merged.nodes[index].parent as usize];
        }
    }
    group
}

fn tasks(report: &Report<'_>) -> Vec<Option<TaskId>> {
    let mut known: HashMap<(u32, u64, bool), TaskId> = HashMap::new();
    for (index, task) in (0u32..).zip(&report.totals.tasks) {
        let first = task.first.saturating_sub(report.totals.first);
        known.entry((task.pid, first, task.idle.is_some())).or_insert(TaskId(index));
    }
    // Two CPUs' idle tasks may begin at one time: their lines tell by the name which is meant.
    let named = |name: &str| report.totals.tasks.iter().position(|task| task.idle.is_some() && task.label() == name);
    let id = |row: &crate::report::model::TaskRow| match row.pid {
        0 => named(row.name.trim_end_matches(" (booting)")).map(|index| TaskId(index as u32)),
        pid => known.get(&(pid, row.first, false)).copied(),
    };
    report.tasks.iter().map(id).collect()
}

fn initcalls(report: &Report<'_>, named: &[Named]) -> Vec<Option<u32>> {
    let mut known: HashMap<(u64, &str), u32> = HashMap::new();
    for (number, named) in (0u32..).zip(named) {
        known.entry((named.address, &named.name)).or_insert(number);
    }
    report.boot.initcalls.iter().map(|row| known.get(&(row.address, row.name.as_str())).copied()).collect()
}
