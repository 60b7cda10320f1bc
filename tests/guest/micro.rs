// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The loops of `cargo xtask bench micro`: many system calls that do next to nothing, and switches between two
//! processes, each loop between two reads of the time stamp counter. `eft.micro=` on the command line asks for them
//! and says what is to trace them: `none` (or what traces the boot already), `graph` and `function` (ftrace's
//! tracers), `events` (its tracepoints), `perf`. In: the command line. Out: a line on the console for each loop. Never
//! here: what they should take.

use crate::ftrace::{read_file, show};
use crate::sys::{self, call, nr};
use crate::{DONE, check};

/// System calls of each kind.
const CALLS: usize = 4000;
/// Round trips, of two switches each.
const TRIPS: usize = 1000;
/// Before each loop, so that what happens once has happened.
const WARM: usize = 50;

/// Runs them if the command line asks for them, and ends the machine.
pub fn run() {
    let mut line = [0; 4096];
    let length = read_file(b"/proc/cmdline\0", &mut line);
    let mut words = line[..length].split(|byte| byte.is_ascii_whitespace());
    let Some(mode) = words.find_map(|word| word.strip_prefix(b"eft.micro=")) else { return };
    if mode != b"none" {
        let (kind, place) = (b"tracefs\0", b"/sys/kernel/tracing\0");
        let arguments = [kind.as_ptr() as usize, place.as_ptr() as usize, kind.as_ptr() as usize, 0, 0, 0];
        check(b"tracefs", call(nr::MOUNT, arguments));
    }
    match mode {
        b"graph" => set(b"/sys/kernel/tracing/current_tracer\0", b"function_graph"),
        b"function" => set(b"/sys/kernel/tracing/current_tracer\0", b"function"),
        b"events" => {
            set(b"/sys/kernel/tracing/events/sched/sched_switch/enable\0", b"1");
            set(b"/sys/kernel/tracing/events/raw_syscalls/enable\0", b"1");
        }
        _ => {}
    }
    if mode == b"perf" { perf() } else { loops() }
    if matches!(mode, b"graph" | b"function" | b"events") {
        set(b"/sys/kernel/tracing/tracing_on\0", b"0");
        show(b"/sys/kernel/tracing/per_cpu/cpu0/stats\0");
    }
    sys::write_all(1, DONE);
    sys::power_off()
}

fn set(path: &[u8], value: &[u8]) {
    let fd = check(path, sys::open(path, sys::O_RDWR));
    check(path, call(nr::WRITE, [fd, value.as_ptr() as usize, value.len(), 0, 0, 0]));
    sys::close(fd);
}

/// `perf record` around this program, which it calls with two arguments.
fn perf() {
    let arguments: [&[u8]; 14] = [
        b"perf\0",
        b"record\0",
        b"-a\0",
        b"-m\0",
        b"4096\0",
        b"-o\0",
        b"/tmp/perf.data\0",
        b"-e\0",
        b"raw_syscalls:sys_enter,raw_syscalls:sys_exit,sched:sched_switch\0",
        b"--no-buildid\0",
        b"--\0",
        b"/init\0",
        b"micro\0",
        b"loops\0",
    ];
    let mut argv = [0; 15];
    for (at, argument) in arguments.iter().enumerate() {
        argv[at] = argument.as_ptr() as usize;
    }
    let environment = [b"HOME=/tmp\0".as_ptr() as usize, 0];
    let pid = check(b"fork", sys::fork());
    if pid == 0 {
        let path = b"/usr/bin/perf\0".as_ptr() as usize;
        check(b"perf", call(nr::EXECVE, [path, argv.as_ptr() as usize, environment.as_ptr() as usize, 0, 0, 0]));
    }
    check(b"wait", sys::wait(pid));
}

/// All loops.
pub fn loops() {
    let null = check(b"null", sys::open(b"/dev/null\0", sys::O_RDWR));
    let zero = check(b"zero", sys::open(b"/dev/zero\0", sys::O_RDONLY));
    measure(b"getppid", CALLS, || {
        call(nr::GETPPID, [0; 6]);
    });
    measure(b"read", CALLS, || {
        sys::read(zero, &mut [0]);
    });
    measure(b"write", CALLS, || sys::write_all(null, b"."));
    let (mut there, mut back) = ([0u32; 2], [0u32; 2]);
    check(b"pipe", call(nr::PIPE, [there.as_mut_ptr() as usize, 0, 0, 0, 0, 0]));
    check(b"pipe", call(nr::PIPE, [back.as_mut_ptr() as usize, 0, 0, 0, 0, 0]));
    let pid = check(b"fork", sys::fork());
    if pid == 0 {
        for _ in 0..WARM + TRIPS {
            check(b"pipe read", sys::read(there[0] as usize, &mut [0]));
            sys::write_all(back[1] as usize, b".");
        }
        sys::exit();
    }
    measure(b"roundtrip", TRIPS, || {
        sys::write_all(there[1] as usize, b".");
        sys::read(back[0] as usize, &mut [0]);
    });
    check(b"wait", sys::wait(pid));
    for fd in [null, zero].into_iter().chain(there.into_iter().chain(back).map(|fd| fd as usize)) {
        sys::close(fd);
    }
}

/// Writes `early-ftrace: micro NAME COUNT TICKS`.
fn measure(name: &[u8], count: usize, mut once: impl FnMut()) {
    (0..WARM).for_each(|_| once());
    let begin = ticks();
    (0..count).for_each(|_| once());
    let took = ticks().wrapping_sub(begin);
    let mut text = Text { bytes: [0; 96], length: 0 };
    for part in [b"early-ftrace: micro ".as_slice(), name, b" "] {
        text.put(part);
    }
    text.number(count as u64);
    text.put(b" ");
    text.number(took);
    text.put(b"\n");
    sys::write_all(1, &text.bytes[..text.length]);
}

/// The time stamp counter: instructions, where QEMU runs with `-icount shift=0`.
fn ticks() -> u64 {
    // SAFETY: rdtsc reads a counter, which the kernel lets user space do.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// A line; what is too long is cut.
struct Text {
    bytes: [u8; 96],
    length: usize,
}

impl Text {
    fn put(&mut self, part: &[u8]) {
        for &byte in part {
            if self.length < self.bytes.len() {
                self.bytes[self.length] = byte;
                self.length += 1;
            }
        }
    }

    fn number(&mut self, mut value: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.put(&digits[at..]);
    }
}
