// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What only the kernel can do for us: bpf(2), its maps and its ring. In: programs, sizes. Out: files, records' bytes. The
//! only file of the recorder by BPF with unsafe code. Never here: what is in a record, what a program does.

use memmap2::{MmapOptions, MmapRaw};
use perf_event_open_sys as sys;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::ffi::CStr;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use sys::bindings;

// Commands, kinds and flags in <linux/bpf.h>.
const MAP_CREATE: i64 = 0;
const MAP_UPDATE_ELEM: i64 = 2;
const PROG_LOAD: i64 = 5;
const TRACEPOINT: u32 = 5;
const MMAPABLE: u32 = 1 << 10;

/// What becomes of a word in the ring before a record (BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT).
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
/// Bytes of a page, which the ring's layout hangs on.
const PAGE: usize = 4096;
/// Bytes of a record's head: length, and a number of the kernel's.
const HEAD: usize = 8;

/// The license that the kernel asks for: its helpers are for programs whose license is compatible with its own.
const LICENSE: &CStr = c"Dual MIT/GPL";
/// Bytes of what the verifier says.
const LOG: usize = 1 << 16;

/// Kinds of maps.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// BPF_MAP_TYPE_HASH.
    Hash = 1,
    /// BPF_MAP_TYPE_ARRAY, which can be mapped.
    Array = 2,
    /// BPF_MAP_TYPE_RINGBUF.
    Ring = 27,
}

/// bpf(2). The attributes are words of 32 bits; those that are addresses must be of what `attributes` says.
fn bpf(command: i64, attributes: &[u32]) -> Result<i64> {
    // SAFETY: the kernel reads as many bytes as the length says, from a live slice; each caller lays down which of the
    // words are addresses, and keeps what is there alive and long enough.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes)) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

/// What bpf(2) has made.
fn file(number: i64) -> OwnedFd {
    // SAFETY: the kernel has just made this file for us; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(number as i32) }
}

fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

/// A new map.
///
/// # Errors
/// Without CAP_BPF, or without memory.
pub fn map(kind: Kind, key: usize, value: usize, most: usize) -> Result<OwnedFd> {
    let flags = if matches!(kind, Kind::Array) { MMAPABLE } else { 0 };
    // map_type, key_size, value_size, max_entries, map_flags.
    let attributes = [kind as u32, key as u32, value as u32, most as u32, flags];
    let made = bpf(MAP_CREATE, &attributes).or_else(|error| {
        // Before Linux 5.11 maps count as locked memory, root's as well.
        if error.raw_os_error() != Some(libc::EPERM) {
            return Err(error);
        }
        let unlimited = Rlimit { current: None, maximum: None };
        setrlimit(Resource::Memlock, unlimited).map_err(|_| error)?;
        bpf(MAP_CREATE, &attributes)
    });
    made.map(file)
}

/// Puts `value` into a map of keys of 4 bytes and values as long as this one.
///
/// # Errors
/// When it is full.
pub fn put(map: &OwnedFd, key: u32, value: &[u64]) -> Result<()> {
    let (key, value) = (halves(&raw const key as u64), halves(value.as_ptr() as u64));
    // map_fd, padding, key, value, flags: `key` and `value` live to the end of this function.
    bpf(MAP_UPDATE_ELEM, &[map.as_raw_fd() as u32, 0, key[0], key[1], value[0], value[1], 0, 0]).map(drop)
}

/// Hands a program to the kernel.
///
/// # Errors
/// When the verifier refuses it: with the end of what it says.
pub fn load(code: &[u64]) -> Result<OwnedFd> {
    let (instructions, license) = (halves(code.as_ptr() as u64), halves(LICENSE.as_ptr() as u64));
    // prog_type, insn_cnt, insns, license, log_level, log_size, log_buf.
    let attributes = |level: u32, size: usize, log: [u32; 2]| {
        let [count, size] = [code.len() as u32, size as u32];
        [TRACEPOINT, count, instructions[0], instructions[1], license[0], license[1], level, size, log[0], log[1]]
    };
    match bpf(PROG_LOAD, &attributes(0, 0, [0, 0])) {
        Ok(number) => Ok(file(number)),
        Err(error) => {
            // Once more, for what it says; the log is written up to its length, with a zero behind.
            let mut log = vec![0u8; LOG];
            let said = attributes(1, LOG, halves(log.as_mut_ptr() as u64));
            if let Ok(number) = bpf(PROG_LOAD, &said) {
                return Ok(file(number));
            }
            let text = String::from_utf8_lossy(&log);
            let last = text.trim_end_matches('\0').lines().rev().find(|line| !line.starts_with("processed"));
            match last.map(str::trim).filter(|line| !line.is_empty()) {
                Some(line) => Err(Error::new(error.kind(), format!("{error}: {line}"))),
                None => Err(error),
            }
        }
    }
}

/// Has a program run at each event of a tracepoint, on all CPUs, as long as the file is open.
///
/// # Errors
/// Without CAP_PERFMON.
pub fn attach(id: u64, program: &OwnedFd) -> Result<OwnedFd> {
    let size = size_of::<bindings::perf_event_attr>() as u32;
    let mut attributes =
        bindings::perf_event_attr { type_: bindings::PERF_TYPE_TRACEPOINT, size, config: id, ..Default::default() };
    attributes.__bindgen_anon_1.sample_period = 1;
    // The program runs all the same; perf itself need not do anything for each event.
    attributes.set_disabled(1);
    let flags = u64::from(bindings::PERF_FLAG_FD_CLOEXEC);
    // SAFETY: `attributes` is a live structure whose `size` says how long it is. Of any process, on CPU 0: a program
    // belongs to the tracepoint, and runs wherever it is passed.
    let number = unsafe { sys::perf_event_open(&mut attributes, -1, 0, -1, flags as _) };
    if number < 0 {
        return Err(Error::last_os_error());
    }
    let event = file(number.into());
    // SAFETY: an open perf event, and the number of a live file.
    let done = unsafe { sys::ioctls::SET_BPF(event.as_raw_fd(), program.as_raw_fd() as u32) };
    if done < 0 { Err(Error::last_os_error()) } else { Ok(event) }
}

/// The first 8 bytes of an array, which the programs count in.
pub struct Counter(MmapRaw);

impl Counter {
    /// Of an array of one value of at least 8 bytes.
    ///
    /// # Errors
    /// Without memory.
    pub fn new(array: &OwnedFd) -> Result<Counter> {
        Ok(Counter(MmapOptions::new().len(PAGE).map_raw(array)?))
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        // SAFETY: the mapping lives as long as `self`, is a page and so aligned; programs change the word atomically.
        unsafe { AtomicU64::from_ptr(self.0.as_mut_ptr().cast()) }.load(Ordering::Acquire)
    }
}

/// The ring's mapping: a page with our position, one with the kernel's, and the data twice, one behind the other.
pub struct Ring {
    ours: MmapRaw,
    theirs: MmapRaw,
    size: usize,
    /// Where our position was in the last pass.
    before: u64,
}

/// Bytes of the largest record, with its head: another that did not fit may have been as large.
const LARGEST: u64 = 128;

/// Whether the ring was so full when the record was written whose bytes end at `end`, with our position at `ours`, that
/// others may not have fitted before or behind it.
fn was_full(end: u64, ours: u64, size: u64) -> bool {
    let held = end.wrapping_sub(ours);
    held <= size && held + LARGEST > size
}

impl Ring {
    /// Of a ring of `size` bytes, a power of two.
    ///
    /// # Errors
    /// Without memory.
    pub fn new(ring: &OwnedFd, size: usize) -> Result<Ring> {
        let ours = MmapOptions::new().len(PAGE).map_raw(ring)?;
        // The kernel allows us to read these only.
        let theirs = MmapOptions::new().offset(PAGE as u64).len(PAGE + 2 * size).map_raw_read_only(ring)?;
        Ok(Ring { ours, theirs, size, before: 0 })
    }

    /// Gives the bytes of each record that is whole, and whether others may be missing beside it, and the ring its room
    /// back; how many bytes that was.
    pub fn take(&mut self, mut give: impl FnMut(&[u8], bool)) -> u64 {
        // SAFETY: both mappings live as long as `self` and begin with that word, aligned to a page; the kernel accesses
        // both atomically, and nobody but us (`&mut self`) writes to the first. `theirs` is only loaded from.
        let (ours, theirs) =
            unsafe { (AtomicU64::from_ptr(self.ours.as_mut_ptr().cast()), &*self.theirs.as_ptr().cast::<AtomicU64>()) };
        let (begin, end) = (ours.load(Ordering::Relaxed), theirs.load(Ordering::Acquire));
        // Not more than there is room for, whatever the words say.
        let end = begin.wrapping_add(end.wrapping_sub(begin).min(self.size as u64));
        let mut at = begin;
        while end.wrapping_sub(at) >= HEAD as u64 {
            let place = (at % self.size as u64) as usize & !7;
            // SAFETY: place + HEAD <= size + 8 lies in the data, which are 2 * size bytes behind the first page; it is
            // aligned to 8. The kernel clears BUSY with Release when the record is written.
            let data = unsafe { self.theirs.as_ptr().add(PAGE + place) };
            // SAFETY: as above; the kernel changes this word atomically.
            let head = unsafe { &*data.cast::<AtomicU32>() }.load(Ordering::Acquire);
            if head & BUSY != 0 {
                break;
            }
            let length = (head & !DISCARDED) as usize;
            if length > self.size - HEAD {
                break;
            }
            let next = at.wrapping_add((HEAD + length).next_multiple_of(8) as u64);
            // Written since this pass began, or before that.
            let full = [self.before, begin].into_iter().any(|ours| was_full(next, ours, self.size as u64));
            if head & DISCARDED == 0 {
                // SAFETY: place < size and HEAD + length <= size: inside the 2 * size bytes. The kernel does not write to
                // a record that is not busy before our position has passed it, below.
                give(unsafe { std::slice::from_raw_parts(data.add(HEAD), length) }, full);
            }
            at = next;
        }
        self.before = begin;
        ours.store(at, Ordering::Release);
        at.wrapping_sub(begin)
    }
}

/// The number of this thread.
pub fn own_thread() -> u32 {
    // SAFETY: gettid has no arguments, no memory effects and cannot fail.
    unsafe { libc::gettid() }.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::was_full;

    #[test]
    fn losses_are_where_the_ring_was_full() {
        let (size, ours) = (4096, u64::MAX - 1000);
        let full = |held: u64| was_full(ours.wrapping_add(held), ours, size);
        assert_eq!([112, 3968, 3969, 4096, 4097, 8000].map(full), [false, false, true, true, false, false]);
    }
}
