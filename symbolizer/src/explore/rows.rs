// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The tables of the explorer: levels, initcalls, functions, tasks, callers and callees. In: [`Data`]. Out:
//! cells and orders, as [`Rows`]. Never here: what is selected, drawing.

use std::cmp::Ordering;

use bootlevel::Phase;

use super::data::{Data, Scope, Sum};
use super::table::{Cell, Column, Rows, number, text};
use crate::calltree::contexts::Node;
use crate::calltree::levels::{Kind, Outcome};
use crate::report::levels::{InitcallRow, LevelRow};
use crate::report::units::{bytes, count, percent};
use crate::resolve::tree::subsystem;

fn cell(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

/// The phases of the boot.
#[derive(Clone, Copy, Debug)]
pub struct Levels<'a>(pub &'a Data<'a>);

impl Levels<'_> {
    fn row(&self, row: usize) -> &LevelRow {
        &self.0.report.boot.levels[row]
    }

    fn is_firmware(&self, row: usize) -> bool {
        self.row(row).phase == Phase::Firmware
    }

    fn longest(&self) -> u64 {
        let levels = self.0.report.boot.levels.iter().filter(|level| level.phase != Phase::Firmware);
        levels.map(|level| level.ticks).max().unwrap_or(0)
    }
}

impl Rows for Levels<'_> {
    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            text("level", 8, 0),
            number("began", 8, 5),
            number("time", 8, 0),
            number("%", 5, 1),
            text("", 20, 2),
            number("busy", 8, 4),
            number("events", 11, 6),
            number("bytes", 7, 7),
            number("initcalls", 9, 5),
            text("slowest initcall", 0, 3),
        ];
        COLUMNS
    }

    fn len(&self) -> usize {
        self.0.report.boot.levels.len()
    }

    fn cell(&self, row: usize, column: usize) -> Cell {
        let (level, clock, span) = (self.row(row), self.0.clock(), self.0.report.span());
        let traced = |text: String| cell(if self.is_firmware(row) { "-".to_owned() } else { text });
        match column {
            0 => cell(level.phase.name()),
            1 => traced(clock.show(level.began)),
            2 => cell(clock.show(level.ticks)),
            3 => traced(percent(level.ticks, span)),
            4 if self.is_firmware(row) => cell("before the trace"),
            4 => Cell::Bar(level.ticks, self.longest()),
            5 => traced(clock.show(level.busy)),
            6 => cell(count(level.events)),
            7 => cell(bytes(level.bytes)),
            8 => cell(if level.initcalls == 0 { "-".to_owned() } else { count(level.initcalls) }),
            _ => {
                let slowest = level.slowest.and_then(|index| self.0.report.boot.initcalls.get(index));
                cell(
                    slowest
                        .map_or_else(String::new, |slowest| format!("{} {}", clock.show(slowest.wall), slowest.name)),
                )
            }
        }
    }

    fn compare(&self, column: usize, a: usize, b: usize) -> Ordering {
        let key = |row: usize| {
            let level = self.row(row);
            match column {
                2..=4 if self.is_firmware(row) => 0,
                2..=4 => level.ticks,
                5 => level.busy,
                6 => level.events,
                7 => level.bytes,
                8 => level.initcalls,
                9 => level.slowest.and_then(|index| self.0.report.boot.initcalls.get(index)).map_or(0, |row| row.wall),
                _ => level.phase as u64,
            }
        };
        // The levels stand in the order of the boot.
        let order = key(a).cmp(&key(b));
        if column <= 1 { order } else { order.then(b.cmp(&a)) }
    }

    fn text(&self, row: usize) -> String {
        format!("{} {}", self.row(row).phase.name(), self.row(row).phase.description())
    }
}

/// Initcalls, and what they have put off.
#[derive(Clone, Copy, Debug)]
pub struct Initcalls<'a>(pub &'a Data<'a>, pub Scope);

impl Initcalls<'_> {
    fn row(&self, row: usize) -> &InitcallRow {
        &self.0.report.boot.initcalls[row]
    }

    /// What it returned, or what it is instead of an initcall.
    pub fn result(&self, row: usize) -> String {
        match (self.row(row).kind, self.row(row).outcome) {
            (Kind::Async, _) => "async".to_owned(),
            (Kind::Deferred, _) => "deferred".to_owned(),
            (_, Outcome::Returned(value)) => value.to_string(),
            (_, Outcome::Cut) => "cut".to_owned(),
            (_, Outcome::Open) => "did not".to_owned(),
        }
    }

    fn module(&self, row: usize) -> String {
        match (&self.row(row).module, self.row(row).kind) {
            (Some(module), Kind::Module) => format!("[{module}]"),
            (Some(module), _) => module.clone(),
            (None, _) => "-".to_owned(),
        }
    }
}

impl Rows for Initcalls<'_> {
    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            number("time", 8, 0),
            number("on CPU", 8, 2),
            number("calls", 11, 4),
            Column { largest_first: false, ..number("start", 8, 5) },
            text("level", 8, 1),
            text("returned", 8, 3),
            text("initcall", 0, 0),
            text("module", 20, 6),
        ];
        COLUMNS
    }

    fn len(&self) -> usize {
        self.0.report.boot.initcalls.len()
    }

    fn cell(&self, row: usize, column: usize) -> Cell {
        let (initcall, clock) = (self.row(row), self.0.clock());
        let plain = matches!(initcall.kind, Kind::BuiltIn | Kind::Module);
        cell(match column {
            0 => clock.show(initcall.wall),
            1 => clock.show(initcall.on_cpu),
            2 if plain => count(initcall.calls),
            2 => "-".to_owned(),
            3 => clock.show(initcall.start),
            4 => initcall.phase.map_or("-", Phase::name).to_owned(),
            5 => self.result(row),
            6 => initcall.name.clone(),
            _ => self.module(row),
        })
    }

    fn compare(&self, column: usize, a: usize, b: usize) -> Ordering {
        let (x, y) = (self.row(a), self.row(b));
        // Failures first.
        let failed = |row: usize| match self.row(row).outcome {
            Outcome::Open => 0,
            Outcome::Cut => 1,
            Outcome::Returned(0) => 3,
            Outcome::Returned(_) => 2,
        };
        match column {
            0 => x.wall.cmp(&y.wall),
            1 => x.on_cpu.cmp(&y.on_cpu),
            2 => x.calls.cmp(&y.calls),
            3 => x.start.cmp(&y.start),
            4 => x.phase.map(|phase| phase as u8).cmp(&y.phase.map(|phase| phase as u8)),
            5 => failed(a).cmp(&failed(b)),
            6 => x.name.cmp(&y.name),
            _ => self.module(a).cmp(&self.module(b)),
        }
        .then(x.wall.cmp(&y.wall))
    }

    fn text(&self, row: usize) -> String {
        format!("{} {}", self.row(row).name, self.module(row))
    }

    fn shown(&self, row: usize) -> bool {
        self.1.phase.is_none() || self.row(row).phase == self.1.phase
    }
}

/// The functions of a scope.
#[derive(Clone, Copy, Debug)]
pub struct Functions<'a> {
    /// Their names.
    pub data: &'a Data<'a>,
    /// By their numbers.
    pub sums: &'a [Sum],
    /// What shares refer to.
    pub whole: u64,
}

impl Functions<'_> {
    fn number(&self, row: usize) -> u32 {
        if row < self.data.functions() { row as u32 } else { Node::REST }
    }

    fn directory(&self, row: usize) -> &str {
        let named = self.data.named(self.number(row));
        match named.map(|named| (&named.file, &named.module)) {
            Some((Some(file), _)) => subsystem(file),
            Some((None, Some(_))) => "[modules]",
            _ => "?",
        }
    }
}

impl Rows for Functions<'_> {
    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            number("self", 8, 0),
            number("%", 5, 2),
            number("total", 8, 1),
            number("calls", 11, 3),
            number("mean", 8, 5),
            number("longest", 8, 4),
            text("function", 0, 0),
            text("in", 14, 6),
        ];
        COLUMNS
    }

    fn len(&self) -> usize {
        self.sums.len()
    }

    fn cell(&self, row: usize, column: usize) -> Cell {
        let (sum, clock) = (self.sums[row], self.data.clock());
        cell(match column {
            0 => clock.show(sum.own),
            1 => percent(sum.own, self.whole),
            2 => clock.show(sum.total),
            3 => count(sum.calls),
            4 => clock.show(sum.mean()),
            5 => clock.show(sum.longest),
            6 => self.data.name(self.number(row)).to_owned(),
            _ => self.directory(row).to_owned(),
        })
    }

    fn compare(&self, column: usize, a: usize, b: usize) -> Ordering {
        let (x, y) = (&self.sums[a], &self.sums[b]);
        let name = |row: usize| self.data.name(self.number(row));
        match column {
            0 | 1 => x.own.cmp(&y.own),
            2 => x.total.cmp(&y.total),
            3 => x.calls.cmp(&y.calls),
            4 => x.mean().cmp(&y.mean()),
            5 => x.longest.cmp(&y.longest),
            6 => name(a).cmp(name(b)),
            _ => self.directory(a).cmp(self.directory(b)).then(y.own.cmp(&x.own)),
        }
        .then_with(|| name(b).cmp(name(a)))
    }

    fn text(&self, row: usize) -> String {
        format!("{} {}", self.data.name(self.number(row)), self.directory(row))
    }

    fn shown(&self, row: usize) -> bool {
        !self.sums[row].is_empty()
    }
}

/// The tasks, idle ones too.
#[derive(Clone, Copy, Debug)]
pub struct Tasks<'a>(pub &'a Data<'a>);

impl Rows for Tasks<'_> {
    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            number("on CPU", 8, 0),
            number("%", 5, 2),
            number("calls", 11, 3),
            number("switched in", 11, 5),
            Column { largest_first: false, ..number("first at", 8, 4) },
            Column { largest_first: false, ..number("pid", 7, 1) },
            text("task", 0, 0),
        ];
        COLUMNS
    }

    fn len(&self) -> usize {
        self.0.report.tasks.len()
    }

    fn cell(&self, row: usize, column: usize) -> Cell {
        let (task, clock) = (&self.0.report.tasks[row], self.0.clock());
        cell(match column {
            0 => clock.show(task.on_cpu),
            1 => percent(task.on_cpu, self.0.report.busy()),
            2 => count(task.calls),
            3 => count(task.switches),
            4 => clock.show(task.first),
            5 => task.pid.to_string(),
            _ => self.text(row),
        })
    }

    fn compare(&self, column: usize, a: usize, b: usize) -> Ordering {
        let (x, y) = (&self.0.report.tasks[a], &self.0.report.tasks[b]);
        match column {
            0 | 1 => x.on_cpu.cmp(&y.on_cpu),
            2 => x.calls.cmp(&y.calls),
            3 => x.switches.cmp(&y.switches),
            4 => x.first.cmp(&y.first),
            5 => x.pid.cmp(&y.pid),
            _ => x.name.cmp(&y.name),
        }
        .then(x.on_cpu.cmp(&y.on_cpu))
    }

    fn text(&self, row: usize) -> String {
        let task = &self.0.report.tasks[row];
        match (task.idle, task.ended) {
            (Some(_), _) => format!("{} (idling)", task.name),
            (None, true) => format!("{} (ended)", task.name),
            (None, false) => task.name.clone(),
        }
    }
}

/// A caller or a callee, and the calls between it and the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The other function; none where nothing traced called it.
    pub function: Option<u32>,
    /// The calls.
    pub sum: Sum,
}

/// Callers or callees.
#[derive(Clone, Copy, Debug)]
pub struct Edges<'a> {
    /// Their names.
    pub data: &'a Data<'a>,
    /// In no order.
    pub edges: &'a [Edge],
    /// What shares refer to: the function's total time.
    pub whole: u64,
}

impl Edges<'_> {
    fn name(&self, row: usize) -> &str {
        self.edges[row].function.map_or("(no traced caller)", |function| self.data.name(function))
    }
}

impl Rows for Edges<'_> {
    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] =
            &[number("total", 8, 0), number("%", 5, 2), number("calls", 11, 1), text("function", 0, 0)];
        COLUMNS
    }

    fn len(&self) -> usize {
        self.edges.len()
    }

    fn cell(&self, row: usize, column: usize) -> Cell {
        let (sum, clock) = (self.edges[row].sum, self.data.clock());
        cell(match column {
            0 => clock.show(sum.total),
            1 => percent(sum.total, self.whole),
            2 => count(sum.calls),
            _ => self.name(row).to_owned(),
        })
    }

    fn compare(&self, column: usize, a: usize, b: usize) -> Ordering {
        let (x, y) = (&self.edges[a].sum, &self.edges[b].sum);
        match column {
            0 | 1 => x.total.cmp(&y.total).then(x.calls.cmp(&y.calls)),
            2 => x.calls.cmp(&y.calls),
            _ => self.name(a).cmp(self.name(b)),
        }
        .then_with(|| self.name(b).cmp(self.name(a)))
    }

    fn text(&self, row: usize) -> String {
        self.name(row).to_owned()
    }
}
