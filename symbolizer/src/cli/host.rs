// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the host has seen, beside a trace. In: a trace directory. Out: its events in the guest's time, for whoever
//! runs through the calls. A file that cannot be read is a warning: the guest's own trace is whole without it. Never
//! here: sums.

use symbolizer::calltree::exits::Lane;
use symbolizer::host::axes::{self, Axes};
use symbolizer::host::file::HostFile;
use symbolizer::host::placed::Places;
use symbolizer::trace_dir::TraceDir;

/// The file, and the way to the guest's time.
#[derive(Debug)]
pub struct Host {
    /// The file.
    pub file: HostFile,
    /// By vCPU.
    pub axes: Axes,
    /// CPUs of the guest.
    cpus: usize,
}

impl Host {
    /// Opens it, if the trace has one.
    pub fn open(trace: &TraceDir) -> Option<Host> {
        let (khz, cpus) = (trace.meta().tsc_khz, trace.meta().cpus as usize);
        match HostFile::open(trace.path()) {
            Ok(file) => file.map(|file| Host { axes: axes::axes(&file, khz), file, cpus }),
            Err(error) => {
                anstream::eprintln!("symbolize: warning: {error}");
                None
            }
        }
    }

    /// By CPU of the guest: the events of each vCPU whose place is known.
    pub fn lanes(&self) -> impl Iterator<Item = (u32, Lane<'_>)> {
        let lane = |vcpu, axis| Box::new(Places::new(self.file.events(vcpu), axis)) as Lane<'_>;
        let vcpus = self.file.vcpus();
        self.axes.by_vcpu.iter().map(move |(&vcpu, axis)| (guest_cpu(&vcpus, self.cpus, vcpu), lane(vcpu, axis)))
    }
}

/// The guest's CPU that a vCPU is, of all those of the host's file. KVM's number is QEMU's APIC ID
/// (target/i386/kvm/kvm.c, kvm_arch_vcpu_id), in which there are holes where a socket has not 2^n CPUs; Linux counts them in
/// their order.
fn guest_cpu(vcpus: &[u32], cpus: usize, vcpu: u32) -> u32 {
    let holes = vcpus.iter().any(|&vcpu| vcpu as usize >= cpus);
    match vcpus.iter().position(|&one| one == vcpu) {
        Some(rank) if holes && vcpus.len() == cpus => rank as u32,
        _ => vcpu,
    }
}

#[cfg(test)]
mod tests {
    use super::guest_cpu;

    #[test]
    fn a_vcpu_with_holes_before_it_is_the_next_cpu() {
        // -smp 6,sockets=2,cores=3
        let apic = [0, 1, 2, 4, 5, 6];
        assert_eq!(apic.map(|vcpu| guest_cpu(&apic, 6, vcpu)), [0, 1, 2, 3, 4, 5]);
        assert_eq!([0, 3].map(|vcpu| guest_cpu(&[0, 3], 4, vcpu)), [0, 3]);
        assert_eq!([0, 9].map(|vcpu| guest_cpu(&[0, 9], 4, vcpu)), [0, 9]);
    }
}
