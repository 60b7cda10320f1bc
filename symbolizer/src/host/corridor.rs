// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Between which lines a guest's clock must lie, seen from the host's. In: bounds: at a host time the guest's counter
//! was at least, or at most, so much. Out: the line in the middle, and how far any line that fits is from it
//! ([`Fit`]). Memory does not grow with the bounds. Never here: which events give bounds.
//!
//! A line is known by its values at two host times, a point in a plane; a bound is a half-plane. What all bounds leave
//! is a convex polygon, which each further bound may cut. At a host time the lines that are left differ most at two of
//! its corners; over a span the difference is largest at the span's ends, because it is convex in the time. So the
//! line through the middle at both ends is wrong by no more than half the difference at the worse end, and that is no
//! estimate.

use super::clock::nominal;

/// Clocks differ from their nominal rate by less than this: KVM scales from 250 ppm on, crystals have less than 100,
/// and a guest that calibrates itself may be 500 off.
const DRIFT: f64 = 1e-3;

/// Ticks on both sides of the first bound within which the guest's clock is looked for: 95 min at 3 GHz.
const WIDEST: f64 = (1u64 << 44) as f64;

/// Host units between the two times at which lines are known.
const SPAN: f64 = 1e9;

/// Corners that the polygon may have; more are never there but by rounding.
const MOST_CORNERS: usize = 256;

/// What is left.
#[derive(Clone, Debug)]
pub struct Corridor {
    /// Guest ticks in a unit of the host's clock.
    rate: f64,
    /// The first bound: host time, guest ticks.
    origin: Option<(u64, u64)>,
    /// Corners: ticks beside the nominal line at the origin, and [`SPAN`] later.
    corners: Vec<(f64, f64)>,
    sides: (bool, bool),
    /// By how many ticks a bound may be wrong.
    slack: f64,
    bounds: u64,
    refused: u64,
}

/// A line beside the nominal one, and how good it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Ticks beside it at the origin.
    pub at: f64,
    /// More of them with each host unit.
    pub slope: f64,
    /// No line that fits is further from this one, in ticks.
    pub error: f64,
}

impl Corridor {
    /// Nothing is known but how many ticks of the guest a unit of the host's clock has: 1 for time stamp counters that
    /// are not scaled, GHz for nanoseconds. `None` if that cannot be.
    pub fn new(rate: f64) -> Option<Corridor> {
        let real = rate.is_finite() && rate > 1e-6 && rate < 1e6;
        let corners = Vec::new();
        real.then_some(Corridor {
            rate,
            origin: None,
            corners,
            sides: (false, false),
            slack: 0.0,
            bounds: 0,
            refused: 0,
        })
    }

    /// The same; each bound may be wrong by so many ticks, since the host's times are.
    pub fn with_slack(self, ticks: u64) -> Corridor {
        Corridor { slack: ticks as f64, ..self }
    }

    /// At `host` the guest's counter was at least `guest`.
    pub fn at_least(&mut self, host: u64, guest: u64) {
        self.sides.0 |= self.cut(host, guest, 1.0);
    }

    /// At `host` the guest's counter was at most `guest`.
    pub fn at_most(&mut self, host: u64, guest: u64) {
        self.sides.1 |= self.cut(host, guest, -1.0);
    }

    /// Bounds so far.
    pub fn bounds(&self) -> u64 {
        self.bounds
    }

    /// Those among them that leave no line: a clock has jumped, or a time is wrong. They change nothing.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Host time and guest ticks from which lines are counted, and the nominal rate.
    pub fn origin(&self) -> Option<(u64, u64, f64)> {
        self.origin.map(|(host, guest)| (host, guest, self.rate))
    }

    fn cut(&mut self, host: u64, guest: u64, side: f64) -> bool {
        self.bounds = self.bounds.saturating_add(1);
        let (from, base) = *self.origin.get_or_insert((host, guest));
        if self.corners.is_empty() {
            let drift = DRIFT * self.rate * SPAN;
            let corner = |at: f64, more: f64| (at, at + more);
            self.corners =
                vec![corner(-WIDEST, -drift), corner(WIDEST, -drift), corner(WIDEST, drift), corner(-WIDEST, drift)];
        }
        let time = host.wrapping_sub(from).cast_signed();
        let rest = guest.wrapping_sub(base).cast_signed().saturating_sub(nominal(time, self.rate)) as f64;
        let part = time as f64 / SPAN;
        let slack = self.slack;
        let over = |corner: &(f64, f64)| side * (corner.0 + (corner.1 - corner.0) * part - rest) + slack;
        if self.corners.iter().all(|corner| over(corner) >= 0.0) {
            return true;
        }
        let mut left = Vec::with_capacity(self.corners.len() + 1);
        for (index, corner) in self.corners.iter().enumerate() {
            let next = &self.corners[(index + 1) % self.corners.len()];
            let (here, there) = (over(corner), over(next));
            if here >= 0.0 {
                left.push(*corner);
            }
            if (here < 0.0) != (there < 0.0) {
                let way = here / (here - there);
                left.push((corner.0 + (next.0 - corner.0) * way, corner.1 + (next.1 - corner.1) * way));
            }
        }
        if left.len() < 3 || left.len() > MOST_CORNERS {
            self.refused += 1;
            return false;
        }
        self.corners = left;
        true
    }

    /// The line in the middle, for host times from `first` to `last`. `None` if one side has no bound.
    pub fn fit(&self, first: u64, last: u64) -> Option<Fit> {
        let (from, _) = self.origin?;
        if self.sides != (true, true) {
            return None;
        }
        let time = |host: u64| host.wrapping_sub(from).cast_signed() as f64;
        let (first, last) = (time(first), time(last).max(time(first) + 1.0));
        let middle = |time: f64| {
            let values = self.corners.iter().map(|corner| corner.0 + (corner.1 - corner.0) * (time / SPAN));
            let (least, most) =
                values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), v| (least.min(v), most.max(v)));
            (f64::midpoint(least, most), (most - least) / 2.0)
        };
        let ((begin, wrong), (end, wrong_too)) = (middle(first), middle(last));
        let slope = (end - begin) / (last - first);
        Some(Fit { at: begin - slope * first, slope, error: wrong.max(wrong_too) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::clock::{Axis, Clock, How};
    use super::*;

    /// A guest's clock with an offset and a drift, in host units.
    fn guest(host: u64, rate: f64, drift: f64, offset: u64) -> u64 {
        let exact = (host as f64 - 5e11) * rate * drift;
        offset.wrapping_add_signed(nominal(host as i64, rate)).wrapping_add_signed(exact.round() as i64)
    }

    #[test]
    fn one_side_alone_gives_no_line() {
        let mut corridor = Corridor::new(1.0).unwrap();
        assert_eq!(corridor.fit(0, 100), None);
        corridor.at_least(10, 100);
        corridor.at_least(20, 112);
        assert_eq!(corridor.fit(0, 100), None);
        assert!(Corridor::new(f64::NAN).is_none() && Corridor::new(0.0).is_none());
    }

    #[test]
    fn a_bound_that_fits_no_clock_is_counted_and_changes_nothing() {
        let mut corridor = Corridor::new(1.0).unwrap();
        corridor.at_least(1000, 5000);
        corridor.at_most(1000, 5010);
        let fit = corridor.fit(1000, 1000).unwrap();
        corridor.at_most(1001, 4000);
        assert_eq!((corridor.refused(), corridor.bounds()), (1, 3));
        assert_eq!(corridor.fit(1000, 1000), Some(fit));
        let axis = Axis::of_corridor(Clock::Tsc, &corridor, 1000, 1000).unwrap();
        assert_eq!(axis.how(), How::Estimated { bounds: 3, refused: 1 });
        assert_eq!(axis.guest(1000), Some(5005));
    }

    #[test]
    fn times_that_are_wrong_as_far_as_they_may_be_leave_the_error_a_bound() {
        // The guest is 1,000,000 behind; the host's times are up to 30 ticks early or late, and the bounds tighter.
        let (behind, error) = (1_000_000, 30u64);
        let host = |n: u64| behind + 10_000 + n * 997;
        let wrong = |n: u64| [30, -30, -30, 30, 7][n as usize % 5];
        let fill = |mut corridor: Corridor| {
            for n in 0..200 {
                let seen = host(n).wrapping_add_signed(wrong(n));
                corridor.at_least(seen, host(n) - behind - 5);
                corridor.at_most(seen, host(n) - behind + 5);
            }
            corridor
        };
        assert!(fill(Corridor::new(1.0).unwrap()).refused() > 0, "no steady clock fits them as they are");
        let corridor = fill(Corridor::new(1.0).unwrap().with_slack(error));
        assert_eq!(corridor.refused(), 0);
        let axis = Axis::of_corridor(Clock::Ticks { error }, &corridor, host(0), host(199)).unwrap();
        for n in 0..200 {
            let told = axis.guest(host(n).wrapping_add_signed(wrong(n))).unwrap();
            assert!(told.abs_diff(host(n) - behind) <= axis.error(), "{told} +-{}", axis.error());
        }
        assert!(axis.error() < 4 * error, "{}", axis.error());
    }

    proptest! {
        /// Known clocks, exits with jitter on both sides: what is told is never wrong by more than what is said.
        #[test]
        fn the_error_is_a_bound(
            rate in prop_oneof![Just(1.0), Just(2.6), Just(0.999), Just(3.7)],
            ppm in -400.0..400.0f64,
            offset in any::<u64>(),
            start in 0u64..1 << 40,
            steps in prop::collection::vec((1u64..3_000_000, 1u64..20_000, 1u64..20_000), 2..300),
        ) {
            let mut corridor = Corridor::new(rate).unwrap();
            let real = |host: u64| guest(host, rate, ppm * 1e-6, offset);
            let (mut host, mut seen) = (start, Vec::new());
            for &(step, before, after) in &steps {
                host += step;
                seen.push(host);
                corridor.at_least(host, real(host).wrapping_sub(before));
                corridor.at_most(host, real(host).wrapping_add(after));
            }
            prop_assert_eq!(corridor.refused(), 0);
            let axis = Axis::of_corridor(Clock::Tsc, &corridor, seen[0], host).unwrap();
            for &host in &seen {
                let wrong = axis.guest(host).unwrap().wrapping_sub(real(host)).cast_signed().unsigned_abs();
                prop_assert!(wrong <= axis.error(), "{} ticks, said {}", wrong, axis.error());
            }
            // And it says something: no more than the widest jitter and the drift over the whole.
            prop_assert!(axis.error() as f64 <= 40_000.0 + 2.0 * DRIFT * rate * (host - seen[0]) as f64);
        }

        #[test]
        fn any_bounds_are_taken(all in prop::collection::vec((any::<bool>(), any::<u64>(), any::<u64>()), 0..100)) {
            let mut corridor = Corridor::new(1.0).unwrap();
            for &(least, host, guest) in &all {
                if least { corridor.at_least(host, guest) } else { corridor.at_most(host, guest) }
            }
            if let Some(axis) = Axis::of_corridor(Clock::Tsc, &corridor, 0, u64::MAX) {
                let _ = (axis.guest(0), axis.guest(u64::MAX), axis.error());
            }
        }
    }
}
