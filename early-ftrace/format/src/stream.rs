// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The same data as in shared memory, as a stream of frames: for channels that carry words one after the other (an I/O
//! port, hypercalls). In: what a frame is about. Out: its first word, and back. Never here: how words travel.
//!
//! ```text
//! frame      = head *word           ; head: Head, `count` words follow
//! header     = Header               ; first of all, again as each phase begins, and at the end
//! chunk      = ChunkHeader *word    ; a closed chunk
//! counters   = CpuControl           ; behind each chunk that came after a loss, and at the end
//! ```
//!
//! Frames of one CPU are numbered, so that a lost one is seen. Words are little-endian where they are bytes.
//!
//! In hypercalls: number [`NUMBER`] + 8 x nesting level + 4 if the first word is a [`Head`] + (words - 1); the words are
//! a0 to a3. A frame always begins a hypercall. The number is the hypercall's, not the frame's: whoever records
//! hypercalls only must find frames without looking into words.

/// First number of our hypercalls.
pub const NUMBER: u64 = 1000;

/// Numbers of one nesting level.
pub const NUMBERS: u64 = 8;

/// Nesting levels that are told apart.
pub const MOST_LEVELS: u64 = 4;

/// Most words of a hypercall: a0 to a3.
pub const MOST_WORDS: usize = 4;

/// Upper 16 bits of a [`Head`].
pub const MAGIC: u16 = 0xef7c;

/// Words of a chunk that is sent: with its head and header 64 hypercalls of four words.
pub const SENT_WORDS: usize = 247;

/// Words of one at the end: at most so many do not come. A task's name takes five in a row.
pub const TAIL_WORDS: usize = 16;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// `crate::shared::Header`.
    Header = 1,
    /// `crate::shared::ChunkHeader`, and the words of the chunk.
    Chunk = 2,
    /// `crate::shared::CpuControl`.
    Counters = 3,
}

/// First word of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub kind: FrameKind,
    /// Number of the frame on its CPU, modulo 256.
    pub number: u8,
    /// The CPU, less than 65,536.
    pub cpu: u16,
    /// Words that follow.
    pub count: u16,
}

impl Head {
    /// As a word: from the top magic (16 bits), kind (8), number (8), CPU (16), count (16).
    #[inline]
    pub const fn word(self) -> u64 {
        (MAGIC as u64) << 48
            | (self.kind as u64) << 40
            | (self.number as u64) << 32
            | (self.cpu as u64) << 16
            | self.count as u64
    }

    /// Of a word, if it is one.
    #[inline]
    pub const fn read(word: u64) -> Option<Head> {
        if (word >> 48) as u16 != MAGIC {
            return None;
        }
        let kind = match (word >> 40) as u8 {
            1 => FrameKind::Header,
            2 => FrameKind::Chunk,
            3 => FrameKind::Counters,
            _ => return None,
        };
        Some(Head { kind, number: (word >> 32) as u8, cpu: (word >> 16) as u16, count: word as u16 })
    }
}

/// What the number of a hypercall says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Nesting level, less than [`MOST_LEVELS`]: 0 for the guest of the host that records.
    pub level: u8,
    /// Whether its first word is a [`Head`].
    pub first: bool,
    /// Words that count, 1 to [`MOST_WORDS`].
    pub words: u8,
}

impl Call {
    /// Its number.
    #[inline]
    pub const fn number(self) -> u64 {
        NUMBER + NUMBERS * self.level as u64 + if self.first { 4 } else { 0 } + (self.words as u64 - 1)
    }

    /// Of a number, if it is one of ours.
    #[inline]
    pub const fn read(number: u64) -> Option<Call> {
        let offset = number.wrapping_sub(NUMBER);
        if offset >= NUMBERS * MOST_LEVELS {
            return None;
        }
        Some(Call { level: (offset / NUMBERS) as u8, first: offset & 4 != 0, words: (offset & 3) as u8 + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_numbers_are_read_as_written() {
        for kind in [FrameKind::Header, FrameKind::Chunk, FrameKind::Counters] {
            for (number, cpu, count) in [(0, 0, 0), (255, 511, 8192), (7, u16::MAX, u16::MAX)] {
                let head = Head { kind, number, cpu, count };
                assert_eq!(Head::read(head.word()), Some(head));
            }
        }
        assert_eq!(Head::read(0), None);
        assert_eq!(Head::read((MAGIC as u64) << 48), None);
        for number in 0..2_000 {
            let call = Call::read(number);
            assert_eq!(call.map(Call::number), (1_000..1_032).contains(&number).then_some(number));
            assert!(call.is_none_or(|call| (1..=4).contains(&call.words)));
        }
    }
}
