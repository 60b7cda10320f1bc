// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What was recorded, and what cannot be seen. In: the report. Out: names and values, and what is missing.
//! Never here: HTML.

use super::words::{counted, show};
use crate::report::style::printable;
use crate::report::text;
use crate::report::units::{count, percent};
use crate::report::{Report, overhead};

/// Lines for people.
#[derive(Debug)]
pub struct Facts {
    /// Name and value.
    pub rows: Vec<(&'static str, String)>,
    /// What is missing or not certain; none if all is well.
    pub warnings: Vec<String>,
}

/// Puts them together; `left_out` calls are not drawn one by one.
pub fn facts(report: &Report<'_>, left_out: u64) -> Facts {
    let (meta, totals) = (report.meta, report.totals);
    let or_dash = |value: &str| if value.is_empty() { "-".to_owned() } else { printable(value) };
    let mut rows = vec![("Kernel", or_dash(&meta.release))];
    let same = match &report.build_id {
        Some(id) if *id == meta.build_id => "the vmlinux that names come from has the same",
        Some(_) => "the vmlinux that names come from has another: names may be wrong",
        None => "the vmlinux that names come from has none",
    };
    rows.push(("Build ID", format!("{} ({same})", or_dash(&meta.build_id))));
    if report.slide.bytes() > 0 {
        rows.push(("Moved by KASLR", format!("{:#x}", report.slide.bytes())));
    }
    rows.push(("Command line", or_dash(&meta.command_line)));
    if let Some(options) = &report.boot.options {
        rows.push(("Tracing options", format!("hypergraph={options}")));
    }
    rows.push(("CPUs", meta.cpus.to_string()));
    let clock = match report.clock.khz() {
        Some(khz) => format!("time stamp counter at {}.{:03} MHz", count(khz / 1000), khz % 1000),
        None => "its frequency is not known, so times are in ticks (t) of the time stamp counter".to_owned(),
    };
    rows.push(("Time span", format!("{}; {clock}", show(report, report.span()))));
    let whole = totals.gap_count == 0 && totals.lost == 0;
    rows.push(("Ended", text::end(&report.end, whole)));
    let lost = match totals.lost {
        0 => "none lost".to_owned(),
        lost => format!("{} lost in {}", count(lost), counted(totals.losses, "place", "places")),
    };
    let gaps = match totals.gap_count {
        0 => String::new(),
        gaps => format!("; {} cannot be read", counted(gaps, "part of the trace", "parts of the trace")),
    };
    let events = count(totals.events);
    rows.push(("Events", format!("{events} function entries and exits, {lost}{gaps}")));
    let calls = format!("{} calls of {} functions", count(report.calls()), count(report.functions.len() as u64));
    rows.push(match &report.filtered {
        Some(filtered) => ("Only", format!("{filtered}: {calls}")),
        None => ("Calls", calls),
    });
    let coverage = report.coverage;
    let mut seen = match coverage.sites {
        Some(all) => format!(
            "{} of the {} functions that can be traced were called at least once ({} %)",
            count(coverage.hit),
            count(all),
            percent(coverage.hit, all)
        ),
        None => format!("{} functions were called; the vmlinux does not list all", count(coverage.hit)),
    };
    if coverage.modules > 0 {
        seen.push_str(&format!(", and {} in modules", count(coverage.modules)));
        if coverage.nameless > 0 {
            seen.push_str(&format!(" ({} of them without names)", count(coverage.nameless)));
        }
    }
    if coverage.strangers > 0 {
        seen.push_str(&format!(", and {} that the vmlinux does not list", count(coverage.strangers)));
    }
    rows.push(("Seen", seen));
    rows.push((
        "Never seen",
        "what happened before the first traced function; code without a call site: notrace and noinstr functions \
         (entry code, clocks, NMI), assembly, functions that the compiler inlined into others. Their time counts \
         for whoever called them."
            .to_owned(),
    ));
    let corrected = overhead::fields(report);
    if corrected.is_empty() {
        rows.push((
            "Cost of tracing",
            "each traced call takes some time for the tracing itself, which is in all times here: short functions that \
             are called very often look dearer than they are (symbolize --correct takes it out)."
                .to_owned(),
        ));
    }
    let names = ["Cost of tracing", "Untraced boot"];
    rows.extend(names.into_iter().zip(corrected).map(|(name, (_, text))| (name, text)));
    if left_out > 0 {
        rows.push((
            "Left out",
            format!(
                "{} are too short to be drawn one by one: the pictures show them summed up. Tables and sums have \
                 all calls.",
                counted(left_out, "call", "calls")
            ),
        ));
    }
    if report.boot.levels.is_empty() {
        let why =
            "none: the trace has no marks of levels and initcalls, since it is too short or its guest writes none";
        rows.push(("Levels", why.to_owned()));
    }
    if !report.nameless.is_empty() {
        rows.push(("Modules", text::nameless(&report.nameless)));
    }
    let mut warnings: Vec<String> = text::not_whole(report).iter().map(|line| line.trim().to_owned()).collect();
    warnings.extend(report.boot.doubts.iter().cloned());
    let problem = |row: &crate::report::levels::ProblemRow| {
        format!("hypergraph= on the command line: {} was left out: {}", row.part, row.description)
    };
    warnings.extend(report.boot.problems.iter().map(problem));
    Facts { rows, warnings }
}
