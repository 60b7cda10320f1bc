// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A table. In: its rows, order and cursor. Out: titles and lines within an area; less important columns go where
//! there is no room. Never here: what the cells say.

use ratatui::layout::Rect;

use super::paint::Paint;
use crate::explore::matcher::Matcher;
use crate::explore::mouse::Target;
use crate::explore::table::{Cell, Column, Rows, Table};
use crate::report::style::bar;

/// What the column without a width has at least, from this width on, and below it.
const LEAST: (u16, u16, u16) = (60, 20, 16);

/// Columns that fit into a width: index, place and width of each.
pub fn fit(columns: &[Column], width: u16) -> Vec<(usize, u16, u16)> {
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let least = if width < LEAST.0 { LEAST.2 } else { LEAST.1 };
    let needed = |kept: &[usize]| -> u16 {
        kept.iter().map(|&index| if columns[index].width == 0 { least } else { columns[index].width } + 1).sum()
    };
    while needed(&kept) > width {
        let dropped = kept.iter().copied().max_by_key(|&index| columns[index].rank).filter(|&at| columns[at].rank > 0);
        let Some(dropped) = dropped else { break };
        kept.retain(|&index| index != dropped);
    }
    let fixed: u16 = kept.iter().map(|&index| columns[index].width + 1).sum();
    // Where there is plenty of room, columns stand further apart.
    let apart = if width > fixed + 50 { 2 } else { 1 };
    let fixed = fixed + (apart - 1) * kept.len() as u16;
    let mut x = 1;
    let mut places = Vec::new();
    for index in kept {
        let wide = if columns[index].width == 0 { width.saturating_sub(fixed) } else { columns[index].width };
        let wide = wide.min(width.saturating_sub(x));
        places.push((index, x, wide));
        x += wide + apart;
    }
    places
}

/// Writes the titles.
pub fn titles(
    columns: &[Column],
    places: &[(usize, u16, u16)],
    sorted: Option<(usize, bool)>,
    paint: &mut Paint<'_>,
    area: Rect,
) -> Vec<([u16; 4], Target)> {
    let style = paint.palette.heading();
    let mut targets = Vec::new();
    for &(index, x, width) in places {
        let column = columns[index];
        let title = match sorted {
            Some((by, descending)) if by == index => format!("{}{}", column.title, if descending { '▼' } else { '▲' }),
            _ => column.title.to_owned(),
        };
        let x = area.x + x;
        if column.right {
            paint.right(x, area.y, width, &title, style);
        } else {
            paint.text(x, area.y, width, &title, style);
        }
        targets.push(([x, area.y, x + width, area.y + 1], Target::Title(index)));
    }
    targets
}

/// Draws a table; what its places stand for.
pub fn draw(
    table: &mut Table,
    rows: &dyn Rows,
    paint: &mut Paint<'_>,
    area: Rect,
    matcher: &Matcher,
    focused: bool,
) -> Vec<([u16; 4], Target)> {
    if area.height == 0 || area.width < 2 {
        return Vec::new();
    }
    let columns = rows.columns();
    let places = fit(columns, area.width);
    let largest_first = columns.get(table.sort).is_some_and(|column| column.largest_first);
    let sorted = Some((table.sort, largest_first != table.reverse));
    // One line alone is better a line than titles.
    let head = u16::from(area.height > 1);
    let mut targets = if head > 0 { titles(columns, &places, sorted, paint, area) } else { Vec::new() };
    table.list.show(usize::from(area.height - head), table.rows.len());
    if table.rows.is_empty() && head > 0 {
        let text = if table.filter.is_empty() { "none" } else { "nothing matches the filter; Esc clears it" };
        paint.text(area.x + 2, area.y + head, area.width.saturating_sub(2), text, paint.palette.dim());
    }
    for (y, line) in (area.y + head..).zip(table.list.sight(table.rows.len())) {
        let row = table.rows[line];
        for &(index, x, width) in &places {
            let (column, x) = (columns[index], area.x + x);
            match rows.cell(row, index) {
                Cell::Bar(part, whole) => {
                    paint.text(x, y, width, &bar(part, whole, usize::from(width)), paint.palette.bar());
                }
                Cell::Text(text) if column.right => paint.right(x, y, width, &text, paint.palette.plain()),
                Cell::Text(text) => {
                    paint.marked(x, y, width, &text, paint.palette.plain(), matcher);
                }
            }
        }
        if line == table.list.selected {
            mark(paint, area, y, focused);
        }
        targets.push(([area.x, y, area.right(), y + 1], Target::Line(line)));
    }
    targets
}

/// Marks the line with the cursor.
pub fn mark(paint: &mut Paint<'_>, area: Rect, y: u16, focused: bool) {
    if focused {
        paint.text(area.x, y, 1, ">", paint.palette.strong());
        paint.style(area.x, y, area.width, paint.palette.selected());
    } else {
        paint.text(area.x, y, 1, "-", paint.palette.dim());
    }
}
