// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What so many boots can tell from chance. In: a figure of some boots of one kernel. Out: the smallest change that
//! as many boots of another kernel would show, and how many boots a smaller one takes. Never here: comparing.

use super::spread::Spread;
use super::statistics::smallest_seen;

/// With four boots on each side no order of the eight is rarer than 1 in 35: nothing is told at the 1 % level.
pub const LEAST: usize = 5;

/// More boots than this are not asked for.
pub const MOST: usize = 100_000;

/// How a figure is spread over boots of one kernel, or of several around their own means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Standard deviation as a part of the mean.
    pub relative: f64,
    /// Boots of each kernel; of the one with fewer.
    pub boots: usize,
}

impl Noise {
    /// Of the boots of each kernel; none if no kernel has two boots.
    pub fn of(kernels: &[Vec<u64>]) -> Option<Noise> {
        let (mut squares, mut freedom) = (0.0, 0.0);
        for values in kernels {
            let spread = Spread::of(values.iter().copied());
            let Some(relative) = spread.relative() else { continue };
            let own = values.len() as f64 - 1.0;
            squares += relative * relative * own;
            freedom += own;
        }
        let boots = kernels.iter().map(Vec::len).min().unwrap_or(0);
        (freedom > 0.0).then(|| Noise { relative: (squares / freedom).sqrt(), boots })
    }

    /// Smallest change, as a part of the figure, that so many boots on each side tell; none if they tell nothing.
    pub fn tells(&self, boots: usize) -> Option<f64> {
        (boots >= LEAST).then(|| smallest_seen(self.relative, boots, boots))
    }

    /// Boots on each side that such a change takes; none if that is more than [`MOST`].
    pub fn needed(&self, change: f64) -> Option<usize> {
        let enough = |boots: &usize| self.tells(*boots).is_some_and(|tells| tells <= change);
        // What is needed falls with more boots: sought by halves.
        let mut range = (LEAST, MOST);
        if !enough(&range.1) {
            return None;
        }
        while range.0 < range.1 {
            let middle = usize::midpoint(range.0, range.1);
            range = if enough(&middle) { (range.0, middle) } else { (middle + 1, range.1) };
        }
        Some(range.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_boots_tell_smaller_changes() {
        let noise = Noise { relative: 0.02, boots: 5 };
        assert_eq!(noise.tells(4), None);
        let ten = noise.tells(10).expect("a change");
        // (2.1009 + 0.8416) * 0.02 * sqrt(0.2)
        assert!((ten - 0.0263).abs() < 1e-4, "{ten}");
        assert_eq!(noise.needed(ten), Some(10));
        assert_eq!(noise.needed(1.0), Some(LEAST));
        assert_eq!(noise.needed(1e-9), None);
        let none = Noise { relative: 0.0, boots: 5 };
        assert_eq!((none.tells(5), none.needed(0.01)), (Some(0.0), Some(LEAST)));
    }

    #[test]
    fn two_kernels_are_spread_around_their_own_means() {
        let (a, b) = (vec![98, 100, 102], vec![196, 200, 204]);
        let both = Noise::of(&[a.clone(), b]).expect("noise");
        let one = Noise::of(&[a]).expect("noise");
        assert!((both.relative - one.relative).abs() < 1e-12 && (one.relative - 0.02).abs() < 1e-12);
        assert_eq!((both.boots, one.boots), (3, 3));
        assert_eq!(Noise::of(&[vec![5], vec![]]), None);
        assert_eq!(Noise::of(&[vec![0, 0]]), None);
    }
}
