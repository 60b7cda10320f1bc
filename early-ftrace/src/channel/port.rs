// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The debug-console port: QEMU's isa-debugcon, which writes each byte that the guest writes to it into a file or pipe.
//! In: frames. Out: their bytes, one write each (the device takes no more at once; under KVM the string instruction
//! leaves the guest once for many). Never here: a port at which nothing answers.
//!
//! CPUs share the port, and frames must not mix: each is sent under a lock, which is tried for a bounded time. Nobody is
//! interrupted while holding it but by an NMI, and one that comes then writes nothing (its CPU's slots are closed, see
//! [`crate::ring::exclusively`]). A CPU that was stopped for good by an NMI may hold it for ever: at the end
//! ([`super::frames::short`]) it is taken after the time all the same. The frame that was cut so is lost, and the host
//! finds the next one by its head.

use super::frames::Frame;
use crate::facts;
use crate::percpu::{cpu, now};
use crate::plan::PLAN_OFFSET;
use crate::ring::header;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};
use early_ftrace_format::shared::DEBUG_PORT;

/// Most ticks for the lock: some frames' time.
const PATIENCE: u64 = 1 << 32;

/// Takes it into use; false if it is not there.
pub fn take() -> bool {
    let value: u8;
    // SAFETY: a read of an I/O port in ring 0: where there is no device, all bits are set. QEMU's debug console reads
    // as 0xe9 (hw/char/debugcon.c), and a read has no effect there.
    unsafe { asm!("in al, dx", in("dx") DEBUG_PORT, out("al") value, options(nostack, nomem, preserves_flags)) };
    value == DEBUG_PORT as u8
}

/// Where the lock is, behind what the guest keeps for itself: no part of the plan, of which others hold references.
pub const LOCK_OFFSET: usize = PLAN_OFFSET as usize - 8;

fn lock() -> &'static AtomicU32 {
    // SAFETY: our own memory, aligned, zero at first, and only used as an atomic.
    unsafe { AtomicU32::from_ptr((facts::header() + (*header()).guest_off as usize + LOCK_OFFSET) as *mut u32) }
}

/// Whether nobody writes to the port now.
pub fn is_free() -> bool {
    lock().load(Ordering::Relaxed) == 0
}

/// Takes the lock for this CPU; false if another one holds it.
fn acquire() -> bool {
    let mine = cpu().wrapping_add(1);
    let from = now();
    loop {
        let Err(holder) = lock().compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed) else { return true };
        core::hint::spin_loop();
        if now().wrapping_sub(from) < PATIENCE {
            continue;
        }
        // SAFETY: a header field; see `frames::short`.
        let ends = unsafe { (&raw const (*header()).tail).read_volatile() } != 0;
        return ends && lock().compare_exchange(holder, mine, Ordering::Acquire, Ordering::Relaxed).is_ok();
    }
}

/// Sends a frame; false if another CPU held the port for too long.
pub fn send(frame: &Frame) -> bool {
    if !acquire() {
        return false;
    }
    write(&raw const frame.head as u64, 1);
    write(frame.first.0, frame.first.1);
    let mut zeros = frame.zeros;
    while zeros > 0 {
        let zero = 0u64;
        write(&raw const zero as u64, 1);
        zeros -= 1;
    }
    write(frame.second.0, frame.second.1);
    lock().store(0, Ordering::Release);
    true
}

/// Writes words to the port, the lowest byte first.
fn write(at: u64, words: usize) {
    // SAFETY: the caller's memory, `words` of it; reads only. The direction flag is clear in kernel code.
    unsafe {
        asm!("rep outsb", in("dx") DEBUG_PORT, inout("rsi") at => _, inout("rcx") words * 8 => _,
             options(nostack, preserves_flags, readonly));
    }
}
