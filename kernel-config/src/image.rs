// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A vmlinux: what is in the file, and a copy of its loadable segments that can be patched. In: a path.
//! Out: symbols, segments, notes; at the end a bootable ELF file without sections. The input is mapped
//! read-only and never written.

use crate::error::InjectError;
use memmap2::Mmap;
use object::elf::{EM_X86_64, ET_EXEC, FileHeader64, NoteType, PT_LOAD, PT_NOTE, ProgramHeader64};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Endianness, LittleEndian, Object, ObjectSection, ObjectSymbol, SectionIndex};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// `__START_KERNEL_map` (arch/x86/include/asm/page_64_types.h): kernel text is mapped from here to
/// physical address 0, wherever KASLR does not move it.
pub const START_KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;

/// Behind the image's range; modules are from here up (`MODULES_VADDR`, the higher of its two values).
const IMAGE_END: u64 = 0xffff_ffff_c000_0000;

/// Larger than any per-CPU area, and below all kernel addresses.
const OFFSETS_END: u64 = 1 << 31;

/// Xen's note for the 32-bit entry of a PVH guest (XEN_ELFNOTE_PHYS32_ENTRY).
const NOTE_PHYS32_ENTRY: NoteType = NoteType(18);

/// A symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Address, or offset in the per-CPU area.
    pub address: u64,
    /// Size in bytes, 0 if not stated.
    pub size: u64,
}

/// One loadable segment, in memory.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Virtual address (0 for the per-CPU segment).
    pub virt: u64,
    /// Physical address.
    pub phys: u64,
    /// Bytes in the file.
    pub data: Vec<u8>,
    /// Bytes in memory.
    pub memory: u64,
    /// ELF flags.
    pub flags: u32,
}

/// A mapped vmlinux.
pub struct Image {
    path: PathBuf,
    map: Mmap,
    /// Loadable segments, as they will be written.
    pub segments: Vec<Segment>,
    symbols: HashMap<String, Symbol>,
    percpu: Vec<Symbol>,
    /// Size of the static per-CPU area in bytes.
    pub percpu_size: u64,
    entry: u64,
    notes: Option<(u64, u64, u64)>,
    /// GNU build ID.
    pub build_id: Vec<u8>,
    /// Whether there is a PVH entry.
    pub has_pvh_entry: bool,
    /// `.comment`: which compilers built it.
    pub comment: String,
}

impl Image {
    /// Opens and reads a vmlinux.
    ///
    /// # Errors
    /// When it is not an x86-64 vmlinux with symbols.
    pub fn open(path: &Path) -> Result<Image, InjectError> {
        let io = |source| InjectError::Io { path: path.into(), action: "read", source };
        let file = std::fs::File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.is_dir() {
            return Err(InjectError::Malformed { path: path.into(), what: "a directory, not a vmlinux".into() });
        }
        // SAFETY: mapped private and read-only; were another process to change the file meanwhile, the
        // bytes read change (all are validated after being read), nothing else.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        if !map.starts_with(b"\x7fELF") {
            // The setup header of a bzImage: boot flag at 0x1fe, "HdrS" at 0x202.
            let boot = map.get(0x1fe..0x200) == Some(&[0x55, 0xaa]) && map.get(0x202..0x206) == Some(b"HdrS");
            return Err(if boot { InjectError::BzImage(path.into()) } else { InjectError::NotElf(path.into()) });
        }
        let machine = map.get(18..20).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
        if map.get(4) != Some(&2) || machine != EM_X86_64.0 {
            return Err(InjectError::Machine {
                path: path.into(),
                machine: machine_name(machine, map.get(4) == Some(&2)),
            });
        }
        let malformed = |what: String| InjectError::Malformed { path: path.into(), what };
        let elf: ElfFile64<'_, Endianness> =
            ElfFile64::parse(&*map).map_err(|e| malformed(format!("damaged ELF file: {e}")))?;
        let header = elf.elf_header();
        let endian = elf.endian();
        if header.e_type.get(endian) != ET_EXEC {
            return Err(malformed(
                "not a linked kernel (ELF type is not EXEC); a vmlinux is needed, not a module or object".into(),
            ));
        }
        let mut segments = Vec::new();
        let mut room = map.len();
        let mut notes = None;
        for program in elf.elf_program_headers() {
            let kind = program.p_type(endian);
            if kind == PT_LOAD {
                let data = program
                    .data(endian, &*map)
                    .map_err(|()| malformed("truncated: a segment lies past its end".into()))?;
                // Segments that share bytes could be copied to any multiple of the file's size.
                room = room
                    .checked_sub(data.len())
                    .ok_or_else(|| malformed("damaged: its segments overlap in the file".into()))?;
                segments.push(Segment {
                    virt: program.p_vaddr(endian),
                    phys: program.p_paddr(endian),
                    data: data.to_vec(),
                    memory: program.p_memsz(endian).max(data.len() as u64),
                    flags: program.p_flags(endian).0,
                });
            } else if kind == PT_NOTE {
                notes = Some((program.p_vaddr(endian), program.p_paddr(endian), program.p_filesz(endian)));
            }
        }
        if segments.is_empty() {
            return Err(malformed("has no loadable segments; a debug file without code cannot be booted".into()));
        }
        let has_pvh_entry = elf.elf_program_headers().iter().any(|program| {
            let Ok(Some(mut notes)) = program.notes(endian, &*map) else { return false };
            while let Ok(Some(note)) = notes.next() {
                if note.name() == b"Xen" && note.n_type(endian) == NOTE_PHYS32_ENTRY {
                    return true;
                }
            }
            false
        });
        let build_id = elf.build_id().ok().flatten().unwrap_or_default().to_vec();
        let percpu_section = elf.section_by_name(".data..percpu");
        let percpu_size = percpu_section.as_ref().map_or(0, ObjectSection::size);
        let (symbols, percpu) = read_symbols(&elf, percpu_section.map(|s| s.index()));
        let comment = elf
            .section_by_name(".comment")
            .and_then(|s| s.data().ok())
            .map(|d| String::from_utf8_lossy(d).replace('\0', " ").trim().to_string())
            .unwrap_or_default();
        let entry = header.e_entry.get(endian);
        if symbols.is_empty() {
            return Err(InjectError::NoSymbols(path.into()));
        }
        Ok(Image {
            path: path.into(),
            segments,
            symbols,
            percpu,
            percpu_size,
            entry,
            notes,
            build_id,
            has_pvh_entry,
            comment,
            map,
        })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// A symbol by name.
    pub fn symbol(&self, name: &str) -> Option<Symbol> {
        self.symbols.get(name).copied()
    }

    /// The names of each address; of several, the first by the alphabet.
    pub fn names(&self) -> HashMap<u64, &str> {
        let mut names: HashMap<u64, &str> = HashMap::new();
        for (name, symbol) in &self.symbols {
            let first = names.entry(symbol.address).or_insert(name);
            if name.as_str() < *first && !is_padding(name) || is_padding(first) {
                *first = name;
            }
        }
        names
    }

    /// All symbols of the per-CPU section, by offset.
    pub fn percpu_symbols(&self) -> &[Symbol] {
        &self.percpu
    }

    /// Physical address of a kernel virtual address.
    pub fn phys(&self, virt: u64) -> Option<u64> {
        virt.checked_sub(START_KERNEL_MAP)
    }

    /// First byte after everything that the image occupies in memory.
    pub fn phys_end(&self) -> u64 {
        self.segments.iter().map(|s| s.phys.saturating_add(s.memory)).max().unwrap_or(0)
    }

    fn locate(&self, phys: u64, len: usize) -> Option<(usize, usize)> {
        self.segments.iter().enumerate().find_map(|(i, s)| {
            let at = usize::try_from(phys.checked_sub(s.phys)?).ok()?;
            (at.checked_add(len)? <= s.data.len()).then_some((i, at))
        })
    }

    /// Bytes at a virtual address, as they are now.
    pub fn read(&self, virt: u64, len: usize) -> Option<&[u8]> {
        let (segment, at) = self.locate(self.phys(virt)?, len)?;
        Some(&self.segments[segment].data[at..at + len])
    }

    /// Replaces bytes at a virtual address; false if they are not in the file.
    #[must_use]
    pub fn write(&mut self, virt: u64, bytes: &[u8]) -> bool {
        let Some((segment, at)) = self.phys(virt).and_then(|phys| self.locate(phys, bytes.len())) else { return false };
        self.segments[segment].data[at..at + bytes.len()].copy_from_slice(bytes);
        true
    }

    /// An unsigned 64-bit value at a virtual address.
    pub fn read_u64(&self, virt: u64) -> Option<u64> {
        Some(u64::from_le_bytes(self.read(virt, 8)?.try_into().ok()?))
    }

    /// Writes the image: headers, segments, nothing else.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), InjectError> {
        let io = |source| InjectError::Io { path: path.into(), action: "write", source };
        let count = self.segments.len() + usize::from(self.notes.is_some());
        let table = size_of::<FileHeader64<LittleEndian>>() as u64;
        let mut offset = table + (count * size_of::<ProgramHeader64<LittleEndian>>()) as u64;
        let mut offsets = Vec::new();
        for segment in &self.segments {
            // Page-aligned and congruent with the address, as mapping loaders want it.
            offset = offset.next_multiple_of(4096) + segment.phys % 4096;
            offsets.push(offset);
            offset += segment.data.len() as u64;
        }
        let mut head = Vec::new();
        head.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        for half in [ET_EXEC.0, EM_X86_64.0] {
            head.extend_from_slice(&half.to_le_bytes());
        }
        head.extend_from_slice(&1u32.to_le_bytes());
        for word in [self.entry, table, 0] {
            head.extend_from_slice(&word.to_le_bytes());
        }
        head.extend_from_slice(&0u32.to_le_bytes());
        for half in [64u16, 56, count as u16, 64, 0, 0] {
            head.extend_from_slice(&half.to_le_bytes());
        }
        let program = |kind: u32, flags: u32, words: [u64; 6]| {
            let mut bytes = Vec::new();
            bytes.extend_from_slice(&kind.to_le_bytes());
            bytes.extend_from_slice(&flags.to_le_bytes());
            words.iter().for_each(|w| bytes.extend_from_slice(&w.to_le_bytes()));
            bytes
        };
        for (s, &at) in self.segments.iter().zip(&offsets) {
            head.extend(program(PT_LOAD.0, s.flags, [at, s.virt, s.phys, s.data.len() as u64, s.memory, 4096]));
        }
        if let Some((virt, phys, size)) = self.notes {
            let (segment, within) = self.locate(phys, size as usize).ok_or_else(|| InjectError::Malformed {
                path: self.path.clone(),
                what: "its notes are in no loadable segment".into(),
            })?;
            head.extend(program(PT_NOTE.0, 4, [offsets[segment] + within as u64, virt, phys, size, size, 4]));
        }
        // Not before all that can be refused was: a refusal leaves no file.
        let mut out = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path).map_err(io)?);
        out.write_all(&head).map_err(io)?;
        let mut written = head.len() as u64;
        for (segment, &at) in self.segments.iter().zip(&offsets) {
            out.write_all(&vec![0; (at - written) as usize]).map_err(io)?;
            out.write_all(&segment.data).map_err(io)?;
            written = at + segment.data.len() as u64;
        }
        out.flush().map_err(io)
    }
}

/// All symbols by name (globals win over locals, else the first one wins), and those of the per-CPU
/// section.
fn read_symbols(
    elf: &ElfFile64<'_, Endianness>,
    percpu: Option<SectionIndex>,
) -> (HashMap<String, Symbol>, Vec<Symbol>) {
    let mut all: HashMap<String, (Symbol, bool)> = HashMap::new();
    let mut area = Vec::new();
    for symbol in elf.symbols() {
        let Ok(name) = symbol.name() else { continue };
        if name.is_empty() || symbol.is_undefined() {
            continue;
        }
        let value = Symbol { address: symbol.address(), size: symbol.size() };
        if !is_plausible(value) {
            continue;
        }
        if percpu.is_some() && symbol.section_index() == percpu {
            area.push(value);
        }
        let global = symbol.is_global();
        match all.get(name) {
            Some(&(_, had)) if had || !global => {}
            _ => drop(all.insert(name.to_string(), (value, global))),
        }
    }
    area.sort_by_key(|s| (s.address, s.size));
    (all.into_iter().map(|(name, (symbol, _))| (name, symbol)).collect(), area)
}

/// Whether all of a symbol lies where a kernel's do: in its image's range, or at an offset into the
/// per-CPU area. Others (the table has constants, too) name nothing that is looked for, and sums with
/// them could overflow.
fn is_plausible(symbol: Symbol) -> bool {
    let end = symbol.address.checked_add(symbol.size);
    end.is_some_and(|end| end <= OFFSETS_END || symbol.address >= START_KERNEL_MAP && end <= IMAGE_END)
}

/// Symbols of what stands before a function, not of one.
fn is_padding(name: &str) -> bool {
    name.starts_with("__pfx_") || name.starts_with("__cfi_")
}

fn machine_name(machine: u16, wide: bool) -> String {
    match machine {
        183 => "arm64".into(),
        40 => "arm".into(),
        3 => "32-bit x86".into(),
        62 if !wide => "x32".into(),
        243 => "riscv".into(),
        21 => "powerpc64".into(),
        22 => "s390".into(),
        other => format!("ELF machine {other}"),
    }
}
