// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The options that choose calls. In: arguments. Out: a [`Wanted`], and the same in words. Never here:
//! filtering.

use std::ops::Range;

use bootlevel::Phase;
use clap::Args;
use symbolizer::calltree::filter::{Globs, Wanted};
use symbolizer::calltree::phases::Timeline;
use symbolizer::report::units::Clock;

/// Which calls count; conditions of different options must all hold.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Which calls")]
pub struct Filters {
    /// Only calls of functions with such a name, e.g. 'ext4_*' (may be repeated)
    #[arg(long, value_name = "GLOB")]
    function: Vec<String>,
    /// Only calls of functions with such a name and all that runs inside them (may be repeated)
    #[arg(long, value_name = "GLOB")]
    inside: Vec<String>,
    /// Only calls at most N deep: 1 is the outermost ones
    #[arg(long, value_name = "N")]
    depth: Option<usize>,
    /// Only calls that take at least so long, e.g. 10us, 1.5ms, 200t (t: ticks)
    #[arg(long, value_name = "TIME")]
    min: Option<Span>,
    /// Only calls that begin at this time since the trace began or later, e.g. 250ms
    #[arg(long, value_name = "TIME")]
    from: Option<Span>,
    /// Only calls that begin before this time since the trace began
    #[arg(long, value_name = "TIME")]
    to: Option<Span>,
    /// Only calls that begin on these CPUs, e.g. 0,2
    #[arg(long, value_name = "N", value_delimiter = ',')]
    cpu: Vec<u32>,
    /// Only calls that begin in this phase of the boot, e.g. fs or device,late
    #[arg(long, value_name = "LEVEL", value_delimiter = ',', value_parser = phase)]
    level: Vec<Phase>,
    /// Only calls of tasks with such a name (then or at their end) or pid, e.g. 'kworker*' or 1 (may be repeated)
    #[arg(long, value_name = "GLOB|PID")]
    task: Vec<String>,
}

/// A duration as the user gives it.
#[derive(Clone, Copy, Debug)]
pub enum Span {
    /// Nanoseconds.
    Ns(f64),
    /// Ticks of the trace's clock.
    Ticks(u64),
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let bad = || format!("'{text}' is no time: give a number and ns, us, ms, s or t (ticks), e.g. 10us");
        let value: f64 = number.parse().map_err(|_| bad())?;
        match unit.trim() {
            "ns" => Ok(Span::Ns(value)),
            "us" | "µs" => Ok(Span::Ns(value * 1e3)),
            "ms" => Ok(Span::Ns(value * 1e6)),
            "s" => Ok(Span::Ns(value * 1e9)),
            "t" => Ok(Span::Ticks(value as u64)),
            _ => Err(bad()),
        }
    }
}

impl Span {
    /// In ticks.
    pub fn ticks(self, clock: Clock) -> anyhow::Result<u64> {
        match self {
            Span::Ticks(ticks) => Ok(ticks),
            Span::Ns(ns) => clock.ticks(ns as u64).ok_or_else(|| {
                anyhow::anyhow!("the trace does not say how fast its clock is: give times in ticks, e.g. 20000t")
            }),
        }
    }
}

impl Filters {
    /// Takes the patterns of --function out, for a command that means something else by them.
    pub fn take_functions(&mut self) -> Vec<String> {
        std::mem::take(&mut self.function)
    }

    /// Whether phases must be known to tell what was asked for.
    pub fn by_level(&self) -> bool {
        !self.level.is_empty()
    }

    /// When the phases asked for ran. None but the last ends without the next one's begin.
    fn spans(&self, timeline: &Timeline) -> anyhow::Result<Option<Vec<Range<u64>>>> {
        if self.level.is_empty() {
            return Ok(None);
        }
        let starts = timeline.starts();
        anyhow::ensure!(!starts.is_empty(), "--level: the trace does not tell its levels: its guest wrote no marks");
        let mut spans = Vec::new();
        for (index, &(phase, began)) in starts.iter().enumerate() {
            // What comes before the first mark is of the first phase, as in the tables.
            let from = if index == 0 && phase == Phase::Start { 0 } else { began };
            if self.level.contains(&phase) {
                spans.push(from..starts.get(index + 1).map_or(u64::MAX, |next| next.1));
            }
        }
        if let Some(missing) = self.level.iter().find(|level| starts.iter().all(|start| start.0 != **level)) {
            let known: Vec<&str> = starts.iter().map(|start| start.0.name()).collect();
            anyhow::bail!("--level {}: not in the trace, which has {}", missing.name(), known.join(", "));
        }
        Ok(Some(spans))
    }

    /// What was asked for; `timeline` knows the phases if [`Filters::by_level`].
    pub fn wanted(&self, clock: Clock, timeline: &Timeline) -> anyhow::Result<Wanted> {
        let span = |span: Option<Span>| span.map(|span| span.ticks(clock)).transpose();
        let (pids, names): (Vec<&String>, Vec<&String>) = self.task.iter().partition(|t| t.parse::<u32>().is_ok());
        Ok(Wanted {
            functions: globs(self.function.iter())?,
            inside: globs(self.inside.iter())?,
            depth: self.depth,
            min: span(self.min)?,
            from: span(self.from)?,
            to: span(self.to)?,
            spans: self.spans(timeline)?,
            cpus: (!self.cpu.is_empty()).then(|| self.cpu.clone()),
            tasks: globs(names.into_iter())?,
            last_names: Vec::new(),
            pids: pids.iter().filter_map(|pid| pid.parse().ok()).collect(),
        })
    }

    /// The same in words, if anything was asked for.
    pub fn words(&self, clock: Clock) -> anyhow::Result<Option<String>> {
        let mut words = Vec::new();
        let mut list = |what: &str, values: &[String]| {
            if !values.is_empty() {
                words.push(format!("{what} {}", values.join(" or ")));
            }
        };
        list("calls of", &self.function);
        list("inside", &self.inside);
        list("in tasks", &self.task);
        list("in level", &self.level.iter().map(|level| level.name().to_owned()).collect::<Vec<_>>());
        list("on CPU", &self.cpu.iter().map(u32::to_string).collect::<Vec<_>>());
        if let Some(depth) = self.depth {
            words.push(format!("at most {depth} deep"));
        }
        for (what, span) in [("at least", self.min), ("from", self.from), ("before", self.to)] {
            if let Some(span) = span {
                words.push(format!("{what} {}", clock.show(span.ticks(clock)?)));
            }
        }
        Ok((!words.is_empty()).then(|| words.join(", ")))
    }
}

fn phase(text: &str) -> Result<Phase, String> {
    // Nothing of it is in a trace.
    let known = || Phase::ALL.into_iter().filter(|&phase| phase != Phase::Firmware);
    known().find(|phase| phase.name() == text).ok_or_else(|| {
        let names: Vec<&str> = known().map(Phase::name).collect();
        format!("no such level; there are {}", names.join(", "))
    })
}

/// A class such as `[ab]` would be taken by its letters, and match nothing; only a module stands in
/// brackets, behind the name.
pub fn globs<'a>(patterns: impl Iterator<Item = &'a String>) -> anyhow::Result<Option<Globs>> {
    let patterns: Vec<&str> = patterns.map(String::as_str).collect();
    let class = |pattern: &str| {
        let module = pattern.strip_suffix(']').and_then(|rest| rest.split_once(" ["));
        let (name, module) = module.unwrap_or((pattern, ""));
        [name, module].iter().any(|part| part.contains(['[', '{']))
    };
    if let Some(pattern) = patterns.iter().find(|pattern| class(pattern)) {
        anyhow::bail!(
            "{pattern}: a pattern knows * (any text) and ? (any character) only, and of a module 'NAME [MODULE]'; give the \
             option once for each name"
        );
    }
    Ok(Globs::new(patterns))
}
