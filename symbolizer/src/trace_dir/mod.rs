// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The trace directory: `meta.json` and one `cpuN.eft` file for each CPU; TRACE.md describes both.
//! In: chunks of the ring ([`TraceWriter`]) or a path ([`TraceDir`]). Out: files, or [`Block`]s with
//! exactly the words that were put in. Never here: what a word means beyond its layout, live memory.
//!
//! The tour, in the order that data flows: `writer` collects chunks to blocks; `block` is a
//! block's header and its way to bytes and back; `encode` and `decode` turn words into columns
//! and back, with the same `model` of what comes next on both sides and the number coding of
//! `value`; `columns` packs the columns; `reader` finds the blocks again; [`meta`] is what is
//! known about the whole recording.

use std::ops::Range;

pub mod block;
mod columns;
mod decode;
mod encode;
mod error;
pub mod meta;
mod model;
pub mod number;
pub mod reader;
mod value;
pub mod writer;

pub use block::Scratch;
pub use decode::{Output, put};
pub use error::TraceError;
pub use meta::{Ended, Meta};
pub use reader::{BlockInfo, CpuFile, TraceDir};
pub use writer::{Existing, TraceWriter};

/// Name of the index that reports put beside the blocks (`crate::trace_index`).
pub const INDEX_FILE: &str = "index.eft";

/// Name of the file of what the host has seen (`crate::host::file`).
pub const HOST_FILE: &str = "host.eft";

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
