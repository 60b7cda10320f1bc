// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Closed chunks as frames (`early_ftrace_format::stream`). In: this CPU's ring, with interrupts off and its slots
//! closed ([`crate::ring::exclusively`]). Out: words, to [`super::hypercall`] or [`super::port`]; chunks that are zero
//! and counted as consumed again. Never here: events; memory of other CPUs.
//!
//! A chunk is sent at one go, and whoever happens to write its last word is charged for that: chunks are [`SENT_WORDS`]
//! words long, at the end of their slots in the ring.
//!
//! A chunk is sent once all its words are written: who was interrupted between reserving a slot and storing into it
//! would else store into a chunk that is in use again. It is kept meanwhile, as long as the ring has room; then, and at
//! the end, it is sent as it is. While one is kept, the next ones fill their slots: the ring has room for as many words
//! as with other channels.
//!
//! Where the end may be near ([`last`]: an oops) the open chunk is sent as well. From where it is sure ([`short`]: a
//! panic, a stopped CPU, the power-off) chunks are [`TAIL_WORDS`] words long, so that at most so many are missing, and the
//! entry that was not written yet.

use super::{hypercall, is, is_stream, port};
use crate::boot::note_frequency;
use crate::facts;
use crate::percpu::{NO_CHUNK, NO_RING, cpu, irqs_off, limit, set_limit, set_position};
use crate::ring::{control_of, exclusively, header};
use crate::task::{current, flush};
use bootlevel::Channel;
use core::sync::atomic::{AtomicU64, Ordering};
use early_ftrace_format::shared::{CHUNK_SIZE, ChunkHeader, CpuControl, Header};
use early_ftrace_format::stream::{FrameKind, Head, SENT_WORDS, TAIL_WORDS};

/// Words of a [`ChunkHeader`].
const HEADER_WORDS: usize = size_of::<ChunkHeader>() / 8;

/// Of them, those that say something: the others are zero in a frame.
const USED_WORDS: usize = 5;

/// Where the guest keeps in a chunk's header how many slots at its beginning are not used: [`ChunkHeader::reserved`].
const SKIPPED_WORD: usize = USED_WORDS;

const _: () = assert!(core::mem::offset_of!(ChunkHeader, reserved) == USED_WORDS * 8);

/// Where the words of a frame come from, without a copy: `count` of the first stretch, zeros, `count` of the second.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// The head.
    pub head: u64,
    /// Address and words of the first stretch.
    pub first: (u64, usize),
    /// Words of zero.
    pub zeros: usize,
    /// Address and words of the second stretch.
    pub second: (u64, usize),
}

impl Frame {
    /// Of one stretch.
    fn whole(head: u64, at: u64, count: usize) -> Frame {
        // Opaque: zeros beside each other would be stored by a vector register.
        let none = core::hint::black_box(0);
        Frame { head, first: (at, count), zeros: none, second: (at, core::hint::black_box(none)) }
    }

    /// Words with the head.
    pub fn words(&self) -> usize {
        1 + self.first.1 + self.zeros + self.second.1
    }

    /// Word `index`; 0 behind the end.
    #[inline(always)]
    pub fn word(&self, index: usize) -> u64 {
        if index == 0 {
            return self.head;
        }
        let (mut index, mut at) = (index - 1, self.first.0);
        if index >= self.first.1 {
            index -= self.first.1;
            if index < self.zeros {
                return 0;
            }
            index -= self.zeros;
            if index >= self.second.1 {
                return 0;
            }
            at = self.second.0;
        }
        // SAFETY: inside one of the stretches, which are our header, a control block or a chunk.
        unsafe { (at as *const u64).add(index).read_volatile() }
    }
}

/// A chunk was closed on this CPU. Sends what can be sent.
pub fn closed(control: *mut CpuControl) {
    if is_stream() {
        send_closed(control, false);
    }
}

/// This CPU's ring is full, as the port was another's for too long. Tries again, if it is free now.
#[cold]
pub fn again(control: *mut CpuControl) {
    if is(Channel::Port) && port::is_free() {
        send_closed(control, false);
    }
}

/// A chunk was opened on this CPU at this address: where its words begin.
pub fn opened(chunk: u64) -> u64 {
    let begin = chunk + size_of::<ChunkHeader>() as u64;
    if !is_stream() {
        return begin;
    }
    // SAFETY: our header and control block, and a chunk of this CPU's that is not in use yet.
    unsafe {
        let first = (*control_of(0)).frames == 0;
        if first {
            send_header();
        }
        let control = control_of(cpu());
        let words = if (&raw const (*header()).tail).read_volatile() != 0 {
            TAIL_WORDS as u64
        } else if (&raw const (*control).consumed).read_volatile() == (&raw const (*control).produced).read_volatile() {
            SENT_WORDS as u64
        } else {
            // One is kept: the next ones need room.
            return begin;
        };
        let skipped = (CHUNK_SIZE - size_of::<ChunkHeader>() as u64) / 8 - words;
        (chunk as *mut u64).add(SKIPPED_WORD).write_volatile(skipped);
        begin + skipped * 8
    }
}

/// The header has changed: a phase has begun.
pub fn announce() {
    note_frequency();
    if is_stream() {
        irqs_off(|| {
            exclusively(0, send_header);
        });
    }
}

/// The end may be near: what is open on this CPU is sent, with the entry that its task has not written yet.
pub fn last() {
    if !is_stream() || cpu() == NO_RING {
        return;
    }
    irqs_off(|| {
        // SAFETY: the running task, interrupts are off.
        unsafe { flush(current()) };
        exclusively(0, || {
            let control = control_of(cpu());
            set_position(NO_CHUNK);
            if limit() != 0 {
                set_limit(0);
                // SAFETY: our control block; `produced` is written by this CPU only.
                let produced = unsafe { AtomicU64::from_ptr(&raw mut (*control).produced) };
                produced.store(produced.load(Ordering::Relaxed) + 1, Ordering::Release);
            }
            send_closed(control, true);
            send_header();
            send(counters(control));
        });
    });
}

/// From here on chunks are short.
pub fn short() {
    // SAFETY: our header; all that write it write the same.
    unsafe { (&raw mut (*header()).tail).write_volatile(1) };
    last();
}

/// Sends closed chunks; all of them if `all`, else those whose words are written.
fn send_closed(control: *mut CpuControl, all: bool) {
    // SAFETY: our control block: nobody else writes it while the guest sends.
    unsafe {
        let consumed = AtomicU64::from_ptr(&raw mut (*control).consumed);
        let produced = AtomicU64::from_ptr(&raw mut (*control).produced).load(Ordering::Relaxed);
        let chunks = (*header()).chunks_per_cpu as u64;
        loop {
            let number = consumed.load(Ordering::Relaxed);
            if number >= produced {
                return;
            }
            let slot = cpu() as u64 * chunks + (number & (chunks - 1));
            let chunk = facts::header() as u64 + (*header()).rings_off + slot * CHUNK_SIZE;
            let skipped = (chunk as *const u64).add(SKIPPED_WORD).read_volatile() as usize;
            let (from, count, whole) = used(chunk, skipped);
            let full = produced - number >= chunks;
            if !whole && !all && !full {
                return;
            }
            let lost = (&raw const (*(chunk as *const ChunkHeader)).lost).read_volatile();
            let frame = Frame {
                head: head(FrameKind::Chunk, control, HEADER_WORDS + count),
                first: (chunk, USED_WORDS),
                zeros: HEADER_WORDS - USED_WORDS,
                second: (from, count),
            };
            if !send(frame) {
                return;
            }
            zero(chunk, HEADER_WORDS);
            zero(from, (chunk + CHUNK_SIZE).saturating_sub(from) as usize / 8);
            consumed.store(number + 1, Ordering::Release);
            if lost != 0 {
                send(counters(control));
            }
        }
    }
}

/// Makes words zero, so that those which will not be written are known.
///
/// # Safety
/// `at` is in a chunk of this CPU's that is not in use, with `count` words behind it.
unsafe fn zero(at: u64, count: usize) {
    let mut index = 0;
    while index < count {
        // SAFETY: the caller's word. Volatile: neither memset nor vector registers.
        unsafe { (at as *mut u64).add(index).write_volatile(0) };
        index += 1;
    }
}

/// Of a chunk with `skipped` slots left out: where its words begin, how many there are up to the last that is written,
/// and whether all are.
///
/// # Safety
/// `chunk` is a closed chunk of this CPU.
unsafe fn used(chunk: u64, skipped: usize) -> (u64, usize, bool) {
    let from = chunk + ((HEADER_WORDS + skipped) * 8) as u64;
    let slots = (chunk + CHUNK_SIZE).saturating_sub(from) as usize / 8;
    let mut last = slots;
    // SAFETY: inside the chunk: `last` words lie between `from` and its end.
    let low = |index: usize| unsafe { ((from as *const u64).add(index) as *const u32).read_volatile() };
    while last > 0 && low(last - 1) == 0 {
        last -= 1;
    }
    let mut index = 0;
    while index < last && low(index) != 0 {
        index += 1;
    }
    (from, last, index == slots)
}

fn head(kind: FrameKind, control: *mut CpuControl, count: usize) -> u64 {
    // SAFETY: a counter of this CPU.
    let number = unsafe { (*control).frames } as u8;
    Head { kind, number, cpu: cpu() as u16, count: count as u16 }.word()
}

fn counters(control: *mut CpuControl) -> Frame {
    let count = size_of::<CpuControl>() / 8;
    Frame::whole(head(FrameKind::Counters, control, count), control as u64, count)
}

fn send_header() {
    if cpu() == NO_RING {
        return;
    }
    let count = size_of::<Header>() / 8;
    let head = head(FrameKind::Header, control_of(cpu()), count);
    send(Frame::whole(head, facts::header() as u64, count));
}

/// Sends a frame of this CPU; false if it could not be sent now.
fn send(frame: Frame) -> bool {
    let sent = if is(Channel::Hypercall) { hypercall::send(&frame) } else { port::send(&frame) };
    if sent {
        // SAFETY: a counter of this CPU.
        unsafe { (*control_of(cpu())).frames += 1 };
    }
    sent
}
