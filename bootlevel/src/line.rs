// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Finds `hypergraph=` on a kernel's command line, as the kernel itself would. In: the line. Out: the
//! values, without quotes, with their place in the text that they make together. Never here: what a
//! value means.

/// What our words on the command line begin with.
pub const KEY: &str = "hypergraph=";

/// The values of all `hypergraph=` words on a kernel command line, in order, each with the offset that
/// it has in the text: the values with one comma between any two.
///
/// ```
/// let mut texts = bootlevel::texts(b"quiet hypergraph=filter:fs ro \"hypergraph=depth:9\" -- hypergraph=off");
/// assert_eq!(texts.next(), Some((0, &b"filter:fs"[..])));
/// assert_eq!(texts.next(), Some((10, &b"depth:9"[..])));
/// assert_eq!(texts.next(), None);
/// ```
#[inline]
pub fn texts(line: &[u8]) -> Texts<'_> {
    Texts { rest: line, comma: usize::MAX }
}

/// See [`texts`].
#[derive(Clone, Debug)]
pub struct Texts<'a> {
    rest: &'a [u8],
    /// Offset of the comma before the next value; the first one has none, so it is one before 0. (Also:
    /// two zeros side by side would be cleared with a vector register.)
    comma: usize,
}

impl<'a> Iterator for Texts<'a> {
    type Item = (usize, &'a [u8]);

    /// Word by word as `next_arg` does (lib/cmdline.c): quotes keep spaces together wherever they stand,
    /// and are taken off around the word and around the value only.
    #[inline]
    fn next(&mut self) -> Option<(usize, &'a [u8])> {
        loop {
            let (first, after) = self.rest.split_first()?;
            if is_space(*first) {
                self.rest = after;
                continue;
            }
            let whole_quoted = *first == b'"';
            let (word, rest) = cut_word(if whole_quoted { after } else { self.rest }, whole_quoted);
            self.rest = rest;
            let Some(value) = without_prefix(word, KEY) else {
                let plain = if whole_quoted { without_last_quote(word) } else { word };
                // From here on it is for init.
                if without_prefix(plain, "--").is_some_and(<[u8]>::is_empty) {
                    self.rest = &[];
                }
                continue;
            };
            let value = match value.split_first() {
                Some((b'"', value)) => without_last_quote(value),
                _ if whole_quoted => without_last_quote(value),
                _ => value,
            };
            let at = self.comma.wrapping_add(1);
            self.comma = at.wrapping_add(value.len());
            return Some((at, value));
        }
    }
}

/// What `isspace` says inside the kernel (lib/ctype.c): a no-break space is one too.
#[inline]
const fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0)
}

/// The word up to the first space outside of quotes, and what follows; a NUL ends the line.
#[inline]
fn cut_word(text: &[u8], quoted: bool) -> (&[u8], &[u8]) {
    let mut quoted = quoted;
    let mut length = 0usize;
    for byte in text {
        if *byte == 0 {
            return (text.split_at_checked(length).unwrap_or((text, &[])).0, &[]);
        }
        if is_space(*byte) && !quoted {
            break;
        }
        quoted ^= *byte == b'"';
        length = length.wrapping_add(1);
    }
    text.split_at_checked(length).unwrap_or((text, &[]))
}

#[inline]
fn without_last_quote(text: &[u8]) -> &[u8] {
    match text.split_last() {
        Some((b'"', before)) => before,
        _ => text,
    }
}

/// What follows the prefix. (`strip_prefix` would call `bcmp`, which the guest has not.)
#[inline]
fn without_prefix<'a>(text: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let mut rest = text;
    for expected in prefix.as_bytes() {
        let (byte, after) = rest.split_first()?;
        if byte != expected {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn joined(line: &[u8]) -> String {
        let mut text = Vec::new();
        for (number, (at, value)) in texts(line).enumerate() {
            if number > 0 {
                text.push(b',');
            }
            assert_eq!(at, text.len());
            text.extend_from_slice(value);
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn words_are_cut_as_the_kernel_cuts_them() {
        for (line, text) in [
            ("hypergraph=on", "on"),
            ("  quiet\thypergraph=on\n", "on"),
            ("hypergraph=on hypergraph=depth:3 ro hypergraph=off", "on,depth:3,off"),
            ("hypergraph= hypergraph=on", ",on"),
            ("hypergraph=\"a b\"", "a b"),
            ("\"hypergraph=a b\" c", "a b"),
            // The kernel takes off one quote at the end, not two, and only if one stands at the start.
            ("\"hypergraph=\"ab\"\" c", "ab\""),
            ("\"hypergraph=\"a b\"\" c", "a"),
            ("hypergraph=a\"b c\"d e", "a\"b c\"d"),
            ("hypergraph=a\" b", "a\" b"),
            ("hypergraph=\"", ""),
            ("\"hypergraph=\"", ""),
            ("hypergraph=\"a", "a"),
            ("hypergraph=a=b", "a=b"),
            ("xhypergraph=a hypergraphs=b hypergraph =c hypergraph", ""),
            ("foo=\"hypergraph=a b\"", ""),
            ("foo=\"x hypergraph=a\" hypergraph=b", "b"),
            ("hypergraph=a -- hypergraph=b", "a"),
            ("hypergraph=a \"--\" hypergraph=b", "a"),
            ("hypergraph=a --x hypergraph=b", "a,b"),
            ("hypergraph=a\u{0} hypergraph=b", "a"),
            ("\u{0}hypergraph=b", ""),
            ("", ""),
        ] {
            assert_eq!(joined(line.as_bytes()), text, "{line}");
        }
        assert_eq!(joined(b"hypergraph=a\xa0hypergraph=b"), "a,b");
    }
}
