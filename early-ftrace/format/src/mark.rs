// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a mark says: phases of the boot, initcalls, modules, interrupts, the command line. In and out:
//! the 15 bits of a mark word's `arg`. Never here: what a phase is called (that is `bootlevel`'s).

/// Bytes that one mark of a text carries: its value, little-endian.
pub const TEXT_BYTES: usize = 4;

/// Parts of a module's name: `MODULE_NAME_LEN` is 56 on 64-bit kernels (include/linux/moduleparam.h).
pub const NAME_PARTS: u16 = 14;

/// Parts of a build ID: a SHA-1 has 20 bytes.
pub const BUILD_ID_PARTS: u16 = 5;

/// Parts of the `hypergraph=` text: 512 bytes.
pub const OPTION_PARTS: u16 = 128;

/// Sections of a module that a mark can name, by their index in the .ko.
pub const MOST_SECTIONS: u16 = 1 << 13;

/// Calls in each batch that is measured (`Mark::Calibration`). All leaves of one must end within the reach of a
/// leaf word, also where an emulator needs a thousand ticks for each.
pub const BATCH: u32 = 32;

/// What was measured of the recorder's own cost: ticks of [`BATCH`] calls, in the fastest of some rounds. A
/// *leaf* is a function that does nothing, a *pair* a function that only calls such a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Measured {
    /// No calls at all: what measuring takes.
    Empty = 0,
    /// Leaves that are not traced.
    PlainLeaves,
    /// Pairs that are not traced.
    PlainPairs,
    /// Traced leaves.
    Leaves,
    /// Of these, what their words say that they lasted.
    LeavesInside,
    /// Traced pairs.
    Pairs,
    /// Of these, from the outer entry to the inner one, as their words say.
    PairsBefore,
    /// From the inner entry to the inner exit.
    PairsInside,
    /// From the inner exit to the outer one.
    PairsAfter,
    /// What measuring took in all, up to this mark: ticks, not of a batch. It is told first.
    Took,
}

impl Measured {
    /// All, in the order of their marks.
    pub const ALL: [Measured; 10] = [
        Measured::Took,
        Measured::Empty,
        Measured::PlainLeaves,
        Measured::PlainPairs,
        Measured::Leaves,
        Measured::LeavesInside,
        Measured::Pairs,
        Measured::PairsBefore,
        Measured::PairsInside,
        Measured::PairsAfter,
    ];
}

/// A mark. "Value" is the 32-bit value that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// A phase of the boot begins: `bootlevel::Phase` as a number, below 64. Value: 0.
    Phase(u8),
    /// A built-in initcall begins. Value: low half of its address.
    InitcallStart,
    /// A module's init function begins. Value: low half of its address.
    ModuleInitStart,
    /// The innermost initcall or module init that runs in this task ended. Value: what it returned.
    InitcallEnd,
    /// Four bytes of the name of the module that is described next. Value: the bytes.
    ModuleName(u16),
    /// Four bytes of its build ID. Value: the bytes.
    ModuleBuildId(u16),
    /// The module named so far is loaded: its description is complete. Value: 0.
    ModuleLoaded,
    /// Address of an executable section of the module, by its index in the .ko. Value: low half.
    SectionAddress(u16),
    /// Size of that section. Value: bytes.
    SectionSize(u16),
    /// An interrupt begins. Value: 0.
    IrqEnter,
    /// An interrupt ends. Value: 0.
    IrqExit,
    /// Four bytes of the text after `hypergraph=` on the guest's command line (several: a comma between
    /// them), from the first on; the last one is NUL-padded. Value: the bytes.
    Option(u16),
    /// A part of that text is not understood, and was left out: `bootlevel::Problem` as a number, below
    /// 64. Value: offset in the text, and length in the upper 16 bits.
    Problem(u8),
    /// What the recorder costs, told where the trace begins, and again when that has changed: a [`Measured`] as a
    /// number, below 16.
    /// Value: ticks.
    Calibration(u8),
    /// A mark of a later version.
    Unknown(u16),
}

const PHASE: u16 = 0;
const INITCALL_START: u16 = 0x100;
const MODULE_INIT_START: u16 = 0x101;
const INITCALL_END: u16 = 0x102;
const IRQ_ENTER: u16 = 0x110;
const IRQ_EXIT: u16 = 0x111;
const MODULE_LOADED: u16 = 0x120;
const MODULE_NAME: u16 = 0x130;
const MODULE_BUILD_ID: u16 = 0x140;
const CALIBRATION: u16 = 0x160;
const PROBLEM: u16 = 0x180;
const OPTION: u16 = 0x200;
const SECTION_ADDRESS: u16 = 0x2000;
const SECTION_SIZE: u16 = 0x4000;

impl Mark {
    /// The code in a mark word's `arg`; parts past their limit are masked into it.
    #[inline]
    pub const fn code(self) -> u16 {
        match self {
            Mark::Phase(phase) => PHASE | phase as u16 & 63,
            Mark::InitcallStart => INITCALL_START,
            Mark::ModuleInitStart => MODULE_INIT_START,
            Mark::InitcallEnd => INITCALL_END,
            Mark::IrqEnter => IRQ_ENTER,
            Mark::IrqExit => IRQ_EXIT,
            Mark::ModuleLoaded => MODULE_LOADED,
            Mark::ModuleName(part) => MODULE_NAME | part & 15,
            Mark::ModuleBuildId(part) => MODULE_BUILD_ID | part & 7,
            Mark::Calibration(what) => CALIBRATION | what as u16 & 15,
            Mark::Problem(problem) => PROBLEM | problem as u16 & 63,
            Mark::Option(part) => OPTION | part & (OPTION_PARTS - 1),
            Mark::SectionAddress(index) => SECTION_ADDRESS | index & (MOST_SECTIONS - 1),
            Mark::SectionSize(index) => SECTION_SIZE | index & (MOST_SECTIONS - 1),
            Mark::Unknown(code) => code & 0x7fff,
        }
    }

    /// The mark with this code.
    #[inline]
    pub const fn from_code(code: u16) -> Mark {
        match code {
            0..64 => Mark::Phase(code as u8),
            INITCALL_START => Mark::InitcallStart,
            MODULE_INIT_START => Mark::ModuleInitStart,
            INITCALL_END => Mark::InitcallEnd,
            IRQ_ENTER => Mark::IrqEnter,
            IRQ_EXIT => Mark::IrqExit,
            MODULE_LOADED => Mark::ModuleLoaded,
            0x130..0x13e => Mark::ModuleName(code - MODULE_NAME),
            0x140..0x145 => Mark::ModuleBuildId(code - MODULE_BUILD_ID),
            0x160..0x170 => Mark::Calibration((code - CALIBRATION) as u8),
            0x180..0x1c0 => Mark::Problem((code - PROBLEM) as u8),
            0x200..0x280 => Mark::Option(code - OPTION),
            0x2000..0x4000 => Mark::SectionAddress(code - SECTION_ADDRESS),
            0x4000..0x6000 => Mark::SectionSize(code - SECTION_SIZE),
            _ => Mark::Unknown(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_one_mark() {
        for code in 0..1 << 15 {
            assert_eq!(Mark::from_code(code).code(), code);
        }
        for part in 0..NAME_PARTS {
            assert_eq!(Mark::from_code(Mark::ModuleName(part).code()), Mark::ModuleName(part));
        }
        for part in 0..BUILD_ID_PARTS {
            assert_eq!(Mark::from_code(Mark::ModuleBuildId(part).code()), Mark::ModuleBuildId(part));
        }
    }
}
