// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Call sites to dense function numbers, so that all that is kept per function is a plain array. In:
//! low halves of sites. Out: [`Function`]s, numbered as they first come. Never here: names.

use early_ftrace_format::word::KERNEL_HIGH;

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

/// More distinct sites than any kernel has; a damaged trace may name 2^31. Sites past the limit share
/// one function at site 0.
pub const MOST: usize = 1 << 19;

/// The sites so far: an open-addressed table with a multiplicative hash. It is looked up once for each
/// call; the standard map's keyed hash would cost more than all the rest.
#[derive(Debug)]
pub struct Sites {
    /// Site and function; site 0 is free.
    slots: Vec<(u32, u32)>,
    shift: u32,
    sites: Vec<u32>,
}

impl Default for Sites {
    fn default() -> Sites {
        Sites { slots: vec![(0, 0); 1 << 12], shift: 32 - 12, sites: Vec::new() }
    }
}

impl Sites {
    /// The function of a site, and whether it is new.
    #[inline]
    pub fn function(&mut self, site: u32) -> (Function, bool) {
        let mut at = (site.wrapping_mul(0x9e37_79b1) >> self.shift) as usize;
        loop {
            // The shift makes `at` fit the table; the mask says so to the compiler.
            let (found, function) = self.slots[at & (self.slots.len() - 1)];
            if found == site {
                return (Function(function), false);
            }
            if found == 0 {
                return self.insert(site);
            }
            at += 1;
        }
    }

    /// The full address of each function's site, in order of their numbers.
    pub fn addresses(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.sites.iter().map(|&site| if site == 0 { 0 } else { KERNEL_HIGH | u64::from(site) })
    }

    #[cold]
    fn insert(&mut self, site: u32) -> (Function, bool) {
        if self.sites.len() >= MOST {
            // The one past the limit stands for all the others.
            let new = self.sites.len() == MOST;
            if new {
                self.sites.push(0);
            }
            return (Function(MOST as u32), new);
        }
        if (self.sites.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let number = self.sites.len() as u32;
        self.sites.push(site);
        self.place(site, number);
        (Function(number), true)
    }

    fn place(&mut self, site: u32, number: u32) {
        let mask = self.slots.len() - 1;
        let mut at = (site.wrapping_mul(0x9e37_79b1) >> self.shift) as usize & mask;
        while self.slots[at].0 != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = (site, number);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_stay() {
        let mut sites = Sites::default();
        let all: Vec<u32> = (0..50_000u32).map(|i| 0x8100_0005 + i * 16).collect();
        for (number, &site) in all.iter().enumerate() {
            assert_eq!(sites.function(site), (Function(number as u32), true));
        }
        for (number, &site) in all.iter().enumerate() {
            assert_eq!(sites.function(site), (Function(number as u32), false));
        }
        assert_eq!(sites.addresses().next(), Some(0xffff_ffff_8100_0005));
    }

    #[test]
    fn a_flood_of_sites_is_bounded() {
        let mut sites = Sites::default();
        for i in 0..MOST as u32 + 10 {
            sites.function(0x8100_0000 + i);
        }
        assert_eq!(sites.addresses().len(), MOST + 1);
        assert_eq!(sites.function(0xffff_ffff), (Function(MOST as u32), false));
    }
}
