// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize shutdown TRACE VMLINUX`: how the machine was ended. In: a trace and its vmlinux. Out: text or JSON.
//! Two runs through the end of the trace: one finds the steps, one sums up what each took. Never here: layout.

use std::io::Write;
use std::path::PathBuf;

use bootlevel::Phase;
use clap::ValueEnum;
use symbolizer::calltree::shutdown::{Finder, Spent};
use symbolizer::calltree::sink::Sink;
use symbolizer::calltree::{Site, Totals};
use symbolizer::report::names::Named;
use symbolizer::report::shutdown::{self, Absent, Shutdown, Sources};

use super::format;
use super::output::Output;
use super::phases::Phases;
use super::report::width;
use super::source::{Opened, Source};

const EXAMPLES: &str = "\
Examples:
  symbolize shutdown trace/ vmlinux
  symbolize shutdown trace/ vmlinux --top 20
  symbolize shutdown trace/ vmlinux --format json | jq '.shutdown.steps[] | {step, lasted_ns}'
  symbolize shutdown trace/ vmlinux --format json | jq -r '.shutdown.last[-1].name'

Steps: user (from the first signal to all processes), notifiers, devices, prepare, syscore, messages,
machine, off; of a panic: panic, off. Of a power-off, restart, halt, kexec, SysRq-B or panic.";

/// Arguments of `symbolize shutdown`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// What to print [default: what the end of the output's name says, or text]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Lines of each list [default: 5; in JSON all]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Columns of text [default: those of the terminal, or 100]
    #[arg(long, value_name = "N")]
    width: Option<usize>,
    /// Print the time that each phase takes to standard error
    #[arg(long)]
    timings: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for people
    Text,
    /// For programs: symbolizer/JSON.md describes it
    Json,
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let mut phases = Phases::new(args.timings);
    let vmlinux = args.source.vmlinux()?;
    let opened = args.source.open(&vmlinux, &mut phases)?;
    let output = Output::open(args.output.as_deref())?;
    let format = args.format.unwrap_or_else(|| match args.output.as_deref().and_then(format::Format::of) {
        Some(format::Format::Json) => Format::Json,
        _ => Format::Text,
    });
    let name_of = |site: Site<'_>| opened.names.quick(site).name;
    let began = |wanted: Phase| opened.timeline.starts().iter().find(|(phase, _)| *phase == wanted).map(|(_, at)| *at);
    // A panic and SysRq-B begin no phase: they may come at any time.
    let orderly = began(Phase::Shutdown).is_some();
    let from = if orderly { began(Phase::User) } else { None };
    let mut finder = Finder::new(&name_of, from.unwrap_or(0));
    let totals = pass(&opened, &mut finder, &mut phases);
    let found = finder.finish();
    phases.done("find the steps");
    let shown = match &found {
        None => Err(if orderly { Absent::LeftOut } else { Absent::NotReached }),
        Some(found) => {
            let mut spent = Spent::new(&name_of, found);
            pass(&opened, &mut spent, &mut phases);
            let named: Vec<Named> = totals.functions().map(|site| opened.names.quick(site)).collect();
            let (clock, span) = (opened.clock, (totals.first, totals.last));
            let (sums, named, tasks) = (&spent.sums, &*named, &*totals.tasks);
            Ok(Shutdown::new(Sources { found, sums, named, tasks, clock, span }))
        }
    };
    phases.done("sum up");
    if format == Format::Json {
        let mut out = output.writer()?;
        shutdown::json(shown.as_ref().map_err(|absent| *absent), opened.trace.meta(), args.top, &mut out)?;
        out.flush()?;
    } else {
        let mut whole = Vec::new();
        match &shown {
            Ok(shown) => {
                shutdown::text(shown, opened.clock, width(args.width), args.top.unwrap_or(shutdown::TOP), &mut whole)?;
            }
            Err(absent) => writeln!(whole, "{}", absent.words())?,
        }
        output.text(&whole)?;
    }
    output.done()?;
    phases.done("print");
    phases.finish();
    Ok(0)
}

/// Shows `sink` the trace, or with an index those parts of it that it wants.
fn pass<S: Sink>(opened: &Opened<'_>, sink: &mut S, phases: &mut Phases) -> Totals {
    // Of a part of the trace nothing can be subtracted.
    let outline = if opened.costs.is_none() { opened.index.read(&opened.trace, None) } else { None };
    phases.work("rebuilding calls", opened.words());
    match outline {
        Some((outline, _)) if outline.run(&opened.trace, sink).is_ok() => outline.into_totals(),
        Some(_) | None => opened.run(sink, |words| phases.at(words)).0,
    }
}
