// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Merged boots for people. In: a [`Merged`]. Out: text within a width. Never here: figures, standard output.

use std::io::{self, Write};

use super::merge::{InitcallRow, Merged, Order};
use super::profile::is_plain;
use super::spread::Spread;
use crate::report::style::{self, Column, DIM, HEADING, WARN, heading, left, printable, right, wrap};
use crate::report::units::{Clock, count};

/// Columns of the picture of a spread.
const RANGE: usize = 10;

/// Width from which there is room for that picture.
const WIDE: usize = 90;

/// Title of a column that is left out where it says nothing.
const BOOTS: &str = "boots";

/// Parts of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// The boots themselves
    Boot,
    /// The phases of the boot
    Level,
    /// Initcalls
    Initcall,
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
    /// What initcalls and functions are in the order of.
    pub order: Order,
    /// Source file and line of functions.
    pub lines: bool,
}

/// Writes it.
///
/// # Errors
/// Those of the writer.
pub fn write(merged: &Merged, options: Options, out: &mut dyn Write) -> io::Result<()> {
    header(merged, options.width, out)?;
    let wants = |by| options.by.is_none_or(|wanted| wanted == by);
    if wants(By::Boot) {
        boots(merged, options, out)?;
    }
    if wants(By::Level) {
        levels(merged, options, out)?;
    }
    if wants(By::Initcall) {
        initcalls(merged, options, out)?;
    }
    if wants(By::Function) {
        functions(merged, options, out)?;
    }
    Ok(())
}

fn header(merged: &Merged, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let release = if merged.same.release.is_empty() { "(release not known)" } else { &merged.same.release };
    let number = merged.boots.len() as u64;
    writeln!(out, "{HEADING}{} boots of Linux {}{HEADING:#}", count(number), printable(release))?;
    let clock = merged.same.unit.clock();
    let mut field = |name: &str, text: &str| -> io::Result<()> {
        for (index, line) in wrap(text, width.saturating_sub(16).max(20)).iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            writeln!(out, "  {DIM}{name:<14}{DIM:#}{line}")?;
        }
        Ok(())
    };
    field(
        "build ID",
        &if merged.same.build_id.is_empty() { "none".to_owned() } else { printable(&merged.same.build_id) },
    )?;
    field("command line", &printable(&merged.same.command_line))?;
    field("time span", &sentence(&merged.span, |value| clock.show(value)))?;
    field("busy", &format!("{}, over all CPUs, without idle", sentence(&merged.busy, |value| clock.show(value))))?;
    field("events", &format!("{} entries and exits", sentence(&merged.events, count)))?;
    if clock.khz().is_none() {
        field("times", "in ticks (t): not all traces say how fast their clock is")?;
    }
    if let Some(filtered) = &merged.same.filtered {
        field("filter", &format!("only {filtered}"))?;
    }
    for difference in &merged.same.differences {
        for line in wrap(&format!("not the same in all boots: {difference}"), width.saturating_sub(2).max(20)) {
            writeln!(out, "  {WARN}{line}{WARN:#}")?;
        }
    }
    let odd = merged.boots.iter().filter(|boot| boot.lost > 0 || boot.gaps > 0 || boot.ended != "power-off").count();
    if odd > 0 {
        let line = format!(
            "{} of the traces {} not whole, or of a boot that did not reach its power-off: see the table of boots",
            count(odd as u64),
            if odd == 1 { "is" } else { "are" }
        );
        for line in wrap(&line, width.saturating_sub(2).max(20)) {
            writeln!(out, "  {WARN}{line}{WARN:#}")?;
        }
    }
    Ok(())
}

fn sentence(spread: &Spread, show: impl Fn(u64) -> String) -> String {
    let sd = spread.sd.map_or_else(String::new, |sd| format!(" ± {} ({})", show(whole(sd)), relative(spread)));
    format!("mean {}{sd}, {} to {}", show(whole(spread.mean)), show(spread.min), show(spread.max))
}

/// Figures are whole numbers, and never negative.
fn whole(value: f64) -> u64 {
    value.round() as u64
}

fn relative(spread: &Spread) -> String {
    spread.relative().map_or_else(|| "-".to_owned(), |part| format!("{:.1} %", part * 100.0))
}

/// What a spread looks like from 0 to its largest value: smallest to largest as a line, the median on it.
fn range(spread: &Spread) -> String {
    if spread.max == 0 {
        return String::new();
    }
    let place = |value: f64| ((value / spread.max as f64) * (RANGE - 1) as f64).round() as usize;
    let (from, median, to) = (place(spread.min as f64), place(spread.median), RANGE - 1);
    (0..RANGE)
        .map(|at| match at {
            _ if at == median => '●',
            _ if at < from || at > to => ' ',
            _ if at == from => '├',
            _ if at == to => '┤',
            _ => '─',
        })
        .collect()
}

/// The cells of a time: mean, deviation, the same in percent, extremes, picture.
fn time(spread: &Spread, clock: Clock, wide: bool) -> Vec<String> {
    let mut cells = vec![
        clock.show(whole(spread.mean)),
        spread.sd.map_or_else(|| "-".to_owned(), |sd| clock.show(whole(sd))),
        spread.relative().map_or_else(|| "-".to_owned(), |part| format!("{:.1}", part * 100.0)),
        clock.show(spread.min),
        clock.show(spread.max),
    ];
    if wide {
        cells.push(range(spread));
    }
    cells
}

/// A column for each of them.
fn time_columns(title: &'static str, wide: bool) -> Vec<Column> {
    let mut columns = vec![right(title), right("±"), right("%"), right("min"), right("max")];
    if wide {
        columns.push(left("0 to max"));
    }
    columns
}

/// A table without the column of [`BOOTS`] if all that is in it occurs in all boots.
fn table(
    out: &mut dyn Write,
    width: usize,
    columns: &[Column],
    flexible: usize,
    rows: &[Vec<String>],
) -> io::Result<()> {
    let empty = columns.iter().position(|column| column.title == BOOTS);
    let Some(at) = empty.filter(|&at| rows.iter().all(|row| row[at].is_empty())) else {
        return style::table(out, width, columns, flexible, rows);
    };
    let (mut columns, mut rows) = (columns.to_vec(), rows.to_vec());
    columns.remove(at);
    rows.iter_mut().for_each(|row| _ = row.remove(at));
    style::table(out, width, &columns, flexible - usize::from(flexible > at), &rows)
}

/// In how many boots, if not in all.
fn occurrences(boots: usize, merged: &Merged) -> String {
    if boots == merged.boots.len() { String::new() } else { count(boots as u64) }
}

fn boots(merged: &Merged, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let (all, clock) = (merged.boots.len(), merged.same.unit.clock());
    let remark = if all > options.top { format!("the first {} of {all}", options.top) } else { String::new() };
    heading(out, options.width, "Boots", &remark)?;
    let cells: Vec<Vec<String>> = merged
        .boots
        .iter()
        .take(options.top)
        .map(|boot| {
            vec![
                clock.show(boot.span),
                clock.show(boot.busy),
                count(boot.events),
                count(boot.lost),
                count(boot.gaps),
                boot.ended.to_owned(),
                printable(&boot.name),
            ]
        })
        .collect();
    let columns =
        [right("span"), right("busy"), right("events"), right("lost"), right("gaps"), left("ended"), left("trace")];
    table(out, options.width, &columns, 6, &cells)
}

fn levels(merged: &Merged, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let (clock, wide) = (merged.same.unit.clock(), options.width >= WIDE);
    if merged.levels.is_empty() {
        return Ok(());
    }
    let remark = "±: standard deviation, also in % of the mean; ●: median; busy: on CPUs, without idle";
    heading(out, options.width, "By level", remark)?;
    let cells: Vec<Vec<String>> = merged
        .levels
        .iter()
        .map(|row| {
            let mut cells = vec![row.phase.name().to_owned()];
            cells.extend(time(&row.time, clock, wide));
            cells.extend([clock.show(whole(row.busy.mean)), count(whole(row.events.mean))]);
            cells.push(occurrences(row.boots, merged));
            cells
        })
        .collect();
    let mut columns = vec![left("level")];
    columns.extend(time_columns("time", wide));
    columns.extend([right("busy"), right("events"), right(BOOTS)]);
    table(out, options.width, &columns, 0, &cells)
}

fn order(order: Order) -> &'static str {
    match order {
        Order::Mean => "largest mean first",
        Order::Spread => "largest deviation first",
        Order::Max => "largest in any boot first",
    }
}

fn initcalls(merged: &Merged, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let (plain, beside): (Vec<&InitcallRow>, Vec<&InitcallRow>) =
        merged.initcalls.iter().partition(|row| is_plain(row.key.kind));
    let remark = format!(
        "{} in all; time from begin to end, {}; boots: in how many, if not in all",
        count(plain.len() as u64),
        order(options.order)
    );
    if !plain.is_empty() {
        heading(out, options.width, "Initcalls", &remark)?;
        initcall_table(merged, options, &plain, out)?;
    }
    if !beside.is_empty() {
        let remark = format!("{} in all; beside the initcalls above", count(beside.len() as u64));
        heading(out, options.width, "Async and deferred work", &remark)?;
        initcall_table(merged, options, &beside, out)?;
    }
    Ok(())
}

fn initcall_table(merged: &Merged, options: Options, rows: &[&InitcallRow], out: &mut dyn Write) -> io::Result<()> {
    let (clock, wide) = (merged.same.unit.clock(), options.width >= WIDE);
    let cells: Vec<Vec<String>> = rows
        .iter()
        .take(options.top)
        .map(|row| {
            let mut cells = time(&row.time, clock, wide);
            cells.push(occurrences(row.boots, merged));
            cells.push(row.phase.map_or("-", |phase| phase.name()).to_owned());
            let module = if row.key.module.is_empty() { "-" } else { &row.key.module };
            cells.extend([row.key.name.clone(), module.to_owned()]);
            cells
        })
        .collect();
    let mut columns = time_columns("time", wide);
    columns.extend([right(BOOTS), left("level"), left("function"), left("module")]);
    table(out, options.width, &columns, columns.len() - 2, &cells)
}

fn functions(merged: &Merged, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let (clock, wide) = (merged.same.unit.clock(), options.width >= WIDE);
    let remark = format!(
        "{} in all; self time without idle, {}; total and calls: means",
        count(merged.functions.len() as u64),
        order(options.order)
    );
    heading(out, options.width, "Functions", &remark)?;
    let cells: Vec<Vec<String>> = merged
        .functions
        .iter()
        .take(options.top)
        .map(|row| {
            let mut cells = time(&row.own, clock, wide);
            cells.extend([clock.show(whole(row.total.mean)), count(whole(row.calls.mean))]);
            cells.push(occurrences(row.boots, merged));
            cells.push(row.key.name.clone());
            if options.lines {
                cells.push(match (&row.file, row.line) {
                    (Some(file), Some(line)) => format!("{file}:{line}"),
                    (Some(file), None) => file.clone(),
                    (None, _) => "?".to_owned(),
                });
            }
            cells
        })
        .collect();
    let mut columns = time_columns("self", wide);
    columns.extend([right("total"), right("calls"), right(BOOTS), left("function")]);
    let name = columns.len() - 1;
    if options.lines {
        columns.push(left("source"));
    }
    table(out, options.width, &columns, name, &cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_of_a_spread_goes_from_the_smallest_to_the_largest() {
        assert_eq!(range(&Spread::of([5, 5, 5])), "         ●");
        assert_eq!(range(&Spread::of([0, 9, 9])), "├────────●");
        assert_eq!(range(&Spread::of([4, 6, 9])), "    ├─●──┤");
        assert_eq!(range(&Spread::of([0, 0])), "");
        assert_eq!(range(&Spread::of([0, 0, u64::MAX])), "●────────┤");
    }
}
