// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize bench-decode TRACE`: how fast a trace is decoded and its call trees rebuilt, with no
//! names. Out: one line of JSON. For measurements; not a part of the documented interface.

use std::path::PathBuf;
use std::time::Instant;

use symbolizer::calltree::aggregate::Aggregate;
use symbolizer::calltree::filter::{Filter, Wanted};
use symbolizer::calltree::{self, Site};
use symbolizer::decode::pipeline;
use symbolizer::trace_dir::TraceDir;

/// Arguments of `symbolize bench-decode`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The trace directory
    trace: PathBuf,
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let begin = Instant::now();
    let trace = TraceDir::open(&args.trace)?;
    let nameless = |_: Site<'_>| String::new();
    let mut aggregate = Aggregate::new(Filter::new(Wanted::default(), &nameless));
    let totals = pipeline::run(&trace, |pipeline| calltree::build(pipeline, &mut aggregate, |_| {}));
    let seconds = begin.elapsed().as_secs_f64();
    let line = serde_json::json!({
        "events": totals.events,
        "words": totals.words,
        "seconds": seconds,
        "events_per_s": totals.events as f64 / seconds,
    });
    anstream::println!("{line}");
    Ok(0)
}
