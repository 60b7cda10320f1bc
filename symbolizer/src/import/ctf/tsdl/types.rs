// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Types of TSDL. In: words. Out: [`Type`]s, whole: names are looked up here. Never here: bytes.

use std::collections::HashMap;
use std::sync::Arc;

use super::words::{Word, Words, Wrong};

/// Deepest type, named ones counted with what they consist of.
const DEEPEST: u32 = 24;

/// Most fields of a struct, options of a variant or names of an enum.
const MOST: usize = 1 << 16;

/// How values are laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Type {
    /// 1 to 64 bits.
    Integer {
        bits: u32,
        align: u64,
        signed: bool,
        /// Bytes from the top on.
        big: bool,
        /// It counts the clock.
        clock: bool,
    },
    /// So many bits that we do not look at.
    Float { bits: u32, align: u64 },
    /// Up to a zero byte.
    String,
    /// One after the other.
    Struct { fields: Arc<[(String, Type)]>, align: u64, depth: u32 },
    /// A number, with names for ranges.
    Enum { base: Box<Type>, names: Arc<[(String, i128, i128)]> },
    /// One of them, as an enum's name says.
    Variant { tag: Option<String>, options: Arc<[(String, Type)]>, depth: u32 },
    /// So many.
    Array { item: Arc<Type>, length: u64 },
    /// As many as a field before says.
    Sequence { item: Arc<Type>, length: String },
}

impl Type {
    /// In bits.
    pub(in super::super) fn align(&self) -> u64 {
        match self {
            Type::Integer { align, .. } | Type::Float { align, .. } | Type::Struct { align, .. } => *align,
            Type::String => 8,
            Type::Enum { base, .. } => base.align(),
            Type::Variant { .. } => 1,
            Type::Array { item, .. } | Type::Sequence { item, .. } => item.align(),
        }
    }

    fn depth(&self) -> u32 {
        match self {
            Type::Struct { depth, .. } | Type::Variant { depth, .. } => *depth,
            Type::Array { item, .. } | Type::Sequence { item, .. } => item.depth() + 1,
            Type::Enum { .. } => 2,
            Type::Integer { .. } | Type::Float { .. } | Type::String => 1,
        }
    }
}

/// The types that have names.
#[derive(Default)]
pub(super) struct Types {
    known: HashMap<String, Type>,
    depth: u32,
}

impl Types {
    /// `typealias TYPE := NAME`, without the `;`.
    pub(super) fn alias(&mut self, words: &mut Words<'_>) -> Result<(), Wrong> {
        words.expect("typealias")?;
        let kind = self.read(words, false)?;
        words.expect(":=")?;
        let mut name = vec![words.name()?];
        while words.is_name()? {
            name.push(words.name()?);
        }
        self.known.insert(name.join(" "), kind);
        Ok(())
    }

    /// A type. In a declaration the last of its words is not the type's.
    pub(super) fn read(&mut self, words: &mut Words<'_>, declared: bool) -> Result<Type, Wrong> {
        self.depth += 1;
        let kind = if self.depth > DEEPEST { Err(words.wrong("types too deep")) } else { self.one(words, declared) };
        self.depth -= 1;
        let kind = kind?;
        if kind.depth() > DEEPEST {
            return Err(words.wrong("types too deep"));
        }
        Ok(kind)
    }

    fn one(&mut self, words: &mut Words<'_>, declared: bool) -> Result<Type, Wrong> {
        match words.peek()? {
            Some(Word::Name("integer")) => integer(words),
            Some(Word::Name("floating_point")) => floating_point(words),
            Some(Word::Name("string")) => {
                words.next()?;
                if words.skip("{")? {
                    attributes(words)?;
                }
                Ok(Type::String)
            }
            Some(Word::Name("struct")) => self.structure(words),
            Some(Word::Name("enum")) => self.enumeration(words),
            Some(Word::Name("variant")) => self.variant(words),
            _ => self.named(words, declared),
        }
    }

    fn named(&mut self, words: &mut Words<'_>, declared: bool) -> Result<Type, Wrong> {
        let mut name = words.name()?.to_owned();
        loop {
            let mut ahead = words.clone();
            if !ahead.is_name()? {
                break;
            }
            let next = ahead.name()?;
            // The last is what is declared.
            if declared && !ahead.is_name()? {
                break;
            }
            name = format!("{name} {next}");
            *words = ahead;
        }
        self.look_up(words, &name)
    }

    fn look_up(&self, words: &Words<'_>, name: &str) -> Result<Type, Wrong> {
        self.known.get(name).cloned().ok_or_else(|| words.wrong(&format!("the type {name:?} is not known")))
    }

    /// Behind `struct`, `enum` or `variant`: a name, if there is one.
    fn own_name(words: &mut Words<'_>, kind: &str) -> Result<Option<String>, Wrong> {
        words.expect(kind)?;
        Ok(if words.is_name()? { Some(format!("{kind} {}", words.name()?)) } else { None })
    }

    fn keep(&mut self, name: Option<String>, kind: &Type) {
        if let Some(name) = name {
            self.known.insert(name, kind.clone());
        }
    }

    /// `{ TYPE NAME [LENGTH]; ... }`.
    fn fields(&mut self, words: &mut Words<'_>) -> Result<Vec<(String, Type)>, Wrong> {
        let mut fields = Vec::new();
        words.expect("{")?;
        while !words.skip("}")? {
            if words.peek()? == Some(Word::Name("typealias")) {
                self.alias(words)?;
                words.expect(";")?;
                continue;
            }
            let mut kind = self.read(words, true)?;
            let name = words.name()?.to_owned();
            let mut lengths = Vec::new();
            while words.skip("[")? {
                lengths.push(if words.is_name()? { words.path()? } else { words.number()?.to_string() });
                words.expect("]")?;
            }
            // `a[2][3]` is two of three.
            for length in lengths.into_iter().rev() {
                let item = Arc::new(kind);
                kind = match length.parse() {
                    Ok(length) => Type::Array { item, length },
                    Err(_) => Type::Sequence { item, length },
                };
            }
            words.expect(";")?;
            fields.push((name, kind));
            if fields.len() > MOST {
                return Err(words.wrong("too many fields"));
            }
        }
        Ok(fields)
    }

    fn structure(&mut self, words: &mut Words<'_>) -> Result<Type, Wrong> {
        let name = Self::own_name(words, "struct")?;
        if words.peek()? != Some(Word::Name("{")) {
            return self.look_up(words, &name.unwrap_or_default());
        }
        let fields = self.fields(words)?;
        let mut align = fields.iter().map(|(_, kind)| kind.align()).max().unwrap_or(1);
        if words.skip("align")? {
            words.expect("(")?;
            align = align.max(alignment(words.number()?).ok_or_else(|| words.wrong("no alignment"))?);
            words.expect(")")?;
        }
        let depth = 1 + fields.iter().map(|(_, kind)| kind.depth()).max().unwrap_or(0);
        let kind = Type::Struct { fields: fields.into(), align, depth };
        self.keep(name, &kind);
        Ok(kind)
    }

    fn enumeration(&mut self, words: &mut Words<'_>) -> Result<Type, Wrong> {
        let name = Self::own_name(words, "enum")?;
        let base = if words.skip(":")? { Some(self.read(words, false)?) } else { None };
        if base.is_none() && words.peek()? != Some(Word::Name("{")) {
            return self.look_up(words, &name.unwrap_or_default());
        }
        let base = match base {
            Some(base) => base,
            None => self.look_up(words, "int")?,
        };
        if !matches!(base, Type::Integer { .. }) {
            return Err(words.wrong("an enum of something that is no integer"));
        }
        words.expect("{")?;
        let (mut names, mut next) = (Vec::new(), 0i128);
        while !words.skip("}")? {
            let label = match words.next()? {
                Word::Name(label) | Word::Text(label) => label.to_owned(),
            };
            let (mut low, mut high) = (next, next);
            if words.skip("=")? {
                low = words.number()?;
                high = if words.skip("...")? { words.number()? } else { low };
            }
            next = high + 1;
            names.push((label, low, high));
            if names.len() > MOST {
                return Err(words.wrong("too many names"));
            }
            words.skip(",")?;
        }
        let kind = Type::Enum { base: Box::new(base), names: names.into() };
        self.keep(name, &kind);
        Ok(kind)
    }

    fn variant(&mut self, words: &mut Words<'_>) -> Result<Type, Wrong> {
        let name = Self::own_name(words, "variant")?;
        let tag = if words.skip("<")? {
            let tag = words.path()?;
            words.expect(">")?;
            Some(tag)
        } else {
            None
        };
        if words.peek()? != Some(Word::Name("{")) {
            return match self.look_up(words, &name.unwrap_or_default())? {
                Type::Variant { options, depth, .. } => Ok(Type::Variant { tag, options, depth }),
                _ => Err(words.wrong("a variant should be here")),
            };
        }
        let options = self.fields(words)?;
        let depth = 1 + options.iter().map(|(_, kind)| kind.depth()).max().unwrap_or(0);
        let kind = Type::Variant { tag, options: options.into(), depth };
        self.keep(name, &kind);
        Ok(kind)
    }
}

fn alignment(value: i128) -> Option<u64> {
    u64::try_from(value).ok().filter(|align| align.is_power_of_two() && *align <= 1 << 16)
}

/// What stands between `{` and `}`; the first is taken.
fn attributes(words: &mut Words<'_>) -> Result<HashMap<String, String>, Wrong> {
    let mut found = HashMap::new();
    while !words.skip("}")? {
        let name = words.path()?;
        words.expect("=")?;
        found.insert(name, words.value()?);
        words.expect(";")?;
    }
    Ok(found)
}

fn integer(words: &mut Words<'_>) -> Result<Type, Wrong> {
    words.next()?;
    words.expect("{")?;
    let found = attributes(words)?;
    let number = |name: &str| found.get(name).and_then(|text| super::words::number(text));
    let bits = number("size").filter(|bits| (1..=64).contains(bits));
    let bits = bits.ok_or_else(|| words.wrong("an integer of no size, or over 64 bits"))? as u32;
    let align = number("align").unwrap_or(if bits.is_multiple_of(8) { 8 } else { 1 });
    let align = alignment(align.into()).ok_or_else(|| words.wrong("no alignment"))?;
    let is = |name: &str, values: &[&str]| found.get(name).is_some_and(|value| values.contains(&&**value));
    Ok(Type::Integer {
        bits,
        align,
        signed: is("signed", &["true", "TRUE", "1"]),
        big: is("byte_order", &["be", "network"]),
        clock: found.get("map").is_some_and(|map| map.starts_with("clock.")),
    })
}

fn floating_point(words: &mut Words<'_>) -> Result<Type, Wrong> {
    words.next()?;
    words.expect("{")?;
    let found = attributes(words)?;
    let number = |name: &str| found.get(name).and_then(|text| super::words::number(text)).unwrap_or(0);
    let bits = number("exp_dig").saturating_add(number("mant_dig"));
    let align = alignment(number("align").max(1).into()).ok_or_else(|| words.wrong("no alignment"))?;
    match bits {
        1..=256 => Ok(Type::Float { bits: bits as u32, align }),
        _ => Err(words.wrong("a floating-point number of no size")),
    }
}
