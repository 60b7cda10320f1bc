// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Names and places of the functions that a trace hit. In: sites and a vmlinux. Out: one
//! [`Named`] for each site, fit for a terminal: a vmlinux may come from anywhere. Never here: figures.

use std::collections::HashSet;

use super::style::printable;
use crate::resolve::image::{self, Elf};
use crate::resolve::lines::{Debug, Want};
use crate::resolve::tree::Root;
use crate::resolve::{Inlined, ResolveError, Symbols, Vmlinux};

/// Bytes of a `call __fentry__`; the site that the guest records is the address after it.
pub const CALL: u64 = 5;

/// Modules are loaded from here up (`MODULES_VADDR` with the usual 512 MiB for the kernel image; 1 GiB
/// with KASLR); no vmlinux knows what lies there.
pub const MODULES: u64 = 0xffff_ffff_c000_0000;

/// Where a name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The ELF symbol table.
    Symbol,
    /// DWARF: no symbol covers the address.
    Dwarf,
    /// Nothing: the code of a module.
    Module,
    /// Nothing: neither symbol nor DWARF.
    Unknown,
}

/// A function that was hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name, or `[module] 0x...`, `[no symbol] FILE:LINE`, `[unknown] 0x...`.
    pub name: String,
    /// Its first address.
    pub address: u64,
    /// Its call of `__fentry__`.
    pub site: u64,
    /// Other names at its address.
    pub aliases: u32,
    /// Path in the source tree.
    pub file: Option<String>,
    /// Line of its entry.
    pub line: Option<u32>,
    /// Where the name comes from.
    pub origin: Origin,
}

/// Names by address, as far as the symbol table goes; DWARF is read on [`Names::resolve`].
pub struct Names<'a> {
    elf: Elf<'a>,
    symbols: Symbols<'a>,
    path: &'a std::path::Path,
}

impl<'a> Names<'a> {
    /// Reads the symbol table.
    ///
    /// # Errors
    /// [`ResolveError::NoSymbols`], [`ResolveError::NotElf`].
    pub fn open(vmlinux: &'a Vmlinux) -> Result<Names<'a>, ResolveError> {
        let elf = vmlinux.elf()?;
        let symbols = Symbols::read(&elf);
        if symbols.is_empty() {
            return Err(ResolveError::NoSymbols { path: vmlinux.path().to_path_buf() });
        }
        Ok(Names { elf, symbols, path: vmlinux.path() })
    }

    /// The ELF file.
    pub fn elf(&self) -> &Elf<'a> {
        &self.elf
    }

    /// Build ID of the vmlinux.
    pub fn build_id(&self) -> Option<String> {
        image::build_id(&self.elf)
    }

    /// The kernel's list of its call sites.
    pub fn call_sites(&self) -> Option<Vec<u64>> {
        image::call_sites(&self.elf)
    }

    /// What the guest records of a function: the address after its call of `__fentry__`, which is its
    /// first instruction, or comes after `endbr64`.
    pub fn site_of(&self, name: &str) -> Option<u64> {
        let address = self.symbols.named(name)?.address;
        let landing = if image::has_endbr(&self.elf, address) { 4 } else { 0 };
        address.checked_add(landing + CALL)
    }

    /// The function of a site by the symbol table alone.
    pub fn quick(&self, site: u64) -> Named {
        let call = site.wrapping_sub(CALL);
        let blank = Named {
            name: String::new(),
            address: call,
            site: call,
            aliases: 0,
            file: None,
            line: None,
            origin: Origin::Unknown,
        };
        if let Some(symbol) = self.symbols.covering(call) {
            let (name, address, aliases) = (printable(symbol.name), symbol.address, symbol.aliases);
            return Named { name, address, aliases, origin: Origin::Symbol, ..blank };
        }
        if call >= MODULES {
            return Named { name: format!("[module] {call:#x}"), origin: Origin::Module, ..blank };
        }
        let address = if image::has_endbr(&self.elf, call.wrapping_sub(4)) { call - 4 } else { call };
        Named { name: format!("[unknown] {call:#x}"), address, ..blank }
    }

    /// The functions of sites, with files and lines.
    ///
    /// # Errors
    /// [`ResolveError::Dwarf`]. A vmlinux without DWARF is no error: places are empty then.
    pub fn resolve(&self, sites: impl Iterator<Item = u64>) -> Result<Vec<Named>, ResolveError> {
        let bad = |reason| ResolveError::Dwarf { path: self.path.to_path_buf(), reason };
        let mut named: Vec<Named> = sites.map(|site| self.quick(site)).collect();
        let Some(debug) = Debug::load(&self.elf).map_err(bad)? else { return Ok(named) };
        let start_kernel = self.symbols.named("start_kernel");
        let mut wanted: Vec<Want> =
            named.iter().map(|named| Want { address: named.address, name: named.origin == Origin::Unknown }).collect();
        wanted.extend(start_kernel.map(|symbol| Want { address: symbol.address, name: false }));
        let mut places = debug.places(&wanted).map_err(bad)?;
        let root = start_kernel
            .and_then(|_| places.pop())
            .and_then(|place| place.file)
            .map_or_else(Root::default, |file| Root::from_start_kernel(&file));
        for (named, place) in named.iter_mut().zip(places) {
            named.file = place.file.map(|file| printable(&root.relative(&file)));
            named.line = place.line;
            if let Some(name) = place.name {
                named.name = printable(&name);
                named.origin = Origin::Dwarf;
            } else if let (Origin::Unknown, Some(file), Some(line)) = (named.origin, &named.file, named.line) {
                // A weak function that lost against a strong one: its code stays, its symbol goes.
                named.name = format!("[no symbol] {file}:{line}");
            }
        }
        Ok(named)
    }

    /// What is inlined into each of these functions; nothing where a symbol or DWARF is missing.
    ///
    /// # Errors
    /// [`ResolveError::Dwarf`].
    pub fn inlined(&self, functions: &[u64]) -> Result<Vec<Vec<Inlined>>, ResolveError> {
        let bad = |reason| ResolveError::Dwarf { path: self.path.to_path_buf(), reason };
        let Some(debug) = Debug::load(&self.elf).map_err(bad)? else { return Ok(vec![Vec::new(); functions.len()]) };
        let range = |&address: &u64| match self.symbols.covering(address) {
            Some(symbol) => (symbol.address, symbol.address.saturating_add(symbol.size)),
            None => (address, address),
        };
        let ranges: Vec<(u64, u64)> = functions.iter().map(range).collect();
        let start_kernel =
            self.symbols.named("start_kernel").map(|symbol| Want { address: symbol.address, name: false });
        let places = debug.places(start_kernel.as_slice()).map_err(bad)?;
        let root =
            places.first().and_then(|place| place.file.as_deref()).map_or_else(Root::default, Root::from_start_kernel);
        let mut all = debug.inlined(&ranges).map_err(bad)?;
        for inlined in all.iter_mut().flatten() {
            inlined.file = inlined.file.take().map(|file| root.relative(&file));
        }
        Ok(all)
    }
}

/// How much of the kernel's code with call sites was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Call sites that the vmlinux lists; `None` if it lists none.
    pub sites: Option<u64>,
    /// Those of them that fired.
    pub hit: u64,
    /// Sites in modules that fired.
    pub modules: u64,
    /// Sites that fired and are in no list.
    pub strangers: u64,
}

impl Coverage {
    /// Compares what fired with what the vmlinux lists.
    pub fn of(listed: Option<Vec<u64>>, named: &[Named]) -> Coverage {
        let known: Option<HashSet<u64>> = listed.map(|sites| sites.into_iter().collect());
        let mut coverage = Coverage { sites: known.as_ref().map(|known| known.len() as u64), ..Coverage::default() };
        for named in named {
            if named.origin == Origin::Module {
                coverage.modules += 1;
            } else if known.as_ref().is_none_or(|known| known.contains(&named.site)) {
                coverage.hit += 1;
            } else {
                coverage.strangers += 1;
            }
        }
        coverage
    }
}
