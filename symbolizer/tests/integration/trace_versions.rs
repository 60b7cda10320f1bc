// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Traces of earlier programs must stay readable: `tests/data/trace-v1` was written once, and its
//! words must come out of it for ever. A change to the model or the columns that fails here needs a
//! new `TRACE_VERSION` (and a heading in the CHANGELOG), not a new golden.
//!
//! A golden for a new version is made by
//! `cargo test -p symbolizer --test integration -- --ignored bless_trace`.

use super::synthetic::{Boot, Random};
use early_ftrace_format::shared::ChunkHeader;
use std::path::{Path, PathBuf};
use symbolizer::trace_dir::meta::TRACE_VERSION;
use symbolizer::trace_dir::{Ended, Existing, Meta, TraceDir, TraceWriter};

/// CRC-32 of all words of the golden, little-endian, and how many there are.
const GOLDEN: [(u32, u32, usize); 1] = [(1, 0x9061_f2e8, 10_000)];

fn golden(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/trace-v{version}"))
}

fn checksum(dir: &Path) -> (u32, usize) {
    let trace = TraceDir::open(dir).unwrap();
    let cpu = &trace.cpus()[0];
    assert_eq!(cpu.gaps(), []);
    let mut crc = crc32fast::Hasher::new();
    let mut count = 0;
    for index in 0..cpu.blocks().len() {
        let words = cpu.read(index).unwrap().words;
        count += words.len();
        words.iter().for_each(|word| crc.update(&word.to_le_bytes()));
    }
    (crc.finalize(), count)
}

#[test]
fn traces_of_all_versions_give_the_words_that_were_put_in() {
    assert_eq!(GOLDEN.last().unwrap().0, TRACE_VERSION, "the newest version has no golden");
    for (version, crc, count) in GOLDEN {
        assert_eq!(checksum(&golden(version)), (crc, count), "version {version}");
    }
}

#[test]
#[ignore = "writes the golden of a new version"]
fn bless_trace() {
    let dir = golden(TRACE_VERSION);
    assert!(!dir.exists(), "{}: a golden is never replaced", dir.display());
    let mut meta = Meta { format_version: TRACE_VERSION, cpus: 1, tool: "golden".into(), ..Meta::default() };
    let mut writer = TraceWriter::create(&dir, &meta, Existing::Keep).unwrap();
    let (mut boot, mut random) = (Boot::new(21), Random(22));
    let mut crc = crc32fast::Hasher::new();
    let mut count = 0;
    for seq in 0..4 {
        let (_, mut words) = boot.chunk();
        words.truncate(2500);
        // Words of every kind, and values of every size, between the usual ones.
        for at in (0..words.len()).step_by(50) {
            words[at] = random.next() >> random.below(40);
        }
        let header =
            ChunkHeader { seq, tsc: random.next(), lost: seq, pid: 1 << 20, depth: 2, ..ChunkHeader::default() };
        writer.append_chunk(0, &header, &words).unwrap();
        count += words.len();
        words.iter().for_each(|word| crc.update(&word.to_le_bytes()));
        if seq == 2 {
            writer.flush().unwrap();
        }
    }
    meta.ended = Some(Ended::PowerOff);
    writer.finish(&mut meta).unwrap();
    let crc = crc.finalize();
    assert_eq!(checksum(&dir), (crc, count));
    println!("put ({TRACE_VERSION}, {crc:#010x}, {count}) into GOLDEN");
}
