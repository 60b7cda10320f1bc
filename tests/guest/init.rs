// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The first and only program of the demo's initial RAM disk. It does a little of everything that a
//! booting system does (mounts, files, processes, pipes, memory, sockets, threads, a sleep), the
//! same each time, prints one line and powers the machine off. In: the kernel, and its command line if
//! it asks for [`ftrace`] another [`ending`], or [`micro`]. Out:
//! [`DONE`] on the console. Never here: std, libc, anything that differs from one run to the next.
//!
//! `xtask` compiles this file alone with rustc (see `tests/src/initrd.rs`); it is no cargo package,
//! since a program without std cannot be built by `cargo test --workspace`.
#![no_std]
#![no_main]

mod ending;
mod ftrace;
mod micro;
mod sys;

use sys::{call, nr};

/// The line that says that all went well; the tests look for it on the console.
const DONE: &[u8] = b"early-ftrace: demo init done\n";

/// Files that are written, read back, renamed and removed.
const FILES: usize = 24;
/// Children that execute this program again.
const CHILDREN: usize = 6;
/// Round trips through a pair of pipes, through a pair of sockets, and yields.
const ROUNDS: usize = 64;
/// Longest name of a loop.
const LONGEST: usize = 16;

core::arch::global_asm!(
    // The kernel enters with argc at the stack pointer, and argv behind it (null behind its last, so that argv[2] may be
    // a word of the environment with fewer: it is not looked at then); System V wants the stack 16-byte aligned at a call.
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, [rsp]",
    "mov rsi, [rsp + 24]",
    "and rsp, -16",
    "call {main}",
    "ud2",
    main = sym main,
);

/// `argc` is 2 in the children that [`processes`] starts: `/init child`; 3 where [`micro`]'s script starts it:
/// `/init micro LOOP`, whose last word is at `name`.
extern "C" fn main(argc: usize, name: *const u8) -> ! {
    match argc {
        0 | 1 => {}
        2 => child(),
        _ => {
            // SAFETY: the kernel's argv[2] ends with a zero, behind which nothing is looked at, and stays where it is.
            let bytes = (0..LONGEST).map(|at| unsafe { name.add(at).read() }).take_while(|byte| *byte != 0);
            let mut copy = [0; LONGEST];
            let length = bytes.zip(&mut copy).map(|(byte, to)| *to = byte).count();
            micro::loops(&copy[..length], false);
            sys::exit()
        }
    }
    mounts();
    micro::run();
    let ftrace = ftrace::begin();
    read_kernel_files();
    files();
    processes();
    pipes();
    memory();
    sockets();
    threads();
    for _ in 0..usize::from(ftrace.twice) + ftrace.work {
        read_kernel_files();
        files();
        processes();
        pipes();
        memory();
    }
    nap();
    ftrace::end(&ftrace);
    ending::end()
}

/// Names the step that failed and ends the demo: whoever waits for [`DONE`] must not wait in vain.
fn check(step: &[u8], result: isize) -> usize {
    if result < 0 {
        sys::write_all(1, b"early-ftrace: demo init failed at ");
        sys::write_all(1, step);
        sys::write_all(1, b"\n");
        sys::power_off();
    }
    result as usize
}

fn mounts() {
    for (kind, place) in [
        (b"proc\0".as_slice(), b"/proc\0".as_slice()),
        (b"sysfs\0", b"/sys\0"),
        (b"devtmpfs\0", b"/dev\0"),
        (b"tmpfs\0", b"/tmp\0"),
    ] {
        // The directory may exist already: only the mount has to work.
        call(nr::MKDIR, [place.as_ptr() as usize, 0o755, 0, 0, 0, 0]);
        let mounted =
            call(nr::MOUNT, [kind.as_ptr() as usize, place.as_ptr() as usize, kind.as_ptr() as usize, 0, 0, 0]);
        check(b"mount", mounted);
    }
}

fn read_kernel_files() {
    for path in [
        b"/proc/meminfo\0".as_slice(),
        b"/proc/cpuinfo\0",
        b"/proc/interrupts\0",
        b"/proc/self/maps\0",
        b"/proc/self/status\0",
        b"/proc/mounts\0",
        b"/sys/kernel/notes\0",
        b"/dev/zero\0",
        b"/dev/urandom\0",
    ] {
        let fd = check(path, sys::open(path, sys::O_RDONLY));
        let mut page = [0; 4096];
        // A few reads are enough: some of these files have no end.
        for _ in 0..4 {
            if check(path, sys::read(fd, &mut page)) == 0 {
                break;
            }
        }
        sys::close(fd);
    }
    for path in [b"/proc\0".as_slice(), b"/sys/class\0", b"/sys/devices/system/cpu\0", b"/dev\0"] {
        let fd = check(path, sys::open(path, sys::O_RDONLY | sys::O_DIRECTORY));
        let mut names = [0u8; 4096];
        while check(path, call(nr::GETDENTS64, [fd, names.as_mut_ptr() as usize, names.len(), 0, 0, 0])) > 0 {}
        sys::close(fd);
    }
}

fn files() {
    let mut from = *b"/tmp/a?\0";
    let mut to = *b"/tmp/b?\0";
    let mut page = [0u8; 4096];
    for index in 0..FILES {
        let letter = b'A' + index as u8;
        from[6] = letter;
        to[6] = letter;
        let fd = check(b"create", sys::open(&from, sys::O_RDWR | sys::O_CREAT));
        for _ in 0..4 {
            page.fill(letter);
            sys::write_all(fd, &page);
        }
        call(nr::FSYNC, [fd, 0, 0, 0, 0, 0]);
        check(b"seek", call(nr::LSEEK, [fd, 0, 0, 0, 0, 0]));
        while check(b"read", sys::read(fd, &mut page)) > 0 {}
        let mut stat = [0u8; 256];
        check(b"stat", call(nr::FSTAT, [fd, stat.as_mut_ptr() as usize, 0, 0, 0, 0]));
        sys::close(fd);
        check(b"rename", call(nr::RENAME, [from.as_ptr() as usize, to.as_ptr() as usize, 0, 0, 0, 0]));
        check(b"unlink", call(nr::UNLINK, [to.as_ptr() as usize, 0, 0, 0, 0, 0]));
    }
}

fn processes() {
    for _ in 0..CHILDREN {
        let pid = check(b"fork", sys::fork());
        if pid == 0 {
            let path = b"/init\0";
            let argv = [path.as_ptr() as usize, b"child\0".as_ptr() as usize, 0];
            let environment = [0usize];
            let failed = call(
                nr::EXECVE,
                [path.as_ptr() as usize, argv.as_ptr() as usize, environment.as_ptr() as usize, 0, 0, 0],
            );
            check(b"exec", failed);
        }
        check(b"wait", sys::wait(pid));
    }
}

/// What a child does after exec: reads its own status and ends.
fn child() -> ! {
    let fd = check(b"child", sys::open(b"/proc/self/status\0", sys::O_RDONLY));
    let mut page = [0; 1024];
    sys::read(fd, &mut page);
    sys::close(fd);
    sys::exit()
}

fn pipes() {
    let (mut there, mut back) = ([0u32; 2], [0u32; 2]);
    check(b"pipe", call(nr::PIPE, [there.as_mut_ptr() as usize, 0, 0, 0, 0, 0]));
    check(b"pipe", call(nr::PIPE, [back.as_mut_ptr() as usize, 0, 0, 0, 0, 0]));
    let pid = check(b"fork", sys::fork());
    let mut byte = [0u8; 1];
    if pid == 0 {
        for _ in 0..ROUNDS {
            check(b"pipe read", sys::read(there[0] as usize, &mut byte));
            sys::write_all(back[1] as usize, &byte);
        }
        sys::exit();
    }
    for _ in 0..ROUNDS {
        sys::write_all(there[1] as usize, &byte);
        check(b"pipe read", sys::read(back[0] as usize, &mut byte));
    }
    check(b"wait", sys::wait(pid));
    for fd in there.into_iter().chain(back) {
        sys::close(fd as usize);
    }
}

fn memory() {
    const SIZE: usize = 4 << 20;
    for _ in 0..2 {
        let start = check(b"mmap", sys::map(SIZE));
        for offset in (0..SIZE).step_by(4096) {
            // SAFETY: [start, start + SIZE) was mapped readable and writable above, for us alone.
            unsafe { ((start + offset) as *mut u8).write_volatile(1) };
        }
        check(b"mprotect", call(nr::MPROTECT, [start, SIZE / 2, sys::PROT_READ, 0, 0, 0]));
        check(b"munmap", call(nr::MUNMAP, [start, SIZE, 0, 0, 0, 0]));
    }
}

fn sockets() {
    let mut pair = [0u32; 2];
    check(b"socketpair", call(nr::SOCKETPAIR, [sys::AF_UNIX, sys::SOCK_STREAM, 0, pair.as_mut_ptr() as usize, 0, 0]));
    let mut byte = [7u8; 1];
    for _ in 0..ROUNDS {
        sys::write_all(pair[0] as usize, &byte);
        check(b"socket read", sys::read(pair[1] as usize, &mut byte));
    }
    for fd in pair {
        sys::close(fd as usize);
    }
    // sockaddr_un: the family, then the path.
    let address = *b"\x01\0/tmp/socket\0";
    let at = [address.as_ptr() as usize, address.len()];
    let listener = check(b"socket", call(nr::SOCKET, [sys::AF_UNIX, sys::SOCK_STREAM, 0, 0, 0, 0]));
    check(b"bind", call(nr::BIND, [listener, at[0], at[1], 0, 0, 0]));
    check(b"listen", call(nr::LISTEN, [listener, 4, 0, 0, 0, 0]));
    let client = check(b"socket", call(nr::SOCKET, [sys::AF_UNIX, sys::SOCK_STREAM, 0, 0, 0, 0]));
    check(b"connect", call(nr::CONNECT, [client, at[0], at[1], 0, 0, 0]));
    let server = check(b"accept", call(nr::ACCEPT, [listener, 0, 0, 0, 0, 0]));
    sys::write_all(client, b"hello");
    let mut text = [0; 5];
    check(b"socket read", sys::read(server, &mut text));
    for fd in [client, server, listener] {
        sys::close(fd);
    }
}

/// What the threads share with [`threads`].
static COUNTER: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

extern "C" fn thread_body() {
    for _ in 0..ROUNDS {
        call(nr::SCHED_YIELD, [0; 6]);
    }
    COUNTER.fetch_add(1, core::sync::atomic::Ordering::SeqCst);
    sys::futex_wake(&COUNTER);
}

fn threads() {
    const THREADS: u32 = 2;
    for _ in 0..THREADS {
        let stack = check(b"thread stack", sys::map(64 << 10));
        check(b"clone", sys::spawn_thread(stack + (64 << 10), thread_body));
    }
    loop {
        let seen = COUNTER.load(core::sync::atomic::Ordering::SeqCst);
        if seen == THREADS {
            break;
        }
        sys::futex_wait(&COUNTER, seen);
    }
}

fn nap() {
    // struct timespec: no seconds, 20 ms. Long enough that the kernel goes idle once.
    let time = [0usize, 20_000_000];
    check(b"nanosleep", call(nr::NANOSLEEP, [time.as_ptr() as usize, 0, 0, 0, 0, 0]));
}
