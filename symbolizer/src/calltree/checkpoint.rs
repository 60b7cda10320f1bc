// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where the rebuilding of call trees stood now and then, so that it can go on from there. In: the state of
//! [`mod@super::build`]. Out: [`Checkpoint`]s, and the state again. Never here: bytes, files; what was found before a
//! checkpoint.

use std::cmp::Reverse;

use early_ftrace_format::word::EndReason;

use super::build::{Builder, Turns};
use super::cursor::{Cursor, Next};
use super::modules::Modules;
use super::sink::Sink;
use super::sites::Sites;
use super::task::{Task, TaskId, Tasks};
use super::totals::Totals;
use crate::decode::Batch;

/// Words between two checkpoints: some eight blocks, which take a hundredth of a second.
const EVERY: u64 = 1 << 20;

/// Where a CPU's stream stands: the fields of [`Cursor`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) taken: u64,
    pub(super) loaded: bool,
    pub(super) run: u64,
    pub(super) at: u64,
    pub(super) opened: bool,
    pub(super) seq: u64,
    pub(super) lossy: bool,
    pub(super) current: Option<TaskId>,
    pub(super) fresh: bool,
    pub(super) now: u64,
    pub(super) next: Next,
    pub(super) end: Option<EndReason>,
}

/// The calls that begin between a checkpoint and the next one, or the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Earliest begin of a call; after `to` if none begins.
    pub from: u64,
    /// No call begins later.
    pub to: u64,
    /// No task is attached before this time.
    pub since: u64,
}

/// All that is needed to go on, together with what is known at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Turns that were taken.
    pub(super) turns: u64,
    pub(super) positions: Vec<Position>,
    /// Streams that wait, and from when on they go on.
    pub(super) queue: Vec<(u64, u64)>,
    /// The one that goes on first.
    pub(super) current: Option<(u64, u64)>,
    /// Tasks so far; those that have not gone, by number.
    pub(super) tasks: u64,
    pub(super) live: Vec<(u32, Task)>,
    /// Functions so far, and those of them whose sites have no number just now.
    pub(super) functions: u64,
    pub(super) forgotten: Vec<u32>,
    /// Modules so far.
    pub(super) modules: u64,
    /// Whether a CPU has switched.
    pub(super) switched: bool,
    /// What comes after it.
    pub(super) span: Span,
}

/// Notes checkpoints on the way.
#[derive(Debug)]
pub struct Notes {
    pub(super) all: Vec<Checkpoint>,
    due: u64,
    every: u64,
}

impl Default for Notes {
    fn default() -> Notes {
        Notes::every(EVERY)
    }
}

impl Notes {
    /// Notes with so many words between them.
    pub fn every(words: u64) -> Notes {
        Notes { all: Vec::new(), due: 0, every: words }
    }

    /// Whether it is time for another one.
    #[inline]
    pub(super) fn is_due(&self, words: u64) -> bool {
        words >= self.due
    }

    /// Notes one, if the state can be told.
    pub(super) fn note<S: Sink>(&mut self, builder: &mut Builder<'_, S>, cursors: &[Cursor], turns: &Turns) {
        // A module whose description is under way is not in any list.
        if builder.totals.modules.is_open() {
            return;
        }
        self.due = builder.totals.words.saturating_add(self.every);
        self.end(builder, cursors);
        builder.least = u64::MAX;
        let Totals { sites, modules, switches, .. } = &builder.totals;
        let live = (0..).zip(&builder.tasks.all).filter(|(_, task)| !task.ended || !task.frames.is_empty());
        let going = cursors.iter().filter(|cursor| turns.waits(cursor.stream)).map(|cursor| cursor.now);
        let since = going.min().unwrap_or(0);
        self.all.push(Checkpoint {
            turns: turns.count,
            positions: cursors.iter().map(Position::of).collect(),
            queue: turns.queue.iter().map(|Reverse((time, stream))| (*time, *stream as u64)).collect(),
            current: turns.current.map(|(time, stream)| (time, stream as u64)),
            tasks: builder.tasks.all.len() as u64,
            live: live.map(|(id, task)| (id, task.clone())).collect(),
            functions: sites.len() as u64,
            forgotten: sites.forgotten(),
            modules: modules.all.len() as u64,
            switched: *switches > 0,
            span: Span { from: u64::MAX, to: 0, since },
        });
    }

    /// The last one's span ends here.
    pub(super) fn end<S: Sink>(&mut self, builder: &Builder<'_, S>, cursors: &[Cursor]) {
        if let Some(last) = self.all.last_mut() {
            last.span.from = builder.least;
            last.span.to = cursors.iter().map(|cursor| cursor.now).max().unwrap_or(0);
        }
    }
}

impl Turns {
    fn waits(&self, stream: usize) -> bool {
        let is_it = |next: &(u64, usize)| next.1 == stream;
        self.current.as_ref().is_some_and(is_it) || self.queue.iter().any(|Reverse(next)| is_it(next))
    }
}

impl Position {
    fn of(cursor: &Cursor) -> Position {
        Position {
            taken: cursor.taken as u64,
            loaded: cursor.loaded,
            run: cursor.run as u64,
            at: cursor.at as u64,
            opened: cursor.opened,
            seq: cursor.seq,
            lossy: cursor.lossy,
            current: cursor.current,
            fresh: cursor.fresh,
            now: cursor.now,
            next: cursor.next,
            end: cursor.end,
        }
    }

    /// The piece of the stream with which to begin.
    pub(super) fn piece(&self) -> usize {
        self.taken.saturating_sub(u64::from(self.loaded)) as usize
    }

    /// The cursor; `batch` is that of [`Position::piece`].
    fn restore(&self, stream: usize, cpu: u32, batch: Option<Batch>) -> Option<Cursor> {
        let batch = match (self.loaded, batch) {
            (true, Some(batch)) => batch,
            (true, None) => return None,
            (false, _) => Batch::default(),
        };
        // Where a stream has ended, the place in its last batch says nothing.
        let (run, at) = if self.loaded { (self.run as usize, self.at as usize) } else { (0, 0) };
        let opened = self.opened && self.loaded;
        let there = match batch.runs.get(run) {
            Some(run) => !opened || (run.events.start..=run.events.end).contains(&at),
            None => run == batch.runs.len() && !opened,
        };
        there.then_some(Cursor {
            stream,
            cpu,
            batch,
            taken: self.taken as usize,
            loaded: self.loaded,
            run,
            at,
            opened,
            seq: self.seq,
            lossy: self.lossy,
            current: self.current,
            fresh: self.fresh,
            now: self.now,
            next: self.next,
            end: self.end,
        })
    }
}

/// The state at a checkpoint.
pub(super) struct State {
    pub(super) tasks: Tasks,
    pub(super) totals: Totals,
    pub(super) cursors: Vec<Cursor>,
    pub(super) turns: Turns,
}

impl Checkpoint {
    /// Whether what it says can be, for a trace of so many streams of which this is known at its end.
    pub(super) fn is_possible(&self, known: &Totals, streams: usize) -> bool {
        let (functions, tasks) = (self.functions as usize, self.tasks as usize);
        let frames = |task: &Task| task.frames.iter().all(|frame| frame.function.index() < functions);
        let stream = |next: &(u64, u64)| (next.1 as usize) < streams;
        functions <= known.sites.len()
            && tasks <= known.tasks.len()
            && self.modules as usize <= known.modules.all.len()
            && self.positions.len() == streams
            && self.positions.iter().all(|position| position.current.is_none_or(|id| id.index() < tasks))
            && self.queue.iter().all(stream)
            && self.current.as_ref().is_none_or(stream)
            && self.live.iter().all(|(id, task)| (*id as usize) < tasks && frames(task))
            && self.live.windows(2).all(|pair| pair[0].0 < pair[1].0)
    }

    /// The state again; `batch` gives the first batch of a stream, and its CPU. `None` if it cannot be.
    pub(super) fn restore(
        &self,
        known: &Totals,
        mut batch: impl FnMut(usize, bool) -> (u32, Option<Batch>),
    ) -> Option<State> {
        let sites = Sites::restore(known.sites.known().get(..self.functions as usize)?, &self.forgotten)?;
        let modules = Modules::restore(known.modules.all.get(..self.modules as usize)?, 0)?;
        let tasks = Tasks::restore(&known.tasks, self.tasks as usize, &self.live)?;
        let cursor = |(stream, position): (usize, &Position)| {
            let (cpu, batch) = batch(stream, position.loaded);
            position.restore(stream, cpu, batch)
        };
        let cursors = self.positions.iter().enumerate().map(cursor).collect::<Option<Vec<_>>>()?;
        let switches = u64::from(self.switched);
        let totals = Totals { sites, modules, switches, first: known.first, ..Totals::default() };
        let queue = self.queue.iter().map(|&(time, stream)| Reverse((time, stream as usize))).collect();
        let current = self.current.map(|(time, stream)| (time, stream as usize));
        Some(State { tasks, totals, cursors, turns: Turns { queue, current, count: self.turns } })
    }

    /// The task with this number, if it has not gone.
    pub(super) fn task(&self, id: u32) -> Option<&Task> {
        let at = self.live.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(&self.live[at].1)
    }
}
