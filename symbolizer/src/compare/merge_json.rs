// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Merged boots for programs. In: a [`Merged`]. Out: one JSON object, as `symbolizer/JSON.md` describes. Never here:
//! rounding for people.

use std::io::{self, Write};

use serde::Serialize;

use super::merge::{BootRow, FunctionRow, InitcallRow, LevelRow, Merged};
use super::profile::Unit;
use super::spread::Spread;

/// Grows when a field changes its meaning or goes.
const JSON_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    json_version: u32,
    kernel_release: &'a str,
    build_id: &'a str,
    command_line: &'a str,
    time_unit: &'static str,
    filtered: Option<&'a str>,
    differences: Vec<String>,
    boots: Vec<BootJson<'a>>,
    span: Spread,
    busy: Spread,
    events: Spread,
    levels: Vec<LevelJson>,
    initcalls: Vec<InitcallJson<'a>>,
    functions: Vec<FunctionJson<'a>>,
}

#[derive(Serialize)]
struct BootJson<'a> {
    name: &'a str,
    events: u64,
    lost: u64,
    gaps: u64,
    span: u64,
    busy: u64,
    ended: &'a str,
}

#[derive(Serialize)]
struct LevelJson {
    name: &'static str,
    boots: usize,
    time: Spread,
    busy: Spread,
    events: Spread,
    calls: Spread,
}

#[derive(Serialize)]
struct InitcallJson<'a> {
    name: &'a str,
    kind: &'static str,
    module: Option<&'a str>,
    level: Option<&'static str>,
    boots: usize,
    time: Spread,
    on_cpu: Spread,
    calls: Spread,
}

#[derive(Serialize)]
struct FunctionJson<'a> {
    name: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
    boots: usize,
    calls: Spread,
    #[serde(rename = "self")]
    own: Spread,
    total: Spread,
}

/// Writes it; `top` limits initcalls and functions.
///
/// # Errors
/// Those of the writer.
pub fn write(merged: &Merged, top: usize, mut out: impl Write) -> io::Result<()> {
    let document = Document {
        json_version: JSON_VERSION,
        kernel_release: &merged.same.release,
        build_id: &merged.same.build_id,
        command_line: &merged.same.command_line,
        time_unit: match merged.same.unit {
            Unit::Nanoseconds => "ns",
            Unit::Ticks => "ticks",
        },
        filtered: merged.same.filtered.as_deref(),
        differences: merged.same.differences.iter().map(ToString::to_string).collect(),
        boots: merged.boots.iter().map(boot).collect(),
        span: merged.span,
        busy: merged.busy,
        events: merged.events,
        levels: merged.levels.iter().map(level).collect(),
        initcalls: merged.initcalls.iter().take(top).map(initcall).collect(),
        functions: merged.functions.iter().take(top).map(function).collect(),
    };
    serde_json::to_writer_pretty(&mut out, &document)?;
    writeln!(out)
}

fn boot(row: &BootRow) -> BootJson<'_> {
    let BootRow { name, events, lost, gaps, span, busy, ended } = row;
    BootJson { name, events: *events, lost: *lost, gaps: *gaps, span: *span, busy: *busy, ended }
}

fn level(row: &LevelRow) -> LevelJson {
    let LevelRow { phase, boots, time, busy, events, calls } = *row;
    LevelJson { name: phase.name(), boots, time, busy, events, calls }
}

fn initcall(row: &InitcallRow) -> InitcallJson<'_> {
    InitcallJson {
        name: &row.key.name,
        kind: row.key.kind,
        module: Some(&*row.key.module).filter(|module| !module.is_empty()),
        level: row.phase.map(|phase| phase.name()),
        boots: row.boots,
        time: row.time,
        on_cpu: row.on_cpu,
        calls: row.calls,
    }
}

fn function(row: &FunctionRow) -> FunctionJson<'_> {
    FunctionJson {
        name: &row.key.name,
        file: row.file.as_deref(),
        line: row.line,
        boots: row.boots,
        calls: row.calls,
        own: row.own,
        total: row.total,
    }
}
