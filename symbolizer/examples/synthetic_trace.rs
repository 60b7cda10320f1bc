// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Writes a trace of a made-up boot, for measurements and for looking at reports: several CPUs and
//! tasks that move between them, a call graph with few hot functions, about 72 % leaf calls.
//!
//! `cargo run --release -p symbolizer --example synthetic_trace -- VMLINUX OUT CALLS [CPUS]`

use std::path::Path;

use early_ftrace_format::encode::Encoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::shared::{CHUNK_MAGIC, CHUNK_WORDS, ChunkHeader};
use early_ftrace_format::word::EndReason;
use symbolizer::report::Names;
use symbolizer::report::names::CALL;
use symbolizer::resolve::Vmlinux;
use symbolizer::trace_dir::{Ended, Existing, Meta, TraceWriter};

/// xorshift64*: the same trace each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        ((self.next() >> 32) * limit) >> 32
    }
}

struct Cpu {
    words: Vec<u64>,
    encoder: Encoder,
    header: ChunkHeader,
    task: usize,
}

struct Task {
    pid: u32,
    name: &'static str,
    stack: Vec<u64>,
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, vmlinux, out, calls, rest @ ..] = &args[..] else {
        anyhow::bail!("VMLINUX OUT CALLS [CPUS]");
    };
    let calls: u64 = calls.parse()?;
    let cpus: u32 = rest.first().map_or(Ok(1), |cpus| cpus.parse())?;
    let vmlinux = Vmlinux::open(Path::new(vmlinux))?;
    let names = Names::open(&vmlinux)?;
    let sites: Vec<u64> = names.call_sites().unwrap_or_default().iter().map(|call| call + CALL).collect();
    anyhow::ensure!(sites.len() > 1000, "the vmlinux lists too few call sites");

    let mut meta = Meta {
        format_version: 1,
        words_version: 1,
        tool: "synthetic_trace".to_owned(),
        release: "6.1.0-synthetic".to_owned(),
        build_id: names.build_id().unwrap_or_default(),
        command_line: "console=ttyS0 panic=-1 synthetic=1".to_owned(),
        cpus,
        tsc_khz: Some(2_100_000),
        sites: sites.len() as u64,
        ..Meta::default()
    };
    let mut writer = TraceWriter::create(Path::new(out), &meta, Existing::Replace)?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut now = 1_000_000_u64;
    let task_names = ["swapper", "init", "kthreadd", "rcu_gp", "kworker/0:1", "kworker/u4:0", "migration/0", "cpuhp/1"];
    let mut tasks: Vec<Task> = (0..cpus as usize)
        .map(|_| (0, "swapper"))
        .chain((1..40).map(|pid| (pid, task_names[1 + pid as usize % 7])))
        .map(|(pid, name)| Task { pid, name, stack: Vec::new() })
        .collect();
    let mut state: Vec<Cpu> = (0..cpus).map(|cpu| open(cpu, 0, now, cpu as usize, 0)).collect();
    let mut busy: Vec<bool> = (0..tasks.len()).map(|task| task < cpus as usize).collect();
    for task in &tasks[cpus as usize..] {
        let mut name = [0; 16];
        name[..task.name.len()].copy_from_slice(task.name.as_bytes());
        push(&mut writer, &mut state[0], &tasks, now, Event::Named { pid: task.pid, name })?;
    }

    let mut made = 0;
    while made < calls {
        for cpu in &mut state {
            // A stretch of one task.
            for _ in 0..20 + random.below(200) {
                let task = cpu.task;
                let depth = tasks[task].stack.len();
                let caller = tasks[task].stack.last().copied().unwrap_or(7 * task as u64);
                now += 20 + random.below(300);
                match random.below(100) {
                    0..72 => {
                        let site = callee(&sites, caller, random.below(4) * random.below(4));
                        let end = now + 10 + random.below(200);
                        push(&mut writer, cpu, &tasks, now, Event::Leaf { site, start: now, end })?;
                        now = end;
                        made += 1;
                    }
                    72..86 if depth < 30 => {
                        let number = random.below(3);
                        let site = callee(&sites, caller, 100 + number);
                        push(&mut writer, cpu, &tasks, now, Event::Entry { site, time: now })?;
                        tasks[task].stack.push(caller.wrapping_mul(31).wrapping_add(number) % 5_000);
                        made += 1;
                    }
                    _ if depth > 0 => {
                        push(&mut writer, cpu, &tasks, now, Event::Exit { time: now })?;
                        tasks[task].stack.pop();
                    }
                    _ => {}
                }
            }
            let free: Vec<usize> = (0..tasks.len()).filter(|&t| !busy[t] && t >= cpus as usize).collect();
            let next = if random.below(8) == 0 {
                cpu.header.cpu as usize
            } else {
                free[random.below(free.len() as u64) as usize]
            };
            let old = cpu.task;
            if next != old {
                busy[old] = false;
                busy[next] = true;
                now += 100;
                let event = Event::Switch { state: 1, prio: 120, pid: tasks[next].pid, time: now };
                push(&mut writer, cpu, &tasks, now, event)?;
                cpu.task = next;
            }
        }
    }
    for cpu in &mut state {
        push(&mut writer, cpu, &tasks, now, Event::End { reason: EndReason::PowerOff, time: now })?;
        writer.append_chunk(cpu.header.cpu, &cpu.header, &cpu.words)?;
    }
    meta.ended = Some(Ended::PowerOff);
    writer.finish(&mut meta)?;
    Ok(())
}

fn callee(sites: &[u64], caller: u64, number: u64) -> u64 {
    let mixed = caller.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number * 0x1234_5677) >> 20;
    sites[(mixed % sites.len() as u64) as usize]
}

fn open(cpu: u32, seq: u64, tsc: u64, task: usize, pid: u32) -> Cpu {
    let header = ChunkHeader { magic: CHUNK_MAGIC, cpu, seq, tsc, pid, ..ChunkHeader::default() };
    Cpu { words: Vec::new(), encoder: Encoder::new(tsc), header, task }
}

fn push(writer: &mut TraceWriter, cpu: &mut Cpu, tasks: &[Task], now: u64, event: Event) -> anyhow::Result<()> {
    if cpu.words.len() + 8 > CHUNK_WORDS {
        writer.append_chunk(cpu.header.cpu, &cpu.header, &cpu.words)?;
        *cpu = open(cpu.header.cpu, cpu.header.seq + 1, now, cpu.task, tasks[cpu.task].pid);
    }
    let words = &mut cpu.words;
    cpu.encoder.push(event, |word| words.push(word)).map_err(|e| anyhow::anyhow!("{e:?}"))
}
