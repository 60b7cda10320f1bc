// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A comparison for programs. In: a [`Diff`]. Out: one JSON object, as `symbolizer/JSON.md` describes. Never here:
//! rounding for people.

use std::collections::BTreeMap;
use std::io::{self, Write};

use bootlevel::Phase;
use serde::Serialize;

use super::diff::{Basis, Change, Diff, Item, Row, Side, Values};
use super::explain;

/// Grows when a field changes its meaning or goes.
const JSON_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    json_version: u32,
    changed: bool,
    headline: Vec<String>,
    basis: &'static str,
    time_unit: &'static str,
    tests: usize,
    boots_needed: Option<usize>,
    doubts: &'a [String],
    settings: Vec<SettingJson<'a>>,
    a: SideJson<'a>,
    b: SideJson<'a>,
    boot: RowJson<'a>,
    levels: Vec<RowJson<'a>>,
    initcalls: Vec<RowJson<'a>>,
    modules: Vec<RowJson<'a>>,
    functions: Vec<RowJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ways: Option<WaysJson>,
}

#[derive(Serialize)]
struct SettingJson<'a> {
    what: &'static str,
    values: Vec<ValueJson<'a>>,
}

#[derive(Serialize)]
struct ValueJson<'a> {
    value: &'a str,
    boots: &'a [String],
}

#[derive(Serialize)]
struct SideJson<'a> {
    boots: &'a [String],
    releases: &'a [String],
    build_ids: &'a [String],
}

#[derive(Serialize)]
struct ItemJson<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    module: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'a str,
}

#[derive(Serialize)]
struct RowJson<'a> {
    #[serde(flatten)]
    item: ItemJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    formerly: Option<ItemJson<'a>>,
    status: &'static str,
    boots_a: usize,
    boots_b: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    levels_a: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    levels_b: Vec<&'static str>,
    #[serde(flatten)]
    changes: BTreeMap<&'static str, ChangeJson<'a>>,
}

#[derive(Serialize)]
struct ValuesJson<'a> {
    mean: f64,
    sd: f64,
    all: &'a [f64],
}

#[derive(Serialize)]
struct ChangeJson<'a> {
    changed: bool,
    difference: f64,
    relative: Option<f64>,
    interval: Option<[f64; 2]>,
    effect: f64,
    p: Option<f64>,
    adjusted_p: Option<f64>,
    a: ValuesJson<'a>,
    b: ValuesJson<'a>,
}

/// Columns of equal length.
#[derive(Default, Serialize)]
struct WaysJson {
    parent: Vec<usize>,
    level: Vec<Option<&'static str>>,
    function: Vec<Option<usize>>,
    calls_a: Vec<f64>,
    calls_b: Vec<f64>,
    self_a: Vec<f64>,
    self_b: Vec<f64>,
    total_a: Vec<f64>,
    total_b: Vec<f64>,
}

/// Writes it; `top` limits initcalls, modules and functions, and leaves the call trees out, which need all functions.
///
/// # Errors
/// Those of the writer.
pub fn write(diff: &Diff, top: Option<usize>, mut out: impl Write) -> io::Result<()> {
    let most = top.unwrap_or(usize::MAX);
    let document = Document {
        json_version: JSON_VERSION,
        changed: diff.changed(),
        headline: explain::headline(diff),
        basis: basis(diff.basis),
        time_unit: if diff.ns { "ns" } else { "ticks" },
        tests: diff.tests,
        boots_needed: diff.needed,
        doubts: &diff.doubts,
        settings: diff
            .settings
            .iter()
            .map(|setting| SettingJson {
                what: setting.what,
                values: setting.values.iter().map(|(value, boots)| ValueJson { value, boots }).collect(),
            })
            .collect(),
        a: side(&diff.a),
        b: side(&diff.b),
        boot: row(&diff.boot),
        levels: diff.levels.iter().map(row).collect(),
        initcalls: diff.initcalls.iter().take(most).map(row).collect(),
        modules: diff.modules.iter().take(most).map(row).collect(),
        functions: diff.functions.iter().take(most).map(row).collect(),
        ways: top.is_none().then(|| ways(diff)),
    };
    serde_json::to_writer(&mut out, &document)?;
    writeln!(out)
}

/// What can be said of the boots, in a word.
pub fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Exact => "exact",
        Basis::Tested => "tested",
        Basis::TooFew => "too-few",
    }
}

fn side(side: &Side) -> SideJson<'_> {
    SideJson { boots: &side.boots, releases: &side.releases, build_ids: &side.build_ids }
}

fn item(item: &Item) -> ItemJson<'_> {
    ItemJson { name: &item.name, file: &item.file, module: &item.module, kind: &item.kind }
}

fn row(row: &Row) -> RowJson<'_> {
    let names = |phases: &[Phase]| phases.iter().map(|phase| phase.name()).collect();
    let status = match row {
        row if row.is_new() => "new",
        row if row.is_gone() => "gone",
        row if row.moved() => "moved",
        row if row.changed() => "changed",
        _ => "same",
    };
    RowJson {
        item: item(&row.item),
        formerly: row.formerly.as_ref().map(item),
        status,
        boots_a: row.boots.0,
        boots_b: row.boots.1,
        levels_a: names(&row.levels.0),
        levels_b: names(&row.levels.1),
        changes: row.changes.iter().map(|figure| (figure.metric.name(), change(figure))).collect(),
    }
}

fn values(values: &Values) -> ValuesJson<'_> {
    ValuesJson { mean: values.mean, sd: values.sd, all: &values.all }
}

fn change(change: &Change) -> ChangeJson<'_> {
    ChangeJson {
        changed: change.changed,
        difference: change.difference,
        relative: change.relative,
        interval: change.interval.map(|(low, high)| [low, high]),
        effect: change.effect,
        p: change.p,
        adjusted_p: change.adjusted,
        a: values(&change.a),
        b: values(&change.b),
    }
}

fn ways(diff: &Diff) -> WaysJson {
    let mut columns = WaysJson::default();
    for way in &diff.ways {
        columns.parent.push(way.parent);
        columns.level.push(way.level.map(|phase| phase.name()));
        columns.function.push(way.function);
        columns.calls_a.push(way.calls.0);
        columns.calls_b.push(way.calls.1);
        columns.self_a.push(way.own.0);
        columns.self_b.push(way.own.1);
        columns.total_a.push(way.total.0);
        columns.total_b.push(way.total.1);
    }
    columns
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::sketch::Sketch;
    use super::*;

    #[test]
    fn all_of_a_comparison_is_in_its_json() {
        let diff = Sketch::new(Basis::Tested)
            .way("late;do_initcalls;clk_init;clk_scan", (3.0, 0.0), (20e6, 0.0))
            .way("late;do_initcalls;clk_init;clk_fill", (3.0, 30.0), (2e6, 20e6))
            .build();
        let write = |top| {
            let mut out = Vec::new();
            super::write(&diff, top, &mut out).unwrap();
            serde_json::from_slice::<Value>(&out).unwrap()
        };
        let told = write(None);
        assert_eq!((&told["changed"], &told["basis"]), (&Value::from(true), &Value::from("tested")));
        assert_eq!(told["headline"][0], explain::headline(&diff)[0]);
        assert_eq!(told["a"]["boots"].as_array().unwrap().len(), 4);
        let functions = told["functions"].as_array().unwrap();
        assert_eq!(functions.len(), diff.functions.len());
        let of = |name: &str| functions.iter().find(|row| row["name"] == name).unwrap();
        assert_eq!((&of("clk_scan")["status"], &of("clk_fill")["status"]), (&"gone".into(), &"changed".into()));
        let calls = &of("clk_fill")["calls"];
        assert_eq!((calls["difference"].as_f64(), calls["a"]["mean"].as_f64()), (Some(27.0), Some(3.0)));
        assert_eq!(calls["b"]["all"], serde_json::json!([30.0, 30.0, 30.0, 30.0]));
        assert_eq!(calls["adjusted_p"].as_f64(), Some(0.028));
        // The call trees lead to the functions by their place in the list.
        let way = diff.ways.iter().position(|way| way.calls == (3.0, 30.0)).unwrap();
        let function = told["ways"]["function"][way].as_u64().unwrap() as usize;
        assert_eq!(functions[function]["name"], "clk_fill");
        let short = write(Some(1));
        assert_eq!((short["functions"].as_array().unwrap().len(), &short["ways"]), (1, &Value::Null));
        assert_eq!(short["levels"].as_array().unwrap().len(), diff.levels.len());
    }
}
