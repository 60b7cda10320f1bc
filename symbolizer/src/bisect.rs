// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From a good and a bad kernel to the first bad commit and the function. In: where kernels come from, how they are
//! booted, what tells a bad one. Out: the first bad one and its difference from the one before it. It works in a
//! directory of its own, where it goes on after an interruption. Never here: how a trace is read, standard output.
//!
//! The tour, in the order of a step:
//! 1. [`search`]: which kernel next; by `git bisect` ([`git`]), or in a list ([`list`], of [`kernels`]);
//! 2. [`build`]: its vmlinux;
//! 3. [`boots`]: its boots, by `symbolize record` in a process of its own ([`child`]), kept as small files;
//! 4. [`verdict`]: which end they are like;
//! 5. [`work`]: what is known so far, in files; [`measure`] looks there first;
//! 6. [`drive`]: all of it, up to the end.

pub mod boots;
pub mod build;
pub mod child;
pub mod code;
pub mod drive;
pub mod error;
pub mod figure;
pub mod git;
pub mod kernels;
pub mod list;
pub mod measure;
pub mod search;
pub mod verdict;
pub mod work;

pub use error::BisectError;

/// What is told of the work while it goes on.
pub trait Tell {
    /// Something is done: a line that stays, and stands in the log too.
    fn line(&mut self, line: &str);
    /// What is done now.
    fn doing(&mut self, what: &str);
}
