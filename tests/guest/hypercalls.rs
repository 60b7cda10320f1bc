// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The smallest virtual machine whose guest makes hypercalls: real kvm_hypercall events in a second, without a kernel
//! in the guest. In: a file of hypercalls (number, a0 to a3, each 8 bytes, little-endian), how many virtual CPUs make
//! them, how many of them are made once more from user space; memory that it shares with somebody. Out: their results on
//! stdout, events in that memory. Never here: recording.
//!
//! `hypercalls FILE [--cpus N] [--forge N] [--hop] [--pause] [--shared MEMORY]`; an a0 of all ones becomes the time stamp
//! counter of the guest. With `--shared` the first virtual CPU then writes a call (entry and exit) for each hypercall of
//! FILE into a chunk of MEMORY, by rdtsc, xadd and a store, as the tracer does; the function is at a0. MEMORY is a file of
//! at least [`SHARED_SIZE`] bytes, or a device's (`/sys/bus/pci/devices/*/resource2`); who reads it has put a header there.
//! It does so [`ROUNDS`] times, to the same place. The last line tells ticks of the guest: number of hypercalls, what they
//! took; number of events, what they took the first time (their pages are made known to the guest then), and at best.
//! Guest memory, identity-mapped in 2 MiB pages: [`TABLES`], [`KERNEL`] (CPL 0), [`USER`] (the same code, CPL 3),
//! [`WRITER`], [`TOOK`], [`CALLS`], [`SHARED`]. Each virtual CPU is a thread of its own, named `vcpuN`; `--pause` waits for a line on stdin before they run,
//! `--hop` moves them between the host's CPUs 0 and 1 all the time.
//!
//! `xtask` compiles this file alone with rustc (see `tests/src/testbed.rs`).

use std::fs::File;
use std::io::{Error, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Page tables: three pages.
const TABLES: usize = 0x1000;
/// The loop at CPL 0.
const KERNEL: usize = 0x1_0000;
/// The loop at CPL 3.
const USER: usize = 0x2_0000;
/// The loop that writes events.
const WRITER: usize = 0x3_0000;
/// What the loop at CPL 0 took, what the other one took, its position.
const TOOK: usize = 0x4_0000;
/// The file.
const CALLS: usize = 0x20_0000;
/// The shared memory: behind all that a list of hypercalls may need.
const SHARED: usize = 0x2000_0000;
/// Bytes of it: text, header, control blocks, one ring of two chunks, to a power of two.
const SHARED_SIZE: usize = 4 << 20;
/// In it: `CpuControl` of CPU 0, and its first chunk (early-ftrace/format/src/shared.rs; the reader's header says the same).
const CONTROL: usize = 0x20_1000;
const CHUNK: usize = 0x21_0000;
/// Bytes of a chunk, and of its header.
const CHUNK_SIZE: usize = 0x1_0000;
const CHUNK_HEADER: usize = 64;
/// How often events are written.
const ROUNDS: usize = 8;
/// Bytes of a hypercall in the file.
const CALL: usize = 40;
/// The port that says that the loop has ended.
const PORT: u16 = 0xf4;

core::arch::global_asm!(
    ".globl guest_begin",
    ".globl guest_end",
    "guest_begin:",
    "rdtsc",
    "shl rdx, 32",
    "lea r14, [rax + rdx]",
    "2:",
    "mov rax, [rdi]",
    "mov rbx, [rdi + 8]",
    "mov rcx, [rdi + 16]",
    "mov rdx, [rdi + 24]",
    "mov rsi, [rdi + 32]",
    "cmp rbx, -1",
    "jne 3f",
    "mov r9, rax",
    "mov r10, rdx",
    "rdtsc",
    "shl rdx, 32",
    "lea rbx, [rax + rdx]",
    "mov rax, r9",
    "mov rdx, r10",
    "3:",
    "vmmcall",
    "add rdi, 40",
    "dec r8",
    "jnz 2b",
    "rdtsc",
    "shl rdx, 32",
    "add rax, rdx",
    "sub rax, r14",
    "mov [r15], rax",
    "out 0xf4, al",
    "guest_end:",
    // rdi: hypercalls, r8: how many, r11: chunk, r15: TOOK.
    ".globl writer_begin",
    ".globl writer_end",
    "writer_begin:",
    "rdtsc",
    "shl rdx, 32",
    "lea r14, [rax + rdx]",
    "mov [r11 + 16], r14",             // opened
    "mov dword ptr [r11], 0x43746665", // eftC
    "mov ebx, 0x80000001",             // an exit word's low half
    "2:",
    "rdtsc",
    "btr eax, 31",
    "shl rax, 32",
    "mov ecx, [rdi + 8]",
    "or rax, rcx",
    "mov r10d, 8",
    "xadd [r15 + 16], r10",
    "mov [r10], rax",
    "rdtsc",
    "shl rax, 32",
    "or rax, rbx",
    "mov r10d, 8",
    "xadd [r15 + 16], r10",
    "mov [r10], rax",
    "add rdi, 40",
    "dec r8",
    "jnz 2b",
    "rdtsc",
    "shl rdx, 32",
    "add rax, rdx",
    "sub rax, r14",
    "mov [r15 + 8], rax",
    "out 0xf4, al",
    "writer_end:",
);

unsafe extern "C" {
    static guest_begin: u8;
    static guest_end: u8;
    static writer_begin: u8;
    static writer_end: u8;
    fn ioctl(fd: i32, request: u64, ...) -> i32;
    fn mmap(at: *mut u8, length: usize, protection: i32, flags: i32, fd: i32, offset: i64) -> *mut u8;
    fn prctl(option: i32, ...) -> i32;
    fn gettid() -> i32;
    fn sched_setaffinity(thread: i32, size: usize, mask: *const u64) -> i32;
}

// <linux/kvm.h>
const KVM_CREATE_VM: u64 = 0xae01;
const KVM_GET_VCPU_MMAP_SIZE: u64 = 0xae04;
const KVM_GET_SUPPORTED_CPUID: u64 = 0xc008_ae05;
const KVM_CREATE_VCPU: u64 = 0xae41;
const KVM_SET_USER_MEMORY_REGION: u64 = 0x4020_ae46;
const KVM_RUN: u64 = 0xae80;
const KVM_SET_REGS: u64 = 0x4090_ae82;
const KVM_GET_SREGS: u64 = 0x8138_ae83;
const KVM_SET_SREGS: u64 = 0x4138_ae84;
const KVM_SET_CPUID2: u64 = 0x4008_ae90;
const KVM_EXIT_IO: u32 = 2;
const KVM_EXIT_INTR: u32 = 10;

#[repr(C)]
struct Slot {
    slot: u32,
    flags: u32,
    guest: u64,
    size: u64,
    host: u64,
}

/// kvm_regs: rax rbx rcx rdx rsi rdi rsp rbp r8 to r15 rip rflags.
type Regs = [u64; 18];
const RDI: usize = 5;
const R8: usize = 8;
const R11: usize = 11;
const R15: usize = 15;
const RIP: usize = 16;
const RFLAGS: usize = 17;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Segment {
    base: u64,
    limit: u32,
    selector: u16,
    kind: u8,
    present: u8,
    dpl: u8,
    db: u8,
    s: u8,
    l: u8,
    g: u8,
    avl: u8,
    unusable: u8,
    padding: u8,
}

/// kvm_sregs.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sregs {
    /// cs ds es fs gs ss tr ldt
    segments: [Segment; 8],
    tables: [u64; 4],
    cr0: u64,
    cr2: u64,
    cr3: u64,
    cr4: u64,
    cr8: u64,
    efer: u64,
    apic_base: u64,
    interrupts: [u64; 4],
}

/// The guest's memory: threads share it as they like, since only the guest writes where a guest runs.
#[derive(Clone, Copy)]
struct Memory(*mut u8);

// SAFETY: an address; each use of it says why it may be used.
unsafe impl Send for Memory {}

impl Memory {
    fn add(self, at: usize) -> *mut u8 {
        self.0.wrapping_add(at)
    }
}

/// An ioctl that must succeed.
fn call(fd: &OwnedFd, request: u64, argument: usize) -> i32 {
    // SAFETY: each caller passes what the request wants: a number, or the address of a live structure of its size.
    let result = unsafe { ioctl(fd.as_raw_fd(), request, argument) };
    if result < 0 {
        eprintln!("hypercalls: ioctl {request:#x}: {}", Error::last_os_error());
        std::process::exit(1);
    }
    result
}

fn map(length: usize, flags: i32, fd: i32) -> *mut u8 {
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let at = unsafe { mmap(std::ptr::null_mut(), length, 3, flags, fd, 0) };
    if at as isize == -1 {
        eprintln!("hypercalls: mmap: {}", Error::last_os_error());
        std::process::exit(1);
    }
    at
}

fn main() {
    let (mut path, mut cpus, mut forge, mut pause, mut hop) = (None, 1u64, 0u64, false, false);
    let mut shared = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok()).expect("a number");
        match &*argument {
            "--cpus" => cpus = number(),
            "--forge" => forge = number(),
            "--pause" => pause = true,
            "--hop" => hop = true,
            "--shared" => shared = Some(arguments.next().expect("a file")),
            _ => path = Some(argument),
        }
    }
    let bytes = std::fs::read(path.expect("a file of hypercalls")).expect("a readable file");
    let count = (bytes.len() / CALL) as u64;
    let forge = forge.min(count);
    let kvm: OwnedFd = File::options().read(true).write(true).open("/dev/kvm").expect("/dev/kvm").into();
    let new = |number: i32| {
        // SAFETY: a descriptor that the kernel has just made for us, and nobody else owns.
        unsafe { OwnedFd::from_raw_fd(number) }
    };
    let vm = new(call(&kvm, KVM_CREATE_VM, 0));

    // Anonymous, private, without a reservation.
    let size = (CALLS + bytes.len()).next_multiple_of(2 << 20);
    let memory = Memory(map(size, 0x4022, -1));
    let put = |at: usize, bytes: &[u8]| {
        assert!(at + bytes.len() <= size);
        // SAFETY: inside the mapping, as asserted; no virtual CPU runs yet.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.add(at), bytes.len()) };
    };
    assert!(size <= SHARED, "too many hypercalls");
    // Present, writable, for users; the last with page size 2 MiB: up to 1 GiB.
    put(TABLES, &(TABLES as u64 + 0x1007).to_le_bytes());
    put(TABLES + 0x1000, &(TABLES as u64 + 0x2007).to_le_bytes());
    for page in 0..512u64 {
        put(TABLES + 0x2000 + 8 * page as usize, &((page << 21) | 0x87).to_le_bytes());
    }
    // SAFETY: each two labels enclose code above, which lies in our text.
    let [code, writer] = unsafe {
        let code = (&raw const guest_begin, &raw const guest_end);
        let writer = (&raw const writer_begin, &raw const writer_end);
        [code, writer].map(|(begin, end)| std::slice::from_raw_parts(begin, end.offset_from(begin) as usize))
    };
    put(KERNEL, code);
    put(USER, code);
    put(WRITER, writer);
    put(CALLS, &bytes);
    let slot = Slot { slot: 0, flags: 0, guest: 0, size: size as u64, host: memory.0 as u64 };
    call(&vm, KVM_SET_USER_MEMORY_REGION, &raw const slot as usize);
    if let Some(shared) = &shared {
        assert!(count as usize * 16 <= CHUNK_SIZE - CHUNK_HEADER, "more calls than a chunk has room for");
        let file = File::options().read(true).write(true).open(shared).expect("the shared memory");
        // Shared. It stays mapped when the file is closed.
        let at = map(SHARED_SIZE, 1, file.as_raw_fd());
        let slot = Slot { slot: 1, flags: 0, guest: SHARED as u64, size: SHARED_SIZE as u64, host: at as u64 };
        call(&vm, KVM_SET_USER_MEMORY_REGION, &raw const slot as usize);
        // SAFETY: inside the mapping, 8 bytes of `CpuControl::started`; the guest does not run yet.
        unsafe { at.add(CONTROL + 8).cast::<u64>().write_volatile(1) };
    }
    let shared = shared.is_some();

    // kvm_cpuid2: count, padding, entries of 40 bytes.
    let mut cpuid = vec![0u32; 2 + 256 * 10];
    cpuid[0] = 256;
    call(&kvm, KVM_GET_SUPPORTED_CPUID, cpuid.as_mut_ptr() as usize);
    let run_size = call(&kvm, KVM_GET_VCPU_MMAP_SIZE, 0) as usize;
    if pause {
        println!("ready {}", std::process::id());
        let _ = std::io::stdin().read(&mut [0]);
    }
    let began = std::time::Instant::now();
    let runners = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..cpus)
        .map(|cpu| {
            let vcpu = new(call(&vm, KVM_CREATE_VCPU, cpu as usize));
            let (cpuid, runners) = (cpuid.clone(), runners.clone());
            let body = move || {
                // SAFETY: no arguments, no memory.
                runners.lock().expect("no panic").push(unsafe { gettid() });
                // SAFETY: PR_SET_NAME copies a string that ends with a zero.
                unsafe { prctl(15, format!("vcpu{cpu}\0").as_ptr()) };
                call(&vcpu, KVM_SET_CPUID2, cpuid.as_ptr() as usize);
                let run = map(run_size, 1, vcpu.as_raw_fd());
                // Virtual CPU n makes every call; their results are the same.
                once(&vcpu, run, KERNEL, 0, count);
                if forge > 0 {
                    once(&vcpu, run, USER, 3, forge);
                }
                if shared && cpu == 0 {
                    let took: Vec<u64> = (0..ROUNDS).map(|_| write(&vcpu, run, memory, count)).collect();
                    let (first, best) = (took[0], took.iter().min().copied().unwrap_or(0));
                    // SAFETY: inside the mapping, aligned; no virtual CPU uses it now.
                    unsafe { memory.add(TOOK + 8).cast::<[u64; 2]>().write_volatile([first, best]) };
                }
            };
            std::thread::spawn(body)
        })
        .collect();
    let mut hops = 0u64;
    while hop && threads.iter().any(|thread| !thread.is_finished()) {
        for &runner in runners.lock().expect("no panic").iter() {
            hops += 1;
            let mask = 1u64 << (hops / cpus % 2);
            // SAFETY: the mask is a live word of 8 bytes; a thread that has ended is an error that matters to nobody.
            unsafe { sched_setaffinity(runner, 8, &raw const mask) };
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    for thread in threads {
        thread.join().expect("a virtual CPU");
    }
    let took = began.elapsed().as_micros();
    println!("hypercalls: {cpus} virtual CPUs made {count} and forged {forge} in {took} us");
    // SAFETY: inside the mapping, aligned; no virtual CPU runs any more.
    let [calls, first, best] = unsafe { memory.add(TOOK).cast::<[u64; 3]>().read_volatile() };
    println!("hypercalls: ticks {count} {calls} {} {first} {best}", 2 * count);
}

/// Runs the loop that writes `count` calls, from the chunk's begin on; the ticks that it took.
fn write(vcpu: &OwnedFd, run: *mut u8, memory: Memory, count: u64) -> u64 {
    let position = memory.add(TOOK + 16).cast::<u64>();
    // SAFETY: inside the mapping, aligned; the only virtual CPU that uses it does not run.
    unsafe { position.write_volatile((SHARED + CHUNK + CHUNK_HEADER) as u64) };
    once(vcpu, run, WRITER, 0, count);
    // SAFETY: as above.
    unsafe { memory.add(TOOK + 8).cast::<u64>().read_volatile() }
}

/// Runs the loop over `count` calls at `code` and privilege level `ring`, up to its `out`.
fn once(vcpu: &OwnedFd, run: *mut u8, code: usize, ring: u8, count: u64) {
    // SAFETY: plain numbers, for which zero is a value.
    let mut special: Sregs = unsafe { std::mem::zeroed() };
    call(vcpu, KVM_GET_SREGS, &raw mut special as usize);
    let data = Segment {
        limit: !0,
        selector: 0x10 | u16::from(ring),
        kind: 3,
        present: 1,
        dpl: ring,
        db: 1,
        s: 1,
        g: 1,
        ..Segment::default()
    };
    for segment in [1, 2, 3, 4, 5] {
        special.segments[segment] = data;
    }
    special.segments[0] = Segment { selector: 0x8 | u16::from(ring), kind: 11, db: 0, l: 1, ..data };
    special.cr3 = TABLES as u64;
    special.cr4 |= 1 << 5;
    special.cr0 = 0x8000_0011;
    special.efer |= 0x500;
    call(vcpu, KVM_SET_SREGS, &raw const special as usize);
    let mut registers: Regs = [0; 18];
    registers[RDI] = CALLS as u64;
    registers[R8] = count;
    registers[R11] = (SHARED + CHUNK) as u64;
    registers[R15] = TOOK as u64;
    registers[RIP] = code as u64;
    // I/O from any ring.
    registers[RFLAGS] = 0x3002;
    call(vcpu, KVM_SET_REGS, &raw const registers as usize);
    loop {
        call(vcpu, KVM_RUN, 0);
        // SAFETY: struct kvm_run, mapped and larger than this; exit_reason at 8, and for I/O the port at 34.
        let (reason, port) =
            unsafe { (run.add(8).cast::<u32>().read_volatile(), run.add(34).cast::<u16>().read_volatile()) };
        match reason {
            KVM_EXIT_IO if port == PORT => return,
            KVM_EXIT_INTR => {}
            other => {
                eprintln!("hypercalls: the guest ended with exit reason {other} (ring {ring})");
                std::process::exit(1);
            }
        }
    }
}
