// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What usually comes next. Writer and reader of a block hold the same model and feed it the same
//! words, so the writer need only say whether the model was right. In: the words so far, as tokens.
//! Out: a guess at the next token and at its times. Never here: bytes, columns; and nothing that
//! could make a word come back changed: a wrong guess costs space only.
//!
//! Kernel code calls the same functions in the same order. So the next token is looked up by the
//! function that is open, and the last two things that happened in it; failing that, by the open
//! function and the last thing.

use early_ftrace_format::word::{EXIT_LOW, LOWEST_FUNCTION};

/// The part of a word that a model guesses: a function with its leaf bit (bit 31), or one of the
/// two below, which no function can be.
pub type Token = u32;

/// An exit word.
pub const EXIT: Token = 1;
/// Any word that has no columns of its own.
pub const OTHER: Token = 2;

/// Bit of a token that says: leaf.
pub const LEAF_BIT: u32 = 1 << 31;

/// Bits of a place in the table of what came after two things.
pub const STRONG_BITS: u32 = 14;
/// Bits of a place in the table of what came after one thing.
pub const WEAK_BITS: u32 = 13;
const FRAMES: usize = 256;

/// Streams that values of one sort are parted into, by what the model expects of them.
pub const STREAMS: usize = 32;

/// What came last time in one place.
#[derive(Clone, Copy, Default)]
pub struct Slot {
    /// The token.
    pub token: Token,
    /// Ticks from the word before to it.
    pub gap: Guess,
    /// Ticks that it lasted, if a leaf.
    pub duration: Guess,
}

/// What a value was the last time, and about what it is usually.
#[derive(Clone, Copy)]
pub struct Guess {
    /// The last value.
    pub last: u32,
    /// Sliding mean of the classes; 0 when nothing is known.
    mean: u8,
}

impl Default for Guess {
    /// Nothing is known; a value of 0 counts as the same as the last time.
    fn default() -> Guess {
        Guess { last: 0, mean: 0 }
    }
}

impl Guess {
    /// In which of the [`STREAMS`] the value goes.
    #[inline]
    pub fn stream(self) -> usize {
        usize::from(self.mean >> 3)
    }

    /// The value turned out to be this.
    #[inline]
    pub fn learn(&mut self, value: u32, class: u8) {
        *self = Guess { last: value, mean: mean(self.mean, class) };
    }
}

#[derive(Clone, Copy, Default)]
struct Frame {
    function: Token,
    last: Token,
    before: Token,
}

/// A mix of the open function and the last thing in it.
#[inline(always)]
pub const fn near(function: Token, last: Token) -> u64 {
    (function as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (last as u64).wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(17)
}

/// Where what came after two things is looked up; `before` is the thing before the last.
#[inline(always)]
pub const fn strong_place(near: u64, before: Token) -> usize {
    let far = near ^ (before as u64).wrapping_mul(0xa076_1d64_78bd_642f).rotate_left(31);
    (far.wrapping_mul(0xe703_7ed1_a0b4_28db) >> (64 - STRONG_BITS)) as usize
}

/// Where what came after one thing is looked up.
#[inline(always)]
pub const fn weak_place(near: u64) -> usize {
    (near.wrapping_mul(0x8ebc_6af0_9c88_c6e3) >> (64 - WEAK_BITS)) as usize
}

/// The sliding mean of classes after another one; 0 when nothing was known.
#[inline(always)]
pub const fn mean(mean: u8, class: u8) -> u8 {
    let next = (mean as u32 * 3 + class as u32 + 2) >> 2;
    if mean == 0 { class } else { next as u8 }
}

/// Where the next token is looked up.
#[derive(Clone, Copy)]
pub struct Place {
    strong: usize,
    weak: usize,
}

/// See the module.
pub struct Model {
    strong: Box<[Slot; 1 << STRONG_BITS]>,
    weak: Box<[Slot; 1 << WEAK_BITS]>,
    frames: Box<[Frame; FRAMES]>,
    depth: u8,
    /// Low 32 bits of the time of the last word.
    pub now: u32,
}

/// An array on the heap, which never was on the stack.
pub fn boxed<T: Copy, const N: usize>(fill: T) -> Box<[T; N]> {
    match vec![fill; N].into_boxed_slice().try_into() {
        Ok(array) => array,
        Err(_) => unreachable!("a vector of N elements is an array of N"),
    }
}

impl Model {
    /// A model that knows nothing.
    pub fn new() -> Model {
        Model {
            strong: boxed(Slot::default()),
            weak: boxed(Slot::default()),
            frames: boxed(Frame::default()),
            depth: 0,
            now: 0,
        }
    }

    /// The place of the next token.
    #[inline]
    pub fn place(&self) -> Place {
        let frame = self.frames[usize::from(self.depth)];
        let near = near(frame.function, frame.last);
        Place { strong: strong_place(near, frame.before), weak: weak_place(near) }
    }

    /// What came last time after the same two things.
    #[inline]
    pub fn strong(&mut self, place: Place) -> &mut Slot {
        &mut self.strong[place.strong & ((1 << STRONG_BITS) - 1)]
    }

    /// What came last time after the same one thing.
    #[inline]
    pub fn weak(&mut self, place: Place) -> &mut Slot {
        &mut self.weak[place.weak & ((1 << WEAK_BITS) - 1)]
    }

    /// `token` has come.
    #[inline]
    pub fn advance(&mut self, token: Token) {
        let at = usize::from(self.depth);
        if token == EXIT {
            let done = self.frames[at].function;
            self.depth = self.depth.wrapping_sub(1);
            let below = &mut self.frames[usize::from(self.depth)];
            below.before = below.last;
            below.last = done;
        } else if token & LEAF_BIT != 0 {
            let frame = &mut self.frames[at];
            frame.before = frame.last;
            frame.last = token;
        } else if token != OTHER {
            let caller = self.frames[at].function;
            self.depth = self.depth.wrapping_add(1);
            self.frames[usize::from(self.depth)] = Frame { function: token, last: OTHER, before: caller };
        }
    }
}

/// The token of a word.
#[inline]
pub fn token(word: u64) -> Token {
    let low = word as u32;
    if low >= LOWEST_FUNCTION {
        low & !LEAF_BIT | (word >> 32) as u32 & LEAF_BIT
    } else if low == EXIT_LOW {
        EXIT
    } else {
        OTHER
    }
}
