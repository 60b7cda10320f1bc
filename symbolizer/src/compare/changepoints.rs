// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where a series of values changes its height. In: values in order. Out: the first of each new height. Seeded binary
//! segmentation (Kovacs, Buehlmann, Li, Munk 2023): of many windows of all sizes, the place where the ranks before and
//! after differ most divides the series, if a permutation test says that it is no chance, and so on in both parts;
//! then each place is looked for once more between its neighbours. Windows, since over the whole series what rises and
//! falls again is neither. Ranks, so that one boot that took ten times as long is one boot, and no change. Never here:
//! boots.

use super::statistics::permutation::Random;

/// Fewest values of one height: one alone is an outlier.
const LEAST: usize = 2;

/// Permutations of a part, and a bound for long series: steps of work.
const PERMUTATIONS: usize = 4_999;
const WORK: usize = 50_000_000;
const FEWEST: usize = 199;

/// A place where the height changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The first value of the new height.
    pub at: usize,
    /// Probability of such a change anywhere in its part of the series if there is none.
    pub p: f64,
}

/// All places, where `p` is at most `level`.
pub fn find(values: &[f64], level: f64) -> Vec<Found> {
    let mut random = Random(values.len() as u64);
    let mut found = Vec::new();
    let mut parts = vec![(0, values.len())];
    while let Some((from, to)) = parts.pop() {
        if let Some(at) = test(values, from, to, level, &mut random) {
            parts.extend([(from, at.at), (at.at, to)]);
            found.push(at);
        }
    }
    found.sort_by_key(|found| found.at);
    // A place was found while the part still had other changes in it: alone it is found better, or not at all.
    let mut settled: Vec<Found> = Vec::new();
    for (index, _) in found.iter().enumerate() {
        let from = settled.last().map_or(0, |before| before.at);
        let to = found.get(index + 1).map_or(values.len(), |next| next.at);
        let exact = |found: Found| Found { at: from + divide(&values[from..to]).unwrap_or(found.at - from), ..found };
        settled.extend(test(values, from, to, level, &mut random).map(exact));
    }
    settled
}

/// Each place where the value is another: of values that are the same unless something has changed.
pub fn steps(values: &[f64]) -> Vec<usize> {
    (1..values.len()).filter(|&at| values[at] != values[at - 1]).collect()
}

/// The exact place of the one change in a part: with the least distances from the medians before and after it. Ranks
/// find a change, and not always its place: they do not know how much further the first value behind it is. None of
/// longer parts.
fn divide(part: &[f64]) -> Option<usize> {
    const LONGEST: usize = 1000;
    let apart = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        sorted.iter().map(|value| (value - median).abs()).sum::<f64>()
    };
    let places = (LEAST..=part.len().saturating_sub(LEAST)).filter(|_| part.len() <= LONGEST);
    places
        .map(|at| (at, apart(&part[..at]) + apart(&part[at..])))
        .min_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(at, _)| at)
}

/// The place that divides a part best, if that is no chance.
fn test(values: &[f64], from: usize, to: usize, level: f64, random: &mut Random) -> Option<Found> {
    let part = &values[from..to];
    if part.len() < 2 * LEAST {
        return None;
    }
    let mut ranks = ranks(part);
    let windows = windows(part.len());
    let steps: usize = windows.iter().map(|(from, to)| to - from).sum();
    let (at, seen) = best(&ranks, &windows)?;
    let permutations = PERMUTATIONS.min(WORK / steps.max(1)).max(FEWEST);
    let mut as_far = 0;
    for done in 0..permutations {
        for place in (1..ranks.len()).rev() {
            ranks.swap(place, random.below(place as u64 + 1) as usize);
        }
        as_far += usize::from(best(&ranks, &windows).is_some_and(|(_, other)| other >= seen * (1.0 - 1e-12)));
        // Enough to know that it is chance.
        if as_far as f64 > level * (permutations + 1) as f64 && done > 99 {
            return None;
        }
    }
    let p = (as_far + 1) as f64 / (permutations + 1) as f64;
    (p <= level).then_some(Found { at: from + at, p })
}

/// Windows of all sizes, each size over the whole: first and end.
fn windows(count: usize) -> Vec<(usize, usize)> {
    let mut windows = vec![(0, count)];
    let mut size = count as f64;
    loop {
        size /= std::f64::consts::SQRT_2;
        if size < (2 * LEAST) as f64 {
            return windows;
        }
        let length = size.ceil() as usize;
        // Each begins in the middle of the one before, or sooner.
        let many = 2 * (count as f64 / size).ceil() as usize - 1;
        let shift = (count - length) as f64 / (many - 1).max(1) as f64;
        windows.extend((0..many).map(|number| (number as f64 * shift) as usize).map(|from| (from, from + length)));
    }
}

/// The place in any window with the largest difference of mean ranks before and after, weighted by how many stand on
/// each side. None if all are equal.
fn best(ranks: &[f64], windows: &[(usize, usize)]) -> Option<(usize, f64)> {
    let mut sums = Vec::with_capacity(ranks.len() + 1);
    sums.push(0.0);
    let mut sum = 0.0;
    for rank in ranks {
        sum += rank;
        sums.push(sum);
    }
    let mut best: Option<(usize, f64)> = None;
    for &(from, to) in windows {
        let (length, sum) = ((to - from) as f64, sums[to] - sums[from]);
        for at in from + LEAST..=to.saturating_sub(LEAST) {
            let size = (at - from) as f64;
            let far = (sums[at] - sums[from] - size * sum / length).powi(2) * length / (size * (length - size));
            if far > best.map_or(1e-9, |(_, far)| far) {
                best = Some((at, far));
            }
        }
    }
    best
}

/// From 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    while first < order.len() {
        let value = values[order[first]];
        let mut last = first;
        while last + 1 < order.len() && values[order[last + 1]] == value {
            last += 1;
        }
        for &place in &order[first..=last] {
            ranks[place] = (first + last) as f64 / 2.0 + 1.0;
        }
        first = last + 1;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy(heights: &[(usize, f64)], noise: usize, seed: u64) -> Vec<f64> {
        let mut random = Random(seed);
        let mut values = Vec::new();
        for &(count, height) in heights {
            values.extend((0..count).map(|_| height + random.below(noise as u64) as f64));
        }
        values
    }

    fn places(values: &[f64]) -> Vec<usize> {
        find(values, 0.01).iter().map(|found| found.at).collect()
    }

    #[test]
    fn steps_are_found_where_they_are() {
        assert_eq!(places(&noisy(&[(20, 1000.0), (20, 1100.0)], 80, 1)), [20]);
        assert_eq!(places(&noisy(&[(15, 1000.0), (12, 1200.0), (15, 1000.0), (10, 900.0)], 90, 2)), [15, 27, 42]);
    }

    #[test]
    fn one_boot_that_took_long_is_no_change() {
        let mut values = noisy(&[(30, 1000.0)], 50, 3);
        values[17] = 50_000.0;
        assert_eq!(places(&values), [0; 0]);
    }

    #[test]
    fn nothing_is_found_in_noise_but_by_chance() {
        let found = (0..100).filter(|&seed| !find(&noisy(&[(30, 1000.0)], 100, seed), 0.05).is_empty()).count();
        assert!((1..=12).contains(&found), "{found} of 100 at the 5 % level");
    }

    #[test]
    fn few_and_equal_values_have_no_change() {
        for values in [&[][..], &[1.0], &[1.0, 2.0], &[7.0; 20]] {
            assert_eq!(find(values, 0.05), []);
        }
        assert_eq!(steps(&[1.0, 1.0, 2.0, 2.0, 1.0]), [2, 4]);
        assert_eq!(steps(&[]), [0; 0]);
    }
}
