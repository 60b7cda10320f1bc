// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Words that resemble a kernel's boot: nested calls of 4,700 functions with Zipf-like frequencies,
//! bodies that repeat with small variations, 72 % leaves, noisy times. In: a seed. Out: chunks. The
//! words are made by the reference encoder, as the guest would.

use early_ftrace_format::encode::Encoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::shared::{CHUNK_MAGIC, CHUNK_WORDS, ChunkHeader};

/// A small, fast, seeded generator (splitmix64): tests must repeat.
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// About a bell around `mean`, from `mean / 2` up, with now and then a far outlier.
    fn ticks(&mut self, mean: u64) -> u64 {
        let bell = (0..4).map(|_| self.below(mean / 4 + 1)).sum::<u64>();
        let outlier = if self.below(500) == 0 { self.below(mean * 20 + 1) } else { 0 };
        mean / 2 + bell + outlier
    }
}

/// What a guest fills the end of a closed chunk with: a pad word.
const PAD: u64 = 0x8000_000c;

const FUNCTIONS: u64 = 4_700;

/// A function's body: what it calls, and how long its own parts take.
struct Body {
    site: u64,
    calls: Vec<u32>,
    ticks: u64,
    leaf: bool,
}

/// Chunks of one CPU, without end.
pub struct Boot {
    random: Random,
    bodies: Vec<Body>,
    time: u64,
    seq: u64,
    words: Vec<u64>,
    chunks: Vec<(ChunkHeader, Vec<u64>)>,
    encoder: Encoder,
    opened: u64,
}

impl Boot {
    /// A boot of this seed.
    pub fn new(seed: u64) -> Boot {
        let mut random = Random(seed);
        let mut bodies: Vec<Body> = Vec::new();
        for index in 0..FUNCTIONS {
            let leaf = index < FUNCTIONS * 4 / 10;
            // Calls go to lower numbers only, so that every call ends; a few are called very often.
            let count = if leaf { 0 } else { 1 + random.below(6) };
            let calls = (0..count)
                .map(|_| {
                    let range = if random.below(100) < 56 { FUNCTIONS * 4 / 10 } else { index };
                    let unit = random.below(1 << 20) as f64 / f64::from(1 << 20);
                    ((range as f64).powf(unit) as u64).min(range - 1) as u32
                })
                .collect();
            let site = 0xffff_ffff_8100_0005 + random.below(14 << 16) * 16;
            bodies.push(Body { site, calls, ticks: 8 + random.below(120), leaf });
        }
        let time = 0x1_0000_0000;
        let encoder = Encoder::new(time);
        Boot { random, bodies, time, seq: 0, words: Vec::new(), chunks: Vec::new(), encoder, opened: time }
    }

    /// The next chunk.
    pub fn chunk(&mut self) -> (ChunkHeader, Vec<u64>) {
        while self.chunks.is_empty() {
            let root = FUNCTIONS - 1 - self.random.below(200);
            self.call(root as usize, 0);
            self.chunks.reverse();
        }
        self.chunks.pop().expect("the loop above left one")
    }

    fn push(&mut self, event: Event) {
        if self.words.len() + 3 > CHUNK_WORDS {
            let mut words = std::mem::take(&mut self.words);
            words.resize(CHUNK_WORDS, PAD);
            self.chunks.push((self.header(), words));
            self.seq += 1;
            self.opened = self.time;
            self.encoder = Encoder::new(self.time);
        }
        let words = &mut self.words;
        self.encoder.push(event, |word| words.push(word)).expect("all sites are in the kernel");
    }

    fn header(&self) -> ChunkHeader {
        ChunkHeader { magic: CHUNK_MAGIC, cpu: 0, seq: self.seq, tsc: self.opened, pid: 1, ..ChunkHeader::default() }
    }

    fn call(&mut self, index: usize, depth: usize) {
        let (site, ticks) = (self.bodies[index].site, self.bodies[index].ticks);
        self.time += self.random.ticks(ticks);
        let start = self.time;
        if self.bodies[index].leaf || depth > 20 {
            self.time += self.random.ticks(ticks);
            self.push(Event::Leaf { site, start, end: self.time });
            return;
        }
        self.push(Event::Entry { site, time: start });
        for nth in 0..self.bodies[index].calls.len() {
            let callee = self.bodies[index].calls[nth] as usize;
            // Most calls are always made; some depend on data, some are in a loop.
            let times = match self.random.below(20) {
                0 => 0,
                1 => 2 + self.random.below(6),
                _ => 1,
            };
            for _ in 0..times {
                self.call(callee, depth + 1);
            }
        }
        self.time += self.random.ticks(ticks);
        self.push(Event::Exit { time: self.time });
    }
}
