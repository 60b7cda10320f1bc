// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! One JSON object a line, for scripts: calls as they end, and what else happens, each with a `type`;
//! symbolizer/JSON.md describes the fields. In: calls. Out: text. Never here: nesting of objects.

use std::io::{self, Write};

use serde::Serialize;

use super::{Exporter, Head, How, Leave, Missing, TaskHead, Wants};
use crate::report::Report;
use crate::report::names::Named;

/// A line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Trace {
        release: &'a str,
        build_id: &'a str,
        cpus: u32,
        time_unit: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        filtered: Option<&'a str>,
    },
    Task {
        task: u32,
        pid: u32,
        name: &'a str,
    },
    Call {
        name: &'a str,
        start: u64,
        end: u64,
        total: u64,
        own: u64,
        depth: usize,
        task: u32,
        cpu: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        unfinished: Option<&'a str>,
    },
    Lost {
        cpu: u32,
        time: u64,
        events: u64,
    },
    Gap {
        cpu: u32,
        time: u64,
        reason: &'a str,
    },
    Level {
        level: &'a str,
        start: u64,
        end: u64,
    },
    Initcall {
        name: &'a str,
        kind: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        level: Option<&'a str>,
        start: u64,
        end: u64,
        on_cpu: u64,
        calls: u64,
    },
    End {
        calls: u64,
        lost: u64,
        gaps: u64,
    },
}

/// Writes lines.
#[derive(Debug)]
pub struct JsonLines<W> {
    out: W,
    names: Vec<String>,
    calls: u64,
}

impl<W: Write> JsonLines<W> {
    /// To this output.
    pub fn new(out: W) -> JsonLines<W> {
        JsonLines { out, names: Vec::new(), calls: 0 }
    }
}

fn line(out: &mut impl Write, line: &Line<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// What a call that did not return is, in a word.
fn unfinished(how: How) -> Option<&'static str> {
    match how {
        How::Returned => None,
        How::TaskEnded => Some("task ended"),
        How::Cut => Some("cut"),
        How::Open => Some("open"),
    }
}

impl<W: Write> Exporter for JsonLines<W> {
    fn wants(&self) -> Wants {
        Wants::Calls
    }

    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        let time_unit = if head.clock.khz().is_some() { "ns" } else { "ticks" };
        let (release, build_id) = (&head.meta.release, &head.meta.build_id);
        let cpus = head.meta.cpus;
        line(&mut self.out, &Line::Trace { release, build_id, cpus, time_unit, filtered: head.filtered })
    }

    fn function(&mut self, _number: u32, named: &Named) -> io::Result<()> {
        self.names.push(named.name.clone());
        Ok(())
    }

    fn task(&mut self, task: &TaskHead) -> io::Result<()> {
        line(&mut self.out, &Line::Task { task: task.number, pid: task.pid, name: &task.name })
    }

    fn leave(&mut self, leave: &Leave) -> io::Result<()> {
        self.calls += 1;
        let Leave { function, start, end, total, own, how, at } = *leave;
        let name = self.names.get(function as usize).map_or("?", |name| name);
        let unfinished = unfinished(how);
        let call = Line::Call { name, start, end, total, own, depth: at.depth, task: at.task, cpu: at.cpu, unfinished };
        line(&mut self.out, &call)
    }

    fn missing(&mut self, cpu: u32, time: u64, missing: &Missing) -> io::Result<()> {
        match missing {
            Missing::Lost(events) => line(&mut self.out, &Line::Lost { cpu, time, events: *events }),
            Missing::Gap(reason) => line(&mut self.out, &Line::Gap { cpu, time, reason }),
        }
    }

    fn finish(&mut self, report: &Report<'_>) -> io::Result<()> {
        let time = |ticks| report.clock.ns(ticks).unwrap_or(ticks);
        for row in &report.boot.levels {
            let (start, end) = (time(row.began), time(row.began.saturating_add(row.ticks)));
            line(&mut self.out, &Line::Level { level: row.phase.name(), start, end })?;
        }
        for row in &report.boot.initcalls {
            let initcall = Line::Initcall {
                name: &row.name,
                kind: row.kind.name(),
                level: row.phase.map(|phase| phase.name()),
                start: time(row.start),
                end: time(row.start.saturating_add(row.wall)),
                on_cpu: time(row.on_cpu),
                calls: row.calls,
            };
            line(&mut self.out, &initcall)?;
        }
        let (lost, gaps) = (report.totals.lost, report.totals.gap_count);
        line(&mut self.out, &Line::End { calls: self.calls, lost, gaps })?;
        self.out.flush()
    }
}
