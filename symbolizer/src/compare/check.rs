// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Boots against budgets, or against a baseline: good or not. In: boots, budgets, the comparison with the baseline.
//! Out: a [`Finding`] for each budget (without budgets: for each level, and whatever else became slower). Never here:
//! how boots are compared ([`super::judge`]), formatting.

pub mod chance;
pub mod figures;

use super::boot::Boot;
use super::budget::{Amount, Budget, Figure, Subject};
use super::diff::{Basis, Change, Diff, Kind, Metric, Row, Values};
use super::{settings, statistics};
use crate::trace_dir::Meta;

/// What is said of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept, or nothing became slower.
    Good,
    /// It is broken, or something became slower, and that is no chance.
    Broken,
    /// It cannot be told from these boots.
    Unclear,
}

/// In what a figure is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// Ticks of the time stamp counter.
    Ticks,
    /// Things.
    Number,
}

/// A budget, or a figure of the comparison, with what is said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Line of the budget; none if it is of the comparison.
    pub line: Option<usize>,
    /// What it is of: `level fs time`.
    pub title: String,
    /// What is allowed, as the budget says it: `< 30 ms`.
    pub limit: String,
    /// In what its figures are counted.
    pub unit: Unit,
    /// In the boots that are checked.
    pub value: Values,
    /// In the baseline.
    pub baseline: Option<Values>,
    /// The limit as a figure.
    pub allowed: Option<f64>,
    /// Probability of such a difference from the baseline (of a limit below it: from that limit) if there were none,
    /// corrected for all that was tested; none if it was not tested, or boots are deterministic.
    pub p: Option<f64>,
    /// Good or not.
    pub verdict: Verdict,
    /// What else must be known; may be empty.
    pub remark: String,
}

impl Finding {
    /// How much more it is than in the baseline, as a part of that.
    pub fn change(&self) -> Option<f64> {
        let base = self.baseline.as_ref()?.mean;
        (base > 0.0).then(|| (self.value.mean - base) / base)
    }
}

/// A side of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Names of the boots.
    pub boots: Vec<String>,
    /// Releases of their kernels, each once.
    pub releases: Vec<String>,
}

impl Set {
    fn of(boots: &[Boot]) -> Set {
        let mut releases: Vec<String> = boots.iter().map(|boot| boot.meta.release.clone()).collect();
        releases.sort();
        releases.dedup();
        Set { boots: boots.iter().map(|boot| boot.name.clone()).collect(), releases }
    }
}

/// All that is said.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The boots that are checked.
    pub boots: Set,
    /// The baseline, if there is one.
    pub baseline: Option<Set>,
    /// Findings are budgets; else those of the comparison.
    pub has_budgets: bool,
    /// Budgets in the order of the file.
    pub findings: Vec<Finding>,
    /// The comparison with the baseline in sentences.
    pub headline: Vec<String>,
    /// What makes the result doubtful, in sentences.
    pub doubts: Vec<String>,
}

impl Check {
    /// Findings of a kind.
    pub fn with(&self, verdict: Verdict) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.verdict == verdict)
    }

    /// Of the whole: broken if anything is.
    pub fn verdict(&self) -> Verdict {
        let has = |verdict| self.with(verdict).next().is_some();
        match (has(Verdict::Broken), has(Verdict::Unclear)) {
            (true, _) => Verdict::Broken,
            (false, true) => Verdict::Unclear,
            (false, false) => Verdict::Good,
        }
    }
}

/// Why boots cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Nothing to check against.
    #[error("nothing to check against: give a baseline, budgets, or both")]
    Nothing,
    /// No boots.
    #[error("no boots to check")]
    NoBoots,
    /// A budget is relative, and there is no baseline.
    #[error("line {line}: `{budget}` is relative to a baseline: give one with --baseline")]
    NoBaseline {
        /// Its line.
        line: usize,
        /// The budget.
        budget: String,
    },
}

/// Level of the tests: of nothing but chance, one in twenty checks would break.
pub const LEVEL: f64 = 0.05;

/// Checks boots. `diff` is the comparison of the baseline with them; `budgets` none: that itself is what is checked.
///
/// # Errors
/// [`CheckError`].
pub fn check(
    boots: &[Boot],
    baseline: &[Boot],
    budgets: Option<&[Budget]>,
    diff: Option<&Diff>,
) -> Result<Check, CheckError> {
    if boots.is_empty() {
        return Err(CheckError::NoBoots);
    }
    let mut findings = ends(boots);
    match (budgets, diff) {
        (Some(budgets), _) => findings.extend(of_budgets(boots, baseline, budgets)?),
        (None, Some(diff)) => findings.extend(of_diff(diff)),
        (None, None) => return Err(CheckError::Nothing),
    }
    let mut doubts = diff.map_or_else(|| unlike(boots), |diff| diff.doubts.clone());
    // Compared by force all the same.
    let settings = diff.map(|diff| diff.settings.as_slice()).unwrap_or_default();
    doubts.extend(settings.iter().map(|difference| format!("the boots are not alike: {difference}")));
    let lost = boots.iter().filter(|boot| boot.totals.lost > 0 || boot.totals.gaps > 0).count();
    if lost > 0 && diff.is_none() {
        doubts.push(format!("{lost} of {} boots lost events: their figures are too small", boots.len()));
    }
    Ok(Check {
        boots: Set::of(boots),
        baseline: (!baseline.is_empty()).then(|| Set::of(baseline)),
        has_budgets: budgets.is_some(),
        findings,
        headline: Vec::new(),
        doubts,
    })
}

/// Boots that are not alike, where no comparison has refused them.
fn unlike(boots: &[Boot]) -> Vec<String> {
    let metas: Vec<(String, Meta)> = boots.iter().map(|boot| (boot.name.clone(), boot.meta.clone())).collect();
    settings::differences(&metas).iter().map(|difference| format!("the boots are not alike: {difference}")).collect()
}

/// A boot that did not get to its end keeps any budget, and is worth nothing.
fn ends(boots: &[Boot]) -> Vec<Finding> {
    let dead = |boot: &&Boot| boot.is_dead();
    let all: Vec<f64> = boots.iter().map(|boot| f64::from(u8::from(boot.is_dead()))).collect();
    let Some(first) = boots.iter().find(dead) else { return Vec::new() };
    let value = values(all);
    let count = boots.iter().filter(dead).count();
    vec![Finding {
        line: None,
        title: "boots that died".to_owned(),
        limit: "< 1".to_owned(),
        unit: Unit::Number,
        value,
        baseline: None,
        allowed: Some(1.0),
        p: None,
        verdict: Verdict::Broken,
        remark: format!("{count} of {}; the first is {}", boots.len(), first.name),
    }]
}

/// Mean and deviation of these.
pub fn values(all: Vec<f64>) -> Values {
    let (mean, sd) = statistics::mean_and_sd(&all);
    Values { all, mean, sd }
}

fn of_budgets(boots: &[Boot], baseline: &[Boot], budgets: &[Budget]) -> Result<Vec<Finding>, CheckError> {
    if let Some(budget) = budgets.iter().find(|budget| budget.is_relative() && baseline.is_empty()) {
        return Err(CheckError::NoBaseline { line: budget.line, budget: budget.to_string() });
    }
    let mut findings = Vec::new();
    for budget in budgets {
        if budget.subject.is_count() {
            findings.push(count(budget, boots, baseline));
            continue;
        }
        let measured = figures::measure(budget, boots, baseline);
        if measured.is_empty() {
            let remark = figures::nothing(budget, boots);
            let value = values(vec![0.0; boots.len()]);
            findings.push(Finding { value, verdict: Verdict::Good, remark, ..unclear(budget) });
        }
        for (name, value, base) in measured {
            findings.push(one(budget, &name, value, base, boots, baseline));
        }
    }
    let tests = findings.iter().filter(|finding| finding.p.is_some()).count();
    correct(&mut findings, tests, baseline.len(), boots.len());
    Ok(findings)
}

/// The number of things that one side alone has.
fn count(budget: &Budget, boots: &[Boot], baseline: &[Boot]) -> Finding {
    let (number, some) = figures::alone(budget.subject, boots, baseline);
    let Amount::Value(allowed) = budget.amount else { return unclear(budget) };
    let verdict = if within(number, allowed, budget.or_equal) { Verdict::Good } else { Verdict::Broken };
    let remark = if some.is_empty() { String::new() } else { some.join(", ") };
    Finding { value: values(vec![number]), allowed: Some(allowed), verdict, remark, ..unclear(budget) }
}

/// A budget of which nothing is known yet.
fn unclear(budget: &Budget) -> Finding {
    Finding {
        line: Some(budget.line),
        title: budget.title(budget.name.text()),
        limit: budget.limit(),
        unit: Unit::Number,
        value: Values::default(),
        baseline: None,
        allowed: None,
        p: None,
        verdict: Verdict::Unclear,
        remark: String::new(),
    }
}

fn within(value: f64, allowed: f64, or_equal: bool) -> bool {
    value < allowed || (or_equal && value <= allowed)
}

fn one(budget: &Budget, name: &str, value: Vec<f64>, base: Vec<f64>, boots: &[Boot], baseline: &[Boot]) -> Finding {
    let all = || boots.iter().chain(baseline);
    let clocked = all().all(|boot| boot.ns);
    let unit = match (budget.figure.is_time(), clocked) {
        (true, true) => Unit::Nanoseconds,
        (true, false) => Unit::Ticks,
        (false, _) => Unit::Number,
    };
    let absent = value.iter().chain(&base).all(|&value| value == 0.0);
    let (value, base) = (values(value), (!base.is_empty()).then(|| values(base)));
    let mean = base.as_ref().map_or(0.0, |base| base.mean);
    let more = match budget.amount {
        Amount::Value(value) => value - mean,
        Amount::More(more) => more,
        Amount::Percent(percent) => mean * percent / 100.0,
    };
    let allowed = if let Amount::Value(value) = budget.amount { value } else { mean + more };
    // Is it chance? `correct` says so, when all are known.
    let chance = base.as_ref().filter(|_| budget.is_relative() && !absent && !all().all(Boot::is_exact)).map(|base| {
        // That it is more than the baseline says nothing of a limit below that.
        let base: Vec<f64> = base.all.iter().map(|value| value + more.min(0.0)).collect();
        chance::more(&base, &value.all)
    });
    let mut finding =
        Finding { title: budget.title(name), unit, value, baseline: base, allowed: Some(allowed), ..unclear(budget) };
    if unit == Unit::Ticks && !matches!(budget.amount, Amount::Percent(_)) {
        finding.remark = "these traces do not say how fast their clock is".to_owned();
        return finding;
    }
    if budget.figure == Figure::Instructions && !all().all(Boot::is_deterministic) {
        finding.remark =
            "instructions are counted in deterministic boots only: symbolize record --deterministic".to_owned();
        return finding;
    }
    if absent {
        finding.remark = figures::nothing(budget, boots);
    }
    // Nothing is no more than nothing, by any part of it.
    let nothing = absent && budget.is_relative();
    finding.verdict = match nothing || within(finding.value.mean, allowed, budget.or_equal) {
        true => Verdict::Good,
        false => Verdict::Broken,
    };
    finding.p = chance;
    finding
}

/// `tests` budgets are compared with the baseline: each must be the surer for it. What may be chance breaks nothing.
fn correct(findings: &mut [Finding], tests: usize, baseline: usize, boots: usize) {
    let tests = tests.max(1) as f64;
    let least = chance::least(baseline, boots);
    for finding in findings {
        let Some(p) = finding.p.as_mut() else { continue };
        *p = (*p * tests).min(1.0);
        let p = *p;
        if finding.verdict != Verdict::Broken {
            continue;
        }
        if least * tests > LEVEL {
            finding.verdict = Verdict::Unclear;
            finding.remark = format!("over its limit, but {}", too_few(baseline, boots));
        } else if p > LEVEL {
            finding.verdict = Verdict::Good;
            finding.remark = "over its limit, but within the noise of these boots".to_owned();
        }
    }
}

fn too_few(baseline: usize, boots: usize) -> String {
    let s = if boots == 1 { "" } else { "s" };
    format!(
        "{boots} boot{s} against {baseline} cannot tell a change from chance: give more, or record with --deterministic"
    )
}

/// All levels, and of the others what became slower.
fn of_diff(diff: &Diff) -> Vec<Finding> {
    let time = |row: &Row| row.change(Metric::Time).map(|change| of_change(diff, row, change));
    let mut findings: Vec<Finding> = time(&diff.boot).into_iter().collect();
    findings.extend(diff.levels.iter().filter_map(time));
    let slower = |row: &Row, change: &&Change| {
        let time = !matches!(change.metric, Metric::Calls | Metric::Events | Metric::OnFirstCpu);
        time && change.changed && change.difference > 0.0 && !row.is_new() && !row.is_gone()
    };
    // On a CPU only where the time from begin to end does not say it already.
    let said = |row: &Row, change: &Change| {
        change.metric == Metric::Busy
            && row.change(Metric::Time).is_some_and(|time| time.changed && time.difference > 0.0)
    };
    // A module that is slower by one of its initcalls is said already.
    let more = |row: &Row| row.change(Metric::Time).map_or(0.0, |change| change.difference);
    let by_initcall = |module: &&Row| {
        let of = |row: &&Row| row.item.module == module.item.name && more(row) >= more(module) * 0.9;
        diff.initcalls.iter().filter(of).any(|row| row.changes.iter().any(|change| slower(row, &change)))
    };
    let modules = diff.modules.iter().filter(|row| !by_initcall(row));
    let others = diff.initcalls.iter().chain(modules).chain(&diff.functions);
    for row in std::iter::once(&diff.boot).chain(&diff.levels).chain(others) {
        let has = |change: &&Change| !matches!(row.kind, Kind::Boot | Kind::Level) || change.metric != Metric::Time;
        let slower = row.changes.iter().filter(|change| slower(row, change)).filter(has);
        findings.extend(slower.filter(|change| !said(row, change)).map(|change| of_change(diff, row, change)));
    }
    findings
}

fn of_change(diff: &Diff, row: &Row, change: &Change) -> Finding {
    let subject = match row.kind {
        Kind::Boot => Subject::Boot,
        Kind::Level => Subject::Level,
        Kind::Initcall => Subject::Initcall,
        Kind::Module => Subject::Module,
        Kind::Function => Subject::Function,
    };
    let (word, unit) = match (change.metric, diff.ns) {
        (Metric::Calls | Metric::Events | Metric::OnFirstCpu, _) => ("calls", Unit::Number),
        (Metric::Time, ns) => ("time", if ns { Unit::Nanoseconds } else { Unit::Ticks }),
        (Metric::Busy, ns) => ("busy", if ns { Unit::Nanoseconds } else { Unit::Ticks }),
        (Metric::Own, ns) => ("self", if ns { Unit::Nanoseconds } else { Unit::Ticks }),
        (Metric::Total, ns) => ("total", if ns { Unit::Nanoseconds } else { Unit::Ticks }),
    };
    let name = if row.item.name.is_empty() { String::new() } else { format!("{} ", row.item.name) };
    let verdict = match (change.changed && change.difference > 0.0, diff.basis) {
        (true, Basis::Exact | Basis::Tested) => Verdict::Broken,
        (_, Basis::TooFew) => Verdict::Unclear,
        (false, _) => Verdict::Good,
    };
    let remark = match verdict {
        Verdict::Unclear => too_few(diff.a.boots.len(), diff.b.boots.len()),
        _ => String::new(),
    };
    Finding {
        line: None,
        title: format!("{} {name}{word}", subject.words()),
        limit: "no slower".to_owned(),
        unit,
        value: change.b.clone(),
        baseline: Some(change.a.clone()),
        allowed: None,
        p: change.adjusted.or(change.p).filter(|_| diff.basis != Basis::Exact),
        verdict,
        remark,
    }
}

#[cfg(test)]
mod tests;
