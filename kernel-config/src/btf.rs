// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Offsets of structure members, from a vmlinux's BTF: what a kernel without debug information has, too
//! (CONFIG_DEBUG_INFO_BTF). In: the section `.BTF`, a structure's name, the members wanted. Out: byte offsets. Never
//! here: types of functions and variables.
//!
//! ```text
//! header   magic u16 = 0xeb9f, version u8 = 1, flags u8, hdr_len u32, type_off, type_len, str_off, str_len: u32
//! type     name_off u32; info u32: members in bits 0..16, kind in 24..29, bit 31 kind_flag; size or type u32;
//!          then what its kind has
//! member   name_off u32, type u32, offset u32: in bits; with kind_flag the lower 24 bits of it
//! ```
//! Offsets in the header are from its end. Type 1 is the first one. Source: Documentation/bpf/btf.rst.

use crate::dwarf::LARGEST;
use object::{Object, ObjectSection};
use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;

/// Bytes of a type before what its kind has, and of a member.
const ENTRY: usize = 12;

/// Deepest nesting of unnamed structures.
const DEEPEST: u32 = 8;

/// Most members that are looked at: structures of a damaged section may contain themselves.
const MOST_MEMBERS: u32 = 100_000;

/// The section, with the place of each type.
pub struct Types<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    places: Vec<usize>,
}

/// One type.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: u32,
    flag: bool,
    members: usize,
    inner: u32,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

impl<'a> Types<'a> {
    /// Of a vmlinux, if it has them.
    pub fn load(bytes: &'a [u8]) -> Option<Types<'a>> {
        let file = object::File::parse(bytes).ok()?;
        Types::read(file.section_by_name(".BTF")?.data().ok()?)
    }

    /// Of the section's bytes; none if they are damaged.
    fn read(bytes: &'a [u8]) -> Option<Types<'a>> {
        if bytes.get(..3)? != [MAGIC.to_le_bytes()[0], MAGIC.to_le_bytes()[1], 1] {
            return None;
        }
        let field = |at| Some(u32_at(bytes, at)? as usize);
        let body = bytes.get(field(4)?..)?;
        let part = |at: usize| -> Option<&'a [u8]> {
            let start = field(at)?;
            body.get(start..start.checked_add(field(at + 4)?)?)
        };
        let mut types = Types { types: part(8)?, strings: part(16)?, places: Vec::new() };
        let mut at = 0;
        while at < types.types.len() {
            let found = types.at(at)?;
            types.places.push(at);
            at = at.checked_add(ENTRY)?.checked_add(rest(found)?)?;
        }
        Some(types)
    }

    fn at(&self, at: usize) -> Option<Type> {
        let word = |index: usize| u32_at(self.types, at + 4 * index);
        let info = word(1)?;
        Some(Type {
            name: word(0)?,
            kind: info >> 24 & 31,
            flag: info >> 31 != 0,
            members: (info & 0xffff) as usize,
            inner: word(2)?,
        })
    }

    /// Where type `id` stands, and what it is, behind typedefs and qualifiers.
    fn get(&self, id: u32) -> Option<(usize, Type)> {
        let mut id = id;
        for _ in 0..DEEPEST {
            let place = *self.places.get((id as usize).checked_sub(1)?)?;
            let found = self.at(place)?;
            if !matches!(found.kind, TYPEDEF | VOLATILE | CONST | RESTRICT) {
                return Some((place, found));
            }
            id = found.inner;
        }
        None
    }

    fn name(&self, offset: u32) -> &[u8] {
        let text = self.strings.get(offset as usize..).unwrap_or_default();
        text.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// Byte offsets of `members` of `structure`; members of unnamed inner structures and unions count as its own.
    /// Members that it does not have are absent. `None` if there is no such structure.
    pub fn member_offsets(&self, structure: &str, members: &[&str]) -> Option<HashMap<String, u64>> {
        let is_it = |at: &usize| {
            self.at(*at).is_some_and(|found| found.kind == STRUCT && self.name(found.name) == structure.as_bytes())
        };
        let place = *self.places.iter().find(|at| is_it(at))?;
        let mut search = Search { members, found: HashMap::new(), left: MOST_MEMBERS };
        self.collect(place, 0, 0, &mut search);
        Some(search.found)
    }

    fn collect(&self, place: usize, base: u64, depth: u32, search: &mut Search<'_>) {
        let Some(outer) = self.at(place).filter(|outer| matches!(outer.kind, STRUCT | UNION)) else { return };
        for member in 0..outer.members {
            let Some(left) = search.left.checked_sub(1) else { return };
            search.left = left;
            let word = |index: usize| u32_at(self.types, place + ENTRY * (member + 1) + 4 * index);
            let (Some(name), Some(id), Some(bits)) = (word(0), word(1), word(2)) else { return };
            let bits = if outer.flag { bits & 0xff_ffff } else { bits };
            let at = base + u64::from(bits / 8);
            if at >= LARGEST {
                continue;
            }
            let name = self.name(name);
            if !name.is_empty() {
                if let Some(wanted) = search.members.iter().find(|wanted| wanted.as_bytes() == name) {
                    search.found.entry((*wanted).to_owned()).or_insert(at);
                }
            } else if depth < DEEPEST
                && let Some((inner, _)) = self.get(id)
            {
                self.collect(inner, at, depth + 1, search);
            }
        }
    }
}

struct Search<'a> {
    members: &'a [&'a str],
    found: HashMap<String, u64>,
    /// Members that may still be looked at.
    left: u32,
}

/// Bytes behind a type's first three words.
fn rest(found: Type) -> Option<usize> {
    Some(match found.kind {
        // Integers, variables, tags of declarations.
        1 | 14 | 17 => 4,
        3 => 12,
        // Structures, unions, sections, enumerations of 64 bits.
        STRUCT | UNION | 15 | 19 => ENTRY * found.members,
        // Enumerations, prototypes.
        6 | 13 => 8 * found.members,
        // Pointers, forward declarations, typedefs, qualifiers, functions, floats, tags of types.
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRINGS: &[u8] = b"\0task\0pid\0comm\0state\0int\0";

    fn offset(name: &str) -> u32 {
        let text = format!("\0{name}\0");
        STRINGS.windows(text.len()).position(|part| part == text.as_bytes()).map_or(0, |at| at as u32 + 1)
    }

    /// int; an unnamed struct { int state; int comm; }; const of it; struct task { int pid:8 bits in; const unnamed; }.
    fn section() -> Vec<u8> {
        let info = |kind: u32, members: u32, flag: bool| kind << 24 | members | u32::from(flag) << 31;
        let types = [
            [offset("int"), info(1, 0, false), 4].as_slice(),
            &[32],
            &[0, info(STRUCT, 2, false), 8],
            &[offset("state"), 1, 0, offset("comm"), 1, 32],
            &[0, info(CONST, 0, false), 2],
            &[offset("task"), info(STRUCT, 2, true), 16],
            &[offset("pid"), 1, 8 << 24 | 16, 0, 3, 64],
        ]
        .concat();
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [24, 0, types.len() as u32, types.len() as u32, STRINGS.len() as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(types);
        bytes.extend(STRINGS);
        bytes
    }

    #[test]
    fn members_are_found_in_unnamed_structures_too() {
        let section = section();
        let types = Types::read(&section).expect("whole");
        let found = types.member_offsets("task", &["pid", "comm", "state", "prio"]).expect("there is one");
        let expected = [("pid", 2), ("state", 8), ("comm", 12)].map(|(name, at)| (name.to_owned(), at));
        assert_eq!(found, HashMap::from(expected));
        assert!(types.member_offsets("int", &["pid"]).is_none());
    }

    #[test]
    fn damaged_sections_have_an_end_and_no_panic() {
        let section = section();
        for length in 0..section.len() {
            let _ = Types::read(&section[..length]).map(|types| types.member_offsets("task", &["pid"]));
        }
        for at in 0..section.len() {
            for value in [0, 3, 0x7f, 0xff] {
                let mut bytes = section.clone();
                bytes[at] = value;
                let _ = Types::read(&bytes).map(|types| types.member_offsets("task", &["pid", "comm"]));
            }
        }
    }
}
