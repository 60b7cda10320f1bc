// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Records of a ring. In: bytes as the kernel wrote them (perf_event_open(2), sample_type TID, TIME, CPU, RAW, with
//! sample_id_all), and where the tracepoints' fields are. Out: [`Raw`] events, and how many are lost. Never here: rings.

use super::KvmError;
use super::format::{Field, Format};
use crate::host::event::{Exit, Hypercall, Raw, RawKind};
use perf_event_open_sys::bindings as perf;
use std::path::Path;

/// The tracepoints, in the order in which they are opened.
pub const TRACEPOINTS: [&str; 4] = ["kvm_exit", "kvm_hypercall", "kvm_entry", "kvm_write_tsc_offset"];

/// What stands in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// An event.
    Raw(Raw),
    /// An exit, its hypercall if there was one, and the entry, put together in the kernel (`bpf`).
    Whole(Exit),
    /// So many are lost here: the ring was full.
    Lost {
        /// When that was noticed.
        time: u64,
        /// How many.
        count: u64,
    },
}

impl Seen {
    /// When; of a whole exit, when it ended.
    pub fn time(&self) -> u64 {
        match self {
            Seen::Raw(raw) => raw.time,
            Seen::Whole(exit) => exit.time.saturating_add(exit.length),
            Seen::Lost { time, .. } => *time,
        }
    }

    /// The same at another time.
    pub fn at(self, time: u64) -> Seen {
        match self {
            Seen::Raw(raw) => Seen::Raw(Raw { time, ..raw }),
            Seen::Whole(exit) => Seen::Whole(Exit { time: time.saturating_sub(exit.length), ..exit }),
            Seen::Lost { count, .. } => Seen::Lost { time, count },
        }
    }
}

/// Fields of kvm_exit, of its own names.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct ExitFields {
    pub vcpu: Option<Field>,
    pub isa: Field,
    pub reason: Field,
    pub rip: Field,
    pub info: [Field; 2],
}

/// Fields of all [`TRACEPOINTS`].
pub struct Layout {
    ids: [u64; 4],
    kind: Field,
    exit: ExitFields,
    number: Field,
    args: [Field; 4],
    entry: (Field, Option<Field>),
    offset: (Field, Field),
}

impl Layout {
    /// Reads the `format` files below tracefs' `events`.
    ///
    /// # Errors
    /// [`KvmError::NoTracepoint`], [`KvmError::Format`].
    pub fn read(events: &Path) -> Result<Layout, KvmError> {
        let [exit, hypercall, entry, offset] = TRACEPOINTS.map(|name| -> Result<Named, KvmError> {
            let path = events.join("kvm").join(name).join("format");
            let text =
                std::fs::read_to_string(&path).map_err(|cause| KvmError::NoTracepoint { path: path.clone(), cause })?;
            let format = Format::read(&text).map_err(|what| KvmError::Format { path: path.clone(), what })?;
            Ok(Named { format, path })
        });
        let (exit, hypercall, entry, offset) = (exit?, hypercall?, entry?, offset?);
        Ok(Layout {
            ids: [&exit, &hypercall, &entry, &offset].map(|named| named.format.id),
            kind: exit.field("common_type")?,
            exit: ExitFields {
                vcpu: exit.format.find("vcpu_id"),
                isa: exit.field("isa")?,
                reason: exit.field("exit_reason")?,
                rip: exit.field("guest_rip")?,
                info: [exit.field("info1")?, exit.field("info2")?],
            },
            number: hypercall.field("nr")?,
            args: [hypercall.field("a0")?, hypercall.field("a1")?, hypercall.field("a2")?, hypercall.field("a3")?],
            entry: (entry.field("vcpu_id")?, entry.format.find("rip")),
            offset: (offset.field("vcpu_id")?, offset.field("next_tsc_offset")?),
        })
    }

    /// Numbers of [`TRACEPOINTS`].
    pub fn ids(&self) -> [u64; 4] {
        self.ids
    }

    /// Fields of kvm_exit.
    pub fn exit(&self) -> &ExitFields {
        &self.exit
    }

    /// nr, a0 to a3 of kvm_hypercall.
    pub fn hypercall(&self) -> (Field, [Field; 4]) {
        (self.number, self.args)
    }

    /// vcpu_id of kvm_entry.
    pub fn entry_vcpu(&self) -> Field {
        self.entry.0
    }

    fn event(&self, bytes: &[u8]) -> Option<RawKind> {
        let id = self.kind.read(bytes)?;
        let narrow = |value: u64| value as u32;
        match self.ids.iter().position(|&known| known == id)? {
            0 => {
                let exit = &self.exit;
                Some(RawKind::Exit {
                    vcpu: exit.vcpu.and_then(|field| field.read(bytes)).map(narrow),
                    isa: narrow(exit.isa.read(bytes)?),
                    reason: narrow(exit.reason.read(bytes)?),
                    rip: exit.rip.read(bytes)?,
                    info: [exit.info[0].read(bytes)?, exit.info[1].read(bytes)?],
                })
            }
            1 => {
                let [a0, a1, a2, a3] = self.args;
                let args = [a0.read(bytes)?, a1.read(bytes)?, a2.read(bytes)?, a3.read(bytes)?];
                Some(RawKind::Hypercall(Hypercall { number: self.number.read(bytes)?, args }))
            }
            2 => Some(RawKind::Entry {
                vcpu: narrow(self.entry.0.read(bytes)?),
                rip: self.entry.1.and_then(|field| field.read(bytes)),
            }),
            _ => Some(RawKind::Offset { vcpu: narrow(self.offset.0.read(bytes)?), next: self.offset.1.read(bytes)? }),
        }
    }

    /// Takes the records in `bytes` apart; returns how many of them made no sense.
    pub fn read_all(&self, mut bytes: &[u8], mut found: impl FnMut(Seen)) -> u64 {
        let mut strange = 0;
        // type: u32, misc: u16, size: u16, of all of it.
        while let Some((kind, misc, size)) = header(bytes) {
            let Some((record, rest)) = bytes.split_at_checked(size).filter(|_| size >= HEAD) else {
                return strange + 1;
            };
            bytes = rest;
            let body = record.get(HEAD..).unwrap_or_default();
            match self.one(kind, misc, body) {
                Some(Some(seen)) => found(seen),
                Some(None) => {}
                None => strange += 1,
            }
        }
        strange + u64::from(!bytes.is_empty())
    }

    /// None: it makes no sense; no event: it says nothing that we ask for.
    fn one(&self, kind: u32, misc: u16, body: &[u8]) -> Option<Option<Seen>> {
        let event = |id: Id, kind| Seen::Raw(Raw { time: id.time, cpu: id.cpu, thread: id.thread, kind });
        match kind {
            perf::PERF_RECORD_SAMPLE => {
                let id = Id::read(body)?;
                let size = number(body, ID, 4)? as usize;
                let raw = body.get(ID + 4..(ID + 4).checked_add(size)?)?;
                Some(Some(event(id, self.event(raw)?)))
            }
            perf::PERF_RECORD_LOST => {
                let id = Id::read(body.get(body.len().checked_sub(ID)?..)?)?;
                Some(Some(Seen::Lost { time: id.time, count: number(body, 8, 8)? }))
            }
            perf::PERF_RECORD_SWITCH => {
                let id = Id::read(body.get(body.len().checked_sub(ID)?..)?)?;
                let misc = u32::from(misc);
                // Who comes or goes on the other side is not said, and nobody asks.
                let kind = if misc & perf::PERF_RECORD_MISC_SWITCH_OUT != 0 {
                    let runnable = misc & perf::PERF_RECORD_MISC_SWITCH_OUT_PREEMPT != 0;
                    RawKind::Switch { prev: id.thread, runnable, next: 0 }
                } else {
                    RawKind::Switch { prev: 0, runnable: true, next: id.thread }
                };
                Some(Some(event(id, kind)))
            }
            _ => Some(None),
        }
    }
}

struct Named {
    format: Format,
    path: std::path::PathBuf,
}

impl Named {
    fn field(&self, name: &str) -> Result<Field, KvmError> {
        self.format.must(name).map_err(|what| KvmError::Format { path: self.path.clone(), what })
    }
}

/// Bytes of perf_event_header.
const HEAD: usize = 8;
/// Bytes of what says who, when and where: pid, tid, time, cpu, zero.
const ID: usize = 24;

#[derive(Clone, Copy)]
struct Id {
    thread: u32,
    time: u64,
    cpu: u32,
}

impl Id {
    fn read(bytes: &[u8]) -> Option<Id> {
        Some(Id { thread: number(bytes, 4, 4)? as u32, time: number(bytes, 8, 8)?, cpu: number(bytes, 16, 4)? as u32 })
    }
}

fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let mut value = [0; 8];
    value.get_mut(..size)?.copy_from_slice(bytes.get(at..at.checked_add(size)?)?);
    Some(u64::from_le_bytes(value))
}

fn header(bytes: &[u8]) -> Option<(u32, u16, usize)> {
    Some((number(bytes, 0, 4)? as u32, number(bytes, 4, 2)? as u16, number(bytes, 6, 2)? as usize))
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
