// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The call tree. In: its lines. Out: figures, and names that stand in by their depth. Never here: which lines there
//! are.

use ratatui::layout::Rect;

use super::grid;
use super::paint::Paint;
use crate::explore::matcher::Matcher;
use crate::explore::mouse::Target;
use crate::explore::state::State;
use crate::explore::tree::COLUMNS;
use crate::report::units::{count, percent};

/// Columns that are left for a name, however deep it stands.
const NAME: u16 = 28;

/// Draws the tree; what its places stand for.
pub fn draw(state: &mut State<'_>, paint: &mut Paint<'_>, area: Rect, matcher: &Matcher) -> Vec<([u16; 4], Target)> {
    if area.height == 0 || area.width < 2 {
        return Vec::new();
    }
    let (data, tree) = (state.data, &mut state.tree);
    let places = grid::fit(COLUMNS, area.width);
    let head = u16::from(area.height > 1);
    // Names come in the order of the alphabet.
    let descending = tree.sort + 1 < COLUMNS.len();
    let mut targets =
        if head > 0 { grid::titles(COLUMNS, &places, Some((tree.sort, descending)), paint, area) } else { Vec::new() };
    tree.list.show(usize::from(area.height - head), tree.shown.len());
    if tree.shown.is_empty() {
        paint.text(
            area.x + 2,
            area.y + head,
            area.width.saturating_sub(2),
            "no calls here; ] [ other levels, a all of them",
            paint.palette.dim(),
        );
    }
    let (whole, clock) = (tree.whole(data), data.clock());
    for (y, at) in (area.y + head..).zip(tree.list.sight(tree.shown.len())) {
        let line = tree.line(tree.shown[at]);
        for &(index, x, width) in &places {
            let (x, style) = (area.x + x, paint.palette.plain());
            let text = match index {
                0 => clock.show(line.sum.total),
                1 => percent(line.sum.total, whole),
                2 => clock.show(line.sum.own),
                3 => count(line.sum.calls),
                4 => clock.show(line.sum.longest),
                _ => {
                    // Deep lines do not leave the screen: they say how deep they are.
                    let most = usize::from((width.saturating_sub(NAME) / 2).max(width / 8));
                    let deeper = if line.depth > most { format!("({}) ", line.depth) } else { String::new() };
                    let mark = if line.open {
                        "▾ "
                    } else if line.has_kids {
                        "▸ "
                    } else {
                        "  "
                    };
                    let indent = 2 * line.depth.min(most) as u16;
                    let end =
                        paint.text(x + indent, y, width.saturating_sub(indent), &format!("{deeper}{mark}"), style);
                    let left = (x + width).saturating_sub(end);
                    let name = data.name(line.function);
                    let end = paint.marked(end, y, left, name, style, matcher);
                    let left = (x + width).saturating_sub(end + 2);
                    // Part of a place is of little use.
                    if let Some(place) = data.place(line.function)
                        && place.chars().count() <= usize::from(left)
                    {
                        paint.text(end + 2, y, left, &place, paint.palette.dim());
                    }
                    continue;
                }
            };
            paint.right(x, y, width, &text, style);
        }
        if at == tree.list.selected {
            grid::mark(paint, area, y, true);
        }
        targets.push(([area.x, y, area.right(), y + 1], Target::Line(at)));
    }
    targets
}
