// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where everything lies in the shared region. In: CPUs, ring size, the kernel's end, the guest's RAM.
//! Out: addresses, or how much room is missing.

use crate::Options;
use crate::error::InjectError;
use early_ftrace_format::shared::{
    CHUNK_SIZE, CPU_CONTROL_OFFSET, CPU_CONTROL_STRIDE, DATA_OFFSET, MAX_CPUS, REGION_ALIGN,
};

/// First entry of `level2_fixmap_pgt` that maps the region. That table covers the modules area and the
/// fixmap and is static; the kernel fills the modules area from below and never comes near this part,
/// and neither `__startup_64` nor `cleanup_highmap` (which clear what lies beside the kernel image in
/// `level2_kernel_pgt`) looks at it. So the mapping holds from the first instruction to power-off.
pub const FIRST_ENTRY: u64 = 384;

/// Entry after the last.
pub const LAST_ENTRY: u64 = early_ftrace::channel::remap::END as u64;

/// Virtual address of the region: level3 entry 511, level2 entry [`FIRST_ENTRY`].
pub const REGION_VIRT: u64 = 0xffff_ffff_c000_0000 + FIRST_ENTRY * REGION_ALIGN;

/// Shadow stacks in the region; tasks beyond get theirs from the kernel's page allocator.
pub const STACKS: u32 = 512;

/// Size of one shadow stack; `early_ftrace::shadow::STACK_SIZE`.
pub const STACK_SIZE: u64 = early_ftrace::shadow::STACK_SIZE as u64;

/// RAM that must be left above the region, for the initrd and the boot's own needs.
const RAM_ABOVE: u64 = 48 << 20;

/// Addresses and sizes in bytes; offsets count from the header (region + `DATA_OFFSET`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Physical address of the region.
    pub phys: u64,
    /// Size of the region.
    pub size: u64,
    /// Guest-private data: one flag per shadow stack.
    pub guest_off: u64,
    /// Shadow stacks.
    pub stacks_off: u64,
    /// Rings.
    pub rings_off: u64,
    /// Chunks in each ring.
    pub chunks: u64,
}

impl Layout {
    /// Lays the region out behind an image that ends at `image_end` (physical).
    ///
    /// # Errors
    /// When the rings do not fit the address range or the guest's RAM, or the options make no sense.
    pub fn new(options: &Options, image_end: u64) -> Result<Layout, InjectError> {
        let refuse = |what: String| Err(InjectError::NoRoom { what });
        if options.cpus == 0 || options.cpus > MAX_CPUS {
            return refuse(format!("{} CPUs: from 1 to {MAX_CPUS} can be traced", options.cpus));
        }
        let chunks = options.ring_bytes / CHUNK_SIZE;
        if chunks < 2 || !chunks.is_power_of_two() || !options.ring_bytes.is_multiple_of(CHUNK_SIZE) {
            return refuse(format!(
                "a ring of {} KiB: it must be a power of two of at least {} KiB",
                options.ring_bytes >> 10,
                (2 * CHUNK_SIZE) >> 10
            ));
        }
        let guest_off = (CPU_CONTROL_OFFSET + u64::from(options.cpus) * CPU_CONTROL_STRIDE).next_multiple_of(4096);
        let stacks_off = (guest_off + u64::from(STACKS)).next_multiple_of(STACK_SIZE);
        let rings_off = (stacks_off + u64::from(STACKS) * STACK_SIZE).next_multiple_of(CHUNK_SIZE);
        let end = DATA_OFFSET + rings_off + u64::from(options.cpus) * options.ring_bytes;
        let size = end.next_multiple_of(REGION_ALIGN);
        // One is left: through it the guest looks at a device's memory before it takes that into use.
        let most = (LAST_ENTRY - FIRST_ENTRY - 1) * REGION_ALIGN;
        if size > most {
            return refuse(format!(
                "{} rings of {} MiB need {} MiB; {} MiB can be mapped: use smaller rings (--ring-mib)",
                options.cpus,
                options.ring_bytes >> 20,
                size >> 20,
                most >> 20
            ));
        }
        let behind = || image_end.checked_next_multiple_of(REGION_ALIGN).unwrap_or(u64::MAX);
        let phys = options.region_phys.unwrap_or_else(behind);
        if !phys.is_multiple_of(REGION_ALIGN) || phys < image_end || phys.checked_add(size).is_none() {
            return refuse(format!(
                "region at {phys:#x}: it must be a multiple of 2 MiB and lie after the kernel, which ends at {image_end:#x}"
            ));
        }
        let least = phys.saturating_add(size).saturating_add(RAM_ABOVE);
        if let Some(ram) = options.ram_bytes.filter(|&ram| ram < least) {
            return refuse(format!(
                "the guest has {} MiB of RAM; kernel and rings need {} MiB: give it more (-m) or use smaller rings (--ring-mib)",
                ram >> 20,
                least.div_ceil(1 << 20)
            ));
        }
        Ok(Layout { phys, size, guest_off, stacks_off, rings_off, chunks })
    }

    /// Virtual address of the header.
    pub fn header_virt(&self) -> u64 {
        REGION_VIRT + DATA_OFFSET
    }
}
