// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize TRACE VMLINUX --format FORMAT -o PATH`: formats of other tools. In: an opened trace. Out: what
//! [`symbolizer::export`] writes. Never here: the formats.

use std::io::Write;
use std::path::{Path, PathBuf};

use symbolizer::calltree::contexts::Contexts;
use symbolizer::calltree::sink::Nothing;
use symbolizer::calltree::{Filter, Site};
use symbolizer::export::callgrind::Callgrind;
use symbolizer::export::chrome::Chrome;
use symbolizer::export::ctf::Ctf;
use symbolizer::export::drive::{self, Drive};
use symbolizer::export::firefox::Firefox;
use symbolizer::export::flamegraph::FlameGraph;
use symbolizer::export::folded::Folded;
use symbolizer::export::html::Html;
use symbolizer::export::json_lines::JsonLines;
use symbolizer::export::perfetto::Perfetto;
use symbolizer::export::trace_dat::TraceDat;
use symbolizer::export::uftrace::Uftrace;
use symbolizer::export::{Exporter, Grouping, Head, Wants};
use symbolizer::report::model::Sort;

use super::analysis;
use super::filters::Filters;
use super::output::Output;
use super::phases::Phases;
use super::source::Opened;

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// [`Folded`].
    Folded,
    /// [`JsonLines`].
    JsonLines,
    /// [`Html`].
    Html,
    /// [`FlameGraph`].
    FlameGraph,
    /// [`Callgrind`].
    Callgrind,
    /// [`Firefox`].
    Firefox,
    /// [`Perfetto`].
    Perfetto,
    /// [`Chrome`].
    Chrome,
    /// [`Ctf`].
    Ctf,
    /// [`Uftrace`].
    Uftrace,
    /// [`TraceDat`].
    TraceDat,
    /// `symbolizer::export::parquet`, if it was built.
    Parquet,
}

/// How a format is written.
enum Kind {
    /// One file, or standard output.
    Stream(fn(Box<dyn Write>) -> Box<dyn Exporter>),
    /// The same, but no terminal should get it.
    Binary(fn(Box<dyn Write>) -> Box<dyn Exporter>),
    /// A directory.
    Directory(fn(PathBuf) -> anyhow::Result<Box<dyn Exporter>>),
}

impl Export {
    /// One line for each format.
    fn kind(self) -> Kind {
        match self {
            Export::Folded => Kind::Stream(|out| Box::new(Folded::new(out))),
            Export::JsonLines => Kind::Stream(|out| Box::new(JsonLines::new(out))),
            Export::Html => Kind::Stream(|out| Box::new(Html::new(out))),
            Export::FlameGraph => Kind::Stream(|out| Box::new(FlameGraph::new(out))),
            Export::Callgrind => Kind::Stream(|out| Box::new(Callgrind::new(out))),
            Export::Firefox => Kind::Binary(|out| Box::new(Firefox::new(out))),
            Export::Perfetto => Kind::Binary(|out| Box::new(Perfetto::new(out))),
            Export::Chrome => Kind::Stream(|out| Box::new(Chrome::new(out))),
            Export::Ctf => Kind::Directory(|path| Ok(Box::new(Ctf::new(path)?))),
            Export::Uftrace => Kind::Directory(|path| Ok(Box::new(Uftrace::new(path)?))),
            Export::TraceDat => Kind::Binary(|out| Box::new(TraceDat::new(out))),
            Export::Parquet => Kind::Directory(parquet),
        }
    }
}

#[cfg(feature = "parquet")]
fn parquet(path: PathBuf) -> anyhow::Result<Box<dyn Exporter>> {
    Ok(Box::new(symbolizer::export::parquet::Tables::new(path)?))
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: PathBuf) -> anyhow::Result<Box<dyn Exporter>> {
    anyhow::bail!(
        "this symbolize was built without Parquet; to get it: cargo build --release -p symbolizer --features parquet"
    )
}

/// Writes the trace in this format.
pub fn run(
    export: Export,
    opened: &mut Opened<'_>,
    filters: &Filters,
    path: Option<&Path>,
    boot: Option<&str>,
    phases: &mut Phases,
) -> anyhow::Result<()> {
    let (mut output, mut exporter);
    match export.kind() {
        Kind::Stream(new) => {
            output = Some(Output::open(path)?);
            exporter = new(output.as_ref().map_or_else(|| Ok(Box::new(std::io::sink()) as _), Output::writer)?);
        }
        Kind::Binary(new) => {
            let open = Output::open(path)?;
            anyhow::ensure!(!open.is_terminal(), "this format is not for a terminal: give -o FILE, or pipe it");
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
    let written = output.take().map(Output::done).transpose()?.flatten();
    phases.done("write");
    phases.finish();
    if let Some(path) = written.as_deref().or(path.filter(|path| path.is_dir())) {
        anstream::eprintln!("written: {}", path.display());
    }
    Ok(())
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
    exporter.begin(&Head { meta, clock, first_tick, filtered: words.as_deref(), boot })?;
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
