// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Figures of a comparison in words: means, which have fractions, and differences, which have a sign. In: numbers.
//! Out: short text. Never here: sentences, layout.

use super::diff::{Item, Metric};
use crate::report::style::printable;
use crate::report::units::{self, Clock};

/// How the figures of one comparison are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// Times are nanoseconds, else ticks.
    pub ns: bool,
}

/// A figure as the whole number that people read; what is no number is 0.
fn whole(value: f64) -> u64 {
    value.abs().round() as u64
}

impl Words {
    /// A time, without its sign.
    pub fn time(self, value: f64) -> String {
        if self.ns { units::duration(whole(value)) } else { Clock::new(None).show(whole(value)) }
    }

    /// A figure of this kind, without its sign.
    pub fn value(self, metric: Metric, value: f64) -> String {
        match metric {
            Metric::Time | Metric::Busy | Metric::Own | Metric::Total => self.time(value),
            Metric::Calls | Metric::Events => count(value),
            Metric::OnFirstCpu => percent(value / 1e6),
        }
    }

    /// A difference of this kind, with its sign; nothing at all is `0`.
    pub fn signed(self, metric: Metric, difference: f64) -> String {
        let text = self.value(metric, difference);
        if text.starts_with("0 ") || text == "0" { text } else { format!("{}{text}", sign(difference)) }
    }
}

/// `+` or `-`.
pub fn sign(value: f64) -> char {
    if value < 0.0 { '-' } else { '+' }
}

/// A mean of counts: with one decimal if it is small and has a fraction, without its sign.
pub fn count(value: f64) -> String {
    let value = value.abs();
    if value < 1e3 && (value - value.round()).abs() >= 0.05 {
        format!("{value:.1}")
    } else {
        units::count(whole(value))
    }
}

/// A part of one in percent, without its sign: `12 %`, `1.2 %`, `0.12 %`.
pub fn percent(part: f64) -> String {
    let percent = part.abs() * 100.0;
    let digits = match percent {
        p if p >= 9.95 => 0,
        p if p >= 0.0995 || p == 0.0 => 1,
        _ => 2,
    };
    if percent >= 999.5 { format!("{} %", units::count(whole(percent))) } else { format!("{percent:.digits$} %") }
}

/// A probability: three digits after the point, or that it is smaller.
pub fn probability(p: f64) -> String {
    if p < 0.0005 { "<0.001".to_owned() } else { format!("{p:.3}") }
}

/// What an item is called; names come from files, and may have anything in them.
pub fn name(item: &Item) -> String {
    printable(&item.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign_and_nothing_has_none() {
        let words = Words { ns: true };
        assert_eq!(words.signed(Metric::Time, -41_234_567.0), "-41.2 ms");
        assert_eq!(words.signed(Metric::Time, 1_500.0), "+1.50 us");
        assert_eq!(words.signed(Metric::Own, 0.2), "0 ns");
        assert_eq!(words.signed(Metric::Calls, 120.0), "+120");
        assert_eq!(words.signed(Metric::Calls, -0.3), "-0.3");
        assert_eq!(words.signed(Metric::Calls, 0.0), "0");
        assert_eq!(words.signed(Metric::OnFirstCpu, -1e6), "-100 %");
        assert_eq!(Words { ns: false }.time(12_345.0), "12.3 kt");
    }

    #[test]
    fn figures_of_no_sense_are_written_all_the_same() {
        let words = Words { ns: true };
        assert_eq!(words.time(f64::NAN), "0 ns");
        assert!(words.time(f64::INFINITY).ends_with(" s"));
        assert_eq!(count(f64::NAN), "0");
    }

    #[test]
    fn parts_have_as_many_digits_as_they_need() {
        assert_eq!(
            [0.0, 0.000_12, 0.0012, 0.012, 0.12, -1.2, 1_234.0].map(percent),
            ["0.0 %", "0.01 %", "0.1 %", "1.2 %", "12 %", "120 %", "123,400 %"]
        );
        assert_eq!([0.000_1, 0.004_2, 1.0].map(probability), ["<0.001", "0.004", "1.000"]);
    }
}
