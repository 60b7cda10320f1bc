// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Three events of a host into one record: kvm_exit, the kvm_hypercall that may follow, kvm_entry. In: [`Raw`] events in
//! the order of their times. Out: [`HostEvent`]s, each when it is complete, so in the order of their ends. Never here:
//! files, what a hypercall's words mean.
//!
//! What belongs together is told by the thread and the virtual CPU, never by the host's CPU: a thread may move to
//! another between any two events. An event without its partner is not thrown away, since a hypercall carries data:
//! an exit whose entry is missing has length 0, a hypercall whose exit is missing has [`NO_EXIT`] for its isa.

use super::event::{Exit, HostEvent, Hypercall, Raw, RawKind};
use std::collections::HashMap;

/// [`Exit::isa`] of a hypercall of which no exit was seen (lost, or not recorded): the guest's address is not known.
pub const NO_EXIT: u32 = 0;

/// [`Exit::vcpu`] where nothing has said it.
pub const NO_VCPU: u32 = u32::MAX;

/// Most exits of one thread that wait for their entries; a thread runs one virtual CPU, or a few in turn.
const MOST_OPEN: usize = 64;

/// Events before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pushed.
    pub raw: u64,
    /// Records made of them.
    pub out: u64,
    /// Events without their partner. At the end one exit of each virtual CPU is: no entry follows.
    pub unpaired: u64,
}

#[derive(Default)]
struct Thread {
    /// The virtual CPU that it ran last.
    vcpu: Option<u32>,
    /// Exits without entry so far; the last is the one that it is in. One of each virtual CPU.
    open: Vec<Exit>,
    /// Off its CPU since then; whether it could have run.
    away: Option<(u64, bool)>,
}

/// See the module.
#[derive(Default)]
pub struct Aggregator {
    threads: HashMap<u32, Thread>,
    counts: Counts,
}

impl Aggregator {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// So far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes the next event; `out` gets what it completes.
    pub fn push(&mut self, raw: Raw, out: &mut impl FnMut(HostEvent)) {
        self.counts.raw += 1;
        let counts = &mut self.counts;
        let mut give = |counts: &mut Counts, event| {
            counts.out += 1;
            out(event);
        };
        match raw.kind {
            RawKind::Exit { vcpu, isa, reason, rip, info } => {
                let thread = self.threads.entry(raw.thread).or_default();
                let vcpu = vcpu.or(thread.vcpu);
                thread.vcpu = vcpu;
                let vcpu = vcpu.unwrap_or(NO_VCPU);
                // It has left the guest twice: the entry between is lost.
                let twice = thread.open.iter().position(|exit| exit.vcpu == vcpu);
                let old = twice.or((thread.open.len() >= MOST_OPEN).then_some(0)).map(|at| thread.open.remove(at));
                if let Some(old) = old {
                    counts.unpaired += 1;
                    give(counts, HostEvent::Exit(old));
                }
                thread.open.push(Exit {
                    vcpu,
                    thread: raw.thread,
                    cpus: (raw.cpu, raw.cpu),
                    time: raw.time,
                    length: 0,
                    isa,
                    reason,
                    rip,
                    info,
                    hypercall: None,
                });
            }
            RawKind::Hypercall(hypercall) => {
                let thread = self.threads.entry(raw.thread).or_default();
                match thread.open.last_mut().filter(|exit| exit.hypercall.is_none()) {
                    Some(exit) => exit.hypercall = Some(hypercall),
                    None => {
                        counts.unpaired += 1;
                        give(counts, HostEvent::Exit(alone(&raw, thread.vcpu, hypercall)));
                    }
                }
            }
            RawKind::Entry { vcpu, .. } => {
                let thread = self.threads.entry(raw.thread).or_default();
                thread.vcpu = Some(vcpu);
                let of_it = |exit: &Exit| exit.vcpu == vcpu || exit.vcpu == NO_VCPU;
                match thread.open.iter().position(of_it).map(|at| thread.open.remove(at)) {
                    Some(exit) => {
                        let length = raw.time.saturating_sub(exit.time);
                        give(counts, HostEvent::Exit(Exit { vcpu, length, cpus: (exit.cpus.0, raw.cpu), ..exit }));
                    }
                    // The first of all has no exit before it.
                    None => counts.unpaired += 1,
                }
            }
            RawKind::Switch { prev, runnable, next } => {
                if let Some(thread) = self.threads.get_mut(&prev).filter(|thread| thread.vcpu.is_some()) {
                    thread.away = Some((raw.time, runnable));
                }
                if let Some(thread) = self.threads.get_mut(&next)
                    && let Some((time, preempted)) = thread.away.take()
                    && let Some(vcpu) = thread.vcpu
                {
                    let length = raw.time.saturating_sub(time);
                    give(counts, HostEvent::Away { vcpu, time, length, preempted });
                }
            }
            RawKind::Offset { vcpu, next } => give(counts, HostEvent::Offset { vcpu, time: raw.time, next }),
        }
    }

    /// Takes an exit that was put together already. It counts for the events that it was made of.
    pub fn whole(&mut self, exit: Exit, out: &mut impl FnMut(HostEvent)) {
        self.counts.raw += 2 + u64::from(exit.hypercall.is_some());
        self.counts.out += 1;
        // An entry follows each exit but the last.
        self.counts.unpaired += u64::from(exit.length == 0);
        self.threads.entry(exit.thread).or_default().vcpu = Some(exit.vcpu);
        out(HostEvent::Exit(exit));
    }

    /// Events were lost here: what comes next is no partner of what came before.
    pub fn lost(&mut self, out: &mut impl FnMut(HostEvent)) {
        // In the order of their times, whatever the map's is.
        let mut open: Vec<Exit> = self.threads.values_mut().flat_map(|thread| thread.open.drain(..)).collect();
        self.threads.values_mut().for_each(|thread| thread.away = None);
        open.sort_by_key(|exit| (exit.time, exit.thread));
        for exit in open {
            self.counts.unpaired += 1;
            self.counts.out += 1;
            out(HostEvent::Exit(exit));
        }
    }

    /// Gives what is not complete, and never will be.
    pub fn finish(&mut self, out: &mut impl FnMut(HostEvent)) {
        self.lost(out);
    }
}

/// A hypercall without its exit.
fn alone(raw: &Raw, vcpu: Option<u32>, hypercall: Hypercall) -> Exit {
    Exit {
        vcpu: vcpu.unwrap_or(NO_VCPU),
        thread: raw.thread,
        cpus: (raw.cpu, raw.cpu),
        time: raw.time,
        length: 0,
        isa: NO_EXIT,
        reason: 0,
        rip: 0,
        info: [0; 2],
        hypercall: Some(hypercall),
    }
}

#[cfg(test)]
#[path = "aggregate/tests.rs"]
mod tests;
