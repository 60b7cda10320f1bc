// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The function symbols of a vmlinux or a .ko, for search by address. In: the ELF symbol table. Out: the one
//! symbol that covers an address. Never here: DWARF.

use std::borrow::Cow;

use object::elf::{STB_GLOBAL, STB_WEAK, STT_FUNC};
use object::read::elf::Sym;
use object::{Endianness, Object, ObjectSymbol, SectionIndex};

use super::image::Elf;

/// A function symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// First address.
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// Its name; where several symbols stand at the address, a global one before a weak one before a
    /// local one, then the larger, then the later in the table (as llvm-symbolizer has it). A module's
    /// `init_module` and `cleanup_module` are what its loader calls functions with names of their own.
    pub name: Cow<'a, str>,
    /// How many other function symbols stand at the address.
    pub aliases: u32,
}

/// A function that was found, wherever it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// First address.
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// The name that its address goes by.
    pub name: &'a str,
    /// How many other function symbols stand at the address.
    pub aliases: u32,
}

/// Functions before an address that may cover it and are looked at: symbols hardly ever nest.
pub(super) const MOST_AROUND: usize = 64;

/// All function symbols, one for each address, sorted.
#[derive(Debug, Default)]
pub struct Symbols<'a> {
    sorted: Vec<Symbol<'a>>,
    /// Size of the largest symbol: how far back a covering one may begin.
    longest: u64,
}

impl Symbol<'_> {
    /// As what was found.
    pub fn found(&self) -> Found<'_> {
        Found { address: self.address, size: self.size, name: &self.name, aliases: self.aliases }
    }
}

impl<'a> Symbols<'a> {
    /// Reads the table. `__pfx_` and `__cfi_` symbols name the padding before functions and are left
    /// out.
    pub fn read(elf: &Elf<'a>) -> Symbols<'a> {
        Symbols::placed(elf, |_, address| (address != 0).then_some(address))
    }

    /// The same, where sections and values in them are not yet addresses.
    pub fn placed(elf: &Elf<'a>, place: impl Fn(Option<SectionIndex>, u64) -> Option<u64>) -> Symbols<'a> {
        let mut found: Vec<(u64, u8, u64, usize, &'a str)> = Vec::new();
        for symbol in elf.symbols() {
            let raw = symbol.elf_symbol();
            if raw.st_type() != STT_FUNC || symbol.is_undefined() {
                continue;
            }
            let Some(address) = place(symbol.section_index(), symbol.address()) else { continue };
            let Ok(name) = symbol.name() else { continue };
            if name.is_empty() || name.starts_with("__pfx_") || name.starts_with("__cfi_") {
                continue;
            }
            let rank = match raw.st_bind() {
                _ if matches!(name, "init_module" | "cleanup_module") => 0,
                STB_GLOBAL => 3,
                STB_WEAK => 2,
                _ => 1,
            };
            found.push((address, rank, raw.st_size(Endianness::Little), symbol.index().0, name));
        }
        found.sort_unstable();
        let mut sorted: Vec<Symbol<'a>> = Vec::with_capacity(found.len());
        for (address, _, size, _, name) in found {
            let name = Cow::Borrowed(name);
            match sorted.last_mut() {
                Some(last) if last.address == address => {
                    let size = last.size.max(size);
                    *last = Symbol { address, size, name, aliases: last.aliases + 1 };
                }
                _ => sorted.push(Symbol { address, size, name, aliases: 0 }),
            }
        }
        let longest = sorted.iter().map(|symbol| symbol.size).max().unwrap_or(0);
        Symbols { sorted, longest }
    }

    /// The same without the file.
    pub fn into_owned(self) -> Symbols<'static> {
        let owned = |Symbol { address, size, name, aliases }| {
            let name = Cow::Owned(String::from(name));
            Symbol { address, size, name, aliases }
        };
        Symbols { sorted: self.sorted.into_iter().map(owned).collect(), longest: self.longest }
    }

    /// The symbol that covers an address: the one that begins last, if several do.
    pub fn covering(&self, address: u64) -> Option<&Symbol<'a>> {
        let after = self.sorted.partition_point(|symbol| symbol.address <= address);
        self.sorted[..after]
            .iter()
            .rev()
            .take_while(|symbol| address - symbol.address <= self.longest)
            .take(MOST_AROUND)
            .find(|symbol| address - symbol.address < symbol.size)
    }

    /// The symbol with this name, if it is the one that its address goes by.
    pub fn named(&self, name: &str) -> Option<&Symbol<'a>> {
        self.sorted.iter().find(|symbol| symbol.name == name)
    }

    /// All, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Symbol<'a>> {
        self.sorted.iter()
    }

    /// Size of the largest.
    pub fn longest(&self) -> u64 {
        self.longest
    }

    /// How many addresses have a symbol.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}
