// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! trace-cmd's trace.dat, versions 6 and 7 (trace-cmd.dat.v6(5), trace-cmd.dat.v7(5)). In: the file. Out: a stream for
//! each CPU, and the clock. Never here: what stands in a page (`pages`), how bytes are packed (`packed`).
//!
//! Version 6 is one sequence; version 7 has sections that options point to. Both bring the kernel's descriptions of
//! events, and of each CPU the pages of the kernel's ring buffer as they were.

mod packed;
mod pages;
mod sections;

use std::sync::Arc;

use super::format::{Format, Formats};
use super::input::{Cursor, Input};
use super::wanted;
use super::{ImportError, Kind, Notes, Opened, Stream, Times};
use packed::Packing;
use pages::{PageHead, Pages};

/// What each begins with.
pub(super) const MAGIC: &[u8] = b"\x17\x08\x44tracing";

/// Largest part of the head of version 6 that is read; kallsyms of a large kernel has 20 MB.
const HEAD: u64 = 200 << 20;

/// Sizes of a page of a ring buffer: 4 KiB, more on other machines or by `buffer_subbuf_size_kb`.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 1024..=1 << 22;

/// Most CPUs of all instances together; a kernel for x86 has so many at most (NR_CPUS).
const MOST_CPUS: usize = 1 << 13;

/// Options of both versions (`tracecmd_option` in trace-cmd's include/private/trace-cmd-private.h).
const OPTION_DONE: u16 = 0;
const OPTION_BUFFER: u16 = 3;
const OPTION_CLOCK: u16 = 4;
const OPTION_OFFSET: u16 = 7;
const OPTION_TIME_SHIFT: u16 = 12;

/// A CPU's pages in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CpuData {
    cpu: u32,
    offset: u64,
    size: u64,
}

/// What was found in a file.
#[derive(Default)]
struct Found {
    header_page: String,
    formats: Formats,
    clock: Option<String>,
    page_size: u32,
    cpus: Vec<CpuData>,
    packing: Packing,
    notes: Notes,
}

/// Opens one.
pub(super) fn open(input: Input) -> Result<Opened, ImportError> {
    let path = input.path().to_path_buf();
    let start = input.read_up_to(0, 64)?;
    let mut cursor = Cursor::new(&path, &start, 0);
    cursor.take(MAGIC.len() as u64)?;
    let version = cursor.string()?;
    if cursor.byte()? != 0 {
        let todo = "guests of x86 have hosts of x86, which are little-endian".to_owned();
        return Err(ImportError::Unsupported { path, what: "it comes from a big-endian machine".into(), todo });
    }
    if cursor.byte()? != 8 {
        let what = "it comes from a 32-bit host";
        return Err(ImportError::unsupported(&path, what, "record on a 64-bit one"));
    }
    let page_size = cursor.u32()?;
    let head = cursor.offset();
    let mut found = match &*version {
        "6" => in_order(&input, head)?,
        "7" => sections::read(&input, head)?,
        _ => {
            let what = format!("version {version:?} of trace.dat is not known");
            return Err(ImportError::unsupported(&path, what, "try `trace-cmd convert --file-version 6`"));
        }
    };
    if found.page_size == 0 {
        found.page_size = page_size;
    }
    if !PAGE_SIZES.contains(&found.page_size) {
        let what = format!("pages of {} bytes", found.page_size);
        return Err(ImportError::damaged(&path, head, what));
    }
    apart(&found.cpus, &path)?;
    let times = times(&path, found.clock.as_deref())?;
    if wanted::ALL.into_iter().all(|event| !found.formats.has(event)) {
        let what = "none of kvm:kvm_exit, kvm:kvm_hypercall, kvm:kvm_entry, sched:sched_switch was recorded in it";
        return Err(ImportError::unsupported(&path, what, "record with -e kvm (`symbolize import --help`)"));
    }
    let Some(head) = PageHead::read(&Format::read(&found.header_page)) else {
        let what = "its pages have another layout than those of Linux 2.6.30 to 6.x";
        return Err(ImportError::unsupported(&path, what, "tell us, with the output of `trace-cmd dump`"));
    };
    let (input, formats) = (Arc::new(input), Arc::new(found.formats));
    let mut streams: Vec<Box<dyn Stream>> = Vec::new();
    let cpus = found.cpus.len();
    for data in found.cpus {
        let source = packed::Source::new(input.clone(), data, found.page_size, found.packing, cpus);
        streams.push(Box::new(Pages::new(data.cpu, source, head, formats.clone())));
    }
    Ok(Opened { kind: Kind::TraceDat, times, streams, notes: found.notes })
}

/// Which clock `[is]` chosen, or a single word.
fn times(path: &std::path::Path, clock: Option<&str>) -> Result<Times, ImportError> {
    let text = clock.unwrap_or("local");
    let name = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or(text, |(name, _)| name);
    let name = name.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    match name {
        "x86-tsc" => Ok(Times::Tsc),
        // The kernel's default, where nobody says.
        "" => Ok(Times::ns("local")),
        "local" | "global" | "perf" | "mono" | "mono_raw" | "boot" | "tai" => Ok(Times::ns(name)),
        _ => {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
            let what = format!("its clock is {shown:?}, which is no time");
            Err(ImportError::unsupported(path, what, "record with trace-cmd record -C x86-tsc"))
        }
    }
}

/// Version 6.
fn in_order(input: &Input, start: u64) -> Result<Found, ImportError> {
    let bytes = input.read_up_to(start, HEAD)?;
    let mut cursor = Cursor::new(input.path(), &bytes, start);
    let mut found = Found { header_page: header_page(&mut cursor, input)?, ..Found::default() };
    let count = cursor.u32()?;
    ftrace_formats(&mut cursor, count)?;
    event_formats(&mut cursor, &mut found)?;
    for _ in ["kallsyms", "printk"] {
        let size = cursor.u32()?;
        cursor.take(size.into())?;
    }
    let size = cursor.u64()?;
    cursor.take(size)?;
    let cpus = cursor.u32()?;
    let mut kind = cursor.take(10)?;
    if kind.starts_with(b"options") {
        loop {
            let id = cursor.u16()?;
            if id == OPTION_DONE {
                break;
            }
            let size = cursor.u32()?;
            let data = cursor.take(size.into())?;
            match id {
                OPTION_CLOCK => found.clock = Some(String::from_utf8_lossy(data).into_owned()),
                OPTION_BUFFER => found.notes.warn(format!(
                    "{}: it has buffers of other instances, which are not read in version 6; record with \
                     --file-version 7",
                    input.path().display()
                )),
                _ => shifted(id, input, &mut found.notes),
            }
        }
        kind = cursor.take(10)?;
    }
    if !kind.starts_with(b"flyrecord") {
        let what = "it has no events, but text (trace-cmd's latency format)";
        return Err(ImportError::unsupported(input.path(), what, "record events: `symbolize import --help`"));
    }
    for cpu in 0..cpus {
        let data = CpuData { cpu, offset: cursor.u64()?, size: cursor.u64()? };
        found.add(data, input)?;
    }
    Ok(found)
}

impl Found {
    /// Takes a CPU's pages, if there are any.
    fn add(&mut self, data: CpuData, input: &Input) -> Result<(), ImportError> {
        if data.size == 0 {
            return Ok(());
        }
        if self.cpus.len() >= MOST_CPUS {
            let what = format!("pages of more than {MOST_CPUS} CPUs");
            return Err(ImportError::damaged(input.path(), data.offset, what));
        }
        self.cpus.push(data);
        Ok(())
    }
}

/// Refuses CPUs that share pages: a small file could have more of them than memory has room for.
fn apart(cpus: &[CpuData], path: &std::path::Path) -> Result<(), ImportError> {
    let mut sorted: Vec<&CpuData> = cpus.iter().collect();
    sorted.sort_unstable_by_key(|data| data.offset);
    for pair in sorted.windows(2) {
        let [first, second] = pair else { continue };
        if first.offset.saturating_add(first.size) > second.offset {
            let what = format!("the pages of CPU {} begin within those of CPU {}", second.cpu, first.cpu);
            return Err(ImportError::damaged(path, second.offset, what));
        }
    }
    Ok(())
}

/// Times were meant to be shifted when they are shown: we do not.
fn shifted(id: u16, input: &Input, notes: &mut Notes) {
    if matches!(id, OPTION_OFFSET | OPTION_TIME_SHIFT) {
        let path = input.path().display();
        notes.warn(format!(
            "{path}: it asks for times to be shifted, as trace-cmd does to match others; left as recorded"
        ));
    }
}

/// `header_page`, a text; `header_event`, another, which is only looked at for what we count on.
fn header_page(cursor: &mut Cursor<'_>, input: &Input) -> Result<String, ImportError> {
    let mut texts = [String::new(), String::new()];
    for (text, name) in texts.iter_mut().zip(["header_page", "header_event"]) {
        let at = cursor.offset();
        let found = cursor.string()?;
        if found != name {
            return Err(ImportError::damaged(input.path(), at, format!("{name} should be here")));
        }
        let size = cursor.u64()?;
        *text = String::from_utf8_lossy(cursor.take(size)?).into_owned();
    }
    let [page, event] = texts;
    if !pages::as_expected(&event) {
        let what = "its ring buffer has other kinds of events than those of Linux 2.6.30 to 6.x";
        return Err(ImportError::unsupported(input.path(), what, "tell us, with the output of `trace-cmd dump`"));
    }
    Ok(page)
}

/// Those of the system `ftrace`: not for us.
fn ftrace_formats(cursor: &mut Cursor<'_>, count: u32) -> Result<(), ImportError> {
    for _ in 0..count {
        let size = cursor.u64()?;
        cursor.take(size)?;
    }
    Ok(())
}

/// Those of all other systems.
fn event_formats(cursor: &mut Cursor<'_>, found: &mut Found) -> Result<(), ImportError> {
    let systems = cursor.u32()?;
    for _ in 0..systems {
        let _name = cursor.string()?;
        let count = cursor.u32()?;
        for _ in 0..count {
            let size = cursor.u64()?;
            let text = String::from_utf8_lossy(cursor.take(size)?);
            if let Err(what) = found.formats.add(&text) {
                found.notes.warn(what);
            }
        }
    }
    Ok(())
}
