// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize import HOST_FILE.. -o TRACE`: what trace-cmd, perf or LTTng have recorded on the host. In: their files. Out: a
//! trace directory, or host events added to one. Never here: how such files look.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context;
use symbolizer::capture::stream::Recorder;
use symbolizer::host::file::Writer;
use symbolizer::import::guest::{self, Summary};
use symbolizer::import::{Import, Notes};
use symbolizer::report::style::printable;
use symbolizer::trace_dir::{Ended, Existing, HOST_FILE, Meta, TraceWriter};

const EXAMPLES: &str = "\
Examples:
  symbolize import trace.dat -o trace/ --vmlinux vmlinux   a boot with hypergraph=channel:hypercall
  symbolize import perf.data --into trace/                 exits beside a boot that `symbolize record` has recorded
  symbolize import ~/lttng-traces/vm-20261123/ -o trace/   LTTng's, in CTF 1.8

To record on the host, as root, while the guest boots:
  trace-cmd record -C x86-tsc -b 20000 -e kvm:kvm_exit -e kvm:kvm_hypercall -e kvm:kvm_entry \\
      -e kvm:kvm_write_tsc_offset -e sched:sched_switch
  perf record -a -e kvm:kvm_exit -e kvm:kvm_hypercall -e kvm:kvm_entry -e kvm:kvm_write_tsc_offset \\
      -e sched:sched_switch
  lttng create; lttng enable-event -k kvm_x86_exit,kvm_x86_hypercall,kvm_x86_entry,sched_switch; \\
      lttng add-context -k -t tid; lttng start";

/// Arguments of `symbolize import`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Files of one host and one recording: trace.dat, perf.data, or a directory of LTTng's
    #[arg(required = true, value_name = "HOST_FILE")]
    files: Vec<PathBuf>,
    /// Where the trace goes: the guest's own events, sent by hypercalls, and the host's beside them
    #[arg(short, long, value_name = "DIR", required_unless_present = "into", conflicts_with = "into")]
    output: Option<PathBuf>,
    /// Add the host's events to this trace, which was recorded another way
    #[arg(long, value_name = "TRACE")]
    into: Option<PathBuf>,
    /// The guest's vmlinux, for reports to find
    #[arg(long, value_name = "HOST_FILE", conflicts_with = "into")]
    vmlinux: Option<PathBuf>,
    /// Nesting level of the guest whose events are wanted: 0 is the host's own guest
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..4))]
    level: u8,
    /// Only these threads of the host (those of one guest's vCPUs, where several ran)
    #[arg(long, value_name = "TID", value_delimiter = ',')]
    threads: Vec<u32>,
    /// Replace a trace, or host events, that stand there already
    #[arg(long)]
    force: bool,
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let mut import = Import::open(&args.files)?;
    let summary = match (&args.into, &args.output) {
        (Some(trace), _) => add(args, &mut import, trace)?,
        (None, Some(output)) => convert(args, &mut import, output)?,
        (None, None) => anyhow::bail!("-o or --into says where it goes"),
    };
    tell(import.notes(), &summary);
    Ok(0)
}

/// Host events beside a trace.
fn add(args: &Args, import: &mut Import, trace: &Path) -> anyhow::Result<Summary> {
    Meta::read(trace)?;
    let file = trace.join(HOST_FILE);
    if file.exists() && !args.force {
        anyhow::bail!("{}: this trace has host events already; --force replaces them", file.display());
    }
    // Beside it first: what is there stays until the new is whole.
    let work = tempfile::tempdir_in(trace).with_context(|| format!("{}: cannot write there", trace.display()))?;
    let mut host = Writer::create(work.path(), &import.times().clock())?;
    let summary = guest::run(import, &args.threads, None, &mut host)?;
    host.finish()?;
    std::fs::rename(work.path().join(HOST_FILE), &file)
        .with_context(|| format!("{}: cannot be put there", file.display()))?;
    anstream::eprintln!("written: {}", file.display());
    Ok(summary)
}

/// A trace of its own.
fn convert(args: &Args, import: &mut Import, output: &Path) -> anyhow::Result<Summary> {
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    TraceWriter::check(output, existing)?;
    let temp = tempfile::Builder::new().prefix("symbolize-").tempdir().context("cannot make a temporary directory")?;
    let mut host = Writer::create(temp.path(), &import.times().clock())?;
    let mut meta = Meta { started_at: written(&args.files), ..Meta::default() };
    if let Some(vmlinux) = &args.vmlinux {
        std::fs::metadata(vmlinux).with_context(|| format!("{}: cannot be read", vmlinux.display()))?;
        meta.vmlinux = std::path::absolute(vmlinux)?.display().to_string();
    }
    let mut recorder = Recorder::new(output, existing, meta).of_level(args.level);
    let summary = guest::run(import, &args.threads, Some(&mut recorder), &mut host)?;
    host.finish()?;
    if !recorder.began() {
        let why = if summary.calls == 0 {
            "there is no hypercall of a traced guest in it (hypergraph=channel:hypercall makes them)"
        } else if summary.nowhere == summary.calls {
            "its hypercalls have no kvm_exit beside them, which says where they come from: record kvm:kvm_exit too"
        } else {
            "none of its hypercalls begins a trace: was the recorder started after the guest?"
        };
        anyhow::bail!(
            "{}: {why}; nothing was written. --into adds the host's events to a trace",
            args.files[0].display()
        );
    }
    let ended = Ended::Stopped { detail: "imported: the host's recorder does not say how the guest ended".into() };
    let meta = recorder.finish(ended)?;
    let file = output.join(HOST_FILE);
    std::fs::copy(temp.path().join(HOST_FILE), &file)
        .with_context(|| format!("{}: cannot write it", file.display()))?;
    for warning in &meta.warnings {
        anstream::eprintln!("warning: {}", printable(warning));
    }
    let (events, lost) = (meta.totals.events, meta.totals.lost);
    anstream::eprintln!("written: {}: {events} events of the guest, {lost} lost", output.display());
    Ok(summary)
}

/// When the recording ended, in seconds of Unix time.
fn written(files: &[PathBuf]) -> u64 {
    let times = files.iter().filter_map(|file| std::fs::metadata(file).ok()?.modified().ok());
    times.filter_map(|time| Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())).min().unwrap_or(0)
}

fn tell(notes: &Notes, summary: &Summary) {
    for warning in &notes.warnings {
        anstream::eprintln!("warning: {}", printable(warning));
    }
    if notes.lost > 0 || notes.gaps > 0 {
        let more = if notes.gaps == 0 { String::new() } else { format!(", and more in {} places", notes.gaps) };
        anstream::eprintln!(
            "warning: the host's recorder has lost {} events{more}: give it larger buffers (trace-cmd -b, perf -m)",
            notes.lost
        );
    }
    if let Some((vcpu, one, other)) = summary.twice {
        anstream::eprintln!(
            "warning: vCPU {vcpu} is thread {one} and thread {other}: two guests? --threads says which is meant"
        );
    }
    if summary.borrowed > 0 {
        anstream::eprintln!(
            "warning: the threads of --threads set no offset of the time stamp counter before their first exit: {} \
             that others set are taken for theirs, and times are wrong if another guest's are among them",
            summary.borrowed
        );
    }
    if summary.nowhere > 0 {
        let (nowhere, calls) = (summary.nowhere, summary.calls);
        anstream::eprintln!("warning: {nowhere} of {calls} hypercalls have no kvm_exit beside them and were left out");
    }
    let counts = &summary.counts;
    let (raw, out, unpaired) = (counts.raw, counts.out, counts.unpaired);
    anstream::eprintln!("{raw} events of the host became {out} records; {unpaired} had no partner");
}
