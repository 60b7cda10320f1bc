// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The call tree as far as it was opened, from the outermost calls down, or from a function up to its callers.
//! In: [`Data`], a scope, what is opened. Out: lines. Never here: drawing.
//!
//! Lines are made when the line above them is opened: a boot has some hundred thousand.

use std::collections::HashMap;

use super::data::{Data, Scope, Sum};
use super::list::List;
use super::table::{Column, number, text};
use crate::calltree::contexts::Node;

/// The columns; the last one is the tree. The first five sort.
pub const COLUMNS: &[Column] = &[
    number("total", 8, 0),
    number("%", 5, 2),
    number("self", 8, 3),
    number("calls", 11, 4),
    number("longest", 8, 5),
    text("function", 0, 0),
];

/// Most lines that are opened at once.
const MOST_OPENED: usize = 200;

/// Which way it grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grows {
    /// From callers to those whom they call. With a function: from all its calls.
    Down(Option<u32>),
    /// From a function to its callers; the figures are always those of its calls.
    Up(u32),
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its function.
    pub function: u32,
    /// The line that it hangs from.
    pub parent: Option<u32>,
    /// How far it hangs from a root.
    pub depth: usize,
    /// What it costs.
    pub sum: Sum,
    /// Whether anything hangs from it.
    pub has_kids: bool,
    /// Whether that is shown.
    pub open: bool,
    /// Lines that hang from it, once made.
    kids: Option<Vec<u32>>,
    /// Nodes of [`Data`] whose sum it is; growing up, and the callers of those that this line is about.
    nodes: Vec<(u32, u32)>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Which way.
    pub grows: Grows,
    /// Whose calls.
    pub scope: Scope,
    /// The column that it is sorted by.
    pub sort: usize,
    /// Lines that are shown, in order.
    pub shown: Vec<u32>,
    /// The cursor in them.
    pub list: List,
    lines: Vec<Line>,
    roots: Vec<u32>,
    /// Lines that a search has opened while it was typed.
    searched: Vec<u32>,
}

impl Tree {
    /// With its first lines.
    pub fn new(data: &Data<'_>, grows: Grows, scope: Scope) -> Tree {
        let mut tree = Tree {
            grows,
            scope,
            sort: 0,
            shown: Vec::new(),
            list: List::default(),
            lines: Vec::new(),
            roots: Vec::new(),
            searched: Vec::new(),
        };
        tree.roots = match grows {
            Grows::Down(None) => {
                let nodes = data.outermost(scope).into_iter().map(|node| (node, node)).collect();
                tree.make(data, None, nodes)
            }
            Grows::Down(Some(function)) | Grows::Up(function) => {
                let up = matches!(grows, Grows::Up(_));
                let of_it = |&node: &u32| data.function(node) == function && (up || !data.is_nested(node));
                let nodes = data.nodes(scope).filter(of_it).map(|node| (node, node)).collect();
                let roots = tree.make(data, None, nodes);
                if let Some(&root) = roots.first() {
                    // Calls of a function from itself count once.
                    let sums = data.sums(scope);
                    let index = (function as usize).min(sums.len() - 1);
                    tree.lines[root as usize].sum = sums[index];
                    tree.open(data, root);
                }
                roots
            }
        };
        tree.show();
        tree
    }

    /// A line.
    pub fn line(&self, line: u32) -> &Line {
        &self.lines[line as usize]
    }

    /// The line with the cursor.
    pub fn selected(&self) -> Option<u32> {
        self.shown.get(self.list.selected).copied()
    }

    /// Its function, if it is one.
    pub fn function(&self) -> Option<u32> {
        self.selected().map(|line| self.line(line).function).filter(|&function| function != Node::REST)
    }

    /// The time that shares refer to.
    pub fn whole(&self, data: &Data<'_>) -> u64 {
        data.busy(self.scope)
    }

    /// Makes lines of nodes, one for each function.
    fn make(&mut self, data: &Data<'_>, parent: Option<u32>, nodes: Vec<(u32, u32)>) -> Vec<u32> {
        let up = matches!(self.grows, Grows::Up(_));
        let depth = parent.map_or(0, |parent| self.line(parent).depth + 1);
        let mut known: HashMap<u32, u32> = HashMap::new();
        let mut made = Vec::new();
        for (node, at) in nodes {
            let function = data.function(at);
            let line = *known.entry(function).or_insert_with(|| {
                let line = self.lines.len() as u32;
                let (sum, kids, nodes) = (Sum::default(), None, Vec::new());
                self.lines.push(Line { function, parent, depth, sum, has_kids: false, open: false, kids, nodes });
                made.push(line);
                line
            });
            let line = &mut self.lines[line as usize];
            let (figures, total) = data.node(node);
            line.sum.add(figures, if up && data.is_nested(node) { 0 } else { total });
            line.has_kids |= if up { data.caller(at).is_some() } else { !data.kids(at).is_empty() };
            line.nodes.push((node, at));
        }
        self.order(data, &mut made);
        made
    }

    fn order(&self, data: &Data<'_>, lines: &mut [u32]) {
        lines.sort_by(|&a, &b| {
            let key = |line: u32| {
                let sum = self.line(line).sum;
                match self.sort {
                    2 => (sum.own, sum.total),
                    3 => (sum.calls, sum.total),
                    4 => (sum.longest, sum.total),
                    5 => (0, 0),
                    _ => (sum.total, sum.calls),
                }
            };
            let name = |line: u32| data.name(self.line(line).function);
            key(b).cmp(&key(a)).then_with(|| name(a).cmp(name(b)))
        });
    }

    /// What hangs from a line, made if it was not yet.
    fn kids(&mut self, data: &Data<'_>, line: u32) -> Vec<u32> {
        if let Some(kids) = &self.lines[line as usize].kids {
            return kids.clone();
        }
        let nodes = &self.lines[line as usize].nodes;
        let nodes = match self.grows {
            Grows::Up(_) => {
                nodes.iter().filter_map(|&(node, at)| data.caller(at).map(|caller| (node, caller))).collect()
            }
            Grows::Down(_) => nodes.iter().flat_map(|&(_, at)| data.kids(at)).map(|&kid| (kid, kid)).collect(),
        };
        let kids = self.make(data, Some(line), nodes);
        self.lines[line as usize].kids = Some(kids.clone());
        kids
    }

    fn open(&mut self, data: &Data<'_>, line: u32) {
        self.kids(data, line);
        self.lines[line as usize].open = true;
    }

    /// Finds out which lines are shown; the cursor stays on its line, or on the one that it hangs from.
    fn show(&mut self) {
        let selected = self.selected();
        self.shown.clear();
        let mut todo: Vec<u32> = self.roots.iter().rev().copied().collect();
        while let Some(line) = todo.pop() {
            self.shown.push(line);
            let line = &self.lines[line as usize];
            if let Some(kids) = line.kids.as_ref().filter(|_| line.open) {
                todo.extend(kids.iter().rev());
            }
        }
        self.select(selected);
    }

    fn select(&mut self, line: Option<u32>) {
        let mut wanted = line;
        while let Some(line) = wanted {
            if let Some(place) = self.shown.iter().position(|&shown| shown == line) {
                self.list.selected = place;
                return;
            }
            wanted = self.line(line).parent;
        }
        self.list.selected = 0;
    }

    /// Opens the line with the cursor; if it is open, goes to its first kid.
    pub fn expand(&mut self, data: &Data<'_>) {
        let Some(line) = self.selected() else { return };
        let (has_kids, open) = (self.line(line).has_kids, self.line(line).open);
        if open {
            self.list.selected += usize::from(has_kids);
        } else if has_kids {
            self.open(data, line);
            self.show();
        }
    }

    /// Closes the line with the cursor; if it is closed, goes to the one that it hangs from.
    pub fn collapse(&mut self) {
        let Some(line) = self.selected() else { return };
        if self.line(line).open {
            self.lines[line as usize].open = false;
            self.show();
        } else {
            self.select(self.line(line).parent);
        }
    }

    /// Opens or closes the line with the cursor.
    pub fn toggle(&mut self, data: &Data<'_>) {
        match self.selected() {
            Some(line) if self.line(line).open => self.collapse(),
            Some(_) => self.expand(data),
            None => {}
        }
    }

    /// Opens the way along the most expensive calls, as long as one has most of its caller's time. Returns
    /// whether there was any.
    pub fn expand_hottest(&mut self, data: &Data<'_>) -> bool {
        let Some(mut line) = self.selected() else { return false };
        let start = line;
        for _ in 0..MOST_OPENED {
            let kids = self.kids(data, line);
            let total = self.line(line).sum.total;
            let hottest = kids.into_iter().max_by_key(|&kid| self.line(kid).sum.total);
            let Some(next) = hottest.filter(|&kid| self.line(kid).sum.total > total / 2) else { break };
            self.lines[line as usize].open = true;
            line = next;
        }
        self.show();
        self.select(Some(line));
        line != start
    }

    /// Closes all lines.
    pub fn collapse_all(&mut self) {
        let mut line = self.selected();
        while let Some(parent) = line.and_then(|line| self.line(line).parent) {
            line = Some(parent);
        }
        self.lines.iter_mut().for_each(|line| line.open = false);
        self.show();
        self.select(line);
    }

    /// Sorts by a column.
    pub fn sort_by(&mut self, data: &Data<'_>, column: usize) {
        // A share is that of the total.
        self.sort = if column == 1 { 0 } else { column };
        let mut roots = std::mem::take(&mut self.roots);
        self.order(data, &mut roots);
        self.roots = roots;
        for line in 0..self.lines.len() {
            if let Some(mut kids) = self.lines[line].kids.take() {
                self.order(data, &mut kids);
                self.lines[line].kids = Some(kids);
            }
        }
        self.show();
    }

    /// Puts the cursor on the next line, opened or not, of a function that `wanted` has, round the end. If
    /// `here`, the line with the cursor will do. False if there is none.
    pub fn find(&mut self, data: &Data<'_>, wanted: &[bool], forward: bool, here: bool) -> bool {
        let hit = |function: u32| wanted.get(function as usize) == Some(&true);
        let found = match (self.selected(), self.grows) {
            (None, _) => None,
            (Some(line), _) if here && hit(self.line(line).function) => Some(line),
            // Upwards there is no end of lines: only those that are shown.
            (_, Grows::Up(_)) => {
                let lines = self.shown.len();
                let place = |step: usize| (self.list.selected + if forward { step } else { lines - step }) % lines;
                (1..=lines).map(|step| self.shown[place(step)]).find(|&line| hit(self.line(line).function))
            }
            (Some(line), Grows::Down(_)) => {
                let leads = data.lead_to(wanted);
                if forward { self.after(data, &leads, &hit, line) } else { self.before(data, &leads, &hit, line) }
            }
        };
        let Some(found) = found else { return false };
        let mut parent = self.line(found).parent;
        while let Some(line) = parent {
            if !std::mem::replace(&mut self.lines[line as usize].open, true) {
                self.searched.push(line);
            }
            parent = self.line(line).parent;
        }
        self.show();
        self.select(Some(found));
        true
    }

    /// What searches have opened stays open from here on.
    pub fn keep(&mut self) {
        self.searched.clear();
    }

    /// Closes what searches have opened since then, and puts the cursor on a line.
    pub fn undo(&mut self, line: Option<u32>) {
        for line in std::mem::take(&mut self.searched) {
            self.lines[line as usize].open = false;
        }
        self.show();
        self.select(line);
    }

    fn leads(&self, leads: &[bool], line: u32) -> bool {
        self.line(line).nodes.iter().any(|&(_, at)| leads.get(at as usize) == Some(&true))
    }

    /// What hangs from the same line.
    fn siblings(&self, line: u32) -> &[u32] {
        match self.line(line).parent {
            Some(parent) => self.line(parent).kids.as_deref().unwrap_or_default(),
            None => &self.roots,
        }
    }

    /// The first hit in the lines of one parent, from `from` on, and below them.
    fn first(&mut self, data: &Data<'_>, leads: &[bool], hit: &dyn Fn(u32) -> bool, among: &[u32]) -> Option<u32> {
        let mut line = among.iter().copied().find(|&line| self.leads(leads, line))?;
        while !hit(self.line(line).function) {
            let kids = self.kids(data, line);
            line = kids.into_iter().find(|&kid| self.leads(leads, kid))?;
        }
        Some(line)
    }

    fn last(&mut self, data: &Data<'_>, leads: &[bool], hit: &dyn Fn(u32) -> bool, among: &[u32]) -> Option<u32> {
        let mut line = among.iter().rev().copied().find(|&line| self.leads(leads, line))?;
        loop {
            let kids = self.kids(data, line);
            match kids.into_iter().rev().find(|&kid| self.leads(leads, kid)) {
                Some(kid) => line = kid,
                None => return hit(self.line(line).function).then_some(line),
            }
        }
    }

    fn after(&mut self, data: &Data<'_>, leads: &[bool], hit: &dyn Fn(u32) -> bool, from: u32) -> Option<u32> {
        let kids = self.kids(data, from);
        if let Some(found) = self.first(data, leads, hit, &kids) {
            return Some(found);
        }
        let mut line = from;
        loop {
            let siblings = self.siblings(line).to_vec();
            let place = siblings.iter().position(|&sibling| sibling == line).map_or(0, |place| place + 1);
            if let Some(found) = self.first(data, leads, hit, &siblings[place..]) {
                return Some(found);
            }
            match self.line(line).parent {
                Some(parent) => line = parent,
                None => return self.first(data, leads, hit, &self.roots.clone()),
            }
        }
    }

    fn before(&mut self, data: &Data<'_>, leads: &[bool], hit: &dyn Fn(u32) -> bool, from: u32) -> Option<u32> {
        let mut line = from;
        loop {
            let siblings = self.siblings(line).to_vec();
            let place = siblings.iter().position(|&sibling| sibling == line).unwrap_or(0);
            if let Some(found) = self.last(data, leads, hit, &siblings[..place]) {
                return Some(found);
            }
            match self.line(line).parent {
                Some(parent) if hit(self.line(parent).function) => return Some(parent),
                Some(parent) => line = parent,
                None => return self.last(data, leads, hit, &self.roots.clone()),
            }
        }
    }
}
