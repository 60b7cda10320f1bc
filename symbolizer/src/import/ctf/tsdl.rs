// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The language of CTF's `metadata` (TSDL, CTF 1.8.3 section 7 and appendix C), as far as LTTng writes it. In: text. Out: how
//! packets and events are laid out ([`Trace`]). Never here: bytes of events.
//!
//! Not read: typedef, big-endian traces. Names of types are known to the whole text, not to their block only.

mod types;
mod words;

use std::collections::HashMap;

use super::super::wanted::{MOST, Wanted};
pub(super) use types::Type;
use types::Types;
pub(super) use words::Wrong;
use words::{Word, Words};

/// Most events that are described.
const MOST_EVENTS: usize = 1 << 16;

/// An event's description.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) context: Option<Type>,
    pub(super) fields: Option<Type>,
    /// If it is wanted: the names of its fields in here.
    pub(super) wanted: Option<(Wanted, [Option<String>; MOST])>,
}

impl Event {
    /// A field that it should have.
    pub(super) fn missing(&self) -> Option<String> {
        let wanted = Wanted::named(&self.name).filter(|_| self.wanted.is_none())?;
        let has = |names: &[&str]| names.iter().any(|name| self.field(name).is_some());
        wanted.fields().iter().find(|field| field.needed && !has(field.names)).map(|field| field.names.join(" or "))
    }

    /// Its name in here: LTTng puts a `_` before each.
    fn field(&self, name: &str) -> Option<String> {
        let Some(Type::Struct { fields, .. }) = &self.fields else { return None };
        fields.iter().map(|(name, _)| name).find(|known| known.strip_prefix('_').unwrap_or(known) == name).cloned()
    }

    fn look_up(&mut self) {
        let Some(wanted) = Wanted::named(&self.name) else { return };
        let mut found = [const { None }; MOST];
        for (slot, field) in found.iter_mut().zip(wanted.fields()) {
            *slot = field.names.iter().find_map(|name| self.field(name));
            if slot.is_none() && field.needed {
                return;
            }
        }
        self.wanted = Some((wanted, found));
    }
}

/// A class of streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Class {
    pub(super) packet: Option<Type>,
    pub(super) header: Option<Type>,
    pub(super) context: Option<Type>,
}

/// The whole description.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    pub(super) packet: Option<Type>,
    pub(super) classes: HashMap<u64, Class>,
    /// By class and number.
    pub(super) events: HashMap<(u64, u64), Event>,
    /// The clock's name; ticks in a second.
    pub(super) clock: String,
    pub(super) frequency: u64,
}

/// Reads it.
pub(super) fn read(text: &str) -> Result<Trace, Wrong> {
    let mut reader = Reader {
        words: Words::new(text),
        types: Types::default(),
        trace: Trace { clock: "unknown".to_owned(), frequency: 1_000_000_000, ..Trace::default() },
    };
    while reader.words.peek()?.is_some() {
        reader.part()?;
    }
    Ok(reader.trace)
}

struct Reader<'a> {
    words: Words<'a>,
    types: Types,
    trace: Trace,
}

/// What stands in a block: values and types by their paths.
#[derive(Default)]
struct Block {
    values: HashMap<String, String>,
    types: HashMap<String, Type>,
}

impl Block {
    fn number(&self, name: &str) -> u64 {
        self.values.get(name).and_then(|text| words::number(text)).unwrap_or(0)
    }
}

impl Reader<'_> {
    fn part(&mut self) -> Result<(), Wrong> {
        let Some(Word::Name(name)) = self.words.peek()? else { return Err(self.words.wrong("a name should be here")) };
        match name {
            ";" => {}
            "trace" | "env" | "clock" | "stream" | "event" | "callsite" => {
                let name = name.to_owned();
                self.words.next()?;
                let block = self.block()?;
                self.take(&name, block)?;
            }
            "typealias" => self.types.alias(&mut self.words)?,
            "struct" | "enum" | "variant" => {
                self.types.read(&mut self.words, false)?;
            }
            _ => return Err(self.words.wrong(&format!("{name:?} is not known here"))),
        }
        self.words.expect(";")
    }

    fn block(&mut self) -> Result<Block, Wrong> {
        let mut block = Block::default();
        self.words.expect("{")?;
        while !self.words.skip("}")? {
            if let Some(Word::Name("typealias")) = self.words.peek()? {
                self.types.alias(&mut self.words)?;
            } else if let Some(Word::Name("struct" | "enum" | "variant")) = self.words.peek()? {
                self.types.read(&mut self.words, false)?;
            } else {
                let path = self.words.path()?;
                if self.words.skip(":=")? {
                    let kind = self.types.read(&mut self.words, false)?;
                    block.types.insert(path, kind);
                } else {
                    self.words.expect("=")?;
                    let value = self.words.value()?;
                    block.values.insert(path, value);
                }
            }
            self.words.expect(";")?;
        }
        Ok(block)
    }

    fn take(&mut self, name: &str, mut block: Block) -> Result<(), Wrong> {
        match name {
            "trace" => {
                if block.values.get("byte_order").is_some_and(|order| order != "le") {
                    return Err(self.words.wrong("the trace comes from a big-endian machine"));
                }
                self.trace.packet = block.types.remove("packet.header");
            }
            "clock" => {
                if let Some(name) = block.values.remove("name") {
                    self.trace.clock = name;
                }
                let frequency = block.number("freq");
                if frequency != 0 {
                    self.trace.frequency = frequency;
                }
            }
            "stream" => {
                let class = Class {
                    packet: block.types.remove("packet.context"),
                    header: block.types.remove("event.header"),
                    context: block.types.remove("event.context"),
                };
                self.trace.classes.insert(block.number("id"), class);
            }
            "event" => {
                if self.trace.events.len() >= MOST_EVENTS {
                    return Err(self.words.wrong("too many events"));
                }
                let mut event = Event {
                    name: block.values.get("name").cloned().unwrap_or_default(),
                    context: block.types.remove("context"),
                    fields: block.types.remove("fields"),
                    wanted: None,
                };
                event.look_up();
                self.trace.events.insert((block.number("stream_id"), block.number("id")), event);
            }
            _ => {}
        }
        Ok(())
    }
}
