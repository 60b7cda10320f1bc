// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `index.eft` beside the blocks of a trace: what a run through the whole has found, and checkpoints from
//! which to go on, so that a part of the trace is read without the rest. In and out: [`Outline`] and [`Levels`],
//! and the file. An index that is damaged or of another trace is not believed. Never here: events.

use std::fs::{File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::calltree::levels::Levels;
use crate::calltree::partial::{MOST_CHECKPOINTS, Outline};
use crate::calltree::wire;
use crate::trace_dir::{INDEX_FILE, TraceDir};

/// Version of what is in it.
pub const VERSION: u32 = 1;

/// Most bytes that it may hold, unpacked; what is larger is written with fewer checkpoints.
const MOST_BYTES: usize = 32 << 20;

const MAGIC: u64 = u64::from_le_bytes(*b"eftIndex");

/// First bytes of the file, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    magic: u64,
    version: u32,
    /// CRC-32 of what follows the header.
    payload_crc: u32,
    /// [`identity`] of the trace.
    identity: u64,
    /// Bytes of the payload, unpacked and packed.
    size: u32,
    packed: u32,
}

const HEADER_SIZE: usize = size_of::<Header>();

/// Why there is no index to be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// There is none.
    #[error("there is no index")]
    None,
    /// It is damaged, or of another version.
    #[error("{path}: {reason}; the index is left aside, and the whole trace is read")]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// It cannot be read or written.
    #[error("{path}: cannot {what} it: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Read or write.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// What tells a trace from all others: its meta.json as it was read, and the headers of its blocks with their
/// checksums.
pub fn identity(trace: &TraceDir) -> u64 {
    // FNV-1a. Not a CRC: each header ends with its own, and a CRC over that is the same for all headers.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for &byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    add(&serde_json::to_vec(trace.meta()).unwrap_or_default());
    for cpu in trace.cpus() {
        add(&cpu.cpu().to_le_bytes());
        for header in cpu.headers() {
            add(header.as_bytes());
        }
        for gap in cpu.gaps() {
            add(&gap.offset.to_le_bytes());
        }
    }
    hash
}

/// Whether a trace can have an index: not while it is recorded, nor if the recorder was killed.
pub fn can_have(trace: &TraceDir) -> bool {
    trace.meta().ended.is_some()
}

/// Whether a trace has an index of its own, as far as the head of the file tells.
pub fn stands(trace: &TraceDir) -> bool {
    let mut bytes = [0; HEADER_SIZE];
    let read = File::open(trace.path().join(INDEX_FILE)).and_then(|mut file| file.read_exact(&mut bytes));
    let header = read.ok().and_then(|()| Header::read_from_bytes(&bytes).ok());
    header
        .is_some_and(|header| header.magic == MAGIC && header.version == VERSION && header.identity == identity(trace))
}

/// Reads the index of a trace.
///
/// # Errors
/// [`IndexError::None`] if it has none; else why it is of no use.
pub fn read(trace: &TraceDir) -> Result<(Outline, Levels), IndexError> {
    let path = trace.path().join(INDEX_FILE);
    let io = |source| IndexError::Io { path: path.clone(), what: "read", source };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(IndexError::None),
        Err(e) => return Err(io(e)),
    };
    let mut bytes = Vec::new();
    file.take(2 * MOST_BYTES as u64).read_to_end(&mut bytes).map_err(io)?;
    parse(&bytes, identity(trace), trace.cpus().len()).map_err(|reason| IndexError::Bad { path, reason })
}

/// What the bytes of an index hold, for a trace of that identity with so many streams.
///
/// # Errors
/// What is wrong with them.
pub fn parse(bytes: &[u8], identity: u64, streams: usize) -> Result<(Outline, Levels), &'static str> {
    let (header, payload) = Header::read_from_prefix(bytes).map_err(|_| "it is cut off")?;
    if header.magic != MAGIC {
        return Err("it is no index");
    }
    if header.version != VERSION {
        return Err("it is of another version");
    }
    if header.identity != identity {
        return Err("it is of another trace");
    }
    if payload.len() != header.packed as usize || crc32fast::hash(payload) != header.payload_crc {
        return Err("its checksum is wrong");
    }
    let size = header.size as usize;
    if size > MOST_BYTES {
        return Err("it is too large");
    }
    let plain = zstd::bulk::decompress(payload, size).map_err(|_| "it does not decompress")?;
    if plain.len() != size {
        return Err("it does not decompress to its size");
    }
    wire::take(&plain, streams).ok_or("what it holds cannot be")
}

/// The bytes of an index; `None` if it cannot be made small enough.
pub fn bytes(outline: &mut Outline, levels: &Levels, identity: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut plain = Vec::new();
    loop {
        plain.clear();
        wire::put(outline, levels, &mut plain);
        if plain.len() <= MOST_BYTES && outline.count() <= MOST_CHECKPOINTS {
            break;
        }
        if !outline.thin() {
            return Ok(None);
        }
    }
    let packed = zstd::bulk::compress(&plain, 1)?;
    let header = Header {
        magic: MAGIC,
        version: VERSION,
        payload_crc: crc32fast::hash(&packed),
        identity,
        size: plain.len() as u32,
        packed: packed.len() as u32,
    };
    let mut out = Vec::with_capacity(HEADER_SIZE + packed.len());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(&packed);
    Ok(Some(out))
}

/// Writes the index of a trace in one step: a reader sees all of it or none.
///
/// # Errors
/// I/O: the directory may be one that is only to be read. An old index stays then.
pub fn write(trace: &TraceDir, outline: &mut Outline, levels: &Levels) -> Result<(), IndexError> {
    let path = trace.path().join(INDEX_FILE);
    let io = |source| IndexError::Io { path: path.clone(), what: "write", source };
    match bytes(outline, levels, identity(trace)).map_err(io)? {
        Some(bytes) => replace(trace.path(), &path, &bytes).map_err(io),
        None => Ok(()),
    }
}

fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Another report of the same trace may do the same just now; and what stands in a trace of somebody else,
    // links too, is not written to.
    let mut builder = tempfile::Builder::new();
    // Who may read the trace may read its index.
    let mut file = builder.prefix(".index").permissions(Permissions::from_mode(0o666)).tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
