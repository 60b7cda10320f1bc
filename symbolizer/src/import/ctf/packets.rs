// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Packets of a CTF stream. In: a file, and its description. Out: its events, and where some were discarded. Memory: one
//! packet. Never here: text.

use std::sync::Arc;

use super::super::input::Input;
use super::super::wanted::{MOST, Values};
use super::super::{ImportError, Item, Lost, Notes, Stream};
use super::tsdl::{Trace, Type};
use crate::host::event::{Raw, RawKind};

/// First bytes of a packet of events.
const MAGIC: u64 = 0xc1fc_1fc1;

/// Largest packet; LTTng's sub-buffers have 1 MiB unless told otherwise.
const LARGEST: u64 = 256 << 20;

/// A packet's head and context are in its first bytes.
const HEAD: u64 = 4096;

/// Most values of one event.
const MOST_VALUES: u32 = 1 << 16;

/// Most values for each bit of a file, beside those of one event: what has no bits (a struct without fields, an array
/// of none) costs time too.
const VALUES_PER_BIT: u64 = 4;

/// So many names are looked through for the price of a value.
const NAMES_PER_VALUE: usize = 16;

/// Thread of events before a CPU's first switch, where no context says it: from here down, by CPU.
const NOBODY: u32 = u32::MAX;

/// A value that was read, for fields behind it that hang on it.
struct Known<'a> {
    name: &'a str,
    value: u64,
    kind: &'a Type,
}

/// Reads values from bits.
struct Bits<'a> {
    bytes: &'a [u8],
    at: u64,
    end: u64,
    known: Vec<Known<'a>>,
    clock: u64,
    left: u32,
}

impl<'a> Bits<'a> {
    /// Values may be read up to `left`.
    fn new(bytes: &'a [u8], left: u32) -> Bits<'a> {
        Bits { bytes, at: 0, end: bytes.len() as u64 * 8, known: Vec::new(), clock: 0, left }
    }

    fn align(&mut self, bits: u64) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(bits).filter(|&at| at <= self.end)?;
        Some(())
    }

    fn skip(&mut self, bits: u64) -> Option<()> {
        self.at = self.at.checked_add(bits).filter(|&at| at <= self.end)?;
        Some(())
    }

    fn integer(&mut self, bits: u32, big: bool) -> Option<u64> {
        let start = self.at;
        self.skip(bits.into())?;
        let (first, shift) = ((start / 8) as usize, (start % 8) as u32);
        let last = self.at.div_ceil(8) as usize;
        let bytes = self.bytes.get(first..last)?;
        let mut all = [0; 16];
        all.get_mut(..bytes.len())?.copy_from_slice(bytes);
        if big && bits.is_multiple_of(8) && shift == 0 {
            all[..bytes.len()].reverse();
        }
        let value = (u128::from_le_bytes(all) >> shift) as u64;
        Some(if bits < 64 { value & ((1 << bits) - 1) } else { value })
    }

    /// Reads a value; what is a number is known by its name from then on.
    fn read(&mut self, name: &'a str, kind: &'a Type) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        self.align(kind.align())?;
        match kind {
            Type::Integer { bits, signed, big, clock, .. } => {
                let mut value = self.integer(*bits, *big)?;
                if *clock {
                    self.tick(*bits, value);
                }
                if *signed {
                    let above = 64 - bits;
                    value = (((value << above) as i64) >> above) as u64;
                }
                self.known.push(Known { name, value, kind });
                Some(())
            }
            Type::Enum { base, .. } => {
                self.read(name, base)?;
                // For variants: the names are the enum's.
                self.known.last_mut()?.kind = kind;
                Some(())
            }
            Type::Float { bits, .. } => self.skip((*bits).into()),
            Type::String => {
                let rest = self.bytes.get((self.at / 8) as usize..(self.end / 8) as usize)?;
                let length = rest.iter().position(|&byte| byte == 0)? as u64;
                self.skip(8 * (length + 1))
            }
            Type::Struct { fields, .. } => fields.iter().try_for_each(|(name, kind)| self.read(name, kind)),
            Type::Variant { tag, options, .. } => {
                let (value, kind) = self.look_up(tag.as_deref()?)?;
                let Type::Enum { base, names } = kind else { return None };
                let signed = matches!(**base, Type::Integer { signed: true, .. });
                let value = if signed { i128::from(value as i64) } else { value.into() };
                let at = names.iter().position(|(_, low, high)| (*low..=*high).contains(&value))?;
                self.charge(at)?;
                let label = unscored(&names[at].0);
                let at = options.iter().position(|(name, _)| unscored(name) == label)?;
                self.charge(at)?;
                let (name, kind) = &options[at];
                self.read(name, kind)
            }
            Type::Array { item, length } => self.items(item, *length),
            Type::Sequence { item, length } => {
                let (length, _) = self.look_up(length)?;
                self.items(item, length)
            }
        }
    }

    fn items(&mut self, item: &'a Type, length: u64) -> Option<()> {
        if let Type::Integer { bits, align, .. } = item
            && u64::from(*bits).is_multiple_of(*align)
        {
            return self.skip(u64::from(*bits).checked_mul(length)?);
        }
        (0..length).try_for_each(|_| self.read("", item))
    }

    /// Value and type of a field before, by the last part of its path.
    fn look_up(&mut self, path: &str) -> Option<(u64, &'a Type)> {
        let name = path.rsplit('.').next()?;
        let back = self.known.iter().rev().position(|known| known.name == name)?;
        self.charge(back)?;
        self.known.iter().nth_back(back).map(|known| (known.value, known.kind))
    }

    /// So many names were looked through.
    fn charge(&mut self, names: usize) -> Option<()> {
        self.left = self.left.checked_sub(u32::try_from(names / NAMES_PER_VALUE).ok()?)?;
        Some(())
    }

    fn value(&self, name: &str) -> Option<u64> {
        self.known.iter().rev().find(|known| unscored(known.name) == unscored(name)).map(|known| known.value)
    }

    /// The clock's lower bits are these: it has gone on, and not by more than they can say.
    fn tick(&mut self, bits: u32, value: u64) {
        if bits >= 64 {
            self.clock = value;
            return;
        }
        let range = 1u64 << bits;
        let carried = if value < self.clock & (range - 1) { range } else { 0 };
        self.clock = (self.clock & !(range - 1) | value).wrapping_add(carried);
    }
}

fn unscored(name: &str) -> &str {
    name.strip_prefix('_').unwrap_or(name)
}

/// A packet that is being read.
struct Packet {
    bytes: Vec<u8>,
    class: u64,
    at: u64,
    end: u64,
    clock: u64,
}

/// A file's events.
pub(super) struct Packets {
    trace: Arc<Trace>,
    input: Input,
    at: u64,
    packet: Option<Packet>,
    cpu: u32,
    discarded: u64,
    number: Option<u64>,
    /// What was discarded behind the last event of the packet at hand: when that was closed, and how many.
    behind: Option<(u64, Option<u64>)>,
    /// Values that were read.
    values: u64,
    running: Option<u32>,
    last: u64,
}

impl Packets {
    pub(super) fn new(trace: Arc<Trace>, input: Input) -> Packets {
        let (cpu, discarded, last) = (0, 0, 0);
        let (packet, number, behind, values, running) = (None, None, None, 0, None);
        Packets { trace, input, at: 0, packet, cpu, discarded, number, behind, values, running, last }
    }

    /// How many values may be read from this bit of the file on, for one packet's head or one event.
    fn values_left(&self, bit: u64) -> u32 {
        let all = VALUES_PER_BIT.saturating_mul(bit).saturating_add(MOST_VALUES.into());
        all.saturating_sub(self.values).min(MOST_VALUES.into()) as u32
    }

    fn lose(&mut self, clock: u64, count: Option<u64>) -> Lost {
        self.last = self.last.max(self.ns(clock));
        self.running = None;
        Lost { time: self.last, cpu: self.cpu, count }
    }

    /// Opens the next packet; whether others are missing before it. What was discarded is another thing: LTTng writes
    /// how much when it closes a packet (client_buffer_end in lttng-modules' lttng-ring-buffer-client.h), so one more
    /// there was lost behind this packet's events.
    fn turn(&mut self) -> Result<Option<Lost>, ImportError> {
        let start = self.at;
        let broken = |what: &str| ImportError::damaged(self.input.path(), start, what);
        let head = self.input.read_up_to(start, HEAD)?;
        let trace = self.trace.clone();
        let allowed = self.values_left(start.saturating_mul(8));
        let mut bits = Bits::new(&head, allowed);
        if let Some(kind) = &trace.packet {
            bits.read("", kind).ok_or_else(|| broken("a packet's header is cut off"))?;
        }
        if bits.value("magic").is_some_and(|magic| magic != MAGIC) {
            return Err(broken("a packet should begin here"));
        }
        let class = bits.value("stream_id").unwrap_or(0);
        let stream = trace.classes.get(&class).ok_or_else(|| broken("a packet of a stream that is not described"))?;
        if let Some(kind) = &stream.packet {
            bits.read("", kind).ok_or_else(|| broken("a packet's context is cut off"))?;
        }
        let rest = self.input.size().saturating_sub(start);
        let size = bits.value("packet_size").map_or(rest, |bits| bits / 8);
        let content = bits.value("content_size").unwrap_or(size.saturating_mul(8));
        if size == 0 || size > rest.min(LARGEST) || content > size * 8 || content < bits.at {
            return Err(broken(&format!("a packet of {size} bytes, where {rest} are left")));
        }
        if let Some(cpu) = bits.value("cpu_id") {
            self.cpu = cpu as u32;
        }
        let clock = bits.value("timestamp_begin").unwrap_or(self.last);
        let discarded = bits.value("events_discarded").unwrap_or(0);
        let number = bits.value("packet_seq_num");
        let closed = bits.value("timestamp_end").unwrap_or(clock);
        let at = bits.at;
        let values = u64::from(allowed - bits.left);
        drop(bits);
        self.values += values;
        let bytes = self.input.read(start, size)?;
        self.packet = Some(Packet { bytes, class, at, end: content, clock });
        self.at = start + size;

        let more = discarded.wrapping_sub(std::mem::replace(&mut self.discarded, discarded));
        let skipped = self.number.zip(number).is_some_and(|(last, now)| now != last.wrapping_add(1));
        self.number = number;
        self.behind = (more != 0).then_some((closed, Some(more).filter(|&more| more < 1 << 48)));
        Ok(skipped.then(|| self.lose(clock, None)))
    }

    fn ns(&self, ticks: u64) -> u64 {
        match self.trace.frequency {
            1_000_000_000 => ticks,
            frequency => (u128::from(ticks) * 1_000_000_000 / u128::from(frequency)) as u64,
        }
    }

    /// The next event that is wanted; the outer none: the packet is through, or makes no sense any more.
    fn event(&mut self, notes: &mut Notes) -> Option<Option<Raw>> {
        let trace = self.trace.clone();
        let at = self.packet.as_ref().map(|packet| (self.at - packet.bytes.len() as u64) * 8 + packet.at)?;
        let allowed = self.values_left(at);
        let packet = self.packet.as_mut().filter(|packet| packet.at < packet.end)?;
        let mut bits = Bits::new(&packet.bytes, allowed);
        (bits.at, bits.end, bits.clock) = (packet.at, packet.end, packet.clock);
        let (start, number) = (packet.at, packet.class);
        let class = trace.classes.get(&number)?;
        let mut read = || {
            if let Some(kind) = &class.header {
                bits.read("", kind)?;
            }
            let event = trace.events.get(&(number, bits.value("id").unwrap_or(0)))?;
            bits.known.clear();
            for kind in class.context.iter().chain(&event.context) {
                bits.read("", kind)?;
            }
            let thread = bits.value("tid").map(|tid| tid as u32);
            bits.known.clear();
            if let Some(kind) = &event.fields {
                bits.read("", kind)?;
            }
            // An event of no bits would never end.
            (bits.at > start).then_some((event, thread))
        };
        let read = read();
        self.values += u64::from(allowed - bits.left);
        let Some((event, thread)) = read else {
            let offset = self.at.saturating_sub(packet.bytes.len() as u64) + start / 8;
            let path = self.input.path().display();
            notes.warn(format!("{path}: damaged at offset {offset:#x}: no event; the rest of its packet is left out"));
            self.packet = None;
            return None;
        };
        (packet.at, packet.clock) = (bits.at, bits.clock);
        let clock = bits.clock;
        let Some((wanted, names)) = &event.wanted else { return Some(None) };
        let mut values: Values = [None; MOST];
        for (value, name) in values.iter_mut().zip(names) {
            *value = name.as_ref().and_then(|name| bits.value(name));
        }
        let kind = wanted.raw(&values);
        drop(bits);
        self.last = self.last.max(self.ns(clock));
        let mut running = self.running;
        if let RawKind::Switch { prev, next, .. } = kind {
            running = Some(prev);
            self.running = Some(next);
        }
        let thread = thread.or(running).unwrap_or_else(|| {
            let path = self.input.path().display();
            notes.warn(format!("{path}: no event says whose its first events are; record with add-context -k -t tid"));
            NOBODY - self.cpu
        });
        Some(Some(Raw { time: self.last, cpu: self.cpu, thread, kind }))
    }
}

impl Stream for Packets {
    fn next(&mut self, notes: &mut Notes) -> Option<Item> {
        loop {
            match self.event(notes) {
                Some(Some(raw)) => return Some(Item::Event(raw)),
                Some(None) => continue,
                None => {}
            }
            if let Some((clock, count)) = self.behind.take() {
                return Some(Item::Lost(self.lose(clock, count)));
            }
            if self.at >= self.input.size() {
                return None;
            }
            match self.turn() {
                Ok(Some(lost)) => return Some(Item::Lost(lost)),
                Ok(None) => {}
                Err(error) => {
                    notes.warn(format!("{error} Its events behind that are missing"));
                    self.at = self.input.size();
                    self.packet = None;
                    return None;
                }
            }
        }
    }
}
