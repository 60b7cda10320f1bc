// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A picture of a trend: levels stacked, boot by boot; below them the course of those that changed, each on its own
//! scale; changes marked and told. In: a [`Trend`]. Out: SVG that browsers show on light and on dark ground. Never
//! here: finding changes.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::trend::{Point, Series, Trend};
use super::trend_text::{date, sentence, time, title};
use crate::report::style::{printable, shorten, wrap};

/// Sizes in pixels.
const WIDTH: f64 = 1000.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 64.0;
const STACK: f64 = 300.0;
const ROW: f64 = 46.0;
const LINE: f64 = 17.0;

/// Most bars; more boots share one.
const MOST_BARS: usize = 320;

/// Levels with less than this part of the largest boot are one: the others.
const SMALL: f64 = 0.012;

/// Most rows below the bars.
const MOST_ROWS: usize = 12;

/// Most changes that are told below.
const MOST_TOLD: usize = 20;

/// Colours of levels: told apart on both grounds.
const COLOURS: [&str; 12] = [
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#c9a227", "#9c755f", "#6b8fd6", "#d37295",
    "#8cb04e", "#499894",
];
const OTHERS: &str = "#8a919c";

const STYLE: &str = "\
svg{--bg:#fff;--ink:#171b22;--dim:#5a6372;--line:#dde1e8;--mark:#b8470b}
@media (prefers-color-scheme:dark){svg{--bg:#14171c;--ink:#e9ecf1;--dim:#9da6b5;--line:#333a45;--mark:#f0964f}}
text{font:12px system-ui,sans-serif;fill:var(--ink)}.d{fill:var(--dim)}.r{text-anchor:end}.m{text-anchor:middle}
.h{font-size:17px;font-weight:600}.g{stroke:var(--line)}.k{stroke:var(--mark);stroke-dasharray:4 3}
.n{fill:var(--mark)}.w{fill:var(--bg);font-weight:600;text-anchor:middle}";

/// Where things are, left to right.
struct Across {
    /// Points of each bar: first and number.
    bars: Vec<(usize, usize)>,
    each: f64,
}

impl Across {
    fn new(points: usize) -> Across {
        let bars = points.clamp(1, MOST_BARS);
        let bounds = |bar: usize| {
            let from = bar * points / bars;
            (from, ((bar + 1) * points / bars).saturating_sub(from))
        };
        Across { bars: (0..bars).map(bounds).collect(), each: (WIDTH - LEFT - RIGHT) / bars as f64 }
    }

    fn left(&self, bar: usize) -> f64 {
        LEFT + self.each * bar as f64
    }

    /// Where the bar with this point begins.
    fn of_point(&self, point: usize) -> f64 {
        let bar = self.bars.iter().rposition(|&(from, _)| from <= point).unwrap_or(0);
        self.left(bar)
    }

    /// The mean of each bar.
    fn means(&self, values: &[f64]) -> Vec<f64> {
        let mean = |&(from, count): &(usize, usize)| {
            let part = values.get(from..from + count).unwrap_or_default();
            if part.is_empty() { 0.0 } else { part.iter().sum::<f64>() / part.len() as f64 }
        };
        self.bars.iter().map(mean).collect()
    }
}

/// Writes it.
///
/// # Errors
/// Those of the writer.
pub fn write(trend: &Trend, out: &mut dyn Write) -> io::Result<()> {
    let across = Across::new(trend.points.len());
    let rows = rows(trend);
    let told = told(trend);
    let below = TOP + STACK + 44.0;
    let text = below + ROW * rows.len() as f64 + 26.0;
    let height = text + LINE * told.len() as f64 + 12.0;
    let mut svg = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
         height=\"{height:.0}\" role=\"img\">\n<title>{0}</title>\n<style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" style=\"fill:var(--bg)\"/>\n\
         <text class=\"h\" x=\"{LEFT}\" y=\"30\">{0}</text>",
        escaped(&printable(&title(trend)))
    );
    stack(trend, &across, &mut svg);
    for (number, series) in rows.iter().enumerate() {
        row(trend, series, &across, below + ROW * number as f64, &mut svg);
    }
    marks(trend, &across, below + ROW * rows.len() as f64, &mut svg);
    for (number, (mark, line)) in told.iter().enumerate() {
        let y = text + LINE * number as f64;
        let _ = writeln!(svg, "<text class=\"n r\" x=\"{}\" y=\"{y:.1}\">{mark}</text>", LEFT - 8.0);
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{y:.1}\">{}</text>", escaped(line));
    }
    svg.push_str("</svg>\n");
    out.write_all(svg.as_bytes())
}

/// The boot, levels that changed, and the largest others.
fn rows(trend: &Trend) -> Vec<&Series> {
    let changed = |index: usize| trend.places.iter().any(|place| place.steps.iter().any(|step| step.series == index));
    let size = |index: usize| trend.series[index].values.iter().copied().fold(0.0, f64::max);
    let mut order: Vec<usize> = (0..trend.series.len()).collect();
    order.sort_by(|&a, &b| (a != 0, !changed(a)).cmp(&(b != 0, !changed(b))).then_with(|| size(b).total_cmp(&size(a))));
    let count = order.iter().filter(|&&index| changed(index) || index == 0).count().clamp(5, MOST_ROWS);
    order.truncate(count);
    order.sort_unstable();
    order.into_iter().filter_map(|index| trend.series.get(index)).collect()
}

fn told(trend: &Trend) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (number, place) in trend.places.iter().take(MOST_TOLD).enumerate() {
        for (part, line) in wrap(&printable(&sentence(trend, place)), 128).into_iter().enumerate() {
            lines.push((if part == 0 { (number + 1).to_string() } else { String::new() }, line));
        }
    }
    let more = trend.places.len().saturating_sub(MOST_TOLD);
    if more > 0 {
        lines.push((String::new(), format!("and {more} more changes")));
    }
    if trend.places.is_empty() {
        lines.push((String::new(), super::trend_text::sentences(trend).join("; ")));
    }
    lines
}

/// A round number of which a few fill the height.
fn round(most: f64) -> f64 {
    let rough = (most / 5.0).max(1.0);
    let ten = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * ten).find(|step| *step >= rough).unwrap_or(ten)
}

fn stack(trend: &Trend, across: &Across, svg: &mut String) {
    let levels: Vec<(&str, Vec<f64>)> =
        trend.series.iter().skip(1).map(|series| (&*series.name, across.means(&series.means(&trend.points)))).collect();
    let whole = |bar: usize| levels.iter().map(|(_, values)| values[bar]).sum::<f64>();
    let most = (0..across.bars.len()).map(whole).fold(1.0, f64::max);
    let step = round(most);
    let y = |value: f64| TOP + STACK * (1.0 - value / most);
    let mut at = 0.0;
    while at <= most {
        let _ = writeln!(
            svg,
            "<line class=\"g\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/>\
             <text class=\"d r\" x=\"{2}\" y=\"{3:.1}\">{4}</text>",
            WIDTH - RIGHT,
            y(at),
            LEFT - 8.0,
            y(at) + 4.0,
            time(trend.ns, at)
        );
        at += step;
    }
    let is_small = |values: &Vec<f64>| values.iter().all(|&value| value < most * SMALL);
    let (small, mut large): (Vec<_>, Vec<_>) = levels.iter().partition::<Vec<_>, _>(|(_, values)| is_small(values));
    let others: Vec<f64> =
        (0..across.bars.len()).map(|bar| small.iter().map(|(_, values)| values[bar]).sum()).collect();
    let others = ("others", others);
    if !small.is_empty() {
        large.push(&others);
    }
    let mut floor = vec![0.0; across.bars.len()];
    let gap = if across.each > 4.0 { 1.0 } else { 0.0 };
    let mut labels: Vec<(f64, &str, String)> = Vec::new();
    for (number, (name, values)) in large.iter().enumerate() {
        let colour = if *name == "others" { OTHERS } else { COLOURS[number % COLOURS.len()] };
        let _ = writeln!(svg, "<g fill=\"{colour}\">");
        for (bar, &value) in values.iter().enumerate() {
            let (top, bottom) = (y(floor[bar] + value), y(floor[bar]));
            if value > 0.0 {
                let (first, count) = across.bars[bar];
                let told = trend.points.get(first).map_or("", |point| &*point.name);
                let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
                let _ = writeln!(
                    svg,
                    "<rect x=\"{:.2}\" y=\"{top:.2}\" width=\"{:.2}\" height=\"{:.2}\"><title>{}{more}: {name} {}\
                     </title></rect>",
                    across.left(bar),
                    across.each - gap,
                    bottom - top,
                    escaped(&printable(told)),
                    time(trend.ns, value)
                );
            }
            floor[bar] += value;
        }
        svg.push_str("</g>\n");
        let (last, under) = (values.last().copied().unwrap_or(0.0), floor.last().copied().unwrap_or(0.0));
        labels.push((y(under - last / 2.0), colour, format!("{name} {}", time(trend.ns, last))));
    }
    legend(&mut labels, svg);
    names(&trend.points, trend.by_release, across, svg);
}

/// Names of levels beside the last bar, none over another.
fn legend(labels: &mut [(f64, &str, String)], svg: &mut String) {
    let mut floor = TOP + STACK + 4.0;
    for (y, ..) in labels.iter_mut() {
        *y = y.min(floor);
        floor = *y - LINE + 2.0;
    }
    // Pushed above the top: all go down together.
    let over = (TOP - floor - LINE).max(0.0);
    for (y, colour, text) in labels {
        let (x, y) = (WIDTH - RIGHT + 12.0, *y + over);
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{:.1}\" width=\"10\" height=\"10\" rx=\"2\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{:.1}\">{text}</text>",
            y - 5.0,
            x + 16.0,
            y + 4.0
        );
    }
}

/// Below the bars: releases where they begin, else numbers of boots.
fn names(points: &[Point], by_release: bool, across: &Across, svg: &mut String) {
    let y = TOP + STACK + 17.0;
    let mut free = f64::NEG_INFINITY;
    let mut release = "";
    for (at, point) in points.iter().enumerate() {
        let x = across.of_point(at);
        let begins = point.release != release;
        release = &point.release;
        if x < free || !(begins || by_release) {
            continue;
        }
        let name = if by_release { &point.name } else { &point.release };
        let shown = shorten(&printable(name), 26);
        let _ = writeln!(svg, "<text class=\"d\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(&shown));
        free = x + 7.0 * shown.chars().count() as f64 + 14.0;
    }
    let (first, last) = (points.first().map_or(0, |p| p.started_at), points.last().map_or(0, |p| p.started_at));
    let boots = points.iter().map(|point| point.boots).sum::<usize>();
    let _ = writeln!(
        svg,
        "<text class=\"d\" x=\"{LEFT}\" y=\"{0:.1}\">boot 1, {1}</text>\
         <text class=\"d r\" x=\"{2:.1}\" y=\"{0:.1}\">boot {boots}, {3}</text>",
        y + 16.0,
        date(first),
        WIDTH - RIGHT,
        date(last)
    );
}

/// The course of one figure, on its own scale.
fn row(trend: &Trend, series: &Series, across: &Across, top: f64, svg: &mut String) {
    let values = across.means(&series.means(&trend.points));
    let (least, most) = values.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), &v| (least.min(v), most.max(v)));
    let middle = f64::midpoint(least, most);
    // Noise shall look like noise.
    let span = (most - least).max(middle * 0.02).max(1.0);
    let y = |value: f64| top + 10.0 + (ROW - 18.0) * (0.5 - (value - middle) / span);
    let x = |bar: usize| across.left(bar) + across.each / 2.0;
    let line: Vec<String> = values.iter().enumerate().map(|(bar, &v)| format!("{:.1},{:.1}", x(bar), y(v))).collect();
    let _ = writeln!(
        svg,
        "<line class=\"g\" x1=\"{LEFT}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/>\
         <text class=\"r\" x=\"{2}\" y=\"{3:.1}\">{4}</text>\
         <polyline points=\"{5}\" fill=\"none\" style=\"stroke:var(--ink)\" stroke-width=\"1.5\"/>",
        WIDTH - RIGHT,
        top + ROW,
        LEFT - 8.0,
        top + ROW / 2.0 + 4.0,
        series.name,
        line.join(" ")
    );
    if values.len() <= 80 {
        for (bar, &value) in values.iter().enumerate() {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.4\" style=\"fill:var(--ink)\"/>",
                x(bar),
                y(value)
            );
        }
    }
    let shown = if time(trend.ns, least) == time(trend.ns, most) {
        time(trend.ns, most)
    } else {
        format!("{} to {}", time(trend.ns, least), time(trend.ns, most))
    };
    let _ = writeln!(
        svg,
        "<text class=\"d\" x=\"{:.1}\" y=\"{:.1}\">{shown}</text>",
        WIDTH - RIGHT + 12.0,
        top + ROW / 2.0 + 4.0
    );
}

/// Lines through everything where something changed, with the numbers under which it is told.
fn marks(trend: &Trend, across: &Across, bottom: f64, svg: &mut String) {
    let mut free = f64::NEG_INFINITY;
    for (number, place) in trend.places.iter().take(MOST_TOLD).enumerate() {
        let Some(point) = trend.point(place.at) else { continue };
        let x = across.of_point(point) - 0.5;
        let _ = writeln!(
            svg,
            "<line class=\"k\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"/>",
            TOP - 12.0
        );
        // Two next to each other stand one above the other.
        let y = if x < free { TOP - 36.0 } else { TOP - 19.0 };
        free = x + 18.0;
        let _ = writeln!(
            svg,
            "<circle class=\"n\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"8.5\"/><text class=\"w\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            y + 4.0,
            number + 1
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
