// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What tells two sets of boots apart most clearly, to say of boots between them which they are like. In: a [`Diff`].
//! Out: [`Signature`], and [`nearer`] of other boots. For a bisection: a boot in the middle of the range need not be
//! compared with both ends as a whole. Never here: kernels, commits.

use super::boot::Boot;
use super::diff::{Diff, Metric, Row};

/// A difference between the ends that a boot can be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What differs.
    pub row: Row,
    /// In which of its figures; none if it begins in another level, or is there on one side only.
    pub metric: Option<Metric>,
    /// What the figure is on the good side, and on the bad one.
    pub ends: (f64, f64),
    /// How far single boots are from these, as standard deviations.
    pub spread: f64,
}

/// The most telling differences, best first; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// Each of something else.
    pub findings: Vec<Finding>,
}

/// What a boot is like.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Side A.
    Good,
    /// Side B.
    Bad,
    /// It cannot be told.
    Unclear {
        /// In words.
        why: String,
    },
}

impl Signature {
    /// Of what has changed; none if nothing has.
    pub fn of(_diff: &Diff) -> Option<Signature> {
        None
    }

    /// The most telling difference.
    pub fn headline(&self) -> Option<&Row> {
        self.findings.first().map(|finding| &finding.row)
    }
}

/// Which end these boots (of one kernel) are like.
pub fn nearer(_signature: &Signature, _boots: &[Boot]) -> Verdict {
    Verdict::Unclear { why: "nothing is known of the ends".to_owned() }
}
