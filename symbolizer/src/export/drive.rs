// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Tells an exporter the calls of a trace. In: calls, as a [`Sink`], or a merged tree. Out: what
//! [`Exporter`] says. Never here: formats.
//!
//! A call is told as begun only when something in it is told, or when it leaves the CPU; so, with a least
//! duration, whoever is told is known to last long enough.

use std::collections::HashMap;
use std::io;

use super::{At, Context, Enter, Exporter, Leave, Missing, TaskHead};
use crate::calltree::contexts::Merged;
use crate::calltree::sink::{Call, How, Note, Sink};
use crate::calltree::{Filter, Frame, Function, Site, Task, TaskId};
use crate::report::names::Named;
use crate::report::units::Clock;

/// Which open calls of a task were told.
#[derive(Clone, Debug, Default)]
struct Told {
    flags: Vec<bool>,
    count: usize,
}

impl Told {
    fn resize(&mut self, depth: usize) {
        while self.flags.len() > depth {
            self.count -= usize::from(self.flags.pop() == Some(true));
        }
        self.flags.resize(depth, false);
    }

    fn set(&mut self, depth: usize) {
        if let Some(flag) = self.flags.get_mut(depth) {
            self.count += usize::from(!std::mem::replace(flag, true));
        }
    }

    /// Depth of the first call that may still have to be told.
    fn next(&self) -> usize {
        self.flags.iter().rposition(|&told| told).map_or(0, |last| last + 1)
    }
}

/// Calls to an exporter.
pub struct Drive<'a, 'e> {
    exporter: &'e mut dyn Exporter,
    filter: Filter<'a>,
    clock: Clock,
    /// Tell functions as they come, by what this says.
    name_of: Option<&'a dyn Fn(Site<'_>) -> Named>,
    begin: u64,
    /// As last told.
    tasks: Vec<Option<TaskHead>>,
    /// The last task of each pid, or of each CPU's idle tasks.
    last: HashMap<(u32, Option<u32>), u32>,
    at: At,
    /// For each task.
    told: Vec<Told>,
    /// First error of the exporter; nothing is told after it.
    failed: Option<io::Error>,
    calls: u64,
}

impl<'a, 'e> Drive<'a, 'e> {
    /// Tells the calls that pass the filter; functions too if `name_of` is given.
    pub fn new(
        exporter: &'e mut dyn Exporter,
        filter: Filter<'a>,
        clock: Clock,
        name_of: Option<&'a dyn Fn(Site<'_>) -> Named>,
    ) -> Drive<'a, 'e> {
        Drive {
            exporter,
            filter,
            clock,
            name_of,
            begin: 0,
            tasks: Vec::new(),
            last: HashMap::new(),
            at: At::default(),
            told: Vec::new(),
            failed: None,
            calls: 0,
        }
    }

    /// After the run: how many calls were told.
    ///
    /// # Errors
    /// The first error of the exporter.
    pub fn finish(self) -> io::Result<u64> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.calls),
        }
    }

    /// Nanoseconds since the trace began, or ticks.
    fn time(&self, ticks: u64) -> u64 {
        length(self.clock, ticks.saturating_sub(self.begin))
    }

    fn tell(&mut self, tell: impl FnOnce(&mut dyn Exporter) -> io::Result<()>) {
        if self.failed.is_none() {
            self.failed = tell(self.exporter).err();
        }
    }

    fn told(&mut self) -> &mut Told {
        // Each task that is attached has its place.
        let index = (self.at.task as usize).min(self.told.len() - 1);
        &mut self.told[index]
    }

    /// Tells the begin of open calls that pass and were not told.
    fn open(&mut self, frames: &[Frame]) {
        self.told().resize(frames.len());
        let from = self.told().next();
        let mut inside = self.filter.opens_inside(&frames[..from]);
        for (depth, frame) in frames.iter().enumerate().skip(from) {
            if self.filter.open_passes(frame, depth, &mut inside) {
                self.begin_call(frame.function, frame.start);
                self.told().set(depth);
            }
        }
    }

    fn begin_call(&mut self, function: Function, start: u64) {
        let at = At { depth: self.told().count, ..self.at };
        let enter = Enter { function: function.0, time: self.time(start), at };
        self.calls += 1;
        self.tell(|exporter| exporter.enter(&enter));
    }

    fn end_call(&mut self, call: &Call) {
        let at = At { depth: self.told().count, ..self.at };
        let (start, end) = (self.time(call.start), self.time(call.end));
        let leave = Leave {
            function: call.function.0,
            start,
            end: end.max(start),
            total: length(self.clock, call.total),
            own: length(self.clock, call.own),
            how: call.how,
            at,
        };
        self.tell(|exporter| exporter.leave(&leave));
    }
}

/// Ticks in nanoseconds, or as they are if the clock's speed is not known.
fn length(clock: Clock, ticks: u64) -> u64 {
    clock.ns(ticks).unwrap_or(ticks)
}

fn head(id: TaskId, task: &Task) -> TaskHead {
    TaskHead { number: id.0, pid: task.pid, name: task.label(), idle: task.idle }
}

impl Sink for Drive<'_, '_> {
    fn begin(&mut self, time: u64) {
        self.begin = time;
        self.filter.begin(time);
    }

    fn function(&mut self, function: Function, site: Site<'_>) {
        self.filter.function(site);
        if let Some(name_of) = self.name_of {
            let named = name_of(site);
            self.tell(|exporter| exporter.function(function.0, &named));
        }
    }

    fn attach(&mut self, id: TaskId, task: &Task, cpu: u32, _time: u64) {
        self.filter.attach(id, task, cpu);
        let index = id.index();
        if self.tasks.len() <= index {
            self.tasks.resize(index + 1, None);
            self.told.resize(index + 1, Told::default());
        }
        let head = head(id, task);
        if self.tasks[index].as_ref() != Some(&head) {
            self.tell(|exporter| exporter.task(&head));
            let last = self.last.entry((head.pid, head.idle)).or_insert(id.0);
            *last = id.0.max(*last);
            self.tasks[index] = Some(head);
        }
        self.at = At { task: id.0, cpu, idle: task.is_idling(), depth: 0 };
    }

    fn detach(&mut self, task: &Task) {
        if self.filter.stretch() && self.filter.min() == 0 {
            self.open(&task.frames);
        }
    }

    fn enter(&mut self, frames: &[Frame]) {
        let Some((frame, around)) = frames.split_last() else { return };
        if self.filter.stretch() && self.filter.min() == 0 {
            self.open(around);
        }
        self.filter.enter(frame);
        self.told().resize(frames.len());
    }

    fn leaf(&mut self, frames: &[Frame], function: Function, start: u64, ticks: u64) {
        if self.filter.passes(function, frames.len(), start, ticks, false) {
            self.open(frames);
            self.begin_call(function, start);
            let end = start.saturating_add(ticks);
            let how = How::Returned;
            self.end_call(&Call { function, start, end, total: ticks, own: ticks, longest_child: 0, how });
        }
    }

    fn leave(&mut self, frames: &[Frame], call: &Call) {
        let depth = frames.len();
        let told = self.told().flags.get(depth).copied().unwrap_or(false);
        let passes = self.filter.passes(call.function, depth, call.start, call.total, true);
        self.filter.leave(call.function);
        self.told().resize(depth);
        if told {
            self.end_call(call);
        } else if passes {
            self.open(frames);
            self.begin_call(call.function, call.start);
            self.end_call(call);
        }
    }

    fn note(&mut self, cpu: u32, time: u64, note: &Note) {
        let missing = match note {
            Note::Lost(count) => Missing::Lost(*count),
            Note::Gap(reason) => Missing::Gap(reason.clone()),
            Note::Orphan => return,
        };
        let time = self.time(time);
        self.tell(|exporter| exporter.missing(cpu, time, &missing));
    }

    fn ran(&mut self, task: &Task, from: u64, to: u64) {
        // Its number is not told here; a task that ran was attached, and of one pid the last one ran.
        let Some(&number) = self.last.get(&(task.pid, task.idle)) else { return };
        let (cpu, from, to) = (task.cpu, self.time(from), self.time(to));
        self.tell(|exporter| exporter.ran(number, cpu, from, to.max(from)));
    }
}

/// Tells the merged tree; `tasks` by number.
///
/// # Errors
/// The first error of the exporter.
pub fn contexts(exporter: &mut dyn Exporter, merged: &Merged, tasks: &[Task], clock: Clock) -> io::Result<()> {
    let heads: Vec<TaskHead> = tasks.iter().enumerate().map(|(index, task)| head(TaskId(index as u32), task)).collect();
    merged.visit(|group, stack, index| {
        let node = &merged.nodes[index];
        exporter.context(&Context {
            phase: group.slot.and_then(|slot| bootlevel::Phase::ALL.get(slot).copied()),
            task: group.task.and_then(|id| heads.get(id.index())),
            idle: group.idle,
            stack,
            calls: node.calls,
            total: length(clock, merged.totals[index]),
            own: length(clock, node.own),
            longest: length(clock, node.longest),
        })
    })
}

#[cfg(test)]
mod tests;
