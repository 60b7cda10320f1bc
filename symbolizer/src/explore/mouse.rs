// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Clicks and the wheel. In: a place on the screen, and what was drawn there. Out: the same as keys do.

use super::input::Input;
use super::list::Move;
use super::page::Pane;
use super::state::{State, View};

/// What a place on the screen stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The name of a view.
    View(View),
    /// A line of the list with the cursor.
    Line(usize),
    /// The title of a column.
    Title(usize),
    /// A pane of a page, and its line.
    Pane(Pane, Option<usize>),
}

impl State<'_> {
    pub(super) fn mouse_of_help(&mut self, input: Input) {
        match (input, &mut self.help) {
            (Input::Wheel(_, _, lines), Some(list)) => list.top = list.top.saturating_add_signed(lines),
            _ => self.help = None,
        }
    }

    pub(super) fn click(&mut self, x: u16, y: u16) {
        let hit = |place: &&([u16; 4], Target)| {
            let [left, top, right, bottom] = place.0;
            (left..right).contains(&x) && (top..bottom).contains(&y)
        };
        let Some(&(_, target)) = self.targets.iter().rev().find(hit) else { return };
        match target {
            Target::View(view) => self.open_view(view),
            Target::Line(line) => {
                let mut again = false;
                self.with_list(|list, lines| {
                    again = list.selected == line;
                    list.go(Move::To(line), lines);
                });
                if again && self.view == View::Tree && self.pages.is_empty() {
                    self.tree.toggle(self.data);
                } else if again {
                    self.open();
                }
            }
            Target::Title(column) => self.sort_by(column),
            Target::Pane(pane, line) => {
                let Some(page) = self.pages.last_mut() else { return };
                let before = page.pane;
                page.pane = pane;
                let Some(line) = line.filter(|_| pane != Pane::Source) else { return };
                let mut again = false;
                self.with_list(|list, lines| {
                    again = before == pane && list.selected == line;
                    list.go(Move::To(line), lines);
                });
                if again {
                    self.open();
                }
            }
        }
    }

    /// A title was clicked: sorts by it, or if that is so already, the other way round.
    fn sort_by(&mut self, column: usize) {
        if self.pages.is_empty() && self.view == View::Tree {
            return self.tree.sort_by(self.data, column);
        }
        self.with_table(|table, rows| {
            table.reverse = table.sort == column && !table.reverse;
            table.sort = column;
            table.update(rows, true);
        });
    }

    pub(super) fn wheel(&mut self, x: u16, y: u16, by: isize) {
        let over = self.targets.iter().find_map(|&([left, top, right, bottom], target)| match target {
            Target::Pane(pane, _) if (left..right).contains(&x) && (top..bottom).contains(&y) => Some(pane),
            _ => None,
        });
        if let (Some(pane), Some(page)) = (over, self.pages.last_mut()) {
            page.pane = pane;
        }
        self.with_list(|list, lines| list.scroll(by, lines));
    }
}
