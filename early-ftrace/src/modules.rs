// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Modules as they are loaded. In: the arguments of `module_finalize`: the ELF file in memory, its
//! section headers with the addresses where the sections lie, the `struct module`. Out: marks that describe it,
//! and its call sites led where the kernel's lead. Its memory is still writable then, and nothing of it has run.

use crate::facts;
use crate::marked::put_mark;
use crate::percpu::{irqs_off, now};
use crate::plan::{is, plan};
use crate::sites::point_table;
use early_ftrace_format::mark::{BUILD_ID_PARTS, MOST_SECTIONS, Mark, NAME_PARTS};
use early_ftrace_format::shared::State;

/// Places in `Elf64_Ehdr` (elf.h).
const SECTION_COUNT: usize = 60;
const NAMES_INDEX: usize = 62;
/// Size of an `Elf64_Shdr`, and places in it.
const SECTION: usize = 64;
const NAME: usize = 0;
const FLAGS: usize = 8;
const ADDRESS: usize = 16;
const OFFSET: usize = 24;
const SIZE: usize = 32;
/// `SHF_ALLOC | SHF_EXECINSTR`.
const CODE: u64 = 6;
/// From a GNU build ID note to its 20 bytes: three sizes, "GNU".
const NOTE_HEAD: usize = 16;

/// # Safety
/// `at` is readable, `size_of::<T>()` bytes.
unsafe fn get<T: Copy>(at: usize) -> T {
    // SAFETY: the caller's word.
    unsafe { (at as *const T).read_unaligned() }
}

/// Whether a NUL-terminated name is this one.
///
/// # Safety
/// `at` is readable up to a NUL.
unsafe fn is_named(at: usize, name: &str) -> bool {
    let mut i = 0;
    for &byte in name.as_bytes() {
        // SAFETY: the bytes before were not NUL.
        if unsafe { (at as *const u8).add(i).read_volatile() } != byte {
            return false;
        }
        i += 1;
    }
    // SAFETY: as above.
    unsafe { (at as *const u8).add(i).read_volatile() == 0 }
}

/// A module is about to be complete.
///
/// # Safety
/// The arguments of `module_finalize(hdr, sechdrs, me)`.
pub unsafe fn loaded(header: usize, sections: usize, module: usize) {
    let tell = is(State::On);
    // SAFETY: the kernel has checked the file by now (elf_validity_check); sections with SHF_ALLOC lie at
    // their addresses.
    unsafe {
        let count = get::<u16>(header + SECTION_COUNT) as usize;
        let names =
            header + get::<u64>(sections + get::<u16>(header + NAMES_INDEX) as usize * SECTION + OFFSET) as usize;
        if tell {
            tell_name(module + facts::module_name());
        }
        let mut index = 1;
        while index < count {
            let section = sections + index * SECTION;
            let name = names + get::<u32>(section + NAME) as usize;
            let (address, size) = (get::<u64>(section + ADDRESS), get::<u64>(section + SIZE));
            if is_named(name, "__mcount_loc") {
                let start = address as usize;
                // No site of a module is in use yet: nobody else needs to stop.
                point_table(start, start + size as usize, (*plan()).target);
            } else if tell && get::<u64>(section + FLAGS) & CODE == CODE && index < MOST_SECTIONS as usize {
                mark(Mark::SectionAddress(index as u16), address as u32);
                mark(Mark::SectionSize(index as u16), size as u32);
            } else if tell && is_named(name, ".note.gnu.build-id") && size >= (NOTE_HEAD + 20) as u64 {
                let mut part = 0;
                while part < BUILD_ID_PARTS {
                    mark(Mark::ModuleBuildId(part), get::<u32>(address as usize + NOTE_HEAD + part as usize * 4));
                    part += 1;
                }
            }
            index += 1;
        }
        if tell {
            mark(Mark::ModuleLoaded, 0);
        }
    }
}

/// # Safety
/// `at` is a `char name[MODULE_NAME_LEN]`, NUL-padded.
unsafe fn tell_name(at: usize) {
    let mut part = 0;
    while part < NAME_PARTS {
        // SAFETY: 14 words are the whole array.
        let word: u32 = unsafe { get(at + part as usize * 4) };
        mark(Mark::ModuleName(part), word);
        if word >> 24 == 0 {
            return;
        }
        part += 1;
    }
}

fn mark(mark: Mark, value: u32) {
    irqs_off(|| put_mark(mark, value, now()));
}
