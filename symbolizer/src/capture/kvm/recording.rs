// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The loop of a recording by hypercalls: read the host's events, put them together, give ours to the trace, keep the
//! others beside it, and of ours that they happened. In: a [`Recorder`], a [`stream::Recorder`], and a function that says
//! when to end. Out: a finished trace with its `host.eft`. Never here: processes, signals, printing.

use super::record::Seen;
use super::{Counts, Recorder};
use crate::capture::CaptureError;
use crate::capture::session::Progress;
use crate::capture::stream;
use crate::host::HostError;
use crate::host::aggregate::{self, Aggregator, NO_EXIT};
use crate::host::clock::Clock;
use crate::host::event::{Exit, HostEvent, Hypercall};
use crate::host::file::Writer;
use crate::trace_dir::{Ended, Meta, TraceError};
use early_ftrace_format::stream::Call;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two looks at the rings: what they hold in this time must be much less than [`super::RING`].
const SLEEP: Duration = Duration::from_millis(2);
/// How often blocks that wait and the progress are looked at.
const TICK: Duration = Duration::from_millis(200);
/// Most events that are kept before the guest has said what it is, and the trace has a directory: firmware's.
const MOST_EARLY: usize = 1 << 18;

/// A recording.
pub struct Recording {
    recorder: Recorder,
    aggregator: Aggregator,
    sorter: Sorter,
}

/// Tells ours from the others.
struct Sorter {
    trace: stream::Recorder,
    dir: PathBuf,
    host: Option<Writer>,
    early: Vec<HostEvent>,
    /// What is lost: told to the file once it is there.
    lost: u64,
    /// Hypercalls with our numbers whose exits are lost.
    unknown: u64,
    failed: Option<CaptureError>,
}

/// What was recorded, besides the trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Of the rings.
    pub events: Counts,
    /// Before and after they were put together.
    pub records: aggregate::Counts,
}

impl Recording {
    /// A recording to `dir`, where `trace` writes to.
    pub fn new(recorder: Recorder, trace: stream::Recorder, dir: &Path) -> Recording {
        let sorter =
            Sorter { trace, dir: dir.to_owned(), host: None, early: Vec::new(), lost: 0, unknown: 0, failed: None };
        Recording { recorder, aggregator: Aggregator::new(), sorter }
    }

    /// Records until `over` says how it ended; it is called every few milliseconds. `report` gets the progress a few times
    /// a second.
    ///
    /// # Errors
    /// When the trace cannot be written, or `over` fails. Call [`Recording::finish`] all the same.
    pub fn run(
        &mut self,
        mut over: impl FnMut() -> Result<Option<Ended>, CaptureError>,
        mut report: impl FnMut(Progress),
    ) -> Result<Ended, CaptureError> {
        let began = Instant::now();
        let mut ticked = began;
        loop {
            self.pass(false)?;
            if let Some(ended) = over()? {
                return Ok(ended);
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                if let Some(writer) = self.sorter.trace.writer() {
                    writer.flush_idle()?;
                }
                report(Progress { elapsed: began.elapsed(), ..self.progress() });
            }
            std::thread::sleep(SLEEP);
        }
    }

    /// Takes what is left, ends the streams, writes everything out.
    ///
    /// # Errors
    /// When the trace cannot be written: what was written before is valid.
    pub fn finish(mut self, ended: Ended) -> Result<(Meta, Done), CaptureError> {
        let passed = self.pass(true);
        let done = Done { events: self.recorder.counts(), records: self.aggregator.counts() };
        let Sorter { mut trace, dir, host, early, lost, unknown, .. } = self.sorter;
        let lost_here = done.events.lost;
        trace.warn((lost_here > 0).then(|| {
            format!("the host's rings were full: {lost_here} of its events are lost, and frames of the guest with them")
        }));
        trace.warn(
            (unknown > 0)
                .then(|| format!("{unknown} hypercalls bore our numbers, and of their exits nothing is known")),
        );
        let meta = trace.finish(ended);
        // The directory is there by now, if it can be.
        let host = match host {
            Some(writer) => Ok(writer),
            None => Writer::create(&dir, &self.recorder.clock()),
        };
        let written = host.and_then(|mut writer| {
            writer.set_clock(self.recorder.clock());
            writer.lose(lost);
            early.iter().try_for_each(|event| writer.push(event))?;
            writer.finish()
        });
        passed?;
        let meta = meta?;
        written?;
        Ok((meta, done))
    }

    fn pass(&mut self, last: bool) -> Result<(), CaptureError> {
        let Recording { recorder, aggregator, sorter } = self;
        let mut give = |seen: Seen| match seen {
            Seen::Raw(raw) => aggregator.push(raw, &mut |event| sorter.take(event)),
            Seen::Whole(exit) => aggregator.whole(exit, &mut |event| sorter.take(event)),
            Seen::Lost { count, .. } => {
                sorter.lost = sorter.lost.saturating_add(count);
                aggregator.lost(&mut |event| sorter.take(event));
                sorter.trace.lost();
            }
        };
        if last {
            recorder.finish(&mut give);
            aggregator.finish(&mut |event| sorter.take(event));
        } else {
            recorder.pass(&mut give);
        }
        sorter.failed.take().map_or(Ok(()), Err)
    }

    fn progress(&mut self) -> Progress {
        let mut progress = Progress { lost: self.recorder.counts().lost, ..Progress::default() };
        if let Some(writer) = self.sorter.trace.writer() {
            for count in writer.counts() {
                progress.events += count.events;
                progress.bytes += count.bytes;
            }
        }
        progress
    }
}

impl Sorter {
    fn take(&mut self, event: HostEvent) {
        if self.failed.is_some() {
            return;
        }
        let taken = match self.ours(&event) {
            // That it happened, and how long it took; its words are in the trace.
            Ok(true) => without_words(event).map_or(Ok(()), |event| self.keep(event).map_err(CaptureError::from)),
            Ok(false) => self.keep(event).map_err(CaptureError::from),
            Err(error) => Err(error.into()),
        };
        self.failed = taken.err();
    }

    /// Gives it to the trace, if it is one of ours; whether it was.
    fn ours(&mut self, event: &HostEvent) -> Result<bool, TraceError> {
        let HostEvent::Exit(exit) = event else { return Ok(false) };
        let Some(call) = exit.hypercall.filter(|call| Call::read(call.number).is_some_and(|call| call.level == 0))
        else {
            return Ok(false);
        };
        if exit.isa == NO_EXIT {
            self.unknown += 1;
            return Ok(true);
        }
        let forged = self.trace.forged();
        self.trace.push_call(exit.vcpu, exit.rip, call.number, &call.args)?;
        Ok(self.trace.forged() == forged)
    }

    fn keep(&mut self, event: HostEvent) -> Result<(), HostError> {
        if self.host.is_none() && self.trace.began() {
            // How wrong they may be is known at the end only.
            let mut writer = Writer::create(&self.dir, &Clock::Ticks { error: 0 })?;
            self.early.drain(..).try_for_each(|event| writer.push(&event))?;
            self.host = Some(writer);
        }
        match &mut self.host {
            Some(writer) => {
                writer.lose(std::mem::take(&mut self.lost));
                writer.push(&event)
            }
            None if self.early.len() < MOST_EARLY => {
                self.early.push(event);
                Ok(())
            }
            None => {
                self.lost = self.lost.saturating_add(1);
                Ok(())
            }
        }
    }
}

/// What is kept of an exit by which words came, if it is known.
fn without_words(event: HostEvent) -> Option<HostEvent> {
    let HostEvent::Exit(exit) = event else { return Some(event) };
    let hypercall = exit.hypercall.map(|call| Hypercall { args: [0; 4], ..call });
    (exit.isa != NO_EXIT).then_some(HostEvent::Exit(Exit { hypercall, ..exit }))
}
