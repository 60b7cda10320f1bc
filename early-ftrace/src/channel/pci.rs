// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! PCI configuration space before the kernel knows it: mechanism #1 (ports 0xcf8 and 0xcfc), bus 0. In: what to look
//! for, registers. Out: their values. Never here: devices behind bridges (the kernel takes a bridge's window away while
//! it looks at it), a register that is not asked for.
//!
//! Only the boot CPU, before any other runs: address and data are two accesses.

use core::arch::asm;

/// Of a machine that has no PCI, and of a function that is not there.
pub const NOTHING: u32 = u32::MAX;

/// Registers of the header (PCI Local Bus 3.0, 6.1), in bytes.
const COMMAND: u32 = 0x04;
const STATUS_BITS: u32 = 0xffff_0000;
const HEADER_TYPE: u32 = 0x0c;
const MANY_FUNCTIONS: u32 = 0x80 << 16;
const CAPABILITIES: u32 = 0x34;
/// Status register: there is a list of capabilities.
const HAS_LIST: u32 = 0x10 << 16;
/// Most capabilities that fit behind the header.
const MOST_CAPABILITIES: u32 = 48;

/// Command register: the function answers to memory accesses.
pub const DECODES_MEMORY: u32 = 2;

/// A function of bus 0: slot and function as in the kernel's `devfn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function(pub u32);

impl Function {
    /// A register, by the offset of its double word.
    pub fn read(self, register: u32) -> u32 {
        select(self, register);
        let value: u32;
        // SAFETY: reading the data port reads the selected register; those of a header, of a list of capabilities and of
        // virtio's window have no effect when read.
        unsafe { asm!("in eax, dx", in("dx") 0xcfcu16, out("eax") value, options(nostack, preserves_flags)) };
        value
    }

    /// Sets a register.
    ///
    /// # Safety
    /// What the function does then hurts nobody.
    pub unsafe fn write(self, register: u32, value: u32) {
        select(self, register);
        // SAFETY: the caller's word.
        unsafe { asm!("out dx, eax", in("dx") 0xcfcu16, in("eax") value, options(nostack, preserves_flags)) };
    }

    /// The command register.
    pub fn command(self) -> u32 {
        self.read(COMMAND) & !STATUS_BITS
    }

    /// Sets it. The status register beside it is cleared by ones: it gets zeros.
    ///
    /// # Safety
    /// As for [`Function::write`].
    pub unsafe fn set_command(self, command: u32) {
        // SAFETY: the caller's word.
        unsafe { self.write(COMMAND, command & !STATUS_BITS) };
    }

    /// The place of the first capability for which `wanted` is true; it gets the place and the first double word.
    pub fn capability(self, wanted: impl Fn(u32, u32) -> bool) -> Option<u32> {
        if self.read(COMMAND) & HAS_LIST == 0 {
            return None;
        }
        let mut at = self.read(CAPABILITIES) & 0xfc;
        let mut looked = 0;
        while at >= 0x40 && looked < MOST_CAPABILITIES {
            let first = self.read(at);
            if wanted(at, first) {
                return Some(at);
            }
            at = first >> 8 & 0xfc;
            looked += 1;
        }
        None
    }
}

/// The first function of bus 0 with this vendor (low half) and device (high half).
pub fn find(identity: u32) -> Option<Function> {
    let mut devfn = 0;
    while devfn < 256 {
        let function = Function(devfn);
        let found = function.read(0);
        if found == identity {
            return Some(function);
        }
        // Behind a first function that is not there, or is the only one, is nothing.
        let first = devfn & 7 == 0;
        let alone = first && (found == NOTHING || function.read(HEADER_TYPE) & MANY_FUNCTIONS == 0);
        devfn += if alone { 8 } else { 1 };
    }
    None
}

fn select(function: Function, register: u32) {
    let address = 1 << 31 | function.0 << 8 | register & 0xfc;
    // SAFETY: the address port only says what the data port is; the kernel has not begun to use it.
    unsafe { asm!("out dx, eax", in("dx") 0xcf8u16, in("eax") address, options(nostack, preserves_flags)) };
}
