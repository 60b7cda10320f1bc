// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The command line: one file per subcommand. In: arguments. Out: exit codes (0 done, 1 a difference
//! found, 2 an error). Only this module and main print.

pub mod addresses;
pub mod analysis;
pub mod bench_decode;
pub mod bench_levels;
pub mod bisect;
pub mod boots;
pub mod check;
pub mod completions;
pub mod diff;
pub mod explore;
pub mod export;
pub mod filters;
pub mod format;
pub mod graph;
mod host;
pub mod import;
pub mod index;
pub mod inject;
pub mod keep;
pub mod man;
pub mod merge;
pub mod names;
pub mod options;
pub mod output;
pub mod overhead;
pub mod phases;
mod progress;
pub mod record;
pub mod report;
pub mod resolve;
pub mod shutdown;
pub mod side_by_side;
mod signals;
pub mod source;
pub mod suggest;
pub mod tables;
pub mod trend;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  symbolize trace/ vmlinux                        the report
  symbolize trace/ vmlinux -o boot.html           the boot as a page for the browser
  symbolize trace/ vmlinux --sort calls --top 30  the functions that were called most
  symbolize trace/ vmlinux --format tree --inside do_basic_setup --min 1ms | less
  symbolize trace/ vmlinux --format json | jq '.functions[0]'
  symbolize trace/ vmlinux --correct              times without the tracer's own cost
  symbolize explore trace/ vmlinux                the same to walk through, in the terminal
  symbolize diff before/ after/                   what has become slower, and why
  symbolize bisect --help                         which commit made it so
  symbolize record --help                         how to make a trace

Exit codes: 0 done, 1 a difference found, 2 an error.";

/// Reads traces of a Linux boot: who called whom, how often and for how long.
#[derive(Parser, Debug)]
#[command(name = "symbolize", version, about, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    report: report::Args,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Boots a virtual machine, or attaches to one, and records its trace
    Record(Box<record::Args>),
    /// Takes what trace-cmd, perf or LTTng recorded on the host of a virtual machine
    Import(import::Args),
    /// Puts the tracer into a vmlinux
    Inject(inject::Args),
    /// Says what hypergraph= on a kernel command line means, and what is wrong with it
    Options(options::Args),
    /// Prints the report (the same as with no subcommand)
    Report(report::Args),
    /// Walks through a trace in the terminal: levels, initcalls, call tree, functions, source
    Explore(explore::Args),
    /// Makes small files of boots, to compare them later
    Keep(keep::Args),
    /// Compares boots before with boots after: what has changed, where, and whether it may be chance
    Diff(diff::Args),
    /// Tells whether boots became slower, or break a budget, for CI
    Check(check::Args),
    /// Shows how boots or releases went over time, and where they changed
    Trend(trend::Args),
    /// Merges several boots of one kernel: means and spread of levels, initcalls and functions
    Merge(merge::Args),
    /// Finds the commit, or the kernel of a list, that made a boot slower or otherwise different
    Bisect(Box<bisect::Args>),
    /// Shows who called a function and what it called, with times
    Graph(graph::Args),
    /// Shows how the machine was ended: power-off, restart, halt or panic, step by step, up to the last function
    Shutdown(shutdown::Args),
    /// Names the functions that make most of the events, and a line that leaves them out
    Suggest(suggest::Args),
    /// Prints one line for each function in a trace: address, name, file and line
    Addresses(addresses::Args),
    /// Names the functions, files and lines of any addresses in a kernel, as addr2line does
    Resolve(resolve::Args),
    /// Prints completions for a shell
    Completions(completions::Args),
    /// Prints the manual page
    Man(man::Args),
    /// Measures decoding and call trees, without names
    #[command(hide = true)]
    BenchDecode(bench_decode::Args),
    /// Prints what lies between the marks of a trace
    #[command(hide = true)]
    BenchLevels(bench_levels::Args),
}

/// Runs the command line; the exit code.
pub fn run() -> anyhow::Result<u8> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // To git bisect run the usual code of an error is a verdict.
        Err(error) if bisect::step::is_asked_for(std::env::args_os()) => return Ok(bisect::step::refused(&error)),
        Err(error) => error.exit(),
    };
    match cli.command {
        Some(Command::Record(args)) => record::run(*args),
        Some(Command::Import(args)) => import::run(&args),
        Some(Command::Inject(args)) => inject::run(args),
        Some(Command::Options(args)) => options::run(&args),
        Some(Command::Report(args)) => report::run(&args),
        Some(Command::Explore(args)) => explore::run(&args),
        Some(Command::Keep(args)) => keep::run(&args),
        Some(Command::Diff(args)) => diff::run(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Trend(args)) => trend::run(&args),
        Some(Command::Merge(args)) => merge::run(&args),
        Some(Command::Bisect(args)) => bisect::run(*args),
        Some(Command::Graph(args)) => graph::run(args),
        Some(Command::Shutdown(args)) => shutdown::run(&args),
        Some(Command::Suggest(args)) => suggest::run(&args),
        Some(Command::Addresses(args)) => addresses::run(&args),
        Some(Command::Resolve(args)) => resolve::run(&args),
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Man(args)) => man::run(&args),
        Some(Command::BenchDecode(args)) => bench_decode::run(&args),
        Some(Command::BenchLevels(args)) => bench_levels::run(&args),
        None => report::run(&cli.report),
    }
}

/// A word as the shell wants it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
