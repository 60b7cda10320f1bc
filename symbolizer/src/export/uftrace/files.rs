// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The data files of a uftrace directory. In: bytes for a file, piece by piece. Out: files. Never here: what is
//! in them.
//!
//! A boot with a user space has thousands of tasks, each with a file: none stays open, and what waits to be
//! written is bounded for all together.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

/// Bytes of a file that wait at most.
const PIECE: usize = 256 << 10;

/// Bytes that wait in all.
const WAITING: usize = 32 << 20;

/// Files that grow at their ends.
#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
    pieces: BTreeMap<String, Vec<u8>>,
    waiting: usize,
}

impl Files {
    /// In this directory.
    pub fn new(directory: PathBuf) -> Files {
        Files { directory, pieces: BTreeMap::new(), waiting: 0 }
    }

    /// Appends to a file.
    ///
    /// # Errors
    /// Of the file.
    pub fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if !self.pieces.contains_key(name) {
            self.pieces.insert(name.to_owned(), Vec::new());
        }
        let Some(piece) = self.pieces.get_mut(name) else { return Ok(()) };
        piece.extend_from_slice(bytes);
        self.waiting += bytes.len();
        if piece.len() >= PIECE {
            self.waiting -= piece.len();
            write(&self.directory, name, piece)?;
        }
        if self.waiting >= WAITING { self.finish() } else { Ok(()) }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// Of the files.
    pub fn finish(&mut self) -> io::Result<()> {
        for (name, mut piece) in std::mem::take(&mut self.pieces) {
            write(&self.directory, &name, &mut piece)?;
        }
        self.waiting = 0;
        Ok(())
    }
}

fn write(directory: &std::path::Path, name: &str, piece: &mut Vec<u8>) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(directory.join(name))?.write_all(piece)?;
    piece.clear();
    Ok(())
}
