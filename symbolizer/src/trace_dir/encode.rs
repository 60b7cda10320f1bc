// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From words to columns. In: the words of a block, run by run. Out: [`Columns`]. Any word can go
//! in; the usual kinds go to columns of their own and become small.

use super::Run;
use super::columns::{self, Columns};
use super::model::{EXIT, Guess, LEAF_BIT, Model, OTHER, Slot, Token, token};
use super::value::{self, BitWriter};
use std::collections::HashMap;

/// The model's guess after two things was right.
pub const STRONG: u8 = 0;
/// Its guess after one thing was right.
pub const WEAK: u8 = 1;
/// The token is in the dictionary.
pub const KNOWN: u8 = 2;
/// The token comes for the first time.
pub const NEW: u8 = 3;

/// Most tokens of a dictionary: an index has two bytes.
pub const DICTIONARY: usize = 1 << 16;

/// Tokens that every dictionary begins with.
pub const PRESET: [Token; 2] = [EXIT, OTHER];

struct Values<'a> {
    columns: &'a mut Columns,
    bits: BitWriter,
}

impl Values<'_> {
    #[inline]
    fn put(&mut self, first: usize, guess: &mut Guess, value: u32) {
        let stream = first + guess.stream();
        let (class, bits) = if value < value::WIDE_FROM { value::class(value) } else { (u8::MAX, 0) };
        let written = if value == guess.last {
            value::SAME
        } else if value < value::WIDE_FROM {
            self.bits.push(value & ((1 << bits) - 1), bits);
            class
        } else {
            self.columns[columns::WIDE].extend_from_slice(&value.to_le_bytes());
            value::WIDE
        };
        self.columns[stream].push(written);
        guess.learn(value, class);
    }
}

/// Puts the words of all runs into empty columns.
pub fn encode(runs: &[Run], words: &[u64], columns: &mut Columns) {
    let mut model = Model::new();
    // The standard hasher, whose collisions a hostile guest cannot choose; few tokens get here.
    let mut dictionary: HashMap<Token, u16> =
        PRESET.iter().enumerate().map(|(id, &token)| (token, id as u16)).collect();
    let mut values = Values { columns, bits: BitWriter::default() };
    let (mut codes, mut pending) = (0u8, 0u32);
    for run in runs {
        model.now = run.tsc as u32;
        for &word in &words[run.words.clone()] {
            let token = token(word);
            let place = model.place();
            let mut slot = *model.strong(place);
            let code = if slot.token == token {
                STRONG
            } else {
                slot = *model.weak(place);
                if slot.token == token {
                    WEAK
                } else {
                    slot = Slot { token, ..Slot::default() };
                    let next = dictionary.len();
                    if let Some(&id) = dictionary.get(&token) {
                        values.columns[columns::IDS_LOW].push(id as u8);
                        values.columns[columns::IDS_HIGH].push((id >> 8) as u8);
                        KNOWN
                    } else {
                        values.columns[columns::TOKENS].extend_from_slice(&token.to_le_bytes());
                        if next < DICTIONARY {
                            dictionary.insert(token, next as u16);
                        }
                        NEW
                    }
                }
            };
            codes |= code << pending;
            pending += 2;
            if pending == 8 {
                values.columns[columns::CODES].push(codes);
                (codes, pending) = (0, 0);
            }
            model.now = put_rest(&mut values, &mut slot, word, model.now);
            *model.strong(place) = slot;
            if code != STRONG {
                *model.weak(place) = slot;
            }
            model.advance(token);
        }
    }
    if pending > 0 {
        values.columns[columns::CODES].push(codes);
    }
    values.columns[columns::BITS] = values.bits.finish();
}

/// Writes what a token leaves out of its word; the time after the word.
#[inline]
fn put_rest(values: &mut Values<'_>, slot: &mut Slot, word: u64, now: u32) -> u32 {
    let high = (word >> 32) as u32;
    if slot.token == OTHER {
        values.columns[columns::OTHERS].extend_from_slice(&word.to_le_bytes());
        now
    } else if slot.token == EXIT {
        values.put(columns::GAPS, &mut slot.gap, high.wrapping_sub(now));
        high
    } else if slot.token & LEAF_BIT != 0 {
        let duration = high & 0x7fff;
        let end = high >> 15;
        let gap = end.wrapping_sub(duration).wrapping_sub(now) & 0xffff;
        values.put(columns::GAPS, &mut slot.gap, gap);
        values.put(columns::DURATIONS, &mut slot.duration, duration);
        now.wrapping_add(gap).wrapping_add(duration)
    } else {
        // A step of 31 bits, widened with its sign: a small step back stays small in 32 bits too.
        let gap = ((high.wrapping_sub(now) << 1) as i32 >> 1) as u32;
        values.put(columns::GAPS, &mut slot.gap, gap);
        now.wrapping_add(gap)
    }
}
