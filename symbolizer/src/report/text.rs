// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The report for people. In: a [`Report`]. Out: text within a width, most important first. Never
//! here: the tables themselves ([`super::sections`]), standard output.

use std::io::{self, Write};

use super::model::{End, Report, Sort};
use super::style::{DIM, HEADING, WARN, printable, wrap};
use super::units::{count, percent};
use super::{exits, levels_text, overhead, sections};
use crate::resolve::Missing;

/// What the report is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// The phases of the boot, with the initcalls and functions of each
    Level,
    /// All initcalls, longest first
    Initcall,
    /// Functions, as without --by but without the rest
    Function,
    /// Modules, and what would be modules if it were not built in, by the time of their initcalls
    Module,
    /// Exits to the host, by reason and by the function in which the guest was left
    Exit,
}

/// What of the report is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Columns of text.
    pub width: usize,
    /// Lines of each table.
    pub top: usize,
    /// Only what this asks for; else all.
    pub by: Option<By>,
    /// Only the table in this order; else those by self time, calls and total time.
    pub sort: Option<Sort>,
    /// Source file and line in the tables.
    pub lines: bool,
}

/// Writes the report.
///
/// # Errors
/// Those of the writer.
pub fn write(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    header(report, options.width, out)?;
    damage(report, options.width, out)?;
    if options.by == Some(By::Exit) {
        if report.exits.is_none() {
            return writeln!(
                out,
                "\nNo events of the host: the trace has no host.eft. Record its kvm events in the same boot, or import them"
            );
        }
        return exits::write(report, options, out);
    }
    if options.by.is_some_and(|by| by != By::Function)
        && report.boot.levels.is_empty()
        && report.boot.initcalls.is_empty()
    {
        return writeln!(
            out,
            "\nNo marks of levels and initcalls: the trace is of a guest that writes none, or too short"
        );
    }
    match options.by {
        None => {
            levels_text::levels(report, options, out)?;
            overhead::phases(report, options, out)?;
            levels_text::initcalls(report, options, out)?;
            levels_text::options(report, options, out)?;
        }
        Some(By::Level) => {
            levels_text::levels(report, options, out)?;
            overhead::phases(report, options, out)?;
            levels_text::options(report, options, out)?;
            return levels_text::blocks(report, options, out);
        }
        Some(By::Initcall) => return levels_text::initcalls(report, options, out),
        Some(By::Module) => return levels_text::modules(report, options, out),
        Some(By::Function | By::Exit) => return functions(report, options, out),
    }
    functions(report, options, out)?;
    exits::write(report, options, out)?;
    sections::subsystems(report, options, out)?;
    sections::tasks(report, options, out)?;
    sections::idle(report, options, out)?;
    sections::longest(report, options, out)?;
    sections::inlined(report, options, out)?;
    sections::open(report, options, out)
}

fn functions(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    match options.sort {
        Some(sort) => sections::functions(report, options, sort, out)?,
        None => {
            for sort in [Sort::Own, Sort::Calls, Sort::Total] {
                sections::functions(report, options, sort, out)?;
            }
        }
    }
    Ok(())
}

fn header(report: &Report<'_>, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let (meta, totals, clock) = (report.meta, report.totals, report.clock);
    let release = if meta.release.is_empty() { "(release not known)" } else { &meta.release };
    writeln!(out, "{HEADING}Boot of Linux {}{HEADING:#}", printable(release))?;
    let mut field = |name: &str, text: &str| -> io::Result<()> {
        let mut lines = wrap(text, width.saturating_sub(16).max(20));
        if lines.is_empty() {
            lines.push("-".to_owned());
        }
        for (index, line) in lines.iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            writeln!(out, "  {DIM}{name:<14}{DIM:#}{line}")?;
        }
        Ok(())
    };
    let same = match &report.build_id {
        Some(id) if *id == meta.build_id => "(the vmlinux has the same)".to_owned(),
        Some(id) => format!("(the vmlinux has another: {id})"),
        None => "(the vmlinux has none)".to_owned(),
    };
    let build_id = if meta.build_id.is_empty() { "none".to_owned() } else { printable(&meta.build_id) };
    field("build ID", &format!("{build_id} {same}"))?;
    if report.slide.bytes() > 0 {
        let moved = "KASLR moved the kernel; addresses here are those of the vmlinux";
        field("slide", &format!("{:#x}: {moved}", report.slide.bytes()))?;
    }
    field("command line", &printable(&meta.command_line))?;
    field("CPUs", &meta.cpus.to_string())?;
    let frequency = match clock.khz() {
        Some(khz) => format!("time stamp counter at {}.{:03} MHz", count(khz / 1000), khz % 1000),
        None => "frequency of the time stamp counter not known, so times are in ticks (t)".to_owned(),
    };
    field("time span", &format!("{}; {frequency}", clock.show(report.span())))?;
    field("ended", &end(&report.end, totals.gap_count == 0 && totals.lost == 0))?;
    let lost = match (totals.lost, totals.losses) {
        (0, 0) => "none lost".to_owned(),
        (lost, places) => format!("{} lost in {} places", count(lost), count(places)),
    };
    let per_second = clock.ns(report.span()).filter(|&ns| ns > 0).map_or_else(String::new, |ns| {
        format!(", {} a second", count((u128::from(totals.events) * 1_000_000_000 / u128::from(ns)) as u64))
    });
    field("events", &format!("{} entries and exits{per_second}; {lost}", count(totals.events)))?;
    for (name, text) in overhead::fields(report) {
        field(name, &text)?;
    }
    if let Some(filtered) = &report.filtered {
        field("filter", &format!("only {filtered}: {} calls", count(report.calls())))?;
    }
    let coverage = report.coverage;
    let mut sites = match coverage.sites {
        Some(all) => {
            format!("{} of {} call sites fired ({} %)", count(coverage.hit), count(all), percent(coverage.hit, all))
        }
        None => format!("{} call sites fired; the vmlinux does not list its call sites", count(coverage.hit)),
    };
    if coverage.modules > 0 {
        sites.push_str(&format!("; {} more in modules", count(coverage.modules)));
        match coverage.nameless {
            0 => {}
            all if all == coverage.modules => sites.push_str(", shown without names"),
            some => sites.push_str(&format!(", {} of them shown without names", count(some))),
        }
    }
    if coverage.strangers > 0 {
        sites.push_str(&format!("; {} more that the vmlinux does not list", count(coverage.strangers)));
    }
    field("coverage", &sites)?;
    if !report.nameless.is_empty() {
        field("modules", &nameless(&report.nameless))?;
    }
    field(
        "never seen",
        "code without a call site: notrace and noinstr functions (entry code, tsc, kvmclock, NMI), \
         assembly and head64.c before the first call, functions that were inlined",
    )
}

/// Which modules have no names, and what to do about it.
pub fn nameless(modules: &[(String, Missing)]) -> String {
    const SHOWN: usize = 12;
    let without: Vec<&str> =
        modules.iter().filter(|(_, why)| *why == Missing::NoFile).map(|(module, _)| module.as_str()).collect();
    let mut parts = Vec::new();
    if !without.is_empty() {
        let more = match without.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let names = without[..without.len().min(SHOWN)].join(", ");
        parts.push(format!("no .ko was found for {names}{more}"));
    }
    let other = modules.iter().filter(|(_, why)| *why != Missing::NoFile);
    parts.extend(other.take(SHOWN).map(|(module, why)| format!("{module}: {}", printable(&why.to_string()))));
    format!(
        "{}; to see names, give the directory with the right ones: --modules DIR (on Debian, linux-image-RELEASE-dbg \
         has them in /usr/lib/debug/lib/modules/RELEASE)",
        parts.join("; ")
    )
}

/// How it ended, for people; `whole` if nothing is missing before.
pub fn end(end: &End, whole: bool) -> String {
    let with = |what: &str, detail: &str| match printable(detail).as_str() {
        "" => what.to_owned(),
        detail => format!("{what} ({detail})"),
    };
    match end {
        End::PowerOff if whole => "the guest powered off; the trace is whole".to_owned(),
        End::PowerOff => "the guest powered off; parts of the trace are missing".to_owned(),
        End::Stopped(detail) => with("the recorder was told to stop; the guest would have run on", detail),
        End::Died(detail) => with("the guest died", detail),
        End::Missing => "the end is missing: the recorder or the guest was killed, or files are cut off".to_owned(),
    }
}

/// What is missing or not certain, in lines; those that belong to the one before are indented. None if all is
/// well.
pub fn not_whole(report: &Report<'_>) -> Vec<String> {
    let (meta, totals) = (report.meta, report.totals);
    let mut lines: Vec<String> = Vec::new();
    let mut say = |number: u64, one: &str, many: &str| {
        if number > 0 {
            lines.push(format!("{} {}", count(number), if number == 1 { one } else { many }));
        }
    };
    say(totals.lost, "event was lost: the ring was full", "events were lost: the ring was full");
    say(totals.gap_count, "part of the trace cannot be read:", "parts of the trace cannot be read:");
    if totals.gap_count > 0 {
        lines.extend(totals.gaps.iter().take(10).map(|(cpu, offset, reason)| {
            let at = offset.map_or_else(String::new, |offset| format!(" at byte {offset}"));
            format!("  CPU {cpu}{at}: {reason}")
        }));
        let more = totals.gap_count.saturating_sub(10);
        if more > 0 {
            lines.push(format!("  and {} more", count(more)));
        }
    }
    let mut say = |number: u64, one: &str, many: &str| {
        if number > 0 {
            lines.push(format!("{} {}", count(number), if number == 1 { one } else { many }));
        }
    };
    say(totals.unwritten, "event was reserved and never written", "events were reserved and never written");
    say(
        totals.cut,
        "open call was cut at a loss: its time counts up to there",
        "open calls were cut at losses: their time counts up to there",
    );
    say(
        totals.orphans,
        "return has no call in the trace and counts nowhere",
        "returns have no call in the trace and count nowhere",
    );
    say(
        totals.suspect,
        "return was matched across a loss on another CPU and may be wrong",
        "returns were matched across a loss on another CPU and may be wrong",
    );
    say(
        totals.mismatches,
        "chunk names another running task than its switches do",
        "chunks name another running task than their switches do",
    );
    say(
        totals.modules.dropped,
        "description of a module is not whole: its functions have no names",
        "descriptions of modules are not whole: their functions have no names",
    );
    say(meta.depth_overflows, "call was too deep to be recorded", "calls were too deep to be recorded");
    say(meta.stacks_exhausted, "task got no shadow stack", "tasks got no shadow stack");
    say(meta.cpus_untraced, "CPU came up and was not traced", "CPUs came up and were not traced");
    lines.extend(meta.warnings.iter().map(|warning| printable(warning)));
    lines
}

fn damage(report: &Report<'_>, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let lines = not_whole(report);
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    writeln!(out, "{WARN}Not whole{WARN:#}")?;
    for line in lines {
        let indent = if line.starts_with("  ") { "    " } else { "  " };
        for part in wrap(&line, width.saturating_sub(indent.len()).max(20)) {
            writeln!(out, "{indent}{part}")?;
        }
    }
    Ok(())
}
