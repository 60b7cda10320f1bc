// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What each function costs and tells: events, self time, time that nobody else covers. In: calls, as
//! [`Sink`]s. Out: sums by function. Never here: names, choices.

use crate::calltree::Site;
use crate::calltree::sink::{Call, How, Sink};
use crate::calltree::{Frame, Function, Task, TaskId};

/// Sums of one function; times of tasks that are not idle, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Calls.
    pub calls: u64,
    /// Entries and exits of them.
    pub events: u64,
    /// Calls without another call in them, as far as traced.
    pub leaves: u64,
    /// Self time.
    pub own: u64,
    /// The part of it that no other function is open around.
    pub bare: u64,
}

/// Sums of all functions.
#[derive(Debug, Default)]
pub struct Load {
    functions: Vec<Sums>,
    idle: bool,
}

impl Load {
    /// By the functions' numbers.
    pub fn functions(&self) -> &[Sums] {
        &self.functions
    }

    fn add(&mut self, function: Function, events: u64, leaf: bool, own: u64, bare: bool) {
        let own = if self.idle { 0 } else { own };
        let Some(sums) = self.functions.get_mut(function.index()) else { return };
        sums.calls += 1;
        sums.events += events;
        sums.leaves += u64::from(leaf);
        sums.own = sums.own.saturating_add(own);
        sums.bare = sums.bare.saturating_add(if bare { own } else { 0 });
    }
}

impl Sink for Load {
    fn function(&mut self, _function: Function, _site: Site<'_>) {
        self.functions.push(Sums::default());
    }

    fn attach(&mut self, _id: TaskId, task: &Task, _cpu: u32, _time: u64) {
        self.idle = task.is_idling();
    }

    fn enter(&mut self, _frames: &[Frame]) {}

    fn leaf(&mut self, frames: &[Frame], function: Function, _start: u64, ticks: u64) {
        self.add(function, 2, true, ticks, frames.is_empty());
    }

    fn leave(&mut self, frames: &[Frame], call: &Call) {
        let events = if call.how == How::Returned { 2 } else { 1 };
        self.add(call.function, events, call.longest_child == 0, call.own, frames.is_empty());
    }
}

/// Time that is lost if some functions are left out: that in which no other one is open.
#[derive(Debug)]
pub struct Uncovered {
    out: Vec<bool>,
    ticks: Vec<u64>,
    idle: bool,
}

impl Uncovered {
    /// `out`: by the functions' numbers, those to leave out.
    pub fn new(out: Vec<bool>) -> Uncovered {
        let ticks = vec![0; out.len()];
        Uncovered { out, ticks, idle: false }
    }

    /// Self time of calls of this function that nothing covers.
    pub fn of(&self, function: Function) -> u64 {
        self.ticks.get(function.index()).copied().unwrap_or(0)
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.ticks.iter().fold(0, |sum, ticks| sum.saturating_add(*ticks))
    }

    fn is_out(&self, function: Function) -> bool {
        self.out.get(function.index()).copied().unwrap_or(false)
    }

    fn add(&mut self, frames: &[Frame], function: Function, own: u64) {
        if self.idle || !self.is_out(function) || frames.iter().rev().any(|frame| !self.is_out(frame.function)) {
            return;
        }
        if let Some(ticks) = self.ticks.get_mut(function.index()) {
            *ticks = ticks.saturating_add(own);
        }
    }
}

impl Sink for Uncovered {
    fn function(&mut self, _function: Function, _site: Site<'_>) {}

    fn attach(&mut self, _id: TaskId, task: &Task, _cpu: u32, _time: u64) {
        self.idle = task.is_idling();
    }

    fn enter(&mut self, _frames: &[Frame]) {}

    fn leaf(&mut self, frames: &[Frame], function: Function, _start: u64, ticks: u64) {
        self.add(frames, function, ticks);
    }

    fn leave(&mut self, frames: &[Frame], call: &Call) {
        self.add(frames, call.function, call.own);
    }
}
