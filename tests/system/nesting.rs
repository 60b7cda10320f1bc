// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Guests in guests: events of the innermost one at the outermost host. In: known calls, made by a small guest at each
//! level of the test bed. Out: assertions: the words that it writes into shared memory, whose pages each level hands on
//! to the next, are in the outermost host's file, the same at each level; hypercalls arrive one level up. Never here: what
//! it costs (`cargo xtask bench nesting`).

use std::path::Path;
use std::time::Duration;

use early_ftrace_format::FORMAT_VERSION;
use early_ftrace_format::decode::Decoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::shared::{CHUNK_SIZE, ChunkHeader, DATA_OFFSET, Header, MAGIC};
use early_ftrace_format::word::KERNEL_HIGH;
use symbolizer::capture::drain::Drainer;
use symbolizer::capture::region::RamFile;
use symbolizer::capture::session::Session;
use symbolizer::trace_dir::{Ended, Existing, Meta, TraceWriter};
use xtask::steps::Steps;
use xtask::testbed::{self, Testbed};
use zerocopy::{FromZeros, IntoBytes};

use crate::kvm;

/// Bytes of a device's memory: what `tests/guest/hypercalls.rs` shares.
const SIZE: u64 = 4 << 20;

/// From the header to the ring: `CHUNK` in that program.
const RINGS: u64 = 0x1_0000;

const LIMIT: Duration = Duration::from_secs(240);

/// A file with a header, as an injector would put it there: one CPU, two chunks.
fn prepare(path: &Path) {
    let mut header = Header::new_zeroed();
    (header.magic, header.version, header.header_size) = (MAGIC, FORMAT_VERSION, size_of::<Header>() as u32);
    (header.cpus, header.chunks_per_cpu, header.chunk_size) = (1, 2, CHUNK_SIZE as u32);
    (header.region_size, header.rings_off) = (SIZE, RINGS);
    let mut bytes = vec![0; SIZE as usize];
    bytes[DATA_OFFSET as usize..][..size_of::<Header>()].copy_from_slice(header.as_bytes());
    std::fs::write(path, bytes).expect("a file of the device's size");
}

/// The functions that were entered and left, one after the other, as the outermost host's file has them; and what a
/// recorder makes of it.
fn arrived(path: &Path, trace: &Path) -> (Vec<u32>, Meta) {
    let ram = RamFile::open(path).expect("our file");
    let region = ram.find().expect("the header");
    let mut words = vec![0; CHUNK_SIZE as usize / 8];
    region.copy_words(RINGS, &mut words);
    let header = size_of::<ChunkHeader>() / 8;
    let mut decoder = Decoder::new(words[2]);
    let events: Vec<Event> = words[header..].iter().filter_map(|&word| decoder.push(word)).collect();
    let pair = |pair: &[Event]| match *pair {
        [Event::Entry { site, time }, Event::Exit { time: end }] if time <= end => site as u32,
        _ => panic!("no call: {pair:?}"),
    };
    let sites = events.chunks(2).map(pair).collect();
    let meta = Meta { format_version: FORMAT_VERSION, cpus: 1, ..Meta::default() };
    let writer = TraceWriter::create(trace, &meta, Existing::Keep).expect("a new directory");
    let session = Session { ram, drainer: Drainer::new(region), writer, meta, deterministic: false };
    (sites, session.finish(Ended::Stopped { detail: "read afterwards".into() }).expect("a trace"))
}

/// `count` calls of functions in the kernel's text, as hypercalls of a level's numbers.
fn calls(level: u64, count: u64) -> Vec<[u64; 5]> {
    let site = |i: u64| (KERNEL_HIGH as u32 | 0x8100_0005) as u64 + i * 7 % 4096 * 16;
    (0..count).map(|i| [1000 + 8 * level, site(i), i, !i, level]).collect()
}
