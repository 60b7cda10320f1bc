// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Changes of a function's total time that nothing explains. In: judged rows and the boots' call trees. Out: the same
//! rows, less those changes. Never here: which figures have changed.
//!
//! A total is a sum over hundreds of functions. A machine that was a little slower just then shows in no one of them,
//! but in their sum, and that is where false alarms come from: of 20 comparisons of 10 boots of Debian's 6.1 under TCG,
//! both alarms were such totals. So a total has changed if something that is part of it has, or all of the boot.

use super::rows::Rows;
use crate::compare::boot::{Boot, Tree};
use crate::compare::diff::{Metric, Row};

/// Takes them back.
pub fn unexplained(rows: &mut Rows, a: &[Boot], b: &[Boot]) {
    let whole = |row: &Row| row.changes.iter().any(|change| change.changed);
    if whole(&rows.boot) || rows.levels.iter().any(whole) {
        return;
    }
    let explains = |row: &Row| row.changes.iter().any(|change| change.changed && change.metric != Metric::Total);
    let seeds: Vec<bool> = rows.functions.iter().map(explains).collect();
    let mut explained = seeds.clone();
    let numbers = rows.numbers_a.iter().chain(&rows.numbers_b);
    for (boot, numbers) in a.iter().chain(b).zip(numbers) {
        callers(&boot.tree, numbers, &seeds, &mut explained);
    }
    for (row, _) in rows.functions.iter_mut().zip(&explained).filter(|(_, explained)| !**explained) {
        for change in row.changes.iter_mut().filter(|change| change.metric == Metric::Total) {
            change.changed = false;
        }
    }
}

/// Whoever calls one that explains (a seed), directly or not, is explained, too: in this context, so that a function
/// which is called elsewhere as well explains nobody there. `numbers` has the row of each function.
fn callers(tree: &Tree, numbers: &[u32], seeds: &[bool], explained: &mut [bool]) {
    let mut below = vec![false; tree.parent.len()];
    // Callers stand before those whom they call.
    for node in (0..tree.parent.len()).rev() {
        if let Some(&row) = numbers.get(tree.function[node] as usize)
            && let (Some(seed), Some(explained)) = (seeds.get(row as usize), explained.get_mut(row as usize))
        {
            below[node] |= *seed;
            *explained |= below[node];
        }
        let parent = tree.parent[node] as usize;
        below[parent] |= below[node];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_explains_those_who_call_it_where_something_changed() {
        // root -> 0 -> 1 -> 2, and root -> 3 -> 1, where 1 calls nothing: 2 has changed.
        let (parent, function) = (vec![0, 0, 1, 2, 0, 4], vec![Tree::NONE, 0, 1, 2, 3, 1]);
        let tree = Tree { roots: vec![(0, 0)], parent, function, ..Tree::default() };
        let (numbers, seeds) = ([0, 1, 2, 3], [false, false, true, false]);
        let mut explained = seeds.to_vec();
        for _boot in 0..3 {
            callers(&tree, &numbers, &seeds, &mut explained);
            assert_eq!(explained, [true, true, true, false]);
        }
    }
}
