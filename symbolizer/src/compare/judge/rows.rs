// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Both sides next to each other: a row of each level, initcall, module and function, with its figures and their
//! differences. In: what [`super::gather`] found on each side. Out: [`Rows`], of which nothing is judged yet. Never
//! here: chance.

use std::collections::BTreeMap;

use super::gather::{self, CALLS, Figures, Functions, InitcallKey, Line, ON_FIRST, OWN, TOTAL};
use crate::compare::boot::{Boot, Function};
use crate::compare::diff::{Change, Item, Kind, Metric, Row, Values};
use crate::compare::matching::{self, bare_name};
use crate::compare::statistics;

/// All rows, and which function of each boot is in which.
#[derive(Debug)]
pub struct Rows {
    /// The whole boot.
    pub boot: Row,
    /// In boot order.
    pub levels: Vec<Row>,
    /// By name.
    pub initcalls: Vec<Row>,
    /// By name.
    pub modules: Vec<Row>,
    /// By name and file.
    pub functions: Vec<Row>,
    /// Of each boot of A: the row of each of its functions.
    pub numbers_a: Vec<Vec<u32>>,
    /// The same of B.
    pub numbers_b: Vec<Vec<u32>>,
}

/// Figures of levels and of the whole boot, in the order of [`Figures`].
const OF_LEVEL: [(Metric, usize); 4] = [(Metric::Time, 0), (Metric::Busy, 1), (Metric::Calls, 2), (Metric::Events, 3)];
/// Those of initcalls and modules.
const OF_INITCALL: [(Metric, usize); 3] = [(Metric::Time, 0), (Metric::Busy, 1), (Metric::Calls, 2)];
/// Those of functions.
const OF_FUNCTION: [(Metric, usize); 3] = [(Metric::Own, OWN), (Metric::Total, TOTAL), (Metric::Calls, CALLS)];

/// The whole of a function's time, as [`Metric::OnFirstCpu`] counts it.
pub const WHOLE: f64 = 1e6;

/// Puts both sides together. Of functions with less self time than `least` on a side it is not asked on which CPU
/// they ran.
pub fn rows(a: &[Boot], b: &[Boot], least: f64) -> Rows {
    let sizes = (a.len(), b.len());
    let item = |name: &str| Item { name: name.to_owned(), ..Item::default() };
    let (whole_a, whole_b) = (gather::whole(a), gather::whole(b));
    let boot = row(Kind::Boot, item(""), None, (Some(&whole_a), Some(&whole_b)), sizes, &OF_LEVEL);
    let (levels_a, levels_b) = (gather::levels(a), gather::levels(b));
    let levels = bootlevel::Phase::ALL.iter().filter_map(|phase| {
        let lines = (levels_a.get(phase), levels_b.get(phase));
        (lines.0.is_some() || lines.1.is_some())
            .then(|| row(Kind::Level, item(phase.name()), None, lines, sizes, &OF_LEVEL))
    });
    let (mut initcalls_a, mut initcalls_b) = (gather::initcalls(a), gather::initcalls(b));
    let modules = modules(&initcalls_a, &initcalls_b, sizes);
    let (functions, numbers_a, numbers_b) = functions(a, b, sizes, least);
    Rows {
        boot,
        levels: levels.collect(),
        initcalls: initcalls(&mut initcalls_a, &mut initcalls_b, sizes),
        modules,
        functions,
        numbers_a,
        numbers_b,
    }
}

/// A row; a line that is none is one of zeros.
fn row(
    kind: Kind,
    item: Item,
    formerly: Option<Item>,
    lines: (Option<&Line>, Option<&Line>),
    sizes: (usize, usize),
    figures: &[(Metric, usize)],
) -> Row {
    let value = |line: Option<&Line>, boots: usize, at: usize| -> Vec<f64> {
        line.map_or_else(|| vec![0.0; boots], |line| line.figures.iter().map(|figures| figures[at]).collect())
    };
    let of = |&(metric, at)| change(metric, value(lines.0, sizes.0, at), value(lines.1, sizes.1, at));
    Row {
        kind,
        formerly: formerly.filter(|formerly| *formerly != item),
        item,
        boots: (lines.0.map_or(0, |line| line.seen), lines.1.map_or(0, |line| line.seen)),
        levels: (
            lines.0.map_or_else(Vec::new, |line| line.levels.clone()),
            lines.1.map_or_else(Vec::new, |line| line.levels.clone()),
        ),
        changes: figures.iter().map(of).collect(),
    }
}

/// A figure on both sides, not judged yet.
pub fn change(metric: Metric, a: Vec<f64>, b: Vec<f64>) -> Change {
    let (a, b) = (values(a), values(b));
    let difference = b.mean - a.mean;
    Change {
        metric,
        difference,
        relative: (a.mean > 0.0).then(|| difference / a.mean),
        interval: None,
        effect: statistics::cliffs_delta(&a.all, &b.all),
        p: None,
        adjusted: None,
        changed: false,
        a,
        b,
    }
}

fn values(all: Vec<f64>) -> Values {
    let (mean, sd) = statistics::mean_and_sd(&all);
    Values { all, mean, sd }
}

/// What initcalls have in common that are one: name, module and kind, or less.
type Names = (String, String, String);

/// Initcalls with their partners: the same name, module and kind; then the same name and module, then the same name,
/// if there is one of each.
fn initcalls(
    a: &mut BTreeMap<InitcallKey, Line>,
    b: &mut BTreeMap<InitcallKey, Line>,
    sizes: (usize, usize),
) -> Vec<Row> {
    let mut all = Vec::new();
    let item = |key: &InitcallKey| Item {
        name: key.name.clone(),
        file: String::new(),
        module: key.module.clone(),
        kind: key.kind.clone(),
    };
    let keys: [fn(&InitcallKey) -> Names; 4] = [
        |key| (key.name.clone(), key.module.clone(), key.kind.clone()),
        |key| (bare_name(&key.name).to_owned(), String::new(), key.kind.clone()),
        |key| (bare_name(&key.name).to_owned(), key.module.clone(), String::new()),
        |key| (bare_name(&key.name).to_owned(), String::new(), String::new()),
    ];
    for key in keys {
        let mut groups: BTreeMap<_, [Vec<InitcallKey>; 2]> = BTreeMap::new();
        for (side, lines) in [&*a, &*b].into_iter().enumerate() {
            for initcall in lines.keys() {
                groups.entry(key(initcall)).or_default()[side].push(initcall.clone());
            }
        }
        for [in_a, in_b] in groups.into_values() {
            let ([one], [other]) = (in_a.as_slice(), in_b.as_slice()) else { continue };
            let lines = (a.remove(one), b.remove(other));
            let lines = (lines.0.as_ref(), lines.1.as_ref());
            all.push(row(Kind::Initcall, item(other), Some(item(one)), lines, sizes, &OF_INITCALL));
        }
    }
    all.extend(
        a.iter().map(|(key, line)| row(Kind::Initcall, item(key), None, (Some(line), None), sizes, &OF_INITCALL)),
    );
    all.extend(
        b.iter().map(|(key, line)| row(Kind::Initcall, item(key), None, (None, Some(line)), sizes, &OF_INITCALL)),
    );
    all.sort_by(|one, other| one.item.cmp(&other.item));
    all
}

/// Sums of initcalls by module.
fn modules(a: &BTreeMap<InitcallKey, Line>, b: &BTreeMap<InitcallKey, Line>, sizes: (usize, usize)) -> Vec<Row> {
    let sums = |lines: &BTreeMap<InitcallKey, Line>, boots: usize| {
        let mut sums: BTreeMap<String, Line> = BTreeMap::new();
        for (key, line) in lines.iter().filter(|(key, _)| !key.module.is_empty()) {
            let sum = sums
                .entry(key.module.clone())
                .or_insert_with(|| Line { figures: vec![Figures::default(); boots], ..Line::default() });
            sum.figures.iter_mut().zip(&line.figures).for_each(|(to, &figures)| gather::add(to, figures));
        }
        for sum in sums.values_mut() {
            sum.seen = sum.figures.iter().filter(|figures| **figures != Figures::default()).count();
        }
        sums
    };
    let (a, b) = (sums(a, sizes.0), sums(b, sizes.1));
    let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
    names.sort();
    names.dedup();
    let item = |name: &str| Item { name: name.to_owned(), module: name.to_owned(), ..Item::default() };
    names
        .into_iter()
        .map(|name| row(Kind::Module, item(name), None, (a.get(name), b.get(name)), sizes, &OF_INITCALL))
        .collect()
}

/// How a function is named in a row.
pub fn item_of(function: &Function) -> Item {
    Item {
        name: function.name.clone(),
        file: function.file.clone(),
        module: function.module.clone(),
        kind: String::new(),
    }
}

type Numbers = Vec<Vec<u32>>;

/// Functions that were called or have time on either side.
fn functions(a: &[Boot], b: &[Boot], sizes: (usize, usize), least: f64) -> (Vec<Row>, Numbers, Numbers) {
    let (side_a, side_b) = (Functions::of(a), Functions::of(b));
    let mut partner = vec![None; side_a.keys.len()];
    let mut alone = vec![true; side_b.keys.len()];
    for (in_a, in_b) in matching::pairs(&side_a.keys, &side_b.keys) {
        partner[in_a] = Some(in_b);
        alone[in_b] = false;
    }
    // By B's name: the order does not depend on that of the boots.
    let mut couples: Vec<(Option<usize>, Option<usize>)> =
        partner.iter().enumerate().map(|(in_a, &in_b)| (Some(in_a), in_b)).collect();
    couples.extend(alone.iter().enumerate().filter(|(_, alone)| **alone).map(|(in_b, _)| (None, Some(in_b))));
    let name = |&(in_a, in_b): &(Option<usize>, Option<usize>)| {
        (in_b.map(|at| &side_b.keys[at]).or(in_a.map(|at| &side_a.keys[at])), in_a.map(|at| &side_a.keys[at]))
    };
    couples.sort_by(|one, other| name(one).cmp(&name(other)));
    let several = a.iter().chain(b).all(|boot| !boot.cpus.cpu.is_empty());
    let (mut row_of_a, mut row_of_b) = (vec![0; side_a.keys.len()], vec![0; side_b.keys.len()]);
    let mut all = Vec::with_capacity(couples.len());
    for (in_a, in_b) in couples {
        let lines = (in_a.map(|at| &side_a.lines[at]), in_b.map(|at| &side_b.lines[at]));
        let formerly = in_a.map(|at| item_of(&side_a.keys[at]));
        let Some(item) = in_b.map(|at| item_of(&side_b.keys[at])).or(formerly.clone()) else { continue };
        let mut row = row(Kind::Function, item, formerly, lines, sizes, &OF_FUNCTION);
        if let (true, (Some(line_a), Some(line_b))) = (several, lines) {
            row.changes.extend(on_first_cpu(line_a, line_b, least));
        }
        in_a.into_iter().for_each(|at| row_of_a[at] = all.len() as u32);
        in_b.into_iter().for_each(|at| row_of_b[at] = all.len() as u32);
        all.push(row);
    }
    let places = |numbers: &[Vec<u32>], rows: &[u32]| -> Numbers {
        let place = |of: &Vec<u32>| of.iter().map(|&number| rows[number as usize]).collect();
        numbers.iter().map(place).collect()
    };
    (all, places(&side_a.numbers, &row_of_a), places(&side_b.numbers, &row_of_b))
}

/// Where a function ran, if it ran long enough in each boot for that to mean something.
fn on_first_cpu(a: &Line, b: &Line, least: f64) -> Option<Change> {
    let parts = |line: &Line| -> Option<Vec<f64>> {
        let part = |figures: &Figures| {
            (figures[OWN] >= least && figures[OWN] > 0.0).then(|| (figures[ON_FIRST] / figures[OWN]).min(1.0) * WHOLE)
        };
        line.figures.iter().map(part).collect()
    };
    Some(change(Metric::OnFirstCpu, parts(a)?, parts(b)?))
}
