// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize merge TRACE TRACE... VMLINUX`: several boots of one kernel as one. In: their traces. Out: means and
//! spread on standard output or in a file. A few traces are read at a time, each with a few megabytes. Never here:
//! figures, layout.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use symbolizer::calltree::sink::Nothing;
use symbolizer::calltree::{Filter, Site};
use symbolizer::compare::merge::{Gather, Merged, Order, Same};
use symbolizer::compare::merge_text::By;
use symbolizer::compare::profile::{Profile, Unit};
use symbolizer::compare::settings::{Difference, differences};
use symbolizer::compare::{merge_json, merge_text};
use symbolizer::report::Names;
use symbolizer::report::model::Sort;
use symbolizer::report::names::CALL;
use symbolizer::resolve::Vmlinux;
use symbolizer::trace_dir::Meta;

use super::analysis;
use super::filters::Filters;
use super::format;
use super::output::Output;
use super::phases::Phases;
use super::report::width;
use super::side_by_side;
use super::source::Reading;

/// Lines of a table unless told otherwise.
const TOP: usize = 15;

const EXAMPLES: &str = "\
Examples:
  symbolize merge boots/*/ vmlinux                      means and spread of all boots there
  symbolize merge a/ b/ c/ vmlinux --order spread      what varies most from boot to boot
  symbolize merge boots/*/ vmlinux --by initcall --top 50
  symbolize merge boots/*/ vmlinux --format json | jq '.levels[] | [.name, .time.mean, .time.sd]'

The boots must be of the same kernel, with the same settings: what differs is said, and --force merges all the
same.";

/// Arguments of `symbolize merge`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Trace directories, at least two
    #[arg(required = true, num_args = 1.., value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// The vmlinux with symbols of the kernel that was traced
    #[arg(required = true)]
    vmlinux: PathBuf,
    /// What to print [default: what the end of the output's name says, or text]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Lines of each table [default: 15; with --by: all]; of initcalls and functions in JSON [default: all]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Only this part of the text
    #[arg(long, value_enum)]
    by: Option<By>,
    /// Order of initcalls (by time) and functions (by self time)
    #[arg(long, value_name = "KEY", value_enum, default_value = "mean")]
    order: Order,
    /// Source file and line of each function
    #[arg(long)]
    lines: bool,
    #[command(flatten)]
    reading: Reading,
    /// Columns of text [default: those of the terminal, or 100]
    #[arg(long, value_name = "N")]
    width: Option<usize>,
    /// Print the time that each phase takes to standard error
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    filters: Filters,
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
    anyhow::ensure!(
        args.traces.len() > 1,
        "merge needs two traces or more, then the vmlinux: symbolize merge TRACE TRACE.. VMLINUX"
    );
    let mut phases = Phases::new(args.timings);
    let output = Output::open(args.output.as_deref())?;
    let metas = args.traces.iter().map(|path| Ok((path.display().to_string(), Meta::read(path)?)));
    let metas: Vec<(String, Meta)> = metas.collect::<anyhow::Result<_>>()?;
    let differences = differences(&metas);
    refuse(&differences, args.reading.force)?;
    let unit = match metas.iter().all(|(_, meta)| meta.tsc_khz.is_some_and(|khz| khz > 0)) {
        true => Unit::Nanoseconds,
        false => Unit::Ticks,
    };
    let vmlinux = Vmlinux::open(&args.vmlinux)?;
    let (gather, filtered) = read(args, &vmlinux, unit, &mut phases)?;
    let Some((_, meta)) = metas.into_iter().next() else { anyhow::bail!("no traces") };
    let (release, build_id, command_line) = (meta.release, meta.build_id, meta.command_line);
    let mut merged = gather.finish(Same { release, build_id, command_line, unit, filtered, differences }, args.order);
    phases.done("merge");
    let format = args.format.unwrap_or_else(|| match args.output.as_deref().and_then(format::Format::of) {
        Some(format::Format::Json) => Format::Json,
        _ => Format::Text,
    });
    if args.lines || format == Format::Json {
        put_lines(&mut merged, args.reading.keep.names(&vmlinux)?)?;
        phases.done("read the DWARF");
    }
    write(args, &merged, format, &output)?;
    output.done()?;
    phases.done("print");
    phases.finish();
    Ok(0)
}

fn refuse(differences: &[Difference], force: bool) -> anyhow::Result<()> {
    if differences.is_empty() || force {
        return Ok(());
    }
    let told: Vec<String> = differences.iter().map(|difference| format!("  {difference}")).collect();
    anyhow::bail!(
        "these boots are not alike; a mean of them would mean little:\n{}\nLeave some out, or go on with --force",
        told.join("\n")
    )
}

/// Reads all traces, some at a time; with the filters in words.
fn read(args: &Args, vmlinux: &Vmlinux, unit: Unit, phases: &mut Phases) -> anyhow::Result<(Gather, Option<String>)> {
    let (mut gather, mut filtered) = (Gather::default(), None);
    let one = |path: &Path| profile(args, path, vmlinux, unit).with_context(|| path.display().to_string());
    side_by_side::read(&args.traces, "reading traces", phases, one, |number, (profile, words)| {
        gather.add(number, args.traces[number].display().to_string(), profile);
        filtered = words;
    })?;
    phases.done("read the traces");
    Ok((gather, filtered))
}

fn profile(args: &Args, trace: &Path, vmlinux: &Vmlinux, unit: Unit) -> anyhow::Result<(Profile, Option<String>)> {
    let mut phases = Phases::quiet();
    let mut opened = args.reading.open(trace, vmlinux, &mut phases)?;
    let wanted = opened.wanted(&args.filters, &mut phases)?;
    let words = opened.told(&args.filters)?;
    let name_of = |site: Site<'_>| opened.names.quick(site).name;
    let analysis = analysis::run(&opened, Filter::new(wanted, &name_of), &mut Nothing, &mut phases);
    // Places are looked up once for all boots, not for each.
    let named = analysis.totals.functions().map(|site| opened.names.quick(site)).collect();
    let report = analysis.report(&opened, named, Sort::Name, None);
    Ok((Profile::of(&report, unit), words))
}

/// Files and lines of the kernel's own functions.
fn put_lines(merged: &mut Merged, names: Names<'_>) -> anyhow::Result<()> {
    let mut rows: Vec<_> = merged.functions.iter_mut().filter(|row| row.key.site != 0).collect();
    let named = names.resolve(rows.iter().map(|row| row.key.site.wrapping_add(CALL)))?;
    for (row, named) in rows.iter_mut().zip(named) {
        (row.file, row.line) = (named.file, named.line);
    }
    Ok(())
}

fn write(args: &Args, merged: &Merged, format: Format, output: &Output) -> anyhow::Result<()> {
    if format == Format::Json {
        let mut out = output.writer()?;
        merge_json::write(merged, args.top.unwrap_or(usize::MAX), &mut out)?;
        out.flush()?;
    } else {
        let options = merge_text::Options {
            width: width(args.width),
            top: args.top.unwrap_or(if args.by.is_some() { usize::MAX } else { TOP }),
            by: args.by,
            order: args.order,
            lines: args.lines,
        };
        let mut whole = Vec::new();
        merge_text::write(merged, options, &mut whole)?;
        output.text(&whole)?;
    }
    Ok(())
}
