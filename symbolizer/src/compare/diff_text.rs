// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A comparison for people. In: a [`Diff`]. Out: sentences and tables within a width. Never here: figures, standard
//! output.
//!
//! What is slower is red, what is faster green, and both have a sign and a word; `~` is what may be chance.

use std::io::{self, Write};

use anstyle::Style;

use super::diff::{Basis, Change, Diff, Kind, Metric, Row, Side};
use super::diff_words::{Words, count, name, percent, probability, sign};
use super::explain;
use crate::report::style::{
    Column, DIM, HEADING, LESS, MORE, WARN, coloured_table, heading, left, printable, right, wrap,
};

/// Width from which there is room for intervals and probabilities.
const WIDE: usize = 95;

/// Columns that functions need besides: calls, total.
const FUNCTIONS: usize = 25;

/// Width from which there is room for both sides.
const BOTH: usize = 70;

/// Width from which there is room for percent.
const PERCENT: usize = 60;

/// Width from which files are told unasked.
const FILES: usize = 130;

/// Lines of the tables of new and of vanished functions, unless asked for more.
const FEW: usize = 5;

/// Parts of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// The boots themselves
    Boot,
    /// The phases of the boot
    Level,
    /// Initcalls
    Initcall,
    /// Initcalls summed by module
    Module,
    /// Functions
    Function,
}

/// What of the text is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Columns of text.
    pub width: usize,
    /// Lines of each table.
    pub top: usize,
    /// Only this part.
    pub by: Option<By>,
    /// Source files of functions.
    pub lines: bool,
}

type Cell = (Style, String);

/// Functions of one side only: a title, which they are, and the mean on that side.
type OneSided = (&'static str, fn(&Row) -> bool, fn(&Change) -> f64);

/// The boots of a side: its letter, and the values of each boot.
type BootsOf<'d> = (&'static str, &'d Side, fn(&Change) -> &[f64]);

fn plain(text: String) -> Cell {
    (Style::new(), text)
}

fn colour(difference: f64) -> Style {
    if difference > 0.0 { MORE } else { LESS }
}

/// Writes it.
///
/// # Errors
/// Those of the writer.
pub fn write(diff: &Diff, options: Options, out: &mut dyn Write) -> io::Result<()> {
    header(diff, options, out)?;
    let text = Text { diff, options, words: Words { ns: diff.ns } };
    let all = options.by.is_none();
    let wants = |by| options.by == Some(by);
    // Of boots that are the same the levels are enough.
    let tables = all && (diff.changed() || diff.basis == Basis::TooFew);
    if wants(By::Boot) {
        text.boots(out)?;
    }
    if all || wants(By::Level) {
        text.timed("By level", &diff.levels, "level", usize::MAX, out)?;
    }
    if tables || wants(By::Initcall) {
        text.timed("Initcalls", &diff.initcalls, "initcall", options.top, out)?;
    }
    if wants(By::Module) {
        text.timed("By module", &diff.modules, "module", options.top, out)?;
    }
    if tables || wants(By::Function) {
        text.functions(out)?;
        text.one_sided(out)?;
    }
    Ok(())
}

/// Sentences, who is compared, and what makes it doubtful.
fn header(diff: &Diff, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let mut sentences = explain::headline(diff).into_iter();
    // The first is never broken: it is what other programs take.
    writeln!(out, "{HEADING}{}{HEADING:#}", sentences.next().unwrap_or_default())?;
    let width = options.width.saturating_sub(4).max(20);
    for sentence in sentences {
        for (number, line) in wrap(&sentence, width).iter().enumerate() {
            writeln!(out, "  {} {line}", if number == 0 { '-' } else { ' ' })?;
        }
    }
    writeln!(out)?;
    for (letter, side) in [('A', &diff.a), ('B', &diff.b)] {
        let line = told(side);
        let line = wrap(&line, width);
        for (number, line) in line.iter().enumerate() {
            writeln!(out, "  {} {line}", if number == 0 { letter } else { ' ' })?;
        }
    }
    let basis = match diff.basis {
        Basis::Exact => "deterministic boots, whose time is instructions: differences are no chance".to_owned(),
        Basis::Tested => format!(
            "p: probability of such a difference by chance, corrected for all {} figures compared; ~: may be chance",
            count(diff.tests as f64)
        ),
        // A doubt, which says how many would do.
        Basis::TooFew => String::new(),
    };
    wrap(&basis, width).iter().try_for_each(|line| writeln!(out, "  {DIM}{line}{DIM:#}"))?;
    let settings = diff.settings.iter().map(|setting| format!("not the same in all boots: {setting}"));
    for doubt in diff.doubts.iter().cloned().chain(settings) {
        wrap(&printable(&doubt), width).iter().try_for_each(|line| writeln!(out, "  {WARN}{line}{WARN:#}"))?;
    }
    Ok(())
}

fn told(side: &Side) -> String {
    const NAMED: usize = 3;
    let all = side.boots.len();
    let named = side.boots.iter().take(NAMED).map(|name| printable(name)).collect::<Vec<_>>().join(", ");
    let more = if all > NAMED { format!(" and {} more", all - NAMED) } else { String::new() };
    let boots = if all == 1 { "1 boot".to_owned() } else { format!("{all} boots") };
    format!("Linux {}, {boots}: {named}{more}", printable(&side.releases.join(", ")))
}

/// What happened to it, in a word, with its colour.
fn verdict(row: &Row, basis: Basis) -> Cell {
    let changed = |metric| row.change(metric).filter(|change| change.changed);
    if row.is_new() {
        return (MORE, "new".to_owned());
    }
    if row.is_gone() {
        return (LESS, "gone".to_owned());
    }
    let by_time = [Metric::Time, Metric::Own, Metric::Busy, Metric::Total].into_iter().find_map(changed);
    let timed = |change: &Change| {
        (colour(change.difference), if change.difference > 0.0 { "slower" } else { "faster" }.to_owned())
    };
    match (row.moved(), by_time, changed(Metric::Calls).or(changed(Metric::Events))) {
        (true, _, _) => (WARN, "moved".to_owned()),
        (_, Some(change), _) => timed(change),
        (_, None, Some(calls)) => {
            (colour(calls.difference), if calls.difference > 0.0 { "more calls" } else { "fewer calls" }.to_owned())
        }
        _ if changed(Metric::OnFirstCpu).is_some() => (WARN, "other CPU".to_owned()),
        _ if basis == Basis::TooFew => plain(String::new()),
        _ if basis == Basis::Exact && row.changes.iter().all(|change| change.difference == 0.0) => {
            plain("=".to_owned())
        }
        _ => plain("~".to_owned()),
    }
}

struct Text<'d> {
    diff: &'d Diff,
    options: Options,
    words: Words,
}

impl Text<'_> {
    /// Rows that have changed; without any, or of too few boots, those with the largest differences.
    fn chosen<'r>(&self, rows: &'r [Row], top: usize) -> (Vec<&'r Row>, String) {
        let changed: Vec<&Row> = rows.iter().filter(|row| row.changed()).collect();
        let all = count(rows.len() as f64);
        if self.diff.basis == Basis::TooFew {
            let size = |row: &&Row| row.changes.first().map_or(0.0, |change| change.difference.abs());
            let mut rows: Vec<&Row> = rows.iter().filter(|row| size(row) > 0.0).collect();
            rows.sort_by(|a, b| size(b).total_cmp(&size(a)).then_with(|| a.item.cmp(&b.item)));
            return (rows.into_iter().take(top).collect(), format!("the largest differences of {all}"));
        }
        if self.options.by.is_some() || changed.is_empty() {
            let told = format!("{} of {all} changed", count(changed.len() as f64));
            let rest = rows.iter().filter(|row| !row.changed());
            let differ = |row: &&Row| self.options.by.is_some() || row.changes.iter().any(|c| c.difference != 0.0);
            return (changed.into_iter().chain(rest.filter(differ)).take(top).collect(), told);
        }
        let more = if changed.len() > top { format!("; the {top} largest") } else { String::new() };
        let told = format!("{} of {all} changed{more}", count(changed.len() as f64));
        (changed.into_iter().take(top).collect(), told)
    }

    /// Whether there is room for an interval, in a table that has `beside` columns besides.
    fn intervals(&self, beside: usize) -> bool {
        self.options.width >= WIDE + beside && self.diff.basis == Basis::Tested
    }

    /// Columns of a figure: both sides, difference, part, interval, probability.
    fn columns(&self, beside: usize) -> Vec<Column> {
        let mut columns = Vec::new();
        if self.options.width >= BOTH {
            columns.extend([right("A"), right("B")]);
        }
        columns.push(right("B - A"));
        if self.options.width >= PERCENT {
            columns.push(right("%"));
        }
        if self.intervals(beside) {
            columns.push(right("95 % interval"));
        }
        if self.intervals(0) {
            columns.push(right("p"));
        }
        columns
    }

    fn cells(&self, change: Option<&Change>, moved: bool, beside: usize) -> Vec<Cell> {
        let Some(change) = change else { return self.columns(beside).iter().map(|_| plain("-".to_owned())).collect() };
        let (metric, words) = (change.metric, self.words);
        let value = |mean: f64, other: f64| {
            if mean == 0.0 && other != 0.0 { "-".to_owned() } else { words.value(metric, mean) }
        };
        let style = if change.changed && !moved { colour(change.difference) } else { Style::new() };
        let mut cells = Vec::new();
        if self.options.width >= BOTH {
            cells.extend([plain(value(change.a.mean, change.b.mean)), plain(value(change.b.mean, change.a.mean))]);
        }
        let signed = words.signed(metric, change.difference);
        let part =
            change.relative.filter(|_| signed != "0" && !signed.starts_with("0 ")).map_or_else(String::new, part);
        cells.push((style, signed));
        if self.options.width >= PERCENT {
            cells.push((style, part));
        }
        if self.intervals(beside) {
            let told = |(low, high)| format!("{} to {}", words.signed(metric, low), words.signed(metric, high));
            cells.push(plain(change.interval.map_or_else(String::new, told)));
        }
        if self.intervals(0) {
            cells.push(plain(change.adjusted.map_or_else(String::new, probability)));
        }
        cells
    }

    /// A table of what has a begin and an end.
    fn timed(&self, title: &str, rows: &[Row], what: &'static str, top: usize, out: &mut dyn Write) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let whole = rows.iter().all(|row| row.kind == Kind::Level);
        let (chosen, told) = if whole { (rows.iter().collect(), String::new()) } else { self.chosen(rows, top) };
        if chosen.is_empty() {
            return Ok(());
        }
        let remark = match whole {
            true => "mean time from begin to end, before (A) and after (B)".to_owned(),
            false => format!("{told}; time from begin to end"),
        };
        heading(out, self.options.width, title, &remark)?;
        let initcalls = rows.iter().all(|row| row.kind == Kind::Initcall);
        let cells = chosen.iter().map(|row| {
            let mut cells = vec![verdict(row, self.diff.basis)];
            cells.extend(self.cells(row.change(Metric::Time), row.moved(), 0));
            if initcalls {
                cells.push(plain(levels(row)));
            }
            cells.push(plain(if row.item.name.is_empty() { "?".to_owned() } else { name(&row.item) }));
            cells
        });
        let cells: Vec<Vec<Cell>> = cells.collect();
        let mut columns = vec![left("")];
        columns.extend(self.columns(0));
        if initcalls {
            columns.push(left("level"));
        }
        columns.push(left(what));
        coloured_table(out, self.options.width, &columns, columns.len() - 1, &cells)
    }

    fn files(&self) -> bool {
        self.options.lines || self.options.width >= FILES
    }

    /// Functions that both sides have; by self time. Those that differ only by what they call are named where that
    /// is, unless all are asked for.
    fn functions(&self, out: &mut dyn Write) -> io::Result<()> {
        let itself = |row: &Row| {
            let own = row.changes.iter().any(|change| change.changed && change.metric != Metric::Total);
            own || !row.changed() || self.options.by.is_some()
        };
        let both = |row: &&Row| !row.is_new() && !row.is_gone() && itself(row);
        let both: Vec<Row> = self.diff.functions.iter().filter(both).cloned().collect();
        let (chosen, told) = self.chosen(&both, self.options.top);
        if chosen.is_empty() {
            return Ok(());
        }
        heading(out, self.options.width, "Functions", &format!("{told}; self time, calls, total time"))?;
        let wide = self.options.width >= BOTH;
        let cells = chosen.iter().map(|row| {
            let mut cells = vec![verdict(row, self.diff.basis)];
            cells.extend(self.cells(row.change(Metric::Own), false, FUNCTIONS));
            cells.push(self.calls(row));
            if wide {
                cells.push(self.difference(row, Metric::Total));
            }
            cells.extend(self.named(row));
            cells
        });
        let cells: Vec<Vec<Cell>> = cells.collect();
        let mut columns = vec![left("")];
        columns.extend(self.columns(FUNCTIONS));
        columns.push(right("calls"));
        if wide {
            columns.push(right("total"));
        }
        let flexible = columns.len();
        columns.push(left("function"));
        if self.files() {
            columns.push(left("file"));
        }
        coloured_table(out, self.options.width, &columns, flexible, &cells)
    }

    /// Functions of one side only.
    fn one_sided(&self, out: &mut dyn Write) -> io::Result<()> {
        let top = if self.options.by.is_some() { self.options.top } else { self.options.top.min(FEW) };
        let sides: [OneSided; 2] = [
            ("New functions", Row::is_new, |change| change.b.mean),
            ("Vanished functions", Row::is_gone, |change| change.a.mean),
        ];
        for (title, is_it, mean) in sides {
            let value = |row: &Row, metric| row.change(metric).map_or(0.0, mean);
            let mut rows: Vec<&Row> = self.diff.functions.iter().filter(|row| is_it(row)).collect();
            if rows.is_empty() {
                continue;
            }
            rows.sort_by(|a, b| {
                let (one, other) = (value(a, Metric::Own), value(b, Metric::Own));
                other.total_cmp(&one).then_with(|| a.item.cmp(&b.item))
            });
            let own: f64 = rows.iter().map(|row| value(row, Metric::Own)).sum();
            let some = if rows.len() > top { "; those with most of it" } else { "" };
            let remark = format!("{}, {} of self time in all{some}", count(rows.len() as f64), self.words.time(own));
            heading(out, self.options.width, title, &remark)?;
            let cells = rows.iter().take(top).map(|row| {
                let time = |metric| plain(self.words.time(value(row, metric)));
                let mut cells = vec![time(Metric::Own), time(Metric::Total), plain(count(value(row, Metric::Calls)))];
                cells.extend(self.named(row));
                cells
            });
            let cells: Vec<Vec<Cell>> = cells.collect();
            let mut columns = vec![right("self"), right("total"), right("calls"), left("function")];
            if self.files() {
                columns.push(left("file"));
            }
            coloured_table(out, self.options.width, &columns, 3, &cells)?;
        }
        Ok(())
    }

    fn calls(&self, row: &Row) -> Cell {
        let Some(calls) = row.change(Metric::Calls) else { return plain("-".to_owned()) };
        let (a, b) = (count(calls.a.mean), count(calls.b.mean));
        let style = if calls.changed { colour(calls.difference) } else { Style::new() };
        if a == b { plain(a) } else { (style, format!("{a} -> {b}")) }
    }

    fn difference(&self, row: &Row, metric: Metric) -> Cell {
        let Some(change) = row.change(metric) else { return plain("-".to_owned()) };
        let style = if change.changed { colour(change.difference) } else { Style::new() };
        (style, self.words.signed(metric, change.difference))
    }

    /// What a function is called, and was; its file.
    fn named(&self, row: &Row) -> Vec<Cell> {
        let former = row.formerly.as_ref().filter(|former| former.name != row.item.name);
        let former = former.map_or_else(String::new, |former| format!(" (was {})", name(former)));
        let mut cells = vec![plain(format!("{}{former}", name(&row.item)))];
        if self.files() {
            cells.push((DIM, if row.item.file.is_empty() { "-".to_owned() } else { printable(&row.item.file) }));
        }
        cells
    }

    /// The whole boot by its figures, and each boot.
    fn boots(&self, out: &mut dyn Write) -> io::Result<()> {
        heading(out, self.options.width, "The whole boot", "means; busy: on CPUs, without idle")?;
        let figures = self.diff.boot.changes.iter().map(|change| {
            let mut cells = vec![plain(figure(change.metric).to_owned())];
            cells.extend(self.cells(Some(change), false, 0));
            cells
        });
        let mut columns = vec![left("")];
        columns.extend(self.columns(0));
        coloured_table(out, self.options.width, &columns, 0, &figures.collect::<Vec<_>>())?;
        heading(out, self.options.width, "Boots", "")?;
        let changes = &self.diff.boot.changes;
        let mut cells: Vec<Vec<Cell>> = Vec::new();
        let sides: [BootsOf<'_>; 2] =
            [("A", &self.diff.a, |change| &change.a.all), ("B", &self.diff.b, |change| &change.b.all)];
        for (letter, side, all) in sides {
            for (number, boot) in side.boots.iter().enumerate().take(self.options.top) {
                let mut row = vec![plain(letter.to_owned())];
                row.extend(changes.iter().map(|change| {
                    plain(
                        all(change).get(number).map_or("-".to_owned(), |&value| self.words.value(change.metric, value)),
                    )
                }));
                row.push(plain(printable(boot)));
                cells.push(row);
            }
        }
        let mut columns = vec![left("")];
        columns.extend(changes.iter().map(|change| right(figure(change.metric))));
        columns.push(left("boot"));
        coloured_table(out, self.options.width, &columns, columns.len() - 1, &cells)
    }
}

fn figure(metric: Metric) -> &'static str {
    match metric {
        Metric::OnFirstCpu => "on CPU 0",
        other => other.name(),
    }
}

/// A relative difference with its sign, or how many times as much it is.
fn part(part: f64) -> String {
    if part.abs() < 5e-5 {
        return String::new();
    }
    // Ten times as much is no matter of percent.
    if part >= 9.0 {
        return format!("x{}", count(1.0 + part));
    }
    format!("{}{}", sign(part), percent(part))
}

/// In which level an initcall begins, and began.
fn levels(row: &Row) -> String {
    let level = |phases: &[bootlevel::Phase]| phases.first().map(|phase| phase.name());
    match (level(&row.levels.0), level(&row.levels.1)) {
        (Some(a), Some(b)) if a != b => format!("{a} -> {b}"),
        (a, b) => b.or(a).unwrap_or("-").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sketch::Sketch;
    use super::*;

    fn diff(basis: Basis) -> Diff {
        let mut diff = Sketch::new(basis)
            .way("device;do_initcalls;foo_init", (1.0, 1.0), (1e6, 1e6))
            .way("device;do_initcalls;foo_init;foo_probe", (1.0, 121.0), (3e5, 36.3e6))
            .way("device;do_initcalls;foo_init;foo_new", (0.0, 1.0), (0.0, 1e6))
            .way("device;do_initcalls;foo_init;foo_old", (1.0, 0.0), (2e6, 0.0))
            .initcall("foo_init", (0.0, 0.0))
            .build();
        diff.doubts =
            vec!["the machine is noisy, and this sentence is long enough to need more than one line".to_owned()];
        diff
    }

    fn text(diff: &Diff, width: usize, by: Option<By>) -> (String, String) {
        let mut out = Vec::new();
        write(diff, Options { width, top: 15, by, lines: false }, &mut out).unwrap();
        let coloured = String::from_utf8(out).unwrap();
        (anstream::adapter::strip_str(&coloured).to_string(), coloured)
    }

    #[test]
    fn all_tables_keep_to_the_width_but_for_the_first_sentence() {
        for width in [50, 80, 100, 160] {
            for basis in [Basis::Exact, Basis::Tested, Basis::TooFew] {
                let (text, _) = text(&diff(basis), width, None);
                let long = text.lines().skip(1).find(|line| line.chars().count() > width);
                assert_eq!(long, None, "{width}: {text}");
            }
        }
    }

    #[test]
    fn signs_and_words_say_what_colours_say() {
        let (text, coloured) = text(&diff(Basis::Tested), 120, None);
        let line = |text: &str, name: &str| {
            let found = text.lines().skip(4).find(|line| line.trim_end().ends_with(name));
            found.unwrap_or_else(|| panic!("no {name}: {text}")).to_owned()
        };
        let probe = line(&text, "foo_probe");
        for part in ["slower", "300 us", "36.3 ms", "+36.0 ms", "0.028", "1 -> 121"] {
            assert!(probe.contains(part), "{part}: {probe}");
        }
        assert!(line(&coloured, "foo_probe").contains("\u{1b}[31m+36.0 ms"), "{coloured}");
        assert!(line(&text, "level").contains("95 % interval"), "{text}");
        assert!(line(&text, " late").contains('~'), "{text}");
        assert!(text.contains("New functions  1, 1.00 ms of self time in all"), "{text}");
        assert!(text.contains("Vanished functions  1, 2.00 ms"), "{text}");
    }

    #[test]
    fn each_part_can_be_had_alone() {
        let parts = [
            (By::Boot, "The whole boot"),
            (By::Level, "By level"),
            (By::Initcall, "Initcalls"),
            (By::Function, "Functions"),
        ];
        for (by, title) in parts {
            let (text, _) = text(&diff(Basis::Exact), 100, Some(by));
            for (other, heading) in parts {
                assert_eq!(text.lines().any(|line| line.starts_with(heading)), by == other, "{title}: {text}");
            }
        }
    }

    #[test]
    fn boots_that_are_the_same_need_no_table_but_the_levels() {
        let (text, _) = text(&Sketch::new(Basis::Exact).build(), 100, None);
        assert!(text.starts_with("no change") && text.contains("By level") && !text.contains("Functions"), "{text}");
    }
}
