// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The boot by its levels, for programs. In: a [`Boot`]. Out: the parts `levels`, `initcalls`, `options`
//! and `problems` of the JSON document. Never here: the rest of it.

use serde::Serialize;

use super::levels::{Boot, InitcallRow, LevelRow, ProblemRow};
use super::units::Clock;
use crate::calltree::aggregate::Figures;
use crate::calltree::levels::Kind;

/// The four parts; empty in traces without marks.
#[derive(Serialize)]
pub(super) struct BootJson<'a> {
    levels: Vec<LevelJson<'a>>,
    initcalls: Vec<InitcallJson<'a>>,
    options: Option<&'a str>,
    problems: Vec<ProblemJson<'a>>,
    mark_doubts: &'a [String],
}

#[derive(Serialize)]
struct LevelJson<'a> {
    name: &'static str,
    began_ns: Option<u64>,
    began_ticks: u64,
    ns: Option<u64>,
    ticks: u64,
    busy_ns: Option<u64>,
    busy_ticks: u64,
    events: u64,
    calls: u64,
    bytes: u64,
    initcalls: u64,
    slowest: Option<&'a str>,
    functions: Vec<LevelFunctionJson<'a>>,
}

#[derive(Serialize)]
struct LevelFunctionJson<'a> {
    name: &'a str,
    calls: u64,
    self_ns: Option<u64>,
    self_ticks: u64,
    total_ns: Option<u64>,
    total_ticks: u64,
}

#[derive(Serialize)]
struct InitcallJson<'a> {
    name: &'a str,
    address: String,
    kind: &'static str,
    module: Option<&'a str>,
    level: Option<&'static str>,
    start_ns: Option<u64>,
    start_ticks: u64,
    ns: Option<u64>,
    ticks: u64,
    on_cpu_ns: Option<u64>,
    on_cpu_ticks: u64,
    calls: Option<u64>,
    task: &'a str,
    returned: Option<i32>,
    ended: &'static str,
}

#[derive(Serialize)]
struct ProblemJson<'a> {
    part: &'a str,
    offset: u16,
    bytes: u16,
    description: &'a str,
}

/// Makes them.
pub(super) fn boot(boot: &Boot, clock: Clock) -> BootJson<'_> {
    BootJson {
        levels: boot.levels.iter().map(|row| level(row, boot, clock)).collect(),
        initcalls: boot.initcalls.iter().map(|row| initcall(row, clock)).collect(),
        options: boot.options.as_deref(),
        problems: boot.problems.iter().map(problem).collect(),
        mark_doubts: &boot.doubts,
    }
}

fn level<'a>(row: &'a LevelRow, boot: &'a Boot, clock: Clock) -> LevelJson<'a> {
    LevelJson {
        name: row.phase.name(),
        began_ns: clock.ns(row.began),
        began_ticks: row.began,
        ns: clock.ns(row.ticks),
        ticks: row.ticks,
        busy_ns: clock.ns(row.busy),
        busy_ticks: row.busy,
        events: row.events,
        calls: row.calls,
        bytes: row.bytes,
        initcalls: row.initcalls,
        slowest: row.slowest.and_then(|index| boot.initcalls.get(index)).map(|row| row.name.as_str()),
        functions: row.functions.iter().map(|(name, figures)| function(name, figures, clock)).collect(),
    }
}

fn function<'a>(name: &'a str, figures: &Figures, clock: Clock) -> LevelFunctionJson<'a> {
    LevelFunctionJson {
        name,
        calls: figures.calls,
        self_ns: clock.ns(figures.own),
        self_ticks: figures.own,
        total_ns: clock.ns(figures.total),
        total_ticks: figures.total,
    }
}

fn initcall(row: &InitcallRow, clock: Clock) -> InitcallJson<'_> {
    let plain = matches!(row.kind, Kind::BuiltIn | Kind::Module);
    InitcallJson {
        name: &row.name,
        address: format!("{:#x}", row.address),
        kind: row.kind.name(),
        module: row.module.as_deref(),
        level: row.phase.map(|phase| phase.name()),
        start_ns: clock.ns(row.start),
        start_ticks: row.start,
        ns: clock.ns(row.wall),
        ticks: row.wall,
        on_cpu_ns: clock.ns(row.on_cpu),
        on_cpu_ticks: row.on_cpu,
        calls: plain.then_some(row.calls),
        task: &row.task,
        returned: row.returned(),
        ended: row.outcome.name(),
    }
}

fn problem(row: &ProblemRow) -> ProblemJson<'_> {
    ProblemJson { part: &row.part, offset: row.at, bytes: row.len, description: &row.description }
}
