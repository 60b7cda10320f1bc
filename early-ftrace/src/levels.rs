// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Phases of the boot and initcalls, as they begin and end. In: the marked functions ([`crate::marked`]).
//! Out: marks, and call sites that lead to the recorder only in the phases of the plan.
//!
//! Which level an initcall belongs to is not told by its address, but by its place in the kernel's table of
//! initcalls, which pid 1 goes through from its first entry to its last: a cursor goes with it.

use crate::calibrate::calibrate;
use crate::facts;
use crate::marked::put_mark;
use crate::percpu::{irqs_off, now};
use crate::plan::{Plan, entry, gate, lead, plan};
use crate::ring::header;
use crate::sites;
use crate::task::{current, pid_of};
use bootlevel::{Phase, PhaseSet};
use early_ftrace_format::mark::Mark;

/// The first mark: where the trace begins.
pub fn started(time: u64) {
    // SAFETY: our header; the boot CPU.
    unsafe { (*header()).phase_began[Phase::Start as usize] = time };
    put_mark(Mark::Phase(Phase::Start as u8), 0, time);
}

/// A phase begins, if it is a later one than that which runs. May sleep from the pure level on.
pub fn begin(phase: Phase) {
    // SAFETY: our plan; phases begin in one task at a time (the boot task, then pid 1, at last who powers
    // off), each later than the one before.
    let plan = unsafe { &mut *plan() };
    if phase as u32 <= plan.phase {
        return;
    }
    plan.phase = phase as u32;
    // What changing the sites takes belongs to the phase that is not recorded. While one CPU is online
    // nothing comes between the change and the mark; with more, stop_machine wants interrupts on.
    let mut steps = || {
        let record = plan.phases.contains(phase);
        if record {
            steer(plan, phase);
        }
        irqs_off(|| mark(phase));
        if phase == Phase::Early && plan.again != 0 {
            // The kernel has applied its alternatives: built in, our own returns are others now.
            irqs_off(calibrate);
        }
        if !record {
            steer(plan, phase);
        }
    };
    if sites::is_alone() { irqs_off(steps) } else { steps() }
}

fn mark(phase: Phase) {
    let time = now();
    // SAFETY: our header; the index is below 32, as there are 19 phases.
    unsafe { (&raw mut (*header()).phase_began).cast::<u64>().add(phase as usize).write_volatile(time) };
    put_mark(Mark::Phase(phase as u8), 0, time);
    crate::channel::frames::announce();
}

/// Leads the call sites where the phase wants them.
fn steer(plan: &mut Plan, phase: Phase) {
    let record = plan.phases.contains(phase);
    // SAFETY: our header.
    unsafe { (&raw mut (*header()).gate).write_volatile(record as u32) };
    plan.live = record as u32;
    if phase < Phase::Final {
        lead(plan, if record { entry() } else { 0 });
    } else if phase == Phase::Final {
        // The last moment at which text can be written. If the phases to come differ, the gate decides.
        let rest = PhaseSet::NONE.with_range(Phase::Final, Phase::Shutdown).bits();
        let to = match plan.phases.bits() & rest {
            0 => 0,
            all if all == rest => entry(),
            _ => gate(),
        };
        lead(plan, to);
    }
}

/// The phase of the entry of the table of initcalls at `at`.
fn phase_of(at: usize) -> Phase {
    if at < facts::initcalls_pure() {
        Phase::Early
    } else if at < facts::initcalls_core() {
        Phase::Pure
    } else if at < facts::initcalls_postcore() {
        Phase::Core
    } else if at < facts::initcalls_arch() {
        Phase::Postcore
    } else if at < facts::initcalls_subsys() {
        Phase::Arch
    } else if at < facts::initcalls_fs() {
        Phase::Subsys
    } else if at < facts::initcalls_rootfs() {
        Phase::Fs
    } else if at < facts::initcalls_device() {
        Phase::Rootfs
    } else if at < facts::initcalls_late() {
        Phase::Device
    } else {
        Phase::Late
    }
}

/// The entry of the table, from `at` on, that stands for `function`: each is a 32-bit distance from itself
/// (CONFIG_HAVE_ARCH_PREL32_RELOCATIONS, always set on x86-64).
fn find(mut at: usize, function: usize) -> Option<usize> {
    while at != 0 && at + 4 <= facts::initcalls_end() {
        // SAFETY: inside the table, in memory that is freed after the last initcall: `at` is at its end then.
        let distance = unsafe { (at as *const i32).read() };
        if at.wrapping_add(distance as isize as usize) == function {
            return Some(at);
        }
        at += 4;
    }
    None
}

/// `do_one_initcall` is called for `function`.
pub fn initcall_begins(function: usize) {
    // SAFETY: the running task; our plan, whose cursor only pid 1 moves.
    let (first, plan) = unsafe { (pid_of(current()) == 1, &mut *plan()) };
    if first && let Some(at) = find(plan.next_initcall, function) {
        plan.next_initcall = at + 4;
        plan.running = at;
        begin(phase_of(at));
    }
    let builtin = function < facts::image_end();
    let mark = if builtin { Mark::InitcallStart } else { Mark::ModuleInitStart };
    irqs_off(|| put_mark(mark, function as u32, now()));
}

/// `do_one_initcall` returned `value`.
pub fn initcall_ended(value: u32) {
    irqs_off(|| put_mark(Mark::InitcallEnd, value, now()));
    // SAFETY: as above.
    let (first, plan) = unsafe { (pid_of(current()) == 1, &mut *plan()) };
    if !first || plan.running == 0 {
        return;
    }
    let this = phase_of(plan.running);
    plan.running = 0;
    if plan.next_initcall >= facts::initcalls_end() {
        begin(Phase::Final);
    } else if phase_of(plan.next_initcall) != this {
        // Between the early level and the others the kernel starts its CPUs.
        begin(if this == Phase::Early { Phase::Smp } else { phase_of(plan.next_initcall) });
    }
}

/// `console_init` begins, or has ended.
pub fn console(begins: bool) {
    begin(if begins { Phase::Console } else { Phase::Setup });
}

/// `kernel_execve` is called, or returned `value`: pid 1 becomes init.
pub fn execve(value: Option<u32>) {
    // SAFETY: the running task.
    if unsafe { pid_of(current()) } != 1 {
        return;
    }
    match value {
        None => begin(Phase::Init),
        Some(0) => begin(Phase::User),
        Some(_) => {}
    }
}
