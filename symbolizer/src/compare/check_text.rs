// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A check for people: the verdict in a line, what is broken in sentences, a table. In: a [`Check`]. Out: text with
//! colours. Never here: judging.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::check::{Check, Finding, Unit, Verdict};
use crate::report::style::{DIM, WARN, heading, left, printable, right, table, wrap};
use crate::report::units::{count, duration};

const GOOD: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
const BAD: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// Most broken ones that are told in sentences without budgets; the table has all.
const TOLD: usize = 10;

/// Writes it.
///
/// # Errors
/// Those of the writer.
pub fn write(check: &Check, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let style = match check.verdict() {
        Verdict::Good => GOOD,
        Verdict::Broken => BAD,
        Verdict::Unclear => WARN,
    };
    writeln!(out, "{style}{}{style:#}", summary(check))?;
    for verdict in [Verdict::Broken, Verdict::Unclear] {
        // Without budgets all are unclear for the same reason, which the first line says.
        let told = match (check.has_budgets, verdict) {
            (true, _) => usize::MAX,
            (false, Verdict::Unclear) => break,
            (false, _) => TOLD,
        };
        for finding in check.with(verdict).take(told) {
            write_wrapped(out, &sentence(finding), width)?;
        }
        let more = check.with(verdict).count().saturating_sub(told);
        if more > 0 {
            writeln!(out, "  and {more} more, below")?;
        }
    }
    if !check.headline.is_empty() {
        heading(out, width, "Against the baseline", "")?;
        check.headline.iter().try_for_each(|line| write_wrapped(out, &printable(line), width))?;
    }
    for doubt in &check.doubts {
        writeln!(out)?;
        let lines = wrap(&format!("note: {}", printable(doubt)), width);
        lines.iter().try_for_each(|line| writeln!(out, "{WARN}{line}{WARN:#}"))?;
    }
    figures(check, width, out)
}

fn write_wrapped(out: &mut dyn Write, text: &str, width: usize) -> io::Result<()> {
    let lines = wrap(text, width.saturating_sub(4));
    lines.iter().enumerate().try_for_each(|(at, line)| writeln!(out, "{}{line}", if at == 0 { "  " } else { "    " }))
}

/// The first line.
pub fn summary(check: &Check) -> String {
    let all = check.findings.len();
    let (broken, unclear) = (check.with(Verdict::Broken).count(), check.with(Verdict::Unclear).count());
    let are = |number: usize| if number == 1 { "is" } else { "are" };
    match (check.verdict(), check.has_budgets) {
        (Verdict::Good, true) if all == 1 => "good: the budget is kept".to_owned(),
        (Verdict::Good, true) => format!("good: all {all} budgets are kept"),
        (Verdict::Good, false) => "good: nothing became slower".to_owned(),
        (Verdict::Broken, true) => format!("regression: {broken} of {all} budgets {} broken", are(broken)),
        (Verdict::Broken, false) => {
            format!("regression: {broken} figure{} became slower", if broken == 1 { "" } else { "s" })
        }
        (Verdict::Unclear, true) => format!("unclear: {unclear} of {all} budgets cannot be judged"),
        (Verdict::Unclear, false) => {
            let why = check.with(Verdict::Unclear).map(|finding| &*finding.remark).next().unwrap_or_default();
            format!("unclear: {why}")
        }
    }
}

/// What is wrong, in a sentence.
pub fn sentence(finding: &Finding) -> String {
    let Finding { title, limit, value, baseline, allowed, unit, remark, .. } = finding;
    let mut text = format!("{}: {}", printable(title), shown(*unit, value.mean));
    let from_baseline = baseline.as_ref().filter(|base| base.mean != value.mean);
    if let Some(base) = from_baseline {
        let more = value.mean - base.mean;
        let part = finding.change().map(|part| format!(", {:+.1} %", part * 100.0)).unwrap_or_default();
        text += &format!(" instead of {} ({}{part})", shown(*unit, base.mean), signed(*unit, more));
    }
    if let Some(allowed) = allowed.filter(|_| finding.verdict != Verdict::Good) {
        text += &format!("; the budget is {limit}");
        // What a relative one comes to.
        if limit.contains(['%', '+', '-']) {
            text += &format!(", {}", shown(*unit, allowed));
        }
    }
    if let Some(p) = finding.p {
        text += &format!("; p {}", probability(p));
    }
    if !remark.is_empty() {
        text += &format!("; {}", printable(remark));
    }
    text
}

/// A figure in its unit.
pub fn shown(unit: Unit, value: f64) -> String {
    let whole = value.abs().round() as u64;
    let sign = if value < 0.0 { "-" } else { "" };
    match unit {
        Unit::Nanoseconds => format!("{sign}{}", duration(whole)),
        Unit::Ticks => format!("{sign}{} ticks", count(whole)),
        Unit::Number if value.fract() != 0.0 && value.abs() < 100.0 => format!("{value:.1}"),
        Unit::Number => format!("{sign}{}", count(whole)),
    }
}

fn signed(unit: Unit, value: f64) -> String {
    let sign = if value < 0.0 { "" } else { "+" };
    format!("{sign}{}", shown(unit, value))
}

fn probability(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("= {p:.3}") }
}

fn figures(check: &Check, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let boots = |set: &super::check::Set| {
        let s = if set.boots.len() == 1 { "" } else { "s" };
        printable(&format!("{} boot{s} of Linux {}", set.boots.len(), set.releases.join(", ")))
    };
    let against = check.baseline.as_ref().map(|set| format!(" against {}", boots(set))).unwrap_or_default();
    let title = if check.has_budgets { "Budgets" } else { "Figures" };
    heading(out, width, title, &format!("{}{against}", boots(&check.boots)))?;
    if check.findings.is_empty() {
        return writeln!(out, "  {DIM}none{DIM:#}");
    }
    let mut columns = vec![left(""), left(if check.has_budgets { "budget" } else { "figure" })];
    if check.has_budgets {
        columns.push(left("limit"));
    }
    columns.push(right("is"));
    let spread = check.boots.boots.len() > 1;
    if spread {
        columns.push(right("±"));
    }
    if check.baseline.is_some() {
        columns.extend([right("baseline"), right("change")]);
    }
    let row = |finding: &Finding| {
        let mark = match finding.verdict {
            Verdict::Good => "ok",
            Verdict::Broken => "BROKEN",
            Verdict::Unclear => "unclear",
        };
        let mut row = vec![mark.to_owned(), printable(&finding.title)];
        if check.has_budgets {
            row.push(finding.limit.clone());
        }
        row.push(shown(finding.unit, finding.value.mean));
        if spread {
            row.push(if finding.value.all.len() > 1 { shown(finding.unit, finding.value.sd) } else { String::new() });
        }
        if check.baseline.is_some() {
            row.push(finding.baseline.as_ref().map_or_else(String::new, |base| shown(finding.unit, base.mean)));
            row.push(finding.change().map_or_else(String::new, |part| format!("{:+.1} %", part * 100.0)));
        }
        row
    };
    let rows: Vec<Vec<String>> = check.findings.iter().map(row).collect();
    table(out, width, &columns, 1, &rows)?;
    // What is good, and yet must be known: a name that nothing has.
    for finding in check.with(Verdict::Good).filter(|finding| !finding.remark.is_empty()) {
        write_wrapped(out, &format!("{}: {}", printable(&finding.title), printable(&finding.remark)), width)?;
    }
    Ok(())
}
