// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize TRACE VMLINUX`, the same as `symbolize report`. In: a trace and its vmlinux. Out: the
//! report on standard output. Never here: figures, layout.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use symbolizer::calltree::sink::Nothing;
use symbolizer::calltree::{Filter, Site};
use symbolizer::report::model::Sort;
use symbolizer::report::names::{CALL, Named};
use symbolizer::report::text::By;
use symbolizer::report::{json, text, tree};

use super::analysis;
use super::export;
use super::filters::Filters;
use super::format::Format;
use super::output::Output;
use super::phases::Phases;
use super::source::{Opened, Source};

/// Lines of a table unless told otherwise.
const TOP: usize = 15;

/// The same for each level, with `--by level`.
const OF_A_LEVEL: usize = 5;

/// Columns of text where there is no terminal.
const WIDTH: usize = 100;

/// Arguments of `symbolize report`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// What to print [default: what the end of the output's name says, or text]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write to this file (of some formats: directory) instead of standard output
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// What to call this boot among others, in formats that hold many [default: when it began, and a checksum]
    #[arg(long, value_name = "NAME")]
    boot: Option<String>,
    /// Lines of each table [default: 15]; of functions in JSON [default: all]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Only this part of the text, in full or as --top says [default: a few lines of each part]
    #[arg(long, value_enum, conflicts_with = "sort")]
    by: Option<By>,
    /// Only the table in this order [default: tables by self time, calls and total time]
    #[arg(long, value_name = "KEY", value_enum)]
    sort: Option<Sort>,
    /// Source file and line of each function
    #[arg(long)]
    lines: bool,
    /// What the compiler has inlined into the first functions, with the places of the calls
    #[arg(long)]
    inlines: bool,
    /// Columns of text [default: those of the terminal, or 100]
    #[arg(long, value_name = "N")]
    width: Option<usize>,
    /// Print the time that each phase takes to standard error
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    filters: Filters,
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let mut phases = Phases::new(args.timings);
    let vmlinux = args.source.vmlinux()?;
    let mut opened = args.source.open(&vmlinux, &mut phases)?;
    let path = args.output.as_deref();
    let format = args.format.map_or_else(|| Format::of_output(path), Ok)?;
    if export::run(format.kind(), &mut opened, &args.filters, path, args.boot.as_deref(), &mut phases)? {
        return Ok(0);
    }
    let output = Output::open(path)?;
    let wanted = opened.wanted(&args.filters, &mut phases)?;
    let name_of = |site: Site<'_>| opened.names.quick(site).name;
    let filter = Filter::new(wanted, &name_of);
    if format == Format::Tree {
        print_tree(args, &opened, filter, &output)?;
        output.done()?;
        return Ok(0);
    }

    let analysis = analysis::run(&opened, filter, &mut Nothing, &mut phases);
    let named = analysis.named(&opened, &mut phases)?;
    let filtered = args.filters.words(opened.clock)?;
    let mut report = analysis.report(&opened, named, args.sort.unwrap_or(Sort::Own), filtered);
    if args.inlines {
        let first: Vec<_> = report
            .functions
            .iter()
            .map(|row| row.named.clone())
            .filter(|named| named.module.is_none())
            .take(args.top.unwrap_or(TOP))
            .collect();
        let addresses: Vec<u64> = first.iter().map(|named| named.address).collect();
        report.inlined = first.into_iter().map(|named| named.name).zip(opened.names.inlined(&addresses)?).collect();
    }
    phases.done("sum up");

    if format == Format::Json {
        let mut out = output.writer()?;
        json::write(&report, args.top, &mut out)?;
        out.flush()?;
    } else {
        let mut whole = Vec::new();
        let options = text::Options {
            width: width(args.width),
            top: args.top.unwrap_or(match args.by {
                Some(By::Level) => OF_A_LEVEL,
                Some(By::Initcall | By::Module) => usize::MAX,
                Some(By::Function | By::Exit) | None => TOP,
            }),
            by: args.by,
            sort: args.sort,
            lines: args.lines,
        };
        text::write(&report, options, &mut whole)?;
        output.text(&whole)?;
    }
    output.done()?;
    phases.done("print");
    phases.finish();
    Ok(0)
}

fn print_tree(args: &Args, opened: &Opened<'_>, filter: Filter<'_>, output: &Output) -> anyhow::Result<()> {
    let Opened { names, clock, .. } = opened;
    // Lines need DWARF, and DWARF is fast for many addresses at once: all that can be called.
    let known: HashMap<u64, Named> = if args.lines {
        let sites = names.call_sites().unwrap_or_default();
        let sites: Vec<u64> = sites.into_iter().map(|call| names.slide().apply(call + CALL)).collect();
        let named = names.resolve(sites.iter().copied())?;
        sites.into_iter().zip(named).collect()
    } else {
        HashMap::new()
    };
    let name_of = |site: Site<'_>| {
        let known = known.get(&site.address).filter(|_| site.module.is_none());
        known.cloned().unwrap_or_else(|| names.quick(site))
    };
    let choice = anstream::AutoStream::choice(&std::io::stdout());
    let colours = output.is_stdout() && choice != anstream::ColorChoice::Never;
    let options = tree::Options { clock: *clock, lines: args.lines, colours };
    let mut tree = tree::Tree::new(output.writer()?, options, filter, &name_of);
    opened.run(&mut tree, |_| {});
    tree.finish()?;
    Ok(())
}

/// Columns to use: never so few that tables fall apart.
pub fn width(asked: Option<usize>) -> usize {
    let terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0).min(140));
    asked.or_else(terminal).unwrap_or(WIDTH).max(60)
}
