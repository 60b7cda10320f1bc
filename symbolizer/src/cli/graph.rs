// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize graph TRACE VMLINUX --function GLOB`: who called a function, and what it called. In: a trace and
//! its vmlinux. Out: text or JSON. Never here: the graph, its layout.

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use symbolizer::calltree::contexts::{Contexts, Grouping, Merged};
use symbolizer::calltree::filter::Globs;
use symbolizer::calltree::{Filter, Site, Task, Totals};
use symbolizer::report::graph::{self, Limits};
use symbolizer::report::names::Named;
use symbolizer::report::style::printable;
use symbolizer::report::units::count;
use symbolizer::report::{graph_json, graph_text};

use super::filters::Filters;
use super::format;
use super::output::Output;
use super::phases::Phases;
use super::report::width;
use super::source::{Opened, Source};

const EXAMPLES: &str = "\
Examples:
  symbolize graph trace/ vmlinux --function __kmalloc
  symbolize graph trace/ vmlinux --function 'acpi_*' --top 3 --callees 0
  symbolize graph trace/ vmlinux --function mpihelp_mul --callers 12 --lines
  symbolize graph trace/ vmlinux --function kfree --level fs --format json | jq '.functions[0].callers'";

/// Names that are offered where none matches.
const OFFERED: usize = 5;

/// Arguments of `symbolize graph`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, mut_arg("function", |arg| {
    arg.required(true).help_heading("Options").help("The function; of several that match, each in turn, longest first (may be repeated)")
}))]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// What to print [default: what the end of the output's name says, or text]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Most functions
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// Levels of callers
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = levels)]
    callers: usize,
    /// Levels of callees
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = levels)]
    callees: usize,
    /// Least share of the function's time that is worth a line
    #[arg(long, value_name = "SHARE", default_value = "2%", value_parser = super::suggest::share)]
    min_share: f64,
    /// Source file and line of each function
    #[arg(long)]
    lines: bool,
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
    /// Trees for people
    Text,
    /// For programs: symbolizer/JSON.md describes it
    Json,
}

/// No stack of a kernel is deeper, and one level of a tree is one of our own stack.
fn levels(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&levels| levels <= 200).ok_or_else(|| "expected a number from 0 to 200".into())
}

/// Runs it; the exit code.
pub fn run(mut args: Args) -> anyhow::Result<u8> {
    let mut phases = Phases::new(args.timings);
    let patterns = args.filters.take_functions();
    let globs = super::filters::globs(patterns.iter())?;
    let vmlinux = args.source.vmlinux()?;
    let mut opened = args.source.open(&vmlinux, &mut phases)?;
    let output = Output::open(args.output.as_deref())?;
    let format = args.format.unwrap_or_else(|| match args.output.as_deref().and_then(format::Format::of) {
        Some(format::Format::Json) => Format::Json,
        _ => Format::Text,
    });
    let wanted = opened.wanted(&args.filters, &mut phases)?;
    let name_of = |site: Site<'_>| opened.names.quick(site).name;
    let mut contexts = Contexts::new(Filter::new(wanted, &name_of), opened.timeline.clone(), Grouping::default());
    phases.work("rebuilding calls", opened.words());
    let (totals, _) = opened.run(&mut contexts, |words| phases.at(words));
    let merged = contexts.finish();
    phases.done("decode, rebuild calls");
    let quick: Vec<Named> = totals.functions().map(|site| opened.names.quick(site)).collect();
    let found = find(&quick, globs.as_ref(), &merged);
    if found.is_empty() {
        phases.finish();
        return Err(nothing(&patterns, &quick, globs.as_ref(), &opened));
    }
    let named = if args.lines || format == Format::Json { opened.names.resolve(totals.functions())? } else { quick };
    phases.done("read the DWARF");
    let limits = Limits { callers: args.callers, callees: args.callees, share: args.min_share };
    let graphs: Vec<_> = found.iter().take(args.top).map(|&number| graph::graph(&merged, number, limits)).collect();
    let filtered = opened.told(&args.filters)?;
    if format == Format::Json {
        let mut out = output.writer()?;
        let meta = opened.trace.meta();
        graph_json::write(&graphs, found.len(), &named, meta, opened.clock, filtered.as_deref(), &mut out)?;
        out.flush()?;
    } else {
        let mut whole = Vec::new();
        let options = graph_text::Options { clock: opened.clock, width: width(args.width), lines: args.lines, limits };
        if let Some(words) = &filtered {
            writeln!(whole, "Only {}\n", printable(words))?;
        }
        for (index, graph) in graphs.iter().enumerate() {
            if index > 0 {
                writeln!(whole, "\n")?;
            }
            graph_text::write(graph, &named, busy(&totals), options, &mut whole)?;
        }
        if found.len() > graphs.len() {
            let more = count((found.len() - graphs.len()) as u64);
            writeln!(whole, "\n{more} more functions match (--top {} shows all)", found.len())?;
        }
        output.text(&whole)?;
    }
    output.done()?;
    phases.done("print");
    phases.finish();
    Ok(0)
}

/// On-CPU time of the tasks that are not idle, as the report has it.
fn busy(totals: &Totals) -> u64 {
    let of = |task: &Task| if task.idle.is_some() { task.boot } else { task.on_cpu };
    totals.tasks.iter().fold(0, |sum, task| sum.saturating_add(of(task)))
}

/// Numbers of the functions that match and were called, longest first.
fn find(named: &[Named], globs: Option<&Globs>, merged: &Merged) -> Vec<u32> {
    let called = graph::called(merged);
    let mut found: Vec<u32> = (0u32..)
        .zip(named)
        .filter(|(number, named)| matches(named, globs) && called.contains_key(number))
        .map(|(number, _)| number)
        .collect();
    found.sort_by_key(|number| {
        let (calls, total) = called.get(number).copied().unwrap_or_default();
        (std::cmp::Reverse((total, calls)), &named[*number as usize].name)
    });
    found
}

fn matches(named: &Named, globs: Option<&Globs>) -> bool {
    let bare = named.name.split_once(" [").map_or(&*named.name, |(bare, _)| bare);
    globs.is_some_and(|globs| globs.is_match(&named.name) || globs.is_match(bare))
}

/// Why nothing was found, and what may have been meant.
fn nothing(patterns: &[String], named: &[Named], globs: Option<&Globs>, opened: &Opened<'_>) -> anyhow::Error {
    let asked = patterns.join(", ");
    if named.iter().any(|named| matches(named, globs)) {
        return anyhow::anyhow!("{asked}: was called, but no call passes the filters");
    }
    if patterns.iter().any(|pattern| opened.names.site_of(pattern).is_some()) {
        return anyhow::anyhow!(
            "{asked}: is in the vmlinux, but no call of it is in the trace: it was not called, not traced, or has no \
             call site"
        );
    }
    let bare = asked.replace(['*', '?'], "");
    let mut near: Vec<(bool, f64, &str)> = named
        .iter()
        .map(|named| (named.name.contains(&bare), strsim::jaro_winkler(&bare, &named.name), named.name.as_str()))
        .filter(|(contains, near, _)| *contains || *near > 0.8)
        .collect();
    near.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(b.2)));
    near.dedup_by_key(|near| near.2);
    let names: Vec<&str> = near.iter().take(OFFERED).map(|near| near.2).collect();
    let hint = if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(", ")) };
    anyhow::anyhow!("{asked}: no such function was called in this trace{hint}")
}
