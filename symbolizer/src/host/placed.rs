// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A vCPU's host events in the guest's time. In: [`HostEvent`]s of one vCPU in order, and the [`Axis`]. Out:
//! [`Placed`], one at a time, in order; what an exit's length is made of. Memory: one exit. Never here: functions of
//! the guest.

use super::clock::Axis;
use super::event::{Exit, HostEvent};

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

/// Why the guest was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason {
    /// 1: VMX, 2: SVM.
    pub isa: u32,
    /// exit_reason.
    pub code: u32,
}

/// Puts a vCPU's events on the guest's axis. Those that cannot be put there are left out; [`super::axes::Axes`] counts them.
#[derive(Debug)]
pub struct Places<'a, I> {
    events: I,
    axis: &'a Axis,
    /// Off the CPU since the last exit began: host times, preempted.
    away: Vec<(u64, u64, bool)>,
}

impl<'a, I: Iterator<Item = HostEvent>> Places<'a, I> {
    /// Events in the order of [`super::file::HostFile::events`]: what happens inside an exit comes before it.
    pub fn new(events: I, axis: &'a Axis) -> Places<'a, I> {
        Places { events, axis, away: Vec::new() }
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
        Some(Placed::Exit { time, reason: Reason { isa: exit.isa, code: exit.reason }, host, stolen, asleep })
    }
}

impl<I: Iterator<Item = HostEvent>> Iterator for Places<'_, I> {
    type Item = Placed;

    fn next(&mut self) -> Option<Placed> {
        loop {
            match self.events.next()? {
                HostEvent::Exit(exit) => {
                    if let Some(placed) = self.exit(&exit) {
                        return Some(placed);
                    }
                }
                HostEvent::Away { time, length, preempted, .. } => {
                    if self.away.len() < MOST_AWAY {
                        self.away.push((time, time.saturating_add(length), preempted));
                    }
                    if preempted && let Some((time, length)) = self.span(time, length) {
                        return Some(Placed::Stolen { time, length });
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
                Placed::Stolen { time: 1150, length: 5 },
                Placed::Exit { time: 1100, reason, host: 65, stolen: 5, asleep: 30 },
                Placed::Exit { time: 1300, reason, host: 7, stolen: 0, asleep: 0 },
            ]
        );
    }
}
