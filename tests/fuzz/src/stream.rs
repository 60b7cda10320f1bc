// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a guest sends. In: bytes, as a port's, and in pieces of 40 as hypercalls (number, four arguments). Out: a panic if
//! frames are not bounded.

use early_ftrace_format::shared::{CHUNK_WORDS, MAX_CPUS};
use early_ftrace_format::stream::Call;
use symbolizer::capture::stream::{Assembled, Assembler};

/// See the module.
pub fn run(bytes: &[u8]) {
    let mut port = Assembler::new();
    for piece in bytes.chunks(37) {
        port.push_bytes(piece);
        check(&mut port);
    }
    let mut calls = Assembler::new();
    for (index, piece) in bytes.chunks_exact(40).enumerate() {
        let word = |at: usize| u64::from_le_bytes(piece[8 * at..8 * at + 8].try_into().expect("eight bytes"));
        // Most numbers are none of ours: make some of them so.
        let Some(call) = Call::read(word(0)).or_else(|| Call::read(1000 + word(0) % 32)) else { continue };
        calls.push_call(index as u32 % 3, call, &[word(1), word(2), word(3), word(4)]);
        check(&mut calls);
    }
}

fn check(assembler: &mut Assembler) {
    while let Some(assembled) = assembler.next() {
        match assembled {
            Assembled::Header(header) => assert!((1..=MAX_CPUS).contains(&header.cpus)),
            Assembled::Chunk { cpu, header, words } => {
                assert!(cpu < MAX_CPUS && header.cpu == cpu && words.len() <= CHUNK_WORDS);
            }
            Assembled::Counters { cpu, .. } => assert!(cpu < MAX_CPUS),
        }
    }
    assert!(assembler.warnings().len() <= 20);
}
