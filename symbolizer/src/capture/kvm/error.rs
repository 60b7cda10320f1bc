// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Why a host's events cannot be recorded, and what to do.

use std::io;
use std::path::PathBuf;

/// See the module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KvmError {
    /// There is no KVM.
    #[error(
        "/dev/kvm: {0}. Hypercalls are seen by KVM's tracepoints only: load kvm-intel or kvm-amd (is virtualization on in the firmware, or nested, if this is a guest?)"
    )]
    NoKvm(io::Error),
    /// No tracefs.
    #[error(
        "{}: {cause}. The tracepoints are described there; as root: mount -t tracefs tracefs /sys/kernel/tracing", .path.display()
    )]
    NoTracefs {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A tracepoint is missing.
    #[error("{}: {cause}. The tracepoint comes with the module kvm: modprobe kvm; a kernel without CONFIG_TRACEPOINTS has none", .path.display())]
    NoTracepoint {
        /// Its description.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A tracepoint is described in another way than we understand.
    #[error("{}: {what}; this kernel's tracepoint is not understood", .path.display())]
    Format {
        /// Its description.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// We may not record.
    #[error(
        "the host's tracepoints may not be recorded by this user (kernel.perf_event_paranoid is {paranoid}): run it as root, or with CAP_PERFMON (setcap cap_perfmon,cap_dac_read_search,cap_ipc_lock+ep), or choose --channel ram"
    )]
    NotAllowed {
        /// The setting.
        paranoid: String,
    },
    /// The kernel refuses otherwise.
    #[error("perf_event_open for {event} on CPU {cpu}: {cause}{}", if .cause.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) { "; up to four files for each CPU are needed: raise `ulimit -n`" } else { "" })]
    Open {
        /// The event.
        event: &'static str,
        /// The host's CPU.
        cpu: u32,
        /// What the system says.
        cause: io::Error,
    },
    /// The kernel takes no BPF programs of ours.
    #[error(
        "BPF, {what}: {cause}. It wants root or CAP_BPF and CAP_PERFMON, Linux 5.8 or later with CONFIG_BPF_EVENTS, and no namespace of processes; choose --recorder perf, which wants less"
    )]
    Bpf {
        /// Of what.
        what: &'static str,
        /// What the system says.
        cause: io::Error,
    },
    /// No memory for the ring.
    #[error(
        "the ring of {bytes} bytes for CPU {cpu}: {cause}. Memory that is locked for it is limited for whoever has no CAP_IPC_LOCK: run it as root, or raise `ulimit -l` or kernel.perf_event_mlock_kb"
    )]
    Ring {
        /// The host's CPU.
        cpu: u32,
        /// Its size.
        bytes: usize,
        /// What the system says.
        cause: io::Error,
    },
}
