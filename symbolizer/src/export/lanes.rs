// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Rows for stretches of time that may overlap, as a picture shows them. In: stretches by their begins. Out: a
//! row for each, so that none overlaps another in its row. Never here: what they are.

/// The row of each stretch `(begin, end)`; the lowest that is free. They come by their begins.
pub fn lanes(stretches: impl IntoIterator<Item = (u64, u64)>) -> Vec<usize> {
    let mut ends: Vec<u64> = Vec::new();
    let mut lane = |(begin, end): (u64, u64)| {
        let index = ends.iter().position(|&taken| taken <= begin).unwrap_or(ends.len());
        if index == ends.len() {
            ends.push(end);
        } else {
            ends[index] = end;
        }
        index
    };
    stretches.into_iter().map(&mut lane).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_is_on_different_rows() {
        assert_eq!(lanes([(0, 10), (2, 4), (3, 5), (4, 6), (10, 11)]), [0, 1, 2, 1, 0]);
    }
}
