// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Use of the index beside a trace. In: an opened trace. Out: what the index knows, or what was found without
//! it, for the next time. An index is a help, not a need: what is wrong with one is a warning. Never here: its bytes.

use std::io::ErrorKind;

use symbolizer::calltree::Totals;
use symbolizer::calltree::checkpoint::Notes;
use symbolizer::calltree::levels::Levels;
use symbolizer::calltree::partial::Outline;
use symbolizer::trace_dir::TraceDir;
use symbolizer::trace_index::{self, IndexError};

/// Whether the index may be read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// No with `--no-index`.
    pub used: bool,
}

impl Index {
    /// What the index knows, if there is one of this trace; `sites` are those of [`Levels::new`].
    pub fn read(self, trace: &TraceDir, sites: Option<[Option<u64>; 2]>) -> Option<(Outline, Levels)> {
        if !self.used || !trace_index::can_have(trace) {
            return None;
        }
        match trace_index::read(trace) {
            // Made with another vmlinux, perhaps a stripped one.
            Ok((_, levels)) if sites.is_some_and(|sites| levels.sites() != sites) => None,
            Ok(found) => Some(found),
            Err(IndexError::None) => None,
            Err(error) => {
                anstream::eprintln!("symbolize: warning: {error}");
                None
            }
        }
    }

    /// Notes for a new index, if one is missing.
    pub fn notes(self, trace: &TraceDir) -> Option<Notes> {
        let blocks: usize = trace.cpus().iter().map(|cpu| cpu.blocks().len()).sum();
        let wanted = self.used && blocks >= LEAST && trace_index::can_have(trace) && !trace_index::stands(trace);
        wanted.then(Notes::default)
    }

    /// Writes the index that a run has made notes for. The totals come back.
    pub fn write(self, trace: &TraceDir, notes: Notes, totals: Totals, levels: &Levels) -> Totals {
        let mut outline = Outline::new(notes, totals);
        match trace_index::write(trace, &mut outline, levels) {
            // A trace may lie where nothing can be written.
            Err(IndexError::Io { source, .. })
                if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {}
            Err(error) => anstream::eprintln!("symbolize: warning: {error}"),
            Ok(()) => {}
        }
        outline.into_totals()
    }
}

/// A trace of fewer blocks is read as soon as its index.
const LEAST: usize = 32;
