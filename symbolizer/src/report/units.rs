// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Numbers for people. In: counts, ticks, bytes. Out: short text with three significant digits or
//! with thousands separators. Never here: layout.

/// Converts ticks, if the frequency is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Frequency of the time stamp counter in kHz; never 0.
    khz: Option<u64>,
}

impl Clock {
    /// A clock of a frequency in kHz.
    pub fn new(khz: Option<u64>) -> Clock {
        Clock { khz: khz.filter(|&khz| khz > 0) }
    }

    /// The frequency in kHz.
    pub fn khz(&self) -> Option<u64> {
        self.khz
    }

    /// Ticks in nanoseconds, rounded.
    pub fn ns(&self, ticks: u64) -> Option<u64> {
        let khz = self.khz?;
        // Division of 128 bits is a slow call; times of a boot do not need it.
        if let Some(product) = ticks.checked_mul(1_000_000).and_then(|product| product.checked_add(khz / 2)) {
            return Some(product / khz);
        }
        let khz = u128::from(khz);
        u64::try_from((u128::from(ticks) * 1_000_000 + khz / 2) / khz).ok()
    }

    /// Nanoseconds in ticks, rounded.
    pub fn ticks(&self, ns: u64) -> Option<u64> {
        u64::try_from((u128::from(ns) * u128::from(self.khz?) + 500_000) / 1_000_000).ok()
    }

    /// For people: `12.3 us`, or `4.56 Mt` (million ticks) if the frequency is not known.
    pub fn show(&self, ticks: u64) -> String {
        match self.ns(ticks) {
            Some(ns) => duration(ns),
            None => match ticks {
                0..1_000 => format!("{ticks} t"),
                1_000..999_500 => format!("{} kt", three(ticks as f64 / 1e3)),
                999_500..999_500_000 => format!("{} Mt", three(ticks as f64 / 1e6)),
                _ => format!("{} Gt", three(ticks as f64 / 1e9)),
            },
        }
    }
}

/// A duration in nanoseconds, with the unit that fits: `540 ns`, `5.40 us`, `54.0 ms`, `540 s`.
pub fn duration(ns: u64) -> String {
    scaled(ns, ["ns", "us", "ms", "s"])
}

/// Three digits and the unit that fits; each unit is a thousand of the one before.
fn scaled(value: u64, units: [&str; 4]) -> String {
    match value {
        0..1_000 => format!("{value} {}", units[0]),
        1_000..999_500 => format!("{} {}", three(value as f64 / 1e3), units[1]),
        999_500..999_500_000 => format!("{} {}", three(value as f64 / 1e6), units[2]),
        _ => format!("{} {}", three(value as f64 / 1e9), units[3]),
    }
}

/// Bytes, in decimal units: `540 B`, `5.40 kB`, `54.0 MB`.
pub fn bytes(value: u64) -> String {
    scaled(value, ["B", "kB", "MB", "GB"])
}

/// A count with thousands separators.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `part` of `whole` in percent with one decimal, without the sign; `-` of nothing.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.1}", part as f64 * 100.0 / whole as f64) }
}

/// Seconds of Unix time as year, month, day, hour, minute and second, in UTC.
pub fn calendar(seconds: u64) -> [u64; 6] {
    // A year that no file has; a damaged trace may say anything.
    let seconds = seconds.min(253_402_300_799);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Counted from 0000-03-01, so that a leap day is the last of its year; 400 years have 146,097 days.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    [year, month, day, second / 3_600, second / 60 % 60, second % 60]
}

/// Three significant digits of a number below 1000 (or more, as they come).
fn three(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits_and_a_unit() {
        let shown: Vec<String> =
            [0, 999, 1_000, 9_996, 99_960, 999_499, 999_500, 1_234_567, 61_000_000_000].map(duration).into();
        assert_eq!(shown, ["0 ns", "999 ns", "1.00 us", "10.0 us", "100 us", "999 us", "1.00 ms", "1.23 ms", "61.0 s"]);
    }

    #[test]
    fn clocks_convert_or_say_ticks() {
        let clock = Clock::new(Some(2_000_000));
        assert_eq!(clock.ns(3_000), Some(1_500));
        assert_eq!(clock.ticks(1_500), Some(3_000));
        assert_eq!(clock.ns(u64::MAX), Some(u64::MAX / 2 + 1));
        assert_eq!(Clock::new(Some(1)).ns(u64::MAX), None);
        assert_eq!(Clock::new(Some(0)).ns(1), None);
        assert_eq!(Clock::new(None).show(12_345), "12.3 kt");
    }

    #[test]
    fn bytes_have_three_digits_and_a_unit() {
        assert_eq!([0, 999, 8_372_743, 999_600_000].map(bytes), ["0 B", "999 B", "8.37 MB", "1.00 GB"]);
    }

    #[test]
    fn counts_have_separators() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(13_041_022), "13,041,022");
    }
}
