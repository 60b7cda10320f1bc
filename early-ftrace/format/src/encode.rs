// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From events to words. In: events of one CPU in any order of time. Out: words, through a sink.
//! Used by the guest for everything that its assembly does not write itself, by the host for the end
//! of a stream, and by the tests as the reference. Nothing is ever cut to fit: what has no word is
//! an error, what does not fit a field goes out with escapes or as more words.

use crate::decode::TimeBase;
use crate::event::Event;
use crate::mark::Mark;
use crate::word::{
    Escape, KERNEL_HIGH, Kind, LEAF_DURATION_MAX, LEAF_REACH, LOWEST_FUNCTION, PID_ESCAPED, PRIO_BIAS, PRIO_ESCAPED,
    STATE_ESCAPED, TaskNote, Word, control,
};

/// The event has no word in this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// A site below [`LOWEST_FUNCTION`] or outside the top 4 GiB.
    Site(u64),
    /// [`Event::Other`] with a word that means something by itself.
    NotOther(u64),
    /// A leaf that ends before it starts.
    Backwards {
        /// Ticks at entry.
        start: u64,
        /// Ticks at exit.
        end: u64,
    },
}

/// Encoder of one CPU's words.
#[derive(Clone, Debug)]
pub struct Encoder {
    base: TimeBase,
}

impl Encoder {
    /// An encoder at the start of a chunk that was opened at `tsc`.
    pub fn new(tsc: u64) -> Encoder {
        Encoder { base: TimeBase::at(tsc) }
    }

    /// An encoder that goes on from a base.
    pub fn resume(base: TimeBase) -> Encoder {
        Encoder { base }
    }

    /// The time base after the words so far.
    pub fn base(&self) -> TimeBase {
        self.base
    }

    /// Encodes one event; `sink` gets each word in order.
    ///
    /// # Errors
    /// See [`EncodeError`]; nothing was written then.
    pub fn push(&mut self, event: Event, mut sink: impl FnMut(u64)) -> Result<(), EncodeError> {
        match event {
            Event::Entry { site, time } => self.entry(checked(site)?, time, &mut sink),
            Event::Exit { time } => self.exit(Kind::Exit, 0, time, &mut sink),
            Event::Leaf { site, start, end } => {
                let site = checked(site)?;
                let duration = end.checked_sub(start).ok_or(EncodeError::Backwards { start, end })?;
                if duration <= LEAF_DURATION_MAX && end.wrapping_sub(self.base.anchor) < LEAF_REACH {
                    sink(leaf_word(site, duration as u16, end as u16));
                } else {
                    self.entry(site, start, &mut sink);
                    self.exit(Kind::Exit, 0, end, &mut sink);
                }
            }
            Event::Switch { state, prio, pid, time } => {
                self.reach(time, &mut sink);
                self.base.exit(time as u32);
                switch_words(state, prio, pid, time as u32, &mut sink);
            }
            Event::Lost { count } => sink(control(Kind::Lost, 0, count)),
            Event::Named { pid, name } => {
                let name = u128::from_le_bytes(name);
                named_words(pid, name as u64, (name >> 64) as u64, &mut sink);
            }
            Event::Ended { pid } => sink(control(Kind::Task, TaskNote::Ended as u16, pid)),
            Event::Running { pid } => sink(control(Kind::Task, TaskNote::Running as u16, pid)),
            Event::End { reason, time } => self.exit(Kind::End, reason as u16, time, &mut sink),
            Event::Mark { mark, value, time } => {
                self.reach(time, &mut sink);
                self.base.exit(time as u32);
                for word in mark_words(mark, value, time as u32) {
                    sink(word);
                }
            }
            Event::Other { word } => match Word::classify(word) {
                Word::Unknown(_) => sink(word),
                _ => return Err(EncodeError::NotOther(word)),
            },
        }
        Ok(())
    }

    fn entry(&mut self, site: u32, time: u64, sink: &mut impl FnMut(u64)) {
        if time >> 31 != self.base.epoch {
            self.stamp(time, sink);
        }
        let low = time as u32 & 0x7fff_ffff;
        self.base.entry(low);
        sink(entry_word(site, low));
    }

    fn exit(&mut self, kind: Kind, arg: u16, time: u64, sink: &mut impl FnMut(u64)) {
        self.reach(time, sink);
        self.base.exit(time as u32);
        sink(control(kind, arg, time as u32));
    }

    fn reach(&mut self, time: u64, sink: &mut impl FnMut(u64)) {
        if (time >> 32) as u32 != self.base.high {
            self.stamp(time, sink);
        }
    }

    fn stamp(&mut self, time: u64, sink: &mut impl FnMut(u64)) {
        sink(time_word(time));
        self.base = TimeBase::at(coarse(time));
    }
}

/// The part of a time that a time word carries: its low 17 bits are zero.
#[inline]
pub const fn coarse(time: u64) -> u64 {
    time & !((1 << 17) - 1)
}

/// The time word for `time`.
#[inline]
pub const fn time_word(time: u64) -> u64 {
    control(Kind::Time, (time >> 17) as u16 & 0x7fff, (time >> 32) as u32)
}

/// The entry word; `time` is its low 31 bits.
#[inline]
pub const fn entry_word(site: u32, time: u32) -> u64 {
    site as u64 | (time as u64 & 0x7fff_ffff) << 32
}

/// The leaf word; `duration` is below 2^15.
#[inline]
pub const fn leaf_word(site: u32, duration: u16, end: u16) -> u64 {
    site as u64 | (duration as u64 & 0x7fff) << 32 | (end as u64) << 47 | 1 << 63
}

/// The words of a context switch: escapes for what does not fit, then the switch word.
#[inline]
pub fn switch_words(state: u32, prio: i32, pid: u32, time: u32, sink: &mut impl FnMut(u64)) {
    let small_pid = if pid < PID_ESCAPED as u32 {
        pid as u16
    } else {
        sink(control(Kind::Escape, Escape::Pid as u16, pid));
        PID_ESCAPED
    };
    let small_state = if state < STATE_ESCAPED as u32 {
        state as u8
    } else {
        sink(control(Kind::Escape, Escape::State as u16, state));
        STATE_ESCAPED
    };
    let biased = prio.wrapping_add(PRIO_BIAS);
    // A low half of zero means "not written": the idle task at priority -1 in state 0 would be that.
    let zero = small_pid == 0 && small_state == 0 && biased == 0;
    let small_prio = if biased >= 0 && biased < PRIO_ESCAPED as i32 && !zero {
        biased as u8
    } else {
        sink(control(Kind::Escape, Escape::Prio as u16, prio as u32));
        PRIO_ESCAPED
    };
    sink(small_pid as u64 | (small_state as u64) << 15 | (small_prio as u64) << 23 | (time as u64) << 32);
}

/// The words that give a task its name: 16 bytes as two little-endian halves (the guest has no use for
/// arrays, which the compiler moves through vector registers).
#[inline]
pub fn named_words(pid: u32, low: u64, high: u64, sink: &mut impl FnMut(u64)) {
    sink(control(Kind::Name, 0, low as u32));
    sink(control(Kind::Name, 1, (low >> 32) as u32));
    sink(control(Kind::Name, 2, high as u32));
    sink(control(Kind::Name, 3, (high >> 32) as u32));
    sink(control(Kind::Task, TaskNote::Named as u16, pid));
}

/// The two words of a mark.
#[inline]
pub const fn mark_words(mark: Mark, value: u32, time: u32) -> [u64; 2] {
    [control(Kind::Escape, Escape::Value as u16, value), control(Kind::Mark, mark.code(), time)]
}

fn checked(site: u64) -> Result<u32, EncodeError> {
    if site & KERNEL_HIGH == KERNEL_HIGH && site as u32 >= LOWEST_FUNCTION {
        Ok(site as u32)
    } else {
        Err(EncodeError::Site(site))
    }
}
