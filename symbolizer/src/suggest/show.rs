// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A suggestion for people and for programs. In: a [`Suggestion`]. Out: text with colours, or JSON
//! (`symbolizer/JSON.md`), to a writer.

use std::io::{self, Write};

use serde_json::json;

use super::Suggestion;
use crate::report::style::{DIM, HEADING, left, right, table, wrap};
use crate::report::units::{Clock, count, percent};

/// Grows when a field changes its meaning or goes.
const JSON_VERSION: u32 = 1;

/// Writes it for people. `recorded_with`: the text of `hypergraph=` that the trace was made with.
///
/// # Errors
/// Those of the writer.
pub fn text(
    found: &Suggestion,
    clock: Clock,
    reduce: f64,
    recorded_with: &str,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    if found.patterns.is_empty() {
        return writeln!(out, "No function can be left out within these limits ({} events).", count(found.events));
    }
    let rows: Vec<Vec<String>> = found
        .chosen
        .iter()
        .map(|one| {
            vec![
                count(one.calls),
                format!("{} %", percent(one.events, found.events)),
                format!("{} %", percent(one.own, found.time)),
                clock.show(one.own),
                one.name.clone(),
            ]
        })
        .collect();
    let columns = [right("calls"), right("events"), right("self time"), right(""), left("function")];
    writeln!(
        out,
        "{HEADING}{} of {} functions make {} % of the events{HEADING:#}",
        count(found.chosen.len() as u64),
        count(found.called as u64),
        percent(found.removed, found.events)
    )?;
    table(out, width, &columns, 4, &rows)?;
    writeln!(out)?;
    let kept = found.events.saturating_sub(found.removed);
    let mut say = |text: String| wrap(&text, width).iter().try_for_each(|line| writeln!(out, "{line}"));
    say(format!(
        "Without them {} of {} events are left: {} % are gone. What they call is still traced. Their self time, \
         {} % of all, counts for their callers; {} % of the time stays covered by a function that is traced.",
        count(kept),
        count(found.events),
        percent(found.removed, found.events),
        percent(found.moved, found.time),
        percent(found.time.saturating_sub(found.uncovered), found.time),
    ))?;
    if found.full {
        say(format!(
            "That is less than the {:.0} % asked for: more names would not fit (--patterns, --bytes).",
            reduce * 100.0
        ))?;
    } else if (found.removed as f64) < reduce * found.events as f64 {
        say(format!(
            "That is less than the {:.0} % asked for: more would hide too much time (--keep-time).",
            reduce * 100.0
        ))?;
    }
    writeln!(out, "\n{DIM}For the kernel command line{DIM:#}\n{}", found.line())?;
    if !recorded_with.is_empty() {
        writeln!(out, "{DIM}beside what this trace was recorded with: hypergraph={recorded_with}{DIM:#}")?;
    }
    Ok(())
}

/// Writes it for programs.
///
/// # Errors
/// Those of the writer.
pub fn json(found: &Suggestion, clock: Clock, out: &mut dyn Write) -> io::Result<()> {
    let functions: Vec<_> = found
        .chosen
        .iter()
        .map(|one| {
            json!({
                "name": one.name,
                "calls": one.calls,
                "events": one.events,
                "self_ticks": one.own,
                "self_ns": clock.ns(one.own),
            })
        })
        .collect();
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let value = json!({
        "json_version": JSON_VERSION,
        "events": found.events,
        "functions_called": found.called,
        "events_removed": found.removed,
        "events_removed_share": share(found.removed, found.events),
        "self_ticks": found.time,
        "self_ticks_moved": found.moved,
        "uncovered_ticks": found.uncovered,
        "time_covered_share": 1.0 - share(found.uncovered, found.time),
        "line": found.line(),
        "functions": functions,
    });
    serde_json::to_writer_pretty(&mut *out, &value)?;
    writeln!(out)
}
