// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A check for programs. In: a [`Check`]. Out: JSON, which symbolizer/CHECK.md describes. Never here: judging.

use std::io::{self, Write};

use serde::Serialize;

use super::check::{Check, Finding, Set, Unit, Verdict};
use super::diff::Values;

/// Version of this JSON.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Root<'a> {
    check_version: u32,
    verdict: &'static str,
    has_budgets: bool,
    boots: Boots<'a>,
    baseline: Option<Boots<'a>>,
    findings: Vec<One<'a>>,
    headline: &'a [String],
    doubts: &'a [String],
}

#[derive(Serialize)]
struct Boots<'a> {
    boots: &'a [String],
    releases: &'a [String],
}

#[derive(Serialize)]
struct One<'a> {
    verdict: &'static str,
    title: &'a str,
    line: Option<usize>,
    limit: &'a str,
    unit: &'static str,
    value: Sums<'a>,
    baseline: Option<Sums<'a>>,
    allowed: Option<f64>,
    change: Option<f64>,
    p: Option<f64>,
    remark: &'a str,
}

#[derive(Serialize)]
struct Sums<'a> {
    mean: f64,
    sd: f64,
    all: &'a [f64],
}

/// The word for it, here and in JUnit's.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Broken => "broken",
        Verdict::Unclear => "unclear",
    }
}

fn sums(values: &Values) -> Sums<'_> {
    Sums { mean: values.mean, sd: values.sd, all: &values.all }
}

fn boots(set: &Set) -> Boots<'_> {
    Boots { boots: &set.boots, releases: &set.releases }
}

fn one(finding: &Finding) -> One<'_> {
    One {
        verdict: word(finding.verdict),
        title: &finding.title,
        line: finding.line,
        limit: &finding.limit,
        unit: match finding.unit {
            Unit::Nanoseconds => "ns",
            Unit::Ticks => "ticks",
            Unit::Number => "",
        },
        value: sums(&finding.value),
        baseline: finding.baseline.as_ref().map(sums),
        allowed: finding.allowed,
        change: finding.change(),
        p: finding.p,
        remark: &finding.remark,
    }
}

/// Writes it.
///
/// # Errors
/// Those of the writer.
pub fn write(check: &Check, out: &mut dyn Write) -> io::Result<()> {
    let root = Root {
        check_version: VERSION,
        verdict: word(check.verdict()),
        has_budgets: check.has_budgets,
        boots: boots(&check.boots),
        baseline: check.baseline.as_ref().map(boots),
        findings: check.findings.iter().map(one).collect(),
        headline: &check.headline,
        doubts: &check.doubts,
    };
    serde_json::to_writer_pretty(&mut *out, &root)?;
    writeln!(out)
}
