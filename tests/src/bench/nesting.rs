// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench nesting`: what an event costs a guest, and a guest of a guest, by hypercall and by shared memory. In:
//! nothing. Out: a table on stdout, `nesting.json`. The test bed's processor runs under icount: the guests' time stamp
//! counters count its instructions, those of all hosts between included. Never here: the loops
//! (`tests/guest/hypercalls.rs`), who runs where (`crate::testbed::nested`).
//!
//! A hypercall of a guest's guest leaves to the outermost host, which makes the exit for the guest's own KVM by hand: each
//! instruction of that KVM which a processor would execute as it is (VMRUN, reads of its control block) leaves in turn. A
//! store into shared memory leaves nothing, once the page is known.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::steps::Steps;
use crate::testbed::{Testbed, nested};
use crate::{tools, workspace};

/// Calls at each level: as many hypercalls, and twice as many events; a chunk has room for them.
const CALLS: u64 = 4000;

/// An event by shared memory may cost so much more at level 2.
const MOST_GROWTH: f64 = 1.05;

/// Bytes of a page.
const PAGE: u64 = 4096;

/// Words of a chunk's header.
const CHUNK_HEADER: usize = 8;

/// Published, of an i7-6700K: round trips of a hypercall in nanoseconds.
const PUBLISHED: &str =
    "published (i7-6700K, KVM, time): hypercall 286 ns at level 1, 9.3 us at level 2, 233 us at level 3";

/// What a level's loops took.
struct Level {
    /// Ticks of a hypercall.
    hypercall: f64,
    /// Of an event, where the pages are known.
    event: f64,
    /// Of a page's first use, beside its events: it leaves the guest once.
    page: f64,
    /// Whether all events are in the file, in order.
    whole: bool,
}

/// Measures; whether shared memory costs the same at both levels, and has all events.
///
/// # Errors
/// When the test bed fails.
pub fn run() -> Result<bool> {
    let steps = Steps::default();
    tools::ensure(tools::TEST)?;
    let bed = Testbed::new(&steps)?.with_qemu()?.with_icount();
    let work = workspace::target().join("bench/nesting");
    std::fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
    // Functions in the kernel's text, as words have them.
    let list = |level: u64| (0..CALLS).map(|i| [1000 + 8 * level, 0x8100_0005 + i % 4096 * 16, i, !i, level]).collect();
    let lists: [Vec<[u64; 5]>; 2] = [list(0), list(1)];
    for level in 0..lists.len() {
        let path = nested::shared(&work, level);
        std::fs::write(&path, vec![0; nested::SHARED as usize])
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    steps.step("a guest, and a guest in a guest");
    let output = nested::run(bed, &work, &lists, None)?;
    let mut levels = took(&output.console)?;
    for (number, (level, list)) in levels.iter_mut().zip(&lists).enumerate() {
        level.whole = is_whole(&nested::shared(&work, number), list)?;
    }
    let [one, two] = &levels;
    let mut table = format!(
        "{:<34}{:>14}{:>10}{:>14}{:>10}{:>14}\n",
        "instructions, all hosts' included", "hypercall", "", "shared memory", "", "a new page"
    );
    for (number, level) in levels.iter().enumerate() {
        let name = format!("level {}: a guest{}", number + 1, " of a guest".repeat(number));
        let times = |now: f64, before: f64| format!("x{:.2}", now / before);
        let (calls, events) = (times(level.hypercall, one.hypercall), times(level.event, one.event));
        let _ = writeln!(
            table,
            "{name:<34}{:>14.0}{calls:>10}{:>14.2}{events:>10}{:>14.0}",
            level.hypercall, level.event, level.page
        );
    }
    println!("{table}");
    println!("shared memory: an event of {}, into pages that the guest has used; a new page: once for each", 2 * CALLS);
    println!("{PUBLISHED}");
    let rows: Vec<_> = levels
        .iter()
        .map(|level| {
            json!({"hypercall": level.hypercall, "event": level.event,
        "page": level.page, "whole": level.whole})
        })
        .collect();
    let result = json!({"unit": "instructions", "levels": rows, "hypercall_ratio": two.hypercall / one.hypercall,
        "event_ratio": two.event / one.event});
    super::write(&workspace::target().join("bench/nesting.json"), &serde_json::to_vec_pretty(&result)?)?;
    let same = two.event <= one.event * MOST_GROWTH;
    let whole = levels.iter().all(|level| level.whole);
    if !same {
        eprintln!("missed: an event by shared memory costs more at level 2");
    }
    if !whole {
        eprintln!("missed: not all events are in the outermost host's file");
    }
    Ok(same && whole)
}

/// The last lines of the small machine at level 1, and at level 2.
fn took(console: &str) -> Result<[Level; 2]> {
    let lines = console.lines().filter_map(|line| line.trim_end().strip_prefix("hypercalls: ticks "));
    let levels = lines.map(|line| {
        let numbers: Vec<u64> = line.split(' ').map_while(|word| word.parse().ok()).collect();
        let [calls, took, events, first, best] = numbers[..] else { bail!("no figures: {line}") };
        if [calls, took, events, first, best].contains(&0) {
            bail!("a loop has not run: {line}");
        }
        let pages = (8 * (events + CHUNK_HEADER as u64)).div_ceil(PAGE);
        let [hypercall, page, event] = [(took, calls), (first.saturating_sub(best), pages), (best, events)]
            .map(|(ticks, count)| ticks as f64 / count as f64);
        Ok(Level { hypercall, event, page, whole: false })
    });
    let levels: Vec<Level> = levels.collect::<Result<_>>()?;
    let count = levels.len();
    let found = <[Level; 2]>::try_from(levels).ok();
    found.with_context(|| format!("{count} levels have told of their loops; the console:\n{console}"))
}

/// Whether a file's first chunk has an entry and an exit for each call, and nothing else.
fn is_whole(path: &Path, calls: &[[u64; 5]]) -> Result<bool> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let chunk = bytes.get((nested::HEADER + nested::RINGS) as usize..).context("the shared file is too small")?;
    let words =
        chunk.chunks_exact(8).skip(CHUNK_HEADER).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    // The low halves: the function, and that of an exit word.
    let expected = calls.iter().flat_map(|call| [call[1] as u32, 0x8000_0001]).chain([0]);
    Ok(words.take(2 * calls.len() + 1).eq(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_both_levels() {
        let console =
            "x\nhypercalls: ticks 4 400 8 160 80\r\nhypercalls: 1 virtual\nhypercalls: ticks 4 4000 8 800 88\n";
        let [one, two] = took(console).expect("two levels");
        assert_eq!([one.hypercall, one.page, one.event], [100.0, 80.0, 10.0]);
        assert_eq!([two.hypercall, two.page, two.event], [1000.0, 712.0, 11.0]);
        assert!(took("hypercalls: ticks 4 400 8 160 80\n").is_err(), "one level");
        assert!(took(&console.replace("800 88", "0 0")).is_err(), "nothing was written");
    }
}
