// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The memory of an ivshmem-plain device on bus 0: its second BAR, as the firmware has placed it. In: nothing but the
//! device. Out: the region's data in its memory ([`remap`]); configuration accesses of the kernel that leave it there.
//!
//! The kernel, when it looks at the bus, takes the memory of each device away for a moment: it clears the command register's
//! decode bit, writes ones to a BAR to learn its size, and puts both back (`__pci_read_base`). Functions are traced
//! meanwhile, and their stacks would be gone. So those functions that read and write configuration registers are marked ones ([`crate::marked`]), and
//! [`on_write`] and [`on_read`] change their arguments: of this device, decoding stays on, the BAR is written with what it
//! holds, and is read as the kernel has written it, with the bits that its size leaves. The kernel sees the device as it
//! is, and reserves its addresses; if it moves it (`pci=realloc`), only it believes so.

use super::pci::{self, DECODES_MEMORY, Function};
use super::remap;
use crate::facts;
use crate::ring::header;
use crate::sites;
use bootlevel::Channel;

/// Vendor 1af4, device 1110 (QEMU: docs/specs/ivshmem-spec.txt).
const IVSHMEM: u32 = 0x1110_1af4;

/// The BAR that is the memory, and the one behind it, its upper half if it is 64 bits wide.
const BAR: u32 = 0x18;
/// A BAR's low bits: not an I/O port; 64 bits wide.
const IS_PORT: u32 = 1;
const IS_WIDE: u32 = 4;
const FLAGS: u32 = 0xf;

/// The command register.
const COMMAND: u32 = 0x04;

/// From `header.guest_off` to [`Held`]: behind the flags of the pool of stacks, before the plan.
const HELD_OFFSET: usize = 768;

/// The BAR that must stay where it is; guest-private.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Held {
    /// Nonzero if there is one.
    pub on: u32,
    /// Whose.
    pub devfn: u32,
    /// What the registers hold.
    pub value: [u32; 2],
    /// What the kernel has written there.
    pub shown: [u32; 2],
    /// The bits that can be written.
    pub mask: [u32; 2],
    /// Where a register goes that the kernel is not to see.
    nowhere: u32,
}

/// A configuration access of the kernel's, as its functions get it: where, and how many bytes.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Segment (PCI domain).
    pub segment: u32,
    /// Bus.
    pub bus: u32,
    /// Slot and function.
    pub devfn: u32,
    /// Register, in bytes.
    pub at: u32,
    /// 1, 2 or 4.
    pub len: u32,
}

impl Held {
    /// A BAR that holds `value`, of which the bits of `mask` can be written. One of 32 bits has no second register: 0, 0.
    #[inline]
    pub const fn new(devfn: u32, value: [u32; 2], mask: [u32; 2]) -> Held {
        Held { on: 1, devfn, value, shown: value, mask, nowhere: 0 }
    }

    #[inline]
    fn is_of(&self, access: &Access) -> bool {
        self.on != 0 && access.segment == 0 && access.bus == 0 && access.devfn == self.devfn
    }

    /// Whether it goes to the BAR, and then to its upper half.
    #[inline]
    fn half(&self, access: &Access) -> Option<bool> {
        let end = if self.value[0] & IS_WIDE != 0 { BAR + 8 } else { BAR + 4 };
        (self.is_of(access) && access.at >= BAR && access.at < end).then_some(access.at >= BAR + 4)
    }

    /// The kernel writes `value`: what is to be written instead.
    #[inline]
    pub fn write(&mut self, access: &Access, value: u32) -> u32 {
        let upper = match self.half(access) {
            None if self.is_of(access) && access.at == COMMAND => return value | DECODES_MEMORY,
            None => return value,
            Some(upper) => upper,
        };
        let ([low, high], [low_mask, high_mask], [shown_low, shown_high]) = (self.value, self.mask, &mut self.shown);
        let (kept, mask, shown) = if upper { (high, high_mask, shown_high) } else { (low, low_mask, shown_low) };
        if access.len == 4 {
            *shown = value & mask | kept & !mask;
        }
        kept >> ((access.at & 3) * 8)
    }

    /// What the kernel is to read, if it is not what the register holds.
    #[inline]
    pub fn read(&self, access: &Access) -> Option<u32> {
        let [low, high] = self.shown;
        let whole = if self.half(access)? { high } else { low } >> ((access.at & 3) * 8);
        Some(match access.len {
            1 => whole & 0xff,
            2 => whole & 0xffff,
            _ => whole,
        })
    }
}

const _: () = assert!(HELD_OFFSET >= 512 && HELD_OFFSET + size_of::<Held>() <= super::port::LOCK_OFFSET);

fn held() -> *mut Held {
    // SAFETY: a header field that never changes; the memory behind it is ours.
    unsafe { (facts::header() + (*header()).guest_off as usize + HELD_OFFSET) as *mut Held }
}

/// Whether the kernel's accesses must be watched.
pub fn is_held() -> bool {
    // SAFETY: our own memory.
    unsafe { (&raw const (*held()).on).read_volatile() != 0 }
}

/// Takes it into use; false if it is not there, or cannot be kept where it is.
pub fn take() -> bool {
    // Without these the kernel would do as described above. (In a kernel without PCI nothing would; who boots one?)
    if sites::site_of(facts::pci_conf1_read()).is_none() || sites::site_of(facts::pci_conf1_write()).is_none() {
        return false;
    }
    let Some(device) = pci::find(IVSHMEM) else { return false };
    let Some((base, size, new)) = measure(device) else { return false };
    // SAFETY: the device's own memory, of which the firmware has said where it lies; the caller of `choose` is alone.
    if !unsafe { remap::move_to(base, size, Channel::Ivshmem) } {
        return false;
    }
    // SAFETY: our own memory.
    unsafe { held().write(new) };
    true
}

/// Address and size of the memory, with decoding on; `None` if the firmware has given it no address.
fn measure(device: Function) -> Option<(u64, u64, Held)> {
    let low = device.read(BAR);
    let wide = low & IS_WIDE != 0;
    let high = if wide { device.read(BAR + 4) } else { 0 };
    // Where there is much RAM the lower half of an address may well be zero.
    let base = (high as u64) << 32 | (low & !FLAGS) as u64;
    if low & IS_PORT != 0 || base == 0 {
        return None;
    }
    let command = device.command();
    // SAFETY: a device that nobody uses yet, which does not answer while its registers are not what they were.
    let (low_mask, high_mask) = unsafe {
        device.set_command(command & !DECODES_MEMORY);
        device.write(BAR, u32::MAX);
        let low_mask = device.read(BAR) & !FLAGS;
        device.write(BAR, low);
        let mut high_mask = u32::MAX;
        if wide {
            device.write(BAR + 4, u32::MAX);
            high_mask = device.read(BAR + 4);
            device.write(BAR + 4, high);
        }
        device.set_command(command | DECODES_MEMORY);
        (low_mask, high_mask)
    };
    let mask = (high_mask as u64) << 32 | low_mask as u64;
    let value = [low, high];
    let masks = [low_mask, if wide { high_mask } else { 0 }];
    Some((base, mask.wrapping_neg(), Held::new(device.0, value, masks)))
}

/// The kernel writes a configuration register: what it is to write instead.
pub fn on_write(access: &Access, value: u32) -> u32 {
    // SAFETY: our own memory; the kernel looks at one device in one task.
    unsafe { (*held()).write(access, value) }
}

/// The kernel reads a configuration register to `value`: where it is to be put instead, if the kernel is to see another.
pub fn on_read(access: &Access, value: u64) -> u64 {
    // SAFETY: as above; the caller's variable, an aligned `u32` (the kernel's function stores one whatever the length).
    unsafe {
        let Some(shown) = (*held()).read(access) else { return value };
        (value as *mut u32).write_volatile(shown);
        (&raw mut (*held()).nowhere).addr() as u64
    }
}
