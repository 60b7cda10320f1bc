// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize TRACE VMLINUX --format FORMAT -o PATH`: formats of other tools. In: an opened trace. Out: what
//! [`symbolizer::export`] writes. Never here: the formats.

use std::path::Path;

use symbolizer::calltree::contexts::Contexts;
use symbolizer::calltree::sink::Nothing;
use symbolizer::calltree::{Filter, Site};
use symbolizer::export::drive::{self, Drive};
use symbolizer::export::{Exporter, Grouping, Head, Wants};
use symbolizer::report::model::Sort;

use super::analysis;
use super::filters::Filters;
use super::format::Kind;
use super::output::Output;
use super::phases::Phases;
use super::source::Opened;

/// Writes the trace in a format of this kind; false if the report does that itself.
pub fn run(
    kind: Kind,
    opened: &mut Opened<'_>,
    filters: &Filters,
    path: Option<&Path>,
    boot: Option<&str>,
    phases: &mut Phases,
) -> anyhow::Result<bool> {
    let (output, mut exporter);
    match kind {
        Kind::Report => return Ok(false),
        Kind::Stream(new) | Kind::Binary(new) => {
            let open = Output::open(path)?;
            let wrong = matches!(kind, Kind::Binary(_)) && open.is_terminal();
            anyhow::ensure!(!wrong, "this format is not for a terminal: give -o FILE, or pipe it");
            exporter = new(open.writer()?);
            output = Some(open);
        }
        Kind::Directory(new) => {
            let path = path.ok_or_else(|| anyhow::anyhow!("this format is a directory: give -o DIR"))?;
            output = None;
            exporter = new(path.to_owned())?;
        }
    }
    tell(exporter.as_mut(), opened, filters, boot, phases)?;
    drop(exporter);
    let written = output.map(Output::done).transpose()?.flatten();
    phases.done("write");
    phases.finish();
    if let Some(path) = written.as_deref().or(path.filter(|path| path.is_dir())) {
        anstream::eprintln!("written: {}", path.display());
    }
    Ok(true)
}

/// Tells it all that it wants.
fn tell(
    exporter: &mut dyn Exporter,
    opened: &mut Opened<'_>,
    filters: &Filters,
    boot: Option<&str>,
    phases: &mut Phases,
) -> anyhow::Result<()> {
    let wanted = opened.wanted(filters, phases)?;
    let opened = &*opened;
    let words = filters.words(opened.clock)?;
    let name_of = |site: Site<'_>| opened.names.quick(site).name;
    let named_of = |site: Site<'_>| opened.names.quick(site);
    let filter = || Filter::new(wanted.clone(), &name_of);
    let wants = exporter.wants();
    let first_tick = opened.first_tick();
    let (meta, clock) = (opened.trace.meta(), opened.clock);
    let told = opened.told(filters)?;
    exporter.begin(&Head { meta, clock, first_tick, filtered: told.as_deref(), boot })?;
    let contexts = |grouping: Grouping| Contexts::new(filter(), opened.timeline.clone(), grouping);
    let (analysis, merged) = match wants {
        Wants::Sums => (analysis::run(opened, filter(), &mut Nothing, phases), None),
        Wants::Calls => {
            let mut calls = Drive::new(exporter, filter(), opened.clock, Some(&named_of));
            let analysis = analysis::run(opened, filter(), &mut calls, phases);
            calls.finish()?;
            (analysis, None)
        }
        Wants::Contexts(grouping) => {
            let mut contexts = contexts(grouping);
            let analysis = analysis::run(opened, filter(), &mut contexts, phases);
            (analysis, Some(contexts.finish()))
        }
        Wants::Both(grouping) => {
            let mut contexts = contexts(grouping);
            let mut calls = Drive::new(exporter, filter(), opened.clock, None);
            let mut both = symbolizer::calltree::both::Both(&mut contexts, &mut calls);
            let analysis = analysis::run(opened, filter(), &mut both, phases);
            calls.finish()?;
            (analysis, Some(contexts.finish()))
        }
    };
    let named = analysis.named(opened, phases)?;
    if let Some(merged) = merged {
        for (number, named) in named.iter().enumerate() {
            exporter.function(number as u32, named)?;
        }
        drive::contexts(exporter, &merged, &analysis.totals.tasks, opened.clock)?;
    }
    exporter.finish(&analysis.report(opened, named, Sort::Own, words))?;
    Ok(())
}
