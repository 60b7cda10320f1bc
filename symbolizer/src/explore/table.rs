// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A table that is sorted and filtered. In: [`Rows`], which have cells and an order. Out: which lines stand
//! where. Never here: what the lines are, how they are drawn.

use std::cmp::Ordering;

use super::list::List;
use super::matcher::Matcher;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Above it.
    pub title: &'static str,
    /// Characters; 0: what the others leave.
    pub width: u16,
    /// Numbers stand to the right.
    pub right: bool,
    /// Where there is no room for all, those with the highest rank go first; 0 always stays.
    pub rank: u8,
    /// Sorted by it, the largest comes first.
    pub largest_first: bool,
}

/// A column of numbers.
pub const fn number(title: &'static str, width: u16, rank: u8) -> Column {
    Column { title, width, right: true, rank, largest_first: true }
}

/// A column of text.
pub const fn text(title: &'static str, width: u16, rank: u8) -> Column {
    Column { title, width, right: false, rank, largest_first: false }
}

/// What stands in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Text.
    Text(String),
    /// Such a part of such a whole, as a bar.
    Bar(u64, u64),
}

/// The lines of a table, in an order of their own.
pub trait Rows {
    /// Its columns.
    fn columns(&self) -> &'static [Column];
    /// How many lines.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// A cell.
    fn cell(&self, row: usize, column: usize) -> Cell;
    /// Compares two lines by a column, the smaller one first.
    fn compare(&self, column: usize, a: usize, b: usize) -> Ordering;
    /// What is searched in a line.
    fn text(&self, row: usize) -> String;
    /// Whether a line is to be seen at all.
    fn shown(&self, _row: usize) -> bool {
        true
    }
}

/// Order, filter and cursor of a table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The column that it is sorted by.
    pub sort: usize,
    /// The other way round.
    pub reverse: bool,
    /// What lines must have.
    pub filter: String,
    /// The lines that are shown, in order.
    pub rows: Vec<usize>,
    /// The cursor in them.
    pub list: List,
}

impl Table {
    /// Sorted by a column.
    pub fn by(sort: usize) -> Table {
        Table { sort, ..Table::default() }
    }

    /// Sorts and filters again. The cursor stays on its line if `keep`, else goes to the first.
    pub fn update(&mut self, of: &dyn Rows, keep: bool) {
        let selected = self.selected().filter(|_| keep);
        let matcher = Matcher::new(&self.filter);
        let wanted = |&row: &usize| of.shown(row) && (matcher.is_empty() || matcher.matches(&of.text(row)));
        self.rows = (0..of.len()).filter(wanted).collect();
        let largest_first = of.columns().get(self.sort).is_some_and(|column| column.largest_first);
        self.rows.sort_by(|&a, &b| {
            let order = of.compare(self.sort, a, b);
            if largest_first == self.reverse { order } else { order.reverse() }
        });
        let place = selected.and_then(|line| self.rows.iter().position(|&row| row == line));
        self.list.selected = place.unwrap_or(0);
    }

    /// The line with the cursor.
    pub fn selected(&self) -> Option<usize> {
        self.rows.get(self.list.selected).copied()
    }

    /// Puts the cursor on a line, if it is shown.
    pub fn select(&mut self, row: usize) -> bool {
        let place = self.rows.iter().position(|&shown| shown == row);
        if let Some(place) = place {
            self.list.selected = place;
        }
        place.is_some()
    }

    /// The next line that matches, from the cursor on (if `here`, the cursor's own first), round the end.
    pub fn find(&self, of: &dyn Rows, matcher: &Matcher, forward: bool, here: bool) -> Option<usize> {
        let lines = self.rows.len();
        let from = usize::from(!here);
        (from..lines + from).map(|step| step % lines).find_map(|step| {
            let at = if forward { self.list.selected + step } else { self.list.selected + lines - step } % lines;
            matcher.matches(&of.text(self.rows[at])).then_some(at)
        })
    }
}
