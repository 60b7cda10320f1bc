// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where one CPU's stream stands while the CPUs are merged. In and out: plain state, moved on by
//! [`mod@super::build`]. Never here: tasks' stacks.

use early_ftrace_format::event::Event as Full;
use early_ftrace_format::word::EndReason;

use super::task::TaskId;
use crate::decode::{Batch, Event, Rare};

/// What a CPU does next, at the time for which it waits in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Goes on with the current task.
    Resume,
    /// Goes on with this task.
    Switch(u32),
    /// A chunk opens after a loss, or the first one.
    Open { pid: u32, lossy: bool },
    /// A task is gone.
    Ended(u32),
}

pub(super) struct Cursor {
    pub(super) stream: usize,
    pub(super) cpu: u32,
    pub(super) batch: Batch,
    /// Pieces of the stream that were taken so far.
    pub(super) taken: usize,
    /// `batch` is the last of them; false before the first and behind the last one.
    pub(super) loaded: bool,
    pub(super) run: usize,
    /// Next event, as an index into the batch.
    pub(super) at: usize,
    /// The header of `run` has been looked at.
    pub(super) opened: bool,
    /// Number of the chunk that should come.
    pub(super) seq: u64,
    /// A part of the stream is missing before the next chunk.
    pub(super) lossy: bool,
    pub(super) current: Option<TaskId>,
    /// No task was on it yet.
    pub(super) fresh: bool,
    /// Latest time so far.
    pub(super) now: u64,
    pub(super) next: Next,
    pub(super) end: Option<EndReason>,
}

impl Cursor {
    pub(super) fn new(stream: usize, cpu: u32) -> Cursor {
        Cursor {
            stream,
            cpu,
            batch: Batch::default(),
            taken: 0,
            loaded: false,
            run: 0,
            at: 0,
            opened: false,
            seq: 0,
            lossy: false,
            current: None,
            fresh: true,
            now: 0,
            next: Next::Resume,
            end: None,
        }
    }

    /// Whether the next event says who runs from here on.
    pub(super) fn begins_with_switch(&self) -> bool {
        let event = self.batch.events.get(self.at).filter(|event| event.code == Event::RARE);
        matches!(
            event.and_then(|event| self.batch.rare.get(event.extra as usize)),
            Some(Rare::Event(Full::Switch { .. } | Full::Running { .. }))
        )
    }
}
