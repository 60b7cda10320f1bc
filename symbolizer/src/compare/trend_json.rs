// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A trend for programs. In: a [`Trend`]. Out: JSON, which symbolizer/CHECK.md describes. Never here: finding changes.

use std::io::{self, Write};

use serde::Serialize;

use super::trend::{Place, Step, Trend};
use super::trend_text;

/// Version of this JSON.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Root<'a> {
    trend_version: u32,
    unit: &'static str,
    deterministic: bool,
    by_release: bool,
    boots: usize,
    points: Vec<Point<'a>>,
    series: Vec<Series<'a>>,
    changes: Vec<Change<'a>>,
    smaller_changes: usize,
    doubts: &'a [String],
}

#[derive(Serialize)]
struct Point<'a> {
    name: &'a str,
    release: &'a str,
    build_id: &'a str,
    started_at: u64,
    first_boot: usize,
    boots: usize,
}

#[derive(Serialize)]
struct Series<'a> {
    name: &'a str,
    boots: &'a [f64],
    points: Vec<f64>,
}

#[derive(Serialize)]
struct Change<'a> {
    boot: usize,
    point: Option<usize>,
    told: String,
    steps: Vec<One<'a>>,
    cause: Option<Cause<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    series: &'a str,
    before: f64,
    after: f64,
    change: Option<f64>,
    p: Option<f64>,
}

#[derive(Serialize)]
struct Cause<'a> {
    kind: &'a str,
    name: &'a str,
    more: f64,
    calls_before: f64,
    calls_after: f64,
}

/// Writes it.
///
/// # Errors
/// Those of the writer.
pub fn write(trend: &Trend, out: &mut dyn Write) -> io::Result<()> {
    let points = trend.points.iter().map(|point| Point {
        name: &point.name,
        release: &point.release,
        build_id: &point.build_id,
        started_at: point.started_at,
        first_boot: point.first,
        boots: point.boots,
    });
    let series = trend.series.iter().map(|series| Series {
        name: &series.name,
        boots: &series.values,
        points: series.means(&trend.points),
    });
    let root = Root {
        trend_version: VERSION,
        unit: if trend.ns { "ns" } else { "ticks" },
        deterministic: trend.deterministic,
        by_release: trend.by_release,
        boots: trend.boots,
        points: points.collect(),
        series: series.collect(),
        changes: trend.places.iter().map(|place| change(trend, place)).collect(),
        smaller_changes: trend.smaller,
        doubts: &trend.doubts,
    };
    serde_json::to_writer_pretty(&mut *out, &root)?;
    writeln!(out)
}

fn change<'a>(trend: &'a Trend, place: &'a Place) -> Change<'a> {
    let one = |step: &'a Step| One {
        series: trend.series.get(step.series).map_or("", |series| &*series.name),
        before: step.before,
        after: step.after,
        change: step.part(),
        p: step.p,
    };
    let cause = place.cause.as_ref().map(|cause| Cause {
        kind: cause.kind,
        name: &cause.name,
        more: cause.more,
        calls_before: cause.calls.0,
        calls_after: cause.calls.1,
    });
    Change {
        boot: place.at,
        point: trend.point(place.at),
        told: trend_text::sentence(trend, place),
        steps: place.steps.iter().map(one).collect(),
        cause,
    }
}
