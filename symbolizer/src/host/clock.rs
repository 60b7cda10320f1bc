// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The host's clock, and the way from it to the guest's time stamp counter. In: the host's times, what offsets KVM has
//! set, or times between which something happened in the guest ([`Corridor`]). Out: the guest's ticks ([`Axis`]), and
//! by how much they may be wrong at most. Never here: where such times come from.

use super::corridor::Corridor;

/// What the times of host events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The host's time stamp counter (trace-cmd's `x86-tsc`).
    Tsc,
    /// The same, as the recorder has made it of another clock.
    Ticks {
        /// By how many ticks it may be wrong at most.
        error: u64,
    },
    /// Nanoseconds of perf's or ftrace's clock.
    Ns {
        /// How perf makes them of the host's time stamp counter, where the recorder knows.
        conversion: Option<Conversion>,
    },
}

/// `time_zero`, `time_mult` and `time_shift` of `struct perf_event_mmap_page` or of a TIME_CONV record: nanoseconds are
/// `zero + (ticks * mult >> shift)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// Nanoseconds at tick 0 (wrapping).
    pub zero: u64,
    /// Not 0.
    pub mult: u32,
    /// Less than 64.
    pub shift: u16,
}

impl Conversion {
    /// The host's time stamp counter at a time: the earliest tick that is shown as it. `None` if the conversion is
    /// none.
    pub fn ticks(self, ns: u64) -> Option<u64> {
        if self.mult == 0 || self.shift >= 64 {
            return None;
        }
        let since = u128::from(ns.wrapping_sub(self.zero)) << self.shift;
        u64::try_from(since.div_ceil(u128::from(self.mult))).ok()
    }

    /// Ticks that are shown as the same nanosecond.
    fn coarse(self) -> u64 {
        let ticks = (1u128 << self.shift.min(63)).div_ceil(u128::from(self.mult.max(1)));
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

impl Clock {
    /// The host's time stamp counter at a time, if that can be told.
    pub fn ticks(self, time: u64) -> Option<u64> {
        match self {
            Clock::Tsc | Clock::Ticks { .. } => Some(time),
            Clock::Ns { conversion } => conversion?.ticks(time),
        }
    }

    /// The frequency of the host's counter in kHz, if that can be told.
    pub fn khz(self) -> Option<u64> {
        match self {
            Clock::Ns { conversion: Some(Conversion { mult, shift, .. }) } if mult > 0 && shift < 64 => {
                let mult = u128::from(mult);
                u64::try_from(((1_000_000u128 << shift) + mult / 2) / mult).ok()
            }
            _ => None,
        }
    }

    /// By how many ticks the recorder may be wrong.
    pub(super) fn made(self) -> u64 {
        match self {
            Clock::Ticks { error } => error,
            _ => 0,
        }
    }

    /// By how many ticks [`Clock::ticks`] may be wrong.
    fn coarse(self) -> u64 {
        match self {
            Clock::Ticks { error } => error,
            Clock::Ns { conversion: Some(conversion) } => conversion.coarse(),
            _ => 0,
        }
    }
}

/// How the way to the guest's time was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// KVM has said which offset it sets.
    Offset,
    /// From times of the guest before and after exits.
    Estimated {
        /// So many bounds.
        bounds: u64,
        /// Of these, such as no steady clock fits.
        refused: u64,
    },
}

/// The way from a vCPU's host times to the guest's ticks.
#[derive(Clone, Debug)]
pub struct Axis {
    clock: Clock,
    /// From a host time on, what is added to the host's counter; ascending.
    offsets: Vec<(u64, u64)>,
    line: Option<Line>,
    how: How,
    error: u64,
}

/// Guest ticks are `base + (host - from) * rate + (rest at from, growing to rest at to)`.
#[derive(Clone, Copy, Debug)]
struct Line {
    from: u64,
    base: u64,
    rate: f64,
    at: f64,
    slope: f64,
}

/// Most changes of a vCPU's offset that are kept: a guest may write its counter as often as it likes.
const MOST_OFFSETS: usize = 1 << 12;

/// Offsets of a vCPU in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Offsets {
    known: Vec<(u64, u64)>,
}

impl Offsets {
    /// The guest's counter is the host's plus `next` from `time` on.
    pub fn push(&mut self, time: u64, next: u64) {
        let same = self.known.last().is_some_and(|last| last.1 == next);
        let later = self.known.last().is_none_or(|last| last.0 <= time);
        if later && !same && self.known.len() < MOST_OFFSETS {
            self.known.push((time, next));
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

impl Axis {
    /// By offsets that KVM has set. `None` if there are none, or the clock does not lead to the host's counter.
    pub fn of_offsets(clock: Clock, offsets: Offsets) -> Option<Axis> {
        let &(time, _) = offsets.known.first()?;
        clock.ticks(time)?;
        Some(Axis { clock, offsets: offsets.known, line: None, how: How::Offset, error: clock.coarse() })
    }

    /// By a corridor, for host times from `first` to `last`. `None` if it is open to one side.
    pub fn of_corridor(clock: Clock, corridor: &Corridor, first: u64, last: u64) -> Option<Axis> {
        let fit = corridor.fit(first, last)?;
        let how = How::Estimated { bounds: corridor.bounds(), refused: corridor.refused() };
        let (from, base, rate) = corridor.origin()?;
        let line = Line { from, base, rate, at: fit.at, slope: fit.slope };
        // What is lost in rounding to ticks, and of the fractions on the way.
        let error = (fit.error.ceil() as u64).saturating_add(2).saturating_add(clock.made());
        Some(Axis { clock, offsets: Vec::new(), line: Some(line), how, error })
    }

    /// The guest's ticks at a host time. `None` before an offset is known.
    pub fn guest(&self, time: u64) -> Option<u64> {
        if let Some(line) = self.line {
            let host = time.wrapping_sub(line.from).cast_signed();
            return Some(line.base.wrapping_add_signed(scaled(host, line.rate, line.at, line.slope)));
        }
        let known = self.offsets.partition_point(|offset| offset.0 <= time);
        let (_, offset) = self.offsets[known.checked_sub(1)?];
        Some(self.clock.ticks(time)?.wrapping_add(offset))
    }

    /// By how many ticks [`Axis::guest`] may be wrong at most.
    pub fn error(&self) -> u64 {
        self.error
    }

    /// How it was found.
    pub fn how(&self) -> How {
        self.how
    }
}

/// Ticks since the origin, by the nominal rate and what was found beside it.
fn scaled(host: i64, rate: f64, at: f64, slope: f64) -> i64 {
    nominal(host, rate).saturating_add((at + slope * host as f64).round() as i64)
}

/// A rate has 32 bits behind its point here, so that no digit of a long time is lost.
pub(super) fn nominal(host: i64, rate: f64) -> i64 {
    let rate = (rate * 4_294_967_296.0) as i128;
    i64::try_from((i128::from(host) * rate) >> 32).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversion_is_undone_to_within_its_grain() {
        // A counter of 2.6 GHz as the kernel shows it: mult / 2^shift = 1 / 2.6.
        let conversion = Conversion { zero: u64::MAX - 5_000, mult: 3_303_820_997, shift: 33 };
        for ticks in [0u64, 1, 77, 1 << 20, 9_876_543_210, 1 << 45] {
            let ns = conversion
                .zero
                .wrapping_add(((u128::from(ticks) * u128::from(conversion.mult)) >> conversion.shift) as u64);
            let back = conversion.ticks(ns).unwrap();
            assert!(back <= ticks && ticks - back <= conversion.coarse(), "{ticks} {back}");
        }
        assert_eq!(Conversion { mult: 0, ..conversion }.ticks(1), None);
        assert_eq!(Conversion { shift: 64, ..conversion }.ticks(1), None);
    }

    #[test]
    fn offsets_hold_from_when_they_are_set() {
        let mut offsets = Offsets::default();
        assert!(offsets.is_empty());
        offsets.push(100, 50u64.wrapping_neg());
        offsets.push(100, 50u64.wrapping_neg());
        offsets.push(200, 7);
        offsets.push(150, 9);
        let axis = Axis::of_offsets(Clock::Tsc, offsets.clone()).unwrap();
        assert_eq!(
            [99, 100, 199, 200, 1000].map(|time| axis.guest(time)),
            [None, Some(50), Some(149), Some(207), Some(1007)]
        );
        assert_eq!((axis.error(), axis.how()), (0, How::Offset));
        let made = Axis::of_offsets(Clock::Ticks { error: 12 }, offsets.clone()).unwrap();
        assert_eq!((made.guest(100), made.error()), (Some(50), 12), "what is wrong in the recorder's times is told");
        assert!(Axis::of_offsets(Clock::Ns { conversion: None }, offsets).is_none());
        assert!(Axis::of_offsets(Clock::Tsc, Offsets::default()).is_none());
    }
}
