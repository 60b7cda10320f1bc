// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Marked functions: a handful whose calls mean something by themselves. Their call sites lead to
//! `eft_marked` for the whole boot, whatever the plan says of other functions. In: the registers at such
//! a call, the value that it returned. Out: marks ([`crate::levels`], [`crate::modules`]); and, in the
//! phases that are recorded, the words of an ordinary call.

use crate::channel::ivshmem::{self, Access};
use crate::channel::{frames, is_stream};
use crate::facts;
use crate::levels;
use crate::modules;
use crate::percpu::{high, irqs_off, now, set_anchor};
use crate::plan::{Plan, plan};
use crate::ring::{put_time, reserve, store};
use crate::shadow::{CLAIMED, Frame, RETURN_SLOT, SLACK_BIT, top_of};
use crate::sites;
use crate::slow::{put_entry, put_timed};
use crate::task::{current, flush};
use core::mem::offset_of;
use early_ftrace_format::mark::Mark;
use early_ftrace_format::word::{EXIT_LOW, Escape, Kind, control};

/// The marked functions: the number that each `eft_mark_*` pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Marked {
    /// `do_one_initcall`.
    Initcall = 0,
    /// `console_init`.
    Console,
    /// `kernel_execve`.
    Execve,
    /// `kernel_restart`, `kernel_halt`, `kernel_power_off`.
    Shutdown,
    /// `module_finalize`.
    Module,
    /// `irq_enter_rcu`.
    IrqEnter,
    /// `irq_exit_rcu`.
    IrqExit,
    /// `pci_conf1_read`, `pci_mmcfg_read`: only if the region lies in a BAR ([`ivshmem`]).
    PciRead,
    /// `pci_conf1_write`, `pci_mmcfg_write`: likewise.
    PciWrite,
    /// `panic`, `emergency_restart`, `syscore_shutdown`, `stop_this_cpu`: the last that are sure to be called on a CPU.
    Last,
    /// `__die`.
    Die,
}

impl Marked {
    fn from_number(number: u64) -> Option<Marked> {
        Some(match number {
            0 => Marked::Initcall,
            1 => Marked::Console,
            2 => Marked::Execve,
            3 => Marked::Shutdown,
            4 => Marked::Module,
            5 => Marked::IrqEnter,
            6 => Marked::IrqExit,
            7 => Marked::PciRead,
            8 => Marked::PciWrite,
            9 => Marked::Last,
            10 => Marked::Die,
            _ => return None,
        })
    }
}

/// What `eft_marked` has pushed, from the stack pointer up.
#[derive(Debug)]
#[repr(C)]
pub struct Called {
    r9: u64,
    r8: u64,
    rcx: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    rax: u64,
    number: u64,
    site: u64,
    ret: u64,
}

impl Called {
    /// The first five arguments of a function that accesses configuration space.
    fn access(&self) -> Access {
        Access {
            segment: self.rdi as u32,
            bus: self.rsi as u32,
            devfn: self.rdx as u32,
            at: self.rcx as u32,
            len: self.r8 as u32,
        }
    }
}

/// What `eft_return_marked` has pushed.
#[derive(Debug)]
#[repr(C)]
pub struct Returned {
    rdx: u64,
    rax: u64,
    ret: u64,
}

unsafe extern "C" {
    static eft_mark_initcall: u8;
    static eft_mark_console: u8;
    static eft_mark_execve: u8;
    static eft_mark_shutdown: u8;
    static eft_mark_module: u8;
    static eft_mark_irq_enter: u8;
    static eft_mark_irq_exit: u8;
    static eft_mark_pci_read: u8;
    static eft_mark_pci_write: u8;
    static eft_mark_last: u8;
    static eft_mark_die: u8;
    /// Where marked functions return to; compare only.
    pub static eft_return_marked: u8;
}

/// Leads the site of one function to its trampoline.
fn install_one(function: usize, stub: *const u8) {
    if let Some(at) = sites::site_of(function) {
        // SAFETY: a site, before the other CPUs run, text is writable.
        unsafe { sites::point(at, stub.addr()) };
    }
}

/// The marked function whose trampoline this is.
fn marked_by(to: sites::Target) -> Option<Marked> {
    Some(match to {
        _ if to == (&raw const eft_mark_initcall).addr() => Marked::Initcall,
        _ if to == (&raw const eft_mark_console).addr() => Marked::Console,
        _ if to == (&raw const eft_mark_execve).addr() => Marked::Execve,
        _ if to == (&raw const eft_mark_shutdown).addr() => Marked::Shutdown,
        _ if to == (&raw const eft_mark_module).addr() => Marked::Module,
        _ if to == (&raw const eft_mark_irq_enter).addr() => Marked::IrqEnter,
        _ if to == (&raw const eft_mark_irq_exit).addr() => Marked::IrqExit,
        _ if to == (&raw const eft_mark_pci_read).addr() => Marked::PciRead,
        _ if to == (&raw const eft_mark_pci_write).addr() => Marked::PciWrite,
        _ if to == (&raw const eft_mark_last).addr() => Marked::Last,
        _ if to == (&raw const eft_mark_die).addr() => Marked::Die,
        _ => return None,
    })
}

/// Takes out of the table what does not lead where the kernel's sites lead now: the marked functions
/// (those found there are not excluded), and sites that a compiler or the build has made nops.
fn leave_alone(plan: &mut Plan) {
    let target = plan.target;
    sites::keep(|at| {
        let to = sites::leads_to(at);
        if let Some(function) = marked_by(to) {
            plan.plain |= 1 << function as u32;
        }
        to == target
    });
}

/// Leads the sites of the marked functions to their trampolines. By the boot CPU, before any other runs.
pub fn install(plan: &mut Plan) {
    install_one(facts::do_one_initcall(), &raw const eft_mark_initcall);
    install_one(facts::console_init(), &raw const eft_mark_console);
    install_one(facts::kernel_execve(), &raw const eft_mark_execve);
    install_one(facts::kernel_restart(), &raw const eft_mark_shutdown);
    install_one(facts::kernel_halt(), &raw const eft_mark_shutdown);
    install_one(facts::kernel_power_off(), &raw const eft_mark_shutdown);
    install_one(facts::module_finalize(), &raw const eft_mark_module);
    if is_stream() {
        install_one(facts::panic(), &raw const eft_mark_last);
        install_one(facts::emergency_restart(), &raw const eft_mark_last);
        // Who asks for the end is moved to the boot CPU after that, where a chunk may be open.
        install_one(facts::syscore_shutdown(), &raw const eft_mark_last);
        install_one(facts::stop_this_cpu(), &raw const eft_mark_last);
        install_one(facts::die(), &raw const eft_mark_die);
    }
    if plan.irqs != 0 {
        install_one(facts::irq_enter_rcu(), &raw const eft_mark_irq_enter);
        install_one(facts::irq_exit_rcu(), &raw const eft_mark_irq_exit);
    }
    if ivshmem::is_held() {
        install_one(facts::pci_conf1_read(), &raw const eft_mark_pci_read);
        install_one(facts::pci_mmcfg_read(), &raw const eft_mark_pci_read);
        install_one(facts::pci_conf1_write(), &raw const eft_mark_pci_write);
        install_one(facts::pci_mmcfg_write(), &raw const eft_mark_pci_write);
    }
    leave_alone(plan);
}

/// With nothing to record, modules' sites are made nops all the same, since ftrace does not.
pub fn install_modules(plan: &mut Plan) {
    install_one(facts::module_finalize(), &raw const eft_mark_module);
    leave_alone(plan);
    plan.plain = 0;
}

/// From `eft_marked`: nonzero if the call goes on to the entry trampoline.
///
/// # Safety
/// `called` is what `eft_marked` has pushed, in the task that runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eft_on_marked(called: *mut Called) -> u32 {
    // SAFETY: the caller's word; our plan.
    let (called, plan) = unsafe { (&mut *called, plan()) };
    let Some(function) = Marked::from_number(called.number) else { return 0 };
    // SAFETY: our plan. Asked behind what may begin a phase.
    let is_recorded = || unsafe { (*plan).live != 0 && (*plan).plain >> function as u32 & 1 != 0 };
    // SAFETY: the running task. What happens from here on happens inside the caller.
    irqs_off(|| unsafe { flush(current()) });
    let returns = match function {
        Marked::Initcall => {
            levels::initcall_begins(called.rdi as usize);
            true
        }
        Marked::Console => {
            levels::console(true);
            true
        }
        Marked::Execve => {
            levels::execve(None);
            true
        }
        Marked::Shutdown => {
            levels::begin(bootlevel::Phase::Shutdown);
            frames::short();
            false
        }
        Marked::Last => {
            // Its entry is written now, and sent: maybe nothing comes behind it.
            // SAFETY: as below.
            let pushed = is_recorded() && irqs_off(|| unsafe { push(called, function, true) });
            frames::short();
            return (is_recorded() && !pushed) as u32;
        }
        Marked::Die => {
            frames::last();
            false
        }
        Marked::Module => {
            // SAFETY: the arguments of module_finalize.
            unsafe { modules::loaded(called.rdi as usize, called.rsi as usize, called.rdx as usize) };
            false
        }
        Marked::IrqEnter => {
            irqs_off(|| put_mark(Mark::IrqEnter, 0, now()));
            false
        }
        Marked::IrqExit => {
            irqs_off(|| put_mark(Mark::IrqExit, 0, now()));
            false
        }
        Marked::PciRead => {
            called.r9 = ivshmem::on_read(&called.access(), called.r9);
            false
        }
        Marked::PciWrite => {
            called.r9 = ivshmem::on_write(&called.access(), called.r9 as u32) as u64;
            false
        }
    };
    let record = is_recorded();
    if !returns {
        return record as u32;
    }
    // SAFETY: the running task's stack; the slot is that of the function's return address.
    irqs_off(|| unsafe { push(called, function, record) });
    0
}

/// [`Frame::mark`]: the call has an entry word.
const RECORDED: u32 = 1 << 31;

/// Pushes a claimed frame, so that the function returns to `eft_return_marked`; not if the stack is full.
///
/// # Safety
/// Interrupts are off; the task's innermost frame is not pending.
unsafe fn push(called: &mut Called, function: Marked, record: bool) -> bool {
    // SAFETY: the caller's word; frames beyond the top are ours, and their `high` is set: an NMI that comes
    // meanwhile uses and leaves this one before we write it.
    unsafe {
        let top = top_of(current());
        let frame = *top as *mut Frame;
        if frame.addr() & SLACK_BIT as usize != 0 {
            return false;
        }
        *top += size_of::<Frame>();
        let slot = &raw mut called.ret;
        let time = now();
        (&raw mut (*frame).site).write_volatile(called.site as u32);
        (&raw mut (*frame).time).write_volatile(time as u32);
        (&raw mut (*frame).ret).write_volatile(*slot);
        (&raw mut (*frame).stack).write_volatile(slot.addr() as u64 - RETURN_SLOT);
        (&raw mut (*frame).high).write_volatile((time >> 32) as u32 | CLAIMED);
        (&raw mut (*frame).mark).write_volatile(function as u32 | if record { RECORDED } else { 0 });
        slot.write_volatile((&raw const eft_return_marked).addr() as u64);
        if record {
            put_entry(called.site as u32, time, 0);
        }
        true
    }
}

/// From `eft_return_marked`: fills in the true return address.
///
/// # Safety
/// `returned` is what `eft_return_marked` has pushed; the innermost frame is that of `push`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eft_on_marked_return(returned: *mut Returned) {
    // SAFETY: the caller's word. The frame stays until all is done: what is called meanwhile nests above.
    unsafe {
        let top = top_of(current());
        let frame = (*top - size_of::<Frame>()) as *mut Frame;
        let (mark, value) = ((*frame).mark, (*returned).rax as u32);
        if mark & RECORDED != 0 {
            irqs_off(|| put_timed(EXIT_LOW, now()));
        }
        match Marked::from_number((mark & !RECORDED).into()) {
            Some(Marked::Initcall) => levels::initcall_ended(value),
            Some(Marked::Console) => levels::console(false),
            Some(Marked::Execve) => levels::execve(Some(value)),
            _ => {}
        }
        (*returned).ret = (*frame).ret;
        *top_of(current()) -= size_of::<Frame>();
    }
}

/// Writes a mark. Interrupts are off.
pub fn put_mark(mark: Mark, value: u32, time: u64) {
    while let Some(slot) = reserve(2, 1) {
        if (time >> 32) as u32 == high() {
            set_anchor(time as u32);
            store(slot, control(Kind::Escape, Escape::Value as u16, value));
            store(slot + 8, control(Kind::Mark, mark.code(), time as u32));
            return;
        }
        store(slot, control(Kind::Pad, 0, 0));
        store(slot + 8, control(Kind::Pad, 0, 0));
        if !put_time(time) {
            return;
        }
    }
}

// The assembly pops what is in these structs.
const _: () = assert!(offset_of!(Called, number) == 56 && offset_of!(Called, ret) == 72);
const _: () = assert!(offset_of!(Returned, ret) == 16 && size_of::<Returned>() == 24);
