// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Adds up calls per function, and keeps the longest ones. In: calls, as a [`Sink`]. Out:
//! [`Aggregate`]. Times in ticks; sums saturate, since a damaged trace may hold any times. Never here:
//! names, text.

use std::collections::HashMap;

use super::filter::Filter;
use super::sink::{Call, How, Sink};
use super::sites::{Function, Site};
use super::task::{Frame, Task, TaskId};

/// How many long calls are kept, one of each function.
pub const LONGEST: usize = 64;

/// Figures of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Calls that began.
    pub calls: u64,
    /// On-CPU time of its calls; a call inside another call of the same function in the same task is
    /// part of that one and not added again.
    pub total: u64,
    /// On-CPU time less that of the calls made from it.
    pub own: u64,
    /// Shortest call that returned; `u64::MAX` if none did.
    pub min: u64,
    /// Longest call that returned.
    pub max: u64,
}

impl Default for Figures {
    fn default() -> Figures {
        Figures { calls: 0, total: 0, own: 0, min: u64::MAX, max: 0 }
    }
}

impl Figures {
    /// Adds those of `other`.
    pub fn add(&mut self, other: &Figures) {
        self.calls += other.calls;
        self.total = self.total.saturating_add(other.total);
        self.own = self.own.saturating_add(other.own);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

/// What is rare about a function's calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Cut at a loss.
    pub cut: u64,
    /// Ended with their task.
    pub ended: u64,
    /// Open where the trace ends.
    pub open: u64,
}

/// A long call and how it came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Long {
    /// The call.
    pub call: Call,
    /// Its callers, outermost first.
    pub path: Vec<Function>,
    /// Whose it was.
    pub task: TaskId,
    /// Where it ended.
    pub cpu: u32,
}

/// The sums so far.
pub struct Aggregate<'a> {
    filter: Filter<'a>,
    /// For each function, in tasks that idle (1) and in all others (0).
    pub figures: [Vec<Figures>; 2],
    /// For each function.
    pub unfinished: Vec<Unfinished>,
    /// The longest calls whose time was not mostly that of one call in them, longest first, one of
    /// each function; idle tasks left out.
    pub longest: Vec<Long>,
    /// For each task: self time and number of the calls that passed the filter, not idling (0) and
    /// idling (1).
    pub tasks: Vec<[(u64, u64); 2]>,
    /// For each idle task that did the booting before: self and total time of the frames that were
    /// open when it began to idle. They are booting's and are taken from what the frames end with.
    booted: HashMap<TaskId, Vec<(u64, u64)>>,
    /// For each function: its open frames in the task that is attached.
    active: Vec<u32>,
    /// Ticks that a call must exceed to be among the longest.
    bar: u64,
    idle: usize,
    task: TaskId,
    cpu: u32,
}

impl<'a> Aggregate<'a> {
    /// Nothing yet; calls that do not pass `filter` will not count.
    pub fn new(filter: Filter<'a>) -> Aggregate<'a> {
        Aggregate {
            filter,
            figures: [Vec::new(), Vec::new()],
            unfinished: Vec::new(),
            longest: Vec::new(),
            tasks: Vec::new(),
            booted: HashMap::new(),
            active: Vec::new(),
            bar: 0,
            idle: 0,
            task: TaskId(0),
            cpu: 0,
        }
    }

    /// Figures of a function over all tasks.
    pub fn all(&self, function: Function) -> Figures {
        let mut sum = self.figures[0][function.index()];
        sum.add(&self.figures[1][function.index()]);
        sum
    }

    /// The attached task did the booting and begins to idle: the time of its open frames so far is
    /// booting's.
    #[cold]
    fn begin_idling(&mut self, id: TaskId, task: &Task, time: u64) {
        let elapsed =
            |frame: &Frame| time.saturating_sub(frame.start).saturating_sub(task.away.wrapping_sub(frame.away));
        let mut credits = Vec::new();
        for (depth, frame) in task.frames.iter().enumerate() {
            let total = elapsed(frame);
            let inner = task.frames.get(depth + 1).map_or(0, elapsed);
            let own = total.saturating_sub(frame.children).saturating_sub(inner);
            let passes = self.filter.may_pass(frame.function, depth, frame.start, true);
            if passes {
                let figures = &mut self.figures[0][frame.function.index()];
                figures.own = figures.own.saturating_add(own);
                let outermost = task.frames[..depth].iter().all(|outer| outer.function != frame.function);
                figures.total = figures.total.saturating_add(if outermost { total } else { 0 });
                let sum = &mut self.tasks[id.index()][0].0;
                *sum = sum.saturating_add(own);
            }
            credits.push((own, total));
        }
        self.booted.insert(id, credits);
    }

    /// What of the call at a depth was counted when its task began to idle.
    fn take_booted(&mut self, depth: usize) -> Option<(u64, u64)> {
        let credits = self.booted.get_mut(&self.task)?;
        let credit = credits.get(depth).copied();
        credits.truncate(depth);
        credit
    }

    #[cold]
    fn long(&mut self, frames: &[Frame], call: &Call) {
        let long = Long {
            call: *call,
            path: frames.iter().map(|frame| frame.function).collect(),
            task: self.task,
            cpu: self.cpu,
        };
        match self.longest.iter().position(|known| known.call.function == call.function) {
            Some(known) if self.longest[known].call.total >= call.total => return,
            Some(known) => self.longest[known] = long,
            None => self.longest.push(long),
        }
        self.longest.sort_by_key(|long| std::cmp::Reverse(long.call.total));
        self.longest.truncate(LONGEST);
        if self.longest.len() == LONGEST {
            self.bar = self.longest[LONGEST - 1].call.total;
        }
    }
}

impl Sink for Aggregate<'_> {
    fn begin(&mut self, time: u64) {
        self.filter.begin(time);
    }

    fn function(&mut self, _function: Function, site: Site<'_>) {
        self.filter.function(site);
        self.figures[0].push(Figures::default());
        self.figures[1].push(Figures::default());
        self.unfinished.push(Unfinished::default());
        self.active.push(0);
    }

    fn attach(&mut self, id: TaskId, task: &Task, cpu: u32, time: u64) {
        self.filter.attach(id, task, cpu);
        self.idle = usize::from(task.is_idling());
        self.task = id;
        self.cpu = cpu;
        if self.tasks.len() <= id.index() {
            self.tasks.resize(id.index() + 1, [(0, 0); 2]);
        }
        for frame in &task.frames {
            self.active[frame.function.index()] += 1;
        }
        if task.is_idling() && task.boot > 0 && !self.booted.contains_key(&id) {
            self.begin_idling(id, task, time);
        }
    }

    fn detach(&mut self, task: &Task) {
        for frame in &task.frames {
            self.active[frame.function.index()] -= 1;
        }
    }

    #[inline]
    fn enter(&mut self, frames: &[Frame]) {
        if let Some(frame) = frames.last() {
            self.filter.enter(frame);
            self.active[frame.function.index()] += 1;
        }
    }

    #[inline]
    fn leaf(&mut self, frames: &[Frame], function: Function, start: u64, ticks: u64) {
        if !self.filter.passes(function, frames.len(), start, ticks, false) {
            return;
        }
        let figures = &mut self.figures[self.idle][function.index()];
        figures.calls += 1;
        figures.own = figures.own.saturating_add(ticks);
        figures.min = figures.min.min(ticks);
        figures.max = figures.max.max(ticks);
        if self.active[function.index()] == 0 {
            figures.total = figures.total.saturating_add(ticks);
        }
        let task = &mut self.tasks[self.task.index()][self.idle];
        task.0 = task.0.saturating_add(ticks);
        task.1 += 1;
        if ticks > self.bar && self.idle == 0 {
            let end = start.wrapping_add(ticks);
            let how = How::Returned;
            self.long(frames, &Call { function, start, end, total: ticks, own: ticks, longest_child: 0, how });
        }
    }

    #[inline]
    fn leave(&mut self, frames: &[Frame], call: &Call) {
        let index = call.function.index();
        self.active[index] -= 1;
        let passes = self.filter.passes(call.function, frames.len(), call.start, call.total, true);
        self.filter.leave(call.function);
        if !passes {
            return;
        }
        // Of a call that began while booting, only what came later is idling.
        let booted = if self.idle == 1 { self.take_booted(frames.len()) } else { None };
        let (own, total) = booted.unwrap_or((0, 0));
        let figures = &mut self.figures[self.idle][index];
        figures.own = figures.own.saturating_add(call.own.saturating_sub(own));
        if self.active[index] == 0 {
            figures.total = figures.total.saturating_add(call.total.saturating_sub(total));
        }
        let task = &mut self.tasks[self.task.index()];
        task[self.idle].0 = task[self.idle].0.saturating_add(call.own.saturating_sub(own));
        let began = if booted.is_some() { 0 } else { self.idle };
        task[began].1 += 1;
        let figures = &mut self.figures[began][index];
        figures.calls += 1;
        match call.how {
            How::Returned => {
                figures.min = figures.min.min(call.total);
                figures.max = figures.max.max(call.total);
                if call.total > self.bar && self.idle == 0 && call.longest_child < call.total / 2 {
                    self.long(frames, call);
                }
            }
            How::TaskEnded => self.unfinished[index].ended += 1,
            How::Cut => self.unfinished[index].cut += 1,
            How::Open => self.unfinished[index].open += 1,
        }
    }
}
