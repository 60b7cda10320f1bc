// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The whole bisection: both ends are measured and must differ; then each kernel that the search names, until the
//! first bad one is found, which is compared with the one before it. In: a [`Measure`] and what is asked for. Out:
//! [`Found`]. Never here: how a kernel is made, how a boot is judged.

use std::time::Instant;

use super::BisectError;
use super::boots;
use super::measure::{Measure, Measured};
use super::search::{Candidate, Mark, Next, steps};
use super::verdict::{By, Judge, Verdict};
use super::work::{Known, Spent, clock};
use crate::compare::boot::Boot;
use crate::compare::diff::Diff;
use crate::compare::judge::{self, Options};

/// Where it is not clear which end a kernel is like, up to so many times as many boots are made.
const MOST_TIMES: usize = 3;

/// What is asked for.
pub struct Plan {
    /// What is searched and how, in words: another text is another search.
    pub search: String,
    /// Forget an unfinished search.
    pub restart: bool,
    /// Boots of each kernel.
    pub boots: usize,
    /// What tells a bad one.
    pub by: By,
    /// How boots are compared.
    pub options: Options,
    /// Copies of kernels stay.
    pub keep_kernels: bool,
}

/// The end.
pub struct Found {
    /// The first bad one; several, if one of them is it and which cannot be told.
    pub candidates: Vec<Candidate>,
    /// The last good one, which the bad one is compared with.
    pub before: Candidate,
    /// Both against each other.
    pub diff: Diff,
    /// By what was judged.
    pub judged_by: String,
    /// What makes the result doubtful.
    pub doubts: Vec<String>,
    /// What became of each kernel, in order.
    pub known: Vec<Known>,
    /// What it took.
    pub spent: Spent,
}

/// Runs it.
///
/// # Errors
/// When it was stopped, when the ends do not build, boot or differ, when files or programs fail.
pub fn run(measure: &mut Measure<'_>, plan: &Plan) -> Result<Found, BisectError> {
    measure.work.begin(&plan.search, plan.restart)?;
    measure.hands.end_leftovers();
    let began = (Instant::now(), measure.work.state.spent.seconds);
    // A signal from the terminal ends git as well, whose error that is not.
    let found = match search(measure, plan, began) {
        Err(_) if measure.hands.stopped() => Err(BisectError::Stopped),
        other => other,
    };
    count_time(measure, began);
    let saved = measure.work.save();
    // Who was stopped goes on; else the user's checkout goes back to where it was.
    if !matches!(found, Ok(_) | Err(BisectError::Stopped))
        && let Err(error) = measure.search.finish()
    {
        measure.line(&error.to_string());
    }
    match &found {
        Err(BisectError::Stopped) => measure.line("stopped; the same command goes on from here"),
        Err(error) => measure.work.log(&format!("ended: {error}")),
        Ok(_) => {}
    }
    let found = found?;
    saved?;
    Ok(found)
}

fn count_time(measure: &mut Measure<'_>, (since, before): (Instant, f64)) {
    measure.work.state.spent.seconds = before + since.elapsed().as_secs_f64();
}

fn search(measure: &mut Measure<'_>, plan: &Plan, began: (Instant, f64)) -> Result<Found, BisectError> {
    let (good, bad) = measure.search.ends();
    let known: Vec<(String, Mark)> =
        measure.work.state.known.iter().map(|known| (known.id.clone(), known.mark)).collect();
    if known.is_empty() {
        measure.line(&format!("bisecting between {} and {}", name(&good), name(&bad)));
    } else {
        let last = known.len();
        measure.line(&format!("going on between {} and {}, after {last} steps", name(&good), name(&bad)));
    }
    let mut judge = ends(measure, plan, &good, &bad, plan.boots)?;
    measure.line(&format!("  judged by {}", judge.words()));
    measure.learn_limit([&good, &bad])?;
    if measure.booter.deterministic && !plan.keep_kernels {
        measure.forget_kernel(&good)?;
        measure.forget_kernel(&bad)?;
    }

    let mut next = measure.search.begin(&known)?;
    let candidates = loop {
        let (candidate, left) = match next {
            Next::Found(candidates) => break candidates,
            Next::Test { candidate, left, .. } => (candidate, left),
        };
        let step = measure.work.state.known.len() + 1;
        let (spent, at) = (measure.work.state.spent, Instant::now());
        measure.tell.doing(&format!("step {step}: {}; about {} more", name(&candidate), steps(left)));
        let (mark, why) = test(measure, plan, &mut judge, &candidate, (&good, &bad))?;
        if measure.hands.stopped() {
            return Err(BisectError::Stopped);
        }
        if !plan.keep_kernels {
            measure.forget_kernel(&candidate)?;
        }
        measure.work.mark(&candidate, mark, &why)?;
        next = measure.search.mark(&candidate.id, mark)?;
        count_time(measure, began);
        measure.work.save()?;
        let now = measure.work.state.spent;
        let took = clock(at.elapsed().as_secs_f64());
        let parts = format!(
            "build {}, boots {}",
            clock(now.build_seconds - spent.build_seconds),
            clock(now.boot_seconds - spent.boot_seconds)
        );
        let rest = match &next {
            Next::Test { left, steps, .. } => format!("{left} left, about {steps} more steps"),
            Next::Found(_) => "the last step".to_owned(),
        };
        let why = if why.is_empty() { why } else { format!(": {why}") };
        measure.line(&format!(
            "step {step}: {} is {}{why} ({took}: {parts}; {rest}; {} so far)",
            name(&candidate),
            if mark == Mark::Skip { "skipped" } else { mark.word() },
            clock(now.seconds)
        ));
    };
    let found = end(measure, plan, &judge, candidates, &good)?;
    measure.search.finish()?;
    if !plan.keep_kernels {
        for candidate in [&good, &bad, &found.before].into_iter().chain(&found.candidates) {
            measure.forget_kernel(candidate)?;
        }
    }
    count_time(measure, began);
    measure.work.state.found = found.candidates.iter().map(|candidate| candidate.id.clone()).collect();
    measure.work.state.done = true;
    measure.work.save()?;
    Ok(Found { spent: measure.work.state.spent, ..found })
}

/// `1a2b3c4d5e6f "subject"`.
pub fn name(candidate: &Candidate) -> String {
    let short = candidate.short();
    // One of a list has it in its ID.
    if short.contains('-') { short } else { format!("{short} \"{}\"", candidate.title) }
}

/// Both ends, so many boots of each, and what differs.
fn ends(
    measure: &mut Measure<'_>,
    plan: &Plan,
    good: &Candidate,
    bad: &Candidate,
    boots: usize,
) -> Result<Judge, BisectError> {
    measure.try_again(good)?;
    measure.try_again(bad)?;
    let rounds = measure.rounds(&[(good, boots), (bad, boots)])?;
    let mut both = Vec::new();
    for ((end, candidate), measured) in [("good", good), ("bad", bad)].into_iter().zip(rounds) {
        let name = name(candidate);
        both.push(match measured {
            Measured::Boots(boots) => boots,
            Measured::NotBuilt(why) => return Err(BisectError::EndNotBuilt { end, name, why }),
            Measured::NotBooted(why) => return Err(end_lost(end, name, why)),
        });
    }
    let counted: Vec<&[Boot]> = both.iter().map(|all| last(all, boots)).collect();
    let judge = Judge::new(&plan.by, counted[0], counted[1], &plan.options)?;
    // A command has its own mind of the ends.
    for (candidate, counted, wanted) in [(good, counted[0], Verdict::Good), (bad, counted[1], Verdict::Bad)] {
        if !matches!(plan.by, By::Test(_)) {
            break;
        }
        let (files, dir) = (measure.files(candidate)?, measure.work.commit(candidate)?);
        let verdict = judge.judge(counted, last(&files, boots), &dir, &measure.hands)?;
        if verdict != wanted {
            return Err(BisectError::NoDifference(format!(
                "--test: the command says {verdict:?} of the {wanted:?} end, {}; see {}",
                name(candidate),
                dir.join("test.log").display()
            )));
        }
    }
    Ok(judge)
}

/// The last so many.
fn last<T>(all: &[T], count: usize) -> &[T] {
    &all[all.len().saturating_sub(count)..]
}

/// Without an end there is nothing to search.
fn end_lost(end: &'static str, name: String, why: String) -> BisectError {
    match why.starts_with(boots::UNREAD) {
        true => BisectError::EndNotRead { end, name, why },
        false => BisectError::EndNotBooted { end, name, why },
    }
}

/// What a candidate is like, and why if that cannot be told.
fn test(
    measure: &mut Measure<'_>,
    plan: &Plan,
    judge: &mut Judge,
    candidate: &Candidate,
    (good, bad): (&Candidate, &Candidate),
) -> Result<(Mark, String), BisectError> {
    // More boots of a kernel that boots the same each time tell nothing more.
    let most = if measure.booter.deterministic { plan.boots } else { plan.boots * MOST_TIMES };
    let mut wanted = plan.boots;
    loop {
        let boots = if measure.booter.deterministic {
            measure.rounds(&[(candidate, wanted)])?.pop()
        } else {
            // The machine may not be as fast as an hour ago: both ends are booted beside it, and only those boots
            // count.
            let missing = wanted.saturating_sub(measure.have(candidate)?);
            let (a, b) = (measure.have(good)? + missing, measure.have(bad)? + missing);
            let measured = measure.rounds(&[(candidate, wanted), (good, a), (bad, b)])?;
            let mut measured = measured.into_iter();
            let boots = measured.next();
            if let (Some(Measured::Boots(good)), Some(Measured::Boots(bad))) = (measured.next(), measured.next())
                && let Ok(again) = Judge::new(&plan.by, last(&good, wanted), last(&bad, wanted), &plan.options)
            {
                *judge = again;
            }
            boots
        };
        let boots = match boots {
            Some(Measured::Boots(boots)) => boots,
            Some(Measured::NotBuilt(why)) => return Ok((Mark::Skip, format!("does not build: {why}"))),
            Some(Measured::NotBooted(why)) => return Ok((Mark::Skip, boots::told(&why))),
            None => return Ok((Mark::Skip, "was not booted".to_owned())),
        };
        let (files, dir) = (measure.files(candidate)?, measure.work.commit(candidate)?);
        match judge.judge(&boots, &files, &dir, &measure.hands)? {
            Verdict::Good => return Ok((Mark::Good, String::new())),
            Verdict::Bad => return Ok((Mark::Bad, String::new())),
            Verdict::Unclear(_) if wanted < most => wanted += plan.boots,
            Verdict::Unclear(why) => return Ok((Mark::Skip, format!("cannot be told: {why}"))),
        }
    }
}

/// The first bad one against the one before it.
fn end(
    measure: &mut Measure<'_>,
    plan: &Plan,
    judge: &Judge,
    candidates: Vec<Candidate>,
    good: &Candidate,
) -> Result<Found, BisectError> {
    let nothing = || BisectError::Range("the search has ended with no commit at all".to_owned());
    let (first, last) = (candidates.first().ok_or_else(nothing)?, candidates.last().ok_or_else(nothing)?);
    let before = measure.search.before(&first.id)?.unwrap_or_else(|| good.clone());
    let mut doubts = Vec::new();
    let mut measured = measure.rounds(&[(&before, plan.boots), (last, plan.boots)])?.into_iter();
    let (before, boots) = match measured.next() {
        Some(Measured::Boots(boots)) if !boots.is_empty() => (before, boots),
        _ => {
            doubts.push(format!("{} cannot be booted; compared with the good end instead", name(&before)));
            (good.clone(), boots_of(measure, good, plan.boots)?)
        }
    };
    let after = match measured.next() {
        Some(Measured::Boots(boots)) if !boots.is_empty() => boots,
        _ => boots_of(measure, last, plan.boots)?,
    };
    let diff = judge::diff(&boots, &after, &plan.options).map_err(|why| BisectError::Refused(why.to_string()))?;
    if !diff.changed() && matches!(plan.by, By::Ends) {
        doubts.push(format!("{} and {} do not differ by themselves", name(&before), name(last)));
    }
    if measure.are_same(&before, last)? {
        doubts.push("to the machine both are the same kernel".to_owned());
    }
    let (files, dir) = (measure.files(&before)?, measure.work.commit(&before)?);
    if judge.judge(&boots, &files, &dir, &measure.hands)? == Verdict::Bad {
        doubts.push(format!("{} is like the bad end as well", name(&before)));
    }
    if candidates.len() > 1 {
        doubts.push(format!("{} could not be told: one of these is it", candidates.len() - 1));
    }
    let state = &measure.work.state;
    let (known, spent) = (state.known.clone(), state.spent);
    Ok(Found { candidates, before, diff, judged_by: judge.words(), doubts, known, spent })
}

fn boots_of(measure: &mut Measure<'_>, candidate: &Candidate, boots: usize) -> Result<Vec<Boot>, BisectError> {
    match measure.rounds(&[(candidate, boots)])?.pop() {
        Some(Measured::Boots(boots)) => Ok(boots),
        Some(Measured::NotBuilt(why)) => Err(BisectError::EndNotBuilt { end: "last", name: name(candidate), why }),
        Some(Measured::NotBooted(why)) => Err(end_lost("last", name(candidate), why)),
        None => Err(BisectError::Range("there is nothing to compare with".to_owned())),
    }
}
