// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where the trace of a boot that repeats ends. In: which functions turn the machine off, the last words of a CPU. Out:
//! the word at which the last of them was called. Never here: the rings.
//!
//! A guest turns itself off by a write to a port. The virtual machine monitor does so as soon as its other thread has
//! seen that, and until then the guest goes on for some instructions, in each boot for another number. What comes behind
//! the last call of these functions is a few microseconds in which nothing but that happens.

use early_ftrace_format::decode::Decoder;
use early_ftrace_format::event::Event;

/// The functions, by symbol: on all ways to the end of a boot one of them is called, on some two.
pub const FUNCTIONS: [&str; 5] =
    ["do_kernel_power_off", "machine_power_off", "machine_restart", "machine_emergency_restart", "machine_halt"];

/// An address behind the call site lies so far behind the function's at most.
const PROLOGUE: u64 = 16;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// Addresses of the functions, from `_stext` on.
    pub functions: Vec<u64>,
}

impl Ending {
    /// Index of the word with the last call, in the words of a chunk that was opened at `tsc`.
    pub fn find(&self, text_start: u64, tsc: u64, words: &[u64]) -> Option<usize> {
        let mut decoder = Decoder::new(tsc);
        let mut found = None;
        for (at, &word) in words.iter().enumerate() {
            if let Some(Event::Entry { site, .. }) = decoder.push(word) {
                let place = site.wrapping_sub(text_start);
                if self.functions.iter().any(|&function| place.wrapping_sub(function) < PROLOGUE) {
                    found = Some(at);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use early_ftrace_format::encode::Encoder;

    #[test]
    fn the_last_call_of_any_of_them_is_found() {
        let text = 0xffff_ffff_8100_0000;
        let ending = Ending { functions: vec![0x100, 0x300] };
        let mut words = Vec::new();
        let mut encoder = Encoder::new(1000);
        let mut ends = Vec::new();
        for (time, place) in [(1000, 0x105), (1010, 0x205), (1020, 0x309), (1030, 0x310), (1040, 0x0ff)] {
            ends.push(words.len());
            encoder.push(Event::Entry { site: text + place, time }, |word| words.push(word)).expect("a site");
        }
        assert_eq!(ending.find(text, 1000, &words), Some(ends[2]));
        assert_eq!(ending.find(text, 1000, &words[..ends[2]]), Some(ends[0]));
        assert_eq!(Ending::default().find(text, 1000, &words), None);
    }
}
