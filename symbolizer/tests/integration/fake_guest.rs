// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A guest for tests: writes words into a RAM file by the layout that real guests use (the structs of
//! `early_ftrace_format::shared`), from any thread, and waits for room as they do.

use early_ftrace_format::shared::{
    CHUNK_MAGIC, CHUNK_SIZE, CHUNK_WORDS, CPU_CONTROL_OFFSET, CPU_CONTROL_STRIDE, ChunkHeader, CpuControl, DATA_OFFSET,
    Header, MAGIC, POLICY_WAIT,
};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::OpenOptions;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::sync::atomic::{Ordering, fence};
use zerocopy::{FromZeros, Immutable, IntoBytes};

/// Offset of `tsc_khz` in the RAM file.
const TSC_KHZ_AT: u64 = 0x1000;
const RINGS: u64 = 0x10000;

/// One fake guest; its CPUs may write from different threads.
pub struct FakeGuest {
    map: MmapRaw,
    path: PathBuf,
    offset: u64,
    pub header: Header,
}

impl FakeGuest {
    /// Makes the RAM file with a region at `offset` of it.
    pub fn new(path: &Path, offset: u64, cpus: u32, chunks_per_cpu: u32) -> FakeGuest {
        let size = DATA_OFFSET + RINGS + u64::from(cpus) * u64::from(chunks_per_cpu) * CHUNK_SIZE;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        file.set_len(offset + size).unwrap();
        let map = MmapOptions::new().len((offset + size) as usize).map_raw(&file).unwrap();
        let mut header = Header::new_zeroed();
        header.magic = MAGIC;
        header.version = early_ftrace_format::FORMAT_VERSION;
        header.header_size = size_of::<Header>() as u32;
        // As for RAM that does not begin at guest address 0 in the file.
        header.region_phys = offset + (1 << 30);
        header.region_size = size;
        (header.cpus, header.chunks_per_cpu, header.chunk_size) = (cpus, chunks_per_cpu, CHUNK_SIZE as u32);
        (header.policy, header.wait_ticks, header.rings_off) = (POLICY_WAIT, u64::MAX, RINGS);
        header.tsc_khz_phys = TSC_KHZ_AT + (1 << 30);
        header.release[..4].copy_from_slice(b"test");
        header.first_tsc = 77;
        let guest = FakeGuest { map, path: path.into(), offset, header };
        guest.put_header(&header);
        guest
    }

    /// The RAM file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a header, right or wrong.
    pub fn put_header(&self, header: &Header) {
        for (index, word) in words_of(header).into_iter().enumerate() {
            self.store(self.base() + 8 * index as u64, word);
        }
    }

    /// Sets the kernel's `tsc_khz`.
    pub fn set_tsc_khz(&self, khz: u64) {
        self.store(TSC_KHZ_AT, khz);
    }

    /// The CPU's `produced`.
    pub fn produced(&self, cpu: u32) -> u64 {
        self.load(self.control(cpu) + offset_of!(CpuControl, produced) as u64)
    }

    /// Sets the CPU's `produced`, whatever the ring holds.
    pub fn set_produced(&self, cpu: u32, produced: u64) {
        fence(Ordering::Release);
        let at = (self.control(cpu) + offset_of!(CpuControl, produced) as u64) as usize;
        assert!(at + 8 <= self.map.len());
        // SAFETY: inside the mapping, aligned. A counter, unlike a word, is stored in one piece.
        unsafe { self.map.as_mut_ptr().add(at).cast::<u64>().write_volatile(produced) };
    }

    /// The CPU's `consumed`.
    pub fn consumed(&self, cpu: u32) -> u64 {
        let consumed = self.load(self.control(cpu) + offset_of!(CpuControl, consumed) as u64);
        fence(Ordering::Acquire);
        consumed
    }

    /// Whether a consumer is attached.
    pub fn attached(&self) -> bool {
        self.load(self.base() + (offset_of!(Header, consumer_attached) as u64 & !7)) >> 32 != 0
    }

    /// Whether the slot of a chunk is all zero.
    pub fn is_zero(&self, cpu: u32, number: u64) -> bool {
        let at = self.chunk(cpu, number);
        (0..CHUNK_SIZE / 8).all(|index| self.load(at + 8 * index) == 0)
    }

    /// Waits for room, then opens a chunk and writes its words, the low halves last.
    pub fn open(&self, cpu: u32, header: &ChunkHeader, words: &[u64]) {
        assert!(words.len() <= CHUNK_WORDS);
        let number = self.produced(cpu);
        while number.wrapping_sub(self.consumed(cpu)) >= u64::from(self.header.chunks_per_cpu) {
            std::thread::yield_now();
        }
        let at = self.chunk(cpu, number);
        let header = ChunkHeader { magic: CHUNK_MAGIC, cpu, seq: number, ..*header };
        for (index, word) in words_of(&header).into_iter().enumerate().rev() {
            self.store(at + 8 * index as u64, word);
        }
        self.store(self.control(cpu) + offset_of!(CpuControl, started) as u64, 1);
        for (index, &word) in words.iter().enumerate() {
            self.put(cpu, number, index, word);
        }
    }

    /// Writes one word of a chunk.
    pub fn put(&self, cpu: u32, number: u64, index: usize, word: u64) {
        self.store(self.chunk(cpu, number) + size_of::<ChunkHeader>() as u64 + 8 * index as u64, word);
    }

    /// Closes the open chunk.
    pub fn close(&self, cpu: u32) {
        self.set_produced(cpu, self.produced(cpu) + 1);
    }

    fn base(&self) -> u64 {
        self.offset + DATA_OFFSET
    }

    fn control(&self, cpu: u32) -> u64 {
        self.base() + CPU_CONTROL_OFFSET + u64::from(cpu) * CPU_CONTROL_STRIDE
    }

    fn chunk(&self, cpu: u32, number: u64) -> u64 {
        let slot = number % u64::from(self.header.chunks_per_cpu);
        self.base() + self.header.chunk_offset(cpu, slot).unwrap()
    }

    fn load(&self, at: u64) -> u64 {
        assert!(at as usize + 8 <= self.map.len());
        // SAFETY: inside the mapping (above), aligned; other threads and processes write: volatile.
        unsafe { self.map.as_mut_ptr().add(at as usize).cast::<u64>().read_volatile() }
    }

    fn store(&self, at: u64, value: u64) {
        assert!(at as usize + 8 <= self.map.len());
        // SAFETY: as in `load`. The halves go in the order in which guests write them.
        unsafe {
            let half = self.map.as_mut_ptr().add(at as usize).cast::<u32>();
            half.add(1).write_volatile((value >> 32) as u32);
            half.write_volatile(value as u32);
        }
    }
}

fn words_of(value: &(impl IntoBytes + Immutable)) -> Vec<u64> {
    value.as_bytes().chunks(8).map(|eight| u64::from_le_bytes(eight.try_into().unwrap())).collect()
}
