// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The variables of this CPU: 64 bytes in a hole of the kernel's per-CPU area, so that one
//! `gs`-relative instruction reaches each of them, atomically with respect to interrupts. A task that is
//! preempted between two instructions goes on with those of the CPU that it runs on then.

use core::arch::asm;
use early_ftrace_format::shared::{CHUNK_SIZE, ChunkHeader};

/// Our 64 bytes of each per-CPU area. The injector puts [`Slots::unopened`] of CPU 0 into the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Slots {
    /// Address of the next free slot of the open chunk; not [`INSIDE`] a chunk if it is full or none is open.
    pub position: u64,
    /// End of the open chunk, 0 when none is open.
    pub limit: u64,
    /// Low 32 bits of the time base's anchor.
    pub anchor: u32,
    /// The time base's `high`.
    pub high: u32,
    /// Low 32 bits of the time base's `epoch`.
    pub epoch: u32,
    /// This CPU's number.
    pub cpu: u32,
    /// Nonzero while the chunk or the time base is being changed: an NMI that comes then is lost.
    pub busy: u32,
    /// Nonzero once the host has been seen not to drain: no more waiting.
    pub gave_up: u32,
    /// Events lost since the last chunk was opened.
    pub lost: u64,
    /// The task that the words so far leave running: the next one from the moment of its switch word,
    /// while `current_task` is still the one before. 0 until the first switch.
    pub task: u64,
    /// Zero.
    pub pad: u64,
}

/// Bits of an address of which one is set in every slot: a chunk begins at a multiple of its size with a
/// header of 64 bytes. A position that has run past its chunk's end lies in a header, so whether a slot
/// is one can be told from its address alone, whatever has happened to the chunk meanwhile.
pub const INSIDE: u64 = 0xffc0;

/// [`Slots::position`] when nobody may reserve: not [`INSIDE`] a chunk, like the seven positions after it.
/// Whoever fails there puts it back ([`crate::ring`]), so that additions never carry it further.
pub const NO_CHUNK: u64 = 0xffff_ffff_ff00_0000;

const _: () = assert!(
    CHUNK_SIZE == 1 << 16
        && size_of::<ChunkHeader>() == 64
        && INSIDE == (CHUNK_SIZE - 1) & !63
        && NO_CHUNK & INSIDE == 0
);

/// Whether a position is a slot.
#[inline(always)]
pub const fn is_slot(position: u64) -> bool {
    position & INSIDE != 0
}

/// [`Slots::cpu`] of a CPU that has no ring.
pub const NO_RING: u32 = u32::MAX;

/// Offsets of [`Slots`], for the assembly.
pub mod offset {
    use super::Slots;
    use core::mem::offset_of;
    /// See [`Slots::position`].
    pub const POSITION: usize = offset_of!(Slots, position);
    /// See [`Slots::anchor`].
    pub const ANCHOR: usize = offset_of!(Slots, anchor);
    /// See [`Slots::high`].
    pub const HIGH: usize = offset_of!(Slots, high);
    /// See [`Slots::epoch`].
    pub const EPOCH: usize = offset_of!(Slots, epoch);
}

const _: () = assert!(size_of::<Slots>() == 64);

impl Slots {
    /// The state of a CPU before its first event.
    pub const fn unopened(cpu: u32) -> Slots {
        Slots {
            position: NO_CHUNK,
            limit: 0,
            anchor: 0,
            high: 0,
            epoch: 0,
            cpu,
            busy: 0,
            gave_up: 0,
            lost: 0,
            task: 0,
            pad: 0,
        }
    }
}

/// Defines a reader and a writer of one field of this CPU's slots.
macro_rules! slot {
    ($field:ident, $set:ident, $type:ty, $reg:literal) => {
        #[doc = concat!("This CPU's [`Slots::", stringify!($field), "`].")]
        #[inline(always)]
        pub fn $field() -> $type {
            let value: $type;
            // SAFETY: reads a naturally aligned field of our own slots, which the injector has
            // checked to lie in an unused hole of the per-CPU area; gs is the kernel's wherever
            // traced code runs.
            unsafe {
                asm!(concat!("mov {0:", $reg, "}, gs:[eft_fact_slots + {1}]"), out(reg) value,
                     const core::mem::offset_of!(Slots, $field), options(nostack, preserves_flags, readonly));
            }
            value
        }
        #[doc = concat!("Sets this CPU's [`Slots::", stringify!($field), "`].")]
        #[inline(always)]
        pub fn $set(value: $type) {
            // SAFETY: as above, for a store; only this CPU writes its slots.
            unsafe {
                asm!(concat!("mov gs:[eft_fact_slots + {1}], {0:", $reg, "}"), in(reg) value,
                     const core::mem::offset_of!(Slots, $field), options(nostack, preserves_flags));
            }
        }
    };
}

slot!(position, set_position, u64, "r");
slot!(limit, set_limit, u64, "r");
slot!(anchor, set_anchor, u32, "e");
slot!(high, set_high, u32, "e");
slot!(epoch, set_epoch, u32, "e");
slot!(cpu, set_cpu, u32, "e");
slot!(busy, set_busy, u32, "e");
slot!(gave_up, set_gave_up, u32, "e");
slot!(lost, set_lost, u64, "r");
slot!(task, set_task, u64, "r");

/// Reserves `bytes` of the open chunk: the address before. One instruction without a lock prefix:
/// the slot is this CPU's, and an interrupt comes before or after an instruction, not within.
#[inline(always)]
pub fn advance(bytes: u64) -> u64 {
    let mut value = bytes;
    // SAFETY: as for the accessors above.
    unsafe {
        asm!("xadd gs:[eft_fact_slots + {1}], {0}", inout(reg) value, const offset::POSITION, options(nostack));
    }
    value
}

/// Takes the rest of the open chunk for oneself: the position, if it is a slot, and nobody can reserve
/// until it is set again. One `cmpxchg` without a lock prefix, as for [`advance`].
#[inline(always)]
pub fn withhold() -> Option<u64> {
    loop {
        let at = position();
        if !is_slot(at) {
            return None;
        }
        let seen: u64;
        // SAFETY: as for the accessors above.
        unsafe {
            asm!("cmpxchg gs:[eft_fact_slots + {1}], {0}", in(reg) NO_CHUNK, const offset::POSITION,
                 inout("rax") at => seen, options(nostack));
        }
        if seen == at {
            return Some(at);
        }
    }
}

/// Adds to [`Slots::lost`], or takes back: one instruction, for NMIs that count too.
#[inline(always)]
pub fn add_lost(count: u64) {
    // SAFETY: as for the accessors above.
    unsafe {
        asm!("add gs:[eft_fact_slots + {1}], {0}", in(reg) count,
             const core::mem::offset_of!(Slots, lost), options(nostack));
    }
}

/// The time stamp counter, in ticks.
#[inline(always)]
pub fn now() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: rdtsc reads a counter; the kernel does not forbid it to itself (CR4.TSD binds ring 3).
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high, options(nostack, nomem, preserves_flags)) };
    (high as u64) << 32 | low as u64
}

/// Runs `body` with interrupts off, and restores the flag.
#[inline(always)]
pub fn irqs_off<T>(body: impl FnOnce() -> T) -> T {
    let flags: u64;
    // SAFETY: pushfq/popfq use the stack of the running context (no red zone is compiled in); cli only
    // delays interrupts.
    unsafe { asm!("pushfq", "pop {0}", "cli", out(reg) flags) };
    let result = body();
    if flags & (1 << 9) != 0 {
        // SAFETY: interrupts were on when we came.
        unsafe { asm!("sti", options(nostack)) };
    }
    result
}
