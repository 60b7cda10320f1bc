// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where the tables of a boot stand, in Hive's manner: `TABLE/kernel=RELEASE/boot=ID/part-0.parquet`. In: what a
//! trace says of itself, or what the user calls it. Out: files, each in its place only when those of all tables
//! are whole. Never here: columns.

use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::table::Table;
use crate::report::style::printable;
use crate::report::units::calendar;
use crate::trace_dir::Meta;

/// Most bytes of a name: what a kernel's release can have. Escaped, three times as many still are a file name.
const LONGEST: usize = 64;

/// The file of a boot in each table.
const FILE: &str = "part-0.parquet";

/// Which boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    kernel: String,
    id: String,
}

impl Boot {
    /// What the user calls it; if nothing, the time when it began and a checksum of what the trace says of itself:
    /// the same each time.
    pub fn new(meta: &Meta, first_tick: u64, name: Option<&str>) -> Boot {
        let kernel = if meta.release.is_empty() { "unknown" } else { &meta.release };
        let id = name.filter(|name| !name.is_empty()).map_or_else(|| id(meta, first_tick), str::to_owned);
        Boot { kernel: limited(kernel), id: limited(&id) }
    }

    fn path(&self, table: &str) -> PathBuf {
        let (kernel, id) = (escaped(&self.kernel), escaped(&self.id));
        [table, &format!("kernel={kernel}"), &format!("boot={id}")].iter().collect()
    }
}

fn limited(name: &str) -> String {
    let mut name = printable(name);
    name.truncate(name.floor_char_boundary(LONGEST));
    name
}

fn id(meta: &Meta, first_tick: u64) -> String {
    let Meta { release, build_id, command_line, started_at, tsc_khz, cpus, .. } = meta;
    let mut text = format!("{release}\n{build_id}\n{command_line}\n{started_at} {tsc_khz:?} {cpus} {first_tick}\n");
    for cpu in &meta.per_cpu {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {} {}", cpu.cpu, cpu.words, cpu.events);
    }
    format!("{}-{:08x}", date(*started_at), crc32fast::hash(text.as_bytes()))
}

/// Seconds of Unix time as `20261123T094512Z`.
fn date(seconds: u64) -> String {
    let [year, month, day, hour, minute, second] = calendar(seconds);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// A value as it stands in a path: what Hive escapes is escaped, and spaces.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if c.is_ascii_control() || " \"#%'*/:=?\\{[]^".contains(c) {
            let _ = write!(text, "%{:02X}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// The directory with all tables.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
}

impl Place {
    /// Makes it if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(directory: PathBuf) -> io::Result<Place> {
        fs::create_dir_all(&directory).map_err(|error| at(&directory, error))?;
        Ok(Place { directory })
    }

    /// Writes the files of a boot; they take their places when all are written.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write(&self, boot: &Boot, tables: &[Table]) -> io::Result<()> {
        // Beside the tables: a reader does not look there, and a file can be moved from here in one step.
        let aside = tempfile::Builder::new().prefix(".symbolize").tempdir_in(&self.directory);
        let aside = aside.map_err(|error| at(&self.directory, error))?;
        let mut moves = Vec::new();
        for table in tables {
            let (from, to) = (aside.path().join(table.name()), self.directory.join(boot.path(table.name())));
            let file = File::create_new(&from).map_err(|error| at(&from, error))?;
            table.write(&file).map_err(|error| at(&from, error))?;
            file.sync_all().map_err(|error| at(&from, error))?;
            fs::create_dir_all(&to).map_err(|error| at(&to, error))?;
            moves.push((from, to.join(FILE)));
        }
        moves.into_iter().try_for_each(|(from, to)| fs::rename(&from, &to).map_err(|error| at(&to, error)))
    }
}

fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let shown = [0, 951_782_399, 951_782_400, 1_709_164_800, 1_795_426_200, u64::MAX].map(date);
        let wanted = [
            "19700101T000000Z",
            "20000228T235959Z",
            "20000229T000000Z",
            "20240229T000000Z",
            "20261123T093000Z",
            "99991231T235959Z",
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_boot_is_the_same_each_time_and_another_is_another() {
        let meta = Meta { release: "6.1.0-56".to_owned(), started_at: 1_795_426_200, ..Meta::default() };
        let boot = Boot::new(&meta, 7, None);
        assert_eq!(boot, Boot::new(&meta, 7, None));
        assert!(boot.id.starts_with("20261123T093000Z-"), "{}", boot.id);
        assert_ne!(boot, Boot::new(&meta, 8, None));
        assert_eq!(Boot::new(&meta, 7, Some("first")).path("boots"), Path::new("boots/kernel=6.1.0-56/boot=first"));
    }

    /// All files below, with the rows of those that are tables.
    fn files(directory: &Path, found: &mut Vec<(String, i64)>) {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            if entry.path().is_dir() {
                files(&entry.path(), found);
            } else {
                let rows = SerializedFileReader::new(File::open(entry.path()).unwrap()).unwrap();
                let name = entry.path().display().to_string();
                found.push((name, rows.metadata().file_metadata().num_rows()));
            }
        }
        found.sort();
    }

    #[test]
    fn a_boot_takes_its_own_place_again_and_leaves_others_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path().join("new/fleet")).unwrap();
        let table = |rows: usize| [Table::new("boots", rows).flags("any", std::iter::repeat_n(true, rows))];
        let boot = |name| Boot::new(&Meta::default(), 0, Some(name));
        for (name, rows) in [("one", 1), ("two", 2), ("one", 3)] {
            place.write(&boot(name), &table(rows)).unwrap();
        }
        let mut found = Vec::new();
        files(dir.path(), &mut found);
        let file = |name| {
            let path = dir.path().join("new/fleet/boots/kernel=unknown").join(format!("boot={name}/part-0.parquet"));
            path.display().to_string()
        };
        assert_eq!(found, [(file("one"), 3), (file("two"), 2)]);
        assert!(Place::new(dir.path().join("new/fleet/boots/kernel=unknown/boot=one/part-0.parquet")).is_err());
    }

    #[test]
    fn names_cannot_leave_their_place() {
        let meta = Meta { release: "../../etc\n".repeat(50), ..Meta::default() };
        let path = Boot::new(&meta, 0, Some("a/b=c d%")).path("boots");
        let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
        assert_eq!(parts.len(), 3, "{path:?}");
        assert!(parts[1].starts_with("kernel=..%2F..%2Fetc\u{fffd}") && parts[1].len() < 255, "{path:?}");
        assert_eq!(parts[2], "boot=a%2Fb%3Dc%20d%25");
    }
}
