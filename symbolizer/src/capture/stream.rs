// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Frames from what a guest has sent: hypercalls, or the bytes of a port. In: the words as they come
//! (`early_ftrace_format::stream` has the frames). Out: headers, chunks, counters; what was wrong, as warnings.
//! Never here: where the words come from; what a chunk's words mean; files (`recorder` writes them).
//!
//! The guest is hostile: no frame grows beyond [`LARGEST`] words, each source has one at a time, a CPU and a count are
//! checked before anything is kept. What may still be asked of the caller: to take what is done ([`Assembler::next`])
//! after each push, and to give only those hypercalls that come from the guest's own instruction ([`Recorder`] does).

mod recorder;

pub use recorder::{Recorder, described, refused};

use early_ftrace_format::FORMAT_VERSION;
use early_ftrace_format::shared::{
    CHUNK_MAGIC, CHUNK_SIZE, CHUNK_WORDS, ChunkHeader, CpuControl, Header, MAGIC, MAX_CPUS,
};
use early_ftrace_format::stream::{Call, FrameKind, Head, MAGIC as FRAME_MAGIC, MOST_WORDS};
use std::collections::{HashMap, VecDeque};
use zerocopy::{FromBytes, IntoBytes};

/// Words of the largest frame, behind its head: a whole chunk.
pub const LARGEST: usize = CHUNK_SIZE as usize / 8;

/// Most sources (vCPUs) that are told apart.
const MOST_SOURCES: usize = MAX_CPUS as usize;

/// Most warnings that are kept.
const WARNINGS: usize = 20;

const HEADER_WORDS: usize = size_of::<Header>() / 8;
const CHUNK_HEADER_WORDS: usize = size_of::<ChunkHeader>() / 8;
const CONTROL_WORDS: usize = size_of::<CpuControl>() / 8;

const _: () = assert!(size_of::<Header>().is_multiple_of(8) && LARGEST == CHUNK_HEADER_WORDS + CHUNK_WORDS);

/// A whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assembled {
    /// The guest's header: of this version, with a possible number of CPUs; else not checked.
    Header(Box<Header>),
    /// A closed chunk.
    Chunk {
        /// The CPU, less than [`MAX_CPUS`].
        cpu: u32,
        /// Its header: magic and CPU are right.
        header: ChunkHeader,
        /// Its words, at most [`CHUNK_WORDS`].
        words: Vec<u64>,
    },
    /// A CPU's counters.
    Counters {
        /// The CPU, less than [`MAX_CPUS`].
        cpu: u32,
        /// What it has counted.
        control: Box<CpuControl>,
    },
}

/// A frame of which words are missing yet.
struct Partial {
    head: Head,
    words: Vec<u64>,
}

/// Puts frames together.
pub struct Assembler {
    partial: HashMap<u32, Partial>,
    /// Bytes of the port that are no whole word or frame yet.
    bytes: Vec<u8>,
    /// How many of the bytes behind a head that waits for more are known to begin no other frame.
    searched: usize,
    /// Whether the bytes before these were no frame.
    astray: bool,
    /// Number of each CPU's next frame.
    numbers: HashMap<u16, u8>,
    done: VecDeque<Assembled>,
    warnings: Vec<String>,
    dropped: u64,
    strange: u64,
}

impl Default for Assembler {
    fn default() -> Assembler {
        Assembler::new()
    }
}

impl Assembler {
    /// With nothing yet.
    pub fn new() -> Assembler {
        Assembler {
            partial: HashMap::new(),
            bytes: Vec::new(),
            searched: 0,
            astray: false,
            numbers: HashMap::new(),
            done: VecDeque::new(),
            warnings: Vec::new(),
            dropped: 0,
            strange: 0,
        }
    }

    /// Takes a hypercall of `source`, a vCPU.
    pub fn push_call(&mut self, source: u32, call: Call, args: &[u64; 4]) {
        let words = &args[..usize::from(call.words).clamp(1, MOST_WORDS)];
        if call.first {
            if let Some(old) = self.partial.remove(&source) {
                self.cut(&old);
            }
            let Some(head) = Head::read(words[0]).filter(|head| plausible(*head)) else {
                return self.drop_frame(format!("a hypercall of vCPU {source} begins no frame"));
            };
            if self.partial.len() >= MOST_SOURCES {
                return self.drop_frame(format!("more than {MOST_SOURCES} vCPUs send at once"));
            }
            let partial = Partial { head, words: Vec::with_capacity(usize::from(head.count)) };
            self.partial.insert(source, partial);
            self.extend(source, &words[1..]);
        } else if self.partial.contains_key(&source) {
            self.extend(source, words);
        } else {
            // The rest of a frame whose beginning is gone: that was counted, or comes before the recording.
            self.strange += 1;
        }
    }

    fn extend(&mut self, source: u32, words: &[u64]) {
        let Some(partial) = self.partial.get_mut(&source) else { return };
        let missing = usize::from(partial.head.count) - partial.words.len();
        if words.len() > missing {
            let head = partial.head;
            self.partial.remove(&source);
            self.expect(head);
            return self.drop_frame(format!("CPU {}: a frame has more words than its head says", head.cpu));
        }
        partial.words.extend_from_slice(words);
        if words.len() == missing
            && let Some(whole) = self.partial.remove(&source)
        {
            self.complete(whole.head, whole.words);
        }
    }

    /// Hypercalls were lost here: what comes next may be the rest of another frame than of the one that has begun.
    pub fn lost(&mut self) {
        for (_, partial) in std::mem::take(&mut self.partial) {
            self.cut(&partial);
        }
    }

    fn cut(&mut self, partial: &Partial) {
        let Partial { head, words } = partial;
        self.expect(*head);
        self.drop_frame(format!("CPU {}: a frame breaks off after {} words", head.cpu, words.len()));
    }

    /// Takes bytes of a port. What is between frames is passed over.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        // In pieces: what is kept stays below a frame and a piece.
        for piece in bytes.chunks(LARGEST * 8) {
            self.bytes.extend_from_slice(piece);
            let mut at = 0;
            while let Some(taken) = self.scan(at) {
                at += taken;
            }
            self.bytes.drain(..at);
        }
    }

    /// How many bytes at `at` are done with; none if more must come first.
    fn scan(&mut self, at: usize) -> Option<usize> {
        let word = |index: usize| {
            let bytes = self.bytes.get(at + 8 * index..at + 8 * index + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let first = word(0)?;
        let Some(head) = Head::read(first).filter(|head| plausible(*head)) else { return Some(self.stray()) };
        // The second word tells a frame from words that look like a head.
        if second(head).is_some_and(|second| Some(second) != word(1)) {
            word(1)?;
            return Some(self.stray());
        }
        let size = 8 * (1 + usize::from(head.count));
        // Who was stopped while it sent, or had the port taken from it, has left a head without all of its words: others
        // would be taken for them.
        let from = at + self.searched.max(8);
        let behind = self.bytes.get(from..self.bytes.len().min(at + size + 15)).unwrap_or_default();
        if let Some(next) = begin(behind) {
            self.searched = 0;
            self.expect(head);
            self.drop_frame(format!("CPU {}: a frame is cut off by the next", head.cpu));
            return Some(from - at + next);
        }
        self.searched = (from - at + behind.len()).saturating_sub(15).max(8);
        let words: Vec<u64> = self
            .bytes
            .get(at + 8..at + size)?
            .chunks_exact(8)
            .map(|bytes| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)))
            .collect();
        (self.astray, self.searched) = (false, 0);
        self.complete(head, words);
        Some(size)
    }

    fn stray(&mut self) -> usize {
        if !self.astray {
            self.drop_frame("the bytes of the port do not follow each other as frames".into());
        }
        self.astray = true;
        self.strange += 1;
        1
    }

    /// A frame has come, whole or not: those that should have come before it are missing. The first has number 0.
    fn expect(&mut self, head: Head) {
        let expected = self.numbers.insert(head.cpu, head.number.wrapping_add(1)).unwrap_or(0);
        let missing = head.number.wrapping_sub(expected);
        if missing > 0 {
            self.dropped += u64::from(missing);
            self.warn(format!("CPU {}: {missing} frames did not come before frame {}", head.cpu, head.number));
        }
    }

    /// A frame with all its words.
    fn complete(&mut self, head: Head, mut words: Vec<u64>) {
        self.expect(head);
        let cpu = u32::from(head.cpu);
        let assembled = match head.kind {
            FrameKind::Header => Header::read_from_bytes(words.as_bytes())
                .ok()
                .filter(is_ours)
                .map(|header| Assembled::Header(Box::new(header))),
            FrameKind::Chunk => {
                let header = words
                    .get(..CHUNK_HEADER_WORDS)
                    .and_then(|words| ChunkHeader::read_from_bytes(words.as_bytes()).ok());
                words.drain(..CHUNK_HEADER_WORDS.min(words.len()));
                header
                    .filter(|header| header.magic == CHUNK_MAGIC && header.cpu == cpu)
                    .map(|header| Assembled::Chunk { cpu, header, words })
            }
            FrameKind::Counters => CpuControl::read_from_bytes(words.as_bytes())
                .ok()
                .map(|control| Assembled::Counters { cpu, control: Box::new(control) }),
        };
        match assembled {
            Some(assembled) => self.done.push_back(assembled),
            None => self.drop_frame(format!("CPU {cpu}: a frame of kind {:?} makes no sense", head.kind)),
        }
    }

    /// What is done, in the order that it came.
    #[expect(clippy::should_implement_trait, reason = "more may come after the last: it does not end")]
    pub fn next(&mut self) -> Option<Assembled> {
        self.done.pop_front()
    }

    /// What was wrong so far: the first of it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Frames that are missing or damaged.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Hypercalls and bytes that belong to no frame.
    pub fn strange(&self) -> u64 {
        self.strange
    }

    fn drop_frame(&mut self, text: String) {
        self.dropped += 1;
        self.warn(text);
    }

    fn warn(&mut self, text: String) {
        if self.warnings.len() < WARNINGS {
            self.warnings.push(text);
        }
    }
}

/// Whether a frame of this head can be.
fn plausible(head: Head) -> bool {
    let count = usize::from(head.count);
    let fits = match head.kind {
        FrameKind::Header => count == HEADER_WORDS,
        FrameKind::Chunk => (CHUNK_HEADER_WORDS..=LARGEST).contains(&count),
        FrameKind::Counters => count == CONTROL_WORDS,
    };
    fits && u32::from(head.cpu) < MAX_CPUS
}

/// The word behind a head, where it says that this is one.
fn second(head: Head) -> Option<u64> {
    match head.kind {
        FrameKind::Header => Some(MAGIC),
        FrameKind::Chunk => Some(u64::from(CHUNK_MAGIC) | u64::from(head.cpu) << 32),
        FrameKind::Counters => None,
    }
}

/// Where in these bytes a frame begins that its second word tells.
fn begin(bytes: &[u8]) -> Option<usize> {
    let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let magic = FRAME_MAGIC.to_le_bytes();
    memchr::memmem::find_iter(bytes, &magic).filter_map(|at| at.checked_sub(6)).find(|&at| {
        let head = word(at).and_then(Head::read).filter(|head| plausible(*head));
        head.and_then(second).is_some_and(|second| word(at + 8) == Some(second))
    })
}

/// Whether a header is one that this program reads.
fn is_ours(header: &Header) -> bool {
    let sized = header.header_size as usize == size_of::<Header>() && (1..=MAX_CPUS).contains(&header.cpus);
    header.magic == MAGIC && header.version == FORMAT_VERSION && sized
}

// A head is told from event words by its upper 16 bits.
const _: () = assert!(FRAME_MAGIC != 0);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zerocopy::FromZeros;

    /// A frame of a CPU, as a guest sends it.
    fn frame(kind: FrameKind, cpu: u16, number: u8, words: &[u64]) -> Vec<u64> {
        let head = Head { kind, number, cpu, count: words.len() as u16 };
        [&[head.word()], words].concat()
    }

    fn chunk(cpu: u16, number: u8, words: &[u64]) -> Vec<u64> {
        let header = ChunkHeader {
            magic: CHUNK_MAGIC,
            cpu: cpu.into(),
            seq: number.into(),
            tsc: 1000 + u64::from(number),
            ..ChunkHeader::default()
        };
        let mut all = vec![0; CHUNK_HEADER_WORDS];
        all.as_mut_bytes().copy_from_slice(header.as_bytes());
        all.extend_from_slice(words);
        frame(FrameKind::Chunk, cpu, number, &all)
    }

    fn header() -> Vec<u64> {
        let mut header = Header::new_zeroed();
        (header.magic, header.version, header.cpus) = (MAGIC, FORMAT_VERSION, 4);
        header.header_size = size_of::<Header>() as u32;
        let mut words = vec![0; HEADER_WORDS];
        words.as_mut_bytes().copy_from_slice(header.as_bytes());
        words
    }

    /// A frame as hypercalls of `pack` words.
    fn calls(frame: &[u64], pack: usize) -> Vec<(Call, [u64; 4])> {
        let call = |(index, words): (usize, &[u64])| {
            let mut args = [0; 4];
            args[..words.len()].copy_from_slice(words);
            (Call { level: 0, first: index == 0, words: words.len() as u8 }, args)
        };
        frame.chunks(pack).enumerate().map(call).collect()
    }

    fn taken(assembler: &mut Assembler) -> Vec<Assembled> {
        std::iter::from_fn(|| assembler.next()).collect()
    }

    fn words_of(assembled: &[Assembled]) -> Vec<(u32, u64, Vec<u64>)> {
        let words = |one: &Assembled| match one {
            Assembled::Chunk { cpu, header, words } => Some((*cpu, header.seq, words.clone())),
            _ => None,
        };
        assembled.iter().filter_map(words).collect()
    }

    #[test]
    fn a_header_and_counters_come_as_they_were_sent() {
        let mut assembler = Assembler::new();
        for (call, args) in calls(&frame(FrameKind::Header, 0, 0, &header()), 4) {
            assembler.push_call(0, call, &args);
        }
        let mut control = vec![0; CONTROL_WORDS];
        control[2] = 7;
        for (call, args) in calls(&frame(FrameKind::Counters, 3, 0, &control), 3) {
            assembler.push_call(3, call, &args);
        }
        let got = taken(&mut assembler);
        assert!(matches!(&got[0], Assembled::Header(header) if header.cpus == 4), "{got:?}");
        assert!(matches!(&got[1], Assembled::Counters { cpu: 3, control } if control.lost == 7), "{got:?}");
        assert_eq!((assembler.dropped(), assembler.strange()), (0, 0));
    }

    #[test]
    fn frames_in_the_port_are_found_behind_other_bytes() {
        let mut bytes = b"SeaBIOS says hello\n".to_vec();
        let torn = chunk(0, 0, &[1, 2, 3]);
        bytes.extend_from_slice(&torn.as_bytes()[..20]);
        bytes.extend_from_slice(chunk(1, 5, &[4, 5]).as_bytes());
        bytes.extend_from_slice(chunk(1, 6, &[6]).as_bytes());
        let mut assembler = Assembler::new();
        for byte in bytes {
            assembler.push_bytes(&[byte]);
        }
        let got = words_of(&taken(&mut assembler));
        assert_eq!(got, [(1, 5, vec![4, 5]), (1, 6, vec![6])]);
        assert!(assembler.dropped() > 0 && !assembler.warnings().is_empty());
    }

    #[test]
    fn a_frame_of_the_port_that_is_cut_off_takes_none_of_the_next_ones() {
        let torn = chunk(0, 0, &(1..500).collect::<Vec<_>>());
        // The next ones have more words than are missing, or fewer; whole words or not.
        for (kept, next) in [(100, 3), (100, 700), (8 * 30 + 5, 3), (8 * 400, 2000), (16, 1)] {
            let mut assembler = Assembler::new();
            let words: Vec<u64> = (0..next).map(|word| word << 40 | 7).collect();
            for piece in [&torn.as_bytes()[..kept], chunk(1, 0, &words).as_bytes(), chunk(0, 1, &[3]).as_bytes()] {
                for half in [&piece[..piece.len() / 2], &piece[piece.len() / 2..]] {
                    assembler.push_bytes(half);
                }
            }
            assert_eq!(words_of(&taken(&mut assembler)), [(1, 0, words), (0, 1, vec![3])], "{kept} {next}");
            assert_eq!(assembler.dropped(), 1, "{:?}", assembler.warnings());
        }
    }

    #[test]
    fn the_rest_of_a_frame_is_not_taken_for_that_of_one_before() {
        let (a, b) = (calls(&chunk(0, 0, &[1, 2, 3, 4]), 1), calls(&chunk(0, 1, &[5, 6, 7, 8]), 1));
        let mut assembler = Assembler::new();
        for (call, args) in &a[..a.len() - 2] {
            assembler.push_call(0, *call, args);
        }
        // The end of one and the beginning of the other are lost, and the host says so.
        assembler.lost();
        for (call, args) in &b[b.len() - 2..] {
            assembler.push_call(0, *call, args);
        }
        assert_eq!(taken(&mut assembler), []);
        assert_eq!((assembler.dropped(), assembler.strange()), (1, 2), "{:?}", assembler.warnings());
    }

    #[test]
    fn a_gap_in_the_numbers_is_counted() {
        let mut assembler = Assembler::new();
        for number in [254, 255, 2] {
            assembler.push_bytes(chunk(2, number, &[9]).as_bytes());
        }
        assert_eq!(words_of(&taken(&mut assembler)).len(), 3);
        assert_eq!(assembler.dropped(), 254 + 2);
        assert!(assembler.warnings()[0].contains("254 frames"), "{:?}", assembler.warnings());
        assert!(assembler.warnings()[1].contains("2 frames"), "{:?}", assembler.warnings());
    }

    proptest! {
        /// Whatever the order in which vCPUs come, however words are packed, and whichever hypercalls in a row are lost,
        /// of which the host tells: what is taken for whole is whole, and if none is lost nothing is missing.
        #[test]
        fn interleaved_frames_are_whole_or_dropped(
            cpus in 1u16..4,
            each in 1u8..6,
            pack in 1usize..5,
            order in proptest::collection::vec(0usize..4, 0..400),
            lose in proptest::option::of((0usize..60, 1usize..30)),
        ) {
            let mut queues: Vec<VecDeque<_>> = Vec::new();
            let mut sent = Vec::new();
            for cpu in 0..cpus {
                let mut queue = VecDeque::new();
                for number in 0..each {
                    let words: Vec<u64> = (0..u64::from(number) * 3).map(|i| (i << 32) | (u64::from(cpu) + 1)).collect();
                    queue.extend(calls(&chunk(cpu, number, &words), pack));
                    sent.push((u32::from(cpu), u64::from(number), words));
                }
                queues.push(queue);
            }
            let mut assembler = Assembler::new();
            let turns = order.into_iter().chain((0..).take(4000).map(|i| i % 4));
            let (mut count, mut got) = (0, Vec::new());
            for turn in turns {
                let Some((call, args)) = queues.get_mut(turn).and_then(VecDeque::pop_front) else { continue };
                match lose {
                    Some((from, many)) if (from..from + many).contains(&count) => assembler.lost(),
                    _ => assembler.push_call(turn as u32, call, &args),
                }
                count += 1;
                got.extend(words_of(&taken(&mut assembler)));
            }
            for one in &got {
                prop_assert!(sent.contains(one), "{one:?} was never sent");
            }
            let lost = lose.is_some_and(|lose| lose.0 < count);
            prop_assert_eq!(got.len() == sent.len(), !lost);
        }

        #[test]
        fn any_bytes_and_calls_are_survived(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000),
            calls in proptest::collection::vec((0u32..3, 990u64..1040, any::<[u64; 4]>()), 0..60),
        ) {
            let mut assembler = Assembler::new();
            assembler.push_bytes(&bytes);
            for (source, number, mut args) in calls {
                if args[1] & 1 == 0 {
                    args[0] = args[0] >> 16 | u64::from(FRAME_MAGIC) << 48;
                }
                if let Some(call) = Call::read(number) {
                    assembler.push_call(source, call, &args);
                }
            }
            prop_assert!(assembler.bytes.len() < 2 * 8 * LARGEST && assembler.warnings().len() <= WARNINGS);
        }
    }
}
