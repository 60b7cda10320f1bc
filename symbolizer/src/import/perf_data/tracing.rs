// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The descriptions of events in a perf.data (tools/perf/util/trace-event-info.c): the head of a trace.dat, older than
//! version 6 of that. In: its bytes. Out: [`Formats`]. Never here: events.

use std::path::Path;

use super::super::format::Formats;
use super::super::input::Cursor;
use super::super::{ImportError, Notes};

/// Reads them.
pub(super) fn read(
    bytes: &[u8],
    path: &Path,
    start: u64,
    formats: &mut Formats,
    notes: &mut Notes,
) -> Result<(), ImportError> {
    let mut cursor = Cursor::new(path, bytes, start);
    if cursor.take(10)? != b"\x17\x08\x44tracing" {
        return Err(ImportError::damaged(path, start, "descriptions of events should be here"));
    }
    let _version = cursor.string()?;
    // Endianness, bytes of a long, and of a page.
    cursor.take(6)?;
    for name in ["header_page", "header_event"] {
        let at = cursor.offset();
        if cursor.string()? != name {
            return Err(ImportError::damaged(path, at, format!("{name} should be here")));
        }
        let size = cursor.u64()?;
        cursor.take(size)?;
    }
    let count = cursor.u32()?;
    for _ in 0..count {
        let size = cursor.u64()?;
        cursor.take(size)?;
    }
    let systems = cursor.u32()?;
    for _ in 0..systems {
        let _name = cursor.string()?;
        let count = cursor.u32()?;
        for _ in 0..count {
            let size = cursor.u64()?;
            let text = String::from_utf8_lossy(cursor.take(size)?);
            if let Err(what) = formats.add(&text) {
                notes.warn(format!("{}: {what}", path.display()));
            }
        }
    }
    Ok(())
}
