// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The mathematics of comparing samples. In: numbers. Out: numbers. Never here: boots, what is large enough to matter.

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
