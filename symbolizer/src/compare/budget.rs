// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Budgets: what a boot may cost, one in a line (symbolizer/CHECK.md has the grammar). In: the text of a file. Out:
//! [`Budget`]s, or all that is wrong with it ([`parse`]; [`mistake`] shows it with carets). Never here: boots.

pub mod mistake;
pub mod parse;

use std::fmt;

use wildmatch::WildMatch;

/// What a budget is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The whole boot.
    Boot,
    /// A level.
    Level,
    /// An initcall, or work like it.
    Initcall,
    /// The initcalls of a module.
    Module,
    /// A function, in all levels.
    Function,
    /// Functions that no boot of the baseline calls.
    NewFunctions,
    /// Functions that only the baseline calls.
    GoneFunctions,
    /// Initcalls that no boot of the baseline has.
    NewInitcalls,
    /// Initcalls that only the baseline has.
    GoneInitcalls,
}

impl Subject {
    /// Those that one word names, with the word.
    pub const WORDS: [(&'static str, Subject); 5] = [
        ("boot", Subject::Boot),
        ("level", Subject::Level),
        ("initcall", Subject::Initcall),
        ("module", Subject::Module),
        ("function", Subject::Function),
    ];

    /// The word, or both words.
    pub fn words(self) -> &'static str {
        match self {
            Subject::Boot => "boot",
            Subject::Level => "level",
            Subject::Initcall => "initcall",
            Subject::Module => "module",
            Subject::Function => "function",
            Subject::NewFunctions => "new functions",
            Subject::GoneFunctions => "gone functions",
            Subject::NewInitcalls => "new initcalls",
            Subject::GoneInitcalls => "gone initcalls",
        }
    }

    /// Whether it is the number of things that one side alone has.
    pub fn is_count(self) -> bool {
        self.figures() == [Figure::Count]
    }

    /// The figures that it has.
    pub fn figures(self) -> &'static [Figure] {
        use Figure::{Busy, Calls, Count, Events, Instructions, Lost, Own, Time, Total};
        match self {
            Subject::Boot => &[Time, Busy, Instructions, Calls, Events, Lost],
            Subject::Level => &[Time, Busy, Instructions, Calls, Events],
            Subject::Initcall | Subject::Module => &[Time, Busy, Instructions, Calls],
            Subject::Function => &[Calls, Own, Total, Instructions],
            _ => &[Count],
        }
    }
}

/// Which figure of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// From begin to end.
    Time,
    /// On a CPU.
    Busy,
    /// Self time.
    Own,
    /// With what was called.
    Total,
    /// Instructions: of deterministic boots, whose time is counted so.
    Instructions,
    /// Calls.
    Calls,
    /// Entries and exits.
    Events,
    /// Events that the guest lost.
    Lost,
    /// How many there are.
    Count,
}

impl Figure {
    /// Those that have a word, with the word.
    pub const WORDS: [(&'static str, Figure); 8] = [
        ("time", Figure::Time),
        ("busy", Figure::Busy),
        ("self", Figure::Own),
        ("total", Figure::Total),
        ("instructions", Figure::Instructions),
        ("calls", Figure::Calls),
        ("events", Figure::Events),
        ("lost", Figure::Lost),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Figure::WORDS.iter().find(|(_, figure)| *figure == self).map_or("count", |(word, _)| word)
    }

    /// Whether it is a time, in nanoseconds.
    pub fn is_time(self) -> bool {
        matches!(self, Figure::Time | Figure::Busy | Figure::Own | Figure::Total)
    }
}

/// How much is allowed. Times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// So much.
    Value(f64),
    /// So much more than the baseline; less, if it is negative.
    More(f64),
    /// So many percent more than the baseline.
    Percent(f64),
}

/// A name, or a pattern with `*` and `?`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    text: String,
    matcher: WildMatch,
}

impl Pattern {
    /// As it is written.
    pub fn new(text: &str) -> Pattern {
        Pattern { text: text.to_owned(), matcher: WildMatch::new(text) }
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it may be true of more than one name.
    pub fn is_wild(&self) -> bool {
        self.text.contains(['*', '?'])
    }

    /// Whether it is true of this one.
    pub fn matches(&self, name: &str) -> bool {
        self.matcher.matches(name)
    }
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Its number, from 1.
    pub line: usize,
    /// It is for each that the pattern matches; else for their sum.
    pub each: bool,
    /// What it is about.
    pub subject: Subject,
    /// Which of them; of the boot and of counts: nothing.
    pub name: Pattern,
    /// Which figure.
    pub figure: Figure,
    /// What is allowed.
    pub amount: Amount,
    /// The amount itself is allowed too (`<=`).
    pub or_equal: bool,
}

impl Budget {
    /// Whether it needs a baseline.
    pub fn is_relative(&self) -> bool {
        !matches!(self.amount, Amount::Value(_)) || self.subject.is_count()
    }

    /// Without its limit, of this name: `level fs time`.
    pub fn title(&self, name: &str) -> String {
        let mut words = vec![self.subject.words().to_owned()];
        if !name.is_empty() {
            words.push(if is_plain(name) { name.to_owned() } else { format!("\"{name}\"") });
        }
        if self.figure != Figure::Count {
            words.push(self.figure.word().to_owned());
        }
        words.join(" ")
    }

    /// The limit: `< 30 ms`.
    pub fn limit(&self) -> String {
        let sign = if self.or_equal { "<=" } else { "<" };
        let shown = |value: f64| if self.figure.is_time() { time(value) } else { number(value) };
        match self.amount {
            Amount::Value(value) => format!("{sign} {}", shown(value)),
            Amount::More(value) => format!("{sign} {}{}", if value < 0.0 { "-" } else { "+" }, shown(value.abs())),
            Amount::Percent(percent) => format!("{sign} {percent:+}%"),
        }
    }
}

/// It needs no quotes.
fn is_plain(name: &str) -> bool {
    !name.chars().any(|c| c.is_whitespace() || c.is_control() || "<>=#\"".contains(c))
}

/// In the largest unit in which it is not below 1, with all its digits.
fn time(ns: f64) -> String {
    let (unit, each) =
        [("s", 1e9), ("ms", 1e6), ("us", 1e3)].into_iter().find(|&(_, each)| ns >= each).unwrap_or(("ns", 1.0));
    format!("{} {unit}", ns / each)
}

/// With the largest letter that leaves it whole.
fn number(value: f64) -> String {
    let whole = |&(_, each): &(&str, f64)| value >= each && value % each == 0.0;
    let (letter, each) = [("G", 1e9), ("M", 1e6), ("k", 1e3)].into_iter().find(whole).unwrap_or(("", 1.0));
    format!("{}{letter}", value / each)
}

/// As it can stand in a file again.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = if self.each { "each " } else { "" };
        write!(f, "{each}{} {}", self.title(self.name.text()), self.limit())
    }
}

#[cfg(test)]
mod tests {
    use super::mistake::render;
    use super::parse::parse;
    use super::*;

    fn one(line: &str) -> Budget {
        parse(line).unwrap_or_else(|wrong| panic!("{line}: {wrong:?}")).remove(0)
    }

    /// The bytes that are marked, and the hint.
    fn wrong(line: &str) -> (String, String) {
        let mistake = parse(line).expect_err(line).remove(0);
        (line[mistake.span].to_owned(), mistake.hint.unwrap_or("-".to_owned()))
    }

    #[test]
    fn each_kind_of_line_is_read_and_written_as_the_same() {
        for (line, subject, figure, amount) in [
            ("boot < 900 ms", Subject::Boot, Figure::Time, Amount::Value(9e8)),
            ("boot instructions < +2%", Subject::Boot, Figure::Instructions, Amount::Percent(2.0)),
            ("boot events <= 1.5M", Subject::Boot, Figure::Events, Amount::Value(1.5e6)),
            ("level fs time<30ms # remark < 7", Subject::Level, Figure::Time, Amount::Value(3e7)),
            ("level device busy < + 2.5 %", Subject::Level, Figure::Busy, Amount::Percent(2.5)),
            ("initcall acpi_init time < +5ms", Subject::Initcall, Figure::Time, Amount::More(5e6)),
            ("module \"a b\" < 1.25us", Subject::Module, Figure::Time, Amount::Value(1250.0)),
            ("function ext4_* calls < 1_000", Subject::Function, Figure::Calls, Amount::Value(1000.0)),
            ("each function ext4_* total < 1s", Subject::Function, Figure::Total, Amount::Value(1e9)),
            ("function \"memcpy [btrfs]\" self < -10%", Subject::Function, Figure::Own, Amount::Percent(-10.0)),
            ("new functions < 10", Subject::NewFunctions, Figure::Count, Amount::Value(10.0)),
            ("gone initcalls <= 0", Subject::GoneInitcalls, Figure::Count, Amount::Value(0.0)),
        ] {
            let budget = one(line);
            assert_eq!((budget.subject, budget.figure, budget.amount), (subject, figure, amount), "{line}");
            let again = one(&budget.to_string());
            assert_eq!(again, budget, "{line}: {budget}");
        }
        assert_eq!(parse("\n  # nothing\n\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_marked_and_what_was_meant_is_guessed() {
        for (line, marked, hint) in [
            ("levle fs < 3ms", "levle", "level"),
            ("level dvice < 3ms", "dvice", "device"),
            ("level fs_initcall < 3ms", "fs_initcall", "fs"),
            ("function foo < 3", "function", "-"),
            ("function foo time < 3ms", "time", "self"),
            ("level fs tim < 3ms", "tim", "time"),
            ("level fs self < 3ms", "self", "-"),
            ("level fs time > 3ms", ">", "<"),
            ("level fs time < 3", "3", "-"),
            ("level fs time < 3 kg", "3 kg", "-"),
            ("level fs time < 3%", "3%", "+3%"),
            ("level fs calls < 3ms", "3ms", "-"),
            ("level fs time <", "", "-"),
            ("level fs time", "", "-"),
            ("level < 3ms", "level", "-"),
            ("each level fs < 3ms", "level", "-"),
            ("function a* total < 3ms", "function", "each function"),
            ("new function < 3", "function", "functions"),
            ("new functions < +3", "+3", "-"),
            ("functions < 3", "functions", "new functions"),
            ("level fs time more < 3ms", "more", "-"),
            ("module \"a < 3ms", "\"a < 3ms", "-"),
            ("< 3ms", "", "-"),
        ] {
            assert_eq!(wrong(line), (marked.to_owned(), hint.to_owned()), "{line}");
        }
    }

    #[test]
    fn mistakes_are_shown_with_file_line_and_carets() {
        let text = "boot < 1s\nlevel dvice\u{1b} < 3ms\nboot tme < 3ms\n";
        let shown = render(text, "boot.budget", &parse(text).unwrap_err(), 100);
        let shown = anstream::adapter::strip_str(&shown).to_string();
        assert!(!shown.contains('\u{1b}'), "{shown}");
        assert!(shown.contains("boot.budget:2:7") && shown.contains("boot.budget:3:6"), "{shown}");
        let caret = shown.lines().find(|line| line.contains('^')).unwrap();
        assert!(caret.contains("^^^^^^ did you mean `device`?"), "{shown}");
    }
}
