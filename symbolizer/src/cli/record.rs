// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize record`: boots a traced copy of a kernel in the user's virtual machine and writes what
//! it does to a trace directory; or, with `--attach`, drains a guest that runs already. In: arguments.
//! Out: an exit code. [`boot`] boots and records once ([`guest`]: its memory; [`channel`]: where
//! events go; [`hypercall`]: by the host's tracepoints), [`repeat`] many times; [`spread`] is what many
//! boots can tell. Never here: QEMU's arguments.

mod boot;
mod channel;
mod guest;
mod hypercall;
mod repeat;
mod spread;

use super::overhead;
use anyhow::{Context, bail};
use boot::{Shot, Target, Voice};
use kernel_config::Policy;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use symbolizer::capture::kvm::Way;
use symbolizer::trace_dir::{Existing, TraceWriter};

/// Of each CPU's ring, unless `--ring-mib` says otherwise.
const RING_MIB: u32 = 8;

const EXAMPLES: &str = "\
Examples:
  symbolize record --vmlinux vmlinux --initrd initrd.img --append console=ttyS0 \\
    -- qemu-system-x86_64 -M q35 -m 1G -nographic

  A kernel built with CONFIG_HYPERGRAPH is booted as it is, with KASLR as a bzImage:
  symbolize record --vmlinux vmlinux --kernel arch/x86/boot/bzImage -- qemu-system-x86_64 -m 1G

  Through the debug port, which a crash leaves nothing behind in; one level of the boot, since it is slow:
  symbolize record --channel port --append hypergraph=filter:late --vmlinux vmlinux -- qemu-system-x86_64

  Two boots that differ in nothing but what has changed in the kernel:
  symbolize record --deterministic --vmlinux old/vmlinux -o old/trace --initrd initrd.img -- QEMU...
  symbolize record --deterministic --vmlinux new/vmlinux -o new/trace --initrd initrd.img -- QEMU...
  symbolize diff old/trace new/trace

  The recorder sees none of the guest's memory but that of a device:
  symbolize record --channel ivshmem --vmlinux vmlinux --initrd initrd.img -- qemu-system-x86_64 -M q35 -m 1G

  The guest makes hypercalls; the host's KVM, as it is, tells of them and of all other exits:
  sudo symbolize record --channel hypercall --vmlinux vmlinux -- qemu-system-x86_64 -accel kvm -cpu host -m 1G
  sudo symbolize record --channel hypercall --recorder perf --vmlinux vmlinux -- qemu-system-x86_64 -accel kvm -m 1G

  Ten boots of each of two kernels in real time, in turn, in boots/a and boots/b:
  symbolize record --repeat 10 --vmlinux old/vmlinux --against new/vmlinux -o boots -- QEMU...

Under --deterministic time is instructions: no boot is slower because the host was busy, and caches, memory and
devices cost nothing. Two boots of a kernel agree to the last byte, if nothing comes from outside of the guest:
leave out disks (-drive), networks (-netdev, -nic) and what else answers in the host's time; put files into the
initrd; type nothing into the console, and read what it prints. It works best with one CPU.";

/// Arguments of `symbolize record`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The kernel to trace: an uncompressed vmlinux with symbols; it is not changed
    #[arg(long, required_unless_present = "attach")]
    vmlinux: Option<PathBuf>,
    /// What QEMU boots, of a kernel built with CONFIG_HYPERGRAPH: its bzImage, for one [default: the vmlinux]
    #[arg(long, conflicts_with = "attach")]
    kernel: Option<PathBuf>,
    /// Directory to write the trace to
    #[arg(short, long, default_value = "trace")]
    output: PathBuf,
    /// Kernel command line; what tracing needs is added
    #[arg(long, default_value = "", allow_hyphen_values = true, conflicts_with = "attach")]
    append: String,
    /// Initial RAM disk
    #[arg(long, conflicts_with = "attach")]
    initrd: Option<PathBuf>,
    /// Size of each CPU's ring in MiB, a power of two [default: 8, or as a kernel with the tracer built in has it]
    #[arg(long, conflicts_with = "attach")]
    ring_mib: Option<u32>,
    /// Go on although hypergraph= on the command line is not understood: what is wrong is left out
    #[arg(long, conflicts_with = "attach")]
    unchecked_options: bool,
    /// What an event does that finds its ring full [default: as overflow: of hypergraph= says, or wait]
    #[arg(long, value_enum, conflicts_with = "attach")]
    overflow: Option<Overflow>,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Where events go: ram; the memory of a device that is added to QEMU: ivshmem, pmem; port: bytes through QEMU's
    /// debug console (slow: a write for each); hypercall: seen by the host's KVM, as root [default: as channel: of
    /// hypergraph= says, or ram]
    #[arg(long, value_name = "CHANNEL", value_parser = channel::parse, conflicts_with = "attach")]
    channel: Option<bootlevel::Channel>,
    /// How the host sees hypercalls [default: bpf, where the kernel allows it; else perf]
    #[arg(long, value_enum, value_name = "HOW")]
    recorder: Option<Recorder>,
    /// File for the guest's memory or, with --channel, the device's, kept afterwards (default: a temporary one in /dev/shm)
    #[arg(long, value_name = "PATH", conflicts_with = "attach")]
    ram_file: Option<PathBuf>,
    /// Drain a guest that runs already; PATH is its memory-backend-file, or that of its ivshmem or pmem device
    #[arg(long, value_name = "PATH", conflicts_with_all = ["vmlinux", "command"])]
    attach: Option<PathBuf>,
    /// Boot once more with levels alone recorded, to OUTPUT/untraced: what `report --correct` compares with
    #[arg(long, conflicts_with = "attach")]
    untraced_too: bool,
    /// Count instructions as time (QEMU's icount): two boots of one kernel agree to the last byte; see below
    #[arg(long, conflicts_with = "attach")]
    deterministic: bool,
    #[command(flatten)]
    repeat: repeat::Args,
    /// Replace a trace that stands at the output already
    #[arg(long)]
    force: bool,
    /// Print the progress as plain lines, even when stderr is no terminal
    #[arg(long)]
    progress: bool,
    /// The virtual machine: QEMU and its arguments
    #[arg(last = true, required_unless_present = "attach", value_name = "QEMU")]
    command: Vec<OsString>,
}

/// See [`Way`].
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
pub enum Recorder {
    /// Each exit, hypercall and entry through perf's rings
    Perf,
    /// Put together in the kernel: cheaper; needs CAP_BPF beside CAP_PERFMON
    Bpf,
}

impl Recorder {
    /// For the recorder.
    pub fn way(self) -> Way {
        match self {
            Recorder::Perf => Way::Perf,
            Recorder::Bpf => Way::Bpf,
        }
    }
}

/// See [`Policy`].
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
pub enum Overflow {
    /// Wait for the recorder, for a bounded time
    Wait,
    /// Be lost, and counted
    Drop,
}

impl Overflow {
    /// For the injector.
    pub fn policy(self) -> Policy {
        match self {
            Overflow::Wait => Policy::Wait,
            Overflow::Drop => Policy::Drop,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "expected a number of seconds above 0".into())
}

/// Bytes of a ring, if it is one.
pub fn ring_bytes(mib: u32) -> anyhow::Result<u64> {
    if !mib.is_power_of_two() || mib > 4096 {
        bail!("--ring-mib {mib}: expected a power of two up to 4096");
    }
    Ok(u64::from(mib) << 20)
}

/// Runs it; the exit code: 0 if a valid trace was left.
pub fn run(args: Args) -> anyhow::Result<u8> {
    if args.repeat.wanted() {
        return repeat::run(&args, &signals()?);
    }
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    TraceWriter::check(&args.output, existing)?;
    let signals = signals()?;
    if let Some(ram) = &args.attach {
        return boot::attach(&args, ram, existing, signals);
    }
    let vmlinux = args.vmlinux.as_deref().context("--vmlinux is missing")?;
    let shot = Shot {
        vmlinux,
        kernel: args.kernel.as_deref(),
        initrd: args.initrd.as_deref(),
        append: &args.append,
        to: Target { output: &args.output, existing, voice: Voice::Full },
    };
    // Who stopped the first boot wants no other.
    let done = boot::boot(&args, &shot, &signals)?;
    if done.is_none() || !args.untraced_too || signals.load(Ordering::Relaxed) > 0 {
        return Ok(if done.is_some() { 0 } else { 2 });
    }
    eprintln!("symbolize: once more, with levels alone recorded");
    let (output, append) = (overhead::untraced(&args.output), levels_alone(&args.append));
    TraceWriter::check(&output, existing)?;
    let done =
        boot::boot(&args, &Shot { append: &append, to: Target { output: &output, ..shot.to }, ..shot }, &signals)?;
    Ok(if done.is_some() { 0 } else { 2 })
}

/// The same command line for a boot that is not slowed down by tracing.
fn levels_alone(line: &str) -> String {
    let others = line.split_ascii_whitespace().filter(|word| !word.starts_with("hypergraph="));
    others.chain(["hypergraph=events:initcall"]).collect::<Vec<_>>().join(" ")
}

/// Counts Ctrl-C and requests to terminate from here on.
fn signals() -> anyhow::Result<Arc<AtomicUsize>> {
    // A file that grows beyond the limit is an error of the write; the signal says nothing more.
    super::signals::count(&[signal_hook::consts::SIGXFSZ])
}

/// Errors name the file that cannot be opened, before anything is made.
fn readable(paths: &[Option<&Path>]) -> anyhow::Result<()> {
    for path in paths.iter().copied().flatten() {
        std::fs::File::open(path).with_context(|| format!("{}: cannot open it", path.display()))?;
    }
    Ok(())
}
