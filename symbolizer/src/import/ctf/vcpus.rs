// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Which virtual CPU an entry is of, where LTTng does not say it. In: events in the order of time. Out: the same, an
//! entry's vCPU put right. Never here: which events belong together (`host/aggregate.rs`).
//!
//! In Linux 6.1 the tracepoint kvm_entry gets a pointer to the vCPU (arch/x86/kvm/trace.h); the probe of lttng-modules
//! 2.13.9 takes it for a number, and records the address' lower half as `vcpu_id` (tests/system/lttng.rs has it so).
//! What is too large to be a number is replaced by that of the thread's last exit.

use std::collections::HashMap;

use super::super::Notes;
use crate::host::aggregate::NO_VCPU;
use crate::host::event::{Raw, RawKind};

/// KVM_MAX_VCPU_IDS, of arch/x86/include/asm/kvm_host.h.
const MOST_VCPUS: u32 = 1 << 12;

/// Most threads that are remembered.
const MOST_THREADS: usize = 1 << 16;

/// vCPUs by the threads that run them.
#[derive(Default)]
pub(in crate::import) struct Vcpus(HashMap<u32, u32>);

impl Vcpus {
    /// Puts an entry right; `notes` hears of it.
    pub(in crate::import) fn correct(&mut self, raw: &mut Raw, notes: &mut Notes) {
        match &mut raw.kind {
            RawKind::Exit { vcpu: Some(vcpu), .. }
                if self.0.len() < MOST_THREADS || self.0.contains_key(&raw.thread) =>
            {
                self.0.insert(raw.thread, *vcpu);
            }
            RawKind::Entry { vcpu, .. } if *vcpu >= MOST_VCPUS => {
                *vcpu = self.0.get(&raw.thread).copied().unwrap_or(NO_VCPU);
                notes.warn(
                    "kvm_x86_entry does not tell its vCPU (this version of lttng-modules records an address there): it \
                     is that of the thread's last exit"
                        .to_owned(),
                );
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_a_vcpu_becomes_that_of_the_threads_exit() {
        let exit = |thread, vcpu| {
            let kind = RawKind::Exit { vcpu: Some(vcpu), isa: 2, reason: 0x81, rip: 0, info: [0; 2] };
            Raw { time: 1, cpu: 0, thread, kind }
        };
        let entry = |thread, vcpu| Raw { time: 2, cpu: 0, thread, kind: RawKind::Entry { vcpu, rip: None } };
        let (mut vcpus, mut notes) = (Vcpus::default(), Notes::default());
        let mut all = [entry(7, 0x3cee_cfa0), exit(7, 3), exit(8, 4), entry(7, 0x3cee_cfa0), entry(8, 5)];
        all.iter_mut().for_each(|raw| vcpus.correct(raw, &mut notes));
        assert_eq!(all, [entry(7, NO_VCPU), exit(7, 3), exit(8, 4), entry(7, 3), entry(8, 5)]);
        assert_eq!(notes.warnings.len(), 1);
    }
}
