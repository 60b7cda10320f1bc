// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The trace directory: `meta.json` and one `cpuN.eft` file for each CPU. (Skeleton: the types that
//! the reader gives to [`crate::decode`].)

use std::ops::Range;

/// A run of words from one chunk of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Number of the chunk on its CPU.
    pub seq: u64,
    /// Time stamp counter when the chunk was opened: the decoder's base.
    pub tsc: u64,
    /// Events lost before this run.
    pub lost: u64,
    /// Pid of the running task.
    pub pid: u32,
    /// Open frames on its shadow stack.
    pub depth: u32,
    /// Which of the block's words.
    pub words: Range<usize>,
}

/// One decompressed block: the words exactly as the guest wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The chunks, in order.
    pub runs: Vec<Run>,
    /// The words of all runs.
    pub words: Vec<u64>,
}

/// A part of a CPU's file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Byte offset in the file.
    pub offset: u64,
    /// Why, for the user.
    pub reason: String,
}
