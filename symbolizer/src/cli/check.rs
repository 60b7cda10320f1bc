// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize check --baseline DIR TRACE..`: whether boots became slower, or break a budget, for CI. In: boots, a
//! baseline, a file of budgets. Out: text, JSON or JUnit XML; exit code 0 good, 1 a regression, 2 it cannot be told.
//! Never here: what is good.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use symbolizer::compare::boot::Boot;
use symbolizer::compare::budget::{Budget, mistake, parse};
use symbolizer::compare::check::{self, Check, Verdict};
use symbolizer::compare::{check_json, check_junit, check_text, explain, judge};
use symbolizer::report::style::printable;

use super::boots::{self, Boots};
use super::output::{Output, seen_enough};
use super::phases::Phases;
use super::report::width;

const EXAMPLES: &str = "\
Examples:
  symbolize check --baseline baseline/ boots/              did anything become slower?
  symbolize check --budget boot.budget trace/ vmlinux      does the boot keep its budgets?
  symbolize check --baseline baseline/ --budget boot.budget boots/ -o junit.xml
  symbolize keep boots/ -o baseline/                       makes these boots the baseline

A budget is a line, as `level fs time < 30ms`, `function ext4_* calls < 1000`, `boot instructions < +2%`:
symbolizer/CHECK.md has them all, and examples for GitHub Actions and GitLab CI.

Exit codes: 0 good, 1 a regression, 2 an error, or too few boots to tell.";

/// Arguments of `symbolize check`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Boots to check: traces, kept boots, directories of them; and vmlinux files
    #[arg(required = true, value_name = "TRACE")]
    paths: Vec<PathBuf>,
    /// Boots to compare with: a directory of traces or kept boots, or one of them (may be repeated)
    #[arg(long, value_name = "DIR", required_unless_present = "budget")]
    baseline: Vec<PathBuf>,
    /// A file of budgets [default: nothing may be slower than the baseline]
    #[arg(long, value_name = "FILE")]
    budget: Option<PathBuf>,
    /// What to print [default: what the end of the output's name says (.json, .xml), or text]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write to this file instead of standard output; the verdict is printed all the same
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
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
    /// JUnit XML, for CI systems
    Junit,
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let phases = Phases::new(false);
    // A mistake in a budget is told before boots are read.
    let Some(budgets) = budgets(args)? else { return Ok(2) };
    let output = Output::open(args.output.as_deref())?;
    let (before, after) = (boots::look(&args.baseline).context("the baseline")?, boots::look(&args.paths)?);
    let vmlinux: Vec<PathBuf> = before.vmlinux.iter().chain(&after.vmlinux).cloned().collect();
    let mut all: Vec<PathBuf> = before.boots;
    let split = all.len();
    all.extend(after.boots);
    let mut baseline = args.boots.read(&all, &vmlinux, &phases)?;
    let boots = baseline.split_off(split.min(baseline.len()));
    phases.finish();
    let (baseline, boots) = each_once(baseline, boots)?;
    let (baseline, boots) = (&*baseline, &*boots);
    let diff = if baseline.is_empty() {
        None
    } else {
        // A boot that died is a regression, however it was made: no reason to say nothing.
        let force = args.boots.reading.force || boots.iter().any(Boot::is_dead);
        let options = judge::Options { force, ..judge::Options::default() };
        let diff = judge::diff(baseline, boots, &options)
            .map_err(|refused| anyhow::anyhow!("{refused}\nMake the baseline anew, or go on with --force"))?;
        Some(diff)
    };
    let mut check =
        check::check(boots, baseline, budgets.as_deref(), diff.as_ref()).map_err(|error| match &args.budget {
            Some(path) => anyhow::anyhow!("{}: {error}", path.display()),
            None => error.into(),
        })?;
    check.headline = diff.as_ref().map(explain::headline).unwrap_or_default();
    seen_enough(write(args, &check, output))?;
    Ok(match check.verdict() {
        Verdict::Good => 0,
        Verdict::Broken => 1,
        Verdict::Unclear => 2,
    })
}

/// The baseline and the boots that are checked, each boot once. One on both sides hides what differs, unless any
/// difference is real, or it is all there is.
fn each_once(baseline: Vec<Boot>, boots: Vec<Boot>) -> anyhow::Result<(Vec<Boot>, Vec<Boot>)> {
    let mut known = boots::Known::default();
    let (baseline, boots) = (known.only_new(baseline), boots::Known::default().only_new(boots));
    let exact = baseline.iter().chain(&boots).all(Boot::is_exact) || baseline.len().max(boots.len()) < 2;
    if let Some(both) = known.find(&boots).filter(|_| !exact) {
        anyhow::bail!("{}: this boot is in the baseline, too; leave it out there or here", printable(&both.name));
    }
    Ok((baseline, boots))
}

/// The budgets; none if what is wrong with them has been told.
#[expect(clippy::option_option, reason = "no file, or a file that is no good")]
fn budgets(args: &Args) -> anyhow::Result<Option<Option<Vec<Budget>>>> {
    let Some(path) = &args.budget else { return Ok(Some(None)) };
    let text = std::fs::read_to_string(path).with_context(|| format!("{}: cannot read it", path.display()))?;
    match parse::parse(&text) {
        Ok(budgets) => {
            anyhow::ensure!(!budgets.is_empty(), "{}: there is no budget in it", path.display());
            Ok(Some(Some(budgets)))
        }
        Err(mistakes) => {
            let name = path.display().to_string();
            anstream::eprint!("{}", mistake::render(&text, &name, &mistakes, width(args.width)));
            Ok(None)
        }
    }
}

fn write(args: &Args, check: &Check, output: Output) -> anyhow::Result<()> {
    let of_name = |path: &Path| match path.extension()?.to_str()? {
        "json" => Some(Format::Json),
        "xml" => Some(Format::Junit),
        _ => None,
    };
    let format = args.format.or_else(|| args.output.as_deref().and_then(of_name)).unwrap_or(Format::Text);
    let mut whole = Vec::new();
    match format {
        Format::Text => check_text::write(check, width(args.width), &mut whole)?,
        Format::Json => check_json::write(check, &mut whole)?,
        Format::Junit => check_junit::write(check, &mut whole)?,
    }
    match format {
        Format::Text => output.text(&whole)?,
        _ => output.bytes(&whole)?,
    }
    let to_file = !output.is_stdout();
    output.done()?;
    // Who has the rest in a file wants to see in the log what came of it.
    if to_file {
        let mut text = Vec::new();
        check_text::write(check, width(args.width), &mut text)?;
        let mut out = anstream::stdout().lock();
        out.write_all(&text)?;
        out.flush()?;
    }
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        let budgets = args.budget.as_ref().map(|path| path.display().to_string());
        for line in check_junit::annotations(check, budgets.as_deref()) {
            anstream::eprintln!("{line}");
        }
    }
    Ok(())
}
