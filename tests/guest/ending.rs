// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! How the demo ends: it powers off, unless the command line has `eft.end=restart`, `halt`, `sysrq-b` (which restarts
//! at once, without a word to anybody) or `panic`; `eft.on=1`: asked for on the second CPU. `eft.busy`: with processes to
//! end and files to write before, as a system's init has them. In: the command line. Out: the last line on the console,
//! the machine's end. Never here: what is to be seen of it.

use crate::ftrace::read_file;
use crate::sys::{self, call, nr};
use crate::{DONE, check};

/// Processes that wait to be told to end.
const SLEEPERS: usize = 5;

/// Ends the machine.
pub fn end() -> ! {
    let mut line = [0; 4096];
    let length = read_file(b"/proc/cmdline\0", &mut line);
    let words = || line[..length].split(|byte| byte.is_ascii_whitespace());
    if words().any(|word| word == b"eft.busy") {
        leave();
    }
    if words().any(|word| word == b"eft.on=1") {
        let second = [0b10u64];
        let mask = [0, size_of_val(&second), second.as_ptr() as usize, 0, 0, 0];
        check(b"sched_setaffinity", call(nr::SCHED_SETAFFINITY, mask));
    }
    sys::write_all(1, DONE);
    match words().find_map(|word| word.strip_prefix(b"eft.end=")) {
        Some(b"restart") => sys::reboot(sys::RESTART),
        Some(b"halt") => sys::reboot(sys::HALT),
        Some(b"sysrq-b") => trigger(b"b"),
        Some(b"panic") => trigger(b"c"),
        _ => sys::power_off(),
    }
}

/// What a system's init does before it asks the kernel: write what is not written, end all processes, unmount.
fn leave() {
    let mut ready = [0u32; 2];
    check(b"pipe", call(nr::PIPE, [ready.as_mut_ptr() as usize, 0, 0, 0, 0, 0]));
    for _ in 0..SLEEPERS {
        if check(b"fork", sys::fork()) == 0 {
            sys::write_all(ready[1] as usize, b"!");
            loop {
                call(nr::PAUSE, [0; 6]);
            }
        }
    }
    for _ in 0..SLEEPERS {
        check(b"ready", sys::read(ready[0] as usize, &mut [0]));
    }
    let fd = check(b"create", sys::open(b"/tmp/last\0", sys::O_RDWR | sys::O_CREAT));
    for _ in 0..64 {
        sys::write_all(fd, &[7; 4096]);
    }
    sys::close(fd);
    call(nr::SYNC, [0; 6]);
    const SIGTERM: usize = 15;
    // All but init itself.
    check(b"kill", call(nr::KILL, [usize::MAX, SIGTERM, 0, 0, 0, 0]));
    for _ in 0..SLEEPERS {
        check(b"wait", sys::wait(usize::MAX));
    }
    check(b"unmount", call(nr::UMOUNT2, [b"/tmp\0".as_ptr() as usize, 0, 0, 0, 0, 0]));
    call(nr::SYNC, [0; 6]);
}

/// A letter to the kernel's own keyboard commands.
fn trigger(letter: &[u8]) -> ! {
    let fd = check(b"sysrq", sys::open(b"/proc/sysrq-trigger\0", sys::O_RDWR));
    sys::write_all(fd, letter);
    sys::exit()
}
