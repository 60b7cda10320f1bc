// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The functions of a kernel. In: a vmlinux, and a cache of what was found in it before. Out: symbols by address, files
//! and lines. Never here: KASLR, modules, what a terminal may be shown.
//!
//! With a good table in the cache neither the symbol table nor the debug information is read. Without one, the
//! symbols are read at once and the debug information when lines are asked for first; where a cache is to be
//! filled that is done for all functions, which takes little longer than for some.

use std::cell::OnceCell;

use super::cache::{Cache, Key};
use super::debug::Debug;
use super::image::{self, Elf};
use super::initcalls::Initcalls;
use super::inlined::Inlined;
use super::lines::{Places, Want};
use super::symbols::{Found, Symbols};
use super::table::{Contents, Nameless, Path, Spot, Table};
use super::tree::Root;
use super::{Frame, ResolveError, Vmlinux, slide};

/// A table is made when this share of all functions is asked for: for a few addresses, all would take longer.
const WORTHWHILE: usize = 32;

/// What names and places are taken from.
enum Source<'a> {
    Stored(Table),
    File { symbols: Symbols<'a>, initcalls: OnceCell<Initcalls<'a>> },
}

/// A vmlinux that is asked for names.
pub struct Kernel<'a> {
    vmlinux: &'a Vmlinux,
    elf: Elf<'a>,
    source: Source<'a>,
    /// Where a table is to be kept, if one is to be made.
    cache: Option<(Cache, Key)>,
    /// A table that was made for it.
    made: OnceCell<Option<Table>>,
    root: OnceCell<Root>,
}

/// What was found for several addresses, in the order in which they were asked for.
pub struct Answers<'k> {
    known: Vec<Option<(Spot<'k>, Option<&'k str>)>>,
    /// Of the addresses that are not known, in their order.
    places: Places,
    /// Where that of an address is.
    place: Vec<usize>,
    /// Its paths, in the source tree.
    relative: Vec<String>,
}

impl Answers<'_> {
    /// The place of an address, and the name that DWARF has there, if it was wanted.
    pub fn get(&self, index: usize) -> (Spot<'_>, Option<&str>) {
        if let Some(Some(known)) = self.known.get(index) {
            return *known;
        }
        let place = self.place.get(index).and_then(|&at| self.places.places.get(at));
        let Some(place) = place else { return (Spot::default(), None) };
        (spot(&self.places, &self.relative, place), place.name.as_deref())
    }
}

fn spot<'p>(places: &'p Places, relative: &'p [String], place: &super::Place) -> Spot<'p> {
    let path = |file: usize| Some(Path { full: places.files.get(file)?, relative: relative.get(file)? });
    Spot { file: place.file.and_then(path), line: place.line, column: place.column }
}

impl<'a> Kernel<'a> {
    /// Takes the table from the cache, or reads the symbols.
    ///
    /// # Errors
    /// [`ResolveError::NoSymbols`], [`ResolveError::NotElf`].
    pub fn open(vmlinux: &'a Vmlinux, cache: Option<Cache>) -> Result<Kernel<'a>, ResolveError> {
        let elf = vmlinux.elf()?;
        let cache = cache.and_then(|cache| Some((cache, Key::of(&elf)?)));
        let stored = cache.as_ref().and_then(|(cache, key)| cache.load(key));
        let source = match stored {
            Some(table) => Source::Stored(table),
            None => {
                let symbols = Symbols::read(&elf);
                if symbols.is_empty() {
                    return Err(ResolveError::NoSymbols { path: vmlinux.path().to_path_buf() });
                }
                Source::File { symbols, initcalls: OnceCell::new() }
            }
        };
        Ok(Kernel { vmlinux, elf, source, cache, made: OnceCell::new(), root: OnceCell::new() })
    }

    /// The ELF file.
    pub fn elf(&self) -> &Elf<'a> {
        &self.elf
    }

    /// Whether all was in the cache.
    pub fn is_stored(&self) -> bool {
        matches!(self.source, Source::Stored(_))
    }

    /// The function that a symbol says covers an address.
    pub fn covering(&self, address: u64) -> Option<Found<'_>> {
        match &self.source {
            Source::Stored(table) => table.covering(address).map(|(found, _)| found),
            Source::File { symbols, .. } => symbols.covering(address).map(|symbol| symbol.found()),
        }
    }

    /// The function with this name.
    pub fn named(&self, name: &str) -> Option<Found<'_>> {
        match &self.source {
            Source::Stored(table) => table.named(name),
            Source::File { symbols, .. } => symbols.named(name).map(|symbol| symbol.found()),
        }
    }

    /// Where a function begins that no symbol covers, from its call of `__fentry__`.
    pub fn nameless_start(&self, call: u64) -> u64 {
        if image::has_endbr(&self.elf, call.wrapping_sub(4)) { call - 4 } else { call }
    }

    /// Address of `_stext`.
    pub fn text_start(&self) -> Option<u64> {
        match &self.source {
            Source::Stored(table) => table.text_start(),
            Source::File { .. } => slide::text_start(&self.elf),
        }
    }

    /// The kernel's list of its call sites.
    pub fn call_sites(&self) -> Option<Vec<u64>> {
        match &self.source {
            Source::Stored(table) => table.sites(),
            Source::File { .. } => image::call_sites(&self.elf),
        }
    }

    /// What the initcall with its function at this address belongs to.
    pub fn kmod(&self, address: u64) -> Option<&str> {
        match &self.source {
            Source::Stored(table) => table.kmod(address),
            Source::File { initcalls, .. } => initcalls.get_or_init(|| Initcalls::read(&self.elf)).kmod(address),
        }
    }

    /// Where the source tree begins, once something was looked up.
    pub fn root(&self) -> Root {
        self.root.get().cloned().unwrap_or_default()
    }

    /// Files, lines and, if wanted, DWARF's names.
    ///
    /// # Errors
    /// [`ResolveError::Dwarf`]. A vmlinux without DWARF is no error: nothing is known then.
    pub fn look_up(&self, wanted: &[Want]) -> Result<Answers<'_>, ResolveError> {
        let table = self.table(wanted.len())?;
        let known = |want: &Want| {
            let table = table?;
            if want.name {
                return table.nameless(want.address).map(|nameless| (nameless.spot, nameless.name));
            }
            let (found, spot) = table.covering(want.address)?;
            (found.address == want.address).then_some((spot, None))
        };
        let known: Vec<_> = wanted.iter().map(known).collect();
        let (mut unknown, mut place) = (Vec::new(), vec![usize::MAX; wanted.len()]);
        for (index, want) in wanted.iter().enumerate().filter(|(index, _)| known[*index].is_none()) {
            place[index] = unknown.len();
            unknown.push(*want);
        }
        if let Some(table) = table {
            self.root.get_or_init(|| Root::from_prefix(table.root()));
        }
        let (places, relative) = self.places(unknown)?;
        Ok(Answers { known, places, place, relative })
    }

    /// What DWARF says of addresses, and its paths in the source tree.
    fn places(&self, mut wanted: Vec<Want>) -> Result<(Places, Vec<String>), ResolveError> {
        let count = wanted.len();
        let start_kernel = match self.root.get() {
            Some(_) => None,
            None => self.named("start_kernel").map(|found| Want { address: found.address, name: false }),
        };
        wanted.extend(start_kernel);
        let debug = if wanted.is_empty() { None } else { self.debug()? };
        let Some(debug) = debug else { return Ok((Places::empty(count), Vec::new())) };
        let places = debug.places(&wanted).map_err(|reason| self.bad(reason))?;
        let first =
            || start_kernel.and_then(|_| places.file(count)).map_or_else(Root::default, Root::from_start_kernel);
        let root = self.root.get_or_init(first);
        let relative = places.files.iter().map(|file| root.relative(file)).collect();
        Ok((places, relative))
    }

    /// The functions at each address, innermost first, with paths in the source tree if `relative`, else as DWARF
    /// has them.
    ///
    /// # Errors
    /// [`ResolveError::Dwarf`].
    pub fn frames(&self, addresses: &[u64], relative: bool) -> Result<Vec<Vec<Frame>>, ResolveError> {
        let Some(debug) = self.debug()? else { return Ok(vec![Vec::new(); addresses.len()]) };
        let mut all = debug.frames(addresses).map_err(|reason| self.bad(reason))?;
        if relative {
            let root = self.found_root()?;
            for frame in all.iter_mut().flatten() {
                frame.file = frame.file.take().map(|file| root.relative(&file));
            }
        }
        Ok(all)
    }

    /// What is inlined into each of these functions; nothing where a symbol or DWARF is missing.
    ///
    /// # Errors
    /// [`ResolveError::Dwarf`].
    pub fn inlined(&self, functions: &[u64]) -> Result<Vec<Vec<Inlined>>, ResolveError> {
        let Some(debug) = self.debug()? else { return Ok(vec![Vec::new(); functions.len()]) };
        let range = |&address: &u64| match self.covering(address) {
            Some(found) => (found.address, found.address.saturating_add(found.size)),
            None => (address, address),
        };
        let ranges: Vec<(u64, u64)> = functions.iter().map(range).collect();
        let root = self.found_root()?;
        let mut all = debug.inlined(&ranges).map_err(|reason| self.bad(reason))?;
        for inlined in all.iter_mut().flatten() {
            inlined.file = inlined.file.take().map(|file| root.relative(&file));
        }
        Ok(all)
    }

    fn found_root(&self) -> Result<Root, ResolveError> {
        if self.root.get().is_none() {
            self.look_up(&[])?;
        }
        Ok(self.root())
    }

    fn debug(&self) -> Result<Option<Debug<'a>>, ResolveError> {
        Debug::of(self.vmlinux, &self.elf).map_err(|reason| self.bad(reason))
    }

    fn bad(&self, reason: String) -> ResolveError {
        ResolveError::Dwarf { path: self.vmlinux.path().to_path_buf(), reason }
    }

    /// The table: from the cache, or made for it if so many addresses are asked for.
    fn table(&self, wanted: usize) -> Result<Option<&Table>, ResolveError> {
        let (symbols, (cache, key)) = match (&self.source, &self.cache) {
            (Source::Stored(table), _) => return Ok(Some(table)),
            (Source::File { .. }, None) => return Ok(None),
            (Source::File { symbols, .. }, Some(cache)) => (symbols, cache),
        };
        if let Some(made) = self.made.get() {
            return Ok(made.as_ref());
        }
        if wanted < symbols.len() / WORTHWHILE {
            return Ok(None);
        }
        let table = self.make(symbols, key)?;
        if let Some(table) = &table {
            // Next time takes as long as this time, then; nothing is wrong.
            let _ = cache.save(key, table);
        }
        Ok(self.made.get_or_init(|| table).as_ref())
    }

    /// All that is known of all functions. `None` without DWARF, as the same kernel's other file may have it.
    fn make(&self, symbols: &Symbols<'a>, key: &Key) -> Result<Option<Table>, ResolveError> {
        if self.debug()?.is_none() {
            return Ok(None);
        }
        let sites = self.call_sites();
        let calls = sites.iter().flatten().filter(|&&call| symbols.covering(call).is_none());
        let mut nameless: Vec<u64> = calls.map(|&call| self.nameless_start(call)).collect();
        nameless.sort_unstable();
        nameless.dedup();
        let mut wanted: Vec<Want> =
            symbols.iter().map(|symbol| Want { address: symbol.address, name: false }).collect();
        wanted.extend(nameless.iter().map(|&address| Want { address, name: true }));
        let (places, relative) = self.places(wanted)?;
        let mut all = places.places.iter();
        let functions =
            symbols.iter().zip(&mut all).map(|(symbol, place)| (symbol, spot(&places, &relative, place))).collect();
        let nameless = nameless.into_iter().zip(&mut all).map(|(address, place)| {
            (address, Nameless { name: place.name.as_deref(), spot: spot(&places, &relative, place) })
        });
        Ok(Table::build(&Contents {
            build_id: &key.build_id,
            layout: key.layout,
            text_start: self.text_start(),
            root: self.root().prefix(),
            functions,
            longest: symbols.longest(),
            nameless: nameless.collect(),
            sites: sites.as_deref(),
            kmods: Initcalls::read(&self.elf).sorted(),
        }))
    }
}
