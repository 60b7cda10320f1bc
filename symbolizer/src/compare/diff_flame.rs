// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A flame graph of a comparison: frames as wide as their time on one side, coloured by the difference. In: a
//! [`Diff`]. Out: SVG. What only the other side has would have no width: it stands at the right, with the ways to it,
//! in the same scale. Never here: judgement of what is chance.

use std::io::{self, Write};

use super::diff::{Diff, Metric, Way};
use super::diff_words::{Words, count};
use super::explain;
use super::ways::Ways;
use crate::report::flames::{self, Above, Color, Drawing, FRAMES, PARTS, ROWS};
use crate::report::style::{printable, shorten};

/// Characters of the sentence under the title.
const SUBTITLE: usize = 160;

/// Frames that differ by less than this part of what differs most are as those that do not.
const LEAST: f64 = 0.002;

/// Which side gives frames their width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// The side before.
    Before,
    /// The side after.
    After,
}

impl Width {
    fn of(self, (a, b): (f64, f64)) -> f64 {
        if self == Width::Before { a } else { b }
    }

    fn other((a, b): (f64, f64), width: Width) -> f64 {
        if width == Width::Before { b } else { a }
    }
}

/// Writes it.
///
/// # Errors
/// Those of the writer; there is nothing to draw.
pub fn write(diff: &Diff, width: Width, mut out: impl Write) -> io::Result<()> {
    let ways = Ways::new(diff);
    let mut picture = Picture::new(diff, &ways, width);
    picture.boot();
    picture.only_elsewhere();
    let side = |releases: &[String]| printable(&releases.join(", "));
    let which = if width == Width::After { "after" } else { "before" };
    let above = Above {
        title: format!(
            "Linux {} against {}: width is time {which}, red is slower, blue is faster",
            side(&diff.a.releases),
            side(&diff.b.releases)
        ),
        subtitle: explain::headline(diff).first().map_or_else(String::new, |line| shorten(line, SUBTITLE)),
        ns: diff.ns,
    };
    out.write_all(picture.drawing.draw(above)?.as_bytes())?;
    out.flush()
}

struct Picture<'d, 'w> {
    ways: &'w Ways<'d>,
    width: Width,
    words: Words,
    drawing: Drawing,
    /// Narrower frames are not drawn.
    least: f64,
    /// The largest difference: it has the strongest colour.
    most: f64,
    /// For each way, the time below it that only the other side has.
    elsewhere: Vec<f64>,
}

/// Whether a side does not have it.
fn is_nowhere(way: &Way, side: Width) -> bool {
    side.of(way.calls) <= 0.0 && side.of(way.total) <= 0.0
}

impl<'d, 'w> Picture<'d, 'w> {
    fn new(diff: &Diff, ways: &'w Ways<'d>, width: Width) -> Picture<'d, 'w> {
        let mut elsewhere = vec![0.0; ways.len()];
        for at in (0..ways.len()).rev() {
            let way = ways.way(at);
            if is_nowhere(way, width) {
                // With all that is below.
                elsewhere[at] = Width::other(way.total, width);
            }
            if let Some(caller) = ways.caller(at).filter(|&caller| !is_nowhere(ways.way(caller), width)) {
                elsewhere[caller] += elsewhere[at];
            }
        }
        let both = ways.roots().fold(0.0, |sum, at| sum + width.of(ways.way(at).total) + elsewhere[at]);
        let differences = (0..ways.len()).filter(|&at| ways.caller(at).is_some()).map(|at| ways.way(at).total);
        Picture {
            ways,
            width,
            words: Words { ns: diff.ns },
            drawing: Drawing::default(),
            least: (both / PARTS as f64).max(1.0),
            most: differences.map(|(a, b)| (b - a).abs()).fold(1.0, f64::max),
            elsewhere,
        }
    }

    /// What this side has.
    fn boot(&mut self) {
        let width = self.width;
        let ways = self.ways;
        self.branch(&mut Vec::new(), ways.roots().collect(), &|_, at| width.of(ways.way(at).total));
    }

    /// What only the other side has, with the ways to it.
    fn only_elsewhere(&mut self) {
        let ways = self.ways;
        let sum: f64 = ways.roots().map(|at| self.elsewhere[at]).sum();
        if sum < self.least {
            return;
        }
        let (name, note) = match self.width {
            Width::After => ("no longer there", "ways that only the boots before have"),
            Width::Before => ("new", "ways that only the boots after have"),
        };
        let frame = flames::frame(name, note);
        self.drawing.colours.insert(&frame, self.colour(if self.width == Width::After { -0.3 } else { 0.3 }, ""));
        let mut path = vec![frame];
        let roots: Vec<usize> = ways.roots().collect();
        let inside = |picture: &Self, at: usize| {
            let way = picture.ways.way(at);
            let below = Width::other(way.total, picture.width);
            if picture.is_gone(at) { below } else { picture.elsewhere[at] }
        };
        let drawn: f64 = roots.iter().map(|&at| inside(self, at)).filter(|&time| time >= self.least).sum();
        self.drawing.line(&path, rest(sum - drawn));
        self.branch(&mut path, roots, &inside);
    }

    /// It, or a caller of it, is not there on this side.
    fn is_gone(&self, at: usize) -> bool {
        is_nowhere(self.ways.way(at), self.width)
    }

    /// Frames below `path`: those of these ways that are wide enough, with all below them.
    fn branch(&mut self, path: &mut Vec<String>, at: Vec<usize>, time: &dyn Fn(&Self, usize) -> f64) {
        let wide = |picture: &Self, ways: &[usize]| -> Vec<(usize, f64)> {
            let times = ways.iter().map(|&at| (at, time(picture, at)));
            let mut wide: Vec<(usize, f64)> = times.filter(|&(_, time)| time >= picture.least).collect();
            wide.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            wide
        };
        // Levels stand in their order.
        let mut roots = wide(self, &at);
        roots.sort_by_key(|&(at, _)| (self.ways.level(at).is_none(), self.ways.level(at)));
        roots.reverse();
        let fixed = path.len();
        let mut open: Vec<(usize, usize, f64)> = roots.into_iter().map(|(at, time)| (0, at, time)).collect();
        while let Some((depth, at, whole)) = open.pop() {
            if self.drawing.len() >= FRAMES {
                break;
            }
            let below = if depth < ROWS { wide(self, self.ways.callees(at)) } else { Vec::new() };
            path.truncate(fixed + depth);
            path.push(self.frame(at));
            let drawn: f64 = below.iter().map(|&(_, time)| time).sum();
            self.drawing.line(path, rest(whole - drawn));
            open.extend(below.into_iter().rev().map(|(at, time)| (depth + 1, at, time)));
        }
        path.truncate(fixed);
    }

    /// A frame, and its colour.
    fn frame(&mut self, at: usize) -> String {
        let (way, ways) = (self.ways.way(at), self.ways);
        let name = match (ways.caller(at), ways.function(at)) {
            (None, _) => {
                ways.level(at).map_or_else(|| "no level".to_owned(), |phase| format!("level {}", phase.name()))
            }
            (_, Some(row)) => printable(&row.item.name),
            (_, None) => "[other ways]".to_owned(),
        };
        let words = self.words;
        let (a, b) = way.total;
        let sides = match (is_nowhere(way, Width::Before), is_nowhere(way, Width::After)) {
            (true, false) => format!("new: {}", words.time(b)),
            (false, true) => format!("gone: was {}", words.time(a)),
            _ => format!("{} -> {}, {}", words.time(a), words.time(b), words.signed(Metric::Time, b - a)),
        };
        let own = format!("self {} -> {}", words.time(way.own.0), words.time(way.own.1));
        let calls = match ways.caller(at) {
            Some(_) if way.calls.0 == way.calls.1 => format!(", calls {}", count(way.calls.0)),
            Some(_) => format!(", calls {} -> {}", count(way.calls.0), count(way.calls.1)),
            None => String::new(),
        };
        let name = flames::name(&name);
        let frame = flames::frame(&name, &format!("{sides}, {own}{calls}"));
        self.drawing.colours.insert(&frame, self.colour((b - a) / self.most, &name));
        frame
    }

    /// From blue by grey to red, for -1 to 1; names make neighbours differ a little.
    fn colour(&self, part: f64, name: &str) -> Color {
        let shade = name.bytes().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) % 14;
        let same = [224.0 + f64::from(shade); 3];
        let strong = if part < 0.0 { [84.0, 132.0, 236.0] } else { [240.0, 84.0, 68.0] };
        let much = if part.abs() < LEAST { 0.0 } else { part.abs().min(1.0).powf(0.6) };
        let mix = |at: usize| (same[at] + (strong[at] - same[at]) * much) as u8;
        Color { r: mix(0), g: mix(1), b: mix(2) }
    }
}

/// Time of a frame that none of those below it has.
fn rest(time: f64) -> u64 {
    time.max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::super::diff::Basis;
    use super::super::sketch::Sketch;
    use super::*;

    fn svg(width: Width) -> String {
        let diff = Sketch::new(Basis::Exact)
            .way("device;do_initcalls;acpi_init;acpi_scan", (1.0, 121.0), (2e6, 40e6))
            .way("device;do_initcalls;acpi_init;acpi_new", (0.0, 1.0), (0.0, 10e6))
            .way("late;do_initcalls;clk_init;clk_scan", (3.0, 0.0), (20e6, 0.0))
            .way("late;do_initcalls;clk_init;clk_scan;clk_one", (30.0, 0.0), (20e6, 0.0))
            .build();
        let mut out = Vec::new();
        write(&diff, width, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Titles of frames of this name.
    fn titles<'s>(svg: &'s str, name: &str) -> Vec<&'s str> {
        let titles = svg.split("<title>").skip(1).filter_map(|rest| rest.split("</title>").next());
        titles.filter(|title| title.strip_prefix(name).is_some_and(|rest| rest.starts_with(" ("))).collect()
    }

    #[test]
    fn frames_are_as_wide_as_the_side_asked_for_and_tell_both() {
        let svg = svg(Width::After);
        let scan = titles(&svg, "acpi_scan");
        assert_eq!(scan.len(), 1, "{scan:?}");
        assert!(scan[0].contains("40,000,000 ns"), "{scan:?}");
        assert!(scan[0].contains("2.00 ms -&gt; 40.0 ms, +38.0 ms, self"), "{scan:?}");
        assert!(scan[0].contains("calls 1 -&gt; 121"), "{scan:?}");
        assert!(titles(&svg, "acpi_new")[0].contains("new: 10.0 ms"));
        let before = super::tests::svg(Width::Before);
        assert!(titles(&before, "acpi_scan")[0].contains("2,000,000 ns"));
    }

    #[test]
    fn what_vanished_is_there_with_the_ways_to_it() {
        let svg = svg(Width::After);
        assert_eq!(titles(&svg, "no longer there").len(), 1);
        let gone = titles(&svg, "clk_scan");
        assert!(
            gone.len() == 1 && gone[0].contains("gone: was 40.0 ms") && gone[0].contains("40,000,000 ns"),
            "{gone:?}"
        );
        assert_eq!(titles(&svg, "clk_one").len(), 1);
        // The way to it stands there too, besides its place in the boot.
        assert_eq!(titles(&svg, "clk_init").len(), 2);
        let before = super::tests::svg(Width::Before);
        assert_eq!((titles(&before, "clk_scan").len(), titles(&before, "new").len()), (1, 1));
        assert!(titles(&before, "acpi_new")[0].contains("10,000,000 ns"));
    }

    #[test]
    fn without_call_trees_there_is_nothing_to_draw() {
        let mut diff = Sketch::new(Basis::Exact).build();
        diff.ways.clear();
        assert!(write(&diff, Width::After, Vec::new()).unwrap_err().to_string().contains("nothing to draw"));
    }
}
