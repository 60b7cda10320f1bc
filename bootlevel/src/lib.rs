// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The boot in words that guest and host share: its phases and initcall levels, in order; and the
//! `hypergraph=` command line. No allocation, no dependency, no unsafe: the same code reads the command
//! line inside the kernel, before the kernel has, and on the host, before the boot.
//!
//! 1. [`phase`]: levels, phases, sets of phases;
//! 2. [`mod@line`]: where `hypergraph=` stands on a kernel's command line;
//! 3. [`options`]: the grammar and its parser; [`problem`]: what can be wrong;
//! 4. [`glob`]: patterns for function names.
//!
//! What the guest uses is `#[inline]`: its object has only its own crate's code, and must have no way to
//! panic, no call to `memcmp` and its like, no vector register.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod glob;
pub mod line;
pub mod options;
pub mod phase;
mod print;
pub mod problem;

pub use line::{Texts, texts};
pub use options::{Channel, EventKind, Events, Item, Items, Options, Overflow, Part, items, selects};
pub use phase::{Level, Phase, PhaseSet};
pub use problem::{Problem, Span};
