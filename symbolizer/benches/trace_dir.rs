// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Measures the trace blocks: bytes per event, events per second of writing and reading, one thread.
//! `cargo bench -p symbolizer --bench trace_dir [TRACE]`: synthetic data, or a real trace re-encoded.

#[path = "../tests/integration/synthetic.rs"]
mod synthetic;

use rustix::time::{ClockId, clock_gettime};
use std::path::Path;
use symbolizer::trace_dir::block::{self, BlockEncoder, Tally};
use symbolizer::trace_dir::{Block, Run, TraceDir};

const BLOCKS: usize = 40;

/// CPU time, not wall time: other work on the machine shall not count.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn made() -> Vec<Block> {
    let mut boot = synthetic::Boot::new(1);
    let mut block = || {
        let mut block = Block::default();
        for _ in 0..16 {
            let (header, words) = boot.chunk();
            let start = block.words.len();
            block.words.extend(words);
            let words = start..block.words.len();
            block.runs.push(Run { seq: header.seq, tsc: header.tsc, lost: 0, pid: 1, depth: 0, words });
        }
        block
    };
    (0..BLOCKS).map(|_| block()).collect()
}

fn recorded(path: &Path) -> Vec<Block> {
    let trace = TraceDir::open(path).expect("a trace");
    let cpus = trace.cpus().iter();
    cpus.flat_map(|cpu| (0..cpu.blocks().len()).filter_map(|index| cpu.read(index).ok())).collect()
}

fn main() {
    let path = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let blocks = path.map_or_else(made, |path| recorded(Path::new(&path)));
    let words: usize = blocks.iter().map(|block| block.words.len()).sum();
    let events: u64 = blocks.iter().map(|block| Tally::of(&block.words).events).sum();

    let mut encoder = BlockEncoder::new().expect("zstd has memory");
    let start = cpu_seconds();
    let packed: Vec<_> = blocks.iter().map(|block| encoder.encode(0, 0, block).expect("zstd works")).collect();
    let encoding = cpu_seconds() - start;
    let bytes: usize = packed.iter().map(|(_, payload)| block::HEADER_SIZE + payload.len()).sum();

    let start = cpu_seconds();
    let mut same = true;
    for ((header, payload), block) in packed.iter().zip(&blocks) {
        let back = block::decode(header, payload).expect("what was encoded decodes");
        same &= back.words == block.words;
    }
    let decoding = cpu_seconds() - start;
    assert!(same, "blocks came back changed");

    let rate = |seconds: f64| events as f64 / seconds / 1e6;
    println!("{events} events in {words} words, {} blocks", blocks.len());
    println!("{:.3} bytes/event ({:.3} bytes/word)", bytes as f64 / events as f64, bytes as f64 / words as f64);
    println!("encode {:.1} M events/s, decode {:.1} M events/s", rate(encoding), rate(decoding));
    for (name, size) in block::sizes(&packed) {
        println!("  {name:<10} {:.4} bytes/event", size as f64 / events as f64);
    }
}
