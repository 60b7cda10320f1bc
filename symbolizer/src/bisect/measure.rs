// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Kernels and boots of candidates: those that are known already, from the work directory; else they are made. In:
//! candidates, how many boots of each. Out: boots, or why there are none. Several candidates are booted in turn, so
//! that whatever slows the machine down slows all of them. Never here: verdicts.

use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::boots::{Booter, Outcome};
use super::child::Hands;
use super::code::code;
use super::search::{Candidate, Made, Search};
use super::work::{Work, clock, read_json, write_json};
use super::{BisectError, Tell};
use crate::compare::boot::Boot;
use crate::compare::kept;

/// A kernel that takes so many times as long as the slower end hangs,
const HANGS: f64 = 10.0;
/// if it takes that much longer.
const AT_LEAST: Duration = Duration::from_secs(30);

/// What is known of a candidate.
pub enum Measured {
    /// Its boots.
    Boots(Vec<Boot>),
    /// It does not build.
    NotBuilt(String),
    /// It does not boot to its power-off.
    NotBooted(String),
}

/// `build.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Built {
    settings: String,
    /// Empty if it was built.
    failed: String,
    seconds: f64,
}

/// `boots.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Booted {
    settings: String,
    /// See [`Search::key`].
    key: String,
    /// Of each boot.
    seconds: Vec<f64>,
    /// Why there are no (more) boots; empty if there is no reason.
    failed: String,
    /// Of the kernel, see [`code`].
    code: Option<u64>,
    /// The kernel whose boots these are, if it is the same to a machine.
    same_as: String,
}

/// A candidate's boots on their way.
struct Row {
    candidate: Candidate,
    wanted: usize,
    dir: PathBuf,
    booted: Booted,
    /// Boots that were there before this round.
    before: usize,
    vmlinux: Option<PathBuf>,
    not_built: String,
}

impl Row {
    fn file(&self, number: usize) -> PathBuf {
        self.dir.join(format!("{number}{}", kept::ENDING))
    }

    /// It has not the boots that are wanted, and never will.
    fn is_lost(&self) -> bool {
        !self.not_built.is_empty() || !self.booted.failed.is_empty() && self.booted.seconds.len() < self.wanted
    }

    fn is_open(&self) -> bool {
        self.not_built.is_empty() && self.booted.failed.is_empty() && self.booted.seconds.len() < self.wanted
    }
}

/// See the head of this file.
pub struct Measure<'a> {
    /// Where kernels come from.
    pub search: Box<dyn Search + 'a>,
    /// How they are built, in words.
    pub build_settings: String,
    /// How they are booted.
    pub booter: Booter<'a>,
    /// The work directory.
    pub work: Work,
    /// Runs programs.
    pub hands: Hands,
    /// Is told.
    pub tell: &'a mut dyn Tell,
    /// A boot takes no longer, or hangs.
    pub limit: Duration,
}

impl Measure<'_> {
    /// A line that stays.
    pub fn line(&mut self, line: &str) {
        self.work.log(line);
        self.tell.line(line);
    }

    /// Directory of a candidate's boots, which has its name from how they are made, and of which kernel.
    fn boots_dir(&self, candidate: &Candidate) -> Result<(PathBuf, String), BisectError> {
        let settings = format!("{}{}", self.build_settings, self.booter.settings());
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(settings.as_bytes());
        hasher.write(self.search.key(candidate).as_bytes());
        let dir = self.work.commit(candidate)?.join(format!("boots-{:08x}", hasher.finish() as u32));
        std::fs::create_dir_all(&dir).map_err(BisectError::io("create", &dir))?;
        Ok((dir, settings))
    }

    /// Files of a candidate's boots.
    ///
    /// # Errors
    /// When its directory cannot be made.
    pub fn files(&self, candidate: &Candidate) -> Result<Vec<PathBuf>, BisectError> {
        let (dir, _) = self.boots_dir(candidate)?;
        let files = (1..).map(|number| dir.join(format!("{number}{}", kept::ENDING)));
        Ok(files.take_while(|file| file.is_file()).collect())
    }

    /// How many boots of a candidate there are.
    ///
    /// # Errors
    /// When its directory cannot be made.
    pub fn have(&self, candidate: &Candidate) -> Result<usize, BisectError> {
        Ok(self.files(candidate)?.len())
    }

    /// So many boots of each of these, in turn. If the first one does not build or boot, the others may have fewer.
    ///
    /// # Errors
    /// When it was stopped, or cannot be told whether one builds or boots.
    pub fn rounds(&mut self, wanted: &[(&Candidate, usize)]) -> Result<Vec<Measured>, BisectError> {
        let mut rows = Vec::new();
        for &(candidate, wanted) in wanted {
            rows.push(self.row(candidate, wanted)?);
        }
        for row in &mut rows {
            if row.is_open() {
                self.kernel(row)?;
                self.same_code(row)?;
            }
            // Without the first one the others tell nothing.
            if !row.not_built.is_empty() {
                break;
            }
        }
        while !rows.first().is_some_and(Row::is_lost) {
            let Some(row) = in_turn(&mut rows) else { break };
            self.boot(row)?;
        }
        rows.into_iter().map(|row| self.measured(row)).collect()
    }

    /// What there is.
    fn row(&self, candidate: &Candidate, wanted: usize) -> Result<Row, BisectError> {
        let (dir, settings) = self.boots_dir(candidate)?;
        let known: Option<Booted> = read_json(&dir.join("boots.json"));
        let key = self.search.key(candidate);
        let mut booted = known.filter(|known| known.settings == settings && known.key == key).unwrap_or_default();
        (booted.settings, booted.key) = (settings, key);
        let whole = (1..).take_while(|number| dir.join(format!("{number}{}", kept::ENDING)).is_file()).count();
        booted.seconds.truncate(whole);
        let (candidate, before) = (candidate.clone(), booted.seconds.len());
        Ok(Row { candidate, wanted, dir, booted, before, vmlinux: None, not_built: String::new() })
    }

    /// Its vmlinux, built if need be.
    fn kernel(&mut self, row: &mut Row) -> Result<(), BisectError> {
        let dir = self.work.commit(&row.candidate)?;
        let (record, vmlinux) = (dir.join("build.json"), dir.join("vmlinux"));
        let settings = format!("{}{}", self.build_settings, self.search.key(&row.candidate));
        let known: Option<Built> = read_json(&record);
        if let Some(known) = known.filter(|known| known.settings == settings) {
            if !known.failed.is_empty() {
                row.not_built = known.failed;
                return Ok(());
            }
            if vmlinux.is_file() {
                row.vmlinux = Some(vmlinux);
                return Ok(());
            }
        }
        self.tell.doing(&format!("building {} \"{}\"", row.candidate.short(), row.candidate.title));
        let began = Instant::now();
        // Of another kernel: it must not stand beside the new one if this is killed in between.
        match std::fs::remove_file(&record) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(BisectError::io("remove", &record)(error));
            }
            _ => {}
        }
        let made = self.search.make(&row.candidate, &dir, &self.hands);
        // git knows nothing of our flag: Ctrl-C ends it, too.
        let made = if self.hands.stopped() { Err(BisectError::Stopped) } else { made }?;
        let seconds = began.elapsed().as_secs_f64();
        self.work.state.spent.builds += 1;
        self.work.state.spent.build_seconds += seconds;
        let failed = match made {
            Made::Kernel(path) => {
                row.vmlinux = Some(path);
                String::new()
            }
            Made::No(why) => why,
        };
        row.not_built.clone_from(&failed);
        write_json(&record, &Built { settings, failed, seconds })?;
        self.work.save()?;
        let (name, took) = (row.candidate.short(), clock(seconds));
        match &row.vmlinux {
            Some(_) => self.work.log(&format!("  {name}: kernel in {took}")),
            None => self.work.log(&format!("  {name}: no kernel after {took}: {}", row.not_built)),
        }
        Ok(())
    }

    /// Where time is instructions, a kernel that is the same to the machine boots the same.
    fn same_code(&mut self, row: &mut Row) -> Result<(), BisectError> {
        let Some(vmlinux) = row.vmlinux.as_deref().filter(|_| self.booter.deterministic) else { return Ok(()) };
        row.booted.code = code(vmlinux);
        if row.booted.code.is_none() {
            return Ok(());
        }
        for (commit, there) in self.work.all_boots() {
            let Some(other) = read_json::<Booted>(&there.join("boots.json")) else { continue };
            let same = other.code == row.booted.code && other.settings == row.booted.settings;
            // That another one failed may have had a reason beside the kernel.
            let enough = other.seconds.len() >= row.wanted;
            if !same || !enough || there == row.dir {
                continue;
            }
            let mut copied = 0;
            for number in 1..=other.seconds.len() {
                let from = there.join(format!("{number}{}", kept::ENDING));
                if std::fs::copy(&from, row.file(number)).is_err() {
                    break;
                }
                copied += 1;
            }
            if copied < other.seconds.len() {
                continue;
            }
            let whose = commit.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.work.log(&format!("  {}: the same machine code as {whose}, whose boots count", row.candidate.short()));
            row.booted.same_as = if other.same_as.is_empty() { whose } else { other.same_as };
            row.booted.seconds = other.seconds;
            return write_json(&row.dir.join("boots.json"), &row.booted);
        }
        Ok(())
    }

    fn boot(&mut self, row: &mut Row) -> Result<(), BisectError> {
        let Some(vmlinux) = row.vmlinux.clone() else { return Ok(()) };
        let number = row.booted.seconds.len() + 1;
        let name = format!("{} {number}", row.candidate.short());
        let mut tries = if self.booter.deterministic { 1 } else { 2 };
        loop {
            self.tell.doing(&format!("booting {} ({number} of {})", row.candidate.short(), row.wanted));
            let began = Instant::now();
            let outcome = self.booter.boot(&vmlinux, &name, (&row.dir, number), self.limit, &self.hands)?;
            let seconds = began.elapsed().as_secs_f64();
            self.work.state.spent.boots += 1;
            self.work.state.spent.boot_seconds += seconds;
            tries -= 1;
            match outcome {
                Outcome::Boot(boot) => {
                    keep(&boot, &row.file(number))?;
                    row.booted.seconds.push(seconds);
                    self.work.log(&format!("  {}: boot {number} in {}", row.candidate.short(), clock(seconds)));
                }
                // In real time much can happen that is no property of the kernel.
                Outcome::No(_) if tries > 0 => continue,
                Outcome::No(why) => {
                    self.work.log(&format!("  {}: boot {number} failed: {why}", row.candidate.short()));
                    row.booted.failed = why;
                }
            }
            write_json(&row.dir.join("boots.json"), &row.booted)?;
            return self.work.save();
        }
    }

    fn measured(&self, row: Row) -> Result<Measured, BisectError> {
        if !row.not_built.is_empty() {
            return Ok(Measured::NotBuilt(row.not_built));
        }
        if !row.booted.failed.is_empty() && row.booted.seconds.len() < row.wanted {
            return Ok(Measured::NotBooted(row.booted.failed));
        }
        let boots = (1..=row.booted.seconds.len()).map(|number| kept::read(&row.file(number)));
        Ok(Measured::Boots(boots.collect::<Result<_, _>>()?))
    }

    /// That it did not build or boot counts no more: of an end, the user will have done something about it.
    ///
    /// # Errors
    /// When its directory cannot be written.
    pub fn try_again(&self, candidate: &Candidate) -> Result<(), BisectError> {
        let record = self.work.commit(candidate)?.join("build.json");
        if read_json::<Built>(&record).is_some_and(|known| !known.failed.is_empty()) {
            std::fs::remove_file(&record).map_err(BisectError::io("remove", &record))?;
        }
        let mut row = self.row(candidate, 0)?;
        if !row.booted.failed.is_empty() {
            row.booted.failed.clear();
            write_json(&row.dir.join("boots.json"), &row.booted)?;
        }
        Ok(())
    }

    /// Both ends have booted: one in the middle that takes many times as long hangs.
    ///
    /// # Errors
    /// When their directories cannot be read.
    pub fn learn_limit(&mut self, ends: [&Candidate; 2]) -> Result<(), BisectError> {
        let mut slowest: f64 = 0.0;
        for end in ends {
            let seconds = self.row(end, 0)?.booted.seconds;
            slowest = seconds.into_iter().fold(slowest, f64::max);
        }
        let learnt = Duration::try_from_secs_f64(slowest * HANGS).unwrap_or(self.limit) + AT_LEAST;
        self.limit = self.limit.min(learnt);
        Ok(())
    }

    /// Whether a candidate's kernel is the same as another's to the machine, as far as that is known.
    ///
    /// # Errors
    /// When their directories cannot be read.
    pub fn are_same(&self, a: &Candidate, b: &Candidate) -> Result<bool, BisectError> {
        let (a, b) = (self.row(a, 0)?.booted.code, self.row(b, 0)?.booted.code);
        Ok(a.is_some() && a == b)
    }

    /// The kernel has done its work: its copy goes.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget_kernel(&self, candidate: &Candidate) -> Result<(), BisectError> {
        let path = self.work.commit(candidate)?.join("vmlinux");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(BisectError::io("remove", &path)(error)),
            _ => Ok(()),
        }
    }
}

/// The one that was booted least in this round: whatever boots there were before, all are booted in turn.
fn in_turn(rows: &mut [Row]) -> Option<&mut Row> {
    let open = rows.iter_mut().filter(|row| row.is_open() && row.vmlinux.is_some());
    open.min_by_key(|row| row.booted.seconds.len().saturating_sub(row.before))
}

/// Whole or not there.
fn keep(boot: &Boot, path: &Path) -> Result<(), BisectError> {
    let mut bytes = Vec::new();
    kept::write(boot, &mut bytes).map_err(BisectError::io("write", path))?;
    super::work::write(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_booted_in_turn_whatever_was_there_before() {
        let row = |name: &str, before: usize| Row {
            candidate: Candidate { id: name.to_owned(), title: String::new() },
            wanted: before + 3,
            dir: PathBuf::new(),
            booted: Booted { seconds: vec![1.0; before], ..Booted::default() },
            before,
            vmlinux: Some(PathBuf::new()),
            not_built: String::new(),
        };
        let mut rows = [row("c", 0), row("a", 10), row("b", 5)];
        let mut order = String::new();
        while let Some(row) = in_turn(&mut rows) {
            row.booted.seconds.push(1.0);
            order += &row.candidate.id;
        }
        assert_eq!(order, "cabcabcab");
    }
}
