// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Version 7 of trace.dat: sections, and options that say where they are. In: the file. Out: what version 6 says too.
//! Never here: pages.

use std::collections::{BTreeSet, HashSet};

use super::super::ImportError;
use super::super::input::{Cursor, Input};
use super::packed::{self, Packing};
use super::{CpuData, Found, OPTION_BUFFER, OPTION_CLOCK, OPTION_DONE, event_formats, header_page, shifted};

/// Options that point to sections, and the numbers of those sections.
const HEADERS: u16 = 16;
const EVENT_FORMATS: u16 = 18;

/// A section of options.
const OPTIONS: u16 = 0;

/// Most bytes of sections that are read, packed and unpacked, of all together.
const MOST: u64 = 200 << 20;

/// Most sections of options; trace-cmd writes two or three.
const MOST_OPTIONS: usize = 1000;

/// A section's content, unpacked.
struct Section {
    id: u16,
    start: u64,
    content: Vec<u8>,
}

/// Reads all but the events.
pub(super) fn read(input: &Input, start: u64) -> Result<Found, ImportError> {
    let bytes = input.read_up_to(start, 1024)?;
    let mut cursor = Cursor::new(input.path(), &bytes, start);
    let (name, _version) = (cursor.string()?, cursor.string()?);
    let packing = Packing::named(&name).ok_or_else(|| {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
        let todo = "`trace-cmd convert --compression none` unpacks it";
        ImportError::unsupported(input.path(), format!("it is compressed with {shown:?}"), todo)
    })?;
    let mut found = Found { packing, ..Found::default() };
    let mut next = cursor.u64()?;
    let (mut headers, mut seen) = (None, HashSet::new());
    let (mut formats, mut left) = (BTreeSet::new(), MOST);
    while next != 0 {
        if !seen.insert(next) || seen.len() > MOST_OPTIONS {
            return Err(ImportError::damaged(input.path(), next, "options that lead in a circle"));
        }
        let section = section(input, next, packing, &mut left)?;
        if section.id != OPTIONS {
            let what = format!("options should be here, not section {}", section.id);
            return Err(ImportError::damaged(input.path(), next, what));
        }
        let mut cursor = Cursor::new(input.path(), &section.content, section.start);
        next = 0;
        while !cursor.is_empty() {
            let (id, size) = (cursor.u16()?, cursor.u32()?);
            let at = cursor.offset();
            let mut data = Cursor::new(input.path(), cursor.take(size.into())?, at);
            match id {
                OPTION_DONE => {
                    next = data.u64()?;
                    break;
                }
                HEADERS => headers = Some(data.u64()?),
                EVENT_FORMATS => drop(formats.insert(data.u64()?)),
                OPTION_CLOCK => found.clock = Some(data.string()?),
                OPTION_BUFFER => buffer(&mut data, input, &mut found)?,
                _ => shifted(id, input, &mut found.notes),
            }
        }
    }
    let Some(headers) = headers else {
        return Err(ImportError::damaged(input.path(), start, "no option says where the layout of pages is described"));
    };
    let section = self::section(input, headers, packing, &mut left)?;
    found.header_page = header_page(&mut Cursor::new(input.path(), &section.content, section.start), input)?;
    for at in formats {
        let section = self::section(input, at, packing, &mut left)?;
        event_formats(&mut Cursor::new(input.path(), &section.content, section.start), &mut found)?;
    }
    Ok(found)
}

/// The buffer of an instance: where each CPU's pages are.
fn buffer(data: &mut Cursor<'_>, input: &Input, found: &mut Found) -> Result<(), ImportError> {
    let at = data.u64()?;
    let (_instance, clock) = (data.string()?, data.string()?);
    let page_size = data.u32()?;
    let head = input.read(at, 4)?;
    // Compressed or not is said of each section.
    let compressed = head.get(2).is_some_and(|flags| flags & 1 != 0);
    let cpus = data.u32()?;
    if found.page_size != 0 && (page_size != found.page_size || found.clock.as_ref().is_some_and(|c| *c != clock)) {
        let name = input.path().display();
        found.notes.warn(format!("{name}: an instance with pages or a clock of its own was left out"));
        return Ok(());
    }
    found.page_size = page_size;
    // The top instance's clock is what all say, in brackets; this is the plain name.
    found.clock = Some(clock);
    if !compressed {
        found.packing = Packing::None;
    }
    for _ in 0..cpus {
        let (cpu, offset, size) = (data.u32()?, data.u64()?, data.u64()?);
        found.add(CpuData { cpu, offset, size }, input)?;
    }
    Ok(())
}

/// Reads a section; its bytes are taken off what is `left` for all.
fn section(input: &Input, at: u64, packing: Packing, left: &mut u64) -> Result<Section, ImportError> {
    let head = input.read(at, 16)?;
    let mut cursor = Cursor::new(input.path(), &head, at);
    let (id, flags, _description, size) = (cursor.u16()?, cursor.u16()?, cursor.u32()?, cursor.u64()?);
    let start = cursor.offset();
    let mut spend = |size: u64| -> Result<(), ImportError> {
        *left = left.checked_sub(size).ok_or_else(|| {
            let what = format!("a section of {size} bytes, where all together may have {MOST}");
            ImportError::damaged(input.path(), at, what)
        })?;
        Ok(())
    };
    spend(size)?;
    let content = input.read(start, size)?;
    if flags & 1 == 0 {
        return Ok(Section { id, start, content });
    }
    let mut cursor = Cursor::new(input.path(), &content, start);
    let (packed, unpacked) = (cursor.u32()?, cursor.u32()?);
    spend(unpacked.into())?;
    let content = packed::unpack(packing, cursor.take(packed.into())?, unpacked.into(), MOST)
        .map_err(|what| ImportError::damaged(input.path(), start, what))?;
    Ok(Section { id, start, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A section; packed or not.
    fn put(file: &mut Vec<u8>, id: u16, packed: bool, content: &[u8]) -> u64 {
        let at = file.len() as u64;
        let bytes = if packed {
            let bytes = zstd::encode_all(content, 1).expect("it packs");
            [&(bytes.len() as u32).to_le_bytes()[..], &(content.len() as u32).to_le_bytes(), &bytes].concat()
        } else {
            content.to_vec()
        };
        file.extend(id.to_le_bytes());
        file.extend(u16::from(packed).to_le_bytes());
        file.extend([0; 4]);
        file.extend((bytes.len() as u64).to_le_bytes());
        file.extend(bytes);
        at
    }

    /// What is found where `options` say that descriptions of events are; sections of 1 MiB without any, and how many.
    fn found(sections: usize, options: impl Fn(&[u64]) -> Vec<u64>) -> Result<Found, ImportError> {
        let mut file = b"zstd\x001\0".to_vec();
        file.extend([0; 8]);
        let zeros = vec![0; 1 << 20];
        let formats: Vec<u64> = (0..sections).map(|_| put(&mut file, EVENT_FORMATS, true, &zeros)).collect();
        let event = "type_len : 5 bits\ntime_delta : 27 bits\npadding : type == 29\ntime_extend : type == 30\n\
                     data max type_len == 28\n";
        let head = [&b"header_page\0\0\0\0\0\0\0\0\0header_event\0"[..], &(event.len() as u64).to_le_bytes()].concat();
        let headers = put(&mut file, HEADERS, false, &[&head[..], event.as_bytes()].concat());
        let mut content = Vec::new();
        for (id, at) in
            std::iter::once((HEADERS, headers)).chain(options(&formats).into_iter().map(|at| (EVENT_FORMATS, at)))
        {
            content.extend(id.to_le_bytes());
            content.extend(8u32.to_le_bytes());
            content.extend(at.to_le_bytes());
        }
        let at = put(&mut file, OPTIONS, false, &content);
        file[7..15].copy_from_slice(&at.to_le_bytes());
        read(&Input::bytes(file), 0)
    }

    #[test]
    fn a_section_is_unpacked_once() {
        // 1 GiB, were each read for itself.
        assert!(found(1, |formats| vec![formats[0]; 1000]).is_ok());
    }

    #[test]
    fn all_sections_together_are_bounded() {
        assert!(found(100, <[u64]>::to_vec).is_ok());
        let error = found(201, <[u64]>::to_vec).err().expect("too many").to_string();
        assert!(error.contains("all together"), "{error}");
    }
}
