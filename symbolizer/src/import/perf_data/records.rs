// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The records of a perf.data one by one, packed ones unpacked (`perf record -z`). In: the file. Out: type and body of
//! each. Never here: what a body says. Memory: one read-ahead, and one packed record's content, both bounded.
//!
//! ```text
//! record: type, u32 | misc, u16 | size with these 8 bytes, u16 | body
//! ```

use zstd::stream::raw::{Decoder, Operation};

use super::super::input::{Input, number};
use super::super::{ImportError, Notes};

/// Records whose body is a part of a zstd stream of records; of the second kind it says its length.
const COMPRESSED: u32 = 81;
const COMPRESSED_2: u32 = 83;

/// A record that is followed by bytes of which it says how many: hardware traces.
const AUXTRACE: u32 = 71;

/// What is read at once.
const AHEAD: u64 = 1 << 18;

/// A record is smaller than this; what was unpacked and not given is at most so much and one step.
const STEP: usize = 1 << 17;

/// A record.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) kind: u32,
    /// Where it (or the packed one that it comes from) stands in the file.
    pub(super) offset: u64,
    pub(super) body: Vec<u8>,
}

/// All records of a file.
pub(super) struct Records {
    input: Input,
    at: u64,
    end: u64,
    ahead: Vec<u8>,
    ahead_at: u64,
    unpacker: Option<Decoder<'static>>,
    /// What is packed and not unpacked yet.
    packed: Vec<u8>,
    packed_at: usize,
    packed_offset: u64,
    /// The last step had no room for more: zstd may hold what it has made of bytes that are taken already.
    full: bool,
    unpacked: Vec<u8>,
    unpacked_at: usize,
}

impl Records {
    pub(super) fn new(input: Input, at: u64, end: u64) -> Records {
        Records {
            input,
            at,
            end,
            ahead: Vec::new(),
            ahead_at: 0,
            unpacker: None,
            packed: Vec::new(),
            packed_at: 0,
            packed_offset: 0,
            full: false,
            unpacked: Vec::new(),
            unpacked_at: 0,
        }
    }

    /// Where the next record stands.
    pub(super) fn offset(&self) -> u64 {
        self.at
    }

    /// Bytes that follow the last record, outside of records.
    pub(super) fn beside(&mut self, length: u64) -> Result<Vec<u8>, ImportError> {
        let bytes = self.input.read(self.at, length)?;
        // The next record is aligned.
        self.at = self.at.saturating_add(length.next_multiple_of(8)).min(self.end.max(self.at));
        Ok(bytes)
    }

    /// The next one; none at the end, and where something is damaged, which is noted.
    pub(super) fn next(&mut self, notes: &mut Notes) -> Option<Record> {
        loop {
            match self.unpacked(notes) {
                Some(record) => return Some(record),
                None if self.at >= self.end => {
                    if self.unpacked_at < self.unpacked.len() {
                        let path = self.input.path().display();
                        notes.warn(format!("{path}: its last packed record is not whole"));
                        self.unpacked_at = self.unpacked.len();
                    }
                    return None;
                }
                None => {}
            }
            let record = match self.plain() {
                Ok(record) => record,
                Err(error) => {
                    notes.warn(format!("{error} What stands behind that is missing"));
                    self.at = self.end;
                    return None;
                }
            };
            match record.kind {
                COMPRESSED => self.pack(record.body, record.offset),
                COMPRESSED_2 => {
                    let size = number(&record.body, 0, 8, false).unwrap_or(0);
                    let data = record.body.get(8..).unwrap_or_default();
                    let data = &data[..data.len().min(usize::try_from(size).unwrap_or(usize::MAX))];
                    self.pack(data.to_vec(), record.offset);
                }
                AUXTRACE => {
                    let size = number(&record.body, 0, 8, false).unwrap_or(0);
                    self.at = self.at.saturating_add(size).min(self.end);
                }
                _ => return Some(record),
            }
        }
    }

    fn pack(&mut self, bytes: Vec<u8>, offset: u64) {
        (self.packed, self.packed_at, self.packed_offset) = (bytes, 0, offset);
    }

    /// A record of the file itself.
    fn plain(&mut self) -> Result<Record, ImportError> {
        let offset = self.at;
        let head = self.bytes(8)?;
        let (kind, size) = head_of(&head);
        if size < 8 {
            return Err(ImportError::damaged(self.input.path(), offset, format!("a record of {size} bytes")));
        }
        let body = self.bytes(size as u64 - 8)?;
        Ok(Record { kind, offset, body })
    }

    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, ImportError> {
        if length > self.end.saturating_sub(self.at) {
            let what = format!("a record of {length} bytes more, where {} are left", self.end - self.at);
            return Err(ImportError::damaged(self.input.path(), self.at, what));
        }
        let held = self.ahead_at..=self.ahead_at + self.ahead.len() as u64;
        if !(held.contains(&self.at) && held.contains(&(self.at + length))) {
            self.ahead = self.input.read_up_to(self.at, AHEAD.max(length).min(self.end - self.at))?;
            self.ahead_at = self.at;
        }
        let start = (self.at - self.ahead_at) as usize;
        let Some(bytes) = self.ahead.get(start..start + length as usize) else {
            return Err(ImportError::damaged(self.input.path(), self.at, "the file has become shorter"));
        };
        self.at += length;
        Ok(bytes.to_vec())
    }

    /// The next record of what is packed; none if more must be read from the file.
    fn unpacked(&mut self, notes: &mut Notes) -> Option<Record> {
        loop {
            let rest = self.unpacked.get(self.unpacked_at..).unwrap_or_default();
            if rest.len() >= 8 {
                let (kind, size) = head_of(rest);
                if size < 8 {
                    let (path, at) = (self.input.path().display(), self.packed_offset);
                    notes.warn(format!("{path}: damaged at offset {at:#x}: a packed record of {size} bytes"));
                    (self.unpacked_at, self.at) = (self.unpacked.len(), self.end);
                    self.packed.clear();
                    self.full = false;
                    return None;
                }
                if let Some(body) = rest.get(8..size) {
                    let record = Record { kind, offset: self.packed_offset, body: body.to_vec() };
                    self.unpacked_at += size;
                    return Some(record);
                }
            }
            if self.packed_at >= self.packed.len() && !self.full {
                return None;
            }
            self.unpacked.drain(..self.unpacked_at);
            self.unpacked_at = 0;
            if let Err(error) = self.step() {
                let (path, at) = (self.input.path().display(), self.packed_offset);
                notes.warn(format!("{path}: the packed record at {at:#x} cannot be unpacked: {error}"));
                self.packed.clear();
                self.full = false;
                self.at = self.end;
                return None;
            }
        }
    }

    /// Unpacks a bit more.
    fn step(&mut self) -> std::io::Result<()> {
        let unpacker = match &mut self.unpacker {
            Some(unpacker) => unpacker,
            none => none.insert(Decoder::new()?),
        };
        let mut out = vec![0; STEP];
        let rest = self.packed.get(self.packed_at..).unwrap_or_default();
        let status = unpacker.run_on_buffers(rest, &mut out)?;
        self.full = status.bytes_written == out.len();
        if !rest.is_empty() && status.bytes_read == 0 && status.bytes_written == 0 {
            return Err(std::io::Error::other("it makes no progress"));
        }
        self.packed_at += status.bytes_read;
        self.unpacked.extend_from_slice(&out[..status.bytes_written]);
        Ok(())
    }
}

/// Type and size; the bytes are 8 or more.
fn head_of(bytes: &[u8]) -> (u32, usize) {
    let (kind, size) = (number(bytes, 0, 4, false), number(bytes, 6, 2, false));
    (kind.unwrap_or(0) as u32, size.unwrap_or(0) as usize)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_zstd_holds_back_belongs_to_the_last_packed_record() {
        // Two blocks of 100 KB in one packed record: the second is taken whole while there is room for a part of it.
        let (each, count) = (1000usize, 200u32);
        let mut packer = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("a packer");
        for number in 0..count {
            let mut record = vec![0; each];
            record[..4].copy_from_slice(&(1000 + number).to_le_bytes());
            record[6..8].copy_from_slice(&(each as u16).to_le_bytes());
            packer.write_all(&record).expect("it packs");
            if number % 100 == 99 {
                packer.flush().expect("it packs");
            }
        }
        let packed = packer.get_ref().clone();
        let mut file = COMPRESSED.to_le_bytes().to_vec();
        file.extend([0, 0]);
        file.extend((8 + packed.len() as u16).to_le_bytes());
        file.extend(&packed);
        let (end, mut notes) = (file.len() as u64, Notes::default());
        let mut records = Records::new(Input::bytes(file), 0, end);
        let kinds: Vec<u32> = std::iter::from_fn(|| records.next(&mut notes)).map(|record| record.kind).collect();
        assert_eq!(kinds, (1000..1000 + count).collect::<Vec<_>>());
        assert_eq!(notes, Notes::default());
    }
}
