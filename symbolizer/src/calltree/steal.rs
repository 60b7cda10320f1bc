// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Times without those in which the host had given the CPU to somebody else. In: calls as recorded, as a [`Sink`], and
//! when each vCPU could have run and did not, or
//! was left for one of the tracer's own hypercalls. Out: the same calls to another sink: they begin and end when they did,
//! but a call's total and self time, and a task's time on a CPU, leave out what was stolen. Memory hangs on tasks and
//! open calls. Never here: the host's clock.
//!
//! It is as if the task had been switched out meanwhile: for its calls, a CPU that is not there is no CPU. The guest
//! knows nothing of it, so its own times (a delay that it waited for, a timeout) have the gap in them.

use std::collections::HashMap;

use early_ftrace_format::mark::Mark;

use super::exits::Lane;
use super::sink::{Call, Note, Sink};
use super::sites::{Function, Site};
use super::task::{Frame, Task, TaskId};
use super::totals::Totals;
use crate::host::placed::Placed;

/// Most gaps of one stretch on a CPU that are told one by one; the others are told as one at their end.
const MOST_GAPS: usize = 1 << 12;

/// A CPU's gaps, as far as its events have come.
#[derive(Default)]
struct Cpu<'a> {
    lane: Option<Lane<'a>>,
    /// Where the next gap, or the rest of it, begins and ends, and whether it is our own hypercall.
    next: Option<(u64, u64, bool)>,
    now: u64,
    /// Of what was stolen since it was last asked, what our own hypercalls took.
    ours: u64,
    /// Who is on it, and its gaps since.
    current: Option<TaskId>,
    gaps: Vec<(u64, u64)>,
}

impl Cpu<'_> {
    /// What was stolen since it was last asked.
    #[inline]
    fn stolen(&mut self, time: u64) -> u64 {
        match self.next {
            Some((begin, ..)) if begin < time => self.gaps(time),
            _ => {
                self.now = self.now.max(time);
                0
            }
        }
    }

    #[cold]
    fn gaps(&mut self, time: u64) -> u64 {
        let mut sum = 0u64;
        while let Some((begin, end, ours)) = self.next {
            // Of what overlaps, and of what came late, each tick counts once.
            let from = begin.max(self.now);
            let to = end.min(time);
            if to > from {
                sum = sum.saturating_add(to - from);
                if ours {
                    self.ours = self.ours.saturating_add(to - from);
                }
                let full = self.gaps.len() >= MOST_GAPS;
                match self.gaps.last_mut() {
                    Some(last) if last.1 == from || full => last.1 = to,
                    _ => self.gaps.push((from, to)),
                }
                self.now = to;
            }
            if end > time {
                break;
            }
            self.advance();
        }
        self.now = self.now.max(time);
        sum
    }

    fn advance(&mut self) {
        self.next = self.lane.as_mut().and_then(|lane| {
            lane.find_map(|placed| match placed {
                Placed::Stolen { time, length } => Some((time, time.saturating_add(length), false)),
                Placed::Exit { time, reason, host, stolen, asleep } => reason.is_ours().then(|| {
                    let length = host.saturating_add(stolen).saturating_add(asleep);
                    (time, time.saturating_add(length), true)
                }),
            })
        });
    }
}

/// What was taken off a task.
#[derive(Clone, Debug, Default)]
struct Own {
    /// Its open calls.
    frames: Vec<Frame>,
    stolen: u64,
    /// While it was booting.
    boot: u64,
}

/// Gives another sink what it would have got without the steal.
pub struct Unstolen<'a, 'l, S> {
    sink: &'a mut S,
    cpus: HashMap<u32, Cpu<'l>>,
    tasks: Vec<Own>,
    /// Frames that were open when a task's stretch was its last.
    open: HashMap<TaskId, Vec<Frame>>,
    id: TaskId,
    number: u32,
    cpu: Cpu<'l>,
    task: Task,
    own: Own,
    away: bool,
    sum: u64,
    idle: u64,
    ours: u64,
}

impl<'a, 'l, S: Sink> Unstolen<'a, 'l, S> {
    /// Before `sink`.
    pub fn new(sink: &'a mut S, lanes: impl IntoIterator<Item = (u32, Lane<'l>)>) -> Unstolen<'a, 'l, S> {
        let cpus = lanes.into_iter().map(|(vcpu, lane)| {
            let mut cpu = Cpu { lane: Some(lane), ..Cpu::default() };
            cpu.advance();
            (vcpu, cpu)
        });
        Unstolen {
            sink,
            cpus: cpus.collect(),
            tasks: Vec::new(),
            open: HashMap::new(),
            id: TaskId(0),
            number: 0,
            cpu: Cpu::default(),
            task: Task::default(),
            own: Own::default(),
            away: false,
            sum: 0,
            idle: 0,
            ours: 0,
        }
    }

    /// After the run: makes the totals' times those that the sink was given.
    pub fn finish(self, totals: &mut Totals) -> Taken {
        for (task, own) in totals.tasks.iter_mut().zip(&self.tasks) {
            task.away = task.away.wrapping_add(own.stolen);
            task.on_cpu = task.on_cpu.saturating_sub(own.stolen);
            task.boot = task.boot.saturating_sub(own.boot);
        }
        for (id, frames) in &mut totals.open {
            if let Some(own) = self.open.get(id).filter(|own| own.len() == frames.len()) {
                frames.clone_from(own);
            }
        }
        Taken { busy: self.sum, idle: self.idle, ours: self.ours }
    }

    /// It is `time` now on the attached CPU.
    #[inline]
    fn step(&mut self, time: u64) -> u64 {
        if self.away {
            return 0;
        }
        let stolen = self.cpu.stolen(time);
        if stolen > 0 {
            self.take(stolen);
        }
        stolen
    }

    #[cold]
    fn take(&mut self, stolen: u64) {
        self.own.stolen = self.own.stolen.saturating_add(stolen);
        self.task.away = self.task.away.wrapping_add(stolen);
        let ours = std::mem::take(&mut self.cpu.ours);
        self.ours = self.ours.saturating_add(ours);
        let sum = if self.task.is_idling() { &mut self.idle } else { &mut self.sum };
        *sum = sum.saturating_add(stolen.saturating_sub(ours));
    }

    /// A task without what was stolen from it; its frames are its own.
    fn without(raw: &Task, own: &mut Own) -> Task {
        let frames = std::mem::take(&mut own.frames);
        let away = raw.away.wrapping_add(own.stolen);
        let (boot, on_cpu) = (raw.boot.saturating_sub(own.boot), raw.on_cpu.saturating_sub(own.stolen));
        Task { frames, away, boot, on_cpu, ..*raw }
    }

    /// What changes of a task within a stretch.
    fn refresh(&mut self, raw: &Task) {
        let Task { name, ended, suspect, calls, orphans, cut, .. } = *raw;
        let task = &mut self.task;
        (task.name, task.ended, task.suspect) = (name, ended, suspect);
        (task.calls, task.orphans, task.cut) = (calls, orphans, cut);
    }
}

/// What was taken off, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Off tasks that were not idling.
    pub busy: u64,
    /// Off idling: nobody missed it.
    pub idle: u64,
    /// Off all of them, by the tracer's own hypercalls; not in the others.
    pub ours: u64,
}

impl<S: Sink> Sink for Unstolen<'_, '_, S> {
    fn begin(&mut self, time: u64) {
        self.sink.begin(time);
    }

    fn function(&mut self, function: Function, site: Site<'_>) {
        self.sink.function(function, site);
    }

    fn attach(&mut self, id: TaskId, task: &Task, cpu: u32, time: u64) {
        if self.tasks.len() <= id.index() {
            self.tasks.resize(id.index() + 1, Own::default());
        }
        self.own = std::mem::take(&mut self.tasks[id.index()]);
        self.task = Self::without(task, &mut self.own);
        (self.id, self.number) = (id, cpu);
        self.away = task.running != Some(cpu);
        if self.away {
            self.open.insert(id, self.task.frames.clone());
        } else {
            self.cpu = self.cpus.remove(&cpu).unwrap_or_default();
            if self.cpu.current != Some(id) {
                // What was stolen before it came is not its loss.
                self.cpu.stolen(task.in_since);
                self.cpu.gaps.clear();
                self.cpu.ours = 0;
                self.cpu.current = Some(id);
            }
            self.step(time);
        }
        self.sink.attach(id, &self.task, cpu, time);
    }

    fn detach(&mut self, task: &Task) {
        self.refresh(task);
        self.sink.detach(&self.task);
        self.own.frames = std::mem::take(&mut self.task.frames);
        self.tasks[self.id.index()] = std::mem::take(&mut self.own);
        if !self.away {
            self.cpus.insert(self.number, std::mem::take(&mut self.cpu));
        }
    }

    #[inline]
    fn enter(&mut self, frames: &[Frame]) {
        let Some(frame) = frames.last() else { return };
        self.step(frame.start);
        self.task.frames.push(Frame { away: self.task.away, children: 0, longest_child: 0, ..*frame });
        self.sink.enter(&self.task.frames);
    }

    #[inline]
    fn leaf(&mut self, _frames: &[Frame], function: Function, start: u64, ticks: u64) {
        self.step(start);
        let ticks = ticks.saturating_sub(self.step(start.saturating_add(ticks)));
        self.sink.leaf(&self.task.frames, function, start, ticks);
        if let Some(parent) = self.task.frames.last_mut() {
            parent.children = parent.children.saturating_add(ticks);
            parent.longest_child = parent.longest_child.max(ticks);
        }
    }

    #[inline]
    fn leave(&mut self, _frames: &[Frame], call: &Call) {
        let Some(frame) = self.task.frames.pop() else { return };
        self.step(call.end);
        let away = self.task.away.wrapping_sub(frame.away);
        let total = call.end.saturating_sub(frame.start).saturating_sub(away);
        let own = total.saturating_sub(frame.children);
        self.sink.leave(&self.task.frames, &Call { total, own, longest_child: frame.longest_child, ..*call });
        if let Some(parent) = self.task.frames.last_mut() {
            parent.children = parent.children.saturating_add(total);
            parent.longest_child = parent.longest_child.max(total);
        }
    }

    fn note(&mut self, cpu: u32, time: u64, note: &Note) {
        self.sink.note(cpu, time, note);
    }

    fn mark(&mut self, task: &Task, time: u64, mark: Mark, value: u32) {
        self.step(time);
        self.refresh(task);
        self.sink.mark(&self.task, time, mark, value);
    }

    fn ran(&mut self, task: &Task, from: u64, to: u64) {
        let mut before = from;
        if let Some(cpu) = self.cpus.get_mut(&task.cpu) {
            let stolen = cpu.stolen(to);
            let ours = std::mem::take(&mut cpu.ours);
            let id = cpu.current.take();
            let gaps = std::mem::take(&mut cpu.gaps);
            if let Some(own) = id.and_then(|id| self.tasks.get_mut(id.index())) {
                own.stolen = own.stolen.saturating_add(stolen);
                if task.booting {
                    own.boot = own.stolen;
                }
                self.ours = self.ours.saturating_add(ours);
                let sum = if task.is_idling() { &mut self.idle } else { &mut self.sum };
                *sum = sum.saturating_add(stolen.saturating_sub(ours));
            }
            for (begin, end) in gaps {
                if begin > before {
                    self.sink.ran(task, before, begin);
                }
                before = before.max(end);
            }
        }
        self.sink.ran(task, before.min(to), to);
    }
}
