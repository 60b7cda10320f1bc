// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The file of a CPU. In: the file, read once as it is and once with its checksums made right, so that
//! damage comes through to what lies behind them. Demanded: blocks as their headers say, or gaps; what
//! was read can be written and read again; all forms of the report, whatever the events are.

use symbolizer::calltree::aggregate::Aggregate;
use symbolizer::calltree::both::Both;
use symbolizer::calltree::filter::{Filter, Wanted};
use symbolizer::calltree::levels::Levels;
use symbolizer::calltree::overhead::build_without;
use symbolizer::calltree::overhead::costs::Costs;
use symbolizer::calltree::phases::Timeline;
use symbolizer::calltree::{self, Site};
use symbolizer::decode::pipeline;
use symbolizer::report::levels::Boot;
use symbolizer::report::model::{Sort, Sources};
use symbolizer::report::names::{Coverage, Named, Origin};
use symbolizer::report::units::Clock;
use symbolizer::report::{Report, tree};
use symbolizer::resolve::Slide;
use symbolizer::trace_dir::block::{self, BlockEncoder, BlockHeader, HEADER_SIZE, MAGIC};
use symbolizer::trace_dir::{Block, TraceDir};
use zerocopy::{FromBytes, IntoBytes};

use super::{meta, repaired, scratch, shown};

/// Reads and reports the file.
pub fn run(data: &[u8]) {
    repaired::twice(data, repair, read);
}

/// Makes the checksums right, block by block; whether that changed anything.
fn repair(data: &mut [u8]) -> bool {
    let (mut at, mut changed) = (0, false);
    while let Some(Ok(mut header)) = data.get(at..at + HEADER_SIZE).map(BlockHeader::read_from_bytes) {
        let start = at + HEADER_SIZE;
        let Some(payload) = data.get(start..start + header.payload_size as usize) else { break };
        let before = header;
        header.magic = MAGIC;
        header.payload_crc = crc32fast::hash(payload);
        header.header_crc = crc32fast::hash(&header.as_bytes()[..HEADER_SIZE - 4]);
        changed |= header != before;
        at = start + payload.len();
        data[start - HEADER_SIZE..start].copy_from_slice(header.as_bytes());
    }
    changed
}

fn read(data: &[u8]) {
    let dir = scratch::directory();
    meta::directory_of(dir.path(), data);
    let trace = TraceDir::open(dir.path()).expect("damage inside a file is a gap, not an error");
    let file = &trace.cpus()[0];
    let mut end = 0;
    for (index, info) in file.blocks().iter().enumerate() {
        assert!(info.offset >= end && info.offset + info.size <= data.len() as u64, "{info:?}");
        end = info.offset + info.size;
        match file.read(index) {
            Ok(block) => {
                assert_eq!((block.runs.len() as u64, block.words.len() as u64), (info.runs, info.words));
                write_again(&block);
            }
            Err(gap) => assert!(!gap.reason.is_empty() && gap.offset == info.offset, "{gap:?}"),
        }
    }
    report(&trace);
    correct(&trace);
}

/// Costs that the file claims, and made-up ones, subtracted from whatever its events are.
fn correct(trace: &TraceDir) {
    let made_up = Costs { before_entry: 9, after_entry: 1 << 20, entry_word: -77, ..Costs::default() };
    for costs in [Costs::read(trace).unwrap_or_default(), made_up] {
        let mut levels = Levels::new(Timeline::default(), None, None);
        let (totals, subtracted) =
            pipeline::run(trace, |pipeline| build_without(pipeline, Some(costs), &mut levels, |_| {}));
        levels.finish(totals.last, &totals.tasks);
        let subtracted = subtracted.expect("costs were given");
        assert!(subtracted.sums.busy <= subtracted.sums.ticks, "{subtracted:?}");
        assert!(totals.first <= totals.last, "{} to {}", totals.first, totals.last);
    }
}

fn write_again(block: &Block) {
    // What the guest cannot write, no block may hold: sequence numbers and times are as they are.
    let mut encoder = BlockEncoder::new().expect("memory");
    let (header, payload) = encoder.encode(0, 0, block).expect("memory");
    assert_eq!(block::decode(&header, &payload).as_ref(), Ok(block));
}

/// All forms of the report of a trace.
pub fn report(trace: &TraceDir) {
    let nameless = |_: Site<'_>| "f".to_owned();
    let mut aggregate = Aggregate::new(Filter::new(Wanted::default(), &nameless));
    let mut levels = Levels::new(Timeline::new(Vec::new()), None, None);
    let totals =
        pipeline::run(trace, |pipeline| calltree::build(pipeline, &mut Both(&mut aggregate, &mut levels), |_| {}));
    levels.finish(totals.last, &totals.tasks);
    let functions = totals.functions().map(named).collect();
    let report = Report::new(
        Sources {
            meta: trace.meta(),
            build_id: None,
            slide: Slide::default(),
            totals: &totals,
            aggregate: &aggregate,
            named: functions,
            coverage: Coverage::default(),
            nameless: Vec::new(),
            boot: Boot::default(),
        },
        Sort::Total,
        None,
    );
    shown::report(&report);
    let mut out = Vec::new();
    let options = tree::Options { clock: Clock::new(Some(1)), lines: true, colours: false };
    let mut tree = tree::Tree::new(&mut out, options, Filter::new(Wanted::default(), &nameless), &named);
    pipeline::run(trace, |pipeline| calltree::build(pipeline, &mut tree, |_| {}));
    tree.finish().expect("memory takes all");
    shown::check(&out);
}

fn named(site: Site<'_>) -> Named {
    let site = site.address;
    let file = Some("mm/slub.c".to_owned());
    let name = format!("f{site:x}");
    Named { name, address: site, site, aliases: 0, file, line: Some(1), origin: Origin::Symbol, module: None }
}
