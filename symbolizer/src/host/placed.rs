// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A vCPU's host events in the guest's time. In: [`HostEvent`]s of one vCPU in order, and the [`Axis`]. Out:
//! [`Placed`], one at a time, in order; what an exit's length is made of. Memory: one exit. Never here: functions of
//! the guest.
//!
//! Exits of the tracer's own hypercalls are told apart: the function in which they happen has not asked for them. A
//! hypercall with one of our numbers from the kernel's half of the address space is taken for one; user space can forge
//! the number, not the half.

use std::collections::VecDeque;

use early_ftrace_format::stream::Call;

use super::clock::Axis;
use super::event::{Exit, HostEvent};
use super::reasons;

/// Most times off the CPU that are remembered of one exit; further ones count as the host's work in it.
const MOST_AWAY: usize = 1 << 10;

/// An event in ticks of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// The guest was left and entered again.
    Exit {
        /// When it was left.
        time: u64,
        /// What for.
        reason: Reason,
        /// For how long the host worked for it.
        host: u64,
        /// For how long the vCPU could have run and did not.
        stolen: u64,
        /// For how long it had nothing to do.
        asleep: u64,
    },
    /// The vCPU could have run and did not.
    Stolen {
        /// Since when.
        time: u64,
        /// How long.
        length: u64,
    },
}

impl Placed {
    /// When it begins.
    pub fn begin(&self) -> u64 {
        match *self {
            Placed::Exit { time, .. } | Placed::Stolen { time, .. } => time,
        }
    }
}

/// Why the guest was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason {
    /// 1: VMX, 2: SVM, [`reasons::OURS`]: either, by our own hypercall.
    pub isa: u32,
    /// exit_reason.
    pub code: u32,
}

impl Reason {
    /// Of an exit.
    fn of(exit: &Exit) -> Reason {
        let number = exit.hypercall.filter(|_| exit.rip >> 63 == 1).map(|call| call.number);
        let isa = if number.and_then(Call::read).is_some() { reasons::OURS } else { exit.isa };
        Reason { isa, code: exit.reason }
    }

    /// Whether it is our own hypercall.
    pub fn is_ours(self) -> bool {
        self.isa == reasons::OURS
    }
}

/// Puts a vCPU's events on the guest's axis. Those that cannot be put there are left out; [`super::axes::Axes`] counts them.
#[derive(Debug)]
pub struct Places<'a, I> {
    events: I,
    axis: &'a Axis,
    /// Off the CPU since the last exit began: host times, preempted.
    away: Vec<(u64, u64, bool)>,
    /// What was stolen since, until the exit is there; and then both, by their times.
    ready: VecDeque<Placed>,
    /// Whether they are.
    sorted: bool,
}

impl<'a, I: Iterator<Item = HostEvent>> Places<'a, I> {
    /// Events in the order of [`super::file::HostFile::events`]: what happens inside an exit comes before it.
    pub fn new(events: I, axis: &'a Axis) -> Places<'a, I> {
        Places { events, axis, away: Vec::new(), ready: VecDeque::new(), sorted: false }
    }

    fn span(&self, time: u64, length: u64) -> Option<(u64, u64)> {
        let begin = self.axis.guest(time)?;
        let end = self.axis.guest(time.saturating_add(length))?;
        // An offset that changes amid an exit makes its length unknown, not its place.
        let length = end.wrapping_sub(begin).cast_signed().max(0).cast_unsigned();
        Some((begin, if length > u64::MAX >> 8 { 0 } else { length }))
    }

    fn exit(&mut self, exit: &Exit) -> Option<Placed> {
        let away = std::mem::take(&mut self.away);
        let (time, length) = self.span(exit.time, exit.length)?;
        let (mut stolen, mut asleep) = (0u64, 0u64);
        let end = exit.time.saturating_add(exit.length);
        for (from, to, preempted) in away {
            let (from, to) = (from.max(exit.time), to.min(end));
            if to > from
                && let Some((_, ticks)) = self.span(from, to - from)
            {
                let sum = if preempted { &mut stolen } else { &mut asleep };
                *sum = sum.saturating_add(ticks);
            }
        }
        let host = length.saturating_sub(stolen).saturating_sub(asleep);
        Some(Placed::Exit { time, reason: Reason::of(exit), host, stolen, asleep })
    }
}

impl<I: Iterator<Item = HostEvent>> Iterator for Places<'_, I> {
    type Item = Placed;

    fn next(&mut self) -> Option<Placed> {
        loop {
            if self.sorted
                && let Some(placed) = self.ready.pop_front()
            {
                return Some(placed);
            }
            self.sorted = false;
            let Some(event) = self.events.next() else { return self.ready.pop_front() };
            match event {
                HostEvent::Exit(exit) => {
                    if let Some(placed) = self.exit(&exit) {
                        self.ready.push_front(placed);
                    }
                    self.ready.make_contiguous().sort_by_key(Placed::begin);
                    self.sorted = true;
                }
                HostEvent::Away { time, length, preempted, .. } => {
                    if self.away.len() < MOST_AWAY {
                        self.away.push((time, time.saturating_add(length), preempted));
                    }
                    if preempted && let Some((time, length)) = self.span(time, length) {
                        self.ready.push_back(Placed::Stolen { time, length });
                        if self.ready.len() > MOST_AWAY {
                            return self.ready.pop_front();
                        }
                    }
                }
                HostEvent::Offset { .. } => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::{Clock, Offsets};
    use super::super::event::Hypercall;
    use super::*;

    fn exit(time: u64, length: u64) -> HostEvent {
        let (cpus, info) = ((0, 0), [0; 2]);
        HostEvent::Exit(Exit {
            vcpu: 0,
            thread: 1,
            cpus,
            time,
            length,
            isa: 2,
            reason: 0x78,
            rip: 0,
            info,
            hypercall: None,
        })
    }

    #[test]
    fn an_exit_is_split_into_work_sleep_and_steal() {
        let mut offsets = Offsets::default();
        offsets.push(50, 1000);
        let axis = Axis::of_offsets(Clock::Tsc, offsets).unwrap();
        let away = |time, length, preempted| HostEvent::Away { vcpu: 0, time, length, preempted };
        let events = [exit(10, 5), away(110, 30, false), away(150, 5, true), exit(100, 100), exit(300, 7)];
        let places = Places::new(events.into_iter(), &axis);
        let reason = Reason { isa: 2, code: 0x78 };
        let all: Vec<Placed> = places.collect();
        assert_eq!(
            all,
            [
                Placed::Exit { time: 1100, reason, host: 65, stolen: 5, asleep: 30 },
                Placed::Stolen { time: 1150, length: 5 },
                Placed::Exit { time: 1300, reason, host: 7, stolen: 0, asleep: 0 },
            ]
        );
    }

    #[test]
    fn our_own_hypercalls_are_told_from_others_and_from_forged_ones() {
        let call = |time, rip, number| {
            let HostEvent::Exit(exit) = exit(time, 5) else { unreachable!("it is one") };
            HostEvent::Exit(Exit { reason: 0x81, rip, hypercall: Some(Hypercall { number, args: [0; 4] }), ..exit })
        };
        let (kernel, user) = (0xffff_ffff_c000_1000, 0x40_1000);
        let mut offsets = Offsets::default();
        offsets.push(0, 0);
        let axis = Axis::of_offsets(Clock::Tsc, offsets).unwrap();
        // The last one is KVM_HC_KICK_CPU, which the kernel's own code makes.
        let events = [call(10, kernel, 1003), call(20, user, 1003), call(30, kernel, 1008), call(40, kernel, 5)];
        let ours: Vec<bool> = Places::new(events.into_iter(), &axis)
            .map(|placed| matches!(placed, Placed::Exit { reason, .. } if reason.is_ours()))
            .collect();
        assert_eq!(ours, [true, false, true, false]);
    }
}
