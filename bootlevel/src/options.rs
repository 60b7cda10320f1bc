// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The grammar of `hypergraph=` and its parser. In: a kernel command line, as bytes. Out: its parts and
//! problems one by one ([`items`]), all of them summed up ([`Options`]), or whether they want a function
//! ([`selects`]). Never here: doing what they say.
//!
#![doc = include_str!("../GRAMMAR.md")]

pub use crate::line::{Texts, texts};
use crate::phase::{Phase, PhaseSet};
use crate::problem::{Problem, Span};

/// Names of parts, each followed by a space. Places in these lists are numbers; one string needs no table
/// of addresses inside the guest.
pub const KEYS: &str = "on off filter func notrace depth events until channel overflow pack ";
/// Names of phases, by number.
pub const PHASES: &str = "firmware start console setup early smp pure core postcore arch subsys fs rootfs device \
                          late final init user shutdown ";
/// Names of kinds of events, by number.
pub const EVENTS: &str = "func sched initcall irq ";
/// Names of channels, by number.
pub const CHANNELS: &str = "auto ram ivshmem hypercall port pmem ";
/// Names of what a full ring does, by number.
pub const OVERFLOWS: &str = "wait drop ";

/// The deepest `depth:`.
pub const DEEPEST: u16 = 127;

/// The most words in a hypercall: it has four arguments.
pub const MOST_PACKED: u16 = 4;

/// A kind of event that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// Entries and exits of functions.
    Func = 0,
    /// Context switches, names and ends of tasks.
    Sched,
    /// Begin and end of each initcall.
    Initcall,
    /// Begin and end of each interrupt.
    Irq,
}

impl EventKind {
    /// All of them, by number.
    pub const ALL: [EventKind; 4] = [EventKind::Func, EventKind::Sched, EventKind::Initcall, EventKind::Irq];
}

/// Where events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Channel {
    /// The first of the others that is there.
    Auto = 0,
    /// Guest memory that the host can see.
    Ram,
    /// The memory of an ivshmem device.
    Ivshmem,
    /// Hypercalls.
    Hypercall,
    /// An I/O port.
    Port,
    /// The memory of a virtio-pmem device.
    Pmem,
}

impl Channel {
    /// All of them, by number.
    pub const ALL: [Channel; 6] =
        [Channel::Auto, Channel::Ram, Channel::Ivshmem, Channel::Hypercall, Channel::Port, Channel::Pmem];
}

/// What an event does that finds its ring full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Overflow {
    /// Wait for the host, for a bounded time.
    Wait = 0,
    /// Be lost, and counted.
    Drop,
}

impl Overflow {
    /// Both, by number.
    pub const ALL: [Overflow; 2] = [Overflow::Wait, Overflow::Drop];
}

/// One part that is understood. A list gives one for each of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part<'a> {
    /// `on`: trace.
    On,
    /// `off`: do not trace.
    Off,
    /// `filter:`, from one phase to another, both included.
    Filter(Phase, Phase),
    /// `func:`, a pattern.
    Func(&'a [u8]),
    /// `notrace:`, a pattern.
    Notrace(&'a [u8]),
    /// `depth:`, 1 to [`DEEPEST`].
    Depth(u16),
    /// `events:`, one kind.
    Events(EventKind),
    /// `until:`, the last phase that is recorded.
    Until(Phase),
    /// `channel:`.
    Channel(Channel),
    /// `overflow:`.
    Overflow(Overflow),
    /// `pack:`, 1 to [`MOST_PACKED`].
    Pack(u16),
}

/// What [`items`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item<'a> {
    /// A part.
    Part(Part<'a>),
    /// Something that is left out, and why.
    Problem(Problem),
}

/// A set of kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Events(u8);

impl Events {
    /// None.
    pub const NONE: Events = Events(0);
    /// What is recorded without `events:`.
    pub const DEFAULT: Events = Events::NONE.with(EventKind::Func).with(EventKind::Sched).with(EventKind::Initcall);

    /// With this kind too.
    #[inline]
    pub const fn with(self, kind: EventKind) -> Events {
        Events(self.0 | 1 << kind as u8)
    }

    /// Whether this kind is in the set.
    #[inline]
    pub const fn contains(self, kind: EventKind) -> bool {
        self.0 >> kind as u8 & 1 != 0
    }
}

impl Default for Events {
    #[inline]
    fn default() -> Events {
        Events::DEFAULT
    }
}

/// All parts of a kernel command line, summed up; patterns are asked for with [`selects`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// `hypergraph=` stands on the line at all.
    pub present: bool,
    /// What the last of `on` and `off` says; without any, `Some(true)` if there is any other valid part.
    pub on: Option<bool>,
    /// Phases to record: those of all `filter:` parts, or all.
    pub phases: PhaseSet,
    /// The last phase that is recorded.
    pub until: Option<Phase>,
    /// Most frames of traced functions on a task's stack.
    pub depth: Option<u16>,
    /// Kinds of events: those of all `events:` parts, or the default.
    pub events: Events,
    /// Where events go.
    pub channel: Option<Channel>,
    /// What happens when a ring is full.
    pub overflow: Option<Overflow>,
    /// Words in each hypercall.
    pub pack: Option<u16>,
    /// There are `func:` or `notrace:` patterns.
    pub globs: bool,
}

impl Options {
    /// Reads a whole kernel command line.
    #[inline]
    pub fn read(line: &[u8]) -> Options {
        let (mut filter, mut events, mut any, mut switch) = (PhaseSet::NONE, Events::NONE, false, None);
        let (mut until, mut depth, mut channel, mut overflow) = (None, None, None, None);
        let (mut pack, mut globs) = (None, false);
        for (item, _) in items(line) {
            let Item::Part(part) = item else { continue };
            any = true;
            match part {
                Part::On => switch = Some(true),
                Part::Off => switch = Some(false),
                Part::Filter(first, last) => filter = filter.with_range(first, last),
                Part::Func(_) | Part::Notrace(_) => globs = true,
                Part::Depth(most) => depth = Some(most),
                Part::Events(kind) => events = events.with(kind),
                Part::Until(phase) => until = Some(phase),
                Part::Channel(which) => channel = Some(which),
                Part::Overflow(how) => overflow = Some(how),
                Part::Pack(words) => pack = Some(words),
            }
        }
        Options {
            present: texts(line).next().is_some(),
            on: if switch.is_none() && any { Some(true) } else { switch },
            phases: if filter.is_empty() { PhaseSet::ALL } else { filter },
            until,
            depth,
            events: if events == Events::NONE { Events::DEFAULT } else { events },
            channel,
            overflow,
            pack,
            globs,
        }
    }
}

/// Whether the line's `func:` and `notrace:` parts want a function with this name: one `func:` matches or
/// there is none, and no `notrace:` matches.
///
/// ```
/// let line = b"hypergraph=func:vfs_*,ext4_*,notrace:*_read";
/// assert!(bootlevel::selects(line, b"vfs_write"));
/// assert!(!bootlevel::selects(line, b"vfs_read"));
/// assert!(!bootlevel::selects(line, b"do_exit"));
/// assert!(bootlevel::selects(line, b"ext4_fill_super.isra.0"));
/// ```
#[inline]
pub fn selects(line: &[u8], function: &[u8]) -> bool {
    let (mut asked, mut wanted) = (false, false);
    let plain = Word { at: 0, bytes: function }.cut(b'.').0.bytes;
    for (item, _) in items(line) {
        match item {
            Item::Part(Part::Func(pattern)) => {
                asked = true;
                wanted = wanted || named(pattern, function, plain);
            }
            Item::Part(Part::Notrace(pattern)) if named(pattern, function, plain) => return false,
            _ => {}
        }
    }
    wanted || !asked
}

/// With what a compiler adds (`.isra.0`, `.constprop.0`, `.cold`), or without.
#[inline]
fn named(pattern: &[u8], function: &[u8], plain: &[u8]) -> bool {
    crate::glob::matches(pattern, function) || crate::glob::matches(pattern, plain)
}

/// The parts and problems of all `hypergraph=` words on a kernel command line, in order, each with its
/// place in the text ([`texts`]).
#[inline]
pub fn items(line: &[u8]) -> Items<'_> {
    Items { texts: texts(line), rest: None, list: List::None }
}

/// See [`items`].
#[derive(Clone, Debug)]
pub struct Items<'a> {
    texts: Texts<'a>,
    /// What is left of the value that is read.
    rest: Option<Word<'a>>,
    list: List,
}

/// What an element without a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    /// Nothing: that is a problem.
    None,
    /// A part that is a problem already.
    Unknown,
    Of(Key),
}

/// The names in [`KEYS`] that take a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Filter,
    Func,
    Notrace,
    Depth,
    Events,
    Until,
    Channel,
    Overflow,
    Pack,
}

impl<'a> Iterator for Items<'a> {
    type Item = (Item<'a>, Span);

    #[inline]
    fn next(&mut self) -> Option<(Item<'a>, Span)> {
        loop {
            let rest = match self.rest {
                Some(rest) => rest,
                None => {
                    let (at, bytes) = self.texts.next()?;
                    Word { at, bytes }
                }
            };
            let (element, rest) = rest.cut(b',');
            self.rest = rest;
            let element = element.trimmed();
            if element.bytes.is_empty() {
                continue;
            }
            if let Some((item, word)) = self.read(element) {
                return Some((item, word.span()));
            }
        }
    }
}

impl<'a> Items<'a> {
    /// One element; what the result is about.
    #[inline]
    fn read(&mut self, element: Word<'a>) -> Option<(Item<'a>, Word<'a>)> {
        let (key, value) = element.cut(b':');
        let key = key.trimmed();
        let number = place(KEYS, key.bytes);
        let (key, value) = match (value, number) {
            (None, Some(number @ 0..2)) => {
                self.list = List::None;
                return Some((Item::Part(if number == 0 { Part::On } else { Part::Off }), element));
            }
            (None, _) => match self.list {
                List::None => return Some((Item::Problem(Problem::NoPart), element)),
                List::Unknown => return None,
                List::Of(key) => (key, element),
            },
            (Some(_), Some(0..2)) => {
                self.list = List::None;
                return Some((Item::Problem(Problem::TakesNoValue), element));
            }
            (Some(value), number) => {
                let Some(key) = number.and_then(Key::from_place) else {
                    self.list = List::Unknown;
                    return Some((
                        Item::Problem(Problem::UnknownPart),
                        if key.bytes.is_empty() { element } else { key },
                    ));
                };
                self.list = match key {
                    Key::Filter | Key::Func | Key::Notrace | Key::Events => List::Of(key),
                    _ => List::None,
                };
                let value = value.trimmed();
                if value.bytes.is_empty() {
                    return Some((Item::Problem(Problem::NoValue), element));
                }
                (key, value)
            }
        };
        Some(match key.value(value) {
            Ok(part) => (Item::Part(part), value),
            Err((problem, word)) => (Item::Problem(problem), if word.bytes.is_empty() { value } else { word }),
        })
    }
}

impl Key {
    /// By its place in [`KEYS`].
    #[inline]
    const fn from_place(place: u8) -> Option<Key> {
        Some(match place {
            2 => Key::Filter,
            3 => Key::Func,
            4 => Key::Notrace,
            5 => Key::Depth,
            6 => Key::Events,
            7 => Key::Until,
            8 => Key::Channel,
            9 => Key::Overflow,
            10 => Key::Pack,
            _ => return None,
        })
    }

    /// What one value says; or what is wrong with which bytes of it.
    #[inline]
    fn value<'a>(self, value: Word<'a>) -> Result<Part<'a>, (Problem, Word<'a>)> {
        Ok(match self {
            Key::Filter => match value.cut(b'-') {
                (only, None) => {
                    let phase = phase(only)?;
                    Part::Filter(phase, phase)
                }
                (first, Some(last)) => {
                    let (first, last) = (phase(first.trimmed())?, phase(last.trimmed())?);
                    if first > last {
                        return Err((Problem::RangeBackwards, value));
                    }
                    Part::Filter(first, last)
                }
            },
            Key::Func => Part::Func(pattern(value)?),
            Key::Notrace => Part::Notrace(pattern(value)?),
            Key::Depth => Part::Depth(number(value.bytes, DEEPEST).ok_or((Problem::BadDepth, value))?),
            Key::Until => Part::Until(phase(value)?),
            Key::Events => Part::Events(match place(EVENTS, value.bytes) {
                Some(0) => EventKind::Func,
                Some(1) => EventKind::Sched,
                Some(2) => EventKind::Initcall,
                Some(3) => EventKind::Irq,
                _ => return Err((Problem::UnknownEvent, value)),
            }),
            Key::Channel => Part::Channel(match place(CHANNELS, value.bytes) {
                Some(0) => Channel::Auto,
                Some(1) => Channel::Ram,
                Some(2) => Channel::Ivshmem,
                Some(3) => Channel::Hypercall,
                Some(4) => Channel::Port,
                Some(5) => Channel::Pmem,
                _ => return Err((Problem::UnknownChannel, value)),
            }),
            Key::Overflow => Part::Overflow(match place(OVERFLOWS, value.bytes) {
                Some(0) => Overflow::Wait,
                Some(1) => Overflow::Drop,
                _ => return Err((Problem::UnknownOverflow, value)),
            }),
            Key::Pack => Part::Pack(number(value.bytes, MOST_PACKED).ok_or((Problem::BadPack, value))?),
        })
    }
}

#[inline]
fn phase(name: Word<'_>) -> Result<Phase, (Problem, Word<'_>)> {
    match place(PHASES, name.bytes).and_then(Phase::from_u8) {
        Some(Phase::Firmware) => Err((Problem::BeforeTheKernel, name)),
        Some(phase) => Ok(phase),
        None => Err((Problem::UnknownPhase, name)),
    }
}

#[inline]
fn pattern(text: Word<'_>) -> Result<&[u8], (Problem, Word<'_>)> {
    for byte in text.bytes {
        if !crate::glob::is_pattern_byte(*byte) {
            return Err((Problem::BadPattern, text));
        }
    }
    Ok(text.bytes)
}

#[inline]
fn number(digits: &[u8], most: u16) -> Option<u16> {
    let mut number = 0u16;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 || number > most {
            return None;
        }
        number = number.wrapping_mul(10).wrapping_add(digit as u16);
    }
    (1..=most).contains(&number).then_some(number)
}

/// Which of the names, each followed by a space, the word is.
#[inline]
fn place(names: &str, word: &[u8]) -> Option<u8> {
    let (mut number, mut same, mut left) = (0u8, true, word.iter());
    for byte in names.as_bytes() {
        if *byte == b' ' {
            if same && left.as_slice().is_empty() {
                return Some(number);
            }
            number = number.wrapping_add(1);
            same = true;
            left = word.iter();
        } else {
            same = same && left.next() == Some(byte);
        }
    }
    None
}

/// Bytes with their place in the text.
#[derive(Clone, Copy, Debug)]
struct Word<'a> {
    at: usize,
    bytes: &'a [u8],
}

impl<'a> Word<'a> {
    /// What stands before the first such byte, and after it if there is one.
    #[inline]
    fn cut(self, byte: u8) -> (Word<'a>, Option<Word<'a>>) {
        let mut length = 0usize;
        for found in self.bytes {
            if *found == byte {
                break;
            }
            length = length.wrapping_add(1);
        }
        let Some((before, from)) = self.bytes.split_at_checked(length) else { return (self, None) };
        let after =
            from.split_first().map(|(_, bytes)| Word { at: self.at.wrapping_add(length).wrapping_add(1), bytes });
        (Word { at: self.at, bytes: before }, after)
    }

    /// Without spaces around it.
    #[inline]
    fn trimmed(self) -> Word<'a> {
        let Word { mut at, mut bytes } = self;
        while let Some((b' ', rest)) = bytes.split_first() {
            bytes = rest;
            at = at.wrapping_add(1);
        }
        while let Some((b' ', rest)) = bytes.split_last() {
            bytes = rest;
        }
        Word { at, bytes }
    }

    #[inline]
    fn span(self) -> Span {
        Span::new(self.at, self.bytes.len())
    }
}
