// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the boot's own marks tell: its phases, its initcalls and the options. In: calls and marks, as a
//! [`Sink`]. Out: [`Levels`], of the whole trace, whatever filters there are. Times in ticks; sums
//! saturate, and lists are bounded, since a guest may write any marks. Never here: names, text.

use early_ftrace_format::mark::{Mark, NAME_PARTS, OPTION_PARTS};

use super::phases::{SLOTS, Timeline};
use super::sink::{Call, How, Note, Sink};
use super::sites::{Function, Site};
use super::task::{Frame, Task, TaskId};

/// Initcalls that are kept; a kernel has about a thousand. Further ones are counted.
pub const MOST_INITCALLS: usize = 1 << 16;

/// Initcalls that can be open in one task; the kernel nests none.
const MOST_OPEN: usize = 16;

/// Problems that are kept: no command line has more parts.
const MOST_PROBLEMS: usize = 256;

/// The kernel's text and modules lie in the upper 2 GiB; marks hold the lower half of an address.
const UPPER: u64 = 0xffff_ffff_0000_0000;

/// What one phase has, of all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseSums {
    /// Entries and exits.
    pub events: u64,
    /// Words that they take, each 8 bytes before compression; a leaf call takes one.
    pub words: u64,
    /// Calls that began.
    pub calls: u64,
    /// On-CPU time of tasks that were not idling.
    pub busy: u64,
}

/// What kind of work an [`Initcall`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An initcall of the kernel.
    BuiltIn,
    /// A module's init function.
    Module,
    /// A function that `async_run_entry_fn` called: an initcall had put it off, to run beside.
    Async,
    /// A call of `deferred_probe_work_func`: drivers that wait for others are tried again.
    Deferred,
}

impl Kind {
    /// In a word, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Kind::BuiltIn => "built-in",
            Kind::Module => "module",
            Kind::Async => "async",
            Kind::Deferred => "deferred",
        }
    }
}

/// How an initcall ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It returned this. An async or deferred function returns nothing; 0 stands for it.
    Returned(i32),
    /// Events were lost inside it.
    Cut,
    /// Nothing says that it ended: the guest died in it, or the recording was stopped.
    Open,
}

impl Outcome {
    /// In a word, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Returned(_) => "returned",
            Outcome::Cut => "cut",
            Outcome::Open => "open",
        }
    }
}

/// An initcall, or other work that the boot is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initcall {
    /// What it is.
    pub kind: Kind,
    /// Of its function; a call site in it for async and deferred work.
    pub address: u64,
    /// The module, as its marks name it.
    pub module: Option<Box<str>>,
    /// Whose.
    pub task: TaskId,
    /// At its begin.
    pub start: u64,
    /// At its end, or the last moment known.
    pub end: u64,
    /// On-CPU time in between.
    pub on_cpu: u64,
    /// Calls made in it; 0 for async and deferred work.
    pub calls: u64,
    /// How it ended.
    pub outcome: Outcome,
}

impl Initcall {
    /// From begin to end, waiting included.
    pub fn wall(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// A part of the options that the guest left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionProblem {
    /// `bootlevel::Problem` as a number.
    pub number: u8,
    /// Where in the text.
    pub at: u16,
    /// How many bytes.
    pub len: u16,
}

/// A task, as far as its marks go.
#[derive(Clone, Debug, Default)]
struct State {
    open: Vec<Started>,
    /// The module whose marks came last.
    module: Vec<u8>,
    /// The longest call so far that its `async_run_entry_fn` has made.
    longest: Option<Call>,
    cpu: u32,
}

/// An initcall that has not ended.
#[derive(Clone, Debug)]
struct Started {
    kind: Kind,
    address: u64,
    module: Option<Box<str>>,
    start: u64,
    away: u64,
    calls: u64,
}

/// All of it.
#[derive(Debug)]
pub struct Levels {
    /// The phases, as known in advance or as their marks came.
    pub timeline: Timeline,
    /// For each slot of [`Timeline`].
    pub phases: [PhaseSums; SLOTS],
    /// In the order of their ends.
    pub initcalls: Vec<Initcall>,
    /// Initcalls that found no room.
    pub dropped: u64,
    /// Ends without a begin.
    pub unmatched_ends: u64,
    /// Phase marks that contradict the order of the boot.
    pub bad_marks: u64,
    /// The text after `hypergraph=` as the guest read it, NUL-padded.
    pub(super) options: Vec<u8>,
    /// What of it was left out.
    pub problems: Vec<OptionProblem>,
    /// For each task.
    states: Vec<State>,
    task: TaskId,
    /// Events of the slot since the last [`Self::flush`], and calls begun.
    now: PhaseSums,
    slot: usize,
    until: u64,
    /// Numbers of the functions that tell async and deferred work, and the sites seen.
    async_run: Option<Function>,
    deferred_work: Option<Function>,
    sites: Vec<u64>,
    /// Sites of those two.
    pub(super) async_site: Option<u64>,
    pub(super) deferred_site: Option<u64>,
}

impl Levels {
    /// Nothing yet. `async_site` and `deferred_site`: what the guest records of `async_run_entry_fn` and
    /// `deferred_probe_work_func`, if the kernel has them.
    pub fn new(timeline: Timeline, async_site: Option<u64>, deferred_site: Option<u64>) -> Levels {
        Levels {
            timeline,
            phases: Default::default(),
            initcalls: Vec::new(),
            dropped: 0,
            unmatched_ends: 0,
            bad_marks: 0,
            options: Vec::new(),
            problems: Vec::new(),
            states: Vec::new(),
            task: TaskId(0),
            now: PhaseSums::default(),
            slot: 0,
            until: u64::MAX,
            async_run: None,
            deferred_work: None,
            sites: Vec::new(),
            async_site,
            deferred_site,
        }
    }

    /// What [`Levels::new`] was told.
    pub fn sites(&self) -> [Option<u64>; 2] {
        [self.async_site, self.deferred_site]
    }

    /// The text after `hypergraph=`; bytes that are no text are shown as such.
    pub fn options(&self) -> Option<String> {
        let end = self.options.iter().position(|&byte| byte == 0).unwrap_or(self.options.len());
        (end > 0).then(|| String::from_utf8_lossy(&self.options[..end]).into_owned())
    }

    /// After the run: what is still open ends with the trace.
    pub fn finish(&mut self, last: u64, tasks: &[Task]) {
        for (index, task) in tasks.iter().enumerate().take(self.states.len()) {
            let open = std::mem::take(&mut self.states[index].open);
            for started in open.into_iter().rev() {
                // A task that is away has been so since then.
                let away = task.away.wrapping_add(task.out_since.map_or(0, |out| last.saturating_sub(out)));
                self.task = TaskId(index as u32);
                self.end(started, last, away, task.calls, Outcome::Open);
            }
        }
        self.initcalls.sort_by_key(|initcall| initcall.start);
    }

    fn end(&mut self, started: Started, end: u64, away: u64, calls: u64, outcome: Outcome) {
        let Started { kind, address, module, start, away: away_before, calls: calls_before } = started;
        let on_cpu = end.saturating_sub(start).saturating_sub(away.wrapping_sub(away_before));
        let calls = calls.saturating_sub(calls_before);
        self.keep(Initcall { kind, address, module, task: self.task, start, end, on_cpu, calls, outcome });
    }

    /// A call that is async or deferred work.
    fn work(&mut self, kind: Kind, call: &Call) {
        let outcome = match call.how {
            How::Returned => Outcome::Returned(0),
            How::Cut => Outcome::Cut,
            How::TaskEnded | How::Open => Outcome::Open,
        };
        let address = self.sites.get(call.function.index()).copied().unwrap_or(0);
        let Call { start, end, total, .. } = *call;
        let (task, on_cpu) = (self.task, total);
        self.keep(Initcall { kind, address, module: None, task, start, end, on_cpu, calls: 0, outcome });
    }

    fn keep(&mut self, initcall: Initcall) {
        if self.initcalls.len() < MOST_INITCALLS {
            self.initcalls.push(initcall);
        } else {
            self.dropped += 1;
        }
    }

    /// Books the events since the last time, and looks up the phase of `time`.
    #[cold]
    #[inline(never)]
    fn flush(&mut self, time: u64) {
        let (sums, now) = (&mut self.phases[self.slot], std::mem::take(&mut self.now));
        sums.events = sums.events.saturating_add(now.events);
        sums.words = sums.words.saturating_add(now.words);
        sums.calls = sums.calls.saturating_add(now.calls);
        (self.slot, self.until) = self.timeline.at(time);
    }

    fn state(&mut self) -> &mut State {
        let index = self.task.index();
        if self.states.len() <= index {
            self.states.resize(index + 1, State::default());
        }
        &mut self.states[index]
    }

    /// Four bytes of a text that comes in parts.
    fn part(text: &mut Vec<u8>, part: u16, value: u32) {
        let at = usize::from(part) * 4;
        if text.len() < at + 4 {
            text.resize(at + 4, 0);
        }
        text[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn begin_initcall(&mut self, task: &Task, time: u64, kind: Kind, value: u32) {
        let state = self.state();
        let module = (kind == Kind::Module).then(|| {
            let end = state.module.iter().position(|&byte| byte == 0).unwrap_or(state.module.len());
            String::from_utf8_lossy(&state.module[..end]).into_owned().into_boxed_str()
        });
        let module = module.filter(|module| !module.is_empty());
        let address = UPPER | u64::from(value);
        if state.open.len() < MOST_OPEN {
            state.open.push(Started { kind, address, module, start: time, away: task.away, calls: task.calls });
        } else {
            self.dropped += 1;
        }
    }
}

impl Sink for Levels {
    fn begin(&mut self, time: u64) {
        self.timeline.begin(time);
    }

    fn function(&mut self, function: Function, site: Site<'_>) {
        if Some(site.address) == self.async_site {
            self.async_run = Some(function);
        } else if Some(site.address) == self.deferred_site {
            self.deferred_work = Some(function);
        }
        self.sites.push(site.address);
    }

    fn attach(&mut self, id: TaskId, _task: &Task, cpu: u32, time: u64) {
        self.task = id;
        self.state().cpu = cpu;
        self.flush(time);
    }

    #[inline]
    fn enter(&mut self, frames: &[Frame]) {
        let time = frames.last().map_or(0, |frame| frame.start);
        if time >= self.until {
            self.flush(time);
        }
        self.now.events += 1;
        self.now.words += 1;
        self.now.calls += 1;
    }

    #[inline]
    fn leaf(&mut self, _frames: &[Frame], _function: Function, start: u64, _ticks: u64) {
        if start >= self.until {
            self.flush(start);
        }
        self.now.events += 2;
        self.now.words += 1;
        self.now.calls += 1;
    }

    #[inline]
    fn leave(&mut self, frames: &[Frame], call: &Call) {
        if call.how == How::Returned {
            if call.end >= self.until {
                self.flush(call.end);
            }
            self.now.events += 1;
            self.now.words += 1;
        }
        let parent = frames.last().map(|frame| frame.function);
        let function = Some(call.function);
        if function == self.deferred_work {
            self.work(Kind::Deferred, call);
        } else if function == self.async_run {
            if let Some(longest) = self.state().longest.take() {
                self.work(Kind::Async, &longest);
            }
        } else if parent.is_some() && parent == self.async_run {
            // It reads the clock, calls the async function, and tidies up.
            let longest = &mut self.state().longest;
            if longest.is_none_or(|longest| longest.total < call.total) {
                *longest = Some(*call);
            }
        }
    }

    fn note(&mut self, cpu: u32, time: u64, note: &Note) {
        if *note == Note::Orphan {
            self.now.events += 1;
            self.now.words += 1;
            return;
        }
        // The end of what was open on that CPU may be among what is missing.
        let attached = self.task;
        for index in 0..self.states.len() {
            if self.states[index].cpu == cpu && !self.states[index].open.is_empty() {
                self.task = TaskId(index as u32);
                for started in std::mem::take(&mut self.states[index].open).into_iter().rev() {
                    let (away, calls) = (started.away, started.calls);
                    self.end(started, time, away, calls, Outcome::Cut);
                }
            }
        }
        self.task = attached;
    }

    fn mark(&mut self, task: &Task, time: u64, mark: Mark, value: u32) {
        match mark {
            Mark::Phase(number) => match bootlevel::Phase::from_u8(number) {
                Some(phase) if self.timeline.learn(phase, time) => self.flush(time),
                _ => self.bad_marks += 1,
            },
            Mark::InitcallStart => self.begin_initcall(task, time, Kind::BuiltIn, value),
            Mark::ModuleInitStart => self.begin_initcall(task, time, Kind::Module, value),
            Mark::InitcallEnd => match self.state().open.pop() {
                Some(started) => self.end(started, time, task.away, task.calls, Outcome::Returned(value as i32)),
                None => self.unmatched_ends += 1,
            },
            Mark::ModuleName(part) if part < NAME_PARTS => {
                let state = self.state();
                if part == 0 {
                    state.module.clear();
                }
                Self::part(&mut state.module, part, value);
            }
            Mark::Option(part) if part < OPTION_PARTS => Self::part(&mut self.options, part, value),
            Mark::Problem(number) if self.problems.len() < MOST_PROBLEMS => {
                self.problems.push(OptionProblem { number, at: value as u16, len: (value >> 16) as u16 });
            }
            _ => {}
        }
    }

    fn ran(&mut self, task: &Task, from: u64, to: u64) {
        if !task.is_idling() {
            for (slot, ticks) in self.timeline.pieces(from, to) {
                self.phases[slot].busy = self.phases[slot].busy.saturating_add(ticks);
            }
        }
    }

    fn detach(&mut self, task: &Task) {
        self.flush(task.in_since);
    }
}
