// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Patterns for function names: `*` is any text, also none; `?` is any one byte; all others are
//! themselves. In and out: bytes. Never here: recursion, allocation, a way to panic.

/// Whether the whole name fits the pattern. At most pattern times name steps: only the last `*` that was
/// passed is ever tried again.
///
/// ```
/// use bootlevel::glob::matches;
/// assert!(matches(b"vfs_*", b"vfs_read"));
/// assert!(matches(b"*_init", b"ext4_init"));
/// assert!(!matches(b"vfs_?", b"vfs_read"));
/// ```
#[inline]
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // What follows the last `*`, and where in the name that was last tried.
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), name.split_first()) {
            (Some((b'*', after)), _) => {
                pattern = after;
                again = Some((after, name));
            }
            (Some((wanted, after)), Some((byte, rest))) if *wanted == b'?' || wanted == byte => {
                pattern = after;
                name = rest;
            }
            (None, None) => return true,
            _ => {
                let Some((after, tried)) = again else { return false };
                let Some((_, rest)) = tried.split_first() else { return false };
                pattern = after;
                name = rest;
                again = Some((after, rest));
            }
        }
    }
}

/// Whether the byte can stand in a pattern: in a function's name, or as a wildcard.
#[inline]
pub(crate) const fn is_pattern_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b'*' | b'?')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, by recursion.
    fn slow(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', after @ ..], _) => (0..=name.len()).any(|skip| slow(after, &name[skip..])),
            ([b'?', after @ ..], [_, rest @ ..]) => slow(after, rest),
            ([wanted, after @ ..], [byte, rest @ ..]) => wanted == byte && slow(after, rest),
            _ => false,
        }
    }

    #[test]
    fn all_short_patterns_match_as_defined() {
        let texts = |letters: &'static [u8], most: u32| {
            (0..=most).flat_map(move |len| {
                (0..letters.len().pow(len)).map(move |mut number| {
                    let mut text = std::vec::Vec::new();
                    for _ in 0..len {
                        text.push(letters[number % letters.len()]);
                        number /= letters.len();
                    }
                    text
                })
            })
        };
        let names: std::vec::Vec<_> = texts(b"ab", 6).collect();
        let mut hits = 0;
        for pattern in texts(b"ab*?", 5) {
            for name in &names {
                let expected = slow(&pattern, name);
                assert_eq!(matches(&pattern, name), expected, "{pattern:?} {name:?}");
                hits += u32::from(expected);
            }
        }
        assert!(hits > 10_000, "{hits}");
    }

    #[test]
    fn many_stars_end() {
        let pattern = [*b"*a"; 100].concat();
        let mut name = std::vec![b'a'; 2000];
        name.push(b'b');
        assert!(!matches(&pattern, &name));
        name.pop();
        assert!(matches(&pattern, &name));
    }
}
