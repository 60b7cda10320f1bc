// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Many boots, or releases, in order: how the times of levels went, and where they changed. In: boots. Out: [`Trend`].
//! [`order`] puts boots in order, [`cause`] names what a change is made of. Never here: formatting.

pub mod cause;
pub mod order;

use bootlevel::Phase;

use super::boot::Boot;
use super::changepoints;
use super::check::values;
use super::settings;
use crate::trace_dir::Meta;

/// Probability of any change in all series together that is none.
pub const LEVEL: f64 = 0.05;

/// A level that never takes a larger part of the boot than this is not looked at for changes.
const SMALL: f64 = 0.005;

/// What is one point of the picture, one line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Name of the boot; of a release that of its kernel.
    pub name: String,
    /// Kernel release.
    pub release: String,
    /// Build ID.
    pub build_id: String,
    /// When the first boot began, in seconds of Unix time; 0 if not known.
    pub started_at: u64,
    /// The first of its boots, in order.
    pub first: usize,
    /// How many.
    pub boots: usize,
}

/// How a figure went.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Name of the level, or `boot`.
    pub name: String,
    /// Its value in each boot: nanoseconds, or ticks. A level that a boot did not have took no time.
    pub values: Vec<f64>,
}

impl Series {
    /// The mean of each point.
    pub fn means(&self, points: &[Point]) -> Vec<f64> {
        let of = |point: &Point| {
            let part = self.values.get(point.first..point.first + point.boots).unwrap_or_default();
            values(part.to_vec()).mean
        };
        points.iter().map(of).collect()
    }
}

/// A figure took another height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Index into [`Trend::series`].
    pub series: usize,
    /// The median up to here.
    pub before: f64,
    /// The median from here to the next change.
    pub after: f64,
    /// How likely that is chance; none of deterministic boots.
    pub p: Option<f64>,
}

impl Step {
    /// How much more.
    pub fn more(&self) -> f64 {
        self.after - self.before
    }

    /// The same as a part.
    pub fn part(&self) -> Option<f64> {
        (self.before > 0.0).then(|| self.more() / self.before)
    }
}

/// A boot from which on something is different.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Which boot.
    pub at: usize,
    /// The boot first, then levels, largest step first.
    pub steps: Vec<Step>,
    /// What they are made of, if that can be told.
    pub cause: Option<cause::Cause>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trend {
    /// Boots or releases.
    pub points: Vec<Point>,
    /// Points are releases.
    pub by_release: bool,
    /// How many boots.
    pub boots: usize,
    /// Times are nanoseconds, else ticks.
    pub ns: bool,
    /// All boots are deterministic, with nothing lost ([`Boot::is_exact`]).
    pub deterministic: bool,
    /// The boot's time, then levels in the order of a boot.
    pub series: Vec<Series>,
    /// Where something changed.
    pub places: Vec<Place>,
    /// Changes that were found and are too small to be told.
    pub smaller: usize,
    /// What makes it doubtful, in sentences.
    pub doubts: Vec<String>,
}

/// How it is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Points are releases; none: if there are several with several boots.
    pub by_release: Option<bool>,
    /// Smallest change that is told, as a part of the figure.
    pub least: f64,
}

impl Default for Options {
    fn default() -> Options {
        Options { by_release: None, least: 0.01 }
    }
}

/// A smaller part of the boot's time is no news, however large a part of its level.
const LEAST_OF_BOOT: f64 = 0.001;

impl Trend {
    /// Of boots in order.
    pub fn of(boots: &[Boot], options: Options) -> Trend {
        let series = series(boots);
        let deterministic = !boots.is_empty() && boots.iter().all(Boot::is_exact);
        let mut releases = points(boots, true);
        let by_release =
            options.by_release.unwrap_or(releases.len() > 1 && boots.len() >= releases.len().saturating_mul(2));
        if !by_release {
            releases = points(boots, false);
        }
        let mut trend = Trend {
            points: releases,
            by_release,
            boots: boots.len(),
            ns: boots.iter().all(|boot| boot.ns),
            deterministic,
            series,
            places: Vec::new(),
            smaller: 0,
            doubts: doubts(boots),
        };
        trend.find(boots, options.least);
        trend
    }

    fn find(&mut self, boots: &[Boot], least: f64) {
        let whole: Vec<f64> = self.series.first().map(|series| series.values.clone()).unwrap_or_default();
        let large = |series: &Series| {
            series.values.iter().zip(&whole).any(|(value, whole)| *value >= whole * SMALL && *value > 0.0)
        };
        let looked: Vec<usize> = (0..self.series.len()).filter(|&index| large(&self.series[index])).collect();
        let level = LEVEL / looked.len().max(1) as f64;
        for &index in &looked {
            let all = &self.series[index].values;
            let found: Vec<(usize, Option<f64>)> = if self.deterministic {
                changepoints::steps(all).into_iter().map(|at| (at, None)).collect()
            } else {
                changepoints::find(all, level).into_iter().map(|found| (found.at, Some(found.p))).collect()
            };
            for (number, &(at, p)) in found.iter().enumerate() {
                let from = number.checked_sub(1).map_or(0, |before| found[before].0);
                let to = found.get(number + 1).map_or(all.len(), |next| next.0);
                let step = Step { series: index, before: median(&all[from..at]), after: median(&all[at..to]), p };
                let more = step.more().abs();
                if more < step.before * least || more < median(&whole) * LEAST_OF_BOOT {
                    self.smaller += 1;
                    continue;
                }
                match self.places.iter_mut().find(|place| place.at == at) {
                    Some(place) => place.steps.push(step),
                    None => self.places.push(Place { at, steps: vec![step], cause: None }),
                }
            }
        }
        self.places.sort_by_key(|place| place.at);
        let ats: Vec<usize> = self.places.iter().map(|place| place.at).collect();
        for (number, place) in self.places.iter_mut().enumerate() {
            let size = |step: &Step| (step.series != 0, std::cmp::Reverse(step.more().abs() as u64), step.series);
            place.steps.sort_by_key(size);
            let from = number.checked_sub(1).map_or(0, |before| ats[before]);
            let to = ats.get(number + 1).copied().unwrap_or(boots.len());
            let more = place.steps.first().map_or(0.0, Step::more);
            place.cause = cause::of(&boots[from..place.at], &boots[place.at..to], more);
        }
    }

    /// The point that has this boot.
    pub fn point(&self, boot: usize) -> Option<usize> {
        self.points.iter().position(|point| (point.first..point.first + point.boots).contains(&boot))
    }
}

/// The value in the middle; of none 0.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        count => f64::midpoint(sorted[(count - 1) / 2], sorted[count / 2]),
    }
}

fn series(boots: &[Boot]) -> Vec<Series> {
    let whole = Series { name: "boot".to_owned(), values: boots.iter().map(|boot| boot.totals.span as f64).collect() };
    let time = |boot: &Boot, name: &str| {
        let sum: f64 = boot.levels.iter().filter(|level| level.name == name).map(|level| level.time as f64).sum();
        sum
    };
    let levels = Phase::ALL.into_iter().filter(|phase| *phase != Phase::Firmware).map(|phase| Series {
        name: phase.name().to_owned(),
        values: boots.iter().map(|boot| time(boot, phase.name())).collect(),
    });
    let levels = levels.filter(|series| series.values.iter().any(|&value| value > 0.0));
    std::iter::once(whole).chain(levels).collect()
}

/// Boots, or neighbours of the same kernel as one.
fn points(boots: &[Boot], by_release: bool) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for (number, boot) in boots.iter().enumerate() {
        let Meta { release, build_id, started_at, .. } = &boot.meta;
        match points.last_mut() {
            Some(last) if by_release && last.release == *release && last.build_id == *build_id => last.boots += 1,
            _ => points.push(Point {
                name: if by_release { release.clone() } else { boot.name.clone() },
                release: release.clone(),
                build_id: build_id.clone(),
                started_at: *started_at,
                first: number,
                boots: 1,
            }),
        }
    }
    if by_release {
        // Several builds of one release are told apart.
        let twice: Vec<bool> = points
            .iter()
            .map(|point| points.iter().filter(|other| other.release == point.release).count() > 1)
            .collect();
        for (point, twice) in points.iter_mut().zip(twice) {
            if twice {
                let id: String = point.build_id.chars().take(8).collect();
                point.name = format!("{} {id}", point.release);
            }
        }
    }
    points
}

fn doubts(boots: &[Boot]) -> Vec<String> {
    let metas: Vec<(String, Meta)> = boots.iter().map(|boot| (boot.name.clone(), boot.meta.clone())).collect();
    // Other kernels are what a trend is about.
    let unlike = settings::differences(&metas).into_iter().filter(|difference| difference.what != "build ID");
    let mut doubts: Vec<String> = unlike.map(|difference| format!("these boots are not alike: {difference}")).collect();
    if boots.iter().any(|boot| boot.filtered != boots[0].filtered) {
        doubts.push("some of these boots were kept with filters, others with none or with others".to_owned());
    }
    let died = boots.iter().filter(|boot| boot.is_dead()).count();
    if died > 0 {
        doubts.push(format!("{died} of {} boots did not get to their end", boots.len()));
    }
    doubts
}
