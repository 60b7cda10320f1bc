// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A guest that writes what it likes while the recorder reads. In: its steps, sixteen bytes each; it begins with a valid
//! region. Demanded: bounded work for each look at the rings, bounded warnings; a trace that can be read, and reported in
//! all forms, whatever the guest has written. ([`super::region`] is about the header, and single looks.)

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use early_ftrace_format::FORMAT_VERSION;
use early_ftrace_format::shared::{
    CHUNK_MAGIC, CHUNK_SIZE, CHUNK_WORDS, CPU_CONTROL_OFFSET, CPU_CONTROL_STRIDE, ChunkHeader, CpuControl, DATA_OFFSET,
    Header, MAGIC,
};
use early_ftrace_format::word::EndReason;
use symbolizer::capture::drain::Drainer;
use symbolizer::capture::region::RamFile;
use symbolizer::trace_dir::{Existing, Meta, TraceDir, TraceWriter};
use zerocopy::{FromZeros, IntoBytes};

use super::{region, scratch, trace};

/// CPUs of the region.
pub const CPUS: u32 = 2;

/// Where its stacks and its rings are.
const STACKS: u64 = 0x4000;
const STACK_SIZE: u32 = 8192;
const RINGS: u64 = 0x8000;

/// Most warnings that a recorder keeps.
const WARNINGS: usize = 20;

/// Most steps that are taken: so many looks are enough.
const STEPS: usize = 512;

/// The memory of the guest, in a file.
pub struct Memory {
    file: File,
    chunks: u32,
}

impl Memory {
    /// Makes the file, with a valid region whose rings have so many chunks.
    pub fn make(path: &Path, chunks: u32) -> Memory {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path).expect("a file");
        let rings = u64::from(CPUS * chunks) * CHUNK_SIZE;
        file.set_len(DATA_OFFSET + RINGS + rings).expect("a sparse file");
        let mut header = Header::new_zeroed();
        (header.magic, header.version, header.header_size) = (MAGIC, FORMAT_VERSION, size_of::<Header>() as u32);
        (header.cpus, header.chunks_per_cpu, header.chunk_size) = (CPUS, chunks, CHUNK_SIZE as u32);
        (header.stacks_off, header.stacks, header.stack_size) = (STACKS, 2, STACK_SIZE);
        (header.rings_off, header.text_start) = (RINGS, 0xffff_ffff_8100_0000);
        let memory = Memory { file, chunks };
        memory.put(0, header.as_bytes());
        memory
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, DATA_OFFSET + at).expect("a few bytes");
    }

    fn word(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, DATA_OFFSET + at).expect("inside the file");
        u64::from_le_bytes(bytes)
    }

    fn control(cpu: u32) -> u64 {
        CPU_CONTROL_OFFSET + u64::from(cpu % CPUS) * CPU_CONTROL_STRIDE
    }

    fn chunk(&self, cpu: u32, number: u64) -> u64 {
        let slot = u64::from(cpu % CPUS) * u64::from(self.chunks) + number % u64::from(self.chunks);
        RINGS + slot * CHUNK_SIZE
    }

    /// Chunks that a CPU says it has closed.
    pub fn produced(&self, cpu: u32) -> u64 {
        self.word(Memory::control(cpu))
    }

    /// Chunks that the recorder says it has taken.
    pub fn consumed(&self, cpu: u32) -> u64 {
        self.word(Memory::control(cpu) + std::mem::offset_of!(CpuControl, consumed) as u64)
    }

    /// Opens the next chunk of a CPU, as an honest guest does.
    pub fn open(&self, cpu: u32, tsc: u64, words: &[u64]) {
        let (cpu, seq) = (cpu % CPUS, self.produced(cpu));
        let header = ChunkHeader { magic: CHUNK_MAGIC, cpu, seq, tsc, ..ChunkHeader::default() };
        let at = self.chunk(cpu, seq);
        self.put(at + size_of::<ChunkHeader>() as u64, words.as_bytes());
        self.put(at, header.as_bytes());
    }

    /// Closes it.
    pub fn close(&self, cpu: u32) {
        self.put(Memory::control(cpu), &self.produced(cpu).wrapping_add(1).to_le_bytes());
    }

    /// Writes a word: of the header (0), a control block (1), a chunk's header (2), a chunk (3), a stack (4).
    pub fn scribble(&self, kind: u8, cpu: u32, slot: u64, index: u64, value: u64) {
        let place = |start: u64, bytes: u64| start + index * 8 % bytes;
        let at = match kind % 5 {
            0 => place(0, size_of::<Header>() as u64),
            1 => place(Memory::control(cpu), CPU_CONTROL_STRIDE),
            2 => place(self.chunk(cpu, slot), size_of::<ChunkHeader>() as u64),
            3 => place(self.chunk(cpu, slot), CHUNK_SIZE),
            _ => place(STACKS, RINGS - STACKS),
        };
        self.put(at, &value.to_le_bytes());
    }
}

/// Records such a guest.
pub fn run(data: &[u8]) {
    let dir = scratch::directory();
    let path = dir.path().join("ram");
    let memory = Memory::make(&path, 2);
    let region = RamFile::open(&path).and_then(|ram| ram.find()).expect("a valid region");
    let meta = Meta { format_version: 1, cpus: CPUS, ..Meta::default() };
    let trace = dir.path().join("trace");
    let mut writer = TraceWriter::create(&trace, &meta, Existing::Keep).expect("a new directory");
    let mut drainer = Drainer::new(region);
    for step in data.chunks_exact(16).take(STEPS) {
        let (what, value) = step.split_at(8);
        let value = u64::from_le_bytes(value.try_into().expect("eight bytes"));
        let [kind, cpu, slot, count, index @ ..] = what else { unreachable!("eight bytes") };
        let (cpu, index) = (u32::from(*cpu), u32::from_le_bytes(index.try_into().expect("four bytes")));
        match kind % 8 {
            5 => {
                let words: Vec<u64> = (0..u64::from(*count)).map(|nth| value.wrapping_mul(nth | 1)).collect();
                memory.open(cpu, u64::from(index) << 16, &words);
            }
            6 => memory.close(cpu),
            7 => look(&mut drainer, &mut writer),
            3 => {
                for nth in 0..=u64::from(*count) {
                    memory.scribble(3, cpu, (*slot).into(), u64::from(index) + nth, value);
                }
            }
            kind => memory.scribble(kind, cpu, (*slot).into(), index.into(), value),
        }
    }
    look(&mut drainer, &mut writer);
    let reason = [EndReason::Died, EndReason::PowerOff, EndReason::Stopped][data.len() % 3];
    drainer.finish(&mut writer, reason).expect("space for a small trace");
    let mut meta = meta;
    drainer.count(&mut meta.per_cpu);
    writer.finish(&mut meta).expect("space for a small trace");
    readable(&trace);
}

/// One look at the rings: bounded, whatever is there.
pub fn look(drainer: &mut Drainer, writer: &mut TraceWriter) -> u64 {
    let header = drainer.region().header();
    let most = u64::from(header.cpus) * u64::from(header.chunks_per_cpu);
    let pass = drainer.pass(writer).expect("space for a small trace");
    assert!(pass.chunks <= most && (0.0..=1.0).contains(&pass.fill), "{pass:?}");
    assert!(drainer.warnings().len() <= WARNINGS, "{:?}", drainer.warnings());
    pass.chunks
}

/// What a recorder has written can be read, and reported.
pub fn readable(path: &Path) {
    region::whole(path);
    let trace = TraceDir::open(path).expect("what was just written");
    assert!(trace.meta().warnings.len() <= WARNINGS);
    trace::report(&trace);
}

const _: () = assert!(CHUNK_WORDS > u8::MAX as usize);
