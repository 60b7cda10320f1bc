// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the kernel says about an event (`events/SYSTEM/EVENT/format` in tracefs; trace.dat and perf.data bring copies).
//! In: those texts. Out: for each wanted event its number and where its fields lie ([`Formats`]), and its records read by
//! them. Never here: an offset that we know without having read it.
//!
//! ```text
//! name: kvm_entry
//! ID: 1474
//! format:
//!     field:unsigned short common_type;   offset:0;   size:2; signed:0;
//! ```

use std::collections::HashMap;

use super::input;
use super::wanted::{MOST, Values, Wanted};
use crate::host::event::RawKind;

/// Most fields of an event that are looked at; kvm_exit has 12.
const FIELDS: usize = 256;

/// Where a field lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) offset: usize,
    pub(super) size: usize,
    pub(super) signed: bool,
}

impl Field {
    fn value(&self, record: &[u8]) -> Option<u64> {
        input::number(record, self.offset, self.size, self.signed)
    }
}

/// A description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) name: String,
    pub(super) id: Option<u32>,
    pub(super) fields: Vec<Field>,
}

impl Format {
    /// Reads the text; lines that are no field are left out.
    pub(super) fn read(text: &str) -> Format {
        let mut format = Format::default();
        for line in text.lines() {
            let line = line.trim();
            if let Some(name) = line.strip_prefix("name:") {
                format.name = name.trim().to_owned();
            } else if let Some(id) = line.strip_prefix("ID:") {
                format.id = id.trim().parse().ok();
            } else if line.starts_with("print fmt:") {
                break;
            } else if line.starts_with("field") && format.fields.len() < FIELDS {
                format.fields.extend(field(line));
            }
        }
        format
    }

    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// `field:unsigned long guest_rip; offset:16; size:8; signed:0;`, with blanks wherever.
fn field(line: &str) -> Option<Field> {
    let mut parts = line.split(';').map(str::trim);
    let declared = parts.next()?.split_once(':')?.1.trim();
    let name = declared.rsplit(|c: char| c.is_whitespace() || c == '*').next()?;
    let name = name.split('[').next()?.to_owned();
    let (mut offset, mut size, mut signed) = (None, None, false);
    for part in parts {
        match part.split_once(':').map(|(key, value)| (key.trim(), value.trim())) {
            Some(("offset", value)) => offset = value.parse().ok(),
            Some(("size", value)) => size = value.parse().ok(),
            Some(("signed", value)) => signed = value == "1",
            _ => {}
        }
    }
    Some(Field { name, offset: offset?, size: size?, signed })
}

/// How to read the records of one event.
#[derive(Clone, Debug)]
struct Layout {
    wanted: Wanted,
    fields: [Option<Field>; MOST],
    pid: Field,
}

/// The wanted events of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Formats {
    layouts: HashMap<u32, Layout>,
    /// common_type, which all events have at one place.
    kind: Option<Field>,
}

/// A record of a wanted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// common_pid.
    pub(super) thread: u32,
    pub(super) kind: RawKind,
}

impl Formats {
    /// Takes an event's description, if it is wanted.
    ///
    /// # Errors
    /// Says what is missing in it.
    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        // Most are not wanted, and have long texts.
        let named = text.lines().take(4).find_map(|line| line.trim().strip_prefix("name:"));
        let Some(wanted) = named.and_then(|name| Wanted::named(name.trim())) else { return Ok(()) };
        let format = Format::read(text);
        let name = &format.name;
        let id = format.id.ok_or_else(|| format!("the description of {name} has no ID"))?;
        let common = |field: &str| {
            let found = format.field(field).filter(|field| (1..=8).contains(&field.size)).cloned();
            found.ok_or_else(|| format!("the description of {name} has no field {field}"))
        };
        let (kind, pid) = (common("common_type")?, common("common_pid")?);
        let mut fields = [const { None }; MOST];
        for (slot, wanted) in fields.iter_mut().zip(wanted.fields()) {
            let found = wanted.names.iter().find_map(|name| format.field(name));
            *slot = found.filter(|field| (1..=8).contains(&field.size)).cloned();
            if slot.is_none() && wanted.needed {
                return Err(format!("the description of {name} has no field {}", wanted.names.join(" or ")));
            }
        }
        self.kind = Some(kind);
        self.layouts.insert(id, Layout { wanted, fields, pid });
        Ok(())
    }

    /// Whether an event was found.
    pub(super) fn has(&self, wanted: Wanted) -> bool {
        self.layouts.values().any(|layout| layout.wanted == wanted)
    }

    /// Reads a record; none if it is of another event, `Err` if it is too short for its own.
    pub(super) fn read(&self, record: &[u8]) -> Option<Result<Record, ()>> {
        let number = self.kind.as_ref()?.value(record)?;
        let layout = self.layouts.get(&u32::try_from(number).ok()?)?;
        let mut values: Values = [None; MOST];
        for (value, field) in values.iter_mut().zip(&layout.fields) {
            if let Some(field) = field {
                *value = field.value(record);
                if value.is_none() {
                    return Some(Err(()));
                }
            }
        }
        let Some(thread) = layout.pid.value(record) else { return Some(Err(())) };
        Some(Ok(Record { thread: thread as u32, kind: layout.wanted.raw(&values) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "name: kvm_entry\nID: 1474\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:unsigned int vcpu_id;\toffset:20;\tsize:4;\tsigned:0;\n\
        \tfield:unsigned long rip;\toffset:8;\tsize:8;\tsigned:0;\n\n\
        print fmt: \"field:int vcpu_id;\toffset:0;\tsize:4;\"\n";

    #[test]
    fn fields_are_read_where_the_text_says() {
        let mut formats = Formats::default();
        formats.add(ENTRY).expect("a description");
        assert!(formats.has(Wanted::Entry) && !formats.has(Wanted::Exit));
        let mut record = [0; 24];
        record[..2].copy_from_slice(&1474u16.to_le_bytes());
        record[4..8].copy_from_slice(&77u32.to_le_bytes());
        record[8..16].copy_from_slice(&0xffff_ffff_8100_0005u64.to_le_bytes());
        record[20] = 3;
        let kind = RawKind::Entry { vcpu: 3, rip: Some(0xffff_ffff_8100_0005) };
        assert_eq!(formats.read(&record), Some(Ok(Record { thread: 77, kind })));
        assert_eq!(formats.read(&record[..23]), Some(Err(())), "too short");
        record[0] = 0;
        assert_eq!(formats.read(&record), None, "another event");
        assert_eq!(formats.read(&[]), None);
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut formats = Formats::default();
        let error = formats.add(&ENTRY.replace("int vcpu_id", "int vcpu_number")).expect_err("no vcpu");
        assert!(error.contains("kvm_entry") && error.contains("vcpu_id"), "{error}");
        formats.add(&ENTRY.replace("long rip", "long ip")).expect("older kernels have none");
        formats.add("name: sched_wakeup\nID: x\n").expect("not wanted");
        assert!(formats.add("name: kvm_exit\n").is_err());
    }

    #[test]
    fn arrays_and_pointers_have_names() {
        let line = "field:char prev_comm[TASK_COMM_LEN];\toffset:8;\tsize:16;\tsigned:1;";
        let field = field(line).expect("a field");
        assert_eq!((&*field.name, field.offset, field.size, field.signed), ("prev_comm", 8, 16, true));
        assert_eq!(super::field("field:const char *name; offset:8; size:8; signed:0;").expect("one").name, "name");
        assert_eq!(super::field("field: local_t commit;\toffset:8;\tsize:8;").expect("one").name, "commit");
        assert_eq!(super::field("field:int x; offset:-1; size:4;"), None);
    }
}
