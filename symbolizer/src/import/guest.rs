// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From another recorder's events to our trace. In: an [`Import`]. Out: the guest's own events, which it has sent by
//! hypercalls, to a [`Recorder`]; everything that the host has seen to [`Writer`]. Never here: how files look.
//!
//! An exit for one of the guest's hypercalls stays among the host's events, since it took time as others do; the words
//! that it carried are in the trace then, and are not kept twice.

use std::collections::HashMap;

use early_ftrace_format::stream::Call;

use super::{Import, Item};
use crate::capture::stream::Recorder;
use crate::host::HostError;
use crate::host::aggregate::{Aggregator, Counts, NO_EXIT, NO_VCPU};
use crate::host::event::{Exit, HostEvent, Hypercall};
use crate::host::file::Writer;
use crate::trace_dir::TraceError;

/// Most vCPUs whose threads are remembered, to find two guests.
const MOST_VCPUS: usize = 1 << 12;

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
    let (mut ready, mut runs) = (Vec::new(), HashMap::new());
    let mut give = |ready: &mut Vec<HostEvent>, summary: &mut Summary, host: &mut Writer| -> Result<(), GuestError> {
        for event in ready.drain(..) {
            let event = match event {
                HostEvent::Exit(exit) => {
                    watch(&mut runs, &exit, summary);
                    HostEvent::Exit(take(exit, recorder.as_deref_mut(), summary)?)
                }
                other => other,
            };
            host.push(&event)?;
        }
        Ok(())
    };
    for item in import {
        match item {
            Item::Event(raw) if threads.is_empty() || concerns(&raw, threads) => {
                aggregator.push(raw, &mut |event| ready.push(event));
            }
            Item::Event(_) => {}
            Item::Lost(lost) => {
                aggregator.lost(&mut |event| ready.push(event));
                host.lose(lost.count.unwrap_or(1));
            }
        }
        give(&mut ready, &mut summary, host)?;
    }
    aggregator.finish(&mut |event| ready.push(event));
    give(&mut ready, &mut summary, host)?;
    summary.counts = aggregator.counts();
    Ok(summary)
}

fn concerns(raw: &crate::host::event::Raw, threads: &[u32]) -> bool {
    use crate::host::event::RawKind;
    match raw.kind {
        RawKind::Switch { prev, next, .. } => threads.contains(&prev) || threads.contains(&next),
        // Set from whichever thread made the vCPU.
        RawKind::Offset { .. } => true,
        _ => threads.contains(&raw.thread),
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

/// Gives the guest's words to the recorder; what is left of the exit.
fn take(exit: Exit, recorder: Option<&mut Recorder>, summary: &mut Summary) -> Result<Exit, TraceError> {
    let ours = exit.hypercall.filter(|call| Call::read(call.number).is_some());
    let (Some(call), Some(recorder)) = (ours, recorder) else { return Ok(exit) };
    summary.calls += 1;
    if exit.isa == NO_EXIT {
        summary.nowhere += 1;
        return Ok(exit);
    }
    let forged = recorder.forged();
    recorder.push_call(exit.vcpu, exit.rip, call.number, &call.args)?;
    let believed = recorder.forged() == forged;
    let args = if believed { [0; 4] } else { call.args };
    Ok(Exit { hypercall: Some(Hypercall { args, ..call }), ..exit })
}
