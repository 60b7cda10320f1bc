// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Chrome's trace event JSON, for chrome://tracing, ui.perfetto.dev and speedscope. In: calls. Out: one object
//! with a `traceEvents` array: a complete event for each call, in the row of its task; rows for levels, initcalls
//! and for what ran on each CPU; losses. Never here: counters, which make no sense in all three of the readers.
//!
//! Times are microseconds with three decimals. A call that did not return is as long as is known, and says so.

use std::io::{self, Write};

use bootlevel::Phase;
use serde_json::{Value, json};

use super::lanes::lanes;
use super::{Exporter, Head, How, Leave, Missing, TaskHead, Wants, tid};
use crate::calltree::levels::Outcome;
use crate::report::Report;
use crate::report::levels::InitcallRow;
use crate::report::names::Named;

/// Groups of rows, which the format calls processes.
const BOOT: u32 = 1;
const CPUS: u32 = 2;
const KERNEL: u32 = 3;

/// Writes the object.
#[derive(Debug)]
pub struct Chrome<W> {
    out: W,
    /// The first event stands without a comma.
    begun: bool,
    /// As JSON strings.
    functions: Vec<String>,
    /// Row and name, as JSON string.
    tasks: Vec<(u32, String)>,
    /// CPUs that have a row.
    cpus: Vec<u32>,
}

/// Nanoseconds as microseconds.
struct Micros(u64);

impl std::fmt::Display for Micros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

impl<W: Write> Chrome<W> {
    /// To this output.
    pub fn new(out: W) -> Chrome<W> {
        Chrome { out, begun: false, functions: Vec::new(), tasks: Vec::new(), cpus: Vec::new() }
    }

    fn comma(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) { self.out.write_all(b",\n") } else { Ok(()) }
    }

    fn event(&mut self, event: &Value) -> io::Result<()> {
        self.comma()?;
        serde_json::to_writer(&mut self.out, event)?;
        Ok(())
    }

    /// What a row is called, and where it stands in its group.
    fn row(&mut self, pid: u32, tid: u32, name: &str, rank: usize) -> io::Result<()> {
        self.event(&json!({"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}}))?;
        let index = json!({"sort_index": rank});
        self.event(&json!({"ph": "M", "name": "thread_sort_index", "pid": pid, "tid": tid, "args": index}))
    }

    fn group(&mut self, pid: u32, name: &str) -> io::Result<()> {
        self.event(&json!({"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}}))?;
        let index = json!({"sort_index": pid});
        self.event(&json!({"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": index}))
    }

    fn cpu(&mut self, cpu: u32) -> io::Result<()> {
        if self.cpus.contains(&cpu) {
            return Ok(());
        }
        self.cpus.push(cpu);
        self.row(CPUS, cpu, &format!("CPU {cpu}"), cpu as usize)
    }

    /// Writes an event with a duration; `name` is a JSON string, `args` an object.
    fn complete(
        &mut self,
        (pid, tid): (u32, u32),
        name: &str,
        (from, to): (u64, u64),
        args: Option<&Value>,
    ) -> io::Result<()> {
        self.comma()?;
        let (ts, dur) = (Micros(from), Micros(to.saturating_sub(from)));
        write!(self.out, r#"{{"ph":"X","name":{name},"pid":{pid},"tid":{tid},"ts":{ts},"dur":{dur}"#)?;
        if let Some(args) = args {
            write!(self.out, r#","args":{args}"#)?;
        }
        self.out.write_all(b"}")
    }

    fn marks(&mut self, report: &Report<'_>) -> io::Result<()> {
        let time = |ticks| report.clock.ns(ticks).unwrap_or(ticks);
        self.row(BOOT, 0, "levels", 0)?;
        // What the firmware did was before the trace.
        for row in report.boot.levels.iter().filter(|row| row.phase != Phase::Firmware) {
            let args = json!({"initcalls": row.initcalls, "events": row.events, "busy_ns": time(row.busy)});
            let stretch = (time(row.began), time(row.began.saturating_add(row.ticks)));
            self.complete((BOOT, 0), &quoted(row.phase.name()), stretch, Some(&args))?;
        }
        let stretch = |row: &InitcallRow| (time(row.start), time(row.start.saturating_add(row.wall)));
        let lanes = lanes(report.boot.initcalls.iter().map(stretch));
        for lane in 0..lanes.iter().max().map_or(0, |&last| last + 1) {
            let name = if lane == 0 { "initcalls".to_owned() } else { format!("initcalls beside {lane}") };
            self.row(BOOT, lane as u32 + 1, &name, lane + 1)?;
        }
        for (row, lane) in report.boot.initcalls.iter().zip(lanes) {
            let outcome = match row.outcome {
                Outcome::Returned(value) => json!(value),
                Outcome::Cut => json!("unfinished: events were lost"),
                Outcome::Open => json!("unfinished: open at the end"),
            };
            let args = json!({
                "level": row.phase.map(|phase| phase.name()),
                "module": row.module,
                "task": row.task,
                "calls": row.calls,
                "on_cpu_ns": time(row.on_cpu),
                "returned": outcome,
            });
            self.complete((BOOT, lane as u32 + 1), &quoted(&row.name), stretch(row), Some(&args))?;
        }
        Ok(())
    }
}

/// What a call that did not return is, in a word.
fn unfinished(how: How) -> Option<Value> {
    let why = match how {
        How::Returned => return None,
        How::TaskEnded => "task ended",
        How::Cut => "events were lost",
        How::Open => "open at the end",
    };
    Some(json!({"unfinished": why}))
}

impl<W: Write> Exporter for Chrome<W> {
    fn wants(&self) -> Wants {
        Wants::Calls
    }

    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        let about = json!({
            "kernel_release": head.meta.release,
            "kernel_build_id": head.meta.build_id,
            "kernel_command_line": head.meta.command_line,
            "filtered": head.filtered,
            "time_unit": if head.clock.khz().is_some() { "us" } else { "kiloticks" },
            "writer": concat!("early-ftrace ", env!("CARGO_PKG_VERSION")),
        });
        write!(self.out, r#"{{"displayTimeUnit":"ns","otherData":{about},"traceEvents":["#)?;
        self.out.write_all(b"\n")?;
        self.group(BOOT, "Boot")?;
        self.group(CPUS, "CPUs")?;
        self.group(KERNEL, &format!("Linux {}", head.meta.release))
    }

    fn function(&mut self, _number: u32, named: &Named) -> io::Result<()> {
        self.functions.push(quoted(&named.name));
        Ok(())
    }

    fn task(&mut self, task: &TaskHead) -> io::Result<()> {
        let index = task.number as usize;
        if self.tasks.len() <= index {
            self.tasks.resize(index + 1, (0, String::new()));
        }
        self.tasks[index] = (tid(task), quoted(&task.name));
        self.row(KERNEL, tid(task), &task.name, index)
    }

    fn ran(&mut self, task: u32, cpu: u32, from: u64, to: u64) -> io::Result<()> {
        self.cpu(cpu)?;
        let Some(name) = self.tasks.get(task as usize).map(|task| task.1.clone()) else { return Ok(()) };
        self.complete((CPUS, cpu), &name, (from, to), None)
    }

    fn leave(&mut self, leave: &Leave) -> io::Result<()> {
        let Some(&(tid, _)) = self.tasks.get(leave.at.task as usize) else { return Ok(()) };
        let Some(name) = self.functions.get_mut(leave.function as usize).map(std::mem::take) else { return Ok(()) };
        let args = unfinished(leave.how);
        let done = self.complete((KERNEL, tid), &name, (leave.start, leave.end), args.as_ref());
        self.functions[leave.function as usize] = name;
        done
    }

    fn missing(&mut self, cpu: u32, time: u64, missing: &Missing) -> io::Result<()> {
        self.cpu(cpu)?;
        let (name, args) = match missing {
            Missing::Lost(count) => ("events lost", json!({"events": count})),
            Missing::Gap(reason) => ("gap in the trace", json!({"reason": reason})),
        };
        let ts = time as f64 / 1000.0;
        self.event(&json!({"ph": "i", "s": "t", "name": name, "pid": CPUS, "tid": cpu, "ts": ts, "args": args}))
    }

    fn finish(&mut self, report: &Report<'_>) -> io::Result<()> {
        self.marks(report)?;
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()
    }
}
