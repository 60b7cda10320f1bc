// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Numbers as one *class* byte and a few raw bits. A class says the number's magnitude and its upper
//! bits, which repeat and compress; the raw bits below them are noise that no compressor can shorten
//! and go out as they are. In: numbers and bits. Out: bytes. Never here: words, time.
//!
//! | class | value |
//! |---|---|
//! | 0 | the same as the last one in this place |
//! | 1 | 32 bits in the column of wide values |
//! | 2 to 33 | 0 to 31 |
//! | 34 and above | 16 classes for each power of two from 2^5 on: 4 bits after the leading one |

/// Same as the last value in this place.
pub const SAME: u8 = 0;
/// The value is in the column of wide values.
pub const WIDE: u8 = 1;
/// Values from here on are wide.
pub const WIDE_FROM: u32 = 1 << 18;

const DIRECT: u32 = 32;
const FIRST_DIRECT: u32 = 2;
const FIRST_OCTAVE: u32 = FIRST_DIRECT + DIRECT;

/// Class of a value below [`WIDE_FROM`], and how many low bits it leaves out.
#[inline]
pub fn class(value: u32) -> (u8, u32) {
    if value < DIRECT {
        return ((FIRST_DIRECT + value) as u8, 0);
    }
    let exponent = 31 - value.leading_zeros();
    let bits = exponent - 4;
    let mantissa = (value >> bits) & 15;
    ((FIRST_OCTAVE + (exponent - 5) * 16 + mantissa) as u8, bits)
}

/// For each class its least value and its number of raw bits.
pub static CLASSES: [(u32, u32); 256] = table();

const fn table() -> [(u32, u32); 256] {
    let mut table = [(0, 0); 256];
    let mut class = FIRST_DIRECT as usize;
    while class < 256 {
        table[class] = if class < FIRST_OCTAVE as usize {
            (class as u32 - FIRST_DIRECT, 0)
        } else {
            let at = class as u32 - FIRST_OCTAVE;
            let bits = at / 16 + 1;
            ((16 + at % 16) << bits, bits)
        };
        class += 1;
    }
    table
}

/// Collects raw bits, lowest first.
#[derive(Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    count: u32,
}

impl BitWriter {
    /// Appends the low `bits` bits of `value`; at most 32, and nothing may stand above them.
    #[inline]
    pub fn push(&mut self, value: u32, bits: u32) {
        self.pending |= u64::from(value) << self.count;
        self.count += bits;
        if self.count >= 32 {
            self.bytes.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.count -= 32;
        }
    }

    /// Writes out what is pending and gives the bytes; the writer is empty then.
    pub fn finish(&mut self) -> Vec<u8> {
        let whole = self.count.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..whole]);
        (self.pending, self.count) = (0, 0);
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_gives_its_values_back() {
        for value in (0..WIDE_FROM).step_by(7).chain([31, 32, 33, 63, 64, WIDE_FROM - 1]) {
            let (class, bits) = class(value);
            assert!(class > WIDE);
            let (least, raw) = CLASSES[class as usize];
            assert_eq!(bits, raw);
            assert_eq!(least | value & ((1 << bits) - 1), value);
        }
    }
}
