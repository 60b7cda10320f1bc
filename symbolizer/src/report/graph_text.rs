// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Call graphs for people. In: a [`Graph`] and names. Out: two trees, callers above and callees below, within
//! a width. Never here: figures, standard output.

use std::io::{self, Write};

use super::graph::{Branch, Graph, Limits, Sums};
use super::names::Named;
use super::style::{DIM, HEADING, WARN, heading, shorten, wrap};
use super::units::{Clock, count, percent};
use crate::calltree::contexts::Node;

/// How they are written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Ticks to times.
    pub clock: Clock,
    /// Columns of text.
    pub width: usize,
    /// Source file and line behind each name.
    pub lines: bool,
    /// What was left out.
    pub limits: Limits,
}

/// Columns before the tree.
const FIGURES: usize = 41;

/// Writes a graph; `named` by the functions' numbers.
///
/// # Errors
/// Those of the writer.
pub fn write(graph: &Graph, named: &[Named], busy: u64, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let Options { clock, width, limits, .. } = options;
    let Sums { calls, total, own, longest } = graph.sums;
    let (name, place) = called(graph.function, named, true);
    let gap = if place.is_empty() { "" } else { "  " };
    writeln!(out, "{HEADING}{}{HEADING:#}{gap}{DIM}{place}{DIM:#}", shorten(&name, width))?;
    let summary = format!(
        "{} {}, total {} ({} % of the time on CPUs), self {}, longest {}",
        count(calls),
        if calls == 1 { "call" } else { "calls" },
        clock.show(total),
        percent(total, busy),
        clock.show(own),
        clock.show(longest),
    );
    for line in wrap(&summary, width.saturating_sub(2).max(20)) {
        writeln!(out, "  {line}")?;
    }
    if graph.idle > 0 {
        writeln!(out, "  {DIM}and {} calls while CPUs idled, which do not count here{DIM:#}", count(graph.idle))?;
    }
    let least = if limits.share > 0.0 { format!("; from {} % up", limits.share * 100.0) } else { String::new() };
    if limits.callers > 0 {
        let remark = format!("its calls by who made them, and who called those{least}");
        tree(&graph.callers, named, graph.sums, options, ("Called from", &remark), out)?;
    }
    if limits.callees > 0 {
        let remark = format!("what was called inside it, and self time there{least}");
        tree(&graph.callees, named, graph.sums, options, ("Calls", &remark), out)?;
    }
    Ok(())
}

fn tree(
    root: &Branch,
    named: &[Named],
    whole: Sums,
    options: Options,
    (title, remark): (&str, &str),
    out: &mut dyn Write,
) -> io::Result<()> {
    heading(out, options.width, title, remark)?;
    if root.next.is_empty() && root.more.0 == 0 {
        return writeln!(out, "  nothing");
    }
    writeln!(out, "  {DIM}{:>6}  {:>8}  {:>8}  {:>9}{DIM:#}", "share", "total", "self", "calls")?;
    branches(root, named, whole, options, "", out)
}

/// The branches of one branch; `before` is what the tree has drawn to their left.
fn branches(
    branch: &Branch,
    named: &[Named],
    whole: Sums,
    options: Options,
    before: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (mut more, rest) = branch.more;
    // No line for what rounds to nothing.
    if share(rest, whole) == "0.0" {
        more = 0;
    }
    for (index, next) in branch.next.iter().enumerate() {
        let last = index + 1 == branch.next.len() && more == 0;
        figures(next.sums, whole, options.clock, out)?;
        let (name, place) = called(next.function, named, options.lines);
        let room = options.width.saturating_sub(FIGURES + before.chars().count() + 3).max(16);
        let mark = if next.recursion { "  ↺ recursion" } else { "" };
        let name = shorten(&name, room.saturating_sub(mark.chars().count()).max(12));
        let used = name.chars().count() + mark.chars().count() + 2;
        let place = if room > used + 8 { shorten(&place, room - used) } else { String::new() };
        let knot = if last { "└─ " } else { "├─ " };
        let gap = if place.is_empty() { "" } else { "  " };
        writeln!(out, "{DIM}{before}{knot}{DIM:#}{name}{WARN}{mark}{WARN:#}{DIM}{gap}{place}{DIM:#}")?;
        branches(next, named, whole, options, &format!("{before}{}", if last { "   " } else { "│  " }), out)?;
    }
    if more > 0 {
        figures(rest, whole, options.clock, out)?;
        writeln!(out, "{DIM}{before}└─ {} more{DIM:#}", count(more as u64))?;
    }
    Ok(())
}

fn share(sums: Sums, whole: Sums) -> String {
    match whole.total {
        0 => percent(sums.calls, whole.calls),
        total => percent(sums.total, total),
    }
}

fn figures(sums: Sums, whole: Sums, clock: Clock, out: &mut dyn Write) -> io::Result<()> {
    let share = share(sums, whole);
    let (total, own, calls) = (clock.show(sums.total), clock.show(sums.own), count(sums.calls));
    write!(out, "  {share:>5}%  {total:>8}  {own:>8}  {calls:>9}  ")
}

/// Name and place of a function.
fn called(function: u32, named: &[Named], lines: bool) -> (String, String) {
    match function {
        Node::ROOT => ("(no traced caller)".to_owned(), String::new()),
        Node::REST => ("[other ways]".to_owned(), String::new()),
        number => named.get(number as usize).map_or_else(
            || ("?".to_owned(), String::new()),
            |named| {
                let place = match (&named.file, named.line) {
                    (Some(file), Some(line)) if lines => format!("{file}:{line}"),
                    (Some(file), None) if lines => file.clone(),
                    _ => String::new(),
                };
                (named.name.clone(), place)
            },
        ),
    }
}
