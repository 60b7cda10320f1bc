// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Two consumers of one run through the trace. In: calls. Out: the same calls, to each of the two. Never
//! here: anything of its own.

use early_ftrace_format::mark::Mark;

use super::sink::{Call, Note, Sink};
use super::sites::{Function, Site};
use super::task::{Frame, Task, TaskId};

/// Gives all to the first, then to the second.
#[derive(Debug)]
pub struct Both<'a, A, B>(pub &'a mut A, pub &'a mut B);

impl<A: Sink, B: Sink> Sink for Both<'_, A, B> {
    fn begin(&mut self, time: u64) {
        self.0.begin(time);
        self.1.begin(time);
    }

    fn function(&mut self, function: Function, site: Site<'_>) {
        self.0.function(function, site);
        self.1.function(function, site);
    }

    fn attach(&mut self, id: TaskId, task: &Task, cpu: u32, time: u64) {
        self.0.attach(id, task, cpu, time);
        self.1.attach(id, task, cpu, time);
    }

    fn detach(&mut self, task: &Task) {
        self.0.detach(task);
        self.1.detach(task);
    }

    #[inline]
    fn enter(&mut self, frames: &[Frame]) {
        self.0.enter(frames);
        self.1.enter(frames);
    }

    #[inline]
    fn leaf(&mut self, frames: &[Frame], function: Function, start: u64, ticks: u64) {
        self.0.leaf(frames, function, start, ticks);
        self.1.leaf(frames, function, start, ticks);
    }

    #[inline]
    fn leave(&mut self, frames: &[Frame], call: &Call) {
        self.0.leave(frames, call);
        self.1.leave(frames, call);
    }

    fn note(&mut self, cpu: u32, time: u64, note: &Note) {
        self.0.note(cpu, time, note);
        self.1.note(cpu, time, note);
    }

    fn mark(&mut self, task: &Task, time: u64, mark: Mark, value: u32) {
        self.0.mark(task, time, mark, value);
        self.1.mark(task, time, mark, value);
    }

    fn ran(&mut self, task: &Task, from: u64, to: u64) {
        self.0.ran(task, from, to);
        self.1.ran(task, from, to);
    }

    fn wants(&self, from: u64, to: u64) -> bool {
        self.0.wants(from, to) || self.1.wants(from, to)
    }

    fn may_miss(&self, id: TaskId, task: &Task, from: u64, to: u64) -> bool {
        self.0.may_miss(id, task, from, to) && self.1.may_miss(id, task, from, to)
    }
}
