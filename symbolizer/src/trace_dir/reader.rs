// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Reads a trace directory. In: a path. Out: [`Meta`], an index of each CPU's blocks, and the blocks.
//! Damage is a [`Gap`], found when indexing (a header, the end of the file) or when reading a block
//! (its payload); what is whole around it is read. Never here: what the words mean.

use super::block::{self, BlockHeader, HEADER_SIZE, MAGIC, Scratch};
use super::decode::Output;
use super::writer::cpu_file;
use super::{Block, Gap, Meta, TraceError};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How far is read at a time when a header is sought.
const SEARCH_STEP: usize = 64 << 10;

/// A trace directory.
pub struct TraceDir {
    path: PathBuf,
    meta: Meta,
    cpus: Vec<CpuFile>,
}

/// One CPU's file with the index of its blocks.
pub struct CpuFile {
    path: PathBuf,
    file: File,
    cpu: u32,
    headers: Vec<BlockHeader>,
    blocks: Vec<BlockInfo>,
    gaps: Vec<Gap>,
}

/// What the index knows of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// Byte offset of its header in the file.
    pub offset: u64,
    /// Bytes, header and payload.
    pub size: u64,
    /// Number of the block on its CPU.
    pub number: u64,
    /// Time at which its first chunk was opened.
    pub first_tsc: u64,
    /// Latest time in its last run.
    pub last_tsc: u64,
    /// Runs.
    pub runs: u64,
    /// Words.
    pub words: u64,
    /// Entries and exits.
    pub events: u64,
    /// Events lost before or in it.
    pub lost: u64,
}

impl TraceDir {
    /// Opens a trace and indexes its files; no block is decompressed.
    ///
    /// # Errors
    /// When the directory is no trace, is of a newer version, lacks a file, or cannot be read.
    pub fn open(path: &Path) -> Result<TraceDir, TraceError> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(TraceError::NotADirectory(path.to_path_buf())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(TraceError::NotFound(path.to_path_buf()));
            }
            Err(e) => return Err(TraceError::io(path, "open it", e)),
        }
        let meta = Meta::read(path)?;
        let cpus = (0..meta.cpus)
            .map(|cpu| {
                let known = meta.per_cpu.iter().find(|entry| entry.cpu == cpu).map_or(0, |entry| entry.blocks);
                CpuFile::open(path, cpu, known)
            })
            .collect::<Result<_, _>>()?;
        Ok(TraceDir { path: path.to_path_buf(), meta, cpus })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is known about the whole recording.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The CPUs' files, by number.
    pub fn cpus(&self) -> &[CpuFile] {
        &self.cpus
    }
}

impl CpuFile {
    /// `known` is how many blocks meta.json says the file has at least.
    fn open(dir: &Path, cpu: u32, known: u64) -> Result<CpuFile, TraceError> {
        let path = dir.join(cpu_file(cpu));
        let file = File::open(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => TraceError::MissingCpuFile { cpu, path: path.clone() },
            _ => TraceError::io(&path, "open it", e),
        })?;
        let mut this = CpuFile { path, file, cpu, headers: Vec::new(), blocks: Vec::new(), gaps: Vec::new() };
        this.index(known).map_err(|e| TraceError::io(&this.path, "read it", e))?;
        Ok(this)
    }

    /// The CPU.
    pub fn cpu(&self) -> u32 {
        self.cpu
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The blocks, in the order of the file.
    pub fn blocks(&self) -> &[BlockInfo] {
        &self.blocks
    }

    /// Their headers.
    pub fn headers(&self) -> &[BlockHeader] {
        &self.headers
    }

    /// What indexing found damaged, in the order of the file.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Reads a block. Threads may do so at the same time.
    ///
    /// # Errors
    /// A [`Gap`] when the block is damaged, cannot be read, or does not exist.
    pub fn read(&self, index: usize) -> Result<Block, Gap> {
        let mut scratch = Scratch::new().map_err(|e| self.gap(index, &format!("zstd gets no memory: {e}")))?;
        let header = self.load(index, &mut scratch)?;
        block::decode_block(header, &mut scratch).map_err(|reason| self.gap(index, reason))
    }

    /// Reads a block word by word. On failure `out` may have got some of its words.
    ///
    /// # Errors
    /// As [`CpuFile::read`].
    pub fn read_into<O: Output>(&self, index: usize, scratch: &mut Scratch, out: &mut O) -> Result<(), Gap> {
        let header = self.load(index, scratch)?;
        block::decode_loaded(header, scratch, out).map_err(|reason| self.gap(index, reason))
    }

    fn gap(&self, index: usize, reason: &str) -> Gap {
        match self.blocks.get(index) {
            Some(info) => Gap { offset: info.offset, reason: format!("block {}: {reason}", info.number) },
            None => Gap { offset: 0, reason: format!("there is no block {index}") },
        }
    }

    /// Brings a block's payload to memory.
    fn load(&self, index: usize, scratch: &mut Scratch) -> Result<&BlockHeader, Gap> {
        let (Some(info), Some(header)) = (self.blocks.get(index), self.headers.get(index)) else {
            return Err(self.gap(index, ""));
        };
        scratch.payload.resize(header.payload_size as usize, 0);
        self.file
            .read_exact_at(&mut scratch.payload, info.offset + HEADER_SIZE as u64)
            .map_err(|e| self.gap(index, &format!("cannot read it: {e}")))?;
        Ok(header)
    }

    fn index(&mut self, known: u64) -> std::io::Result<()> {
        let length = self.file.metadata()?.len();
        let mut at = 0;
        while at < length {
            match self.header_at(at, length)? {
                Ok(header) => {
                    let size = HEADER_SIZE as u64 + u64::from(header.payload_size);
                    self.take(at, size, &header);
                    at += size;
                }
                Err(reason) => {
                    let next = self.search(at + 1, length)?;
                    let missing = next.unwrap_or(length) - at;
                    self.gaps.push(Gap { offset: at, reason: format!("{reason}; {missing} bytes are skipped") });
                    at = next.unwrap_or(length);
                }
            }
        }
        // A file that was cut between two blocks looks whole by itself.
        let found = self.headers.last().map_or(0, |last| last.number.saturating_add(1));
        let told = self.gaps.last().is_some_and(|gap| !self.follows(gap));
        if found < known && !told {
            let reason = format!("the file ends after {found} blocks, meta.json says that it has {known}");
            self.gaps.push(Gap { offset: length, reason });
        }
        Ok(())
    }

    fn take(&mut self, offset: u64, size: u64, header: &BlockHeader) {
        let expected = self.headers.last().map_or(0, |last| last.number.wrapping_add(1));
        if header.number != expected && self.gaps.last().is_none_or(|gap| gap.offset >= offset || self.follows(gap)) {
            let reason = format!("block {} follows where block {expected} should", header.number);
            self.gaps.push(Gap { offset, reason });
        }
        self.headers.push(*header);
        self.blocks.push(BlockInfo {
            offset,
            size,
            number: header.number,
            first_tsc: header.first_tsc,
            last_tsc: header.last_tsc,
            runs: u64::from(header.runs),
            words: u64::from(header.words),
            events: header.events,
            lost: header.lost,
        });
    }

    /// Whether a block lies behind a gap, so that the gap cannot explain what comes next.
    fn follows(&self, gap: &Gap) -> bool {
        self.blocks.last().is_some_and(|last| last.offset >= gap.offset)
    }

    /// The header at an offset, or why there is none.
    fn header_at(&self, at: u64, length: u64) -> std::io::Result<Result<BlockHeader, &'static str>> {
        if length - at < HEADER_SIZE as u64 {
            return Ok(Err("the file ends inside a block header"));
        }
        let mut bytes = [0; HEADER_SIZE];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(match BlockHeader::parse(&bytes) {
            Ok(header) if header.cpu != self.cpu => Err("a block of another CPU"),
            Ok(header) if u64::from(header.payload_size) > length - at - HEADER_SIZE as u64 => {
                Err("the file ends inside a block")
            }
            other => other,
        })
    }

    /// The next offset from `at` on where a valid header lies.
    fn search(&self, mut at: u64, length: u64) -> std::io::Result<Option<u64>> {
        let magic = MAGIC.to_le_bytes();
        let mut buffer = vec![0; SEARCH_STEP];
        while at + HEADER_SIZE as u64 <= length {
            let want = (length - at).min(SEARCH_STEP as u64) as usize;
            let got = &mut buffer[..want];
            self.file.read_exact_at(got, at)?;
            let found = got.windows(magic.len()).enumerate().filter(|(_, window)| *window == magic);
            for (index, _) in found {
                let offset = at + index as u64;
                if self.header_at(offset, length)?.is_ok() {
                    return Ok(Some(offset));
                }
            }
            // Windows overlap, lest a magic number on the border be missed.
            at += (want - (magic.len() - 1)) as u64;
        }
        Ok(None)
    }
}
