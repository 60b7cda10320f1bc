// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Tasks begin, switch and end. In: `task_struct` pointers from patched kernel functions. Out: shadow
//! stacks assigned and taken back; switch, name and task words.

use crate::facts;
use crate::percpu::{high, irqs_off, now, set_anchor, set_task};
use crate::plan::is;
use crate::ring::{header, put, put_time, reserve, store};
use crate::shadow::{Base, CLAIMED, FULL, Frame, base_of, claim, clear, give, take, top_of};
use crate::slow::{entered, put_entry};
use core::arch::asm;
use early_ftrace_format::encode::{named_words, switch_words};
use early_ftrace_format::shared::State;
use early_ftrace_format::word::{Kind, TaskNote, control};

/// Words of a switch at most: three escapes and the word.
const SWITCH_WORDS: u64 = 4;

/// Words of a name: four parts and the task.
const NAME_WORDS: u64 = 5;

/// The running task.
#[inline(always)]
pub fn current() -> usize {
    let task;
    // SAFETY: reads the kernel's per-CPU `current_task`, valid from the image's initial values on.
    unsafe { asm!("mov {0}, gs:[eft_fact_current_task]", out(reg) task, options(nostack, preserves_flags, readonly)) };
    task
}

/// A field of a task.
///
/// # Safety
/// `task` is a `task_struct`, `offset` that of a field of type `T`.
#[inline(always)]
unsafe fn field<T: Copy>(task: usize, offset: usize) -> T {
    // SAFETY: the caller's word; fields are aligned for their type.
    unsafe { ((task + offset) as *const T).read_volatile() }
}

/// Pid of a task.
///
/// # Safety
/// `task` is a `task_struct`.
pub unsafe fn pid_of(task: usize) -> u32 {
    // SAFETY: the caller's word.
    unsafe { field(task, facts::task_pid()) }
}

/// In place of `ftrace_graph_init_task(struct task_struct *)`: a copy of the running task was made,
/// with its parent's top; give it a stack of its own.
///
/// # Safety
/// `task` is a new task that does not run yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eft_task_init(task: usize) {
    let base = take();
    // SAFETY: `take` gives a stack that nobody uses; the field is ours.
    unsafe {
        clear(base);
        let skipped = (*header()).skipped_frames as usize;
        (&raw mut (*(base as *mut Base)).skipped).write_volatile(skipped as u32);
        *top_of(task) = base + (1 + skipped) * size_of::<Frame>();
    }
}

/// In place of `ftrace_graph_exit_task(struct task_struct *)`: the task is freed.
///
/// # Safety
/// `task` had [`eft_task_init`] and never runs again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eft_task_exit(task: usize) {
    // SAFETY: the caller's word; after this the field is dead. The pid is the one that it ran with, 0 if it
    // never ran: a fork that failed half-way still has its parent's in the task. The caller is in a traced
    // function whose entry may be pending.
    unsafe {
        let base = base_of(*top_of(task));
        let pid = (*(base as *const Base)).pid as u32;
        if pid != 0 {
            irqs_off(|| {
                flush(current());
                put(control(Kind::Task, TaskNote::Ended as u16, pid), 1);
            });
        }
        give(base);
    }
}

/// Writes the entry of a task's innermost open function, if it is pending.
///
/// # Safety
/// The task runs here, interrupts are off.
pub(crate) unsafe fn flush(task: usize) {
    // SAFETY: the frame below the top, or the base. One that the entry trampoline has not filled yet is
    // not pending: frames that are not in use have the bit set, and it is cleared last.
    unsafe {
        let frame = (*top_of(task) - size_of::<Frame>()) as *mut Frame;
        if !claim(frame) {
            return;
        }
        if (*frame).high == FULL | CLAIMED {
            // The last frame of a full stack: its entry is written, and it must stay as it was.
            (*frame).high = FULL;
        } else {
            put_entry((*frame).site, entered(&*frame), 0);
        }
    }
}

/// Before `__switch_to`, interrupts off, already on the next task's kernel stack.
///
/// # Safety
/// Both are tasks; `prev` is still `current`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eft_on_switch(prev: usize, next: usize) {
    if is(State::Off) {
        return;
    }
    // SAFETY: the caller's words; fields as declared.
    unsafe {
        flush(prev);
        put_name(next);
        put_switch(field(prev, facts::task_state()), field(next, facts::task_prio()), pid_of(next));
        set_task(next as u64);
    }
}

/// Writes the name of a task if it is not the one that was last written for it.
///
/// # Safety
/// `task` is a task with a shadow stack.
unsafe fn put_name(task: usize) {
    // SAFETY: `comm` is 16 bytes; the base frame is this task's. A name that changes while it is read is
    // seen again at the next switch.
    unsafe {
        let low: u64 = field(task, facts::task_comm());
        let high: u64 = field(task, facts::task_comm() + 8);
        let base = base_of(*top_of(task)) as *mut Base;
        (&raw mut (*base).pid).write_volatile(pid_of(task).into());
        if (*base).comm_low == low && (*base).comm_high == high {
            return;
        }
        let Some(mut slot) = reserve(NAME_WORDS, 0) else { return };
        (&raw mut (*base).comm_low).write_volatile(low);
        (&raw mut (*base).comm_high).write_volatile(high);
        named_words(pid_of(task), low, high, &mut |word| {
            store(slot, word);
            slot += 8;
        });
    }
}

fn put_switch(state: u32, prio: i32, pid: u32) {
    let time = now();
    while let Some(slot) = reserve(SWITCH_WORDS, 1) {
        let fits = (time >> 32) as u32 == high();
        let mut used = 0;
        if fits {
            set_anchor(time as u32);
            switch_words(state, prio, pid, time as u32, &mut |word| {
                store(slot + used * 8, word);
                used += 1;
            });
        }
        while used < SWITCH_WORDS {
            store(slot + used * 8, control(Kind::Pad, 0, 0));
            used += 1;
        }
        if fits || !put_time(time) {
            return;
        }
    }
}
