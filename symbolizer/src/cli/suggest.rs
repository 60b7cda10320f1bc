// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize suggest TRACE VMLINUX`: which functions to leave out next time. In: a trace and its vmlinux.
//! Out: a table and a line for the kernel command line. Never here: the choice.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use symbolizer::options;
use symbolizer::report::style::printable;
use symbolizer::report::units::Clock;
use symbolizer::resolve::Vmlinux;
use symbolizer::suggest::choose::Limits;
use symbolizer::suggest::{show, suggest};
use symbolizer::trace_dir::TraceDir;

use super::names::Keep;
use super::report::width;
use super::source::{check_build_id, set_slide};

const EXAMPLES: &str = "\
Examples:
  symbolize suggest trace/ vmlinux                   a line that removes most events
  symbolize suggest trace/ vmlinux --patterns 10    a short one
  symbolize suggest trace/ vmlinux --format json | jq -r .line

A function that is left out loses its own entries and exits only: what it calls stays in the trace, and
its self time counts for its caller.";

/// Arguments of `symbolize suggest`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The trace directory
    trace: PathBuf,
    /// The vmlinux with symbols of the kernel that was traced
    vmlinux: PathBuf,
    /// How much of the time some traced function must still cover
    #[arg(long, value_name = "SHARE", default_value = "99%", value_parser = share)]
    keep_time: f64,
    /// How many of the events are to go; less if the limits do not allow it
    #[arg(long, value_name = "SHARE", default_value = "80%", value_parser = share)]
    reduce: f64,
    /// Most names and patterns on the line
    #[arg(long, value_name = "N", default_value_t = 100)]
    patterns: usize,
    /// Most bytes of the line; a trace keeps 512 of them
    #[arg(long, value_name = "N", default_value_t = 512)]
    bytes: usize,
    /// What to print
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Go on although the vmlinux is of another kernel than the trace
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    keep: Keep,
    /// Columns of text [default: those of the terminal, or 100]
    #[arg(long, value_name = "N")]
    width: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people
    Text,
    /// For programs: symbolizer/JSON.md describes it
    Json,
}

/// A share from 0 to 1, from a percentage.
pub fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.trim().parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("expected a percentage from 0 to 100, e.g. 99%".into()),
    }
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let trace = TraceDir::open(&args.trace)?;
    let vmlinux = Vmlinux::open(&args.vmlinux)?;
    let mut names = args.keep.names(&vmlinux)?;
    check_build_id(trace.meta(), &names, &args.vmlinux, args.force)?;
    set_slide(&mut names, trace.meta(), args.force)?;
    let limits = Limits { keep_time: args.keep_time, reduce: args.reduce, patterns: args.patterns, bytes: args.bytes };
    let found = suggest(&trace, &limits, |site| names.quick(site));
    let clock = Clock::new(trace.meta().tsc_khz);
    match args.format {
        Format::Json => {
            let mut out = BufWriter::new(std::io::stdout().lock());
            show::json(&found, clock, &mut out)?;
            out.flush()?;
        }
        Format::Text => {
            let text = options::text(trace.meta().command_line.as_bytes());
            let recorded_with = printable(&String::from_utf8_lossy(&text));
            let mut whole = Vec::new();
            show::text(&found, clock, args.reduce, &recorded_with, width(args.width), &mut whole)?;
            let mut out = anstream::stdout().lock();
            out.write_all(&whole)?;
            out.flush()?;
        }
    }
    Ok(0)
}
