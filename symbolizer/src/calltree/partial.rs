// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Runs through those parts of a trace that concern a sink. In: a trace, [`Checkpoint`]s, and what was known at
//! the end. Out: to the sink, the same as from a run through all of it, but for what does not concern it
//! ([`Sink::wants`]). Never here: files.
//!
//! The stretch between two checkpoints is passed over if no call begins in it that concerns the sink, and none
//! that did and is open ends in it. From each checkpoint on, all is as it was when the whole was read.

use super::build::Builder;
use super::checkpoint::{Checkpoint, Notes, State};
use super::sink::Sink;
use super::sites::{Function, Site, Sites};
use super::task::TaskId;
use super::totals::Totals;
use crate::decode::pipeline::{self, Pipeline};
use crate::decode::source::Source;

/// Most checkpoints: at each that is crossed those that follow are looked through.
pub const MOST_CHECKPOINTS: usize = 1 << 14;

/// What an index of a trace says is wrong: it was made by something else than a run through that trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction;

/// Checkpoints of a trace, and what is known at its end.
#[derive(Debug)]
pub struct Outline {
    checkpoints: Vec<Checkpoint>,
    totals: Totals,
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Stretches between checkpoints that were read.
    pub read: usize,
    /// All of them.
    pub of: usize,
}

impl Outline {
    /// From a run that noted checkpoints, and its totals.
    pub fn new(notes: Notes, totals: Totals) -> Outline {
        Outline { checkpoints: notes.all, totals }
    }

    /// How many checkpoints it has.
    pub fn count(&self) -> usize {
        self.checkpoints.len()
    }

    /// From checkpoints that somebody kept; `None` if they cannot be of a trace with so many streams.
    pub(super) fn checked(checkpoints: Vec<Checkpoint>, totals: Totals, streams: usize) -> Option<Outline> {
        let possible = checkpoints.len() <= MOST_CHECKPOINTS
            && checkpoints.iter().all(|checkpoint| checkpoint.is_possible(&totals, streams))
            && checkpoints.windows(2).all(|pair| pair[0].turns < pair[1].turns)
            && checkpoints.first().is_some_and(|first| first.turns == 0);
        possible.then_some(Outline { checkpoints, totals })
    }

    /// In the order of the trace.
    pub(super) fn checkpoints(&self) -> &[Checkpoint] {
        &self.checkpoints
    }

    /// What was known at the end.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The same, for good.
    pub fn into_totals(self) -> Totals {
        self.totals
    }

    /// Leaves out every second checkpoint. False if there is only one.
    pub fn thin(&mut self) -> bool {
        if self.checkpoints.len() < 2 {
            return false;
        }
        let mut kept: Vec<Checkpoint> = Vec::with_capacity(self.checkpoints.len() / 2 + 1);
        for (index, checkpoint) in std::mem::take(&mut self.checkpoints).into_iter().enumerate() {
            match kept.last_mut().filter(|_| index % 2 == 1) {
                Some(last) => {
                    last.span.from = last.span.from.min(checkpoint.span.from);
                    last.span.to = last.span.to.max(checkpoint.span.to);
                }
                None => kept.push(checkpoint),
            }
        }
        self.checkpoints = kept;
        true
    }

    /// Tells `sink` what concerns it.
    ///
    /// # Errors
    /// When the outline turns out to be of another trace; the sink may have been told anything then.
    pub fn run<S: Sink>(&self, source: &dyn Source, sink: &mut S) -> Result<Read, Contradiction> {
        sink.begin(self.totals.first);
        let mut done = Read { read: 0, of: self.checkpoints.len() };
        let (mut at, mut told) = (0, 0);
        while at < self.checkpoints.len() {
            if self.can_skip(at, sink) {
                at += 1;
                continue;
            }
            let checkpoint = &self.checkpoints[at];
            let until = self.wanted_up_to(at, sink);
            let part = |stream: usize| (checkpoint.positions[stream].piece(), self.limit(until, stream));
            let first = at;
            at = pipeline::run_parts(source, part, |pipeline| self.read(at, pipeline, sink, &mut told))?;
            done.read += at - first;
        }
        self.tell(self.totals.sites.len(), &mut told, sink);
        Ok(done)
    }

    /// Reads from a checkpoint up to one behind which nothing concerns the sink for a while: which.
    fn read<S: Sink>(
        &self,
        mut at: usize,
        pipeline: &mut Pipeline<'_>,
        sink: &mut S,
        told: &mut usize,
    ) -> Result<usize, Contradiction> {
        let checkpoint = &self.checkpoints[at];
        self.tell(checkpoint.functions as usize, told, sink);
        let batch = |stream: usize, loaded: bool| {
            (pipeline.cpu(stream), loaded.then(|| pipeline.next(stream, Default::default())).flatten())
        };
        let State { tasks, totals, mut cursors, mut turns } =
            checkpoint.restore(&self.totals, batch).ok_or(Contradiction)?;
        let mut builder = Builder { sink, tasks, totals, least: u64::MAX };
        loop {
            match self.checkpoints.get(at + 1) {
                Some(next) if turns.count >= next.turns => {
                    at += 1;
                    let known = builder.totals.sites.len();
                    if turns.count > next.turns || known != next.functions as usize {
                        return Err(Contradiction);
                    }
                    *told = known;
                    if self.can_skip(at, builder.sink) {
                        return Ok(at);
                    }
                    let until = self.wanted_up_to(at, builder.sink);
                    for stream in 0..cursors.len() {
                        pipeline.allow(stream, self.limit(until, stream));
                    }
                }
                _ => {}
            }
            if !builder.turn(&mut cursors, &mut turns, pipeline) {
                break;
            }
        }
        if at + 1 != self.checkpoints.len() {
            return Err(Contradiction);
        }
        *told = builder.totals.sites.len();
        builder.finish(&cursors);
        Ok(self.checkpoints.len())
    }

    /// The first stretch from `at + 1` on in which nothing begins that concerns the sink.
    fn wanted_up_to<S: Sink>(&self, at: usize, sink: &S) -> usize {
        let rest = self.checkpoints.iter().skip(at + 1);
        at + 1 + rest.take_while(|checkpoint| sink.wants(checkpoint.span.from, checkpoint.span.to)).count()
    }

    /// The piece of a stream up to which must be read for what lies before a checkpoint.
    fn limit(&self, at: usize, stream: usize) -> usize {
        self.checkpoints.get(at).map_or(usize::MAX, |checkpoint| checkpoint.positions[stream].taken as usize)
    }

    /// Whether nothing from a checkpoint to the next one concerns the sink.
    fn can_skip<S: Sink>(&self, at: usize, sink: &S) -> bool {
        let (checkpoint, next) = (&self.checkpoints[at], self.checkpoints.get(at + 1));
        let span = checkpoint.span;
        if span.from <= span.to && sink.wants(span.from, span.to) {
            return false;
        }
        checkpoint.live.iter().all(|(id, task)| {
            // Open calls that concern the sink: those up to the innermost one that does.
            let wanted = task.frames.iter().rposition(|frame| sink.wants(frame.start, frame.start));
            let Some(innermost) = wanted else { return true };
            let Some(later) = next.and_then(|next| next.task(*id)) else { return false };
            let open = |frames: &[super::Frame]| -> Option<Vec<(Function, u64)>> {
                Some(frames.get(..=innermost)?.iter().map(|frame| (frame.function, frame.start)).collect())
            };
            let stays = open(&task.frames) == open(&later.frames);
            let away = task.running.is_none() && task.switches == later.switches;
            stays && (away || sink.may_miss(TaskId(*id), task, span.since, span.to.max(span.since)))
        })
    }

    /// Tells the sink of functions that have appeared in what it has missed.
    fn tell<S: Sink>(&self, count: usize, told: &mut usize, sink: &mut S) {
        let known = self.totals.sites.known();
        for (number, known) in (*told..count.min(known.len())).zip(&known[(*told).min(known.len())..]) {
            let (address, module) = Sites::as_told(known);
            let module = module.and_then(|id| self.totals.modules.get(id));
            sink.function(Function(number as u32), Site { address, module });
        }
        *told = count.max(*told);
    }
}
