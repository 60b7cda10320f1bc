// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Threads that read, decompress and decode ahead of the one consumer. In: a [`Source`]. Out: the
//! batches of each CPU in order, on demand. Memory is bounded by the number of CPUs and by
//! [`AHEAD`], however long the trace is. Never here: the order between CPUs (that is
//! [`crate::calltree`]'s).

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::source::{Piece, Source};
use super::{Batch, Filling};
use crate::trace_dir::{Gap, Scratch};

/// Batches that may be ready ahead of the consumer over all CPUs, but at least one for each CPU.
pub const AHEAD: usize = 16;

struct Stream {
    pieces: Vec<Piece>,
    /// Pieces from here on are left alone until the consumer wants one.
    limit: usize,
    /// Next piece that no thread has taken.
    taken: usize,
    /// Next piece that the consumer will get.
    consumed: usize,
    /// Pieces from `consumed` on; `None` while a thread is at work on it.
    ready: VecDeque<Option<Batch>>,
}

struct State {
    streams: Vec<Stream>,
    /// Batches given back by the consumer, for their memory.
    spare: Vec<Batch>,
    stopped: bool,
}

struct Shared<'a> {
    source: &'a dyn Source,
    ahead: usize,
    state: Mutex<State>,
    /// A batch is ready, or a thread died.
    ready: Condvar,
    /// There is room for another batch, or it is time to stop.
    room: Condvar,
}

/// The consumer's end of the pipeline.
pub struct Pipeline<'a> {
    shared: &'a Shared<'a>,
}

/// Decodes `source` on other threads while `consume` takes batches from the pipeline.
pub fn run<R>(source: &dyn Source, consume: impl FnOnce(&mut Pipeline<'_>) -> R) -> R {
    run_parts(source, |_| (0, usize::MAX), consume)
}

/// The same, from a piece of each stream on, and at first only up to another: `part` says which for each stream.
pub fn run_parts<R>(
    source: &dyn Source,
    part: impl Fn(usize) -> (usize, usize),
    consume: impl FnOnce(&mut Pipeline<'_>) -> R,
) -> R {
    let count = source.streams();
    let stream = |stream| {
        let (pieces, (from, limit)) = (source.pieces(stream), part(stream));
        let (from, limit) = (from.min(pieces.len()), limit.min(pieces.len()));
        Stream { pieces, limit, taken: from, consumed: from, ready: VecDeque::new() }
    };
    let streams = (0..count).map(stream).collect();
    let shared = Shared {
        source,
        ahead: (AHEAD / count.max(1)).max(1),
        state: Mutex::new(State { streams, spare: Vec::new(), stopped: false }),
        ready: Condvar::new(),
        room: Condvar::new(),
    };
    // The consumer is the slower side where blocks are cheap to read; where they are not, it sleeps
    // and leaves its core to a second thread.
    let threads = thread::available_parallelism().map_or(1, NonZero::get).clamp(1, 8);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&shared));
        }
        // Dropped also when `consume` panics: the threads end and the scope can be left.
        let mut pipeline = Pipeline { shared: &shared };
        consume(&mut pipeline)
    })
}

impl Pipeline<'_> {
    /// How many CPUs have a stream.
    pub fn streams(&self) -> usize {
        self.shared.source.streams()
    }

    /// The kernel's number of a stream's CPU.
    pub fn cpu(&self, stream: usize) -> u32 {
        self.shared.source.cpu(stream)
    }

    /// Lets the threads go on up to this piece of a stream.
    pub fn allow(&mut self, stream: usize, limit: usize) {
        let mut state = lock(&self.shared.state);
        let this = &mut state.streams[stream];
        this.limit = this.limit.max(limit.min(this.pieces.len()));
        drop(state);
        self.shared.room.notify_all();
    }

    /// The next batch of a stream, in exchange for one that is used up. `None` at the end.
    pub fn next(&mut self, stream: usize, used: Batch) -> Option<Batch> {
        let mut state = lock(&self.shared.state);
        state.spare.push(used);
        loop {
            let this = &mut state.streams[stream];
            if this.consumed == this.pieces.len() {
                return None;
            }
            if this.consumed == this.limit {
                this.limit += 1;
                self.shared.room.notify_one();
            }
            if this.ready.front().is_some_and(Option::is_some) {
                this.consumed += 1;
                let batch = this.ready.pop_front().flatten();
                drop(state);
                self.shared.room.notify_one();
                return batch;
            }
            state = self.shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        lock(&self.shared.state).stopped = true;
        self.shared.room.notify_all();
    }
}

/// The state is consistent whenever the lock is free, so a panic elsewhere does not matter.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(shared: &Shared<'_>) {
    let mut scratch: Option<Scratch> = None;
    let mut state = lock(&shared.state);
    loop {
        if state.stopped {
            return;
        }
        // The stream that has the least ready is the one that the consumer may wait for first.
        let next = (0..state.streams.len())
            .filter(|&s| state.streams[s].taken < state.streams[s].limit)
            .filter(|&s| state.streams[s].ready.len() < shared.ahead)
            .min_by_key(|&s| state.streams[s].ready.len());
        let Some(stream) = next else {
            if state.streams.iter().all(|s| s.taken == s.pieces.len()) {
                return;
            }
            state = shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let mut batch = state.spare.pop().unwrap_or_default();
        let this = &mut state.streams[stream];
        let number = this.taken;
        this.taken += 1;
        this.ready.push_back(None);
        let piece = this.pieces[number].clone();
        drop(state);

        read(shared.source, stream, piece, &mut batch, &mut scratch);

        state = lock(&shared.state);
        let this = &mut state.streams[stream];
        let place = number - this.consumed;
        this.ready[place] = Some(batch);
        shared.ready.notify_one();
    }
}

fn read(source: &dyn Source, stream: usize, piece: Piece, batch: &mut Batch, scratch: &mut Option<Scratch>) {
    if scratch.is_none() {
        *scratch = Scratch::new().ok();
    }
    match (piece, scratch) {
        (Piece::Gap(gap), _) => Filling::new(batch).fail(gap),
        (Piece::Block(block), Some(scratch)) => source.decode(stream, block, batch, scratch),
        (Piece::Block(_), None) => {
            Filling::new(batch).fail(Gap { offset: 0, reason: "zstd gets no memory".to_owned() });
        }
    }
}
