// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The vmlinux as a mapped file. In: a path. Out: its sections, its build ID, the list of its call
//! sites. Never here: symbol search, DWARF.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use object::read::elf::ElfFile64;
use object::{Architecture, Object, ObjectSection, ObjectSymbol};

use super::ResolveError;

/// A mapped vmlinux. Only what is looked at is read, and the pages belong to the file.
pub struct Vmlinux {
    path: PathBuf,
    file: File,
    map: Mmap,
}

/// The ELF view of a mapped vmlinux.
pub type Elf<'a> = ElfFile64<'a, object::Endianness>;

impl Vmlinux {
    /// Maps the file and checks that it is an x86-64 ELF file.
    ///
    /// # Errors
    /// [`ResolveError::Io`], [`ResolveError::NotElf`].
    pub fn open(path: &Path) -> Result<Vmlinux, ResolveError> {
        let io = |source| ResolveError::Io { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(io)?;
        let map = map(&file).map_err(io)?;
        let vmlinux = Vmlinux { path: path.to_path_buf(), file, map };
        let bad = |reason: String| ResolveError::NotElf { path: path.to_path_buf(), reason };
        let elf = Elf::parse(&*vmlinux.map).map_err(|e| bad(e.to_string()))?;
        match elf.architecture() {
            Architecture::X86_64 => Ok(vmlinux),
            other => Err(bad(format!("it is for {other:?}"))),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same, open.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Its ELF view.
    ///
    /// # Errors
    /// [`ResolveError::NotElf`]; not after [`Vmlinux::open`] succeeded.
    pub fn elf(&self) -> Result<Elf<'_>, ResolveError> {
        Elf::parse(&*self.map).map_err(|e| ResolveError::NotElf { path: self.path.clone(), reason: e.to_string() })
    }
}

/// Maps a file.
pub(super) fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is private and read-only. Should another process truncate the file meanwhile, the
    // read faults and the process ends: the same trust that any debugger gives.
    unsafe { Mmap::map(file) }
}

/// The GNU build ID in hexadecimal; kernels keep it in `.notes` with no program header of its own
/// kind, which is why all note sections are looked through.
pub fn build_id(elf: &Elf<'_>) -> Option<String> {
    elf.build_id().ok().flatten().map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `size` bytes at a virtual address, as far as the file has them.
pub fn bytes_at<'a>(elf: &Elf<'a>, address: u64, size: u64) -> Option<&'a [u8]> {
    elf.sections()
        .filter(|section| section.address() != 0)
        .find_map(|section| section.data_range(address, size).ok().flatten())
}

/// The kernel's own list of its call sites (`__mcount_loc`): addresses of the call instructions,
/// sorted; `None` if the kernel has none. Entries of code that the linker dropped are zero and left
/// out.
pub fn call_sites(elf: &Elf<'_>) -> Option<Vec<u64>> {
    let (mut start, mut stop) = (None, None);
    for symbol in elf.symbols() {
        match symbol.name() {
            Ok("__start_mcount_loc") => start = Some(symbol.address()),
            Ok("__stop_mcount_loc") => stop = Some(symbol.address()),
            _ => {}
        }
    }
    let size = stop?.checked_sub(start?)?;
    let bytes = bytes_at(elf, start?, size)?;
    let mut sites: Vec<u64> = bytes
        .chunks_exact(8)
        .map(|bytes| bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
        .filter(|&site| site != 0)
        .collect();
    sites.sort_unstable();
    Some(sites)
}

/// Whether an `endbr64` stands at an address (kernels with IBT).
pub fn has_endbr(elf: &Elf<'_>, address: u64) -> bool {
    bytes_at(elf, address, 4) == Some(&[0xf3, 0x0f, 0x1e, 0xfa])
}
