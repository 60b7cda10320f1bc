// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Why a stretch of the boot took as long as it did. In: who was on which CPU when, and the longest calls.
//! Out: who ran in a stretch of time, who ran while a task waited, and the way down which most of a task's
//! time went. Never here: names, text.

use std::collections::HashMap;

use super::{Ran, Span};

/// A stretch of time.
pub type Window = (u64, u64);

/// Down to where a way is followed.
const DEEPEST: u32 = 64;

/// Most calls and stretches that are looked at for one answer: there are many answers.
const MOST_LOOKED_AT: usize = 20_000;

/// The way down which most of the time went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Functions and their time, outermost first; each has at least half of the whole.
    pub steps: Vec<(u32, u64)>,
    /// Where the way parts: the longest of what the last one calls.
    pub next: Option<(u32, u64)>,
    /// The task's time on a CPU in all.
    pub whole: u64,
}

/// Looks at what was kept.
pub struct Why<'a> {
    spans: &'a [Span],
    /// For each task and depth: its calls, which do not overlap, in order.
    rows: HashMap<(u32, u32), Vec<u32>>,
    /// For each CPU, in order.
    cpus: Vec<Vec<Ran>>,
}

impl<'a> Why<'a> {
    /// Of these.
    pub fn new(spans: &'a [Span], ran: &[Ran]) -> Why<'a> {
        let mut rows: HashMap<(u32, u32), Vec<u32>> = HashMap::new();
        for (index, span) in spans.iter().enumerate() {
            rows.entry((span.task, span.depth)).or_default().push(index as u32);
        }
        for row in rows.values_mut() {
            row.sort_by_key(|&index| spans[index as usize].start);
        }
        let mut by_cpu: HashMap<u32, Vec<Ran>> = HashMap::new();
        for ran in ran {
            by_cpu.entry(ran.cpu).or_default().push(*ran);
        }
        let mut cpus: Vec<Vec<Ran>> = by_cpu.into_values().collect();
        for cpu in &mut cpus {
            cpu.sort_by_key(|ran| ran.from);
        }
        cpus.sort_by_key(|cpu| cpu.first().map_or(0, |ran| ran.cpu));
        Why { spans, rows, cpus }
    }

    /// Stretches of CPUs in a window.
    fn in_window(&self, window: Window) -> impl Iterator<Item = (&Ran, Window)> {
        self.cpus.iter().flat_map(move |cpu| {
            let from = cpu.partition_point(|ran| ran.to <= window.0);
            let inside = cpu[from..].iter().take_while(move |ran| ran.from < window.1);
            inside.take(MOST_LOOKED_AT).map(move |ran| (ran, (ran.from.max(window.0), ran.to.min(window.1))))
        })
    }

    /// Tasks that were on a CPU in these windows, and for how long; idle ones not, nor `without`.
    pub fn who(&self, windows: &[Window], without: Option<u32>) -> Vec<(u32, u64)> {
        let mut sums: HashMap<u32, u64> = HashMap::new();
        for &window in windows.iter().take(MOST_LOOKED_AT) {
            for (ran, (from, to)) in self.in_window(window) {
                if !ran.idle && Some(ran.task) != without {
                    *sums.entry(ran.task).or_default() += to.saturating_sub(from);
                }
            }
        }
        let mut sums: Vec<(u32, u64)> = sums.into_iter().collect();
        sums.sort_by_key(|&(task, time)| (std::cmp::Reverse(time), task));
        sums
    }

    /// The parts of a window in which a task was on no CPU.
    pub fn waits(&self, task: u32, window: Window) -> Vec<Window> {
        let mut on: Vec<Window> =
            self.in_window(window).filter(|(ran, _)| ran.task == task).map(|(_, part)| part).collect();
        on.sort_unstable();
        let (mut waits, mut now) = (Vec::new(), window.0);
        for (from, to) in on {
            if from > now {
                waits.push((now, from));
            }
            now = now.max(to);
        }
        if now < window.1 {
            waits.push((now, window.1));
        }
        waits
    }

    /// CPU and task that the stretch at this time is of.
    pub fn running(&self, time: u64, fits: impl Fn(u32) -> bool) -> Option<(u32, u32)> {
        self.in_window((time, time.saturating_add(1))).map(|(ran, _)| (ran.cpu, ran.task)).find(|&(_, task)| fits(task))
    }

    /// The way down which most of a task's time in these windows went.
    pub fn way(&self, task: u32, windows: &[Window]) -> Way {
        let mut way = Way::default();
        // Only while it was on a CPU; if those stretches were too short to be kept, all of the windows.
        let on = |&window: &Window| self.in_window(window).filter(|(ran, _)| ran.task == task).map(|(_, part)| part);
        let mut parts: Vec<Window> = windows.iter().take(MOST_LOOKED_AT).flat_map(on).collect();
        let exact = !parts.is_empty();
        parts.sort_unstable();
        let mut windows = if exact { parts } else { windows.to_vec() };
        way.whole = windows.iter().fold(0, |sum, (from, to)| sum.saturating_add(to.saturating_sub(*from)));
        for depth in 0..DEEPEST {
            let Some(row) = self.rows.get(&(task, depth)) else { break };
            let mut sums: HashMap<u32, (u64, Vec<Window>)> = HashMap::new();
            for &(from, to) in windows.iter().take(MOST_LOOKED_AT) {
                let first = row.partition_point(|&index| self.spans[index as usize].end <= from);
                for &index in row[first..].iter().take(MOST_LOOKED_AT) {
                    let span = &self.spans[index as usize];
                    if span.start >= to {
                        break;
                    }
                    let part = (span.start.max(from), span.end.min(to));
                    let sum = sums.entry(span.function).or_default();
                    let time = if exact { part.1.saturating_sub(part.0) } else { span.on_cpu(part) };
                    sum.0 = sum.0.saturating_add(time);
                    sum.1.push(part);
                }
            }
            let Some((function, (time, parts))) = sums.into_iter().max_by_key(|(f, sum)| (sum.0, *f)) else { break };
            if time == 0 {
                break;
            }
            if !exact && depth == 0 {
                way.whole = time;
            }
            if time < way.whole / 2 {
                way.next = Some((function, time));
                break;
            }
            way.steps.push((function, time));
            windows = parts;
        }
        way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(task: u32, depth: u32, function: u32, start: u64, end: u64, total: u64) -> Span {
        Span { task, depth, function, start, end, total, own: 0 }
    }

    fn ran(task: u32, from: u64, to: u64) -> Ran {
        Ran { cpu: 0, task, from, to, idle: task == 9 }
    }

    #[test]
    fn a_wait_is_told_by_who_ran_meanwhile() {
        let on = [ran(1, 0, 10), ran(2, 10, 70), ran(9, 70, 80), ran(3, 80, 90), ran(1, 90, 100)];
        let spans = [span(1, 0, 5, 0, 100, 20), span(2, 0, 6, 10, 70, 60), span(2, 1, 7, 20, 60, 40)];
        let why = Why::new(&spans, &on);
        let waits = why.waits(1, (5, 95));
        assert_eq!(waits, [(10, 90)]);
        assert_eq!(why.who(&waits, Some(1)), [(2, 60), (3, 10)]);
        assert_eq!(why.way(2, &waits).steps, [(6, 60), (7, 40)]);
        assert_eq!(why.running(85, |_| true), Some((0, 3)));
    }

    #[test]
    fn a_way_ends_where_it_parts() {
        let spans = [
            span(1, 0, 5, 0, 100, 100),
            span(1, 1, 6, 0, 40, 40),
            span(1, 1, 7, 40, 60, 20),
            span(1, 1, 6, 60, 80, 20),
            span(1, 2, 8, 0, 35, 35),
        ];
        let why = Why::new(&spans, &[ran(1, 0, 100)]);
        let way = why.way(1, &[(0, 100)]);
        // More than half of 6, but not of the whole.
        assert_eq!((way.steps, way.next, way.whole), (vec![(5, 100), (6, 60)], Some((8, 35)), 100));
        // A part of a call counts as a part.
        assert_eq!(why.way(1, &[(20, 40)]).steps, [(5, 20), (6, 20), (8, 15)]);
    }
}
