// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Tables of many boots, as Parquet files in directories that Hive, DuckDB and Spark understand:
//! `DIR/TABLE/kernel=RELEASE/boot=ID/part-0.parquet`; symbolizer/PARQUET.md has their columns. In: the report of
//! one boot. Out: a file in each table; those of the same boot are replaced, those of others stay. Never here:
//! single calls.
//!
//! The tour: this file says what stands in which column; [`table`] writes columns; [`place`] knows the paths.

pub mod place;
pub mod table;

use std::io;
use std::path::PathBuf;

use place::{Boot, Place};
use table::Table;

use super::{Exporter, Head, Wants};
use crate::calltree::aggregate::Figures;
use crate::report::Report;
use crate::report::levels::InitcallRow;
use crate::report::model::FunctionRow;
use crate::report::style::printable;
use bootlevel::Phase;

/// What levels are called whose phase is not known.
const UNKNOWN: &str = "unknown";

/// The level of what idle tasks do, which is part of no phase.
const IDLE: &str = "idle";

/// Writes the tables of one boot.
#[derive(Debug)]
pub struct Tables {
    place: Place,
    boot: Boot,
    filtered: String,
}

impl Tables {
    /// Below this directory; it is made if need be.
    ///
    /// # Errors
    /// When it cannot be made, or is a file.
    pub fn new(directory: PathBuf) -> io::Result<Tables> {
        Ok(Tables { place: Place::new(directory)?, boot: Boot::default(), filtered: String::new() })
    }
}

impl Exporter for Tables {
    fn wants(&self) -> Wants {
        Wants::Sums
    }

    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        self.boot = Boot::new(head.meta, head.first_tick, head.boot);
        self.filtered = head.filtered.unwrap_or_default().to_owned();
        Ok(())
    }

    fn finish(&mut self, report: &Report<'_>) -> io::Result<()> {
        let tables = [functions(report), initcalls(report), levels(report), boots(report, &self.filtered)];
        self.place.write(&self.boot, &tables)
    }
}

/// One function in one level, or idle.
struct Part<'a> {
    row: &'a FunctionRow,
    level: &'static str,
    number: u64,
    idle: bool,
    figures: Figures,
}

fn number(phase: Option<Phase>) -> u64 {
    phase.map_or(0, |phase| phase as u64)
}

fn parts(row: &FunctionRow) -> impl Iterator<Item = Part<'_>> {
    let part = move |level, number, idle, figures| Part { row, level, number, idle, figures };
    let phases = row
        .phases
        .iter()
        .map(move |&(phase, figures)| part(phase.map_or(UNKNOWN, Phase::name), number(phase), false, figures));
    phases.chain((row.idle != Figures::default()).then(|| part(IDLE, 0, true, row.idle)))
}

fn functions(report: &Report<'_>) -> Table {
    let clock = report.clock;
    let mut rows: Vec<Part<'_>> = report.functions.iter().flat_map(parts).collect();
    // Equal values next to each other take little room, and whoever asks for one level skips the others.
    rows.sort_by_key(|part| (part.idle, part.number));
    let returned = |figures: &Figures| figures.min <= figures.max;
    Table::new("functions", rows.len())
        .texts("level", rows.iter().map(|part| part.level))
        .numbers("level_number", rows.iter().map(|part| part.number))
        .flags("idle", rows.iter().map(|part| part.idle))
        .texts("function", rows.iter().map(|part| &*part.row.named.name))
        .texts("module", rows.iter().map(|part| part.row.named.module.as_deref().unwrap_or_default()))
        .texts("subsystem", rows.iter().map(|part| part.row.subsystem()))
        .texts("file", rows.iter().map(|part| part.row.named.file.as_deref().unwrap_or_default()))
        .numbers("line", rows.iter().map(|part| u64::from(part.row.named.line.unwrap_or(0))))
        .texts("address", rows.iter().map(|part| format!("{:#x}", part.row.named.address)))
        .numbers("calls", rows.iter().map(|part| part.figures.calls))
        .known("total_ns", rows.iter().map(|part| clock.ns(part.figures.total)))
        .known("self_ns", rows.iter().map(|part| clock.ns(part.figures.own)))
        .known("min_ns", rows.iter().map(|part| clock.ns(part.figures.min).filter(|_| returned(&part.figures))))
        .known("max_ns", rows.iter().map(|part| clock.ns(part.figures.max).filter(|_| returned(&part.figures))))
}

fn initcalls(report: &Report<'_>) -> Table {
    let (clock, rows) = (report.clock, &report.boot.initcalls);
    let all = || rows.iter();
    let end = |row: &InitcallRow| row.start.saturating_add(row.wall);
    Table::new("initcalls", rows.len())
        .texts("level", all().map(|row| row.phase.map_or(UNKNOWN, Phase::name)))
        .numbers("level_number", all().map(|row| number(row.phase)))
        .texts("kind", all().map(|row| row.kind.name()))
        .texts("function", all().map(|row| &*row.name))
        .texts("module", all().map(|row| row.module.as_deref().unwrap_or_default()))
        .texts("address", all().map(|row| format!("{:#x}", row.address)))
        .texts("task", all().map(|row| &*row.task))
        .known("start_ns", all().map(|row| clock.ns(row.start)))
        .known("end_ns", all().map(|row| clock.ns(end(row))))
        .known("time_ns", all().map(|row| clock.ns(row.wall)))
        .known("on_cpu_ns", all().map(|row| clock.ns(row.on_cpu)))
        .numbers("calls", all().map(|row| row.calls))
        .texts("ended", all().map(|row| row.outcome.name()))
        .signed("returned", all().map(|row| row.returned().map(i64::from)))
}

fn levels(report: &Report<'_>) -> Table {
    let (clock, rows, initcalls) = (report.clock, &report.boot.levels, &report.boot.initcalls);
    let all = || rows.iter();
    let slowest = |index: Option<usize>| index.and_then(|index| initcalls.get(index)).map_or("", |row| &*row.name);
    Table::new("levels", rows.len())
        .texts("level", all().map(|row| row.phase.name()))
        .numbers("level_number", all().map(|row| number(Some(row.phase))))
        .known("began_ns", all().map(|row| clock.ns(row.began)))
        .known("time_ns", all().map(|row| clock.ns(row.ticks)))
        .known("busy_ns", all().map(|row| clock.ns(row.busy)))
        .numbers("events", all().map(|row| row.events))
        .numbers("calls", all().map(|row| row.calls))
        .numbers("bytes", all().map(|row| row.bytes))
        .numbers("initcalls", all().map(|row| row.initcalls))
        .texts("slowest", all().map(|row| slowest(row.slowest)))
}

fn boots(report: &Report<'_>, filtered: &str) -> Table {
    let Report { meta, totals, clock, .. } = report;
    let (ended, ended_detail) = report.end.words();
    let count = |number: u64| std::iter::once(number);
    let text = |text: &str| std::iter::once(printable(text));
    Table::new("boots", 1)
        .numbers("started_at", count(meta.started_at))
        .texts("build_id", text(&meta.build_id))
        .texts("command_line", text(&meta.command_line))
        .texts("options", text(report.boot.options.as_deref().unwrap_or_default()))
        .texts("origin", text(&meta.origin))
        .texts("recorder", text(&meta.tool))
        .texts("filtered", text(filtered))
        .numbers("cpus", count(u64::from(meta.cpus)))
        .known("tsc_khz", std::iter::once(clock.khz()))
        .known("span_ns", std::iter::once(clock.ns(report.span())))
        .known("busy_ns", std::iter::once(clock.ns(report.busy())))
        .numbers("events", count(totals.events))
        .numbers("calls", count(report.calls()))
        .numbers("functions", count(report.functions.len() as u64))
        .numbers("switches", count(totals.switches))
        .numbers("lost", count(totals.lost))
        .numbers("gaps", count(totals.gap_count))
        .numbers("sites", count(report.coverage.sites.unwrap_or(0)))
        .numbers("sites_hit", count(report.coverage.hit))
        .texts("ended", text(ended))
        .texts("ended_detail", text(ended_detail))
}
