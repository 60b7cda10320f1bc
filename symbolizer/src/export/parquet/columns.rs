// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The columns of all tables, in this one place: symbolizer/PARQUET.md describes them. In: rows, of a trace's report
//! or of a kept boot, which does not know all. Out: [`Table`]s. Never here: where rows come from, files.
//!
//! A new column goes to the end of its table.

use bootlevel::Phase;

use super::table::Table;
use crate::report::style::printable;

/// What levels are called whose phase is not known.
pub const UNKNOWN: &str = "unknown";

/// The level of what idle tasks do, which is part of no phase.
pub const IDLE: &str = "idle";

/// Name and number of a phase, as all tables have them.
pub fn level(phase: Option<Phase>) -> (&'static str, u64) {
    phase.map_or((UNKNOWN, 0), |phase| (phase.name(), phase as u64))
}

/// A row of `boots`. Times in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootRow<'a> {
    /// Seconds of Unix time.
    pub started_at: u64,
    /// Of the kernel.
    pub build_id: &'a str,
    /// Of the kernel.
    pub command_line: &'a str,
    /// After `hypergraph=`.
    pub options: &'a str,
    /// `injected`, `in-tree`.
    pub origin: &'a str,
    /// What recorded it.
    pub recorder: &'a str,
    /// Filters in words.
    pub filtered: &'a str,
    /// CPUs.
    pub cpus: u64,
    /// Frequency of the clock.
    pub tsc_khz: Option<u64>,
    /// First event to last.
    pub span_ns: Option<u64>,
    /// On a CPU.
    pub busy_ns: Option<u64>,
    /// Entries and exits.
    pub events: u64,
    /// Calls.
    pub calls: u64,
    /// Functions.
    pub functions: u64,
    /// Context switches.
    pub switches: Option<u64>,
    /// Lost events.
    pub lost: u64,
    /// Missing parts.
    pub gaps: u64,
    /// Call sites of the kernel.
    pub sites: Option<u64>,
    /// Those that fired.
    pub sites_hit: Option<u64>,
    /// How it ended.
    pub ended: &'a str,
    /// More of that.
    pub ended_detail: &'a str,
    /// What the boot is called.
    pub name: &'a str,
    /// Time is instructions.
    pub deterministic: bool,
}

/// A row of `levels`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LevelRow<'a> {
    /// Name and number.
    pub level: (&'a str, u64),
    /// Since the trace began.
    pub began_ns: Option<u64>,
    /// Up to the next.
    pub time_ns: Option<u64>,
    /// On a CPU.
    pub busy_ns: Option<u64>,
    /// Entries and exits.
    pub events: u64,
    /// Calls.
    pub calls: u64,
    /// On disk.
    pub bytes: Option<u64>,
    /// Initcalls in it.
    pub initcalls: u64,
    /// The one that took longest.
    pub slowest: &'a str,
}

/// A row of `initcalls`.
#[derive(Clone, Copy, Debug, Default)]
pub struct InitcallRow<'a> {
    /// Name and number.
    pub level: (&'a str, u64),
    /// `built-in`, `module`, `async`, `deferred`.
    pub kind: &'a str,
    /// Its function.
    pub function: &'a str,
    /// Its module.
    pub module: &'a str,
    /// Its address.
    pub address: Option<u64>,
    /// The task that ran it.
    pub task: &'a str,
    /// Since the trace began.
    pub start_ns: Option<u64>,
    /// Since the trace began.
    pub end_ns: Option<u64>,
    /// Begin to end.
    pub time_ns: Option<u64>,
    /// On a CPU.
    pub on_cpu_ns: Option<u64>,
    /// Calls in it.
    pub calls: u64,
    /// `returned`, `cut`, `open`.
    pub ended: &'a str,
    /// What it returned.
    pub returned: Option<i64>,
    /// How often it ran.
    pub runs: u64,
}

/// A row of `functions`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FunctionRow<'a> {
    /// Name and number.
    pub level: (&'a str, u64),
    /// Of idle tasks.
    pub idle: bool,
    /// Its name.
    pub function: &'a str,
    /// Its module.
    pub module: &'a str,
    /// Directory of its source.
    pub subsystem: &'a str,
    /// Its source.
    pub file: &'a str,
    /// Line of its entry.
    pub line: u64,
    /// Its address.
    pub address: Option<u64>,
    /// Calls that began in the level.
    pub calls: u64,
    /// With what was called.
    pub total_ns: Option<u64>,
    /// Without.
    pub self_ns: Option<u64>,
    /// Shortest call.
    pub min_ns: Option<u64>,
    /// Longest call.
    pub max_ns: Option<u64>,
}

fn address(address: Option<u64>) -> String {
    address.map_or_else(String::new, |address| format!("{address:#x}"))
}

/// The table `boots`, of one.
pub fn boots(row: BootRow<'_>) -> Table {
    let number = |number: u64| std::iter::once(number);
    let known = |number: Option<u64>| std::iter::once(number);
    let text = |text: &str| std::iter::once(printable(text));
    Table::new("boots", 1)
        .numbers("started_at", number(row.started_at))
        .texts("build_id", text(row.build_id))
        .texts("command_line", text(row.command_line))
        .texts("options", text(row.options))
        .texts("origin", text(row.origin))
        .texts("recorder", text(row.recorder))
        .texts("filtered", text(row.filtered))
        .numbers("cpus", number(row.cpus))
        .known("tsc_khz", known(row.tsc_khz))
        .known("span_ns", known(row.span_ns))
        .known("busy_ns", known(row.busy_ns))
        .numbers("events", number(row.events))
        .numbers("calls", number(row.calls))
        .numbers("functions", number(row.functions))
        .known("switches", known(row.switches))
        .numbers("lost", number(row.lost))
        .numbers("gaps", number(row.gaps))
        .known("sites", known(row.sites))
        .known("sites_hit", known(row.sites_hit))
        .texts("ended", text(row.ended))
        .texts("ended_detail", text(row.ended_detail))
        .texts("name", text(row.name))
        .flags("deterministic", std::iter::once(row.deterministic))
}

/// The table `levels`.
pub fn levels(rows: &[LevelRow<'_>]) -> Table {
    let all = || rows.iter();
    Table::new("levels", rows.len())
        .texts("level", all().map(|row| row.level.0))
        .numbers("level_number", all().map(|row| row.level.1))
        .known("began_ns", all().map(|row| row.began_ns))
        .known("time_ns", all().map(|row| row.time_ns))
        .known("busy_ns", all().map(|row| row.busy_ns))
        .numbers("events", all().map(|row| row.events))
        .numbers("calls", all().map(|row| row.calls))
        .known("bytes", all().map(|row| row.bytes))
        .numbers("initcalls", all().map(|row| row.initcalls))
        .texts("slowest", all().map(|row| printable(row.slowest)))
}

/// The table `initcalls`.
pub fn initcalls(rows: &[InitcallRow<'_>]) -> Table {
    let all = || rows.iter();
    Table::new("initcalls", rows.len())
        .texts("level", all().map(|row| row.level.0))
        .numbers("level_number", all().map(|row| row.level.1))
        .texts("kind", all().map(|row| printable(row.kind)))
        .texts("function", all().map(|row| printable(row.function)))
        .texts("module", all().map(|row| printable(row.module)))
        .texts("address", all().map(|row| address(row.address)))
        .texts("task", all().map(|row| printable(row.task)))
        .known("start_ns", all().map(|row| row.start_ns))
        .known("end_ns", all().map(|row| row.end_ns))
        .known("time_ns", all().map(|row| row.time_ns))
        .known("on_cpu_ns", all().map(|row| row.on_cpu_ns))
        .numbers("calls", all().map(|row| row.calls))
        .texts("ended", all().map(|row| printable(row.ended)))
        .signed("returned", all().map(|row| row.returned))
        .numbers("runs", all().map(|row| row.runs))
}

/// The table `functions`. Rows are put in order: equal values next to each other take little room, and whoever asks
/// for one level skips the others.
pub fn functions(mut rows: Vec<FunctionRow<'_>>) -> Table {
    rows.sort_by_key(|row| (row.idle, row.level.1));
    let all = || rows.iter();
    Table::new("functions", rows.len())
        .texts("level", all().map(|row| row.level.0))
        .numbers("level_number", all().map(|row| row.level.1))
        .flags("idle", all().map(|row| row.idle))
        .texts("function", all().map(|row| printable(row.function)))
        .texts("module", all().map(|row| printable(row.module)))
        .texts("subsystem", all().map(|row| printable(row.subsystem)))
        .texts("file", all().map(|row| printable(row.file)))
        .numbers("line", all().map(|row| row.line))
        .texts("address", all().map(|row| address(row.address)))
        .numbers("calls", all().map(|row| row.calls))
        .known("total_ns", all().map(|row| row.total_ns))
        .known("self_ns", all().map(|row| row.self_ns))
        .known("min_ns", all().map(|row| row.min_ns))
        .known("max_ns", all().map(|row| row.max_ns))
}
