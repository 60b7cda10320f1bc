// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! LTTng's traces: directories in the Common Trace Format 1.8 (diamon.org/ctf/v1.8.3). In: the directory. Out: a stream
//! for each of its files. Never here: the language of `metadata` (`tsdl`), how values are packed (`packets`),
//! what its probes record wrongly (`vcpus`).
//!
//! A file is one CPU's. Which thread an event is of, LTTng says if it was told to (`lttng add-context -k -t tid`); else
//! the last sched_switch of that CPU says it.

mod packets;
mod tsdl;
mod vcpus;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::input::{Cursor, Input};
use super::wanted::Wanted;
use super::{ImportError, Kind, Notes, Opened, Stream, Times};
use packets::Packets;
use tsdl::Trace;
pub(super) use vcpus::Vcpus;

/// The file that says how the others are laid out.
const METADATA: &str = "metadata";

/// Largest one that is read; that of all events of a kernel has 2 MB.
const LARGEST: u64 = 64 << 20;

/// Most files of a trace: channels times CPUs.
const MOST_FILES: usize = 1 << 16;

/// How deep a trace lies below what `lttng create -o` was told: kernel/ is one.
const DEEPEST: usize = 3;

/// First bytes of a packet of metadata.
const PACKET: u32 = 0x75d1_1d57;

/// Opens the trace in `path`, or, where `lttng` has put it, in `path/kernel`.
pub(super) fn open(path: &Path) -> Result<Opened, ImportError> {
    let Some(directory) = find(path, DEEPEST) else {
        return Err(ImportError::NotOurs { path: path.to_path_buf() });
    };
    let metadata = Input::open(&directory.join(METADATA))?;
    let text = text(&metadata)?;
    let trace = tsdl::read(&text).map_err(|wrong| {
        let what = format!("line {}: {}", wrong.line, wrong.what);
        ImportError::unsupported(
            metadata.path(),
            what,
            "`babeltrace2` may tell more; we read CTF 1.8 as LTTng writes it",
        )
    })?;
    of_files(Arc::new(trace), metadata.path(), files(&directory)?)
}

/// A trace whose metadata and one file of events are in memory.
///
/// # Errors
/// As of [`super::Import::open`].
pub fn of_bytes(metadata: Vec<u8>, events: Vec<u8>) -> Result<super::Import, ImportError> {
    let metadata = Input::bytes(metadata);
    let trace = tsdl::read(&text(&metadata)?)
        .map_err(|wrong| ImportError::unsupported(metadata.path(), wrong.what, "not read"))?;
    let mut one = of_files(Arc::new(trace), metadata.path(), vec![Input::bytes(events)])?;
    let merge = super::Merge::new(one.streams, &mut one.notes);
    Ok(super::Import { merge, times: one.times, notes: one.notes, kinds: vec![one.kind], vcpus: Vcpus::default() })
}

fn of_files(trace: Arc<Trace>, metadata: &Path, files: Vec<Input>) -> Result<Opened, ImportError> {
    let mut notes = Notes::default();
    if !trace.events.values().any(|event| Wanted::named(&event.name).is_some()) {
        let what = "none of kvm_x86_exit, kvm_x86_hypercall, kvm_x86_entry, sched_switch was recorded in it";
        return Err(ImportError::unsupported(metadata, what, "see `symbolize import --help`"));
    }
    for event in trace.events.values() {
        if let Some(missing) = event.missing() {
            notes.warn(format!("{}: {} has no field {missing}: left out", metadata.display(), event.name));
        }
    }
    let times = Times::ns(trace.clock.clone());
    let streams = files.into_iter().map(|file| Box::new(Packets::new(trace.clone(), file)) as Box<dyn Stream>);
    Ok(Opened { kind: Kind::Ctf, times, streams: streams.collect(), notes })
}

/// The directory with `metadata`, at `path` or below; the kernel's before others.
fn find(path: &Path, deep: usize) -> Option<PathBuf> {
    if path.join(METADATA).is_file() {
        return Some(path.to_path_buf());
    }
    let mut below: Vec<PathBuf> = std::fs::read_dir(path).ok()?.flatten().map(|entry| entry.path()).collect();
    below.retain(|path| path.is_dir() && deep > 0);
    below.sort_by_key(|path| (path.file_name().is_none_or(|name| name != "kernel"), path.clone()));
    below.into_iter().take(MOST_FILES).find_map(|path| find(&path, deep - 1))
}

/// Files of events: all but hidden ones, and the index that LTTng keeps in a directory.
fn files(directory: &Path) -> Result<Vec<Input>, ImportError> {
    let failed = |source| ImportError::Io { path: directory.to_path_buf(), what: "list it", source };
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory).map_err(failed)?.flatten().map(|e| e.path()).collect();
    let hidden = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_none_or(|n| n.starts_with('.'));
    paths.retain(|path| path.is_file() && !hidden(path) && !path.ends_with(METADATA));
    paths.sort();
    paths.truncate(MOST_FILES);
    paths.iter().map(|path| Input::open(path)).collect()
}

/// The text of `metadata`, out of its packets if it has some.
fn text(input: &Input) -> Result<String, ImportError> {
    let bytes = input.read(0, input.size().min(LARGEST))?;
    let mut cursor = Cursor::new(input.path(), &bytes, 0);
    if !bytes.starts_with(&PACKET.to_le_bytes()) {
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    let mut text = Vec::new();
    while !cursor.is_empty() {
        let at = cursor.offset();
        let magic = cursor.u32()?;
        cursor.take(16 + 4)?;
        let (content, packet) = (u64::from(cursor.u32()?) / 8, u64::from(cursor.u32()?) / 8);
        // Compression, encryption, checksum; version.
        let schemes = cursor.take(3)?;
        cursor.take(2)?;
        let head = cursor.offset() - at;
        if magic != PACKET || schemes[..2] != [0, 0] || content < head || packet < content {
            return Err(ImportError::damaged(input.path(), at, "a packet of metadata should be here"));
        }
        text.extend_from_slice(cursor.take(content - head)?);
        cursor.take(packet - content)?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
