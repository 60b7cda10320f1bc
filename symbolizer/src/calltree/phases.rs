// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Which phase of the boot it is at a time. In: the phases that `meta.json` knows, or phase marks as they
//! come. Out: for each time a slot, and until when it holds. Never here: what happened in a phase.

use bootlevel::Phase;

/// Slots: one for each phase, by its number. Slot 0 ([`Phase::Firmware`]) is also that of what comes before
/// the first known phase, and of all in a trace that knows none.
pub const SLOTS: usize = Phase::ALL.len();

/// When each phase began.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// In boot order; times never step back.
    starts: Vec<(Phase, u64)>,
    /// Known in advance: marks tell nothing new.
    fixed: bool,
}

impl Timeline {
    /// The phases that are known in advance, in boot order; if there are none, marks will tell.
    pub fn new(known: Vec<(Phase, u64)>) -> Timeline {
        let mut timeline = Timeline::default();
        for (phase, time) in known {
            timeline.push(phase, time);
        }
        timeline.fixed = !timeline.starts.is_empty();
        timeline
    }

    /// Appends a phase; false if it cannot come after those before.
    fn push(&mut self, phase: Phase, time: u64) -> bool {
        let fits = self.starts.last().is_none_or(|&(last, since)| last < phase && since <= time);
        if fits {
            self.starts.push((phase, time));
        }
        fits
    }

    /// A phase mark in the trace. False if it contradicts the order of the boot; it is not taken then.
    pub fn learn(&mut self, phase: Phase, time: u64) -> bool {
        let known = |&(known, _): &(Phase, u64)| known == phase;
        if self.fixed { self.starts.iter().any(known) } else { self.push(phase, time) }
    }

    /// The trace begins: what comes before the mark of the first phase of the kernel belongs to it.
    pub fn begin(&mut self, first: u64) {
        if let Some((Phase::Start, time)) = self.starts.first_mut() {
            *time = first.min(*time);
        }
    }

    /// Slot of a time, and the time at which the next one begins (`u64::MAX`: never, as far as is known).
    pub fn at(&self, time: u64) -> (usize, u64) {
        let after = self.starts.partition_point(|start| start.1 <= time);
        let slot = after.checked_sub(1).map_or(0, |at| self.starts[at].0 as usize);
        (slot, self.starts.get(after).map_or(u64::MAX, |start| start.1))
    }

    /// The phases known, with their begins.
    pub fn starts(&self) -> &[(Phase, u64)] {
        &self.starts
    }

    /// The pieces of a stretch of time by slot: `(slot, ticks)`; times that step back are no stretch.
    pub fn pieces(&self, from: u64, to: u64) -> impl Iterator<Item = (usize, u64)> + '_ {
        let mut now = from;
        std::iter::from_fn(move || {
            if now >= to {
                return None;
            }
            let (slot, until) = self.at(now);
            let end = until.min(to);
            let piece = (slot, end - now);
            now = end;
            Some(piece)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_has_its_phase() {
        let mut timeline = Timeline::new(vec![(Phase::Start, 105), (Phase::Early, 200), (Phase::Fs, 300)]);
        timeline.begin(100);
        let slot = |phase: Phase| phase as usize;
        assert_eq!(timeline.at(99), (0, 100));
        assert_eq!(timeline.at(100), (slot(Phase::Start), 200));
        assert_eq!(timeline.at(299), (slot(Phase::Early), 300));
        assert_eq!(timeline.at(u64::MAX), (slot(Phase::Fs), u64::MAX));
        let pieces: Vec<_> = timeline.pieces(150, 350).collect();
        assert_eq!(pieces, [(slot(Phase::Start), 50), (slot(Phase::Early), 100), (slot(Phase::Fs), 50)]);
        assert_eq!(timeline.pieces(10, 10).count() + timeline.pieces(10, 5).count(), 0);
        // All is known: a mark adds nothing.
        assert!(timeline.learn(Phase::Fs, 400) && !timeline.learn(Phase::Late, 500));
        assert_eq!(timeline.starts().len(), 3);
    }

    #[test]
    fn marks_out_of_order_are_refused() {
        let mut timeline = Timeline::new(Vec::new());
        assert_eq!(timeline.at(5), (0, u64::MAX));
        assert!(timeline.learn(Phase::Fs, 100));
        assert!(!timeline.learn(Phase::Fs, 110), "twice");
        assert!(!timeline.learn(Phase::Early, 110), "backwards");
        assert!(!timeline.learn(Phase::Late, 90), "before the last one");
        assert!(timeline.learn(Phase::Late, 100), "a phase may be empty");
        assert_eq!(timeline.at(100), (Phase::Late as usize, u64::MAX));
    }
}
