// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Data streams of a CTF trace: packets of events. In: events, nearly in the order of their times. Out: files,
//! in each of which times never step back, as the format asks. Never here: what is in an event.
//!
//! An event that comes late (a call that lasts long enough to be told, told when it ends; the end of a task
//! that left its CPU earlier) goes into another file of the same CPU: readers merge files by time.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Begins each packet.
pub const MAGIC: u32 = 0xc1fc_1fc1;

/// Bytes of events after which a packet is written.
const PACKET: usize = 128 << 10;

/// Files that one CPU may take; with so many, a late event gets the time of the one before it.
const MOST_FILES: usize = 24;

/// An id in the header of an event that says: id and time in full follow.
const EXTENDED: u16 = u16::MAX;

/// What is the same in all packets of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Of the trace.
    pub uuid: [u8; 16],
    /// Number of the stream's class.
    pub class: u32,
    /// Where its events happened.
    pub cpu: Option<u32>,
}

/// One file.
#[derive(Debug)]
struct Pile {
    file: File,
    instance: u64,
    packets: u64,
    events: Vec<u8>,
    /// Of the packet.
    begin: u64,
    /// Time of the last event.
    last: u64,
    /// Events lost so far, and how many of them a packet told.
    lost: u64,
    told: u64,
}

/// The stream of one CPU.
#[derive(Debug)]
pub struct Stream {
    kind: Kind,
    /// Of the first file; the others get a suffix.
    path: PathBuf,
    piles: Vec<Pile>,
    /// Events that got a later time than their own.
    pub moved: u64,
}

impl Stream {
    /// In files of this name.
    pub fn new(kind: Kind, path: PathBuf) -> Stream {
        Stream { kind, path, piles: Vec::new(), moved: 0 }
    }

    /// Writes an event; `fields` appends its context and fields.
    ///
    /// # Errors
    /// Of the file.
    #[inline]
    pub fn event(&mut self, time: u64, id: u16, fields: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let fits = |pile: &Pile| pile.last <= time;
        let index = match self.piles.iter().position(fits) {
            Some(index) => index,
            None if self.piles.len() < MOST_FILES => self.add()?,
            None => {
                self.moved += 1;
                self.piles.len() - 1
            }
        };
        let pile = &mut self.piles[index];
        if pile.events.len() >= PACKET {
            pile.write(self.kind)?;
        }
        pile.put(time.max(pile.last), id, fields);
        Ok(())
    }

    /// Events are lost at this time.
    ///
    /// # Errors
    /// Of the file.
    pub fn lost(&mut self, time: u64, count: u64) -> io::Result<()> {
        if self.piles.is_empty() {
            self.add()?;
        }
        let pile = &mut self.piles[0];
        // A packet's count says how many were lost up to its end: what comes before is a packet of its own.
        if !pile.events.is_empty() {
            pile.write(self.kind)?;
        }
        pile.last = pile.last.max(time);
        pile.begin = pile.last;
        pile.lost = pile.lost.saturating_add(count);
        Ok(())
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// Of the files.
    pub fn finish(&mut self) -> io::Result<()> {
        for pile in &mut self.piles {
            if !pile.events.is_empty() || pile.lost > pile.told {
                pile.write(self.kind)?;
            }
        }
        Ok(())
    }

    fn add(&mut self) -> io::Result<usize> {
        let number = self.piles.len();
        let path = if number == 0 { self.path.clone() } else { suffixed(&self.path, number) };
        self.piles.push(Pile {
            file: File::create(path)?,
            instance: number as u64,
            packets: 0,
            events: Vec::with_capacity(PACKET + 1024),
            begin: 0,
            last: 0,
            lost: 0,
            told: 0,
        });
        Ok(number)
    }
}

fn suffixed(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("_late{number}"));
    PathBuf::from(name)
}

impl Pile {
    #[inline]
    fn put(&mut self, time: u64, id: u16, fields: impl FnOnce(&mut Vec<u8>)) {
        if self.events.is_empty() {
            self.begin = time;
            self.last = time;
        }
        // A reader makes the lower half whole with the time before.
        if time - self.last <= u64::from(u32::MAX) {
            self.events.extend_from_slice(&id.to_le_bytes());
            self.events.extend_from_slice(&(time as u32).to_le_bytes());
        } else {
            self.events.extend_from_slice(&EXTENDED.to_le_bytes());
            self.events.extend_from_slice(&u32::from(id).to_le_bytes());
            self.events.extend_from_slice(&time.to_le_bytes());
        }
        self.last = time;
        fields(&mut self.events);
    }

    /// Writes the packet, as `metadata.rs` describes it.
    fn write(&mut self, kind: Kind) -> io::Result<()> {
        let mut head = Vec::with_capacity(96);
        head.extend_from_slice(&MAGIC.to_le_bytes());
        head.extend_from_slice(&kind.uuid);
        head.extend_from_slice(&kind.class.to_le_bytes());
        head.extend_from_slice(&self.instance.to_le_bytes());
        let context = 6 * 8 + if kind.cpu.is_some() { 4 } else { 0 };
        let bits = 8 * (head.len() + context + self.events.len()) as u64;
        for value in [self.begin, self.last, bits, bits, self.packets, self.lost] {
            head.extend_from_slice(&value.to_le_bytes());
        }
        if let Some(cpu) = kind.cpu {
            head.extend_from_slice(&cpu.to_le_bytes());
        }
        self.file.write_all(&head)?;
        self.file.write_all(&self.events)?;
        self.events.clear();
        self.packets += 1;
        self.told = self.lost;
        Ok(())
    }
}
