// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What is known of a trace, as bytes and back: for the index beside its blocks. In and out: [`Outline`],
//! [`Levels`], bytes. What comes in is not trusted: it becomes something that can be, or nothing. Never here: files,
//! checksums.
//!
//! Numbers are written seven bits a byte, lowest first; lists with their length before them; a struct is its
//! fields in the order in which they stand here. TRACE.md says what that makes.

use bootlevel::Phase;
use early_ftrace_format::word::EndReason;

use super::checkpoint::{Checkpoint, Position, Span};
use super::cursor::Next;
use super::levels::{Initcall, Kind, Levels, OptionProblem, Outcome, PhaseSums};
use super::modules::{Module, ModuleId, Modules, Section};
use super::partial::Outline;
use super::phases::{SLOTS, Timeline};
use super::sites::{Function, Known, Sites};
use super::task::{Frame, Task, TaskId};
use super::totals::Totals;
use crate::trace_dir::number::{put_number, take_number};

/// Something with bytes.
trait Wire: Sized {
    fn put(&self, out: &mut Vec<u8>);
    /// Takes it off the front; `None` if there is no such thing.
    fn take(bytes: &mut &[u8]) -> Option<Self>;
}

/// What `outline` and `levels` have said, in one piece; with what the levels were looked for.
pub fn put(outline: &Outline, levels: &Levels, out: &mut Vec<u8>) {
    levels.async_site.put(out);
    levels.deferred_site.put(out);
    put_levels(levels, out);
    put_totals(outline.totals(), out);
    put_list(outline.checkpoints(), out);
}

/// The same back, for a trace of so many streams; nothing may be left over.
pub fn take(mut bytes: &[u8], streams: usize) -> Option<(Outline, Levels)> {
    let bytes = &mut bytes;
    let (async_site, deferred_site) = (Wire::take(bytes)?, Wire::take(bytes)?);
    let levels = take_levels(bytes, Levels::new(Timeline::default(), async_site, deferred_site))?;
    let totals = take_totals(bytes)?;
    let outline = Outline::checked(Wire::take(bytes)?, totals, streams)?;
    let tasks = outline.totals().tasks.len();
    let live = outline.checkpoints().iter().flat_map(|checkpoint| &checkpoint.live);
    let known = levels.initcalls.iter().all(|initcall| initcall.task.index() < tasks && initcall.calls < MOST)
        && levels.phases.iter().all(|sums| [sums.events, sums.words, sums.calls].into_iter().max() < Some(MOST))
        && [levels.dropped, levels.unmatched_ends, levels.bad_marks].into_iter().max() < Some(MOST)
        && live.flat_map(|(_, task)| counts(task)).max() < Some(MOST);
    (bytes.is_empty() && known).then_some((outline, levels))
}

macro_rules! number {
    ($($kind:ty),*) => {$(
        impl Wire for $kind {
            fn put(&self, out: &mut Vec<u8>) {
                put_number(out, *self as u64);
            }

            fn take(bytes: &mut &[u8]) -> Option<Self> {
                take_number(bytes)?.try_into().ok()
            }
        }
    )*};
}

macro_rules! fields {
    ($kind:ident { $($field:ident),* $(,)? }) => {
        impl Wire for $kind {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn take(bytes: &mut &[u8]) -> Option<Self> {
                Some($kind { $($field: Wire::take(bytes)?),* })
            }
        }
    };
}

macro_rules! newtype {
    ($($kind:ident),*) => {$(
        impl Wire for $kind {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }

            fn take(bytes: &mut &[u8]) -> Option<Self> {
                Some($kind(Wire::take(bytes)?))
            }
        }
    )*};
}

number!(u8, u16, u32, u64);
newtype!(Function, TaskId, ModuleId);
fields!(Frame { function, start, away, children, longest_child });
fields!(Task {
    pid,
    idle,
    booting,
    boot,
    name,
    frames,
    away,
    out_since,
    in_since,
    running,
    cpu,
    ended,
    suspect,
    on_cpu,
    first,
    switches,
    calls,
    orphans,
    cut,
});
fields!(Span { from, to, since });
fields!(Position { taken, loaded, run, at, opened, seq, lossy, current, fresh, now, next, end });
fields!(Checkpoint { turns, positions, queue, current, tasks, live, functions, forgotten, modules, switched, span });
fields!(Section { index, address, size });
fields!(Module { name, build_id, sections, loaded });
fields!(Known { site, module, first, told });
fields!(PhaseSums { events, words, calls, busy });
fields!(Initcall { kind, address, module, task, start, end, on_cpu, calls, outcome });
fields!(OptionProblem { number, at, len });

impl Wire for usize {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, *self as u64);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        take_number(bytes)?.try_into().ok()
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        u8::from(*self).put(out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        match u8::take(bytes)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        if bool::take(bytes)? { T::take(bytes).map(Some) } else { Some(None) }
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::take(bytes)?, B::take(bytes)?))
    }
}

impl<A: Wire, B: Wire, C: Wire> Wire for (A, B, C) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
        self.2.put(out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::take(bytes)?, B::take(bytes)?, C::take(bytes)?))
    }
}

/// Most bytes of memory for one list: small items in a file may be large ones here.
const MOST_BYTES: usize = 64 << 20;

fn put_list<T: Wire>(list: &[T], out: &mut Vec<u8>) {
    list.len().put(out);
    list.iter().for_each(|item| item.put(out));
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_list(self, out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let count = usize::take(bytes)?;
        if count > bytes.len() || count.saturating_mul(size_of::<T>()) > MOST_BYTES {
            return None;
        }
        // Each item takes a byte at least: a length that cannot be must not take memory.
        let mut list = Vec::with_capacity(count.min(bytes.len()).min(1 << 10));
        for _ in 0..count {
            list.push(T::take(bytes)?);
        }
        Some(list)
    }
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (text, rest) = bytes.split_at_checked(usize::take(bytes)?)?;
        *bytes = rest;
        // It may be shown on a terminal.
        let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        std::str::from_utf8(text).ok().map(|text| text.chars().map(clean).collect())
    }
}

impl Wire for Box<str> {
    fn put(&self, out: &mut Vec<u8>) {
        self.to_string().put(out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        String::take(bytes).map(String::into_boxed_str)
    }
}

impl Wire for [u8; 16] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (name, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(*name)
    }
}

impl Wire for Next {
    fn put(&self, out: &mut Vec<u8>) {
        let (kind, pid) = match *self {
            Next::Resume => (0u8, 0),
            Next::Switch(pid) => (1, pid),
            Next::Open { pid, lossy: false } => (2, pid),
            Next::Open { pid, lossy: true } => (3, pid),
            Next::Ended(pid) => (4, pid),
        };
        (kind, pid).put(out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Some(match <(u8, u32)>::take(bytes)? {
            (0, 0) => Next::Resume,
            (1, pid) => Next::Switch(pid),
            (kind @ 2..=3, pid) => Next::Open { pid, lossy: kind == 3 },
            (4, pid) => Next::Ended(pid),
            _ => return None,
        })
    }
}

impl Wire for EndReason {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u16).put(out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let all = [EndReason::PowerOff, EndReason::Stopped, EndReason::Died];
        let number = u16::take(bytes)?;
        all.into_iter().find(|reason| *reason as u16 == number)
    }
}

impl Wire for Kind {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u8).put(out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let all = [Kind::BuiltIn, Kind::Module, Kind::Async, Kind::Deferred];
        all.get(usize::take(bytes)?).copied()
    }
}

impl Wire for Outcome {
    fn put(&self, out: &mut Vec<u8>) {
        let (kind, value) = match *self {
            Outcome::Returned(value) => (0u8, value as u32),
            Outcome::Cut => (1, 0),
            Outcome::Open => (2, 0),
        };
        (kind, value).put(out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Some(match <(u8, u32)>::take(bytes)? {
            (0, value) => Outcome::Returned(value as i32),
            (1, 0) => Outcome::Cut,
            (2, 0) => Outcome::Open,
            _ => return None,
        })
    }
}

fn put_totals(totals: &Totals, out: &mut Vec<u8>) {
    for number in numbers(totals) {
        number.put(out);
    }
    (totals.first, totals.last).put(out);
    (totals.gap_count, totals.gaps.clone()).put(out);
    totals.ends.put(out);
    put_list(totals.sites.known(), out);
    totals.sites.forgotten().put(out);
    totals.modules.all.put(out);
    totals.modules.dropped.put(out);
    totals.tasks.put(out);
    totals.open.put(out);
}

/// Counts from here on would be those of an impossible number of events; sums of lower ones overflow nowhere.
const MOST: u64 = 1 << 48;

/// The counts of a task.
pub(super) fn counts(task: &Task) -> [u64; 4] {
    [task.switches, task.calls, task.orphans, task.cut]
}

/// The counts.
fn numbers(totals: &Totals) -> [u64; 11] {
    let Totals { events, words, lost, losses, unwritten, other, orphans, cut, suspect, mismatches, switches, .. } =
        *totals;
    [events, words, lost, losses, unwritten, other, orphans, cut, suspect, mismatches, switches]
}

fn take_totals(bytes: &mut &[u8]) -> Option<Totals> {
    let mut number = || u64::take(bytes);
    let mut totals = Totals {
        events: number()?,
        words: number()?,
        lost: number()?,
        losses: number()?,
        unwritten: number()?,
        other: number()?,
        orphans: number()?,
        cut: number()?,
        suspect: number()?,
        mismatches: number()?,
        switches: number()?,
        ..Totals::default()
    };
    (totals.first, totals.last) = Wire::take(bytes)?;
    (totals.gap_count, totals.gaps) = Wire::take(bytes)?;
    totals.ends = Wire::take(bytes)?;
    let known: Vec<Known> = Wire::take(bytes)?;
    totals.sites = Sites::restore(&known, &Vec::take(bytes)?)?;
    let modules: Vec<Module> = Wire::take(bytes)?;
    totals.modules = Modules::restore(&modules, u64::take(bytes)?)?;
    totals.tasks = Wire::take(bytes)?;
    totals.open = Wire::take(bytes)?;
    let (functions, tasks) = (known.len(), totals.tasks.len());
    let fits = |frame: &Frame| frame.function.index() < functions;
    let module = |id: Option<ModuleId>| id.is_none_or(|id| id.index() < modules.len());
    let counts = numbers(&totals).into_iter().chain([totals.gap_count]).chain(totals.tasks.iter().flat_map(counts));
    let possible = counts.max() < Some(MOST)
        && totals.open.iter().all(|(id, frames)| id.index() < tasks && frames.iter().all(fits))
        && totals.tasks.iter().all(|task| task.frames.iter().all(fits))
        && known.iter().all(|known| module(known.module) && module(known.told));
    possible.then_some(totals)
}

fn put_levels(levels: &Levels, out: &mut Vec<u8>) {
    let starts = levels.timeline.starts().iter();
    starts.map(|&(phase, time)| (phase as u8, time)).collect::<Vec<_>>().put(out);
    put_list(&levels.phases, out);
    levels.initcalls.put(out);
    (levels.dropped, levels.unmatched_ends, levels.bad_marks).put(out);
    levels.options.put(out);
    levels.problems.put(out);
}

fn take_levels(bytes: &mut &[u8], mut levels: Levels) -> Option<Levels> {
    let starts: Vec<(u8, u64)> = Wire::take(bytes)?;
    let starts = starts.into_iter().map(|(phase, time)| Some((Phase::from_u8(phase)?, time)));
    levels.timeline = Timeline::new(starts.collect::<Option<Vec<_>>>()?);
    let phases: Vec<PhaseSums> = Wire::take(bytes)?;
    levels.phases = <[PhaseSums; SLOTS]>::try_from(phases).ok()?;
    levels.initcalls = Wire::take(bytes)?;
    (levels.dropped, levels.unmatched_ends, levels.bad_marks) = Wire::take(bytes)?;
    levels.options = Wire::take(bytes)?;
    levels.problems = Wire::take(bytes)?;
    Some(levels)
}
