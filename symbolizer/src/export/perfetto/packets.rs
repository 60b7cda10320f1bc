// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The packets of a Perfetto trace that we write, with the numbers of their fields. In: what they say. Out:
//! bytes, packet by packet. Never here: what becomes a track.
//!
//! All packets are of one sequence: the first one says that it begins, the others that they use names which
//! came in it. Numbers are those of `perfetto_trace.proto`; the read-back tests know them from elsewhere.

use std::io::{self, Write};

use super::wire::{bytes, integer, message, text};

/// `TrackEvent.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A slice begins.
    Begin = 1,
    /// The innermost slice of the track ends.
    End = 2,
    /// Something without duration.
    Instant = 3,
    /// A counter has a value from here on.
    Counter = 4,
}

/// A remark on an event.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(i64),
}

/// What a track is.
#[derive(Clone, Debug)]
pub enum Track<'a> {
    /// A row of slices, or a group of tracks.
    Plain,
    /// A counter of this unit.
    Counter(&'a str),
    /// A process.
    Process {
        /// Its number.
        pid: u32,
    },
    /// A thread of a process.
    Thread {
        /// The process.
        pid: u32,
        /// Its number.
        tid: u32,
    },
}

/// Number of the only sequence.
const SEQUENCE: u64 = 1;

/// Writes packets.
#[derive(Debug)]
pub struct Packets<W> {
    out: W,
    begun: bool,
    /// Scratch: what is being made, from the inside outwards.
    event: Vec<u8>,
    packet: Vec<u8>,
    framed: Vec<u8>,
}

impl<W: Write> Packets<W> {
    /// To this output.
    pub fn new(out: W) -> Packets<W> {
        Packets { out, begun: false, event: Vec::new(), packet: Vec::new(), framed: Vec::new() }
    }

    /// Writes a packet, whose own field `fields` appends.
    #[inline]
    fn packet(&mut self, time: Option<u64>, fields: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let packet = &mut self.packet;
        packet.clear();
        if let Some(time) = time {
            integer(packet, 8, time);
        }
        integer(packet, 10, SEQUENCE);
        if std::mem::replace(&mut self.begun, true) {
            // SEQ_NEEDS_INCREMENTAL_STATE
            integer(packet, 13, 2);
        } else {
            // SEQ_INCREMENTAL_STATE_CLEARED, first_packet_on_sequence
            integer(packet, 13, 1);
            integer(packet, 87, 1);
        }
        fields(packet);
        self.framed.clear();
        bytes(&mut self.framed, 1, &self.packet);
        self.out.write_all(&self.framed)
    }

    /// Which system this is of.
    pub fn system(&mut self, release: &str) -> io::Result<()> {
        self.packet(None, |packet| {
            message(packet, 45, |system| {
                message(system, 1, |utsname| {
                    text(utsname, 1, "Linux");
                    text(utsname, 3, release);
                    text(utsname, 4, "x86_64");
                });
            });
        })
    }

    /// A track; `rank` orders it among those of its parent. It may be told again with another name.
    pub fn track(
        &mut self,
        uuid: u64,
        parent: Option<u64>,
        rank: u64,
        name: &str,
        track: &Track<'_>,
    ) -> io::Result<()> {
        self.packet(None, |packet| {
            message(packet, 60, |descriptor| {
                integer(descriptor, 1, uuid);
                match track {
                    Track::Thread { pid, tid } => message(descriptor, 4, |thread| {
                        integer(thread, 1, u64::from(*pid));
                        integer(thread, 2, u64::from(*tid));
                        text(thread, 5, name);
                    }),
                    Track::Process { pid } => message(descriptor, 3, |process| {
                        integer(process, 1, u64::from(*pid));
                        text(process, 6, name);
                    }),
                    Track::Counter(unit) => {
                        text(descriptor, 2, name);
                        message(descriptor, 8, |counter| text(counter, 6, unit));
                    }
                    Track::Plain => text(descriptor, 2, name),
                }
                if let Some(parent) = parent {
                    integer(descriptor, 5, parent);
                }
                // Children in the order of their ranks.
                integer(descriptor, 11, 3);
                integer(descriptor, 12, rank);
            });
        })
    }

    /// A name that events mean by its number, from 1 up.
    pub fn name(&mut self, number: u64, name: &str) -> io::Result<()> {
        self.packet(None, |packet| {
            message(packet, 12, |interned| {
                message(interned, 2, |event_name| {
                    integer(event_name, 1, number);
                    text(event_name, 2, name);
                });
            });
        })
    }

    /// An event with the name of this number.
    #[inline]
    pub fn event(&mut self, time: u64, track: u64, event: Event, name: Option<u64>) -> io::Result<()> {
        let mut inner = std::mem::take(&mut self.event);
        inner.clear();
        integer(&mut inner, 9, event as u64);
        integer(&mut inner, 11, track);
        if let Some(name) = name {
            integer(&mut inner, 10, name);
        }
        let done = self.packet(Some(time), |packet| bytes(packet, 11, &inner));
        self.event = inner;
        done
    }

    /// An event with its name and remarks.
    pub fn remarked(
        &mut self,
        time: u64,
        track: u64,
        event: Event,
        name: Option<&str>,
        remarks: &[(&str, Value<'_>)],
    ) -> io::Result<()> {
        self.packet(Some(time), |packet| {
            message(packet, 11, |inner| {
                integer(inner, 9, event as u64);
                integer(inner, 11, track);
                if let Some(name) = name {
                    text(inner, 23, name);
                }
                for (name, value) in remarks {
                    message(inner, 4, |annotation| {
                        text(annotation, 10, name);
                        match value {
                            Value::Text(value) => text(annotation, 6, value),
                            // Two's complement: protobuf's int64.
                            Value::Number(value) => integer(annotation, 4, *value as u64),
                        }
                    });
                }
            });
        })
    }

    /// A value of a counter.
    pub fn count(&mut self, time: u64, track: u64, value: u64) -> io::Result<()> {
        self.packet(Some(time), |packet| {
            message(packet, 11, |inner| {
                integer(inner, 9, Event::Counter as u64);
                integer(inner, 11, track);
                integer(inner, 30, value);
            });
        })
    }

    /// All are written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
