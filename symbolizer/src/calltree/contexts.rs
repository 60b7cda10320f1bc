// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The call tree with equal calls merged: one node for each way of getting to a function. In: calls, as a
//! [`Sink`]. Out: [`Contexts`], with calls, self time and longest call of each node, by phase and by task if
//! that is wanted. Times in ticks; sums saturate, and the number of nodes is bounded, since a damaged trace
//! may hold anything. Never here: names, formats.
//!
//! A call counts where it began. Where a phase begins amid open calls their time so far stays with the
//! phase before, and they get nodes of their own in the new one: what `kernel_init` has in each phase is
//! told apart. The total of a node is that of its calls, with what the filter leaves out of them. It may be
//! a little less than its self time and the totals of the nodes below it: clocks are read one after the other,
//! and short calls may seem to last longer than what called them.

use std::collections::HashMap;

use early_ftrace_format::mark::Mark;

use super::filter::Filter;
use super::phases::Timeline;
use super::sink::{Call, Sink};
use super::sites::{Function, Site};
use super::task::{Frame, Task, TaskId};

/// Most nodes; what comes after them goes to the [`Node::REST`] of its group. A boot of 13 million events
/// has some hundred thousand.
pub const MOST: usize = 1 << 21;

/// Most groups, for the same reason.
const MOST_GROUPS: usize = 1 << 16;

/// What is told apart at the roots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grouping {
    /// Phases of the boot.
    pub phases: bool,
    /// Tasks.
    pub tasks: bool,
}

/// Whose calls the nodes below a root are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Slot of the phase ([`super::phases`]), if those are told apart.
    pub slot: Option<usize>,
    /// The task, if those are told apart.
    pub task: Option<TaskId>,
    /// Whether these are calls of idling tasks. Always told apart.
    pub idle: bool,
}

/// One way of getting to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The node of the caller; its own number for a root.
    pub parent: u32,
    /// The function's number; [`Node::ROOT`] or [`Node::REST`].
    pub function: u32,
    /// Calls that began here.
    pub calls: u64,
    /// On-CPU time without that of the calls made from it.
    pub own: u64,
    /// On-CPU time with it; a call inside another call of this node cannot be.
    pub spent: u64,
    /// The longest of the calls, with what it called.
    pub longest: u64,
}

impl Node {
    fn new(parent: u32, function: u32) -> Node {
        Node { parent, function, calls: 0, own: 0, spent: 0, longest: 0 }
    }

    /// [`Node::function`] of a group's root.
    pub const ROOT: u32 = u32::MAX;
    /// [`Node::function`] of what found no room: calls of any functions.
    pub const REST: u32 = u32::MAX - 1;
}

/// An open call of a task.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Where its time goes now.
    node: u32,
    /// Where it began.
    home: u32,
    /// Self time and time that nodes have already.
    credited: (u64, u64),
    /// It can pass the filter. If not, it has no node of its own, and `node` is its caller's.
    passes: bool,
}

/// Where a task stands.
#[derive(Debug, Default)]
struct Stand {
    open: Vec<Open>,
    /// Slot of its last stretch, and whether it idled.
    last: Option<(usize, bool)>,
}

/// See the module.
pub struct Contexts<'a> {
    filter: Filter<'a>,
    timeline: Timeline,
    grouping: Grouping,
    nodes: Vec<Node>,
    children: Children,
    groups: Vec<(Group, u32)>,
    roots: HashMap<Group, u32>,
    stands: Vec<Stand>,
    /// The attached task's.
    stand: Stand,
    task: TaskId,
    idle: bool,
    slot: usize,
    until: u64,
    root: u32,
    away: u64,
    in_since: u64,
}

impl<'a> Contexts<'a> {
    /// Nothing yet; calls that do not pass `filter` will not count.
    pub fn new(filter: Filter<'a>, timeline: Timeline, grouping: Grouping) -> Contexts<'a> {
        Contexts {
            filter,
            timeline,
            grouping,
            nodes: Vec::new(),
            children: Children::default(),
            groups: Vec::new(),
            roots: HashMap::new(),
            stands: Vec::new(),
            stand: Stand::default(),
            task: TaskId(0),
            idle: false,
            slot: 0,
            until: u64::MAX,
            root: 0,
            away: 0,
            in_since: 0,
        }
    }

    /// After the run: all nodes with their totals.
    pub fn finish(self) -> Merged {
        let Contexts { nodes, groups, .. } = self;
        let mut totals: Vec<u64> = nodes.iter().map(|node| node.own).collect();
        // A node comes after its caller's.
        for index in (0..nodes.len()).rev() {
            let parent = nodes[index].parent as usize;
            // What found no room was counted with all that it called, again and again.
            if !matches!(nodes[index].function, Node::ROOT | Node::REST) {
                totals[index] = nodes[index].spent;
            }
            if parent != index {
                totals[parent] = totals[parent].saturating_add(totals[index]);
            }
        }
        Merged { nodes, totals, groups }
    }

    fn group(&mut self) -> u32 {
        let Grouping { phases, tasks } = self.grouping;
        let full = self.groups.len() >= MOST_GROUPS;
        let group =
            Group { slot: phases.then_some(self.slot), task: (tasks && !full).then_some(self.task), idle: self.idle };
        if let Some(&root) = self.roots.get(&group) {
            return root;
        }
        let root = self.nodes.len() as u32;
        self.nodes.push(Node::new(root, Node::ROOT));
        self.groups.push((group, root));
        self.roots.insert(group, root);
        root
    }

    #[inline]
    fn child(&mut self, parent: u32, function: Function) -> u32 {
        match self.children.get(parent, function.0) {
            Some(node) => node,
            None => self.new_child(parent, function.0),
        }
    }

    #[cold]
    fn new_child(&mut self, parent: u32, function: u32) -> u32 {
        if self.nodes[parent as usize].function == Node::REST {
            return parent;
        }
        let (parent, function) = if self.nodes.len() < MOST { (parent, function) } else { (self.root, Node::REST) };
        if let Some(node) = self.children.get(parent, function) {
            return node;
        }
        let node = self.nodes.len() as u32;
        self.nodes.push(Node::new(parent, function));
        self.children.insert(parent, function, node);
        node
    }

    fn top(&self) -> u32 {
        self.stand.open.last().map_or(self.root, |open| open.node)
    }

    /// Gives the nodes of open calls their self time up to `time`.
    fn credit(&mut self, frames: &[Frame], time: u64) {
        let time = time.max(self.in_since);
        let elapsed =
            |frame: &Frame| time.saturating_sub(frame.start).saturating_sub(self.away.wrapping_sub(frame.away));
        for (depth, frame) in frames.iter().enumerate() {
            let Some(open) = self.stand.open.get_mut(depth) else { break };
            let total = elapsed(frame);
            // Too short so far: it counts as a whole when it ends, or from the next time on.
            if !open.passes || total < self.filter.min() {
                continue;
            }
            let inner = frames.get(depth + 1).map_or(0, elapsed);
            let own = total.saturating_sub(frame.children).saturating_sub(inner);
            let node = &mut self.nodes[open.node as usize];
            let (before, spent) = open.credited;
            node.own = node.own.saturating_add(own.saturating_sub(before));
            node.spent = node.spent.saturating_add(total.saturating_sub(spent));
            open.credited = (own.max(before), total.max(spent));
        }
    }

    /// Gives open calls nodes in the group that counts from here on.
    fn move_open(&mut self, frames: &[Frame]) {
        self.root = self.group();
        let mut parent = self.root;
        for (depth, frame) in frames.iter().enumerate().take(self.stand.open.len()) {
            if self.stand.open[depth].passes {
                parent = self.child(parent, frame.function);
            }
            self.stand.open[depth].node = parent;
        }
    }

    /// It is a later phase now, or later by several.
    #[cold]
    #[inline(never)]
    fn turn(&mut self, frames: &[Frame], time: u64) {
        // The end of time is no begin of a phase.
        while time >= self.until && self.until < u64::MAX {
            self.credit(frames, self.until);
            (self.slot, self.until) = self.timeline.at(self.until);
            self.move_open(frames);
        }
    }

    /// The same when a call ends, which is no frame any more.
    #[cold]
    fn turn_at_leave(&mut self, frames: &[Frame], call: &Call) {
        let gone = call.end.saturating_sub(call.start).saturating_sub(call.total);
        let frame = Frame {
            function: call.function,
            start: call.start,
            away: self.away.wrapping_sub(gone),
            children: call.total.saturating_sub(call.own),
            longest_child: call.longest_child,
        };
        let all: Vec<Frame> = frames.iter().copied().chain([frame]).collect();
        self.turn(&all, call.end);
    }
}

impl Sink for Contexts<'_> {
    fn begin(&mut self, time: u64) {
        self.filter.begin(time);
        self.timeline.begin(time);
    }

    fn function(&mut self, _function: Function, site: Site<'_>) {
        self.filter.function(site);
    }

    fn attach(&mut self, id: TaskId, task: &Task, cpu: u32, time: u64) {
        self.filter.attach(id, task, cpu);
        if self.stands.len() <= id.index() {
            self.stands.resize_with(id.index() + 1, Stand::default);
        }
        self.stand = std::mem::take(&mut self.stands[id.index()]);
        self.task = id;
        (self.away, self.in_since) = (task.away, task.in_since);
        let idle = task.is_idling();
        let (slot, until) = if self.grouping.phases { self.timeline.at(time) } else { (0, u64::MAX) };
        if let Some(last) = self.stand.last
            && last != (slot, idle)
            && !task.frames.is_empty()
        {
            // Since its last stretch a phase began, or several, or it began to idle.
            (self.slot, self.idle) = last;
            let next = self.timeline.starts().iter().find(|start| start.0 as usize > last.0);
            self.until = if last.0 < slot { next.map_or(u64::MAX, |start| start.1) } else { u64::MAX };
            self.turn(&task.frames, time);
            self.credit(&task.frames, time);
            (self.slot, self.until, self.idle) = (slot, until, idle);
            self.move_open(&task.frames);
        } else {
            (self.slot, self.until, self.idle) = (slot, until, idle);
            self.root = self.group();
        }
    }

    fn detach(&mut self, _task: &Task) {
        self.stand.last = Some((self.slot, self.idle));
        self.stands[self.task.index()] = std::mem::take(&mut self.stand);
    }

    #[inline]
    fn enter(&mut self, frames: &[Frame]) {
        let Some((frame, around)) = frames.split_last() else { return };
        if frame.start >= self.until {
            self.turn(around, frame.start);
        }
        self.filter.enter(frame);
        let passes = self.filter.may_pass(frame.function, around.len(), frame.start, true);
        let parent = self.top();
        let node = if passes { self.child(parent, frame.function) } else { parent };
        self.stand.open.push(Open { node, home: node, credited: (0, 0), passes });
    }

    #[inline]
    fn leaf(&mut self, frames: &[Frame], function: Function, start: u64, ticks: u64) {
        if start >= self.until {
            self.turn(frames, start);
        }
        if self.filter.passes(function, frames.len(), start, ticks, false) {
            let node = self.child(self.top(), function);
            let node = &mut self.nodes[node as usize];
            node.calls += 1;
            node.own = node.own.saturating_add(ticks);
            node.spent = node.spent.saturating_add(ticks);
            node.longest = node.longest.max(ticks);
        }
    }

    #[inline]
    fn leave(&mut self, frames: &[Frame], call: &Call) {
        if call.end >= self.until {
            self.turn_at_leave(frames, call);
        }
        let passes = self.filter.passes(call.function, frames.len(), call.start, call.total, true);
        self.filter.leave(call.function);
        let Some(open) = self.stand.open.pop() else { return };
        if passes && open.passes {
            let home = &mut self.nodes[open.home as usize];
            home.calls += 1;
            home.longest = home.longest.max(call.total);
            let node = &mut self.nodes[open.node as usize];
            node.own = node.own.saturating_add(call.own.saturating_sub(open.credited.0));
            node.spent = node.spent.saturating_add(call.total.saturating_sub(open.credited.1));
        }
    }

    fn mark(&mut self, task: &Task, time: u64, mark: Mark, _value: u32) {
        if let Mark::Phase(number) = mark
            && let Some(phase) = bootlevel::Phase::from_u8(number)
            && self.grouping.phases
            && self.timeline.learn(phase, time)
        {
            // The phase that the mark has taught begins now; one that was known may have begun.
            let next = self.timeline.starts().iter().find(|start| start.0 as usize > self.slot);
            self.until = next.map_or(u64::MAX, |start| start.1);
            if time >= self.until {
                self.turn(&task.frames, time);
            }
        }
    }
}

/// The tree when all is known.
#[derive(Debug, Default)]
pub struct Merged {
    /// Callers before those whom they call.
    pub nodes: Vec<Node>,
    /// For each node: time of its calls with what they called; of a root, that of what is below it.
    pub totals: Vec<u64>,
    /// The roots, in order of appearance.
    pub groups: Vec<(Group, u32)>,
}

impl Merged {
    /// Visits each group, and below it each node that has calls or time in it, callers first, and of one
    /// caller the longest first: `visit(group, stack, node)`, where `stack` has the functions' numbers,
    /// outermost first, with that of the node last.
    ///
    /// # Errors
    /// The first one of `visit`.
    pub fn visit<E>(&self, mut visit: impl FnMut(&Group, &[u32], usize) -> Result<(), E>) -> Result<(), E> {
        let live = self.live();
        let mut order: Vec<u32> = (0..self.nodes.len() as u32).collect();
        let key = |&index: &u32| {
            let (node, total) = (&self.nodes[index as usize], self.totals[index as usize]);
            // Last first: they are put on a stack.
            (node.parent, total, std::cmp::Reverse(node.function))
        };
        order.sort_unstable_by_key(key);
        let below = |parent: u32| {
            let from = order.partition_point(|&index| self.nodes[index as usize].parent < parent);
            let to = order.partition_point(|&index| self.nodes[index as usize].parent <= parent);
            order[from..to].iter().copied().filter(move |&index| index != parent)
        };
        let (mut stack, mut todo) = (Vec::new(), Vec::new());
        for (group, root) in &self.groups {
            todo.extend(below(*root).map(|node| (node, 0usize)));
            while let Some((node, depth)) = todo.pop() {
                let index = node as usize;
                if !live[index] {
                    continue;
                }
                stack.truncate(depth);
                stack.push(self.nodes[index].function);
                visit(group, &stack, index)?;
                todo.extend(below(node).map(|child| (child, depth + 1)));
            }
        }
        Ok(())
    }

    /// For each node: whether calls or time are in it or below it.
    fn live(&self) -> Vec<bool> {
        let mut live: Vec<bool> = self.nodes.iter().map(|node| node.calls > 0 || node.spent > 0).collect();
        for index in (0..self.nodes.len()).rev() {
            live[self.nodes[index].parent as usize] |= live[index];
        }
        live
    }

    /// For each node: its calls and those of all below it.
    pub fn calls_below(&self) -> Vec<u64> {
        let mut calls: Vec<u64> = self.nodes.iter().map(|node| node.calls).collect();
        for index in (0..self.nodes.len()).rev() {
            let parent = self.nodes[index].parent as usize;
            if parent != index {
                calls[parent] = calls[parent].saturating_add(calls[index]);
            }
        }
        calls
    }
}

/// Caller's node and function to node: an open-addressed table, looked up once for each call.
#[derive(Debug, Default)]
struct Children {
    /// Caller, function, node; free where the node is 0, which is a root.
    slots: Vec<(u32, u32, u32)>,
    used: usize,
}

impl Children {
    #[inline]
    fn start(&self, parent: u32, function: u32) -> usize {
        let key = u64::from(parent) << 32 | u64::from(function);
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> 32) as usize & (self.slots.len() - 1)
    }

    #[inline]
    fn get(&self, parent: u32, function: u32) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.start(parent, function);
        loop {
            let (caller, callee, node) = self.slots[at];
            if node == 0 {
                return None;
            }
            if (caller, callee) == (parent, function) {
                return Some(node);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn insert(&mut self, parent: u32, function: u32, node: u32) {
        if (self.used + 1) * 2 > self.slots.len() {
            let larger = Children { slots: vec![(0, 0, 0); (self.slots.len() * 2).max(1 << 12)], used: 0 };
            for (parent, function, node) in std::mem::replace(self, larger).slots {
                if node != 0 {
                    self.insert(parent, function, node);
                }
            }
        }
        let mut at = self.start(parent, function);
        while self.slots[at].2 != 0 {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = (parent, function, node);
        self.used += 1;
    }
}

#[cfg(test)]
pub(crate) mod tests;
