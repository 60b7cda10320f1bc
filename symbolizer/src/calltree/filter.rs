// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Which calls a sink wants. In: what the user asked for, and the state of the stretch that is
//! attached. Out: yes or no for each call. Never here: parsing of the command line, printing.
//!
//! Of a call that moves to another CPU, or whose task changes its name, it counts where it began: so each
//! sink that sees the same calls gets the same answer, when they begin as well as when they end.

use std::ops::Range;

use wildmatch::WildMatch;

use super::sites::{Function, Site};
use super::task::{Frame, Task, TaskId};

/// The functions' names, as the resolver knows them, by site; of a module's function, `NAME [MODULE]`.
pub type NameOf<'a> = &'a dyn Fn(Site<'_>) -> String;

/// Patterns for names: `*` is any text, `?` any character; one of them must fit.
#[derive(Clone, Debug, Default)]
pub struct Globs(Vec<WildMatch>);

impl Globs {
    /// Those patterns; `None` if there are none.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Option<Globs> {
        let all: Vec<WildMatch> = patterns.into_iter().map(WildMatch::new).collect();
        (!all.is_empty()).then_some(Globs(all))
    }

    /// Whether one of them fits.
    pub fn is_match(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

/// What the user asked for. All conditions must hold; an absent one always does.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Calls of functions with such a name.
    pub functions: Option<Globs>,
    /// Calls of functions with such a name and all that runs inside them.
    pub inside: Option<Globs>,
    /// Calls with fewer open frames under them than this.
    pub depth: Option<usize>,
    /// Calls whose total is at least so many ticks.
    pub min: Option<u64>,
    /// Calls that begin at this time or later, in ticks since the trace began.
    pub from: Option<u64>,
    /// Calls that begin before this time, in ticks since the trace began.
    pub to: Option<u64>,
    /// Calls that begin in one of these spans of time, in ticks of the counter itself; in order, and none
    /// reaches into the next.
    pub spans: Option<Vec<Range<u64>>>,
    /// Calls that begin on these CPUs.
    pub cpus: Option<Vec<u32>>,
    /// Calls of tasks that have such a name, then or at their end.
    pub tasks: Option<Globs>,
    /// The last name of each task in order of their numbers, as far as known: pid 1 makes most of its
    /// calls before it becomes `init`.
    pub last_names: Vec<String>,
    /// Calls of tasks with these pids; with `tasks`, one of the two must hold.
    pub pids: Vec<u32>,
}

impl Wanted {
    /// Whether anything is asked for at all.
    pub fn is_everything(&self) -> bool {
        self.functions.is_none()
            && self.inside.is_none()
            && self.depth.is_none()
            && self.min.is_none()
            && self.from.is_none()
            && self.to.is_none()
            && self.spans.is_none()
            && self.cpus.is_none()
            && self.tasks.is_none()
            && self.pids.is_empty()
    }
}

/// A [`Wanted`] at work: keeps what holds for each function and for the stretch.
#[derive(Clone)]
pub struct Filter<'a> {
    wanted: Wanted,
    name_of: NameOf<'a>,
    everything: bool,
    /// For each function: its own name matches; it opens an inside.
    flags: Vec<(bool, bool)>,
    /// Time at which the trace begins.
    begin: u64,
    stretch: bool,
    /// Open frames that open an inside.
    inside: usize,
    /// Stretches differ: the open frames of the attached task remember in which kind they began.
    by_stretch: bool,
    task: usize,
    began: Vec<bool>,
    /// The same of the tasks that are not attached.
    waiting: Vec<Vec<bool>>,
}

impl<'a> Filter<'a> {
    /// A filter; `name_of` is asked once for each function.
    pub fn new(wanted: Wanted, name_of: NameOf<'a>) -> Filter<'a> {
        let everything = wanted.is_everything();
        let by_stretch = wanted.cpus.is_some() || wanted.tasks.is_some() || !wanted.pids.is_empty();
        Filter {
            wanted,
            name_of,
            everything,
            flags: Vec::new(),
            begin: 0,
            stretch: true,
            inside: 0,
            by_stretch,
            task: 0,
            began: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Whether all calls pass.
    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// The trace begins at this time.
    pub fn begin(&mut self, time: u64) {
        self.begin = time;
    }

    /// A new function; they come in order of their numbers.
    pub fn function(&mut self, site: Site<'_>) {
        let Wanted { functions, inside, .. } = &self.wanted;
        if functions.is_none() && inside.is_none() {
            self.flags.push((true, true));
            return;
        }
        let name = (self.name_of)(site);
        // With the module's name behind it or without.
        let bare = name.split_once(" [").map_or(&*name, |(bare, _)| bare);
        let is = |set: &Option<Globs>| set.as_ref().is_none_or(|set| set.is_match(&name) || set.is_match(bare));
        self.flags.push((is(functions), is(inside)));
    }

    /// A stretch begins.
    pub fn attach(&mut self, id: TaskId, task: &Task, cpu: u32) {
        if self.everything {
            return;
        }
        let Wanted { cpus, tasks, pids, last_names, .. } = &self.wanted;
        let by_task = (tasks.is_none() && pids.is_empty())
            || pids.contains(&task.pid)
            || tasks.as_ref().is_some_and(|set| {
                set.is_match(&task.label()) || last_names.get(id.index()).is_some_and(|name| set.is_match(name))
            });
        self.stretch = by_task && cpus.as_ref().is_none_or(|cpus| cpus.contains(&cpu));
        self.inside = task.frames.iter().filter(|frame| self.flags[frame.function.index()].1).count();
        if self.by_stretch {
            let most = self.task.max(id.index());
            if self.waiting.len() <= most {
                self.waiting.resize(most + 1, Vec::new());
            }
            self.waiting[self.task] = std::mem::take(&mut self.began);
            self.began = std::mem::take(&mut self.waiting[id.index()]);
            self.task = id.index();
            // Calls that began in a part of the trace that was passed over: no condition of time lets them
            // through anyway.
            self.began.resize(task.frames.len(), false);
        }
    }

    /// A call begins.
    #[inline]
    pub fn enter(&mut self, frame: &Frame) {
        if !self.everything {
            self.inside += usize::from(self.flags[frame.function.index()].1);
            if self.by_stretch {
                self.began.push(self.stretch);
            }
        }
    }

    /// A call ends; after [`Filter::passes`] was asked about it.
    #[inline]
    pub fn leave(&mut self, function: Function) {
        if !self.everything {
            self.inside -= usize::from(self.flags[function.index()].1);
            self.began.pop();
        }
    }

    /// Whether the open frame at a depth began in a stretch that is wanted.
    fn began(&self, depth: usize) -> bool {
        !self.by_stretch || self.began.get(depth).copied().unwrap_or(false)
    }

    /// Whether a call with `depth` frames under it is wanted. `open`: it has a frame that
    /// [`Filter::enter`] has seen.
    #[inline]
    pub fn passes(&self, function: Function, depth: usize, start: u64, total: u64, open: bool) -> bool {
        self.everything || (total >= self.wanted.min.unwrap_or(0) && self.may_pass(function, depth, start, open))
    }

    /// The same before the duration is known.
    pub fn may_pass(&self, function: Function, depth: usize, start: u64, open: bool) -> bool {
        if self.everything {
            return true;
        }
        let (name, opens) = self.flags[function.index()];
        let began = if open { self.began(depth) } else { self.stretch };
        began && name && (self.inside > 0 || (!open && opens)) && self.conditions(depth, start)
    }

    /// Whether an open frame of the stretch is wanted, before its duration is known. Frames are asked
    /// about from the outermost inwards, with the same `inside`, which begins as false.
    pub fn open_passes(&self, frame: &Frame, depth: usize, inside: &mut bool) -> bool {
        if self.everything {
            return true;
        }
        let (name, opens) = self.flags[frame.function.index()];
        *inside |= opens;
        self.began(depth) && name && *inside && self.conditions(depth, frame.start)
    }

    /// Whether one of these frames, the outermost ones, opens an inside: what [`Filter::open_passes`] is to
    /// begin with for the next one.
    pub fn opens_inside(&self, outermost: &[Frame]) -> bool {
        // With no inside asked for, each frame opens one for itself.
        self.wanted.inside.is_some() && outermost.iter().any(|frame| self.flags[frame.function.index()].1)
    }

    /// What hangs on where and when a call begins.
    fn conditions(&self, depth: usize, start: u64) -> bool {
        let since = start.saturating_sub(self.begin);
        self.wanted.depth.is_none_or(|most| depth < most)
            && self.wanted.from.is_none_or(|from| since >= from)
            && self.wanted.to.is_none_or(|to| since < to)
            && self.wanted.spans.as_ref().is_none_or(|spans| {
                let after = spans.partition_point(|span| span.start <= start);
                after > 0 && spans[after - 1].contains(&start)
            })
    }

    /// Whether it is asked when calls begin.
    pub fn is_of_times(&self) -> bool {
        self.wanted.from.is_some() || self.wanted.to.is_some() || self.wanted.spans.is_some()
    }

    /// Whether a call that begins at such a time, `from` to `to`, can be wanted.
    pub fn wants(&self, from: u64, to: u64) -> bool {
        let (since, until) = (from.saturating_sub(self.begin), to.saturating_sub(self.begin));
        self.wanted.from.is_none_or(|wanted| until >= wanted)
            && self.wanted.to.is_none_or(|wanted| since < wanted)
            && self.wanted.spans.as_ref().is_none_or(|spans| {
                let reaches = |span: &Range<u64>| span.start <= to && from < span.end;
                spans.iter().any(reaches)
            })
    }

    /// The shortest call that is wanted.
    pub fn min(&self) -> u64 {
        self.wanted.min.unwrap_or(0)
    }

    /// Whether calls that begin in the stretch can be wanted at all.
    pub fn stretch(&self) -> bool {
        self.stretch
    }
}
