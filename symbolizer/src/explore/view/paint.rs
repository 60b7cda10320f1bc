// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Text into cells, never outside of them. In: text, a place, a style. Out: cells. Never here: what is written.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::palette::Palette;
use crate::explore::matcher::Matcher;
use crate::report::style::{shorten, wrap};

/// Stands for a space at which no line may end; in no text, since control characters are made visible.
const GLUE: char = '\u{1}';

/// Puts units to their numbers.
fn glue(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphabetic() && c != '%');
        let unit = ["ns", "us", "ms", "s", "%", "t", "kt", "Mt", "Gt"].contains(&bare) && word.starts_with(bare);
        let number = out.ends_with(|c: char| c.is_ascii_digit());
        if !out.is_empty() {
            out.push(if unit && number { GLUE } else { ' ' });
        }
        out.push_str(word);
    }
    out
}

/// See the module.
pub struct Paint<'b> {
    /// Where to.
    pub buffer: &'b mut Buffer,
    /// How.
    pub palette: Palette,
}

impl Paint<'_> {
    /// Writes text within a width; the column behind it.
    pub fn text(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if x >= area.right() || y < area.y || y >= area.bottom() {
            return x;
        }
        let width = width.min(area.right() - x);
        let text = shorten(text, usize::from(width));
        self.buffer.set_stringn(x, y, &text, usize::from(width), style).0
    }

    /// The same, to the right.
    pub fn right(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) {
        let text = shorten(text, usize::from(width));
        let pad = width.saturating_sub(text.chars().count() as u16);
        self.text(x + pad, y, width - pad, &text, style);
    }

    /// Text in which what was searched for is marked.
    pub fn marked(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style, matcher: &Matcher) -> u16 {
        let end = self.text(x, y, width, text, style);
        // By characters: names are of one column each, but for what a damaged vmlinux holds.
        for (from, to) in matcher.places(text) {
            let from = x.saturating_add(from.min(usize::from(u16::MAX)) as u16);
            let to = x.saturating_add(to.min(usize::from(u16::MAX)) as u16).min(end);
            if from < to {
                self.buffer.set_style(Rect { x: from, y, width: to - from, height: 1 }, self.palette.hit());
            }
        }
        end
    }

    /// Styles a line on top of what it has.
    pub fn style(&mut self, x: u16, y: u16, width: u16, style: Style) {
        self.buffer.set_style(Rect { x, y, width, height: 1 }.intersection(self.buffer.area), style);
    }

    /// Words in lines from a place down; how many lines they took, of so many at most.
    pub fn words(&mut self, area: Rect, text: &str, style: Style) -> u16 {
        // A number stays with its unit.
        let lines = wrap(&glue(text), usize::from(area.width.max(1)));
        let lines: Vec<String> = lines.into_iter().map(|line| line.replace(GLUE, " ")).collect();
        let lines = lines.iter().take(usize::from(area.height));
        (0u16..).zip(lines).map(|(line, text)| self.text(area.x, area.y + line, area.width, text, style)).count() as u16
    }

    /// Empties a part of the screen.
    pub fn clear(&mut self, area: Rect) {
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    cell.reset();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_with_its_unit() {
        let glued = |text: &str| glue(text).replace(GLUE, "~");
        assert_eq!(glued("took 7.51 s; of 12 ms (2 %), 3 calls"), "took 7.51~s; of 12~ms (2~%), 3 calls");
        assert_eq!(glued("level s"), "level s");
    }
}
