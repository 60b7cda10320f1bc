// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Host events that other tools have recorded: trace-cmd's trace.dat, perf.data, LTTng's CTF. In: their files. Out:
//! [`crate::host::event::Raw`] events in order. Never here: what they mean together.
//!
//! The tour, in the order that data flows: [`input`] is a file whose bytes are not trusted; [`trace_dat`] (trace-cmd),
//! [`perf_data`] (perf) and [`ctf`] (LTTng) find the events in it, and what says how they are laid out: `format` is the
//! kernel's own description of an event, `wanted` is what we look for in one, by the names of its fields; `merge` puts
//! the streams of CPUs and files in order; [`guest`] takes the guest's own events out of its hypercalls.
//!
//! Memory does not grow with a file: of each CPU's stream a page or a packet is held, of perf.data what perf itself
//! has left unordered, up to a limit.

pub mod ctf;
pub mod error;
mod format;
pub mod guest;
pub mod input;
mod merge;
pub mod perf_data;
pub mod trace_dat;
mod wanted;

use std::path::Path;

use crate::host::clock::{Clock, Conversion};
use crate::host::event::Raw;
pub use error::ImportError;
use input::Input;
use merge::Merge;

/// What an [`Import`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// An event.
    Event(Raw),
    /// Events are missing.
    Lost(Lost),
}

/// The recorder has lost events of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Before this time, and after that of the CPU's event before.
    pub time: u64,
    /// The CPU.
    pub cpu: u32,
    /// How many, of any kind; not all recorders say.
    pub count: Option<u64>,
}

impl Item {
    /// When.
    pub fn time(&self) -> u64 {
        match self {
            Item::Event(raw) => raw.time,
            Item::Lost(lost) => lost.time,
        }
    }
}

/// What times of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Times {
    /// The host's time stamp counter.
    Tsc,
    /// Nanoseconds of a clock of the host.
    Ns {
        /// Its name, as its recorder calls it.
        clock: String,
        /// How they come from the time stamp counter, where the recorder says (perf does).
        conversion: Option<Conversion>,
    },
}

/// Which recorder's file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// trace-cmd's trace.dat.
    TraceDat,
    /// perf's perf.data.
    PerfData,
    /// A directory in the Common Trace Format, as LTTng writes.
    Ctf,
}

/// Most warnings of one file that are kept.
const WARNINGS: usize = 20;

/// What is said of a file, for the user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Events that the recorder lost, as far as it counted them.
    pub lost: u64,
    /// Places where it lost some and did not say how many.
    pub gaps: u64,
    /// What else is wrong with it.
    pub warnings: Vec<String>,
}

impl Notes {
    fn warn(&mut self, text: String) {
        if self.warnings.len() < WARNINGS && !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    fn add(&mut self, other: Notes) {
        self.lost = self.lost.saturating_add(other.lost);
        self.gaps = self.gaps.saturating_add(other.gaps);
        for warning in other.warnings {
            self.warn(warning);
        }
    }
}

/// A stream of items, each at most a little out of order; what reads one CPU, or one file.
trait Stream {
    /// The next item; none at the end, or where nothing more can be read.
    fn next(&mut self, notes: &mut Notes) -> Option<Item>;
}

/// One or more files, read in the order of time.
pub struct Import {
    merge: Merge,
    times: Times,
    notes: Notes,
    kinds: Vec<Kind>,
    vcpus: ctf::Vcpus,
}

impl Import {
    /// Opens files (or, of CTF, directories) of one host.
    ///
    /// # Errors
    /// [`ImportError`]: none that we read, damaged where everything hangs on it, or clocks that differ.
    pub fn open(paths: &[impl AsRef<Path>]) -> Result<Import, ImportError> {
        let mut opened = Vec::new();
        for path in paths {
            opened.push((path.as_ref(), open(path.as_ref())?));
        }
        let mut all = Opened { kind: Kind::TraceDat, times: Times::Tsc, streams: Vec::new(), notes: Notes::default() };
        let mut kinds = Vec::new();
        let first = opened.first().map(|(path, one)| (path.to_path_buf(), one.times.clone()));
        for (path, one) in opened {
            if let Some((first, times)) = first.as_ref().filter(|(_, times)| *times != one.times) {
                let (other, clock) = (path.display(), one.times.name());
                let what = format!("its times are of {}, those of {other} of {clock}", times.name());
                let todo = "give files of one clock, or import one of them".into();
                return Err(ImportError::Unsupported { path: first.clone(), what, todo });
            }
            all.times = one.times;
            all.streams.extend(one.streams);
            all.notes.add(one.notes);
            kinds.push(one.kind);
        }
        let merge = Merge::new(all.streams, &mut all.notes);
        Ok(Import { merge, times: all.times, notes: all.notes, kinds, vcpus: ctf::Vcpus::default() })
    }

    /// Of bytes in memory: a trace.dat or perf.data.
    ///
    /// # Errors
    /// As of [`Import::open`].
    pub fn of_bytes(bytes: Vec<u8>) -> Result<Import, ImportError> {
        let mut one = open_file(Input::bytes(bytes))?;
        let merge = Merge::new(one.streams, &mut one.notes);
        let vcpus = ctf::Vcpus::default();
        Ok(Import { merge, times: one.times, notes: one.notes, kinds: vec![one.kind], vcpus })
    }

    /// What times are.
    pub fn times(&self) -> &Times {
        &self.times
    }

    /// Whose files these are.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// What is to be said of what was read so far.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }
}

impl Iterator for Import {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let mut item = self.merge.next(&mut self.notes)?;
        match &mut item {
            Item::Event(raw) if self.kinds.contains(&Kind::Ctf) => self.vcpus.correct(raw, &mut self.notes),
            Item::Event(_) => {}
            Item::Lost(lost) => match lost.count {
                Some(count) => self.notes.lost = self.notes.lost.saturating_add(count),
                None => self.notes.gaps += 1,
            },
        }
        Some(item)
    }
}

impl Times {
    /// As the trace keeps it.
    pub fn clock(&self) -> Clock {
        match self {
            Times::Tsc => Clock::Tsc,
            Times::Ns { conversion, .. } => Clock::Ns { conversion: *conversion },
        }
    }

    fn ns(clock: impl Into<String>) -> Times {
        Times::Ns { clock: clock.into(), conversion: None }
    }

    /// For the user.
    pub fn name(&self) -> String {
        match self {
            Times::Tsc => "the time stamp counter".to_owned(),
            Times::Ns { clock, .. } => format!("the clock {clock}"),
        }
    }
}

/// A file that can be read.
struct Opened {
    kind: Kind,
    times: Times,
    streams: Vec<Box<dyn Stream>>,
    notes: Notes,
}

fn open(path: &Path) -> Result<Opened, ImportError> {
    if path.is_dir() { ctf::open(path) } else { open_file(Input::open(path)?) }
}

fn open_file(input: Input) -> Result<Opened, ImportError> {
    let start = input.read_up_to(0, 10)?;
    if start.starts_with(trace_dat::MAGIC) {
        trace_dat::open(input)
    } else if start.starts_with(perf_data::MAGIC) || start.starts_with(perf_data::MAGIC_BIG) {
        perf_data::open(input)
    } else {
        Err(ImportError::NotOurs { path: input.path().to_path_buf() })
    }
}
