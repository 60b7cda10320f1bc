// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A figure over many boots. In: its values. Out: mean, standard deviation, smallest, median, largest. Never here:
//! units.

use serde::Serialize;

/// How the values of a figure are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Their mean.
    pub mean: f64,
    /// Standard deviation of a sample: what others would be expected to deviate by. None of a single value.
    pub sd: Option<f64>,
    /// The smallest.
    pub min: u64,
    /// As many are smaller as are larger; of an even number of values the mean of the two in the middle.
    pub median: f64,
    /// The largest.
    pub max: u64,
}

impl Spread {
    /// Of these values, in any order; all 0 of none.
    pub fn of(values: impl IntoIterator<Item = u64>) -> Spread {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else { return Spread::default() };
        let count = values.len();
        let sum: u128 = values.iter().map(|&value| u128::from(value)).sum();
        // Whole and rest apart: of equal values the mean is exactly that value, and the deviation 0.
        let whole = (sum / count as u128) as f64;
        let mean = whole + (sum % count as u128) as f64 / count as f64;
        let squares: f64 = values.iter().map(|&value| (value as f64 - mean).powi(2)).sum();
        let (low, high) = (values[(count - 1) / 2], values[count / 2]);
        Spread {
            mean,
            sd: (count > 1).then(|| (squares / (count - 1) as f64).sqrt()),
            min,
            median: low as f64 + high.saturating_sub(low) as f64 / 2.0,
            max,
        }
    }

    /// The standard deviation as a part of the mean; none if there is no mean or no deviation.
    pub fn relative(&self) -> Option<f64> {
        self.sd.filter(|_| self.mean > 0.0).map(|sd| sd / self.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_no_spread() {
        for value in [0, 7, 123_456_789, u64::MAX] {
            let spread = Spread::of([value; 3]);
            let wanted = Spread { mean: value as f64, sd: Some(0.0), min: value, median: value as f64, max: value };
            assert_eq!(spread, wanted);
        }
    }

    #[test]
    fn values_in_any_order_are_spread_as_the_textbook_says() {
        let spread = Spread::of([9, 2, 4, 4, 5, 4, 7, 5]);
        assert_eq!((spread.mean, spread.min, spread.median, spread.max), (5.0, 2, 4.5, 9));
        assert!((spread.sd.unwrap() - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(Spread::of([3, 1, 2]).median, 2.0);
    }

    #[test]
    fn one_value_tells_nothing_of_spread_and_none_nothing_at_all() {
        assert_eq!(Spread::of([8]).sd, None);
        assert_eq!(Spread::of([8]).relative(), None);
        assert_eq!(Spread::of([]), Spread::default());
        assert_eq!(Spread::of([0, 0]).relative(), None);
    }
}
