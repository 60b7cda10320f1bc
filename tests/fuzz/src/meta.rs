// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `meta.json`. In: the file. Demanded: what is read can be written and read again; a report about it
//! steers no terminal; without the CPUs' files it is no trace.

use std::path::Path;

use symbolizer::calltree::aggregate::Aggregate;
use symbolizer::calltree::filter::{Filter, Wanted};
use symbolizer::calltree::{Site, Totals};
use symbolizer::report::Report;
use symbolizer::report::levels::Boot;
use symbolizer::report::model::{Sort, Sources};
use symbolizer::report::names::Coverage;
use symbolizer::resolve::Slide;
use symbolizer::trace_dir::meta::META_FILE;
use symbolizer::trace_dir::{Meta, TraceDir};

use super::{scratch, shown};

/// Reads, writes, reads and reports it.
pub fn run(data: &[u8]) {
    let dir = scratch::directory();
    std::fs::write(dir.path().join(META_FILE), data).expect("a small file");
    let opened = TraceDir::open(dir.path());
    let Ok(meta) = Meta::read(dir.path()) else {
        return assert!(opened.is_err(), "a trace without a readable meta.json");
    };
    assert_eq!(opened.is_ok(), meta.cpus == 0, "there are no files of CPUs");
    meta.write(dir.path()).expect("a small file");
    assert_eq!(Meta::read(dir.path()).expect("what was just written"), meta);
    report(&meta);
}

/// The report of a recording without a single event.
fn report(meta: &Meta) {
    let nameless = |_: Site<'_>| String::new();
    let aggregate = Aggregate::new(Filter::new(Wanted::default(), &nameless));
    let totals = Totals::default();
    let sources = Sources {
        meta,
        build_id: None,
        slide: Slide::default(),
        totals: &totals,
        aggregate: &aggregate,
        named: Vec::new(),
        coverage: Coverage::default(),
        nameless: Vec::new(),
        boot: Boot::default(),
    };
    let report = Report::new(sources, Sort::Own, None);
    shown::report(&report);
}

/// A directory with a trace of one CPU: `data` is its file.
pub fn directory_of(dir: &Path, data: &[u8]) {
    let meta = Meta { format_version: 1, words_version: 1, cpus: 1, tsc_khz: Some(1), ..Meta::default() };
    meta.write(dir).expect("a small file");
    std::fs::write(dir.join("cpu0.eft"), data).expect("a small file");
}
