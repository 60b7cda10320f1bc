// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! One pattern for several names. In: names to match, names that were called. Out: patterns that match the
//! first and nothing else of the second. (What was not called costs nothing either way.)

use bootlevel::glob::matches;

/// A prefix says what it covers; `a*` would not.
const SHORTEST: usize = 4;

/// Whether the name stands for itself in a pattern.
pub fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$'))
}

/// Patterns for `names`, in their order; a pattern stands where its first name stood.
pub fn shorten(names: &[&str], called: &[&str]) -> Vec<String> {
    let mut left: Vec<&str> = names.to_vec();
    let mut patterns = Vec::new();
    while let Some(&name) = left.first() {
        let found = prefixes(name).find_map(|prefix| {
            let pattern = format!("{prefix}*");
            let covered = left.iter().filter(|name| matches(pattern.as_bytes(), name.as_bytes())).count();
            let strangers =
                called.iter().any(|other| matches(pattern.as_bytes(), other.as_bytes()) && !names.contains(other));
            (covered > 1 && !strangers).then_some(pattern)
        });
        let pattern = found.unwrap_or_else(|| name.to_owned());
        left.retain(|name| !matches(pattern.as_bytes(), name.as_bytes()));
        patterns.push(pattern);
    }
    patterns
}

/// What a name begins with, up to and with each underscore behind a letter; shortest first.
pub fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('_').map(move |(at, _)| &name[..=at]).filter(|prefix| {
        prefix.len() >= SHORTEST && prefix.trim_matches('_').len() + 1 >= SHORTEST && !prefix.ends_with("__")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_prefix_of_their_own_are_merged() {
        let names = ["mpihelp_mul_1", "_raw_spin_lock", "mpihelp_add_n", "_raw_spin_unlock", "memcpy"];
        let called = [&names[..], &["_raw_read_lock", "mpi_free", "start_kernel"]].concat();
        assert_eq!(shorten(&names, &called), ["mpihelp_*", "_raw_spin_*", "memcpy"]);
        let called = [&names[..], &["mpihelp_divrem", "_raw_spin_trylock"]].concat();
        assert_eq!(shorten(&names, &called), names);
    }

    #[test]
    fn what_is_merged_matches_the_same_functions() {
        let called = ["a_b_c_1", "a_b_c_2", "a_b_d", "abcd_1", "abcd_2", "abcd_x_1", "abcd_x_2", "__abcd_1"];
        // Each choice of them.
        for choice in 0..1 << called.len() {
            let names: Vec<&str> =
                (0..called.len()).filter(|bit| choice >> bit & 1 != 0).map(|bit| called[bit]).collect();
            let patterns = shorten(&names, &called);
            for name in called {
                let hit = patterns.iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes()));
                assert_eq!(hit, names.contains(&name), "{name}: {patterns:?}");
            }
        }
    }

    #[test]
    fn only_names_stand_for_themselves() {
        assert!(is_plain("foo.isra.0") && is_plain("__x64_sys_read"));
        assert!(!is_plain("[module] 0xffffffffc0001000") && !is_plain("") && !is_plain("a*"));
    }
}
