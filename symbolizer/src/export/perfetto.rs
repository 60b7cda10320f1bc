// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A Perfetto trace (.pftrace), for ui.perfetto.dev and trace_processor. In: calls. Out: packets: for each task a
//! thread with its calls as slices, for each CPU which task ran and counters, the boot's levels and initcalls,
//! losses. Never here: the wire format.
//!
//! Tasks are threads of one process, the kernel, since what is traced is kernel code. A call that did not
//! return has no end if it was open at the end of the trace, and a remark if its task ended or events were lost.

mod packets;
mod wire;

use std::io::{self, Write};

use bootlevel::Phase;

use self::packets::{Event, Packets, Track, Value};
use super::lanes::lanes;
use super::{Enter, Exporter, Head, How, KERNEL_PID, Leave, Missing, TaskHead, Wants, tid};
use crate::calltree::levels::{Kind, Outcome};
use crate::report::Report;
use crate::report::levels::InitcallRow;
use crate::report::names::Named;

/// Numbers of tracks: even ones here, odd ones for tasks.
const BOOT: u64 = 2;
const LEVELS: u64 = 4;
const CPUS: u64 = 6;
const KERNEL: u64 = 8;
/// And further ones for each row of initcalls.
const INITCALLS: u64 = 1 << 20;
/// And further ones for each CPU.
const CPU: u64 = 16;

/// A value of a counter stands for this many nanoseconds.
const BUCKET: u64 = 1_000_000;

/// Sums over a bucket of a CPU.
#[derive(Debug, Default)]
struct Bucket {
    number: u64,
    calls: u64,
    deepest: u64,
}

/// Writes packets.
#[derive(Debug)]
pub struct Perfetto<W> {
    packets: Packets<W>,
    /// Names of functions, by their numbers here: those of functions plus 1.
    functions: u64,
    cpus: Vec<Option<Bucket>>,
    tasks: Vec<String>,
}

fn task_track(task: u32) -> u64 {
    u64::from(task) * 2 + 1
}

/// The track of what ran on a CPU; those of its counters follow.
fn cpu_track(cpu: u32) -> u64 {
    CPU + u64::from(cpu) * 6
}

/// The remark on a call that did not return.
fn unfinished(how: How) -> Option<&'static str> {
    match how {
        How::Returned | How::Open => None,
        How::TaskEnded => Some("its task ended"),
        How::Cut => Some("events were lost"),
    }
}

impl<W: Write> Perfetto<W> {
    /// To this output.
    pub fn new(out: W) -> Perfetto<W> {
        Perfetto { packets: Packets::new(out), functions: 0, cpus: Vec::new(), tasks: Vec::new() }
    }

    /// Tells the tracks of a CPU at its first event.
    fn cpu(&mut self, cpu: u32) -> io::Result<&mut Bucket> {
        let index = cpu as usize;
        if self.cpus.len() <= index {
            self.cpus.resize_with(index + 1, || None);
        }
        if self.cpus[index].is_none() {
            let (track, rank, group) = (cpu_track(cpu), u64::from(cpu) * 3, Some(CPUS));
            self.packets.track(track, group, rank, &format!("CPU {cpu}: task"), &Track::Plain)?;
            let counter = Track::Counter("calls/ms");
            self.packets.track(track + 2, group, rank + 1, &format!("CPU {cpu}: calls"), &counter)?;
            let counter = Track::Counter("open calls");
            self.packets.track(track + 4, group, rank + 2, &format!("CPU {cpu}: depth"), &counter)?;
        }
        Ok(self.cpus[index].get_or_insert_default())
    }

    /// Counts a call; tells the sums of the bucket that is over.
    fn count(&mut self, enter: &Enter) -> io::Result<()> {
        let number = enter.time / BUCKET;
        let bucket = self.cpu(enter.at.cpu)?;
        if number > bucket.number {
            let over = std::mem::replace(bucket, Bucket { number, ..Bucket::default() });
            self.tell(enter.at.cpu, &over, Some(number))?;
        }
        let bucket = self.cpu(enter.at.cpu)?;
        bucket.calls += 1;
        bucket.deepest = bucket.deepest.max(enter.at.depth as u64 + 1);
        Ok(())
    }

    /// Tells the sums of a bucket, and that nothing comes up to bucket `next`.
    fn tell(&mut self, cpu: u32, bucket: &Bucket, next: Option<u64>) -> io::Result<()> {
        let track = cpu_track(cpu);
        let mut at = |number: u64, calls, deepest| {
            let time = number.saturating_mul(BUCKET);
            self.packets.count(time, track + 2, calls)?;
            self.packets.count(time, track + 4, deepest)
        };
        if bucket.calls > 0 {
            at(bucket.number, bucket.calls, bucket.deepest)?;
        }
        if next != Some(bucket.number + 1) { at(bucket.number + 1, 0, 0) } else { Ok(()) }
    }

    /// Levels and initcalls.
    fn marks(&mut self, report: &Report<'_>) -> io::Result<()> {
        let time = |ticks| report.clock.ns(ticks).unwrap_or(ticks);
        // What the firmware did was before the trace.
        for row in report.boot.levels.iter().filter(|row| row.phase != Phase::Firmware) {
            let remarks = [
                ("events", Value::Number(row.events as i64)),
                ("initcalls", Value::Number(row.initcalls as i64)),
                ("busy_ns", Value::Number(time(row.busy) as i64)),
            ];
            self.packets.remarked(time(row.began), LEVELS, Event::Begin, Some(row.phase.name()), &remarks)?;
            let end = time(row.began.saturating_add(row.ticks));
            self.packets.event(end, LEVELS, Event::End, None)?;
        }
        let end = |row: &InitcallRow| row.start.saturating_add(row.wall);
        let lanes = lanes(report.boot.initcalls.iter().map(|row| (row.start, end(row))));
        for lane in 0..lanes.iter().max().map_or(0, |&last| last as u64 + 1) {
            self.packets.track(INITCALLS + 2 * lane, Some(BOOT), 1 + lane, "initcalls", &Track::Plain)?;
        }
        for (row, lane) in report.boot.initcalls.iter().zip(lanes) {
            let track = INITCALLS + 2 * lane as u64;
            let returned = match row.outcome {
                Outcome::Returned(value) => ("returned", Value::Number(i64::from(value))),
                Outcome::Cut => ("unfinished", Value::Text("events were lost")),
                Outcome::Open => ("unfinished", Value::Text("open at the end")),
            };
            let kind = match row.kind {
                Kind::BuiltIn => "initcall",
                Kind::Module => "init of a module",
                Kind::Async => "async",
                Kind::Deferred => "deferred",
            };
            let remarks = [
                ("kind", Value::Text(kind)),
                ("level", Value::Text(row.phase.map_or("", |phase| phase.name()))),
                ("module", Value::Text(row.module.as_deref().unwrap_or_default())),
                ("task", Value::Text(&row.task)),
                ("calls", Value::Number(row.calls as i64)),
                ("on_cpu_ns", Value::Number(time(row.on_cpu) as i64)),
                returned,
            ];
            self.packets.remarked(time(row.start), track, Event::Begin, Some(&row.name), &remarks)?;
            self.packets.event(time(end(row)), track, Event::End, None)?;
        }
        Ok(())
    }
}

impl<W: Write> Exporter for Perfetto<W> {
    fn wants(&self) -> Wants {
        Wants::Calls
    }

    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        self.packets.system(&head.meta.release)?;
        let of = head.filtered.map_or(String::new(), |filtered| format!(" ({filtered})"));
        self.packets.track(BOOT, None, 0, "Boot", &Track::Plain)?;
        self.packets.track(LEVELS, Some(BOOT), 0, "levels", &Track::Plain)?;
        self.packets.track(CPUS, None, 1, "CPUs", &Track::Plain)?;
        let name = format!("Linux {}{of}", head.meta.release);
        self.packets.track(KERNEL, None, 2, &name, &Track::Process { pid: KERNEL_PID })
    }

    fn function(&mut self, _number: u32, named: &Named) -> io::Result<()> {
        self.functions += 1;
        self.packets.name(self.functions, &named.name)
    }

    fn task(&mut self, task: &TaskHead) -> io::Result<()> {
        let index = task.number as usize;
        if self.tasks.len() <= index {
            self.tasks.resize_with(index + 1, String::new);
        }
        self.tasks[index].clone_from(&task.name);
        let thread = Track::Thread { pid: KERNEL_PID, tid: tid(task) };
        self.packets.track(task_track(task.number), None, u64::from(task.number), &task.name, &thread)
    }

    fn ran(&mut self, task: u32, cpu: u32, from: u64, to: u64) -> io::Result<()> {
        self.cpu(cpu)?;
        let Some(name) = self.tasks.get(task as usize) else { return Ok(()) };
        self.packets.remarked(from, cpu_track(cpu), Event::Begin, Some(name), &[])?;
        self.packets.event(to, cpu_track(cpu), Event::End, None)
    }

    fn enter(&mut self, enter: &Enter) -> io::Result<()> {
        self.count(enter)?;
        let name = u64::from(enter.function) + 1;
        self.packets.event(enter.time, task_track(enter.at.task), Event::Begin, Some(name))
    }

    fn leave(&mut self, leave: &Leave) -> io::Result<()> {
        let track = task_track(leave.at.task);
        match (leave.how, unfinished(leave.how)) {
            (How::Open, _) => Ok(()),
            (_, None) => self.packets.event(leave.end, track, Event::End, None),
            (_, Some(why)) => {
                let remarks = [("unfinished", Value::Text(why))];
                self.packets.remarked(leave.end, track, Event::End, None, &remarks)
            }
        }
    }

    fn missing(&mut self, cpu: u32, time: u64, missing: &Missing) -> io::Result<()> {
        self.cpu(cpu)?;
        let track = cpu_track(cpu);
        match missing {
            Missing::Lost(count) => {
                let remarks = [("events", Value::Number(i64::try_from(*count).unwrap_or(i64::MAX)))];
                self.packets.remarked(time, track, Event::Instant, Some("events lost"), &remarks)
            }
            Missing::Gap(reason) => {
                let remarks = [("reason", Value::Text(reason))];
                self.packets.remarked(time, track, Event::Instant, Some("gap in the trace"), &remarks)
            }
        }
    }

    fn finish(&mut self, report: &Report<'_>) -> io::Result<()> {
        for cpu in 0..self.cpus.len() {
            if let Some(bucket) = self.cpus[cpu].take() {
                self.tell(cpu as u32, &bucket, None)?;
            }
        }
        self.marks(report)?;
        self.packets.flush()
    }
}
