// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The counters: one for each call site, one for each class of instruction. In: the sites' file and
//! addresses. Out: references to counters, and the final JSON. Never here: QEMU.

use std::fmt::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// From here up the kernel lives (the upper half of the canonical addresses).
const KERNEL_START: u64 = 0xffff_8000_0000_0000;
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
    kernel: AtomicU64,
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
        Ok(Self { sites, executions, hook: zero(), kernel: zero(), user: zero(), other: zero() })
    }

    /// The counter of the class that `address` belongs to.
    pub fn instructions_at(&self, address: u64, hook: &[Range<u64>]) -> &AtomicU64 {
        if hook.iter().any(|range| range.contains(&address)) {
            &self.hook
        } else if address >= KERNEL_START {
            &self.kernel
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
            let _ = write!(
                text,
                "\"insns\":{{\"hook\":{},\"kernel\":{},\"user\":{},\"other\":{}}},",
                read(&self.hook),
                read(&self.kernel),
                read(&self.user),
                read(&self.other)
            );
        }
        text.push_str("\"sites\":[");
        let executed = self.sites.iter().zip(&self.executions).map(|(site, count)| (site, read(count)));
        for (index, (site, count)) in executed.filter(|&(_, count)| count > 0).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(text, "{comma}\n[\"{site:#x}\",{count}]");
        }
        text.push_str("]}\n");
        text
    }
}
