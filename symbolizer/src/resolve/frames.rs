// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Functions and what is inlined into them, at an address. In: the debug sections, addresses. Out: frames, innermost
//! first. Never here: which of the inlined code ran.
//!
//! The entries of a unit's functions are read by `addr2line`, which reads the roots of all units first. Only
//! some units are asked for, so each gets a reader of its own, as if it were the only one.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use addr2line::{Context, Location};
use gimli::{DebugAbbrevOffset, SectionId, UnitHeader};

use super::debug::{Debug, Slice};
use super::units::UnitAt;

/// A function at an address, or one inlined into the next of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its name in DWARF.
    pub name: Option<String>,
    /// Path of the place in it, as DWARF has it.
    pub file: Option<String>,
    /// Line of that place.
    pub line: Option<u32>,
    /// Column of that place.
    pub column: Option<u32>,
}

/// Readers of single units.
pub(super) struct Readers<'d> {
    debug: &'d Debug<'d>,
    /// Of all units, for those that refer to others (as link-time optimization makes them).
    whole: Mutex<Option<Context<Slice<'d>>>>,
}

impl<'d> Readers<'d> {
    pub(super) fn new(debug: &'d Debug<'d>) -> Readers<'d> {
        Readers { debug, whole: Mutex::new(None) }
    }

    /// Does something with the reader of a unit; `None` if it cannot be read.
    pub(super) fn with<T>(&self, at: UnitAt, work: impl FnOnce(&Context<Slice<'_>>) -> T) -> Option<T> {
        let all = self.debug.section(SectionId::DebugInfo);
        let start = usize::try_from(at.offset).ok()?;
        let info = all.get(start..start.checked_add(usize::try_from(at.size).ok()?)?)?;
        let dwarf = self.debug.dwarf_with(info)?;
        let header = dwarf.units().next().ok().flatten()?;
        if !self.refers_to_others(&header) {
            return Some(work(&Context::from_dwarf(dwarf).ok()?));
        }
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if whole.is_none() {
            *whole = Context::from_dwarf(self.debug.dwarf_with(all)?).ok();
        }
        whole.as_ref().map(work)
    }

    fn refers_to_others(&self, header: &UnitHeader<Slice<'_>>) -> bool {
        let table = gimli::DebugAbbrev::new(self.debug.section(SectionId::DebugAbbrev), gimli::LittleEndian);
        let Ok(table) = table.abbreviations(DebugAbbrevOffset(header.debug_abbrev_offset().0)) else { return false };
        let mut entries = (1..).map_while(|code| table.get(code));
        entries.any(|entry| entry.attributes().iter().any(|attribute| attribute.form() == gimli::DW_FORM_ref_addr))
    }
}

/// The frames at an address, innermost first; none where the unit has neither function nor line.
pub(super) fn frames(context: &Context<Slice<'_>>, address: u64) -> Vec<Frame> {
    let mut all = Vec::new();
    // addr2line looks at the address after, too.
    if address == u64::MAX {
        return all;
    }
    let Ok(mut frames) = context.find_frames(address).skip_all_loads() else { return all };
    while let Ok(Some(frame)) = frames.next() {
        let name = frame.function.and_then(|function| function.raw_name().ok().map(Cow::into_owned));
        let mut out = Frame { name, ..Frame::default() };
        if let Some(Location { file, line, column }) = frame.location {
            out.file = file.map(str::to_owned);
            out.line = line.filter(|&line| line != 0);
            out.column = column.filter(|&column| column != 0 && out.line.is_some());
        }
        all.push(out);
    }
    all
}

impl Debug<'_> {
    /// The frames at each address, innermost first.
    ///
    /// # Errors
    /// The debug information as a whole cannot be read, as text.
    pub fn frames(&self, addresses: &[u64]) -> Result<Vec<Vec<Frame>>, String> {
        let readers = Readers::new(self);
        let mut found = self.each_unit(addresses, |found| {
            let all = readers.with(found.at, |context| {
                found.claims.iter().map(|&claim| (claim, frames(context, claim.address))).collect::<Vec<_>>()
            });
            all.unwrap_or_default()
        })?;
        found.retain(|(_, frames)| !frames.is_empty());
        found.sort_by_key(|(claim, _)| (claim.index, claim.rank));
        found.dedup_by_key(|(claim, _)| claim.index);
        let mut all = vec![Vec::new(); addresses.len()];
        for (claim, frames) in found {
            all[claim.index] = frames;
        }
        Ok(all)
    }
}
