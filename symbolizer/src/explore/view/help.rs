// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The help, above all else. In: the table of keys. Out: a frame with them.

use ratatui::layout::Rect;
use ratatui::symbols::border;
use ratatui::widgets::{Block, Widget};

use super::paint::Paint;
use crate::explore::input::KEYS;
use crate::explore::list::List;
use crate::report::style::wrap;

/// Columns of the keys' names.
const NAMES: usize = 19;

/// The widest that is needed.
const WIDTH: u16 = 90;

/// Draws the help; what of it is in sight is kept within it.
pub fn draw(list: &mut List, paint: &mut Paint<'_>, area: Rect) {
    let width = area.width.min(WIDTH);
    let inner = usize::from(width.saturating_sub(4));
    let lines = lines(inner);
    let height = area.height.min(lines.len() as u16 + 2);
    let frame = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    paint.clear(frame);
    list.height = usize::from(height.saturating_sub(2));
    list.top = list.top.min(lines.len().saturating_sub(list.height));
    let more = if lines.len() > list.height { " j k scroll, any other key closes " } else { " any key closes " };
    Block::bordered().border_set(border::PLAIN).title(" Keys ").title_bottom(more).render(frame, paint.buffer);
    for (y, (heading, text)) in (frame.y + 1..).zip(lines.iter().skip(list.top).take(list.height)) {
        let style = if *heading { paint.palette.heading() } else { paint.palette.plain() };
        paint.text(frame.x + 2, y, inner as u16, text, style);
    }
}

/// Headings, and keys with what they do.
fn lines(width: usize) -> Vec<(bool, String)> {
    let mut lines = Vec::new();
    // Where there is no room for two columns, what a key does stands below it.
    let beside = width >= NAMES + 2 + 24;
    for (title, keys) in KEYS {
        lines.push((true, (*title).to_owned()));
        for (names, does) in *keys {
            if beside {
                for (index, text) in wrap(does, width - NAMES - 4).into_iter().enumerate() {
                    let names = if index == 0 { names } else { "" };
                    lines.push((false, format!("  {names:<NAMES$}  {text}")));
                }
            } else {
                lines.push((false, format!(" {names}")));
                lines.extend(
                    wrap(does, width.saturating_sub(4).max(8)).into_iter().map(|text| (false, format!("    {text}"))),
                );
            }
        }
    }
    lines
}
