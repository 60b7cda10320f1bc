// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Source places from DWARF. In: the debug sections of a vmlinux and addresses. Out: [`Places`].
//! Never here: ELF symbols (which name functions), reading of sections that are not needed.

use std::borrow::Cow;
use std::collections::HashMap;

use addr2line::Context;
use gimli::{AttributeValue, ColumnType, IncompleteLineProgram, LineProgramHeader};

use super::debug::{Debug, Slice};
use super::frames::{Readers, frames};
use super::units::{Claim, Found};

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
    /// Path as DWARF has it: an index into [`Places::files`].
    pub file: Option<usize>,
    /// Line of its entry.
    pub line: Option<u32>,
    /// Column of its entry.
    pub column: Option<u32>,
    /// Name of the function that DWARF has there, if it was wanted: the outermost, not an inlined one.
    pub name: Option<String>,
}

/// Where functions are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Paths as DWARF has them, each once.
    pub files: Vec<String>,
    /// In the order in which they were asked for; what DWARF does not know is empty.
    pub places: Vec<Place>,
}

impl Places {
    /// Nothing is known of so many.
    pub fn empty(count: usize) -> Places {
        Places { files: Vec::new(), places: vec![Place::default(); count] }
    }

    /// The path of a place.
    pub fn file(&self, index: usize) -> Option<&str> {
        self.files.get(self.places.get(index)?.file?).map(String::as_str)
    }
}

/// What one unit says of one address.
struct Answer {
    claim: Claim,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    name: Option<String>,
}

/// A row of the line table that holds for an address.
#[derive(Clone, Copy)]
struct Row {
    file: u64,
    line: u32,
    column: u32,
}

impl Debug<'_> {
    /// Looks up addresses on several threads.
    ///
    /// # Errors
    /// The debug information as a whole cannot be read, as text.
    pub fn places(&self, wanted: &[Want]) -> Result<Places, String> {
        let readers = Readers::new(self);
        let addresses: Vec<u64> = wanted.iter().map(|want| want.address).collect();
        let mut answers = self.each_unit(&addresses, |found| answers(found, wanted, &readers))?;
        answers.sort_by_key(|answer| (answer.claim.index, answer.claim.rank));
        answers.dedup_by_key(|answer| answer.claim.index);
        let mut places = Places::empty(wanted.len());
        let mut known: HashMap<String, usize> = HashMap::new();
        for Answer { claim, file, line, column, name } in answers {
            let files = &mut places.files;
            let file = file.map(|file| {
                *known.entry(file).or_insert_with_key(|file| {
                    files.push(file.clone());
                    files.len() - 1
                })
            });
            places.places[claim.index] = Place { file, line, column, name };
        }
        Ok(places)
    }
}

/// One damaged unit must not cost the whole report: what cannot be read has no answer.
fn answers(found: &Found<'_>, wanted: &[Want], readers: &Readers<'_>) -> Vec<Answer> {
    let mut answers = Vec::new();
    let (named, lines): (Vec<Claim>, Vec<Claim>) =
        found.claims.iter().partition(|claim| wanted.get(claim.index).is_some_and(|want| want.name));
    if !named.is_empty() {
        readers.with(found.at, |context| answers.extend(named.iter().filter_map(|claim| outermost(context, *claim))));
    }
    let addresses: Vec<u64> = lines.iter().map(|claim| claim.address).collect();
    let Some(program) = found.unit.line_program.clone().filter(|_| !lines.is_empty()) else { return answers };
    let Ok((header, rows)) = rows(program, &addresses) else { return answers };
    let mut files: HashMap<u64, Option<String>> = HashMap::new();
    for (&claim, row) in lines.iter().zip(rows) {
        let Some(row) = row else { continue };
        let file = files.entry(row.file).or_insert_with(|| path(found, &header, row.file)).clone();
        let line = Some(row.line).filter(|&line| line != 0);
        let column = line.and(Some(row.column)).filter(|&column| column != 0);
        answers.push(Answer { claim, file, line, column, name: None });
    }
    answers
}

/// The function itself, and the place in it, be it one where another was inlined.
fn outermost(context: &Context<Slice<'_>>, claim: Claim) -> Option<Answer> {
    let frame = frames(context, claim.address).pop()?;
    Some(Answer { claim, file: frame.file, line: frame.line, column: frame.column, name: frame.name })
}

/// Runs a line program; the rows that hold for addresses, which are sorted.
fn rows<'a>(
    program: IncompleteLineProgram<Slice<'a>>,
    addresses: &[u64],
) -> gimli::Result<(LineProgramHeader<Slice<'a>>, Vec<Option<Row>>)> {
    let mut out: Vec<Option<Row>> = vec![None; addresses.len()];
    let mut rows = program.rows();
    // The last row, and the first address that it or a later row of its sequence may hold for.
    let mut last: Option<(u64, Row)> = None;
    let mut next = 0;
    while let Some((_, row)) = rows.next_row()? {
        let address = row.address();
        if let Some((began, last)) = last
            && began < address
        {
            while let Some(found) = out.get_mut(next).filter(|_| addresses[next] < address) {
                found.get_or_insert(last);
                next += 1;
            }
        }
        if row.end_sequence() {
            last = None;
            continue;
        }
        if last.is_none_or(|(began, _)| address < began) {
            next = addresses.partition_point(|&wanted| wanted < address);
        }
        let line = row.line().map_or(0, |line| line.get() as u32);
        let column = match row.column() {
            ColumnType::LeftEdge => 0,
            ColumnType::Column(column) => column.get() as u32,
        };
        last = Some((address, Row { file: row.file_index(), line, column }));
    }
    Ok((rows.header().clone(), out))
}

/// The path of a file in a line table: its directory may be relative to that of the unit.
fn path(found: &Found<'_>, header: &LineProgramHeader<Slice<'_>>, index: u64) -> Option<String> {
    let Some(file) = header.file(index) else { return (index == 0).then(String::new) };
    let mut path = found.unit.comp_dir.map_or_else(String::new, |directory| lossy(directory).into_owned());
    let mut push = |part: AttributeValue<Slice<'_>>| {
        let part = found.dwarf.attr_string(&found.unit, part).ok()?;
        let part = lossy(part);
        if part.starts_with('/') {
            path.clear();
        } else if !path.is_empty() && !path.ends_with('/') {
            path.push('/');
        }
        path.push_str(&part);
        Some(())
    };
    // The first directory is that of the unit.
    if file.directory_index() != 0
        && let Some(directory) = file.directory(header)
    {
        push(directory)?;
    }
    push(file.path_name())?;
    Some(path)
}

fn lossy<'a>(text: Slice<'a>) -> Cow<'a, str> {
    String::from_utf8_lossy(text.slice())
}
