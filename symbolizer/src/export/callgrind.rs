// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A profile as callgrind writes it, for KCachegrind and callgrind_annotate: functions with their files and
//! lines, who called whom how often, and what that cost. In: the merged call tree by tasks. Out: text. Never
//! here: idling.
//!
//! Two costs: `Time` on a CPU in nanoseconds (or `Ticks`), and `Calls`, the calls of a function and in it. A
//! function that calls itself, straight or by others, is `NAME'2` inside itself, `NAME'3` inside that, as with
//! callgrind's --separate-recs: so the inclusive cost of `NAME` is its total in the report, and nothing counts
//! twice. Each task is a function in square brackets that calls the outermost ones.
//!
//! The format: <https://valgrind.org/docs/manual/cl-format.html>.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use super::{Context, Exporter, Grouping, Head, REST, Wants};
use crate::report::Report;
use crate::report::names::Named;
use crate::report::style::printable;

/// What callgrind writes where it knows no file.
const NOWHERE: &str = "???";

/// A function of the kernel.
#[derive(Clone, Debug)]
struct Function {
    name: String,
    file: String,
    line: u32,
}

/// Time and calls.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    time: u64,
    calls: u64,
}

impl Cost {
    fn add(&mut self, other: Cost) {
        self.time = self.time.saturating_add(other.time);
        self.calls = self.calls.saturating_add(other.calls);
    }
}

/// What a function in the file is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    /// A task.
    Task(String),
    /// A function's number, and how many calls of it are open with this one.
    Function(u32, u32),
}

/// Calls from one function to another.
#[derive(Clone, Copy, Debug, Default)]
struct Edge {
    calls: u64,
    inclusive: Cost,
}

/// An open node of the tree that is told.
#[derive(Clone, Copy, Debug)]
struct Open {
    who: usize,
    function: u32,
    edge: (usize, usize),
    /// Calls of it and below it so far.
    calls: u64,
}

/// Writes a profile.
#[derive(Debug)]
pub struct Callgrind<W> {
    out: W,
    unit: &'static str,
    command: String,
    filtered: Option<String>,
    functions: Vec<Function>,
    numbers: HashMap<Who, usize>,
    all: Vec<(Who, Cost)>,
    edges: BTreeMap<(usize, usize), Edge>,
    path: Vec<Open>,
    /// For each function: how many calls of it are in the path.
    levels: HashMap<u32, u32>,
}

impl<W: Write> Callgrind<W> {
    /// To this output.
    pub fn new(out: W) -> Callgrind<W> {
        Callgrind {
            out,
            unit: "Time",
            command: String::new(),
            filtered: None,
            functions: Vec::new(),
            numbers: HashMap::new(),
            all: Vec::new(),
            edges: BTreeMap::new(),
            path: Vec::new(),
            levels: HashMap::new(),
        }
    }

    fn number(&mut self, who: Who) -> usize {
        if let Some(&known) = self.numbers.get(&who) {
            return known;
        }
        let number = self.all.len();
        self.numbers.insert(who.clone(), number);
        self.all.push((who, Cost::default()));
        number
    }

    /// Ends the nodes of the path from this depth on.
    fn close(&mut self, depth: usize) {
        while self.path.len() > depth {
            let Some(open) = self.path.pop() else { return };
            if let Some(level) = self.levels.get_mut(&open.function) {
                *level = level.saturating_sub(1);
            }
            let edge = self.edges.entry(open.edge).or_default();
            edge.inclusive.calls = edge.inclusive.calls.saturating_add(open.calls);
            if let Some(caller) = self.path.last_mut() {
                caller.calls = caller.calls.saturating_add(open.calls);
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Callgrind { out, unit, command, filtered, functions, all, edges, .. } = self;
        let places: Vec<Place<'_>> = all.iter().map(|(who, _)| Place::of(who, functions)).collect();
        let (mut names, mut files) = (Compressed::default(), Compressed::default());
        let mut sum = Cost::default();
        all.iter().for_each(|(_, cost)| sum.add(*cost));
        writeln!(out, "# callgrind format\nversion: 1\ncreator: symbolize {}", env!("CARGO_PKG_VERSION"))?;
        writeln!(out, "cmd: {command}")?;
        if let Some(words) = filtered {
            writeln!(out, "desc: Filter: only {words}")?;
        }
        let words = if *unit == "Time" { "time on a CPU (ns)" } else { "time on a CPU (ticks)" };
        writeln!(out, "positions: line\nevent: {unit} : {words}\nevent: Calls : calls")?;
        writeln!(out, "events: {unit} Calls\nsummary: {} {}", sum.time, sum.calls)?;
        for (number, (_, cost)) in all.iter().enumerate() {
            let Place { name, file, line } = &places[number];
            writeln!(out, "\nfl={}", files.name(file, file))?;
            writeln!(out, "fn={}\n{line} {} {}", names.name(&number, name), cost.time, cost.calls)?;
            for (&(_, callee), edge) in edges.range((number, 0)..=(number, usize::MAX)) {
                let Edge { calls, inclusive } = *edge;
                if calls == 0 && inclusive.time == 0 {
                    continue;
                }
                let to = &places[callee];
                writeln!(out, "cfi={}\ncfn={}", files.name(&to.file, to.file), names.name(&callee, &to.name))?;
                // With no calls, readers would take the cost for the caller's own.
                writeln!(out, "calls={} {}\n{line} {} {}", calls.max(1), to.line, inclusive.time, inclusive.calls)?;
            }
        }
        out.flush()
    }
}

/// A function as it is written.
struct Place<'a> {
    name: String,
    file: &'a str,
    line: u32,
}

impl<'a> Place<'a> {
    fn of(who: &Who, functions: &'a [Function]) -> Place<'a> {
        let nowhere = |name: String| Place { name, file: NOWHERE, line: 0 };
        match who {
            Who::Task(label) => nowhere(format!("[{label}]")),
            Who::Function(REST, _) => nowhere("[other ways]".to_owned()),
            Who::Function(number, level) => match functions.get(*number as usize) {
                None => nowhere("?".to_owned()),
                Some(Function { name, file, line }) => {
                    let name = if *level > 1 { format!("{name}'{level}") } else { name.clone() };
                    Place { name, file, line: *line }
                }
            },
        }
    }
}

/// Names that were written have numbers, `(1) name`; afterwards the number will do.
struct Compressed<K>(HashMap<K, usize>);

impl<K> Default for Compressed<K> {
    fn default() -> Compressed<K> {
        Compressed(HashMap::new())
    }
}

impl<K: Eq + std::hash::Hash + Clone> Compressed<K> {
    fn name(&mut self, key: &K, name: &str) -> String {
        match self.0.get(key) {
            Some(number) => format!("({number})"),
            None => {
                self.0.insert(key.clone(), self.0.len() + 1);
                format!("({}) {name}", self.0.len())
            }
        }
    }
}

impl<W: Write> Exporter for Callgrind<W> {
    fn wants(&self) -> Wants {
        Wants::Contexts(Grouping { tasks: true, phases: false })
    }

    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        self.unit = if head.clock.khz().is_some() { "Time" } else { "Ticks" };
        self.command = printable(&format!("Linux {} {}", head.meta.release, head.meta.command_line));
        self.filtered = head.filtered.map(printable);
        Ok(())
    }

    fn function(&mut self, _number: u32, named: &Named) -> io::Result<()> {
        let (name, file) = (named.name.clone(), named.file.clone().unwrap_or_else(|| NOWHERE.to_owned()));
        self.functions.push(Function { name, file, line: named.line.unwrap_or(0) });
        Ok(())
    }

    fn context(&mut self, context: &Context<'_>) -> io::Result<()> {
        let Some((&function, around)) = context.stack.split_last().filter(|_| !context.idle) else { return Ok(()) };
        self.close(around.len());
        let caller = match self.path.last() {
            Some(open) => open.who,
            None => {
                let label = context.task.map_or_else(
                    || "?".to_owned(),
                    |task| if task.idle.is_some() { task.name.clone() } else { format!("{}-{}", task.name, task.pid) },
                );
                self.number(Who::Task(label))
            }
        };
        let level = self.levels.entry(function).or_default();
        *level += 1;
        let level = *level;
        let who = self.number(Who::Function(function, level));
        self.all[who].1.add(Cost { time: context.own, calls: context.calls });
        let edge = self.edges.entry((caller, who)).or_default();
        edge.calls = edge.calls.saturating_add(context.calls);
        edge.inclusive.time = edge.inclusive.time.saturating_add(context.total);
        self.path.push(Open { who, function, edge: (caller, who), calls: context.calls });
        Ok(())
    }

    fn finish(&mut self, _report: &Report<'_>) -> io::Result<()> {
        self.close(0);
        self.write()
    }
}
