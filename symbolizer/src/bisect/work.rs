// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The directory of a bisection: what is known so far, in files that are whole or not there. In and out: state, log,
//! a directory for each kernel. Whoever kills it at any moment loses the build or boot that is under way, no more.
//! Never here: how anything becomes known.
//!
//! ```text
//! log                     a line for each step, for people
//! state.json              what is searched, and what became of each kernel
//! tree/                   the worktree                    (git)
//! tree.ours               says that we have made it       (git)
//! objects/                of the build                    (git)
//! bisect-log              git's own log                   (git)
//! commits/ID/build.log    what the build said
//!            build.json   how it ended
//!            verdict      good, bad or skip, and why
//!            boots-N/     1.boot.zst ..., boots.json, record-1.log ...; N stands for how it was booted
//! report.txt              the end
//! ```

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::BisectError;
use super::search::{Candidate, Mark};
use crate::report::units::calendar;

/// Largest of our own files that is read.
const MOST_BYTES: u64 = 64 << 20;

/// What became of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// [`Candidate::id`].
    pub id: String,
    /// Its title, for who reads the file.
    pub title: String,
    /// What became of it.
    pub mark: Mark,
    /// Why, of one that was skipped.
    pub why: String,
}

/// What it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// Kernels built.
    pub builds: u64,
    /// In seconds.
    pub build_seconds: f64,
    /// Boots made.
    pub boots: u64,
    /// In seconds.
    pub boot_seconds: f64,
    /// With all that was done beside, in seconds; without the time between interruptions.
    pub seconds: f64,
}

/// See `state.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// What is searched and how, in words; one that differs is another search.
    pub search: String,
    /// What is known, in the order in which it became known.
    pub known: Vec<Known>,
    /// What it took so far.
    pub spent: Spent,
    /// It is at its end.
    pub done: bool,
    /// What was found then.
    pub found: Vec<String>,
}

/// A directory that is ours alone.
pub struct Work {
    dir: PathBuf,
    // Locked as long as it is open.
    _lock: File,
    /// Written by [`Work::save`].
    pub state: State,
}

impl Work {
    /// Opens it, or makes it.
    ///
    /// # Errors
    /// When another one works there, or it is a directory of something else.
    pub fn open(dir: &Path) -> Result<Work, BisectError> {
        std::fs::create_dir_all(dir).map_err(BisectError::io("create", dir))?;
        let dir = dir.canonicalize().map_err(BisectError::io("find", dir))?;
        if !is_ours(&dir)? {
            return Err(BisectError::Foreign(dir));
        }
        let path = dir.join("lock");
        let lock = File::create(&path).map_err(BisectError::io("create", &path))?;
        if lock.try_lock().is_err() {
            return Err(BisectError::Busy(dir));
        }
        let state = read_json(&dir.join("state.json")).unwrap_or_default();
        Ok(Work { dir, _lock: lock, state })
    }

    /// The directory, absolute.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Begins a search, or goes on with it.
    ///
    /// # Errors
    /// When another one is unfinished, unless that is to be forgotten.
    pub fn begin(&mut self, search: &str, restart: bool) -> Result<(), BisectError> {
        if self.state.search == search && !restart {
            return Ok(());
        }
        if !self.state.search.is_empty() && !self.state.done && !restart {
            let there = self.state.search.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
            return Err(BisectError::Unfinished { work: self.dir.clone(), there });
        }
        self.state = State { search: search.to_owned(), ..State::default() };
        self.save()
    }

    /// Writes `state.json`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self) -> Result<(), BisectError> {
        write_json(&self.dir.join("state.json"), &self.state)
    }

    /// What became of one.
    pub fn mark_of(&self, id: &str) -> Option<&Known> {
        self.state.known.iter().find(|known| known.id == id)
    }

    /// Notes what became of one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn mark(&mut self, candidate: &Candidate, mark: Mark, why: &str) -> Result<(), BisectError> {
        self.state.known.retain(|known| known.id != candidate.id);
        let Candidate { id, title } = candidate.clone();
        self.state.known.push(Known { id, title, mark, why: why.to_owned() });
        let path = self.commit(candidate)?.join("verdict");
        let text = format!("{}{}{why}\n", mark.word(), if why.is_empty() { "" } else { ": " });
        write(&path, text.as_bytes())?;
        self.save()
    }

    /// The directory of a kernel; it is there then.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn commit(&self, candidate: &Candidate) -> Result<PathBuf, BisectError> {
        let dir = self.dir.join("commits").join(candidate.short());
        std::fs::create_dir_all(&dir).map_err(BisectError::io("create", &dir))?;
        Ok(dir)
    }

    /// The directories of all kernels, each with the directories of its boots.
    pub fn all_boots(&self) -> Vec<(PathBuf, PathBuf)> {
        let inside = |dir: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            let mut all: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
            all.sort();
            all
        };
        let commits = inside(&self.dir.join("commits"));
        commits.iter().flat_map(|commit| inside(commit).into_iter().map(|boots| (commit.clone(), boots))).collect()
    }

    /// A line of the log.
    pub fn log(&self, line: &str) {
        let text: String = line.lines().map(|line| format!("{}  {line}\n", now())).collect();
        let path = self.dir.join("log");
        // A log that cannot be written ends nothing: the state is elsewhere.
        let _ =
            OpenOptions::new().append(true).create(true).open(path).and_then(|mut log| log.write_all(text.as_bytes()));
    }
}

/// Whether a bisection was here before, or nothing at all.
fn is_ours(dir: &Path) -> Result<bool, BisectError> {
    // The lock is the first file of all, and empty.
    let lock = dir.join("lock").symlink_metadata().is_ok_and(|told| told.is_file() && told.len() == 0);
    if lock && (dir.join("state.json").is_file() || dir.join("commits").is_dir()) {
        return Ok(true);
    }
    let entries = std::fs::read_dir(dir).map_err(BisectError::io("read", dir))?;
    Ok(entries.flatten().all(|entry| lock && entry.file_name() == "lock"))
}

/// Reads one of our files; `None` if it is not there, or is none.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(File::open(path).ok()?, MOST_BYTES), &mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Writes one of our files.
///
/// # Errors
/// When it cannot be written.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), BisectError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| BisectError::Io {
        action: "write",
        path: path.to_owned(),
        source: error.into(),
    })?;
    bytes.push(b'\n');
    write(path, &bytes)
}

/// Writes a file that is whole or not there, also after a power cut.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), BisectError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!("{name}.tmp"));
    let written = File::create(&fresh).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.and_then(|()| std::fs::rename(&fresh, path)).map_err(BisectError::io("write", path))
}

/// UTC, as `2026-11-23 17:01:22`.
fn now() -> String {
    stamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

fn stamp(seconds: u64) -> String {
    let [year, month, day, hour, minute, second] = calendar(seconds);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// `4:12` or `1:04:12`.
pub fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(stamp(0), "1970-01-01 00:00:00");
        assert_eq!(stamp(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(stamp(1_795_453_282), "2026-11-23 17:01:22");
        assert_eq!([59.6, 252.0, 3852.0].map(clock), ["1:00", "4:12", "1:04:12"]);
    }

    #[test]
    fn a_directory_of_something_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tree")).unwrap();
        assert!(matches!(Work::open(dir.path()), Err(BisectError::Foreign(_))));
        assert!(!dir.path().join("lock").exists());
        // Interrupted at the very first.
        std::fs::remove_dir(dir.path().join("tree")).unwrap();
        std::fs::write(dir.path().join("lock"), "").unwrap();
        Work::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("lock"), "of another program").unwrap();
        assert!(matches!(Work::open(dir.path()), Err(BisectError::Foreign(_))));
    }

    #[test]
    fn one_at_a_time_and_one_search_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let candidate = Candidate { id: "a".repeat(40), title: "a change".to_owned() };
        let mut work = Work::open(dir.path()).unwrap();
        assert!(matches!(Work::open(dir.path()), Err(BisectError::Busy(_))));
        work.begin("good..bad", false).unwrap();
        work.mark(&candidate, Mark::Skip, "does not build").unwrap();
        drop(work);

        let mut work = Work::open(dir.path()).unwrap();
        work.begin("good..bad", false).unwrap();
        assert_eq!(work.mark_of(&candidate.id).map(|known| known.mark), Some(Mark::Skip));
        let verdict = std::fs::read_to_string(dir.path().join("commits/aaaaaaaaaaaa/verdict")).unwrap();
        assert_eq!(verdict, "skip: does not build\n");
        assert!(matches!(work.begin("other", false), Err(BisectError::Unfinished { .. })));
        work.state.done = true;
        work.begin("other", false).unwrap();
        assert_eq!(work.state.known, []);
    }
}
