// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A flame graph, one SVG that zooms and searches in any browser: levels of the boot in its first row, tasks
//! in the next, calls below, each as wide as its on-CPU time. In: the merged call tree by phases and tasks.
//! Out: what inferno draws, with calls and self time in the words that the mouse gets. Never here: idling;
//! frames too narrow to be seen, whose time stays blank below their callers.

use std::io::{self, Write};

use bootlevel::Phase;

use super::{Context, Exporter, Grouping, Head, REST, Wants};
use crate::report::Report;
use crate::report::flames::{self, Above, Color, Drawing, FRAMES, PARTS, ROWS};
use crate::report::names::Named;
use crate::report::style::{printable, shorten};
use crate::report::units::{Clock, count};
use crate::resolve::tree::subsystem;

/// Characters of a command line under the title.
const SUBTITLE: usize = 150;

/// A node of the tree, in the order in which they came.
#[derive(Debug)]
struct Node {
    depth: usize,
    function: u32,
    calls: u64,
    own: u64,
    total: u64,
}

/// The calls of a task in a phase.
#[derive(Debug)]
struct Group {
    phase: Option<Phase>,
    task: String,
    /// First and last but one of its nodes.
    nodes: std::ops::Range<usize>,
}

/// A function: its name and its directory.
#[derive(Debug)]
struct Function {
    name: String,
    place: String,
}

/// Draws a flame graph.
#[derive(Debug)]
pub struct FlameGraph<W> {
    out: W,
    functions: Vec<Function>,
    nodes: Vec<Node>,
    groups: Vec<Group>,
    clock: Clock,
    title: String,
    subtitle: String,
    parts: u64,
}

impl<W: Write> FlameGraph<W> {
    /// To this output.
    pub fn new(out: W) -> FlameGraph<W> {
        FlameGraph {
            out,
            functions: Vec::new(),
            nodes: Vec::new(),
            groups: Vec::new(),
            clock: Clock::new(None),
            title: String::new(),
            subtitle: String::new(),
            parts: PARTS,
        }
    }

    /// Time of a group: that of its outermost calls.
    fn time(&self, group: &Group) -> u64 {
        let outermost = self.nodes[group.nodes.clone()].iter().filter(|node| node.depth == 0);
        outermost.fold(0, |sum, node| sum.saturating_add(node.total))
    }

    /// Times come in nanoseconds, or in ticks.
    fn show(&self, time: u64) -> String {
        match self.clock.khz() {
            Some(_) => crate::report::units::duration(time),
            None => self.clock.show(time),
        }
    }

    /// A frame as inferno gets it.
    fn frame(&self, node: &Node) -> String {
        let unknown = Function { name: "?".to_owned(), place: String::new() };
        let rest = Function { name: "[other ways]".to_owned(), place: String::new() };
        let function = match node.function {
            REST => &rest,
            number => self.functions.get(number as usize).unwrap_or(&unknown),
        };
        let calls = match node.calls {
            0 => "began in a level before".to_owned(),
            1 => "1 call".to_owned(),
            calls => format!("{} calls", count(calls)),
        };
        let place = if function.place.is_empty() { String::new() } else { format!("in {}, ", function.place) };
        flames::frame(&function.name, &format!("self {}, {place}{calls}", self.show(node.own)))
    }

    /// The lines for inferno, and a colour for each frame.
    fn drawing(&self) -> Drawing {
        let mut groups: Vec<(&Group, u64)> = self.groups.iter().map(|group| (group, self.time(group))).collect();
        groups.sort_by(|a, b| a.0.phase.cmp(&b.0.phase).then(b.1.cmp(&a.1)).then_with(|| a.0.task.cmp(&b.0.task)));
        let all = groups.iter().fold(0u64, |sum, group| sum.saturating_add(group.1));
        let least = (all / self.parts).max(1);
        let mut drawn = Drawing::default();
        for level in groups.chunk_by(|a, b| a.0.phase == b.0.phase) {
            let mut path: Vec<String> =
                level.iter().take(1).filter_map(|group| Some(format!("level {}", group.0.phase?.name()))).collect();
            let (wide, narrow): (Vec<_>, Vec<_>) = level.iter().partition(|group| group.1 >= least);
            for (group, time) in wide {
                path.push(group.task.clone());
                self.group(group, time, least, &mut path, &mut drawn);
                path.pop();
            }
            let narrow = narrow.iter().fold(0u64, |sum, group| sum.saturating_add(group.1));
            if narrow > 0 {
                path.push("[other tasks]".to_owned());
                line(&mut drawn, &path, narrow);
            }
        }
        drawn
    }

    /// The lines of one group, whose frames go on top of `path`.
    fn group(&self, group: &Group, time: u64, least: u64, path: &mut Vec<String>, drawn: &mut Drawing) {
        let fixed = path.len();
        // Kept nodes, callers first, and what of their time is not that of kept nodes below them.
        let mut kept: Vec<(&Node, u64)> = Vec::new();
        let (mut open, mut skip, mut rest): (Vec<usize>, Option<usize>, u64) = (Vec::new(), None, time);
        for node in &self.nodes[group.nodes.clone()] {
            if skip.is_some_and(|depth| node.depth > depth) {
                continue;
            }
            let wide = node.total >= least && node.depth < ROWS && drawn.len() + kept.len() < FRAMES;
            skip = (!wide).then_some(node.depth);
            if skip.is_some() {
                continue;
            }
            open.truncate(node.depth);
            let left = open.last().map_or(&mut rest, |&caller| &mut kept[caller].1);
            *left = left.saturating_sub(node.total);
            open.push(kept.len());
            kept.push((node, node.total));
        }
        line(drawn, path, rest);
        for (node, rest) in kept {
            let frame = self.frame(node);
            if drawn.colours.get(&frame).is_none() {
                let function = self.functions.get(node.function as usize);
                let (name, place) = function.map_or(("?", ""), |found| (&found.name, &found.place));
                drawn.colours.insert(&frame, colour(name, place));
            }
            path.truncate(fixed + node.depth);
            path.push(frame);
            line(drawn, path, rest);
        }
        path.truncate(fixed);
    }
}

/// A line, with colours for its outermost frames, which are a level and a task.
fn line(drawing: &mut Drawing, path: &[String], time: u64) {
    for frame in path.iter().take(2).filter(|frame| !flames::has_note(frame)) {
        drawing.colours.insert(frame, colour(frame, ""));
    }
    drawing.line(path, time);
}

/// A colour for a function: its directory says which, its name how light.
fn colour(name: &str, place: &str) -> Color {
    let hash =
        |text: &str| text.bytes().fold(0xcbf2_9ce4u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
    if place.is_empty() {
        let grey = 200 + (hash(name) >> 8) as u8 % 24;
        return Color { r: grey, g: grey, b: grey + 8 };
    }
    // Multiplied by the golden ratio, hashes lie far from each other on the circle.
    let hue = f64::from(hash(place).wrapping_mul(0x9e37_79b9)) / f64::from(u32::MAX) * 6.0;
    let light = 0.70 + f64::from((hash(name) >> 8) % 64) / 64.0 * 0.12;
    let part = |shift: f64| {
        let distance = ((hue + shift) % 6.0 - 3.0).abs() - 1.0;
        ((light + (distance.clamp(0.0, 1.0) - 0.5) * 0.34) * 255.0) as u8
    };
    Color { r: part(0.0), g: part(4.0), b: part(2.0) }
}

impl<W: Write> Exporter for FlameGraph<W> {
    fn wants(&self) -> Wants {
        Wants::Contexts(Grouping { tasks: true, phases: true })
    }

    fn begin(&mut self, head: &Head<'_>) -> io::Result<()> {
        self.clock = head.clock;
        self.title = format!("Boot of Linux {}", printable(&head.meta.release));
        let filtered = head.filtered.map(|words| format!("only {}; ", printable(words))).unwrap_or_default();
        self.subtitle = shorten(&format!("{filtered}{}", printable(&head.meta.command_line)), SUBTITLE);
        Ok(())
    }

    fn function(&mut self, _number: u32, named: &Named) -> io::Result<()> {
        let place = named.file.as_deref().map_or("", subsystem);
        self.functions.push(Function { name: flames::name(&named.name), place: flames::name(place) });
        Ok(())
    }

    fn context(&mut self, context: &Context<'_>) -> io::Result<()> {
        let Some(depth) = context.stack.len().checked_sub(1).filter(|_| !context.idle) else { return Ok(()) };
        let task = context.task.map_or_else(String::new, |task| match task.idle {
            Some(_) => flames::name(&task.name),
            None => format!("{}-{}", flames::name(&task.name), task.pid),
        });
        let phase = context.phase.filter(|&phase| phase != Phase::Firmware);
        let at = self.nodes.len();
        match self.groups.last_mut() {
            Some(group) if group.phase == phase && group.task == task => group.nodes.end = at + 1,
            _ => self.groups.push(Group { phase, task, nodes: at..at + 1 }),
        }
        let function = context.stack[depth];
        let Context { calls, own, total, .. } = *context;
        self.nodes.push(Node { depth, function, calls, own, total });
        Ok(())
    }

    fn finish(&mut self, _report: &Report<'_>) -> io::Result<()> {
        let above = Above {
            title: std::mem::take(&mut self.title),
            subtitle: std::mem::take(&mut self.subtitle),
            ns: self.clock.khz().is_some(),
        };
        self.out.write_all(self.drawing().draw(above)?.as_bytes())?;
        self.out.flush()
    }
}
