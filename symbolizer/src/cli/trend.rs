// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize trend DIR..`: many boots or releases in order, and where their times changed. In: boots. Out: text, JSON,
//! a picture, or tables for databases. Never here: finding changes.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use symbolizer::compare::boot::{Boot, OnCpus, Tree};
use symbolizer::compare::trend::order::{self, Order};
use symbolizer::compare::trend::{self, Trend};
use symbolizer::compare::{trend_json, trend_svg, trend_text};

use super::boots::{self, Boots};
use super::output::Output;
use super::phases::Phases;
use super::report::width;
use super::tables;

const EXAMPLES: &str = "\
Examples:
  symbolize trend store/                            levels over all boots of a store, and where they changed
  symbolize trend store/ -o trend.svg               a picture of it, for any browser
  symbolize trend store/ --order time               nightly boots, in the order in which they were recorded
  symbolize trend store/ --format json | jq '.changes[].told'
  symbolize trend store/ --format parquet -o fleet/ tables for DuckDB and Spark (symbolizer/PARQUET.md)
  symbolize keep boots/*/ -o store/                 puts boots into a store (symbolizer/CHECK.md)";

/// Arguments of `symbolize trend`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Stores (directories of kept boots or traces), kept boots, traces; and vmlinux files
    #[arg(required = true, value_name = "DIR")]
    paths: Vec<PathBuf>,
    /// What to write [default: what the end of the output's name says (.json, .svg), or text]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write to this file instead of standard output; for parquet a directory
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// The order of boots
    #[arg(long, value_name = "KEY", value_enum, default_value = "release")]
    order: By,
    /// A line for each boot or for each release [default: releases, if there are several with several boots]
    #[arg(long, value_name = "WHAT", value_enum)]
    by: Option<Lines>,
    /// Tell changes of at least this many percent of a level's time
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    least: f64,
    /// Boots or releases in the text's last table: the newest
    #[arg(long, value_name = "N", default_value_t = 40)]
    top: usize,
    /// Columns of text [default: those of the terminal, or 100]
    #[arg(long, value_name = "N")]
    width: Option<usize>,
    #[command(flatten)]
    boots: Boots,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs: symbolizer/CHECK.md describes it
    Json,
    /// A picture, for any browser
    Svg,
    /// Tables of all boots, for DuckDB, Spark and the like: symbolizer/PARQUET.md describes them (a directory)
    Parquet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// Kernel releases as versions are sorted, then time
    Release,
    /// When boots were recorded
    Time,
    /// As given; those of a directory by name
    Given,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Lines {
    /// Each boot
    Boot,
    /// Each kernel
    Release,
}

/// Boots that are read before what is not needed of them is let go.
const AT_ONCE: usize = 16;

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let phases = Phases::new(false);
    let of_name = |path: &Path| match path.extension()?.to_str()? {
        "json" => Some(Format::Json),
        "svg" => Some(Format::Svg),
        _ => None,
    };
    let format = args.format.or_else(|| args.output.as_deref().and_then(of_name)).unwrap_or(Format::Text);
    let found = boots::look(&args.paths)?;
    let mut known = boots::Known::default();
    if format == Format::Parquet {
        let Some(directory) = &args.output else { anyhow::bail!("this format is a directory: give -o DIR") };
        let mut tables = tables::Tables::new(directory)?;
        for paths in found.boots.chunks(AT_ONCE) {
            for boot in known.only_new(args.boots.read(paths, &found.vmlinux, &phases)?) {
                tables.write(&boot)?;
            }
        }
        phases.finish();
        anstream::eprintln!("written: {}", directory.display());
        return Ok(0);
    }
    let output = Output::open(args.output.as_deref())?;
    let mut all: Vec<Boot> = Vec::with_capacity(found.boots.len());
    for paths in found.boots.chunks(AT_ONCE) {
        // Call trees are most of a boot, and a trend is of levels.
        let read = known.only_new(args.boots.read(paths, &found.vmlinux, &phases)?);
        all.extend(read.into_iter().map(|boot| Boot { tree: Tree::default(), cpus: OnCpus::default(), ..boot }));
    }
    phases.finish();
    let order = match args.order {
        By::Release => Order::Release,
        By::Time => Order::Time,
        By::Given => Order::Given,
    };
    order::sort(&mut all, order);
    let by_release = args.by.map(|by| by == Lines::Release);
    let trend = Trend::of(&all, trend::Options { by_release, least: args.least.max(0.0) / 100.0 });
    write(args, &trend, format, &output)?;
    if let Some(path) = output.done()? {
        anstream::eprintln!("written: {}", path.display());
    }
    Ok(0)
}

fn write(args: &Args, trend: &Trend, format: Format, output: &Output) -> anyhow::Result<()> {
    let mut out = Vec::new();
    match format {
        Format::Json => trend_json::write(trend, &mut out)?,
        Format::Svg => trend_svg::write(trend, &mut out)?,
        _ => {
            let options = trend_text::Options { width: width(args.width), top: args.top };
            trend_text::write(trend, options, &mut out)?;
            return output.text(&out);
        }
    }
    output.bytes(&out)
}
