// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a trace can be written as. In: a name, or that of a file. Out: [`Format`], and how it is written. Never
//! here: writing.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use symbolizer::export::Exporter;
use symbolizer::export::callgrind::Callgrind;
use symbolizer::export::chrome::Chrome;
use symbolizer::export::ctf::Ctf;
use symbolizer::export::firefox::Firefox;
use symbolizer::export::flamegraph::FlameGraph;
use symbolizer::export::folded::Folded;
use symbolizer::export::html::Html;
use symbolizer::export::json_lines::JsonLines;
use symbolizer::export::perfetto::Perfetto;
use symbolizer::export::trace_dat::TraceDat;
use symbolizer::export::uftrace::Uftrace;

/// The formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A report for people
    Text,
    /// A report for programs: symbolizer/JSON.md describes it
    Json,
    /// The calls themselves, as an indented tree
    Tree,
    /// A page for people, to be opened in a browser (.html)
    Html,
    /// Folded stacks, for flame graph tools (.folded)
    Folded,
    /// A JSON object for each call and mark, one a line (.jsonl)
    #[value(name = "jsonl")]
    JsonLines,
    /// A flame graph of levels, tasks and calls, for any browser (.svg)
    #[value(name = "flamegraph")]
    FlameGraph,
    /// A profile for KCachegrind and callgrind_annotate (callgrind.out, .callgrind)
    Callgrind,
    /// A profile for profiler.firefox.com (.json.gz)
    Firefox,
    /// For ui.perfetto.dev and trace_processor (.pftrace)
    Perfetto,
    /// Trace event JSON, for chrome://tracing, ui.perfetto.dev and speedscope
    Chrome,
    /// A directory, for Trace Compass (call stack analysis of LTTng-UST) and babeltrace2
    Ctf,
    /// A directory, for uftrace (replay, graph, tui)
    Uftrace,
    /// A trace.dat, for trace-cmd report and KernelShark (.dat)
    TraceDat,
    /// Tables of many boots for DuckDB, Spark and the like: symbolizer/PARQUET.md describes them (a directory)
    Parquet,
}

impl Format {
    /// What a file with this name is.
    pub fn of(path: &Path) -> Option<Format> {
        // As Valgrind names them: callgrind.out.PID.
        if path.file_name()?.to_str()?.starts_with("callgrind.out") {
            return Some(Format::Callgrind);
        }
        Some(match path.extension()?.to_str()? {
            "txt" => Format::Text,
            "json" => Format::Json,
            "folded" => Format::Folded,
            "jsonl" | "ndjson" => Format::JsonLines,
            "dat" => Format::TraceDat,
            "html" | "htm" => Format::Html,
            "svg" => Format::FlameGraph,
            "callgrind" => Format::Callgrind,
            "gz" if path.file_stem()?.to_str()?.ends_with(".json") => Format::Firefox,
            "pftrace" | "perfetto-trace" => Format::Perfetto,
            _ => return None,
        })
    }

    /// What is written to this output, if nothing else says so: text, unless the end of its name is that of a format.
    pub fn of_output(path: Option<&Path>) -> anyhow::Result<Format> {
        let Some(path) = path else { return Ok(Format::Text) };
        let told = Format::of(path);
        anyhow::ensure!(
            told.is_some() || path.extension().is_none() || path.starts_with("/dev"),
            "{}: the end of this name is that of no format; say which with --format",
            path.display()
        );
        Ok(told.unwrap_or(Format::Text))
    }

    /// How it is written: one line for each format.
    pub fn kind(self) -> Kind {
        match self {
            Format::Text | Format::Json | Format::Tree => Kind::Report,
            Format::Folded => Kind::Stream(|out| Box::new(Folded::new(out))),
            Format::JsonLines => Kind::Stream(|out| Box::new(JsonLines::new(out))),
            Format::Html => Kind::Binary(|out| Box::new(Html::new(out))),
            Format::FlameGraph => Kind::Stream(|out| Box::new(FlameGraph::new(out))),
            Format::Callgrind => Kind::Stream(|out| Box::new(Callgrind::new(out))),
            Format::Firefox => Kind::Binary(|out| Box::new(Firefox::new(out))),
            Format::Perfetto => Kind::Binary(|out| Box::new(Perfetto::new(out))),
            Format::Chrome => Kind::Stream(|out| Box::new(Chrome::new(out))),
            Format::Ctf => Kind::Directory(|path| Ok(Box::new(Ctf::new(path)?))),
            Format::Uftrace => Kind::Directory(|path| Ok(Box::new(Uftrace::new(path)?))),
            Format::TraceDat => Kind::Binary(|out| Box::new(TraceDat::new(out))),
            Format::Parquet => Kind::Directory(parquet),
        }
    }
}

/// How a format is written.
pub enum Kind {
    /// By the report itself.
    Report,
    /// One file, or standard output.
    Stream(fn(Box<dyn Write>) -> Box<dyn Exporter>),
    /// The same, but no terminal should get it.
    Binary(fn(Box<dyn Write>) -> Box<dyn Exporter>),
    /// A directory.
    Directory(fn(PathBuf) -> anyhow::Result<Box<dyn Exporter>>),
}

#[cfg(feature = "parquet")]
fn parquet(path: PathBuf) -> anyhow::Result<Box<dyn Exporter>> {
    Ok(Box::new(symbolizer::export::parquet::Tables::new(path)?))
}

/// What is said if tables are asked for and cannot be written.
#[cfg(not(feature = "parquet"))]
pub const WITHOUT_PARQUET: &str =
    "this symbolize was built without Parquet; to get it: cargo build --release -p symbolizer --features parquet";

#[cfg(not(feature = "parquet"))]
fn parquet(_: PathBuf) -> anyhow::Result<Box<dyn Exporter>> {
    anyhow::bail!(WITHOUT_PARQUET)
}
