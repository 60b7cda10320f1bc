// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The BAR that the recorder's memory lies in, while a kernel finds out its size as `__pci_read_base` does. What the
//! device is told must leave it where it is at every step; what the kernel learns must be the truth.

use early_ftrace::channel::ivshmem::{Access, Held};

const DEVFN: u32 = 0x18;
const BASE: u64 = 0x8_fd00_0000;
const SIZE: u64 = 16 << 20;
/// 64 bits, prefetchable.
const FLAGS: u32 = 0xc;

/// The device's registers, as QEMU has them.
struct Machine {
    held: Held,
    command: u32,
    bar: [u32; 2],
}

fn access(at: u32, len: u32) -> Access {
    Access { segment: 0, bus: 0, devfn: DEVFN, at, len }
}

impl Machine {
    fn new() -> Machine {
        let mask = SIZE.wrapping_neg();
        let bar = [BASE as u32 | FLAGS, (BASE >> 32) as u32];
        Machine { held: Held::new(DEVFN, bar, [mask as u32, (mask >> 32) as u32]), command: 0x103, bar }
    }

    fn write(&mut self, at: u32, value: u32) {
        let len = if at == 4 { 2 } else { 4 };
        let value = self.held.write(&access(at, len), value);
        match at {
            4 => self.command = value,
            _ => self.bar[(at as usize - 0x18) / 4] = value,
        }
        self.is_where_it_was();
    }

    fn read(&self, at: u32) -> u32 {
        self.held.read(&access(at, 4)).expect("a register of the BAR")
    }

    fn is_where_it_was(&self) {
        assert_eq!(self.command & 2, 2, "memory is decoded");
        assert_eq!(self.bar, [BASE as u32 | FLAGS, (BASE >> 32) as u32]);
    }

    /// `__pci_read_base`: address and size.
    fn size(&mut self) -> (u64, u64) {
        let command = self.command;
        self.write(4, command & !3);
        let mut found = (0, 0);
        for (at, shift) in [(0x18, 0), (0x1c, 32)] {
            let old = self.read(at);
            self.write(at, u32::MAX);
            let ones = self.read(at);
            self.write(at, old);
            assert_eq!(self.read(at), old);
            let flags = if shift == 0 { 0xf } else { 0 };
            found = (found.0 | u64::from(old & !flags) << shift, found.1 | u64::from(ones & !flags) << shift);
        }
        self.write(4, command);
        assert_eq!(self.command, command);
        (found.0, found.1.wrapping_neg())
    }
}

#[test]
fn a_kernel_learns_where_the_memory_is_and_leaves_it_there() {
    assert_eq!(Machine::new().size(), (BASE, SIZE));
}

#[test]
fn a_kernel_that_moves_it_is_told_so_and_the_memory_stays() {
    let mut machine = Machine::new();
    machine.write(0x18, 0xc000_0000);
    machine.write(0x1c, 0);
    assert_eq!((machine.read(0x18), machine.read(0x1c)), (0xc000_0000 | FLAGS, 0));
    assert_eq!(machine.size(), (0xc000_0000, SIZE));
    // Bytes and halves, which only a person writes (setpci), change nothing.
    assert_eq!(machine.held.write(&access(0x1b, 1), 0x11), 0xfd);
    assert_eq!(machine.held.read(&access(0x1a, 2)), Some(0xc000));
}

#[test]
fn other_registers_and_devices_are_left_alone() {
    let mut held = Machine::new().held;
    for (other, value) in [
        (Access { devfn: DEVFN + 1, ..access(0x18, 4) }, 0),
        (Access { bus: 1, ..access(0x18, 4) }, 1),
        (Access { segment: 1, ..access(4, 2) }, 0),
        (access(0x10, 4), u32::MAX),
        (access(0x20, 4), u32::MAX),
        (access(0x3c, 1), 11),
    ] {
        assert_eq!((held.write(&other, value), held.read(&other)), (value, None), "{other:?}");
    }
    // Nobody holds a BAR.
    let mut none = held;
    none.on = 0;
    assert_eq!((none.write(&access(0x18, 4), 7), none.read(&access(0x18, 4))), (7, None));
    // One of 32 bits: the register behind it is another's.
    let mut narrow = Held::new(DEVFN, [0xfd00_0000, 0], [0xff00_0000, 0]);
    assert_eq!((narrow.write(&access(0x1c, 4), 7), narrow.read(&access(0x1c, 4))), (7, None));
    assert_eq!(narrow.write(&access(0x18, 4), u32::MAX), 0xfd00_0000);
}
