// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize bench-levels`, for `cargo xtask bench levels`: what lies between the marks of a trace of one
//! CPU, word by word, with nothing of the reports' machinery. In: a trace. Out: JSON: calls per site and
//! phase, initcalls. Two traces of the same boot are compared by it.

use anyhow::{Context, bail};
use early_ftrace_format::decode::Decoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::mark::Mark;
use early_ftrace_format::stream::Call;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use symbolizer::host::event::HostEvent;
use symbolizer::host::file::HostFile;
use symbolizer::trace_dir::TraceDir;

/// Arguments of `symbolize bench-levels`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The trace directory
    trace: PathBuf,
    /// Sites of `irq_enter_rcu` and `irq_exit_rcu`: what is called between them is an interrupt's
    #[arg(long, num_args = 2, value_names = ["ENTER", "EXIT"], value_parser = clap::value_parser!(u64))]
    irq: Option<Vec<u64>>,
    /// Sites of functions whose calls, and all calls in them, are counted apart from pid 1's others: what they do hangs
    /// on when interrupts and other tasks come
    #[arg(long, num_args = 1.., value_parser = clap::value_parser!(u64))]
    apart: Vec<u64>,
}

/// What one phase has.
#[derive(Default)]
struct Between {
    began: u64,
    events: u64,
    words: u64,
    /// Calls by site: of all tasks, and of pid 1 outside of interrupts.
    calls: BTreeMap<u64, u64>,
    first: BTreeMap<u64, u64>,
    /// Of the latter, those outside of the functions that are counted apart.
    steady: BTreeMap<u64, u64>,
}

/// A task, as far as interrupts go.
#[derive(Default)]
struct Task {
    open: Vec<u64>,
    interrupts: u32,
    /// Open calls of functions that are counted apart.
    apart: u32,
}

/// Prints it.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let (enter, leave) = match args.irq.as_deref() {
        Some([enter, leave]) => (*enter, *leave),
        _ => (0, 0),
    };
    let trace = TraceDir::open(&args.trace)?;
    let [cpu] = trace.cpus() else { bail!("{}: not a trace of one CPU", args.trace.display()) };
    let mut phases: Vec<Between> = (0..=bootlevel::Phase::ALL.len()).map(|_| Between::default()).collect();
    let (mut phase, mut pid) = (0, None);
    let mut tasks: HashMap<u32, Task> = HashMap::new();
    let (mut options, mut problems): (Vec<u8>, Vec<Value>) = (Vec::new(), Vec::new());
    let mut initcalls: Vec<Value> = Vec::new();
    // By pid: address, start, phase.
    let mut open: HashMap<u32, Vec<(u32, u64, usize)>> = HashMap::new();
    for index in 0..cpu.blocks().len() {
        let block = cpu.read(index).map_err(|gap| anyhow::anyhow!("{}", gap.reason))?;
        for run in &block.runs {
            let mut decoder = Decoder::new(run.tsc);
            let current = *pid.get_or_insert(run.pid);
            let mut task = tasks.remove(&current).unwrap_or_default();
            for &word in block.words.get(run.words.clone()).context("a run outside its block")? {
                let event = decoder.push(word);
                let between = &mut phases[phase];
                between.words += u64::from(word as u32 != 0);
                let Some(event) = event else { continue };
                between.events += event.weight();
                match event {
                    Event::Entry { site, .. } | Event::Leaf { site, .. } => {
                        *between.calls.entry(site).or_default() += 1;
                        task.interrupts += u32::from(site == enter);
                        let apart = args.apart.contains(&site);
                        if pid == Some(1) && task.interrupts == 0 {
                            *between.first.entry(site).or_default() += 1;
                            if !apart && task.apart == 0 {
                                *between.steady.entry(site).or_default() += 1;
                            }
                        }
                        if matches!(event, Event::Entry { .. }) {
                            task.apart += u32::from(apart);
                            task.open.push(site);
                        } else {
                            task.interrupts = task.interrupts.saturating_sub(u32::from(site == leave));
                        }
                    }
                    Event::Exit { .. } => {
                        let site = task.open.pop();
                        task.interrupts = task.interrupts.saturating_sub(u32::from(site == Some(leave)));
                        let apart = site.is_some_and(|site| args.apart.contains(&site));
                        task.apart = task.apart.saturating_sub(u32::from(apart));
                    }
                    Event::Switch { pid: next, .. } => {
                        tasks.insert(pid.unwrap_or(0), task);
                        pid = Some(next);
                        task = tasks.remove(&next).unwrap_or_default();
                    }
                    Event::Mark { mark: Mark::Phase(number), time, .. } => {
                        phase = usize::from(number).min(phases.len() - 1);
                        phases[phase].began = time;
                    }
                    Event::Mark { mark: Mark::Option(_), value, .. } => {
                        options.extend(value.to_le_bytes().iter().filter(|&&byte| byte != 0));
                    }
                    Event::Mark { mark: Mark::Problem(code), value, .. } => {
                        problems.push(json!({"code": code, "at": value & 0xffff, "len": value >> 16}));
                    }
                    Event::Mark { mark: Mark::InitcallStart | Mark::ModuleInitStart, value, time } => {
                        open.entry(pid.unwrap_or(0)).or_default().push((value, time, phase));
                    }
                    Event::Mark { mark: Mark::InitcallEnd, value, time } => {
                        if let Some((address, start, phase)) = open.entry(pid.unwrap_or(0)).or_default().pop() {
                            let address = 0xffff_ffff_0000_0000 | u64::from(address);
                            initcalls.push(json!({"address": address, "phase": name(phase), "start": start,
                                "ticks": time.saturating_sub(start), "returned": value as i32}));
                        }
                    }
                    _ => {}
                }
            }
            tasks.insert(pid.unwrap_or(0), task);
        }
    }
    let list = |calls: &BTreeMap<u64, u64>| calls.iter().map(|(site, count)| json!([site, count])).collect::<Vec<_>>();
    let phases: serde_json::Map<String, Value> = phases
        .iter()
        .enumerate()
        .filter(|(_, between)| between.words > 0)
        .map(|(number, between)| {
            let value = json!({"began": between.began, "events": between.events, "words": between.words,
                "calls": list(&between.calls), "first": list(&between.first), "steady": list(&between.steady)});
            (name(number).to_owned(), value)
        })
        .collect();
    anstream::println!(
        "{}",
        json!({"phases": phases, "initcalls": initcalls,
        "options": String::from_utf8_lossy(&options), "problems": problems, "tsc_khz": trace.meta().tsc_khz,
        "own_hypercalls": own_hypercalls(&args.trace)?})
    );
    Ok(0)
}

/// What the host has seen of the tracer's own hypercalls, in its ticks: how many there were, for how long the guest was
/// left for them; of those that followed another one within a frame, how many, and how long the guest had run between.
fn own_hypercalls(trace: &std::path::Path) -> anyhow::Result<Value> {
    let Some(file) = HostFile::open(trace)? else { return Ok(Value::Null) };
    let (mut calls, mut host, mut behind, mut guest) = (0u64, 0u64, 0u64, 0u64);
    for vcpu in file.vcpus() {
        let mut before = None;
        for event in file.events(vcpu) {
            let HostEvent::Exit(exit) = event else { continue };
            let Some(call) = exit.hypercall.and_then(|call| Call::read(call.number)) else {
                before = None;
                continue;
            };
            calls += 1;
            host = host.saturating_add(exit.length);
            if let Some(end) = before.filter(|_| !call.first) {
                behind += 1;
                guest = guest.saturating_add(exit.time.saturating_sub(end));
            }
            before = Some(exit.time.saturating_add(exit.length));
        }
    }
    Ok(json!({"calls": calls, "host": host, "behind": behind, "guest": guest}))
}

fn name(number: usize) -> &'static str {
    bootlevel::Phase::ALL.get(number).map_or("unknown", |phase| phase.name())
}
