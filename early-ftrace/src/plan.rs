// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What is recorded, and when: what the kernel's command line asks for, kept in guest-private memory. In:
//! the command line, as the boot loader gave it, before the kernel has parsed any of it. Out: the
//! [`Plan`], call sites that lead where it says, marks that tell the host. An unknown or malformed part is
//! told and left out; it never stops a boot.

use crate::calibrate::calibrate;
use crate::facts;
use crate::levels;
use crate::marked::{self, put_mark};
use crate::percpu::now;
use crate::ring::header;
use crate::shadow::skipped_frames;
use crate::sites::{self, Target, point_all};
use bootlevel::options::{EventKind, Item, Options, Overflow, items, selects, texts};
use bootlevel::{Phase, PhaseSet};
use core::mem::offset_of;
use early_ftrace_format::mark::{Mark, OPTION_PARTS};
use early_ftrace_format::shared::{HOST_DID_GLOBS, Header, ORIGIN_IN_TREE, POLICY_DROP, POLICY_WAIT, State};

/// From `header.guest_off` to the [`Plan`]; the flags of the pool of shadow stacks lie before it.
pub const PLAN_OFFSET: u64 = 1024;

/// Most bytes of a command line: `COMMAND_LINE_SIZE` (arch/x86/include/asm/setup.h).
const LINE_SIZE: usize = 2048;

/// `KSYM_NAME_LEN` (include/linux/kallsyms.h) since 6.1; 128 before.
const NAME_SIZE: usize = 512;

/// `XEN_HVM_START_MAGIC_VALUE` and the place of `cmdline_paddr` in `struct hvm_start_info`
/// (include/xen/interface/hvm/start_info.h).
const HVM_START_MAGIC: u32 = 0x336e_c578;
const HVM_START_LINE: usize = 24;

/// Up to where memory is mapped one to one at the PVH entry.
const IDENTITY_END: usize = 1 << 30;

/// See the module. Zero before [`read`].
#[derive(Debug)]
#[repr(C)]
pub struct Plan {
    /// Phases in which functions are recorded: bits of a [`PhaseSet`].
    pub phases: PhaseSet,
    /// Nonzero while functions are recorded.
    pub live: u32,
    /// Where the call sites lead now.
    pub target: Target,
    /// The phase that runs: a [`Phase`] as a number.
    pub phase: u32,
    /// Nonzero if the options are still to be told to the host.
    pub announce: u32,
    /// Bit `n`: the functions of [`marked::Marked`] number `n` are recorded like any other.
    pub plain: u32,
    /// Nonzero if interrupts are marked.
    pub irqs: u32,
    /// Address of the entry of the table of initcalls that is expected next.
    pub next_initcall: usize,
    /// Address of the entry of the initcall that pid 1 runs, or 0.
    pub running: usize,
    /// Nonzero if the recorder's cost is measured a second time.
    pub again: u32,
    /// For names from kallsyms.
    name: [u8; NAME_SIZE],
}

const _: () = assert!(PLAN_OFFSET as usize + size_of::<Plan>() <= 4096);

/// The plan.
#[inline(always)]
pub fn plan() -> *mut Plan {
    // SAFETY: a header field that never changes; the memory behind it is ours.
    unsafe { (facts::header() + (*header()).guest_off as usize + PLAN_OFFSET as usize) as *mut Plan }
}

/// What has become of the command line.
#[inline(always)]
pub fn is(state: State) -> bool {
    // SAFETY: a header field; written by the boot CPU before any other runs.
    unsafe { (&raw const (*header()).state).read_volatile() == state as u32 }
}

/// Whether functions are recorded now.
#[inline(always)]
pub fn is_live() -> bool {
    // SAFETY: our plan.
    unsafe { (&raw const (*plan()).live).read_volatile() != 0 }
}

unsafe extern "C" {
    /// The entry trampoline; address only.
    static eft_entry: u8;
    /// The gate before it; address only.
    static eft_gate: u8;
}

/// Address of the entry trampoline.
pub fn entry() -> Target {
    (&raw const eft_entry).addr()
}

/// Address of the gate: leads on to the entry trampoline while `header.gate` is not zero.
pub fn gate() -> Target {
    (&raw const eft_gate).addr()
}

/// The kernel's command line, without its end.
fn command_line() -> &'static [u8] {
    let copied = facts::boot_command_line();
    // SAFETY: kernel data: an array of LINE_SIZE bytes, zero until it is filled.
    let filled = unsafe { (copied as *const u8).read_volatile() } != 0;
    let at = if filled { copied } else { pvh_command_line().unwrap_or(copied) };
    let mut len = 0;
    // SAFETY: either has a NUL within LINE_SIZE bytes, or is cut there. Volatile: no call to strlen.
    unsafe {
        while len < LINE_SIZE && ((at + len) as *const u8).read_volatile() != 0 {
            len += 1;
        }
        core::slice::from_raw_parts(at as *const u8, len)
    }
}

/// At the PVH entry the line is where the loader has put it; memory is mapped one to one.
fn pvh_command_line() -> Option<usize> {
    // Opaque: the compiler takes it for granted that no symbol's address is 0.
    let info = core::hint::black_box(facts::pvh_start_info());
    if info == 0 {
        return None;
    }
    // SAFETY: kernel data; the entry code copies the loader's structure there before it calls anything.
    let (magic, line) =
        unsafe { ((info as *const u32).read_volatile(), ((info + HVM_START_LINE) as *const usize).read_volatile()) };
    (magic == HVM_START_MAGIC && line != 0 && line < IDENTITY_END).then_some(line)
}

/// Reads the command line and makes the plan. Once, by the boot CPU, before any other runs: at the first
/// event of an injected kernel, by a call of an in-tree one. True if something is to be recorded.
pub fn read() -> bool {
    let line = command_line();
    let options = Options::read(line);
    // SAFETY: our header and plan; only this CPU runs.
    let (header, plan) = unsafe { (&mut *header(), &mut *plan()) };
    let in_tree = header.origin == ORIGIN_IN_TREE;
    plan.target = if in_tree { facts::fentry() } else { entry() };
    if !options.on.unwrap_or(!in_tree) {
        header.state = State::Off as u32;
        if !in_tree {
            marked::install_modules(plan);
            lead(plan, 0);
        }
        return false;
    }
    // No function is recorded after the last phase.
    let last = options.until.unwrap_or(Phase::Shutdown);
    plan.phases = options.phases.and(PhaseSet::NONE.with_range(Phase::Firmware, last));
    plan.irqs = options.events.contains(EventKind::Irq) as u32;
    if !options.events.contains(EventKind::Func) {
        plan.phases = PhaseSet::NONE;
    }
    if let Some(depth) = options.depth {
        header.skipped_frames = skipped_frames(depth);
    }
    match options.overflow {
        Some(Overflow::Wait) => header.policy = POLICY_WAIT,
        Some(Overflow::Drop) => header.policy = POLICY_DROP,
        None => {}
    }
    crate::channel::choose(options.channel, options.pack);
    // SAFETY: as above; what was chosen has written to it, or has put it into other memory.
    let header = unsafe { &mut *crate::ring::header() };
    plan.again = (in_tree && plan.phases != PhaseSet::NONE) as u32;
    plan.next_initcall = facts::initcalls_early();
    let globs = options.globs && header.host_did & HOST_DID_GLOBS == 0;
    if globs {
        lead(plan, 0);
        exclude(line, plan);
    }
    // After that: a marked function that is excluded is marked, and not recorded.
    marked::install(plan);
    plan.phase = Phase::Start as u32;
    plan.live = plan.phases.contains(Phase::Start) as u32;
    header.gate = plan.live;
    lead(plan, if plan.live != 0 { entry() } else { 0 });
    plan.announce = 1;
    header.state = State::On as u32;
    true
}

/// For a kernel that was built with us: once, when `boot_command_line` is there, before the first traced
/// function. `header.state` says what came of it.
#[unsafe(no_mangle)]
pub extern "C" fn eft_configure() {
    read();
}

/// Leads all sites to `to`, if they do not already.
pub fn lead(plan: &mut Plan, to: Target) {
    if plan.target != to {
        plan.target = to;
        point_all(to);
    }
}

/// Takes the functions out that `func:` and `notrace:` leave out. Their sites are nops when this is called.
fn exclude(line: &[u8], plan: &mut Plan) {
    let buffer = (&raw mut plan.name).cast::<u8>();
    sites::keep(|site| {
        let (mut size, mut offset, mut module) = (0, 0, 0);
        // SAFETY: reads tables that are built into the kernel; no lock, no allocation; the buffer has the
        // size that it may fill.
        let name =
            unsafe { facts::eft_kernel_kallsyms_lookup(site as u64, &mut size, &mut offset, &mut module, buffer) };
        if name.is_null() {
            return true;
        }
        let mut len = 0;
        // SAFETY: a NUL-terminated name.
        let name = unsafe {
            while len < NAME_SIZE - 1 && name.add(len).read_volatile() != 0 {
                len += 1;
            }
            core::slice::from_raw_parts(name, len)
        };
        selects(line, name)
    });
}

/// Tells the host what the options were, and which parts of them are not understood. By the ring, once it
/// is open.
pub fn announce() {
    // SAFETY: our plan; the boot CPU, interrupts off.
    let plan = unsafe { &mut *plan() };
    if plan.announce == 0 {
        return;
    }
    plan.announce = 0;
    let line = command_line();
    let time = now();
    let (mut word, mut at) = (0u32, 0u16);
    let mut put = |byte: u8, last: bool| {
        if at < OPTION_PARTS * 4 {
            word |= (byte as u32) << ((at & 3) * 8);
            at += 1;
            if at & 3 == 0 || last {
                put_mark(Mark::Option((at - 1) >> 2), word, time);
                word = 0;
            }
        }
    };
    for (offset, text) in texts(line) {
        if offset != 0 {
            put(b',', false);
        }
        for &byte in text {
            put(byte, false);
        }
    }
    put(0, true);
    for (item, span) in items(line) {
        if let Item::Problem(problem) = item {
            put_mark(Mark::Problem(problem as u8), span.at as u32 | (span.len as u32) << 16, time);
        }
    }
    levels::started(time);
    if plan.phases != PhaseSet::NONE {
        calibrate();
    }
}

/// Offset of `gate` in the header, for the assembly.
pub const GATE: usize = offset_of!(Header, gate);
