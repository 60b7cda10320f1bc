// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The few moments of a boot that need a hand: memory is reserved, the boot CPU's per-CPU area moves,
//! CPUs get their rings, page protections become final. Each is reached from one patched call or
//! function; none is on the path of an event.

use crate::channel::remap;
use crate::facts;
use crate::percpu::{NO_CHUNK, NO_RING, Slots};
use crate::ring::{control_of, header};
use core::arch::asm;
use core::mem::offset_of;
use early_ftrace_format::shared::DATA_OFFSET;

/// `MSR_GS_BASE` (arch/x86/include/asm/msr-index.h).
const MSR_GS_BASE: u32 = 0xc000_0101;
/// `MSR_EFER`, and its bit that enables no-execute.
const MSR_EFER: u32 = 0xc000_0080;
const EFER_NXE: u64 = 1 << 11;

fn rdmsr(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: both registers exist on every x86-64 CPU; reading has no effect.
    unsafe {
        asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high, options(nostack, nomem, preserves_flags));
    }
    (high as u64) << 32 | low as u64
}

/// Before `setup_arch`: our memory must not be given away.
#[unsafe(no_mangle)]
pub extern "C" fn eft_reserve_region() {
    // Of a region that has moved to a device's memory only the text is left.
    let size = if remap::is_moved() { DATA_OFFSET } else { facts::region_size() as u64 };
    // SAFETY: memblock's tables are static and ready: `setup_arch` reserves the kernel's own image so,
    // as its first step.
    unsafe { facts::eft_kernel_memblock_reserve(facts::region_phys() as u64, size) };
}

/// In place of the call that moves the boot CPU from the image's per-CPU area to its allocated one:
/// the copy there is from some time ago, so the slots are copied again.
///
/// Traced functions inside the kernel's function may write on either side of the move, not on both: on
/// the old side the position goes on there, and is taken over; on the new side from the copy.
#[unsafe(no_mangle)]
pub extern "C" fn eft_percpu_switch(cpu: i32) {
    let old = (rdmsr(MSR_GS_BASE) as usize + facts::slots()) as *mut Slots;
    // SAFETY: both areas are mapped and hold our slots at the same offset; this is the only CPU that
    // runs, with interrupts off; `__per_cpu_offset` has its final value.
    unsafe {
        let area = *(facts::per_cpu_offset() as *const usize).add(cpu as usize);
        let new = (area + facts::slots()) as *mut Slots;
        copy(old, new);
        let position = (*old).position;
        facts::eft_kernel_switch_percpu(cpu);
        if (*old).position != position && (*new).position == position {
            copy(old, new);
        }
    }
}

/// Word by word: the compiler must not use vector registers.
unsafe fn copy(from: *const Slots, to: *mut Slots) {
    let mut i = 0;
    while i < size_of::<Slots>() / 8 {
        // SAFETY: the caller's pointers, each 64 bytes.
        unsafe { (to as *mut u64).add(i).write_volatile((from as *const u64).add(i).read_volatile()) };
        i += 1;
    }
}

/// In place of `ftrace_graph_init_idle_task(struct task_struct *, int cpu)`: called for each
/// possible CPU, once, before it comes up.
#[unsafe(no_mangle)]
pub extern "C" fn eft_idle_init(_task: usize, cpu: i32) {
    // SAFETY: header fields; a CPU's slots are written before it runs for the first time only. The boot
    // CPU has its own since the image.
    unsafe {
        let known = (cpu as u32) < (*header()).cpus;
        if cpu == 0 || (known && (*control_of(cpu as u32)).started != 0) {
            return;
        }
        let area = *(facts::per_cpu_offset() as *const usize).add(cpu as usize);
        let slots = (area + facts::slots()) as *mut u64;
        let mut i = 0;
        while i < size_of::<Slots>() / 8 {
            slots.add(i).write_volatile(0);
            i += 1;
        }
        let slots = slots as *mut Slots;
        (&raw mut (*slots).position).write_volatile(NO_CHUNK);
        (&raw mut (*slots).cpu).write_volatile(if known { cpu as u32 } else { NO_RING });
    }
}

/// In place of `ftrace_init`: the call sites stay live. The kernel is far enough for final page
/// protections: text read-only, data not executable (CONFIG_DEBUG_WX looks for the rest).
#[unsafe(no_mangle)]
pub extern "C" fn eft_late_init() {
    const WRITE: u64 = 1 << 1;
    const NO_EXEC: u64 = 1 << 63;
    let no_exec = if rdmsr(MSR_EFER) & EFER_NXE != 0 { NO_EXEC } else { 0 };
    let table = facts::pmd_table() as *mut u64;
    let first = facts::pmd_first();
    let mut i = 0;
    while i < facts::pmd_count() {
        // SAFETY: our own entries of the kernel's page table; only the boot CPU runs.
        unsafe {
            let entry = table.add(first + i);
            let value = entry.read_volatile();
            entry.write_volatile(if i == 0 { value & !WRITE } else { value | no_exec });
        }
        i += 1;
    }
    forget_translations();
    note_frequency();
    // SAFETY: our header.
    unsafe { (*header()).late_init = 1 };
}

/// Our entries of the page table have changed.
pub fn forget_translations() {
    // SAFETY: reloading CR3 flushes this CPU's translations of non-global pages, which ours are.
    unsafe { asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags)) };
}

/// Tells the host what the kernel knows of the time stamp counter's frequency by now.
pub fn note_frequency() {
    // Opaque: the compiler takes it for granted that no symbol's address is 0.
    let at = core::hint::black_box(facts::tsc_khz());
    if at != 0 {
        // SAFETY: the kernel's `unsigned int`; our header.
        unsafe { (&raw mut (*header()).tsc_khz).write_volatile((at as *const u32).read_volatile() as u64) };
    }
}

const _: () = assert!(offset_of!(Slots, position) == 0);
