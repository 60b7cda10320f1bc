// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The boot in plain words: what cost most, and why. In: the report, and what was kept of the calls. Out:
//! sentences. Never here: HTML, drawing.

use std::collections::HashMap;

use bootlevel::Phase;

use super::why::{Way, Why, Window};
use super::{Kept, TaskHead};
use crate::calltree::levels::{Kind, Outcome};
use crate::report::Report;
use crate::report::levels::{InitcallRow, LevelRow};
use crate::report::model::End;
use crate::report::units::{count, duration, percent};

/// Initcalls whose reasons are looked for; the others are too short to matter.
const REASONS: usize = 150;

/// Functions that are on the way to all others and tell nothing.
const GENERIC: &[&str] = &[
    "async_run_entry_fn",
    "do_one_initcall",
    "kernel_init",
    "kernel_init_freeable",
    "kthread",
    "process_one_work",
    "ret_from_fork",
    "start_kernel",
    "worker_thread",
    "x64_sys_call",
];

/// A part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Words.
    Plain(String),
    /// What matters most.
    Strong(String),
    /// Names of the kernel.
    Code(String),
}

/// A sentence, or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub Vec<Piece>);

impl Text {
    fn plain(mut self, text: impl Into<String>) -> Text {
        self.0.push(Piece::Plain(text.into()));
        self
    }

    fn strong(mut self, text: impl Into<String>) -> Text {
        self.0.push(Piece::Strong(text.into()));
        self
    }

    fn code(mut self, text: impl Into<String>) -> Text {
        self.0.push(Piece::Code(text.into()));
        self
    }

    fn then(mut self, other: Text) -> Text {
        self.0.extend(other.0);
        self
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Plain(text) | Piece::Strong(text) | Piece::Code(text) => f.write_str(text),
        })
    }
}

/// One of the first figures.
#[derive(Clone, Debug)]
pub struct Tile {
    /// What it is.
    pub what: String,
    /// The figure.
    pub figure: String,
    /// Whose.
    pub name: String,
    /// What else is to be known at once.
    pub more: String,
}

/// An initcall, beyond what the report has.
#[derive(Clone, Debug, Default)]
pub struct InitcallWords {
    /// Number of its task.
    pub task: Option<u32>,
    /// The CPU it began on.
    pub cpu: Option<u32>,
    /// Why it took its time; empty if it took little.
    pub why: String,
}

/// All sentences.
#[derive(Debug, Default)]
pub struct Words {
    /// What to read first.
    pub headline: Vec<Text>,
    /// What to see first.
    pub tiles: Vec<Tile>,
    /// For each of the report's levels, why it took its time.
    pub levels: Vec<String>,
    /// For each of the report's initcalls.
    pub initcalls: Vec<InitcallWords>,
    /// Index of the level that cost most.
    pub dearest: Option<usize>,
}

/// Ticks as the exporter has times.
pub fn time(report: &Report<'_>, ticks: u64) -> u64 {
    report.clock.ns(ticks).unwrap_or(ticks)
}

/// A time of the exporter for people.
pub fn show_time(report: &Report<'_>, time: u64) -> String {
    match report.clock.khz() {
        Some(_) => duration(time).replace(" us", " µs"),
        None => report.clock.show(time),
    }
}

/// Ticks for people.
pub fn show(report: &Report<'_>, ticks: u64) -> String {
    show_time(report, time(report, ticks))
}

/// A number of things.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

struct Teller<'a> {
    report: &'a Report<'a>,
    kept: &'a Kept,
    why: Why<'a>,
    /// Numbers of functions by address.
    functions: HashMap<u64, u32>,
    /// Numbers of tasks by name and pid.
    tasks: HashMap<String, Vec<u32>>,
}

/// Finds the words.
pub fn words<'a>(kept: &'a Kept, report: &'a Report<'a>) -> Words {
    let mut tasks: HashMap<String, Vec<u32>> = HashMap::new();
    for task in &kept.tasks {
        tasks.entry(label(task)).or_default().push(task.number);
    }
    let functions = kept.names.iter().enumerate().map(|(number, named)| (named.address, number as u32)).collect();
    let teller = Teller { report, kept, why: Why::new(&kept.spans, &kept.ran), functions, tasks };
    let initcalls = teller.initcalls();
    let dearest = dearest(report);
    let levels: Vec<Text> = report.boot.levels.iter().map(|row| teller.level(row, &initcalls)).collect();
    let headline = teller.headline(dearest, &levels, &initcalls);
    Words {
        headline,
        tiles: teller.tiles(dearest),
        levels: levels.iter().map(Text::to_string).collect(),
        initcalls: initcalls.into_iter().map(|(words, why)| InitcallWords { why: why.to_string(), ..words }).collect(),
        dearest,
    }
}

/// A task as the report writes it at an initcall.
fn label(task: &TaskHead) -> String {
    format!("{}-{}", task.name, task.pid)
}

/// The level that took longest, of those that the kernel spends before init runs; else of all.
fn dearest(report: &Report<'_>) -> Option<usize> {
    let levels = || report.boot.levels.iter().enumerate().filter(|(_, row)| row.phase != Phase::Firmware);
    let boot = levels().filter(|(_, row)| row.phase < Phase::User).max_by_key(|(_, row)| row.ticks);
    boot.or_else(|| levels().max_by_key(|(_, row)| row.ticks)).map(|(index, _)| index)
}

/// What a level is, in a word or two.
fn what(phase: Phase) -> &'static str {
    if phase.level().is_some() { "level" } else { "stage" }
}

impl Teller<'_> {
    fn name(&self, function: u32) -> &str {
        self.kept.names.get(function as usize).map_or("other ways", |named| &named.name)
    }

    fn show(&self, time: u64) -> String {
        show_time(self.report, time)
    }

    fn task(&self, number: u32) -> String {
        let task = self.kept.tasks.get(number as usize);
        task.map_or_else(|| "?".to_owned(), |task| if task.idle.is_some() { task.name.clone() } else { label(task) })
    }

    fn percent(&self, ticks: u64) -> String {
        percent(ticks, self.report.span())
    }

    /// The telling part of a way: without what all calls come through, and without what comes up to `below`.
    fn steps(&self, way: &Way, below: Option<u32>) -> Vec<(u32, u64)> {
        let from = way.steps.iter().position(|step| Some(step.0) == below).map_or(0, |at| at + 1);
        let telling = |step: &&(u32, u64)| !GENERIC.contains(&self.name(step.0));
        way.steps[from..].iter().filter(telling).copied().collect()
    }

    /// `most of it in a > b > c (12 ms)`; nothing if there is nothing to say.
    fn most_in(&self, way: &Way, below: Option<u32>) -> Text {
        let steps = self.steps(way, below);
        let next = way.next.filter(|next| next.1 > way.whole / 5 && !GENERIC.contains(&self.name(next.0)));
        let Some(last) = steps.last() else {
            return next.map_or_else(Text::default, |(function, time)| {
                let text = Text::default().plain("the largest part in ").code(self.name(function));
                text.plain(format!(" ({})", self.show(time)))
            });
        };
        let mut names: Vec<&str> = steps.iter().map(|step| self.name(step.0)).collect();
        if names.len() > 4 {
            names = [&names[..1], &["…"], &names[names.len() - 2..]].concat();
        }
        let text = Text::default().plain("most of it in ").code(names.join(" › "));
        let text = text.plain(format!(" ({})", self.show(last.1)));
        // A function that calls itself is no news.
        match next.filter(|next| next.0 != last.0) {
            Some((function, time)) => {
                text.plain(", there above all in ").code(self.name(function)).plain(format!(" ({})", self.show(time)))
            }
            None => text,
        }
    }

    fn initcalls(&self) -> Vec<(InitcallWords, Text)> {
        let rows = &self.report.boot.initcalls;
        let mut longest: Vec<usize> = (0..rows.len()).collect();
        longest.sort_by_key(|&index| std::cmp::Reverse(rows[index].wall));
        longest.truncate(REASONS);
        let mut words: Vec<(InitcallWords, Text)> = rows
            .iter()
            .map(|row| {
                let candidates = self.tasks.get(&row.task).map_or(&[][..], Vec::as_slice);
                let start = time(self.report, row.start);
                // Of several tasks that had the pid, the one that ran then.
                let found = self.why.running(start, |task| candidates.contains(&task));
                let (cpu, task) = (found.map(|found| found.0), found.map(|found| found.1));
                let task = task.or(candidates.first().copied());
                (InitcallWords { task, cpu, why: String::new() }, Text::default())
            })
            .collect();
        for index in longest {
            if let Some(task) = words[index].0.task {
                words[index].1 = self.initcall(&rows[index], task);
            }
        }
        words
    }

    /// Why an initcall took its time: it worked, or it waited, and for whom.
    fn initcall(&self, row: &InitcallRow, task: u32) -> Text {
        let start = time(self.report, row.start);
        let window = (start, start.saturating_add(time(self.report, row.wall)));
        let waited = row.wall.saturating_sub(row.on_cpu);
        let mut text = Text::default();
        if row.on_cpu >= row.wall / 5 {
            let most = self.most_in(&self.why.way(task, &[window]), self.functions.get(&row.address).copied());
            let worked = if waited < row.wall / 20 { "it worked all the time" } else { "it worked for " };
            text = text.plain(worked);
            if waited >= row.wall / 20 {
                text = text.plain(show(self.report, row.on_cpu));
            }
            if !most.is_empty() {
                text = text.plain(", ").then(most);
            }
        }
        if waited >= row.wall / 5 {
            let lead = if text.is_empty() {
                format!("it worked only {} and waited {}", show(self.report, row.on_cpu), show(self.report, waited))
            } else {
                format!("; it waited {}", show(self.report, waited))
            };
            text = text.plain(lead);
            let waits = self.why.waits(task, window);
            if let Some(&(other, ran)) = self.why.who(&waits, Some(task)).first()
                && ran > time(self.report, waited) / 10
            {
                text = text.plain(", while ").code(self.task(other)).plain(format!(" ran {}", self.show(ran)));
                let most = self.most_in(&self.why.way(other, &waits), None);
                if !most.is_empty() {
                    text = text.plain(", ").then(most);
                }
            }
        }
        match row.outcome {
            Outcome::Returned(_) => text,
            Outcome::Cut => text.plain("; events were lost in it"),
            Outcome::Open => text.plain("; it never returned"),
        }
    }

    /// How much of a level an initcall took.
    fn share(&self, initcall: &InitcallRow, row: &LevelRow) -> Text {
        let took = show(self.report, initcall.wall);
        let took = format!(" took {took} of it ({} %)", percent(initcall.wall, row.ticks));
        Text::default().code(&*initcall.name).plain(took)
    }

    /// What a level's time went into.
    fn level(&self, row: &LevelRow, initcalls: &[(InitcallWords, Text)]) -> Text {
        if row.phase == Phase::Firmware {
            return Text::default().plain("before tracing began; only its duration is known");
        }
        let report = self.report;
        let slowest = row.slowest.and_then(|index| Some((report.boot.initcalls.get(index)?, initcalls.get(index)?)));
        if let Some((initcall, (_, why))) = slowest
            && initcall.wall > row.ticks / 10
        {
            let text = self.share(initcall, row);
            return if why.is_empty() { text } else { text.plain(": ").then(why.clone()) };
        }
        let start = time(report, row.began);
        let window: Window = (start, start.saturating_add(time(report, row.ticks)));
        let Some(&(task, ran)) = self.why.who(&[window], None).first() else { return Text::default() };
        let most = self.most_in(&self.why.way(task, &[window]), None);
        let text = Text::default().code(self.task(task)).plain(format!(" ran {}", self.show(ran)));
        let text = if most.is_empty() { text } else { text.plain(", ").then(most) };
        match row.initcalls {
            0 => text,
            many => text.plain(format!("; its {} are all short", counted(many, "initcall", "initcalls"))),
        }
    }

    fn headline(&self, dearest: Option<usize>, levels: &[Text], initcalls: &[(InitcallWords, Text)]) -> Vec<Text> {
        let report = self.report;
        let span = show(report, report.span());
        let text = Text::default();
        let mut first = match &report.end {
            End::PowerOff => {
                text.plain("The boot took ").strong(span).plain(" from the first traced function to power-off")
            }
            End::Stopped(_) => text
                .plain("The trace covers ")
                .strong(span)
                .plain(" from the first traced function until the recorder was told to stop"),
            End::Died(_) => text.plain("The guest died ").strong(span).plain(" after the first traced function"),
            End::Missing => text
                .plain("The trace covers ")
                .strong(span)
                .plain(" from the first traced function; its end is missing"),
        };
        let user = report.boot.levels.iter().find(|row| row.phase == Phase::User);
        if let Some(user) = user {
            first = first
                .plain("; user space began after ")
                .strong(show(report, user.began))
                .plain(format!(" and ran for {}", show(report, user.ticks)));
        }
        if let Some(filtered) = &report.filtered {
            first = first.plain(format!(". Of the calls, this page has only {filtered}"));
        }
        let mut all = vec![first.plain(".")];
        let Some(row) = dearest.and_then(|index| report.boot.levels.get(index)) else {
            all.extend(self.top_function());
            all.push(self.recorded());
            return all;
        };
        let mut text = Text::default()
            .plain("Most time went into ")
            .plain(format!("{} ", what(row.phase)))
            .strong(row.phase.name())
            .plain(": ")
            .strong(show(report, row.ticks))
            .plain(format!(" ({} %)", self.percent(row.ticks)));
        let why = dearest.and_then(|index| levels.get(index)).filter(|why| !why.is_empty());
        text = match why {
            Some(why) => text.plain(". ").then(why.clone()).plain("."),
            None => text.plain("."),
        };
        all.push(text);
        let mut others: Vec<&LevelRow> =
            report.boot.levels.iter().filter(|other| other.phase != row.phase && other.phase < Phase::User).collect();
        others.retain(|other| other.phase != Phase::Firmware && other.ticks > 0);
        others.sort_by_key(|other| std::cmp::Reverse(other.ticks));
        let slowest = report.boot.plain().max_by_key(|(_, initcall)| initcall.wall);
        if let Some((index, initcall)) = slowest
            && row.slowest != Some(index)
        {
            let level = initcall.phase.map_or("", |phase| phase.name());
            let text = Text::default()
                .plain(format!("The slowest of all {} is ", counted(self.plain(), "initcall", "initcalls")))
                .strong(&*initcall.name)
                .plain(format!(" in level {level}: "))
                .strong(show(report, initcall.wall));
            let why = &initcalls[index].1;
            let text = if why.is_empty() { text } else { text.plain("; ").then(why.clone()) };
            all.push(text.plain("."));
        } else if let Some((_, initcall)) = slowest {
            all.push(
                Text::default()
                    .code(&*initcall.name)
                    .plain(format!(" is the slowest of all {}, too.", counted(self.plain(), "initcall", "initcalls"))),
            );
        }
        // After a stage, the level that cost most; after a level, whatever comes next.
        let stage = row.phase.level().is_none();
        if let Some(next) = others.iter().find(|other| !stage || other.phase.level().is_some()) {
            let index = report.boot.levels.iter().position(|row| row.phase == next.phase).unwrap_or(0);
            let text = Text::default();
            let mut text = if stage {
                text.plain("Of the initcall levels, ").strong(next.phase.name()).plain(" cost most: ")
            } else {
                text.plain(format!("Next comes {} ", what(next.phase))).strong(next.phase.name()).plain(": ")
            };
            text = text.plain(format!("{} ({} %)", show(report, next.ticks), self.percent(next.ticks)));
            // Why the slowest initcall took its time has just been said.
            let said = slowest.filter(|slowest| row.slowest != Some(slowest.0) && next.slowest == Some(slowest.0));
            if let Some((_, initcall)) = said {
                text = text.plain("; ").then(self.share(initcall, next));
            } else if let Some(why) = levels.get(index).filter(|why| !why.is_empty()) {
                text = text.plain("; ").then(why.clone());
            }
            all.push(text.plain("."));
        }
        all.extend(self.top_function());
        all.push(self.recorded());
        all
    }

    /// How much the page knows.
    fn recorded(&self) -> Text {
        let (totals, coverage) = (self.report.totals, self.report.coverage);
        let lost = if totals.lost == 0 { "none lost".to_owned() } else { format!("{} lost", count(totals.lost)) };
        let cpus = counted(self.report.meta.cpus.into(), "CPU", "CPUs");
        let text = Text::default().plain(format!("Recorded: {} events of {cpus}, {lost}", count(totals.events)));
        match coverage.sites {
            Some(all) => text.plain(format!(
                "; {} of the {} functions that can be traced were called.",
                count(coverage.hit),
                count(all)
            )),
            None => text.plain("."),
        }
    }

    fn plain(&self) -> u64 {
        self.report.boot.plain().count() as u64
    }

    /// The function with the most self time.
    fn top_function(&self) -> Option<Text> {
        let top = self.report.functions.iter().max_by_key(|row| row.busy_own())?;
        let place = match (&top.named.file, top.named.line) {
            (Some(file), Some(line)) => format!(" ({file}:{line})"),
            _ => String::new(),
        };
        Some(
            Text::default()
                .plain("The function with the most time of its own is ")
                .code(&*top.named.name)
                .plain(place)
                .plain(": ")
                .strong(show(self.report, top.busy_own()))
                .plain(format!(" in {}.", counted(top.all.calls, "call", "calls"))),
        )
    }

    fn tiles(&self, dearest: Option<usize>) -> Vec<Tile> {
        let report = self.report;
        let events = format!("{} events, {} lost", count(report.totals.events), count(report.totals.lost));
        let user = report.boot.levels.iter().find(|row| row.phase == Phase::User);
        let mut tiles = vec![Tile {
            what: "Whole trace".to_owned(),
            figure: show(report, report.span()),
            name: user.map_or_else(String::new, |row| format!("{} to user space", show(report, row.began))),
            more: events,
        }];
        if let Some(row) = dearest.and_then(|index| report.boot.levels.get(index)) {
            tiles.push(Tile {
                what: format!("Costliest {}", what(row.phase)),
                figure: show(report, row.ticks),
                name: row.phase.name().to_owned(),
                more: format!("{} % of the whole", self.percent(row.ticks)),
            });
        }
        if let Some((_, row)) = report.boot.plain().max_by_key(|(_, row)| row.wall) {
            let waited = row.wall.saturating_sub(row.on_cpu);
            let kind = if row.kind == Kind::Module { "module init" } else { "initcall" };
            tiles.push(Tile {
                what: format!("Slowest {kind}"),
                figure: show(report, row.wall),
                name: row.name.clone(),
                more: if waited >= row.wall / 5 {
                    format!("worked {}, waited {}", show(report, row.on_cpu), show(report, waited))
                } else {
                    "worked all the time".to_owned()
                },
            });
        }
        if let Some(row) = report.functions.iter().max_by_key(|row| row.busy_own()) {
            tiles.push(Tile {
                what: "Most self time".to_owned(),
                figure: show(report, row.busy_own()),
                name: row.named.name.clone(),
                more: counted(row.all.calls, "call", "calls"),
            });
        }
        tiles
    }
}
