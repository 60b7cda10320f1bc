// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Two sets of boots against each other, as plain data: what [`super::judge`] found, for those who write it. Side A
//! is the one before, side B the one after. Never here: how it was found, formatting.

use bootlevel::Phase;

use super::profile::is_plain;
use super::settings::Difference;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The whole boot.
    Boot,
    /// A level.
    Level,
    /// An initcall, or work like it.
    Initcall,
    /// A loaded module, or what would be one: its initcalls.
    Module,
    /// A function, over all levels.
    Function,
}

/// Which one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// Name of the level, initcall, module or function; empty for the whole boot.
    pub name: String,
    /// Its source file; empty if not known, or none.
    pub file: String,
    /// Its module; empty for the kernel itself.
    pub module: String,
    /// Of an initcall: what it is (`built-in`, `module`, `async`, `deferred`).
    pub kind: String,
}

/// A figure that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// From begin to end (boot, level, initcall, module).
    Time,
    /// On-CPU time of tasks that are not idle (boot, level), of the initcall's task (initcall, module).
    Busy,
    /// Self time (function).
    Own,
    /// On-CPU time with what was called (function).
    Total,
    /// Calls: of it (function), in it (all others).
    Calls,
    /// Events (boot, level).
    Events,
    /// Part of its self time that is spent on CPU 0, in millionths (function; boots with more than one CPU).
    OnFirstCpu,
}

impl Metric {
    /// What it is called in text and in files.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Time => "time",
            Metric::Busy => "busy",
            Metric::Own => "self",
            Metric::Total => "total",
            Metric::Calls => "calls",
            Metric::Events => "events",
            Metric::OnFirstCpu => "on_first_cpu",
        }
    }
}

/// Values of a figure on one side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// Of each boot, in the order of the boots; 0 where a function was not called.
    pub all: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Standard deviation of the sample; 0 for one boot.
    pub sd: f64,
}

/// A figure on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which figure.
    pub metric: Metric,
    /// Before.
    pub a: Values,
    /// After.
    pub b: Values,
    /// Mean of B less that of A. Times in nanoseconds, or ticks.
    pub difference: f64,
    /// The same as a part of A's mean; none if that is 0.
    pub relative: Option<f64>,
    /// 95 % confidence interval of the difference; none with less than two boots on each side, unless boots are
    /// deterministic (then the difference itself).
    pub interval: Option<(f64, f64)>,
    /// Effect size: Cliff's delta, -1 (all of B below all of A) to 1.
    pub effect: f64,
    /// Probability of such a difference if nothing had changed; none if it cannot be told (too few boots).
    pub p: Option<f64>,
    /// The same corrected for all that was compared.
    pub adjusted: Option<f64>,
    /// It is a change: not chance, and large enough to matter ([`super::judge`] says how).
    pub changed: bool,
}

/// One item with all its figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which kind of thing.
    pub kind: Kind,
    /// Which, as side B calls it (side A, if B does not have it).
    pub item: Item,
    /// What side A calls it, if otherwise.
    pub formerly: Option<Item>,
    /// Boots of A and of B that have it.
    pub boots: (usize, usize),
    /// Levels in which it runs on each side; of an initcall, the one in which it begins. Of a function: that with
    /// most of its time first.
    pub levels: (Vec<Phase>, Vec<Phase>),
    /// The figures that its kind has.
    pub changes: Vec<Change>,
}

impl Row {
    /// One of its figures.
    pub fn change(&self, metric: Metric) -> Option<&Change> {
        self.changes.iter().find(|change| change.metric == metric)
    }

    /// Whether anything of it has changed: a figure, or the boot's structure ([`Row::restructured`]). That a function
    /// is new is no change by itself: what counts is the calls and the time that it brings.
    pub fn changed(&self) -> bool {
        self.changes.iter().any(|change| change.changed) || self.restructured()
    }

    /// An initcall that is new, gone, or begins in another level: of a kernel's own initcalls and those of loaded
    /// modules, which are no matter of chance, as is what runs beside them.
    pub fn restructured(&self) -> bool {
        self.moved() || (self.is_plain_initcall() && (self.is_new() || self.is_gone()))
    }

    fn is_plain_initcall(&self) -> bool {
        self.kind == Kind::Initcall && is_plain(&self.item.kind)
    }

    /// An initcall that begins in another level than before, in all boots.
    pub fn moved(&self) -> bool {
        let (a, b) = &self.levels;
        self.is_plain_initcall() && !a.is_empty() && !b.is_empty() && !a.iter().any(|level| b.contains(level))
    }

    /// In no boot of A, and in each of B.
    pub fn is_new(&self) -> bool {
        self.boots.0 == 0 && self.changes.first().is_some_and(|change| self.boots.1 == change.b.all.len())
    }

    /// In each boot of A, and in none of B.
    pub fn is_gone(&self) -> bool {
        self.boots.1 == 0 && self.changes.first().is_some_and(|change| self.boots.0 == change.a.all.len())
    }
}

/// What kind of boots these are, which decides what can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// All boots are deterministic: any difference is real.
    Exact,
    /// Enough boots on each side for a test.
    Tested,
    /// Too few: differences are shown, and nothing is said of chance.
    TooFew,
}

/// A side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// Names of the boots.
    pub boots: Vec<String>,
    /// Kernel releases, each once.
    pub releases: Vec<String>,
    /// Build IDs, each once.
    pub build_ids: Vec<String>,
}

/// A node of both call trees as one: callers first. Means of each side.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// The caller's node; its own number for a level.
    pub parent: usize,
    /// Of a level: which.
    pub level: Option<Phase>,
    /// Of a function: index into [`Diff::functions`].
    pub function: Option<usize>,
    /// Calls on each side.
    pub calls: (f64, f64),
    /// Self time on each side.
    pub own: (f64, f64),
    /// Total time on each side.
    pub total: (f64, f64),
}

/// All of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Diff {
    /// Before.
    pub a: Side,
    /// After.
    pub b: Side,
    /// What can be said of these boots.
    pub basis: Basis,
    /// Times are nanoseconds, else ticks.
    pub ns: bool,
    /// Most CPUs that one of the boots had.
    pub cpus: u32,
    /// Settings that are not the same in all boots (build ID and release aside: those are what is compared).
    pub settings: Vec<Difference>,
    /// What makes the result doubtful, in sentences: noise larger than the effect sought, lost events, too few
    /// boots.
    pub doubts: Vec<String>,
    /// Boots of each side that would be needed to tell a change of 1 % of the boot's time, if that is more than
    /// there are.
    pub needed: Option<usize>,
    /// The whole boot.
    pub boot: Row,
    /// In boot order.
    pub levels: Vec<Row>,
    /// Largest change first, as all below.
    pub initcalls: Vec<Row>,
    /// Initcalls by module.
    pub modules: Vec<Row>,
    /// Functions.
    pub functions: Vec<Row>,
    /// How they call each other on both sides.
    pub ways: Vec<Way>,
    /// How many figures were tested.
    pub tests: usize,
}

impl Diff {
    /// Whether anything has changed.
    pub fn changed(&self) -> bool {
        let rows = self.levels.iter().chain(&self.initcalls).chain(&self.functions);
        self.boot.changed() || rows.into_iter().any(Row::changed)
    }
}
