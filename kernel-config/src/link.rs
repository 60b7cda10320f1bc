// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A linker for one object: the guest. In: the object that `build.rs` has compiled and checked, an
//! address, values for its undefined symbols. Out: bytes to load there, and where its functions are.
//! Knows the few relocation kinds that the code model gives, and refuses any other.

use object::{Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionIndex, SymbolIndex};
use std::collections::HashMap;

/// The guest object.
pub const GUEST_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.o"));

/// The object cannot be linked: a mistake in this crate, since the gate has passed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("linking the guest object: {0}")]
pub struct LinkError(pub String);

/// A linked guest.
#[derive(Clone, Debug)]
pub struct Linked {
    /// Text and constants, to be loaded at the address given.
    pub bytes: Vec<u8>,
    /// Addresses of its functions.
    pub symbols: HashMap<String, u64>,
}

impl Linked {
    /// Address of one of its functions.
    ///
    /// # Errors
    /// When the object has no such function.
    pub fn address(&self, name: &str) -> Result<u64, LinkError> {
        self.symbols.get(name).copied().ok_or_else(|| LinkError(format!("no function {name}")))
    }
}

/// Links the object to run at `base`; `value` gives the undefined symbols.
///
/// # Errors
/// An unknown symbol or relocation, or a value out of reach.
pub fn link(bytes: &[u8], base: u64, value: impl Fn(&str) -> Option<u64>) -> Result<Linked, LinkError> {
    let fail = |what: String| LinkError(what);
    let file = object::File::parse(bytes).map_err(|e| fail(e.to_string()))?;
    let mut placed: HashMap<SectionIndex, u64> = HashMap::new();
    let mut out = Vec::new();
    // Text first, the trampolines before the rest: they share the fewest cache lines and pages.
    let mut sections: Vec<_> = file.sections().filter(|s| s.size() > 0 && is_placed(s.name().unwrap_or(""))).collect();
    sections.sort_by_key(|s| rank(s.name().unwrap_or("")));
    for section in &sections {
        out.resize(out.len().next_multiple_of(section.align().max(1) as usize), 0xcc);
        placed.insert(section.index(), out.len() as u64);
        out.extend_from_slice(section.data().map_err(|e| fail(e.to_string()))?);
    }
    let resolve = |index: SymbolIndex| -> Result<u64, LinkError> {
        let symbol = file.symbol_by_index(index).map_err(|e| fail(e.to_string()))?;
        let name = symbol.name().unwrap_or("");
        match symbol.section_index() {
            Some(section) => placed
                .get(&section)
                .map(|at| base + at + symbol.address())
                .ok_or_else(|| fail(format!("{name} lies in a section that is not loaded"))),
            None => value(name).ok_or_else(|| fail(format!("no value for {name}"))),
        }
    };
    for section in &sections {
        let start = placed[&section.index()];
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(symbol) = relocation.target() else {
                return Err(fail("a relocation against no symbol".into()));
            };
            let RelocationFlags::Elf { r_type } = relocation.flags() else {
                return Err(fail("not an ELF relocation".into()));
            };
            let place = base + start + offset;
            let sum = resolve(symbol)?.wrapping_add(relocation.addend() as u64);
            let at = (start + offset) as usize;
            let (stored, width) = match r_type {
                object::elf::R_X86_64_64 => (sum, 8),
                object::elf::R_X86_64_32S => (sum, 4),
                object::elf::R_X86_64_PC32 | object::elf::R_X86_64_PLT32 => (sum.wrapping_sub(place), 4),
                other => return Err(fail(format!("relocation type {other:?} is not known"))),
            };
            if width == 4 && i64::from(stored as i32) != stored as i64 {
                return Err(fail(format!("a value is out of reach: {stored:#x}")));
            }
            out[at..at + width].copy_from_slice(&stored.to_le_bytes()[..width]);
        }
    }
    let symbols = file
        .symbols()
        .filter(|s| s.is_global() && !s.is_undefined())
        .filter_map(|s| Some((s.name().ok()?.to_string(), base + placed.get(&s.section_index()?)? + s.address())))
        .collect();
    Ok(Linked { bytes: out, symbols })
}

fn is_placed(name: &str) -> bool {
    name.starts_with(".text") || name.starts_with(".rodata")
}

fn rank(name: &str) -> u8 {
    match name {
        ".text.eft_entry" => 0,
        ".text.eft_return" => 1,
        _ if name.starts_with(".text") => 2,
        _ => 3,
    }
}
