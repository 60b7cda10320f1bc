// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize TRACE VMLINUX`, the same as `symbolize report`. In: a trace and its vmlinux. Out: the
//! report on standard output. Never here: figures, layout.

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use symbolizer::calltree::aggregate::Aggregate;
use symbolizer::calltree::sink::Nothing;
use symbolizer::calltree::{self, Filter, Site, Task};
use symbolizer::decode::pipeline;
use symbolizer::report::model::{Sort, Sources};
use symbolizer::report::names::{CALL, Coverage, Named};
use symbolizer::report::units::Clock;
use symbolizer::report::{Names, Report, json, text, tree};
use symbolizer::resolve::{ModuleFiles, Vmlinux};
use symbolizer::trace_dir::{Meta, TraceDir};

use super::filters::Filters;
use super::phases::Phases;

/// Lines of a table unless told otherwise.
const TOP: usize = 15;

/// Columns of text where there is no terminal.
const WIDTH: usize = 100;

/// Arguments of `symbolize report`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The trace directory
    // Optional for the type only: a subcommand in their place lifts the requirement.
    #[arg(required = true)]
    trace: Option<PathBuf>,
    /// The vmlinux with symbols of the kernel that was traced
    #[arg(required = true)]
    vmlinux: Option<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Lines of each table [default: 15]; of functions in JSON [default: all]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Only the table in this order [default: tables by self time, calls and total time]
    #[arg(long, value_name = "KEY", value_enum)]
    sort: Option<Sort>,
    /// Source file and line of each function
    #[arg(long)]
    lines: bool,
    /// What the compiler has inlined into the first functions, with the places of the calls
    #[arg(long)]
    inlines: bool,
    /// Look for modules' .ko files in and below DIR too, not only where packages put them (may be repeated)
    #[arg(long, value_name = "DIR")]
    modules: Vec<PathBuf>,
    /// Go on although the vmlinux is of another kernel than the trace
    #[arg(long)]
    force: bool,
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
    /// A report for people
    Text,
    /// A report for programs: symbolizer/JSON.md describes it
    Json,
    /// The calls themselves, as an indented tree
    Tree,
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let (Some(trace), Some(path)) = (&args.trace, &args.vmlinux) else {
        anyhow::bail!("a trace and a vmlinux are needed: symbolize TRACE VMLINUX (or symbolize --help)");
    };
    let mut phases = Phases::new(args.timings);
    let trace = TraceDir::open(trace)?;
    phases.done("open the trace");
    let vmlinux = Vmlinux::open(path)?;
    let mut names = Names::open(&vmlinux)?;
    check_build_id(trace.meta(), &names, path, args.force)?;
    set_slide(&mut names, trace.meta(), args.force)?;
    names.look_for_modules(ModuleFiles::new(&args.modules, path, &trace.meta().release)?);
    phases.done("read the symbols");

    let clock = Clock::new(trace.meta().tsc_khz);
    let name_of = |site: Site<'_>| names.quick(site).name;
    let mut wanted = args.filters.wanted(clock)?;
    if wanted.tasks.is_some() {
        let totals = pipeline::run(&trace, |pipeline| calltree::build(pipeline, &mut Nothing, |_| {}));
        wanted.last_names = totals.tasks.iter().map(Task::label).collect();
        phases.done("names of tasks");
    }
    let filter = Filter::new(wanted, &name_of);
    let words = trace.cpus().iter().flat_map(|cpu| cpu.blocks()).map(|block| block.words).sum();
    if args.format == Format::Tree {
        return print_tree(args, &trace, &names, clock, filter);
    }

    phases.work("rebuilding calls", words);
    let mut aggregate = Aggregate::new(filter);
    let totals = pipeline::run(&trace, |pipeline| calltree::build(pipeline, &mut aggregate, |words| phases.at(words)));
    phases.done("decode, rebuild calls");
    let named = names.resolve(totals.functions())?;
    phases.done("read the DWARF");
    let coverage = Coverage::of(names.call_sites(), &named);
    let filtered = args.filters.words(clock)?;
    let sort = args.sort.unwrap_or(Sort::Own);
    let sources = Sources {
        meta: trace.meta(),
        build_id: names.build_id(),
        slide: names.slide(),
        totals: &totals,
        aggregate: &aggregate,
        named,
        coverage,
        nameless: names.nameless(),
    };
    let mut report = Report::new(sources, sort, filtered);
    if args.inlines {
        let first: Vec<_> = report
            .functions
            .iter()
            .map(|row| row.named.clone())
            .filter(|named| named.module.is_none())
            .take(args.top.unwrap_or(TOP))
            .collect();
        let addresses: Vec<u64> = first.iter().map(|named| named.address).collect();
        report.inlined = first.into_iter().map(|named| named.name).zip(names.inlined(&addresses)?).collect();
    }
    phases.done("sum up");

    match args.format {
        Format::Json => {
            let mut out = BufWriter::new(std::io::stdout().lock());
            json::write(&report, args.top, &mut out)?;
            out.flush()?;
        }
        Format::Text | Format::Tree => {
            // The stream that drops colours writes piecemeal: first the whole text, then that.
            let mut whole = Vec::new();
            let options = text::Options {
                width: width(args.width),
                top: args.top.unwrap_or(TOP),
                sort: args.sort,
                lines: args.lines,
            };
            text::write(&report, options, &mut whole)?;
            let mut out = anstream::stdout().lock();
            out.write_all(&whole)?;
            out.flush()?;
        }
    }
    phases.done("print");
    phases.finish();
    Ok(0)
}

fn print_tree(
    args: &Args,
    trace: &TraceDir,
    names: &Names<'_>,
    clock: Clock,
    filter: Filter<'_>,
) -> anyhow::Result<u8> {
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
    let colours = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    let out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let mut tree = tree::Tree::new(out, tree::Options { clock, lines: args.lines, colours }, filter, &name_of);
    pipeline::run(trace, |pipeline| calltree::build(pipeline, &mut tree, |_| {}));
    tree.finish()?;
    Ok(0)
}

/// Columns to use: never so few that tables fall apart.
pub fn width(asked: Option<usize>) -> usize {
    let terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0).min(140));
    asked.or_else(terminal).unwrap_or(WIDTH).max(60)
}

/// Undoes KASLR in names, or warns with `--force` that it cannot be done.
pub fn set_slide(names: &mut Names<'_>, meta: &Meta, force: bool) -> anyhow::Result<()> {
    match names.ran_at(meta.text_start) {
        Err(error) if force => anstream::eprintln!("symbolize: warning: {error}; names will be wrong if it moved"),
        other => other?,
    }
    Ok(())
}

/// Refuses a vmlinux that is not of the traced kernel, or warns with `--force`.
pub fn check_build_id(meta: &Meta, names: &Names<'_>, path: &Path, force: bool) -> anyhow::Result<()> {
    let found = names.build_id();
    if found.as_deref() == Some(meta.build_id.as_str()) || (meta.build_id.is_empty() && found.is_none()) {
        return Ok(());
    }
    let or_none = |id: &str| if id.is_empty() { "none".to_owned() } else { id.to_owned() };
    let release = if meta.release.is_empty() { String::new() } else { format!(" (Linux {})", meta.release) };
    let message = format!(
        "{}: this is not the kernel that was traced: its build ID is {}, the trace is of {}{release}",
        path.display(),
        or_none(found.as_deref().unwrap_or_default()),
        or_none(&meta.build_id),
    );
    if force {
        anstream::eprintln!("symbolize: warning: {message}; names will be wrong where the two differ");
        return Ok(());
    }
    anyhow::bail!(
        "{message}. Give the vmlinux with that build ID (`readelf -n vmlinux` shows it; on Debian it comes in \
         linux-image-RELEASE-dbg), or --force to go on with names that may be wrong"
    )
}
