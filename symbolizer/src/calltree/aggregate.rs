// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Adds up calls per function and phase, and keeps the longest ones. In: calls, as a [`Sink`]. Out:
//! [`Aggregate`]. Times in ticks; sums saturate, since a damaged trace may hold any times. Never here:
//! names, text.
//!
//! Sums go to one table at a time: that of idling, or that of the phase it is. Where a phase begins
//! amid open calls, or an idle task that did the booting begins to idle, their time so far is credited
//! to the table before, and taken from what they end with.

use std::collections::HashSet;

use early_ftrace_format::mark::Mark;

use super::filter::Filter;
use super::phases::{SLOTS, Timeline};
use super::sink::{Call, How, Sink};
use super::sites::{Function, Site};
use super::task::{Frame, Task, TaskId};

/// How many long calls are kept, one of each function.
pub const LONGEST: usize = 64;

/// Most lines of all tables by phase: a kernel with 100,000 functions in each of its phases. A damaged
/// trace may name many more; its further phases are not told apart.
const MOST_LINES: usize = 1 << 21;

/// The table of what happens in idle tasks; after it come those of the phases, by slot.
const IDLE: usize = 0;

/// The first of those, which takes all where phases are not known.
const FIRST: usize = 1;

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
    timeline: Timeline,
    /// Tables by function: idling, then each slot of [`Timeline`]. A table is as long as its last use
    /// needed.
    tables: Vec<Vec<Figures>>,
    /// While a task is attached: the table that counts, taken out of `tables`, and whether it is.
    current: Vec<Figures>,
    attached: bool,
    /// For each function.
    pub unfinished: Vec<Unfinished>,
    /// The longest calls whose time was not mostly that of one call in them, longest first, one of
    /// each function; idle tasks left out.
    pub longest: Vec<Long>,
    /// For each task: self time and number of the calls that passed the filter, not idling (0) and
    /// idling (1).
    pub tasks: Vec<[(u64, u64); 2]>,
    /// The same of the attached task.
    sums: [(u64, u64); 2],
    /// For each task that is not attached: where it stands.
    stands: Vec<Stand>,
    /// Where the attached one stands.
    stand: Stand,
    /// For each function: its open frames in the task that is attached.
    active: Vec<u32>,
    /// Ticks that a call must exceed to be among the longest.
    bar: u64,
    /// 1 while the attached task idles.
    idle: usize,
    /// The table that counts now.
    table: usize,
    /// Slot of the time, and when the next one begins.
    slot: usize,
    until: u64,
    task: TaskId,
    cpu: u32,
    /// Of the attached task, as [`Task`] has them.
    away: u64,
    in_since: u64,
}

/// How far the time of a task's open calls is counted.
#[derive(Clone, Debug, Default)]
struct Stand {
    /// For each of the outermost frames: self and total time that was credited.
    credits: Vec<(u64, u64)>,
    /// Slot of its last stretch.
    slot: Option<usize>,
    /// It idled in its last stretch.
    idles: bool,
}

impl<'a> Aggregate<'a> {
    /// Nothing yet; calls that do not pass `filter` will not count.
    pub fn new(filter: Filter<'a>) -> Aggregate<'a> {
        Aggregate {
            filter,
            timeline: Timeline::default(),
            tables: vec![Vec::new(); 1 + SLOTS],
            current: Vec::new(),
            attached: false,
            unfinished: Vec::new(),
            longest: Vec::new(),
            tasks: Vec::new(),
            sums: [(0, 0); 2],
            stands: Vec::new(),
            stand: Stand::default(),
            active: Vec::new(),
            bar: 0,
            idle: 0,
            table: FIRST,
            slot: 0,
            until: u64::MAX,
            task: TaskId(0),
            cpu: 0,
            away: 0,
            in_since: 0,
        }
    }

    /// With a table for each phase.
    pub fn by_phase(mut self, timeline: Timeline) -> Aggregate<'a> {
        self.timeline = timeline;
        self
    }

    /// Figures of a function over all tasks.
    pub fn all(&self, function: Function) -> Figures {
        let mut sum = self.idle(function);
        sum.add(&self.busy(function));
        sum
    }

    /// Those of tasks that are not idling.
    pub fn busy(&self, function: Function) -> Figures {
        let mut sum = Figures::default();
        (0..SLOTS).for_each(|slot| sum.add(&self.in_slot(function, slot)));
        sum
    }

    /// Those of idling tasks.
    pub fn idle(&self, function: Function) -> Figures {
        self.tables[IDLE].get(function.index()).copied().unwrap_or_default()
    }

    /// Those of tasks that are not idling, in a phase; calls count where they began. Calls that
    /// returned have their shortest and longest where they ended.
    pub fn in_slot(&self, function: Function, slot: usize) -> Figures {
        self.tables[FIRST + slot].get(function.index()).copied().unwrap_or_default()
    }

    /// Makes the table of `slot` (or of idling) the one that counts.
    fn turn_to(&mut self, slot: usize) {
        self.put_back();
        self.slot = slot;
        let table = if self.idle == 1 { IDLE } else { FIRST + slot };
        let functions = self.active.len();
        let lines: usize = self.tables.iter().map(Vec::len).sum();
        let more = functions.saturating_sub(self.tables[table].len());
        // No room for another line: phases are not told apart any more.
        let full = more > 0 && table > FIRST && lines + more > MOST_LINES;
        self.table = if full { FIRST } else { table };
        self.current = std::mem::take(&mut self.tables[self.table]);
        self.attached = true;
        if self.current.len() < functions {
            self.current.resize(functions, Figures::default());
        }
    }

    /// The table that counts goes back to the others.
    fn put_back(&mut self) {
        if std::mem::take(&mut self.attached) {
            self.tables[self.table] = std::mem::take(&mut self.current);
        }
    }

    /// It is a later phase now: the open calls' time up to its begin belongs to the phases before.
    #[cold]
    #[inline(never)]
    fn turn(&mut self, frames: &[Frame], time: u64) {
        // The end of time is no begin of a phase.
        while time >= self.until && self.until < u64::MAX {
            if self.idle == 0 {
                self.credit(frames, self.until);
            }
            let (slot, until) = self.timeline.at(self.until);
            self.until = until;
            self.turn_to(slot);
        }
        self.stand.slot = Some(self.slot);
    }

    /// The same when a call ends, which is no frame any more.
    #[cold]
    fn turn_at_leave(&mut self, frames: &[Frame], call: &Call) {
        let mut all = frames.to_vec();
        let gone = call.end.saturating_sub(call.start).saturating_sub(call.total);
        all.push(Frame {
            function: call.function,
            start: call.start,
            away: self.away.wrapping_sub(gone),
            children: call.total.saturating_sub(call.own),
            longest_child: call.longest_child,
        });
        self.turn(&all, call.end);
    }

    /// Counts the time of the attached task's open calls up to `time` in the present table.
    fn credit(&mut self, frames: &[Frame], time: u64) {
        let (away, time) = (self.away, time.max(self.in_since));
        let elapsed = |frame: &Frame| time.saturating_sub(frame.start).saturating_sub(away.wrapping_sub(frame.away));
        let mut seen = HashSet::new();
        let mut inside = false;
        self.stand.credits.resize(frames.len(), (0, 0));
        for (depth, frame) in frames.iter().enumerate() {
            let total = elapsed(frame);
            let inner = frames.get(depth + 1).map_or(0, elapsed);
            let own = total.saturating_sub(frame.children).saturating_sub(inner);
            let outermost = seen.insert(frame.function);
            // Too short so far: it counts as a whole when it ends, or from the next time on.
            if !self.filter.open_passes(frame, depth, &mut inside) || total < self.filter.min() {
                continue;
            }
            // A leaf call beyond the begin of a phase is taken from its caller as a whole.
            let before = self.stand.credits[depth];
            self.stand.credits[depth] = (own.max(before.0), total.max(before.1));
            let (own, total) = (own.saturating_sub(before.0), total.saturating_sub(before.1));
            let figures = &mut self.current[frame.function.index()];
            figures.own = figures.own.saturating_add(own);
            figures.total = figures.total.saturating_add(if outermost { total } else { 0 });
            let sum = &mut self.sums[0].0;
            *sum = sum.saturating_add(own);
        }
    }

    /// What of the call at a depth was counted before.
    #[cold]
    fn take_credit(&mut self, depth: usize) -> (u64, u64) {
        let credit = self.stand.credits.get(depth).copied().unwrap_or_default();
        self.stand.credits.truncate(depth);
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
        self.timeline.begin(time);
    }

    fn function(&mut self, _function: Function, site: Site<'_>) {
        self.filter.function(site);
        let table = if self.attached { &mut self.current } else { &mut self.tables[self.table] };
        table.push(Figures::default());
        self.unfinished.push(Unfinished::default());
        self.active.push(0);
    }

    fn attach(&mut self, id: TaskId, task: &Task, cpu: u32, time: u64) {
        self.filter.attach(id, task, cpu);
        self.task = id;
        self.cpu = cpu;
        (self.away, self.in_since) = (task.away, task.in_since);
        if self.tasks.len() <= id.index() {
            self.tasks.resize(id.index() + 1, [(0, 0); 2]);
            self.stands.resize(id.index() + 1, Stand::default());
        }
        self.stand = std::mem::take(&mut self.stands[id.index()]);
        self.sums = self.tasks[id.index()];
        for frame in &task.frames {
            self.active[frame.function.index()] += 1;
        }
        let (slot, until) = self.timeline.at(time);
        let idles = task.is_idling();
        let begins_to_idle = idles && task.boot > 0 && !self.stand.idles;
        self.idle = usize::from(idles && !begins_to_idle);
        match self.stand.slot {
            // Since its last stretch a phase began, or several.
            Some(last) if last < slot && !task.frames.is_empty() && self.idle == 0 => {
                let began = self.timeline.starts().iter().find(|start| start.0 as usize > last);
                self.until = began.map_or(u64::MAX, |start| start.1);
                self.turn_to(last);
                self.turn(&task.frames, time);
            }
            _ => self.turn_to(slot),
        }
        self.until = until;
        self.stand.slot = Some(slot);
        if begins_to_idle {
            // It did the booting: the time of its open frames so far is booting's.
            self.credit(&task.frames, time);
            self.idle = 1;
            self.turn_to(slot);
        }
        self.stand.idles = idles;
    }

    fn detach(&mut self, task: &Task) {
        for frame in &task.frames {
            self.active[frame.function.index()] -= 1;
        }
        self.put_back();
        self.tasks[self.task.index()] = self.sums;
        self.stands[self.task.index()] = std::mem::take(&mut self.stand);
    }

    #[inline]
    fn enter(&mut self, frames: &[Frame]) {
        if let Some((frame, around)) = frames.split_last() {
            if frame.start >= self.until {
                self.turn(around, frame.start);
            }
            self.filter.enter(frame);
            self.active[frame.function.index()] += 1;
        }
    }

    #[inline(always)]
    fn leaf(&mut self, frames: &[Frame], function: Function, start: u64, ticks: u64) {
        if start >= self.until {
            self.turn(frames, start);
        }
        if !self.filter.passes(function, frames.len(), start, ticks, false) {
            return;
        }
        let figures = &mut self.current[function.index()];
        figures.calls += 1;
        figures.own = figures.own.saturating_add(ticks);
        figures.min = figures.min.min(ticks);
        figures.max = figures.max.max(ticks);
        if self.active[function.index()] == 0 {
            figures.total = figures.total.saturating_add(ticks);
        }
        let task = &mut self.sums[self.idle & 1];
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
        if call.end >= self.until {
            self.turn_at_leave(frames, call);
        }
        let index = call.function.index();
        self.active[index] -= 1;
        let passes = self.filter.passes(call.function, frames.len(), call.start, call.total, true);
        self.filter.leave(call.function);
        // Of a call that began in an earlier phase, or while booting, only what came later counts here.
        let (mut own, mut total, mut began, mut began_idle) = (call.own, call.total, self.table, self.idle);
        if frames.len() < self.stand.credits.len() {
            let credit = self.take_credit(frames.len());
            (own, total) = (own.saturating_sub(credit.0), total.saturating_sub(credit.1));
            (began, began_idle) = (FIRST + self.timeline.at(call.start).0, 0);
        }
        if !passes {
            return;
        }
        let figures = &mut self.current[index];
        figures.own = figures.own.saturating_add(own);
        if self.active[index] == 0 {
            figures.total = figures.total.saturating_add(total);
        }
        let task = &mut self.sums;
        task[self.idle & 1].0 = task[self.idle & 1].0.saturating_add(own);
        task[began_idle & 1].1 += 1;
        // A table that has no line for it had no room.
        let other = if began == self.table { None } else { self.tables[began].get_mut(index) };
        let figures = other.unwrap_or(figures);
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

    fn wants(&self, from: u64, to: u64) -> bool {
        self.filter.wants(from, to)
    }

    fn may_miss(&self, id: TaskId, task: &Task, from: u64, to: u64) -> bool {
        // Where a phase begins, or idling, the time of its open calls so far is credited.
        let slot = Some(self.timeline.at(from).0);
        let last = self.stands.get(id.index()).and_then(|stand| stand.slot);
        task.idle.is_none() && slot == last && slot == Some(self.timeline.at(to).0)
    }

    fn mark(&mut self, task: &Task, time: u64, mark: Mark, _value: u32) {
        let Mark::Phase(number) = mark else { return };
        let Some(phase) = bootlevel::Phase::from_u8(number) else { return };
        if self.timeline.learn(phase, time) {
            // The phase that the mark has taught begins now; one that was known may have begun.
            self.until =
                self.timeline.starts().iter().find(|start| start.0 as usize > self.slot).map_or(u64::MAX, |s| s.1);
            if time >= self.until {
                self.turn(&task.frames, time);
            }
        }
    }
}
