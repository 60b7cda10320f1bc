// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From words to events with whole times. In: the words of one CPU in order, and the time at which
//! each chunk was opened. Out: [`Event`]s. Never here: call trees, tasks' state, allocation; and no
//! panic, whatever the words are.

use crate::event::Event;
use crate::mark::Mark;
use crate::word::{
    EndReason, Escape, KERNEL_HIGH, Kind, PID_ESCAPED, PRIO_BIAS, PRIO_ESCAPED, STATE_ESCAPED, TaskNote, Word,
};

/// The time base that writer and reader hold in step: see "Time" in FORMAT.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeBase {
    /// Bits 32 to 63 of the times of exits, switches and ends.
    pub high: u32,
    /// Bits 31 to 63 of the times of entries.
    pub epoch: u64,
    /// The latest time so far; leaves end within [`crate::word::LEAF_REACH`] of it.
    pub anchor: u64,
}

impl TimeBase {
    /// The base after a full time stamp.
    #[inline]
    pub const fn at(time: u64) -> TimeBase {
        TimeBase { high: (time >> 32) as u32, epoch: time >> 31, anchor: time }
    }

    /// Whole time of an entry word.
    #[inline]
    pub fn entry(&mut self, low31: u32) -> u64 {
        let time = self.epoch << 31 | low31 as u64;
        self.anchor = self.anchor.max(time);
        time
    }

    /// Whole time of a word with 32 time bits.
    #[inline]
    pub fn exit(&mut self, low32: u32) -> u64 {
        let time = (self.high as u64) << 32 | low32 as u64;
        self.anchor = self.anchor.max(time);
        time
    }

    /// Whole end time of a leaf word.
    #[inline]
    pub const fn leaf(&self, end16: u16) -> u64 {
        self.anchor.wrapping_add((end16.wrapping_sub(self.anchor as u16)) as u64)
    }
}

/// Decoder of one CPU's words.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    base: TimeBase,
    pid: Option<u32>,
    prio: Option<u32>,
    state: Option<u32>,
    value: Option<u32>,
    name: [u8; 16],
}

impl Decoder {
    /// A decoder at the start of a chunk that was opened at `tsc`.
    pub fn new(tsc: u64) -> Decoder {
        Decoder { base: TimeBase::at(tsc), ..Decoder::default() }
    }

    /// The next chunk of the same CPU begins here; escapes and names do not reach across.
    pub fn open_chunk(&mut self, tsc: u64) {
        *self = Decoder::new(tsc);
    }

    /// The time base after the words so far.
    pub fn base(&self) -> TimeBase {
        self.base
    }

    /// The same, for who knows what a word is without looking at its bits.
    pub fn base_mut(&mut self) -> &mut TimeBase {
        &mut self.base
    }

    /// Takes the next word. `None` where the word says nothing by itself: unwritten slots (the
    /// caller counts those as damage if they are not the end), time stamps, escapes, parts of names.
    #[inline]
    pub fn push(&mut self, raw: u64) -> Option<Event> {
        match Word::classify(raw) {
            Word::Leaf(w) => {
                let end = self.base.leaf(w.end());
                let start = end.wrapping_sub(w.duration() as u64);
                Some(Event::Leaf { site: KERNEL_HIGH | w.site() as u64, start, end })
            }
            Word::Entry(w) => {
                Some(Event::Entry { site: KERNEL_HIGH | w.site() as u64, time: self.base.entry(w.time()) })
            }
            Word::Control(Kind::Exit, w) => Some(Event::Exit { time: self.base.exit(w.data()) }),
            _ => self.push_rare(raw),
        }
    }

    #[cold]
    fn push_rare(&mut self, raw: u64) -> Option<Event> {
        match Word::classify(raw) {
            Word::Switch(w) => {
                let (pid, prio, state) = (self.pid.take(), self.prio.take(), self.state.take());
                Some(Event::Switch {
                    pid: pid.filter(|_| w.pid() == PID_ESCAPED).unwrap_or(w.pid() as u32),
                    prio: prio
                        .filter(|_| w.prio() == PRIO_ESCAPED)
                        .map_or(w.prio() as i32 - PRIO_BIAS, |value| value as i32),
                    state: state.filter(|_| w.state() == STATE_ESCAPED).unwrap_or(w.state() as u32),
                    time: self.base.exit(w.time()),
                })
            }
            Word::Control(kind, w) => match kind {
                Kind::Time => {
                    self.base = TimeBase::at((w.data() as u64) << 32 | (w.arg() as u64) << 17);
                    None
                }
                Kind::Escape => {
                    match w.arg() {
                        a if a == Escape::Pid as u16 => self.pid = Some(w.data()),
                        a if a == Escape::Prio as u16 => self.prio = Some(w.data()),
                        a if a == Escape::State as u16 => self.state = Some(w.data()),
                        a if a == Escape::Value as u16 => self.value = Some(w.data()),
                        _ => return Some(Event::Other { word: raw }),
                    }
                    None
                }
                Kind::Mark => Some(Event::Mark {
                    mark: Mark::from_code(w.arg()),
                    value: self.value.take().unwrap_or(0),
                    time: self.base.exit(w.data()),
                }),
                Kind::Pad => None,
                Kind::Lost => Some(Event::Lost { count: w.data() }),
                Kind::Name => {
                    let at = (w.arg() as usize & 3) * 4;
                    self.name[at..at + 4].copy_from_slice(&w.data().to_le_bytes());
                    None
                }
                Kind::Task => Some(match w.arg() {
                    a if a == TaskNote::Named as u16 => Event::Named { pid: w.data(), name: self.name },
                    a if a == TaskNote::Ended as u16 => Event::Ended { pid: w.data() },
                    a if a == TaskNote::Running as u16 => Event::Running { pid: w.data() },
                    _ => Event::Other { word: raw },
                }),
                Kind::End => match w.arg() {
                    0 => Some(Event::End { reason: EndReason::PowerOff, time: self.base.exit(w.data()) }),
                    1 => Some(Event::End { reason: EndReason::Stopped, time: self.base.exit(w.data()) }),
                    2 => Some(Event::End { reason: EndReason::Died, time: self.base.exit(w.data()) }),
                    _ => Some(Event::Other { word: raw }),
                },
                // Taken by `push`.
                Kind::Exit => None,
            },
            Word::Unknown(_) => Some(Event::Other { word: raw }),
            _ => None,
        }
    }
}
