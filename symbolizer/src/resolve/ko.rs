// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A module's .ko file. In: the file, as it is or packed with zstd. Out: its build ID, its executable
//! sections, the symbol that covers a place in one of them, lines from its DWARF. Never here: where
//! sections were loaded, the search for the file.
//!
//! A .ko is not linked: each of its sections begins at 0. What the rest of [`super`] takes for an address
//! is here a [`place`], which has the section in it.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use object::elf::{SHF_ALLOC, SHF_EXECINSTR};
use object::read::elf::ElfFile64;
use object::{Architecture, Object, ObjectKind, ObjectSection, SectionFlags};

use super::debug::Debug;
use super::image::{self, Elf};
use super::lines::{Places, Want};
use super::symbols::{Symbol, Symbols};

/// The largest .ko that is unpacked: those of GPU drivers have about 100 MiB with debug information.
const MOST_UNPACKED: u64 = 1 << 30;

/// A section and an offset in it, as one number.
pub const fn place(section: u16, offset: u32) -> u64 {
    (section as u64) << 32 | offset as u64
}

/// A .ko file that was read.
#[derive(Debug)]
pub struct Ko {
    path: PathBuf,
    /// In hexadecimal.
    pub build_id: Option<String>,
    /// Whether it has DWARF.
    pub has_debug: bool,
    /// Executable sections: index and size.
    sections: Vec<(u16, u64)>,
    /// By [`place`].
    symbols: Symbols<'static>,
}

/// The file's bytes.
enum Bytes {
    Mapped(Mmap),
    Unpacked(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Unpacked(bytes) => bytes,
        }
    }
}

impl Ko {
    /// Reads sections and symbols.
    ///
    /// # Errors
    /// It cannot be read, or is no x86-64 .ko with symbols, as text.
    pub fn open(path: &Path) -> Result<Ko, String> {
        let bytes = bytes(path)?;
        let elf = parse(&bytes)?;
        let symbols = Symbols::placed(&elf, |section, value| {
            let index = u16::try_from(section?.0).ok()?;
            Some(place(index, u32::try_from(value).ok()?))
        });
        if symbols.is_empty() {
            return Err("it has no function symbols".to_owned());
        }
        Ok(Ko {
            path: path.to_path_buf(),
            build_id: image::build_id(&elf),
            has_debug: elf.section_by_name(".debug_info").is_some(),
            sections: elf.sections().filter_map(|section| Some((code(&section)?, section.size()))).collect(),
            symbols: symbols.into_owned(),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether an executable section with this index has this size.
    pub fn has(&self, section: u16, size: u32) -> bool {
        self.sections.contains(&(section, u64::from(size)))
    }

    /// The symbol that covers a place: its offset in the section, and the symbol.
    pub fn covering(&self, section: u16, offset: u32) -> Option<(u32, &Symbol<'static>)> {
        let symbol = self.symbols.covering(place(section, offset))?;
        // A size that reaches over the end of its section is a lie.
        (symbol.address >> 32 == u64::from(section)).then_some((symbol.address as u32, symbol))
    }

    /// Files and lines of [`place`]s, in their order; empty where there is no debug information.
    ///
    /// # Errors
    /// The file or its debug information as a whole cannot be read, as text.
    pub fn lines(&self, places: &[u64]) -> Result<Places, String> {
        let bytes = bytes(&self.path)?;
        let Some(debug) = Debug::load_relocated(&parse(&bytes)?)? else {
            return Ok(Places::empty(places.len()));
        };
        let wanted: Vec<Want> = places.iter().map(|&address| Want { address, name: false }).collect();
        debug.places(&wanted)
    }
}

/// The index of a section with code.
pub(super) fn code<'a>(section: &impl ObjectSection<'a>) -> Option<u16> {
    let wanted = SHF_ALLOC | SHF_EXECINSTR;
    match section.flags() {
        SectionFlags::Elf { sh_flags, .. } if sh_flags & wanted == wanted => u16::try_from(section.index().0).ok(),
        _ => None,
    }
}

fn bytes(path: &Path) -> Result<Bytes, String> {
    let map = File::open(path).and_then(|file| image::map(&file)).map_err(|e| e.to_string())?;
    if path.extension().is_none_or(|extension| extension != "zst") {
        return Ok(Bytes::Mapped(map));
    }
    let mut unpacked = Vec::new();
    let decoder = zstd::Decoder::with_buffer(&*map).map_err(|e| e.to_string())?;
    decoder.take(MOST_UNPACKED).read_to_end(&mut unpacked).map_err(|e| format!("zstd: {e}"))?;
    Ok(Bytes::Unpacked(unpacked))
}

fn parse(bytes: &[u8]) -> Result<Elf<'_>, String> {
    let elf: Elf<'_> = ElfFile64::parse(bytes).map_err(|e| e.to_string())?;
    if elf.architecture() != Architecture::X86_64 || elf.kind() != ObjectKind::Relocatable {
        return Err("it is no x86-64 kernel module".to_owned());
    }
    Ok(elf)
}

impl<'a> Debug<'a> {
    /// The debug sections of a .ko, with their relocations applied: code is at its [`place`].
    ///
    /// # Errors
    /// A section that cannot be read, as text.
    pub(super) fn load_relocated(elf: &Elf<'a>) -> Result<Option<Debug<'a>>, String> {
        let Some(mut debug) = Debug::load(elf)? else { return Ok(None) };
        for (id, data) in &mut debug.sections {
            if let Some(section) = elf.section_by_name(id.name()) {
                relocate(elf, &section, data);
            }
        }
        Ok(Some(debug))
    }
}

/// Applies a section's relocations, as far as they are of the two kinds that debug sections have: whole
/// addresses, and 32-bit offsets into other debug sections. What is damaged is left alone.
fn relocate<'a>(elf: &Elf<'a>, section: &impl ObjectSection<'a>, data: &mut Cow<'_, [u8]>) {
    use object::{ObjectSymbol, RelocationKind, RelocationTarget};
    for (offset, relocation) in section.relocations() {
        let RelocationTarget::Symbol(index) = relocation.target() else { continue };
        let Ok(symbol) = elf.symbol_by_index(index) else { continue };
        let home = symbol.section_index().and_then(|index| elf.section_by_index(index).ok());
        let base = home.and_then(|section| code(&section)).map_or(0, |index| place(index, 0));
        let value = base.wrapping_add(symbol.address()).wrapping_add(relocation.addend() as u64);
        let bytes = match (relocation.kind(), relocation.size()) {
            (RelocationKind::Absolute, 64) => 8,
            (RelocationKind::Absolute, 32) => 4,
            _ => continue,
        };
        let Some(end) = usize::try_from(offset).ok().and_then(|at| at.checked_add(bytes)) else { continue };
        if end <= data.len() {
            data.to_mut()[end - bytes..end].copy_from_slice(&value.to_le_bytes()[..bytes]);
        }
    }
}
