// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where the decoder gets its blocks from. In: an opened trace. Out: for each CPU, its blocks and
//! what is missing between them, in order. Never here: decoding.

use super::{Batch, Filling};
use crate::trace_dir::{Block, Gap, Scratch, TraceDir};

/// One piece of a CPU's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A block, by its number in the CPU's file.
    Block(usize),
    /// Known to be missing here.
    Gap(Gap),
}

/// A trace that can be read block by block, from several threads.
pub trait Source: Sync {
    /// How many CPUs have a stream.
    fn streams(&self) -> usize;
    /// The kernel's number of the CPU of stream `stream`.
    fn cpu(&self, stream: usize) -> u32;
    /// The pieces of the stream, in order.
    fn pieces(&self, stream: usize) -> Vec<Piece>;
    /// Reads and decompresses a block.
    ///
    /// # Errors
    /// The gap that takes the block's place.
    fn read(&self, stream: usize, block: usize) -> Result<Block, Gap>;

    /// Decodes a block into a batch. What cannot be read becomes the batch's gap.
    fn decode(&self, stream: usize, block: usize, batch: &mut Batch, _scratch: &mut Scratch) {
        match self.read(stream, block) {
            Ok(block) => batch.fill(&block),
            Err(gap) => Filling::new(batch).fail(gap),
        }
    }
}

impl Source for TraceDir {
    fn streams(&self) -> usize {
        self.cpus().len()
    }

    fn cpu(&self, stream: usize) -> u32 {
        self.cpus()[stream].cpu()
    }

    fn pieces(&self, stream: usize) -> Vec<Piece> {
        let file = &self.cpus()[stream];
        let mut gaps = file.gaps().iter().peekable();
        let mut pieces = Vec::with_capacity(file.blocks().len());
        for (number, block) in file.blocks().iter().enumerate() {
            while let Some(gap) = gaps.next_if(|gap| gap.offset <= block.offset) {
                pieces.push(Piece::Gap(gap.clone()));
            }
            pieces.push(Piece::Block(number));
        }
        pieces.extend(gaps.cloned().map(Piece::Gap));
        pieces
    }

    fn read(&self, stream: usize, block: usize) -> Result<Block, Gap> {
        self.cpus()[stream].read(block)
    }

    fn decode(&self, stream: usize, block: usize, batch: &mut Batch, scratch: &mut Scratch) {
        let mut filling = Filling::new(batch);
        if let Err(gap) = self.cpus()[stream].read_into(block, scratch, &mut filling) {
            filling.fail(gap);
        }
    }
}

/// A trace in memory: for each CPU its number and its pieces, block or gap.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// CPU number and stream.
    pub streams: Vec<(u32, Vec<Result<Block, Gap>>)>,
}

impl Source for Memory {
    fn streams(&self) -> usize {
        self.streams.len()
    }

    fn cpu(&self, stream: usize) -> u32 {
        self.streams[stream].0
    }

    fn pieces(&self, stream: usize) -> Vec<Piece> {
        (0..self.streams[stream].1.len()).map(Piece::Block).collect()
    }

    fn read(&self, stream: usize, block: usize) -> Result<Block, Gap> {
        self.streams[stream].1[block].clone()
    }
}
