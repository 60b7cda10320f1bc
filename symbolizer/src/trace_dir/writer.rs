// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Writes a trace directory. In: closed chunks, CPU by CPU, and [`Meta`]. Out: the files. A writer
//! that is killed, or whose disk fills up, leaves a valid trace: whole blocks, a `meta.json` whose
//! `ended` is null. Never here: where the chunks come from.

use super::block::{BlockEncoder, MAX_RUNS, MAX_WORDS};
use super::meta::{CpuMeta, META_FILE, Meta, Totals};
use super::{Block, HOST_FILE, INDEX_FILE, Run, TraceError};
use early_ftrace_format::shared::{CHUNK_WORDS, ChunkHeader};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zerocopy::IntoBytes;

/// Chunks that make a block: 1 MiB of words.
pub const BLOCK_CHUNKS: usize = 16;

/// A block that is not full is written after this time, so that little is lost with the recorder.
pub const IDLE: Duration = Duration::from_secs(1);

/// What to do with a trace that stands at the path already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Refuse.
    #[default]
    Keep,
    /// Replace it.
    Replace,
}

struct CpuWriter {
    path: PathBuf,
    file: File,
    pending: Block,
    since: Instant,
    count: CpuMeta,
}

/// Writer of a trace directory.
pub struct TraceWriter {
    dir: PathBuf,
    cpus: Vec<CpuWriter>,
    encoder: BlockEncoder,
}

/// Name of a CPU's file.
pub fn cpu_file(cpu: u32) -> String {
    format!("cpu{cpu}.eft")
}

impl TraceWriter {
    /// Creates the directory with `meta.json` and an empty file for each of `meta.cpus`.
    ///
    /// # Errors
    /// [`TraceError::Exists`], [`TraceError::NotOurs`], [`TraceError::NotADirectory`] or I/O.
    pub fn create(dir: &Path, meta: &Meta, existing: Existing) -> Result<TraceWriter, TraceError> {
        make_room(dir, existing)?;
        meta.write(dir)?;
        let encoder = BlockEncoder::new().map_err(|e| TraceError::io(dir, "compress for it", e))?;
        let cpus = (0..meta.cpus)
            .map(|cpu| {
                let path = dir.join(cpu_file(cpu));
                let file = File::create(&path).map_err(|e| TraceError::io(&path, "create it", e))?;
                let count = CpuMeta { cpu, ..CpuMeta::default() };
                Ok(CpuWriter { path, file, pending: Block::default(), since: Instant::now(), count })
            })
            .collect::<Result<_, TraceError>>()?;
        Ok(TraceWriter { dir: dir.to_path_buf(), cpus, encoder })
    }

    /// Says what [`TraceWriter::create`] would say, and changes nothing.
    ///
    /// # Errors
    /// As for [`TraceWriter::create`].
    pub fn check(dir: &Path, existing: Existing) -> Result<(), TraceError> {
        standing(dir, existing).map(drop)
    }

    /// Takes a chunk: its header and the words of it that were written.
    ///
    /// # Errors
    /// I/O when a block was full and could not be written, [`TraceError::NoSuchCpu`]; the chunk was
    /// not taken then.
    pub fn append_chunk(&mut self, cpu: u32, header: &ChunkHeader, words: &[u64]) -> Result<(), TraceError> {
        let cpus = self.cpus.len() as u32;
        let writer = self.cpus.get_mut(cpu as usize).ok_or(TraceError::NoSuchCpu { cpu, cpus })?;
        debug_assert!(words.len() <= MAX_WORDS as usize, "a chunk is much smaller than a block may be");
        let block = &writer.pending;
        if block.words.len() + words.len() > BLOCK_CHUNKS * CHUNK_WORDS || block.runs.len() >= MAX_RUNS as usize {
            writer.flush(&mut self.encoder)?;
        }
        let block = &mut writer.pending;
        if block.runs.is_empty() {
            writer.since = Instant::now();
        }
        let start = block.words.len();
        block.words.extend_from_slice(words);
        block.runs.push(Run {
            seq: header.seq,
            tsc: header.tsc,
            lost: header.lost,
            pid: header.pid,
            depth: header.depth,
            words: start..block.words.len(),
        });
        Ok(())
    }

    /// Writes the blocks that have waited longer than [`IDLE`].
    ///
    /// # Errors
    /// I/O.
    pub fn flush_idle(&mut self) -> Result<(), TraceError> {
        for writer in &mut self.cpus {
            if !writer.pending.runs.is_empty() && writer.since.elapsed() >= IDLE {
                writer.flush(&mut self.encoder)?;
            }
        }
        Ok(())
    }

    /// Writes all blocks, full or not.
    ///
    /// # Errors
    /// I/O, the first one; the other CPUs' blocks were tried all the same.
    pub fn flush(&mut self) -> Result<(), TraceError> {
        let encoder = &mut self.encoder;
        self.cpus.iter_mut().map(|writer| writer.flush(encoder)).fold(Ok(()), Result::and)
    }

    /// Words, events, blocks and bytes of each CPU so far; the guest's counters are 0 here.
    pub fn counts(&self) -> impl Iterator<Item = &CpuMeta> {
        self.cpus.iter().map(|writer| &writer.count)
    }

    /// Writes `meta.json` anew, with what was counted here; `meta.per_cpu` may come with the guest's
    /// counters in it.
    ///
    /// # Errors
    /// I/O; the old `meta.json` stays then.
    pub fn update(&self, meta: &mut Meta) -> Result<(), TraceError> {
        meta.per_cpu.resize(self.cpus.len(), CpuMeta::default());
        let mut totals = Totals::default();
        for (entry, count) in meta.per_cpu.iter_mut().zip(self.counts()) {
            entry.cpu = count.cpu;
            entry.words = count.words;
            entry.events = count.events;
            entry.blocks = count.blocks;
            entry.bytes = count.bytes;
            entry.lost = entry.lost.max(count.lost);
            totals.words = totals.words.saturating_add(entry.words);
            totals.events = totals.events.saturating_add(entry.events);
            totals.lost = totals.lost.saturating_add(entry.lost).saturating_add(entry.nmi_lost);
            totals.bytes = totals.bytes.saturating_add(entry.bytes);
        }
        meta.totals = totals;
        meta.write(&self.dir)
    }

    /// Writes what is pending and the last `meta.json`.
    ///
    /// # Errors
    /// I/O. When the blocks cannot be written, `meta.json` was written all the same, if it could be.
    pub fn finish(mut self, meta: &mut Meta) -> Result<(), TraceError> {
        let flushed = self.flush();
        let updated = self.update(meta);
        flushed.and(updated)
    }
}

impl CpuWriter {
    fn flush(&mut self, encoder: &mut BlockEncoder) -> Result<(), TraceError> {
        if self.pending.runs.is_empty() {
            return Ok(());
        }
        let mut write = || -> std::io::Result<_> {
            let (header, payload) = encoder.encode(self.count.cpu, self.count.blocks, &self.pending)?;
            let mut bytes = Vec::with_capacity(size_of_val(&header) + payload.len());
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(&payload);
            if let Err(error) = self.file.write_all_at(&bytes, self.count.bytes) {
                // Half a block would be a gap for every reader: take it back.
                self.file.set_len(self.count.bytes)?;
                return Err(error);
            }
            Ok((header, bytes.len()))
        };
        let (header, size) = write().map_err(|e| TraceError::io(&self.path, "write it", e))?;
        self.count.blocks += 1;
        self.count.bytes += size as u64;
        self.count.words += u64::from(header.words);
        self.count.events += header.events;
        self.count.lost = self.count.lost.saturating_add(header.lost);
        self.pending.runs.clear();
        self.pending.words.clear();
        Ok(())
    }
}

/// The files that stand in `dir`, if a trace may be written there; `None` when there is no directory.
fn standing(dir: &Path, existing: Existing) -> Result<Option<Vec<OsString>>, TraceError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == ErrorKind::NotADirectory => return Err(TraceError::NotADirectory(dir.to_path_buf())),
        Err(e) => return Err(TraceError::io(dir, "list it", e)),
    };
    let names = entries
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| TraceError::io(dir, "list it", e))?;
    if names.is_empty() {
        Ok(Some(names))
    } else if !names.iter().any(|name| name == META_FILE) {
        Err(TraceError::NotOurs(dir.to_path_buf()))
    } else if existing == Existing::Keep {
        Err(TraceError::Exists(dir.to_path_buf()))
    } else {
        Ok(Some(names))
    }
}

/// Makes `dir` a directory without a trace in it. Only the files of a trace go: a user's notes beside
/// them stay. meta.json goes last, so that a half-removed trace is still known as one.
fn make_room(dir: &Path, existing: Existing) -> Result<(), TraceError> {
    let Some(names) = standing(dir, existing)? else {
        return fs::create_dir_all(dir).map_err(|e| TraceError::io(dir, "create it", e));
    };
    let (meta, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name == META_FILE);
    for name in
        others.into_iter().filter(|name| is_cpu_file(name) || name == INDEX_FILE || name == HOST_FILE).chain(meta)
    {
        let path = dir.join(name);
        fs::remove_file(&path).map_err(|e| TraceError::io(&path, "remove it", e))?;
    }
    Ok(())
}

fn is_cpu_file(name: &OsString) -> bool {
    let number = name.to_str().and_then(|name| name.strip_prefix("cpu")?.strip_suffix(".eft"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
