// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A place for an input's files. In memory where the system has such a place: a fuzzer writes
//! thousands of them a second.

use std::path::Path;

/// A new directory, removed when dropped.
pub fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.or_else(|_| tempfile::tempdir()).expect("a temporary directory")
}
