// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The boot in words that guest and host share: its phases and initcall levels, in order; and the
//! `hypergraph=` command line. No allocation, no dependency, no unsafe: the same code reads the command
//! line inside the kernel, before the kernel has, and on the host, before the boot.
//!
//! 1. [`phase`]: levels, phases, sets of phases;
//! 2. `options`: the grammar and its parser (to come).
#![no_std]
#![forbid(unsafe_code)]

pub mod phase;

pub use phase::{Level, Phase, PhaseSet};
