// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The order of boots: by time, or by release as a person would sort them. In: boots. Out: the same in order. Never
//! here: figures.

use std::cmp::Ordering;

use crate::compare::boot::Boot;

/// By what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By release, then by time.
    Release,
    /// By the time when they began.
    Time,
    /// As they are.
    Given,
}

/// Puts boots in order; of those that are alike the order stays.
pub fn sort(boots: &mut [Boot], order: Order) {
    let time = |a: &Boot, b: &Boot| a.meta.started_at.cmp(&b.meta.started_at);
    match order {
        Order::Given => {}
        Order::Time => boots.sort_by(time),
        Order::Release => boots.sort_by(|a, b| releases(&a.meta.release, &b.meta.release).then_with(|| time(a, b))),
    }
}

/// 6.1.9 before 6.1.10, 6.2-rc1 before 6.2.
pub fn releases(a: &str, b: &str) -> Ordering {
    let (a, b) = (parts(a), parts(b));
    for (one, other) in a.iter().zip(&b) {
        let order = one.cmp(other);
        if order.is_ne() {
            return order;
        }
    }
    // What the longer one has more: a candidate is before its release, anything else behind.
    let rest = |longer: &[Part], at: usize| matches!(longer.get(at), Some(Part::Candidate));
    match a.len().cmp(&b.len()) {
        Ordering::Less if rest(&b, a.len()) => Ordering::Greater,
        Ordering::Greater if rest(&a, b.len()) => Ordering::Less,
        order => order,
    }
}

/// In their order: `6.2-rc1` < `6.2-cloud` < `6.2.1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// `rc`.
    Candidate,
    /// Letters.
    Word(String),
    /// Digits.
    Number(u64),
}

fn parts(release: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for word in release.split(['.', '-', '_', '~', '+']) {
        // A commit says nothing of the order.
        let is_commit = word.len() >= 8 && word.starts_with('g') && word[1..].bytes().all(|b| b.is_ascii_hexdigit());
        if is_commit || word.is_empty() {
            continue;
        }
        let mut rest = word;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            if digits > 0 {
                parts.push(Part::Number(rest[..digits].parse().unwrap_or(u64::MAX)));
                rest = &rest[digits..];
                continue;
            }
            let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let word = &rest[..letters];
            parts.push(if word == "rc" { Part::Candidate } else { Part::Word(word.to_owned()) });
            rest = &rest[letters..];
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_in_the_order_of_people() {
        let sorted = [
            "5.10.0",
            "6.1-rc1",
            "6.1-rc2-00012-g0123456789ab",
            "6.1-rc2-00013-g00000000aaaa",
            "6.1-rc10",
            "6.1",
            "6.1.0-56-cloud-amd64",
            "6.1.9",
            "6.1.190",
            "6.1.192+",
            "6.12.0",
            "6.12.117+deb12-cloud-amd64",
        ];
        for (at, one) in sorted.iter().enumerate() {
            for (other_at, other) in sorted.iter().enumerate() {
                assert_eq!(releases(one, other), at.cmp(&other_at), "{one} {other}");
            }
        }
    }
}
