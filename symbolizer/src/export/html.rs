// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! One HTML page that tells a boot to people: no network, no other file. In: calls, the merged call tree, the
//! report. Out: the page. Never here: an unbounded number of anything; names from outside as HTML.
//!
//! The tour:
//! 1. this file takes what it is told and keeps the longest ([`longest`], [`ways`]), within budgets, so that
//!    the page of any trace stays below [`MOST_BYTES`];
//! 2. [`why`] finds out why a level or an initcall took as long as it did;
//! 3. [`words`] says so, [`facts`] what was recorded;
//! 4. [`data`] is what the page draws, as JSON;
//! 5. [`page`] puts it into `html/page.html`, with `html/page.css` and the scripts beside it.

mod data;
mod facts;
mod longest;
mod page;
mod ways;
mod why;
mod words;

use std::collections::HashMap;
use std::io::{self, Write};

use super::{Context, Exporter, Grouping, Head, Leave, Missing, TaskHead, Wants};
use crate::report::Report;
use crate::report::names::Named;
use longest::Longest;
use ways::Ways;

/// The page is made smaller until its data take less. Browsers open such a page in about a second.
const MOST_BYTES: usize = 9_000_000;

/// What the page may hold. The budgets are for pages of some megabytes, which browsers open at once.
#[derive(Clone, Copy, Debug)]
struct Budget {
    /// Calls in order of time.
    spans: usize,
    /// Stretches of tasks on CPUs.
    ran: usize,
    /// Nodes of the merged tree.
    ways: usize,
    /// Pairs of caller and callee.
    edges: usize,
    /// Lines of a table.
    rows: usize,
}

const BUDGET: Budget = Budget { spans: 90_000, ran: 30_000, ways: 50_000, edges: 60_000, rows: 40_000 };

/// Most places of losses and gaps that are drawn.
const MOST_MISSING: usize = 1_000;

/// Waiting is less telling than working: of a call that lasts long and works little, this part of its
/// duration counts as its length. (A caller is never shorter than its callee by either measure.)
const WAITING: u64 = 16;

/// A call that is long enough to be drawn. Times since the trace began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    task: u32,
    depth: u32,
    function: u32,
    start: u64,
    end: u64,
    /// On-CPU time.
    total: u64,
    /// Without what was called.
    own: u64,
}

impl Span {
    /// Of a part of the call, what it was on a CPU, if that was evenly spread.
    fn on_cpu(&self, (from, to): why::Window) -> u64 {
        let wall = self.end.saturating_sub(self.start);
        let part = u128::from(to.saturating_sub(from)) * u128::from(self.total);
        part.checked_div(u128::from(wall)).and_then(|time| u64::try_from(time).ok()).unwrap_or(0)
    }
}

/// A task was on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ran {
    cpu: u32,
    task: u32,
    from: u64,
    to: u64,
    /// The CPU had nothing to do.
    idle: bool,
}

/// Writes the page.
#[derive(Debug)]
pub struct Html<W> {
    out: W,
    spans: Longest<Span>,
    ran: Longest<Ran>,
    /// Until when the idle task of each CPU was booting: that is its first stretch on it.
    booted: HashMap<u32, u64>,
    ways: Ways,
    names: Vec<Named>,
    /// By number, as last told.
    tasks: Vec<TaskHead>,
    missing: Vec<(u32, u64, String)>,
}

impl<W: Write> Html<W> {
    /// To this output.
    pub fn new(out: W) -> Html<W> {
        Html {
            out,
            spans: Longest::new(BUDGET.spans),
            ran: Longest::new(BUDGET.ran),
            booted: HashMap::new(),
            ways: Ways::new(BUDGET.ways),
            names: Vec::new(),
            tasks: Vec::new(),
            missing: Vec::new(),
        }
    }
}

/// All that was kept, for those who make the page of it.
struct Kept {
    spans: Vec<Span>,
    /// All calls of at least this length are among them; and how many are not.
    spans_least: u64,
    spans_left_out: u64,
    ran: Vec<Ran>,
    ran_least: u64,
    ways: Ways,
    names: Vec<Named>,
    tasks: Vec<TaskHead>,
    missing: Vec<(u32, u64, String)>,
}

impl Kept {
    /// The same with less in it.
    fn shrink(&mut self, parts: usize) {
        let mut spans = Longest::new(self.spans.len() / parts);
        for span in std::mem::take(&mut self.spans) {
            spans.push(length(span.start, span.end, span.total), span);
        }
        let left_out = self.spans_left_out;
        (self.spans, self.spans_least, self.spans_left_out) = spans.finish();
        self.spans_left_out = self.spans_left_out.saturating_add(left_out);
        let mut ran = Longest::new(self.ran.len() / parts);
        for stretch in std::mem::take(&mut self.ran) {
            ran.push(stretch.to.saturating_sub(stretch.from), stretch);
        }
        (self.ran, self.ran_least, _) = ran.finish();
        self.ways.prune_to(self.ways.ways.len() / parts);
    }
}

/// How much a call counts.
fn length(start: u64, end: u64, total: u64) -> u64 {
    total.max(end.saturating_sub(start) / WAITING)
}

impl<W: Write> Exporter for Html<W> {
    fn wants(&self) -> Wants {
        Wants::Both(Grouping { tasks: true, phases: true })
    }

    fn begin(&mut self, _head: &Head<'_>) -> io::Result<()> {
        Ok(())
    }

    fn function(&mut self, _number: u32, named: &Named) -> io::Result<()> {
        self.names.push(named.clone());
        Ok(())
    }

    fn task(&mut self, task: &TaskHead) -> io::Result<()> {
        let index = task.number as usize;
        if self.tasks.len() <= index {
            self.tasks.resize(index + 1, TaskHead::default());
        }
        self.tasks[index] = task.clone();
        Ok(())
    }

    fn ran(&mut self, task: u32, cpu: u32, from: u64, to: u64) -> io::Result<()> {
        let first = !self.booted.contains_key(&cpu);
        if first {
            self.booted.insert(cpu, to);
        }
        let idle = !first && self.tasks.get(task as usize).is_some_and(|task| task.idle.is_some());
        self.ran.push(to.saturating_sub(from), Ran { cpu, task, from, to, idle });
        Ok(())
    }

    fn leave(&mut self, leave: &Leave) -> io::Result<()> {
        // What an idle task began before it idled is work, although it may never end.
        let booting = || self.booted.get(&leave.at.cpu).is_some_and(|&until| leave.start < until);
        if !leave.at.idle || booting() {
            let Leave { function, start, end, total, own, at, .. } = *leave;
            let span = Span { task: at.task, depth: at.depth as u32, function, start, end, total, own };
            self.spans.push(length(start, end, total), span);
        }
        Ok(())
    }

    fn missing(&mut self, cpu: u32, time: u64, missing: &Missing) -> io::Result<()> {
        if self.missing.len() < MOST_MISSING {
            let words = match missing {
                Missing::Lost(count) => format!("{} events lost", crate::report::units::count(*count)),
                Missing::Gap(reason) => reason.clone(),
            };
            self.missing.push((cpu, time, words));
        }
        Ok(())
    }

    fn context(&mut self, context: &Context<'_>) -> io::Result<()> {
        self.ways.push(context);
        Ok(())
    }

    fn finish(&mut self, report: &Report<'_>) -> io::Result<()> {
        let spans = std::mem::replace(&mut self.spans, Longest::new(1));
        let ran = std::mem::replace(&mut self.ran, Longest::new(1));
        let mut ways = std::mem::replace(&mut self.ways, Ways::new(1));
        ways.prune_to(BUDGET.ways);
        let (spans, spans_least, spans_left_out) = spans.finish();
        let (ran, ran_least, _) = ran.finish();
        let mut kept = Kept {
            spans,
            spans_least,
            spans_left_out,
            ran,
            ran_least,
            ways,
            names: std::mem::take(&mut self.names),
            tasks: std::mem::take(&mut self.tasks),
            missing: std::mem::take(&mut self.missing),
        };
        let mut budget = BUDGET;
        let (words, mut data) = page_parts(&mut kept, report, budget)?;
        while data.len() > MOST_BYTES && budget.rows > 100 {
            (budget.rows, budget.edges) = (budget.rows / 2, budget.edges / 2);
            kept.shrink(2);
            data = page_parts(&mut kept, report, budget)?.1;
        }
        let facts = facts::facts(report, kept.spans_left_out);
        page::write(&mut self.out, report, &words, &facts, &data)?;
        self.out.flush()
    }
}

/// The sentences and the data.
fn page_parts(kept: &mut Kept, report: &Report<'_>, budget: Budget) -> io::Result<(words::Words, String)> {
    let words = words::words(kept, report);
    let data = data::json(kept, report, &words, budget)?;
    Ok((words, data))
}
