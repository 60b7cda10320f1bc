// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a vmlinux says about its own call sites and functions, read here once more from the ELF file
//! so that the witness shares no code with what it checks. In: the file. Out: addresses and names.
//! Never here: DWARF.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};

/// A kernel image in memory.
#[derive(Debug)]
pub struct Image {
    bytes: Vec<u8>,
}

impl Image {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read or is no ELF file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        object::File::parse(&*bytes).with_context(|| format!("{}: no ELF file", path.display()))?;
        Ok(Self { bytes })
    }

    fn elf(&self) -> object::File<'_> {
        object::File::parse(&*self.bytes).expect("parsed in read already")
    }

    /// Sorted addresses of the kernel's `call __fentry__` instructions, as its own table lists them.
    ///
    /// # Errors
    /// When there is no such table.
    pub fn call_sites(&self) -> Result<Vec<u64>> {
        let elf = self.elf();
        let (start, stop) = (symbol(&elf, "__start_mcount_loc")?, symbol(&elf, "__stop_mcount_loc")?);
        let table = loaded(&elf, start..stop)?;
        let mut sites: Vec<u64> = table.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        sites.sort_unstable();
        // Overridden weak functions leave zeros in the table of some kernels.
        sites.dedup();
        sites.retain(|&site| site != 0);
        Ok(sites)
    }

    /// All function names at each address.
    pub fn functions(&self) -> HashMap<u64, Vec<String>> {
        let mut functions: HashMap<u64, Vec<String>> = HashMap::new();
        for symbol in self.elf().symbols() {
            if let (SymbolKind::Text | SymbolKind::Unknown, Ok(name)) = (symbol.kind(), symbol.name()) {
                functions.entry(symbol.address()).or_default().push(name.to_owned());
            }
        }
        functions
    }

    /// The file with `replacement` at each of `addresses`.
    ///
    /// # Errors
    /// When nothing is loaded at one of them.
    pub fn patched(mut self, addresses: &[u64], replacement: &[u8]) -> Result<Vec<u8>> {
        let segments: Vec<_> = self.elf().segments().map(|segment| (segment.address(), segment.file_range())).collect();
        for &address in addresses {
            let offset = segments.iter().find_map(|&(start, (offset, size))| {
                let within = address.checked_sub(start).filter(|&within| within < size)?;
                usize::try_from(offset + within).ok()
            });
            let place = offset.and_then(|offset| self.bytes.get_mut(offset..offset + replacement.len()));
            place.with_context(|| format!("nothing is loaded at {address:#x}"))?.copy_from_slice(replacement);
        }
        Ok(self.bytes)
    }
}

fn symbol(elf: &object::File<'_>, name: &str) -> Result<u64> {
    let found = elf.symbol_by_name(name).with_context(|| format!("the kernel has no symbol {name}"))?;
    Ok(found.address())
}

fn loaded<'data>(elf: &object::File<'data>, range: Range<u64>) -> Result<&'data [u8]> {
    let size = range.end.checked_sub(range.start).context("the kernel's table of call sites ends before it starts")?;
    for segment in elf.segments() {
        if let Some(data) = segment.data_range(range.start, size)? {
            return Ok(data);
        }
    }
    bail!("no segment of the kernel is loaded at {:#x}", range.start)
}
