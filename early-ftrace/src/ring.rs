// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! This CPU's ring of chunks. In: words, with interrupts off. Out: words in the open chunk; chunks
//! closed and opened; waiting for the host, or loss with a count. Only an NMI can come between: one
//! that finds the chunk being changed counts its event as lost and goes on.

use crate::channel::frames;
use crate::percpu::{
    NO_CHUNK, NO_RING, add_lost, advance, busy, cpu, gave_up, is_slot, limit, lost, now, position, set_anchor,
    set_busy, set_epoch, set_gave_up, set_high, set_limit, set_position, withhold,
};
use crate::{facts, percpu, plan, shadow, task};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use early_ftrace_format::decode::TimeBase;
use early_ftrace_format::shared::{
    CHUNK_MAGIC, CHUNK_SIZE, CPU_CONTROL_OFFSET, CPU_CONTROL_STRIDE, ChunkHeader, CpuControl, Header, POLICY_WAIT,
    State,
};
use early_ftrace_format::word::{Kind, control};

/// The header of the shared region.
#[inline(always)]
pub fn header() -> *mut Header {
    facts::header() as *mut Header
}

/// The control block of a CPU that has a ring.
pub fn control_of(cpu: u32) -> *mut CpuControl {
    (facts::header() + CPU_CONTROL_OFFSET as usize + cpu as usize * CPU_CONTROL_STRIDE as usize) as *mut CpuControl
}

/// Stores a word into a reserved slot: high half first, the low half makes it complete.
#[inline(always)]
pub fn store(slot: u64, word: u64) {
    let at = slot as *mut u32;
    // SAFETY: the slot is inside a chunk of the rings, reserved by this context, and written once. x86
    // keeps the order of stores; volatile keeps the compiler's.
    unsafe {
        at.add(1).write_volatile((word >> 32) as u32);
        at.write_volatile(word as u32);
    }
}

/// Reserves `count` words in a row, in one chunk; changes the chunk if it must. `None`: no room, and
/// `weight` events were counted as lost.
pub fn reserve(count: u64, weight: u64) -> Option<u64> {
    loop {
        let at = advance(count * 8);
        if is_slot(at) {
            let room = CHUNK_SIZE - at % CHUNK_SIZE;
            if count * 8 <= room {
                return Some(at);
            }
            // A group that does not fit: what is left of the chunk says nothing.
            let mut rest = at;
            while rest < at + room {
                store(rest, control(Kind::Pad, 0, 0));
                rest += 8;
            }
        }
        // The position is in a header now, at most 56 bytes in: who was interrupted between two tries has
        // added 8, a group 40, an NMI 8. Back, before anybody adds more. (If an NMI has just opened a
        // chunk, that one is closed early: nothing is lost.)
        set_position(NO_CHUNK);
        let first = plan::is(State::Unread);
        if !change_chunk(weight) {
            return None;
        }
        plan::announce();
        if first && !plan::is_live() {
            // The call that brought us here is not one of those that are asked for.
            return None;
        }
    }
}

/// Runs `body` with the ring closed, so that an NMI that comes meanwhile is counted as lost instead of
/// seeing half a change. `None` if this is that NMI.
pub fn exclusively<T>(weight: u64, body: impl FnOnce() -> T) -> Option<T> {
    if busy() != 0 {
        count_nmi(weight);
        // Each attempt has moved it a little: back, before it looks like a slot.
        set_position(NO_CHUNK);
        return None;
    }
    set_busy(1);
    let result = body();
    set_busy(0);
    Some(result)
}

/// Closes the chunk if one is open, and opens the next. False: no room (counted).
fn change_chunk(weight: u64) -> bool {
    exclusively(weight, || {
        if is_slot(position()) {
            // An NMI has opened one since the caller looked.
            return true;
        }
        if plan::is(State::Off) || (plan::is(State::Unread) && !plan::read()) {
            set_position(NO_CHUNK);
            return false;
        }
        let cpu = cpu();
        if cpu == NO_RING {
            set_position(NO_CHUNK);
            if gave_up() == 0 {
                set_gave_up(1);
                // SAFETY: a counter in our header; CPUs come up one after the other.
                unsafe { (*header()).cpus_untraced += 1 };
            }
            return false;
        }
        // From here to the end nobody else can reserve.
        set_position(NO_CHUNK);
        let control = control_of(cpu);
        // SAFETY: our control block; `produced` is written by this CPU only.
        let produced = unsafe { AtomicU64::from_ptr(&raw mut (*control).produced) };
        if limit() != 0 {
            set_limit(0);
            produced.store(produced.load(Ordering::Relaxed) + 1, Ordering::Release);
            frames::closed(control);
        }
        let number = produced.load(Ordering::Relaxed);
        if !has_room(control, number) {
            frames::again(control);
        }
        if !has_room(control, number) && !wait_for_room(control, number) {
            add_lost(weight);
            // SAFETY: as above.
            unsafe { (*control).lost += weight };
            return false;
        }
        open(cpu, control, number);
        true
    })
    .unwrap_or(false)
}

fn has_room(control: *mut CpuControl, number: u64) -> bool {
    // SAFETY: our control block and header; the host writes `consumed`.
    unsafe {
        let consumed = AtomicU64::from_ptr(&raw mut (*control).consumed).load(Ordering::Acquire);
        number.wrapping_sub(consumed) < (*header()).chunks_per_cpu as u64
    }
}

/// Waits, if that is the policy, while a consumer is attached, for at most `wait_ticks`. A CPU that
/// waited in vain does not wait again until there was room.
fn wait_for_room(control: *mut CpuControl, number: u64) -> bool {
    // SAFETY: header fields that do not change after injection, but for `consumer_attached`, which the
    // host writes: read as an atomic.
    let (policy, ticks, attached) = unsafe {
        ((*header()).policy, (*header()).wait_ticks, AtomicU32::from_ptr(&raw mut (*header()).consumer_attached))
    };
    if policy != POLICY_WAIT || gave_up() != 0 {
        return false;
    }
    let from = now();
    let mut room = false;
    let mut waited = 0;
    while waited < ticks && attached.load(Ordering::Relaxed) != 0 {
        core::hint::spin_loop();
        if has_room(control, number) {
            room = true;
            break;
        }
        waited = now().wrapping_sub(from);
    }
    // SAFETY: counters of this CPU.
    unsafe {
        (*control).waits += 1;
        (*control).wait_ticks += now().wrapping_sub(from);
    }
    if !room {
        set_gave_up(1);
    }
    room
}

fn open(cpu: u32, control: *mut CpuControl, number: u64) {
    // QEMU's icount gives the other CPUs a turn only when this one pauses or halts (before 8.1; each timer
    // that is due brings the first one back), and the boot CPU waits for others in loops that do not pause.
    core::hint::spin_loop();
    let header = header();
    // SAFETY: header fields that do not change; the injector has laid out the rings for `cpus` CPUs,
    // and `cpu` is one of them (set by `boot::idle_init`).
    let chunk = unsafe {
        let chunks = (*header).chunks_per_cpu as u64;
        // A power of two (the injector's word): a division would bring a panic path with it.
        let slot = cpu as u64 * chunks + (number & (chunks - 1));
        facts::header() as u64 + (*header).rings_off + slot * CHUNK_SIZE
    };
    let tsc = now();
    let task = match percpu::task() {
        0 => task::current(),
        task => task as usize,
    };
    // SAFETY: fields of a task that is running here.
    let (pid, depth) = unsafe {
        let top = *shadow::top_of(task);
        let base = shadow::base_of(top);
        let skipped = (*(base as *const shadow::Base)).skipped as usize;
        (task::pid_of(task), ((top - base) / size_of::<shadow::Frame>()).wrapping_sub(1 + skipped))
    };
    let lost = lost();
    let head = chunk as *mut ChunkHeader;
    // SAFETY: the chunk is ours: the host has counted it as consumed, or it was never used. The magic
    // goes last, so that the host never takes half a header.
    unsafe {
        (&raw mut (*head).cpu).write_volatile(cpu);
        (&raw mut (*head).seq).write_volatile(number);
        (&raw mut (*head).tsc).write_volatile(tsc);
        (&raw mut (*head).lost).write_volatile(lost);
        (&raw mut (*head).pid).write_volatile(pid);
        (&raw mut (*head).depth).write_volatile(depth as u32);
        (&raw mut (*head).magic).write_volatile(CHUNK_MAGIC);
        (*control).started = 1;
        if (*header).first_tsc == 0 {
            (*header).first_tsc = tsc;
        }
    }
    // What was reported; an NMI may have counted more since.
    add_lost(lost.wrapping_neg());
    set_gave_up(0);
    set_base(TimeBase::at(tsc));
    set_limit(chunk + CHUNK_SIZE);
    set_position(frames::opened(chunk));
}

/// Writes one word that stands for `weight` events and has no time.
pub fn put(word: u64, weight: u64) {
    if let Some(slot) = reserve(1, weight) {
        store(slot, word);
    }
}

/// Sets this CPU's copy of the time base.
pub fn set_base(base: TimeBase) {
    set_anchor(base.anchor as u32);
    set_high(base.high);
    set_epoch(base.epoch as u32);
}

/// Writes a time word and moves the base to it. The word and the base must change at once for an NMI:
/// so no slot can be reserved meanwhile.
pub fn put_time(time: u64) -> bool {
    if !is_slot(position()) && !change_chunk(1) {
        return false;
    }
    exclusively(1, || {
        // No slot: an NMI took the last one just now, and the caller comes again by `change_chunk`.
        if let Some(at) = withhold() {
            store(at, early_ftrace_format::encode::time_word(time));
            set_base(TimeBase::at(early_ftrace_format::encode::coarse(time)));
            set_position(at + 8);
        }
    })
    .is_some()
}

/// Counts events of an NMI that are not in the ring.
#[cold]
pub fn count_nmi(weight: u64) {
    let cpu = cpu();
    if cpu != NO_RING {
        let control = control_of(cpu);
        // SAFETY: counters of this CPU; NMIs do not nest in each other before their iret.
        unsafe {
            (*control).nmi_lost += weight;
            (*control).lost += weight;
        }
        add_lost(weight);
    }
}
