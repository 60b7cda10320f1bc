// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the recorder costs, from what the guest has measured of itself. In: the calibration marks at the
//! begin of a trace. Out: [`Costs`], ticks by kind of event. Never here: what they are subtracted from.
//!
//! The guest calls functions that do nothing, and functions that only call those, with and without
//! tracing ([`Measured`]). Between two events that follow each other on a CPU lies a piece of the recorder
//! that the two tell: part of it comes after the first, part before the second. Which piece has which
//! length is what [`Costs::of`] solves for; where just the recorder looks at the clock does not matter.
//!
//! A call of a function that does nothing takes three instructions when nobody traces: call, nop,
//! return. They are the caller's: a function that does nothing has no time of its own.

use early_ftrace_format::event::Event;
use early_ftrace_format::mark::{BATCH, Mark, Measured};

use crate::decode::{Batch, Rare};
use crate::trace_dir::TraceDir;

/// Parts of a tick: as many as calls in a batch.
pub const PARTS: i64 = BATCH as i64;

/// A batch that takes longer was not measured, but made up: a second on the fastest machine.
const MOST_TICKS: u32 = 1 << 31;

/// Costs in [`PARTS`] of a tick. What comes before an event lies between the event before and itself. Single
/// parts may be negative, when another holds too much by just that: the sums are what counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// Before each entry.
    pub before_entry: i64,
    /// After each entry.
    pub after_entry: i64,
    /// Before the next thing that happens after an entry that has its own word.
    pub entry_word: i64,
    /// After the exit of a leaf call.
    pub after_leaf: i64,
    /// After the exit of another call.
    pub after_exit: i64,
}

/// Why there are no costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCalibrated {
    /// No marks.
    #[error(
        "the trace does not say what recording costs: it was recorded by an older version, without functions, or \
         its begin is damaged; record it anew"
    )]
    Absent,
    /// Marks that cannot be true.
    #[error(
        "what the trace says of the cost of recording contradicts itself (the machine was disturbed, or the trace \
         is damaged); record it anew"
    )]
    Contradictory,
}

impl Costs {
    /// Of what was measured, by [`Measured`] as a number.
    ///
    /// # Errors
    /// When the values cannot be true.
    pub fn of(measured: &[u32; Measured::ALL.len()]) -> Result<Costs, NotCalibrated> {
        let get = |what: Measured| i64::from(measured[what as usize]);
        // How long all of it took is in no equation, and may be long on a host that was busy.
        if (0..).zip(measured).any(|(what, &ticks)| what != Measured::Took as usize && ticks > MOST_TICKS) {
            return Err(NotCalibrated::Contradictory);
        }
        let empty = get(Measured::Empty);
        // A leaf that is not traced; a pair less its leaf.
        let plain_leaf = get(Measured::PlainLeaves) - empty;
        let plain_outer = get(Measured::PlainPairs) - get(Measured::PlainLeaves);
        let inside = get(Measured::LeavesInside);
        let (before, after) = (get(Measured::PairsBefore), get(Measured::PairsAfter));
        let lasted = before + get(Measured::PairsInside) + after;
        // From the exit of a leaf to the entry of the next; from that of a pair.
        let leaf_to_entry = get(Measured::Leaves) - empty - plain_leaf - inside;
        let exit_to_entry = get(Measured::Pairs) - empty - plain_outer - lasted;
        // The inner call's own instructions are in one of these or the other: half in each.
        let entry_to_entry = before - plain_leaf / 2;
        let leaf_to_exit = after - (plain_leaf - plain_leaf / 2);
        let pieces = [plain_leaf, plain_outer, inside, leaf_to_entry, exit_to_entry, entry_to_entry, leaf_to_exit];
        if pieces.iter().any(|&piece| piece < 0) {
            return Err(NotCalibrated::Contradictory);
        }
        // Nothing comes before an exit: the scale's zero.
        let before_entry = leaf_to_entry - leaf_to_exit;
        Ok(Costs {
            before_entry,
            after_entry: inside,
            entry_word: entry_to_entry - inside - before_entry,
            after_leaf: leaf_to_exit,
            after_exit: exit_to_entry - before_entry,
        })
    }

    /// Of a trace, as first told: the first block of each CPU is looked at.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn read(trace: &TraceDir) -> Result<Costs, NotCalibrated> {
        let mut batch = Batch::default();
        for cpu in trace.cpus() {
            let Ok(block) = cpu.read(0) else { continue };
            batch.fill(&block);
            let mut marks = Marks::default();
            for rare in &batch.rare {
                if let Rare::Event(Event::Mark { mark: Mark::Calibration(what), value, .. }) = *rare
                    && let Some(costs) = marks.take(what, value)
                {
                    return costs;
                }
            }
            if marks.any() {
                return Err(NotCalibrated::Contradictory);
            }
        }
        Err(NotCalibrated::Absent)
    }

    /// A leaf call in all.
    pub fn leaf(&self) -> i64 {
        self.before_entry + self.after_entry + self.after_leaf
    }

    /// A call that makes calls in all.
    pub fn pair(&self) -> i64 {
        self.before_entry + self.after_entry + self.entry_word + self.after_exit
    }
}

/// Calibration marks as they come.
#[derive(Debug, Default)]
pub struct Marks {
    values: [Option<u32>; Measured::ALL.len()],
}

impl Marks {
    /// Takes one. Some if with it all are there; then it begins anew.
    pub fn take(&mut self, what: u8, value: u32) -> Option<Result<Costs, NotCalibrated>> {
        *self.values.get_mut(usize::from(what))? = Some(value);
        let mut whole = [0; Measured::ALL.len()];
        for (slot, value) in whole.iter_mut().zip(self.values) {
            *slot = value?;
        }
        self.values = Default::default();
        Some(Costs::of(&whole))
    }

    fn any(&self) -> bool {
        self.values.iter().any(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine on which each piece has a length of its own: what a batch would measure on it.
    fn machine(plain_call: u32, empty: u32, [head, tail, word, leaf, exit, rhead]: [u32; 6]) -> [u32; 10] {
        // Of a plain call one instruction each: call, nop, return. Traced, the nop is not there.
        let (call, ret) = (plain_call / 3, plain_call / 3);
        let inside = tail + ret + rhead;
        let before = tail + word + call + head;
        let after = leaf + ret + rhead;
        let leaves = call + head + inside + leaf;
        let pairs = call + head + before + inside + after + exit;
        let batch = |ticks: u32| ticks * BATCH + empty;
        [
            empty,
            batch(plain_call),
            batch(2 * plain_call),
            batch(leaves),
            inside * BATCH,
            batch(pairs),
            before * BATCH,
            inside * BATCH,
            after * BATCH,
            12_345,
        ]
    }

    #[test]
    fn costs_are_the_traced_batches_less_the_plain_ones() {
        let costs = Costs::of(&machine(3, 7, [8, 10, 16, 25, 13, 4])).expect("consistent");
        // Traced: call, head, tail, return, head of the return, and the leaf's word. Plain: three.
        assert_eq!(costs.leaf(), (1 + 8 + 10 + 1 + 4 + 25 - 3) * PARTS);
        // The pair less its leaf.
        assert_eq!(costs.pair(), (1 + 8 + 10 + 16 + 13 + 1 + 4 - 3) * PARTS);
        assert_eq!(costs.after_entry, (10 + 1 + 4) * PARTS);
    }

    #[test]
    fn what_cannot_be_true_is_refused() {
        let good = machine(3, 7, [8, 10, 16, 25, 13, 4]);
        for (what, value) in [
            (Measured::PlainLeaves, 0),
            (Measured::LeavesInside, u32::MAX),
            (Measured::LeavesInside, 1 << 20),
            (Measured::Leaves, 0),
            (Measured::Pairs, 0),
            (Measured::PairsBefore, 0),
        ] {
            let mut bad = good;
            bad[what as usize] = value;
            assert_eq!(Costs::of(&bad), Err(NotCalibrated::Contradictory), "{what:?}");
        }
    }
}
