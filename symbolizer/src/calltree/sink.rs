// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a consumer of call trees implements. In: stretches of one task on one CPU, and within them
//! calls. Out: nothing; a sink keeps or prints what it wants. Never here: where the calls come from.

use early_ftrace_format::mark::Mark;

use super::sites::{Function, Site};
use super::task::{Frame, Task, TaskId};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It returned.
    Returned,
    /// Its task ended inside it.
    TaskEnded,
    /// Events were lost; it may or may not have returned.
    Cut,
    /// It was still open where the trace ends.
    Open,
}

/// A call that ended, or is known no further. Times in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What was called.
    pub function: Function,
    /// At entry.
    pub start: u64,
    /// At exit, or the last moment known.
    pub end: u64,
    /// On-CPU time from start to end.
    pub total: u64,
    /// Total less that of the calls made from it.
    pub own: u64,
    /// Total of the longest call made from it.
    pub longest_child: u64,
    /// How it ended.
    pub how: How,
}

/// Something that happened to the stream itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The guest lost this many events.
    Lost(u64),
    /// A part of the trace is missing or damaged.
    Gap(String),
    /// A function returned whose entry is not in the trace.
    Orphan,
}

/// A consumer. Calls come in stretches: after [`Sink::attach`] and up to [`Sink::detach`] all calls
/// are of one task on one CPU. Stretches come in the order of their start times.
pub trait Sink {
    /// Before all else: the time at which the trace begins.
    fn begin(&mut self, _time: u64) {}
    /// A function appears for the first time.
    fn function(&mut self, function: Function, site: Site<'_>);
    /// A stretch of `task` on `cpu` begins or goes on; its frames are those open now.
    fn attach(&mut self, id: TaskId, task: &Task, cpu: u32, time: u64);
    /// The stretch ends or pauses.
    fn detach(&mut self, _task: &Task) {}
    /// A call begins; its frame is the last one.
    fn enter(&mut self, frames: &[Frame]);
    /// A call was made from the last of `frames` and returned, with no other call in it.
    fn leaf(&mut self, frames: &[Frame], function: Function, start: u64, ticks: u64);
    /// The call that was made from the last of `frames` ends.
    fn leave(&mut self, frames: &[Frame], call: &Call);
    /// Something is missing on `cpu`; comes inside and outside stretches.
    fn note(&mut self, _cpu: u32, _time: u64, _note: &Note) {}
    /// The attached task wrote a mark, in order with its calls.
    fn mark(&mut self, _task: &Task, _time: u64, _mark: Mark, _value: u32) {}
    /// Whether calls that begin at such a time, `from` to `to`, may concern it. Where there is an index, what
    /// concerns no sink is not read.
    fn wants(&self, _from: u64, _to: u64) -> bool {
        true
    }
    /// Whether a task may run from a time to another unseen by the sink, if none of the task's open calls ends
    /// in between.
    fn may_miss(&self, _id: TaskId, _task: &Task, _from: u64, _to: u64) -> bool {
        true
    }
    /// A task was on a CPU; comes when it leaves the CPU, outside stretches.
    fn ran(&mut self, _task: &Task, _from: u64, _to: u64) {}
}

/// A sink that wants nothing: for the totals alone.
#[derive(Debug)]
pub struct Nothing;

impl Sink for Nothing {
    fn function(&mut self, _function: Function, _site: Site<'_>) {}
    fn attach(&mut self, _id: TaskId, _task: &Task, _cpu: u32, _time: u64) {}
    fn enter(&mut self, _frames: &[Frame]) {}
    fn leaf(&mut self, _frames: &[Frame], _function: Function, _start: u64, _ticks: u64) {}
    fn leave(&mut self, _frames: &[Frame], _call: &Call) {}
    fn wants(&self, _from: u64, _to: u64) -> bool {
        false
    }
}
