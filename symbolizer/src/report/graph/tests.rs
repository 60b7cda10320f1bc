// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Graphs of small trees, by hand; and of random ones, where sums must come out.

use proptest::prelude::*;

use super::*;
use crate::calltree::Filter;
use crate::calltree::aggregate::Aggregate;
use crate::calltree::both::Both;
use crate::calltree::contexts::tests::{name_of, run, traces};
use crate::calltree::contexts::{Contexts, Grouping};
use crate::calltree::filter::Wanted;
use crate::calltree::phases::Timeline;
use crate::calltree::{Function, Site};

const ALL: Limits = Limits { callers: 100, callees: 100, share: 0.0 };

/// A tree from `(parent, function, calls, own)`; node 0 is the root.
fn tree(nodes: &[(u32, u32, u64, u64)]) -> Merged {
    let node = |&(parent, function, calls, own)| Node { parent, function, calls, own, spent: 0, longest: own };
    let root = (0, Node::ROOT, 0, 0);
    let nodes: Vec<Node> = [root].iter().chain(nodes).map(node).collect();
    let mut totals: Vec<u64> = nodes.iter().map(|node| node.own).collect();
    for index in (1..nodes.len()).rev() {
        totals[nodes[index].parent as usize] += totals[index];
    }
    let group = crate::calltree::contexts::Group { slot: None, task: None, idle: false };
    Merged { nodes, totals, groups: vec![(group, 0)] }
}

/// `function calls total own` of each branch, two spaces for each level.
fn lines(branch: &Branch) -> Vec<String> {
    fn go(branch: &Branch, depth: usize, lines: &mut Vec<String>) {
        for next in &branch.next {
            let Sums { calls, total, own, .. } = next.sums;
            let name = if next.function == Node::ROOT { "-".to_owned() } else { next.function.to_string() };
            let mark = if next.recursion { "!" } else { "" };
            lines.push(format!("{}{name}{mark} {calls} {total} {own}", "  ".repeat(depth)));
            go(next, depth + 1, lines);
        }
        if branch.more.0 > 0 {
            lines.push(format!("{}+{} {}", "  ".repeat(depth), branch.more.0, branch.more.1.total));
        }
    }
    let mut all = Vec::new();
    go(branch, 0, &mut all);
    all
}

#[test]
fn callers_are_backtraces_and_callees_a_tree() {
    // 1 calls 2 and 3, both call 7, which calls 8; 7 is called alone too.
    let merged =
        tree(&[(0, 1, 1, 10), (1, 2, 1, 5), (1, 3, 2, 5), (2, 7, 3, 30), (3, 7, 1, 10), (4, 8, 6, 60), (0, 7, 1, 1)]);
    let found = graph(&merged, 7, ALL);
    assert_eq!((found.sums.calls, found.sums.total, found.sums.own), (5, 101, 41));
    assert_eq!(
        lines(&found.callers),
        ["2 3 90 30", "  1 3 90 30", "    - 3 90 30", "3 1 10 10", "  1 1 10 10", "    - 1 10 10", "- 1 1 1"]
    );
    assert_eq!(lines(&found.callees), ["8 6 60 60"]);
    let few = graph(&merged, 7, Limits { callers: 1, callees: 0, share: 0.2 });
    assert_eq!(lines(&few.callers), ["2 3 90 30", "+2 11"]);
    assert!(few.callees.next.is_empty());
}

#[test]
fn recursion_counts_once_and_is_marked() {
    // 5 calls 6, which calls 5 again.
    let merged = tree(&[(0, 5, 1, 10), (1, 6, 2, 20), (2, 5, 3, 30)]);
    let found = graph(&merged, 5, ALL);
    assert_eq!((found.sums.calls, found.sums.total, found.sums.own), (4, 60, 40));
    assert_eq!(lines(&found.callers), ["- 1 60 10", "6 3 0 30", "  5! 3 0 30"]);
    assert_eq!(lines(&found.callees), ["6 2 50 20", "  5! 3 30 30"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn graphs_have_the_figures_of_the_report(trace in traces(), callers in 1usize..4, callees in 0usize..4, share in 0.0..0.3) {
        let filter = || Filter::new(Wanted::default(), &name_of as &dyn Fn(Site<'_>) -> String);
        let mut contexts = Contexts::new(filter(), Timeline::default(), Grouping::default());
        let mut aggregate = Aggregate::new(filter());
        let totals = run(&trace, &mut Both(&mut contexts, &mut aggregate));
        let merged = contexts.finish();
        for number in 0..totals.functions().len() as u32 {
            let found = graph(&merged, number, Limits { callers, callees, share });
            let (busy, idle) = (aggregate.busy(Function(number)), aggregate.idle(Function(number)));
            prop_assert_eq!((found.sums.calls, found.sums.total, found.sums.own), (busy.calls, busy.total, busy.own));
            prop_assert_eq!(found.idle, idle.calls);
            // Each call came from somewhere.
            let mut sum = found.callers.more.1;
            found.callers.next.iter().for_each(|branch| sum.add(branch.sums));
            prop_assert_eq!((sum.calls, sum.total, sum.own), (busy.calls, busy.total, busy.own));
            if callees > 0 {
                let below = found.callees.next.iter().fold(found.callees.more.1.total, |sum, next| sum + next.sums.total);
                prop_assert!(below <= busy.total);
            }
        }
    }
}
