// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Pages as ftrace's ring buffer has them (kernel/trace/ring_buffer.c), several CPUs' mixed in a temporary file. In:
//! records with times. Out: each CPU's pages in one stretch. Never here: what records say.
//!
//! ```text
//! page:   time of its first event, u64 | bytes used and flags, u64 | events
//! event:  length in words (5 bits) and time since the one before (27 bits) | record
//!         or 30 in the length, and 59 bits of time in two words: time alone
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;

/// Bytes of a page.
pub(super) const PAGE: usize = 4096;

/// Bytes of its header.
const HEAD: usize = 16;

/// Room for the number of lost events, which stands after the last event.
const COUNT: usize = 8;

/// In the word of the length: events were lost before this page, and their number stands after the last event.
const LOST: u64 = 1 << 31;
const COUNTED: u64 = 1 << 30;

/// Of the field that has times.
const DELTA_BITS: u32 = 27;

/// A length that stands for time alone.
const TIME_EXTEND: u32 = 30;

/// What a page consists of, as readers are told.
pub(super) const HEADER_PAGE: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
                                      \tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\
                                      \tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n\
                                      \tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n";

/// The same of an event.
pub(super) const HEADER_EVENT: &str = "# compressed entry header\n\
                                       \ttype_len    :    5 bits\n\
                                       \ttime_delta  :   27 bits\n\
                                       \tarray       :   32 bits\n\n\
                                       \tpadding     : type == 29\n\
                                       \ttime_extend : type == 30\n\
                                       \ttime_stamp : type == 31\n\
                                       \tdata max type_len  == 28\n";

/// A CPU's pages.
#[derive(Debug, Default)]
struct Cpu {
    /// The one that is being filled; empty before the first event.
    page: Vec<u8>,
    /// Time of the last event.
    last: u64,
    /// Events were lost before this page; how many, if that is known.
    lost: Option<Option<u64>>,
    /// Where its pages are in the file, in pages.
    written: Vec<u32>,
}

/// All CPUs' pages.
#[derive(Debug, Default)]
pub(super) struct Pages {
    cpus: BTreeMap<u32, Cpu>,
    spool: Spool,
}

/// The temporary file.
#[derive(Debug, Default)]
struct Spool {
    file: Option<BufWriter<File>>,
    written: u32,
}

impl Pages {
    /// A CPU exists, whether it has events or not.
    pub(super) fn add(&mut self, cpu: u32) {
        self.cpus.entry(cpu).or_default();
    }

    /// An event, of a length that is a multiple of 4 and at most 112 bytes. A time before that of the last event is
    /// taken for that.
    pub(super) fn push(&mut self, cpu: u32, time: u64, record: &[u8]) -> io::Result<()> {
        let slot = self.cpus.entry(cpu).or_default();
        // With the word before it, and another two where time alone comes first.
        let room = PAGE - COUNT - 12 - record.len();
        if slot.page.len() > room {
            self.spool.write(slot)?;
        }
        let time = time.max(slot.last);
        if slot.page.is_empty() {
            slot.page.extend(time.to_le_bytes());
            slot.page.extend([0; 8]);
            slot.last = time;
        }
        let mut delta = time - slot.last;
        if delta >> DELTA_BITS != 0 {
            let low = (delta as u32) << (32 - DELTA_BITS);
            slot.page.extend((low | TIME_EXTEND).to_le_bytes());
            slot.page.extend(((delta >> DELTA_BITS) as u32).to_le_bytes());
            delta = 0;
        }
        let length = (record.len() / 4) as u32;
        slot.page.extend(((delta as u32) << (32 - DELTA_BITS) | length).to_le_bytes());
        slot.page.extend(record);
        slot.last = time;
        Ok(())
    }

    /// Events are missing from here on; how many, if that is known.
    pub(super) fn lost(&mut self, cpu: u32, count: Option<u64>) -> io::Result<()> {
        let slot = self.cpus.entry(cpu).or_default();
        // The page's flag says what is missing before it.
        self.spool.write(slot)?;
        slot.lost = Some(match (slot.lost, count) {
            (None, count) => count,
            (Some(Some(before)), Some(count)) => Some(before.saturating_add(count)),
            (Some(_), _) => None,
        });
        Ok(())
    }

    /// After the last event: bytes of each CPU's pages, by their numbers without gaps.
    pub(super) fn finish(&mut self) -> io::Result<Vec<u64>> {
        let last = self.cpus.keys().last().copied().unwrap_or(0);
        for cpu in 0..=last {
            let slot = self.cpus.entry(cpu).or_default();
            self.spool.write(slot)?;
        }
        self.spool.file.as_mut().map_or(Ok(()), BufWriter::flush)?;
        Ok(self.cpus.values().map(|cpu| (cpu.written.len() * PAGE) as u64).collect())
    }

    /// Each CPU's pages, one CPU after the other.
    pub(super) fn copy(&self, out: &mut impl Write) -> io::Result<()> {
        let Some(file) = &self.spool.file else { return Ok(()) };
        let mut page = [0; PAGE];
        for &number in self.cpus.values().flat_map(|cpu| &cpu.written) {
            file.get_ref().read_exact_at(&mut page, u64::from(number) * PAGE as u64)?;
            out.write_all(&page)?;
        }
        Ok(())
    }
}

impl Spool {
    /// Writes a CPU's page, if it has one.
    fn write(&mut self, cpu: &mut Cpu) -> io::Result<()> {
        if cpu.page.is_empty() {
            return Ok(());
        }
        let mut used = (cpu.page.len() - HEAD) as u64;
        match cpu.lost.take() {
            None => {}
            Some(None) => used |= LOST,
            Some(Some(count)) => {
                used |= LOST | COUNTED;
                cpu.page.extend(count.to_le_bytes());
            }
        }
        cpu.page[8..HEAD].copy_from_slice(&used.to_le_bytes());
        cpu.page.resize(PAGE, 0);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::with_capacity(1 << 18, tempfile::tempfile()?)),
        };
        file.write_all(&cpu.page)?;
        cpu.page.clear();
        cpu.written.push(self.written);
        self.written = self.written.checked_add(1).ok_or_else(|| io::Error::other("a trace.dat of over 16 TiB"))?;
        Ok(())
    }
}
