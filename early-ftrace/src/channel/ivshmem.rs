// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The memory of an ivshmem-plain device on bus 0: its second BAR, as the firmware has placed it. In: nothing but the
//! device. Out: the region's data in its memory ([`remap`]); configuration accesses of the kernel that leave it there.
//!
//! The kernel, when it looks at the bus, takes the memory of each device away for a moment: it clears the command register's
//! decode bit, writes ones to a BAR to learn its size, and puts both back. Functions are traced meanwhile, and their stacks
//! would be gone. So those functions that read and write configuration registers are marked ones ([`crate::marked`]), and
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
const BAR_END: u32 = 0x20;
/// A BAR's low bits: not an I/O port; 64 bits wide.
const IS_PORT: u32 = 1;
const IS_WIDE: u32 = 4;
const FLAGS: u32 = 0xf;

/// The command register.
const COMMAND: u32 = 0x04;

/// From `header.guest_off` to [`Held`]: behind the flags of the pool of stacks, before the plan.
const HELD_OFFSET: usize = 768;

/// The BAR that must stay where it is; guest-private.
#[derive(Debug)]
#[repr(C)]
struct Held {
    /// Nonzero if there is one.
    on: u32,
    /// Whose.
    devfn: u32,
    /// What the registers hold.
    value: [u32; 2],
    /// What the kernel has written there.
    shown: [u32; 2],
    /// The bits that can be written.
    mask: [u32; 2],
    /// Where a register goes that the kernel is not to see.
    nowhere: u32,
}

const _: () = assert!(HELD_OFFSET >= 512 && (HELD_OFFSET + size_of::<Held>()) as u64 <= crate::plan::PLAN_OFFSET);

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
    if low & IS_PORT != 0 || low & !FLAGS == 0 {
        return None;
    }
    let wide = low & IS_WIDE != 0;
    let high = if wide { device.read(BAR + 4) } else { 0 };
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
    let base = (high as u64) << 32 | (low & !FLAGS) as u64;
    let mask = (high_mask as u64) << 32 | low_mask as u64;
    let value = [low, high];
    let mask_of = [low_mask, if wide { high_mask } else { 0 }];
    let new = Held { on: 1, devfn: device.0, value, shown: value, mask: mask_of, nowhere: 0 };
    Some((base, mask.wrapping_neg(), new))
}

/// Which of the BAR's registers this is, if it is the held device's.
fn register(held: &Held, segment: u32, bus: u32, devfn: u32, at: u32) -> Option<usize> {
    let ours = held.on != 0 && segment == 0 && bus == 0 && devfn == held.devfn;
    (ours && at >= BAR && at < BAR_END && (at < BAR + 4 || held.value[0] & IS_WIDE != 0))
        .then_some((at >= BAR + 4) as usize)
}

/// The kernel writes a configuration register: what it is to write instead.
pub fn on_write(segment: u32, bus: u32, devfn: u32, at: u32, len: u32, value: u32) -> u32 {
    // SAFETY: our own memory; the kernel looks at one device in one task.
    let held = unsafe { &mut *held() };
    if let Some(which) = register(held, segment, bus, devfn, at) {
        let [low, high] = &mut held.shown;
        let (shown, kept, mask) = match which {
            0 => (low, held.value[0], held.mask[0]),
            _ => (high, held.value[1], held.mask[1]),
        };
        if len == 4 {
            *shown = value & mask | kept & !mask;
        }
        return kept >> ((at & 3) * 8);
    }
    let ours = held.on != 0 && segment == 0 && bus == 0 && devfn == held.devfn;
    if ours && at == COMMAND { value | DECODES_MEMORY } else { value }
}

/// The kernel reads a configuration register to `value`: where it is to be put instead, if the kernel is to see another.
pub fn on_read(segment: u32, bus: u32, devfn: u32, at: u32, len: u32, value: u64) -> u64 {
    // SAFETY: as above.
    let held = unsafe { &mut *held() };
    let Some(which) = register(held, segment, bus, devfn, at) else { return value };
    let [low, high] = held.shown;
    let whole = if which == 0 { low } else { high } >> ((at & 3) * 8);
    let shown = match len {
        1 => whole & 0xff,
        2 => whole & 0xffff,
        _ => whole,
    };
    // SAFETY: the caller's variable, an aligned `u32` (the kernel's function stores one whatever the length is).
    unsafe { (value as *mut u32).write_volatile(shown) };
    (&raw mut held.nowhere).addr() as u64
}
