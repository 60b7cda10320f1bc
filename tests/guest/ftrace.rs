// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The kernel's own tracer, when a word on the kernel's command line asks for it: `eft.graph` turns
//! function_graph on and shows what it has traced, `eft.stats` shows at the end how much went through its
//! buffer. (A word with a dot is a module's to the kernel, which leaves it alone.) In: the command line.
//! Out: lines on the console. Never here: what is to be expected of them.

use crate::sys::{self, call, nr};

/// What the command line asks for.
pub struct Asked {
    graph: bool,
    stats: bool,
    /// `eft.twice`: init is to do its work twice, so that what a tracer does once can be told from what it does
    /// each time.
    pub twice: bool,
    /// `eft.work=N`: so many more rounds of its work, for a long boot.
    pub work: usize,
}

/// Reads the command line, and begins.
pub fn begin() -> Asked {
    let mut line = [0; 4096];
    let length = read_file(b"/proc/cmdline\0", &mut line);
    let has = |wanted: &[u8]| line[..length].split(|byte| byte.is_ascii_whitespace()).any(|word| word == wanted);
    let mut words = line[..length].split(|byte| byte.is_ascii_whitespace());
    let work = words.find_map(|word| word.strip_prefix(b"eft.work=")).map_or(0, number);
    let asked = Asked { graph: has(b"eft.graph"), stats: has(b"eft.stats"), twice: has(b"eft.twice"), work };
    if asked.graph || asked.stats {
        let (kind, place) = (b"tracefs\0", b"/sys/kernel/tracing\0");
        let arguments = [kind.as_ptr() as usize, place.as_ptr() as usize, kind.as_ptr() as usize, 0, 0, 0];
        if call(nr::MOUNT, arguments) < 0 {
            sys::write_all(1, b"early-ftrace: no tracefs\n");
        }
    }
    if asked.graph {
        let text = b"function_graph";
        let fd = sys::open(b"/sys/kernel/tracing/current_tracer\0", sys::O_RDWR);
        let written = call(nr::WRITE, [fd as usize, text.as_ptr() as usize, text.len(), 0, 0, 0]);
        sys::write_all(1, if written < 0 { b"early-ftrace: graph refused\n" } else { b"early-ftrace: graph begins\n" });
        sys::close(fd as usize);
    }
    asked
}

/// The decimal number that a text begins with.
fn number(text: &[u8]) -> usize {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum: usize, digit| sum.saturating_mul(10).saturating_add(usize::from(digit - b'0')))
}

/// Shows what was asked for.
pub fn end(asked: &Asked) {
    if asked.graph {
        show(b"/sys/kernel/tracing/trace\0");
    }
    if asked.stats {
        show(b"/sys/kernel/tracing/per_cpu/cpu0/stats\0");
    }
}

/// The beginning of a file, on the console.
pub fn show(path: &[u8]) {
    let mut page = [0; 2048];
    let length = read_file(path, &mut page);
    sys::write_all(1, b"early-ftrace: ");
    sys::write_all(1, &path[..path.len() - 1]);
    sys::write_all(1, b"\n");
    sys::write_all(1, &page[..length]);
    sys::write_all(1, b"\n");
}

/// As much of it as one read gives.
pub fn read_file(path: &[u8], to: &mut [u8]) -> usize {
    let fd = sys::open(path, sys::O_RDONLY);
    if fd < 0 {
        return 0;
    }
    let length = sys::read(fd as usize, to);
    sys::close(fd as usize);
    length.max(0) as usize
}
