// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The words of TSDL. In: text. Out: names, numbers, strings, signs, one by one. Never here: what they mean together.

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Wrong {
    pub(in super::super) line: usize,
    pub(in super::super) what: String,
}

/// A word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// A name, a number or a sign.
    Name(&'a str),
    /// What stands between quotes, as it is there.
    Text(&'a str),
}

/// All words.
#[derive(Clone, Debug)]
pub(super) struct Words<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

/// Signs of more than one character come first.
const SIGNS: &[&str] =
    &["...", ":=", "->", "{", "}", "[", "]", "(", ")", "<", ">", ";", ":", "=", ",", ".", "-", "+", "*"];

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str) -> Words<'a> {
        Words { text, at: 0, line: 1 }
    }

    /// An error here.
    pub(super) fn wrong(&self, what: &str) -> Wrong {
        Wrong { line: self.line, what: what.chars().filter(|c| !c.is_control()).take(200).collect() }
    }

    fn blanks(&mut self) -> Result<(), Wrong> {
        loop {
            let rest = &self.text[self.at..];
            let skipped = if rest.starts_with("/*") {
                rest.find("*/").map(|end| end + 2).ok_or_else(|| self.wrong("a comment without an end"))?
            } else if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else {
                rest.len() - rest.trim_start().len()
            };
            if skipped == 0 {
                return Ok(());
            }
            self.line += rest[..skipped].matches('\n').count();
            self.at += skipped;
        }
    }

    /// The next word, and how long it is in the text.
    fn look(&mut self) -> Result<Option<(Word<'a>, usize)>, Wrong> {
        self.blanks()?;
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return Ok(None) };
        if first == '"' {
            let mut escaped = false;
            for (at, c) in rest.char_indices().skip(1) {
                match c {
                    '"' if !escaped => return Ok(Some((Word::Text(&rest[1..at]), at + 1))),
                    _ => escaped = c == '\\' && !escaped,
                }
            }
            return Err(self.wrong("a string without an end"));
        }
        let named = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
        let length = rest.find(|c| !named(c)).unwrap_or(rest.len());
        if length > 0 {
            return Ok(Some((Word::Name(&rest[..length]), length)));
        }
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
        let sign = sign.ok_or_else(|| self.wrong(&format!("{first:?} is no sign of this language")))?;
        Ok(Some((Word::Name(sign), sign.len())))
    }

    pub(super) fn peek(&mut self) -> Result<Option<Word<'a>>, Wrong> {
        Ok(self.look()?.map(|(word, _)| word))
    }

    pub(super) fn next(&mut self) -> Result<Word<'a>, Wrong> {
        let Some((word, length)) = self.look()? else { return Err(self.wrong("it ends in the middle")) };
        self.line += self.text[self.at..self.at + length].matches('\n').count();
        self.at += length;
        Ok(word)
    }

    /// Takes a sign or a name, if it is the next.
    pub(super) fn skip(&mut self, sign: &str) -> Result<bool, Wrong> {
        let found = self.peek()? == Some(Word::Name(sign));
        if found {
            self.next()?;
        }
        Ok(found)
    }

    /// Takes a sign or a name, which must be the next.
    pub(super) fn expect(&mut self, sign: &str) -> Result<(), Wrong> {
        if self.skip(sign)? { Ok(()) } else { Err(self.wrong(&format!("{sign:?} should be here"))) }
    }

    /// A name or a number.
    pub(super) fn name(&mut self) -> Result<&'a str, Wrong> {
        match self.next()? {
            Word::Name(name) if name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') => Ok(name),
            _ => Err(self.wrong("a name should be here")),
        }
    }

    /// Whether a name is the next.
    pub(super) fn is_name(&mut self) -> Result<bool, Wrong> {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        Ok(matches!(self.peek()?, Some(Word::Name(name)) if name.starts_with(first)))
    }

    /// `a.b.c`.
    pub(super) fn path(&mut self) -> Result<String, Wrong> {
        let mut path = self.name()?.to_owned();
        while self.skip(".")? {
            path.push('.');
            path.push_str(self.name()?);
        }
        Ok(path)
    }

    /// A number, maybe with a sign.
    pub(super) fn number(&mut self) -> Result<i128, Wrong> {
        let negative = self.skip("-")?;
        let name = self.name()?;
        let value = number(name).ok_or_else(|| self.wrong(&format!("{name:?} is no number")))?;
        Ok(if negative { -i128::from(value) } else { value.into() })
    }

    /// What stands behind a `=`.
    pub(super) fn value(&mut self) -> Result<String, Wrong> {
        match self.peek()? {
            Some(Word::Text(text)) => {
                self.next()?;
                Ok(text.to_owned())
            }
            Some(Word::Name("-")) => Ok(self.number()?.to_string()),
            _ => self.path(),
        }
    }
}

/// As in C.
pub(super) fn number(text: &str) -> Option<u64> {
    let text = text.trim_end_matches(['u', 'U', 'l', 'L']);
    match (text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")), text.strip_prefix('0')) {
        (Some(digits), _) => u64::from_str_radix(digits, 16).ok(),
        (None, Some(digits)) if !digits.is_empty() => u64::from_str_radix(digits, 8).ok(),
        _ => text.parse().ok(),
    }
}
