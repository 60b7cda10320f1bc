// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A profile for the Firefox profiler (<https://profiler.firefox.com>): a thread for each task, and one with
//! levels, initcalls and losses as markers. In: calls. Out: JSON ([`file`]), compressed. Never here: the
//! file's tables.
//!
//! Its samples are none that a timer took. A boot has far more calls than that page can hold, so its time is
//! cut into at most [`MOST_SLICES`] slices, and each stack of a task has one sample in each slice in which it was
//! on a CPU, with its self time there as the sample's weight. Weights of a function's stacks add up to its
//! self time to the nanosecond; only where in a slice a sample lies is made up.

mod file;

use std::collections::HashMap;
use std::io::{self, Write};

use super::{Enter, Exporter, Grouping, Head, Leave, Missing, TaskHead, Wants};
use crate::report::Report;
use crate::report::names::Named;
use crate::report::style::printable;
use crate::resolve::tree::subsystem;

/// Slices of the whole trace; their length is a power of two of nanoseconds.
pub const MOST_SLICES: u64 = 2048;

/// Most samples: 100 MB of JSON. Slices get longer where there would be more.
const MOST_SAMPLES: usize = 1 << 21;

/// Most stacks; a call with a stack of its own after them is in `[other ways]`.
const MOST_STACKS: usize = 1 << 20;

/// Most places of losses that are told one by one.
const MOST_MISSING: usize = 10_000;

/// The stack with no call.
const NONE: u32 = 0;

/// That of calls that found no room.
const REST: u32 = 1;

/// A function.
#[derive(Clone, Debug)]
struct Function {
    name: String,
    file: Option<String>,
    line: Option<u32>,
    subsystem: String,
}

/// An open call.
#[derive(Debug)]
struct Open {
    stack: u32,
    /// When and for how long it ran itself, as far as is known while it is open.
    ran: Vec<(u64, u64)>,
}

/// A task and what it does now.
#[derive(Debug)]
struct Task {
    pid: u32,
    name: String,
    open: Vec<Open>,
    /// Until when its time is given to calls; not known after it came onto a CPU, up to its next event.
    until: Option<u64>,
}

/// Writes a profile.
#[derive(Debug)]
pub struct Firefox<W> {
    out: W,
    title: String,
    filtered: Option<String>,
    ticks: bool,
    functions: Vec<Function>,
    /// Stack without its last call, and that call's function.
    stacks: Vec<(u32, u32)>,
    longer: HashMap<(u32, u32), u32>,
    tasks: Vec<Task>,
    /// Self time by task, slice and stack.
    samples: HashMap<(u32, u64, u32), u64>,
    /// A slice is two to the power of this long.
    shift: u32,
    /// What is missing: when, where, what.
    missing: Vec<(u64, u32, String)>,
}

impl<W: Write> Firefox<W> {
    /// To this output.
    pub fn new(out: W) -> Firefox<W> {
        Firefox {
            out,
            title: String::new(),
            filtered: None,
            ticks: false,
            functions: Vec::new(),
            stacks: vec![(NONE, super::REST), (NONE, super::REST)],
            longer: HashMap::new(),
            tasks: Vec::new(),
            samples: HashMap::new(),
            shift: 12,
            missing: Vec::new(),
        }
    }

    fn stack(&mut self, below: u32, function: u32) -> u32 {
        if below == REST {
            return REST;
        }
        let next = self.stacks.len();
        if let Some(&known) = self.longer.get(&(below, function)) {
            return known;
        }
        if next >= MOST_STACKS {
            return REST;
        }
        self.stacks.push((below, function));
        self.longer.insert((below, function), next as u32);
        next as u32
    }

    /// Slices twice as long.
    fn coarsen(&mut self) {
        self.shift += 1;
        for ((task, slice, stack), time) in std::mem::take(&mut self.samples) {
            let sum = self.samples.entry((task, slice >> 1, stack)).or_default();
            *sum = sum.saturating_add(time);
        }
    }

    /// Slices so long that this time is in one of them.
    fn reach(&mut self, time: u64) {
        while time >> self.shift >= MOST_SLICES {
            self.coarsen();
        }
    }

    fn sample(&mut self, task: u32, time: u64, stack: u32, own: u64) {
        if own > 0 {
            let sum = self.samples.entry((task, time >> self.shift, stack)).or_default();
            *sum = sum.saturating_add(own);
            if self.samples.len() > MOST_SAMPLES && self.shift < 63 {
                self.coarsen();
            }
        }
    }

    /// The innermost call of a task ran itself up to this time.
    fn advance(&mut self, task: u32, time: u64) -> Option<&mut Task> {
        let shift = self.shift;
        let task = self.tasks.get_mut(task as usize)?;
        if let (Some(until), Some(open)) = (task.until, task.open.last_mut())
            && until < time
        {
            match open.ran.last_mut() {
                Some(last) if last.0 >> shift == time >> shift => last.1 = last.1.saturating_add(time - until),
                _ => open.ran.push((until, time - until)),
            }
        }
        task.until = Some(time.max(task.until.unwrap_or(0)));
        Some(task)
    }

    /// Gives a call's self time to slices: where it is known to have run, and the rest to where it ended.
    fn give(&mut self, task: u32, open: Open, own: u64, end: u64) {
        let mut left = own;
        for (from, ticks) in open.ran {
            let (mut from, mut ticks) = (from, ticks.min(left));
            left -= ticks;
            while ticks > 0 {
                let next = ((from >> self.shift) + 1) << self.shift;
                let part = ticks.min(next.saturating_sub(from)).max(1);
                self.sample(task, from, open.stack, part);
                from = from.saturating_add(part);
                ticks -= part;
            }
        }
        self.sample(task, end, open.stack, left);
    }
}

impl<W: Write> Exporter for Firefox<W> {
    fn wants(&self) -> Wants {
        // Contexts only for the sake of files and lines, which come with them.
        Wants::Both(Grouping::default())
    }

    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        self.title = printable(&format!("Boot of Linux {}", head.meta.release));
        self.ticks = head.clock.khz().is_none();
        self.filtered = head.filtered.map(printable);
        Ok(())
    }

    fn function(&mut self, _number: u32, named: &Named) -> io::Result<()> {
        let module = named.module.is_some() || named.name.starts_with("[module]");
        let subsystem = named.file.as_deref().map_or(if module { "[modules]" } else { "Other" }, subsystem);
        let Named { name, file, line, .. } = named.clone();
        self.functions.push(Function { name, file, line, subsystem: subsystem.to_owned() });
        Ok(())
    }

    fn task(&mut self, task: &TaskHead) -> io::Result<()> {
        let index = task.number as usize;
        while self.tasks.len() <= index {
            self.tasks.push(Task { pid: 0, name: "?".to_owned(), open: Vec::new(), until: None });
        }
        self.tasks[index].pid = task.pid;
        self.tasks[index].name.clone_from(&task.name);
        Ok(())
    }

    fn ran(&mut self, task: u32, _cpu: u32, _from: u64, to: u64) -> io::Result<()> {
        self.reach(to);
        if let Some(task) = self.advance(task, to) {
            task.until = None;
        }
        Ok(())
    }

    fn enter(&mut self, enter: &Enter) -> io::Result<()> {
        self.reach(enter.time);
        let Some(task) = self.advance(enter.at.task, enter.time) else { return Ok(()) };
        let below = task.open.last().map_or(NONE, |open| open.stack);
        let stack = self.stack(below, enter.function);
        self.tasks[enter.at.task as usize].open.push(Open { stack, ran: Vec::new() });
        Ok(())
    }

    fn leave(&mut self, leave: &Leave) -> io::Result<()> {
        self.reach(leave.end);
        let Some(task) = self.advance(leave.at.task, leave.end) else { return Ok(()) };
        if let Some(open) = task.open.pop() {
            self.give(leave.at.task, open, leave.own, leave.end);
        }
        Ok(())
    }

    fn missing(&mut self, cpu: u32, time: u64, missing: &Missing) -> io::Result<()> {
        if self.missing.len() < MOST_MISSING {
            let what = match missing {
                Missing::Lost(events) => format!("{events} events lost"),
                Missing::Gap(reason) => printable(reason),
            };
            self.missing.push((time, cpu, what));
        }
        Ok(())
    }

    fn finish(&mut self, report: &Report<'_>) -> io::Result<()> {
        let mut out = flate2::write::GzEncoder::new(&mut self.out, flate2::Compression::default());
        let parts = file::Parts {
            title: &self.title,
            filtered: self.filtered.as_deref(),
            ticks: self.ticks,
            functions: &self.functions,
            stacks: &self.stacks,
            tasks: self.tasks.iter().map(|task| (task.pid, task.name.as_str())).collect(),
            samples: std::mem::take(&mut self.samples),
            shift: self.shift,
            missing: &self.missing,
        };
        file::write(parts, report, &mut out)?;
        out.finish()?.flush()
    }
}
