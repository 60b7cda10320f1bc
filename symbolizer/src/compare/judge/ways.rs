// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The call trees of all boots as one. In: [`Boot`]s, and which of their functions is in which row. Out: [`Way`]s with
//! the mean of each side. Bounded: a way that finds no room is left out, with all below it; its time is within its
//! callers' total time. Never here: judgement.

use std::collections::HashMap;

use bootlevel::Phase;

use crate::compare::boot::{Boot, NO_LEVEL, Tree};
use crate::compare::diff::Way;

/// Most ways.
const MOST: usize = 600_000;

/// No way.
const NONE: u32 = u32::MAX;

/// What a way is below its caller: a level, or a function's row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Level(u8),
    Row(u32),
    /// Ways that found no room in a boot.
    Rest,
}

/// All ways, callers first. `rows_a` has for each boot of A the row of each of its functions.
pub fn ways(a: &[Boot], rows_a: &[Vec<u32>], b: &[Boot], rows_b: &[Vec<u32>]) -> Vec<Way> {
    let mut merged = Merged::default();
    for (boot, rows) in a.iter().zip(rows_a) {
        merged.add(boot, rows, |way| [&mut way.calls.0, &mut way.own.0, &mut way.total.0], a.len() as f64);
    }
    for (boot, rows) in b.iter().zip(rows_b) {
        merged.add(boot, rows, |way| [&mut way.calls.1, &mut way.own.1, &mut way.total.1], b.len() as f64);
    }
    merged.ways
}

#[derive(Default)]
struct Merged {
    ways: Vec<Way>,
    known: HashMap<(u32, Step), u32>,
}

impl Merged {
    fn add(&mut self, boot: &Boot, rows: &[u32], side: impl Fn(&mut Way) -> [&mut f64; 3], boots: f64) {
        let tree = &boot.tree;
        let levels: HashMap<u32, u8> = tree.roots.iter().map(|&(level, node)| (node, level)).collect();
        // The way of each node.
        let mut place = vec![NONE; tree.parent.len()];
        for node in 0..tree.parent.len() {
            let (parent, step) = match levels.get(&(node as u32)) {
                Some(&level) => (NONE, Step::Level(level)),
                None => {
                    let parent = place[tree.parent[node] as usize];
                    if parent == NONE {
                        continue;
                    }
                    let row =
                        (tree.function[node] != Tree::NONE).then(|| rows.get(tree.function[node] as usize)).flatten();
                    (parent, row.map_or(Step::Rest, |&row| Step::Row(row)))
                }
            };
            let Some(way) = self.way(parent, step) else { continue };
            place[node] = way;
            let figures = [tree.calls[node], tree.own[node], tree.total[node]];
            for (to, figure) in side(&mut self.ways[way as usize]).into_iter().zip(figures) {
                *to += figure as f64 / boots;
            }
        }
    }

    fn way(&mut self, parent: u32, step: Step) -> Option<u32> {
        if let Some(&way) = self.known.get(&(parent, step)) {
            return Some(way);
        }
        if self.ways.len() >= MOST {
            return None;
        }
        let way = self.ways.len() as u32;
        self.known.insert((parent, step), way);
        self.ways.push(Way {
            parent: if parent == NONE { way as usize } else { parent as usize },
            level: match step {
                Step::Level(level) if level != NO_LEVEL => Phase::ALL.get(usize::from(level)).copied(),
                _ => None,
            },
            function: if let Step::Row(row) = step { Some(row as usize) } else { None },
            calls: (0.0, 0.0),
            own: (0.0, 0.0),
            total: (0.0, 0.0),
        });
        Some(way)
    }
}
