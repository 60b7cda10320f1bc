// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Layout of text reports: headings, tables, bars. In: cells of text. Out: lines within a width.
//! Colours are always written; the caller's stream drops them where no terminal is. Never here:
//! figures.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

/// Of headings.
pub const HEADING: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));
/// Of what is secondary.
pub const DIM: Style = Style::new().dimmed();
/// Of what needs attention.
pub const WARN: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
/// Of what has grown: more time, more calls.
pub const MORE: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
/// Of what has become less.
pub const LESS: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
/// Of bars.
pub const BAR: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Above it.
    pub title: &'static str,
    /// Numbers stand to the right.
    pub right: bool,
}

/// A column of text.
pub const fn left(title: &'static str) -> Column {
    Column { title, right: false }
}

/// A column of numbers.
pub const fn right(title: &'static str) -> Column {
    Column { title, right: true }
}

/// Writes a heading with an empty line before it; a remark that does not fit beside it goes below.
///
/// # Errors
/// Those of the writer.
pub fn heading(out: &mut dyn Write, width: usize, text: &str, remark: &str) -> io::Result<()> {
    writeln!(out)?;
    if remark.is_empty() {
        writeln!(out, "{HEADING}{text}{HEADING:#}")
    } else if text.chars().count() + 2 + remark.chars().count() <= width {
        writeln!(out, "{HEADING}{text}{HEADING:#}  {DIM}{remark}{DIM:#}")
    } else {
        writeln!(out, "{HEADING}{text}{HEADING:#}")?;
        wrap(remark, width.saturating_sub(2)).iter().try_for_each(|line| writeln!(out, "  {DIM}{line}{DIM:#}"))
    }
}

/// Writes a table, two spaces in; what does not fit the width is taken from the `flexible` column,
/// then from the last one.
///
/// # Errors
/// Those of the writer.
pub fn table(
    out: &mut dyn Write,
    width: usize,
    columns: &[Column],
    flexible: usize,
    rows: &[Vec<String>],
) -> io::Result<()> {
    let plain = |row: &Vec<String>| row.iter().map(|cell| (Style::new(), cell.clone())).collect();
    coloured_table(out, width, columns, flexible, &rows.iter().map(plain).collect::<Vec<_>>())
}

/// The same, of cells each with its colour.
///
/// # Errors
/// Those of the writer.
pub fn coloured_table(
    out: &mut dyn Write,
    width: usize,
    columns: &[Column],
    flexible: usize,
    rows: &[Vec<(Style, String)>],
) -> io::Result<()> {
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().map(|row| row[index].1.chars().count()).max().unwrap_or(0);
            cells.max(column.title.chars().count())
        })
        .collect();
    let used = |widths: &[usize]| 2 * widths.len() + widths.iter().sum::<usize>();
    for index in [columns.len() - 1, flexible] {
        let over = used(&widths).saturating_sub(width);
        let least = if index == flexible { 16 } else { 22 };
        widths[index] = widths[index].saturating_sub(over).max(widths[index].min(least));
    }
    write!(out, "{DIM}")?;
    line(out, columns, &widths, columns.iter().map(|column| (Style::new(), column.title)))?;
    write!(out, "{DIM:#}")?;
    for row in rows {
        line(out, columns, &widths, row.iter().map(|(style, cell)| (*style, cell.as_str())))?;
    }
    Ok(())
}

fn line<'a>(
    out: &mut dyn Write,
    columns: &[Column],
    widths: &[usize],
    cells: impl Iterator<Item = (Style, &'a str)>,
) -> io::Result<()> {
    let mut text = String::new();
    // Blanks that only something behind them needs.
    let mut blanks = 0;
    for ((column, &width), (style, cell)) in columns.iter().zip(widths).zip(cells) {
        let cell = shorten(cell, width);
        let pad = width - cell.chars().count();
        let (before, after) = if column.right { (pad, 0) } else { (0, pad) };
        blanks += 2 + before;
        if !cell.trim_end().is_empty() {
            text.push_str(&" ".repeat(blanks));
            text.push_str(&format!("{style}{cell}{style:#}"));
            blanks = after;
        } else {
            blanks += cell.chars().count() + after;
        }
    }
    writeln!(out, "{}", text.trim_end())
}

/// Cuts text to a width, with an ellipsis: paths at their begin, since file and line tell most.
pub fn shorten(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    if text.contains('/') && text.contains(':') {
        return ['…'].into_iter().chain(text.chars().skip(length - width + 1)).collect();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// A bar of eighths of a character, `part` of `whole` of `width` long.
pub fn bar(part: u64, whole: u64, width: usize) -> String {
    let eighths = if whole == 0 { 0 } else { (part as f64 / whole as f64 * width as f64 * 8.0).round() as usize };
    let mut bar = "█".repeat(eighths / 8);
    if eighths % 8 > 0 {
        bar.extend(['▏', '▎', '▍', '▌', '▋', '▊', '▉'].get(eighths % 8 - 1));
    }
    bar
}

/// Breaks words into lines of a width.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Text from outside (a guest, a trace, a vmlinux) for a terminal: control characters made visible.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_keep_to_the_width() {
        let rows =
            vec![vec!["1".to_owned(), "a_very_long_function_name_indeed".to_owned(), "mm/slub.c:1234".to_owned()]];
        let mut out = Vec::new();
        table(&mut out, 40, &[right("n"), left("function"), left("source")], 1, &rows).unwrap();
        let text = anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert!(text.contains('…'));
    }

    #[test]
    fn bars_and_words_fit() {
        assert_eq!(bar(1, 2, 4), "██");
        assert_eq!(bar(0, 0, 4), "");
        assert_eq!(bar(9, 16, 2), "█▏");
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
    }
}
