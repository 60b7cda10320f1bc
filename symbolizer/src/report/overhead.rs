// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What was subtracted from a trace as the recorder's own cost, and what is left of it. In: what was
//! taken off, the same boot without tracing if that is known. Out: [`Correction`], and it as text and for
//! JSON. Times in ticks. Never here: subtracting.

use std::io::{self, Write};

use bootlevel::Phase;
use serde::Serialize;

use super::model::Report;
use super::style::{heading, left, right, table};
use super::text::Options;
use super::units::{Clock, count, percent};
use crate::calltree::overhead::Subtracted;
use crate::calltree::overhead::costs::PARTS;
use crate::calltree::phases::Timeline;

/// The boot without the recorder, to compare with. Ticks of the clock of the trace that is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// It took so long in all.
    Span(u64),
    /// Its phases took so long, but for the last one, whose end is not known.
    Phases(Vec<(Phase, u64)>),
}

impl Reference {
    /// From the begins of phases, in boot order, on a clock that may have another speed than the trace's.
    pub fn of_phases(starts: &[(Phase, u64)], theirs: Clock, ours: Clock) -> Reference {
        let (from, to) = match (theirs.khz(), ours.khz()) {
            (Some(theirs), Some(ours)) => (theirs, ours),
            _ => (1, 1),
        };
        let convert = |ticks: u64| u64::try_from(u128::from(ticks) * u128::from(to) / u128::from(from));
        Reference::Phases(durations(starts).map(|(phase, ticks)| (phase, convert(ticks).unwrap_or(u64::MAX))).collect())
    }
}

/// How long each phase took that has a next one.
fn durations(starts: &[(Phase, u64)]) -> impl Iterator<Item = (Phase, u64)> + '_ {
    starts.windows(2).map(|pair| (pair[0].0, pair[1].1.saturating_sub(pair[0].1)))
}

/// A stretch of the boot: as recorded, without the recorder's cost, and not traced at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// A phase; `None`: all that can be compared.
    pub phase: Option<Phase>,
    /// As recorded, if that is known.
    pub recorded: Option<u64>,
    /// Less what was subtracted.
    pub corrected: u64,
    /// Not traced.
    pub untraced: u64,
}

impl Compared {
    /// What correction leaves over (or takes too much), in percent of the untraced time.
    pub fn residue(&self) -> Option<f64> {
        (self.untraced > 0).then(|| (self.corrected as f64 - self.untraced as f64) * 100.0 / self.untraced as f64)
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Correction {
    /// What was taken off, and what a call costs.
    pub subtracted: Subtracted,
    /// Time of all tasks that were not idling, as recorded.
    pub busy_recorded: u64,
    /// How long the trace is, as recorded.
    pub span_recorded: u64,
    /// First the whole, then phase by phase.
    pub compared: Vec<Compared>,
}

impl Correction {
    /// Of a report whose times are corrected. `recorded`: the phases before that.
    pub fn of(
        report: &Report<'_>,
        subtracted: Subtracted,
        recorded: &Timeline,
        reference: Option<&Reference>,
    ) -> Correction {
        let span_recorded = subtracted.last.saturating_sub(report.totals.first);
        let compared = match reference {
            None => Vec::new(),
            Some(Reference::Span(untraced)) => vec![Compared {
                phase: None,
                recorded: Some(span_recorded),
                corrected: report.span(),
                untraced: *untraced,
            }],
            Some(Reference::Phases(phases)) => compare(report, recorded, phases),
        };
        let busy_recorded = report.busy().saturating_add(subtracted.sums.busy);
        Correction { subtracted, busy_recorded, span_recorded, compared }
    }

    /// What could not be taken off, in whole ticks.
    pub fn clamped(&self) -> u64 {
        self.subtracted.sums.clamped / PARTS as u64
    }
}

fn compare(report: &Report<'_>, recorded: &Timeline, untraced: &[(Phase, u64)]) -> Vec<Compared> {
    let before: Vec<(Phase, u64)> = durations(recorded.starts()).collect();
    let find = |list: &[(Phase, u64)], phase: Phase| list.iter().find(|entry| entry.0 == phase).map(|entry| entry.1);
    // The last one ends with the trace, not with the phase.
    let ended = report.boot.levels.len().saturating_sub(1);
    let rows: Vec<Compared> = report.boot.levels[..ended]
        .iter()
        .filter_map(|level| {
            let untraced = find(untraced, level.phase)?;
            let recorded = find(&before, level.phase);
            Some(Compared { phase: Some(level.phase), recorded, corrected: level.ticks, untraced })
        })
        .collect();
    if rows.is_empty() {
        return rows;
    }
    let sum = |of: fn(&Compared) -> u64| rows.iter().map(of).fold(0, u64::saturating_add);
    let all = Compared {
        phase: None,
        recorded: rows.iter().map(|row| row.recorded).sum(),
        corrected: sum(|row| row.corrected),
        untraced: sum(|row| row.untraced),
    };
    std::iter::once(all).chain(rows).collect()
}

/// Parts of a tick, for people: `41.3 ns (82.6 ticks)`.
fn cost(clock: Clock, parts: i64) -> String {
    let ticks = parts as f64 / PARTS as f64;
    match clock.khz() {
        Some(khz) => format!("{:.1} ns ({ticks:.1} ticks)", ticks * 1e6 / khz as f64),
        None => format!("{ticks:.1} ticks"),
    }
}

/// Lines for the head of the report: name and text.
pub fn fields(report: &Report<'_>) -> Vec<(&'static str, String)> {
    let Some(correction) = &report.correction else { return Vec::new() };
    let (clock, costs, sums) = (report.clock, correction.subtracted.costs, correction.subtracted.sums);
    let clamped = match correction.clamped() {
        0 => String::new(),
        ticks => format!("; {} could not be, since so much time had not passed", clock.show(ticks)),
    };
    let waits = report.meta.per_cpu.iter().fold(0u64, |sum, cpu| sum.saturating_add(cpu.wait_ticks));
    let waits = match waits {
        0 => String::new(),
        ticks => format!("; {} in which the guest waited for the recorder are still in", clock.show(ticks)),
    };
    let mut fields = vec![(
        "corrected",
        format!(
            "all times are without the recorder's own cost, as it was measured in this boot, with warm caches: {} for a call \
             that makes none, {} for one that does; {} of {} busy as recorded were subtracted ({} %){clamped}{waits}",
            cost(clock, costs.leaf()),
            cost(clock, costs.pair()),
            clock.show(sums.busy),
            clock.show(correction.busy_recorded),
            percent(sums.busy, correction.busy_recorded),
        ),
    )];
    if let Some(all) = correction.compared.first() {
        let what = if correction.compared.len() > 1 {
            format!("of {} phases", count(correction.compared.len() as u64 - 1))
        } else {
            "of the whole boot".to_owned()
        };
        let recorded = all.recorded.map_or_else(String::new, |ticks| format!("{} as recorded, ", clock.show(ticks)));
        fields.push((
            "untraced",
            format!(
                "{what}: {recorded}{} corrected, {} without tracing: residue {} %",
                clock.show(all.corrected),
                clock.show(all.untraced),
                residue(all),
            ),
        ));
    }
    fields
}

fn residue(compared: &Compared) -> String {
    compared.residue().map_or_else(|| "-".to_owned(), |residue| format!("{residue:+.2}"))
}

/// Phase by phase, if the untraced boot's are known.
///
/// # Errors
/// Those of the writer.
pub fn phases(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let Some(correction) = report.correction.as_ref().filter(|correction| correction.compared.len() > 1) else {
        return Ok(());
    };
    let clock = report.clock;
    heading(
        out,
        options.width,
        "Against the untraced boot",
        "time of each phase; residue: what correction leaves over, in % of the untraced time. Work that is done beside \
         may fall into another phase of a faster boot: the sum tells more",
    )?;
    let cells: Vec<Vec<String>> = correction
        .compared
        .iter()
        .map(|row| {
            vec![
                row.phase.map_or("all of these", Phase::name).to_owned(),
                row.recorded.map_or_else(|| "-".to_owned(), |ticks| clock.show(ticks)),
                clock.show(row.corrected),
                clock.show(row.untraced),
                residue(row),
            ]
        })
        .collect();
    let columns = [left("level"), right("recorded"), right("corrected"), right("untraced"), right("residue, %")];
    table(out, options.width, &columns, 0, &cells)
}

/// For JSON.
#[derive(Serialize)]
pub(super) struct CorrectionJson {
    leaf_ticks: f64,
    leaf_ns: Option<f64>,
    other_ticks: f64,
    other_ns: Option<f64>,
    leaf_calls: u64,
    other_calls: u64,
    subtracted_ticks: u64,
    subtracted_ns: Option<u64>,
    subtracted_busy_ticks: u64,
    clamped_ticks: u64,
    busy_recorded_ticks: u64,
    span_recorded_ticks: u64,
    span_recorded_ns: Option<u64>,
    compared: Vec<ComparedJson>,
}

#[derive(Serialize)]
struct ComparedJson {
    /// `null`: all of them.
    level: Option<&'static str>,
    recorded_ticks: Option<u64>,
    corrected_ticks: u64,
    untraced_ticks: u64,
    residue_percent: Option<f64>,
}

pub(super) fn json(report: &Report<'_>) -> Option<CorrectionJson> {
    let correction = report.correction.as_ref()?;
    let (clock, costs, subtracted) = (report.clock, correction.subtracted.costs, correction.subtracted);
    let ticks = |parts: i64| parts as f64 / PARTS as f64;
    let ns = |parts: i64| clock.khz().map(|khz| ticks(parts) * 1e6 / khz as f64);
    Some(CorrectionJson {
        leaf_ticks: ticks(costs.leaf()),
        leaf_ns: ns(costs.leaf()),
        other_ticks: ticks(costs.pair()),
        other_ns: ns(costs.pair()),
        leaf_calls: subtracted.leaves,
        other_calls: subtracted.others,
        subtracted_ticks: subtracted.sums.ticks,
        subtracted_ns: clock.ns(subtracted.sums.ticks),
        subtracted_busy_ticks: subtracted.sums.busy,
        clamped_ticks: correction.clamped(),
        busy_recorded_ticks: correction.busy_recorded,
        span_recorded_ticks: correction.span_recorded,
        span_recorded_ns: clock.ns(correction.span_recorded),
        compared: correction
            .compared
            .iter()
            .map(|row| ComparedJson {
                level: row.phase.map(Phase::name),
                recorded_ticks: row.recorded,
                corrected_ticks: row.corrected,
                untraced_ticks: row.untraced,
                residue_percent: row.residue(),
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_untraced_boot_on_a_faster_clock_is_converted() {
        let starts = [(Phase::Start, 1_000), (Phase::Early, 3_000), (Phase::Fs, 3_500)];
        let (theirs, ours) = (Clock::new(Some(2_000_000)), Clock::new(Some(1_000_000)));
        let expected = vec![(Phase::Start, 1_000), (Phase::Early, 250)];
        assert_eq!(Reference::of_phases(&starts, theirs, ours), Reference::Phases(expected));
        let raw = vec![(Phase::Start, 2_000), (Phase::Early, 500)];
        assert_eq!(Reference::of_phases(&starts, Clock::new(None), ours), Reference::Phases(raw));
    }

    #[test]
    fn a_residue_has_a_sign_and_nothing_has_none() {
        let compared = |corrected, untraced| Compared { phase: None, recorded: None, corrected, untraced };
        assert_eq!(residue(&compared(1_013, 1_000)), "+1.30");
        assert_eq!(residue(&compared(995, 1_000)), "-0.50");
        assert_eq!(residue(&compared(5, 0)), "-");
    }
}
