// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A trace in the formats of other tools. In: the calls of a trace, one at a time or merged, with names. Out:
//! a file or a directory that the other tool opens. Never here: raw bytes of a trace, DWARF, standard output.
//!
//! The tour:
//! 1. this file: what an exporter is ([`Exporter`]) and what it is told;
//! 2. [`drive`]: takes calls from the trace and tells them to an exporter;
//! 3. one file for each format.
//!
//! All times are since the trace began, in nanoseconds; if the speed of the trace's clock is not known, in
//! ticks, and [`Head::clock`] says so.

pub mod callgrind;
pub mod chrome;
pub mod ctf;
pub mod directory;
pub mod drive;
pub mod firefox;
pub mod flamegraph;
pub mod folded;
pub mod html;
pub mod json_lines;
pub mod lanes;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod perfetto;
pub mod trace_dat;
pub mod uftrace;

use std::fmt;
use std::io;

use bootlevel::Phase;

pub use crate::calltree::contexts::Grouping;
pub use crate::calltree::sink::How;
use crate::report::Report;
use crate::report::names::Named;
use crate::report::units::Clock;
use crate::trace_dir::Meta;

/// What an exporter is told of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Each call, as it begins and as it ends: [`Exporter::enter`], [`Exporter::leave`].
    Calls,
    /// The merged call tree, once all calls are known: [`Exporter::context`].
    Contexts(Grouping),
    /// Both.
    Both(Grouping),
    /// Nothing but what [`Exporter::finish`] has.
    Sums,
}

/// What is known before the first call.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// What the trace says of itself.
    pub meta: &'a Meta,
    /// Speed of the trace's clock.
    pub clock: Clock,
    /// The counter's value at time 0.
    pub first_tick: u64,
    /// Which calls were chosen, in words, if not all.
    pub filtered: Option<&'a str>,
    /// What the user calls the boot, for formats that hold many.
    pub boot: Option<&'a str>,
}

/// A task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskHead {
    /// Dense, in order of first appearance; a pid that comes again is another task.
    pub number: u32,
    /// The kernel's number; 0 for idle tasks.
    pub pid: u32,
    /// For people: `comm`, or `swapper/CPU`.
    pub name: String,
    /// The CPU whose idle task it is.
    pub idle: Option<u32>,
}

/// Number of the process that the kernel is, where a format wants one, and all tasks its threads; no process has
/// it (`PID_MAX_LIMIT`).
pub const KERNEL_PID: u32 = 4 << 20;

/// A task's number as a thread: its pid; for idle tasks, which all have pid 0, one that no task has.
pub fn tid(task: &TaskHead) -> u32 {
    task.idle.map_or(task.pid, |cpu| (KERNEL_PID + 1).saturating_add(cpu))
}

/// Where something happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// Number of the task.
    pub task: u32,
    /// The CPU.
    pub cpu: u32,
    /// The task idles.
    pub idle: bool,
    /// Open calls of the task around this one that were told.
    pub depth: usize,
}

/// A call that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enter {
    /// Number of the function.
    pub function: u32,
    /// When.
    pub time: u64,
    /// Where.
    pub at: At,
}

/// A call that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// Number of the function.
    pub function: u32,
    /// When it began.
    pub start: u64,
    /// When it ended, or the last moment known; never before `start`.
    pub end: u64,
    /// On-CPU time.
    pub total: u64,
    /// On-CPU time without that of the calls made from it, whether those were told or not.
    pub own: u64,
    /// How it ended.
    pub how: How,
    /// Where it ended.
    pub at: At,
}

/// A node of the merged call tree, callers first.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Whose calls these are: the phase of the boot, if the exporter asked for phases and the trace knows them.
    pub phase: Option<Phase>,
    /// The task, if the exporter asked for tasks.
    pub task: Option<&'a TaskHead>,
    /// These are calls of idling tasks.
    pub idle: bool,
    /// Numbers of the functions, outermost first; the last one's calls these are.
    pub stack: &'a [u32],
    /// Calls that began.
    pub calls: u64,
    /// On-CPU time with what was called.
    pub total: u64,
    /// On-CPU time without that.
    pub own: u64,
    /// The longest of the calls.
    pub longest: u64,
}

/// Number of a function that stands for the ways that found no room in the merged tree.
pub const REST: u32 = crate::calltree::contexts::Node::REST;

/// Something that happened to the stream of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The guest lost this many events.
    Lost(u64),
    /// A part of the trace is missing or damaged.
    Gap(String),
}

/// One format. Methods come in this order: `begin`; then functions, tasks, switches and calls as they come
/// in the trace (functions and tasks before they are used, calls of one task in order and nested, calls of
/// different CPUs mixed); then, if wanted, contexts; then `finish`. What a method does not care for it leaves
/// as it is. Whatever was chosen by filters, only that is told.
pub trait Exporter {
    /// What it wants to be told.
    fn wants(&self) -> Wants;

    /// Before all else.
    ///
    /// # Errors
    /// Of the output, as for all methods.
    fn begin(&mut self, _head: &Head<'_>) -> io::Result<()> {
        Ok(())
    }

    /// A function; they are numbered from 0 in the order in which they come. With [`Wants::Contexts`] they
    /// come with file and line, before the contexts; else by their symbols alone, before their first call.
    ///
    /// # Errors
    /// Of the output.
    fn function(&mut self, _number: u32, _named: &Named) -> io::Result<()> {
        Ok(())
    }

    /// A new task, or one that has another name from here on.
    ///
    /// # Errors
    /// Of the output.
    fn task(&mut self, _task: &TaskHead) -> io::Result<()> {
        Ok(())
    }

    /// A task was on a CPU for this time; comes when it leaves the CPU.
    ///
    /// # Errors
    /// Of the output.
    fn ran(&mut self, _task: u32, _cpu: u32, _from: u64, _to: u64) -> io::Result<()> {
        Ok(())
    }

    /// A call began.
    ///
    /// # Errors
    /// Of the output.
    fn enter(&mut self, _enter: &Enter) -> io::Result<()> {
        Ok(())
    }

    /// A call ended.
    ///
    /// # Errors
    /// Of the output.
    fn leave(&mut self, _leave: &Leave) -> io::Result<()> {
        Ok(())
    }

    /// Events are missing on a CPU.
    ///
    /// # Errors
    /// Of the output.
    fn missing(&mut self, _cpu: u32, _time: u64, _missing: &Missing) -> io::Result<()> {
        Ok(())
    }

    /// A node of the merged tree.
    ///
    /// # Errors
    /// Of the output.
    fn context(&mut self, _context: &Context<'_>) -> io::Result<()> {
        Ok(())
    }

    /// After all else. The report has levels, initcalls, tasks, totals and all functions with their sums
    /// ([`Report::boot`] and so on), in ticks.
    ///
    /// # Errors
    /// Of the output.
    fn finish(&mut self, report: &Report<'_>) -> io::Result<()>;
}

impl fmt::Debug for dyn Exporter + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("wants", &self.wants()).finish()
    }
}
