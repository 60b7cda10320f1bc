// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A CTF 1.8 trace directory, for Trace Compass and babeltrace2. In: calls. Out: `metadata`, a stream of calls
//! and one of switches for each CPU, one of the boot's levels and initcalls, and `symbols/functions.map`, which
//! Trace Compass imports to name functions. Never here: how packets are laid out.
//!
//! Calls are the events of LTTng-UST's `cyg_profile`, so that Trace Compass runs its call stack analysis on
//! them. `call_site` is the address of the calling function: which of its calls it was is not recorded. A call
//! that was still open at the end of the trace has no exit.

mod metadata;
mod stream;

use std::io::{self, Write};
use std::path::PathBuf;

use bootlevel::Phase;

use self::metadata as meta;
use self::stream::{Kind, Stream};
use super::directory::Directory;
use super::{Enter, Exporter, Head, How, Leave, Missing, TaskHead, Wants};
use crate::calltree::levels::Outcome;
use crate::report::Report;
use crate::report::names::Named;

/// A task, as its events' context shows it.
#[derive(Debug, Default)]
struct Context {
    pid: u32,
    /// With its NUL.
    name: Vec<u8>,
    /// Its name from the next call on that no other is around: a call must end under the name it began with.
    next: Option<Vec<u8>>,
    /// Addresses of its open calls.
    stack: Vec<u64>,
}

/// A task that left a CPU: when, its name, its pid.
type Switched = (u64, Vec<u8>, u32);

/// Streams of one CPU.
#[derive(Debug)]
struct Cpu {
    calls: Stream,
    switches: Stream,
    last: Option<Switched>,
}

/// All streams.
#[derive(Debug)]
struct Streams {
    directory: Directory,
    uuid: [u8; 16],
    cpus: Vec<Option<Cpu>>,
    boot: Option<Stream>,
}

impl Streams {
    #[inline]
    fn cpu(&mut self, cpu: u32) -> &mut Cpu {
        let index = cpu as usize;
        if self.cpus.len() <= index {
            self.cpus.resize_with(index + 1, || None);
        }
        let (uuid, path) = (self.uuid, self.directory.path());
        let stream =
            |class, name| Stream::new(Kind { uuid, class, cpu: Some(cpu) }, path.join(format!("{name}_{cpu}")));
        self.cpus[index].get_or_insert_with(|| Cpu {
            calls: stream(meta::CALLS, "calls"),
            switches: stream(meta::SWITCHES, "switches"),
            last: None,
        })
    }

    fn boot(&mut self) -> &mut Stream {
        let (uuid, path) = (self.uuid, self.directory.path().join("boot"));
        self.boot.get_or_insert_with(|| Stream::new(Kind { uuid, class: meta::BOOT, cpu: None }, path))
    }
}

/// Writes the directory.
#[derive(Debug)]
pub struct Ctf {
    streams: Streams,
    tasks: Vec<Context>,
    functions: Vec<(u64, Vec<u8>)>,
}

impl Ctf {
    /// Into a directory that is not there yet.
    ///
    /// # Errors
    /// If it is, or cannot be made.
    pub fn new(path: PathBuf) -> io::Result<Ctf> {
        let directory = Directory::new(path)?;
        let streams = Streams { directory, uuid: [0; 16], cpus: Vec::new(), boot: None };
        Ok(Ctf { streams, tasks: Vec::new(), functions: Vec::new() })
    }

    /// Levels and initcalls.
    fn marks(&mut self, report: &Report<'_>) -> io::Result<()> {
        let time = |ticks| report.clock.ns(ticks).unwrap_or(ticks);
        let mut events: Vec<(u64, u16, Vec<u8>)> = Vec::new();
        // What the firmware did was before the trace.
        for row in report.boot.levels.iter().filter(|row| row.phase != Phase::Firmware) {
            let fields = text(row.phase.name());
            events.push((time(row.began), meta::LEVEL_BEGIN, fields.clone()));
            events.push((time(row.began.saturating_add(row.ticks)), meta::LEVEL_END, fields));
        }
        for row in &report.boot.initcalls {
            let head = [row.address.to_le_bytes().to_vec(), text(&row.name)].concat();
            let level = row.phase.map_or("", |phase| phase.name());
            let module = row.module.as_deref().unwrap_or_default();
            let fields = [head.clone(), text(level), text(module), text(&row.task)].concat();
            events.push((time(row.start), meta::INITCALL_START, fields));
            let (ret, outcome) = match row.outcome {
                Outcome::Returned(value) => (value, "returned"),
                Outcome::Cut => (0, "cut"),
                Outcome::Open => continue,
            };
            let fields = [head, ret.to_le_bytes().to_vec(), text(outcome)].concat();
            events.push((time(row.start.saturating_add(row.wall)), meta::INITCALL_FINISH, fields));
        }
        // Stable: what ends where something else begins comes first, as it came here.
        events.sort_by_key(|event| event.0);
        for (time, id, fields) in events {
            self.streams.boot().event(time, id, |out| out.extend_from_slice(&fields))?;
        }
        Ok(())
    }

    /// Names of functions, as `nm` prints them.
    fn map(&self) -> io::Result<()> {
        let mut functions: Vec<&(u64, Vec<u8>)> = self.functions.iter().collect();
        functions.sort();
        let path = self.streams.directory.path().join("symbols");
        // Readers of traces pass over directories, and would take a file for a stream.
        std::fs::create_dir(&path)?;
        let mut out = io::BufWriter::new(std::fs::File::create(path.join("functions.map"))?);
        for (address, name) in functions {
            write!(out, "{address:016x} T ")?;
            out.write_all(name.strip_suffix(b"\0").unwrap_or(name))?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }
}

/// With the NUL that ends it.
fn text(text: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = text.bytes().filter(|&byte| byte != 0).collect();
    bytes.push(0);
    bytes
}

/// A task's name with its NUL.
fn comm(name: &str) -> Vec<u8> {
    let mut end = name.len().min(meta::NAME - 1);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    text(&name[..end])
}

impl Context {
    /// Pid, tid and name; each task stands for itself, since a trace does not know who is whose thread.
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.pid.to_le_bytes());
        out.extend_from_slice(&self.pid.to_le_bytes());
        out.extend_from_slice(&self.name);
    }
}

impl Exporter for Ctf {
    fn wants(&self) -> Wants {
        Wants::Calls
    }

    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        let origin = format!("{} {} {} {:?}", head.meta.build_id, head.meta.started_at, head.first_tick, head.filtered);
        self.streams.uuid = uuid(origin.as_bytes());
        std::fs::write(self.streams.directory.path().join("metadata"), meta::text(head, &self.streams.uuid))
    }

    fn function(&mut self, _number: u32, named: &Named) -> io::Result<()> {
        self.functions.push((named.address, text(&named.name)));
        Ok(())
    }

    fn task(&mut self, task: &TaskHead) -> io::Result<()> {
        let index = task.number as usize;
        if self.tasks.len() <= index {
            self.tasks.resize_with(index + 1, Context::default);
        }
        let context = &mut self.tasks[index];
        context.pid = task.pid;
        context.next = Some(comm(&task.name));
        if context.stack.is_empty() {
            context.name = comm(&task.name);
        }
        Ok(())
    }

    fn ran(&mut self, task: u32, cpu: u32, from: u64, to: u64) -> io::Result<()> {
        let Some(context) = self.tasks.get(task as usize) else { return Ok(()) };
        let (next, pid) = (context.next.clone().unwrap_or_else(|| context.name.clone()), context.pid);
        let cpu = self.streams.cpu(cpu);
        let switch = |stream: &mut Stream, time, prev: (&[u8], u32), next: (&[u8], u32)| {
            stream.event(time, meta::SCHED_SWITCH, |out| {
                for (name, pid) in [prev, next] {
                    out.extend_from_slice(name);
                    out.extend_from_slice(&pid.to_le_bytes());
                }
            })
        };
        if let Some((_, name, last)) = cpu.last.replace((to, next.clone(), pid)) {
            switch(&mut cpu.switches, from, (&name, last), (&next, pid))?;
        }
        Ok(())
    }

    fn enter(&mut self, enter: &Enter) -> io::Result<()> {
        let Some((address, name)) = self.functions.get(enter.function as usize) else { return Ok(()) };
        let Some(context) = self.tasks.get_mut(enter.at.task as usize) else { return Ok(()) };
        if context.stack.is_empty()
            && let Some(next) = context.next.take()
        {
            context.name = next;
        }
        let caller = context.stack.last().copied().unwrap_or(0);
        context.stack.push(*address);
        let address = *address;
        self.streams.cpu(enter.at.cpu).calls.event(enter.time, meta::FUNC_ENTRY, |out| {
            context.put(out);
            out.extend_from_slice(&address.to_le_bytes());
            out.extend_from_slice(&caller.to_le_bytes());
            out.extend_from_slice(name);
        })
    }

    fn leave(&mut self, leave: &Leave) -> io::Result<()> {
        let Some(context) = self.tasks.get_mut(leave.at.task as usize) else { return Ok(()) };
        let Some(address) = context.stack.pop() else { return Ok(()) };
        if leave.how == How::Open {
            return Ok(());
        }
        let caller = context.stack.last().copied().unwrap_or(0);
        self.streams.cpu(leave.at.cpu).calls.event(leave.end, meta::FUNC_EXIT, |out| {
            context.put(out);
            out.extend_from_slice(&address.to_le_bytes());
            out.extend_from_slice(&caller.to_le_bytes());
        })
    }

    fn missing(&mut self, cpu: u32, time: u64, missing: &Missing) -> io::Result<()> {
        match missing {
            Missing::Lost(count) => {
                self.streams.cpu(cpu).calls.lost(time, *count)?;
                self.streams.boot().event(time, meta::LOST, |out| {
                    out.extend_from_slice(&cpu.to_le_bytes());
                    out.extend_from_slice(&count.to_le_bytes());
                })
            }
            Missing::Gap(reason) => self.streams.boot().event(time, meta::GAP, |out| {
                out.extend_from_slice(&cpu.to_le_bytes());
                out.extend_from_slice(&text(reason));
            }),
        }
    }

    fn finish(&mut self, report: &Report<'_>) -> io::Result<()> {
        self.marks(report)?;
        self.map()?;
        for cpu in self.streams.cpus.iter_mut().flatten() {
            cpu.calls.finish()?;
            cpu.switches.finish()?;
        }
        if let Some(boot) = &mut self.streams.boot {
            boot.finish()?;
        }
        self.streams.directory.done()
    }
}

/// Made of what the trace is, so that the same export is the same trace (FNV-1a, marked as a UUID of version 8).
fn uuid(origin: &[u8]) -> [u8; 16] {
    let step = |hash: u128, &byte: &u8| (hash ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
    let mut uuid = origin.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, step).to_be_bytes();
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}
