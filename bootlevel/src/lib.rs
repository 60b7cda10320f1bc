// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Boot levels: the initcall levels in the order in which the kernel runs them. The leaf that guest
//! and host share; the command-line grammar and the filters of `hypergraph=` will live here.
#![no_std]
#![forbid(unsafe_code)]

/// An initcall level, in boot order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// `early_initcall`, before SMP.
    Early = 0,
    /// `pure_initcall`.
    Pure,
    /// `core_initcall`.
    Core,
    /// `postcore_initcall`.
    Postcore,
    /// `arch_initcall`.
    Arch,
    /// `subsys_initcall`.
    Subsys,
    /// `fs_initcall`.
    Fs,
    /// `rootfs_initcall`.
    Rootfs,
    /// `device_initcall` and `module_init` of built-in code.
    Device,
    /// `late_initcall`.
    Late,
}

impl Level {
    /// All levels, in boot order.
    pub const ALL: [Level; 10] = [
        Level::Early,
        Level::Pure,
        Level::Core,
        Level::Postcore,
        Level::Arch,
        Level::Subsys,
        Level::Fs,
        Level::Rootfs,
        Level::Device,
        Level::Late,
    ];

    /// The name that users write.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Early => "early",
            Level::Pure => "pure",
            Level::Core => "core",
            Level::Postcore => "postcore",
            Level::Arch => "arch",
            Level::Subsys => "subsys",
            Level::Fs => "fs",
            Level::Rootfs => "rootfs",
            Level::Device => "device",
            Level::Late => "late",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_in_boot_order_and_named_once() {
        for pair in Level::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
            assert_ne!(pair[0].name(), pair[1].name());
        }
    }
}
