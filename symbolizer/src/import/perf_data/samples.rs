// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a sample consists of, as the event's attribute says (`struct perf_event_attr`, `PERF_RECORD_SAMPLE` in
//! include/uapi/linux/perf_event.h). In: attributes, bodies of records. Out: time, CPU and a tracepoint's own bytes.
//! Never here: what those say.

use std::collections::HashMap;
use std::path::Path;

use super::super::ImportError;
use super::super::input::{Cursor, number};

/// `enum perf_event_sample_format`.
const IP: u64 = 1 << 0;
const TID: u64 = 1 << 1;
const TIME: u64 = 1 << 2;
const ADDR: u64 = 1 << 3;
const READ: u64 = 1 << 4;
const CALLCHAIN: u64 = 1 << 5;
const ID: u64 = 1 << 6;
const CPU: u64 = 1 << 7;
const PERIOD: u64 = 1 << 8;
const STREAM_ID: u64 = 1 << 9;
const RAW: u64 = 1 << 10;
const IDENTIFIER: u64 = 1 << 16;

/// `enum perf_event_read_format`.
const TOTAL_TIME_ENABLED: u64 = 1 << 0;
const TOTAL_TIME_RUNNING: u64 = 1 << 1;
const READ_ID: u64 = 1 << 2;
const GROUP: u64 = 1 << 3;
const READ_LOST: u64 = 1 << 4;

/// Bits of the attribute's flags.
const SAMPLE_ID_ALL: u64 = 1 << 18;
const USE_CLOCKID: u64 = 1 << 25;

/// `PERF_TYPE_TRACEPOINT`.
const TRACEPOINT: u32 = 2;

/// Most attributes: one for each event and so few.
pub(super) const MOST_ATTRIBUTES: usize = 4096;

/// Most IDs of all of them: one for each event and CPU.
const MOST_IDS: usize = 1 << 20;

/// An event that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    kind: u32,
    sample: u64,
    read: u64,
    flags: u64,
    clock: i32,
}

impl Attribute {
    /// From its bytes, at `offset` of the file.
    pub(super) fn read(bytes: &[u8], path: &Path, offset: u64) -> Result<Attribute, ImportError> {
        let field = |at, size| {
            let found = number(bytes, at, size, false);
            found.ok_or_else(|| ImportError::damaged(path, offset, format!("an attribute of {} bytes", bytes.len())))
        };
        Ok(Attribute {
            kind: field(0, 4)? as u32,
            sample: field(24, 8)?,
            read: field(32, 8)?,
            flags: field(40, 8)?,
            // Not there in the first versions.
            clock: number(bytes, 92, 4, true).unwrap_or(0) as i32,
        })
    }
}

/// A sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample<'a> {
    pub(super) time: Option<u64>,
    pub(super) cpu: Option<u32>,
    /// The tracepoint's bytes, if it is one.
    pub(super) raw: Option<&'a [u8]>,
}

/// All attributes.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes {
    all: Vec<Attribute>,
    by_id: HashMap<u64, usize>,
    /// IDs so far, such as were named again too.
    ids: usize,
    /// One of them has an ID at the one place.
    identified: bool,
}

impl Attributes {
    /// IDs that may still come.
    pub(super) fn left(&self) -> usize {
        MOST_IDS - self.ids
    }

    /// Takes one with its IDs; says what is too much.
    pub(super) fn add(&mut self, attribute: Attribute, ids: &[u64]) -> Result<(), &'static str> {
        if self.all.len() >= MOST_ATTRIBUTES {
            return Err("too many attributes");
        }
        if ids.len() > self.left() {
            return Err("too many IDs of events");
        }
        self.ids += ids.len();
        self.identified |= attribute.sample & IDENTIFIER != 0;
        for &id in ids {
            self.by_id.insert(id, self.all.len());
        }
        self.all.push(attribute);
        Ok(())
    }

    /// The clock that was asked for; none: perf's own.
    pub(super) fn clock(&self) -> Option<i32> {
        let tracepoint = self.all.iter().find(|attribute| attribute.kind == TRACEPOINT).or(self.all.first())?;
        (tracepoint.flags & USE_CLOCKID != 0).then_some(tracepoint.clock)
    }

    /// Of the event with this ID, which stands at one place for all of them if they differ in what they have.
    fn of(&self, id: Option<u64>) -> Option<&Attribute> {
        let known = id.and_then(|id| self.by_id.get(&id)).and_then(|&number| self.all.get(number));
        // All alike, where no ID was written.
        known.or_else(|| self.all.first().filter(|first| first.sample & IDENTIFIER == 0 || self.all.len() == 1))
    }

    /// Reads a sample's body; none if it is too short.
    pub(super) fn sample<'a>(&self, body: &'a [u8]) -> Option<Sample<'a>> {
        let attribute = self.of(if self.identified { number(body, 0, 8, false) } else { None })?;
        let mut cursor = Cursor::new(Path::new(""), body, 0);
        let has = |bit| attribute.sample & bit != 0;
        let word = |bit: u64, cursor: &mut Cursor<'a>| -> Option<Option<u64>> {
            if has(bit) { cursor.u64().ok().map(Some) } else { Some(None) }
        };
        for skipped in [IDENTIFIER, IP, TID] {
            word(skipped, &mut cursor)?;
        }
        let time = word(TIME, &mut cursor)?;
        for skipped in [ADDR, ID, STREAM_ID] {
            word(skipped, &mut cursor)?;
        }
        let cpu = word(CPU, &mut cursor)?.map(|cpu| cpu as u32);
        word(PERIOD, &mut cursor)?;
        if has(READ) {
            cursor.take(8 * self.words_read(attribute, &cursor)?).ok()?;
        }
        if has(CALLCHAIN) {
            let depth = cursor.u64().ok()?;
            cursor.take(depth.checked_mul(8)?).ok()?;
        }
        let mut raw = None;
        if has(RAW) {
            let size = cursor.u32().ok()?;
            raw = Some(cursor.take(size.into()).ok()?).filter(|_| attribute.kind == TRACEPOINT);
        }
        Some(Sample { time, cpu, raw })
    }

    /// Length of the values of counters.
    fn words_read(&self, attribute: &Attribute, cursor: &Cursor<'_>) -> Option<u64> {
        let has = |bit| u64::from(attribute.read & bit != 0);
        let (times, each) = (has(TOTAL_TIME_ENABLED) + has(TOTAL_TIME_RUNNING), 1 + has(READ_ID) + has(READ_LOST));
        if attribute.read & GROUP == 0 {
            return Some(times + each);
        }
        let count = cursor.clone().u64().ok()?;
        let words = count.checked_mul(each)?.checked_add(1 + times)?;
        (words < 1 << 16).then_some(words)
    }

    /// Time and CPU of a record that is no sample, from its end (`struct sample_id`).
    pub(super) fn trailer(&self, body: &[u8]) -> (Option<u64>, Option<u32>) {
        let last = body.len().checked_sub(8).and_then(|at| number(body, at, 8, false));
        let Some(attribute) = self.of(last.filter(|_| self.identified)) else { return (None, None) };
        if attribute.flags & SAMPLE_ID_ALL == 0 {
            return (None, None);
        }
        let mut at = body.len();
        let (mut time, mut cpu) = (None, None);
        for bit in [IDENTIFIER, CPU, STREAM_ID, ID, TIME, TID] {
            if attribute.sample & bit == 0 {
                continue;
            }
            let Some(start) = at.checked_sub(8) else { break };
            at = start;
            match bit {
                TIME => time = number(body, at, 8, false),
                CPU => cpu = number(body, at, 4, false).map(|cpu| cpu as u32),
                _ => {}
            }
        }
        (time, cpu)
    }
}
