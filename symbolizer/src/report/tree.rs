// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Calls as an indented tree, written as they are rebuilt. In: calls, as a [`Sink`]. Out: lines
//! `TIME  DURATION  CPU) TASK | name() {`. Never here: sums.
//!
//! A call's opening line is written when something inside it is, or when it leaves the CPU; a call
//! that is shorter than `--min` is never opened, and so the filter on durations needs no memory of
//! what it drops: who calls a long call is long itself.

use std::io::{self, Write};

use early_ftrace_format::mark::Mark;

use super::names::Named;
use super::style::{DIM, WARN};
use super::units::Clock;
use crate::calltree::sink::{Call, How, Note, Sink};
use crate::calltree::{Filter, Frame, Function, Site, Task, TaskId};

/// What is printed beside a call.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// For durations.
    pub clock: Clock,
    /// File and line behind each name.
    pub lines: bool,
    /// Colours: a tree has millions of lines, and to write colours and strip them again would take
    /// most of the time.
    pub colours: bool,
}

/// Writes the tree.
pub struct Tree<'a, W> {
    out: W,
    options: Options,
    filter: Filter<'a>,
    name_of: &'a dyn Fn(Site<'_>) -> Named,
    /// For each function its name, and the remark behind it.
    names: Vec<(String, String)>,
    begin: u64,
    task: Option<TaskId>,
    label: String,
    cpu: u32,
    /// Before and after what is secondary.
    dim: (String, String),
    /// Last stretch that was written: whose, where.
    written: Option<(TaskId, u32)>,
    /// For each task: how many of its outermost frames have their opening line, or were passed over.
    opened: Vec<Vec<bool>>,
    /// First error of the writer; nothing is written after it.
    failed: Option<io::Error>,
}

impl<'a, W: Write> Tree<'a, W> {
    /// A tree of the calls that pass the filter.
    pub fn new(out: W, options: Options, filter: Filter<'a>, name_of: &'a dyn Fn(Site<'_>) -> Named) -> Tree<'a, W> {
        let dim = if options.colours { (DIM.to_string(), format!("{DIM:#}")) } else { Default::default() };
        Tree {
            out,
            options,
            dim,
            filter,
            name_of,
            names: Vec::new(),
            begin: 0,
            task: None,
            label: String::new(),
            cpu: 0,
            written: None,
            opened: Vec::new(),
            failed: None,
        }
    }

    /// Ends the output.
    ///
    /// # Errors
    /// The first error of the writer.
    pub fn finish(mut self) -> io::Result<()> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }

    fn opened(&mut self) -> &mut Vec<bool> {
        let index = self.task.map_or(0, TaskId::index);
        if self.opened.len() <= index {
            self.opened.resize(index + 1, Vec::new());
        }
        &mut self.opened[index]
    }

    /// Writes opening lines of the frames that pass and have none yet.
    fn open(&mut self, frames: &[Frame]) {
        self.opened().resize(frames.len(), false);
        let from = self.opened().iter().rposition(|&opened| opened).map_or(0, |last| last + 1);
        let mut inside = self.filter.opens_inside(&frames[..from]);
        for (depth, frame) in frames.iter().enumerate().skip(from) {
            if self.filter.open_passes(frame, depth, &mut inside) {
                self.line(frame.start, None, depth, frame.function, Form::Opening);
                self.opened()[depth] = true;
            }
        }
    }

    fn line(&mut self, time: u64, ticks: Option<u64>, depth: usize, function: Function, form: Form) {
        if self.failed.is_none() {
            self.failed = self.try_line(time, ticks, depth, function, form).err();
        }
    }

    fn try_line(
        &mut self,
        time: u64,
        ticks: Option<u64>,
        depth: usize,
        function: Function,
        form: Form,
    ) -> io::Result<()> {
        let Tree { out, options, dim: (dim, plain), label, cpu, .. } = self;
        let now = self.task.map(|task| (task, *cpu));
        if self.written != now {
            writeln!(out, "{dim}--- CPU {cpu}: {} ---{plain}", label.trim_end())?;
            self.written = now;
        }
        let time = time.saturating_sub(self.begin);
        match options.clock.ns(time) {
            Some(ns) => write!(out, "{dim}{:>5}.{:06}{plain}", ns / 1_000_000_000, ns % 1_000_000_000 / 1_000)?,
            None => write!(out, "{dim}{time:>12}{plain}")?,
        }
        match ticks {
            Some(ticks) => write!(out, " {:>9}", options.clock.show(ticks))?,
            None => write!(out, "{:10}", "")?,
        }
        let unknown = Default::default();
        let (name, place) = self.names.get(function.index()).unwrap_or(&unknown);
        write!(out, " {cpu:>3}) {label} | {:indent$}", "", indent = depth * 2)?;
        match form {
            Form::Opening => writeln!(out, "{name}() {{{dim}{place}{plain}"),
            Form::Whole(how) => writeln!(out, "{name}();{dim}{place}{}{plain}", remark(how)),
            Form::Closing(how) => writeln!(out, "}} {dim}/* {name} */{}{plain}", remark(how)),
        }
    }
}

/// The three forms of a call's line.
#[derive(Clone, Copy)]
enum Form {
    Opening,
    Whole(How),
    Closing(How),
}

fn remark(how: How) -> &'static str {
    match how {
        How::Returned => "",
        How::TaskEnded => " /* its task ended */",
        How::Cut => " /* cut: events were lost */",
        How::Open => " /* still open */",
    }
}

impl<W: Write> Sink for Tree<'_, W> {
    fn begin(&mut self, time: u64) {
        self.begin = time;
        self.filter.begin(time);
    }

    fn function(&mut self, _function: Function, site: Site<'_>) {
        self.filter.function(site);
        let named = (self.name_of)(site);
        let place = match (&named.file, named.line) {
            (Some(file), Some(line)) if self.options.lines => format!(" /* {file}:{line} */"),
            _ => String::new(),
        };
        self.names.push((named.name, place));
    }

    fn attach(&mut self, id: TaskId, task: &Task, cpu: u32, _time: u64) {
        self.filter.attach(id, task, cpu);
        if self.task != Some(id) || self.cpu != cpu || self.label.starts_with('?') {
            self.label = match task.idle {
                Some(_) => format!("{:<22}", task.label()),
                None => format!("{:<22}", format!("{}-{}", task.label(), task.pid)),
            };
        }
        self.task = Some(id);
        self.cpu = cpu;
    }

    fn detach(&mut self, task: &Task) {
        if self.filter.stretch() && self.filter.min() == 0 {
            self.open(&task.frames);
        }
    }

    fn enter(&mut self, frames: &[Frame]) {
        // What is around it gets its line now, it itself when something happens in it.
        let Some((frame, around)) = frames.split_last() else { return };
        if self.filter.stretch() && self.filter.min() == 0 {
            self.open(around);
        }
        self.filter.enter(frame);
        self.opened().resize(frames.len(), false);
    }

    fn leaf(&mut self, frames: &[Frame], function: Function, start: u64, ticks: u64) {
        if self.filter.passes(function, frames.len(), start, ticks, false) {
            self.open(frames);
            self.line(start, Some(ticks), frames.len(), function, Form::Whole(How::Returned));
        }
    }

    fn leave(&mut self, frames: &[Frame], call: &Call) {
        let depth = frames.len();
        let opened = self.opened().get(depth).copied().unwrap_or(false);
        let passes = self.filter.passes(call.function, depth, call.start, call.total, true);
        self.filter.leave(call.function);
        if opened {
            self.line(call.end, Some(call.total), depth, call.function, Form::Closing(call.how));
        } else if passes {
            self.open(frames);
            self.line(call.start, Some(call.total), depth, call.function, Form::Whole(call.how));
        }
        self.opened().truncate(depth);
    }

    fn mark(&mut self, _task: &Task, time: u64, mark: Mark, _value: u32) {
        let Mark::Phase(number) = mark else { return };
        let Some(phase) = bootlevel::Phase::from_u8(number).filter(|_| self.failed.is_none()) else { return };
        let (dim, plain) = &self.dim;
        let since = self.options.clock.show(time.saturating_sub(self.begin));
        self.failed = writeln!(self.out, "{dim}--- level {} at {since} ---{plain}", phase.name()).err();
    }

    fn note(&mut self, cpu: u32, time: u64, note: &Note) {
        let text = match note {
            Note::Lost(count) => format!("{count} events lost"),
            Note::Gap(reason) => reason.clone(),
            Note::Orphan => return,
        };
        if self.failed.is_none() {
            let since = self.options.clock.show(time.saturating_sub(self.begin));
            let text = format!("--- CPU {cpu} at {since}: {text} ---");
            let text = if self.options.colours { format!("{WARN}{text}{WARN:#}") } else { text };
            self.failed = writeln!(self.out, "{text}").err();
        }
    }
}
