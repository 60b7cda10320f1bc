// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What can be wrong with the text after `hypergraph=`, and where. Never here: finding it.

/// Bytes of the text: the values of all `hypergraph=` words with commas between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first one.
    pub at: u16,
    /// How many. `at + len` does not overflow.
    pub len: u16,
}

impl Span {
    /// Cut off where 16 bits end: a kernel command line is shorter.
    #[inline]
    pub(crate) const fn new(at: usize, len: usize) -> Span {
        let at = if at < 0xffff { at as u16 } else { 0xffff };
        let room = 0xffff ^ at;
        Span { at, len: if len < room as usize { len as u16 } else { room } }
    }
}

/// Why a part of the text is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Problem {
    /// `fliter:fs`.
    UnknownPart = 1,
    /// `fs` with nothing before it that takes a list.
    NoPart,
    /// `filter:`.
    NoValue,
    /// `on:1`.
    TakesNoValue,
    /// `filter:flies`.
    UnknownPhase,
    /// `filter:late-fs`.
    RangeBackwards,
    /// `filter:firmware`.
    BeforeTheKernel,
    /// `func:vfs_[rw]*`.
    BadPattern,
    /// `depth:0`.
    BadDepth,
    /// `events:calls`.
    UnknownEvent,
    /// `channel:usb`.
    UnknownChannel,
    /// `overflow:block`.
    UnknownOverflow,
    /// `pack:9`.
    BadPack,
}

impl Problem {
    /// All of them.
    pub const ALL: [Problem; 13] = [
        Problem::UnknownPart,
        Problem::NoPart,
        Problem::NoValue,
        Problem::TakesNoValue,
        Problem::UnknownPhase,
        Problem::RangeBackwards,
        Problem::BeforeTheKernel,
        Problem::BadPattern,
        Problem::BadDepth,
        Problem::UnknownEvent,
        Problem::UnknownChannel,
        Problem::UnknownOverflow,
        Problem::BadPack,
    ];

    /// The problem with this number.
    #[inline]
    pub const fn from_u8(number: u8) -> Option<Problem> {
        Some(match number {
            1 => Problem::UnknownPart,
            2 => Problem::NoPart,
            3 => Problem::NoValue,
            4 => Problem::TakesNoValue,
            5 => Problem::UnknownPhase,
            6 => Problem::RangeBackwards,
            7 => Problem::BeforeTheKernel,
            8 => Problem::BadPattern,
            9 => Problem::BadDepth,
            10 => Problem::UnknownEvent,
            11 => Problem::UnknownChannel,
            12 => Problem::UnknownOverflow,
            13 => Problem::BadPack,
            _ => return None,
        })
    }

    /// What is wrong, for people; the bytes themselves are told beside it.
    pub const fn description(self) -> &'static str {
        match self {
            Problem::UnknownPart => {
                "no such part: they are on, off, filter, func, notrace, depth, events, until, channel, overflow, \
                 pack"
            }
            Problem::NoPart => "belongs to no part: a list goes on only after filter:, func:, notrace: or events:",
            Problem::NoValue => "nothing stands after the colon",
            Problem::TakesNoValue => "on and off take no value",
            Problem::UnknownPhase => {
                "no such phase: they are start, console, setup, early, smp, pure, core, postcore, arch, subsys, fs, \
                 rootfs, device, late, final, init, user, shutdown"
            }
            Problem::RangeBackwards => "the range is backwards: the phase that comes first in the boot stands first",
            Problem::BeforeTheKernel => "nothing can be traced before the kernel runs: the first phase is start",
            Problem::BadPattern => {
                "no pattern: function names have letters, digits, _ . and $; * is any text, ? any character"
            }
            Problem::BadDepth => "no depth: a number from 1 to 127 is expected",
            Problem::UnknownEvent => "no such kind of event: they are func, sched, initcall, irq",
            Problem::UnknownChannel => "no such channel: they are auto, ram, ivshmem, hypercall, port, pmem",
            Problem::UnknownOverflow => "a full ring can wait or drop, nothing else",
            Problem::BadPack => "a hypercall takes 1 to 4 words",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{CHANNELS, EVENTS, KEYS, PHASES};

    #[test]
    fn numbers_are_told_apart_and_fit_a_mark() {
        for problem in Problem::ALL {
            assert_eq!(Problem::from_u8(problem as u8), Some(problem));
            assert!((problem as u8) < 64);
            assert!(!problem.description().is_empty());
        }
        assert_eq!((0..=255).filter_map(Problem::from_u8).count(), Problem::ALL.len());
    }

    #[test]
    fn lists_in_descriptions_are_whole() {
        let listed = |problem: Problem, names: &str, but: &str| {
            let (_, list) = problem.description().split_once(": they are ").unwrap();
            let expected = names.split_whitespace().filter(|name| *name != but);
            assert!(list.split(", ").eq(expected), "{problem:?}");
        };
        listed(Problem::UnknownPart, KEYS, "");
        listed(Problem::UnknownPhase, PHASES, "firmware");
        listed(Problem::UnknownEvent, EVENTS, "");
        listed(Problem::UnknownChannel, CHANNELS, "");
    }

    #[test]
    fn spans_end_where_their_numbers_do() {
        for (at, len) in [(0, 0), (3, 4), (0xfffe, 9), (0xffff, 1), (0x1_0000, 1), (usize::MAX, usize::MAX)] {
            let span = Span::new(at, len);
            assert!(span.at.checked_add(span.len).is_some(), "{span:?}");
        }
        assert_eq!(Span::new(3, 4), Span { at: 3, len: 4 });
    }
}
