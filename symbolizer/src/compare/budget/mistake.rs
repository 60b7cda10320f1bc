// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What is wrong with a budget file, as a compiler shows it: file, line, column, carets. In: the text and
//! [`Mistake`]s. Out: lines with colours; the caller's stream drops them where no terminal is. Never here: grammar.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::{Figure, Subject};

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Something is not there.
    #[error("{0} is missing here: SUBJECT [NAME] [FIGURE] < LIMIT")]
    Missing(&'static str),
    /// No such subject.
    #[error("no such subject: it is boot, level, initcall, module, function, new functions or gone functions")]
    Subject,
    /// `new` and `gone` of something else.
    #[error("of functions and initcalls it can be said how many are new or gone")]
    NewWhat,
    /// Which one?
    #[error("a name is missing: which one, or * for all")]
    Nameless,
    /// No such level.
    #[error("no level of a boot has this name")]
    Level,
    /// No such figure.
    #[error("no such figure: a {} has {}", .0.words(), list(.0))]
    Figure(Subject),
    /// One that others have.
    #[error("a {} has no such figure, but {}", .0.words(), list(.0))]
    NotThisFigure(Subject),
    /// A function has no figure of its own choice.
    #[error("calls, self or total of the function?")]
    NoFigure,
    /// Words that nothing is known of.
    #[error("too much: after name and figure the limit follows; names with spaces stand in quotes")]
    TooMuch,
    /// Not `<`.
    #[error("a budget is a limit that must not be reached: `<`, or `<=` if it may be")]
    Sign,
    /// Each of one.
    #[error("`each` is for names with * or ?; of a single name it says nothing")]
    NotEach,
    /// Totals contain each other.
    #[error("a sum of total times counts callees more than once: ask for each, or for self")]
    SumOfTotals,
    /// No closing quote.
    #[error("this quote has no end")]
    OpenQuote,
    /// No number.
    #[error("no number: 30ms, 1000, 1.5M, +2%, +5ms")]
    Number,
    /// `2%` without a sign.
    #[error("percent of what? With a sign it is more, or less, than the baseline")]
    PercentOfWhat,
    /// A count of new things is compared already.
    #[error("this is compared with the baseline already: a plain number")]
    NoPercent,
    /// A time without unit.
    #[error("a time needs a unit: ns, us, ms, s, or % of the baseline")]
    NoUnit,
    /// Another unit.
    #[error("no unit of time: ns, us, ms, s, or % of the baseline")]
    TimeUnit,
    /// A unit of a number.
    #[error("{} are a number: 1000, 10k, 1.5M, 2G, or % of the baseline", .0.word())]
    CountUnit(Figure),
    /// No budgets but something else.
    #[error("this is too large for budgets")]
    TooLong,
}

fn list(subject: &Subject) -> String {
    subject.figures().iter().map(|figure| figure.word()).collect::<Vec<_>>().join(", ")
}

/// One of them, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// Bytes of the line.
    pub span: Range<usize>,
    /// What is wrong.
    pub problem: Problem,
    /// What was probably meant, as it should stand there.
    pub hint: Option<String>,
}

/// One paragraph for each mistake.
pub fn render(text: &str, path: &str, mistakes: &[Mistake], width: usize) -> String {
    let renderer = Renderer::styled().term_width(width);
    let mut out = String::new();
    for Mistake { line, span, problem, hint } in mistakes {
        let written = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        // What would steer a terminal is shown as something else, of one byte as well.
        let shown: String = written.chars().map(|c| if c.is_ascii_control() { '?' } else { c }).collect();
        let shown: String = shown.chars().map(|c| if c.is_control() { '\u{ff}' } else { c }).collect();
        // An end of line is marked too.
        let (start, end) = (span.start.min(shown.len()), span.end.min(shown.len()));
        let label = hint.as_ref().map(|hint| format!("did you mean `{hint}`?"));
        let mark = AnnotationKind::Primary.span(start..end).label(label);
        let snippet = Snippet::source(shown.as_str()).line_start(*line).path(path).annotation(mark);
        let group = Level::ERROR.primary_title(problem.to_string()).element(snippet);
        out += &renderer.render(&[group]);
        out.push('\n');
    }
    out
}
