// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A data directory of uftrace: `uftrace report`, `replay`, `graph`, `tui`, `dump` with `-d DIR`. In: calls. Out:
//! `info`, `task.txt`, a file of records for each task, one of switches for each CPU, and the symbols of what was
//! called. Never here: how its files grow.
//!
//! Functions are those of an executable `vmlinux` that takes all of the kernel's part of uftrace's 48-bit
//! addresses; each task is a process, named by the program it "executes". Records of a task have to be in
//! order: one that comes late (a call that returned as an interrupt came, and whose own end was noted before)
//! gets the time of the one before.

mod files;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use self::files::Files;
use super::directory::Directory;
use super::{Enter, Exporter, Head, How, Leave, Missing, TaskHead, Wants, tid};
use crate::report::Report;
use crate::report::names::Named;
use crate::report::style::printable;

/// Where addresses of the kernel begin, as far as a record holds them.
const BASE: u64 = 0xffff_8000_0000;
/// The bits of an address that a record holds.
const ADDRESS: u64 = (1 << 48) - 1;
/// The deepest call that a record can tell; deeper ones are left out.
const MOST_DEPTH: usize = (1 << 10) - 1;

/// Types of records.
const ENTRY: u64 = 0;
const EXIT: u64 = 1;
const LOST: u64 = 2;
/// In each record.
const MAGIC: u64 = 5;

/// Features: sessions of tasks; symbols from the begin of a mapping; stack depth; switches.
const FEATURES: u64 = 1 << 1 | 1 << 5 | 1 << 6 | 1 << 8;

/// `PERF_RECORD_SWITCH`, and what says in it that a task leaves.
const PERF_SWITCH: u32 = 14;
const PERF_OUT: u16 = 1 << 13;

/// A task by uftrace's number.
#[derive(Debug, Default)]
struct Thread {
    tid: u32,
    /// Not yet told.
    name: Option<String>,
    /// It was on a CPU: the first time is no return to one.
    ran: bool,
    file: String,
}

/// Writes the directory.
#[derive(Debug)]
pub struct Uftrace {
    directory: Directory,
    files: Files,
    /// By number.
    threads: Vec<Thread>,
    /// Time of the last record of each tid that has any.
    last: BTreeMap<u32, u64>,
    /// Address of each function, and the names by address.
    addresses: Vec<u64>,
    symbols: BTreeMap<u64, String>,
    /// Events lost on a CPU that no task was told yet.
    lost: BTreeMap<u32, u64>,
    session: String,
    info: Vec<(u32, String)>,
}

impl Uftrace {
    /// Into a directory that is not there yet.
    ///
    /// # Errors
    /// If it is, or cannot be made.
    pub fn new(path: PathBuf) -> io::Result<Uftrace> {
        let directory = Directory::new(path)?;
        let files = Files::new(directory.path().to_owned());
        let (threads, last, addresses, symbols, lost, session, info) = Default::default();
        Ok(Uftrace { directory, files, threads, last, addresses, symbols, lost, session, info })
    }

    /// Appends a record of a task.
    fn record(&mut self, task: u32, time: u64, kind: u64, depth: usize, address: u64) -> io::Result<()> {
        let Some(thread) = self.threads.get(task as usize).filter(|_| depth <= MOST_DEPTH) else { return Ok(()) };
        let last = self.last.entry(thread.tid).or_insert(time);
        *last = time.max(*last);
        let second = kind | MAGIC << 3 | (depth as u64) << 6 | (address & ADDRESS) << 16;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&last.to_le_bytes());
        bytes[8..].copy_from_slice(&second.to_le_bytes());
        self.files.append(&thread.file, &bytes)
    }

    /// A task calls under a name that was not told: it is a session from here on.
    fn begin_session(&mut self, task: u32, time: u64) -> io::Result<()> {
        let Some(thread) = self.threads.get_mut(task as usize) else { return Ok(()) };
        let Some(name) = thread.name.take() else { return Ok(()) };
        let (tid, session) = (thread.tid, &self.session);
        let time = time.max(self.last.get(&tid).copied().unwrap_or(0));
        let stamp = format!("timestamp={}.{:09}", time / 1_000_000_000, time % 1_000_000_000);
        let lines =
            format!("SESS {stamp} pid={tid} sid={session} exename=\"{name}\"\nTASK {stamp} tid={tid} pid={tid}\n");
        self.files.append("task.txt", lines.as_bytes())
    }

    fn switch(&mut self, cpu: u32, tid: u32, time: u64, out: bool) -> io::Result<()> {
        let mut bytes = [0; 24];
        bytes[..4].copy_from_slice(&PERF_SWITCH.to_le_bytes());
        bytes[4..6].copy_from_slice(&if out { PERF_OUT } else { 0 }.to_le_bytes());
        bytes[6..8].copy_from_slice(&24u16.to_le_bytes());
        bytes[8..12].copy_from_slice(&tid.to_le_bytes());
        bytes[12..16].copy_from_slice(&tid.to_le_bytes());
        bytes[16..].copy_from_slice(&time.to_le_bytes());
        self.files.append(&format!("perf-cpu{cpu}.dat"), &bytes)
    }

    /// The symbols, and where they are mapped. From the place of a stack the reader guesses where kernel
    /// addresses begin: so that those of the mapping are none.
    fn write_symbols(&self) -> io::Result<()> {
        let build_id = self.line(1).map_or(String::new(), |id| format!("# build-id: {id}\n"));
        let mut text = format!("# symbols: {}\n# path name: vmlinux\n{build_id}", self.symbols.len() + 1);
        for (address, name) in &self.symbols {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:016x} T {name}", address - BASE);
        }
        let end = self.symbols.last_key_value().map_or(0, |(address, _)| address - BASE + 16);
        let _ = writeln!(text, "{end:016x} ? __sym_end");
        std::fs::write(self.directory.path().join("vmlinux.sym"), text)?;
        let build_id = self.line(1).map_or(String::new(), |id| format!(" build-id:{id}"));
        let map = format!(
            "{BASE:x}-{ADDRESS:x} r-xp 00000000 00:00 0 vmlinux{build_id}\n\
             7ffc00000000-7ffd00000000 rw-p 00000000 00:00 0 [stack]\n"
        );
        std::fs::write(self.directory.path().join(format!("sid-{}.map", self.session)), map)
    }

    /// A value of the info file.
    fn line(&self, bit: u32) -> Option<&str> {
        let text = &self.info.iter().find(|line| line.0 == bit)?.1;
        text.trim_end().split_once(':').map(|(_, value)| value)
    }

    fn write_info(&self) -> io::Result<()> {
        let tids: Vec<String> = self.last.keys().map(u32::to_string).collect();
        let tasks = format!("taskinfo:lines=2\ntaskinfo:nr_tid={}\ntaskinfo:tids={}\n", tids.len(), tids.join(","));
        let mut lines = self.info.clone();
        lines.push((7, tasks));
        // The reader takes them in the order of their bits.
        lines.sort();
        let mask = lines.iter().fold(0u64, |mask, (bit, _)| mask | 1 << bit);
        let mut bytes = Vec::new();
        bytes.extend_from_slice(b"Ftrace!\0");
        bytes.extend_from_slice(&4u32.to_le_bytes());
        bytes.extend_from_slice(&40u16.to_le_bytes());
        // Little endian, 64 bits.
        bytes.extend_from_slice(&[1, 2]);
        bytes.extend_from_slice(&FEATURES.to_le_bytes());
        bytes.extend_from_slice(&mask.to_le_bytes());
        bytes.extend_from_slice(&(MOST_DEPTH as u64 + 1).to_le_bytes());
        for (_, line) in lines {
            bytes.extend_from_slice(line.as_bytes());
        }
        std::fs::write(self.directory.path().join("info"), bytes)
    }
}

/// One line of the info file, short enough for its reader.
fn short(text: &str) -> String {
    printable(text).chars().take(900).collect()
}

impl Exporter for Uftrace {
    fn wants(&self) -> Wants {
        Wants::Calls
    }

    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        let meta = head.meta;
        let build_id = short(&meta.build_id);
        let hexadecimal = build_id.len() == 40 && build_id.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.session = if hexadecimal { build_id[..16].to_owned() } else { "0".repeat(16) };
        if hexadecimal {
            self.info.push((1, format!("build_id:{build_id}\n")));
        }
        let unit = if head.clock.khz().is_some() { "" } else { " (times are ticks: the clock's speed is not known)" };
        let filtered = head.filtered.map_or(String::new(), |filtered| format!(" ({})", short(filtered)));
        self.info.extend([
            (0, "exename:vmlinux\n".to_owned()),
            (3, format!("cmdline:{}\n", short(&meta.command_line))),
            (
                6,
                format!(
                    "osinfo:lines=3\nosinfo:kernel=Linux {}\nosinfo:hostname=guest\nosinfo:distro=\n",
                    short(&meta.release)
                ),
            ),
            (13, format!("uftrace_version:early-ftrace {}{unit}{filtered}\n", env!("CARGO_PKG_VERSION"))),
        ]);
        Ok(())
    }

    fn function(&mut self, _number: u32, named: &Named) -> io::Result<()> {
        let mut address = (named.address & ADDRESS).clamp(BASE, ADDRESS - 1);
        // Code of a module can stand where another's stood: symbols know no time.
        while self.symbols.contains_key(&address) {
            address += 1;
        }
        self.symbols.insert(address, named.name.clone());
        self.addresses.push(address);
        Ok(())
    }

    fn task(&mut self, task: &TaskHead) -> io::Result<()> {
        let index = task.number as usize;
        if self.threads.len() <= index {
            self.threads.resize_with(index + 1, Thread::default);
        }
        let tid = tid(task);
        // What stands before a slash would be taken for a directory, what stands behind a quote left out.
        let name = Some(printable(&task.name).replace('/', ":").replace('"', "'"));
        let ran = self.threads[index].ran;
        self.threads[index] = Thread { tid, name, ran, file: format!("{tid}.dat") };
        Ok(())
    }

    fn ran(&mut self, task: u32, cpu: u32, from: u64, to: u64) -> io::Result<()> {
        let Some(thread) = self.threads.get_mut(task as usize) else { return Ok(()) };
        let tid = thread.tid;
        if std::mem::replace(&mut thread.ran, true) {
            self.switch(cpu, tid, from, false)?;
        }
        self.switch(cpu, tid, to, true)
    }

    fn enter(&mut self, enter: &Enter) -> io::Result<()> {
        let Some(&address) = self.addresses.get(enter.function as usize) else { return Ok(()) };
        let Enter { time, at, .. } = *enter;
        self.begin_session(at.task, time)?;
        if let Some(count) = self.lost.remove(&at.cpu) {
            self.record(at.task, time, LOST, at.depth, count.min(u64::from(u32::MAX >> 1)))?;
        }
        self.record(at.task, time, ENTRY, at.depth, address)
    }

    fn leave(&mut self, leave: &Leave) -> io::Result<()> {
        let Some(&address) = self.addresses.get(leave.function as usize) else { return Ok(()) };
        match leave.how {
            How::Open => Ok(()),
            How::Returned | How::TaskEnded | How::Cut => {
                self.record(leave.at.task, leave.end, EXIT, leave.at.depth, address)
            }
        }
    }

    fn missing(&mut self, cpu: u32, _time: u64, missing: &Missing) -> io::Result<()> {
        // A count of 0 is shown as "some".
        let count = if let Missing::Lost(count) = missing { *count } else { 0 };
        let lost = self.lost.entry(cpu).or_default();
        *lost = lost.saturating_add(count);
        Ok(())
    }

    fn finish(&mut self, _report: &Report<'_>) -> io::Result<()> {
        self.write_symbols()?;
        self.write_info()?;
        self.files.finish()?;
        self.directory.done()
    }
}
