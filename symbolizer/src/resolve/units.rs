// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Which units of the debug information have code at which addresses. In: debug sections, addresses. Out: each
//! unit that has some of them, handed to a worker, on several threads. Never here: what is asked of the unit.
//!
//! A kernel has some 3,000 units. `.debug_aranges` says at once where the code of each is; units that are not
//! in it (clang writes none) have that in their root entry. Of a unit only header and root entry are read
//! here, as if it ended there.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{iter, thread};

use gimli::{DebugAbbrev, DebugAbbrevOffset, DebugAranges, DebugInfoOffset, LittleEndian, Reader, SectionId};
use gimli::{UnitHeader, UnitType};

use super::debug::{Debug, Slice};

/// No kernel has so many units (a kernel with every driver: 30,000); a damaged file might.
const MOST_UNITS: usize = 1 << 20;

/// What a unit's header and root entry fit in, unless it holds its strings itself.
const WINDOW: usize = 512;

/// The most that is tried for those that do.
const LARGE_WINDOW: usize = 1 << 16;

/// Units that a thread takes at a time.
const SHARE: usize = 8;

/// A unit's place in `.debug_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnitAt {
    pub(super) offset: u64,
    /// Bytes, with its length field.
    pub(super) size: u64,
}

/// An address that a unit claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    pub(super) address: u64,
    /// Which of the wanted addresses it is.
    pub(super) index: usize,
    /// If several units claim an address, that with the smallest rank which has an answer is right: the one
    /// whose range ends first, then the one that comes first.
    pub(super) rank: (u64, usize),
}

/// A unit with some of the wanted addresses.
pub(super) struct Found<'u> {
    pub(super) at: UnitAt,
    /// Without entries but the root.
    pub(super) unit: gimli::Unit<Slice<'u>>,
    pub(super) dwarf: &'u gimli::Dwarf<Slice<'u>>,
    /// By address.
    pub(super) claims: Vec<Claim>,
}

impl Debug<'_> {
    /// Lets `work` look at each unit that has some of these addresses, and gathers what it gives.
    ///
    /// # Errors
    /// The debug information as a whole cannot be read, as text.
    pub(super) fn each_unit<T: Send>(
        &self,
        wanted: &[u64],
        work: impl Fn(&Found<'_>) -> Vec<T> + Sync,
    ) -> Result<Vec<T>, String> {
        let mut sorted: Vec<(u64, usize)> = wanted.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        let units = self.units();
        let ranges = self.address_ranges();
        // A unit that says where its code is, and has none that is wanted, is not even opened.
        let units: Vec<(usize, UnitAt)> = iter::zip(0.., units)
            .filter(|(_, unit)| {
                ranges.get(&unit.offset).is_none_or(|all| all.iter().any(|range| !within(&sorted, *range).is_empty()))
            })
            .collect();
        let next = AtomicUsize::new(0);
        let one_thread = || {
            let mut out = Vec::new();
            loop {
                let first = next.fetch_add(SHARE, Ordering::Relaxed);
                let Some(share) = units.get(first..units.len().min(first + SHARE)).filter(|share| !share.is_empty())
                else {
                    return out;
                };
                for &(number, at) in share {
                    // One damaged unit must not cost the others.
                    if let Some(found) = self.look(number, at, &sorted, ranges.get(&at.offset), &work) {
                        out.extend(found);
                    }
                }
            }
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(8).min(units.len().div_ceil(SHARE));
        if threads <= 1 {
            return Ok(one_thread());
        }
        let parts = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(one_thread)).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().map_err(|_| "the reader of the DWARF panicked".to_owned()))
                .collect::<Result<Vec<_>, String>>()
        })?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// Opens one unit, finds the addresses that it claims, and hands it on.
    fn look<T>(
        &self,
        number: usize,
        at: UnitAt,
        sorted: &[(u64, usize)],
        ranges: Option<&Vec<(u64, u64)>>,
        work: impl Fn(&Found<'_>) -> T,
    ) -> Option<T> {
        let mut window = Vec::new();
        for size in [WINDOW, LARGE_WINDOW] {
            let whole = at.size <= size as u64;
            if !self.info_window(at.offset, size.min(usize::try_from(at.size).ok()?), &mut window) {
                return None;
            }
            end_here(&mut window)?;
            let dwarf = self.dwarf_with(&window)?;
            let header = dwarf.debug_info.header_from_offset(DebugInfoOffset(0)).ok()?;
            if matches!(header.type_(), UnitType::Type { .. } | UnitType::SplitType { .. } | UnitType::Partial) {
                return None;
            }
            let Some(unit) = self.root(&dwarf, header) else {
                if whole {
                    return None;
                }
                continue;
            };
            let own = if ranges.is_none() { own_ranges(&dwarf, &unit) } else { Vec::new() };
            let mut claims = Vec::new();
            for &range in ranges.unwrap_or(&own) {
                let rank = (range.1, number);
                claims.extend(within(sorted, range).iter().map(|&(address, index)| Claim { address, index, rank }));
                // A damaged table may name one range a million times.
                if claims.len() > 2 * sorted.len() {
                    claims.sort_unstable();
                    claims.dedup_by_key(|claim| claim.index);
                }
            }
            claims.sort_unstable();
            claims.dedup_by_key(|claim| claim.index);
            let found = Found { at, unit, dwarf: &dwarf, claims };
            return (!found.claims.is_empty()).then(|| work(&found));
        }
        None
    }

    /// The unit, with what its root entry says. A unit's table of abbreviations has some hundred, and only that of
    /// the root is wanted, which is the first of it.
    fn root<'s>(
        &'s self,
        dwarf: &gimli::Dwarf<Slice<'s>>,
        header: UnitHeader<Slice<'s>>,
    ) -> Option<gimli::Unit<Slice<'s>>> {
        let code = header.range_from(header.root_offset()..).ok()?.read_uleb128().ok()?;
        let table = self.section(SectionId::DebugAbbrev).get(header.debug_abbrev_offset().0..)?;
        let mut rest = Slice::new(table, LittleEndian);
        while skip_abbreviation(&mut rest)? != code {}
        let until = DebugAbbrev::new(&table[..table.len() - rest.len()], LittleEndian);
        let abbreviations = until.abbreviations(DebugAbbrevOffset(0)).ok()?;
        gimli::Unit::new_with_abbreviations(dwarf, header, abbreviations.into()).ok()
    }

    /// All units, in their order; type units have no code.
    fn units(&self) -> Vec<UnitAt> {
        let end = self.section(SectionId::DebugInfo).len() as u64;
        let (mut units, mut offset, mut length) = (Vec::new(), 0u64, Vec::new());
        for _ in 0..MOST_UNITS {
            if offset >= end || !self.info_window(offset, 12, &mut length) {
                break;
            }
            let Ok((rest, format)) = Slice::new(&length, LittleEndian).read_initial_length() else { break };
            let size = u64::from(format.initial_length_size()).saturating_add(rest as u64);
            if size > end - offset {
                break;
            }
            units.push(UnitAt { offset, size });
            offset += size;
        }
        units
    }

    /// What `.debug_aranges` says: begin and end of the code of units, by their offsets. What is damaged is left
    /// out.
    fn address_ranges(&self) -> HashMap<u64, Vec<(u64, u64)>> {
        let mut all: HashMap<u64, Vec<(u64, u64)>> = HashMap::new();
        let section = DebugAranges::new(self.section(SectionId::DebugAranges), LittleEndian);
        let mut headers = section.headers();
        while let Ok(Some(header)) = headers.next() {
            let mut entries = header.entries();
            while let Some(entry) = entries.next().transpose() {
                let Ok(entry) = entry else { continue };
                if entry.length() != 0 {
                    let range = (entry.range().begin, entry.range().end);
                    all.entry(header.debug_info_offset().0 as u64).or_default().push(range);
                }
            }
        }
        all
    }
}

/// The wanted addresses in a range.
fn within(sorted: &[(u64, usize)], (begin, end): (u64, u64)) -> &[(u64, usize)] {
    let first = sorted.partition_point(|&(address, _)| address < begin);
    let count = sorted[first..].partition_point(|&(address, _)| address < end);
    &sorted[first..first + count]
}

/// Steps over a declaration in a table of abbreviations; its code. `None` at the table's end.
fn skip_abbreviation(table: &mut Slice<'_>) -> Option<u64> {
    let code = table.read_uleb128().ok().filter(|&code| code != 0)?;
    table.read_uleb128().ok()?;
    table.read_u8().ok()?;
    loop {
        let name = table.read_uleb128().ok()?;
        let form = table.read_uleb128().ok()?;
        if form == u64::from(gimli::DW_FORM_implicit_const.0) {
            table.read_sleb128().ok()?;
        }
        if (name, form) == (0, 0) {
            return Some(code);
        }
    }
}

/// Makes the first bytes of a unit a unit of its own.
fn end_here(window: &mut [u8]) -> Option<()> {
    let (_, format) = Slice::new(window, LittleEndian).read_initial_length().ok()?;
    let field = usize::from(format.initial_length_size());
    let rest = window.len().checked_sub(field)? as u64;
    match format {
        gimli::Format::Dwarf32 => window[..4].copy_from_slice(&u32::try_from(rest).ok()?.to_le_bytes()),
        gimli::Format::Dwarf64 => window[4..12].copy_from_slice(&rest.to_le_bytes()),
    }
    Some(())
}

/// What the root entry says of the unit's code; if it says nothing, all there is: its lines will tell.
fn own_ranges(dwarf: &gimli::Dwarf<Slice<'_>>, unit: &gimli::Unit<Slice<'_>>) -> Vec<(u64, u64)> {
    let mut own = Vec::new();
    if let Ok(mut ranges) = dwarf.unit_ranges(unit) {
        while let Ok(Some(range)) = ranges.next() {
            own.push((range.begin, range.end));
        }
    }
    if own.is_empty() { vec![(0, u64::MAX)] } else { own }
}
