// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the recorder itself costs, measured in the boot that it records. In: the first words of the ring
//! are written, interrupts are off. Out: marks with the ticks of batches of calls of our own functions,
//! with and without the trampolines; the host makes costs of them. The words of these calls are taken back:
//! no trace has them.
//!
//! Once a boot, about 60,000 instructions; twice in a kernel that we are built into: its alternatives change
//! our returns, too. The calls are the real ones: the same trampolines, the same
//! ring, a shadow stack of its own. Of several rounds the fastest counts: what else may take time (cold
//! caches, a hypervisor) only adds. Costs are therefore those of a warm cache.

use crate::percpu::{
    anchor, epoch, high, is_slot, now, position, set_anchor, set_epoch, set_high, set_position, withhold,
};
use crate::ring::{count_nmi, exclusively, set_base};
use crate::shadow::{clear, give, take_pooled, top_of};
use crate::{marked::put_mark, task};
use core::arch::global_asm;
use early_ftrace_format::decode::TimeBase;
use early_ftrace_format::mark::{BATCH, Mark, Measured};
use early_ftrace_format::shared::{CHUNK_SIZE, Frame};
use early_ftrace_format::word::{EXIT_LOW, LOWEST_FUNCTION};

/// The fastest of so many counts.
const ROUNDS: u32 = 8;

/// Words of a batch of leaf calls; of one of pairs.
const LEAF_WORDS: u64 = BATCH as u64;
const PAIR_WORDS: u64 = 3 * BATCH as u64;

// Functions that do nothing, as a compiler would make them: with a call site, and with the nop that is
// there when nobody traces. The batches return the ticks from before their first call to after their last.
//
//   eax = ticks, ebx = ticks before (the trampolines keep it, as any function does)
global_asm!(
    ".pushsection .text.eft_glue, \"ax\", @progbits",
    ".macro eft_batch name, callee",
    ".balign 64",
    ".globl eft_batch_\\name",
    ".type eft_batch_\\name, @function",
    "eft_batch_\\name:",
    "push rbx",
    "rdtsc",
    "mov ebx, eax",
    ".ifnb \\callee",
    ".rept {batch}",
    "call \\callee",
    ".endr",
    ".endif",
    "rdtsc",
    "sub eax, ebx",
    "pop rbx",
    "ret",
    ".size eft_batch_\\name, . - eft_batch_\\name",
    ".endm",
    ".balign 16",
    ".globl eft_dummy_leaf",
    // objtool of a kernel that links this in wants calls to go to functions.
    ".type eft_dummy_leaf, @function",
    "eft_dummy_leaf:",
    "call eft_entry",
    "ret",
    ".size eft_dummy_leaf, . - eft_dummy_leaf",
    ".balign 16",
    ".globl eft_dummy_outer",
    ".type eft_dummy_outer, @function",
    "eft_dummy_outer:",
    "call eft_entry",
    "call eft_dummy_leaf",
    "ret",
    ".size eft_dummy_outer, . - eft_dummy_outer",
    ".balign 16",
    ".type eft_plain_leaf, @function",
    "eft_plain_leaf:",
    ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00", // what a site is when nobody traces: a nop of five bytes
    "ret",
    ".size eft_plain_leaf, . - eft_plain_leaf",
    ".balign 16",
    ".type eft_plain_outer, @function",
    "eft_plain_outer:",
    ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00",
    "call eft_plain_leaf",
    "ret",
    ".size eft_plain_outer, . - eft_plain_outer",
    "eft_batch empty",
    "eft_batch plain_leaves, eft_plain_leaf",
    "eft_batch plain_pairs, eft_plain_outer",
    "eft_batch leaves, eft_dummy_leaf",
    "eft_batch pairs, eft_dummy_outer",
    ".popsection",
    batch = const BATCH,
);

unsafe extern "C" {
    fn eft_batch_empty() -> u32;
    fn eft_batch_plain_leaves() -> u32;
    fn eft_batch_plain_pairs() -> u32;
    fn eft_batch_leaves() -> u32;
    fn eft_batch_pairs() -> u32;
    static eft_dummy_leaf: u8;
    static eft_dummy_outer: u8;
}

/// From a function to the address after its call site.
const CALL: usize = 5;

fn leaf_site() -> u32 {
    ((&raw const eft_dummy_leaf).addr() + CALL) as u32
}

fn outer_site() -> u32 {
    ((&raw const eft_dummy_outer).addr() + CALL) as u32
}

/// What the words of a batch say, in ticks, of all its calls together.
#[derive(Clone, Copy)]
struct Sums {
    /// From entry to exit of the leaf calls.
    inside: u32,
    /// From the entries of the calls around them to theirs.
    before: u32,
    /// From their exits to those of the calls around them.
    after: u32,
}

/// Measures, and writes the marks. By the boot CPU, interrupts off, with a chunk open.
pub fn calibrate() {
    let begin = now();
    let Some(stack) = take_pooled() else { return };
    let top = top_of(task::current());
    // SAFETY: the stack was free; the running task's top goes to it and back, and what an NMI does
    // meanwhile nests on it and is gone when it returns.
    let before = unsafe {
        clear(stack);
        let before = top.read_volatile();
        top.write_volatile(stack + size_of::<Frame>());
        before
    };
    let (mut empty, mut plain_leaves, mut plain_pairs) = (u32::MAX, u32::MAX, u32::MAX);
    let (mut leaves, mut pairs) = (None, None);
    let mut round = 0;
    while round < ROUNDS {
        // SAFETY: our own code: functions that do nothing.
        unsafe {
            empty = empty.min(eft_batch_empty());
            plain_leaves = plain_leaves.min(eft_batch_plain_leaves());
            plain_pairs = plain_pairs.min(eft_batch_plain_pairs());
        }
        // SAFETY: as above.
        faster(&mut leaves, measure(|| unsafe { eft_batch_leaves() }, LEAF_WORDS, leaf_words));
        // SAFETY: as above.
        faster(&mut pairs, measure(|| unsafe { eft_batch_pairs() }, PAIR_WORDS, pair_words));
        round += 1;
    }
    // SAFETY: as above.
    unsafe { top.write_volatile(before) };
    give(stack);
    let (Some((leaves, of_leaves)), Some((pairs, of_pairs))) = (leaves, pairs) else { return };
    let end = now();
    let tell = |what: Measured, value: u32| put_mark(Mark::Calibration(what as u8), value, end);
    tell(Measured::Took, end.wrapping_sub(begin).min(u32::MAX as u64) as u32);
    tell(Measured::Empty, empty);
    tell(Measured::PlainLeaves, plain_leaves);
    tell(Measured::PlainPairs, plain_pairs);
    tell(Measured::Leaves, leaves);
    tell(Measured::LeavesInside, of_leaves.inside);
    tell(Measured::Pairs, pairs);
    tell(Measured::PairsBefore, of_pairs.before);
    tell(Measured::PairsInside, of_pairs.inside);
    tell(Measured::PairsAfter, of_pairs.after);
}

fn faster(best: &mut Option<(u32, Sums)>, new: Option<(u32, Sums)>) {
    if let Some((ticks, _)) = new
        && best.is_none_or(|(least, _)| ticks < least)
    {
        *best = new;
    }
}

/// Runs a batch, reads its words and takes them back. `None` if they are not just those that it should
/// have written. (Generic: a call by a pointer is not for kernels with retpolines or IBT.)
fn measure(batch: impl FnOnce() -> u32, count: u64, sums: impl FnOnce(u64) -> Option<Sums>) -> Option<(u32, Sums)> {
    // All at one moment: an NMI's word may move the base in between.
    let (from, old_anchor, old_high, old_epoch) = loop {
        let from = position();
        let old = (anchor(), high(), epoch());
        if position() == from {
            break (from, old.0, old.1, old.2);
        }
    };
    // In an open chunk, which has room for one word more: what comes after the batch is a slot, too.
    if !is_slot(from) || (from & (CHUNK_SIZE - 1)) + count * 8 >= CHUNK_SIZE {
        return None;
    }
    // As in a boot, where events follow each other: the last word is not long ago.
    set_base(TimeBase::at(now()));
    let ticks = batch();
    // As `put_time`: nobody may reserve while the words vanish and the base goes back to what the words
    // before them say.
    exclusively(0, || {
        let to = withhold()?;
        if to < from || (to ^ from) & !(CHUNK_SIZE - 1) != 0 {
            // Another chunk was opened: nothing can be taken back.
            set_position(to);
            return None;
        }
        let found = if to - from == count * 8 { sums(from) } else { None };
        let lost = foreign(from, to);
        if lost != 0 {
            count_nmi(lost);
        }
        let mut at = from;
        while at < to {
            // SAFETY: slots of the open chunk that nobody else writes any more.
            unsafe { (at as *mut u64).write_volatile(0) };
            at += 8;
        }
        set_anchor(old_anchor);
        set_high(old_high);
        set_epoch(old_epoch);
        set_position(from);
        Some((ticks, found?))
    })
    .flatten()
}

/// The low and the high half of the word at `at`.
fn halves(at: u64) -> (u32, u32) {
    // SAFETY: the callers' word: a slot of the open chunk.
    let word = unsafe { (at as *const u64).read_volatile() };
    (word as u32, (word >> 32) as u32)
}

/// Duration and end of the leaf word at `at`, if it is our leaf's.
fn leaf_word(at: u64) -> Option<(u32, u32)> {
    let (low, high) = halves(at);
    (low == leaf_site() && high >> 31 == 1).then_some((high & 0x7fff, high >> 15 & 0xffff))
}

fn leaf_words(from: u64) -> Option<Sums> {
    let mut sums = Sums { inside: 0, before: 0, after: 0 };
    let mut at = from;
    while at < from + LEAF_WORDS * 8 {
        sums.inside += leaf_word(at)?.0;
        at += 8;
    }
    Some(sums)
}

fn pair_words(from: u64) -> Option<Sums> {
    let mut sums = Sums { inside: 0, before: 0, after: 0 };
    let mut at = from;
    while at < from + PAIR_WORDS * 8 {
        let (outer, entered) = halves(at);
        let (duration, end) = leaf_word(at + 8)?;
        let (exit, left) = halves(at + 16);
        if outer != outer_site() || entered >> 31 != 0 || exit != EXIT_LOW {
            return None;
        }
        sums.before += end.wrapping_sub(duration).wrapping_sub(entered) & 0xffff;
        sums.inside += duration;
        sums.after += left.wrapping_sub(end) & 0xffff;
        at += 24;
    }
    Some(sums)
}

/// Entries and exits between ours: an NMI's. They are taken back too, and lost.
fn foreign(from: u64, to: u64) -> u64 {
    let (mut weight, mut exits) = (0u64, 0u64);
    let mut at = from;
    while at < to {
        let (low, high) = halves(at);
        let leaf = high >> 31 == 1;
        if low == leaf_site() || low == outer_site() {
            // An entry of ours has an exit word.
            exits += !leaf as u64;
        } else if low == EXIT_LOW {
            weight += 1;
        } else if low >= LOWEST_FUNCTION {
            weight += 1 + leaf as u64;
        }
        at += 8;
    }
    weight.saturating_sub(exits)
}
