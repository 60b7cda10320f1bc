// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Rebuilds the stack of each task over all CPUs. In: a [`Pipeline`] of batches per CPU. Out: calls to
//! a [`Sink`], and [`Totals`]. Never here: names, filters, text.
//!
//! Between two switches of a CPU all its events are one task's. Such a segment is handled as a whole,
//! and segments in the order of their start times: a task that moved to another CPU was switched out
//! on the first before it came onto the second, so its segments come in order. A segment also ends
//! where a task's end is noted (its pid may come again on another CPU) and after a loss.
//!
//! Events of two CPUs are therefore not merged one by one, which matters where a module is loaded: the
//! other CPU's segment may have begun before and come first. What it calls in the new module is given
//! to it when the load comes ([`super::sites`]). Two cases stay uncertain, and both want an address that is a
//! call site in two modules, one of which was freed, while a CPU does not switch from before the load to
//! after it: its calls of the new module count for the old one if its segment comes first, and its calls
//! of the old one for the new one if it comes second.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use early_ftrace_format::event::Event as Full;
use early_ftrace_format::mark::Mark;
use early_ftrace_format::word::KERNEL_HIGH;

use super::checkpoint::Notes;
use super::cursor::{Cursor, Next};
use super::modules::Modules;
use super::sink::{Call, How, Note, Sink};
use super::sites::{Function, Site, Sites};
use super::task::{Frame, Task, TaskId, Tasks};
use super::totals::Totals;
use crate::decode::pipeline::Pipeline;
use crate::decode::{Event, Rare};

/// Deeper than any shadow stack; a damaged trace of entries only must not fill the memory.
const MOST_FRAMES: usize = 1 << 14;

/// Most gaps that are kept with their text; all are counted.
const MOST_GAPS: usize = 1000;

pub(super) struct Builder<'s, S> {
    pub(super) sink: &'s mut S,
    pub(super) tasks: Tasks,
    pub(super) totals: Totals,
    /// Earliest begin of a call since somebody has set this to the maximum.
    pub(super) least: u64,
}

/// Which CPU's turn it is.
#[derive(Default)]
pub(super) struct Turns {
    /// Times at which those that wait go on, and their streams.
    pub(super) queue: BinaryHeap<Reverse<(u64, usize)>>,
    /// The one that goes on before all others, and when.
    pub(super) current: Option<(u64, usize)>,
    /// Turns so far.
    pub(super) count: u64,
}

impl Turns {
    fn take(&mut self) -> Option<usize> {
        let (_, stream) = self.current.take().or_else(|| self.queue.pop().map(|Reverse(next)| next))?;
        self.count += 1;
        Some(stream)
    }

    /// A stream that had its turn goes on at `time`.
    fn back(&mut self, time: u64, stream: usize) {
        if self.queue.peek().is_some_and(|Reverse((other, _))| *other < time) {
            self.queue.push(Reverse((time, stream)));
        } else {
            self.current = Some((time, stream));
        }
    }
}

/// Runs through the whole trace.
pub fn build<S: Sink>(pipeline: &mut Pipeline<'_>, sink: &mut S, progress: impl FnMut(u64)) -> Totals {
    build_noting(pipeline, sink, None, progress)
}

/// The same, and notes checkpoints.
pub fn build_noting<S: Sink>(
    pipeline: &mut Pipeline<'_>,
    sink: &mut S,
    mut notes: Option<&mut Notes>,
    mut progress: impl FnMut(u64),
) -> Totals {
    let mut builder = Builder { sink, tasks: Tasks::default(), totals: Totals::default(), least: u64::MAX };
    let mut cursors: Vec<Cursor> = (0..pipeline.streams()).map(|s| Cursor::new(s, pipeline.cpu(s))).collect();
    let mut turns = Turns::default();
    for cursor in &mut cursors {
        // Up to the first chunk: that sets the time at which the CPU comes into play.
        if let Some(time) = builder.advance(cursor, pipeline) {
            turns.queue.push(Reverse((time, cursor.stream)));
        }
    }
    let first = turns.queue.peek().map_or(0, |Reverse((time, _))| *time);
    builder.totals.first = first;
    builder.sink.begin(first);
    let mut reported = 0;
    loop {
        if let Some(notes) = &mut notes
            && notes.is_due(builder.totals.words)
        {
            notes.note(&mut builder, &cursors, &turns);
        }
        if builder.totals.words - reported > 1 << 20 {
            reported = builder.totals.words;
            progress(reported);
        }
        if !builder.turn(&mut cursors, &mut turns, pipeline) {
            break;
        }
    }
    if let Some(notes) = notes {
        notes.end(&builder, &cursors);
    }
    builder.finish(&cursors)
}

impl<S: Sink> Builder<'_, S> {
    /// Handles one segment of the CPU whose turn it is. False if there is none.
    #[inline]
    pub(super) fn turn(&mut self, cursors: &mut [Cursor], turns: &mut Turns, pipeline: &mut Pipeline<'_>) -> bool {
        let Some(stream) = turns.take() else { return false };
        if let Some(time) = self.advance(&mut cursors[stream], pipeline) {
            turns.back(time, stream);
        }
        true
    }

    /// Handles one segment. The start time of the next one, or `None` at the end of the stream.
    fn advance(&mut self, cursor: &mut Cursor, pipeline: &mut Pipeline<'_>) -> Option<u64> {
        match std::mem::replace(&mut cursor.next, Next::Resume) {
            Next::Resume => {}
            Next::Switch(pid) => self.switch_in(cursor, pid),
            Next::Ended(pid) => self.ended(cursor, pid),
            Next::Open { pid, lossy } => {
                if lossy {
                    self.lose(cursor.cpu, cursor.now);
                }
                self.switch_in(cursor, pid);
            }
        }
        loop {
            while cursor.run == cursor.batch.runs.len() {
                if !self.refill(cursor, pipeline) {
                    return None;
                }
            }
            if !cursor.opened {
                cursor.opened = true;
                if let Some(time) = self.open(cursor) {
                    return Some(time);
                }
            }
            if let Some(time) = self.events(cursor) {
                return Some(time);
            }
            cursor.run += 1;
            cursor.opened = false;
        }
    }

    fn refill(&mut self, cursor: &mut Cursor, pipeline: &mut Pipeline<'_>) -> bool {
        // The gap of a batch stands after its runs.
        if let Some(gap) = cursor.batch.gap.take() {
            self.gap(cursor, Some(gap.offset), gap.reason);
        }
        let used = std::mem::take(&mut cursor.batch);
        cursor.loaded = false;
        let Some(batch) = pipeline.next(cursor.stream, used) else {
            if cursor.lossy {
                self.switch_out(cursor, cursor.now);
                self.lose(cursor.cpu, cursor.now);
                cursor.lossy = false;
            }
            return false;
        };
        cursor.batch = batch;
        (cursor.loaded, cursor.taken) = (true, cursor.taken + 1);
        cursor.run = 0;
        cursor.opened = false;
        self.totals.events += cursor.batch.weight;
        self.totals.words += cursor.batch.words;
        true
    }

    fn gap(&mut self, cursor: &mut Cursor, offset: Option<u64>, reason: String) {
        cursor.lossy = true;
        self.totals.gap_count += 1;
        self.sink.note(cursor.cpu, cursor.now, &Note::Gap(reason.clone()));
        if self.totals.gaps.len() < MOST_GAPS {
            self.totals.gaps.push((cursor.cpu, offset, reason));
        }
    }

    /// Looks at the header of a chunk. A time if the chunk begins a new segment.
    fn open(&mut self, cursor: &mut Cursor) -> Option<u64> {
        let run = cursor.batch.runs[cursor.run].clone();
        cursor.at = run.events.start;
        let expected = std::mem::replace(&mut cursor.seq, run.seq.wrapping_add(1));
        if run.seq != expected && !cursor.lossy {
            let reason = if run.seq > expected {
                format!("chunks {expected} to {} are missing", run.seq - 1)
            } else {
                format!("chunk {} stands where chunk {expected} should", run.seq)
            };
            self.gap(cursor, None, reason);
        }
        if run.lost > 0 {
            self.totals.lost = self.totals.lost.saturating_add(run.lost);
            self.totals.losses += 1;
            self.sink.note(cursor.cpu, run.tsc, &Note::Lost(run.lost));
        }
        let lossy = std::mem::take(&mut cursor.lossy) || run.lost > 0;
        if lossy || cursor.current.is_none() {
            self.switch_out(cursor, cursor.now);
            cursor.now = cursor.now.max(run.tsc);
            cursor.next = Next::Open { pid: run.pid, lossy };
            return Some(run.tsc);
        }
        cursor.now = cursor.now.max(run.tsc);
        // Nothing is missing, so the switches tell who runs. A chunk may be opened between a switch and
        // its word; what else makes the header differ is worth a count.
        let current = cursor.current.map_or(0, |id| self.tasks.all[id.index()].pid);
        if current != run.pid && !cursor.begins_with_switch() {
            self.totals.mismatches += 1;
        }
        None
    }

    /// Handles events up to the end of the run or of the segment. A time if the segment ended.
    fn events(&mut self, cursor: &mut Cursor) -> Option<u64> {
        let end = cursor.batch.runs[cursor.run].events.end;
        let id = cursor.current?;
        self.attach(id, cursor.cpu, cursor.now);
        let mut outcome = None;
        while cursor.at < end {
            let stopped = self.calls(id, cursor, end);
            if !stopped {
                break;
            }
            let event = cursor.batch.events[cursor.at];
            cursor.at += 1;
            cursor.now = cursor.now.max(event.time);
            if let Some(next) = self.rare(cursor, event) {
                cursor.next = next;
                outcome = Some(event.time);
                break;
            }
        }
        self.detach(id);
        if matches!(cursor.next, Next::Switch(_)) {
            self.totals.switches += 1;
            self.switch_out(cursor, outcome.unwrap_or(cursor.now));
        }
        outcome
    }

    /// The hot path: entries, exits and leaf calls of one task. True if it stopped at a rare event.
    fn calls(&mut self, id: TaskId, cursor: &mut Cursor, end: usize) -> bool {
        let task = &mut self.tasks.all[id.index()];
        let sink = &mut *self.sink;
        let (sites, modules) = (&mut self.totals.sites, &self.totals.modules);
        let mut now = cursor.now;
        let mut least = self.least;
        let mut calls = 0;
        let events = &cursor.batch.events[cursor.at..end];
        let mut done = events.len();
        for (index, event) in events.iter().enumerate() {
            if event.is_function() {
                let known = sites.function(event.code);
                let function = known.unwrap_or_else(|| new_function(sink, sites, modules, event));
                calls += 1;
                least = least.min(event.time);
                if event.extra == Event::ENTRY {
                    if task.frames.len() >= MOST_FRAMES {
                        done = index;
                        break;
                    }
                    now = now.max(event.time);
                    let frame = Frame { function, start: event.time, away: task.away, children: 0, longest_child: 0 };
                    task.frames.push(frame);
                    sink.enter(&task.frames);
                } else {
                    let ticks = u64::from(event.extra);
                    now = now.max(event.time.wrapping_add(ticks));
                    sink.leaf(&task.frames, function, event.time, ticks);
                    if let Some(parent) = task.frames.last_mut() {
                        parent.children = parent.children.saturating_add(ticks);
                        parent.longest_child = parent.longest_child.max(ticks);
                    }
                }
            } else if event.code == Event::EXIT {
                now = now.max(event.time);
                if task.frames.is_empty() {
                    task.orphans += 1;
                    self.totals.orphans += 1;
                    sink.note(cursor.cpu, event.time, &Note::Orphan);
                } else {
                    if task.frames.len() <= task.suspect {
                        task.suspect = task.frames.len() - 1;
                        self.totals.suspect += 1;
                    }
                    leave(sink, task, event.time, How::Returned);
                }
            } else {
                done = index;
                break;
            }
        }
        task.calls += calls;
        self.least = least;
        cursor.now = now;
        cursor.at += done;
        if done == events.len() {
            return false;
        }
        if events[done].is_function() {
            // Too deep to be true: forget the frames and go on.
            task.calls -= 1;
            self.totals.cut += close(self.sink, task, now, How::Cut);
            return self.calls(id, cursor, end);
        }
        true
    }

    /// Handles a rare event. Some if it ends the segment.
    fn rare(&mut self, cursor: &mut Cursor, event: Event) -> Option<Next> {
        let rare = cursor.batch.rare.get(event.extra as usize).cloned()?;
        let current = cursor.current.map(|id| &mut self.tasks.all[id.index()]);
        match rare {
            Rare::Event(Full::Switch { pid, .. }) => return Some(Next::Switch(pid)),
            Rare::Event(Full::Running { pid }) => {
                if current.is_some_and(|task| task.pid != pid) {
                    self.totals.mismatches += 1;
                    return Some(Next::Switch(pid));
                }
            }
            Rare::Event(Full::Ended { pid }) => return Some(Next::Ended(pid)),
            Rare::Event(Full::Named { pid, name }) => {
                let id = self.tasks.of(pid, cursor.cpu, event.time);
                self.tasks.all[id.index()].name = name;
            }
            Rare::Event(Full::Lost { count }) => {
                self.totals.lost = self.totals.lost.saturating_add(u64::from(count));
                self.lose_here(cursor, Note::Lost(u64::from(count)));
            }
            Rare::Unwritten => {
                self.totals.unwritten += 1;
                self.lose_here(cursor, Note::Gap("a slot was reserved and never written".to_owned()));
            }
            Rare::Event(Full::Mark { mark, value, time }) => {
                if matches!(mark, Mark::Unknown(_)) {
                    self.totals.other += 1;
                }
                if let Some(task) = current {
                    self.sink.mark(task, time, mark, value);
                }
                let Totals { modules, sites, .. } = &mut self.totals;
                let loaded = cursor.current.and_then(|task| modules.mark(task, mark, value, time));
                if let Some((id, change)) = loaded {
                    sites.loaded(id, &modules.all[id.index()], &change);
                }
            }
            Rare::Event(Full::End { reason, .. }) => cursor.end = Some(reason),
            Rare::Event(_) => self.totals.other += 1,
        }
        None
    }

    /// Events are missing amid a stretch of the attached task.
    fn lose_here(&mut self, cursor: &Cursor, note: Note) {
        self.totals.losses += 1;
        if let Some(id) = cursor.current {
            self.totals.cut += close(self.sink, &mut self.tasks.all[id.index()], cursor.now, How::Cut);
            self.sink.note(cursor.cpu, cursor.now, &note);
            self.detach(id);
            self.lose(cursor.cpu, cursor.now);
            self.attach(id, cursor.cpu, cursor.now);
        }
    }

    /// Events of `cpu` are missing: nothing is certain of the tasks that were on it last, and little of
    /// those that wait elsewhere and may have been on it meanwhile. Nothing is attached.
    fn lose(&mut self, cpu: u32, now: u64) {
        self.totals.modules.lose();
        // Sorted: what is printed must not hang on the order of a hash map.
        let with_frames: BTreeSet<TaskId> =
            self.tasks.live().filter(|id| !self.tasks.all[id.index()].frames.is_empty()).collect();
        for id in with_frames {
            let task = &mut self.tasks.all[id.index()];
            if task.cpu == cpu && task.running.is_none_or(|on| on == cpu) {
                self.close_detached(id, now, How::Cut);
            } else if task.running.is_none() {
                task.suspect = task.frames.len();
            }
        }
    }

    fn ended(&mut self, cursor: &Cursor, pid: u32) {
        // An idle task has no end.
        if pid == 0 {
            return;
        }
        if let Some(id) = self.tasks.end(pid) {
            self.close_detached(id, cursor.now, How::TaskEnded);
        }
    }

    fn switch_in(&mut self, cursor: &mut Cursor, pid: u32) {
        let id = self.tasks.of(pid, cursor.cpu, cursor.now);
        let task = &mut self.tasks.all[id.index()];
        if let Some(other) = task.running.filter(|&on| on != cursor.cpu) {
            // It cannot be on two CPUs: its leave of the other one is missing.
            self.totals.mismatches += 1;
            leave_cpu(self.sink, task, cursor.now);
            task.cpu = other;
        }
        task.switch_in(cursor.cpu, cursor.now);
        // The boot's first task is the idle task of CPU 0, and each CPU comes up in its idle task.
        task.booting = task.idle.is_some() && (cursor.fresh || self.totals.switches == 0);
        cursor.fresh = false;
        cursor.current = Some(id);
    }

    fn switch_out(&mut self, cursor: &mut Cursor, time: u64) {
        let Some(id) = cursor.current.take() else { return };
        let task = &mut self.tasks.all[id.index()];
        if task.running == Some(cursor.cpu) {
            leave_cpu(self.sink, task, time);
        }
        if task.ended && !task.frames.is_empty() {
            self.close_detached(id, time, How::TaskEnded);
        }
    }

    fn attach(&mut self, id: TaskId, cpu: u32, time: u64) {
        self.sink.attach(id, &self.tasks.all[id.index()], cpu, time);
    }

    fn detach(&mut self, id: TaskId) {
        self.sink.detach(&self.tasks.all[id.index()]);
    }

    /// Closes all frames of a task that is not attached.
    fn close_detached(&mut self, id: TaskId, now: u64, how: How) {
        let task = &mut self.tasks.all[id.index()];
        if task.frames.is_empty() {
            return;
        }
        // Nothing happened in it after it left its CPU.
        let end = task.out_since.unwrap_or(now);
        self.sink.attach(id, task, task.cpu, end);
        let count = close(self.sink, task, end, how);
        if how == How::Cut {
            self.totals.cut += count;
        }
        self.sink.detach(&self.tasks.all[id.index()]);
    }

    pub(super) fn finish(mut self, cursors: &[Cursor]) -> Totals {
        for cursor in cursors {
            self.totals.last = self.totals.last.max(cursor.now);
            if cursor.current.is_some() || cursor.seq > 0 {
                self.totals.ends.push((cursor.cpu, cursor.end));
            }
        }
        self.totals.ends.sort_by_key(|end| end.0);
        for cursor in cursors {
            if let Some(id) = cursor.current {
                let task = &mut self.tasks.all[id.index()];
                if task.running == Some(cursor.cpu) {
                    leave_cpu(self.sink, task, cursor.now);
                }
            }
        }
        for index in 0..self.tasks.all.len() {
            let id = TaskId(index as u32);
            if !self.tasks.all[index].frames.is_empty() {
                self.totals.open.push((id, self.tasks.all[index].frames.clone()));
                self.close_detached(id, self.totals.last, How::Open);
            }
        }
        self.totals.tasks = self.tasks.all;
        self.totals
    }
}

/// A site is called that has no number yet.
#[cold]
fn new_function<S: Sink>(sink: &mut S, sites: &mut Sites, modules: &Modules, event: &Event) -> Function {
    let module = modules.at(event.code);
    let (function, new) = sites.insert(event.code, module, event.time);
    if new {
        let site = KERNEL_HIGH | u64::from(event.code);
        sink.function(function, Site { address: site, module: module.and_then(|id| modules.get(id)) });
    }
    function
}

/// A task leaves its CPU.
fn leave_cpu<S: Sink>(sink: &mut S, task: &mut Task, time: u64) {
    sink.ran(task, task.in_since, time);
    task.switch_out(time);
}

/// Closes all frames of the attached task, innermost first. How many.
fn close<S: Sink>(sink: &mut S, task: &mut Task, end: u64, how: How) -> u64 {
    let count = task.frames.len() as u64;
    while !task.frames.is_empty() {
        leave(sink, task, end, how);
    }
    task.suspect = 0;
    if how == How::Cut {
        task.cut += count;
    }
    count
}

/// The innermost frame ends. There is one.
#[inline]
fn leave<S: Sink>(sink: &mut S, task: &mut Task, end: u64, how: How) {
    let Some(frame) = task.frames.pop() else { return };
    // A task that is away has been so since `end` at the latest.
    let away = task.away;
    let total = end.saturating_sub(frame.start).saturating_sub(away.wrapping_sub(frame.away));
    let call = Call {
        function: frame.function,
        start: frame.start,
        end,
        total,
        own: total.saturating_sub(frame.children),
        longest_child: frame.longest_child,
        how,
    };
    sink.leave(&task.frames, &call);
    if let Some(parent) = task.frames.last_mut() {
        parent.children = parent.children.saturating_add(total);
        parent.longest_child = parent.longest_child.max(total);
    }
}
