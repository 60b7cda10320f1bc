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

/// Batches that may be ready ahead of the consumer, of all CPUs together: those that it needs first. One more is
/// made where the consumer waits for another.
pub const AHEAD: usize = 16;

struct Stream {
    pieces: Vec<Piece>,
    /// When each of them begins.
    times: Vec<u64>,
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
    /// The stream that the consumer waits for.
    wanted: Option<usize>,
    /// Batches given back by the consumer, for their memory.
    spare: Vec<Batch>,
    stopped: bool,
}

impl State {
    /// The stream of which the consumer will need a batch first, if there is room for one.
    fn next(&self) -> Option<usize> {
        let left = |s: &usize| self.streams[*s].taken < self.streams[*s].limit;
        if let Some(wanted) = self.wanted.filter(|&s| self.streams[s].ready.is_empty()).filter(left) {
            return Some(wanted);
        }
        if self.streams.iter().map(|stream| stream.ready.len()).sum::<usize>() >= AHEAD {
            return None;
        }
        let key = |s: &usize| {
            let stream = &self.streams[*s];
            (stream.times[stream.taken], stream.ready.len())
        };
        (0..self.streams.len()).filter(left).min_by_key(key)
    }
}

struct Shared<'a> {
    source: &'a dyn Source,
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
        let times = pieces.iter().map(|piece| source.time(stream, piece)).collect();
        Stream { pieces, times, limit, taken: from, consumed: from, ready: VecDeque::new() }
    };
    let streams = (0..count).map(stream).collect();
    let shared = Shared {
        source,
        state: Mutex::new(State { streams, wanted: None, spare: Vec::new(), stopped: false }),
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
            this.limit = this.limit.max(this.consumed + 1);
            if this.ready.front().is_some_and(Option::is_some) {
                this.consumed += 1;
                let batch = this.ready.pop_front().flatten();
                state.wanted = None;
                drop(state);
                self.shared.room.notify_one();
                return batch;
            }
            if state.wanted.replace(stream).is_none() {
                self.shared.room.notify_all();
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
        let next = state.next();
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::decode::source::Memory;
    use crate::trace_dir::Block;

    /// Counts batches that are made and not consumed.
    struct Counting {
        memory: Memory,
        made: AtomicUsize,
        most: AtomicUsize,
    }

    impl Source for Counting {
        fn streams(&self) -> usize {
            self.memory.streams()
        }

        fn cpu(&self, stream: usize) -> u32 {
            self.memory.cpu(stream)
        }

        fn pieces(&self, stream: usize) -> Vec<Piece> {
            self.memory.pieces(stream)
        }

        fn read(&self, stream: usize, block: usize) -> Result<Block, Gap> {
            let made = self.made.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(made, Ordering::SeqCst);
            self.memory.read(stream, block)
        }
    }

    #[test]
    fn many_cpus_take_no_more_batches_than_few() {
        let blocks =
            |stream: usize| (0..3).map(move |_| Ok(Block { words: vec![stream as u64; 3], ..Block::default() }));
        let streams = (0..200).map(|stream| (stream as u32, blocks(stream).collect())).collect();
        let source = Counting { memory: Memory { streams }, made: AtomicUsize::new(0), most: AtomicUsize::new(0) };
        let consumed = run(&source, |pipeline| {
            let mut consumed = 0;
            // The last first: not in the order in which they are made.
            for _ in 0..4 {
                for stream in (0..200).rev() {
                    if pipeline.next(stream, Batch::default()).is_some() {
                        consumed += 1;
                        source.made.fetch_sub(1, Ordering::SeqCst);
                    }
                }
            }
            consumed
        });
        assert_eq!(consumed, 600);
        // One is wanted, and one may be made before the one that was just taken is counted off.
        assert!(source.most.load(Ordering::SeqCst) <= AHEAD + 2, "{:?}", source.most);
    }
}
