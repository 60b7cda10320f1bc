// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Call sites to dense function numbers, so that all that is kept per function is a plain array. In:
//! low halves of sites, and modules as they are loaded. Out: [`Function`]s, numbered as they first come;
//! each is of the kernel or of one module. Never here: names.

use std::collections::BTreeMap;

use early_ftrace_format::word::KERNEL_HIGH;

use super::modules::{Change, LOWEST, Module, ModuleId};

/// A function by its number in order of first appearance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Function(pub u32);

impl Function {
    /// As an index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a function's call site is: all that names need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site<'a> {
    /// Address after the call, as it ran.
    pub address: u64,
    /// The module whose code was there; `None` for the kernel's own, and where no module is known.
    pub module: Option<&'a Module>,
}

impl From<u64> for Site<'static> {
    fn from(address: u64) -> Site<'static> {
        Site { address, module: None }
    }
}

/// More distinct sites than any kernel has; a damaged trace may name 2^31. Sites past the limit share
/// one function at site 0.
pub const MOST: usize = 1 << 19;

/// A function's site, when it was first seen there, and the module that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) site: u32,
    pub(super) module: Option<ModuleId>,
    pub(super) first: u64,
    /// The module that was known when the site was first seen.
    pub(super) told: Option<ModuleId>,
}

/// The sites so far: an open-addressed table with a multiplicative hash. It is looked up once for each
/// call; the standard map's keyed hash would cost more than all the rest.
#[derive(Debug)]
pub struct Sites {
    /// Site and function; site 0 is free.
    slots: Vec<(u32, u32)>,
    shift: u32,
    known: Vec<Known>,
    /// Sites in `slots` where modules may lie, and their functions: what a load must look through.
    upper: BTreeMap<u32, u32>,
}

impl Default for Sites {
    fn default() -> Sites {
        Sites { slots: vec![(0, 0); 1 << 12], shift: 32 - 12, known: Vec::new(), upper: BTreeMap::new() }
    }
}

impl Sites {
    /// The function of a site, if it has a number.
    #[inline]
    pub fn function(&self, site: u32) -> Option<Function> {
        let mut at = self.home(site);
        loop {
            // The shift makes `at` fit the table; the mask says so to the compiler.
            let (found, function) = self.slots[at & (self.slots.len() - 1)];
            if found == site {
                return Some(Function(function));
            }
            if found == 0 {
                return None;
            }
            at += 1;
        }
    }

    /// Gives a number to a site that has none, and whether the number is new: those past the limit share
    /// one.
    #[cold]
    pub fn insert(&mut self, site: u32, module: Option<ModuleId>, first: u64) -> (Function, bool) {
        if self.known.len() >= MOST {
            // The one past the limit stands for all the others.
            let new = self.known.len() == MOST;
            if new {
                self.known.push(Known { site: 0, module: None, first, told: None });
            }
            return (Function(MOST as u32), new);
        }
        if (self.known.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let number = self.known.len() as u32;
        self.known.push(Known { site, module, first, told: module });
        self.place(site, number);
        if site >= LOWEST {
            self.upper.insert(site, number);
        }
        (Function(number), true)
    }

    /// A module was loaded at `time`: its functions get new numbers when they are called. What was
    /// called in its sections since `time` is its own already (another CPU's events may have come before
    /// those of the one that loaded it) and keeps its number.
    #[cold]
    pub fn loaded(&mut self, id: ModuleId, module: &Module, change: &Change) {
        for &(first, last) in &change.cleared {
            let there: Vec<(u32, u32)> =
                self.upper.range(first..=last).map(|(&site, &number)| (site, number)).collect();
            for (site, number) in there {
                let address = KERNEL_HIGH | u64::from(site);
                let known = &mut self.known[number as usize];
                if known.first >= module.loaded && module.section(address).is_some() {
                    known.module = Some(id);
                } else {
                    self.upper.remove(&site);
                    self.remove(site);
                }
            }
        }
    }

    /// What is known of each function, in order of their numbers.
    pub(super) fn known(&self) -> &[Known] {
        &self.known
    }

    /// Numbers of sites that have none just now, since a module that lay there is gone.
    pub(super) fn forgotten(&self) -> Vec<u32> {
        let upper = (0..).zip(&self.known).filter(|(_, known)| known.site >= LOWEST);
        upper.filter(|(_, known)| self.function(known.site).is_none()).map(|(number, _)| number).collect()
    }

    /// The sites as they were when these functions were known and those sites forgotten.
    pub(super) fn restore(known: &[Known], forgotten: &[u32]) -> Option<Sites> {
        let mut sites = Sites::default();
        for (number, known) in (0..).zip(known) {
            if number as usize >= MOST {
                // Stands for all others.
                sites.known.push(*known);
                continue;
            }
            if known.site == 0 {
                return None;
            }
            // A site that comes again was forgotten in between.
            sites.remove(known.site);
            if (sites.known.len() + 1) * 2 > sites.slots.len() {
                sites.grow();
            }
            sites.known.push(*known);
            sites.place(known.site, number);
            if known.site >= LOWEST {
                sites.upper.insert(known.site, number);
            }
        }
        for &number in forgotten {
            let site = known.get(number as usize)?.site;
            sites.upper.remove(&site);
            sites.remove(site);
        }
        (known.len() <= MOST + 1).then_some(sites)
    }

    /// The whole address of a function's site, and the module that it was told to be of.
    pub(super) fn as_told(known: &Known) -> (u64, Option<ModuleId>) {
        (full(known.site), known.told)
    }

    /// How many functions have a number.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The full address of each function's site, in order of their numbers.
    pub fn addresses(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.known.iter().map(|known| full(known.site))
    }

    /// Site and module of each function, in order of their numbers.
    pub fn all(&self) -> impl ExactSizeIterator<Item = (u64, Option<ModuleId>)> + '_ {
        self.known.iter().map(|known| (full(known.site), known.module))
    }

    /// The slot at which the search for a site begins.
    #[inline]
    fn home(&self, site: u32) -> usize {
        (site.wrapping_mul(0x9e37_79b1) >> self.shift) as usize
    }

    fn place(&mut self, site: u32, number: u32) {
        let mask = self.slots.len() - 1;
        let mut at = self.home(site) & mask;
        while self.slots[at].0 != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = (site, number);
    }

    /// Takes a site out of the table. Those behind it move up, so that no search ends too early.
    fn remove(&mut self, site: u32) {
        let mask = self.slots.len() - 1;
        let mut hole = self.home(site) & mask;
        while self.slots[hole].0 != site {
            if self.slots[hole].0 == 0 {
                return;
            }
            hole = (hole + 1) & mask;
        }
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let next = self.slots[at];
            if next.0 == 0 {
                break;
            }
            // It may move up to the hole unless its search begins behind that.
            let home = self.home(next.0) & mask;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.slots[hole] = next;
                hole = at;
            }
        }
        self.slots[hole] = (0, 0);
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.slots);
        self.slots = vec![(0, 0); old.len() * 2];
        self.shift -= 1;
        for (site, number) in old.into_iter().filter(|slot| slot.0 != 0) {
            self.place(site, number);
        }
    }
}

/// The whole address of a site; 0 stands for those past the limit.
const fn full(site: u32) -> u64 {
    if site == 0 { 0 } else { KERNEL_HIGH | site as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calltree::modules::Section;

    fn number(sites: &mut Sites, site: u32) -> Function {
        sites.function(site).unwrap_or_else(|| sites.insert(site, None, 0).0)
    }

    #[test]
    fn numbers_are_dense_and_stay() {
        let mut sites = Sites::default();
        let all: Vec<u32> = (0..50_000u32).map(|i| 0x8100_0005 + i * 16).collect();
        for (index, &site) in all.iter().enumerate() {
            assert_eq!(sites.function(site), None);
            assert_eq!(sites.insert(site, None, 0), (Function(index as u32), true));
        }
        for (index, &site) in all.iter().enumerate() {
            assert_eq!(sites.function(site), Some(Function(index as u32)));
        }
        assert_eq!(sites.addresses().next(), Some(0xffff_ffff_8100_0005));
    }

    #[test]
    fn a_flood_of_sites_is_bounded() {
        let mut sites = Sites::default();
        for i in 0..MOST as u32 + 10 {
            number(&mut sites, 0x8100_0000 + i);
        }
        assert_eq!(sites.addresses().len(), MOST + 1);
        assert_eq!(sites.function(0xffff_ffff), None);
        assert_eq!(sites.insert(0xffff_ffff, None, 0), (Function(MOST as u32), false));
    }

    #[test]
    fn only_what_lay_where_a_module_is_loaded_is_forgotten() {
        let mut sites = Sites::default();
        // So many that their searches cross each other's slots.
        let all: Vec<u32> =
            (0..2_000u32).map(|i| 0xc000_0005 + i * 16).chain((0..48).map(|i| 0x8100_0005 + i)).collect();
        for &site in &all {
            number(&mut sites, site);
        }
        let (first, size) = (0xc000_1000u32, 0x3000u32);
        let section = Section { index: 1, address: KERNEL_HIGH | u64::from(first), size };
        let module = Module { sections: vec![section], loaded: 9, ..Module::default() };
        let change = Change { cleared: vec![(first, first + size - 1)] };
        sites.loaded(ModuleId(0), &module, &change);
        let before = sites.len();
        for (index, &site) in all.iter().enumerate() {
            let inside = (first..first + size).contains(&site);
            assert_eq!(sites.function(site), (!inside).then_some(Function(index as u32)), "{site:#x}");
        }
        let (function, new) = sites.insert(0xc000_1005, Some(ModuleId(0)), 10);
        assert!(new && function.index() == before);
        assert_eq!(sites.all().nth(before), Some((0xffff_ffff_c000_1005, Some(ModuleId(0)))));
    }

    #[test]
    fn what_was_called_after_the_load_keeps_its_number() {
        let mut sites = Sites::default();
        let (early, late) = (0xc000_0005, 0xc000_0015);
        sites.insert(early, None, 8);
        sites.insert(late, None, 9);
        let section = Section { index: 1, address: 0xffff_ffff_c000_0000, size: 32 };
        let module = Module { sections: vec![section], loaded: 9, ..Module::default() };
        sites.loaded(ModuleId(4), &module, &Change { cleared: vec![(0xc000_0000, 0xc000_001f)] });
        assert_eq!(sites.function(early), None);
        assert_eq!(sites.function(late), Some(Function(1)));
        assert_eq!(sites.all().map(|known| known.1).collect::<Vec<_>>(), [None, Some(ModuleId(4))]);
    }
}
