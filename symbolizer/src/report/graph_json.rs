// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Call graphs for programs; symbolizer/JSON.md describes them. In: [`Graph`]s and names. Out: one JSON
//! object. Never here: figures.

use std::io::{self, Write};

use serde::Serialize;

use super::graph::{Branch, Graph, Sums};
use super::names::Named;
use super::units::Clock;
use crate::calltree::contexts::Node;
use crate::trace_dir::Meta;

#[derive(Serialize)]
struct All<'a> {
    json_version: u32,
    kernel_release: &'a str,
    build_id: &'a str,
    filtered: Option<&'a str>,
    functions_matched: usize,
    functions: Vec<Function<'a>>,
}

#[derive(Serialize)]
struct Figures {
    calls: u64,
    total_ns: Option<u64>,
    total_ticks: u64,
    self_ns: Option<u64>,
    self_ticks: u64,
    longest_ns: Option<u64>,
    longest_ticks: u64,
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(flatten)]
    who: Who<'a>,
    #[serde(flatten)]
    figures: Figures,
    idle_calls: u64,
    callers: Vec<One<'a>>,
    callers_left_out: Option<Left>,
    callees: Vec<One<'a>>,
    callees_left_out: Option<Left>,
}

#[derive(Serialize)]
struct Who<'a> {
    name: Option<&'a str>,
    address: Option<String>,
    file: Option<&'a str>,
    line: Option<u32>,
}

/// A caller or a callee.
#[derive(Serialize)]
struct One<'a> {
    #[serde(flatten)]
    who: Who<'a>,
    #[serde(flatten)]
    figures: Figures,
    recursion: bool,
    next: Vec<One<'a>>,
    left_out: Option<Left>,
}

/// Branches below the least share.
#[derive(Serialize)]
struct Left {
    branches: usize,
    #[serde(flatten)]
    figures: Figures,
}

/// Writes graphs; `matched` functions were found, `named` are all by their numbers.
///
/// # Errors
/// Those of the writer.
pub fn write(
    graphs: &[Graph],
    matched: usize,
    named: &[Named],
    meta: &Meta,
    clock: Clock,
    filtered: Option<&str>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let functions = graphs
        .iter()
        .map(|graph| Function {
            who: who(graph.function, named),
            figures: figures(graph.sums, clock),
            idle_calls: graph.idle,
            callers: branches(&graph.callers, named, clock),
            callers_left_out: left(&graph.callers, clock),
            callees: branches(&graph.callees, named, clock),
            callees_left_out: left(&graph.callees, clock),
        })
        .collect();
    let all = All {
        json_version: 1,
        kernel_release: &meta.release,
        build_id: &meta.build_id,
        filtered,
        functions_matched: matched,
        functions,
    };
    serde_json::to_writer_pretty(&mut *out, &all)?;
    writeln!(out)
}

fn figures(sums: Sums, clock: Clock) -> Figures {
    let Sums { calls, total, own, longest } = sums;
    Figures {
        calls,
        total_ns: clock.ns(total),
        total_ticks: total,
        self_ns: clock.ns(own),
        self_ticks: own,
        longest_ns: clock.ns(longest),
        longest_ticks: longest,
    }
}

fn left(branch: &Branch, clock: Clock) -> Option<Left> {
    let (branches, sums) = branch.more;
    (branches > 0).then(|| Left { branches, figures: figures(sums, clock) })
}

fn branches<'a>(branch: &Branch, named: &'a [Named], clock: Clock) -> Vec<One<'a>> {
    let one = |next: &Branch| One {
        who: who(next.function, named),
        figures: figures(next.sums, clock),
        recursion: next.recursion,
        next: branches(next, named, clock),
        left_out: left(next, clock),
    };
    branch.next.iter().map(one).collect()
}

/// No name: no traced call is around.
fn who(function: u32, named: &[Named]) -> Who<'_> {
    let nobody = |name| Who { name, address: None, file: None, line: None };
    match (function, named.get(function as usize)) {
        (Node::ROOT, _) => nobody(None),
        (_, None) => nobody(Some("[other ways]")),
        (_, Some(named)) => Who {
            name: Some(&named.name),
            address: Some(format!("{:#x}", named.address)),
            file: named.file.as_deref(),
            line: named.line,
        },
    }
}
