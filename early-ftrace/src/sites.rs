// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The call sites of functions. In: where they shall lead. Out: patched text. The list is the kernel's own
//! `__mcount_loc`, in memory that the kernel frees after the last initcall: nothing here is reached
//! later. An entry of 0 is none: the injector and [`keep`] make so those that must stay as they are.
//!
//! What makes it safe to change code that others may run: while one CPU is online, interrupts are off and
//! nobody else runs; with more, `stop_machine` holds them all in `eft_stop_point`, which has no site, and
//! each executes `cpuid` before it goes on. Text is writable until `mark_rodata_ro`, which comes later.
//! An NMI on another CPU may run a site in the very moment: it is written by one store of eight
//! bytes, so that the other CPU sees the old or the new instruction (unless it crosses a cache line).

use crate::facts;
use crate::percpu::irqs_off;
use core::arch::x86_64::__cpuid;
use core::sync::atomic::{AtomicU32, Ordering};

/// `nopl 0x0(%rax,%rax,1)`, as little-endian bytes.
const NOP: u64 = 0x00_0044_1f0f;
/// The five bytes of a site.
const SITE: u64 = 0xff_ffff_ffff;
/// `call rel32`.
const CALL: u8 = 0xe8;
/// `endbr64`.
const ENDBR: u32 = 0xfa1e_0ff3;

/// Where sites lead: 0 is nowhere (a nop), else the address of a trampoline.
pub type Target = usize;

unsafe extern "C" {
    /// Reached by pointer: begins with `endbr64` and jumps to [`eft_on_stop_point`].
    static eft_stop_point: u8;
}

/// What the CPUs that were stopped share.
#[derive(Debug)]
#[repr(C)]
pub struct Stopped {
    target: usize,
    claimed: AtomicU32,
    done: AtomicU32,
}

/// Writes one site.
///
/// # Safety
/// `at` is a call site that nobody runs now; text is writable.
pub unsafe fn point(at: usize, to: Target) {
    let code = if to == 0 { NOP } else { (CALL as u64) | ((to.wrapping_sub(at + 5) as u32 as u64) << 8) };
    // SAFETY: the caller's word; the three bytes behind a site are the same function's.
    unsafe {
        let old = (at as *const u64).read_unaligned();
        (at as *mut u64).write_unaligned(old & !SITE | code);
    }
}

/// Writes all sites of a table of addresses.
///
/// # Safety
/// As for `point`, for each entry that is not 0; both are 8-byte aligned.
pub unsafe fn point_table(start: usize, stop: usize, to: Target) {
    let mut entry = start;
    while entry + 8 <= stop {
        // SAFETY: inside the table, the caller's word.
        unsafe {
            let at = (entry as *const usize).read();
            if at != 0 {
                point(at, to);
            }
        }
        entry += 8;
    }
}

fn point_kernel(to: Target) {
    // SAFETY: the kernel's table; the callers see to it that nobody else runs.
    unsafe { point_table(facts::mcount_start(), facts::mcount_stop(), to) };
}

/// Whether at most one CPU is online (none is until the boot CPU says that it is).
pub fn is_alone() -> bool {
    // SAFETY: a counter of the kernel, in initialised data.
    unsafe { (facts::num_online_cpus() as *const u32).read_volatile() <= 1 }
}

/// Leads all sites of the kernel to `to`. May sleep if more than one CPU is online.
pub fn point_all(to: Target) {
    if is_alone() {
        irqs_off(|| point_kernel(to));
        return;
    }
    let stopped = Stopped { target: to, claimed: AtomicU32::new(0), done: AtomicU32::new(0) };
    // SAFETY: process context (an initcall's begin or end); `stopped` outlives the call, which returns when
    // all CPUs have left the function.
    unsafe {
        facts::eft_kernel_stop_machine(
            &raw const eft_stop_point,
            (&raw const stopped).addr(),
            facts::cpu_online_mask(),
        );
    }
}

/// On each CPU, interrupts off: the first one writes, the others wait.
///
/// # Safety
/// `data` is the [`Stopped`] of [`point_all`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eft_on_stop_point(data: *const Stopped) -> i32 {
    // SAFETY: the caller's word; shared by reference between CPUs, changed by atomics only.
    let stopped = unsafe { &*data };
    if stopped.claimed.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        point_kernel(stopped.target);
        stopped.done.store(1, Ordering::Release);
    } else {
        while stopped.done.load(Ordering::Acquire) == 0 {
            core::hint::spin_loop();
        }
    }
    // A serializing instruction: what was fetched before is forgotten.
    let _ = __cpuid(0);
    0
}

/// The site of a function, if it has one: a call, or a nop that was one.
pub fn site_of(function: usize) -> Option<usize> {
    // Opaque: the compiler takes it for granted that no symbol's address is 0.
    let function = core::hint::black_box(function);
    if function == 0 {
        return None;
    }
    // SAFETY: the first bytes of a kernel function.
    unsafe {
        let endbr = (function as *const u32).read_unaligned() == ENDBR;
        let at = if endbr { function + 4 } else { function };
        let code = (at as *const u64).read_unaligned() & SITE;
        (code as u8 == CALL || code == NOP).then_some(at)
    }
}

/// Takes the entries out of the table for which `wanted` is false.
pub fn keep(mut wanted: impl FnMut(usize) -> bool) {
    let mut entry = facts::mcount_start();
    while entry + 8 <= facts::mcount_stop() {
        // SAFETY: inside the kernel's table, which is initialised data that nobody else looks at (ftrace
        // does not start).
        unsafe {
            let at = (entry as *const usize).read();
            if at != 0 && !wanted(at) {
                (entry as *mut usize).write(0);
            }
        }
        entry += 8;
    }
}

/// Where a site leads.
pub fn leads_to(at: usize) -> Target {
    // SAFETY: a place in the kernel's text.
    let code = unsafe { (at as *const u64).read_unaligned() } & SITE;
    if code as u8 == CALL { at.wrapping_add(5).wrapping_add((code >> 8) as i32 as usize) } else { 0 }
}
