// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! System calls of x86-64 Linux for the demo's init: the bare instruction, and thin names for the
//! calls that it makes often. In: integers and slices. Out: what the kernel returns (a negative
//! errno on failure). Never here: what to do about a failure.

use core::arch::{asm, global_asm};
use core::sync::atomic::AtomicU32;

/// Numbers from the kernel's `arch/x86/entry/syscalls/syscall_64.tbl`.
pub mod nr {
    #![allow(missing_docs)]
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const FSTAT: usize = 5;
    pub const LSEEK: usize = 8;
    pub const MMAP: usize = 9;
    pub const MPROTECT: usize = 10;
    pub const MUNMAP: usize = 11;
    pub const PIPE: usize = 22;
    pub const SCHED_YIELD: usize = 24;
    pub const PAUSE: usize = 34;
    pub const NANOSLEEP: usize = 35;
    pub const SOCKET: usize = 41;
    pub const CONNECT: usize = 42;
    pub const ACCEPT: usize = 43;
    pub const BIND: usize = 49;
    pub const LISTEN: usize = 50;
    pub const SOCKETPAIR: usize = 53;
    pub const CLONE: usize = 56;
    pub const FORK: usize = 57;
    pub const EXECVE: usize = 59;
    pub const EXIT: usize = 60;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const FSYNC: usize = 74;
    pub const RENAME: usize = 82;
    pub const MKDIR: usize = 83;
    pub const UNLINK: usize = 87;
    pub const GETPPID: usize = 110;
    pub const SYNC: usize = 162;
    pub const MOUNT: usize = 165;
    pub const UMOUNT2: usize = 166;
    pub const REBOOT: usize = 169;
    pub const FUTEX: usize = 202;
    pub const SCHED_SETAFFINITY: usize = 203;
    pub const GETDENTS64: usize = 217;
    pub const OPEN: usize = 2;
}

pub const O_RDONLY: usize = 0;
pub const O_RDWR: usize = 2;
pub const O_CREAT: usize = 0o100;
pub const O_DIRECTORY: usize = 0o200_000;
pub const PROT_READ: usize = 1;
pub const AF_UNIX: usize = 1;
pub const SOCK_STREAM: usize = 1;

/// One system call.
pub fn call(number: usize, arguments: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the instruction changes rax, rcx and r11 only, all named here. What the kernel writes
    // to memory it writes to buffers whose addresses the callers in this program took from live
    // slices and arrays (`as_mut_ptr`), within their lengths.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// Opens `path`, which must end with a NUL.
pub fn open(path: &[u8], flags: usize) -> isize {
    call(nr::OPEN, [path.as_ptr() as usize, flags, 0o644, 0, 0, 0])
}

pub fn read(fd: usize, buffer: &mut [u8]) -> isize {
    call(nr::READ, [fd, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0])
}

/// Writes to files, pipes and the console take all of these short texts at once.
pub fn write_all(fd: usize, bytes: &[u8]) {
    call(nr::WRITE, [fd, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]);
}

pub fn close(fd: usize) {
    call(nr::CLOSE, [fd, 0, 0, 0, 0, 0]);
}

pub fn fork() -> isize {
    call(nr::FORK, [0; 6])
}

pub fn wait(pid: usize) -> isize {
    call(nr::WAIT4, [pid, 0, 0, 0, 0, 0])
}

pub fn exit() -> ! {
    loop {
        call(nr::EXIT, [0; 6]);
    }
}

/// Anonymous private memory, readable and writable.
pub fn map(size: usize) -> isize {
    const PROT_READ_WRITE: usize = 3;
    const MAP_PRIVATE_ANONYMOUS: usize = 0x22;
    call(nr::MMAP, [0, size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, usize::MAX, 0])
}

pub fn futex_wait(word: &AtomicU32, seen: u32) {
    call(nr::FUTEX, [word.as_ptr() as usize, 0, seen as usize, 0, 0, 0]);
}

pub fn futex_wake(word: &AtomicU32) {
    call(nr::FUTEX, [word.as_ptr() as usize, 1, 1, 0, 0, 0]);
}

/// LINUX_REBOOT_CMD_POWER_OFF, ..._RESTART and ..._HALT.
pub const POWER_OFF: usize = 0x4321_fedc;
pub const RESTART: usize = 0x0123_4567;
pub const HALT: usize = 0xcdef_0123;

/// Ends the machine with one of the three.
pub fn reboot(command: usize) -> ! {
    // The kernel wants its two magic numbers before it.
    call(nr::REBOOT, [0xfee1_dead, 672_274_793, command, 0, 0, 0]);
    exit()
}

pub fn power_off() -> ! {
    reboot(POWER_OFF)
}

global_asm!(
    // isize start_thread(flags: rdi, stack_top: rsi, body: rdx). In the new thread the stack is
    // empty, so nothing may be popped there: the body's address travels in r12, which the kernel
    // hands on unchanged.
    ".globl start_thread",
    "start_thread:",
    "push r12",
    "mov r12, rdx",
    "xor edx, edx",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "mov eax, {clone}",
    "syscall",
    "test rax, rax",
    "jz 2f",
    "pop r12",
    "ret",
    "2:",
    "xor ebp, ebp",
    "call r12",
    "mov eax, {exit}",
    "xor edi, edi",
    "syscall",
    "ud2",
    clone = const nr::CLONE,
    exit = const nr::EXIT,
);

unsafe extern "C" {
    fn start_thread(flags: usize, stack_top: usize, body: extern "C" fn()) -> isize;
}

/// Starts `body` as a thread of this process on a stack that ends at `stack_top`.
pub fn spawn_thread(stack_top: usize, body: extern "C" fn()) -> isize {
    // CLONE_VM | FS | FILES | SIGHAND | THREAD | SYSVSEM
    const FLAGS: usize = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000;
    // SAFETY: the caller gives fresh memory that nothing else uses; the assembly above keeps the
    // System V convention on the calling side and never returns on the new stack.
    unsafe { start_thread(FLAGS, stack_top, body) }
}

// The compiler may emit calls of these two for arrays and slices, and there is no libc to have them.
global_asm!(
    ".globl memcpy",
    "memcpy:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    ".globl memset",
    "memset:",
    "mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    write_all(1, b"early-ftrace: demo init panicked\n");
    power_off()
}
