// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a whole trace was made of, filters or not. In: counts from [`mod@super::build`]. Out: [`Totals`].
//! Never here: figures of single functions.

use early_ftrace_format::word::EndReason;

use super::modules::Modules;
use super::sites::{Site, Sites};
use super::task::{Frame, Task, TaskId};

/// What the whole trace was made of.
#[derive(Debug, Default)]
pub struct Totals {
    /// Entries and exits; a leaf call is two.
    pub events: u64,
    /// Words read.
    pub words: u64,
    /// Events that the guest says it lost.
    pub lost: u64,
    /// How often events were lost: places, not events.
    pub losses: u64,
    /// Reserved slots that were never written.
    pub unwritten: u64,
    /// Control words of kinds that this version does not know or use.
    pub other: u64,
    /// Exits without an entry.
    pub orphans: u64,
    /// Frames cut at a loss.
    pub cut: u64,
    /// Exits given to frames that were open while another CPU lost events: probable, not certain.
    pub suspect: u64,
    /// Chunks whose running task was not the expected one although nothing was lost.
    pub mismatches: u64,
    /// Context switches.
    pub switches: u64,
    /// Parts of the trace that are missing: CPU, byte offset if known, why.
    pub gaps: Vec<(u32, Option<u64>, String)>,
    /// How many such parts there are.
    pub gap_count: u64,
    /// Time of the first chunk.
    pub first: u64,
    /// Latest time of any event.
    pub last: u64,
    /// Each CPU with words, and how its stream ended; `None`: the end is missing.
    pub ends: Vec<(u32, Option<EndReason>)>,
    /// The function of each site, in order of first appearance.
    pub sites: Sites,
    /// Modules that were loaded.
    pub modules: Modules,
    /// Tasks in order of first appearance; what they have open at the end is in [`Self::open`].
    pub tasks: Vec<Task>,
    /// Tasks that had frames open at the end, and those frames.
    pub open: Vec<(TaskId, Vec<Frame>)>,
}

impl Totals {
    /// Where each function is, in order of their numbers.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = Site<'_>> {
        self.sites.all().map(|(address, module)| Site { address, module: module.and_then(|id| self.modules.get(id)) })
    }
}
