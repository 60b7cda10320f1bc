// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a stream of hypercalls says about the guest's clock. In: a vCPU's exits, some of which carry frames of the
//! guest (`early_ftrace_format::stream`). Out: bounds for a [`Corridor`]. Never here: what the words mean but for
//! their times.
//!
//! A chunk is closed before its frame begins: all times in it are before the exit of that first hypercall. A CPU has
//! one open chunk: the next but one was opened after this one was sent, so its opening is after the entry that follows
//! the last hypercall of this frame. That is all that is taken for granted: words may be written in interrupts, later
//! than their times. A frame that is not whole says nothing. (User space can make hypercalls too. What does not fit is
//! refused by the corridor and counted; frames that are forged to fit can narrow it to wrong times, as they can forge
//! calls.)

use early_ftrace_format::decode::Decoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::shared::{CHUNK_MAGIC, ChunkHeader};
use early_ftrace_format::stream::{Call, FrameKind, Head};
use zerocopy::FromBytes as _;

use super::corridor::Corridor;
use super::event::Exit;

/// Words of a chunk's header.
const HEADER: usize = size_of::<ChunkHeader>() / 8;

/// A frame that is being sent.
#[derive(Debug)]
struct Frame {
    /// Words that are still to come.
    left: u16,
    header: [u64; HEADER],
    filled: usize,
    decoder: Decoder,
    /// When its first hypercall left the guest.
    began: u64,
    /// Latest time in it, and that of its opening.
    newest: u64,
    opened: u64,
}

/// Gathers bounds of one vCPU.
#[derive(Debug)]
pub struct Bounds {
    corridor: Corridor,
    frame: Option<Frame>,
    /// When the guest was entered behind the last frames: the last one, and the one before.
    sent: [Option<u64>; 2],
}

impl Bounds {
    /// None so far.
    pub fn new(corridor: Corridor) -> Bounds {
        Bounds { corridor, frame: None, sent: [None; 2] }
    }

    /// What they leave.
    pub fn corridor(&self) -> &Corridor {
        &self.corridor
    }

    /// The next exit.
    pub fn push(&mut self, exit: &Exit) {
        let Some(hypercall) = exit.hypercall else { return };
        // Those of guests in this guest are of other clocks.
        let Some(call) = Call::read(hypercall.number).filter(|call| call.level == 0) else { return };
        let mut words = hypercall.args.iter().copied().take(usize::from(call.words));
        if call.first {
            let head = words.next().and_then(Head::read).filter(|head| head.kind == FrameKind::Chunk);
            self.frame = head.map(|head| Frame {
                left: head.count,
                header: [0; HEADER],
                filled: 0,
                decoder: Decoder::default(),
                began: exit.time,
                newest: 0,
                opened: 0,
            });
        }
        let Some(frame) = &mut self.frame else { return };
        if !words.all(|word| frame.word(word)) {
            self.frame = None;
        } else if frame.left == 0 {
            let (began, newest, opened) = (frame.began, frame.newest, frame.opened);
            self.frame = None;
            self.corridor.at_least(began, newest);
            if let [_, Some(entered)] = self.sent {
                self.corridor.at_most(entered, opened);
            }
            self.sent = [Some(exit.time.saturating_add(exit.length)), self.sent[0]];
        }
    }
}

impl Frame {
    /// Whether it can be one.
    fn word(&mut self, word: u64) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        if let Some(slot) = self.header.get_mut(self.filled) {
            *slot = word;
            self.filled += 1;
            if self.filled == HEADER {
                let bytes = self.header.map(u64::to_le_bytes);
                let Ok(header) = ChunkHeader::read_from_bytes(bytes.as_flattened()) else { return false };
                (self.opened, self.newest) = (header.tsc, header.tsc);
                self.decoder = Decoder::new(header.tsc);
                return header.magic == CHUNK_MAGIC;
            }
            return true;
        }
        let time = match self.decoder.push(word) {
            Some(Event::Entry { time, .. } | Event::Exit { time } | Event::Switch { time, .. }) => time,
            Some(Event::Leaf { end, .. }) => end,
            _ => return true,
        };
        self.newest = self.newest.max(time);
        true
    }
}

#[cfg(test)]
mod tests {
    use early_ftrace_format::encode::Encoder;
    use zerocopy::IntoBytes as _;

    use super::super::clock::{Axis, Clock};
    use super::super::event::Hypercall;
    use super::*;

    /// The hypercalls of a chunk that was opened at `opened` and has a leaf every 100 ticks up to `closed`, sent from
    /// host time `host` on, 10 apart.
    fn sent(opened: u64, closed: u64, host: u64) -> Vec<Exit> {
        let header = ChunkHeader { magic: CHUNK_MAGIC, tsc: opened, ..ChunkHeader::default() };
        let mut words: Vec<u64> = Vec::new();
        words.extend(header.as_bytes().chunks_exact(8).map(|eight| u64::from_le_bytes(eight.try_into().unwrap())));
        let mut encoder = Encoder::new(opened);
        for end in (opened..=closed).step_by(100) {
            let leaf = Event::Leaf { site: 0xffff_ffff_8100_1005, start: end.max(opened + 5) - 5, end };
            encoder.push(leaf, |word| words.push(word)).unwrap();
        }
        let head = Head { kind: FrameKind::Chunk, number: 0, cpu: 0, count: words.len() as u16 };
        words.insert(0, head.word());
        let calls = words.chunks(4).enumerate().map(|(index, some)| {
            let call = Call { level: 0, first: index == 0, words: some.len() as u8 };
            let mut args = [0; 4];
            args[..some.len()].copy_from_slice(some);
            let hypercall = Some(Hypercall { number: call.number(), args });
            let time = host + 10 * index as u64;
            let (cpus, info) = ((0, 0), [0; 2]);
            Exit { vcpu: 0, thread: 1, cpus, time, length: 4, isa: 2, reason: 0x81, rip: 0, info, hypercall }
        });
        calls.collect()
    }

    #[test]
    fn chunks_that_are_sent_bound_the_clock() {
        // The guest is 1,000,000 behind the host. Chunk n: opened at n * 2000, closed and sent 1000 later.
        let behind = 1_000_000;
        let mut bounds = Bounds::new(Corridor::new(1.0).unwrap());
        for n in 1..=20u64 {
            let (opened, closed) = (n * 2000, n * 2000 + 1000);
            sent(opened, closed, closed + 7 + behind).iter().for_each(|exit| bounds.push(exit));
        }
        let corridor = bounds.corridor();
        assert_eq!((corridor.bounds(), corridor.refused()), (20 + 18, 0));
        let axis = Axis::of_corridor(Clock::Tsc, corridor, behind + 3000, behind + 41_000).unwrap();
        for host in (behind + 3000..behind + 41_000).step_by(100) {
            let wrong = axis.guest(host).unwrap().abs_diff(host - behind);
            assert!(wrong <= axis.error(), "{wrong} {}", axis.error());
        }
        // No chunk but every second one ends what can be said: 3000 ticks, and no worse.
        assert!(axis.error() < 2000, "{}", axis.error());
    }

    #[test]
    fn a_frame_that_is_not_whole_says_nothing() {
        let mut bounds = Bounds::new(Corridor::new(1.0).unwrap());
        let mut calls = sent(1000, 2000, 5000);
        calls.pop();
        calls.iter().for_each(|exit| bounds.push(exit));
        // The next frame begins; of the first one nothing is believed.
        sent(3000, 4000, 7000).iter().for_each(|exit| bounds.push(exit));
        assert_eq!(bounds.corridor().bounds(), 1);
        // Words without a frame, and more words than the head has said.
        let mut stray = sent(5000, 5000, 9000);
        stray.extend(stray.clone().into_iter().skip(1));
        stray.iter().for_each(|exit| bounds.push(exit));
        assert_eq!(bounds.corridor().bounds(), 2);
    }
}
