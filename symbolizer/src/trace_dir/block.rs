// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A block of a `cpuN.eft` file: the header, and the way of runs and words to bytes and back. Every
//! block can be read by itself. In: runs and words, or bytes. Out: bytes, or a [`Block`]. Never
//! here: files.

use super::columns::{self, BadPayload, Columns, Packer, Unpacked};
use super::decode::{Output, Tables};
use super::model::{EXIT, LEAF_BIT, OTHER, token};
use super::number::{put_number, take_number};
use super::{Block, Run, decode, encode};
use early_ftrace_format::decode::Decoder;
use early_ftrace_format::word::{Kind, Word};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// [`BlockHeader::magic`].
pub const MAGIC: u64 = u64::from_le_bytes(*b"eftBlock");

/// Version of the blocks.
pub const VERSION: u32 = super::meta::TRACE_VERSION;

/// Most words that a block may hold.
pub const MAX_WORDS: u32 = 1 << 20;

/// Most runs that a block may hold.
pub const MAX_RUNS: u32 = 1 << 16;

/// Level of zstd. The columns are small numbers already; a higher level costs the recorder more time
/// than it saves space.
pub const LEVEL: i32 = 1;

/// First bytes of a block, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BlockHeader {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// `size_of::<BlockHeader>()` of the writer; the payload follows.
    pub header_size: u32,
    /// Number of the block on its CPU, from 0.
    pub number: u64,
    /// Time at which the first chunk was opened.
    pub first_tsc: u64,
    /// Latest time in the last run.
    pub last_tsc: u64,
    /// Entries and exits.
    pub events: u64,
    /// Events lost before or in the block.
    pub lost: u64,
    /// The CPU.
    pub cpu: u32,
    /// Runs.
    pub runs: u32,
    /// Words.
    pub words: u32,
    /// Bytes of the payload.
    pub payload_size: u32,
    /// CRC-32 of the payload.
    pub payload_crc: u32,
    /// CRC-32 of the header up to here.
    pub header_crc: u32,
}

/// Size of the header.
pub const HEADER_SIZE: usize = size_of::<BlockHeader>();

const _: () = assert!(HEADER_SIZE == 80);

impl BlockHeader {
    /// CRC-32 of everything before `header_crc`.
    fn crc(&self) -> u32 {
        crc32fast::hash(&self.as_bytes()[..HEADER_SIZE - 4])
    }

    /// Reads and checks a header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8; HEADER_SIZE]) -> Result<BlockHeader, &'static str> {
        let header = BlockHeader::read_from_bytes(bytes).map_err(|_| "a block header has another size")?;
        if header.magic != MAGIC {
            Err("no block begins here")
        } else if header.header_crc != header.crc() {
            Err("the checksum of a block header is wrong")
        } else if header.version != VERSION || header.header_size as usize != HEADER_SIZE {
            Err("a block of another format version")
        } else if header.words > MAX_WORDS || header.runs > MAX_RUNS {
            Err("a block header with too many words or runs")
        } else if header.payload_size as usize > header.columns_limit() + columns::COUNT * 20 {
            // A column is never stored longer than it is raw; each has two numbers in the table.
            Err("a block header with too large a payload")
        } else {
            Ok(header)
        }
    }

    /// Bytes that the columns of such a block may hold together.
    fn columns_limit(&self) -> usize {
        // A word takes at most a code, a token or an index, and eight bytes otherwise, or two classes
        // with two wide values; a run takes at most 40 bytes.
        self.words as usize * 24 + self.runs as usize * 48 + 64
    }
}

/// What the words of a block are, in sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries and exits.
    pub events: u64,
    /// Events that lost words speak of.
    pub lost: u64,
}

impl Tally {
    /// Counts words.
    pub fn of(words: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for &word in words {
            tally.events += match token(word) {
                EXIT => 1,
                OTHER => {
                    if let Word::Control(Kind::Lost, lost) = Word::classify(word) {
                        tally.lost += u64::from(lost.data());
                    }
                    0
                }
                function => 1 + u64::from(function & LEAF_BIT != 0),
            };
        }
        tally
    }
}

/// Makes blocks; holds the memory for it.
pub struct BlockEncoder {
    packer: Packer,
    columns: Box<Columns>,
}

impl BlockEncoder {
    /// An encoder.
    ///
    /// # Errors
    /// When zstd gets no memory.
    pub fn new() -> std::io::Result<BlockEncoder> {
        Ok(BlockEncoder { packer: Packer::new(LEVEL)?, columns: Box::new([const { Vec::new() }; columns::COUNT]) })
    }

    /// Header and payload of a block; the runs' words lie one behind the other from 0 on, and there
    /// are at most [`MAX_WORDS`] and [`MAX_RUNS`].
    ///
    /// # Errors
    /// When zstd fails.
    pub fn encode(&mut self, cpu: u32, number: u64, block: &Block) -> std::io::Result<(BlockHeader, Vec<u8>)> {
        self.columns.iter_mut().for_each(Vec::clear);
        put_runs(&block.runs, &mut self.columns[columns::RUNS]);
        encode::encode(&block.runs, &block.words, &mut self.columns);
        let payload = self.packer.pack(&self.columns)?;
        let tally = Tally::of(&block.words);
        let mut header = BlockHeader {
            magic: MAGIC,
            version: VERSION,
            header_size: HEADER_SIZE as u32,
            number,
            first_tsc: block.runs.first().map_or(0, |run| run.tsc),
            last_tsc: last_tsc(block),
            events: tally.events,
            lost: block.runs.iter().fold(tally.lost, |sum, run| sum.saturating_add(run.lost)),
            cpu,
            runs: block.runs.len() as u32,
            words: block.words.len() as u32,
            payload_size: u32::try_from(payload.len()).map_err(std::io::Error::other)?,
            payload_crc: crc32fast::hash(&payload),
            header_crc: 0,
        };
        header.header_crc = header.crc();
        Ok((header, payload))
    }
}

/// The memory that reading a block takes; it serves block after block.
pub struct Scratch {
    /// The payload of the block that is read.
    pub(super) payload: Vec<u8>,
    runs: Vec<Run>,
    unpacked: Unpacked,
    tables: Tables,
}

impl Scratch {
    /// Nothing yet.
    ///
    /// # Errors
    /// When zstd gets no memory.
    pub fn new() -> std::io::Result<Scratch> {
        Ok(Scratch { payload: Vec::new(), runs: Vec::new(), unpacked: Unpacked::new()?, tables: Tables::default() })
    }

    /// Decodes the block whose payload lies here.
    fn decode<O: Output>(&mut self, header: &BlockHeader, out: &mut O) -> Result<(), BadPayload> {
        if crc32fast::hash(&self.payload) != header.payload_crc {
            return Err(BadPayload("the checksum of a block's payload is wrong"));
        }
        self.unpacked.fill(&self.payload, header.columns_limit())?;
        take_runs(header, self.unpacked.column(columns::RUNS), &mut self.runs)?;
        decode::decode(&self.runs, header.words as usize, &self.unpacked, &mut self.tables, out)
    }
}

/// Decodes the block whose payload lies in `scratch`. On failure `out` may have got some of its words.
pub(super) fn decode_loaded<O: Output>(
    header: &BlockHeader,
    scratch: &mut Scratch,
    out: &mut O,
) -> Result<(), &'static str> {
    scratch.decode(header, out).map_err(|BadPayload(reason)| reason)
}

/// The block of a header and its payload.
///
/// # Errors
/// What is wrong with the payload.
pub fn decode(header: &BlockHeader, payload: &[u8]) -> Result<Block, &'static str> {
    let mut scratch = Scratch::new().map_err(|_| "zstd gets no memory")?;
    scratch.payload.extend_from_slice(payload);
    decode_block(header, &mut scratch)
}

/// The block whose payload lies in `scratch`.
pub(super) fn decode_block(header: &BlockHeader, scratch: &mut Scratch) -> Result<Block, &'static str> {
    let mut words = Vec::new();
    decode_loaded(header, scratch, &mut words)?;
    Ok(Block { runs: std::mem::take(&mut scratch.runs), words })
}

/// Packed bytes by group of columns, summed over payloads that were written by [`BlockEncoder`]; for
/// the bench that tunes the columns.
pub fn sizes(blocks: &[(BlockHeader, Vec<u8>)]) -> Vec<(&'static str, u64)> {
    let mut groups =
        [("codes", 0), ("new", 0), ("others", 0), ("wide", 0), ("bits", 0), ("gaps", 0), ("durations", 0), ("runs", 0)];
    for (_, payload) in blocks {
        let mut table = &payload[..];
        for column in 0..columns::COUNT {
            let (raw, packed) = (take_number(&mut table).unwrap_or(0), take_number(&mut table).unwrap_or(0));
            let group = match column {
                columns::CODES => 0,
                columns::IDS_LOW..=columns::TOKENS => 1,
                columns::OTHERS => 2,
                columns::WIDE => 3,
                columns::BITS => 4,
                columns::RUNS => 7,
                columns::DURATIONS.. => 6,
                columns::GAPS.. => 5,
            };
            groups[group].1 += if packed == 0 { raw } else { packed };
        }
    }
    groups.to_vec()
}

fn last_tsc(block: &Block) -> u64 {
    let Some(run) = block.runs.last() else { return 0 };
    let mut decoder = Decoder::new(run.tsc);
    for &word in &block.words[run.words.clone()] {
        let _ = decoder.push(word);
    }
    decoder.base().anchor.max(run.tsc)
}

fn put_runs(runs: &[Run], out: &mut Vec<u8>) {
    let (mut seq, mut tsc) = (0u64, 0u64);
    for run in runs {
        put_number(out, run.seq.wrapping_sub(seq));
        put_number(out, run.tsc.wrapping_sub(tsc));
        put_number(out, run.lost);
        put_number(out, u64::from(run.pid));
        put_number(out, u64::from(run.depth));
        put_number(out, run.words.len() as u64);
        (seq, tsc) = (run.seq.wrapping_add(1), run.tsc);
    }
}

fn take_runs(header: &BlockHeader, mut bytes: &[u8], runs: &mut Vec<Run>) -> Result<(), BadPayload> {
    runs.clear();
    let (mut seq, mut tsc, mut at) = (0u64, 0u64, 0usize);
    for _ in 0..header.runs {
        let mut number = || take_number(&mut bytes).ok_or(BadPayload("the runs are cut off"));
        seq = seq.wrapping_add(number()?);
        tsc = tsc.wrapping_add(number()?);
        let lost = number()?;
        let pid = u32::try_from(number()?).map_err(|_| BadPayload("a run's pid is out of bounds"))?;
        let depth = u32::try_from(number()?).map_err(|_| BadPayload("a run's depth is out of bounds"))?;
        let count = number()?;
        if count > u64::from(header.words) - at as u64 {
            return Err(BadPayload("the runs have more words than the block"));
        }
        let end = at + count as usize;
        runs.push(Run { seq, tsc, lost, pid, depth, words: at..end });
        (at, seq) = (end, seq.wrapping_add(1));
    }
    if at != header.words as usize {
        return Err(BadPayload("the runs have fewer words than the block"));
    }
    Ok(())
}
