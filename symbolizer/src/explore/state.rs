// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The explorer as a state machine. In: [`Input`]. Out: what is to be seen ([`super::view`] draws it). Never here:
//! a terminal.

use super::data::{Data, Scope, Sum};
use super::find::Prompt;
use super::input::{Input, Key};
use super::list::{List, Move};
use super::mouse::Target;
use super::page::{Page, Pane};
use super::rows::{Functions, Initcalls, Levels, Tasks};
use super::table::{Rows, Table};
use super::tree::{Grows, Tree};

/// Most pages that lie on each other; further ones push out the first.
const MOST_PAGES: usize = 100;

/// The views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Where the time went; levels.
    Overview,
    /// Initcalls.
    Initcalls,
    /// The call tree.
    Tree,
    /// Functions.
    Functions,
    /// Tasks.
    Tasks,
}

impl View {
    /// In the order of their keys.
    pub const ALL: [View; 5] = [View::Overview, View::Initcalls, View::Tree, View::Functions, View::Tasks];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            View::Overview => "Overview",
            View::Initcalls => "Initcalls",
            View::Tree => "Call tree",
            View::Functions => "Functions",
            View::Tasks => "Tasks",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct State<'a> {
    /// What there is.
    pub data: &'a Data<'a>,
    /// Which view.
    pub view: View,
    /// Which calls.
    pub scope: Scope,
    /// Levels.
    pub levels: Table,
    /// Initcalls.
    pub initcalls: Table,
    /// The call tree.
    pub tree: Tree,
    /// Functions.
    pub functions: Table,
    /// Their figures in the scope, and what shares refer to.
    pub sums: (Vec<Sum>, u64),
    /// Tasks.
    pub tasks: Table,
    /// Pages of functions that lie above the view, the last one on top.
    pub pages: Vec<Page>,
    /// The line being typed.
    pub prompt: Option<Prompt>,
    /// What was searched for last.
    pub search: String,
    /// The help lies above all; what of it is in sight.
    pub help: Option<List>,
    /// Something to say until the next key.
    pub message: Option<String>,
    /// It is over.
    pub quit: bool,
    /// What the places on the screen stand for: columns and lines from, to (behind the last).
    pub targets: Vec<([u16; 4], Target)>,
}

impl<'a> State<'a> {
    /// The overview of the whole boot.
    pub fn new(data: &'a Data<'a>) -> State<'a> {
        let scope = Scope::default();
        let mut state = State {
            data,
            view: View::Overview,
            scope,
            levels: Table::by(0),
            initcalls: Table::by(0),
            tree: Tree::new(data, Grows::Down(None), scope),
            functions: Table::by(0),
            sums: (Vec::new(), 0),
            tasks: Table::by(0),
            pages: Vec::new(),
            prompt: None,
            search: String::new(),
            help: None,
            message: None,
            quit: false,
            targets: Vec::new(),
        };
        state.look();
        state.tasks.update(&Tasks(data), false);
        state.levels.update(&Levels(data), false);
        // The longest level is what one came for.
        let levels = data.report.boot.levels.iter().enumerate();
        let longest =
            levels.filter(|(_, level)| level.phase != bootlevel::Phase::Firmware).max_by_key(|row| row.1.ticks);
        if let Some((row, _)) = longest {
            state.levels.select(row);
        }
        state
    }

    /// Takes the figures of the scope.
    fn look(&mut self) {
        self.sums = (self.data.sums(self.scope), self.data.busy(self.scope));
        let keep = self.functions.selected().is_some();
        self.initcalls.update(&Initcalls(self.data, self.scope), true);
        let functions = Functions { data: self.data, sums: &self.sums.0, whole: self.sums.1 };
        self.functions.update(&functions, keep);
        let sort = self.tree.sort;
        let open = self.tree.list;
        self.tree = Tree::new(self.data, self.tree.grows, self.scope);
        self.tree.list = List { selected: 0, top: 0, ..open };
        self.tree.sort_by(self.data, sort);
        if let Some(page) = self.pages.last_mut() {
            page.look(self.data, self.scope);
        }
    }

    /// Looks at other calls.
    pub fn set_scope(&mut self, scope: Scope) {
        if self.scope != scope {
            self.scope = scope;
            self.look();
        }
    }

    /// The page that is seen.
    pub fn page(&self) -> Option<&Page> {
        self.pages.last()
    }

    /// Runs `what` with the table that has the cursor, if a table has it.
    pub fn with_table<R>(&mut self, what: impl FnOnce(&mut Table, &dyn Rows) -> R) -> Option<R> {
        let data = self.data;
        if let Some(page) = self.pages.last_mut() {
            let (edges, table) = page.edges(data)?;
            return Some(what(table, &edges));
        }
        Some(match self.view {
            View::Overview => what(&mut self.levels, &Levels(data)),
            View::Initcalls => what(&mut self.initcalls, &Initcalls(data, self.scope)),
            View::Functions => what(&mut self.functions, &Functions { data, sums: &self.sums.0, whole: self.sums.1 }),
            View::Tasks => what(&mut self.tasks, &Tasks(data)),
            View::Tree => return None,
        })
    }

    /// Moves the cursor.
    pub(super) fn go(&mut self, to: Move) {
        self.with_list(|list, lines| list.go(to, lines));
    }

    pub(super) fn with_list(&mut self, what: impl FnOnce(&mut List, usize)) {
        if let Some(page) = self.pages.last_mut()
            && page.pane == Pane::Source
        {
            // No cursor there: the top line moves.
            let lines = page.lines().len();
            let sight = &mut page.sight;
            let mut top = List { selected: sight.top, top: sight.top, height: sight.height };
            what(&mut top, lines);
            let moved = if top.top == sight.top { top.selected } else { top.top };
            sight.top = moved.min(lines.saturating_sub(sight.height));
            return;
        }
        if self.pages.is_empty() && self.view == View::Tree {
            what(&mut self.tree.list, self.tree.shown.len());
            return;
        }
        self.with_table(|table, _| what(&mut table.list, table.rows.len()));
    }

    /// The function that keys act on.
    pub fn function(&self) -> Option<u32> {
        if let Some(page) = self.pages.last() {
            return Some(page.function);
        }
        match self.view {
            View::Overview | View::Tasks => None,
            View::Initcalls => self.data.initcall(self.initcalls.selected()?),
            View::Tree => self.tree.function(),
            View::Functions => {
                let row = self.functions.selected()?;
                (row < self.data.functions()).then_some(row as u32)
            }
        }
    }

    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.message = Some(text.into());
    }

    /// Takes what came in.
    pub fn take(&mut self, input: Input) {
        self.message = None;
        match input {
            Input::Key(Key::Ctrl('c')) => self.quit = true,
            Input::Key(key) if self.prompt.is_some() => self.type_in(key),
            Input::Key(key) if self.help.is_some() => self.key_of_help(key),
            Input::Key(key) => self.key(key),
            Input::Click(..) | Input::Wheel(..) if self.help.is_some() => self.mouse_of_help(input),
            Input::Click(x, y) => self.click(x, y),
            Input::Wheel(x, y, lines) => self.wheel(x, y, lines),
        }
    }

    fn key(&mut self, key: Key) {
        match key {
            Key::Char('q') if !self.pages.is_empty() => self.back(),
            Key::Char('q' | 'Q') => self.quit = true,
            Key::Char('?') => self.help = Some(List::default()),
            Key::Esc | Key::Backspace => self.back(),
            Key::Char(digit @ '1'..='5') => self.open_view(View::ALL[digit as usize - '1' as usize]),
            Key::Tab => self.turn(1),
            Key::BackTab => self.turn(-1),
            Key::Char('j') | Key::Down => self.go(Move::By(1)),
            Key::Char('k') | Key::Up => self.go(Move::By(-1)),
            Key::PageDown | Key::Char(' ') | Key::Ctrl('f') => self.go(Move::HalfPages(2)),
            Key::PageUp | Key::Char('b') | Key::Ctrl('b') => self.go(Move::HalfPages(-2)),
            Key::Ctrl('d') => self.go(Move::HalfPages(1)),
            Key::Ctrl('u') => self.go(Move::HalfPages(-1)),
            Key::Char('g') | Key::Home => self.go(Move::First),
            Key::Char('G') | Key::End => self.go(Move::Last),
            Key::Char('/') => self.ask(false),
            Key::Char('f') => self.ask(true),
            Key::Char('n') => self.find_again(true),
            Key::Char('N') => self.find_again(false),
            Key::Char(']') => self.next_level(1),
            Key::Char('[') => self.next_level(-1),
            Key::Char('a') => self.set_scope(Scope::default()),
            Key::Char('s') => self.sort(1),
            Key::Char('S') => self.sort(-1),
            Key::Char('r') => self.reverse(),
            Key::Enter => self.open(),
            Key::Char('t') => self.show_in_tree(),
            Key::Char('d') => self.grow(|function| Grows::Down(Some(function))),
            Key::Char('u') => self.grow(Grows::Up),
            _ => self.key_of_part(key),
        }
    }

    /// Keys that only the tree and pages have.
    fn key_of_part(&mut self, key: Key) {
        if !self.pages.is_empty() {
            match key {
                Key::Char('l') | Key::Right => self.turn(1),
                Key::Char('h') | Key::Left => self.turn(-1),
                _ => {}
            }
        } else if self.view == View::Tree {
            match key {
                Key::Char('l' | '+') | Key::Right => self.tree.expand(self.data),
                Key::Char('h' | '-') | Key::Left => self.tree.collapse(),
                Key::Char('o') => self.tree.toggle(self.data),
                Key::Char('e') => {
                    let opened = self.tree.expand_hottest(self.data);
                    self.message = (!opened).then(|| "nothing below has most of its time".to_owned());
                }
                Key::Char('c') => self.tree.collapse_all(),
                _ => {}
            }
        }
    }

    fn key_of_help(&mut self, key: Key) {
        let Some(list) = &mut self.help else { return };
        match key {
            Key::Char('j') | Key::Down => list.top += 1,
            Key::Char('k') | Key::Up => list.top = list.top.saturating_sub(1),
            Key::PageDown | Key::Char(' ') => list.top += list.height,
            Key::PageUp | Key::Char('b') => list.top = list.top.saturating_sub(list.height),
            Key::Char('g') | Key::Home => list.top = 0,
            Key::Char('G') | Key::End => list.top = usize::MAX / 2,
            _ => self.help = None,
        }
    }

    pub(super) fn open_view(&mut self, view: View) {
        self.pages.clear();
        self.view = view;
    }

    /// The next view, or pane of a page.
    fn turn(&mut self, by: isize) {
        let next = |at: usize, of: usize| (at as isize + by).rem_euclid(of as isize) as usize;
        if let Some(page) = self.pages.last_mut() {
            let at = Pane::ALL.iter().position(|&pane| pane == page.pane).unwrap_or(0);
            page.pane = Pane::ALL[next(at, Pane::ALL.len())];
        } else {
            let at = View::ALL.iter().position(|&view| view == self.view).unwrap_or(0);
            self.view = View::ALL[next(at, View::ALL.len())];
        }
    }

    /// One step back: what lies on top goes first.
    fn back(&mut self) {
        let filtered = self.with_table(|table, rows| {
            let filtered = !table.filter.is_empty();
            if filtered {
                table.filter.clear();
                table.update(rows, true);
            }
            filtered
        });
        if filtered == Some(true) {
            return;
        }
        if !self.search.is_empty() {
            self.search.clear();
        } else if self.pages.pop().is_some() {
            if let Some(page) = self.pages.last_mut().filter(|page| page.scope != self.scope) {
                page.look(self.data, self.scope);
            }
        } else if self.view == View::Tree && self.tree.grows != Grows::Down(None) {
            self.plant(Grows::Down(None));
        } else if self.scope != Scope::default() {
            self.set_scope(Scope::default());
        } else if self.view != View::Overview {
            self.view = View::Overview;
        } else {
            self.say("q quits");
        }
    }

    /// Opens what the cursor is on.
    pub(super) fn open(&mut self) {
        if self.pages.is_empty() {
            match self.view {
                View::Overview => return self.open_level(),
                View::Tasks => {
                    let Some(row) = self.tasks.selected() else { return };
                    self.set_scope(Scope { phase: self.scope.phase, task: Some(row) });
                    return self.open_view(View::Tree);
                }
                View::Initcalls | View::Tree | View::Functions => {}
            }
        }
        let function = match self.pages.last() {
            Some(page) => page.selected(),
            None => self.function(),
        };
        match function {
            Some(function) => {
                if self.pages.len() >= MOST_PAGES {
                    self.pages.remove(0);
                }
                self.pages.push(Page::new(self.data, function, self.scope));
            }
            None if self.pages.is_empty() => self.lacks_function(),
            None => {}
        }
    }

    fn lacks_function(&mut self) {
        match self.view {
            View::Initcalls => self.say("no calls of it in the trace"),
            View::Tree => self.say("calls of many functions, which found no room in the tree"),
            _ => self.say("no function is selected"),
        }
    }

    /// A level was chosen: what it is made of.
    fn open_level(&mut self) {
        let Some(level) = self.levels.selected().and_then(|row| self.data.report.boot.levels.get(row)) else { return };
        if level.phase == bootlevel::Phase::Firmware {
            return self.say("the firmware ran before the kernel, and is not traced");
        }
        let initcalls = level.initcalls;
        self.set_scope(Scope { phase: Some(level.phase), task: None });
        self.open_view(if initcalls > 0 { View::Initcalls } else { View::Tree });
    }

    fn next_level(&mut self, by: isize) {
        let phases: Vec<_> = self.data.phases().collect();
        if phases.is_empty() {
            return self.say("the trace knows no levels");
        }
        let at = self.scope.phase.and_then(|phase| phases.iter().position(|&known| known == phase));
        // Before the first and behind the last is the whole boot.
        let place = at.map_or(0, |at| at as isize + 1);
        let next = (place + by).rem_euclid(phases.len() as isize + 1) as usize;
        let phase = next.checked_sub(1).map(|next| phases[next]);
        if self.view == View::Overview && self.pages.is_empty() {
            self.go(Move::By(by));
        } else {
            self.set_scope(Scope { phase, ..self.scope });
        }
    }

    fn plant(&mut self, grows: Grows) {
        let (sort, height) = (self.tree.sort, self.tree.list.height);
        self.tree = Tree::new(self.data, grows, self.scope);
        self.tree.list.height = height;
        self.tree.sort_by(self.data, sort);
    }

    /// The tree from the selected function.
    fn grow(&mut self, grows: impl FnOnce(u32) -> Grows) {
        match self.function() {
            Some(function) => {
                self.open_view(View::Tree);
                self.plant(grows(function));
            }
            None => self.lacks_function(),
        }
    }

    /// Shows the function in the call tree, where it has most time.
    fn show_in_tree(&mut self) {
        let Some(function) = self.function() else { return self.lacks_function() };
        if self.tree.grows != Grows::Down(None) {
            self.plant(Grows::Down(None));
        }
        let wanted: Vec<bool> = (0..=function).map(|number| number == function).collect();
        self.open_view(View::Tree);
        self.tree.list.selected = 0;
        if !self.tree.find(self.data, &wanted, true, true) {
            self.say(format!("no calls of {} here", self.data.name(function)));
        }
    }

    fn sort(&mut self, by: isize) {
        if self.pages.is_empty() && self.view == View::Tree {
            let columns = super::tree::COLUMNS.len() as isize;
            // A share is no order of its own.
            let next = (self.tree.sort as isize + by).rem_euclid(columns);
            let next = if next == 1 { (next + by).rem_euclid(columns) } else { next };
            return self.tree.sort_by(self.data, next as usize);
        }
        self.with_table(|table, rows| {
            let titled = |&column: &usize| {
                let column = rows.columns()[column];
                !column.title.is_empty() && column.title != "%"
            };
            let columns: Vec<usize> = (0..rows.columns().len()).filter(titled).collect();
            let at = columns.iter().position(|&column| column == table.sort).unwrap_or(0) as isize;
            table.sort = columns[(at + by).rem_euclid(columns.len() as isize) as usize];
            table.reverse = false;
            table.update(rows, true);
        });
    }

    fn reverse(&mut self) {
        self.with_table(|table, rows| {
            table.reverse = !table.reverse;
            table.update(rows, true);
        });
    }
}
