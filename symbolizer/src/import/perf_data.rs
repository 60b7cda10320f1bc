// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! perf.data, as `perf record` writes it to a file or a pipe (tools/perf/Documentation/perf.data-file-format.txt,
//! include/uapi/linux/perf_event.h in Linux). In: the file. Out: a stream of its tracepoints, and the clock. Never here:
//! how samples are laid out (`samples`), how records are found and unpacked (`records`).
//!
//! The library for this format, linux-perf-data, allocates what a file says and adds its sizes unchecked, so it is not for
//! files that are not trusted; what we need of the format is little.

mod records;
mod samples;
mod tracing;

use std::collections::BinaryHeap;
use std::path::Path;

use super::format::Formats;
use super::input::{Cursor, Input};
use super::{ImportError, Item, Kind, Lost, Notes, Opened, Stream, Times, wanted};
use crate::host::clock::Conversion;
use crate::host::event::Raw;
use records::{Record, Records};
use samples::{Attribute, Attributes, MOST_ATTRIBUTES};

/// What each begins with.
pub(super) const MAGIC: &[u8] = b"PERFILE2";
/// The same from a big-endian machine.
pub(super) const MAGIC_BIG: &[u8] = b"2ELIFREP";

/// Types of records (`enum perf_event_type`; from 64 on perf's own, tools/perf/util/event.h).
const LOST: u32 = 2;
const SAMPLE: u32 = 9;
const LOST_SAMPLES: u32 = 13;
const HEADER_ATTR: u32 = 64;
const TRACING_DATA: u32 = 66;
const FINISHED_ROUND: u32 = 68;
const TIME_CONV: u32 = 79;

/// The feature that has the descriptions of events.
const FEATURE_TRACING_DATA: usize = 1;
/// Features are a bitmap of so many.
const FEATURES: usize = 256;

/// Most items that are held to be put in order. perf itself says after each look at its buffers what is complete; where it
/// does not, order is lost beyond this, and told.
const MOST_HELD: usize = 1 << 20;

/// The head of a file: where its parts are.
struct Sections {
    attributes: (u64, u64),
    attribute_size: u64,
    data: (u64, u64),
    features: Vec<(usize, (u64, u64))>,
}

/// Opens one.
pub(super) fn open(input: Input) -> Result<Opened, ImportError> {
    let path = input.path().to_path_buf();
    let start = input.read_up_to(0, 16)?;
    if start.starts_with(MAGIC_BIG) {
        let todo = "guests of x86 have hosts of x86, which are little-endian";
        return Err(ImportError::unsupported(&path, "it comes from a big-endian machine", todo));
    }
    let mut head = Head::default();
    let mut cursor = Cursor::new(&path, &start, 0);
    cursor.take(MAGIC.len() as u64)?;
    // A pipe has nothing but these two, and all else as records.
    let data = if cursor.u64()? == 16 {
        (16, input.size().saturating_sub(16))
    } else {
        let sections = sections(&input)?;
        attributes(&input, &sections, &mut head.attributes)?;
        let end = sections.data.0.saturating_add(sections.data.1);
        if end > input.size() {
            return Err(ImportError::damaged(
                &path,
                input.size(),
                format!("it is cut off: its events go on to {end:#x}, and what they mean stands behind them"),
            ));
        }
        if let Some((_, (at, size))) = sections.features.iter().find(|(feature, _)| *feature == FEATURE_TRACING_DATA) {
            tracing::read(&input.read(*at, *size)?, &path, *at, &mut head.formats, &mut head.notes)?;
        }
        sections.data
    };
    let end = data.0.saturating_add(data.1).min(input.size());
    if data.1 == 0 {
        let what = "it has no events: its recorder was killed before it wrote how many";
        return Err(ImportError::unsupported(&path, what, "end perf with Ctrl-C or SIGTERM"));
    }
    if end < data.0.saturating_add(data.1) {
        head.notes.warn(format!("{}: its end is missing: it was cut off", path.display()));
    }
    // What stands before the first sample belongs to the head: the clock's conversion, of pipes everything.
    let mut records = Records::new(input, data.0, end);
    let mut first = None;
    while first.is_none() {
        let Some(record) = records.next(&mut head.notes) else { break };
        if matches!(record.kind, SAMPLE | LOST | LOST_SAMPLES) {
            first = Some(record);
        } else {
            head.take(&record, &mut records, &path)?;
        }
    }
    if wanted::ALL.into_iter().all(|event| !head.formats.has(event)) {
        let what = "none of kvm:kvm_exit, kvm:kvm_hypercall, kvm:kvm_entry, sched:sched_switch was recorded in it";
        return Err(ImportError::unsupported(&path, what, "record with -e kvm:kvm_exit (`symbolize import --help`)"));
    }
    let times = head.times(&path)?;
    let Head { attributes, formats, notes, .. } = head;
    let (order, lost) = (Order::default(), Losses::default());
    let stream = Samples { path, records, first, attributes, formats, order, lost, ended: false };
    Ok(Opened { kind: Kind::PerfData, times, streams: vec![Box::new(stream)], notes })
}

/// What must be known before the first sample.
#[derive(Default)]
struct Head {
    attributes: Attributes,
    formats: Formats,
    conversion: Option<Conversion>,
    notes: Notes,
}

impl Head {
    /// Takes a record that is no sample.
    fn take(&mut self, record: &Record, records: &mut Records, path: &Path) -> Result<(), ImportError> {
        let mut cursor = Cursor::new(path, &record.body, record.offset + 8);
        match record.kind {
            TIME_CONV => {
                let (shift, mult, zero) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
                // The rest is of later versions; the capability is said behind cycles and mask.
                let able = cursor.take(16).and_then(|_| cursor.byte()).map_or(true, |able| able != 0);
                if let (true, 0..64, Ok(mult @ 1..)) = (able, shift, u32::try_from(mult)) {
                    self.conversion = Some(Conversion { shift: shift as u16, mult, zero });
                }
            }
            HEADER_ATTR => {
                let size = record.body.get(4..8).map_or(0, |size| super::input::number(size, 0, 4, false).unwrap_or(0));
                let attribute = Attribute::read(cursor.take(size)?, path, record.offset)?;
                let mut ids = Vec::new();
                while !cursor.is_empty() {
                    ids.push(cursor.u64()?);
                }
                let added = self.attributes.add(attribute, &ids);
                added.map_err(|what| ImportError::damaged(path, record.offset, what))?;
            }
            TRACING_DATA => {
                let size = cursor.u32()?;
                let at = records.offset();
                let text = records.beside(u64::from(size))?;
                tracing::read(&text, path, at, &mut self.formats, &mut self.notes)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What times are.
    fn times(&mut self, path: &Path) -> Result<Times, ImportError> {
        match (self.attributes.clock(), self.conversion) {
            (None, Some(_)) => Ok(Times::Ns { clock: "perf".to_owned(), conversion: self.conversion }),
            (None, None) => {
                self.notes.warn(format!(
                    "{}: perf did not write how its clock and the time stamp counter go together (its host has no \
                     constant one?): guest and host times are matched by what they have in common",
                    path.display()
                ));
                Ok(Times::ns("perf"))
            }
            // `perf record -k`: enum of clock_gettime(2).
            (Some(clock), _) => {
                let name = match clock {
                    1 => "mono".to_owned(),
                    4 => "mono_raw".to_owned(),
                    7 => "boot".to_owned(),
                    11 => "tai".to_owned(),
                    _ => format!("number {clock}"),
                };
                Ok(Times::ns(name))
            }
        }
    }
}

fn sections(input: &Input) -> Result<Sections, ImportError> {
    let head = input.read(0, 104)?;
    let mut cursor = Cursor::new(input.path(), &head, 0);
    cursor.take(16)?;
    let attribute_size = cursor.u64()?;
    let mut section = || -> Result<(u64, u64), ImportError> { Ok((cursor.u64()?, cursor.u64()?)) };
    let (attributes, data, _types) = (section()?, section()?, section()?);
    let bits = cursor.take(FEATURES as u64 / 8)?;
    let mut features = Vec::new();
    // Their sections stand behind the data, in the order of their numbers.
    let Some(table) = data.0.checked_add(data.1) else {
        return Err(ImportError::damaged(input.path(), 40, "the data is said to end beyond all files"));
    };
    let set: Vec<usize> = (0..FEATURES).filter(|bit| bits[bit / 8] >> (bit % 8) & 1 != 0).collect();
    let bytes = input.read_up_to(table, set.len() as u64 * 16)?;
    let mut cursor = Cursor::new(input.path(), &bytes, table);
    for feature in set {
        // Of a recording that was cut off they are missing.
        let (Ok(at), Ok(size)) = (cursor.u64(), cursor.u64()) else { break };
        features.push((feature, (at, size)));
    }
    Ok(Sections { attributes, attribute_size, data, features })
}

fn attributes(input: &Input, sections: &Sections, found: &mut Attributes) -> Result<(), ImportError> {
    let (start, size) = sections.attributes;
    let each = sections.attribute_size;
    let sensible = (64 + 16..=4096).contains(&each) && size / each <= MOST_ATTRIBUTES as u64;
    if !sensible {
        let what = format!("{size} bytes of attributes of {each} bytes");
        return Err(ImportError::damaged(input.path(), 16, what));
    }
    for number in 0..size / each {
        let at = start.saturating_add(number * each);
        let bytes = input.read(at, each)?;
        let mut cursor = Cursor::new(input.path(), &bytes, at);
        let attribute = Attribute::read(cursor.take(each - 16)?, input.path(), at)?;
        let (ids_at, ids_size) = (cursor.u64()?, cursor.u64()?);
        // No more is read than may be kept: all attributes may name the same bytes.
        let ids = input.read(ids_at, ids_size.min(8 * (found.left() as u64 + 1)))?;
        let ids: Vec<u64> = ids.chunks_exact(8).filter_map(|id| super::input::number(id, 0, 8, false)).collect();
        found.add(attribute, &ids).map_err(|what| ImportError::damaged(input.path(), at, what))?;
    }
    Ok(())
}

/// An item in the heap: the earliest on top, and of equal times the one that came first.
#[derive(PartialEq, Eq)]
struct Held {
    time: u64,
    number: u64,
    item: Item,
}

impl Ord for Held {
    fn cmp(&self, other: &Held) -> std::cmp::Ordering {
        (other.time, other.number).cmp(&(self.time, self.number))
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Held) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Puts items in order, round by round, as tools/perf/util/ordered-events.c: what came in the round before the last one
/// is complete up to the latest time of it.
#[derive(Default)]
struct Order {
    heap: BinaryHeap<Held>,
    count: u64,
    latest: u64,
    /// The latest time when the round before this one ended.
    before: u64,
    /// What may go.
    complete: u64,
    /// Time of the last that went.
    last: u64,
    disorder: u64,
}

impl Order {
    fn push(&mut self, item: Item) {
        let time = item.time();
        self.latest = self.latest.max(time);
        self.heap.push(Held { time, number: self.count, item });
        self.count += 1;
    }

    fn round(&mut self) {
        self.complete = self.complete.max(self.before);
        self.before = self.latest;
    }

    fn pop(&mut self, all: bool) -> Option<Item> {
        let ready =
            all || self.heap.len() > MOST_HELD || self.heap.peek().is_some_and(|held| held.time <= self.complete);
        let mut item = ready.then(|| self.heap.pop())??.item;
        if item.time() < self.last {
            self.disorder += 1;
            match &mut item {
                Item::Event(raw) => raw.time = self.last,
                Item::Lost(lost) => lost.time = self.last,
            }
        }
        self.last = item.time();
        Some(item)
    }
}

/// All samples of a file.
struct Samples {
    path: std::path::PathBuf,
    records: Records,
    first: Option<Record>,
    attributes: Attributes,
    formats: Formats,
    order: Order,
    lost: Losses,
    ended: bool,
}

/// Losses are said twice: by the kernel where they were, as far as a later record found room (LOST), and by perf at its
/// end, of each event, with a time of 0 (LOST_SAMPLES, from 6.1 on: tools/perf/builtin-record.c,
/// record__read_lost_samples).
#[derive(Default)]
struct Losses {
    /// Given so far.
    given: u64,
    /// By what perf says at its end.
    at_end: u64,
}

impl Samples {
    fn item(&mut self, record: &Record, notes: &mut Notes) -> Option<Item> {
        match record.kind {
            SAMPLE => {
                let Some(sample) = self.attributes.sample(&record.body) else {
                    let path = self.path.display();
                    notes.warn(format!("{path}: the sample at {:#x} is not as described; left out", record.offset));
                    return None;
                };
                let raw = sample.raw?;
                let Some(time) = sample.time else {
                    notes.warn(format!("{}: samples without times; left out", self.path.display()));
                    return None;
                };
                match self.formats.read(raw)? {
                    Ok(event) => Some(Item::Event(Raw {
                        time,
                        cpu: sample.cpu.unwrap_or(0),
                        thread: event.thread,
                        kind: event.kind,
                    })),
                    Err(()) => {
                        let path = self.path.display();
                        notes.warn(format!("{path}: the event at {:#x} is shorter than described", record.offset));
                        None
                    }
                }
            }
            LOST | LOST_SAMPLES => {
                let at = if record.kind == LOST { 8 } else { 0 };
                let mut count = super::input::number(&record.body, at, 8, false);
                let (time, cpu) = self.attributes.trailer(&record.body);
                let time = time.filter(|&time| time != 0);
                let losses = &mut self.lost;
                if record.kind == LOST_SAMPLES && time.is_none() {
                    losses.at_end = losses.at_end.saturating_add(count.unwrap_or(0));
                    count = Some(losses.at_end.saturating_sub(losses.given)).filter(|&more| more > 0);
                    count?;
                }
                losses.given = losses.given.saturating_add(count.unwrap_or(0));
                // Without a time of its own: now.
                let time = time.unwrap_or(self.order.latest);
                Some(Item::Lost(Lost { time, cpu: cpu.unwrap_or(0), count }))
            }
            _ => None,
        }
    }
}

impl Stream for Samples {
    fn next(&mut self, notes: &mut Notes) -> Option<Item> {
        loop {
            if let Some(item) = self.order.pop(self.ended) {
                if self.order.disorder == 1 {
                    let path = self.path.display();
                    notes.warn(format!("{path}: events stand too far out of order; some have a later time here"));
                }
                return Some(item);
            }
            if self.ended {
                return None;
            }
            let Some(record) = self.first.take().or_else(|| self.records.next(notes)) else {
                self.ended = true;
                continue;
            };
            if record.kind == FINISHED_ROUND {
                self.order.round();
            } else if let Some(item) = self.item(&record, notes) {
                self.order.push(item);
            }
        }
    }
}
