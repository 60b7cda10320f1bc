// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! trace.dat, for `trace-cmd report` and KernelShark: version 6 of the format (Documentation/trace-cmd/
//! trace-cmd.dat.v6.5.txt in trace-cmd), with the events of ftrace's function graph tracer and context switches. In:
//! calls. Out: one file. Never here: the layout of pages (`pages`), what events consist of (`events`).
//!
//! A trace.dat names functions and tasks first and has each CPU's events in one stretch, but calls come mixed and
//! name functions as they go: so pages are gathered in a temporary file, and the file is written when all is known.

mod events;
mod pages;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use super::{Enter, Exporter, Head, Leave, Missing, TaskHead, Wants};
use crate::report::Report;
use crate::report::names::{Named, Origin};
use events::Common;
use pages::{PAGE, Pages};

/// What a file begins with.
const MAGIC: &[u8] = b"\x17\x08\x44tracing6\0";

/// Linux can be built for so many CPUs (`NR_CPUS_RANGE_END`); each takes a page.
const MOST_CPUS: u32 = 8192;

/// What a CPU does.
#[derive(Clone, Copy, Debug, Default)]
struct Running {
    /// Number of the task.
    task: u32,
    /// When it left the CPU, if it has.
    left: Option<u64>,
}

/// Writes a trace.dat.
#[derive(Debug)]
pub struct TraceDat<W> {
    out: W,
    /// First addresses, by number.
    functions: Vec<u64>,
    /// Name and module.
    symbols: BTreeMap<u64, (String, Option<String>)>,
    tasks: HashMap<u32, TaskHead>,
    /// Names by pid: the last one of each.
    names: BTreeMap<u32, String>,
    cpus: BTreeMap<u32, Running>,
    pages: Pages,
    release: String,
}

impl<W: Write> TraceDat<W> {
    /// To this output.
    pub fn new(out: W) -> TraceDat<W> {
        TraceDat {
            out,
            functions: Vec::new(),
            symbols: BTreeMap::new(),
            tasks: HashMap::new(),
            names: BTreeMap::new(),
            cpus: BTreeMap::new(),
            pages: Pages::default(),
            release: String::new(),
        }
    }

    fn pid(&self, task: u32) -> u32 {
        self.tasks.get(&task).map_or(0, |task| task.pid)
    }

    fn address(&self, number: u32) -> u64 {
        self.functions.get(number as usize).copied().unwrap_or(0)
    }

    /// Notes who runs on a CPU from here on, and the switch to it, if another one ran there.
    fn runs(&mut self, cpu: u32, task: u32, time: u64) -> io::Result<()> {
        let now = Running { task, left: None };
        let Some(before) = self.cpus.insert(cpu, now).filter(|before| before.task != task) else { return Ok(()) };
        let nobody = TaskHead::default();
        let (prev, next) = (self.tasks.get(&before.task), self.tasks.get(&task));
        let record = events::switch(prev.unwrap_or(&nobody), next.unwrap_or(&nobody));
        self.pages.push(cpu, before.left.unwrap_or(time).min(time), &record)
    }

    fn head(&self, cpus: u32) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        // Little-endian, with longs of 8 bytes.
        head.extend([0, 8]);
        head.extend((PAGE as u32).to_le_bytes());
        for (name, text) in [("header_page", pages::HEADER_PAGE), ("header_event", pages::HEADER_EVENT)] {
            head.extend(name.as_bytes());
            head.push(0);
            head.extend((text.len() as u64).to_le_bytes());
            head.extend(text.as_bytes());
        }
        let formats = |head: &mut Vec<u8>, formats: &[&str]| {
            head.extend((formats.len() as u32).to_le_bytes());
            for format in formats {
                head.extend((format.len() as u64).to_le_bytes());
                head.extend(format.as_bytes());
            }
        };
        formats(&mut head, events::FTRACE);
        head.extend(1u32.to_le_bytes());
        head.extend(b"sched\0");
        formats(&mut head, events::SCHED);
        let symbols = self.kallsyms();
        head.extend((symbols.len() as u32).to_le_bytes());
        head.extend(symbols.as_bytes());
        // No format strings of trace_printk.
        head.extend(0u32.to_le_bytes());
        let names: String = self.names.iter().map(|(pid, name)| format!("{pid} {name}\n")).collect();
        head.extend((names.len() as u64).to_le_bytes());
        head.extend(names.as_bytes());
        head.extend(cpus.to_le_bytes());
        head.extend(b"options  \0");
        for (id, text) in [(OPTION_CLOCK, "[local]\0"), (OPTION_UNAME, &format!("Linux {}\0", self.release))] {
            head.extend(id.to_le_bytes());
            head.extend((text.len() as u32).to_le_bytes());
            head.extend(text.as_bytes());
        }
        head.extend(0u16.to_le_bytes());
        head.extend(b"flyrecord\0");
        head
    }

    fn kallsyms(&self) -> String {
        let line = |(address, (name, module)): (&u64, &(String, Option<String>))| match module {
            Some(module) => format!("{address:016x} t {name}\t[{module}]\n"),
            None => format!("{address:016x} t {name}\n"),
        };
        self.symbols.iter().map(line).collect()
    }
}

/// `TRACECMD_OPTION_TRACECLOCK`: which of ftrace's clocks times are of. None is ours: nanoseconds since the trace
/// began, as of the local one.
const OPTION_CLOCK: u16 = 4;

/// `TRACECMD_OPTION_UNAME`.
const OPTION_UNAME: u16 = 5;

/// A name as kallsyms has them: without blanks, which end it, or a bracket, which begins a module.
pub fn symbol(named: &Named) -> String {
    let own = match &named.module {
        Some(module) => named.name.strip_suffix(&format!(" [{module}]")).unwrap_or(&named.name),
        None => &named.name,
    };
    own.chars().map(|c| if c.is_whitespace() || matches!(c, '[' | ']') { '_' } else { c }).collect()
}

impl<W: Write> Exporter for TraceDat<W> {
    fn wants(&self) -> Wants {
        Wants::Calls
    }

    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        self.release = head.meta.release.chars().filter(|c| !c.is_control()).collect();
        for cpu in 0..head.meta.cpus.min(MOST_CPUS) {
            self.pages.add(cpu);
        }
        Ok(())
    }

    fn function(&mut self, _number: u32, named: &Named) -> io::Result<()> {
        self.functions.push(named.address);
        let module = named.module.clone().filter(|_| named.origin != Origin::Unknown);
        self.symbols.entry(named.address).or_insert_with(|| (symbol(named), module));
        Ok(())
    }

    fn task(&mut self, task: &TaskHead) -> io::Result<()> {
        // trace-cmd has its own name for pid 0.
        if task.pid != 0 {
            self.names.insert(task.pid, task.name.chars().filter(|c| !c.is_control()).collect());
        }
        self.tasks.insert(task.number, task.clone());
        Ok(())
    }

    fn ran(&mut self, task: u32, cpu: u32, from: u64, to: u64) -> io::Result<()> {
        if cpu >= MOST_CPUS {
            return Ok(());
        }
        self.runs(cpu, task, from)?;
        self.cpus.insert(cpu, Running { task, left: Some(to) });
        Ok(())
    }

    fn enter(&mut self, enter: &Enter) -> io::Result<()> {
        if enter.at.cpu >= MOST_CPUS {
            return Ok(());
        }
        self.runs(enter.at.cpu, enter.at.task, enter.time)?;
        let common = Common { pid: self.pid(enter.at.task) };
        let record = events::entry(common, self.address(enter.function), enter.at.depth as u32);
        self.pages.push(enter.at.cpu, enter.time, &record)
    }

    fn leave(&mut self, leave: &Leave) -> io::Result<()> {
        if leave.at.cpu >= MOST_CPUS {
            return Ok(());
        }
        self.runs(leave.at.cpu, leave.at.task, leave.end)?;
        let common = Common { pid: self.pid(leave.at.task) };
        let (function, depth) = (self.address(leave.function), leave.at.depth as u32);
        let record = events::exit(common, function, depth, leave.start, leave.end);
        self.pages.push(leave.at.cpu, leave.end, &record)
    }

    fn missing(&mut self, cpu: u32, _time: u64, missing: &Missing) -> io::Result<()> {
        if cpu >= MOST_CPUS {
            return Ok(());
        }
        self.pages.lost(cpu, if let Missing::Lost(events) = missing { Some(*events) } else { None })
    }

    fn finish(&mut self, _report: &Report<'_>) -> io::Result<()> {
        let sizes = self.pages.finish()?;
        let mut head = self.head(sizes.len() as u32);
        let aligned = |at: u64| at.next_multiple_of(PAGE as u64);
        let mut at = aligned((head.len() + 16 * sizes.len()) as u64);
        let start = at;
        for size in sizes {
            head.extend(at.to_le_bytes());
            head.extend(size.to_le_bytes());
            at += size;
        }
        head.resize(start as usize, 0);
        self.out.write_all(&head)?;
        self.pages.copy(&mut self.out)?;
        self.out.flush()
    }
}
