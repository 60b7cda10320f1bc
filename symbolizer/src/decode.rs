// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From blocks of raw words to compact events, one CPU at a time. In: a [`Block`] of a trace. Out: a
//! [`Batch`] of [`Event`]s, 16 bytes each, with whole times. Never here: DWARF, call stacks, the
//! layout of the trace's files.
//!
//! - [`source`]: where blocks come from (a trace directory, or memory in tests);
//! - [`pipeline`]: threads that read and decode ahead of the one that consumes.

pub mod pipeline;
pub mod source;

use std::ops::Range;

use early_ftrace_format::decode::{Decoder, TimeBase};
use early_ftrace_format::event::Event as Full;
use early_ftrace_format::word::LOWEST_FUNCTION;

use crate::trace_dir::{self, Block, Gap, Output};

/// One event in 16 bytes: the frequent kinds are here whole, the others are in [`Batch::rare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Ticks: of the entry, of the exit, or the latest time so far for what has no time of its own.
    pub time: u64,
    /// From [`LOWEST_FUNCTION`] up: low half of a site (an entry or a leaf call). Else [`Event::EXIT`]
    /// or [`Event::RARE`].
    pub code: u32,
    /// Of a function: ticks of a leaf call, or [`Event::ENTRY`]. Of a rare event: which.
    pub extra: u32,
}

impl Event {
    /// [`Event::code`] of the return of the innermost open function.
    pub const EXIT: u32 = 1;
    /// [`Event::code`] of an event in [`Batch::rare`].
    pub const RARE: u32 = 2;
    /// [`Event::extra`] of an entry; leaf durations have 15 bits.
    pub const ENTRY: u32 = u32::MAX;

    /// Whether this is an entry or a leaf call.
    #[inline]
    pub const fn is_function(&self) -> bool {
        self.code >= LOWEST_FUNCTION
    }
}

/// What is not an entry, an exit or a leaf call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rare {
    /// As the guest wrote it.
    Event(Full),
    /// A slot that was reserved and never written, amid written ones: one event is lost here.
    Unwritten,
}

/// The events of one chunk of the guest's ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Number of the chunk on its CPU.
    pub seq: u64,
    /// Ticks when the chunk was opened.
    pub tsc: u64,
    /// Events lost before it.
    pub lost: u64,
    /// Pid of the task that ran then.
    pub pid: u32,
    /// Open frames on the guest's shadow stack of that task.
    pub depth: u32,
    /// Which of the batch's events.
    pub events: Range<usize>,
}

/// A decoded block, or the gap that stands in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Why there is nothing, for a block that cannot be read.
    pub gap: Option<Gap>,
    /// The chunks, in order.
    pub runs: Vec<Run>,
    /// The events of all runs.
    pub events: Vec<Event>,
    /// What [`Event::RARE`] points to.
    pub rare: Vec<Rare>,
    /// Entries and exits; a leaf call is two.
    pub weight: u64,
    /// Words that the batch was made of.
    pub words: u64,
}

impl Batch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.gap = None;
        self.runs.clear();
        self.events.clear();
        self.rare.clear();
        self.weight = 0;
        self.words = 0;
    }

    /// Decodes `block` into this batch, in place of what was there. A run whose word range lies
    /// outside the block (a damaged index) becomes a gap.
    pub fn fill(&mut self, block: &Block) {
        let mut filling = Filling::new(self);
        for run in &block.runs {
            let Some(words) = block.words.get(run.words.clone()) else {
                let reason = format!("chunk {} lies outside its block", run.seq);
                filling.batch.gap = Some(Gap { offset: 0, reason });
                break;
            };
            filling.open(run);
            words.iter().for_each(|&word| trace_dir::put(&mut filling, word));
            filling.close(run);
        }
    }
}

/// A batch that takes a block's words.
pub struct Filling<'a> {
    batch: &'a mut Batch,
    decoder: Decoder,
    /// Time base of the run, while the decoder does not need it.
    base: TimeBase,
    /// Slots without a word since the last word.
    unwritten: usize,
    /// The first event of the run, and the first rare one.
    from: (usize, usize),
    leaves: u64,
}

impl<'a> Filling<'a> {
    /// Empties the batch.
    pub fn new(batch: &'a mut Batch) -> Filling<'a> {
        batch.clear();
        Filling { batch, decoder: Decoder::default(), base: TimeBase::default(), unwritten: 0, from: (0, 0), leaves: 0 }
    }

    /// The block has turned out to be damaged: there is a gap in its place.
    pub fn fail(self, gap: Gap) {
        self.batch.clear();
        self.batch.gap = Some(gap);
    }

    #[inline(always)]
    fn push(&mut self, event: Event) {
        if self.unwritten > 0 {
            self.damage();
        }
        self.batch.events.push(event);
    }

    /// Slots amid words are damage; those that were never used, at the end of the last chunk, are not.
    #[cold]
    #[inline(never)]
    fn damage(&mut self) {
        for _ in 0..std::mem::take(&mut self.unwritten) {
            self.push_rare(Rare::Unwritten);
        }
    }

    fn push_rare(&mut self, rare: Rare) {
        let time = match rare {
            Rare::Event(Full::Switch { time, .. } | Full::End { time, .. } | Full::Mark { time, .. }) => time,
            _ => self.base.anchor,
        };
        let extra = self.batch.rare.len() as u32;
        self.batch.events.push(Event { time, code: Event::RARE, extra });
        self.batch.rare.push(rare);
    }
}

impl Output for Filling<'_> {
    fn open(&mut self, run: &trace_dir::Run) {
        self.decoder = Decoder::new(run.tsc);
        self.base = self.decoder.base();
        self.unwritten = 0;
        self.leaves = 0;
        self.from = (self.batch.events.len(), self.batch.rare.len());
        self.batch.events.reserve(run.words.len());
    }

    #[inline(always)]
    fn entry(&mut self, site: u32, time: u32) {
        let time = self.base.entry(time);
        self.push(Event { time, code: site, extra: Event::ENTRY });
    }

    #[inline(always)]
    fn exit(&mut self, time: u32) {
        let time = self.base.exit(time);
        self.push(Event { time, code: Event::EXIT, extra: 0 });
    }

    #[inline(always)]
    fn leaf(&mut self, site: u32, end: u16, ticks: u32) {
        let time = self.base.leaf(end).wrapping_sub(u64::from(ticks));
        self.push(Event { time, code: site, extra: ticks });
        self.leaves += 1;
    }

    #[inline(never)]
    fn other(&mut self, word: u64) {
        if word as u32 == 0 {
            self.unwritten += 1;
            return;
        }
        self.damage();
        *self.decoder.base_mut() = self.base;
        let event = self.decoder.push(word);
        self.base = self.decoder.base();
        if let Some(event) = event {
            self.push_rare(Rare::Event(event));
        }
    }

    fn close(&mut self, run: &trace_dir::Run) {
        let batch = &mut *self.batch;
        batch.words += run.words.len() as u64;
        let events = self.from.0..batch.events.len();
        batch.weight += (events.len() - (batch.rare.len() - self.from.1)) as u64 + self.leaves;
        batch.runs.push(Run { seq: run.seq, tsc: run.tsc, lost: run.lost, pid: run.pid, depth: run.depth, events });
    }
}

#[cfg(test)]
mod tests {
    use early_ftrace_format::encode::Encoder;
    use proptest::prelude::*;

    use super::*;
    use crate::trace_dir;

    const F: u64 = 0xffff_ffff_8100_1005;

    fn block(words: Vec<u64>) -> Block {
        let run = trace_dir::Run { seq: 0, tsc: 1 << 40, lost: 0, pid: 1, depth: 0, words: 0..words.len() };
        Block { runs: vec![run], words }
    }

    #[test]
    fn unwritten_slots_amid_words_are_damage_and_at_the_end_are_not() {
        let mut encoder = Encoder::new(1 << 40);
        let mut words = Vec::new();
        encoder.push(Full::Entry { site: F, time: (1 << 40) + 1 }, |w| words.push(w)).unwrap();
        words.push(0xdead_0000_0000_0000);
        encoder.push(Full::Exit { time: (1 << 40) + 9 }, |w| words.push(w)).unwrap();
        words.extend([0, 0, 0]);
        let mut batch = Batch::default();
        batch.fill(&block(words));
        assert_eq!(batch.rare, [Rare::Unwritten]);
        assert_eq!(batch.events.len(), 3);
        assert_eq!(batch.weight, 2);
        assert_eq!(batch.events[0], Event { time: (1 << 40) + 1, code: F as u32, extra: Event::ENTRY });
        assert_eq!(batch.events[1].code, Event::RARE);
    }

    #[test]
    fn a_run_outside_its_block_is_a_gap() {
        let mut bad = block(vec![0; 4]);
        bad.runs[0].words = 2..9;
        let mut batch = Batch::default();
        batch.fill(&bad);
        assert!(batch.gap.is_some());
    }

    proptest! {
        #[test]
        fn any_words_decode_without_panic(words in proptest::collection::vec(any::<u64>(), 0..200)) {
            let mut batch = Batch::default();
            batch.fill(&block(words.clone()));
            prop_assert!(batch.events.len() <= words.len());
        }
    }
}
