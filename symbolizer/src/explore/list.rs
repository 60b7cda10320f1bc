// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A cursor in a list that may be longer than the screen. In: moves. Out: what is selected, what is in sight.
//! Never here: what the lines are.

/// Lines that stay in sight above and below the cursor, where there are as many.
const MARGIN: usize = 2;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The line with the cursor.
    pub selected: usize,
    /// The first line in sight.
    pub top: usize,
    /// Lines in sight, as last drawn.
    pub height: usize,
}

/// Where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// So many lines down, or up.
    By(isize),
    /// So many halves of a screen down, or up.
    HalfPages(isize),
    /// The first line.
    First,
    /// The last line.
    Last,
    /// This line.
    To(usize),
}

impl List {
    /// Moves the cursor, within a list of so many lines.
    pub fn go(&mut self, to: Move, lines: usize) {
        let by = |by: isize| self.selected.saturating_add_signed(by);
        let half = (self.height / 2).max(1) as isize;
        self.selected = match to {
            Move::By(lines) => by(lines),
            Move::HalfPages(pages) => by(pages.saturating_mul(half)),
            Move::First => 0,
            Move::Last => usize::MAX,
            Move::To(line) => line,
        }
        .min(lines.saturating_sub(1));
    }

    /// Moves what is in sight without the cursor, as far as that stays in sight.
    pub fn scroll(&mut self, by: isize, lines: usize) {
        let last = lines.saturating_sub(self.height);
        self.top = self.top.saturating_add_signed(by).min(last);
        let margin = MARGIN.min(self.height.saturating_sub(1) / 2);
        let lowest = (self.top + self.height).saturating_sub(1 + margin);
        let (from, to) =
            (if self.top == 0 { 0 } else { self.top + margin }, if self.top == last { lines } else { lowest });
        self.selected = self.selected.clamp(from.min(to), to).min(lines.saturating_sub(1));
    }

    /// Sets how many of `lines` are in sight, and moves what is in sight to the cursor.
    pub fn show(&mut self, height: usize, lines: usize) {
        self.height = height;
        self.selected = self.selected.min(lines.saturating_sub(1));
        let margin = MARGIN.min(height.saturating_sub(1) / 2);
        let lowest = (self.selected + margin + 1).saturating_sub(height);
        let highest = self.selected.saturating_sub(margin);
        self.top = self.top.max(lowest).min(highest).min(lines.saturating_sub(height));
    }

    /// The lines in sight, of so many.
    pub fn sight(&self, lines: usize) -> std::ops::Range<usize> {
        self.top.min(lines)..(self.top + self.height).min(lines)
    }
}
