// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a search is, for those who drive it: which kernel is to be tested next, what became of it, when the end is
//! reached. Never here: how ([`super::git`], [`super::list`]).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::BisectError;
use super::child::Hands;

/// Characters of a commit's ID that are shown, and name its directory.
pub const SHORT: usize = 12;

/// A kernel to be tested: a commit, or one of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The whole commit ID, or the number in the list and its name.
    pub id: String,
    /// Of a commit, its subject; else what its file is called.
    pub title: String,
}

impl Candidate {
    /// What it is called in a few characters, and its directory.
    pub fn short(&self) -> String {
        if self.id.len() == 40 && self.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return self.id[..SHORT].to_owned();
        }
        self.id.clone()
    }
}

/// What became of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// As the good end.
    Good,
    /// As the bad end.
    Bad,
    /// Cannot be told.
    Skip,
}

impl Mark {
    /// As git calls it.
    pub fn word(self) -> &'static str {
        match self {
            Mark::Good => "good",
            Mark::Bad => "bad",
            Mark::Skip => "skip",
        }
    }
}

/// Where the search stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This one is to be tested.
    Test {
        /// Which.
        candidate: Candidate,
        /// How many may be the first bad one.
        left: usize,
        /// About so many steps, this one included.
        steps: usize,
    },
    /// The first bad one; several, if one of them is it and which cannot be told, oldest first.
    Found(Vec<Candidate>),
}

/// A kernel, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// Its vmlinux.
    Kernel(PathBuf),
    /// It does not build: the reason in a line.
    No(String),
}

/// A search.
pub trait Search {
    /// The good and the bad end.
    fn ends(&self) -> (Candidate, Candidate);

    /// What tells a candidate's kernel from another one of the same ID; empty if the ID alone does.
    fn key(&self, _candidate: &Candidate) -> String {
        String::new()
    }

    /// Makes the kernel of a candidate. `dir` is its directory, where `build.log` and what is made may lie.
    ///
    /// # Errors
    /// When it cannot be told whether it builds.
    fn make(&mut self, candidate: &Candidate, dir: &Path, hands: &Hands) -> Result<Made, BisectError>;

    /// Begins, with what is known already.
    ///
    /// # Errors
    /// When git or the list refuses.
    fn begin(&mut self, known: &[(String, Mark)]) -> Result<Next, BisectError>;

    /// What became of a candidate.
    ///
    /// # Errors
    /// When git or the list refuses.
    fn mark(&mut self, id: &str, mark: Mark) -> Result<Next, BisectError>;

    /// The one directly before it, if there is one.
    ///
    /// # Errors
    /// When git refuses.
    fn before(&mut self, id: &str) -> Result<Option<Candidate>, BisectError>;

    /// The end: everything as it was.
    ///
    /// # Errors
    /// When git refuses.
    fn finish(&mut self) -> Result<(), BisectError>;
}

/// About how many steps it takes to find one of so many.
pub fn steps(left: usize) -> usize {
    left.max(1).next_power_of_two().trailing_zeros() as usize
}
