// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Entries that were never written. In: the region of a guest that has ended. Out: for each task that
//! was running then, the function that it was in and had not called anything from. The guest writes an
//! entry when something happens inside the function; where nothing did any more (a power-off is a write
//! to a port), the entry is still in the task's shadow stack.

use super::region::SharedRegion;
use early_ftrace_format::event::Event;
use early_ftrace_format::shared::{CLAIMED, Frame, FrameBase};
use early_ftrace_format::word::{KERNEL_HIGH, LOWEST_FUNCTION};
use zerocopy::FromBytes;
use zerocopy::IntoBytes;

/// Most stacks that are looked at; the injector lays out 512.
const MAX_STACKS: u32 = 1 << 16;

/// An entry that was pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The task.
    pub pid: u32,
    /// Its entry.
    pub entry: Event,
}

/// The pending entries of all shadow stacks in the region. Nothing of the guest's is believed: a header
/// whose stacks lie elsewhere, or frames that make no sense, give none.
pub fn pending(region: &SharedRegion) -> Vec<Pending> {
    let header = region.header();
    let size = u64::from(header.stack_size);
    let end = u64::from(header.stacks).checked_mul(size).and_then(|all| header.stacks_off.checked_add(all));
    let sensible = (64..=1 << 16).contains(&size) && size.is_multiple_of(32) && header.stacks <= MAX_STACKS;
    if !sensible || !header.stacks_off.is_multiple_of(8) || end.is_none_or(|end| end > header.rings_off) {
        return Vec::new();
    }
    let mut words = vec![0u64; header.stack_size as usize / 8];
    let mut found = Vec::new();
    for stack in 0..u64::from(header.stacks) {
        region.copy_words(header.stacks_off + stack * size, &mut words);
        let mut frames = words.as_bytes().chunks_exact(size_of::<Frame>());
        let Some(base) = frames.next().and_then(|bytes| FrameBase::read_from_bytes(bytes).ok()) else { continue };
        for frame in frames.filter_map(|bytes| Frame::read_from_bytes(bytes).ok()) {
            // Below the lowest function: a stack that was never used, all zero. All but the top bit set:
            // the last frame of a full stack, whose entry is written.
            if frame.high & CLAIMED == 0 && frame.high != !CLAIMED && frame.site >= LOWEST_FUNCTION {
                let time = u64::from(frame.high) << 32 | u64::from(frame.time);
                let entry = Event::Entry { site: KERNEL_HIGH | u64::from(frame.site), time };
                found.push(Pending { pid: base.pid as u32, entry });
            }
        }
    }
    found
}
