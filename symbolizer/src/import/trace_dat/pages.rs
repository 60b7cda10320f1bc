// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Pages of the kernel's ring buffer (kernel/trace/ring_buffer.c, include/linux/ring_buffer.h). In: a CPU's pages. Out:
//! its events with whole times, and where some were lost. Never here: fields of an event.
//!
//! ```text
//! page:   time of its first event, u64 | bytes used and flags, a long | events
//! event:  type_len (5 bits) | time since the one before (27 bits) | data
//!         type_len 1 to 28: so many words of data; 0: their length in bytes stands in the next word, and counts itself
//!         29: padding, up to the end if its time is 0; 30: more bits of the time; 31: 59 bits of a time
//! ```

use std::sync::Arc;

use super::super::format::{Field, Format, Formats};
use super::super::input;
use super::super::{Item, Lost, Notes, Stream};
use super::packed::Source;
use crate::host::event::Raw;

/// In the bytes used: the size; events were lost before this page; their number stands behind the last event.
const USED: u64 = (1 << 27) - 1;
const MISSED: u64 = 1 << 31;
const COUNTED: u64 = 1 << 30;

const LARGEST_TYPE: u32 = 28;
const PADDING: u32 = 29;
const TIME_EXTEND: u32 = 30;
const TIME_STAMP: u32 = 31;
const DELTA_BITS: u32 = 27;

/// An absolute time has so many bits.
const STAMP_BITS: u32 = 59;

/// Whether the kernel's `header_event` describes what this file reads.
pub(super) fn as_expected(header_event: &str) -> bool {
    let number = |name: &str, mark: &str| {
        let line = header_event.lines().find(|line| line.trim_start().starts_with(name))?;
        let rest = line.rsplit_once(mark)?.1;
        rest.split_whitespace().next()?.parse::<u32>().ok()
    };
    number("type_len", ":") == Some(5)
        && number("time_delta", ":") == Some(DELTA_BITS)
        && number("padding", "==") == Some(PADDING)
        && number("time_extend", "==") == Some(TIME_EXTEND)
        && number("data max type_len", "==") == Some(LARGEST_TYPE)
}

/// Where the head of a page has what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageHead {
    time: (usize, usize),
    used: (usize, usize),
    data: usize,
}

impl PageHead {
    /// From the kernel's `header_page`.
    pub(super) fn read(format: &Format) -> Option<PageHead> {
        let place = |field: &Field| (field.offset, field.size);
        let head = PageHead {
            time: place(format.field("timestamp")?),
            used: place(format.field("commit")?),
            data: format.field("data")?.offset,
        };
        (head.time.1 == 8 && matches!(head.used.1, 4 | 8)).then_some(head)
    }
}

/// What comes next in a page.
enum Next {
    /// An event's record: its place.
    Event(std::ops::Range<usize>),
    /// Nothing.
    End,
}

/// A CPU's events.
pub(super) struct Pages {
    cpu: u32,
    source: Source,
    head: PageHead,
    formats: Arc<Formats>,
    page: Vec<u8>,
    /// Where it comes from in the file.
    offset: u64,
    /// The next event's place in the page, and where they end.
    at: usize,
    end: usize,
    time: u64,
    /// Time of the last item: none may be before it.
    last: u64,
}

impl Pages {
    pub(super) fn new(cpu: u32, source: Source, head: PageHead, formats: Arc<Formats>) -> Pages {
        Pages { cpu, source, head, formats, page: Vec::new(), offset: 0, at: 0, end: 0, time: 0, last: 0 }
    }

    /// Begins the next page; the events lost before it, if it says so.
    fn turn(&mut self, notes: &mut Notes) -> Option<Option<Item>> {
        let offset = self.source.offset();
        let (path, cpu) = (self.source.path().display().to_string(), self.cpu);
        // Nothing is held of a CPU that is through.
        (self.page, self.at, self.end) = (Vec::new(), 0, 0);
        let page = match self.source.next() {
            Ok(page) => page?,
            Err(error) => {
                notes.warn(format!("{error}; events of CPU {cpu} behind that are missing"));
                return None;
            }
        };
        (self.page, self.offset) = (page, offset);
        let field = |(at, size)| input::number(&self.page, at, size, false);
        let (Some(time), Some(used)) = (field(self.head.time), field(self.head.used)) else {
            // A page that was never written to, cut short.
            return Some(None);
        };
        let size = (used & USED) as usize;
        let Some(end) = self.head.data.checked_add(size).filter(|&end| end <= self.page.len()) else {
            notes.warn(format!("{path}: the page of CPU {cpu} at {offset:#x} says that it has {size} bytes; left out"));
            return Some(Some(self.lost(None)));
        };
        (self.at, self.end) = (self.head.data, end);
        if size != 0 {
            self.time = time;
        }
        if used & MISSED == 0 {
            return Some(None);
        }
        let count = if used & COUNTED == 0 { None } else { input::number(&self.page, end, 8, false) };
        Some(Some(self.lost(count)))
    }

    fn lost(&mut self, count: Option<u64>) -> Item {
        self.last = self.last.max(self.time);
        Item::Lost(Lost { time: self.last, cpu: self.cpu, count })
    }

    fn word(&self, at: usize) -> Option<u32> {
        (at.checked_add(4)? <= self.end).then(|| input::number(&self.page, at, 4, false))?.map(|word| word as u32)
    }

    /// The next event's record in the page; none where it can be none, or goes beyond the end.
    fn record(&mut self) -> Option<Next> {
        loop {
            if self.at == self.end {
                return Some(Next::End);
            }
            let head = self.word(self.at)?;
            let (kind, delta) = (head & 31, u64::from(head >> 5));
            let first = self.at + 4;
            // Too large is caught where it is used.
            let length = |pages: &Pages| pages.word(first).map(|word| word as usize);
            match kind {
                TIME_EXTEND => {
                    let more = self.word(first)?;
                    self.time = self.time.wrapping_add(delta).wrapping_add(u64::from(more) << DELTA_BITS);
                    self.at = first + 4;
                }
                TIME_STAMP => {
                    let more = self.word(first)?;
                    let stamp = (u64::from(more) << DELTA_BITS | delta) & ((1 << STAMP_BITS) - 1);
                    let above = self.time >> STAMP_BITS << STAMP_BITS;
                    // The upper bits are those of the time before, or the next.
                    let whole = above | stamp;
                    let carried = if above != 0 && whole < self.time { 1 << STAMP_BITS } else { 0 };
                    self.time = whole.wrapping_add(carried);
                    self.at = first + 4;
                }
                PADDING => {
                    if delta == 0 {
                        return Some(Next::End);
                    }
                    // An event that was discarded: its time has passed all the same.
                    self.time = self.time.wrapping_add(delta);
                    self.at = first.checked_add(length(self)?.max(4))?;
                }
                0 => {
                    self.time = self.time.wrapping_add(delta);
                    let data = first + 4;
                    let length = length(self)?.checked_sub(4)?;
                    self.at = data.checked_add(length.next_multiple_of(4))?;
                    return (data.checked_add(length)? <= self.end).then(|| Next::Event(data..data + length));
                }
                words => {
                    self.time = self.time.wrapping_add(delta);
                    let end = first + words as usize * 4;
                    self.at = end;
                    return (end <= self.end).then_some(Next::Event(first..end));
                }
            }
        }
    }
}

impl Stream for Pages {
    fn next(&mut self, notes: &mut Notes) -> Option<Item> {
        loop {
            let at = self.at;
            let range = match self.record() {
                Some(Next::Event(range)) => range,
                Some(Next::End) => match self.turn(notes)? {
                    Some(lost) => return Some(lost),
                    None => continue,
                },
                None => {
                    let (path, cpu, offset) = (self.source.path().display(), self.cpu, self.offset);
                    notes.warn(format!(
                        "{path}: the page of CPU {cpu} at {offset:#x} is damaged from its byte {at} on; the rest is left \
                         out"
                    ));
                    self.at = self.end;
                    return Some(self.lost(None));
                }
            };
            match self.formats.read(&self.page[range]) {
                None => {}
                Some(Err(())) => {
                    let path = self.source.path().display();
                    notes.warn(format!("{path}: events of CPU {} are shorter than described; left out", self.cpu));
                }
                Some(Ok(record)) => {
                    // A counter of a CPU goes forward; what says otherwise must not break the order.
                    self.last = self.last.max(self.time);
                    let (time, cpu) = (self.last, self.cpu);
                    return Some(Item::Event(Raw { time, cpu, thread: record.thread, kind: record.kind }));
                }
            }
        }
    }
}
