// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The columns of a block and their way to bytes: each column by itself through zstd, or stored when
//! that is no shorter, behind a table of their sizes. In and out: [`Columns`] and a payload. Never
//! here: what stands in the columns.

use super::model::STREAMS;
use super::number::{put_number, take_number};

/// Numbers of the columns in the payload's table.
pub const CODES: usize = 0;
/// Low bytes of dictionary indices.
pub const IDS_LOW: usize = 1;
/// High bytes of dictionary indices.
pub const IDS_HIGH: usize = 2;
/// Tokens that come for the first time, four bytes each.
pub const TOKENS: usize = 3;
/// Words without columns of their own, eight bytes each.
pub const OTHERS: usize = 4;
/// Values that have no class, four bytes each.
pub const WIDE: usize = 5;
/// Raw bits of all values.
pub const BITS: usize = 6;
/// First stream of the classes of gaps.
pub const GAPS: usize = 7;
/// First stream of the classes of durations.
pub const DURATIONS: usize = GAPS + STREAMS;
/// The runs.
pub const RUNS: usize = DURATIONS + STREAMS;
/// Number of columns.
pub const COUNT: usize = RUNS + 1;

/// A column shorter than this gains nothing from zstd.
const SMALL: usize = 24;

/// Bytes of padding behind the bits in [`Unpacked`].
pub const PADDING: usize = 8;

/// Bytes of each column.
pub type Columns = [Vec<u8>; COUNT];

/// All columns of a block in one buffer; its memory and the decompressor's serve block after block.
pub struct Unpacked {
    zstd: zstd::bulk::Decompressor<'static>,
    bytes: Vec<u8>,
    ends: [usize; COUNT + 1],
}

/// Why a payload has no columns.
#[derive(Debug, PartialEq, Eq)]
pub struct BadPayload(pub &'static str);

/// Packs columns; holds the compressor's memory between blocks.
pub struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    scratch: Vec<u8>,
}

impl Packer {
    /// A packer of this zstd level.
    ///
    /// # Errors
    /// When zstd refuses the level or gets no memory.
    pub fn new(level: i32) -> std::io::Result<Packer> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        // The table has the size already.
        compressor.include_contentsize(false)?;
        Ok(Packer { compressor, scratch: Vec::new() })
    }

    /// Packs the columns: the table (raw size, packed size or 0 for "stored"), then the bytes.
    ///
    /// # Errors
    /// When zstd fails, which it does for want of memory only.
    pub fn pack(&mut self, columns: &Columns) -> std::io::Result<Vec<u8>> {
        let mut table = Vec::with_capacity(COUNT * 4);
        let mut body = Vec::with_capacity(columns.iter().map(Vec::len).sum::<usize>() / 2);
        for column in columns {
            put_number(&mut table, column.len() as u64);
            let mut packed = 0;
            if column.len() >= SMALL {
                self.scratch.resize(zstd::zstd_safe::compress_bound(column.len()), 0);
                packed = self.compressor.compress_to_buffer(column, &mut self.scratch[..])?;
            }
            if packed == 0 || packed >= column.len() {
                put_number(&mut table, 0);
                body.extend_from_slice(column);
            } else {
                put_number(&mut table, packed as u64);
                body.extend_from_slice(&self.scratch[..packed]);
            }
        }
        table.extend_from_slice(&body);
        Ok(table)
    }
}

impl Unpacked {
    /// No columns yet.
    ///
    /// # Errors
    /// When zstd gets no memory.
    pub fn new() -> std::io::Result<Unpacked> {
        Ok(Unpacked { zstd: zstd::bulk::Decompressor::new()?, bytes: vec![0; PADDING], ends: [0; COUNT + 1] })
    }

    /// Unpacks a payload whose columns may hold `limit` bytes together.
    ///
    /// # Errors
    /// What is wrong with the payload; there are no columns then.
    pub fn fill(&mut self, payload: &[u8], limit: usize) -> Result<(), BadPayload> {
        self.ends = [0; COUNT + 1];
        self.unpack(payload, limit).inspect_err(|_| self.ends = [0; COUNT + 1])
    }

    fn unpack(&mut self, mut payload: &[u8], limit: usize) -> Result<(), BadPayload> {
        let mut sizes = [(0usize, 0usize); COUNT];
        let mut total = 0usize;
        for size in &mut sizes {
            let raw = take_number(&mut payload).ok_or(BadPayload("the table of columns is cut off"))?;
            let packed = take_number(&mut payload).ok_or(BadPayload("the table of columns is cut off"))?;
            let (Ok(raw), Ok(packed)) = (usize::try_from(raw), usize::try_from(packed)) else {
                return Err(BadPayload("a column's size is out of bounds"));
            };
            total = total.checked_add(raw).ok_or(BadPayload("a column's size is out of bounds"))?;
            if total > limit {
                return Err(BadPayload("the columns are larger than the block's words allow"));
            }
            *size = (raw, packed);
        }
        self.bytes.resize(total + PADDING, 0);
        for (index, (raw, packed)) in sizes.into_iter().enumerate() {
            let start = self.ends[index];
            let end = start + raw;
            let stored = if packed == 0 { raw } else { packed };
            let (column, rest) =
                payload.split_at_checked(stored).ok_or(BadPayload("a column reaches beyond the payload"))?;
            payload = rest;
            if packed == 0 {
                self.bytes[start..end].copy_from_slice(column);
            } else {
                let got = self.zstd.decompress_to_buffer(column, &mut self.bytes[start..end]);
                if got.ok() != Some(raw) {
                    return Err(BadPayload("a column does not decompress to its size"));
                }
            }
            self.ends[index + 1] = end;
        }
        if !payload.is_empty() {
            return Err(BadPayload("bytes are left behind the columns"));
        }
        Ok(())
    }

    /// A column.
    pub fn column(&self, index: usize) -> &[u8] {
        &self.bytes[self.ends[index]..self.ends[index + 1]]
    }

    /// A column with the [`PADDING`] bytes that follow it, whatever they are.
    pub fn padded(&self, index: usize) -> &[u8] {
        &self.bytes[self.ends[index]..self.ends[index + 1] + PADDING]
    }

    /// All bytes, and where in them the columns `first` to `first + N` lie.
    pub fn streams<const N: usize>(&self, first: usize) -> (&[u8], [(usize, usize); N]) {
        let mut ranges = [(0, 0); N];
        for (n, range) in ranges.iter_mut().enumerate() {
            *range = (self.ends[first + n], self.ends[first + n + 1]);
        }
        (&self.bytes, ranges)
    }
}
