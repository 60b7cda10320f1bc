// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Names and places of the functions that a trace hit. In: sites, a vmlinux and .ko files. Out: one
//! [`Named`] for each site, fit for a terminal: a vmlinux may come from anywhere. Addresses that go in are
//! those that ran; of kernel code, those that come out are the vmlinux's. Never here: figures.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::rc::Rc;

use super::style::printable;
use crate::calltree::Site;
use crate::calltree::modules::Module;
use crate::resolve::image;
use crate::resolve::ko::{self, Ko};
use crate::resolve::lines::Want;
use crate::resolve::tree::Root;
use crate::resolve::{Cache, Inlined, Kernel, Missing, ModuleFiles, ResolveError, Slide, Vmlinux, slide};

/// Bytes of a `call __fentry__`; the site that the guest records is the address after it.
pub const CALL: u64 = 5;

/// Modules are loaded from here up (`MODULES_VADDR` with the usual 512 MiB for the kernel image; 1 GiB
/// with KASLR); no vmlinux knows what lies there.
pub const MODULES: u64 = slide::IMAGE_END;

/// Where a name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The ELF symbol table.
    Symbol,
    /// DWARF: no symbol covers the address.
    Dwarf,
    /// Nothing: the code of a module that is not known, or has no file.
    Module,
    /// Nothing: neither symbol nor DWARF.
    Unknown,
}

/// A function that was hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name (`NAME [MODULE]` in a module), or `section N+0x... [MODULE]` where that module has no file,
    /// `[module] 0x...` where it is not known, `[no symbol] FILE:LINE`, `[unknown] 0x...`.
    pub name: String,
    /// Its first address: of kernel code, in the vmlinux.
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
    /// The module that it belongs to, if that is known; its name has it too.
    pub module: Option<String>,
}

impl Named {
    fn blank(call: u64) -> Named {
        Named {
            name: String::new(),
            address: call,
            site: call,
            aliases: 0,
            file: None,
            line: None,
            origin: Origin::Unknown,
            module: None,
        }
    }
}

/// Where a module's function is in its file.
struct InModule {
    file: Rc<Result<Ko, Missing>>,
    /// As [`ko::place`] has it.
    place: u64,
}

/// Puts files and lines to functions in modules: each file's DWARF is read once, for all of them.
fn put_lines(named: &mut [Named], in_modules: Vec<Option<InModule>>, root: &Root) {
    let mut files: BTreeMap<PathBuf, Vec<(usize, InModule)>> = BTreeMap::new();
    for (index, found) in in_modules.into_iter().enumerate() {
        if let Some(found) = found
            && let Ok(ko) = found.file.as_ref()
        {
            files.entry(ko.path().to_path_buf()).or_default().push((index, found));
        }
    }
    for wanted in files.into_values() {
        let addresses: Vec<u64> = wanted.iter().map(|(_, found)| found.place).collect();
        let Some(Ok(ko)) = wanted.first().map(|(_, found)| found.file.as_ref()) else { continue };
        let Ok(places) = ko.lines(&addresses) else { continue };
        for (at, (index, _)) in wanted.iter().enumerate() {
            named[*index].file = places.file(at).map(|file| printable(&root.relative(file)));
            named[*index].line = places.places.get(at).and_then(|place| place.line);
        }
    }
}

/// Names by address, as far as symbols go; DWARF is read on [`Names::resolve`].
pub struct Names<'a> {
    kernel: Kernel<'a>,
    slide: Slide,
    modules: ModuleFiles,
    /// Modules whose functions could not be named so far.
    nameless: RefCell<BTreeMap<String, Missing>>,
}

impl<'a> Names<'a> {
    /// Reads the symbol table.
    ///
    /// # Errors
    /// [`ResolveError::NoSymbols`], [`ResolveError::NotElf`].
    pub fn open(vmlinux: &'a Vmlinux) -> Result<Names<'a>, ResolveError> {
        Names::cached(vmlinux, None)
    }

    /// Takes what is known of this vmlinux from a cache, and puts it there; without it, reads the symbol table.
    ///
    /// # Errors
    /// [`ResolveError::NoSymbols`], [`ResolveError::NotElf`].
    pub fn cached(vmlinux: &'a Vmlinux, cache: Option<Cache>) -> Result<Names<'a>, ResolveError> {
        Ok(Names {
            kernel: Kernel::open(vmlinux, cache)?,
            slide: Slide::default(),
            modules: ModuleFiles::default(),
            nameless: RefCell::default(),
        })
    }

    /// Where the files of modules are looked for; without it, nowhere.
    pub fn look_for_modules(&mut self, modules: ModuleFiles) {
        self.modules = modules;
    }

    /// For a kernel whose `_stext` was at this address; 0 if that is not known.
    ///
    /// # Errors
    /// [`ResolveError::Slide`]; names are then looked up as if nothing had moved.
    pub fn ran_at(&mut self, text_start: u64) -> Result<(), ResolveError> {
        self.slide = Slide::between(text_start, self.kernel.text_start())?;
        Ok(())
    }

    /// How far the kernel ran from where the vmlinux has it.
    pub fn slide(&self) -> Slide {
        self.slide
    }

    /// The kernel alone.
    pub fn kernel(&self) -> &Kernel<'a> {
        &self.kernel
    }

    /// Build ID of the vmlinux.
    pub fn build_id(&self) -> Option<String> {
        image::build_id(self.kernel.elf())
    }

    /// The kernel's list of its call sites, at their addresses in the vmlinux.
    pub fn call_sites(&self) -> Option<Vec<u64>> {
        self.kernel.call_sites()
    }

    /// What the guest records of a function: the address after its call of `__fentry__`, which is its
    /// first instruction, or comes after `endbr64`, as it ran.
    pub fn site_of(&self, name: &str) -> Option<u64> {
        let address = self.kernel.named(name)?.address;
        let landing = if image::has_endbr(self.kernel.elf(), address) { 4 } else { 0 };
        address.checked_add(landing + CALL).map(|site| self.slide.apply(site))
    }

    /// The function of a site by the symbol tables alone.
    pub fn quick<'s>(&self, site: impl Into<Site<'s>>) -> Named {
        self.find(site.into()).0
    }

    /// Modules whose functions were asked for and have no names, and why.
    pub fn nameless(&self) -> Vec<(String, Missing)> {
        self.nameless.borrow().iter().map(|(module, why)| (module.clone(), why.clone())).collect()
    }

    fn find(&self, site: Site<'_>) -> (Named, Option<InModule>) {
        match site.module {
            Some(module) => self.in_module(site.address.wrapping_sub(CALL), module),
            None => (self.in_kernel(self.slide.undo(site.address).wrapping_sub(CALL)), None),
        }
    }

    fn in_module(&self, call: u64, module: &Module) -> (Named, Option<InModule>) {
        let shown = printable(&module.name);
        let mut named = Named { module: Some(shown.clone()), ..Named::blank(call) };
        named.origin = Origin::Module;
        let Some(section) = module.section(call) else {
            named.name = format!("{call:#x} [{shown}]");
            return (named, None);
        };
        let offset = (call - section.address) as u32;
        named.name = format!("section {}+{offset:#x} [{shown}]", section.index);
        let file = self.modules.find(&module.name, &module.build_id);
        let why = match file.as_ref() {
            Ok(ko) if ko.has(section.index, section.size) => {
                let Some((start, symbol)) = ko.covering(section.index, offset) else { return (named, None) };
                named.name = format!("{} [{shown}]", printable(&symbol.name));
                named.address = section.address + u64::from(start);
                named.aliases = symbol.aliases;
                named.origin = Origin::Symbol;
                return (named, Some(InModule { place: ko::place(section.index, start), file: Rc::clone(&file) }));
            }
            Ok(ko) => Missing::OtherSections(ko.path().to_path_buf()),
            Err(why) => why.clone(),
        };
        self.nameless.borrow_mut().entry(shown).or_insert(why);
        (named, None)
    }

    /// `call` is an address in the vmlinux.
    fn in_kernel(&self, call: u64) -> Named {
        let blank = Named::blank(call);
        if let Some(found) = self.kernel.covering(call) {
            let (name, address, aliases) = (printable(found.name), found.address, found.aliases);
            return Named { name, address, aliases, origin: Origin::Symbol, ..blank };
        }
        if call >= MODULES {
            return Named { name: format!("[module] {call:#x}"), origin: Origin::Module, ..blank };
        }
        Named { name: format!("[unknown] {call:#x}"), address: self.kernel.nameless_start(call), ..blank }
    }

    /// The functions of sites, with files and lines.
    ///
    /// # Errors
    /// [`ResolveError::Dwarf`]. A vmlinux without DWARF is no error: places are empty then. Nor is
    /// anything that is wrong with a module's file: its functions lack what cannot be read.
    pub fn resolve<'s, S: Into<Site<'s>>>(&self, sites: impl Iterator<Item = S>) -> Result<Vec<Named>, ResolveError> {
        let found: Vec<(Named, Option<InModule>)> = sites.map(|site| self.find(site.into())).collect();
        let (mut named, in_modules): (Vec<Named>, Vec<Option<InModule>>) = found.into_iter().unzip();
        let in_kernel = |named: &Named| named.module.is_none() && named.origin != Origin::Module;
        let kernel: Vec<usize> = (0..named.len()).filter(|&index| in_kernel(&named[index])).collect();
        let want = |named: &Named| Want { address: named.address, name: named.origin == Origin::Unknown };
        let wanted: Vec<Want> = kernel.iter().map(|&index| want(&named[index])).collect();
        let answers = self.kernel.look_up(&wanted)?;
        for (at, index) in kernel.into_iter().enumerate() {
            let (spot, name) = answers.get(at);
            let named = &mut named[index];
            named.file = spot.file.map(|file| printable(file.relative));
            named.line = spot.line;
            if let Some(name) = name {
                named.name = printable(name);
                named.origin = Origin::Dwarf;
            } else if let (Origin::Unknown, Some(file), Some(line)) = (named.origin, &named.file, named.line) {
                // A weak function that lost against a strong one: its code stays, its symbol goes.
                named.name = format!("[no symbol] {file}:{line}");
            }
        }
        put_lines(&mut named, in_modules, &self.kernel.root());
        Ok(named)
    }

    /// What is inlined into each of these functions; nothing where a symbol or DWARF is missing.
    ///
    /// # Errors
    /// [`ResolveError::Dwarf`].
    pub fn inlined(&self, functions: &[u64]) -> Result<Vec<Vec<Inlined>>, ResolveError> {
        self.kernel.inlined(functions)
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
    /// Those of them that have no name.
    pub nameless: u64,
    /// Sites that fired and are in no list.
    pub strangers: u64,
}

impl Coverage {
    /// Compares what fired with what the vmlinux lists.
    pub fn of(listed: Option<Vec<u64>>, named: &[Named]) -> Coverage {
        let known: Option<HashSet<u64>> = listed.map(|sites| sites.into_iter().collect());
        let mut coverage = Coverage { sites: known.as_ref().map(|known| known.len() as u64), ..Coverage::default() };
        for named in named {
            if named.origin == Origin::Module || named.module.is_some() {
                coverage.modules += 1;
                coverage.nameless += u64::from(named.origin == Origin::Module);
            } else if known.as_ref().is_none_or(|known| known.contains(&named.site)) {
                coverage.hit += 1;
            } else {
                coverage.strangers += 1;
            }
        }
        coverage
    }
}
