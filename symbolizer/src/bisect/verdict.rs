// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Which end the boots of a kernel are like: by what differs most clearly between the ends, by a figure that the user
//! names, or by the user's command. In: boots of the ends and of the kernel. Out: [`Verdict`]. Never here: what is
//! done with it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use bootlevel::Phase;

use super::BisectError;
use super::child::Hands;
use super::figure::Figure;
use crate::compare::boot::Boot;
use crate::compare::diff::{Basis, Diff, Kind, Metric};
use crate::compare::judge::{self, Options};
use crate::compare::signature::{self, Finding, Signature};
use crate::compare::statistics::mean_and_sd;
use crate::report::style::printable;
use crate::report::units;

/// Nearer to an end than this part of the way between them, a figure is like it.
const NEAR: f64 = 0.35;

/// Deterministic boots of different kernels differ by so little without a reason that anyone would search.
const LEAST: f64 = 0.001;

/// Differences that are named.
const NAMED: usize = 3;

/// What tells a bad kernel.
#[derive(Clone, Debug)]
pub enum By {
    /// What differs most clearly between the ends.
    Ends,
    /// A figure.
    Figure(Figure),
    /// A command for `sh -c`, with the kept boots as arguments.
    Test(String),
}

/// What these boots are like.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The good end.
    Good,
    /// The bad end.
    Bad,
    /// It cannot be told: why.
    Unclear(String),
}

/// Knows the ends.
pub struct Judge {
    how: How,
    /// The ends against each other.
    pub diff: Diff,
}

enum How {
    Like(Box<Signature>),
    Figure { figure: Figure, good: f64, bad: f64, ns: bool },
    Test(String),
}

impl Judge {
    /// Of the boots of both ends.
    ///
    /// # Errors
    /// When the ends do not differ in what is looked at, or must not be compared.
    pub fn new(by: &By, good: &[Boot], bad: &[Boot], options: &Options) -> Result<Judge, BisectError> {
        let diff = judge::diff(good, bad, options).map_err(|refused| BisectError::Refused(refused.to_string()))?;
        let how = match by {
            By::Test(command) => How::Test(command.clone()),
            By::Ends => match Signature::of(&diff) {
                Some(signature) => How::Like(Box::new(signature)),
                None => return Err(BisectError::NoDifference(no_difference(&diff))),
            },
            By::Figure(figure) => {
                let values = |boots: &[Boot]| boots.iter().map(|boot| figure.of(boot)).collect::<Vec<f64>>();
                let (a, b) = (values(good), values(bad));
                let (good_mean, bad_mean, ns) = (mean(&a), mean(&b), diff.ns);
                let difference = (bad_mean - good_mean).abs();
                // Every boot of one end beyond every boot of the other; else chance would decide.
                let apart = max(&a) < min(&b) || max(&b) < min(&a);
                if !apart || difference < LEAST * good_mean.abs().max(bad_mean.abs()) {
                    return Err(BisectError::NoDifference(format!(
                        "no difference to search for: {figure} is {} at the good end and {} at the bad one{}",
                        figure.show(good_mean, ns),
                        figure.show(bad_mean, ns),
                        if apart { "" } else { ", with boots of both ends among each other; more --boots may tell" }
                    )));
                }
                How::Figure { figure: figure.clone(), good: good_mean, bad: bad_mean, ns }
            }
        };
        Ok(Judge { how, diff })
    }

    /// By what it judges, in a line.
    pub fn words(&self) -> String {
        match &self.how {
            How::Like(signature) => {
                let findings = signature.findings.iter().take(NAMED);
                findings.map(|finding| told(finding, self.diff.ns)).collect::<Vec<_>>().join("; ")
            }
            How::Figure { figure, good, bad, ns } => {
                format!("{figure}: {} -> {}", figure.show(*good, *ns), figure.show(*bad, *ns))
            }
            How::Test(command) => format!("the command: {command}"),
        }
    }

    /// What `boots`, kept in `files`, are like. A command's output goes to a log in `dir`.
    ///
    /// # Errors
    /// When the user's command gives no answer.
    pub fn judge(&self, boots: &[Boot], files: &[PathBuf], dir: &Path, hands: &Hands) -> Result<Verdict, BisectError> {
        match &self.how {
            How::Like(signature) => Ok(match signature::nearer(signature, boots) {
                signature::Verdict::Good => Verdict::Good,
                signature::Verdict::Bad => Verdict::Bad,
                signature::Verdict::Unclear { why } => Verdict::Unclear(why),
            }),
            How::Figure { figure, good, bad, ns } => {
                let value = mean(&boots.iter().map(|boot| figure.of(boot)).collect::<Vec<_>>());
                let way = (value - good) / (bad - good);
                Ok(match way {
                    way if way < NEAR => Verdict::Good,
                    way if way > 1.0 - NEAR => Verdict::Bad,
                    _ => Verdict::Unclear(format!("{figure} is {}, between the ends", figure.show(value, *ns))),
                })
            }
            How::Test(text) => test(text, files, dir, hands),
        }
    }
}

/// A difference in a few words: `initcall foo_init time 1.00 ms -> 5.00 ms`.
fn told(finding: &Finding, ns: bool) -> String {
    let Finding { row, metric, ends, .. } = finding;
    let kind = match row.kind {
        Kind::Boot => "boot",
        Kind::Level => "level",
        Kind::Initcall => "initcall",
        Kind::Module => "module",
        Kind::Function => "function",
    };
    let name = printable(&row.item.name);
    let item = if name.is_empty() { kind.to_owned() } else { format!("{kind} {name}") };
    let Some(metric) = metric else {
        let phases = |phases: &[Phase]| phases.first().map_or("none", |phase| phase.name()).to_owned();
        return match row.boots {
            (0, _) => format!("{item} is new"),
            (_, 0) => format!("{item} is gone"),
            _ => format!("{item} moved from level {} to {}", phases(&row.levels.0), phases(&row.levels.1)),
        };
    };
    let (word, counted) = match metric {
        Metric::Time => ("time", false),
        Metric::Busy => ("on-CPU time", false),
        Metric::Own => ("self time", false),
        Metric::Total => ("total time", false),
        Metric::Calls => ("calls", true),
        Metric::Events => ("events", true),
        Metric::OnFirstCpu => {
            let part = |value: f64| format!("{:.0} %", value / 1e4);
            return format!("{item} part on CPU 0 {} -> {}", part(ends.0), part(ends.1));
        }
    };
    let show = |value: f64| match value.max(0.0).round() as u64 {
        whole if !counted && ns => units::duration(whole),
        whole => units::count(whole),
    };
    format!("{item} {word} {} -> {}", show(ends.0), show(ends.1))
}

/// Runs the user's command, with exit codes as `git bisect run` has them.
fn test(text: &str, files: &[PathBuf], dir: &Path, hands: &Hands) -> Result<Verdict, BisectError> {
    let log = dir.join("test.log");
    let file = File::create(&log).map_err(BisectError::io("write", &log))?;
    let mut command = Command::new("sh");
    // Its words come first, then the files: `symbolize check budget` is a whole command so.
    command.arg("-c").arg(format!("{text} \"$@\"")).arg("sh").args(files);
    command.stdout(file.try_clone().map_err(BisectError::io("write", &log))?).stderr(file);
    let status = hands.run(&mut command, None).map_err(BisectError::io("run", Path::new("sh")))?;
    match status.code() {
        Some(0) => Ok(Verdict::Good),
        Some(125) => Ok(Verdict::Unclear("the command says that it cannot tell (125)".to_owned())),
        Some(1..=125) => Ok(Verdict::Bad),
        _ => Err(BisectError::Command { option: "test", status, log }),
    }
}

/// The ends are alike: what could have been seen, and what to do.
fn no_difference(diff: &Diff) -> String {
    let mut text = match diff.basis {
        Basis::TooFew => String::from("the ends cannot be told apart: too few boots for a test"),
        Basis::Exact | Basis::Tested => String::from("the ends do not differ: there is nothing to search for"),
    };
    for doubt in &diff.doubts {
        text += "\n  ";
        text += doubt;
    }
    if let Some(needed) = diff.needed {
        text += &format!("\n  about {needed} boots of each end are needed to see a change of 1 %: --boots {needed}");
    }
    text
}

fn mean(values: &[f64]) -> f64 {
    mean_and_sd(values).0
}

fn min(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::boot::Level;
    use std::sync::Arc;

    fn boot(fs: u64) -> Boot {
        let level = Level { name: "fs".to_owned(), time: fs, ..Level::default() };
        Boot { levels: vec![level], ns: true, ..Boot::default() }
    }

    fn judge(by: &By, good: &[u64], bad: &[u64]) -> Result<Judge, BisectError> {
        let boots = |values: &[u64]| values.iter().map(|&value| boot(value)).collect::<Vec<_>>();
        Judge::new(by, &boots(good), &boots(bad), &Options::default())
    }

    #[test]
    fn a_figure_decides_by_the_nearer_end() {
        let hands = Hands::new(Arc::default(), Path::new("/nonexistent"));
        let by = By::Figure("level fs time".parse().unwrap());
        let judge = judge(&by, &[100, 110], &[200, 220]).unwrap();
        let verdict = |value| judge.judge(&[boot(value)], &[], Path::new("."), &hands).unwrap();
        assert_eq!(verdict(90), Verdict::Good);
        assert_eq!(verdict(135), Verdict::Good);
        assert!(matches!(verdict(160), Verdict::Unclear(_)));
        assert_eq!(verdict(190), Verdict::Bad);
        assert_eq!(judge.words(), "level fs time: 105 ns -> 210 ns");
    }

    #[test]
    fn ends_that_are_alike_are_no_range() {
        let by = By::Figure("level fs time".parse().unwrap());
        for (good, bad) in [([100, 210], [200, 220]), ([100, 100], [100, 100])] {
            let error = judge(&by, &good, &bad).err().unwrap().to_string();
            assert!(error.contains("level fs time is"), "{error}");
        }
        let same = judge(&By::Ends, &[100, 100], &[100, 100]).err().unwrap().to_string();
        assert!(same.starts_with("the ends"), "{same}");
    }

    #[test]
    fn a_command_answers_as_for_git_bisect_run() {
        let dir = tempfile::tempdir().unwrap();
        let hands = Hands::new(Arc::default(), dir.path());
        let files = [dir.path().join("1.boot.zst")];
        let answer = |text: &str| test(text, &files, dir.path(), &hands);
        assert_eq!(answer("test -n").unwrap(), Verdict::Good);
        assert_eq!(answer("test -e").unwrap(), Verdict::Bad);
        assert!(matches!(answer("exit 125;").unwrap(), Verdict::Unclear(_)));
        assert!(matches!(answer("/nonexistent/command"), Err(BisectError::Command { .. })));
    }
}
