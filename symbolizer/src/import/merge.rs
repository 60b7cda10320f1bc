// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Puts streams in the order of time. In: one stream for each CPU or file, each in order. Out: all items in order; of
//! equal times those of the stream that came first. Never here: more than one item of each stream.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Item, Notes, Stream};

/// Streams, and the next item of each.
pub(super) struct Merge {
    streams: Vec<Box<dyn Stream>>,
    next: Vec<Option<Item>>,
    heap: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Merge {
    pub(super) fn new(streams: Vec<Box<dyn Stream>>, notes: &mut Notes) -> Merge {
        let mut merge = Merge { next: vec![None; streams.len()], streams, heap: BinaryHeap::new() };
        for number in 0..merge.streams.len() {
            merge.advance(number, notes);
        }
        merge
    }

    fn advance(&mut self, number: usize, notes: &mut Notes) {
        let next = self.streams[number].next(notes);
        if let Some(item) = &next {
            self.heap.push(Reverse((item.time(), number)));
        }
        self.next[number] = next;
    }

    pub(super) fn next(&mut self, notes: &mut Notes) -> Option<Item> {
        let Reverse((_, number)) = self.heap.pop()?;
        let item = self.next[number].take();
        self.advance(number, notes);
        item
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lost;
    use super::*;

    struct Times(std::vec::IntoIter<u64>, u32);

    impl Stream for Times {
        fn next(&mut self, _: &mut Notes) -> Option<Item> {
            let cpu = self.1;
            self.0.next().map(|time| Item::Lost(Lost { time, cpu, count: None }))
        }
    }

    #[test]
    fn items_come_in_order_of_time_and_then_of_streams() {
        let streams: Vec<Box<dyn Stream>> = vec![
            Box::new(Times(vec![1, 5, 5, 9].into_iter(), 0)),
            Box::new(Times(vec![].into_iter(), 1)),
            Box::new(Times(vec![0, 5, 10].into_iter(), 2)),
        ];
        let mut notes = Notes::default();
        let mut merge = Merge::new(streams, &mut notes);
        let mut order = Vec::new();
        while let Some(Item::Lost(lost)) = merge.next(&mut notes) {
            order.push((lost.time, lost.cpu));
        }
        assert_eq!(order, [(0, 2), (1, 0), (5, 0), (5, 0), (5, 2), (9, 0), (10, 2)]);
    }
}
