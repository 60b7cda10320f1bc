// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The index of a trace. In: what it holds, unpacked. Demanded: it is refused, or what was read can be written and
//! read again; parts of a small trace are read by it or it is found to contradict that trace; a report of what
//! it says steers no terminal. The same bytes are tried as the whole file too.

use early_ftrace_format::encode::Encoder;
use early_ftrace_format::event::Event;
use symbolizer::calltree::aggregate::Aggregate;
use symbolizer::calltree::build::build_noting;
use symbolizer::calltree::checkpoint::Notes;
use symbolizer::calltree::filter::{Filter, Wanted};
use symbolizer::calltree::levels::Levels;
use symbolizer::calltree::partial::Outline;
use symbolizer::calltree::phases::Timeline;
use symbolizer::calltree::{Site, wire};
use symbolizer::decode::pipeline;
use symbolizer::decode::source::Memory;
use symbolizer::report::Report;
use symbolizer::report::levels::Boot;
use symbolizer::report::model::{Sort, Sources};
use symbolizer::report::names::{Coverage, Named, Origin};
use symbolizer::resolve::Slide;
use symbolizer::trace_dir::{Block, Meta, Run};
use symbolizer::trace_index;

use super::shown;

/// Reads, writes and uses it.
pub fn run(data: &[u8]) {
    let memory = trace();
    let streams = memory.streams.len();
    let identity = data.get(16..24).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes);
    let _ = trace_index::parse(data, identity, streams);
    let Some((mut outline, levels)) = wire::take(data, streams) else { return };
    again(&outline, &levels, streams);
    report(&memory, &outline);
    outline.thin();
    again(&outline, &levels, streams);
    if let Ok(Some(bytes)) = trace_index::bytes(&mut outline, &levels, 7) {
        trace_index::parse(&bytes, 7, streams).expect("what was just written");
        trace_index::parse(&bytes, 8, streams).expect_err("it is of another trace");
    }
}

fn again(outline: &Outline, levels: &Levels, streams: usize) {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    wire::put(outline, levels, &mut first);
    let (outline, levels) = wire::take(&first, streams).expect("what was just written");
    wire::put(&outline, &levels, &mut second);
    assert_eq!(first, second);
}

fn report(memory: &Memory, outline: &Outline) {
    let nameless = |_: Site<'_>| "f".to_owned();
    let wanted = Wanted { from: Some(100), to: Some(400), ..Wanted::default() };
    let mut aggregate = Aggregate::new(Filter::new(wanted, &nameless));
    if outline.run(memory, &mut aggregate).is_err() {
        return;
    }
    let (totals, meta) = (outline.totals(), Meta::default());
    let report = Report::new(
        Sources {
            meta: &meta,
            build_id: None,
            slide: Slide::default(),
            totals,
            aggregate: &aggregate,
            named: totals.functions().map(named).collect(),
            coverage: Coverage::default(),
            nameless: Vec::new(),
            boot: Boot::default(),
        },
        Sort::Total,
        None,
    );
    shown::report(&report);
}

fn named(site: Site<'_>) -> Named {
    let site = site.address;
    let name = format!("f{site:x}");
    Named { name, address: site, site, aliases: 0, file: None, line: None, origin: Origin::Symbol, module: None }
}

/// What [`run`] reads by an index: two CPUs, three tasks, one of which goes from one to the other.
fn trace() -> Memory {
    let site = |number: u64| 0xffff_ffff_8100_0005 + number * 16;
    let entry = |number, time| Event::Entry { site: site(number), time };
    let leaf = |number, start, end| Event::Leaf { site: site(number), start, end };
    let exit = |time| Event::Exit { time };
    let switch = |pid, time| Event::Switch { state: 1, prio: 120, pid, time };
    let module = Event::Leaf { site: 0xffff_ffff_c000_0105, start: 360, end: 370 };
    let first = [
        (100, vec![entry(1, 110), leaf(2, 120, 130), switch(41, 150), entry(3, 160), leaf(2, 170, 190)]),
        (200, vec![exit(210), switch(42, 220), entry(4, 230), switch(0, 300), leaf(5, 310, 320)]),
        (340, vec![Event::Lost { count: 3 }, module, switch(41, 380), leaf(1, 390, 399), Event::Ended { pid: 41 }]),
    ];
    let second =
        [(105, vec![leaf(2, 140, 145), switch(43, 240)]), (310, vec![switch(42, 330), exit(350), switch(0, 480)])];
    let stream = |chunks: &[(u64, Vec<Event>)]| {
        let blocks = (0u64..).zip(chunks).map(|(seq, (tsc, events))| {
            let (mut encoder, mut words) = (Encoder::new(*tsc), Vec::new());
            for &event in events {
                encoder.push(event, |word| words.push(word)).expect("it has a word");
            }
            let pid = if seq == 0 { 0 } else { 41 };
            Ok(Block { runs: vec![Run { seq, tsc: *tsc, lost: 0, pid, depth: 0, words: 0..words.len() }], words })
        });
        blocks.collect()
    };
    Memory { streams: vec![(0, stream(&first)), (1, stream(&second))] }
}

/// An index of that trace, as [`run`] wants it.
pub fn valid() -> Vec<u8> {
    let memory = trace();
    let mut notes = Notes::every(4);
    let mut levels = Levels::new(Timeline::default(), Some(0x8100_0005), None);
    let totals = pipeline::run(&memory, |pipeline| build_noting(pipeline, &mut levels, Some(&mut notes), |_| {}));
    levels.finish(totals.last, &totals.tasks);
    let mut bytes = Vec::new();
    wire::put(&Outline::new(notes, totals), &levels, &mut bytes);
    bytes
}
