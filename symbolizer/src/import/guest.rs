// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From another recorder's events to our trace. In: an [`Import`]. Out: the guest's own events, which it has sent by
//! hypercalls, to a [`Recorder`]; everything that the host has seen to [`Writer`]. Never here: how files look.
//!
//! An exit for one of the guest's hypercalls stays among the host's events, since it took time as others do, and keeps
//! the words that it carried: where the host's recorder has no offsets, `host::bounds` finds the way to the guest's
//! time by nothing else.

use std::collections::HashMap;

use early_ftrace_format::stream::Call;

use super::{Import, Item};
use crate::capture::stream::Recorder;
use crate::host::HostError;
use crate::host::aggregate::{Aggregator, Counts, NO_EXIT, NO_VCPU};
use crate::host::event::{Exit, HostEvent, Raw, RawKind};
use crate::host::file::Writer;
use crate::trace_dir::TraceError;

/// Most vCPUs whose threads are remembered, to find two guests.
const MOST_VCPUS: usize = 1 << 12;

/// Most offsets of other threads that wait until it is known whether the listed ones set their own.
const MOST_WAITING: usize = 1 << 12;

/// Why it cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The guest's events.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The host's.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events of the file, records made of them, events without partner.
    pub counts: Counts,
    /// Hypercalls with numbers of ours.
    pub calls: u64,
    /// Of these, without the kvm_exit that says where they come from.
    pub nowhere: u64,
    /// A vCPU's number, and two threads that were it: two guests, or one that was started twice.
    pub twice: Option<(u32, u32, u32)>,
    /// Offsets of time stamp counters that were taken from threads which are not among those asked for, since these
    /// have set none before their first exit.
    pub borrowed: u64,
}

/// Reads all of `import`. Events of other threads than `threads` are left out, if there are any. Without a recorder the
/// guest's events are not looked at.
///
/// # Errors
/// When the trace cannot be written.
pub fn run(
    import: &mut Import,
    threads: &[u32],
    mut recorder: Option<&mut Recorder>,
    host: &mut Writer,
) -> Result<Summary, GuestError> {
    let (mut aggregator, mut summary) = (Aggregator::new(), Summary::default());
    let (mut ready, mut runs, mut chosen) = (Vec::new(), HashMap::new(), Chosen::new(threads));
    let mut give = |ready: &mut Vec<HostEvent>, summary: &mut Summary, host: &mut Writer| -> Result<(), GuestError> {
        for event in ready.drain(..) {
            if let HostEvent::Exit(exit) = &event {
                watch(&mut runs, exit, summary);
                take(exit, recorder.as_deref_mut(), summary)?;
            }
            host.push(&event)?;
        }
        Ok(())
    };
    for item in import {
        match item {
            Item::Event(raw) => chosen.push(raw, &mut |raw| aggregator.push(raw, &mut |event| ready.push(event))),
            Item::Lost(lost) => {
                aggregator.lost(&mut |event| ready.push(event));
                host.lose(lost.count.unwrap_or(1));
            }
        }
        give(&mut ready, &mut summary, host)?;
    }
    aggregator.finish(&mut |event| ready.push(event));
    give(&mut ready, &mut summary, host)?;
    (summary.counts, summary.borrowed) = (aggregator.counts(), chosen.borrowed);
    Ok(summary)
}

/// Whose events are wanted.
///
/// An offset may be set by the thread that made the vCPU, which is none of the vCPUs', or by another guest's, whose
/// vCPUs have the same numbers. So: what a listed thread sets is taken. What others set waits until the first exit of a
/// listed thread; it is taken then if no listed thread has set any, and nothing behind that.
struct Chosen<'a> {
    threads: &'a [u32],
    /// Offsets of others; none once it is decided.
    waiting: Option<Vec<Raw>>,
    borrowed: u64,
}

impl Chosen<'_> {
    /// These, or if there are none, all.
    fn new(threads: &[u32]) -> Chosen<'_> {
        Chosen { threads, waiting: Some(Vec::new()), borrowed: 0 }
    }

    /// Gives the event to `out` if it is wanted.
    fn push(&mut self, raw: Raw, out: &mut impl FnMut(Raw)) {
        let threads = self.threads;
        let listed = |thread| threads.is_empty() || threads.contains(&thread);
        match raw.kind {
            RawKind::Offset { .. } if listed(raw.thread) => self.waiting = None,
            RawKind::Offset { .. } => {
                if let Some(waiting) = self.waiting.as_mut().filter(|waiting| waiting.len() < MOST_WAITING) {
                    waiting.push(raw);
                }
                return;
            }
            RawKind::Switch { prev, next, .. } if listed(prev) || listed(next) => {}
            RawKind::Exit { .. } | RawKind::Entry { .. } if listed(raw.thread) => {
                for offset in self.waiting.take().into_iter().flatten() {
                    self.borrowed += 1;
                    out(offset);
                }
            }
            RawKind::Hypercall(_) if listed(raw.thread) => {}
            _ => return,
        }
        out(raw);
    }
}

/// A vCPU is one thread, as a rule.
fn watch(runs: &mut HashMap<u32, u32>, exit: &Exit, summary: &mut Summary) {
    if exit.vcpu == NO_VCPU || (runs.len() >= MOST_VCPUS && !runs.contains_key(&exit.vcpu)) {
        return;
    }
    let thread = *runs.entry(exit.vcpu).or_insert(exit.thread);
    if thread != exit.thread {
        summary.twice.get_or_insert((exit.vcpu, thread, exit.thread));
    }
}

/// Gives the guest's words to the recorder.
fn take(exit: &Exit, recorder: Option<&mut Recorder>, summary: &mut Summary) -> Result<(), TraceError> {
    let ours = exit.hypercall.filter(|call| Call::read(call.number).is_some());
    let (Some(call), Some(recorder)) = (ours, recorder) else { return Ok(()) };
    summary.calls += 1;
    if exit.isa == NO_EXIT {
        summary.nowhere += 1;
        return Ok(());
    }
    recorder.push_call(exit.vcpu, exit.rip, call.number, &call.args)
}
