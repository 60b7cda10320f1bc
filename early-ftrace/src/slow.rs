// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the trampolines hand over. In: a frame, and the slot that was reserved or 0. Out: the same
//! words as the fast path's, with time words and chunk changes as needed. Interrupts are off inside.

use crate::percpu::{epoch, high, irqs_off, now, set_anchor};
use crate::ring::{put_time, reserve, store};
use crate::shadow::{CLAIMED, FULL, Frame, RETURN_SLOT, top_of};
use crate::task;
use crate::trampoline::{eft_return, eft_return_claimed, eft_return_full};
use early_ftrace_format::encode::entry_word;
use early_ftrace_format::word::{Kind, control};

/// A reserved slot that is not needed after all: what goes in must mean the same under any time base,
/// since an NMI may have written behind it.
fn give_up(slot: u64) {
    if slot != 0 {
        store(slot, control(Kind::Pad, 0, 0));
    }
}

/// Writes the entry word of a claimed frame, into `slot` if that is one and the time fits.
pub fn put_entry(site: u32, time: u64, mut slot: u64) {
    loop {
        if slot == 0 {
            let Some(next) = reserve(1, 1) else { return };
            slot = next;
        }
        // The base is read after the slot is reserved: who came between has its words before mine.
        if (time >> 31) as u32 == epoch() {
            set_anchor(time as u32);
            store(slot, entry_word(site, time as u32));
            return;
        }
        give_up(slot);
        slot = 0;
        if !put_time(time) {
            return;
        }
    }
}

/// Writes a word with 32 bits of time: the low half is `low`.
pub fn put_timed(low: u32, time: u64) {
    while let Some(slot) = reserve(1, 1) {
        if (time >> 32) as u32 == high() {
            set_anchor(time as u32);
            store(slot, (time as u32 as u64) << 32 | low as u64);
            return;
        }
        give_up(slot);
        if !put_time(time) {
            return;
        }
    }
}

/// Whole time of entry of a frame.
pub fn entered(frame: &Frame) -> u64 {
    ((frame.high & !CLAIMED) as u64) << 32 | frame.time as u64
}

/// From the entry trampoline: the parent's entry word was claimed, but did not fit.
///
/// # Safety
/// `frame` is a whole frame of the running task, `slot` 0 or reserved by the caller.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eft_slow_entry(frame: *const Frame, slot: u64) {
    irqs_off(|| {
        // SAFETY: the caller's word.
        let frame = unsafe { &*frame };
        put_entry(frame.site, entered(frame), slot);
    });
}

/// From the return trampoline. `whole`: the entry word was claimed now and is to be written too.
///
/// # Safety
/// As for [`eft_slow_entry`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eft_slow_exit(frame: *const Frame, slot: u64, whole: u32) {
    irqs_off(|| {
        if whole != 0 {
            // SAFETY: the caller's word.
            let frame = unsafe { &*frame };
            put_entry(frame.site, entered(frame), slot);
        } else {
            give_up(slot);
        }
        put_timed(early_ftrace_format::word::EXIT_LOW, now());
    });
}

/// Whether an interrupt has come into the return trampoline of this frame's function before it claimed the
/// entry word: its return address is gone from the stack then, and the interrupt's own frame lies there.
///
/// The processor aligns the stack to 16 and pushes ss, rsp, flags, cs, rip. (An NMI has a stack of its own,
/// and is not seen here: then a word is written twice, and nothing else is harmed.)
///
/// # Safety
/// A frame of the running task.
unsafe fn is_returning(frame: &Frame) -> bool {
    let after = frame.stack + RETURN_SLOT + 8;
    let pushed = (after & !15) as *const u64;
    // SAFETY: the task's kernel stack: below a return address lie at least the frames that brought us here.
    let (rsp, rip) = unsafe { (pushed.sub(2).read_volatile(), pushed.sub(5).read_volatile()) };
    let from = (&raw const eft_return).addr() as u64;
    let to = (&raw const eft_return_claimed).addr() as u64;
    rsp == after && rip >= from && rip < to
}

/// From the entry trampoline: `mine` would lie in the slack of the stack. The call is not hooked; the
/// frame below stays pending, marked [`FULL`], and its return goes by `eft_return_full`.
///
/// # Safety
/// `mine` is the address that the trampoline took from the running task's stack, its parent claimed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eft_slow_full(mine: *mut Frame) {
    irqs_off(|| {
        // SAFETY: the frame below is a whole one of this task; its function's return address lies where
        // the entry trampoline found it; the task's top is moved back by what the trampoline added.
        unsafe {
            let parent = mine.sub(1);
            if (*parent).high != FULL | CLAIMED && is_returning(&*parent) {
                // It writes its exit itself: its entry is claimed now, and stays so.
                put_entry((*parent).site, entered(&*parent), 0);
                *top_of(task::current()) -= size_of::<Frame>();
                (*crate::ring::header()).depth_overflows += 1;
                return;
            }
            if (*parent).high != FULL | CLAIMED {
                put_entry((*parent).site, entered(&*parent), 0);
                *(((*parent).stack + RETURN_SLOT) as *mut u64) = (&raw const eft_return_full).addr() as u64;
            }
            (*parent).high = FULL;
            *top_of(task::current()) -= size_of::<Frame>();
            (*crate::ring::header()).depth_overflows += 1;
        }
    });
}
