// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Whether one set of values is larger than another by chance: a permutation test of their means, one-sided, since a
//! budget is broken in one direction only. In: two sets. Out: a probability. Never here: what is compared.

use crate::compare::statistics::permutation::{Random, ways};

/// Up to so many ways to deal the values out, each is tried; else so many at random.
const MOST: u64 = 20_000;

/// The smallest probability that sets of these sizes can have at all.
pub fn least(a: usize, b: usize) -> f64 {
    1.0 / ways(a, b) as f64
}

/// Whether `b` is more than `a`: the probability of means that are at least so far apart, in this direction, if
/// nothing had changed.
pub fn more(a: &[f64], b: &[f64]) -> f64 {
    let mut all: Vec<f64> = a.iter().chain(b).copied().collect();
    let ways = ways(a.len(), b.len());
    let seen: f64 = b.iter().sum();
    // Sums of the same values in another order may differ in their last digits.
    let slack = 1e-12 * all.iter().map(|value| value.abs()).sum::<f64>();
    let is_so_far = |sum: f64| sum >= seen - slack;
    if ways <= MOST {
        let far = choose(&all, b.len(), 0.0, &is_so_far);
        return far as f64 / ways as f64;
    }
    let (mut random, mut far) = (Random(0x9e37_79b9_7f4a_7c15), 0);
    for _ in 0..MOST {
        for place in 0..b.len() {
            let other = place + random.below((all.len() - place) as u64) as usize;
            all.swap(place, other);
        }
        far += u64::from(is_so_far(all[..b.len()].iter().sum()));
    }
    // The order that was seen is one of them.
    (far + 1) as f64 / (MOST + 1) as f64
}

/// How many choices of so many of the values have such a sum.
fn choose(values: &[f64], count: usize, sum: f64, is_so_far: &impl Fn(f64) -> bool) -> u64 {
    if count == 0 {
        return u64::from(is_so_far(sum));
    }
    match values.split_first() {
        Some((first, rest)) if values.len() >= count => {
            choose(rest, count - 1, sum + first, is_so_far) + choose(rest, count, sum, is_so_far)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_dealt_out_in_all_ways() {
        // 1 of 20 ways has the three largest on one side.
        assert_eq!((more(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), least(3, 3)), (0.05, 0.05));
        assert_eq!(more(&[4.0, 5.0, 6.0], &[1.0, 2.0, 3.0]), 1.0);
        assert_eq!(least(1, 1), 0.5);
        assert_eq!(more(&[7.0, 7.0], &[7.0, 7.0]), 1.0);
        assert_eq!(more(&[], &[]), 1.0);
    }

    #[test]
    fn many_values_are_dealt_out_at_random_and_chance_is_found_as_often_as_it_is() {
        let (mut random, mut found) = (Random(7), 0);
        for _ in 0..200 {
            let mut set = || (0..12).map(|_| random.below(1000) as f64).collect::<Vec<_>>();
            let (a, b) = (set(), set());
            found += u32::from(more(&a, &b) <= 0.05);
        }
        assert!((2..=20).contains(&found), "{found} of 200 at the 5 % level");
        let far: Vec<f64> = (0..12).map(|value| 2000.0 + f64::from(value)).collect();
        let near: Vec<f64> = (0..12).map(f64::from).collect();
        assert!(more(&near, &far) < 1e-3);
    }
}
