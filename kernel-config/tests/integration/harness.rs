// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The real guest object, linked for this process: low memory in place of the kernel's top 2 GiB, `gs`
//! set to a made-up per-CPU area, a made-up task, "kernel" functions as a few bytes of machine code.
//! Signals stand in for interrupts: they come between any two instructions, and since `cli` does nothing
//! here (it faults, and the handler steps over it), inside the slow path they are NMIs.

use early_ftrace::percpu::Slots;
use early_ftrace::shadow::{CLAIMED, Frame, STACK_SIZE};
use early_ftrace_format::decode::Decoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::shared::{CHUNK_SIZE, ChunkHeader, CpuControl, HOST_SEES_RAM, Header, MAGIC};
use kernel_config::link::{GUEST_OBJECT, Linked, link};
use std::sync::{Mutex, MutexGuard, Once};

/// Where the guest's text goes (below 2 GiB: the code model sign-extends addresses).
const TEXT: usize = 0x2000_0000;
/// The shared region's header.
const HEADER: usize = 0x2020_0000;
/// Shadow stacks, behind header, control block and flags.
const STACKS_OFF: usize = 0x4000;
const STACKS: usize = 16;
const RINGS_OFF: usize = 0x10_0000;
/// Traced functions: their low halves must look like kernel text.
pub const CODE: usize = 0x8200_0000;
/// Per-CPU area and task.
const AREA: usize = 0x1f00_0000;
const SLOTS: u64 = 0x80;
const CURRENT: u64 = 0x10;
const TASK: usize = AREA + 0x1000;
const RET_STACK: u64 = 0x40;
/// The command line, and the table of call sites.
const LINE: usize = AREA + 0x2000;
const TABLE: usize = AREA + 0x3000;
const TABLE_ENTRIES: u64 = 16;

static ONE: Mutex<()> = Mutex::new(());

/// A machine with one CPU, one task, and traced code.
pub struct Machine {
    linked: Linked,
    code: usize,
    chunks: u64,
    _one: MutexGuard<'static, ()>,
}

fn map(at: usize, len: usize) {
    let prot = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    // SAFETY: these fixed addresses are used by this harness alone (position-independent executables and
    // libraries lie far above); remapping makes them zero again.
    let got = unsafe { libc::mmap(at as *mut _, len, prot, flags, -1, 0) };
    assert_eq!(got as usize, at, "cannot map {at:#x}");
}

/// Steps over `cli` and `sti`, which fault outside ring 0.
extern "C" fn on_fault(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a ucontext; rip points to mapped code that has just been executed.
    unsafe {
        let context = context as *mut libc::ucontext_t;
        let rip = &mut (*context).uc_mcontext.gregs[libc::REG_RIP as usize];
        if matches!(*(*rip as *const u8), 0xfa | 0xfb) {
            *rip += 1;
        } else {
            libc::abort();
        }
    }
}

/// Installs a handler that may come anywhere, but not inside itself (as an interrupt).
pub fn handle(signal: i32, handler: usize) {
    // SAFETY: plain sigaction with a handler that is async-signal-safe (the callers' word).
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        // No signal inside a handler of faults: an "interrupt" there could fault itself.
        if signal == libc::SIGSEGV {
            libc::sigfillset(&mut action.sa_mask);
        }
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

impl Machine {
    /// A fresh machine; tests take turns. Only the calling thread may run traced code.
    pub fn new(chunks: u64, policy: u32, wait_ticks: u64) -> Machine {
        let one = ONE.lock().unwrap_or_else(|e| e.into_inner());
        static FAULTS: Once = Once::new();
        FAULTS.call_once(|| handle(libc::SIGSEGV, on_fault as *const () as usize));
        map(TEXT, 1 << 20);
        map(HEADER, RINGS_OFF + (chunks * CHUNK_SIZE) as usize);
        map(AREA, 1 << 16);
        map(CODE, 1 << 16);
        let linked = link(GUEST_OBJECT, TEXT as u64, |name| {
            Some(match name {
                "eft_fact_current_task" => CURRENT,
                "eft_fact_slots" => SLOTS,
                "eft_fact_task_ret_stack" => RET_STACK,
                "eft_fact_task_pid" => 0x50,
                "eft_fact_task_prio" => 0x54,
                "eft_fact_task_state" => 0x58,
                "eft_fact_task_comm" => 0x60,
                "eft_fact_header" => HEADER as u64,
                "eft_kernel_boot_command_line" => LINE as u64,
                "eft_kernel_pvh_start_info" => 0,
                "eft_kernel___num_online_cpus" => AREA as u64,
                "eft_kernel___start_mcount_loc" => TABLE as u64,
                "eft_kernel___stop_mcount_loc" => TABLE as u64 + 8 * TABLE_ENTRIES,
                // Not reached here: what only the boot calls.
                _ if name.starts_with("eft_fact_") || name.starts_with("eft_kernel_") => TEXT as u64,
                _ => return None,
            })
        })
        .expect("links");
        let header = Header {
            magic: MAGIC,
            cpus: 1,
            chunks_per_cpu: chunks as u32,
            policy,
            wait_ticks,
            guest_off: 0x2000,
            // There are no ports to look for devices by.
            host_did: HOST_SEES_RAM,
            stacks_off: STACKS_OFF as u64,
            stacks: STACKS as u32,
            rings_off: RINGS_OFF as u64,
            ..zerocopy::FromZeros::new_zeroed()
        };
        // SAFETY: all of it was just mapped, and nothing else runs in it.
        unsafe {
            std::ptr::copy_nonoverlapping(linked.bytes.as_ptr(), TEXT as *mut u8, linked.bytes.len());
            *(HEADER as *mut Header) = header;
            *((HEADER + 0x2000) as *mut u8) = 1;
            *((AREA as u64 + SLOTS) as *mut Slots) = Slots::unopened(0);
            *((AREA as u64 + CURRENT) as *mut usize) = TASK;
            *((TASK as u64 + 0x50) as *mut u32) = 77;
            let base = HEADER + STACKS_OFF;
            for at in (base..base + STACK_SIZE).step_by(size_of::<Frame>()) {
                (*(at as *mut Frame)).high = CLAIMED;
            }
            *((TASK as u64 + RET_STACK) as *mut usize) = base + size_of::<Frame>();
            // ARCH_SET_GS: user space does not use gs on x86-64.
            assert_eq!(libc::syscall(libc::SYS_arch_prctl, 0x1001, AREA), 0);
        }
        Machine { linked, code: CODE, chunks, _one: one }
    }

    /// Boots with this command line, which the guest reads at its first event.
    pub fn command_line(&self, line: &str) {
        assert!(line.len() < 0x1000);
        // SAFETY: mapped, and zero behind the line.
        unsafe { std::ptr::copy_nonoverlapping(line.as_ptr(), LINE as *mut u8, line.len()) };
    }

    /// Puts a function's site into the kernel's table of sites.
    pub fn list(&self, function: usize, entry: usize) {
        assert!((entry as u64) < TABLE_ENTRIES);
        // SAFETY: inside the mapped area.
        unsafe { *((TABLE + entry * 8) as *mut usize) = function };
    }

    /// Adds a function: `call eft_entry`, then `body`. The address of its first byte.
    pub fn traced(&mut self, body: &[u8]) -> usize {
        let at = self.code;
        let entry = self.linked.address("eft_entry").expect("there is one") as usize;
        let mut code = vec![0xe8];
        code.extend_from_slice(&(entry.wrapping_sub(at + 5) as i32).to_le_bytes());
        code.extend_from_slice(body);
        self.put(&code);
        at
    }

    /// `call` to `to`, for a body that begins `offset` bytes after the next function's address.
    pub fn call(&self, offset: usize, to: usize) -> [u8; 5] {
        let relative = (to.wrapping_sub(self.code + offset + 5) as i32).to_le_bytes();
        [0xe8, relative[0], relative[1], relative[2], relative[3]]
    }

    /// Where the next function will be.
    pub fn next(&self) -> usize {
        self.code
    }

    fn put(&mut self, code: &[u8]) {
        // SAFETY: inside the mapped code area (64 KiB; the tests use a few hundred bytes).
        unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), self.code as *mut u8, code.len()) };
        self.code = (self.code + code.len()).next_multiple_of(16);
    }

    /// The guest's header as it is now.
    pub fn header(&self) -> Header {
        // SAFETY: mapped; volatile since the guest's code writes it behind the compiler's back.
        unsafe { (HEADER as *const Header).read_volatile() }
    }

    /// Says whether a consumer is attached.
    pub fn attach(&self, on: bool) {
        // SAFETY: as above.
        unsafe { (&raw mut (*(HEADER as *mut Header)).consumer_attached).write_volatile(on.into()) };
    }

    /// The CPU's control block.
    pub fn control(&self) -> CpuControl {
        // SAFETY: as above.
        unsafe { Self::control_pointer().read_volatile() }
    }

    /// For a consumer on another thread.
    pub fn control_pointer() -> *mut CpuControl {
        (HEADER + 0x1000) as *mut CpuControl
    }

    /// Zeroes chunk `slot`, as the host does before it gives it back.
    pub fn zero_chunk(slot: u64) {
        // SAFETY: inside the rings; the guest does not write a chunk that is not given back.
        unsafe {
            std::ptr::write_bytes(
                (HEADER + RINGS_OFF + (slot * CHUNK_SIZE) as usize) as *mut u8,
                0,
                CHUNK_SIZE as usize,
            )
        };
    }

    /// Depth of the task's shadow stack.
    pub fn depth(&self) -> usize {
        // SAFETY: the task's field.
        let top = unsafe { ((TASK as u64 + RET_STACK) as *const usize).read_volatile() };
        (top - HEADER - STACKS_OFF) / size_of::<Frame>() - 1
    }

    /// All events but marks in the ring that were not consumed, and how many slots were never written.
    pub fn events(&self) -> (Vec<Event>, usize) {
        let (mut events, holes) = self.all_events();
        events.retain(|event| !matches!(event, Event::Mark { .. }));
        (events, holes)
    }

    /// As [`Self::events`], with marks.
    pub fn all_events(&self) -> (Vec<Event>, usize) {
        let control = self.control();
        let (mut events, mut holes) = (Vec::new(), 0);
        for number in control.consumed..=control.produced {
            let chunk = HEADER + RINGS_OFF + ((number % self.chunks) * CHUNK_SIZE) as usize;
            // SAFETY: inside the rings.
            let head = unsafe { (chunk as *const ChunkHeader).read_volatile() };
            if head.magic != early_ftrace_format::shared::CHUNK_MAGIC || head.seq != number {
                continue;
            }
            let words: Vec<u64> = (0..(CHUNK_SIZE as usize - size_of::<ChunkHeader>()) / 8)
                // SAFETY: as above.
                .map(|i| unsafe { ((chunk + size_of::<ChunkHeader>() + i * 8) as *const u64).read_volatile() })
                .collect();
            let used = words.iter().rposition(|&w| w as u32 != 0).map_or(0, |i| i + 1);
            holes += words[..used].iter().filter(|&&w| w as u32 == 0).count();
            let mut decoder = Decoder::new(head.tsc);
            events.extend(words[..used].iter().filter_map(|&w| decoder.push(w)));
        }
        (events, holes)
    }
}

/// Calls made-up code with up to two arguments.
pub fn run(function: usize, first: u64, second: u64) -> u64 {
    // SAFETY: `function` is code that the test has put there, with the C calling convention.
    let function: extern "C" fn(u64, u64) -> u64 = unsafe { std::mem::transmute(function) };
    function(first, second)
}
