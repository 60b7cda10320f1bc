// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A CPU's clock without the recorder. In: times as recorded, and what the recorder takes between them. Out:
//! the times at which the same would have happened without it. Never here: calls.

use super::costs::PARTS;

/// What was taken off clocks, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Ticks taken off, idling or not.
    pub ticks: u64,
    /// Of these, off tasks that were not idling.
    pub busy: u64,
    /// What should have been taken off, and was not since so much time did not pass: parts of a tick.
    pub clamped: u64,
}

/// See the module. Times never step back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Latest time as recorded.
    raw: u64,
    /// That time without the recorder.
    now: u64,
    /// What is still to be taken off the time that comes next, in parts of a tick; negative: too much was.
    due: i64,
}

impl Clock {
    /// A clock that is `lag` ticks behind at a time.
    pub fn behind(raw: u64, lag: u64) -> Clock {
        Clock { raw, now: raw.saturating_sub(lag), due: 0 }
    }

    /// The latest time.
    #[inline]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The latest time as recorded.
    pub fn raw(&self) -> u64 {
        self.raw
    }

    /// How far it is behind what was recorded.
    pub fn lag(&self) -> u64 {
        self.raw.saturating_sub(self.now)
    }

    /// The recorder takes so many parts of a tick before the next event, or after the last one.
    #[inline]
    pub fn owe(&mut self, parts: i64) {
        self.due = self.due.saturating_add(parts);
    }

    /// It is `raw` now; what is owed is taken off the time that has passed, and no more. `most`: the largest
    /// debt, in parts, that may be left for later: a coarse clock shows no time for one event, and too
    /// much for the next.
    #[inline]
    pub fn step(&mut self, raw: u64, most: i64, busy: bool, sums: &mut Sums) -> u64 {
        let gap = raw.saturating_sub(self.raw);
        let taken = ((self.due / PARTS).max(0) as u64).min(gap);
        self.due -= (taken as i64).saturating_mul(PARTS);
        if self.due > most {
            sums.clamped = sums.clamped.saturating_add((self.due - most) as u64);
            self.due = most;
        }
        sums.ticks = sums.ticks.saturating_add(taken);
        sums.busy = sums.busy.saturating_add(if busy { taken } else { 0 });
        self.raw = self.raw.max(raw);
        self.now = self.now.saturating_add(gap - taken);
        self.now
    }

    /// An idle CPU waits for others, which would have been earlier without the recorder: up to `lag` may it
    /// be behind at `raw`, if so much time has passed.
    pub fn step_idle(&mut self, raw: u64, lag: u64) {
        let gap = raw.saturating_sub(self.raw);
        let taken = lag.saturating_sub(self.lag()).min(gap);
        self.raw += taken;
    }

    /// It is not before `time`, of another CPU's clock, now: what happens next has waited for it.
    pub fn wait_for(&mut self, time: u64) {
        self.now = self.now.max(time);
    }

    /// Another task comes: no debt is passed on.
    pub fn settle(&mut self, sums: &mut Sums) {
        sums.clamped = sums.clamped.saturating_add(self.due.max(0) as u64);
        self.due = 0;
    }
}

/// Most points that are remembered.
const MOST_POINTS: usize = 1 << 12;

/// From one point to the next, in ticks at least.
const SPACING: u64 = 1 << 16;

/// How far the clocks were behind, at most, and when: what an idle CPU catches up with.
#[derive(Debug, Default)]
pub struct Lags {
    /// Time as recorded, and lag; both ascend.
    points: std::collections::VecDeque<(u64, u64)>,
}

impl Lags {
    /// A clock was so far behind.
    pub fn note(&mut self, raw: u64, lag: u64) {
        let fits = self.points.back().is_none_or(|&(last, most)| raw >= last.saturating_add(SPACING) && lag > most);
        if fits {
            if self.points.len() == MOST_POINTS {
                self.points.pop_front();
            }
            self.points.push_back((raw, lag));
        }
    }

    /// The latest that is known of a time.
    pub fn at(&self, raw: u64) -> u64 {
        let after = self.points.partition_point(|point| point.0 <= raw);
        after.checked_sub(1).and_then(|at| self.points.get(at)).map_or(0, |point| point.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_off_than_has_passed() {
        let mut sums = Sums::default();
        let mut clock = Clock::behind(100, 0);
        clock.owe(10 * PARTS);
        assert_eq!(clock.step(150, 0, true, &mut sums), 140);
        clock.owe(10 * PARTS);
        assert_eq!(clock.step(154, 0, true, &mut sums), 140);
        assert_eq!(sums, Sums { ticks: 14, busy: 14, clamped: 6 * PARTS as u64 });
        // A time that steps back is no time.
        assert_eq!(clock.step(120, 0, true, &mut sums), 140);
        assert_eq!(clock.lag(), 14);
    }

    #[test]
    fn a_debt_is_paid_later_and_parts_add_up() {
        let mut sums = Sums::default();
        let mut clock = Clock::behind(0, 0);
        clock.owe(10 * PARTS + PARTS / 2);
        assert_eq!(clock.step(4, 20 * PARTS, false, &mut sums), 0);
        clock.owe(PARTS / 2);
        assert_eq!(clock.step(30, 20 * PARTS, false, &mut sums), 19);
        assert_eq!(sums, Sums { ticks: 11, busy: 0, clamped: 0 });
    }

    #[test]
    fn an_idle_clock_catches_up_and_a_task_waits() {
        let mut lags = Lags::default();
        lags.note(1_000_000, 500);
        lags.note(1_000_001, 600);
        assert_eq!((lags.at(999_999), lags.at(2_000_000)), (0, 500));
        let mut clock = Clock::behind(1_000_000, 0);
        clock.step_idle(1_000_200, 500);
        assert_eq!((clock.now(), clock.lag()), (1_000_000, 200));
        clock.step_idle(1_001_000, 500);
        assert_eq!(clock.lag(), 500);
        clock.wait_for(1_000_100);
        assert_eq!(clock.lag(), 400);
    }
}
