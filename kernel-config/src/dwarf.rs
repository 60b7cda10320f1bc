// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Offsets of structure members, from a vmlinux's DWARF. In: the mapped file, a structure's name, the
//! members wanted. Out: byte offsets. Stops at the first unit that defines the structure.

use gimli::{AttributeValue, DW_AT_data_member_location, DW_AT_declaration, DW_AT_name, DW_AT_type, EndianSlice};
use gimli::{DW_TAG_member, DW_TAG_structure_type, Dwarf, LittleEndian, Reader, Unit, UnitOffset};
use object::{Object, ObjectSection};
use std::borrow::Cow;
use std::collections::HashMap;

/// Most members that are looked at: unnamed structures that name each other have no end.
const MOST_MEMBERS: u32 = 100_000;

/// No structure is larger; a damaged offset is.
pub const LARGEST: u64 = 1 << 20;

/// zlib packs no better than this, and nothing packs DWARF so well: a section that claims more is
/// damaged, and must not get the memory.
const MOST_PACKED: u64 = 1032;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// The debug sections, decompressed where they are compressed.
pub struct Sections<'a>(HashMap<&'static str, Cow<'a, [u8]>>);

impl<'a> Sections<'a> {
    /// Reads what [`member_offsets`] needs.
    pub fn load(bytes: &'a [u8]) -> Option<Sections<'a>> {
        let file = object::File::parse(bytes).ok()?;
        let mut map = HashMap::new();
        for id in [
            gimli::SectionId::DebugInfo,
            gimli::SectionId::DebugAbbrev,
            gimli::SectionId::DebugStr,
            gimli::SectionId::DebugLineStr,
            gimli::SectionId::DebugStrOffsets,
            gimli::SectionId::DebugAddr,
            // A unit's header is not accepted without its line program's.
            gimli::SectionId::DebugLine,
        ] {
            if let Some(section) = file.section_by_name(id.name()) {
                let packed = section.compressed_data().ok()?;
                if packed.uncompressed_size / MOST_PACKED > packed.data.len() as u64 {
                    return None;
                }
                map.insert(id.name(), packed.decompress().ok()?);
            }
        }
        map.contains_key(".debug_info").then_some(Sections(map))
    }

    fn dwarf(&self) -> Option<Dwarf<Slice<'_>>> {
        let load = |id: gimli::SectionId| -> Result<Slice<'_>, gimli::Error> {
            Ok(EndianSlice::new(self.0.get(id.name()).map_or(&[][..], |c| c), LittleEndian))
        };
        Dwarf::load(load).ok()
    }

    /// Byte offsets of `members` of `structure`; members of unnamed inner structures and unions count as
    /// its own. Members that it does not have are absent. `None` if no unit defines it.
    pub fn member_offsets(&self, structure: &str, members: &[&str]) -> Option<HashMap<String, u64>> {
        let dwarf = self.dwarf()?;
        let mut units = dwarf.units();
        while let Ok(Some(header)) = units.next() {
            let Ok(unit) = dwarf.unit(header) else { continue };
            let mut entries = unit.entries();
            while let Ok(Some(entry)) = entries.next_dfs() {
                if entry.tag() != DW_TAG_structure_type || entry.attr_value(DW_AT_declaration).is_some() {
                    continue;
                }
                if name_of(&dwarf, &unit, entry.attr_value(DW_AT_name)).as_deref() == Some(structure) {
                    let (dwarf, unit) = (&dwarf, &unit);
                    let mut search = Search { dwarf, unit, members, found: HashMap::new(), left: MOST_MEMBERS };
                    search.collect(entry.offset(), 0, 0);
                    return Some(search.found);
                }
            }
        }
        None
    }
}

fn name_of<R: Reader>(dwarf: &Dwarf<R>, unit: &Unit<R>, value: Option<AttributeValue<R>>) -> Option<String> {
    let text = dwarf.attr_string(unit, value?).ok()?;
    Some(text.to_string_lossy().ok()?.into_owned())
}

/// The members of one structure, while they are collected.
struct Search<'a> {
    dwarf: &'a Dwarf<Slice<'a>>,
    unit: &'a Unit<Slice<'a>>,
    members: &'a [&'a str],
    found: HashMap<String, u64>,
    /// Members that may still be looked at.
    left: u32,
}

impl Search<'_> {
    fn collect(&mut self, at: UnitOffset, base: u64, depth: usize) {
        let (dwarf, unit) = (self.dwarf, self.unit);
        let Ok(mut tree) = unit.entries_tree(Some(at)) else { return };
        let Ok(root) = tree.root() else { return };
        let mut children = root.children();
        while let Ok(Some(child)) = children.next() {
            let entry = child.entry();
            if entry.tag() != DW_TAG_member {
                continue;
            }
            let Some(left) = self.left.checked_sub(1) else { return };
            self.left = left;
            let offset = entry.attr_value(DW_AT_data_member_location).and_then(|v| v.udata_value()).unwrap_or(0);
            let Some(at) = base.checked_add(offset).filter(|&at| at < LARGEST) else { continue };
            match name_of(dwarf, unit, entry.attr_value(DW_AT_name)) {
                Some(name) if self.members.contains(&name.as_str()) => {
                    self.found.entry(name).or_insert(at);
                }
                None if depth < 8 => {
                    if let Some(AttributeValue::UnitRef(inner)) = entry.attr_value(DW_AT_type) {
                        self.collect(inner, at, depth + 1);
                    }
                }
                _ => {}
            }
        }
    }
}
