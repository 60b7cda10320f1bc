// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Times of perf's records as ticks of the host's time stamp counter, which the guest's differs from by an offset. In:
//! what the kernel says of its clock; where it does not, pairs of both clocks read together. Out: ticks. Never here: the
//! guest's counter.

use super::ring::UserTime;
use rustix::time::ClockId;
use std::collections::VecDeque;

/// Tries for a pair.
const TRIES: u32 = 5;

/// Both clocks at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The clock that was asked for, in nanoseconds.
    pub ns: u64,
    /// The time stamp counter.
    pub tsc: u64,
    /// By how many ticks it may have been another when the first was read.
    pub error: u64,
}

impl Pair {
    /// Now: the best of some tries, since we may be interrupted between the clocks.
    pub fn of(clock: ClockId) -> Pair {
        let tries = (0..TRIES).map(|_| Pair::once(clock));
        tries.min_by_key(|pair| pair.error).unwrap_or(Pair { ns: 0, tsc: 0, error: u64::MAX })
    }

    /// The counter is read before and after; the middle counts.
    fn once(clock: ClockId) -> Pair {
        let before = tsc();
        let now = rustix::time::clock_gettime(clock);
        let after = tsc();
        let ns = u64::try_from(now.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000);
        let ns = ns.saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0));
        let length = after.saturating_sub(before);
        Pair { ns, tsc: before + length / 2, error: length.div_ceil(2) }
    }
}

fn tsc() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction, and Linux lets every program use it.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// How times become ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticks {
    /// Perf's clock, as the kernel describes it.
    Described(UserTime),
    /// A clock of the kernel's, by two pairs: straight through both.
    Paired(Pair, Pair),
}

impl Ticks {
    /// The ticks at `time`.
    pub fn of(&self, time: u64) -> u64 {
        match *self {
            // The inverse of time = zero + (ticks * mult >> shift), as <linux/perf_event.h> says.
            Ticks::Described(user) => {
                let since = u128::from(time.wrapping_sub(user.zero));
                ((since << user.shift) / u128::from(user.mult.max(1))) as u64
            }
            Ticks::Paired(first, last) => {
                let (ns, tsc) = (last.ns.saturating_sub(first.ns), last.tsc.saturating_sub(first.tsc));
                let since = i128::from(time) - i128::from(first.ns);
                (i128::from(first.tsc) + since * i128::from(tsc) / i128::from(ns.max(1))) as u64
            }
        }
    }

    /// By how many ticks that may be wrong at most: what is lost in rounding to nanoseconds, or, straight through two
    /// pairs, what either may be wrong by, and more beyond them.
    pub fn error(&self, time: u64) -> u64 {
        match *self {
            Ticks::Described(user) => {
                let grain = (1u128 << user.shift.min(63)).div_ceil(u128::from(user.mult.max(1)));
                u64::try_from(grain).unwrap_or(u64::MAX).saturating_add(1)
            }
            Ticks::Paired(first, last) => {
                let between = u128::from(last.ns.saturating_sub(first.ns).max(1));
                let outside = u128::from(first.ns.saturating_sub(time).max(time.saturating_sub(last.ns)));
                let both = u128::from(first.error) + u128::from(last.error);
                let error = u128::from(first.error.max(last.error)) + both * outside / between;
                let grain = u128::from(last.tsc.saturating_sub(first.tsc)).div_ceil(between);
                u64::try_from(error + grain).unwrap_or(u64::MAX).saturating_add(1)
            }
        }
    }
}

/// Pairs of a clock of the kernel's all along a recording, for times of long ago, too: a virtual CPU may have slept for
/// seconds.
#[derive(Clone, Debug)]
pub struct Pairs {
    clock: ClockId,
    kept: VecDeque<Pair>,
}

/// Nanoseconds between two that are kept.
const SPACE: u64 = 100_000_000;

/// Most that are kept: seven minutes of them.
const MOST: usize = 4096;

impl Pairs {
    /// Of a clock, with none yet.
    pub fn of(clock: ClockId) -> Pairs {
        Pairs { clock, kept: VecDeque::new() }
    }

    /// Of a clock, with two a little apart.
    pub fn begin(clock: ClockId) -> Pairs {
        let mut pairs = Pairs::of(clock);
        pairs.renew();
        std::thread::sleep(std::time::Duration::from_millis(2));
        pairs.renew();
        pairs
    }

    /// One of now.
    pub fn renew(&mut self) {
        self.push(Pair::of(self.clock));
    }

    /// One more; the last one stays only if it is far enough from that before.
    pub fn push(&mut self, now: Pair) {
        let mut last = self.kept.iter().rev().map(|pair| pair.ns);
        if let (Some(last), Some(before), Some(_)) = (last.next(), last.next(), last.next())
            && last.saturating_sub(before) < SPACE
        {
            self.kept.pop_back();
        }
        if self.kept.len() >= MOST {
            self.kept.pop_front();
        }
        self.kept.push_back(now);
    }

    /// By the two on either side of `time`; else by the two that are nearest.
    pub fn around(&self, time: u64) -> Ticks {
        let behind = self.kept.partition_point(|pair| pair.ns <= time).min(self.kept.len().saturating_sub(1)).max(1);
        let pair = |at: usize| self.kept.get(at).copied().unwrap_or(Pair { ns: 0, tsc: 0, error: u64::MAX });
        Ticks::Paired(pair(behind - 1), pair(behind))
    }
}

/// Where the ticks of perf's times come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The kernel says how its clock hangs on the time stamp counter.
    Described(UserTime),
    /// It does not, and both are read together.
    Paired(Pairs),
}

impl Source {
    /// Brings it up to now.
    pub fn renew(&mut self) {
        if let Source::Paired(pairs) = self {
            pairs.renew();
        }
    }

    /// How `time` becomes ticks.
    pub fn around(&self, time: u64) -> Ticks {
        match self {
            Source::Described(user) => Ticks::Described(*user),
            Source::Paired(pairs) => pairs.around(time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_long_ago_is_told_by_the_pairs_around_it() {
        let mut pairs = Pairs::of(ClockId::Monotonic);
        // Two ticks a nanosecond in the first second, three behind it; a pair every two milliseconds.
        let tsc = |ns: u64| if ns < 1_000_000_000 { 2 * ns } else { 3 * ns - 1_000_000_000 };
        for ns in (0..2_000_000_000).step_by(2_000_000) {
            pairs.push(Pair { ns, tsc: tsc(ns), error: 35 });
        }
        assert!((20..25).contains(&pairs.kept.len()), "{}", pairs.kept.len());
        for ns in [3_000_000, 500_123_456, 1_700_000_001, 1_997_000_000] {
            let ticks = pairs.around(ns);
            assert!(ticks.of(ns).abs_diff(tsc(ns)) <= ticks.error(ns), "{ns}");
            assert!(ticks.error(ns) < 100, "{ns}");
        }
        assert!(Pairs::of(ClockId::Monotonic).around(5).error(5) > 1 << 40);
    }

    #[test]
    fn described_times_are_the_inverse_of_what_the_kernel_does() {
        let user = UserTime { zero: 123_456_789, mult: 0x3155_1234, shift: 31 };
        for ticks in [0u64, 1, 2_600_000_000, 1 << 45, (1 << 50) + 12345] {
            let (quotient, rest) = (ticks >> user.shift, ticks & ((1 << user.shift) - 1));
            let mult = u64::from(user.mult);
            let time = user.zero.wrapping_add(quotient * mult).wrapping_add((rest * mult) >> user.shift);
            let found = Ticks::Described(user).of(time);
            assert!(found.abs_diff(ticks) <= (1u64 << user.shift) / mult + 1, "{ticks}: {found}");
            assert!(found.abs_diff(ticks) <= Ticks::Described(user).error(time));
        }
    }

    fn pair(ns: u64, tsc: u64) -> Pair {
        Pair { ns, tsc, error: 0 }
    }

    #[test]
    fn pairs_that_are_wrong_as_far_as_they_may_be_are_wrong_by_no_more_than_is_said() {
        // 3 ticks a nanosecond.
        let real = |ns: u64| 3 * ns;
        for (one, two) in [(40i64, -70i64), (-40, 70), (40, 70), (-40, -70)] {
            let at = |ns: u64, wrong: i64| Pair {
                error: wrong.unsigned_abs(),
                ..pair(ns, real(ns).wrapping_add_signed(wrong))
            };
            let ticks = Ticks::Paired(at(10_000, one), at(12_000, two));
            for time in (1_000..40_000).step_by(500) {
                let wrong = ticks.of(time).abs_diff(real(time));
                assert!(wrong <= ticks.error(time), "{time}: {wrong} {}", ticks.error(time));
            }
            assert!(ticks.error(11_000) < 80 && ticks.error(40_000) > 1_000);
        }
    }

    #[test]
    fn between_pairs_times_are_straight() {
        let ticks = Ticks::Paired(pair(1_000, 50_000), pair(2_000, 53_000));
        assert_eq!(
            [1_000, 1_500, 2_000, 3_000, 0].map(|time| ticks.of(time)),
            [50_000, 51_500, 53_000, 56_000, 47_000]
        );
        let same = pair(5, 9);
        assert_eq!(Ticks::Paired(same, same).of(5), 9, "no division by zero");
    }

    #[test]
    fn both_clocks_go_on() {
        let Ticks::Paired(first, last) = Pairs::begin(ClockId::MonotonicRaw).around(0) else { panic!("of pairs") };
        assert!(last.ns > first.ns && last.tsc > first.tsc);
    }
}
