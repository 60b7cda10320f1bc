// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Events of the host, before and after aggregation. In: nothing. Out: types. Times are in the recorder's clock, of which
//! the trace says what it is.

/// One event of a host tracepoint, as any recorder has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw {
    /// When.
    pub time: u64,
    /// The host CPU.
    pub cpu: u32,
    /// The thread (common_pid): vCPUs migrate between CPUs, threads do not change.
    pub thread: u32,
    /// What.
    pub kind: RawKind,
}

/// What a host tracepoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawKind {
    /// kvm:kvm_exit.
    Exit {
        /// The vCPU, where the kernel says so.
        vcpu: Option<u32>,
        /// 1: VMX, 2: SVM.
        isa: u32,
        /// exit_reason.
        reason: u32,
        /// guest_rip.
        rip: u64,
        /// info1, info2.
        info: [u64; 2],
    },
    /// kvm:kvm_hypercall.
    Hypercall(Hypercall),
    /// kvm:kvm_entry.
    Entry {
        /// The vCPU.
        vcpu: u32,
        /// rip, where the kernel says so.
        rip: Option<u64>,
    },
    /// sched:sched_switch.
    Switch {
        /// Who leaves the CPU.
        prev: u32,
        /// Whether it could have run on: it was preempted.
        runnable: bool,
        /// Who comes.
        next: u32,
    },
    /// kvm:kvm_write_tsc_offset: the guest's time stamp counter is the host's plus this.
    Offset {
        /// The vCPU.
        vcpu: u32,
        /// next_tsc_offset.
        next: u64,
    },
}

/// A hypercall's number and arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hypercall {
    /// nr.
    pub number: u64,
    /// a0 to a3.
    pub args: [u64; 4],
}

/// kvm_exit, kvm_hypercall if there was one, and kvm_entry, as one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The vCPU.
    pub vcpu: u32,
    /// Its thread.
    pub thread: u32,
    /// Host CPU at the exit, and at the entry.
    pub cpus: (u32, u32),
    /// When it left the guest.
    pub time: u64,
    /// Until it entered the guest again.
    pub length: u64,
    /// 1: VMX, 2: SVM.
    pub isa: u32,
    /// exit_reason.
    pub reason: u32,
    /// Where the guest was.
    pub rip: u64,
    /// info1, info2.
    pub info: [u64; 2],
    /// The hypercall.
    pub hypercall: Option<Hypercall>,
}

/// What is kept of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// An exit and what follows, up to the entry.
    Exit(Exit),
    /// A vCPU's thread was off its CPU.
    Away {
        /// The vCPU.
        vcpu: u32,
        /// Since when.
        time: u64,
        /// How long.
        length: u64,
        /// It could have run: steal time. Else it slept, as an idle vCPU does.
        preempted: bool,
    },
    /// The guest's time stamp counter has another offset from the host's from here on.
    Offset {
        /// The vCPU.
        vcpu: u32,
        /// When.
        time: u64,
        /// The guest's counter is the host's plus this (wrapping).
        next: u64,
    },
}
