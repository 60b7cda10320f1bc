// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! All that is known of a kernel's functions, in one piece of bytes that is searched as it is. In: what symbols and
//! DWARF say ([`Contents`]), or bytes from a file. Out: answers. Never here: files ([`super::cache`]), ELF.
//!
//! ```text
//! Head | functions, by address | nameless, by address | call sites | kmods, by address | files | text
//! ```
//!
//! Numbers are little-endian, records have no alignment. Bytes from a file are checked once as a whole (`Head::crc`,
//! sizes, UTF-8); what they say is still taken for a claim: an index out of bounds has no answer.

use std::cell::Cell;
use std::ops::Range;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::symbols::{Found, Symbol};

/// Of the format, and of what is put into it: to be raised when either changes.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"EFTNAMES";

/// What a number has that is not known.
const NONE: u32 = u32::MAX;

/// A stretch of the text at the end.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Text {
    at: U32,
    length: U32,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    magic: [u8; 8],
    /// CRC-32 of all that follows this field.
    crc: U32,
    version: U32,
    /// [`super::cache::Key`].
    layout: U32,
    build_id: Text,
    /// Address of `_stext`; 0 if there is none.
    text_start: U64,
    /// Size of the largest function: how far back a covering one may begin.
    longest: U64,
    /// Where the kernel's source tree begins in paths.
    root: Text,
    functions: U32,
    nameless: U32,
    sites: U32,
    /// Whether the kernel lists its call sites at all.
    listed: U32,
    kmods: U32,
    files: U32,
    text: U32,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Record {
    address: U64,
    size: U64,
    name: Text,
    aliases: U32,
    file: U32,
    line: U32,
    column: U32,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Kmod {
    address: U64,
    name: Text,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct File {
    /// As DWARF has it.
    path: Text,
    /// In the source tree.
    relative: Text,
}

/// A source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    /// As DWARF has it.
    pub full: &'a str,
    /// In the kernel's source tree.
    pub relative: &'a str,
}

/// Where a function is, or any place in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spot<'a> {
    /// Its file.
    pub file: Option<Path<'a>>,
    /// Line in it.
    pub line: Option<u32>,
    /// Column in it.
    pub column: Option<u32>,
}

/// A function that no symbol names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nameless<'a> {
    /// What DWARF calls it.
    pub name: Option<&'a str>,
    /// Where it is.
    pub spot: Spot<'a>,
}

/// What goes into a table.
pub struct Contents<'a> {
    /// Of the vmlinux.
    pub build_id: &'a str,
    /// What else tells one vmlinux from another.
    pub layout: u32,
    /// Address of `_stext`.
    pub text_start: Option<u64>,
    /// Where the source tree begins in paths.
    pub root: &'a str,
    /// Sorted by address; each with its place.
    pub functions: Vec<(&'a Symbol<'a>, Spot<'a>)>,
    /// Size of the largest of them.
    pub longest: u64,
    /// Functions without a symbol, sorted by address.
    pub nameless: Vec<(u64, Nameless<'a>)>,
    /// The kernel's own list of its call sites, sorted.
    pub sites: Option<&'a [u64]>,
    /// What initcalls belong to, sorted by address.
    pub kmods: Vec<(u64, &'a str)>,
}

/// Text that is gathered, each path once.
#[derive(Default)]
struct Texts<'a> {
    text: String,
    files: Vec<File>,
    known: std::collections::HashMap<&'a str, u32>,
    /// There was more than [`MOST_TEXT`].
    full: bool,
}

/// Most bytes of text: a damaged vmlinux may have one long name a million times.
const MOST_TEXT: usize = 256 << 20;

impl<'a> Texts<'a> {
    fn push(&mut self, text: &str) -> Text {
        if self.text.len() + text.len() > MOST_TEXT {
            // `Table::build` refuses the whole.
            self.full = true;
            return Text { at: U32::new(NONE), length: U32::new(NONE) };
        }
        let at = U32::new(u32::try_from(self.text.len()).unwrap_or(NONE));
        self.text.push_str(text);
        Text { at, length: U32::new(u32::try_from(text.len()).unwrap_or(NONE)) }
    }

    fn file(&mut self, path: Path<'a>) -> u32 {
        if let Some(&known) = self.known.get(path.full) {
            return known;
        }
        let number = self.files.len() as u32;
        let file = File { path: self.push(path.full), relative: self.push(path.relative) };
        self.files.push(file);
        self.known.insert(path.full, number);
        number
    }

    fn record(&mut self, address: u64, size: u64, name: &str, aliases: u32, spot: Spot<'a>) -> Record {
        Record {
            address: U64::new(address),
            size: U64::new(size),
            name: self.push(name),
            aliases: U32::new(aliases),
            file: U32::new(spot.file.map_or(NONE, |file| self.file(file))),
            line: U32::new(spot.line.unwrap_or(0)),
            column: U32::new(spot.column.unwrap_or(0)),
        }
    }
}

/// The table.
pub struct Table {
    /// All but the text.
    bytes: Vec<u8>,
    text: String,
    head: Head,
    /// Where the last function was found that was looked for: addresses mostly come sorted.
    last: Cell<usize>,
    functions: Range<usize>,
    nameless: Range<usize>,
    sites: Range<usize>,
    kmods: Range<usize>,
    files: Range<usize>,
}

impl Table {
    /// Puts it together; `None` if there is more text than any kernel has (256 MiB).
    pub fn build(contents: &Contents<'_>) -> Option<Table> {
        let mut texts = Texts::default();
        let functions: Vec<Record> = contents
            .functions
            .iter()
            .map(|(symbol, spot)| texts.record(symbol.address, symbol.size, &symbol.name, symbol.aliases, *spot))
            .collect();
        let nameless: Vec<Record> = contents
            .nameless
            .iter()
            .map(|(address, nameless)| texts.record(*address, 0, nameless.name.unwrap_or_default(), 0, nameless.spot))
            .collect();
        let kmods: Vec<Kmod> = contents
            .kmods
            .iter()
            .map(|(address, name)| Kmod { address: U64::new(*address), name: texts.push(name) })
            .collect();
        let sites: Vec<U64> = contents.sites.unwrap_or_default().iter().copied().map(U64::new).collect();
        if texts.full {
            return None;
        }
        let count = |count: usize| u32::try_from(count).ok().map(U32::new);
        let mut head = Head {
            magic: MAGIC,
            crc: U32::new(0),
            version: U32::new(VERSION),
            layout: U32::new(contents.layout),
            build_id: texts.push(contents.build_id),
            text_start: U64::new(contents.text_start.unwrap_or(0)),
            longest: U64::new(contents.longest),
            root: texts.push(contents.root),
            functions: count(functions.len())?,
            nameless: count(nameless.len())?,
            sites: count(sites.len())?,
            listed: U32::new(u32::from(contents.sites.is_some())),
            kmods: count(kmods.len())?,
            files: count(texts.files.len())?,
            text: count(texts.text.len())?,
        };
        let rest =
            [functions.as_bytes(), nameless.as_bytes(), sites.as_bytes(), kmods.as_bytes(), texts.files.as_bytes()];
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend(rest.concat());
        bytes.extend(texts.text.as_bytes());
        head.crc = U32::new(checksum(&bytes));
        bytes[..size_of::<Head>()].copy_from_slice(head.as_bytes());
        Table::read(bytes)
    }

    /// Takes bytes for a table; `None` if they are none, or damaged, or of another version.
    pub fn read(mut bytes: Vec<u8>) -> Option<Table> {
        let (head, _) = Head::read_from_prefix(&bytes).ok()?;
        if head.magic != MAGIC || head.version.get() != VERSION || head.crc.get() != checksum(&bytes) {
            return None;
        }
        let mut end = size_of::<Head>();
        let mut part = |count: U32, size: usize| {
            let start = end;
            end = start.checked_add(usize::try_from(count.get()).ok()?.checked_mul(size)?)?;
            (end <= bytes.len()).then_some(start..end)
        };
        let functions = part(head.functions, size_of::<Record>())?;
        let nameless = part(head.nameless, size_of::<Record>())?;
        let sites = part(head.sites, size_of::<U64>())?;
        let kmods = part(head.kmods, size_of::<Kmod>())?;
        let files = part(head.files, size_of::<File>())?;
        let text = part(head.text, 1)?;
        if text.end != bytes.len() {
            return None;
        }
        let text = String::from_utf8(bytes.split_off(text.start)).ok()?;
        Some(Table { bytes, text, head, last: Cell::new(0), functions, nameless, sites, kmods, files })
    }

    /// As it is stored, in two parts.
    pub fn bytes(&self) -> [&[u8]; 2] {
        [&self.bytes, self.text.as_bytes()]
    }

    /// Build ID of the vmlinux, and what else tells it from others.
    pub fn key(&self) -> (&str, u32) {
        (self.text(self.head.build_id).unwrap_or_default(), self.head.layout.get())
    }

    /// Address of `_stext`.
    pub fn text_start(&self) -> Option<u64> {
        Some(self.head.text_start.get()).filter(|&address| address != 0)
    }

    /// Where the source tree begins in paths.
    pub fn root(&self) -> &str {
        self.text(self.head.root).unwrap_or_default()
    }

    /// The function that covers an address: the one that begins last, if several do.
    pub fn covering(&self, address: u64) -> Option<(Found<'_>, Spot<'_>)> {
        let functions: &[Record] = self.part(&self.functions);
        let after = self.first_after(functions, address);
        let longest = self.head.longest.get();
        let covers = |record: &&Record| {
            address.checked_sub(record.address.get()).is_some_and(|offset| offset < record.size.get())
        };
        let record = functions[..after]
            .iter()
            .rev()
            .take_while(|record| address.saturating_sub(record.address.get()) <= longest)
            .take(super::symbols::MOST_AROUND)
            .find(covers)?;
        Some((self.found(record)?, self.spot(record)))
    }

    /// Index of the first function that begins after an address.
    fn first_after(&self, functions: &[Record], address: u64) -> usize {
        let before = |record: &Record| record.address.get() <= address;
        let last = self.last.get();
        // The same as last time, or the next, is tried first.
        let near = functions.get(last.wrapping_sub(1)..).filter(|near| near.first().is_some_and(before));
        let near = near.and_then(|near| near.iter().take(4).position(|record| !before(record)));
        let after = match near {
            Some(steps) => last - 1 + steps,
            None => functions.partition_point(before),
        };
        self.last.set(after);
        after
    }

    /// The function with this name, if it is the one that its address goes by.
    pub fn named(&self, name: &str) -> Option<Found<'_>> {
        let functions: &[Record] = self.part(&self.functions);
        functions.iter().find(|record| self.text(record.name) == Some(name)).and_then(|record| self.found(record))
    }

    /// The function without a symbol that begins at this address.
    pub fn nameless(&self, address: u64) -> Option<Nameless<'_>> {
        let all: &[Record] = self.part(&self.nameless);
        let at = all.binary_search_by_key(&address, |record| record.address.get()).ok()?;
        let record = all.get(at)?;
        Some(Nameless { name: self.text(record.name).filter(|name| !name.is_empty()), spot: self.spot(record) })
    }

    /// The kernel's own list of its call sites.
    pub fn sites(&self) -> Option<Vec<u64>> {
        let sites: &[U64] = self.part(&self.sites);
        (self.head.listed.get() != 0).then(|| sites.iter().map(|site| site.get()).collect())
    }

    /// What the initcall with its function at this address belongs to.
    pub fn kmod(&self, address: u64) -> Option<&str> {
        let kmods: &[Kmod] = self.part(&self.kmods);
        let at = kmods.binary_search_by_key(&address, |kmod| kmod.address.get()).ok()?;
        self.text(kmods.get(at)?.name)
    }

    fn found(&self, record: &Record) -> Option<Found<'_>> {
        let (address, size, aliases) = (record.address.get(), record.size.get(), record.aliases.get());
        Some(Found { address, size, name: self.text(record.name)?, aliases })
    }

    fn spot(&self, record: &Record) -> Spot<'_> {
        let known = |number: U32| Some(number.get()).filter(|&number| number != 0);
        Spot { file: self.file(record.file.get()), line: known(record.line), column: known(record.column) }
    }

    fn file(&self, number: u32) -> Option<Path<'_>> {
        let files: &[File] = self.part(&self.files);
        let file = files.get(usize::try_from(number).ok()?)?;
        Some(Path { full: self.text(file.path)?, relative: self.text(file.relative)? })
    }

    fn text(&self, text: Text) -> Option<&str> {
        let start = usize::try_from(text.at.get()).ok()?;
        self.text.get(start..start.checked_add(usize::try_from(text.length.get()).ok()?)?)
    }

    fn part<T: FromBytes + Immutable + KnownLayout + Unaligned>(&self, range: &Range<usize>) -> &[T] {
        self.bytes.get(range.clone()).and_then(|bytes| <[T]>::ref_from_bytes(bytes).ok()).unwrap_or_default()
    }
}

/// Of all that follows the field it stands in.
pub fn checksum(bytes: &[u8]) -> u32 {
    bytes.get(MAGIC.len() + size_of::<U32>()..).map_or(0, crc32fast::hash)
}
