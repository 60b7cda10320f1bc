// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Comparisons for tests, drawn by hand: call trees of two sides, whose sums make the rows. In: ways with their
//! figures. Out: a [`Diff`] as a judge would give it. Only in tests.

use std::collections::BTreeMap;

use bootlevel::Phase;

use super::diff::{Basis, Change, Diff, Item, Kind, Metric, Row, Side, Values, Way};

/// Calls and self time of a way on both sides.
type Figures = ((f64, f64), (f64, f64));

/// What is drawn.
pub struct Sketch {
    basis: Basis,
    /// By path: level, then functions, with `;` between.
    ways: Vec<(String, Figures)>,
    /// Initcall, kind, and waiting on both sides.
    initcalls: Vec<(String, (f64, f64))>,
    /// Function and part on CPU 0 on both sides.
    cpus: Vec<(String, (f64, f64))>,
}

impl Sketch {
    /// A boot of one second that is the same on both sides.
    pub fn new(basis: Basis) -> Sketch {
        let sketch = Sketch { basis, ways: Vec::new(), initcalls: Vec::new(), cpus: Vec::new() };
        sketch
            .way("setup;start_kernel", (1.0, 1.0), (300e6, 300e6))
            .way("device;do_initcalls;acpi_init", (1.0, 1.0), (300e6, 300e6))
            .way("device;do_initcalls;acpi_init;memset", (1_000.0, 1_000.0), (5e6, 5e6))
            .way("late;do_initcalls;clk_init", (1.0, 1.0), (395e6, 395e6))
            .initcall("acpi_init", (0.0, 0.0))
            .initcall("clk_init", (0.0, 0.0))
    }

    /// A way, callers first; those that are not there get no time.
    pub fn way(mut self, path: &str, calls: (f64, f64), own: (f64, f64)) -> Sketch {
        self.ways.push((path.to_owned(), (calls, own)));
        self
    }

    /// An initcall; `waits` is time off CPU.
    pub fn initcall(mut self, name: &str, waits: (f64, f64)) -> Sketch {
        self.initcalls.push((name.to_owned(), waits));
        self
    }

    /// Parts of a function's time on CPU 0.
    pub fn cpu(mut self, name: &str, parts: (f64, f64)) -> Sketch {
        self.cpus.push((name.to_owned(), parts));
        self
    }

    fn boots(&self) -> usize {
        if self.basis == Basis::Tested { 4 } else { 1 }
    }

    fn change(&self, metric: Metric, (a, b): (f64, f64)) -> Change {
        let tested = self.basis == Basis::Tested;
        let values =
            |mean: f64| Values { all: vec![mean; self.boots()], mean, sd: if tested { 0.001 * mean } else { 0.0 } };
        let difference = b - a;
        let least = match metric {
            Metric::Calls | Metric::Events => 0.5,
            _ => 50_000.0,
        };
        let changed = difference.abs() >= least && self.basis != Basis::TooFew;
        let off = 0.002 * a;
        Change {
            metric,
            a: values(a),
            b: values(b),
            difference,
            relative: (a != 0.0).then(|| difference / a),
            interval: match self.basis {
                Basis::TooFew => None,
                Basis::Exact => Some((difference, difference)),
                Basis::Tested => Some((difference - off, difference + off)),
            },
            effect: if difference == 0.0 { 0.0 } else { difference.signum() },
            p: tested.then_some(if changed { 0.014 } else { 0.4 }),
            adjusted: tested.then_some(if changed { 0.028 } else { 1.0 }),
            changed,
        }
    }

    fn row(&self, kind: Kind, name: &str, there: (bool, bool), figures: &[(Metric, (f64, f64))]) -> Row {
        let boots = self.boots();
        let file = if kind == Kind::Function { format!("drivers/{name}.c") } else { String::new() };
        let kind_of = if kind == Kind::Initcall { "built-in" } else { "" };
        Row {
            kind,
            item: Item { name: name.to_owned(), file, module: String::new(), kind: kind_of.to_owned() },
            formerly: None,
            boots: (usize::from(there.0) * boots, usize::from(there.1) * boots),
            levels: (Vec::new(), Vec::new()),
            changes: figures.iter().map(|&(metric, sides)| self.change(metric, sides)).collect(),
        }
    }

    /// The comparison.
    pub fn build(self) -> Diff {
        let mut paths: BTreeMap<Vec<&str>, Figures> = BTreeMap::new();
        for (path, figures) in &self.ways {
            let path: Vec<&str> = path.split(';').collect();
            for end in 1..path.len() {
                paths.entry(path[..end].to_vec()).or_insert(((1.0, 1.0), (0.0, 0.0)));
            }
            paths.insert(path, *figures);
        }
        let total_of = |path: &[&str]| {
            let below = paths.iter().filter(|(other, _)| other.starts_with(path));
            below.fold((0.0, 0.0), |sum, (_, (_, own))| (sum.0 + own.0, sum.1 + own.1))
        };
        // Functions by name.
        let mut sums: BTreeMap<&str, [(f64, f64); 3]> = BTreeMap::new();
        for (path, (calls, own)) in paths.iter().filter(|(path, _)| path.len() > 1) {
            let row = sums.entry(path[path.len() - 1]).or_default();
            let add = |sum: &mut (f64, f64), more: (f64, f64)| *sum = (sum.0 + more.0, sum.1 + more.1);
            add(&mut row[0], *calls);
            add(&mut row[1], *own);
            add(&mut row[2], total_of(path));
        }
        let mut functions: Vec<Row> = sums
            .iter()
            .map(|(name, [calls, own, total])| {
                let mut figures = vec![(Metric::Calls, *calls), (Metric::Own, *own), (Metric::Total, *total)];
                figures.extend(
                    self.cpus
                        .iter()
                        .filter(|(cpu, _)| cpu == name)
                        .map(|(_, parts)| (Metric::OnFirstCpu, (parts.0 * 1e6, parts.1 * 1e6))),
                );
                self.row(Kind::Function, name, (calls.0 > 0.0, calls.1 > 0.0), &figures)
            })
            .collect();
        let size = |row: &Row| row.change(Metric::Own).map_or(0.0, |own| own.difference.abs());
        functions.sort_by(|a, b| size(b).total_cmp(&size(a)));
        let phase = |name: &str| Phase::ALL.into_iter().find(|phase| phase.name() == name);
        let ways = paths.iter().enumerate().map(|(at, (path, (calls, own)))| Way {
            parent: match path.len() {
                1 => at,
                _ => paths.keys().position(|other| other[..] == path[..path.len() - 1]).unwrap(),
            },
            level: if path.len() == 1 { phase(path[0]) } else { None },
            function: (path.len() > 1)
                .then(|| functions.iter().position(|row| row.item.name == path[path.len() - 1]).unwrap()),
            calls: *calls,
            own: *own,
            total: total_of(path),
        });
        let ways: Vec<Way> = ways.collect();
        let mut initcalls: Vec<Row> = Vec::new();
        let mut waits: BTreeMap<Phase, (f64, f64)> = BTreeMap::new();
        for (name, off) in &self.initcalls {
            let its = || paths.iter().filter(|(path, _)| path.last() == Some(&name.as_str()));
            let busy = its().fold((0.0, 0.0), |sum, (path, _)| {
                let total = total_of(path);
                (sum.0 + total.0, sum.1 + total.1)
            });
            let levels = |side: fn(&(f64, f64)) -> f64| -> Vec<Phase> {
                its().filter(|(_, (calls, _))| side(calls) > 0.0).filter_map(|(path, _)| phase(path[0])).collect()
            };
            let levels = (levels(|calls| calls.0), levels(|calls| calls.1));
            let there = (!levels.0.is_empty(), !levels.1.is_empty());
            let time = (busy.0 + off.0, busy.1 + off.1);
            let figures = [(Metric::Time, time), (Metric::Busy, busy), (Metric::Calls, (10.0, 10.0))];
            let mut row = self.row(Kind::Initcall, name, there, &figures);
            for phase in levels.1.iter().take(1) {
                let sum = waits.entry(*phase).or_default();
                *sum = (sum.0 + off.0, sum.1 + off.1);
            }
            row.levels = levels;
            initcalls.push(row);
        }
        let mut levels: Vec<(Phase, Row)> = Vec::new();
        let mut whole = [(0.0, 0.0); 2];
        for path in paths.keys().filter(|path| path.len() == 1) {
            let phase = phase(path[0]).unwrap();
            let (busy, off) = (total_of(path), waits.get(&phase).copied().unwrap_or_default());
            let time = (busy.0 + off.0, busy.1 + off.1);
            whole = [(whole[0].0 + time.0, whole[0].1 + time.1), (whole[1].0 + busy.0, whole[1].1 + busy.1)];
            let events = (2_000.0, 2_000.0 + (time.1 - time.0).abs() / 1e3);
            let figures = [(Metric::Time, time), (Metric::Busy, busy), (Metric::Events, events)];
            levels.push((phase, self.row(Kind::Level, path[0], (true, true), &figures)));
        }
        levels.sort_by_key(|&(phase, _)| phase);
        let changed: f64 = functions.iter().map(size).sum();
        let events = (13_000_000.0, 13_000_000.0 + changed / 1e3);
        let figures = [(Metric::Time, whole[0]), (Metric::Busy, whole[1]), (Metric::Events, events)];
        let side = |name: &str, release: &str| Side {
            boots: (1..=self.boots()).map(|number| format!("{name}{number}")).collect(),
            releases: vec![release.to_owned()],
            build_ids: vec!["0123".to_owned()],
        };
        Diff {
            a: side("before/", "6.1.0-before"),
            b: side("after/", "6.1.0-after"),
            basis: self.basis,
            ns: true,
            settings: Vec::new(),
            doubts: Vec::new(),
            needed: None,
            boot: self.row(Kind::Boot, "", (true, true), &figures),
            levels: levels.into_iter().map(|(_, row)| row).collect(),
            initcalls,
            modules: Vec::new(),
            functions,
            ways,
            tests: 100,
        }
    }
}
