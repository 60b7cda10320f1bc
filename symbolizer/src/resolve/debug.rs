// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The debug sections of an ELF file. In: a vmlinux or a .ko. Out: readers over them. Never here: what they say,
//! relocation (a vmlinux is linked; its `.rela.debug_*` are left alone; of a .ko: [`super::ko`]).
//!
//! `.debug_info` is by far the largest section, and of most of its units only the first bytes are wanted. Read
//! through a map they would cost 64 KiB of resident memory each (the kernel maps around a fault), nearly all of
//! the section together; read with `pread` they cost what they are. So it is mapped, for those units that are
//! read whole, and has a way around the map.

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;

use gimli::{EndianSlice, LittleEndian, SectionId};
use object::{Object, ObjectSection};

use super::image::{Elf, Vmlinux};

pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// zlib packs no better than this, and nothing packs DWARF so well: a section that claims more must not
/// get the memory.
const MOST_PACKED: u64 = 1032;

const NEEDED: [SectionId; 10] = [
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

/// The debug sections; compressed ones are unpacked, the others stay in the mapped file.
pub struct Debug<'a> {
    pub(super) sections: Vec<(SectionId, Cow<'a, [u8]>)>,
    /// The file that `.debug_info` lies in as it is, and where.
    info_file: Option<(&'a File, u64)>,
}

impl<'a> Debug<'a> {
    /// Finds the sections. `None` if there is no debug information.
    ///
    /// # Errors
    /// A section that cannot be read, as text.
    pub fn load(elf: &Elf<'a>) -> Result<Option<Debug<'a>>, String> {
        let mut sections = Vec::new();
        for id in NEEDED {
            let Some(section) = elf.section_by_name(id.name()) else { continue };
            let packed = section.compressed_data().map_err(|e| format!("{}: {e}", id.name()))?;
            if packed.uncompressed_size / MOST_PACKED > packed.data.len() as u64 {
                return Err(format!("{}: damaged, it claims to hold {} bytes", id.name(), packed.uncompressed_size));
            }
            let data = packed.decompress().map_err(|e| format!("{}: {e}", id.name()))?;
            sections.push((id, data));
        }
        let found = sections.iter().any(|(id, data)| *id == SectionId::DebugInfo && !data.is_empty());
        Ok(found.then_some(Debug { sections, info_file: None }))
    }

    /// The same of a vmlinux, without mapping more of it than needed.
    ///
    /// # Errors
    /// A section that cannot be read, as text.
    pub fn of(vmlinux: &'a Vmlinux, elf: &Elf<'a>) -> Result<Option<Debug<'a>>, String> {
        let Some(mut debug) = Debug::load(elf)? else { return Ok(None) };
        if let Some((SectionId::DebugInfo, Cow::Borrowed(_))) = debug.sections.first() {
            let range = elf.section_by_name(SectionId::DebugInfo.name()).and_then(|section| section.file_range());
            debug.info_file = range.map(|(offset, _)| (vmlinux.file(), offset));
        }
        Ok(Some(debug))
    }

    /// A section's bytes; none if it is absent.
    pub(super) fn section(&self, id: SectionId) -> &[u8] {
        self.sections.iter().find(|section| section.0 == id).map_or(&[][..], |section| &section.1)
    }

    /// A reader over the sections, with other bytes for `.debug_info`: a unit alone. `.debug_aranges`, which goes by
    /// offsets of units, is left out.
    pub(super) fn dwarf_with<'s>(&'s self, info: &'s [u8]) -> Option<gimli::Dwarf<Slice<'s>>> {
        let load = |id| {
            let data = match id {
                SectionId::DebugInfo => info,
                SectionId::DebugAranges => &[],
                other => self.section(other),
            };
            Ok::<_, gimli::Error>(Slice::new(data, LittleEndian))
        };
        gimli::Dwarf::load(load).ok()
    }

    /// Up to `size` bytes of `.debug_info` from `at`, as a copy, and not through the map.
    pub(super) fn info_window(&self, at: u64, size: usize, copy: &mut Vec<u8>) -> bool {
        let info = self.section(SectionId::DebugInfo);
        let left = (info.len() as u64).saturating_sub(at);
        let size = (left as usize).min(size);
        copy.resize(size, 0);
        match self.info_file {
            Some((file, start)) => file.read_exact_at(copy, start.saturating_add(at)).is_ok(),
            None => {
                let start = info.len() - left as usize;
                copy.copy_from_slice(&info[start..start + size]);
                true
            }
        }
    }
}
