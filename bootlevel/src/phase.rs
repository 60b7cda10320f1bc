// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Phases of a boot. The ten initcall levels are phases; around them are those that have no initcalls.
//! In and out: plain values. Never here: when a phase begins (the guest sees that).

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
    #[inline]
    pub const fn name(self) -> &'static str {
        self.phase().name()
    }

    /// The phase that this level is.
    #[inline]
    pub const fn phase(self) -> Phase {
        match self {
            Level::Early => Phase::Early,
            Level::Pure => Phase::Pure,
            Level::Core => Phase::Core,
            Level::Postcore => Phase::Postcore,
            Level::Arch => Phase::Arch,
            Level::Subsys => Phase::Subsys,
            Level::Fs => Phase::Fs,
            Level::Rootfs => Phase::Rootfs,
            Level::Device => Phase::Device,
            Level::Late => Phase::Late,
        }
    }

    /// What stands between `.initcall` and `.init` in the name of the level's section
    /// (include/asm-generic/vmlinux.lds.h); `__initcall<it>_start` is the first entry of its table, but
    /// for early, whose first is `__initcall_start`.
    pub const fn section(self) -> &'static str {
        match self {
            Level::Early => "early",
            Level::Pure => "0",
            Level::Core => "1",
            Level::Postcore => "2",
            Level::Arch => "3",
            Level::Subsys => "4",
            Level::Fs => "5",
            Level::Rootfs => "rootfs",
            Level::Device => "6",
            Level::Late => "7",
        }
    }
}

/// A phase of the boot, in boot order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Before the first traced function: firmware and boot loader, and what the kernel does before.
    Firmware = 0,
    /// `start_kernel` up to the console.
    Start,
    /// `console_init`: the first drivers that can print.
    Console,
    /// From the console to the first initcall: memory, scheduler, the first tasks.
    Setup,
    /// early_initcall: one CPU runs.
    Early,
    /// The other CPUs come up, the driver core begins.
    Smp,
    /// pure_initcall.
    Pure,
    /// core_initcall.
    Core,
    /// postcore_initcall.
    Postcore,
    /// arch_initcall.
    Arch,
    /// subsys_initcall.
    Subsys,
    /// fs_initcall.
    Fs,
    /// rootfs_initcall.
    Rootfs,
    /// device_initcall, and module_init of built-in code.
    Device,
    /// late_initcall.
    Late,
    /// After the last initcall: waiting for what runs beside, freeing init memory.
    Final,
    /// The kernel executes init.
    Init,
    /// User space runs.
    User,
    /// Power-off, reboot or halt, up to the last function.
    Shutdown,
}

impl Phase {
    /// All phases, in boot order; a phase's number is its index.
    pub const ALL: [Phase; 19] = [
        Phase::Firmware,
        Phase::Start,
        Phase::Console,
        Phase::Setup,
        Phase::Early,
        Phase::Smp,
        Phase::Pure,
        Phase::Core,
        Phase::Postcore,
        Phase::Arch,
        Phase::Subsys,
        Phase::Fs,
        Phase::Rootfs,
        Phase::Device,
        Phase::Late,
        Phase::Final,
        Phase::Init,
        Phase::User,
        Phase::Shutdown,
    ];

    /// The phase with this number.
    #[inline]
    pub const fn from_u8(number: u8) -> Option<Phase> {
        Some(match number {
            0 => Phase::Firmware,
            1 => Phase::Start,
            2 => Phase::Console,
            3 => Phase::Setup,
            4 => Phase::Early,
            5 => Phase::Smp,
            6 => Phase::Pure,
            7 => Phase::Core,
            8 => Phase::Postcore,
            9 => Phase::Arch,
            10 => Phase::Subsys,
            11 => Phase::Fs,
            12 => Phase::Rootfs,
            13 => Phase::Device,
            14 => Phase::Late,
            15 => Phase::Final,
            16 => Phase::Init,
            17 => Phase::User,
            18 => Phase::Shutdown,
            _ => return None,
        })
    }

    /// The name that users write and read.
    #[inline]
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Firmware => "firmware",
            Phase::Start => "start",
            Phase::Console => "console",
            Phase::Setup => "setup",
            Phase::Early => "early",
            Phase::Smp => "smp",
            Phase::Pure => "pure",
            Phase::Core => "core",
            Phase::Postcore => "postcore",
            Phase::Arch => "arch",
            Phase::Subsys => "subsys",
            Phase::Fs => "fs",
            Phase::Rootfs => "rootfs",
            Phase::Device => "device",
            Phase::Late => "late",
            Phase::Final => "final",
            Phase::Init => "init",
            Phase::User => "user",
            Phase::Shutdown => "shutdown",
        }
    }

    /// What happens in it, for people.
    pub const fn description(self) -> &'static str {
        match self {
            Phase::Firmware => {
                "before the first traced function: firmware and boot loader, and what the kernel does before"
            }
            Phase::Start => "start_kernel up to the console",
            Phase::Console => "console_init: the first drivers that can print",
            Phase::Setup => "from the console to the first initcall: memory, scheduler, the first tasks",
            Phase::Early => "early_initcall: one CPU runs",
            Phase::Smp => "the other CPUs come up, the driver core begins",
            Phase::Pure => "pure_initcall",
            Phase::Core => "core_initcall",
            Phase::Postcore => "postcore_initcall",
            Phase::Arch => "arch_initcall",
            Phase::Subsys => "subsys_initcall",
            Phase::Fs => "fs_initcall",
            Phase::Rootfs => "rootfs_initcall",
            Phase::Device => "device_initcall, and module_init of built-in code",
            Phase::Late => "late_initcall",
            Phase::Final => "after the last initcall: waiting for what runs beside, freeing init memory",
            Phase::Init => "the kernel executes init",
            Phase::User => "user space runs",
            Phase::Shutdown => "power-off, reboot or halt, up to the last function",
        }
    }

    /// The initcall level that it is, if it is one.
    #[inline]
    pub const fn level(self) -> Option<Level> {
        Some(match self {
            Phase::Early => Level::Early,
            Phase::Pure => Level::Pure,
            Phase::Core => Level::Core,
            Phase::Postcore => Level::Postcore,
            Phase::Arch => Level::Arch,
            Phase::Subsys => Level::Subsys,
            Phase::Fs => Level::Fs,
            Phase::Rootfs => Level::Rootfs,
            Phase::Device => Level::Device,
            Phase::Late => Level::Late,
            _ => return None,
        })
    }
}

/// A set of phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PhaseSet(u32);

impl PhaseSet {
    /// No phase.
    pub const NONE: PhaseSet = PhaseSet(0);
    /// Every phase.
    pub const ALL: PhaseSet = PhaseSet((1 << Phase::ALL.len()) - 1);

    /// With all phases from `first` to `last`, both included; none is added if they are in the wrong order.
    #[inline]
    pub const fn with_range(self, first: Phase, last: Phase) -> PhaseSet {
        let (from, to) = (first as u32, last as u32);
        if from > to {
            return self;
        }
        PhaseSet(self.0 | ((2u32 << to).wrapping_sub(1u32 << from)))
    }

    /// Whether the phase is in the set.
    #[inline]
    pub const fn contains(self, phase: Phase) -> bool {
        self.0 >> phase as u32 & 1 != 0
    }

    /// The phases that are in both sets.
    #[inline]
    pub const fn and(self, other: PhaseSet) -> PhaseSet {
        PhaseSet(self.0 & other.0)
    }

    /// Whether no phase is in the set.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As bits, by the phases' numbers.
    #[inline]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_in_boot_order_and_named_once() {
        for (number, phase) in Phase::ALL.iter().enumerate() {
            assert_eq!(*phase as usize, number);
            assert_eq!(Phase::from_u8(number as u8), Some(*phase));
            assert_eq!(Phase::ALL.iter().filter(|other| other.name() == phase.name()).count(), 1);
        }
        assert_eq!(Phase::from_u8(Phase::ALL.len() as u8), None);
    }

    #[test]
    fn levels_are_phases_in_the_same_order() {
        for pair in Level::ALL.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].phase() < pair[1].phase());
        }
        for level in Level::ALL {
            assert_eq!(level.phase().level(), Some(level));
        }
    }

    #[test]
    fn ranges_hold_their_ends_and_nothing_else() {
        for first in Phase::ALL {
            for last in Phase::ALL {
                let set = PhaseSet::NONE.with_range(first, last);
                for phase in Phase::ALL {
                    assert_eq!(set.contains(phase), first <= phase && phase <= last);
                }
            }
        }
        assert_eq!(PhaseSet::NONE.with_range(Phase::Firmware, Phase::Shutdown), PhaseSet::ALL);
    }
}
