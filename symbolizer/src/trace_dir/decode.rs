// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From columns to words: the mirror of [`super::encode`]. In: the columns of a block, whose
//! checksum was right, and the sizes of its runs. Out: words, one at a time, to an [`Output`]. The
//! columns are not trusted all the same: whatever they hold, this ends with words or with
//! [`BadPayload`].

use super::Run;
use super::columns::{self, BadPayload, Unpacked};
use super::encode::{DICTIONARY, KNOWN, PRESET, STRONG, WEAK};
use super::model::{self, EXIT, LEAF_BIT, OTHER, STREAMS, STRONG_BITS, Token, WEAK_BITS};
use super::value::{self, CLASSES};
use early_ftrace_format::word::{EXIT_LOW, LOWEST_FUNCTION};

const SHORT: BadPayload = BadPayload("a column ends too early");

/// Class that a value has of which nothing is known: that of 0.
const CLASS_OF_ZERO: u8 = 2;

/// Who takes the words of a block.
pub trait Output {
    /// A run begins.
    fn open(&mut self, run: &Run);
    /// An entry word: low half of the site, low 31 bits of the time.
    fn entry(&mut self, site: u32, time: u32);
    /// An exit word: low half of the time.
    fn exit(&mut self, time: u32);
    /// A leaf word: low half of the site, low 16 bits of the time of its end, its ticks (15 bits).
    fn leaf(&mut self, site: u32, end: u16, ticks: u32);
    /// Any other word.
    fn other(&mut self, word: u64);
    /// The run has ended.
    fn close(&mut self, run: &Run);
}

/// Gives a word to an output, by its kind.
pub fn put(out: &mut impl Output, word: u64) {
    let (low, high) = (word as u32, (word >> 32) as u32);
    if low >= LOWEST_FUNCTION && high & LEAF_BIT != 0 {
        out.leaf(low, (high >> 15) as u16, high & 0x7fff);
    } else if low >= LOWEST_FUNCTION {
        out.entry(low, high);
    } else if low == EXIT_LOW {
        out.exit(high);
    } else {
        out.other(word);
    }
}

/// Words as they are.
impl Output for Vec<u64> {
    fn open(&mut self, run: &Run) {
        self.reserve(run.words.len());
    }

    fn entry(&mut self, site: u32, time: u32) {
        self.push(u64::from(time) << 32 | u64::from(site));
    }

    fn exit(&mut self, time: u32) {
        self.push(u64::from(time) << 32 | u64::from(EXIT_LOW));
    }

    fn leaf(&mut self, site: u32, end: u16, ticks: u32) {
        let high = u32::from(end) << 15 | ticks | LEAF_BIT;
        self.push(u64::from(high) << 32 | u64::from(site));
    }

    fn other(&mut self, word: u64) {
        self.push(word);
    }

    fn close(&mut self, _run: &Run) {}
}

/// What came last time in one place: [`model::Slot`], in 16 bytes.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Slot {
    token: Token,
    gap: Known,
    duration: Known,
    gap_class: Classes,
    duration_class: Classes,
}

/// A value's last time.
type Known = u32;

/// The class of a value's last time, and the sliding mean of its classes.
#[derive(Clone, Copy)]
struct Classes {
    last: u8,
    mean: u8,
}

impl Slot {
    const fn of(token: Token) -> Slot {
        let unknown = Classes { last: CLASS_OF_ZERO, mean: 0 };
        Slot { token, gap: 0, duration: 0, gap_class: unknown, duration_class: unknown }
    }
}

const STRONG_SLOTS: usize = 1 << STRONG_BITS;
const WEAK_SLOTS: usize = 1 << WEAK_BITS;

/// The model's memory, kept between blocks.
pub struct Tables {
    strong: Box<[Slot; STRONG_SLOTS]>,
    weak: Box<[Slot; WEAK_SLOTS]>,
    frames: Box<[Frame; 256]>,
    dictionary: Vec<Token>,
}

#[derive(Clone, Copy, Default)]
struct Frame {
    function: Token,
    last: Token,
    before: Token,
}

impl Default for Tables {
    fn default() -> Tables {
        Tables {
            strong: model::boxed(Slot::of(OTHER)),
            weak: model::boxed(Slot::of(OTHER)),
            frames: model::boxed(Frame::default()),
            dictionary: Vec::new(),
        }
    }
}

impl Tables {
    /// Forgets the block before.
    fn clear(&mut self) {
        self.strong.fill(Slot::of(OTHER));
        self.weak.fill(Slot::of(OTHER));
        self.frames.fill(Frame::default());
        self.dictionary.clear();
        self.dictionary.extend_from_slice(&PRESET);
    }
}

/// The columns of values.
struct Values<'a> {
    bytes: &'a [u8],
    /// Gaps, then durations: where each stream goes on.
    at: [u32; 2 * STREAMS],
    /// Raw bits with padding, and the next bit.
    bits: &'a [u8],
    bit: usize,
    wide: &'a [u8],
}

impl Values<'_> {
    /// The next class byte of one sort (`first`: its first stream).
    #[inline(always)]
    fn class(&mut self, first: usize, classes: Classes) -> Result<u8, BadPayload> {
        let at = &mut self.at[first + (usize::from(classes.mean >> 3) & (STREAMS - 1))];
        // A stream's end is looked at when the block is done: reading on does no harm.
        let written = *self.bytes.get(*at as usize).ok_or(SHORT)?;
        *at += 1;
        Ok(written)
    }

    /// The next raw bits, 57 at least.
    #[inline(always)]
    fn raw(&self) -> Result<u64, BadPayload> {
        let eight = self.bits.get(self.bit >> 3..).and_then(|rest| rest.first_chunk()).ok_or(SHORT)?;
        Ok(u64::from_le_bytes(*eight) >> (self.bit & 7))
    }

    /// The next gap.
    #[inline(always)]
    fn gap(&mut self, slot: &mut Slot) -> Result<u32, BadPayload> {
        let written = self.class(0, slot.gap_class)?;
        if written == value::WIDE {
            return self.take_wide(&mut slot.gap, &mut slot.gap_class);
        }
        let raw = self.raw()?;
        self.bit += learn(&mut slot.gap, &mut slot.gap_class, written, raw) as usize;
        Ok(slot.gap)
    }

    /// The next gap and the next duration.
    #[inline(always)]
    fn leaf(&mut self, slot: &mut Slot) -> Result<(u32, u32), BadPayload> {
        let gap = self.class(0, slot.gap_class)?;
        let duration = self.class(STREAMS, slot.duration_class)?;
        if gap == value::WIDE || duration == value::WIDE {
            return self.wide_leaf(slot, gap, duration);
        }
        // Both at once: they have 28 bits at most.
        let raw = self.raw()?;
        let bits = learn(&mut slot.gap, &mut slot.gap_class, gap, raw);
        let more = learn(&mut slot.duration, &mut slot.duration_class, duration, raw >> bits);
        self.bit += (bits + more) as usize;
        Ok((slot.gap, slot.duration))
    }

    #[cold]
    #[inline(never)]
    fn wide_leaf(&mut self, slot: &mut Slot, gap: u8, duration: u8) -> Result<(u32, u32), BadPayload> {
        for (written, known, classes) in
            [(gap, &mut slot.gap, &mut slot.gap_class), (duration, &mut slot.duration, &mut slot.duration_class)]
        {
            if written == value::WIDE {
                self.take_wide(known, classes)?;
            } else {
                let raw = self.raw()?;
                self.bit += learn(known, classes, written, raw) as usize;
            }
        }
        Ok((slot.gap, slot.duration))
    }

    #[cold]
    #[inline(never)]
    fn take_wide(&mut self, known: &mut Known, classes: &mut Classes) -> Result<u32, BadPayload> {
        let (four, rest) = self.wide.split_first_chunk().ok_or(SHORT)?;
        self.wide = rest;
        // A damaged column could hold a small value here, which the writer would not have put there.
        *known = u32::from_le_bytes(*four);
        *classes = Classes { last: u8::MAX, mean: model::mean(classes.mean, u8::MAX) };
        Ok(*known)
    }
}

/// A value of that class, with these raw bits, has come; how many of them are its own. No branch on "same as last
/// time": that is often a guess for the processor as well.
#[inline(always)]
fn learn(known: &mut Known, classes: &mut Classes, written: u8, raw: u64) -> u32 {
    let (least, bits) = CLASSES[usize::from(written)];
    let read = least | raw as u32 & ((1 << (bits & 31)) - 1);
    let same = written == value::SAME;
    *known = if same { *known } else { read };
    let class = if same { classes.last } else { written };
    *classes = Classes { last: class, mean: model::mean(classes.mean, class) };
    bits & 31
}

/// The columns of tokens.
struct Tokens<'a> {
    lows: &'a [u8],
    highs: &'a [u8],
    new: &'a [u8],
}

impl Tokens<'_> {
    /// A token that the model did not guess.
    fn take(&mut self, code: u8, dictionary: &mut Vec<Token>) -> Result<Token, BadPayload> {
        if code == KNOWN {
            let (&low, lows) = self.lows.split_first().ok_or(SHORT)?;
            let (&high, highs) = self.highs.split_first().ok_or(SHORT)?;
            (self.lows, self.highs) = (lows, highs);
            let id = usize::from(high) << 8 | usize::from(low);
            return dictionary.get(id).copied().ok_or(BadPayload("an index is beyond the dictionary"));
        }
        let (four, rest) = self.new.split_first_chunk().ok_or(SHORT)?;
        self.new = rest;
        let token = Token::from_le_bytes(*four);
        if token != EXIT && token != OTHER && token | LEAF_BIT < LOWEST_FUNCTION {
            return Err(BadPayload("a token that no word has"));
        }
        if dictionary.len() < DICTIONARY {
            dictionary.push(token);
        }
        Ok(token)
    }
}

/// Takes the words of `runs`, which lie one behind the other and have `count` words, out of the columns.
///
/// # Errors
/// What is wrong with the columns; `out` may have got some words.
pub fn decode<O: Output>(
    runs: &[Run],
    count: usize,
    unpacked: &Unpacked,
    tables: &mut Tables,
    out: &mut O,
) -> Result<(), BadPayload> {
    let (bytes, streams) = unpacked.streams::<{ 2 * STREAMS }>(columns::GAPS);
    let codes = unpacked.column(columns::CODES);
    if codes.len() != count.div_ceil(4) {
        return Err(BadPayload("the codes do not fit the number of words"));
    }
    if u32::try_from(bytes.len()).is_err() {
        return Err(BadPayload("the columns are too large"));
    }
    tables.clear();
    let mut values = Values {
        bytes,
        at: streams.map(|stream| stream.0 as u32),
        bits: unpacked.padded(columns::BITS),
        bit: 0,
        wide: unpacked.column(columns::WIDE),
    };
    let mut tokens = Tokens {
        lows: unpacked.column(columns::IDS_LOW),
        highs: unpacked.column(columns::IDS_HIGH),
        new: unpacked.column(columns::TOKENS),
    };
    let mut others = unpacked.column(columns::OTHERS);
    let Tables { strong, weak, frames, dictionary } = tables;
    let (strong, weak, frames) = (&mut **strong, &mut **weak, &mut **frames);
    let mut top = Frame::default();
    let mut depth = 0u8;
    // Codes of 16 words, two bits each, and a bit above them that says when they are used up.
    let mut codes = codes.chunks(4);
    let mut ready = 1u64;
    for run in runs {
        out.open(run);
        let mut now = run.tsc as u32;
        for _ in 0..run.words.len() {
            if ready == 1 {
                let mut four = [0; 4];
                let next = codes.next().ok_or(SHORT)?;
                four[..next.len()].copy_from_slice(next);
                ready = u64::from(u32::from_le_bytes(four)) | 1 << 32;
            }
            let code = ready as u8 & 3;
            ready >>= 2;
            let near = model::near(top.function, top.last);
            let place = model::strong_place(near, top.before);
            if code != STRONG {
                strong[place] =
                    if code == WEAK { weak[model::weak_place(near)] } else { Slot::of(tokens.take(code, dictionary)?) };
            }
            // Changed where it lies: a copy would cost more than the rest.
            let slot = &mut strong[place];
            let token = slot.token;
            if token & LEAF_BIT != 0 {
                let (gap, ticks) = values.leaf(slot)?;
                let ticks = ticks & 0x7fff;
                now = now.wrapping_add(gap).wrapping_add(ticks);
                out.leaf(token, now as u16, ticks);
                top.before = top.last;
                top.last = token;
            } else if token == EXIT {
                now = now.wrapping_add(values.gap(slot)?);
                out.exit(now);
                let done = top.function;
                frames[usize::from(depth)] = top;
                depth = depth.wrapping_sub(1);
                top = frames[usize::from(depth)];
                top.before = top.last;
                top.last = done;
            } else if token == OTHER {
                let (eight, rest) = others.split_first_chunk().ok_or(SHORT)?;
                others = rest;
                out.other(u64::from_le_bytes(*eight));
            } else {
                now = now.wrapping_add(values.gap(slot)?);
                out.entry(token | LEAF_BIT, now & !LEAF_BIT);
                frames[usize::from(depth)] = top;
                depth = depth.wrapping_add(1);
                top = Frame { function: token, last: OTHER, before: top.function };
            }
            if code != STRONG {
                weak[model::weak_place(near)] = strong[place];
            }
        }
        out.close(run);
    }
    if values.at.iter().zip(&streams).any(|(&at, stream)| at as usize > stream.1) {
        return Err(SHORT);
    }
    Ok(())
}
