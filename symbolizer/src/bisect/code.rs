// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Whether two kernels are the same to a machine: a commit may change comments, or another machine's code. In: a
//! vmlinux. Out: a number made of all that is loaded. Never here: names and lines, which may differ.

use std::hash::Hasher as _;
use std::path::Path;

use memmap2::Mmap;
use object::{Object as _, ObjectSection as _, SectionFlags, SectionKind, elf};

/// Of all sections that are loaded but the notes (where the build ID is): equal numbers, equal kernels. `None` if
/// it cannot be told.
pub fn code(vmlinux: &Path) -> Option<u64> {
    let file = std::fs::File::open(vmlinux).ok()?;
    // SAFETY: the file is ours, or stands still while it is booted; if it is cut off meanwhile, so is this process,
    // as with every vmlinux that is read.
    let map = unsafe { Mmap::map(&file) }.ok()?;
    let object = object::File::parse(&*map).ok()?;
    // Only compared within a work directory, by one version of this program at a time.
    let mut hasher = std::hash::DefaultHasher::new();
    let mut sections = 0;
    for section in object.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { return None };
        if !sh_flags.contains(elf::SHF_ALLOC) || section.kind() == SectionKind::Note {
            continue;
        }
        hasher.write_u64(section.address());
        hasher.write_u64(section.size());
        hasher.write(section.data().ok()?);
        sections += 1;
    }
    (sections > 0).then(|| hasher.finish())
}
