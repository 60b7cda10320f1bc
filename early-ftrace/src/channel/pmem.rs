// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The memory of a virtio-pmem-pci device on bus 0. In: nothing but the device. Out: the region's data in its memory
//! ([`remap`]). It is no BAR, but memory of the machine, whose place the device tells: it stays where it is.
//!
//! The place is read by virtio's window in configuration space (Virtio 1.1, 4.1.4.7), so that nothing need be mapped.

use super::pci::{self, Function};
use super::remap;
use bootlevel::Channel;

/// Vendor 1af4, device 1040 + 27 (Virtio 1.2, 4.1.2.1 and 5.19).
const PMEM: u32 = 0x105b_1af4;

/// Vendor-specific capability: a `struct virtio_pci_cap`, whose fourth byte is its kind.
const VENDOR: u32 = 0x09;
/// Kind: where the device's own configuration is.
const DEVICE: u32 = 4;
/// Kind: the window.
const WINDOW: u32 = 5;
/// In the capability: BAR, offset, length; in the window: the data behind them.
const CAP_BAR: u32 = 4;
const CAP_OFFSET: u32 = 8;
const CAP_LENGTH: u32 = 12;
const CAP_DATA: u32 = 16;

/// Takes it into use; false if it is not there.
pub fn take() -> bool {
    let Some(device) = pci::find(PMEM) else { return false };
    let Some((base, size)) = place(device) else { return false };
    // SAFETY: memory that the device says is its own; the caller of `choose` is alone.
    unsafe { remap::move_to(base, size, Channel::Pmem) }
}

/// `struct virtio_pmem_config`: start and size, 64 bits each.
fn place(device: Function) -> Option<(u64, u64)> {
    let kind = |kind: u32| move |_: u32, first: u32| first & 0xff == VENDOR && first >> 24 == kind;
    let config = device.capability(kind(DEVICE))?;
    let window = device.capability(kind(WINDOW))?;
    let (bar, offset) = (device.read(config + CAP_BAR) & 0xff, device.read(config + CAP_OFFSET));
    let read = |at: u32| {
        // SAFETY: reads the device's configuration, which has no effect.
        unsafe {
            device.write(window + CAP_BAR, bar);
            device.write(window + CAP_OFFSET, offset.wrapping_add(at));
            device.write(window + CAP_LENGTH, 4);
        }
        device.read(window + CAP_DATA) as u64
    };
    Some((read(0) | read(4) << 32, read(8) | read(12) << 32))
}
