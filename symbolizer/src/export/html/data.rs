// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the page draws, as JSON: columns of numbers, each name once. In: what was kept, the report, the words.
//! Out: JSON that may stand in a script element. `state.js` is its reader. Never here: HTML.
//!
//! Times are those of the exporter. Functions are numbered in the order of the table of functions, which is
//! the report's; a function that the table does not have comes behind. Tasks are numbered as they are used.

use std::collections::HashMap;
use std::io;

use serde::Serialize;

use super::page::in_script;
use super::ways::NOBODY;
use super::words::{Words, time};
use super::{Budget, Kept, TaskHead};
use crate::calltree::levels::{Kind, Outcome};
use crate::export::REST;
use crate::report::Report;
use crate::report::names::Named;
use crate::resolve::tree;

/// Longer names are cut: a symbol table from outside may hold any.
const LONGEST_NAME: usize = 120;

/// Functions that are listed for each level.
const OF_A_LEVEL: usize = 8;

#[derive(Serialize)]
struct Data<'a> {
    unit: &'static str,
    span: u64,
    busy: u64,
    /// All events, all calls, what was lost.
    events: u64,
    calls: u64,
    lost: u64,
    dearest: Option<usize>,
    functions: Functions,
    /// How many functions the report has.
    functions_all: usize,
    edges: Edges,
    tasks: Vec<TaskName>,
    task_rows: Vec<TaskRow<'a>>,
    levels: Vec<Level<'a>>,
    initcalls: Vec<Initcall<'a>>,
    initcalls_all: usize,
    modules: Vec<(String, bool, u64, u64, u64, u64)>,
    subsystems: Vec<(&'a str, u64, u64)>,
    spans: Spans,
    ran: Stretches,
    missing: &'a [(u32, u64, String)],
    ways: Nodes,
}

/// Columns; a line for each function.
#[derive(Default, Serialize)]
struct Functions {
    name: Vec<String>,
    /// Index into `files`, or -1.
    file: Vec<i32>,
    line: Vec<u32>,
    calls: Vec<u64>,
    total: Vec<u64>,
    own: Vec<u64>,
    mean: Vec<u64>,
    max: Vec<Option<u64>>,
    files: Vec<String>,
    /// For each file: index into `directories`.
    directory: Vec<u32>,
    directories: Vec<String>,
}

#[derive(Default, Serialize)]
struct Edges {
    caller: Vec<i64>,
    callee: Vec<u32>,
    calls: Vec<u64>,
    total: Vec<u64>,
}

#[derive(Serialize)]
struct TaskName {
    name: String,
    pid: u32,
    idle: Option<u32>,
}

#[derive(Serialize)]
struct TaskRow<'a> {
    name: &'a str,
    pid: u32,
    idle: bool,
    on_cpu: u64,
    own: u64,
    calls: u64,
    switches: u64,
    first: u64,
    ended: bool,
}

#[derive(Serialize)]
struct Level<'a> {
    name: &'static str,
    what: &'static str,
    initcall: bool,
    began: u64,
    time: u64,
    busy: u64,
    events: u64,
    calls: u64,
    initcalls: u64,
    slowest: Option<&'a str>,
    why: &'a str,
    functions: Vec<(&'a str, u64, u64)>,
}

#[derive(Serialize)]
struct Initcall<'a> {
    name: String,
    function: i64,
    kind: &'static str,
    module: Option<&'a str>,
    level: Option<&'static str>,
    start: u64,
    wall: u64,
    on_cpu: u64,
    calls: u64,
    task: &'a str,
    cpu: Option<u32>,
    ended: String,
    why: &'a str,
}

/// Columns; starts as differences to the one before, on-CPU time as what is missing to the duration.
#[derive(Default, Serialize)]
struct Spans {
    task: Vec<u32>,
    depth: Vec<u32>,
    function: Vec<i64>,
    start: Vec<i64>,
    wall: Vec<u64>,
    away: Vec<u64>,
    own: Vec<u64>,
    least: u64,
    left_out: u64,
}

#[derive(Default, Serialize)]
struct Stretches {
    cpu: Vec<u32>,
    task: Vec<u32>,
    from: Vec<i64>,
    time: Vec<u64>,
    idle: Vec<u8>,
    least: u64,
}

#[derive(Default, Serialize)]
struct Nodes {
    /// Level's index in boot order or -1, task, idle, total, callees left out, nodes.
    groups: Vec<(i32, i64, bool, u64, u32, u32)>,
    depth: Vec<u32>,
    function: Vec<i64>,
    calls: Vec<u64>,
    total: Vec<u64>,
    own: Vec<u64>,
    longest: Vec<u64>,
    dropped: Vec<u32>,
    least: u64,
    left_out: u64,
}

/// Text from outside, not too long.
fn bounded(text: &str) -> String {
    match text.char_indices().nth(LONGEST_NAME) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Numbers things in the order in which they are used.
#[derive(Default)]
struct Numbers {
    of: HashMap<u32, u32>,
    used: Vec<u32>,
}

impl Numbers {
    fn number(&mut self, old: u32) -> u32 {
        *self.of.entry(old).or_insert_with(|| {
            self.used.push(old);
            self.used.len() as u32 - 1
        })
    }
}

struct Maker<'a> {
    kept: &'a Kept,
    report: &'a Report<'a>,
    /// Numbers of the trace to those of the page.
    functions: Numbers,
    tasks: Numbers,
}

/// The whole.
///
/// # Errors
/// None in practice: what is written is in memory.
pub fn json(kept: &Kept, report: &Report<'_>, words: &Words, budget: Budget) -> io::Result<String> {
    let mut maker = Maker { kept, report, functions: Numbers::default(), tasks: Numbers::default() };
    let mut functions = maker.table(budget.rows);
    let spans = maker.spans();
    let ran = maker.stretches();
    let ways = maker.nodes();
    let initcalls = maker.initcalls(words, budget.rows / 4);
    let edges = maker.edges(budget.edges);
    maker.others(&mut functions);
    let used = std::mem::take(&mut maker.tasks.used);
    let data = Data {
        unit: if report.clock.khz().is_some() { "ns" } else { "ticks" },
        span: time(report, report.span()),
        busy: time(report, report.busy()),
        events: report.totals.events,
        calls: report.calls(),
        lost: report.totals.lost,
        dearest: words.dearest,
        functions,
        functions_all: report.functions.len(),
        edges,
        tasks: used.iter().map(|&number| task_name(kept.tasks.get(number as usize))).collect(),
        task_rows: maker.task_rows(budget.rows / 4),
        levels: maker.levels(words),
        initcalls,
        initcalls_all: report.boot.initcalls.len(),
        modules: maker.modules(budget.rows / 4),
        subsystems: report.subsystems.iter().map(|row| (&*row.name, time(report, row.own), row.calls)).collect(),
        spans,
        ran,
        missing: &kept.missing,
        ways,
    };
    Ok(in_script(&serde_json::to_string(&data)?))
}

fn task_name(task: Option<&TaskHead>) -> TaskName {
    task.map_or(TaskName { name: "?".to_owned(), pid: 0, idle: None }, |task| TaskName {
        name: task.name.clone(),
        pid: task.pid,
        idle: task.idle,
    })
}

impl Functions {
    fn push(&mut self, named: &Named, files: &mut HashMap<String, i32>) {
        self.name.push(bounded(&named.name));
        let file = named.file.as_ref().map_or(-1, |file| {
            *files.entry(file.clone()).or_insert_with(|| {
                let directory = tree::subsystem(file);
                let at = self.directories.iter().position(|known| known == directory).unwrap_or_else(|| {
                    self.directories.push(directory.to_owned());
                    self.directories.len() - 1
                });
                self.files.push(bounded(file));
                self.directory.push(at as u32);
                self.files.len() as i32 - 1
            })
        });
        self.file.push(file);
        self.line.push(named.line.unwrap_or(0));
    }

    fn files_so_far(&self) -> HashMap<String, i32> {
        self.files.iter().enumerate().map(|(index, file)| (file.clone(), index as i32)).collect()
    }
}

impl Maker<'_> {
    fn time(&self, ticks: u64) -> u64 {
        time(self.report, ticks)
    }

    /// The number on the page of a function of the trace; -1 for the rest.
    fn function(&mut self, number: u32) -> i64 {
        if number == REST || number == NOBODY { -1 } else { i64::from(self.functions.number(number)) }
    }

    fn table(&mut self, most: usize) -> Functions {
        let mut numbers: HashMap<(u64, &str), Vec<u32>> = HashMap::new();
        for (number, named) in self.kept.names.iter().enumerate().rev() {
            numbers.entry((named.site, &named.name)).or_default().push(number as u32);
        }
        let (mut functions, mut files) = (Functions::default(), HashMap::new());
        for row in self.report.functions.iter().take(most) {
            let number = numbers.get_mut(&(row.named.site, &*row.named.name)).and_then(Vec::pop);
            // Of a function that was not told there is no number; it takes a place all the same.
            let place = self.functions.used.len() as u32;
            self.functions.number(number.unwrap_or(u32::MAX - 2 - place));
            functions.push(&row.named, &mut files);
            functions.calls.push(row.all.calls);
            functions.total.push(self.time(row.busy_total()));
            functions.own.push(self.time(row.busy_own()));
            functions.mean.push(self.time(row.all.total.checked_div(row.all.calls).unwrap_or(0)));
            functions.max.push((row.all.min <= row.all.max).then(|| self.time(row.all.max)));
        }
        functions
    }

    /// Names of functions that are drawn and stand in no line of the table.
    fn others(&self, functions: &mut Functions) {
        let mut files = functions.files_so_far();
        for &number in &self.functions.used[functions.name.len()..] {
            match self.kept.names.get(number as usize) {
                Some(named) => functions.push(named, &mut files),
                None => {
                    functions.name.push("?".to_owned());
                    functions.file.push(-1);
                    functions.line.push(0);
                }
            }
        }
    }

    fn spans(&mut self) -> Spans {
        let kept = self.kept;
        let mut order: Vec<&super::Span> = kept.spans.iter().collect();
        order.sort_by_key(|span| (span.task, span.start, span.depth));
        let mut spans = Spans { least: kept.spans_least, left_out: kept.spans_left_out, ..Spans::default() };
        let mut before = 0;
        for span in order {
            let wall = span.end.saturating_sub(span.start);
            spans.task.push(self.tasks.number(span.task));
            spans.depth.push(span.depth);
            spans.function.push(self.function(span.function));
            spans.start.push(span.start.wrapping_sub(before) as i64);
            spans.wall.push(wall);
            spans.away.push(wall.saturating_sub(span.total));
            spans.own.push(span.own);
            before = span.start;
        }
        spans
    }

    fn stretches(&mut self) -> Stretches {
        let kept = self.kept;
        let mut order: Vec<&super::Ran> = kept.ran.iter().collect();
        order.sort_by_key(|ran| (ran.cpu, ran.from));
        let mut stretches = Stretches { least: kept.ran_least, ..Stretches::default() };
        let mut before = 0;
        for ran in order {
            stretches.cpu.push(ran.cpu);
            stretches.task.push(self.tasks.number(ran.task));
            stretches.from.push(ran.from.wrapping_sub(before) as i64);
            stretches.time.push(ran.to.saturating_sub(ran.from));
            stretches.idle.push(u8::from(ran.idle));
            before = ran.from;
        }
        stretches
    }

    fn nodes(&mut self) -> Nodes {
        let ways = &self.kept.ways;
        let mut nodes = Nodes { least: ways.least, left_out: ways.left_out, ..Nodes::default() };
        let mut counts = vec![0; ways.groups.len()];
        for way in &ways.ways {
            counts[way.group as usize] += 1;
            nodes.depth.push(way.depth);
            nodes.function.push(self.function(way.function));
            nodes.calls.push(way.calls);
            nodes.total.push(way.total);
            nodes.own.push(way.own);
            nodes.longest.push(way.longest);
            nodes.dropped.push(way.dropped);
        }
        for (group, count) in ways.groups.iter().zip(counts) {
            let phase = group.key.phase.map_or(-1, |phase| {
                let row = self.report.boot.levels.iter().position(|row| row.phase == phase);
                row.map_or(-1, |row| row as i32)
            });
            let task = group.key.task.map_or(-1, |task| i64::from(self.tasks.number(task)));
            nodes.groups.push((phase, task, group.key.idle, group.total, group.dropped, count));
        }
        nodes
    }

    fn edges(&mut self, most: usize) -> Edges {
        let mut order: Vec<(&(u32, u32), &super::ways::Sums)> = self.kept.ways.edges.iter().collect();
        order.sort_unstable_by_key(|&(pair, sums)| (std::cmp::Reverse((sums.total, sums.calls)), *pair));
        let mut edges = Edges::default();
        for (&(caller, callee), sums) in order.into_iter().take(most) {
            if callee == REST {
                continue;
            }
            edges.caller.push(self.function(caller));
            edges.callee.push(self.functions.number(callee));
            edges.calls.push(sums.calls);
            edges.total.push(sums.total);
        }
        edges
    }

    fn task_rows(&self, most: usize) -> Vec<TaskRow<'_>> {
        let rows = self.report.tasks.iter().take(most);
        rows.map(|row| TaskRow {
            name: &row.name,
            pid: row.pid,
            idle: row.idle.is_some(),
            on_cpu: self.time(row.on_cpu),
            own: self.time(row.traced),
            calls: row.calls,
            switches: row.switches,
            first: self.time(row.first),
            ended: row.ended,
        })
        .collect()
    }

    fn levels<'b>(&'b self, words: &'b Words) -> Vec<Level<'b>> {
        let boot = &self.report.boot;
        let row = |(index, row): (usize, &'b crate::report::levels::LevelRow)| Level {
            name: row.phase.name(),
            what: row.phase.description(),
            initcall: row.phase.level().is_some(),
            began: self.time(row.began),
            time: self.time(row.ticks),
            busy: self.time(row.busy),
            events: row.events,
            calls: row.calls,
            initcalls: row.initcalls,
            slowest: row.slowest.and_then(|index| boot.initcalls.get(index)).map(|row| &*row.name),
            why: words.levels.get(index).map_or("", |why| why),
            functions: row
                .functions
                .iter()
                .take(OF_A_LEVEL)
                .map(|(name, figures)| (&**name, self.time(figures.own), figures.calls))
                .collect(),
        };
        boot.levels.iter().enumerate().map(row).collect()
    }

    /// The longest, in order of time.
    fn initcalls<'b>(&mut self, words: &'b Words, most: usize) -> Vec<Initcall<'b>>
    where
        Self: 'b,
    {
        let report = self.report;
        let by_address: HashMap<u64, u32> =
            self.kept.names.iter().enumerate().map(|(number, named)| (named.address, number as u32)).collect();
        let rows = &report.boot.initcalls;
        let mut chosen: Vec<usize> = (0..rows.len()).collect();
        chosen.sort_by_key(|&index| std::cmp::Reverse(rows[index].wall));
        chosen.truncate(most);
        chosen.sort_unstable();
        let mut initcalls = Vec::with_capacity(chosen.len());
        for index in chosen {
            let row = &rows[index];
            let (kind, plain) = match row.kind {
                Kind::BuiltIn => ("built-in", true),
                Kind::Module => ("module", true),
                Kind::Async => ("async", false),
                Kind::Deferred => ("deferred", false),
            };
            let ended = match row.outcome {
                Outcome::Returned(value) if plain => format!("returned {value}"),
                Outcome::Returned(_) => "returned".to_owned(),
                Outcome::Cut => "events were lost in it".to_owned(),
                Outcome::Open => "still open at the end".to_owned(),
            };
            let more = words.initcalls.get(index);
            let function = by_address.get(&row.address).map_or(-1, |&number| self.function(number));
            initcalls.push(Initcall {
                name: bounded(&row.name),
                function,
                kind,
                module: row.module.as_deref(),
                level: row.phase.map(|phase| phase.name()),
                start: time(report, row.start),
                wall: time(report, row.wall),
                on_cpu: time(report, row.on_cpu),
                calls: row.calls,
                task: &row.task,
                cpu: more.and_then(|more| more.cpu),
                ended,
                why: more.map_or("", |more| &more.why),
            });
        }
        initcalls
    }

    fn modules(&self, most: usize) -> Vec<(String, bool, u64, u64, u64, u64)> {
        let mut rows: Vec<&crate::report::levels::ModuleRow> = self.report.boot.modules.iter().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.wall));
        rows.iter()
            .take(most)
            .map(|row| {
                let (wall, on_cpu) = (self.time(row.wall), self.time(row.on_cpu));
                (bounded(&row.name), row.loaded, row.initcalls, wall, on_cpu, row.calls)
            })
            .collect()
    }
}
