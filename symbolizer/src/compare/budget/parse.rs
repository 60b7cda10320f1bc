// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Lines of a budget file, word by word. In: the text. Out: [`Budget`]s, or [`Mistake`]s with their places: all of
//! them, not the first alone. Never here: how a mistake is shown.
//!
//! `[each] SUBJECT [NAME] [FIGURE] < LIMIT`, with `#` before remarks and quotes around names with spaces.

use std::ops::Range;

use bootlevel::Phase;

use super::mistake::{Mistake, Problem};
use super::{Amount, Budget, Figure, Pattern, Subject};

/// Most bytes of a file: thousands of lines.
pub const MOST_BYTES: usize = 1 << 20;

/// Most mistakes that are told; a file that is none is full of them.
const MOST_MISTAKES: usize = 20;

/// A word, and where it stands in its line.
#[derive(Clone, Debug)]
struct Word {
    text: String,
    span: Range<usize>,
    quoted: bool,
}

/// Reads a file's text.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Budget>, Vec<Mistake>> {
    let (mut budgets, mut mistakes) = (Vec::new(), Vec::new());
    if text.len() > MOST_BYTES {
        return Err(vec![Mistake { line: 1, span: 0..0, problem: Problem::TooLong, hint: None }]);
    }
    for (number, line) in (1..).zip(text.lines()) {
        match read(number, line) {
            Ok(None) => {}
            Ok(Some(budget)) => budgets.push(budget),
            Err(wrong) => mistakes.push(Mistake { line: number, span: wrong.0, problem: wrong.1, hint: wrong.2 }),
        }
        if mistakes.len() >= MOST_MISTAKES {
            break;
        }
    }
    if mistakes.is_empty() { Ok(budgets) } else { Err(mistakes) }
}

/// Place, problem, what was probably meant.
type Wrong = (Range<usize>, Problem, Option<String>);

fn read(number: usize, line: &str) -> Result<Option<Budget>, Wrong> {
    let mut words = words(line)?;
    let end = line.trim_end().len()..line.trim_end().len();
    let missing = |what| (end.clone(), Problem::Missing(what), None);
    if words.is_empty() {
        return Ok(None);
    }
    let sign = words.iter().position(|word| !word.quoted && matches!(&*word.text, "<" | "<=" | ">" | ">=" | "="));
    let Some(sign) = sign else {
        // Of two mistakes the first is told.
        subject(&words)?;
        return Err(missing("`<` and a limit"));
    };
    let limit = words.split_off(sign + 1);
    let or_equal = match words.pop() {
        Some(sign) if sign.text == "<=" => true,
        Some(sign) if sign.text == "<" => false,
        Some(sign) => return Err((sign.span, Problem::Sign, Some("<".to_owned()))),
        None => return Err(missing("a subject")),
    };
    let each = words.first().is_some_and(|word| !word.quoted && word.text == "each");
    if each {
        words.remove(0);
    }
    if words.is_empty() {
        return Err(missing("a subject"));
    }
    let (subject, taken) = subject(&words)?;
    let mut rest = words.split_off(taken).into_iter().peekable();
    let mut name = Pattern::new("");
    if !subject.is_count() && subject != Subject::Boot {
        let Some(word) = rest.next() else { return Err((words[0].span.clone(), Problem::Nameless, None)) };
        name = self::name(subject, &word)?;
    }
    let figure = match rest.next() {
        _ if subject.is_count() => Figure::Count,
        Some(word) => figure(subject, &word)?,
        None if subject == Subject::Function => {
            return Err((words[0].span.clone(), Problem::NoFigure, None));
        }
        None => Figure::Time,
    };
    if let Some(word) = rest.next() {
        return Err((word.span, Problem::TooMuch, None));
    }
    if each && !name.is_wild() {
        return Err((words[0].span.clone(), Problem::NotEach, None));
    }
    if !each && name.is_wild() && figure == Figure::Total {
        return Err((words[0].span.clone(), Problem::SumOfTotals, Some(format!("each {}", words[0].text))));
    }
    let amount = amount(figure, subject, &limit).map_err(|wrong| wrong.unwrap_or_else(|| missing("a limit")))?;
    Ok(Some(Budget { line: number, each, subject, name, figure, amount, or_equal }))
}

/// The words of a line up to a remark. Signs are words of their own.
fn words(line: &str) -> Result<Vec<Word>, Wrong> {
    let mut words: Vec<Word> = Vec::new();
    let mut characters = line.char_indices().peekable();
    let mut open: Option<Word> = None;
    while let Some((at, c)) = characters.next() {
        let is_sign = "<>=".contains(c);
        if c.is_whitespace() || is_sign || c == '#' || c == '"' {
            words.extend(open.take());
        }
        match c {
            _ if c.is_whitespace() => {}
            '#' => return Ok(words),
            '"' => {
                let start = at + 1;
                let Some(length) = line[start..].find('"') else {
                    return Err((at..line.len(), Problem::OpenQuote, None));
                };
                let text = line[start..start + length].to_owned();
                words.push(Word { text, span: at..start + length + 1, quoted: true });
                while characters.peek().is_some_and(|&(at, _)| at <= start + length) {
                    characters.next();
                }
            }
            _ if is_sign => {
                let mut word = Word { text: c.to_string(), span: at..at + 1, quoted: false };
                if characters.next_if(|&(_, c)| c == '=').is_some() {
                    word.text.push('=');
                    word.span.end += 1;
                }
                words.push(word);
            }
            _ => {
                let word = open.get_or_insert(Word { text: String::new(), span: at..at, quoted: false });
                word.text.push(c);
                word.span.end = at + c.len_utf8();
            }
        }
    }
    words.extend(open);
    Ok(words)
}

/// The subject, and how many words name it.
fn subject(words: &[Word]) -> Result<(Subject, usize), Wrong> {
    let words = if words.first().is_some_and(|word| word.text == "each") { &words[1..] } else { words };
    let Some(first) = words.first() else { return Err((0..0, Problem::Missing("a subject"), None)) };
    if let Some(&(_, subject)) = Subject::WORDS.iter().find(|(word, _)| *word == first.text) {
        return Ok((subject, 1));
    }
    if matches!(&*first.text, "new" | "gone") {
        let Some(of) = words.get(1) else { return Err((first.span.clone(), Problem::NewWhat, None)) };
        return match (&*first.text, &*of.text) {
            ("new", "functions") => Ok((Subject::NewFunctions, 2)),
            ("gone", "functions") => Ok((Subject::GoneFunctions, 2)),
            ("new", "initcalls") => Ok((Subject::NewInitcalls, 2)),
            ("gone", "initcalls") => Ok((Subject::GoneInitcalls, 2)),
            (_, other) => Err((of.span.clone(), Problem::NewWhat, nearest(other, ["functions", "initcalls"]))),
        };
    }
    let hint = if first.text == "functions" || first.text == "initcalls" {
        Some(format!("new {}", first.text))
    } else {
        nearest(&first.text, Subject::WORDS.iter().map(|(word, _)| *word).chain(["each", "new", "gone"]))
    };
    Err((first.span.clone(), Problem::Subject, hint))
}

fn name(subject: Subject, word: &Word) -> Result<Pattern, Wrong> {
    let name = Pattern::new(&word.text);
    if word.text.is_empty() {
        return Err((word.span.clone(), Problem::Nameless, None));
    }
    if subject == Subject::Level && !levels().any(|level| name.matches(level)) {
        // `fs_initcall` is the kernel's word for it.
        let plain = word.text.trim_end_matches("_sync").trim_end_matches("_initcall");
        let hint = if plain == "module_init" { Some("device".to_owned()) } else { nearest(plain, levels()) };
        return Err((word.span.clone(), Problem::Level, hint));
    }
    Ok(name)
}

/// Phases that a trace can have.
fn levels() -> impl Iterator<Item = &'static str> {
    Phase::ALL.into_iter().filter(|phase| *phase != Phase::Firmware).map(Phase::name)
}

fn figure(subject: Subject, word: &Word) -> Result<Figure, Wrong> {
    let here = || subject.figures().iter().map(|figure| figure.word());
    let known = Figure::WORDS.iter().find(|(name, _)| *name == word.text).map(|&(_, figure)| figure);
    match known {
        Some(figure) if subject.figures().contains(&figure) => Ok(figure),
        Some(Figure::Time) if subject == Subject::Function => {
            Err((word.span.clone(), Problem::NotThisFigure(subject), Some("self".to_owned())))
        }
        Some(_) => Err((word.span.clone(), Problem::NotThisFigure(subject), None)),
        None => Err((word.span.clone(), Problem::Figure(subject), nearest(&word.text, here()))),
    }
}

/// None as an error: there is no limit at all.
fn amount(figure: Figure, subject: Subject, limit: &[Word]) -> Result<Amount, Option<Wrong>> {
    let (Some(first), Some(last)) = (limit.first(), limit.last()) else { return Err(None) };
    let span = first.span.start..last.span.end;
    let wrong = |problem| Some((span.clone(), problem, None));
    // `+ 2 %` is `+2%`.
    let text: String = limit.iter().map(|word| word.text.as_str()).collect();
    let (sign, unsigned) = match text.strip_prefix('+') {
        Some(rest) => (Some(1.0), rest),
        None => match text.strip_prefix(['-', '−']) {
            Some(rest) => (Some(-1.0), rest),
            None => (None, &*text),
        },
    };
    let digits = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(unsigned.len());
    let (number, unit) = unsigned.split_at(digits);
    let number: f64 = number.replace('_', "").parse().map_err(|_| wrong(Problem::Number))?;
    if unit == "%" {
        return match sign {
            _ if subject.is_count() => Err(wrong(Problem::NoPercent)),
            Some(sign) => Ok(Amount::Percent(sign * number)),
            None => Err(Some((span, Problem::PercentOfWhat, Some(format!("+{unsigned}"))))),
        };
    }
    let scale = match (figure.is_time(), unit) {
        (true, "ns") => 1.0,
        (true, "us" | "µs" | "μs") => 1e3,
        (true, "ms") => 1e6,
        (true, "s") => 1e9,
        (true, "") => return Err(wrong(Problem::NoUnit)),
        (true, _) => return Err(wrong(Problem::TimeUnit)),
        (false, "") => 1.0,
        (false, "k") => 1e3,
        (false, "M") => 1e6,
        (false, "G") => 1e9,
        (false, _) => return Err(wrong(Problem::CountUnit(figure))),
    };
    match sign {
        Some(_) if subject.is_count() => Err(wrong(Problem::NoPercent)),
        Some(sign) => Ok(Amount::More(sign * number * scale)),
        None => Ok(Amount::Value(number * scale)),
    }
}

/// The word that is nearest, if it is near: one in three letters may be wrong.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_ascii_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1) && *distance < name.len())
        .min_by_key(|(distance, name)| (*distance, !name.starts_with(&lower)))
        .map(|(_, name)| name.to_owned())
}
