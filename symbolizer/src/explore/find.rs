// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Searches and filters as they are typed. In: keys. Out: the cursor on the first match, or fewer lines. Never here:
//! what matches ([`super::matcher`]).

use super::input::Key;
use super::list::Move;
use super::matcher::Matcher;
use super::page::Pane;
use super::state::{State, View};

/// A line that is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// A filter; else a search.
    pub filter: bool,
    /// So far.
    pub text: String,
    /// What it was before.
    before: String,
    /// Where the cursor was.
    from: usize,
    /// Its line of the call tree.
    line: Option<u32>,
}

impl State<'_> {
    pub(super) fn ask(&mut self, filter: bool) {
        let before = if filter {
            match self.with_table(|table, _| table.filter.clone()) {
                Some(before) => before,
                None => return self.say("no filter here; / searches"),
            }
        } else {
            self.search.clone()
        };
        let mut from = 0;
        self.with_list(|list, _| from = list.selected);
        // A filter goes on being typed, a search begins anew.
        let text = if filter { before.clone() } else { String::new() };
        self.tree.keep();
        let line = self.tree.selected();
        self.prompt = Some(Prompt { filter, text, before, from, line });
    }

    pub(super) fn type_in(&mut self, key: Key) {
        let Some(mut prompt) = self.prompt.take() else { return };
        match key {
            Key::Enter if prompt.filter => return,
            Key::Enter => {
                // Nothing typed: once more what was searched before.
                if prompt.text.is_empty() {
                    self.search = prompt.before;
                    return self.find_again(true);
                }
                // Says once more if there is none.
                return self.find(true, true);
            }
            Key::Esc => {
                prompt.text = prompt.before.clone();
                if prompt.filter {
                    self.filter_by(&prompt.text);
                } else {
                    self.search.clone_from(&prompt.text);
                }
                return self.go_back(&prompt);
            }
            // Nothing is left to take away: the search is over.
            Key::Backspace if prompt.text.is_empty() && !prompt.filter => {
                self.search = prompt.before;
                return;
            }
            Key::Backspace => {
                prompt.text.pop();
            }
            Key::Ctrl('u') => prompt.text.clear(),
            Key::Char(c) if !c.is_control() => prompt.text.push(c),
            Key::Down | Key::Up => {
                let by = if key == Key::Down { 1 } else { -1 };
                self.prompt = Some(prompt);
                return self.go(Move::By(by));
            }
            _ => {}
        }
        if prompt.filter {
            self.filter_by(&prompt.text);
        } else {
            self.search.clone_from(&prompt.text);
            self.go_back(&prompt);
            self.find(true, true);
        }
        self.prompt = Some(prompt);
    }

    fn filter_by(&mut self, text: &str) {
        self.with_table(|table, rows| {
            text.clone_into(&mut table.filter);
            table.update(rows, true);
        });
    }

    /// Where the cursor was before something was typed.
    fn go_back(&mut self, prompt: &Prompt) {
        if self.pages.is_empty() && self.view == View::Tree {
            self.tree.undo(prompt.line);
        } else {
            self.with_list(|list, lines| list.go(Move::To(prompt.from), lines));
        }
    }

    pub(super) fn find_again(&mut self, forward: bool) {
        if self.search.is_empty() {
            return self.say("nothing to search for; / asks");
        }
        self.find(forward, false);
    }

    /// Puts the cursor on the next match, the line under it too if `here`.
    fn find(&mut self, forward: bool, here: bool) {
        let matcher = Matcher::new(&self.search);
        if matcher.is_empty() {
            return;
        }
        let found = if self.pages.is_empty() && self.view == View::Tree {
            let wanted: Vec<bool> =
                (0..self.data.functions() as u32).map(|function| matcher.matches(self.data.name(function))).collect();
            self.tree.find(self.data, &wanted, forward, here)
        } else if let Some(page) = self.pages.last_mut().filter(|page| page.pane == Pane::Source) {
            let (lines, top) = (page.lines().len(), page.sight.top);
            let step = |step: usize| (top + if forward { step } else { lines - step }) % lines;
            let found = (usize::from(!here)..lines).map(step).find(|&line| matcher.matches(&page.lines()[line]));
            // The last screen may begin before it; it is in sight there too.
            page.sight.top = found.unwrap_or(top);
            found.is_some()
        } else {
            let found = self.with_table(|table, rows| {
                let found = table.find(rows, &matcher, forward, here);
                table.list.selected = found.unwrap_or(table.list.selected);
                found.is_some()
            });
            found == Some(true)
        };
        if !found {
            self.say(format!("no match: {}", self.search));
        }
    }
}
