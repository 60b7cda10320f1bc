// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Exits put together in the kernel: BPF programs on kvm_exit, kvm_hypercall and kvm_entry, one record of the three. In:
//! where the tracepoints' fields are. Out: whole [`Exit`]s, in ticks of the host's time stamp counter, and how many did not
//! fit into the ring. Never here: other events (perf's ring has them).
//!
//! Against perf's three records (`cargo xtask bench recorder`; Debian's 6.1 under TCG, a recorder of the profile dev): 3,100
//! instructions of the host for each hypercall instead of 9,500 (in the kernel 1,800 instead of 4,200), 113 bytes instead
//! of 266; in 8 MiB that nobody reads there is room for 74,000 hypercalls instead of 31,000. The programs ([`programs`]) are
//! words put together here ([`code`]), so that neither a compiler for BPF nor its type information is needed: only fields
//! of tracepoints are read, of which the kernel says where they are. A thread is recorded if it was started by this one,
//! or by one of those: as perf's events are inherited.
//!
//! Not told: what the kernel leaves out because a program of somebody's runs on that CPU just then (`recursion_misses`).

mod code;
mod programs;
mod system;

use super::clock::Pairs;
use super::error::KvmError;
use super::format::Format;
use super::record::{Layout, Seen};
use crate::host::event::{Exit, Hypercall};
use programs::{CALL, EXIT, Maps, THREAD, at};
use rustix::time::ClockId;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use system::{Counter, Kind, Ring};

/// Most threads of a virtual machine monitor.
const THREADS: usize = 16384;

/// Inode of the first namespace of processes (PROC_PID_INIT_INO): only there our numbers are the kernel's.
const FIRST_NAMESPACE: &str = "pid:[4026531836]";

/// Programs at work. Dropping it ends them.
pub struct Bpf {
    ring: Ring,
    lost: Counter,
    /// Lost records that were told of.
    told: u64,
    pairs: Pairs,
    /// End of the last record.
    last: u64,
    /// By how many ticks times may be wrong.
    error: u64,
    _files: Vec<OwnedFd>,
}

fn refused(what: &'static str) -> impl Fn(io::Error) -> KvmError {
    move |cause| KvmError::Bpf { what, cause }
}

fn unknown(what: &'static str) -> KvmError {
    KvmError::Bpf { what, cause: io::Error::new(io::ErrorKind::Unsupported, "its fields are not understood") }
}

impl Bpf {
    /// Begins: what this thread starts from here on is recorded. `events`: tracefs' directory; `size`: bytes of the ring.
    ///
    /// # Errors
    /// [`KvmError::Bpf`], [`KvmError::NoTracepoint`].
    pub fn open(layout: &Layout, events: &Path, size: usize) -> Result<Bpf, KvmError> {
        let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        if namespace.as_os_str() != FIRST_NAMESPACE {
            let cause = io::Error::new(io::ErrorKind::Unsupported, "this is another namespace of processes");
            return Err(KvmError::Bpf { what: "threads", cause });
        }
        let size = size.next_power_of_two().max(4096);
        let threads = system::map(Kind::Hash, 4, THREAD, THREADS).map_err(refused("a map"))?;
        let records = system::map(Kind::Ring, 0, 0, size).map_err(refused("a ring"))?;
        let lost = system::map(Kind::Array, 4, 8, 1).map_err(refused("a counter"))?;
        let maps = Maps { threads: threads.as_raw_fd(), ring: records.as_raw_fd(), lost: lost.as_raw_fd() };
        let [exit, hypercall, entry, _] = layout.ids();
        let (fork, gone) = (schedule(events, "sched_process_fork")?, schedule(events, "sched_process_exit")?);
        let child = fork.find("child_pid").ok_or_else(|| unknown("sched_process_fork"))?;
        let programs = [
            ("kvm_exit", exit, programs::exit(layout, maps)),
            ("kvm_hypercall", hypercall, programs::hypercall(layout, maps)),
            ("kvm_entry", entry, programs::entry(layout, maps)),
            ("sched_process_fork", fork.id, programs::fork(child, maps)),
            ("sched_process_exit", gone.id, Some(programs::gone(maps))),
        ];
        let (ring, counter) = (Ring::new(&records, size), Counter::new(&lost));
        let (ring, counter) = (ring.map_err(refused("the ring"))?, counter.map_err(refused("the counter"))?);
        let mut files = vec![threads, records, lost];
        for (event, id, program) in programs {
            let program = system::load(&program.ok_or_else(|| unknown(event))?).map_err(refused(event))?;
            let attached = system::attach(id, &program).map_err(refused(event))?;
            files.extend([program, attached]);
        }
        if let Some(threads) = files.first() {
            system::put(threads, system::own_thread(), &[0; THREAD / 8]).map_err(refused("our thread"))?;
        }
        let pairs = Pairs::begin(ClockId::Monotonic);
        Ok(Bpf { ring, lost: counter, told: 0, pairs, last: 0, error: 0, _files: files })
    }

    /// By how many ticks the times that were given may be wrong at most.
    pub fn error(&self) -> u64 {
        self.error
    }

    /// What has come since the last time, in the order of the ends; the bytes of it in the ring, and records that made
    /// no sense.
    pub fn pass(&mut self, mut give: impl FnMut(Seen)) -> (u64, u64) {
        self.pairs.renew();
        let (pairs, last, error, mut strange) = (&self.pairs, &mut self.last, &mut self.error, 0);
        let bytes = self.ring.take(|record, full| match exit(record, pairs) {
            Some((exit, worst)) => {
                *error = (*error).max(worst);
                // What did not fit is missing before this one or behind it.
                let beside = |last: u64| full.then_some(Seen::Lost { time: last, count: 0 });
                beside(*last).into_iter().for_each(&mut give);
                *last = exit.time.saturating_add(exit.length);
                give(Seen::Whole(exit));
                beside(*last).into_iter().for_each(&mut give);
            }
            None => strange += 1,
        });
        // How many they are is known here only.
        let lost = self.lost.get();
        let count = lost.saturating_sub(std::mem::replace(&mut self.told, lost));
        if count > 0 {
            give(Seen::Lost { time: self.last, count });
        }
        (bytes, strange)
    }
}

fn schedule(events: &Path, name: &str) -> Result<Format, KvmError> {
    let path = events.join("sched").join(name).join("format");
    let text = std::fs::read_to_string(&path).map_err(|cause| KvmError::NoTracepoint { path: path.clone(), cause })?;
    Format::read(&text).map_err(|what| KvmError::Format { path, what })
}

/// A record as the programs have sent it, and by how many ticks its times may be wrong.
fn exit(record: &[u8], pairs: &Pairs) -> Option<(Exit, u64)> {
    let long = |at: i16| {
        let bytes = record.get(usize::try_from(at).ok()?..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    };
    let short = |at: i16| {
        let bytes = record.get(usize::try_from(at).ok()?..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let hypercall = match record.len() {
        EXIT => None,
        CALL => {
            let [a, b, c, d] = at::ARGS;
            Some(Hypercall { number: long(at::NUMBER)?, args: [long(a)?, long(b)?, long(c)?, long(d)?] })
        }
        _ => return None,
    };
    let (begin, length) = (long(at::TIME)?, long(at::LENGTH)?);
    let end = begin.saturating_add(length);
    let (before, behind) = (pairs.around(begin), pairs.around(end));
    let time = before.of(begin);
    let exit = Exit {
        vcpu: short(at::VCPU)?,
        thread: short(at::TASK)?,
        cpus: (short(at::CPUS[0])?, short(at::CPUS[1])?),
        time,
        length: behind.of(end).saturating_sub(time),
        isa: short(at::ISA)?,
        reason: short(at::REASON)?,
        rip: long(at::RIP)?,
        info: [long(at::INFO[0])?, long(at::INFO[1])?],
        hypercall,
    };
    Some((exit, before.error(begin).max(behind.error(end))))
}

#[cfg(test)]
mod tests {
    use super::super::clock::Pair;
    use super::*;

    fn record(length: usize) -> Vec<u8> {
        let mut record = vec![0u8; length];
        let mut put = |at: i16, bytes: &[u8]| record[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        put(at::TIME, &1_000u64.to_le_bytes());
        put(at::LENGTH, &500u64.to_le_bytes());
        put(at::RIP, &0x1_002eu64.to_le_bytes());
        put(at::TASK, &77u32.to_le_bytes());
        put(at::CPUS[1], &3u32.to_le_bytes());
        put(at::VCPU, &1u32.to_le_bytes());
        put(at::REASON, &0x81u32.to_le_bytes());
        put(at::ISA, &2u32.to_le_bytes());
        put(at::INFO[1], &9u64.to_le_bytes());
        if length == CALL {
            put(at::NUMBER, &1000u64.to_le_bytes());
            put(at::ARGS[3], &u64::MAX.to_le_bytes());
        }
        record
    }

    #[test]
    fn a_record_is_an_exit_in_ticks() {
        // Three ticks a nanosecond.
        let mut pairs = Pairs::of(ClockId::Monotonic);
        pairs.push(Pair { ns: 0, tsc: 50, error: 0 });
        pairs.push(Pair { ns: 1_000, tsc: 3_050, error: 0 });
        let ticks = &pairs;
        let expected = Exit {
            vcpu: 1,
            thread: 77,
            cpus: (0, 3),
            time: 3_050,
            length: 1_500,
            isa: 2,
            reason: 0x81,
            rip: 0x1_002e,
            info: [0, 9],
            hypercall: None,
        };
        assert_eq!(exit(&record(EXIT), ticks).map(|(exit, _)| exit), Some(expected));
        let hypercall = Some(Hypercall { number: 1000, args: [0, 0, 0, u64::MAX] });
        assert_eq!(exit(&record(CALL), ticks).map(|(exit, _)| exit), Some(Exit { hypercall, ..expected }));
        for length in [0, 8, EXIT - 1, EXIT + 8, CALL + 8] {
            assert_eq!(exit(&vec![0xff; length], ticks), None, "{length} bytes");
        }
        // The largest numbers that there can be.
        assert!(exit(&[0xff; CALL], ticks).is_some());
    }
}
