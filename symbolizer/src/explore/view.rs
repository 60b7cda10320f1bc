// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Draws the explorer. In: a [`State`] and a buffer of cells of any size. Out: the cells filled, and in the state
//! what lists have in sight and what a click hits. Never here: a terminal, what keys do.
//!
//! The tour: [`palette`] has the styles; [`paint`] puts text; [`grid`] draws tables, [`tree`] the call tree, [`overview`],
//! [`page`] and [`help`] what their names say.

pub mod grid;
pub mod help;
pub mod overview;
pub mod page;
pub mod paint;
pub mod palette;
pub mod tree;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::matcher::Matcher;
use super::mouse::Target;
use super::rows::{Functions, Initcalls, Tasks};
use super::state::{State, View};
use crate::report::style::printable;
use crate::report::units::count;
use paint::Paint;
use palette::Palette;

/// Draws all; where the terminal's cursor belongs, if a line is being typed.
pub fn draw(state: &mut State<'_>, buffer: &mut Buffer, palette: Palette) -> Option<(u16, u16)> {
    let area = buffer.area;
    state.targets.clear();
    let mut paint = Paint { buffer, palette };
    if area.width == 0 || area.height == 0 {
        return None;
    }
    let body = match area.height {
        0..=2 => area,
        3..=5 => Rect { y: area.y + 1, height: area.height - 2, ..area },
        _ => Rect { y: area.y + 2, height: area.height - 3, ..area },
    };
    if body.y > area.y {
        views(state, &mut paint, Rect { height: 1, ..area });
    }
    if body.y > area.y + 1 {
        subject(state, &mut paint, Rect { y: area.y + 1, height: 1, ..area });
    }
    let matcher = Matcher::new(&state.search);
    let data = state.data;
    if state.page().is_some() {
        page::draw(state, &mut paint, body, &matcher);
    } else {
        let drawn = match state.view {
            View::Overview => {
                overview::draw(state, &mut paint, body, &matcher);
                Vec::new()
            }
            View::Initcalls => {
                grid::draw(&mut state.initcalls, &Initcalls(data, state.scope), &mut paint, body, &matcher, true)
            }
            View::Tree => tree::draw(state, &mut paint, body, &matcher),
            View::Functions => {
                let rows = Functions { data, sums: &state.sums.0, whole: state.sums.1 };
                grid::draw(&mut state.functions, &rows, &mut paint, body, &matcher, true)
            }
            View::Tasks => grid::draw(&mut state.tasks, &Tasks(data), &mut paint, body, &matcher, true),
        };
        state.targets.extend(drawn);
    }
    let cursor = if body.height < area.height {
        status(state, &mut paint, Rect { y: area.bottom() - 1, height: 1, ..area })
    } else {
        None
    };
    if let Some(list) = &mut state.help {
        help::draw(list, &mut paint, area);
    }
    cursor
}

/// The names of the views; the one that is seen stands in brackets.
fn views(state: &mut State<'_>, paint: &mut Paint<'_>, area: Rect) {
    let release = printable(&state.data.report.meta.release);
    let long: u16 = View::ALL.iter().map(|view| view.name().len() as u16 + 5).sum();
    let mut x = area.x;
    for (index, view) in View::ALL.into_iter().enumerate() {
        let active = view == state.view;
        let name = if long <= area.width || active {
            format!("{} {}", index + 1, view.name())
        } else {
            (index + 1).to_string()
        };
        let text = if active { format!("[{name}]") } else { format!(" {name} ") };
        let style = if active { paint.palette.active() } else { paint.palette.plain() };
        let end = paint.text(x, area.y, area.right().saturating_sub(x), &text, style);
        state.targets.push(([x, area.y, end, area.y + 1], Target::View(view)));
        x = end;
    }
    let text = format!("Linux {release}");
    let width = text.chars().count() as u16;
    if !release.is_empty() && x + 2 + width < area.right() {
        paint.text(area.right() - width - 1, area.y, width, &text, paint.palette.dim());
    }
}

/// What is seen of it.
fn subject(state: &State<'_>, paint: &mut Paint<'_>, area: Rect) {
    let (data, clock) = (state.data, state.data.clock());
    let mut parts = vec![match state.scope.phase {
        Some(phase) => format!("level {}: {}", phase.name(), phase.description()),
        None => "whole boot".to_owned(),
    }];
    if let Some(task) = state.scope.task.and_then(|task| data.report.tasks.get(task)) {
        parts.push(format!("task {}-{}", task.name, task.pid));
    }
    if state.view == View::Overview && state.page().is_none() {
        parts = vec![format!("whole boot: {}", clock.show(data.report.span()))];
    } else {
        parts.push(format!("{} on CPU", clock.show(data.busy(state.scope))));
    }
    match state.tree.grows {
        _ if state.view != View::Tree || state.page().is_some() => {}
        super::tree::Grows::Down(None) => {}
        super::tree::Grows::Down(Some(function)) => parts.push(format!("calls from {}", data.name(function))),
        super::tree::Grows::Up(function) => parts.push(format!("callers of {}", data.name(function))),
    }
    let filter = match (state.page().is_some(), state.view) {
        (true, _) | (_, View::Tree) => "",
        (_, View::Overview) => &state.levels.filter,
        (_, View::Initcalls) => &state.initcalls.filter,
        (_, View::Functions) => &state.functions.filter,
        (_, View::Tasks) => &state.tasks.filter,
    };
    if data.report.correction.is_some() {
        parts.push("without the tracer's own cost".to_owned());
    }
    if let Some(words) = &data.report.filtered {
        parts.push(format!("only {words}"));
    }
    if !filter.is_empty() {
        parts.insert(0, format!("filter: {filter}"));
    }
    paint.text(area.x + 1, area.y, area.width.saturating_sub(2), &parts.join("; "), paint.palette.dim());
}

/// What is typed, what there is to say, or which keys are of use here; and how far down the cursor is.
fn status(state: &State<'_>, paint: &mut Paint<'_>, area: Rect) -> Option<(u16, u16)> {
    let (at, lines) = match state.page() {
        Some(page) if page.lines().is_empty() && page.is_empty() => (0, 0),
        Some(page) => match page.pane {
            super::page::Pane::Callers => (page.callers.1.list.selected, page.len()),
            super::page::Pane::Callees => (page.callees.1.list.selected, page.len()),
            super::page::Pane::Source => (page.sight.top, page.len()),
        },
        None => match state.view {
            View::Overview => (state.levels.list.selected, state.levels.rows.len()),
            View::Initcalls => (state.initcalls.list.selected, state.initcalls.rows.len()),
            View::Tree => (state.tree.list.selected, state.tree.shown.len()),
            View::Functions => (state.functions.list.selected, state.functions.rows.len()),
            View::Tasks => (state.tasks.list.selected, state.tasks.rows.len()),
        },
    };
    let place =
        if lines == 0 { "none".to_owned() } else { format!("{}/{}", count(at as u64 + 1), count(lines as u64)) };
    let width = place.chars().count() as u16;
    let left = area.width.saturating_sub(width + 3);
    if left > 0 {
        paint.text(area.right().saturating_sub(width + 1), area.y, width, &place, paint.palette.dim());
    }
    if let Some(prompt) = &state.prompt {
        let name = if prompt.filter { "filter: " } else { "/" };
        // The end of a long line is where one types.
        let room = usize::from(left).saturating_sub(name.len() + 2);
        let skip = prompt.text.chars().count().saturating_sub(room);
        let shown: String = prompt.text.chars().skip(skip).collect();
        let end = paint.text(area.x + 1, area.y, left, &format!("{name}{shown}"), paint.palette.strong());
        if let Some(message) = &state.message {
            paint.text(end + 2, area.y, area.right().saturating_sub(end + width + 5), message, paint.palette.warn());
        }
        return Some((end, area.y));
    }
    if let Some(message) = &state.message {
        paint.text(area.x + 1, area.y, left, message, paint.palette.warn());
        return None;
    }
    let mut text = String::new();
    for hint in hints(state) {
        if text.chars().count() + hint.chars().count() + 2 > usize::from(left) {
            break;
        }
        text.push_str(if text.is_empty() { "" } else { "  " });
        text.push_str(hint);
    }
    paint.text(area.x + 1, area.y, left, &text, paint.palette.dim());
    None
}

/// Most useful first.
fn hints(state: &State<'_>) -> Vec<&'static str> {
    let mut hints = vec!["? help"];
    if state.page().is_some() {
        hints.extend(["Enter open", "Tab pane", "q back", "/ search", "t tree", "u callers", "[ ] level"]);
        return hints;
    }
    hints.extend(match state.view {
        View::Overview => ["Enter open level", "q quit", "/ search", "s sort", "", "", ""],
        View::Initcalls => ["Enter open", "t in tree", "/ search", "f filter", "s sort", "[ ] level", "q quit"],
        View::Tree => ["l h open close", "Enter page", "/ search", "e longest", "u callers", "[ ] level", "q quit"],
        View::Functions => ["Enter open", "/ search", "f filter", "s sort", "t in tree", "[ ] level", "q quit"],
        View::Tasks => ["Enter its calls", "/ search", "f filter", "s sort", "q quit", "", ""],
    });
    hints.retain(|hint| !hint.is_empty());
    hints
}
