// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the host's KVM does for a virtual machine, while it runs: tracepoints of its threads through perf_event_open. In:
//! a virtual machine monitor that this thread is going to start. Out: [`Seen`] events in the order of their times, in
//! ticks of the host's time stamp counter. Never here: what belongs together (`crate::host::aggregate`), files.
//!
//! Events are opened on this thread, switched off, and inherited by the process that it starts, which switches them on
//! at its exec: no thread of it is missed, other virtual machines are not seen, and nothing is recorded of us. When a
//! thread is off its CPU, the kernel's own records of switches say (`record`): they are shorter than sched_switch, and
//! of these threads only. One ring for each CPU of the host (`ring`); what was read in one pass is given in the next,
//! when nothing older can come from another CPU any more. [`Recording`] makes a trace of them.
//!
//! Where the kernel takes BPF programs of ours, exits, hypercalls and entries do not come through those rings, but put
//! together (`bpf`): [`Way`] says which.

mod bpf;
mod clock;
mod error;
mod format;
mod record;
mod recording;
mod ring;

pub use error::KvmError;
pub use record::{Seen, TRACEPOINTS};
pub use recording::{Done, Recording};

use crate::host::clock::Clock;
use bpf::Bpf;
use clock::{Pairs, Source};
use perf_event_open_sys::bindings as perf;
use record::Layout;
use ring::Ring;
use rustix::time::ClockId;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Bytes of each CPU's ring: a few milliseconds of a million hypercalls in a second.
pub const RING: usize = 8 << 20;

/// Most bytes of a BPF ring.
const MOST_RING: usize = 128 << 20;

/// Where tracefs may be.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Most events that wait for those of other CPUs; a kernel whose clocks are this far apart is not waited for.
const MOST_WAITING: usize = 4 << 20;

/// How exits, hypercalls and entries are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// By BPF, or by perf where that cannot be.
    #[default]
    Auto,
    /// Each for itself, through perf's rings.
    Perf,
    /// Put together in the kernel.
    Bpf,
}

/// A recorder. Dropping it ends the recording.
pub struct Recorder {
    layout: Layout,
    bpf: Option<Bpf>,
    /// Why not, if it was tried.
    without_bpf: Option<KvmError>,
    cpus: Vec<Cpu>,
    ticks: Source,
    /// The last time that was given.
    last: u64,
    /// By how many ticks those so far may be wrong at most.
    error: u64,
    waiting: Waiting,
    bytes: Vec<u8>,
    counts: Counts,
}

/// What was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Bytes of them in the rings.
    pub bytes: u64,
    /// Events that were lost, since a ring was full.
    pub lost: u64,
    /// Records that made no sense.
    pub strange: u64,
}

impl Counts {
    fn count(&mut self, seen: &Seen) {
        match seen {
            Seen::Raw(_) => self.events += 1,
            Seen::Whole(exit) => self.events += 2 + u64::from(exit.hypercall.is_some()),
            Seen::Lost { count, .. } => self.lost = self.lost.saturating_add(*count),
        }
    }
}

struct Cpu {
    ring: Ring,
    /// Keep the events alive.
    _events: Vec<OwnedFd>,
    /// Time of the last event of its ring.
    last: u64,
}

impl Recorder {
    /// Begins; what this thread starts from here on is recorded.
    ///
    /// # Errors
    /// With what to do: see [`KvmError`].
    pub fn open(ring: usize, way: Way) -> Result<Recorder, KvmError> {
        fs::File::open("/dev/kvm").map_err(KvmError::NoKvm)?;
        let events = tracefs()?.join("events");
        let layout = Layout::read(&events)?;
        let online = online(&fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default());
        // One for all CPUs.
        let tried = (way != Way::Perf).then(|| Bpf::open(&layout, &events, (ring * online.len()).min(MOST_RING)));
        let (bpf, without_bpf) = match tried {
            Some(Ok(bpf)) => (Some(bpf), None),
            Some(Err(error)) if way == Way::Bpf => return Err(error),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        // Of these perf's rings need not tell.
        let programs = ["kvm_exit", "kvm_hypercall", "kvm_entry"];
        // Then perf's have switches and offsets only.
        let ring = if bpf.is_some() { (ring / 16).max(1 << 16) } else { ring };
        // Perf's own clock, if the kernel says how it hangs on the time stamp counter.
        let described = probe(online.first().copied().unwrap_or(0))?;
        let mut cpus = Vec::new();
        for cpu in online {
            let mut made: Option<(Ring, Vec<OwnedFd>)> = None;
            for (event, id) in TRACEPOINTS.into_iter().zip(layout.ids()) {
                if bpf.is_some() && programs.contains(&event) {
                    continue;
                }
                let mut attributes = attributes(id, described.is_none(), made.is_none());
                let opened = ring::open(&mut attributes, cpu).map_err(|cause| refused(event, cpu, cause))?;
                match &mut made {
                    // The ring must be there before others can join it.
                    None => made = Some((Ring::map(&opened, ring, cpu)?, vec![opened])),
                    Some((_, events)) => {
                        if let Some(first) = events.first() {
                            ring::join(&opened, first).map_err(|cause| refused(event, cpu, cause))?;
                        }
                        events.push(opened);
                    }
                }
            }
            cpus.extend(made.map(|(ring, events)| Cpu { ring, _events: events, last: 0 }));
        }
        let ticks = match described {
            Some(user) => Source::Described(user),
            None => Source::Paired(Pairs::begin(ClockId::MonotonicRaw)),
        };
        let (waiting, bytes, counts) = (Waiting::default(), Vec::new(), Counts::default());
        Ok(Recorder { layout, bpf, without_bpf, cpus, ticks, last: 0, error: 0, waiting, bytes, counts })
    }

    /// So far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether exits are put together in the kernel.
    pub fn by_bpf(&self) -> bool {
        self.bpf.is_some()
    }

    /// Why they are not, although that was tried.
    pub fn without_bpf(&self) -> Option<&KvmError> {
        self.without_bpf.as_ref()
    }

    /// Whether the kernel says how its clock hangs on the time stamp counter; else both are read together.
    pub fn clock_is_described(&self) -> bool {
        matches!(self.ticks, Source::Described(_))
    }

    /// What the times are that were given so far.
    pub fn clock(&self) -> Clock {
        Clock::Ticks { error: self.error }
    }

    /// Reads all rings, and gives what was read the last time.
    pub fn pass(&mut self, give: &mut impl FnMut(Seen)) {
        self.ticks.renew();
        let ticks = &self.ticks;
        for cpu in &mut self.cpus {
            self.bytes.clear();
            cpu.ring.take(&mut self.bytes);
            self.counts.bytes += self.bytes.len() as u64;
            let (waiting, counts, error) = (&mut self.waiting, &mut self.counts, &mut self.error);
            let strange = self.layout.read_all(&self.bytes, |seen| {
                let ticks = ticks.around(seen.time());
                *error = (*error).max(ticks.error(seen.time()));
                let seen = seen.at(ticks.of(seen.time()));
                if let Seen::Lost { .. } = seen {
                    // They are missing since the event before.
                    waiting.push(Seen::Lost { time: cpu.last, count: 0 });
                }
                cpu.last = seen.time();
                counts.count(&seen);
                waiting.push(seen);
            });
            counts.strange += strange;
        }
        if let Some(bpf) = &mut self.bpf {
            let (waiting, counts) = (&mut self.waiting, &mut self.counts);
            let (bytes, strange) = bpf.pass(|seen| {
                counts.count(&seen);
                waiting.push(seen);
            });
            self.error = self.error.max(bpf.error());
            self.counts.bytes += bytes;
            self.counts.strange += strange;
        }
        self.give(false, give);
    }

    fn give(&mut self, all: bool, give: &mut impl FnMut(Seen)) {
        let last = &mut self.last;
        let mut give = |seen: Seen| {
            // One that has no end, as its thread ended: it is sent late, and began when it says.
            if matches!(&seen, Seen::Whole(exit) if exit.length == 0) {
                return give(seen);
            }
            // Where one straight line ends and the next begins, they differ by a few ticks.
            *last = (*last).max(seen.time());
            give(seen.at(*last));
        };
        if all {
            self.waiting.finish(&mut give);
        } else {
            self.waiting.pass(&mut give);
        }
    }

    /// Reads what is left, and gives all.
    pub fn finish(&mut self, give: &mut impl FnMut(Seen)) {
        self.pass(give);
        self.give(true, give);
    }
}

/// Puts the rings' events into one order. Whatever is read in a pass was written before it began or while it ran; an event
/// as old as one of the last pass would have been read by now.
#[derive(Default)]
struct Waiting {
    events: Vec<Seen>,
    /// The youngest of the last pass.
    horizon: u64,
    /// The youngest so far.
    youngest: u64,
}

impl Waiting {
    fn push(&mut self, seen: Seen) {
        self.youngest = self.youngest.max(seen.time());
        self.events.push(seen);
    }

    fn pass(&mut self, give: &mut impl FnMut(Seen)) {
        // Stable: what has the same time stays in the order of its ring.
        self.events.sort_by_key(Seen::time);
        let until = if self.events.len() > MOST_WAITING { self.youngest } else { self.horizon };
        let ready = self.events.partition_point(|seen| seen.time() <= until);
        self.events.drain(..ready).for_each(give);
        self.horizon = self.youngest;
    }

    fn finish(&mut self, give: &mut impl FnMut(Seen)) {
        self.horizon = self.youngest;
        self.pass(give);
    }
}

fn event(type_: u32, config: u64) -> perf::perf_event_attr {
    let size = size_of::<perf::perf_event_attr>() as u32;
    perf::perf_event_attr { type_, size, config, ..Default::default() }
}

fn attributes(id: u64, raw_clock: bool, first: bool) -> perf::perf_event_attr {
    let mut attributes = event(perf::PERF_TYPE_TRACEPOINT, id);
    // Every event.
    attributes.__bindgen_anon_1.sample_period = 1;
    attributes.sample_type =
        u64::from(perf::PERF_SAMPLE_TID | perf::PERF_SAMPLE_TIME | perf::PERF_SAMPLE_CPU | perf::PERF_SAMPLE_RAW);
    attributes.set_sample_id_all(1);
    attributes.set_disabled(1);
    attributes.set_enable_on_exec(1);
    attributes.set_inherit(1);
    // Nobody sleeps on the ring.
    attributes.set_watermark(1);
    attributes.__bindgen_anon_2.wakeup_watermark = u32::MAX >> 1;
    attributes.set_context_switch(u64::from(first));
    if raw_clock {
        attributes.set_use_clockid(1);
        attributes.clockid = 4; // CLOCK_MONOTONIC_RAW
    }
    attributes
}

/// What the kernel says of perf's clock.
fn probe(cpu: u32) -> Result<Option<ring::UserTime>, KvmError> {
    let mut attributes = event(perf::PERF_TYPE_SOFTWARE, u64::from(perf::PERF_COUNT_SW_DUMMY));
    let event = ring::open(&mut attributes, cpu).map_err(|cause| refused("its clock", cpu, cause))?;
    Ok(Ring::map(&event, 4096, cpu)?.user_time())
}

fn refused(event: &'static str, cpu: u32, cause: io::Error) -> KvmError {
    if matches!(cause.kind(), io::ErrorKind::PermissionDenied) {
        return not_allowed();
    }
    KvmError::Open { event, cpu, cause }
}

fn not_allowed() -> KvmError {
    let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_else(|_| "unknown".into());
    KvmError::NotAllowed { paranoid: paranoid.trim().to_owned() }
}

fn tracefs() -> Result<PathBuf, KvmError> {
    let mut failed = None;
    for path in TRACEFS.map(Path::new) {
        match fs::read_dir(path.join("events")) {
            Ok(_) => return Ok(path.to_owned()),
            Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => return Err(not_allowed()),
            Err(cause) => failed = failed.or(Some(KvmError::NoTracefs { path: path.to_owned(), cause })),
        }
    }
    Err(failed.unwrap_or(KvmError::NoTracefs { path: TRACEFS[0].into(), cause: io::ErrorKind::NotFound.into() }))
}

/// `0-3,5`, as the kernel lists CPUs.
fn online(text: &str) -> Vec<u32> {
    let ranges = text.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?.min(1 << 16))
    });
    let cpus: Vec<u32> = ranges.flatten().collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(time: u64, count: u64) -> Seen {
        Seen::Lost { time, count }
    }

    #[test]
    fn events_of_two_cpus_come_in_the_order_of_their_times() {
        let (mut waiting, mut given) = (Waiting::default(), Vec::new());
        // Pass 1: CPU 0 up to 10, CPU 1 up to 4. Pass 2: CPU 1's 7 comes only now.
        for seen in [lost(1, 0), lost(10, 0), lost(2, 1), lost(4, 1)] {
            waiting.push(seen);
        }
        waiting.pass(&mut |seen| given.push(seen));
        assert_eq!(given, [], "an older one may still come");
        for seen in [lost(12, 0), lost(7, 1), lost(10, 1)] {
            waiting.push(seen);
        }
        waiting.pass(&mut |seen| given.push(seen));
        assert_eq!(given.iter().map(Seen::time).collect::<Vec<_>>(), [1, 2, 4, 7, 10, 10]);
        waiting.finish(&mut |seen| given.push(seen));
        assert_eq!(given.last(), Some(&lost(12, 0)));
        assert_eq!(given.len(), 7);
    }

    #[test]
    fn lists_of_cpus_are_read_as_the_kernel_writes_them() {
        assert_eq!(online("0-3,5,8-9\n"), [0, 1, 2, 3, 5, 8, 9]);
        assert_eq!(online("0\n"), [0]);
        assert_eq!(online(""), [0]);
    }

    #[test]
    fn without_kvm_it_says_what_to_load() {
        // The machine that tests run on may have it: then there is nothing to see here.
        if !Path::new("/dev/kvm").exists() {
            let error = Recorder::open(4096, Way::Auto).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("kvm-amd"), "{error}");
        }
    }
}
