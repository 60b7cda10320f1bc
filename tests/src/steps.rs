// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Says what is being done, with the time since the start. In: names of steps. Out: lines on stderr,
//! so that stdout carries results only. Never here: results.

use std::fmt::Display;
use std::time::Instant;

/// A command's steps.
#[derive(Debug)]
pub struct Steps {
    start: Instant,
}

impl Default for Steps {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Steps {
    /// Begins a step.
    pub fn step(&self, what: impl Display) {
        eprintln!("[{:7.1} s] {what}", self.start.elapsed().as_secs_f64());
    }
}
