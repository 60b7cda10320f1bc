// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A boot as it would have been without the recorder. In: calls as recorded, as a [`Sink`], and what the
//! recorder costs ([`costs`]). Out: the same calls to another sink, at the times at which they would
//! have begun and ended. Never here: guesses. What is not measured (a full chunk, a task's first switch,
//! marks) stays in.
//!
//! Each CPU has a clock that stands still while the recorder works ([`clock`]). All else follows: a call lasts
//! less by what the recorder took inside it, in it and in all that it called, as does a phase, an initcall, a
//! task's time. Sums stay sums: the self times are what the tasks were on a CPU, less what was taken off.
//!
//! With several CPUs one clock may be further behind than another. A task that goes from one to another
//! cannot begin there before it has left here: the clock that is ahead is the one to wait for. An idle CPU
//! catches up, since what it waits for would have come earlier. Spans between two CPUs are an estimate,
//! times on a CPU are not.

pub mod clock;
pub mod costs;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use early_ftrace_format::mark::{Mark, Measured};

use clock::{Clock, Lags, Sums};
use costs::{Costs, Marks};

use super::build::build;
use super::modules::MOST_MODULES;
use super::sink::{Call, How, Note, Sink};
use super::sites::{Function, Site};
use super::task::{Frame, Task, TaskId};
use super::totals::Totals;
use crate::decode::pipeline::Pipeline;

/// Loads of modules whose times are remembered; further ones keep theirs.
const MOST_LOADED: usize = 4 * MOST_MODULES;

/// What was taken off a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subtracted {
    /// By the clocks.
    pub sums: Sums,
    /// Calls that made no calls.
    pub leaves: u64,
    /// Calls that made calls.
    pub others: u64,
    /// The latest time as recorded.
    pub last: u64,
    /// What a call cost, as last measured.
    pub costs: Costs,
}

/// As [`build`], but to the sink goes the boot without the recorder if `costs` says what that took.
pub fn build_without<S: Sink>(
    pipeline: &mut Pipeline<'_>,
    costs: Option<Costs>,
    sink: &mut S,
    progress: impl FnMut(u64),
) -> (Totals, Option<Subtracted>) {
    let Some(costs) = costs else { return (build(pipeline, sink, progress), None) };
    let mut corrected = Corrected::new(sink, costs);
    let mut totals = build(pipeline, &mut corrected, progress);
    let subtracted = corrected.finish(&mut totals);
    (totals, Some(subtracted))
}

/// A CPU.
#[derive(Debug, Default)]
struct Cpu {
    clock: Clock,
    /// The last thing that happened is the entry of the innermost open call.
    fresh: bool,
    /// Who is on it.
    current: Option<TaskId>,
}

/// Gives another sink what it would have got of the boot without the recorder.
#[derive(Debug)]
pub struct Corrected<'a, S> {
    sink: &'a mut S,
    costs: Costs,
    /// Largest debt of a clock: one call's.
    most: i64,
    marks: Marks,
    subtracted: Subtracted,
    cpus: HashMap<u32, Cpu>,
    lags: Lags,
    /// Tasks as they would have been.
    tasks: Vec<Task>,
    /// Frames that were open when a task's stretch was its last.
    open: HashMap<TaskId, Vec<Frame>>,
    /// When modules were loaded, by the time as recorded.
    loaded: HashMap<u64, u64>,
    /// The stretch that is attached.
    id: TaskId,
    task: Task,
    number: u32,
    cpu: Cpu,
    attached: bool,
    /// The attached task is on no CPU: nothing happens any more but that its calls end.
    away: bool,
    idle: bool,
    last: u64,
}

fn most(costs: Costs) -> i64 {
    costs.leaf().max(costs.pair())
}

impl<'a, S: Sink> Corrected<'a, S> {
    /// Before `sink`.
    pub fn new(sink: &'a mut S, costs: Costs) -> Corrected<'a, S> {
        Corrected {
            sink,
            costs,
            most: most(costs),
            marks: Marks::default(),
            subtracted: Subtracted::default(),
            cpus: HashMap::new(),
            lags: Lags::default(),
            tasks: Vec::new(),
            open: HashMap::new(),
            loaded: HashMap::new(),
            id: TaskId(0),
            task: Task::default(),
            number: 0,
            cpu: Cpu::default(),
            attached: false,
            away: false,
            idle: false,
            last: 0,
        }
    }

    /// After the run: makes the totals' times those that the sink was given.
    pub fn finish(mut self, totals: &mut Totals) -> Subtracted {
        self.subtracted.last = totals.last;
        self.subtracted.costs = self.costs;
        totals.last = self.last.max(totals.first.min(totals.last));
        for (task, own) in totals.tasks.iter_mut().zip(&self.tasks) {
            if own.switches == 0 {
                continue;
            }
            let Task { boot, away, out_since, in_since, on_cpu, first, .. } = *own;
            *task = Task { boot, away, out_since, in_since, on_cpu, first, ..std::mem::take(task) };
        }
        for (id, frames) in &mut totals.open {
            if let Some(own) = self.open.get(id).filter(|own| own.len() == frames.len()) {
                frames.clone_from(own);
            }
        }
        for module in &mut totals.modules.all {
            module.loaded = self.loaded.get(&module.loaded).copied().unwrap_or(module.loaded);
        }
        self.subtracted
    }

    /// It is `raw` now on the attached CPU.
    #[inline]
    fn step(&mut self, raw: u64) -> u64 {
        if self.away {
            return self.cpu.clock.now();
        }
        if self.idle {
            self.cpu.clock.step_idle(raw, self.lags.at(raw));
        }
        self.cpu.clock.step(raw, self.most, !self.idle, &mut self.subtracted.sums)
    }

    /// An entry comes, or something else before which the innermost open call's entry word is written.
    #[inline]
    fn write_entry(&mut self) {
        if std::mem::take(&mut self.cpu.fresh) {
            self.cpu.clock.owe(self.costs.entry_word);
        }
    }

    /// What the recorder costs from here on. All marks of a calibration have the time at which it was over; the
    /// first one says how long it took.
    #[cold]
    fn calibration(&mut self, what: u8, value: u32, time: u64) {
        if what == Measured::Took as u8 {
            self.cpu.clock.owe(i64::from(value) * costs::PARTS);
            self.cpu.clock.step(time, i64::MAX, !self.idle, &mut self.subtracted.sums);
        }
        if let Some(Ok(costs)) = self.marks.take(what, value) {
            self.costs = costs;
            self.most = most(costs);
        }
    }

    /// What a task is as recorded, but for its times and calls.
    fn refresh(own: &mut Task, raw: &Task) {
        let Task { pid, idle, booting, name, cpu, ended, suspect, calls, orphans, cut, .. } = *raw;
        *own = Task { pid, idle, booting, name, cpu, ended, suspect, calls, orphans, cut, ..std::mem::take(own) };
    }

    /// The attached CPU goes on with the attached task, at `raw`.
    fn switch_in(&mut self, raw: u64) {
        self.cpu.clock.settle(&mut self.subtracted.sums);
        self.cpu.fresh = false;
        self.cpu.current = Some(self.id);
        self.step(raw);
        if let Some(out) = self.task.out_since {
            self.cpu.clock.wait_for(out);
        }
        let now = self.cpu.clock.now();
        if self.task.switches == 0 {
            self.task.first = now;
        }
        self.task.switch_in(self.number, now);
    }
}

impl<S: Sink> Sink for Corrected<'_, S> {
    fn begin(&mut self, time: u64) {
        self.last = time;
        self.sink.begin(time);
    }

    fn function(&mut self, function: Function, site: Site<'_>) {
        self.sink.function(function, site);
    }

    fn attach(&mut self, id: TaskId, task: &Task, cpu: u32, time: u64) {
        if self.tasks.len() <= id.index() {
            self.tasks.resize(id.index() + 1, Task::default());
        }
        (self.id, self.number, self.attached) = (id, cpu, true);
        self.task = std::mem::take(&mut self.tasks[id.index()]);
        Self::refresh(&mut self.task, task);
        self.idle = task.is_idling();
        self.away = task.running != Some(cpu);
        if self.away {
            // It ends, or is given up: at the time at which it left its CPU.
            let out = self.task.out_since.unwrap_or(self.last);
            self.cpu = Cpu { clock: Clock::behind(out, 0), ..Cpu::default() };
            self.open.insert(id, self.task.frames.clone());
            self.sink.attach(id, &self.task, cpu, out);
            return;
        }
        let lags = &self.lags;
        self.cpu = self
            .cpus
            .remove(&cpu)
            .unwrap_or_else(|| Cpu { clock: Clock::behind(task.in_since, lags.at(task.in_since)), ..Cpu::default() });
        if self.cpu.current != Some(id) {
            self.switch_in(task.in_since);
        }
        let now = self.step(time);
        self.sink.attach(id, &self.task, cpu, now);
    }

    fn detach(&mut self, task: &Task) {
        Self::refresh(&mut self.task, task);
        self.attached = false;
        self.sink.detach(&self.task);
        self.tasks[self.id.index()] = std::mem::take(&mut self.task);
        if !self.away {
            let cpu = std::mem::take(&mut self.cpu);
            self.lags.note(cpu.clock.raw(), cpu.clock.lag());
            self.last = self.last.max(cpu.clock.now());
            self.cpus.insert(self.number, cpu);
        }
    }

    #[inline]
    fn enter(&mut self, frames: &[Frame]) {
        let Some(frame) = frames.last() else { return };
        self.write_entry();
        self.cpu.clock.owe(self.costs.before_entry);
        let start = self.step(frame.start);
        self.cpu.clock.owe(self.costs.after_entry);
        self.cpu.fresh = true;
        let away = self.task.away;
        self.task.frames.push(Frame { function: frame.function, start, away, children: 0, longest_child: 0 });
        self.sink.enter(&self.task.frames);
        self.subtracted.others += 1;
    }

    #[inline]
    fn leaf(&mut self, _frames: &[Frame], function: Function, start: u64, ticks: u64) {
        self.write_entry();
        self.cpu.clock.owe(self.costs.before_entry);
        let begin = self.step(start);
        self.cpu.clock.owe(self.costs.after_entry);
        let end = self.step(start.saturating_add(ticks));
        self.cpu.clock.owe(self.costs.after_leaf);
        let ticks = end.saturating_sub(begin);
        self.sink.leaf(&self.task.frames, function, begin, ticks);
        if let Some(parent) = self.task.frames.last_mut() {
            parent.children = parent.children.saturating_add(ticks);
            parent.longest_child = parent.longest_child.max(ticks);
        }
        self.subtracted.leaves += 1;
    }

    #[inline]
    fn leave(&mut self, _frames: &[Frame], call: &Call) {
        let Some(frame) = self.task.frames.pop() else { return };
        let end = self.step(call.end);
        if call.how == How::Returned {
            self.cpu.clock.owe(self.costs.after_exit);
        }
        self.cpu.fresh = false;
        let away = self.task.away.wrapping_sub(frame.away);
        let total = end.saturating_sub(frame.start).saturating_sub(away);
        let own = total.saturating_sub(frame.children);
        let Frame { start, longest_child, .. } = frame;
        self.sink.leave(&self.task.frames, &Call { start, end, total, own, longest_child, ..*call });
        if let Some(parent) = self.task.frames.last_mut() {
            parent.children = parent.children.saturating_add(total);
            parent.longest_child = parent.longest_child.max(total);
        }
    }

    fn note(&mut self, cpu: u32, time: u64, note: &Note) {
        // Inside a stretch of that CPU or outside.
        let now = match self.cpus.get_mut(&cpu) {
            Some(other) => other.clock.step(time, self.most, false, &mut self.subtracted.sums),
            None if self.attached && self.number == cpu => self.step(time),
            None => time.saturating_sub(self.lags.at(time)),
        };
        self.sink.note(cpu, now, note);
    }

    fn mark(&mut self, task: &Task, time: u64, mark: Mark, value: u32) {
        self.write_entry();
        if let Mark::Calibration(what) = mark {
            self.calibration(what, value, time);
        }
        let now = self.step(time);
        if mark == Mark::ModuleLoaded && self.loaded.len() < MOST_LOADED {
            self.loaded.insert(time, now);
        }
        Self::refresh(&mut self.task, task);
        self.sink.mark(&self.task, now, mark, value);
    }

    fn ran(&mut self, task: &Task, from: u64, to: u64) {
        let number = task.cpu;
        let tasks = &self.tasks;
        let same = |id: &TaskId| tasks.get(id.index()).is_some_and(|own| own.pid == task.pid && own.idle == task.idle);
        let known = self.cpus.get_mut(&number).and_then(|cpu| Some((cpu.current.take_if(|id| same(id))?, cpu)));
        let Some((id, cpu)) = known else {
            // It came and left without an event.
            let lag = self.lags.at(from);
            self.sink.ran(task, from.saturating_sub(lag), to.saturating_sub(lag));
            return;
        };
        if task.is_idling() {
            cpu.clock.step_idle(to, self.lags.at(to));
        }
        let end = cpu.clock.step(to, self.most, !task.is_idling(), &mut self.subtracted.sums);
        self.last = self.last.max(end);
        let own = &mut self.tasks[id.index()];
        Self::refresh(own, task);
        self.sink.ran(own, own.in_since, end);
        own.switch_out(end);
    }
}
