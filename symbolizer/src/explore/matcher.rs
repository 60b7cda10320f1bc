// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What is searched for, and whether a text has it. In: words as typed. Out: yes or no, and where. All words
//! must occur, in any order; letters match in either case unless one that was typed is a capital. Never here:
//! where to search.

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    words: Vec<String>,
    exact: bool,
}

impl Matcher {
    /// For what was typed.
    pub fn new(typed: &str) -> Matcher {
        let words = typed.split_whitespace().map(str::to_owned).collect();
        Matcher { words, exact: typed.chars().any(char::is_uppercase) }
    }

    /// Whether nothing was typed; it matches all then.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether a text has it.
    pub fn matches(&self, text: &str) -> bool {
        self.words.iter().all(|word| self.find(text, word).is_some())
    }

    /// Where in the text the words are first: characters from and to.
    pub fn places(&self, text: &str) -> Vec<(usize, usize)> {
        let place = |word: &String| {
            let at = self.find(text, word)?;
            let from = text.get(..at)?.chars().count();
            Some((from, from + word.chars().count()))
        };
        let places: Vec<_> = self.words.iter().filter_map(place).collect();
        if places.len() == self.words.len() { places } else { Vec::new() }
    }

    /// Names are ASCII but for what a damaged vmlinux holds: bytes are compared.
    fn find(&self, text: &str, word: &str) -> Option<usize> {
        if self.exact {
            return text.find(word);
        }
        let (text, word) = (text.as_bytes(), word.as_bytes());
        let mut windows = text.windows(word.len());
        windows.position(|window| window.eq_ignore_ascii_case(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_words_in_any_order_and_case_unless_one_is_a_capital() {
        assert!(Matcher::new(" ").is_empty() && !Matcher::new("x").is_empty());
        assert!(Matcher::new("page alloc").matches("__alloc_PAGES"));
        assert!(!Matcher::new("page free").matches("__alloc_pages"));
        assert!(Matcher::new("Page").matches("PageTable") && !Matcher::new("Page").matches("page"));
        assert!(Matcher::new("  ").matches("anything"));
        assert_eq!(Matcher::new("oc pa").places("__alloc_pages"), [(5, 7), (8, 10)]);
        assert_eq!(Matcher::new("oc xx").places("__alloc_pages"), []);
        assert_eq!(Matcher::new("b").places("äb"), [(1, 2)]);
    }
}
