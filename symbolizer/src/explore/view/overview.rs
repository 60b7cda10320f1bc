// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The first view: what took the time, in a few sentences; the levels; of the one with the cursor the slowest
//! initcalls and the functions with most self time. In: the report. Out: an area filled.

use bootlevel::Phase;
use ratatui::layout::Rect;

use super::grid;
use super::paint::Paint;
use crate::calltree::levels::Outcome;
use crate::explore::data::Data;
use crate::explore::matcher::Matcher;
use crate::explore::rows::Levels;
use crate::explore::state::State;
use crate::report::levels::{InitcallRow, LevelRow};
use crate::report::style::bar;
use crate::report::units::{count, percent};

/// From this width on details stand beside the levels.
const BESIDE: u16 = 140;

/// Draws it.
pub fn draw(state: &mut State<'_>, paint: &mut Paint<'_>, area: Rect, matcher: &Matcher) {
    let data = state.data;
    let inner = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let mut y = area.y;
    if area.height >= 12 {
        for (warning, text) in headline(data) {
            let style = if warning { paint.palette.warn() } else { paint.palette.plain() };
            let left = Rect { y, height: (area.y + area.height / 3).saturating_sub(y), ..inner };
            y += paint.words(left, &text, style);
        }
        y += 1;
    }
    let rest = Rect { y, height: area.bottom().saturating_sub(y), ..area };
    if data.report.boot.levels.is_empty() {
        return directories(data, paint, rest);
    }
    let lines = state.levels.rows.len() as u16 + 1;
    let (levels, details) = if area.width >= BESIDE {
        let width = area.width / 2 + 5;
        (Rect { width, ..rest }, Rect { x: rest.x + width + 2, width: rest.width - width - 2, ..rest })
    } else if rest.height > lines + 5 {
        let below = rest.y + lines + 1;
        (Rect { height: lines, ..rest }, Rect { y: below, height: rest.bottom() - below, ..rest })
    } else {
        (rest, Rect { height: 0, ..rest })
    };
    let drawn = grid::draw(&mut state.levels, &Levels(data), paint, levels, matcher, true);
    state.targets.extend(drawn);
    let level = state.levels.selected().and_then(|row| data.report.boot.levels.get(row));
    if let Some(level) = level.filter(|_| details.height > 0) {
        of_level(data, level, paint, details);
    }
}

/// Where the time went, in sentences; and what is wrong with the trace.
fn headline(data: &Data<'_>) -> Vec<(bool, String)> {
    let (report, clock) = (data.report, data.clock());
    let mut lines = Vec::new();
    let plain = |row: &InitcallRow| {
        matches!(row.kind, crate::calltree::levels::Kind::BuiltIn | crate::calltree::levels::Kind::Module)
    };
    lines.push((
        false,
        format!(
            "The boot took {}; CPUs were busy for {}; {} calls of {} functions.",
            clock.show(report.span()),
            clock.show(report.busy()),
            count(report.calls()),
            count(report.functions.len() as u64)
        ),
    ));
    let slowest = report.boot.initcalls.iter().enumerate().filter(|(_, row)| plain(row)).max_by_key(|row| row.1.wall);
    let levels = report.boot.levels.iter().filter(|level| level.phase != Phase::Firmware);
    if let Some(level) = levels.max_by_key(|level| level.ticks) {
        let mut text = format!(
            "Longest level: {}, {} ({} %)",
            level.phase.name(),
            clock.show(level.ticks),
            percent(level.ticks, report.span())
        );
        // The slowest of all comes in the next sentence.
        let here = level.slowest.filter(|&row| slowest.is_none_or(|slowest| slowest.0 != row));
        if let Some(slowest) = here.and_then(|index| report.boot.initcalls.get(index)) {
            text.push_str(&format!(
                "; its slowest initcall: {}, {} ({} % of it)",
                slowest.name,
                clock.show(slowest.wall),
                percent(slowest.wall, level.ticks)
            ));
        }
        lines.push((false, format!("{text}.")));
    }
    if let Some((_, slowest)) = slowest {
        let level = slowest.phase.map_or_else(String::new, |phase| format!(" in {}", phase.name()));
        // Less than half of it on a CPU: it waited.
        let waited = if slowest.on_cpu < slowest.wall / 2 { "; the rest it waited" } else { "" };
        lines.push((
            false,
            format!(
                "Slowest initcall: {}{level}, {}, of that {} on a CPU{waited}.",
                slowest.name,
                clock.show(slowest.wall),
                clock.show(slowest.on_cpu)
            ),
        ));
    }
    if let Some(row) = report.functions.iter().max_by_key(|row| row.busy_own()) {
        lines.push((
            false,
            format!(
                "Most self time: {}, {} ({} %) in {} calls.",
                row.named.name,
                clock.show(row.busy_own()),
                percent(row.busy_own(), report.busy()),
                count(row.all.calls)
            ),
        ));
    }
    lines.extend(wrong(data).into_iter().map(|text| (true, format!("! {text}"))));
    lines
}

fn wrong(data: &Data<'_>) -> Vec<String> {
    let (report, mut wrong) = (data.report, Vec::new());
    let totals = report.totals;
    if totals.lost > 0 {
        wrong.push(format!(
            "{} events were lost in {} places: figures are too low there",
            count(totals.lost),
            count(totals.losses)
        ));
    }
    if totals.gap_count > 0 {
        wrong.push(format!("{} parts of the trace are missing or damaged", count(totals.gap_count)));
    }
    let open = report.boot.plain().filter(|(_, row)| row.outcome == Outcome::Open);
    let open: Vec<&str> = open.map(|(_, row)| row.name.as_str()).take(3).collect();
    if !open.is_empty() {
        wrong.push(format!("did not end: {}", open.join(", ")));
    }
    if report.boot.levels.is_empty() {
        wrong.push("the trace has no marks of levels and initcalls".to_owned());
    }
    wrong
}

/// The slowest initcalls and the first functions of a level.
fn of_level(data: &Data<'_>, level: &LevelRow, paint: &mut Paint<'_>, area: Rect) {
    let clock = data.clock();
    let firmware = level.phase == Phase::Firmware;
    let text = format!(" {}: {}", level.phase.name(), level.phase.description());
    paint.text(area.x, area.y, area.width, &text, paint.palette.heading());
    if firmware {
        return;
    }
    let mut initcalls: Vec<&InitcallRow> =
        data.report.boot.plain().map(|(_, row)| row).filter(|row| row.phase == Some(level.phase)).collect();
    initcalls.sort_by_key(|row| std::cmp::Reverse(row.wall));
    let initcalls: Vec<[String; 3]> =
        initcalls.iter().map(|row| [clock.show(row.wall), percent(row.wall, level.ticks), row.name.clone()]).collect();
    let functions: Vec<[String; 3]> = level
        .functions
        .iter()
        .map(|(name, figures)| [clock.show(figures.own), percent(figures.own, level.busy), name.clone()])
        .collect();
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    // Side by side where that leaves room for names, else one below the other.
    let (left, right) = if initcalls.is_empty() {
        (Rect { height: 0, ..body }, body)
    } else if area.width >= 76 && area.height < 30 {
        let half = body.width / 2;
        (Rect { width: half, ..body }, Rect { x: body.x + half, width: body.width - half, ..body })
    } else {
        let upper = (body.height / 2).min(initcalls.len() as u16 + 2);
        (Rect { height: upper, ..body }, Rect { y: body.y + upper, height: body.height - upper, ..body })
    };
    short(paint, left, "slowest initcalls", &initcalls);
    short(paint, right, "functions by self time", &functions);
}

/// A table that needs no cursor.
fn short(paint: &mut Paint<'_>, area: Rect, title: &str, rows: &[[String; 3]]) {
    if area.height < 2 {
        return;
    }
    paint.text(area.x + 1, area.y, area.width.saturating_sub(1), title, paint.palette.dim());
    for (y, [time, share, name]) in (area.y + 1..area.bottom()).zip(rows) {
        paint.right(area.x, y, 9, time, paint.palette.plain());
        paint.right(area.x + 10, y, 5, share, paint.palette.plain());
        paint.text(area.x + 17, y, area.width.saturating_sub(18), name, paint.palette.plain());
    }
}

/// For a trace without levels: self time by source directory.
fn directories(data: &Data<'_>, paint: &mut Paint<'_>, area: Rect) {
    let (report, clock) = (data.report, data.clock());
    if area.height == 0 {
        return;
    }
    paint.text(area.x + 1, area.y, area.width, "Self time by source directory", paint.palette.heading());
    let longest = report.subsystems.iter().map(|row| row.own).max().unwrap_or(0);
    for (y, row) in (area.y + 1..area.bottom()).zip(&report.subsystems) {
        paint.right(area.x, y, 9, &clock.show(row.own), paint.palette.plain());
        paint.right(area.x + 10, y, 5, &percent(row.own, report.busy()), paint.palette.plain());
        let end = paint.text(area.x + 17, y, 24, &row.name, paint.palette.plain());
        let x = (area.x + 43).max(end);
        let width = area.width.saturating_sub(x - area.x + 1).min(40);
        paint.text(x, y, width, &bar(row.own, longest, usize::from(width)), paint.palette.bar());
    }
}
