// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Moves the region's pages to other physical memory. In: where a device has memory, and how much. Out: the same virtual
//! addresses, with the header, the control blocks, stacks and rings in the device's memory, so that an event costs what
//! it costs in RAM. Never here: which device; the text, which stays in the guest's own RAM, where nobody else writes.
//!
//! The layout in the device's memory is that of the region: its first [`DATA_OFFSET`] bytes are left as they are, so that
//! the host finds the header where it is in a RAM file, too.
//!
//! Caches: the pages are mapped write-back, as RAM. Under KVM the memory of ivshmem and virtio-pmem is RAM of the host,
//! and EPT and NPT make it write-back (Intel's ignores the guest's PAT and MTRRs unless a device is passed through that
//! does not snoop). Of a real device the MTRRs would make it uncached: slow, and right all the same.

use crate::boot::forget_translations;
use crate::facts;
use crate::ring::header;
use bootlevel::Channel;
use core::hint::black_box;
use core::mem::offset_of;
use early_ftrace_format::shared::{DATA_OFFSET, Header, MAGIC, REGION_ALIGN};

/// Behind the last entry of `level2_fixmap_pgt` that may be ours: MODULES_END is 0xffffffffff000000
/// (arch/x86/include/asm/pgtable_64_types.h).
pub const END: usize = 504;

/// Bytes that one entry maps.
const PAGE: usize = REGION_ALIGN as usize;

/// The bits of an entry that are an address.
const ADDRESS: u64 = 0x000f_ffff_ffe0_0000;

const _: () = assert!(DATA_OFFSET == REGION_ALIGN && offset_of!(Header, magic) == 0);

/// Whether the region's data is no longer in the RAM that the injector gave it.
pub fn is_moved() -> bool {
    // SAFETY: a header field that only this CPU has written so far.
    let channel = unsafe { (&raw const (*header()).channel).read_volatile() };
    channel == Channel::Ivshmem as u32 || channel == Channel::Pmem as u32
}

/// Moves the region's data to the `size` bytes at the physical address `base`. False, and nothing has changed, if it
/// cannot be: too small, not a multiple of 2 MiB, no memory there, or the kernel maps the region itself (in-tree).
///
/// # Safety
/// The boot CPU, before any other runs, interrupts off, no chunk open. `base` and `size` are memory that nobody else uses.
pub unsafe fn move_to(base: u64, size: u64, channel: Channel) -> bool {
    // Opaque: the compiler takes it for granted that no symbol's address is 0.
    let (first, count) = (black_box(facts::pmd_first()), black_box(facts::pmd_count()));
    let end = base.wrapping_add((count * PAGE) as u64);
    let fits = count > 1 && first + count < END && (count * PAGE) as u64 <= size && end > base;
    if !fits || base == 0 || base & !ADDRESS != 0 || end & !ADDRESS != 0 {
        return false;
    }
    let table = black_box(facts::pmd_table()) as *mut u64;
    let region = facts::header() - PAGE;
    let (window, spare) = (region + count * PAGE, first + count);
    // SAFETY: the kernel's page table, whose entries from `first` on are ours or, up to END, nobody's; the caller's word
    // for the memory. Each page is mapped before it is touched, and its translation forgotten before the next is.
    unsafe {
        if table.add(spare).read_volatile() != 0 {
            return false;
        }
        let flags = table.add(first + 1).read_volatile() & !ADDRESS;
        let map = |page: usize| {
            table.add(spare).write_volatile((base + (page * PAGE) as u64) | flags);
            forget_translations();
        };
        map(1);
        // Of an earlier boot: what nobody has written since is not zero.
        let stale = (window as *const u64).read_volatile() == MAGIC;
        let used = PAGE + (*header()).rings_off as usize;
        // The host looks for it: not before all is there.
        (window as *mut u64).write_volatile(0);
        let mut page = 1;
        while page < count {
            map(page);
            let mut at = if page == 1 { 8 } else { 0 };
            while at < PAGE && (stale || page * PAGE + at < used) {
                let word = if page * PAGE + at < used { word(region + page * PAGE + at) } else { 0 };
                ((window + at) as *mut u64).write_volatile(word);
                at += 8;
            }
            page += 1;
        }
        map(1);
        let proof = offset_of!(Header, region_virt);
        let there = word(window + proof) == word(facts::header() + proof) && word(window) == 0;
        table.add(spare).write_volatile(0);
        if there {
            // Who looks at all of the RAM must not find two.
            (facts::header() as *mut u64).write_volatile(0);
            page = 1;
            while page < count {
                table.add(first + page).write_volatile((base + (page * PAGE) as u64) | flags);
                page += 1;
            }
        }
        forget_translations();
        if there {
            (&raw mut (*header()).channel).write_volatile(channel as u32);
            (facts::header() as *mut u64).write_volatile(MAGIC);
        }
        there
    }
}

/// # Safety
/// Mapped, aligned.
unsafe fn word(at: usize) -> u64 {
    // SAFETY: the caller's word.
    unsafe { (at as *const u64).read_volatile() }
}
