// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Tables of many boots, as Parquet files in directories that Hive, DuckDB and Spark understand:
//! `DIR/TABLE/kernel=RELEASE/boot=ID/part-0.parquet`; symbolizer/PARQUET.md has their columns. In: the report of
//! one boot. Out: a file in each table; those of the same boot are replaced, those of others stay. Never here:
//! single calls.
//!
//! The tour: this file makes rows of a report; [`columns`] says what stands in which column (rows of kept boots go there
//! too); [`table`] writes columns; [`place`] knows the paths.

pub mod columns;
pub mod place;
pub mod table;

use std::io;
use std::path::PathBuf;

use columns::{BootRow, FunctionRow, InitcallRow, LevelRow};
use place::{Boot, Place};
use table::Table;

use super::{Exporter, Head, Wants};
use crate::calltree::aggregate::Figures;
use crate::report::model;
use crate::report::{Report, levels};

/// Writes the tables of one boot.
#[derive(Debug)]
pub struct Tables {
    place: Place,
    boot: Boot,
    filtered: String,
    name: String,
}

impl Tables {
    /// Below this directory; it is made if need be.
    ///
    /// # Errors
    /// When it cannot be made, or is a file.
    pub fn new(directory: PathBuf) -> io::Result<Tables> {
        Ok(Tables {
            place: Place::new(directory)?,
            boot: Boot::default(),
            filtered: String::new(),
            name: String::new(),
        })
    }
}

impl Exporter for Tables {
    fn wants(&self) -> Wants {
        Wants::Sums
    }

    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        self.boot = Boot::new(head.meta, head.first_tick, head.boot);
        self.filtered = head.filtered.unwrap_or_default().to_owned();
        self.name = head.boot.unwrap_or_default().to_owned();
        Ok(())
    }

    fn finish(&mut self, report: &Report<'_>) -> io::Result<()> {
        let tables =
            [functions(report), initcalls(report), level_rows(report), boots(report, &self.filtered, &self.name)];
        self.place.write(&self.boot, &tables)
    }
}

/// A row for each level of a function, and one for idle tasks.
fn parts<'a>(report: &'a Report<'_>, row: &'a model::FunctionRow) -> impl Iterator<Item = FunctionRow<'a>> {
    let clock = report.clock;
    let part = move |level, idle, figures: Figures| {
        let returned = figures.min <= figures.max;
        FunctionRow {
            level,
            idle,
            function: &row.named.name,
            module: row.named.module.as_deref().unwrap_or_default(),
            subsystem: row.subsystem(),
            file: row.named.file.as_deref().unwrap_or_default(),
            line: u64::from(row.named.line.unwrap_or(0)),
            address: Some(row.named.address),
            calls: figures.calls,
            total_ns: clock.ns(figures.total),
            self_ns: clock.ns(figures.own),
            min_ns: clock.ns(figures.min).filter(|_| returned),
            max_ns: clock.ns(figures.max).filter(|_| returned),
        }
    };
    let phases = row.phases.iter().map(move |&(phase, figures)| part(columns::level(phase), false, figures));
    phases.chain((row.idle != Figures::default()).then(|| part((columns::IDLE, 0), true, row.idle)))
}

fn functions(report: &Report<'_>) -> Table {
    columns::functions(report.functions.iter().flat_map(|row| parts(report, row)).collect())
}

fn initcalls(report: &Report<'_>) -> Table {
    let clock = report.clock;
    let end = |row: &levels::InitcallRow| clock.ns(row.start.saturating_add(row.wall));
    let rows: Vec<InitcallRow<'_>> = report
        .boot
        .initcalls
        .iter()
        .map(|initcall| InitcallRow {
            level: columns::level(initcall.phase),
            kind: initcall.kind.name(),
            function: &initcall.name,
            module: initcall.module.as_deref().unwrap_or_default(),
            address: Some(initcall.address),
            task: &initcall.task,
            start_ns: clock.ns(initcall.start),
            end_ns: end(initcall),
            time_ns: clock.ns(initcall.wall),
            on_cpu_ns: clock.ns(initcall.on_cpu),
            calls: initcall.calls,
            ended: initcall.outcome.name(),
            returned: initcall.returned().map(i64::from),
            runs: 1,
        })
        .collect();
    columns::initcalls(&rows)
}

fn level_rows(report: &Report<'_>) -> Table {
    let (clock, initcalls) = (report.clock, &report.boot.initcalls);
    let slowest = |index: Option<usize>| index.and_then(|index| initcalls.get(index)).map_or("", |row| &*row.name);
    let rows: Vec<LevelRow<'_>> = report
        .boot
        .levels
        .iter()
        .map(|row| LevelRow {
            level: columns::level(Some(row.phase)),
            began_ns: clock.ns(row.began),
            time_ns: clock.ns(row.ticks),
            busy_ns: clock.ns(row.busy),
            events: row.events,
            calls: row.calls,
            bytes: Some(row.bytes),
            initcalls: row.initcalls,
            slowest: slowest(row.slowest),
        })
        .collect();
    columns::levels(&rows)
}

fn boots(report: &Report<'_>, filtered: &str, name: &str) -> Table {
    let Report { meta, totals, clock, .. } = report;
    let (ended, ended_detail) = report.end.words();
    columns::boots(BootRow {
        started_at: meta.started_at,
        build_id: &meta.build_id,
        command_line: &meta.command_line,
        options: report.boot.options.as_deref().unwrap_or_default(),
        origin: &meta.origin,
        recorder: &meta.tool,
        filtered,
        cpus: u64::from(meta.cpus),
        tsc_khz: clock.khz(),
        span_ns: clock.ns(report.span()),
        busy_ns: clock.ns(report.busy()),
        events: totals.events,
        calls: report.calls(),
        functions: report.functions.len() as u64,
        switches: Some(totals.switches),
        lost: totals.lost,
        gaps: totals.gap_count,
        sites: Some(report.coverage.sites.unwrap_or(0)),
        sites_hit: Some(report.coverage.hit),
        ended,
        ended_detail,
        name,
        deterministic: meta.deterministic,
    })
}
