// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Records what the host's KVM does while a command runs, with the recorder and the aggregation of `symbolize record
//! --channel hypercall`, for tests and measurements. In: OUT COMMAND... Out: OUT with a line for each record, a last line
//! with the counts, which is printed, too. Never here: a guest's events.
//!
//! `host_record [--no-raw] [--every MS] OUT COMMAND...`: with `--no-raw` OUT has the last line only, as for
//! measurements; the rings are read every MS milliseconds (2).
//! `--bpf` before all others: exits are put together in the kernel.
//! `host_record --trace DIR COMMAND...`: a trace of the guest's hypercalls and `host.eft`, as `symbolize record` writes.
//! Lines: `exit TIME LENGTH VCPU THREAD CPU CPU ISA REASON RIP [NR A0 A1 A2 A3]`, `away TIME LENGTH VCPU PREEMPTED`, `offset TIME VCPU NEXT`.

use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use symbolizer::capture::kvm::{RING, Recorder, Recording, Seen, Way};
use symbolizer::capture::stream;
use symbolizer::capture::vmm::{Vmm, Watch};
use symbolizer::host::aggregate::Aggregator;
use symbolizer::host::clock::Clock;
use symbolizer::host::event::HostEvent;
use symbolizer::trace_dir::{Existing, Meta};

fn main() -> anyhow::Result<()> {
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut option = |name: &str| {
        let given = args.first().is_some_and(|first| first == name);
        if given { Some(args.remove(0)) } else { None }
    };
    let way = match option("--bpf") {
        Some(_) => Way::Bpf,
        None => Way::Perf,
    };
    if option("--trace").is_some() {
        let [dir, command @ ..] = &args[..] else { anyhow::bail!("host_record --trace DIR COMMAND...") };
        return trace(Path::new(dir), command, way);
    }
    let lines = option("--no-raw").is_none();
    let every = match option("--every") {
        Some(_) if args.len() > 1 => args.remove(0).to_string_lossy().parse()?,
        _ => 2,
    };
    let [out, command @ ..] = &args[..] else { anyhow::bail!("host_record [--no-raw] OUT COMMAND...") };
    let mut out = BufWriter::new(std::fs::File::create(out)?);
    let mut recorder = Recorder::open(RING, way)?;
    let mut vmm = Vmm::spawn(command, &[], std::io::stderr())?;
    let mut aggregator = Aggregator::new();
    let (mut failed, mut last, mut backwards) = (None, 0, 0u64);
    let mut ended = None;
    loop {
        // Once more after it has ended.
        let over = ended.is_some();
        let mut write = |event: HostEvent| {
            if lines && let Err(error) = line(&mut out, &event) {
                failed = Some(error);
            }
        };
        let mut give = |seen: Seen| {
            // One whose thread has ended is sent then, and has no end.
            let late = matches!(&seen, Seen::Whole(exit) if exit.length == 0);
            backwards += u64::from(seen.time() < last && !late);
            last = last.max(seen.time());
            match seen {
                Seen::Raw(raw) => aggregator.push(raw, &mut write),
                Seen::Whole(exit) => aggregator.whole(exit, &mut write),
                Seen::Lost { .. } => aggregator.lost(&mut write),
            }
        };
        if over {
            recorder.finish(&mut give);
            aggregator.finish(&mut write);
            break;
        }
        recorder.pass(&mut give);
        ended = vmm.poll()?;
        std::thread::sleep(Duration::from_millis(every));
    }
    if let Some(error) = failed {
        return Err(error.into());
    }
    let (found, made) = (recorder.counts(), aggregator.counts());
    let clock_error = match recorder.clock() {
        Clock::Ticks { error } => error,
        _ => 0,
    };
    let summary = serde_json::json!({
        "events": found.events, "bytes": found.bytes, "lost": found.lost, "strange": found.strange,
        "raw": made.raw, "out": made.out, "unpaired": made.unpaired, "backwards": backwards,
        "described": recorder.clock_is_described(), "clock_error": clock_error, "success": ended.is_some_and(|status| status.success()),
    });
    writeln!(out, "{summary}")?;
    out.flush()?;
    println!("{summary}");
    Ok(())
}

fn trace(dir: &Path, command: &[OsString], way: Way) -> anyhow::Result<()> {
    let recorder = Recorder::open(RING, way)?;
    let vmm = Vmm::spawn(command, &[], std::io::stderr())?;
    let mut watch = Watch::new(Some(vmm), Arc::default(), None);
    let trace = stream::Recorder::new(dir, Existing::Keep, Meta::default());
    let mut recording = Recording::new(recorder, trace, dir);
    let ended = recording.run(|| watch.poll(), |_| ())?;
    let (meta, done) = recording.finish(ended)?;
    println!("{:?} {} events, {} lost, {} bytes", meta.ended, meta.totals.events, meta.totals.lost, meta.totals.bytes);
    println!("{done:?} {:?}", meta.warnings);
    Ok(())
}

fn line(out: &mut impl Write, event: &HostEvent) -> std::io::Result<()> {
    match event {
        HostEvent::Exit(exit) => {
            let (from, to) = exit.cpus;
            write!(out, "exit {} {} {} {} {from} {to} ", exit.time, exit.length, exit.vcpu, exit.thread)?;
            write!(out, "{} {:#x} {:#x}", exit.isa, exit.reason, exit.rip)?;
            if let Some(call) = exit.hypercall {
                let [a0, a1, a2, a3] = call.args;
                write!(out, " {} {a0} {a1} {a2} {a3}", call.number)?;
            }
            writeln!(out)
        }
        HostEvent::Away { vcpu, time, length, preempted } => writeln!(out, "away {time} {length} {vcpu} {preempted}"),
        HostEvent::Offset { vcpu, time, next } => writeln!(out, "offset {time} {vcpu} {next}"),
    }
}
