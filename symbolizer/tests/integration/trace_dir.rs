// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The trace directory from outside: what goes in comes out, whatever it is; damage is a gap and
//! never a wrong word; refusals say why.

use super::synthetic::{Boot, Random};
use early_ftrace_format::shared::ChunkHeader;
use early_ftrace_format::word::Kind;
use early_ftrace_format::word::control;
use proptest::prelude::*;
use std::path::Path;
use symbolizer::trace_dir::block::{self, BlockEncoder};
use symbolizer::trace_dir::{Block, Ended, Existing, Meta, Run, TraceDir, TraceError, TraceWriter};

fn meta(cpus: u32) -> Meta {
    Meta { format_version: 1, cpus, ..Meta::default() }
}

fn header(seq: u64, tsc: u64) -> ChunkHeader {
    ChunkHeader { seq, tsc, lost: seq % 3, pid: 70_000, depth: 3, ..ChunkHeader::default() }
}

fn write(dir: &Path, chunks: &[(ChunkHeader, Vec<u64>)]) {
    let mut meta = meta(1);
    let mut writer = TraceWriter::create(dir, &meta, Existing::Replace).unwrap();
    for (header, words) in chunks {
        writer.append_chunk(0, header, words).unwrap();
    }
    meta.ended = Some(Ended::PowerOff);
    writer.finish(&mut meta).unwrap();
}

/// All chunks of CPU 0, and the number of gaps.
fn read(dir: &Path) -> (Vec<(ChunkHeader, Vec<u64>)>, usize) {
    let trace = TraceDir::open(dir).unwrap();
    let cpu = &trace.cpus()[0];
    let mut gaps = cpu.gaps().len();
    let mut chunks = Vec::new();
    for (index, info) in cpu.blocks().iter().enumerate() {
        match cpu.read(index) {
            Ok(block) => {
                assert_eq!(block.words.len() as u64, info.words);
                for run in block.runs {
                    let mut header = header(run.seq, run.tsc);
                    (header.lost, header.pid, header.depth) = (run.lost, run.pid, run.depth);
                    chunks.push((header, block.words[run.words].to_vec()));
                }
            }
            Err(_) => gaps += 1,
        }
    }
    (chunks, gaps)
}

#[test]
fn a_boot_comes_back_word_for_word() {
    let dir = tempfile::tempdir().unwrap();
    let mut boot = Boot::new(1);
    let chunks: Vec<_> = (0..40).map(|_| boot.chunk()).collect();
    let plain: Vec<_> = chunks.iter().map(|(h, w)| (ChunkHeader { magic: 0, ..*h }, w.clone())).collect();
    write(dir.path(), &chunks);
    let (back, gaps) = read(dir.path());
    assert_eq!(gaps, 0);
    assert!(back == plain, "the words changed");
    let trace = TraceDir::open(dir.path()).unwrap();
    assert_eq!(trace.meta().ended, Some(Ended::PowerOff));
    let info: Vec<_> = trace.cpus()[0].blocks().to_vec();
    assert_eq!(info.len(), 3);
    assert!(info.windows(2).all(|pair| pair[0].last_tsc <= pair[1].first_tsc));
    let events: u64 = info.iter().map(|block| block.events).sum();
    assert_eq!(trace.meta().totals.events, events);
    assert!(trace.meta().totals.bytes < events * 3 / 2, "{} bytes, {events} events", trace.meta().totals.bytes);
}

#[test]
fn lost_events_are_counted_from_headers_and_words() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[(header(2, 100), vec![control(Kind::Lost, 0, 40), control(Kind::Exit, 0, 120)])]);
    let trace = TraceDir::open(dir.path()).unwrap();
    let block = trace.cpus()[0].blocks()[0];
    assert_eq!((block.lost, block.events, block.words, block.runs), (42, 1, 2, 1));
    assert_eq!((block.first_tsc, block.last_tsc), (100, 120));
    assert_eq!(trace.meta().totals.lost, 42);
}

/// Words of all kinds, likely and unlikely ones.
fn any_word() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (any::<u32>(), 0u64..8).prop_map(|(high, site)| u64::from(high) << 32 | (0x8100_0005 + site * 16)),
        any::<u32>().prop_map(|time| control(Kind::Exit, 0, time)),
        (any::<u32>(), 0u8..16, 0u16..4)
            .prop_map(|(data, kind, arg)| u64::from(data) << 32 | 0x8000_0000 | u64::from(arg) << 8 | u64::from(kind)),
        Just(0),
        Just(u64::MAX),
    ]
}

fn any_chunk() -> impl Strategy<Value = (ChunkHeader, Vec<u64>)> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>());
    (numbers, prop::collection::vec(any_word(), 0..300)).prop_map(|((seq, tsc, lost, pid, depth), words)| {
        (ChunkHeader { seq, tsc, lost, pid, depth, ..ChunkHeader::default() }, words)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// A checksum is no proof against malice: whatever is in a payload, reading it ends.
    #[test]
    fn a_payload_with_a_right_checksum_and_wrong_bytes_does_no_harm(
        chunk in prop::collection::vec(any_word(), 1..200),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        words in prop_oneof![Just(None), (0..block::MAX_WORDS).prop_map(Some)],
    ) {
        let run = Run { seq: 0, tsc: 9, lost: 0, pid: 1, depth: 0, words: 0..chunk.len() };
        let whole = Block { runs: vec![run], words: chunk };
        let (mut header, mut payload) = BlockEncoder::new().unwrap().encode(0, 0, &whole).unwrap();
        for (index, value) in flips {
            *index.get_mut(&mut payload) = value;
        }
        header.words = words.unwrap_or(header.words);
        header.payload_crc = crc32fast::hash(&payload);
        if let Ok(back) = block::decode(&header, &payload) {
            prop_assert_eq!(back.words.len(), header.words as usize);
        }
    }

    #[test]
    fn any_words_come_back(chunks in prop::collection::vec(any_chunk(), 0..8)) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &chunks);
        let (back, gaps) = read(dir.path());
        prop_assert_eq!(gaps, 0);
        prop_assert_eq!(back, chunks);
    }
}

/// Three small blocks in one file.
fn small_trace(dir: &Path) -> Vec<(ChunkHeader, Vec<u64>)> {
    let mut meta = meta(1);
    let mut writer = TraceWriter::create(dir, &meta, Existing::Replace).unwrap();
    let mut boot = Boot::new(7);
    let mut chunks = Vec::new();
    for seq in 0..3 {
        let (_, mut words) = boot.chunk();
        words.truncate(60);
        let header = header(seq, 0x1_0000_0000 + seq);
        writer.append_chunk(0, &header, &words).unwrap();
        writer.flush().unwrap();
        chunks.push((header, words));
    }
    writer.finish(&mut meta).unwrap();
    chunks
}

#[test]
fn a_file_cut_anywhere_gives_whole_blocks_or_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let chunks = small_trace(dir.path());
    let path = dir.path().join("cpu0.eft");
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let (back, gaps) = read(dir.path());
        assert_eq!(back, chunks[..back.len()], "cut at {length}");
        // Between two blocks, too: meta.json knows that there was more.
        assert_eq!(gaps, 1, "cut at {length}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_a_gap_and_no_wrong_word() {
    let dir = tempfile::tempdir().unwrap();
    let chunks = small_trace(dir.path());
    let path = dir.path().join("cpu0.eft");
    let whole = std::fs::read(&path).unwrap();
    let mut random = Random(3);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << random.below(8);
        std::fs::write(&path, &damaged).unwrap();
        let (back, gaps) = read(dir.path());
        assert!(gaps > 0, "flip at {at}");
        assert_eq!(back.len(), 2, "flip at {at}");
        assert!(back.iter().all(|chunk| chunks.contains(chunk)), "flip at {at}");
    }
}

#[test]
fn garbage_between_blocks_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let chunks = small_trace(dir.path());
    let path = dir.path().join("cpu0.eft");
    let whole = std::fs::read(&path).unwrap();
    let second = TraceDir::open(dir.path()).unwrap().cpus()[0].blocks()[1].offset as usize;
    let mut random = Random(9);
    let mut garbage: Vec<u8> = (0..200_000).map(|_| random.next() as u8).collect();
    garbage.extend(b"eftBlock");
    let damaged = [&whole[..second], &garbage, &whole[second..]].concat();
    std::fs::write(&path, damaged).unwrap();
    assert_eq!(read(dir.path()), (chunks, 1));
}

#[test]
fn a_missing_block_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let chunks = small_trace(dir.path());
    let path = dir.path().join("cpu0.eft");
    let whole = std::fs::read(&path).unwrap();
    let blocks = TraceDir::open(dir.path()).unwrap().cpus()[0].blocks().to_vec();
    let without = [&whole[..blocks[1].offset as usize], &whole[blocks[2].offset as usize..]].concat();
    std::fs::write(&path, without).unwrap();
    assert_eq!(read(dir.path()), (vec![chunks[0].clone(), chunks[2].clone()], 1));
}

#[test]
fn what_is_no_trace_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let error = |path: &Path| TraceDir::open(path).err().unwrap().to_string();
    assert!(error(&dir.path().join("none")).contains("no such directory"));
    assert!(error(dir.path()).contains("the directory is empty"));
    std::fs::write(dir.path().join("notes"), "mine").unwrap();
    assert!(error(dir.path()).contains("it has no meta.json"));
    assert!(error(&dir.path().join("notes")).contains("not a directory"));
    assert!(matches!(TraceWriter::create(dir.path(), &meta(1), Existing::Replace), Err(TraceError::NotOurs(_))));
    std::fs::write(dir.path().join("meta.json"), "{\"format_version\": 9}").unwrap();
    let newer = error(dir.path());
    assert!(newer.contains("version 9") && newer.contains("up to 1"), "{newer}");
    std::fs::write(dir.path().join("meta.json"), "{\"format_version\": 1,\n").unwrap();
    assert!(error(dir.path()).contains("line 2"));
    std::fs::write(dir.path().join("meta.json"), "{\"format_version\": 1, \"cpus\": 2}").unwrap();
    assert!(error(dir.path()).contains("cpu0.eft: missing"));
}

#[test]
fn a_trace_is_replaced_only_when_told_and_notes_beside_it_stay() {
    let dir = tempfile::tempdir().unwrap();
    small_trace(dir.path());
    std::fs::write(dir.path().join("notes"), "mine").unwrap();
    assert!(matches!(TraceWriter::create(dir.path(), &meta(1), Existing::Keep), Err(TraceError::Exists(_))));
    assert_eq!(TraceDir::open(dir.path()).unwrap().cpus()[0].blocks().len(), 3);
    drop(TraceWriter::create(dir.path(), &meta(1), Existing::Replace).unwrap());
    assert_eq!(TraceDir::open(dir.path()).unwrap().cpus()[0].blocks().len(), 0);
    assert!(dir.path().join("notes").exists());
}

#[test]
fn a_recorder_that_is_killed_leaves_a_trace_without_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = TraceWriter::create(dir.path(), &meta(2), Existing::Keep).unwrap();
    writer.append_chunk(1, &header(0, 5), &[control(Kind::Exit, 0, 9)]).unwrap();
    writer.flush().unwrap();
    std::mem::forget(writer);
    let trace = TraceDir::open(dir.path()).unwrap();
    assert_eq!(trace.meta().ended, None);
    assert_eq!(trace.cpus()[1].read(0).unwrap().words.len(), 1);
}
