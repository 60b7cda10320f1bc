// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The page of a function. In: a [`Page`]. Out: its figures, callers beside or above callees, and below them its
//! source; where there is no room for all, the pane with the cursor alone.

use ratatui::layout::Rect;

use super::grid;
use super::paint::Paint;
use crate::calltree::levels::{Kind, Outcome};
use crate::explore::data::{Data, Scope};
use crate::explore::matcher::Matcher;
use crate::explore::mouse::Target;
use crate::explore::page::{Page, Pane};
use crate::explore::rows::{Edges, Initcalls};
use crate::explore::source::Source;
use crate::explore::state::State;
use crate::report::units::{count, percent};

/// From this width on callers and callees stand side by side.
const BESIDE: u16 = 76;

/// Draws the page on top.
pub fn draw(state: &mut State<'_>, paint: &mut Paint<'_>, area: Rect, matcher: &Matcher) {
    let data = state.data;
    let Some(page) = state.pages.last_mut() else { return };
    let head = heading(data, page, paint, area);
    let body = Rect { y: area.y + head, height: area.height - head, ..area };
    let panes = layout(page, body);
    let mut targets = Vec::new();
    for (pane, area) in panes {
        let focused = page.pane == pane;
        targets.push(([area.x, area.y, area.right(), area.bottom()], Target::Pane(pane, None)));
        title(data, page, pane, paint, Rect { height: area.height.min(1), ..area });
        let below = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        let whole = page.sum.total;
        let drawn = match pane {
            Pane::Callers => {
                let (edges, table) = &mut page.callers;
                grid::draw(table, &Edges { data, edges, whole }, paint, below, matcher, focused)
            }
            Pane::Callees => {
                let (edges, table) = &mut page.callees;
                grid::draw(table, &Edges { data, edges, whole }, paint, below, matcher, focused)
            }
            Pane::Source => {
                source(data, page, paint, below, matcher);
                Vec::new()
            }
        };
        targets.extend(drawn.into_iter().filter_map(|(place, target)| match target {
            Target::Line(line) => Some((place, Target::Pane(pane, Some(line)))),
            Target::Title(_) if !focused => None,
            target => Some((place, target)),
        }));
    }
    state.targets.extend(targets);
}

/// Name, place and figures; how many lines they took.
fn heading(data: &Data<'_>, page: &Page, paint: &mut Paint<'_>, area: Rect) -> u16 {
    if area.height < 6 {
        return 0;
    }
    let (clock, sum, width) = (data.clock(), page.sum, area.width.saturating_sub(2));
    let end = paint.text(area.x + 1, area.y, width, data.name(page.function), paint.palette.heading());
    let place = data.place(page.function).unwrap_or_else(|| "no source known".to_owned());
    // Beside the name if it fits, else below it.
    let beside = usize::from(end) + 2 + place.chars().count() < usize::from(area.right());
    let mut lines = 1;
    if beside {
        paint.text(end + 2, area.y, area.right().saturating_sub(end + 3), &place, paint.palette.plain());
    } else {
        paint.text(area.x + 1, area.y + 1, width, &place, paint.palette.plain());
        lines += 1;
    }
    let busy = data.busy(page.scope);
    let figures = format!(
        "{} {}; total {} ({} %), self {} ({} %), mean {}, longest {}",
        count(sum.calls),
        if sum.calls == 1 { "call" } else { "calls" },
        clock.show(sum.total),
        percent(sum.total, busy),
        clock.show(sum.own),
        percent(sum.own, busy),
        clock.show(sum.mean()),
        clock.show(sum.longest)
    );
    let left =
        |lines: u16| Rect { x: area.x + 1, y: area.y + lines, width, height: (area.height / 3).saturating_sub(lines) };
    lines += paint.words(left(lines), &figures, paint.palette.plain());
    if let Some(text) = initcall(data, page.function) {
        lines += paint.words(left(lines), &text, paint.palette.plain());
    }
    let mut phases: Vec<_> = page.phases.clone();
    phases.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.total));
    if !phases.is_empty() && area.height >= 12 {
        let each: Vec<String> =
            phases.iter().map(|(phase, sum)| format!("{} {}", phase.name(), clock.show(sum.total))).collect();
        let text = format!("by level: {}", each.join(", "));
        paint.text(area.x + 1, area.y + lines, width, &text, paint.palette.dim());
        lines += 1;
    }
    if area.height >= 16 {
        lines += 1;
    }
    lines
}

/// What it was as an initcall, if it was one.
fn initcall(data: &Data<'_>, function: u32) -> Option<String> {
    let row = data.initcalls_of(function).next()?;
    let (initcall, clock) = (data.report.boot.initcalls.get(row)?, data.clock());
    let level = initcall.phase.map_or_else(String::new, |phase| format!(" in {}", phase.name()));
    let (what, end) = match Initcalls(data, Scope::default()).result(row) {
        result if matches!(initcall.kind, Kind::Async | Kind::Deferred) => (format!("{result} work"), String::new()),
        result if initcall.outcome == Outcome::Open => ("initcall".to_owned(), format!("; it {result} end")),
        result if initcall.outcome == Outcome::Cut => {
            ("initcall".to_owned(), format!("; {result} by a loss of events"))
        }
        result => ("initcall".to_owned(), format!("; it returned {result}")),
    };
    let times =
        format!("{} from begin to end, {} of it on a CPU", clock.show(initcall.wall), clock.show(initcall.on_cpu));
    Some(format!("{what}{level} at {}: {times}{end}", clock.show(initcall.start)))
}

/// Which panes are seen, and where.
fn layout(page: &Page, area: Rect) -> Vec<(Pane, Rect)> {
    if area.height < 12 {
        return vec![(page.pane, area)];
    }
    let has_source = matches!(page.source, Source::Lines(_));
    let most = page.callers.0.len().max(page.callees.0.len()) as u16 + 3;
    if area.width < BESIDE {
        if area.height < 24 {
            return vec![(page.pane, area)];
        }
        let third = area.height / 3;
        return vec![
            (Pane::Callers, Rect { height: third, ..area }),
            (Pane::Callees, Rect { y: area.y + third, height: third, ..area }),
            (Pane::Source, Rect { y: area.y + 2 * third, height: area.height - 2 * third, ..area }),
        ];
    }
    let upper = if has_source { most.clamp(6, area.height / 2) } else { area.height - 3 };
    let half = area.width / 2;
    vec![
        (Pane::Callers, Rect { width: half, height: upper, ..area }),
        (Pane::Callees, Rect { x: area.x + half, width: area.width - half, height: upper, ..area }),
        (Pane::Source, Rect { y: area.y + upper, height: area.height - upper, ..area }),
    ]
}

fn title(data: &Data<'_>, page: &Page, pane: Pane, paint: &mut Paint<'_>, area: Rect) {
    if area.height == 0 {
        return;
    }
    let name = match pane {
        Pane::Callers => format!("Callers: {}", count(page.callers.0.len() as u64)),
        Pane::Callees => format!("Calls: {}", count(page.callees.0.len() as u64)),
        Pane::Source => match data.place(page.function) {
            Some(place) => format!("Source: {place}"),
            None => "Source".to_owned(),
        },
    };
    let focused = page.pane == pane;
    let text = if focused { format!("[{name}]") } else { format!(" {name} ") };
    let style = if focused { paint.palette.active() } else { paint.palette.strong() };
    paint.text(area.x, area.y, area.width.saturating_sub(1), &text, style);
}

fn source(data: &Data<'_>, page: &mut Page, paint: &mut Paint<'_>, area: Rect, matcher: &Matcher) {
    let lines = match &page.source {
        Source::None(why) => {
            paint.words(Rect { x: area.x + 2, width: area.width.saturating_sub(3), ..area }, why, paint.palette.dim());
            return;
        }
        Source::Lines(lines) => lines,
    };
    page.sight.height = usize::from(area.height);
    page.sight.top = page.sight.top.min(lines.len().saturating_sub(1));
    let digits = lines.len().to_string().len();
    let entry = data.named(page.function).and_then(|named| named.line).map_or(0, |line| line as usize);
    for (y, at) in (area.y..area.bottom()).zip(page.sight.top..lines.len()) {
        let number = at + 1;
        let mark = if number == entry { '>' } else { ' ' };
        let style = if number == entry { paint.palette.strong() } else { paint.palette.dim() };
        let end = paint.text(area.x, y, area.width, &format!("{mark}{number:>digits$}  "), style);
        let style = if number == entry { paint.palette.strong() } else { paint.palette.plain() };
        paint.marked(end, y, area.right().saturating_sub(end), &lines[at], style, matcher);
    }
}
