// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Tests of `kernel-config` from outside. [`harness`] runs the real guest object in this process;
//! [`guest`] is what it must do there, [`held`] a part of it alone; [`refusals`] are images that cannot be traced.

mod guest;
mod harness;
mod held;
mod plan;
mod refusals;
mod tree;
