// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From columns to words: the mirror of [`super::encode`]. In: the columns of a block, whose
//! checksum was right, and the sizes of its runs. Out: the words. The columns are not trusted all
//! the same: whatever they hold, this ends with words or with [`BadPayload`].

use super::Run;
use super::columns::{self, BadPayload, Unpacked};
use super::encode::{DICTIONARY, KNOWN, PRESET, STRONG, WEAK};
use super::model::{EXIT, Guess, LEAF_BIT, Model, OTHER, STREAMS, Slot, Token};
use super::value::{self, BitReader, CLASSES};
use early_ftrace_format::word::EXIT_LOW;

const SHORT: BadPayload = BadPayload("a column ends too early");

struct Values<'a> {
    bytes: &'a [u8],
    /// Gaps, then durations: where each stream goes on and where it ends.
    streams: [(usize, usize); 2 * STREAMS],
    bits: BitReader<'a>,
    wide: &'a [u8],
    others: &'a [u8],
}

impl Values<'_> {
    #[inline]
    fn take(&mut self, first: usize, guess: &mut Guess) -> Result<u32, BadPayload> {
        let (at, end) = &mut self.streams[first + (guess.stream() & (STREAMS - 1))];
        if at == end {
            return Err(SHORT);
        }
        let written = *self.bytes.get(*at).ok_or(SHORT)?;
        *at += 1;
        if written == value::WIDE {
            return self.take_wide(guess);
        }
        // No branch on "same as last time": that is often a guess for the processor as well.
        let (least, bits) = CLASSES[usize::from(written)];
        let read = least | self.bits.take(bits).ok_or(SHORT)?;
        let same = written == value::SAME;
        let value = if same { guess.last } else { read };
        let class = if same { guess.class } else { written };
        guess.learn(value, class);
        Ok(value)
    }

    #[cold]
    fn take_wide(&mut self, guess: &mut Guess) -> Result<u32, BadPayload> {
        let (four, rest) = self.wide.split_first_chunk().ok_or(SHORT)?;
        self.wide = rest;
        let value = u32::from_le_bytes(*four);
        // A damaged column could hold a small value here, which the writer would not have put there.
        guess.learn(value, u8::MAX);
        Ok(value)
    }
}

/// Takes the words of `runs`, which lie one behind the other, out of the columns.
pub fn decode(runs: &[Run], count: usize, unpacked: &Unpacked) -> Result<Vec<u64>, BadPayload> {
    let (bytes, streams) = unpacked.streams(columns::GAPS);
    let mut values = Values {
        bytes,
        streams,
        bits: BitReader::new(unpacked.padded(columns::BITS)),
        wide: unpacked.column(columns::WIDE),
        others: unpacked.column(columns::OTHERS),
    };
    let codes = unpacked.column(columns::CODES);
    if codes.len() != count.div_ceil(4) {
        return Err(BadPayload("the codes do not fit the number of words"));
    }
    let ids = unpacked.column(columns::IDS_LOW).iter().zip(unpacked.column(columns::IDS_HIGH));
    let mut ids = ids.map(|(&low, &high)| usize::from(high) << 8 | usize::from(low));
    let mut tokens = unpacked.column(columns::TOKENS).chunks_exact(4);
    let mut dictionary: Vec<Token> = PRESET.to_vec();
    let mut model = Model::new();
    let mut words = Vec::with_capacity(count);
    for run in runs {
        model.now = run.tsc as u32;
        for _ in run.words.clone() {
            let index = words.len();
            let code = codes.get(index >> 2).ok_or(SHORT)? >> ((index & 3) * 2) & 3;
            let place = model.place();
            let mut slot = match code {
                STRONG => *model.strong(place),
                WEAK => *model.weak(place),
                _ => {
                    let token = if code == KNOWN {
                        let id = ids.next().ok_or(SHORT)?;
                        *dictionary.get(id).ok_or(BadPayload("an index is beyond the dictionary"))?
                    } else {
                        let four = tokens.next().and_then(|four| four.first_chunk()).ok_or(SHORT)?;
                        let token = Token::from_le_bytes(*four);
                        if dictionary.len() < DICTIONARY {
                            dictionary.push(token);
                        }
                        token
                    };
                    Slot { token, ..Slot::default() }
                }
            };
            let (word, now) = take_rest(&mut values, &mut slot, model.now)?;
            words.push(word);
            model.now = now;
            *model.strong(place) = slot;
            if code != STRONG {
                *model.weak(place) = slot;
            }
            model.advance(slot.token);
        }
    }
    Ok(words)
}

/// The word of a token and the time after it.
#[inline]
fn take_rest(values: &mut Values<'_>, slot: &mut Slot, now: u32) -> Result<(u64, u32), BadPayload> {
    let site = slot.token | LEAF_BIT;
    let (high, low, now) = if slot.token & LEAF_BIT != 0 {
        let gap = values.take(0, &mut slot.gap)?;
        let duration = values.take(STREAMS, &mut slot.duration)? & 0x7fff;
        let end = now.wrapping_add(gap).wrapping_add(duration);
        (end << 15 & 0x7fff_8000 | duration | LEAF_BIT, site, end)
    } else if slot.token == EXIT {
        let time = now.wrapping_add(values.take(0, &mut slot.gap)?);
        (time, EXIT_LOW, time)
    } else if slot.token == OTHER {
        let (eight, rest) = values.others.split_first_chunk().ok_or(SHORT)?;
        values.others = rest;
        return Ok((u64::from_le_bytes(*eight), now));
    } else {
        let time = now.wrapping_add(values.take(0, &mut slot.gap)?);
        (time & !LEAF_BIT, site, time)
    };
    Ok((u64::from(high) << 32 | u64::from(low), now))
}
