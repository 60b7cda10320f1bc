// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Frames and shadow stacks. A frame is what the entry trampoline leaves for the return trampoline;
//! each task has a stack of them, whose top is kept in `task_struct.ret_stack` (unused by the kernel
//! while its own function graph tracer is off). Interrupts nest on the running task's stack, as their
//! code does on its kernel stack.
//!
//! A stack is [`STACK_SIZE`] bytes, aligned to its size: frame 0 is the base (never
//! pending; it remembers the task's name and pid), the lower half is used, and the upper half is the slack that
//! lets the entry trampoline test one address bit for "full".

use crate::facts;
use bootlevel::options::DEEPEST;
pub use early_ftrace_format::shared::{CLAIMED, Frame, FrameBase as Base};

use core::arch::asm;
use core::sync::atomic::{AtomicU8, Ordering};

/// [`Frame::high`] of the last frame of a full stack, whose entry word is written: it stays pending so
/// that each call below it comes by the slow path again.
pub const FULL: u32 = !CLAIMED;

/// From [`Frame::stack`] to the function's return address: two saved registers, and the address after
/// the call site.
pub const RETURN_SLOT: u64 = 24;

/// Size of one shadow stack, and its alignment.
pub const STACK_SIZE: usize = 8192;

/// Address bit that is set in the slack half.
pub const SLACK_BIT: u32 = 4096;

// As many open functions as there are frames below the slack, but for the base.
const _: () = assert!(DEEPEST as usize + 1 == SLACK_BIT as usize / size_of::<Frame>());

/// Frames that a stack leaves unused so that it is full after `depth` open functions.
pub const fn skipped_frames(depth: u16) -> u64 {
    DEEPEST.saturating_sub(depth) as u64
}

/// `log2(STACK_SIZE / 4096)`, for the kernel's page allocator.
pub const STACK_ORDER: u32 = 1;

/// Claims a frame; true if it was pending: then the caller writes its entry word. One
/// instruction, since an NMI may want to claim the same frame.
///
/// # Safety
/// `frame` is a frame of a stack in use.
#[inline(always)]
pub unsafe fn claim(frame: *mut Frame) -> bool {
    let pending: u8;
    // SAFETY: the caller's word; `bts` with an immediate touches just these four bytes.
    unsafe {
        asm!("bts dword ptr [{0}], 31", "setnc {1}", in(reg) &raw mut (*frame).high, out(reg_byte) pending,
             options(nostack));
    }
    pending != 0
}

/// Address of a task's shadow stack top.
#[inline(always)]
pub fn top_of(task: usize) -> *mut usize {
    (task + facts::task_ret_stack()) as *mut usize
}

/// Base of the stack that holds the frame at `top - 32`.
#[inline(always)]
pub fn base_of(top: usize) -> usize {
    (top - size_of::<Frame>()) & !(STACK_SIZE - 1)
}

/// The pool: flags in guest-private memory, stacks behind `header.stacks_off`.
struct Pool {
    first: usize,
    count: usize,
    flags: *const AtomicU8,
}

fn pool() -> Pool {
    let header = crate::ring::header();
    // SAFETY: the header is ours, mapped from the first instruction on, and these fields never change.
    unsafe {
        Pool {
            first: facts::header() + (*header).stacks_off as usize,
            count: (*header).stacks as usize,
            flags: (facts::header() + (*header).guest_off as usize) as *const AtomicU8,
        }
    }
}

/// A stack from the pool.
pub fn take_pooled() -> Option<usize> {
    let pool = pool();
    let mut index = 0;
    while index < pool.count {
        // SAFETY: the injector has laid out `count` flags there.
        let flag = unsafe { &*pool.flags.add(index) };
        if flag.load(Ordering::Relaxed) == 0
            && flag.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            return Some(pool.first + index * STACK_SIZE);
        }
        index += 1;
    }
    None
}

/// A stack for a new task: from the pool, else from the kernel's allocator. The caller may sleep (it
/// is `copy_process`).
pub fn take() -> usize {
    if let Some(stack) = take_pooled() {
        return stack;
    }
    loop {
        // SAFETY: the kernel's function, in process context. Orders this small do not fail for
        // GFP_KERNEL; were it ever to, there is nothing to give the task but another try.
        let page = unsafe { facts::eft_kernel_get_free_pages(facts::GFP_KERNEL, STACK_ORDER) };
        if page != 0 {
            return page;
        }
    }
}

/// Gives a stack back.
pub fn give(base: usize) {
    let pool = pool();
    if base >= pool.first && base < pool.first + pool.count * STACK_SIZE {
        // SAFETY: as in `take`.
        let flag = unsafe { &*pool.flags.add((base - pool.first) / STACK_SIZE) };
        flag.store(0, Ordering::Release);
    } else {
        // SAFETY: `take` had it from the page allocator with the same order.
        unsafe { facts::eft_kernel_free_pages(base, STACK_ORDER) };
    }
}

/// Makes `base` an empty stack: no frame is pending.
///
/// # Safety
/// `base` is a stack of [`STACK_SIZE`] bytes that no task uses.
pub unsafe fn clear(base: usize) {
    let mut at = base;
    // SAFETY: inside the stack. Every frame's `high` is set: a dead task may have left frames open.
    // Volatile keeps the compiler from making it vector stores.
    unsafe {
        (&raw mut (*(base as *mut Base)).comm_low).write_volatile(0);
        (&raw mut (*(base as *mut Base)).comm_high).write_volatile(0);
        (&raw mut (*(base as *mut Base)).pid).write_volatile(0);
        while at < base + STACK_SIZE {
            (&raw mut (*(at as *mut Frame)).high).write_volatile(CLAIMED);
            at += size_of::<Frame>();
        }
    }
}
