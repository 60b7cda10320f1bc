// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The boot by its levels, for people. In: a [`Report`] with its [`super::levels::Boot`]. Out: text. Never
//! here: figures, what traces without marks have.

use std::io::{self, Write};

use super::levels::{InitcallRow, LevelRow};
use super::model::Report;
use super::style::{DIM, HEADING, WARN, heading, left, printable, right, shorten, table, wrap};
use super::text::Options;
use super::units::{bytes, count, percent};
use crate::calltree::levels::{Kind, Outcome};

/// One line for each phase.
///
/// # Errors
/// Those of the writer.
pub fn levels(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let (boot, clock) = (&report.boot, report.clock);
    if boot.levels.is_empty() {
        return Ok(());
    }
    heading(
        out,
        options.width,
        "By level",
        "busy: on CPUs, without idle; bytes on disk; firmware: since the time stamp counter started",
    )?;
    let cells: Vec<Vec<String>> = boot
        .levels
        .iter()
        .map(|level| {
            let firmware = is_firmware(level);
            let or = |empty: bool, text: String| if empty { "-".to_owned() } else { text };
            vec![
                level.phase.name().to_owned(),
                or(firmware, clock.show(level.began)),
                clock.show(level.ticks),
                or(firmware, percent(level.ticks, report.span())),
                or(firmware, clock.show(level.busy)),
                count(level.events),
                bytes(level.bytes),
                or(level.initcalls == 0, count(level.initcalls)),
                level.slowest.map_or_else(String::new, |index| {
                    let slowest = &boot.initcalls[index];
                    format!("{} {}", clock.show(slowest.wall), slowest.name)
                }),
            ]
        })
        .collect();
    let columns = [
        left("level"),
        right("began"),
        right("time"),
        right("%"),
        right("busy"),
        right("events"),
        right("bytes"),
        right("initcalls"),
        left("slowest"),
    ];
    table(out, options.width, &columns, 8, &cells)
}

fn is_firmware(level: &LevelRow) -> bool {
    level.phase == bootlevel::Phase::Firmware
}

/// Initcalls by time, longest first. Below them what ran beside them.
///
/// # Errors
/// Those of the writer.
pub fn initcalls(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let boot = &report.boot;
    let mut rows: Vec<&InitcallRow> = boot.plain().map(|(_, row)| row).collect();
    if !rows.is_empty() {
        let open = rows.iter().filter(|row| row.outcome == Outcome::Open).count();
        let mut remark = format!("{} in all; time from begin to end", count(rows.len() as u64));
        if open > 0 {
            remark.push_str(&format!("; {} did not end", count(open as u64)));
        }
        slowest_first(&mut rows);
        // What did not end matters however short it was.
        rows.sort_by_key(|row| row.outcome != Outcome::Open);
        rows.truncate(options.top);
        slowest_first(&mut rows);
        let title = if options.top < usize::MAX { "Slowest initcalls" } else { "Initcalls" };
        heading(out, options.width, title, &remark)?;
        initcall_table(report, options, &rows, out)?;
    }
    let mut beside: Vec<&InitcallRow> =
        boot.initcalls.iter().filter(|row| matches!(row.kind, Kind::Async | Kind::Deferred)).collect();
    if !beside.is_empty() {
        let remark = format!("{} in all; put off by initcalls, and in no line above", count(beside.len() as u64));
        slowest_first(&mut beside);
        beside.truncate(options.top);
        heading(out, options.width, "Async and deferred work", &remark)?;
        initcall_table(report, options, &beside, out)?;
    }
    Ok(())
}

fn slowest_first(rows: &mut [&InitcallRow]) {
    rows.sort_by(|a, b| b.wall.cmp(&a.wall).then(a.start.cmp(&b.start)));
}

fn initcall_table(report: &Report<'_>, options: Options, rows: &[&InitcallRow], out: &mut dyn Write) -> io::Result<()> {
    let clock = report.clock;
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let kind = match row.kind {
                Kind::Async => "async",
                Kind::Deferred => "deferred",
                Kind::BuiltIn | Kind::Module => "",
            };
            vec![
                clock.show(row.wall),
                clock.show(row.on_cpu),
                row.phase.map_or("-", |phase| phase.name()).to_owned(),
                if kind.is_empty() { returned(row.outcome) } else { kind.to_owned() },
                if kind.is_empty() { count(row.calls) } else { "-".to_owned() },
                row.name.clone(),
                match (&row.module, row.kind) {
                    (Some(module), Kind::Module) => format!("[{module}]"),
                    (Some(module), _) => module.clone(),
                    (None, _) => "-".to_owned(),
                },
            ]
        })
        .collect();
    let columns = [
        right("time"),
        right("on CPU"),
        left("level"),
        left("returned"),
        right("calls"),
        left("function"),
        left("module"),
    ];
    table(out, options.width, &columns, 5, &cells)
}

/// What it returned, if that is worth a word.
fn returned(outcome: Outcome) -> String {
    match outcome {
        Outcome::Returned(0) => String::new(),
        Outcome::Returned(value) => value.to_string(),
        Outcome::Cut => "cut".to_owned(),
        Outcome::Open => "did not".to_owned(),
    }
}

/// What the options did; nothing if none came and all marks are right.
///
/// # Errors
/// Those of the writer.
pub fn options(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let boot = &report.boot;
    if let Some(text) = &boot.options {
        heading(out, options.width, "Options", "hypergraph= as the guest read it")?;
        writeln!(out, "  {}", shorten(text, options.width.saturating_sub(2)))?;
    }
    if boot.problems.is_empty() && boot.doubts.is_empty() {
        return Ok(());
    }
    if boot.options.is_none() {
        heading(out, options.width, "Options", "")?;
    }
    for problem in &boot.problems {
        let text = format!("left out: '{}' at byte {}: {}", problem.part, problem.at, problem.description);
        for line in wrap(&text, options.width.saturating_sub(2).max(20)) {
            writeln!(out, "  {WARN}{line}{WARN:#}")?;
        }
    }
    boot.doubts.iter().try_for_each(|doubt| writeln!(out, "  {WARN}{doubt}{WARN:#}"))
}

/// A block for each level.
///
/// # Errors
/// Those of the writer.
pub fn blocks(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let (boot, clock) = (&report.boot, report.clock);
    for level in boot.levels.iter().filter(|level| !is_firmware(level)) {
        writeln!(out)?;
        writeln!(out, "{HEADING}{}{HEADING:#}  {DIM}{}{DIM:#}", level.phase.name(), level.phase.description())?;
        let line = format!(
            "began at {}, took {} ({} %); busy {}; {} events, {} calls, {}",
            clock.show(level.began),
            clock.show(level.ticks),
            percent(level.ticks, report.span()),
            clock.show(level.busy),
            count(level.events),
            count(level.calls),
            bytes(level.bytes),
        );
        wrap(&line, options.width.saturating_sub(2).max(20)).iter().try_for_each(|line| writeln!(out, "  {line}"))?;
        let most = options.top;
        let mut rows: Vec<&InitcallRow> =
            boot.plain().map(|(_, row)| row).filter(|row| row.phase == Some(level.phase)).collect();
        if !rows.is_empty() {
            slowest_first(&mut rows);
            writeln!(out, "  {DIM}{} initcalls; the slowest:{DIM:#}", count(level.initcalls))?;
            rows.truncate(most);
            initcall_table(report, options, &rows, out)?;
        }
        if !level.functions.is_empty() {
            writeln!(out, "  {DIM}functions by self time:{DIM:#}")?;
            let cells: Vec<Vec<String>> = level
                .functions
                .iter()
                .take(most)
                .map(|(name, figures)| {
                    vec![
                        clock.show(figures.own),
                        percent(figures.own, level.busy),
                        clock.show(figures.total),
                        count(figures.calls),
                        printable(name),
                    ]
                })
                .collect();
            let columns = [right("self"), right("%"), right("total"), right("calls"), left("function")];
            table(out, options.width, &columns, 4, &cells)?;
        }
    }
    Ok(())
}

/// Initcalls summed by module.
///
/// # Errors
/// Those of the writer.
pub fn modules(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let (boot, clock) = (&report.boot, report.clock);
    let mut rows: Vec<_> = boot.modules.iter().collect();
    rows.sort_by(|a, b| b.wall.cmp(&a.wall).then_with(|| a.name.cmp(&b.name)));
    heading(
        out,
        options.width,
        "By module",
        "initcalls of each: [loaded], or built in under the name that the module would have",
    )?;
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let slowest = &boot.initcalls[row.slowest];
            vec![
                clock.show(row.wall),
                clock.show(row.on_cpu),
                count(row.initcalls),
                count(row.calls),
                if row.loaded && !row.name.starts_with('[') { format!("[{}]", row.name) } else { row.name.clone() },
                format!("{} {}", clock.show(slowest.wall), slowest.name),
            ]
        })
        .collect();
    let columns = [right("time"), right("on CPU"), right("initcalls"), right("calls"), left("module"), left("slowest")];
    table(out, options.width, &columns, 4, &cells)
}
