// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The counters: one for each call site, one for each class of instruction. In: the sites' file and
//! addresses. Out: references to counters, and the final JSON. Never here: QEMU.

use std::fmt::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// From here up the kernel lives (the upper half of the canonical addresses).
const KERNEL_START: u64 = 0xffff_8000_0000_0000;
/// From here up lie the kernel's image, its modules, and what a tracer maps beside them.
const IMAGE_START: u64 = 0xffff_ffff_8000_0000;
/// The image's part of the address space is counted in pages of this size, so that whoever reads the
/// counts can tell afterwards what was mapped where during the boot.
const PAGE: u64 = 2 << 20;
/// Such pages.
const PAGES: usize = ((u64::MAX - IMAGE_START) / PAGE + 1) as usize;
/// From here up to the kernel the demo's programs live: init is linked above 4 GiB, so that what runs
/// below is the firmware, the kernel's start before paging, and the start code of other CPUs.
const USER_START: u64 = 1 << 32;

/// All counters of a boot.
#[derive(Debug)]
pub struct Counters {
    /// Sorted addresses of the call instructions.
    sites: Vec<u64>,
    /// Their executions, in the same order.
    executions: Box<[AtomicU64]>,
    hook: AtomicU64,
    /// The kernel's, by page of its image's part.
    pages: Box<[AtomicU64]>,
    /// The kernel's elsewhere.
    elsewhere: AtomicU64,
    user: AtomicU64,
    other: AtomicU64,
}

impl Counters {
    /// Counters for the sites in `file`, all zero.
    pub fn for_sites_in(file: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let (addresses, rest) = bytes.as_chunks::<8>();
        let sites: Vec<u64> = addresses.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        if !rest.is_empty() || !sites.is_sorted() {
            return Err(format!("{} is no sorted list of 8-byte addresses", file.display()));
        }
        let executions = sites.iter().map(|_| AtomicU64::new(0)).collect();
        let zero = || AtomicU64::new(0);
        let pages = (0..PAGES).map(|_| zero()).collect();
        Ok(Self { sites, executions, hook: zero(), pages, elsewhere: zero(), user: zero(), other: zero() })
    }

    /// The counter of the class that `address` belongs to.
    pub fn instructions_at(&self, address: u64, hook: &[Range<u64>]) -> &AtomicU64 {
        if hook.iter().any(|range| range.contains(&address)) {
            &self.hook
        } else if let Some(offset) = address.checked_sub(IMAGE_START) {
            &self.pages[(offset / PAGE) as usize]
        } else if address >= KERNEL_START {
            &self.elsewhere
        } else if address >= USER_START {
            &self.user
        } else {
            &self.other
        }
    }

    /// The counter of the call instruction at `address`, if there is one.
    pub fn site_at(&self, address: u64) -> Option<&AtomicU64> {
        self.sites.binary_search(&address).ok().map(|index| &self.executions[index])
    }

    /// The file described in the crate's head.
    pub fn to_json(&self, instructions: bool) -> String {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut text = String::from("{");
        if instructions {
            let kernel = read(&self.elsewhere) + self.pages.iter().map(read).sum::<u64>();
            let _ = write!(
                text,
                "\"insns\":{{\"hook\":{},\"kernel\":{kernel},\"user\":{},\"other\":{}}},\n\"kernel_pages\":",
                read(&self.hook),
                read(&self.user),
                read(&self.other)
            );
            let pages =
                self.pages.iter().enumerate().map(|(index, count)| (IMAGE_START + index as u64 * PAGE, read(count)));
            write_pairs(&mut text, pages);
            text.push(',');
        }
        text.push_str("\n\"sites\":");
        write_pairs(&mut text, self.sites.iter().zip(&self.executions).map(|(&site, count)| (site, read(count))));
        text.push_str("}\n");
        text
    }
}

/// A list of `["0xADDR",COUNT]`, counts above zero only.
fn write_pairs(text: &mut String, pairs: impl Iterator<Item = (u64, u64)>) {
    text.push('[');
    for (index, (address, count)) in pairs.filter(|&(_, count)| count > 0).enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\n[\"{address:#x}\",{count}]");
    }
    text.push(']');
}
