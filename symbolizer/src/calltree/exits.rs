// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Which function the guest was in when the host took over. In: calls as recorded, as a [`Sink`], and each vCPU's
//! exits in the guest's time. Out: exits and host time by function and reason ([`Exits`]). Guest CPU n is vCPU n.
//! Memory hangs on functions and reasons, not on exits. Never here: the host's clock, names.
//!
//! An exit belongs to the innermost function that is open on its CPU at that time: from the tick of its entry, up to
//! the tick before its exit. Each CPU's calls come in order, as do its exits: both are gone through side by side.

use std::collections::HashMap;

use super::sink::{Call, Sink};
use super::sites::{Function, Site};
use super::task::{Frame, Task, TaskId};
use crate::host::placed::{Placed, Reason};

/// Most pairs of functions and reasons; what a damaged file has beyond them counts for no function.
const MOST: usize = 1 << 18;

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
}

/// The sums so far.
pub struct Exits<'a> {
    cpus: HashMap<u32, Cpu<'a>>,
    sums: HashMap<(Place, Reason), Sums>,
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
    /// Of these vCPUs.
    pub fn new(lanes: impl IntoIterator<Item = (u32, Lane<'a>)>) -> Exits<'a> {
        let cpus = lanes.into_iter().map(|(vcpu, lane)| (vcpu, Cpu { lane: lane.peekable(), now: Place::Outside }));
        Exits { cpus: cpus.collect(), sums: HashMap::new(), attached: None, now: None }
    }

    /// After the run: exits behind the last event are outside. Place, reason and sums, in their order.
    pub fn finish(mut self) -> Vec<(Place, Reason, Sums)> {
        let mut cpus = std::mem::take(&mut self.cpus);
        for cpu in cpus.values_mut() {
            cpu.now = Place::Outside;
            charge(&mut self.sums, cpu, None);
        }
        let mut all: Vec<_> = self.sums.into_iter().map(|((place, reason), sums)| (place, reason, sums)).collect();
        all.sort_unstable_by_key(|row| (row.0, row.1));
        all
    }

    /// It is `time` now on the attached CPU, whose innermost function is another from here on.
    #[inline]
    fn step(&mut self, time: u64, next: Place) {
        let Some(cpu) = &mut self.now else { return };
        if cpu.lane.peek().is_some_and(|placed| placed.begin() < time) {
            charge(&mut self.sums, cpu, Some(time));
        }
        cpu.now = next;
    }
}

/// Charges what begins before `until` to where the CPU is.
#[cold]
fn charge(all: &mut HashMap<(Place, Reason), Sums>, cpu: &mut Cpu<'_>, until: Option<u64>) {
    while let Some(placed) = cpu.lane.next_if(|placed| until.is_none_or(|until| placed.begin() < until)) {
        let Placed::Exit { reason, host, stolen, asleep, .. } = placed else { continue };
        let mut key = (cpu.now, reason);
        if all.len() >= MOST && !all.contains_key(&key) {
            key.0 = Place::Nowhere;
        }
        if all.len() >= MOST + MOST_REASONS && !all.contains_key(&key) {
            key.1 = Reason { isa: 0, code: u32::MAX };
        }
        all.entry(key).or_default().add(&Sums { exits: 1, host, stolen, asleep });
    }
}

fn innermost(frames: &[Frame]) -> Place {
    frames.last().map_or(Place::Nowhere, |frame| Place::In(frame.function))
}

impl Sink for Exits<'_> {
    fn function(&mut self, _function: Function, _site: Site<'_>) {}

    fn attach(&mut self, _id: TaskId, task: &Task, cpu: u32, time: u64) {
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
        self.step(frame.start, Place::In(frame.function));
    }

    #[inline]
    fn leaf(&mut self, frames: &[Frame], function: Function, start: u64, ticks: u64) {
        self.step(start, Place::In(function));
        self.step(start.saturating_add(ticks), innermost(frames));
    }

    #[inline]
    fn leave(&mut self, frames: &[Frame], call: &Call) {
        self.step(call.end, innermost(frames));
    }

    fn ran(&mut self, task: &Task, _from: u64, to: u64) {
        // Up to here the exits are the task's that leaves; the next one is attached before anything else is charged.
        if let Some(cpu) = self.cpus.get_mut(&task.cpu) {
            charge(&mut self.sums, cpu, Some(to));
            cpu.now = Place::Nowhere;
        }
    }
}
