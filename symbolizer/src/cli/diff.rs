// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize diff A B`: two sets of boots against each other. In: traces, kept boots, directories of either. Out: what
//! has changed, as text, JSON or a flame graph; the exit code says whether anything has. Never here: figures, layout.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use symbolizer::compare::boot::Boot;
use symbolizer::compare::diff::Diff;
use symbolizer::compare::judge::{self, Options};
use symbolizer::compare::{diff_flame, diff_json, diff_text};

use super::boots::{self, Boots, Found};
use super::format;
use super::output::{Output, seen_enough};
use super::phases::Phases;
use super::report::width;

/// Lines of a table unless told otherwise.
const TOP: usize = 15;

const EXAMPLES: &str = "\
Examples:
  symbolize diff before/ after/                         two traces, or two directories of boots
  symbolize diff old-1/ old-2/ old-3/ -- new-1/ new-2/ new-3/
  symbolize diff 6.1/*.boot.zst -- 6.12/*.boot.zst      boots that symbolize keep has made small files of
  symbolize diff before/ after/ -o diff.svg             a flame graph: as wide as after, red is slower
  symbolize diff before/ after/ --by function --top 50
  symbolize diff before/ after/ --format json | jq -r '.headline[]'

One boot a side is enough if both are deterministic (symbolize record --deterministic); else several are needed to
tell a change from chance, and the output says how many.

Exit codes: 0 no change, 1 something has changed, 2 an error.";

/// Arguments of `symbolize diff`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Boots before, then boots after: two paths, or many on each side of a --. Traces, kept boots, directories of
    /// either; vmlinux files may stand among them
    #[arg(required = true, value_name = "BOOT")]
    paths: Vec<PathBuf>,
    /// Boots after
    #[arg(last = true, value_name = "AFTER")]
    after: Vec<PathBuf>,
    /// What to write [default: what the end of the output's name says, or text]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Only this part of the text
    #[arg(long, value_enum)]
    by: Option<diff_text::By>,
    /// Lines of each table [default: 15; with --by: all]; of initcalls, modules and functions in JSON [default: all]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Probability of any false alarm in a comparison of boots that are the same
    #[arg(long, value_name = "P", default_value_t = judge::LEVEL)]
    significance: f64,
    /// Change of the boot's time that you want to see; if these boots vary too much for that, it is said
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    effect: f64,
    /// Source file of each function
    #[arg(long)]
    lines: bool,
    /// Flame graph: frames as wide as they were before
    #[arg(long)]
    before: bool,
    /// Columns of text [default: those of the terminal, or 100]
    #[arg(long, value_name = "N")]
    width: Option<usize>,
    /// Print the time that each phase takes to standard error
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    boots: Boots,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Sentences and tables for people
    Text,
    /// For programs: symbolizer/JSON.md describes it
    Json,
    /// A flame graph for any browser, coloured by the difference (.svg)
    #[value(name = "flamegraph")]
    FlameGraph,
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let mut phases = Phases::new(args.timings);
    let options = options(args)?;
    let format = format(args)?;
    let (a, b, vmlinux) = sides(args)?;
    let output = Output::open(args.output.as_deref())?;
    let mut paths = a.clone();
    paths.extend(b);
    let mut before = args.boots.read(&paths, &vmlinux, &phases)?;
    let after = before.split_off(a.len());
    let (before, after) = each_once(before, after)?;
    phases.done("read the boots");
    let diff = judge::diff(&before, &after, &options)
        .map_err(|refused| anyhow::anyhow!("{refused}\nChoose others, or go on with --force"))?;
    drop((before, after));
    phases.done("compare");
    phases.finish();
    seen_enough(write(args, format, &diff, &output))?;
    output.done()?;
    Ok(u8::from(diff.changed()))
}

fn options(args: &Args) -> anyhow::Result<Options> {
    anyhow::ensure!(
        args.significance > 0.0 && args.significance < 1.0,
        "--significance {}: a probability lies between 0 and 1; 0.05 and 0.01 are usual",
        args.significance
    );
    anyhow::ensure!(args.effect > 0.0 && args.effect.is_finite(), "--effect {}: give percent above 0", args.effect);
    Ok(Options {
        level: args.significance,
        effect: args.effect / 100.0,
        force: args.boots.reading.force,
        ..Options::default()
    })
}

fn format(args: &Args) -> anyhow::Result<Format> {
    if let Some(format) = args.format {
        return Ok(format);
    }
    Ok(match format::Format::of_output(args.output.as_deref())? {
        format::Format::Text => Format::Text,
        format::Format::Json => Format::Json,
        format::Format::FlameGraph => Format::FlameGraph,
        _ => anyhow::bail!("diff writes text, JSON (.json) and flame graphs (.svg); say which with --format"),
    })
}

/// Boots before, boots after, and vmlinux files.
type Sides = (Vec<PathBuf>, Vec<PathBuf>, Vec<PathBuf>);

fn sides(args: &Args) -> anyhow::Result<Sides> {
    let look = |path: &PathBuf| boots::look(std::slice::from_ref(path));
    let one_by_one = |paths: &[PathBuf]| paths.iter().map(look).collect::<anyhow::Result<Vec<Found>>>();
    let (mut before, mut after) = (one_by_one(&args.paths)?, one_by_one(&args.after)?);
    if args.after.is_empty() {
        // Each argument with boots is a side.
        let sides = before.iter().filter(|found| !found.boots.is_empty()).count();
        let how = "symbolize diff A1/ A2/ A3/ -- B1/ B2/ B3/ (a directory of boots is a side, too)";
        match sides {
            2 => {}
            0 | 1 => {
                anyhow::bail!("diff compares two sides, and there is {sides}: symbolize diff BEFORE AFTER, or {how}")
            }
            _ => anyhow::bail!(
                "{sides} arguments, and nothing says which are before and which after; put -- between them:\n  {how}"
            ),
        }
        let first = before.iter().position(|found| !found.boots.is_empty()).unwrap_or(0);
        after = before.split_off(first + 1);
    }
    let mut vmlinux: Vec<PathBuf> = Vec::new();
    let mut of = |found: Vec<Found>| -> Vec<PathBuf> {
        let boots = found.into_iter().flat_map(|found| {
            vmlinux.extend(found.vmlinux);
            found.boots
        });
        boots.collect()
    };
    let (a, b) = (of(before), of(after));
    for (side, boots) in [("before", &a), ("after --", &b)] {
        anyhow::ensure!(!boots.is_empty(), "no boots {side}: symbolize diff BEFORE.. -- AFTER..");
    }
    twice(&a, &b)?;
    Ok((a, b, vmlinux))
}

/// A boot on both sides would hide what differs; twice on one side, make it look certain.
fn twice(a: &[PathBuf], b: &[PathBuf]) -> anyhow::Result<()> {
    let mut known: Vec<PathBuf> = Vec::new();
    for side in [a, b] {
        let mut here: Vec<PathBuf> = side.iter().map(|path| real(path)).collect();
        here.sort();
        if let Some(pair) = here.windows(2).find(|pair| pair[0] == pair[1]) {
            anyhow::bail!("{}: given twice on one side", pair[0].display());
        }
        // To compare one boot with itself is a fair question, if it is the whole question.
        if let Some(both) = here.iter().find(|path| known.contains(path)).filter(|_| a.len() > 1 || b.len() > 1) {
            anyhow::bail!("{}: given on both sides", both.display());
        }
        known.extend(here);
    }
    Ok(())
}

/// The same of boots under two names: a trace and the file that was kept of it. Twice on one side it counts once.
fn each_once(before: Vec<Boot>, after: Vec<Boot>) -> anyhow::Result<(Vec<Boot>, Vec<Boot>)> {
    let (mut in_a, mut in_b) = (boots::Known::default(), boots::Known::default());
    let (before, after) = (in_a.only_new(before), in_b.only_new(after));
    if let Some(both) = in_a.find(&after).filter(|_| before.len() > 1 || after.len() > 1) {
        anyhow::bail!("{}: the same boot is on the other side, too", both.name);
    }
    Ok((before, after))
}

fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn write(args: &Args, format: Format, diff: &Diff, output: &Output) -> anyhow::Result<()> {
    match format {
        Format::Json => {
            let mut out = output.writer()?;
            diff_json::write(diff, args.top, &mut out)?;
            out.flush()?;
        }
        Format::FlameGraph => {
            let width = if args.before { diff_flame::Width::Before } else { diff_flame::Width::After };
            let mut out = output.writer()?;
            diff_flame::write(diff, width, &mut out)?;
            out.flush()?;
        }
        Format::Text => {
            let options = diff_text::Options {
                width: width(args.width),
                top: args.top.unwrap_or(if args.by.is_some() { usize::MAX } else { TOP }),
                by: args.by,
                lines: args.lines,
            };
            let mut whole = Vec::new();
            diff_text::write(diff, options, &mut whole)?;
            output.text(&whole)?;
        }
    }
    Ok(())
}
