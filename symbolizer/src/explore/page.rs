// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The page of one function: its callers, its callees, its source, its levels. In: [`Data`] and a scope. Out:
//! [`Page`]. Never here: keys, drawing.

use std::collections::HashMap;

use bootlevel::Phase;

use super::data::{Data, Scope, Sum};
use super::list::List;
use super::rows::{Edge, Edges};
use super::source::{self, Source};
use super::table::Table;
use crate::calltree::contexts::Node;

/// Lines above the function's in the source, to begin with: its comment.
const ABOVE: usize = 6;

/// A part of the page that can have the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    /// Who calls it.
    Callers,
    /// Whom it calls.
    Callees,
    /// Its source.
    Source,
}

impl Pane {
    /// In the order of the page.
    pub const ALL: [Pane; 3] = [Pane::Callers, Pane::Callees, Pane::Source];
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Page {
    /// Whose page it is.
    pub function: u32,
    /// Which of its calls.
    pub scope: Scope,
    /// What they cost.
    pub sum: Sum,
    /// Who calls it.
    pub callers: (Vec<Edge>, Table),
    /// Whom it calls.
    pub callees: (Vec<Edge>, Table),
    /// What it costs in each phase in which it has calls or time.
    pub phases: Vec<(Phase, Sum)>,
    /// Its source.
    pub source: Source,
    /// What of that is in sight; the cursor is at the top.
    pub sight: List,
    /// Which pane has the cursor.
    pub pane: Pane,
}

impl Page {
    /// The page of a function.
    pub fn new(data: &Data<'_>, function: u32, scope: Scope) -> Page {
        let named = data.named(function);
        let source = source::read(data.source.as_deref(), named.and_then(|named| named.file.as_deref()));
        let line = named.and_then(|named| named.line).map_or(0, |line| line as usize - 1);
        let mut page = Page {
            function,
            scope,
            sum: Sum::default(),
            callers: (Vec::new(), Table::default()),
            callees: (Vec::new(), Table::default()),
            phases: Vec::new(),
            source,
            sight: List { top: line.saturating_sub(ABOVE), ..List::default() },
            pane: Pane::Callers,
        };
        page.look(data, scope);
        // What it calls is asked for more often than who calls it, but a leaf has only the one.
        if !page.callees.0.is_empty() {
            page.pane = Pane::Callees;
        }
        page
    }

    /// Takes the figures of a scope.
    pub fn look(&mut self, data: &Data<'_>, scope: Scope) {
        self.scope = scope;
        let (mut callers, mut callees) = (HashMap::new(), HashMap::new());
        self.sum = Sum::default();
        for index in data.nodes(scope).filter(|&node| data.function(node) == self.function) {
            let (node, total) = data.node(index);
            // The time of a call inside another of the same function is in that one's.
            let outer = if data.is_nested(index) { 0 } else { total };
            self.sum.add(node, outer);
            let caller = data.caller(index).map(|caller| data.function(caller));
            callers.entry(caller).or_insert_with(Sum::default).add(node, outer);
            for &kid in data.kids(index) {
                let (kid, total) = data.node(kid);
                let total = if kid.function == self.function || data.is_nested(index) { 0 } else { total };
                callees.entry(Some(kid.function)).or_insert_with(Sum::default).add(kid, total);
            }
        }
        for (pane, sums) in [(&mut self.callers, callers), (&mut self.callees, callees)] {
            pane.0 = sums.into_iter().map(|(function, sum)| Edge { function, sum }).collect();
            pane.0.sort_by_key(|edge| edge.function);
        }
        let mut phases = vec![Sum::default(); Phase::ALL.len()];
        for index in data.nodes(Scope { phase: None, ..scope }).filter(|&node| data.function(node) == self.function) {
            let (node, total) = data.node(index);
            if let Some(sum) = data.slot(index).and_then(|slot| phases.get_mut(slot)) {
                sum.add(node, if data.is_nested(index) { 0 } else { total });
            }
        }
        let sum = |phase: Phase| (phase, phases[phase as usize]);
        self.phases = data.phases().map(sum).filter(|(_, sum)| !sum.is_empty()).collect();
        self.update(data);
    }

    /// Sorts and filters the panes again.
    pub fn update(&mut self, data: &Data<'_>) {
        let whole = self.sum.total;
        for (edges, table) in [&mut self.callers, &mut self.callees] {
            table.update(&Edges { data, edges, whole }, true);
        }
    }

    /// The pane with the cursor, if it is a table.
    pub fn edges<'p>(&'p mut self, data: &'p Data<'p>) -> Option<(Edges<'p>, &'p mut Table)> {
        let whole = self.sum.total;
        let (edges, table) = match self.pane {
            Pane::Callers => &mut self.callers,
            Pane::Callees => &mut self.callees,
            Pane::Source => return None,
        };
        Some((Edges { data, edges, whole }, table))
    }

    /// The function with the cursor.
    pub fn selected(&self) -> Option<u32> {
        let (edges, table) = match self.pane {
            Pane::Callers => &self.callers,
            Pane::Callees => &self.callees,
            Pane::Source => return None,
        };
        let function = edges.get(table.selected()?)?.function;
        function.filter(|&function| function != Node::REST)
    }

    /// Lines of source.
    pub fn lines(&self) -> &[String] {
        match &self.source {
            Source::Lines(lines) => lines,
            Source::None(_) => &[],
        }
    }

    /// Lines of the pane with the cursor.
    pub fn len(&self) -> usize {
        match self.pane {
            Pane::Callers => self.callers.1.rows.len(),
            Pane::Callees => self.callees.1.rows.len(),
            Pane::Source => self.lines().len(),
        }
    }

    /// Whether the pane with the cursor has no line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
