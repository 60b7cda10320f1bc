// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The loops of `cargo xtask bench micro`: many system calls that do next to nothing, and switches between two
//! processes, each loop between two reads of the time stamp counter. `eft.micro=` on the command line asks for them
//! and says what is to trace them: `none` (or what traces the boot already), `graph` and `function` (ftrace's
//! tracers), `events` (its tracepoints), `script` (/micro.sh, which calls `/init micro LOOP` for each of them). In: the
//! command line. Out: lines on the console for each loop: `early-ftrace: micro LOOP COUNT TICKS BEGIN`, and
//! `early-ftrace: micro-events LOOP EVENTS` of what ftrace has recorded from before it to behind it; the loop `none`
//! does nothing, for what that is without a loop. Never here: what they should take.

use crate::ftrace::read_file;
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
    if mode == b"script" { script() } else { loops(b"", matches!(mode, b"graph" | b"function" | b"events")) }
    if matches!(mode, b"graph" | b"function" | b"events") {
        set(b"/sys/kernel/tracing/tracing_on\0", b"0");
    }
    sys::write_all(1, DONE);
    sys::power_off()
}

fn set(path: &[u8], value: &[u8]) {
    let fd = check(path, sys::open(path, sys::O_RDWR));
    check(path, call(nr::WRITE, [fd, value.as_ptr() as usize, value.len(), 0, 0, 0]));
    sys::close(fd);
}

/// A shell that runs /micro.sh.
fn script() {
    let pid = check(b"fork", sys::fork());
    if pid == 0 {
        let shell = b"/bin/busybox\0".as_ptr() as usize;
        let argv = [shell, b"sh\0".as_ptr() as usize, b"/micro.sh\0".as_ptr() as usize, 0];
        let environment = [b"HOME=/tmp\0".as_ptr() as usize, b"PATH=/bin:/usr/bin\0".as_ptr() as usize, 0];
        check(b"shell", call(nr::EXECVE, [shell, argv.as_ptr() as usize, environment.as_ptr() as usize, 0, 0, 0]));
    }
    check(b"wait", sys::wait(pid));
}

/// The loop of this name, or all of them if it is empty; with what ftrace records of them, if it traces.
pub fn loops(wanted: &[u8], ftrace: bool) {
    let measure = |name: &[u8], count: usize, once: &mut dyn FnMut()| {
        if wanted.is_empty() || wanted == name {
            measure(name, count, ftrace, once);
        }
    };
    let null = check(b"null", sys::open(b"/dev/null\0", sys::O_RDWR));
    let zero = check(b"zero", sys::open(b"/dev/zero\0", sys::O_RDONLY));
    measure(b"none", CALLS, &mut || {});
    measure(b"getppid", CALLS, &mut || {
        call(nr::GETPPID, [0; 6]);
    });
    measure(b"read", CALLS, &mut || {
        sys::read(zero, &mut [0]);
    });
    measure(b"write", CALLS, &mut || sys::write_all(null, b"."));
    if wanted.is_empty() || wanted == b"roundtrip" {
        round_trips(ftrace);
    }
    for fd in [null, zero] {
        sys::close(fd);
    }
}

/// A byte to another process, and one back.
fn round_trips(ftrace: bool) {
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
    measure(b"roundtrip", TRIPS, ftrace, &mut || {
        sys::write_all(there[1] as usize, b".");
        sys::read(back[0] as usize, &mut [0]);
    });
    check(b"wait", sys::wait(pid));
    for fd in there.into_iter().chain(back) {
        sys::close(fd as usize);
    }
}

/// Writes the lines of a loop.
fn measure(name: &[u8], count: usize, ftrace: bool, once: &mut dyn FnMut()) {
    (0..WARM).for_each(|_| once());
    let before = if ftrace { recorded() } else { 0 };
    let begin = ticks();
    (0..count).for_each(|_| once());
    let took = ticks().wrapping_sub(begin);
    let events = if ftrace { recorded().wrapping_sub(before) } else { 0 };
    line(b"micro ", name, &[count as u64, took, begin]);
    if ftrace {
        line(b"micro-events ", name, &[events]);
    }
}

/// A line on the console: `early-ftrace: `, these words, numbers.
fn line(kind: &[u8], name: &[u8], numbers: &[u64]) {
    let mut text = Text { bytes: [0; 96], length: 0 };
    for part in [b"early-ftrace: ".as_slice(), kind, name] {
        text.put(part);
    }
    for &number in numbers {
        text.put(b" ");
        text.number(number);
    }
    text.put(b"\n");
    sys::write_all(1, &text.bytes[..text.length]);
}

/// Events that ftrace has recorded on CPU 0 so far, those among them that newer ones have overwritten.
fn recorded() -> u64 {
    let mut text = [0; 512];
    let length = read_file(b"/sys/kernel/tracing/per_cpu/cpu0/stats\0", &mut text);
    let lines = text[..length].split(|byte| *byte == b'\n');
    let counts = lines.filter_map(|line| line.strip_prefix(b"entries: ").or(line.strip_prefix(b"overrun: ")));
    counts.fold(0, |sum, digits| {
        let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
        sum + digits.fold(0u64, |sum, digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
    })
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
