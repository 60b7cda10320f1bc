// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A trend for people: changes in sentences, levels with their course as a line of blocks, boots. In: a [`Trend`].
//! Out: text with colours. Never here: finding changes.

use std::io::{self, Write};

use super::diff_words::Words;
use super::trend::{Place, Point, Step, Trend};
use crate::report::style::{DIM, HEADING, WARN, bar, heading, left, printable, right, table, wrap};
use crate::report::units::count;

/// How it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Columns.
    pub width: usize,
    /// Most boots or releases that are listed: the newest.
    pub top: usize,
}

/// Most columns of a course.
const COURSE: usize = 40;

/// A series is drawn over at least this part of its height: noise shall look like noise.
const FLAT: f64 = 0.05;

/// Most steps of levels that are told of one change.
const STEPS: usize = 4;

/// Writes it.
///
/// # Errors
/// Those of the writer.
pub fn write(trend: &Trend, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let width = options.width;
    let lines = sentences(trend);
    let title = title(trend);
    writeln!(out, "{HEADING}{}{HEADING:#}", printable(&title))?;
    for line in &lines {
        let wrapped = wrap(&printable(line), width.saturating_sub(4));
        for (at, line) in wrapped.iter().enumerate() {
            writeln!(out, "{}{line}", if at == 0 { "  " } else { "    " })?;
        }
    }
    for doubt in &trend.doubts {
        let lines = wrap(&format!("note: {}", printable(doubt)), width);
        lines.iter().try_for_each(|line| writeln!(out, "{WARN}{line}{WARN:#}"))?;
    }
    levels(trend, width, out)?;
    points(trend, options, out)
}

/// What is looked at.
pub fn title(trend: &Trend) -> String {
    let s = if trend.boots == 1 { "" } else { "s" };
    let releases = match (trend.points.first(), trend.points.last()) {
        (Some(first), Some(last)) if first.release != last.release => {
            format!(" of Linux {} to {}", first.release, last.release)
        }
        (Some(first), _) => format!(" of Linux {}", first.release),
        _ => String::new(),
    };
    let kind = if trend.deterministic { "deterministic boot" } else { "boot" };
    format!("{} {kind}{s}{releases}", count(trend.boots as u64))
}

/// Each change in a sentence; or that there is none.
pub fn sentences(trend: &Trend) -> Vec<String> {
    let mut lines: Vec<String> = trend.places.iter().map(|place| sentence(trend, place)).collect();
    if trend.places.is_empty() {
        lines.push(match (trend.boots, trend.deterministic) {
            (0 | 1, _) => "one boot has no trend".to_owned(),
            (_, true) => "no level changed".to_owned(),
            (2..8, false) => "no change was found; with fewer than eight boots hardly any can be".to_owned(),
            _ => "no change was found".to_owned(),
        });
    }
    if trend.smaller > 0 {
        let (s, are) = if trend.smaller == 1 { ("", "is") } else { ("s", "are") };
        lines.push(format!("{} smaller change{s} {are} not told (--least)", trend.smaller));
    }
    lines
}

/// `fs rose by 12.0 ms (40 %) at 6.1.190, boot 17 of 40`.
pub fn sentence(trend: &Trend, place: &Place) -> String {
    let told: Vec<String> = place.steps.iter().take(STEPS).map(|step| told(trend, step)).collect();
    let mut text = told.join("; ");
    let others = place.steps.len().saturating_sub(STEPS);
    if others > 0 {
        text += &format!("; {others} more levels");
    }
    if let Some(point) = trend.point(place.at).and_then(|at| trend.points.get(at)) {
        let at = if trend.by_release { &point.name } else { &point.release };
        text += &format!(" at {at}");
    }
    text += &format!(", boot {} of {}", place.at + 1, trend.boots);
    if !trend.by_release
        && let Some(point) = trend.points.get(place.at)
    {
        text += &format!(" ({})", point.name);
    }
    if let Some(cause) = &place.cause {
        let more = signed(trend.ns, cause.more);
        let whole = place.steps.first().map_or(0.0, Step::more);
        let most = if cause.more.abs() >= whole.abs() * 0.5 { "most" } else { "a part" };
        text += &format!(": {most} of it {} {} ({more}", cause.kind, cause.name);
        let (before, after) = (cause.calls.0.round() as u64, cause.calls.1.round() as u64);
        if before != after {
            let of = if cause.kind == "initcall" { "calls in it" } else { "calls" };
            text += &format!(", {of} {} -> {}", count(before), count(after));
        }
        text.push(')');
    }
    text
}

fn told(trend: &Trend, step: &Step) -> String {
    let name = trend.series.get(step.series).map_or("", |series| &*series.name);
    let way = if step.more() < 0.0 { "fell" } else { "rose" };
    let part = match step.part() {
        Some(part) => format!(" ({} %)", percent(part.abs() * 100.0)),
        None => " (from nothing)".to_owned(),
    };
    format!("{name} {way} by {}{part}", time(trend.ns, step.more().abs()))
}

fn percent(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// A time in the unit that the boots have.
pub fn time(ns: bool, value: f64) -> String {
    Words { ns }.time(value)
}

fn signed(ns: bool, value: f64) -> String {
    format!("{}{}", if value < 0.0 { "-" } else { "+" }, time(ns, value.abs()))
}

fn levels(trend: &Trend, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let what = if trend.by_release { "mean of each release" } else { "each boot" };
    heading(out, width, "Levels", &format!("course: {what}, in order, between least and most"))?;
    let columns = [
        left("level"),
        right("first"),
        right("last"),
        right("change"),
        right("least"),
        right("median"),
        right("most"),
        left("course"),
    ];
    let columns_of_course = width.saturating_sub(75).clamp(8, COURSE);
    let rows: Vec<Vec<String>> = trend
        .series
        .iter()
        .map(|series| {
            let means = series.means(&trend.points);
            let (first, last) = (means.first().copied().unwrap_or(0.0), means.last().copied().unwrap_or(0.0));
            let change = if first > 0.0 { format!("{:+.1} %", (last - first) / first * 100.0) } else { String::new() };
            let least = means.iter().copied().fold(f64::INFINITY, f64::min);
            let most = means.iter().copied().fold(0.0, f64::max);
            let time = |value: f64| time(trend.ns, value);
            let median = super::trend::median(&means);
            let course = course(&means, columns_of_course);
            vec![series.name.clone(), time(first), time(last), change, time(least), time(median), time(most), course]
        })
        .collect();
    table(out, width, &columns, 0, &rows)
}

/// Values as blocks of eight heights; several share a column if there are too many.
pub fn course(values: &[f64], columns: usize) -> String {
    let columns = values.len().min(columns.max(1));
    let bin = |column: usize| {
        let (from, to) = (column * values.len() / columns, ((column + 1) * values.len() / columns).min(values.len()));
        values[from..to].iter().sum::<f64>() / (to - from) as f64
    };
    let bins: Vec<f64> = (0..columns).map(bin).collect();
    let (least, most) = bins.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), &v| (least.min(v), most.max(v)));
    let middle = f64::midpoint(least, most);
    let span = (most - least).max(middle * FLAT);
    let low = middle - span / 2.0;
    // The middle is no border between two heights: what is flat stays so.
    let part = |value: f64| if span > 0.0 { (value - low) / span } else { 0.0 };
    let height = |value: f64| ((part(value) * 7.0 - 0.2).round().max(0.0) as usize).min(7);
    bins.iter().map(|&value| ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][height(value)]).collect()
}

fn points(trend: &Trend, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let Trend { points, series, by_release, .. } = trend;
    let hidden = points.len().saturating_sub(options.top);
    let remark = if hidden > 0 { format!("the last {} of {}", options.top, points.len()) } else { String::new() };
    heading(out, options.width, if *by_release { "Releases" } else { "Boots" }, &remark)?;
    let whole = series.first().map(|series| series.means(points)).unwrap_or_default();
    let most = whole.iter().copied().fold(0.0, f64::max);
    let least = whole.iter().copied().fold(f64::INFINITY, f64::min);
    // Bars of the same length tell nothing.
    let with_bars = least < most * 0.9;
    let marked = |at: usize| trend.places.iter().any(|place| trend.point(place.at) == Some(at));
    let mut columns = vec![right("#"), left(if *by_release { "release" } else { "boot" })];
    if *by_release {
        columns.push(right("boots"));
    } else if points.iter().any(|point| point.release != points[0].release) {
        columns.push(left("release"));
    }
    let with_release = !by_release && columns.len() == 3;
    columns.extend([left("recorded (UTC)"), right("time"), right("change"), left("")]);
    if with_bars {
        columns.push(left(""));
    }
    let row = |at: usize, point: &Point| {
        let mut row = vec![(point.first + 1).to_string(), printable(&short(&point.name, *by_release))];
        if *by_release {
            row.push(point.boots.to_string());
        } else if with_release {
            row.push(printable(&point.release));
        }
        let value = whole.get(at).copied().unwrap_or(0.0);
        let before = at.checked_sub(1).and_then(|before| whole.get(before)).copied().filter(|&before| before > 0.0);
        row.push(date(point.started_at));
        row.push(time(trend.ns, value));
        row.push(before.map_or_else(String::new, |before| format!("{:+.1} %", (value - before) / before * 100.0)));
        row.push(if marked(at) { "◆".to_owned() } else { String::new() });
        if with_bars {
            row.push(bar(value as u64, most as u64, 16));
        }
        row
    };
    let rows: Vec<Vec<String>> = points.iter().enumerate().skip(hidden).map(|(at, point)| row(at, point)).collect();
    table(out, options.width, &columns, 1, &rows)?;
    if !trend.places.is_empty() {
        writeln!(out, "  {DIM}◆ a change begins here{DIM:#}")?;
    }
    Ok(())
}

/// Of a path its end, which tells most.
fn short(name: &str, by_release: bool) -> String {
    let length = name.chars().count();
    if by_release || length <= 40 {
        name.to_owned()
    } else {
        format!("…{}", name.chars().skip(length - 39).collect::<String>())
    }
}

/// Seconds of Unix time as `2026-11-23 09:45`; nothing of 0.
pub fn date(seconds: u64) -> String {
    if seconds == 0 {
        return String::new();
    }
    let [year, month, day, hour, minute, _] = crate::report::units::calendar(seconds);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_shows_steps_and_keeps_noise_flat() {
        assert_eq!(course(&[100.0, 100.0, 150.0, 200.0], 10), "▁▁▄█");
        assert_eq!(course(&[100.0, 100.1, 99.9], 10), "▄▄▄");
        assert_eq!(course(&[0.0, 0.0], 10), "▁▁");
        assert_eq!(course(&[], 10), "");
        assert_eq!(course(&[1.0, 3.0, 9.0, 9.0], 2), "▁█");
    }
}
