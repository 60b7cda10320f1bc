// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The mathematics of comparing samples. In: numbers. Out: numbers. Never here: boots, what is large enough to matter.
//!
//! [`permutation`] tests many figures at once; here is what concerns one: its spread, effect size, confidence interval
//! and Mann-Whitney's test.

pub mod permutation;

/// Of all values of a normal distribution, 95 % are this many standard deviations around the mean.
const NORMAL_95: f64 = 1.959_963_984_540_054;

/// With this much more, a real difference is found in 80 % of all tries.
const POWER_80: f64 = 0.841_621_233_572_914;

/// Mean, and standard deviation of the sample; the latter is 0 of one value, both are of none.
pub fn mean_and_sd(values: &[f64]) -> (f64, f64) {
    let (Some(&first), count) = (values.first(), values.len() as f64) else { return (0.0, 0.0) };
    // Around the first: equal values have exactly this mean and no deviation.
    let mean = first + values.iter().map(|value| value - first).sum::<f64>() / count;
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0)).sqrt())
}

/// Standard deviation within two samples together, each around its own mean: of their deviations and sizes. 0 if neither
/// has two values.
pub fn pooled_sd(a: (f64, usize), b: (f64, usize)) -> f64 {
    let freedom = |(_, values): (f64, usize)| values.saturating_sub(1) as f64;
    let all = freedom(a) + freedom(b);
    if all == 0.0 { 0.0 } else { ((a.0 * a.0 * freedom(a) + b.0 * b.0 * freedom(b)) / all).sqrt() }
}

/// Of all pairs of a value of `a` and one of `b`: those where `b` is less, those where both are equal, all.
fn pairs(a: &[f64], b: &[f64]) -> (f64, f64, f64) {
    let mut a = a.to_vec();
    a.sort_by(f64::total_cmp);
    let (mut less, mut equal) = (0.0, 0.0);
    for value in b {
        let below = a.partition_point(|other| other < value);
        let up_to = a.partition_point(|other| other <= value);
        less += (a.len() - up_to) as f64;
        equal += (up_to - below) as f64;
    }
    (less, equal, a.len() as f64 * b.len() as f64)
}

/// Cliff's delta: the part of all pairs where `b` is more, less the part where it is less; 0 of none.
pub fn cliffs_delta(a: &[f64], b: &[f64]) -> f64 {
    let (less, equal, all) = pairs(a, b);
    if all == 0.0 { 0.0 } else { (all - equal - 2.0 * less) / all }
}

/// Probability of such ranks (or further apart, on either side) if both samples are of one distribution: Mann and
/// Whitney's test, by the normal approximation corrected for ties and continuity, which is good from about eight values
/// on each side. 1 if all values are equal or a side has none.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    let (less, equal, all) = pairs(a, b);
    let count = (a.len() + b.len()) as f64;
    let mut values: Vec<f64> = a.iter().chain(b).copied().collect();
    values.sort_by(f64::total_cmp);
    let ties: f64 =
        values.chunk_by(|one, other| one == other).map(|tied| (tied.len() as f64).powi(3) - tied.len() as f64).sum();
    let variance = all / 12.0 * (count + 1.0 - ties / (count * (count - 1.0)));
    if variance <= 0.0 || variance.is_nan() {
        return 1.0;
    }
    let from_mean = ((less + equal / 2.0) - all / 2.0).abs();
    (2.0 * normal_above((from_mean - 0.5).max(0.0) / variance.sqrt())).min(1.0)
}

/// Part of the normal distribution above `z` >= 0, to about 1e-7 (Abramowitz and Stegun 26.2.17).
fn normal_above(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let series =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt() * series
}

/// 95 % confidence interval of the difference of means (`b` less `a`) after Welch: the sides may be spread differently.
/// None with less than two values on a side, of which the spread cannot be told.
pub fn welch_interval(a: &[f64], b: &[f64]) -> Option<(f64, f64)> {
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    let ((mean_a, sd_a), (mean_b, sd_b)) = (mean_and_sd(a), mean_and_sd(b));
    let (part_a, part_b) = (sd_a * sd_a / a.len() as f64, sd_b * sd_b / b.len() as f64);
    let difference = mean_b - mean_a;
    let variance = part_a + part_b;
    if variance == 0.0 {
        return Some((difference, difference));
    }
    let (free_a, free_b) = ((a.len() - 1) as f64, (b.len() - 1) as f64);
    let freedom = variance * variance / (part_a * part_a / free_a + part_b * part_b / free_b);
    let half = t_95(freedom) * variance.sqrt();
    Some((difference - half, difference + half))
}

/// Student's t of which 95 % are within, on both sides together (Hill, Algorithm 396, Communications of the ACM 13,
/// 1970); below three degrees of freedom that of one or two.
fn t_95(freedom: f64) -> f64 {
    const P: f64 = 0.05;
    let n = freedom;
    if n < 2.0 {
        return 12.706_204_736;
    }
    if n < 3.0 {
        return 4.302_652_730;
    }
    let a = 1.0 / (n - 0.5);
    let b = 48.0 / (a * a);
    let mut c = ((20_700.0 * a / b - 98.0) * a - 16.0) * a + 96.36;
    let d = ((94.5 / (b + c) - 3.0) / b + 1.0) * (a * std::f64::consts::FRAC_PI_2).sqrt() * n;
    let mut y = (d * P).powf(2.0 / n);
    if y > 0.05 + a {
        let x = -NORMAL_95;
        y = x * x;
        if n < 5.0 {
            c += 0.3 * (n - 4.5) * (x + 0.6);
        }
        c += (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b;
        y = (((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * x;
        y = (a * y * y).exp_m1();
    } else {
        y = ((1.0 / (((n + 6.0) / (n * y) - 0.089 * d - 0.822) * (n + 2.0) * 3.0) + 0.5 / (n + 4.0)) * y - 1.0)
            * (n + 1.0)
            / (n + 2.0)
            + 1.0 / y;
    }
    (n * y).sqrt()
}

/// The smallest difference of means that samples of these sizes with this standard deviation would show in four of
/// five tries, at the 5 % level.
pub fn smallest_seen(sd: f64, a: usize, b: usize) -> f64 {
    let freedom = (a + b).saturating_sub(2).max(1) as f64;
    (t_95(freedom) + POWER_80) * sd * (1.0 / a.max(1) as f64 + 1.0 / b.max(1) as f64).sqrt()
}

/// How large both samples must be to show that difference so.
pub fn size_for(sd: f64, difference: f64) -> usize {
    let ratio = (NORMAL_95 + POWER_80) * sd / difference;
    let first = (2.0 * ratio * ratio).ceil();
    if first >= 1e6 || first.is_nan() {
        return 1_000_000;
    }
    // The normal distribution is too confident of small samples.
    let mut size = (first as usize).max(2);
    while size < 1_000_000 && smallest_seen(sd, size, size) > difference {
        size += 1;
    }
    size
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn t_is_that_of_the_tables() {
        let table = [
            (1.0, 12.706),
            (2.0, 4.303),
            (3.0, 3.182),
            (4.0, 2.776),
            (5.0, 2.571),
            (8.0, 2.306),
            (18.0, 2.101),
            (1e6, 1.960),
        ];
        for (freedom, wanted) in table {
            assert!((t_95(freedom) - wanted).abs() < 0.002, "{freedom}: {} instead of {wanted}", t_95(freedom));
        }
    }

    #[test]
    fn an_interval_is_that_of_the_textbook() {
        // Checked by integrating Student's density with 4.66247 degrees of freedom.
        let (low, high) = welch_interval(&[10.1, 9.8, 10.4, 10.0], &[12.0, 11.5, 12.6, 11.9]).unwrap();
        assert!((low - 1.243_390).abs() < 1e-4 && (high - 2.606_610).abs() < 1e-4, "{low} {high}");
        assert_eq!(welch_interval(&[1.0], &[2.0, 3.0]), None);
        assert_eq!(welch_interval(&[1.0, 1.0], &[3.0, 3.0]), Some((2.0, 2.0)));
    }

    #[test]
    fn mann_and_whitney_take_ties() {
        // U is 5.5; the formula by hand, with the error function of the C library.
        let a = [1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 5.0, 6.0];
        let b = [4.0, 5.0, 6.0, 6.0, 7.0, 8.0, 8.0, 9.0];
        let p = mann_whitney(&a, &b);
        assert!((p - 0.005_906_938).abs() < 1e-6, "{p}");
        assert_eq!(mann_whitney(&[3.0; 5], &[3.0; 5]), 1.0);
        assert_eq!(mann_whitney(&[], &[3.0; 5]), 1.0);
        assert!((mann_whitney(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn as_many_as_are_needed_show_what_is_sought() {
        let size = size_for(3.0, 1.0);
        assert!(smallest_seen(3.0, size, size) <= 1.0);
        assert!(smallest_seen(3.0, size - 1, size - 1) > 1.0);
        assert_eq!(size_for(0.0, 1.0), 2);
        assert_eq!(size_for(1.0, 0.0), 1_000_000);
    }

    proptest! {
        #[test]
        fn cliffs_delta_counts_pairs(a in proptest::collection::vec(0u8..6, 1..9), b in proptest::collection::vec(0u8..6, 1..9)) {
            let [a, b] = [a, b].map(|side| side.into_iter().map(f64::from).collect::<Vec<_>>());
            let sum: f64 = a.iter().flat_map(|a| b.iter().map(move |b| (b - a).clamp(-1.0, 1.0))).sum();
            prop_assert!((cliffs_delta(&a, &b) - sum / (a.len() * b.len()) as f64).abs() < 1e-12);
            prop_assert_eq!(cliffs_delta(&a, &b), -cliffs_delta(&b, &a));
        }
    }
}
