// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Source places from DWARF. In: the debug sections of a vmlinux and addresses. Out: [`Place`]s.
//! Never here: ELF symbols (which name functions), relocation (a vmlinux is linked; its
//! `.rela.debug_*` are left alone; of a .ko: [`super::ko`]), reading of sections that are not needed.

use std::borrow::Cow;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use addr2line::{Context, Location};
use gimli::{EndianSlice, LittleEndian, SectionId};
use object::{Object, ObjectSection};

use super::image::Elf;

pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// zlib packs no better than this, and nothing packs DWARF so well: a section that claims more must not
/// get the memory.
const MOST_PACKED: u64 = 1032;

/// An address to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Want {
    /// First address of a function.
    pub address: u64,
    /// Whether its name is wanted too, since no symbol covers it. That costs the parsing of the
    /// functions of its unit; lines alone do not.
    pub name: bool,
}

/// Where a function is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Path as DWARF has it.
    pub file: Option<String>,
    /// Line of its entry.
    pub line: Option<u32>,
    /// Name of the function that DWARF has there, if it was wanted: the outermost, not an inlined one.
    pub name: Option<String>,
}

/// The debug sections; compressed ones are unpacked, the others stay in the mapped file.
pub struct Debug<'a> {
    pub(super) sections: Vec<(SectionId, Cow<'a, [u8]>)>,
}

impl<'a> Debug<'a> {
    /// Finds the sections. `None` if there is no debug information.
    ///
    /// # Errors
    /// A section that cannot be read, as text.
    pub fn load(elf: &Elf<'a>) -> Result<Option<Debug<'a>>, String> {
        let needed = [
            SectionId::DebugInfo,
            SectionId::DebugAbbrev,
            SectionId::DebugStr,
            SectionId::DebugLine,
            SectionId::DebugLineStr,
            SectionId::DebugRngLists,
            SectionId::DebugRanges,
            SectionId::DebugAddr,
            SectionId::DebugStrOffsets,
            SectionId::DebugAranges,
        ];
        let mut sections = Vec::new();
        for id in needed {
            let Some(section) = elf.section_by_name(id.name()) else { continue };
            let packed = section.compressed_data().map_err(|e| format!("{}: {e}", id.name()))?;
            if packed.uncompressed_size / MOST_PACKED > packed.data.len() as u64 {
                return Err(format!("{}: damaged, it claims to hold {} bytes", id.name(), packed.uncompressed_size));
            }
            let data = packed.decompress().map_err(|e| format!("{}: {e}", id.name()))?;
            sections.push((id, data));
        }
        let found = sections.iter().any(|(id, data)| *id == SectionId::DebugInfo && !data.is_empty());
        Ok(found.then_some(Debug { sections }))
    }

    /// A reader over the sections.
    pub(super) fn dwarf(&self) -> Result<Arc<gimli::Dwarf<Slice<'_>>>, String> {
        let load = |id| {
            let data = self.sections.iter().find(|section| section.0 == id).map_or(&[][..], |section| &section.1);
            Ok::<_, gimli::Error>(Slice::new(data, LittleEndian))
        };
        gimli::Dwarf::load(load).map(Arc::new).map_err(|e| e.to_string())
    }

    /// Looks up addresses on several threads. Places come in the order of `wanted`; what DWARF does not
    /// know is empty.
    ///
    /// # Errors
    /// The debug information as a whole cannot be read, as text.
    pub fn places(&self, wanted: &[Want]) -> Result<Vec<Place>, String> {
        let dwarf = self.dwarf()?;
        // Neighbours share a unit: each thread gets a stretch of addresses, and with it its own units.
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        order.sort_by_key(|&index| wanted[index]);
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(8);
        let share = order.len().div_ceil(threads).max(1);
        let mut places = vec![Place::default(); wanted.len()];
        let parts = thread::scope(|scope| {
            let workers: Vec<_> = order
                .chunks(share)
                .map(|part| {
                    let dwarf = Arc::clone(&dwarf);
                    scope.spawn(move || {
                        let context = Context::from_arc_dwarf(dwarf).map_err(|e| e.to_string())?;
                        Ok(part.iter().map(|&index| (index, place(&context, wanted[index]))).collect::<Vec<_>>())
                    })
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|_| Err("the reader of the DWARF panicked".to_owned())))
                .collect::<Result<Vec<_>, String>>()
        })?;
        for (index, place) in parts.into_iter().flatten() {
            places[index] = place;
        }
        Ok(places)
    }
}

/// One damaged unit must not cost the whole report: an error is an empty place.
fn place(context: &Context<Slice<'_>>, want: Want) -> Place {
    // No function is there, and addr2line looks at the address after.
    if want.address == u64::MAX {
        return Place::default();
    }
    if !want.name {
        let found = context.find_location(want.address).ok().flatten();
        return found.map_or_else(Place::default, |location| at(&location));
    }
    let mut place = Place::default();
    let Ok(mut frames) = context.find_frames(want.address).skip_all_loads() else { return place };
    while let Ok(Some(frame)) = frames.next() {
        if let Some(location) = &frame.location {
            place = at(location);
        }
        place.name = frame.function.and_then(|function| function.raw_name().ok().map(Cow::into_owned));
    }
    place
}

fn at(location: &Location<'_>) -> Place {
    Place { file: location.file.map(str::to_owned), line: location.line.filter(|&line| line != 0), name: None }
}
