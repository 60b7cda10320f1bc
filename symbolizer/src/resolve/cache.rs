// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where tables of names are kept from run to run. In: a build ID. Out: a [`Table`], if a good one is there. Never
//! here: what is in it.
//!
//! A file for each build ID, `BUILD-ID.VERSION`. It is written under another name and then moved to its place:
//! who reads sees a whole file, whoever else writes. What is damaged, of another version or of another vmlinux is
//! as if it were not there. A vmlinux whose symbols were changed in place, with the build ID and the sections of
//! another, is taken for that one: what was not read cannot be compared. A cache that cannot be written costs time
//! and nothing else.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::image::{self, Elf};
use super::table::{Table, VERSION};

/// The variable that says where it is, or `off`.
pub const VARIABLE: &str = "EFT_NAMES_CACHE";

/// Larger than any kernel's (the demo's: 5 MB).
const LARGEST: u64 = 1 << 30;

/// Files that are kept; those that were not used for longest go.
const KEPT: usize = 32;

/// A directory with tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    directory: PathBuf,
}

/// What a vmlinux is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// In hexadecimal.
    pub build_id: String,
    /// CRC-32 of its section headers: a stripped vmlinux has the same build ID, and other sections.
    pub layout: u32,
}

/// Digits of the shortest build ID by which a file is kept, and known as ours.
const LEAST_ID: usize = 16;

/// How the names of files begin that are being written.
const WRITING: &str = ".eft-names";

impl Key {
    /// `None` without a build ID: then nothing says that the file is still the same.
    pub fn of(elf: &Elf<'_>) -> Option<Key> {
        let build_id = image::build_id(elf).filter(|id| (LEAST_ID..=128).contains(&id.len()))?;
        let headers: Vec<u8> =
            elf.elf_section_table().iter().flat_map(|header| object::bytes_of(header).to_vec()).collect();
        Some(Key { build_id, layout: crc32fast::hash(&headers) })
    }
}

impl Cache {
    /// In this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Cache {
        Cache { directory: directory.into() }
    }

    /// Where the environment says: `$EFT_NAMES_CACHE`, which may be `off`, else
    /// `$XDG_CACHE_HOME/early-ftrace/names`, else `~/.cache/early-ftrace/names`.
    pub fn standard() -> Option<Cache> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        match variable(VARIABLE) {
            Some(off) if off == "off" => return None,
            Some(directory) => return Some(Cache::new(directory)),
            None => {}
        }
        let home = || Some(PathBuf::from(variable("HOME")?).join(".cache"));
        let base = variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or_else(home)?;
        Some(Cache::new(base.join("early-ftrace/names")))
    }

    /// Where a table is, or would be.
    pub fn path(&self, key: &Key) -> PathBuf {
        self.directory.join(format!("{}.{VERSION}", key.build_id))
    }

    /// The table of a vmlinux.
    pub fn load(&self, key: &Key) -> Option<Table> {
        let file = File::open(self.path(key)).ok()?;
        let size = file.metadata().ok().filter(|data| data.is_file()).map(|data| data.len())?;
        if size > LARGEST {
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).ok()?);
        (&file).take(LARGEST).read_to_end(&mut bytes).ok()?;
        let table = Table::read(bytes)?;
        // So that those in use stay; where that is not allowed, they go by their age.
        let _ = file.set_modified(SystemTime::now());
        (table.key() == (key.build_id.as_str(), key.layout)).then_some(table)
    }

    /// Keeps a table.
    ///
    /// # Errors
    /// The directory or the file cannot be written.
    pub fn save(&self, key: &Key, table: &Table) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        let mut file = tempfile::Builder::new().prefix(WRITING).tempfile_in(&self.directory)?;
        for part in table.bytes() {
            file.write_all(part)?;
        }
        file.persist(self.path(key)).map_err(|error| error.error)?;
        self.prune();
        Ok(())
    }

    /// Removes what is left of too many kernels; also of writers that were killed.
    fn prune(&self) {
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return };
        let mut files: Vec<(SystemTime, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let data = entry.metadata().ok().filter(|data| data.is_file())?;
                is_ours(&entry.path()).then_some((data.modified().ok()?, entry.path()))
            })
            .collect();
        files.sort();
        let surplus = files.len().saturating_sub(KEPT);
        for (_, path) in files.drain(..surplus) {
            // Another may have been faster.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Whether a file is one of these: a directory that was named by mistake may hold others.
fn is_ours(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let table = name.split_once('.').is_some_and(|(id, version)| {
        id.len() >= LEAST_ID && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && version.parse::<u32>().is_ok()
    });
    table || name.starts_with(WRITING)
}
