// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The loop of a recording: drain, write, look whether it is over, sleep. In: a [`Drainer`], a
//! [`TraceWriter`], [`Meta`], and a function that says when to end. Out: a finished trace. Never
//! here: processes, signals, printing.

use super::drain::Drainer;
use super::icount;
use super::region::RamFile;
use crate::trace_dir::{Ended, Meta, TraceError, TraceWriter};
use early_ftrace_format::word::EndReason;
use std::time::{Duration, Instant};

/// Longest sleep between two looks at the rings.
const SLEEP_MAX: Duration = Duration::from_millis(4);
/// Shortest one: below, looking costs the guest more than it gains.
const SLEEP_MIN: Duration = Duration::from_micros(100);
/// Rings at most so full: sleep longer.
const CALM: f64 = 1.0 / 16.0;
/// Rings fuller than this: do not sleep.
const BUSY: f64 = 1.0 / 4.0;
/// How often blocks that wait and the progress are looked at.
const TICK: Duration = Duration::from_millis(200);
/// How often `meta.json` is written while recording.
const META_EVERY: Duration = Duration::from_secs(1);

/// How far a recording is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Entries and exits on disk.
    pub events: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Events lost.
    pub lost: u64,
    /// The fullest ring since the last time, 0 to 1.
    pub fill: f64,
    /// Since the recording began.
    pub elapsed: Duration,
}

/// A recording.
pub struct Session {
    /// The guest's memory, for the frequency of the time stamp counter.
    pub ram: RamFile,
    /// The guest's side.
    pub drainer: Drainer,
    /// The trace's side.
    pub writer: TraceWriter,
    /// What is known so far.
    pub meta: Meta,
    /// The guest's time is instructions: what is written hangs on nothing but what it does. Blocks are written when
    /// they are full, not after a time; at the end `meta` says so, if it holds.
    pub deterministic: bool,
}

impl Session {
    /// Drains until `over` says how it ended; it is called each time after the rings were looked at,
    /// so at least every few milliseconds, and told how full the fullest was (0 to 1). `report` gets the progress a few times a second.
    ///
    /// # Errors
    /// When the trace cannot be written, or `over` fails. Call [`Session::finish`] all the same.
    pub fn run<E: From<TraceError>>(
        &mut self,
        mut over: impl FnMut(f64) -> Result<Option<Ended>, E>,
        mut report: impl FnMut(Progress),
    ) -> Result<Ended, E> {
        let began = Instant::now();
        let (mut ticked, mut described) = (began, began);
        let (mut sleep, mut fill) = (SLEEP_MIN, 0f64);
        loop {
            let pass = self.drainer.pass(&mut self.writer)?;
            fill = fill.max(pass.fill);
            if let Some(ended) = over(pass.fill)? {
                return Ok(ended);
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                if !self.deterministic {
                    self.writer.flush_idle()?;
                }
                report(Progress { fill, elapsed: began.elapsed(), ..self.progress() });
                fill = 0.0;
                if described.elapsed() >= META_EVERY {
                    described = ticked;
                    self.describe();
                    self.writer.update(&mut self.meta)?;
                }
            }
            sleep = match pass.fill {
                full if full > BUSY => SLEEP_MIN,
                calm if calm <= CALM => (sleep * 2).min(SLEEP_MAX),
                _ => (sleep / 2).max(SLEEP_MIN),
            };
            if pass.fill <= BUSY {
                std::thread::sleep(sleep);
            }
        }
    }

    /// Takes what the guest left, ends the streams, writes everything out.
    ///
    /// # Errors
    /// When the trace cannot be written: what was written before is valid, and `meta.json` was
    /// written if it could be.
    pub fn finish(mut self, ended: Ended) -> Result<Meta, TraceError> {
        let reason = match ended {
            Ended::PowerOff => EndReason::PowerOff,
            Ended::Stopped { .. } => EndReason::Stopped,
            Ended::Died { .. } => EndReason::Died,
        };
        let drained = self.drainer.finish(&mut self.writer, reason);
        self.describe();
        self.meta.ended = Some(ended);
        self.meta.deterministic = self.deterministic && icount::broken(&self.meta).is_none();
        let finished = self.writer.finish(&mut self.meta);
        drained.and(finished)?;
        Ok(self.meta)
    }

    fn progress(&self) -> Progress {
        let mut progress = Progress::default();
        for count in self.writer.counts() {
            progress.events += count.events;
            progress.bytes += count.bytes;
            let lost = self.drainer.region().control(count.cpu).lost;
            progress.lost = progress.lost.saturating_add(lost);
        }
        progress
    }

    /// Takes the guest's counters over into the meta data.
    fn describe(&mut self) {
        let now = self.drainer.region().header_now();
        self.drainer.count(&mut self.meta.per_cpu);
        self.meta.first_tsc = now.first_tsc;
        self.meta.tsc_khz = self.ram.tsc_khz(self.drainer.region());
        self.meta.depth_overflows = now.depth_overflows;
        self.meta.stacks_exhausted = now.stacks_exhausted;
        self.meta.cpus_untraced = now.cpus_untraced;
        self.meta.take_phases(&now);
        self.meta.warnings = self.drainer.warnings().to_vec();
        self.meta.warnings.extend(super::stream::refused(&self.meta.command_line, &now));
    }
}
