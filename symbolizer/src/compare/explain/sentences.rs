// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The words for each kind of cause. In: a [`Cause`]. Out: a sentence, or a part of one. Never here: which causes there
//! are.

use bootlevel::Phase;

use super::super::diff::{Basis, Diff, Kind, Metric, Row};
use super::super::diff_words::{Words, count, name};
use super::super::ways::Ways;
use super::causes::{Cause, What, difference};
use crate::report::style::printable;

/// Names of a way that are told: the outermost, and the innermost ones.
const NAMES: usize = 4;

/// What sentences need to know.
#[derive(Clone, Copy, Debug)]
pub struct Teller<'d, 'w> {
    /// The comparison.
    pub diff: &'d Diff,
    /// Its call trees.
    pub ways: &'w Ways<'d>,
    /// How figures are written.
    pub words: Words,
}

fn quoted(name: &str) -> String {
    format!("`{}`", printable(name))
}

fn times(calls: f64) -> String {
    if (calls.abs() - 1.0).abs() < 0.05 { "once".to_owned() } else { format!("{} times", count(calls)) }
}

fn slower(effect: f64) -> &'static str {
    if effect < 0.0 { "faster" } else { "slower" }
}

fn more(effect: f64) -> &'static str {
    if effect < 0.0 { "less" } else { "more" }
}

impl Teller<'_, '_> {
    /// What follows the sentence about the whole boot: where most of it is, and why.
    pub fn first(&self, cause: &Cause<'_>) -> String {
        let clause = self.clause(cause);
        let Some(time) = self.diff.boot.change(Metric::Time) else { return format!("; {clause}") };
        if cause.effect == 0.0 || cause.is_structure() {
            return format!("; {clause}");
        }
        let Some(phase) = cause.level(self.ways) else {
            return format!("; {} {}: {clause}", self.words.time(cause.effect), slower(cause.effect));
        };
        // The level says how much, if the cause is most of it.
        let level = self.level(phase).map_or(0.0, |row| difference(row, Metric::Time));
        let most = level * cause.effect > 0.0 && cause.effect.abs() >= level.abs() * 0.5;
        let amount = if most { level } else { cause.effect };
        // Sentences about self time and waits say how much it is.
        let same = (amount / cause.effect - 1.0).abs() < 0.1;
        let rest = if same || matches!(cause.what, What::Own { .. } | What::Waits { .. }) {
            String::new()
        } else {
            format!(", {}", self.words.signed(Metric::Time, cause.effect))
        };
        let shown = self.words.time(amount);
        let changed = time.changed || self.diff.basis == Basis::TooFew;
        let told = changed && amount * time.difference > 0.0 && amount.abs() <= time.difference.abs() * 1.05;
        if told {
            format!("; {shown} of it in level {}: {clause}{rest}", phase.name())
        } else if most {
            format!("; level {} is {shown} {}: {clause}{rest}", phase.name(), slower(amount))
        } else {
            format!("; {shown} {} in level {}: {clause}", slower(amount), phase.name())
        }
    }

    /// A sentence of its own.
    pub fn further(&self, cause: &Cause<'_>) -> String {
        let clause = self.clause(cause);
        if cause.effect == 0.0 || cause.is_structure() {
            return clause;
        }
        let place = cause.level(self.ways).map_or_else(String::new, |phase| format!(" in level {}", phase.name()));
        format!("{} {}{place}: {clause}", self.words.time(cause.effect), slower(cause.effect))
    }

    /// The level with most of the boot's difference, if one has most of it.
    pub fn level_most(&self) -> Option<String> {
        let whole = difference(&self.diff.boot, Metric::Time);
        let of = |row: &Row| difference(row, Metric::Time);
        let row = self.diff.levels.iter().max_by(|a, b| (of(a) * whole).total_cmp(&(of(b) * whole)))?;
        (of(row) * whole > 0.0).then(|| format!("{} of it in level {}", self.words.time(of(row)), name(&row.item)))
    }

    fn level(&self, phase: Phase) -> Option<&Row> {
        self.diff.levels.iter().find(|row| row.item.name == phase.name())
    }

    /// What happened, and to whom.
    pub fn clause(&self, cause: &Cause<'_>) -> String {
        let row = cause.row;
        match cause.what {
            What::Calls { there, scattered } => self.calls(cause, there, scattered),
            What::Own { there, scattered } => {
                let (there, path) = match row.change(Metric::Own).filter(|_| scattered) {
                    Some(own) => ((own.a.mean, own.b.mean), quoted(&row.item.name)),
                    None => (there, self.path(cause)),
                };
                let took = self.words.time(there.1 - there.0);
                let places = if scattered { ", in many places" } else { "" };
                let (a, b) = (self.words.time(there.0), self.words.time(there.1));
                format!("{path} itself takes {took} {} ({a} -> {b}{places})", more(cause.effect))
            }
            What::Moved => {
                let level = |phases: &[Phase]| phases.first().map_or("?", |phase| phase.name());
                let (from, to) = (level(&row.levels.0), level(&row.levels.1));
                format!("initcall {} moved from level {from} to level {to}{}", quoted(&row.item.name), self.took(row))
            }
            What::Initcall => {
                let (which, time) = if row.is_new() { ("new", true) } else { ("vanished", false) };
                let level = if time { row.levels.1.first() } else { row.levels.0.first() };
                let level = level.map_or_else(String::new, |phase| format!(" in level {}", phase.name()));
                let took = row.change(Metric::Time).map_or(0.0, |change| change.a.mean.max(change.b.mean));
                let took = if took > 0.0 { format!(" ({})", self.words.time(took)) } else { String::new() };
                format!("{which} initcall {}{level}{took}", quoted(&row.item.name))
            }
            What::OtherCpu { waits } => {
                let off = difference(row, Metric::OnFirstCpu) < 0.0;
                let (from, to) = if off { ("CPU 0", "CPU 1") } else { ("CPU 1", "CPU 0") };
                let total = row.change(Metric::Total).map_or(0.0, |change| change.b.mean);
                let waits =
                    waits.map_or_else(String::new, |row| format!("; {} now waits for it", quoted(&row.item.name)));
                format!("{} moved from {from} to {to} ({}){waits}", quoted(&row.item.name), self.words.time(total))
            }
            What::Waits { by, for_others } => self.waits(cause, by, for_others),
        }
    }

    fn calls(&self, cause: &Cause<'_>, there: (f64, f64), scattered: bool) -> String {
        let row = cause.row;
        let ((a, b), path) = match row.change(Metric::Calls).filter(|_| scattered) {
            Some(calls) => ((calls.a.mean, calls.b.mean), quoted(&row.item.name)),
            None => (there, self.path(cause)),
        };
        let places = if scattered { ", in many places" } else { "" };
        if row.is_new() && a == 0.0 {
            return format!("new function {path}, called {}{places}", times(b));
        }
        if row.is_gone() && b == 0.0 {
            return format!("{path} no longer called (was {}{places})", times(a));
        }
        format!("{path} called {} {} ({} -> {}{places})", times(b - a), more(b - a), count(a), count(b))
    }

    fn waits(&self, cause: &Cause<'_>, by: Option<usize>, for_others: bool) -> String {
        let row = cause.row;
        let long =
            format!("{} {}", self.words.time(cause.effect), if cause.effect < 0.0 { "shorter" } else { "longer" });
        let whom = match row.kind {
            Kind::Level => format!("level {}", printable(&row.item.name)),
            _ => quoted(&row.item.name),
        };
        if let Some(at) = by.filter(|_| !for_others) {
            let ((a, b), path) = (self.ways.way(at).calls, self.path(cause));
            let how = if b > a { "more" } else { "less" };
            return format!("{whom} waits {long}: {path} called {} {how} ({} -> {})", times(b - a), count(a), count(b));
        }
        let sides = |metric| {
            let (a, b) = row.change(metric).map_or((0.0, 0.0), |change| (change.a.mean, change.b.mean));
            (self.words.time(a), self.words.time(b))
        };
        let ((a, b), (busy_a, busy_b)) = (sides(Metric::Time), sides(Metric::Busy));
        let others = if for_others { " for other tasks" } else { "" };
        let cpu = if busy_a == busy_b { format!("{busy_a} on both sides") } else { format!("{busy_a} -> {busy_b}") };
        format!("{whom} waits {long}{others} ({a} -> {b} from begin to end; on a CPU {cpu})")
    }

    /// How long an initcall takes, before and after if that differs.
    fn took(&self, row: &Row) -> String {
        let Some(time) = row.change(Metric::Time) else { return String::new() };
        let (a, b) = (self.words.time(time.a.mean), self.words.time(time.b.mean));
        if a == b { format!(" ({a})") } else { format!(" ({a} -> {b})") }
    }

    /// The way to a cause: from its initcall, if there is one, to its function; what lies far between is left out.
    fn path(&self, cause: &Cause<'_>) -> String {
        let Some(at) = cause.at else { return quoted(&cause.row.item.name) };
        let mut names: Vec<&str> = Vec::new();
        for at in self.ways.up(at) {
            let name = self.ways.function(at).map_or("[other ways]", |row| row.item.name.as_str());
            // Recursion is told once.
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        let initcall = |name: &&str| self.diff.initcalls.iter().any(|row| row.item.name == **name);
        // Innermost first: the initcall is the outermost of those that are one.
        if let Some(from) = names.iter().rposition(initcall) {
            names.truncate(from + 1);
        } else {
            names.truncate(NAMES - 1);
        }
        names.reverse();
        let all: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        match all.split_first() {
            Some((first, rest)) if all.len() > NAMES => {
                let last = rest[rest.len() - (NAMES - 1)..].join(" -> ");
                format!("{first} -> ... -> {last}")
            }
            _ => all.join(" -> "),
        }
    }
}
