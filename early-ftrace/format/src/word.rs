// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The 64-bit event words: struct, masks and classification. In: a raw `u64` from a chunk. Out: the
//! [`Word`] it is. Never here: time reconstruction (that needs the words before it: [`crate::decode`]).
//!
//! A word is *complete* once its low half is not zero: the writer stores the high half first.

use bitfield_struct::bitfield;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Low half of the lowest function word: kernel text starts at 0xffff_ffff_8100_0000 or above
/// (CONFIG_PHYSICAL_START's default and the lowest slot of KASLR), so that the 16 MiB below are
/// free for control words.
pub const LOWEST_FUNCTION: u32 = 0x8100_0000;

/// Upper 32 bits of every kernel text address on x86-64 (`__START_KERNEL_map` and the modules area
/// are the top 2 GiB).
pub const KERNEL_HIGH: u64 = 0xffff_ffff_0000_0000;

/// Largest leaf duration in ticks that fits the leaf word.
pub const LEAF_DURATION_MAX: u64 = (1 << 15) - 1;

/// A leaf word may end at most this many ticks after the anchor.
pub const LEAF_REACH: u64 = 1 << 16;

/// Value of [`SwitchWord::pid`] that says: the pid is in the escape word before this one.
pub const PID_ESCAPED: u16 = 0x7fff;

/// Value of [`SwitchWord::prio`] (biased) that says: the priority is in an escape word.
pub const PRIO_ESCAPED: u8 = 0xff;

/// Value of [`SwitchWord::state`] that says: the state is in an escape word.
pub const STATE_ESCAPED: u8 = 0xff;

/// Added to the kernel's `prio` before it is stored: the deadline class has -1, and a switch word's
/// low half must not be zero.
pub const PRIO_BIAS: i32 = 1;

/// A function was entered: bit 63 is 0, bit 31 is 1, the low half is [`LOWEST_FUNCTION`] or above.
#[bitfield(u64, debug = false)]
#[derive(PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct EntryWord {
    /// Low 32 bits of the address after the function's `call __fentry__`.
    #[bits(32)]
    pub site: u32,
    /// Low 31 bits of the time stamp counter at entry.
    #[bits(31)]
    pub time: u32,
    /// 0 in an entry.
    #[bits(1)]
    pub leaf: bool,
}

/// A function was entered and left with nothing recorded between: bit 63 is 1, bit 31 is 1, the low
/// half is [`LOWEST_FUNCTION`] or above.
#[bitfield(u64, debug = false)]
#[derive(PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct LeafWord {
    /// Low 32 bits of the address after the function's `call __fentry__`.
    #[bits(32)]
    pub site: u32,
    /// Ticks from entry to exit, at most [`LEAF_DURATION_MAX`].
    #[bits(15)]
    pub duration: u16,
    /// Low 16 bits of the time stamp counter at exit.
    #[bits(16)]
    pub end: u16,
    /// 1 in a leaf.
    #[bits(1)]
    pub leaf: bool,
}

/// The CPU goes from one task to another: bit 31 is 0.
#[bitfield(u64, debug = false)]
#[derive(PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SwitchWord {
    /// Pid of the next task, or [`PID_ESCAPED`].
    #[bits(15)]
    pub pid: u16,
    /// `__state` of the previous task, or [`STATE_ESCAPED`].
    #[bits(8)]
    pub state: u8,
    /// `prio` of the next task plus [`PRIO_BIAS`], or [`PRIO_ESCAPED`].
    #[bits(8)]
    pub prio: u8,
    /// 0 in a switch.
    #[bits(1)]
    pub other: bool,
    /// Low 32 bits of the time stamp counter.
    #[bits(32)]
    pub time: u32,
}

/// Everything that is rare: bits 24 to 31 are 0x80, the kind says what `arg` and `data` mean.
#[bitfield(u64, debug = false)]
#[derive(PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ControlWord {
    /// A [`Kind`] as a number.
    #[bits(8)]
    pub kind: u8,
    /// Meaning depends on the kind.
    #[bits(15)]
    pub arg: u16,
    /// 0.
    #[bits(1)]
    pub zero: bool,
    /// 0x80.
    #[bits(8)]
    pub mark: u8,
    /// Meaning depends on the kind.
    #[bits(32)]
    pub data: u32,
}

/// [`ControlWord::mark`] of every control word.
pub const CONTROL_MARK: u8 = 0x80;

/// Kinds of control words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The innermost open function of the running task returned. `data`: low 32 bits of the time.
    Exit = 1,
    /// Full time stamp. `data`: bits 32 to 63, `arg`: bits 17 to 31; the low 17 bits are zero.
    Time = 2,
    /// A value of the next switch or mark word that does not fit it. `arg`: an [`Escape`], `data`: the value.
    Escape = 3,
    /// Events were lost here. `data`: how many (several such words add up).
    Lost = 4,
    /// Four bytes of a task's name for the next [`Kind::Task`] word. `arg`: which four (0 to 3).
    Name = 5,
    /// About a task. `arg`: a [`TaskNote`], `data`: its pid.
    Task = 6,
    /// Something worth a mark: a phase of the boot, an initcall, a module. `arg`: a [`crate::mark::Mark`],
    /// `data`: low 32 bits of the time. Its value is in the escape word before.
    Mark = 7,
    /// The last word of a CPU. `arg`: an [`EndReason`], `data`: low 32 bits of the time.
    End = 11,
    /// Nothing: fills a slot that was reserved and turned out not to be needed.
    Pad = 12,
}

/// What [`Kind::Escape`] carries for the next word that can use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Escape {
    /// The pid (unsigned).
    Pid = 0,
    /// The priority, not biased (two's complement).
    Prio = 1,
    /// The state (unsigned).
    State = 2,
    /// The value of the next [`Kind::Mark`] word; without it the value is 0.
    Value = 3,
}

/// What [`Kind::Task`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum TaskNote {
    /// The task has the name of the name words before.
    Named = 0,
    /// The task is gone; its pid may come again.
    Ended = 1,
    /// The task was running on this CPU when the chunk was opened.
    Running = 2,
}

/// Why a CPU's stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum EndReason {
    /// The guest powered off, reset or was stopped in order.
    PowerOff = 0,
    /// The recorder was told to stop (Ctrl-C or its time limit) while the guest ran on.
    Stopped = 1,
    /// The guest or its virtual machine monitor died.
    Died = 2,
}

/// A word, classified. Fields are raw: times are not widened yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Low half zero: reserved by a writer, not written (yet).
    Unwritten,
    /// See [`EntryWord`].
    Entry(EntryWord),
    /// See [`LeafWord`].
    Leaf(LeafWord),
    /// See [`SwitchWord`].
    Switch(SwitchWord),
    /// See [`ControlWord`], of a known kind.
    Control(Kind, ControlWord),
    /// A control word of a kind that this version does not know.
    Unknown(ControlWord),
}

impl Kind {
    /// The kind with this number.
    #[inline]
    pub const fn from_u8(value: u8) -> Option<Kind> {
        Some(match value {
            1 => Kind::Exit,
            2 => Kind::Time,
            3 => Kind::Escape,
            4 => Kind::Lost,
            5 => Kind::Name,
            6 => Kind::Task,
            7 => Kind::Mark,
            11 => Kind::End,
            12 => Kind::Pad,
            _ => return None,
        })
    }
}

impl Word {
    /// Classifies a raw word; every value is some word.
    #[inline]
    pub const fn classify(raw: u64) -> Word {
        let low = raw as u32;
        if low >= LOWEST_FUNCTION {
            if raw >> 63 != 0 { Word::Leaf(LeafWord::from_bits(raw)) } else { Word::Entry(EntryWord::from_bits(raw)) }
        } else if low == 0 {
            Word::Unwritten
        } else if low >> 31 == 0 {
            Word::Switch(SwitchWord::from_bits(raw))
        } else {
            let word = ControlWord::from_bits(raw);
            match Kind::from_u8(word.kind()) {
                Some(kind) if !word.zero() => Word::Control(kind, word),
                _ => Word::Unknown(word),
            }
        }
    }
}

/// The control word of `kind`; `arg` above 15 bits is a caller's error and is masked.
///
/// Built by shifts, not by [`ControlWord`]'s setters, here and in [`crate::encode`]: those have a way to
/// panic, which the guest object must not have. The tests hold both against each other.
#[inline]
pub const fn control(kind: Kind, arg: u16, data: u32) -> u64 {
    kind as u64 | (arg as u64 & 0x7fff) << 8 | (CONTROL_MARK as u64) << 24 | (data as u64) << 32
}

/// Low half of an exit word, as the return trampoline stores it.
pub const EXIT_LOW: u32 = control(Kind::Exit, 0, 0) as u32;
