// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Inlined functions from DWARF. In: the code of functions, as address ranges. Out: what the compiler
//! has put into each, as a tree, by size of code. Such functions have no call of their own: their time
//! is self time of the function around them. Never here: which of that code ran.

use std::borrow::Cow;
use std::collections::BTreeMap;

use addr2line::Context;

use super::debug::{Debug, Slice};
use super::frames::Readers;
use super::units::Claim;

/// One inlined function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inlined {
    /// Its name.
    pub name: String,
    /// 1: inlined into the function itself; 2: into that one; and so on.
    pub depth: usize,
    /// File of the place where it is called, as DWARF has it.
    pub file: Option<String>,
    /// Line of that place.
    pub line: Option<u32>,
    /// Bytes of code, with those inlined into it.
    pub bytes: u64,
}

/// Name of an inlined function, and the file and line where it is called.
type Step = (String, Option<String>, Option<u32>);

impl Debug<'_> {
    /// What is inlined into the code from each start up to its end; parents before their children,
    /// largest first.
    ///
    /// # Errors
    /// The debug information as a whole cannot be read, as text.
    pub fn inlined(&self, ranges: &[(u64, u64)]) -> Result<Vec<Vec<Inlined>>, String> {
        let readers = Readers::new(self);
        let starts: Vec<u64> = ranges.iter().map(|range| range.0).collect();
        let mut found = self.each_unit(&starts, |found| {
            let all = readers.with(found.at, |context| {
                let one = |&claim: &Claim| Some((claim, tree(context, *ranges.get(claim.index)?)));
                found.claims.iter().filter_map(one).collect::<Vec<_>>()
            });
            all.unwrap_or_default()
        })?;
        found.retain(|(_, tree)| !tree.is_empty());
        found.sort_by_key(|(claim, _)| (claim.index, claim.rank));
        found.dedup_by_key(|(claim, _)| claim.index);
        let mut all = vec![Vec::new(); ranges.len()];
        for (claim, tree) in found {
            all[claim.index] = tree;
        }
        Ok(all)
    }
}

/// One damaged unit must not cost the whole report: what cannot be read is absent.
fn tree(context: &Context<Slice<'_>>, (start, end): (u64, u64)) -> Vec<Inlined> {
    let mut sizes: BTreeMap<Vec<Step>, u64> = BTreeMap::new();
    let Ok(rows) = context.find_location_range(start, end) else { return Vec::new() };
    for (address, length, _) in rows {
        let Some(path) = path(context, address) else { continue };
        // The row's code belongs to each of the functions around it.
        let length = length.min(end.saturating_sub(address));
        for depth in 1..=path.len() {
            *sizes.entry(path[..depth].to_vec()).or_default() += length;
        }
    }
    let mut out = Vec::new();
    children(&sizes, &[], &mut out);
    out
}

/// The inlined functions at an address, outermost first.
fn path(context: &Context<Slice<'_>>, address: u64) -> Option<Vec<Step>> {
    let mut frames = context.find_frames(address).skip_all_loads().ok()?;
    let mut names = Vec::new();
    let mut places = Vec::new();
    while let Ok(Some(frame)) = frames.next() {
        let name = frame.function.and_then(|function| function.raw_name().ok().map(Cow::into_owned))?;
        names.push(name);
        places.push(frame.location.map(|location| (location.file.map(str::to_owned), location.line)));
    }
    // Innermost first; the place in a frame is where the one inside it is called.
    let outer = places.into_iter().skip(1).map(Option::unwrap_or_default);
    let mut steps: Vec<Step> = names.into_iter().zip(outer).map(|(name, (file, line))| (name, file, line)).collect();
    steps.reverse();
    Some(steps)
}

fn children(sizes: &BTreeMap<Vec<Step>, u64>, parent: &[Step], out: &mut Vec<Inlined>) {
    let inside = |path: &&Vec<Step>| path.len() == parent.len() + 1 && path.starts_with(parent);
    let mut here: Vec<&Vec<Step>> = sizes.keys().filter(inside).collect();
    here.sort_by_key(|path| std::cmp::Reverse(sizes[*path]));
    for path in here {
        let (name, file, line) = path[parent.len()].clone();
        out.push(Inlined { name, depth: path.len(), file, line, bytes: sizes[path] });
        children(sizes, path, out);
    }
}
