// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Which function the guest was in when the host took over. In: calls as recorded, as a [`Sink`], and each vCPU's
//! exits in the guest's time, by the number of the guest's CPU. Out: exits and host time by function and reason
//! ([`Exits`]). Memory hangs on functions and reasons, not on exits. Never here: the host's clock, names.
//!
//! An exit belongs to the innermost function that is open on its CPU at that time: from the tick of its entry, up to
//! the tick before its exit. Each CPU's calls come in order, as do its exits: both are gone through side by side.
//!
//! With a [`Filter`] only exits in calls that pass it count, as those calls count elsewhere; what was in a call is kept with
//! its frame until it ends, since only then it is known how long it was. Exits in no call are in none that passes.

use std::collections::HashMap;

use super::filter::Filter;
use super::sink::{Call, Sink};
use super::sites::{Function, Site};
use super::task::{Frame, Task, TaskId};
use crate::host::placed::{Placed, Reason};

/// Most pairs of functions and reasons; what a damaged file has beyond them counts for no function.
const MOST: usize = 1 << 18;

/// Most reasons of one call; there are fewer than 200.
const MOST_OF_A_CALL: usize = 1 << 10;

/// Most reasons beside those pairs.
const MOST_REASONS: usize = 1 << 12;

/// What exits cost; times in ticks of the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Exits.
    pub exits: u64,
    /// For how long the host worked for them.
    pub host: u64,
    /// For how long the vCPU could have run in them and did not.
    pub stolen: u64,
    /// For how long it had nothing to do.
    pub asleep: u64,
}

impl Sums {
    /// Adds others.
    pub fn add(&mut self, other: &Sums) {
        self.exits = self.exits.saturating_add(other.exits);
        self.host = self.host.saturating_add(other.host);
        self.stolen = self.stolen.saturating_add(other.stolen);
        self.asleep = self.asleep.saturating_add(other.asleep);
    }
}

/// Where the guest was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In this function, and in none that it called.
    In(Function),
    /// In no function that is recorded: user space, code without call sites.
    Nowhere,
    /// Before the first event of that CPU, or after the last one.
    Outside,
}

/// A vCPU's exits in order, in the guest's time.
pub type Lane<'a> = Box<dyn Iterator<Item = Placed> + 'a>;

struct Cpu<'a> {
    lane: std::iter::Peekable<Lane<'a>>,
    now: Place,
    /// Whose innermost frame that is: task, and how many frames are under it.
    frame: (usize, usize),
}

/// What a filter has to know: what was in a call until it ends.
struct Choice<'a> {
    filter: Filter<'a>,
    /// By task and depth.
    waiting: Vec<Vec<Vec<(Reason, Sums)>>>,
    /// Exits that count nowhere.
    left_out: u64,
}

impl Choice<'_> {
    fn wait(&mut self, (task, depth): (usize, usize), reason: Reason, sums: &Sums) {
        if self.waiting.len() <= task {
            self.waiting.resize_with(task + 1, Vec::new);
        }
        let frames = &mut self.waiting[task];
        if frames.len() <= depth {
            frames.resize_with(depth + 1, Vec::new);
        }
        let all = &mut frames[depth];
        match all.iter().position(|(known, _)| *known == reason) {
            Some(at) => all[at].1.add(sums),
            None if all.len() < MOST_OF_A_CALL => all.push((reason, *sums)),
            // Of a damaged file.
            None => self.left_out = self.left_out.saturating_add(1),
        }
    }

    /// What was in the call that ends now.
    fn take(&mut self, task: usize, depth: usize) -> Vec<(Reason, Sums)> {
        let frame = self.waiting.get_mut(task).and_then(|frames| frames.get_mut(depth));
        frame.map(std::mem::take).unwrap_or_default()
    }
}

/// The sums so far.
pub struct Exits<'a> {
    cpus: HashMap<u32, Cpu<'a>>,
    sums: HashMap<(Place, Reason), Sums>,
    choice: Option<Choice<'a>>,
    /// The task that is attached.
    task: usize,
    /// The CPU that is attached, if there are exits of it and its task runs there.
    attached: Option<u32>,
    now: Option<Cpu<'a>>,
}

impl std::fmt::Debug for Exits<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exits").field("sums", &self.sums).finish_non_exhaustive()
    }
}

impl<'a> Exits<'a> {
    /// Of these vCPUs; of calls that pass `filter`, if one is given that does not let all pass.
    pub fn new(lanes: impl IntoIterator<Item = (u32, Lane<'a>)>, filter: Option<Filter<'a>>) -> Exits<'a> {
        let cpu = |lane: Lane<'a>| Cpu { lane: lane.peekable(), now: Place::Outside, frame: (0, 0) };
        let cpus = lanes.into_iter().map(|(vcpu, lane)| (vcpu, cpu(lane)));
        let filter = filter.filter(|filter| !filter.is_everything());
        let choice = filter.map(|filter| Choice { filter, waiting: Vec::new(), left_out: 0 });
        Exits { cpus: cpus.collect(), sums: HashMap::new(), choice, task: 0, attached: None, now: None }
    }

    /// After the run: exits behind the last event are outside. Place, reason and sums, in their order; and exits that
    /// were left out by the filter, if there is one.
    pub fn finish(mut self) -> (Vec<(Place, Reason, Sums)>, Option<u64>) {
        let mut cpus = std::mem::take(&mut self.cpus);
        for cpu in cpus.values_mut() {
            cpu.now = Place::Outside;
            charge(&mut self.sums, &mut self.choice, cpu, None);
        }
        let left_out = self.choice.map(|choice| choice.left_out);
        let mut all: Vec<_> = self.sums.into_iter().map(|((place, reason), sums)| (place, reason, sums)).collect();
        all.sort_unstable_by_key(|row| (row.0, row.1));
        (all, left_out)
    }

    /// It is `time` now on the attached CPU, whose innermost function is another from here on.
    #[inline]
    fn step(&mut self, time: u64, (next, depth): (Place, usize)) {
        let Some(cpu) = &mut self.now else { return };
        if cpu.lane.peek().is_some_and(|placed| placed.begin() < time) {
            charge(&mut self.sums, &mut self.choice, cpu, Some(time));
        }
        (cpu.now, cpu.frame) = (next, (self.task, depth));
    }

    /// A call at this depth has ended: its exits count, or not.
    fn decide(&mut self, function: Function, depth: usize, passes: bool) {
        let Some(choice) = &mut self.choice else { return };
        for (reason, sums) in choice.take(self.task, depth) {
            if passes {
                count(&mut self.sums, Place::In(function), reason, &sums);
            } else {
                choice.left_out = choice.left_out.saturating_add(sums.exits);
            }
        }
    }
}

/// Charges what begins before `until` to where the CPU is.
#[cold]
fn charge(
    all: &mut HashMap<(Place, Reason), Sums>,
    choice: &mut Option<Choice<'_>>,
    cpu: &mut Cpu<'_>,
    until: Option<u64>,
) {
    while let Some(placed) = cpu.lane.next_if(|placed| until.is_none_or(|until| placed.begin() < until)) {
        let Placed::Exit { reason, host, stolen, asleep, .. } = placed else { continue };
        let sums = Sums { exits: 1, host, stolen, asleep };
        match (choice.as_mut(), cpu.now) {
            (None, place) => count(all, place, reason, &sums),
            (Some(choice), Place::In(_)) => choice.wait(cpu.frame, reason, &sums),
            (Some(choice), Place::Nowhere | Place::Outside) => choice.left_out = choice.left_out.saturating_add(1),
        }
    }
}

fn count(all: &mut HashMap<(Place, Reason), Sums>, place: Place, reason: Reason, sums: &Sums) {
    let mut key = (place, reason);
    if all.len() >= MOST && !all.contains_key(&key) {
        key.0 = Place::Nowhere;
    }
    if all.len() >= MOST + MOST_REASONS && !all.contains_key(&key) {
        key.1 = Reason { isa: 0, code: u32::MAX };
    }
    all.entry(key).or_default().add(sums);
}

/// The innermost of these frames, and how many are under it.
fn innermost(frames: &[Frame]) -> (Place, usize) {
    frames.last().map_or((Place::Nowhere, 0), |frame| (Place::In(frame.function), frames.len() - 1))
}

impl Sink for Exits<'_> {
    fn begin(&mut self, time: u64) {
        if let Some(choice) = &mut self.choice {
            choice.filter.begin(time);
        }
    }

    fn function(&mut self, _function: Function, site: Site<'_>) {
        if let Some(choice) = &mut self.choice {
            choice.filter.function(site);
        }
    }

    fn attach(&mut self, id: TaskId, task: &Task, cpu: u32, time: u64) {
        self.task = id.index();
        if let Some(choice) = &mut self.choice {
            choice.filter.attach(id, task, cpu);
        }
        // A task that ends while it is away does nothing on that CPU.
        if task.running == Some(cpu)
            && let Some(known) = self.cpus.remove(&cpu)
        {
            (self.attached, self.now) = (Some(cpu), Some(known));
            self.step(time, innermost(&task.frames));
        }
    }

    fn detach(&mut self, _task: &Task) {
        if let (Some(number), Some(cpu)) = (self.attached.take(), self.now.take()) {
            self.cpus.insert(number, cpu);
        }
    }

    #[inline]
    fn enter(&mut self, frames: &[Frame]) {
        let Some(frame) = frames.last() else { return };
        if let Some(choice) = &mut self.choice {
            choice.filter.enter(frame);
        }
        self.step(frame.start, innermost(frames));
    }

    #[inline]
    fn leaf(&mut self, frames: &[Frame], function: Function, start: u64, ticks: u64) {
        self.step(start, (Place::In(function), frames.len()));
        self.step(start.saturating_add(ticks), innermost(frames));
        if let Some(choice) = &self.choice {
            let passes = choice.filter.passes(function, frames.len(), start, ticks, false);
            self.decide(function, frames.len(), passes);
        }
    }

    #[inline]
    fn leave(&mut self, frames: &[Frame], call: &Call) {
        self.step(call.end, innermost(frames));
        if let Some(choice) = &mut self.choice {
            let passes = choice.filter.passes(call.function, frames.len(), call.start, call.total, true);
            choice.filter.leave(call.function);
            self.decide(call.function, frames.len(), passes);
        }
    }

    fn ran(&mut self, task: &Task, _from: u64, to: u64) {
        // Up to here the exits are the task's that leaves; the next one is attached before anything else is charged.
        if let Some(cpu) = self.cpus.get_mut(&task.cpu) {
            charge(&mut self.sums, &mut self.choice, cpu, Some(to));
            cpu.now = Place::Nowhere;
        }
    }
}
