// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a word means once its time is whole: [`Event`]. In and out: plain values. Never here: bits.

use crate::mark::Mark;
use crate::word::EndReason;

/// One thing that happened on one CPU. Times are full time stamp counter values (ticks); sites are
/// full virtual addresses (the address after the `call __fentry__`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A function was entered.
    Entry {
        /// Address after the call site.
        site: u64,
        /// Ticks.
        time: u64,
    },
    /// The innermost open function of the running task returned.
    Exit {
        /// Ticks.
        time: u64,
    },
    /// A function was entered and left with nothing between; stands for two events.
    Leaf {
        /// Address after the call site.
        site: u64,
        /// Ticks at entry.
        start: u64,
        /// Ticks at exit.
        end: u64,
    },
    /// The CPU goes on with another task.
    Switch {
        /// `__state` of the task that it leaves.
        state: u32,
        /// Priority of the next task, as the kernel's `prio` (-1 to 139).
        prio: i32,
        /// Pid of the next task (0: idle).
        pid: u32,
        /// Ticks.
        time: u64,
    },
    /// Events were lost here.
    Lost {
        /// How many.
        count: u32,
    },
    /// A task has this name.
    Named {
        /// The task.
        pid: u32,
        /// `comm`, NUL-padded.
        name: [u8; 16],
    },
    /// A task is gone; its pid may come again.
    Ended {
        /// The task.
        pid: u32,
    },
    /// This task is running on the CPU (said where a chunk begins).
    Running {
        /// The task.
        pid: u32,
    },
    /// The stream ends in order.
    End {
        /// Why.
        reason: EndReason,
        /// Ticks.
        time: u64,
    },
    /// See [`Mark`].
    Mark {
        /// What.
        mark: Mark,
        /// Its value.
        value: u32,
        /// Ticks.
        time: u64,
    },
    /// Kinds of later versions, as they came.
    Other {
        /// The raw control word.
        word: u64,
    },
}

impl Event {
    /// How many entries and exits the event stands for.
    pub const fn weight(&self) -> u64 {
        match self {
            Event::Entry { .. } | Event::Exit { .. } => 1,
            Event::Leaf { .. } => 2,
            _ => 0,
        }
    }
}
