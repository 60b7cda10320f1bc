// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The shared memory of a hostile guest. In: a header, then for each look that the recorder takes at
//! the rings a control block and the starts of two chunks, as the guest has changed them meanwhile.
//! Demanded: bounded work, no access beyond the mapping, a trace that can be read.

use std::os::unix::fs::FileExt;
use std::path::Path;

use early_ftrace_format::shared::{CHUNK_SIZE, CPU_CONTROL_OFFSET, CpuControl, DATA_OFFSET, Header};
use early_ftrace_format::word::EndReason;
use symbolizer::capture::drain::Drainer;
use symbolizer::capture::region::RamFile;
use symbolizer::trace_dir::{Existing, Meta, TraceDir, TraceWriter};

use super::scratch;

/// Where the inputs of the corpus have their rings.
const RINGS: u64 = 0x4000;

/// What a guest writes of a chunk between two looks.
const CHUNK_START: usize = 256;

/// Chunks that the file has room for.
const ROOM: u64 = 4;

/// Records such a guest.
pub fn run(data: &[u8]) {
    let dir = scratch::directory();
    let path = dir.path().join("ram");
    let file = std::fs::File::create(&path).expect("a file");
    file.set_len(DATA_OFFSET + RINGS + ROOM * CHUNK_SIZE).expect("a sparse file");
    let put = |at: u64, bytes: &[u8]| file.write_all_at(bytes, DATA_OFFSET + at).expect("a few bytes");
    let (header, looks) = data.split_at(data.len().min(size_of::<Header>()));
    put(0, header);

    let ram = RamFile::open(&path).expect("our file");
    let Ok(region) = ram.find() else { return };
    let _ = ram.tsc_khz(&region);
    let cpus = region.header().cpus;
    let chunks = u64::from(region.header().chunks_per_cpu) * u64::from(cpus);
    assert!(chunks <= ROOM, "{chunks} chunks in a file of {ROOM}");
    let meta = Meta { format_version: 1, cpus, ..Meta::default() };
    let trace = dir.path().join("trace");
    let mut writer = TraceWriter::create(&trace, &meta, Existing::Keep).expect("a new directory");
    let mut drainer = Drainer::new(region);
    for look in looks.chunks(size_of::<CpuControl>() + 2 * CHUNK_START) {
        let (control, starts) = look.split_at(look.len().min(size_of::<CpuControl>()));
        put(CPU_CONTROL_OFFSET, control);
        for (slot, start) in (0..).zip(starts.chunks(CHUNK_START)) {
            put(RINGS + slot * CHUNK_SIZE, start);
        }
        let pass = drainer.pass(&mut writer).expect("space for a small trace");
        assert!(pass.chunks <= chunks && pass.fill <= 1.0, "{pass:?}");
    }
    drainer.finish(&mut writer, EndReason::Died).expect("space for a small trace");
    let mut meta = meta;
    drainer.count(&mut meta.per_cpu);
    writer.finish(&mut meta).expect("space for a small trace");
    whole(&trace);
}

/// A hostile guest can write nonsense, but not make the recorder write a damaged file.
pub fn whole(trace: &Path) {
    let trace = TraceDir::open(trace).expect("what was just written");
    for file in trace.cpus() {
        assert_eq!(file.gaps(), []);
        for index in 0..file.blocks().len() {
            file.read(index).expect("what was just written");
        }
    }
}
