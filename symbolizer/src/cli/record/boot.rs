// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! One boot, recorded: in the user's virtual machine, or of a guest that runs already. In: the arguments, and which
//! kernel of them goes where ([`Shot`]). Out: a trace directory, and its [`Meta`]. Never here: many boots.

use super::super::progress::{self, Printer};
use super::guest::{Memory, hex, meta_of, unix_time, wait_for_kernel};
use super::{Args, Overflow, RING_MIB, readable, ring_bytes};
use super::{channel, hypercall};
use anyhow::{Context, bail};
use kernel_config::{Injected, Policy};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use symbolizer::capture::drain::Drainer;
use symbolizer::capture::ending::{Ending, FUNCTIONS};
use symbolizer::capture::port::Port;
use symbolizer::capture::qemu_args::{self, Boot, Request};
use symbolizer::capture::region::{RamFile, SharedRegion};
use symbolizer::capture::session::Session;
use symbolizer::capture::stream::{self, Recorder};
use symbolizer::capture::vmm::{Vmm, Watch};
use symbolizer::capture::{CaptureError, icount, session};
use symbolizer::trace_dir::{Ended, Existing, Meta, TraceWriter};

/// What of the arguments is booted, and where its trace goes.
#[derive(Clone, Copy, Debug)]
pub struct Shot<'a> {
    /// The kernel to trace.
    pub vmlinux: &'a Path,
    /// What QEMU boots, of a kernel that has the tracer built in.
    pub kernel: Option<&'a Path>,
    /// Initial RAM disk.
    pub initrd: Option<&'a Path>,
    /// Kernel command line.
    pub append: &'a str,
    /// Where its trace goes.
    pub to: Target<'a>,
}

/// Where a trace goes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its directory.
    pub output: &'a Path,
    /// If one stands there.
    pub existing: Existing,
    /// How much is said.
    pub voice: Voice,
}

/// What is said of a boot on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// What was added to the command, and what came of it.
    Full,
    /// What was added; what came of it says who wanted many boots.
    Added,
    /// Only what went wrong.
    Brief,
}

/// The user's machine.
struct Machine {
    request: Request,
    /// What of it is not in the guest's time; none unless `--deterministic`.
    outside: Vec<String>,
}

/// A recording that begins.
struct Recording<'a> {
    vmlinux: Option<&'a Path>,
    to: Target<'a>,
    ram: RamFile,
    region: SharedRegion,
    meta: Meta,
    watch: Watch,
    /// The boot is deterministic, and ends here.
    ending: Option<Ending>,
}

/// Drains a guest that runs already; the exit code.
pub fn attach(args: &Args, path: &Path, existing: Existing, signals: Arc<AtomicUsize>) -> anyhow::Result<u8> {
    let ram = RamFile::open(path)?;
    let region = ram.find()?;
    let meta = Meta { started_at: unix_time(), ..meta_of(&region) };
    eprintln!(
        "symbolize: attached to kernel {} at {:#x} of {}; Ctrl-C ends the recording",
        meta.release,
        region.header().region_phys,
        path.display()
    );
    let watch = Watch::new(None, signals, args.timeout);
    let to = Target { output: &args.output, existing, voice: Voice::Full };
    let recording = Recording { vmlinux: None, to, ram, region, meta, watch, ending: None };
    record(args, recording).map(|_| 0)
}

/// Boots and records; none if it was stopped before anything was recorded.
pub fn boot(args: &Args, shot: &Shot<'_>, signals: &Arc<AtomicUsize>) -> anyhow::Result<Option<Meta>> {
    // Said once of many boots.
    let told = shot.to.voice == Voice::Brief;
    if !told && super::super::options::complain(shot.append)? && !args.unchecked_options {
        bail!(
            "--append: not all of it is understood; nothing was booted. `symbolize options --help` lists the parts; \
             --unchecked-options goes on without what is wrong"
        );
    }
    let machine = machine(args)?;
    readable(&[Some(shot.vmlinux), shot.kernel, shot.initrd])?;
    if !told {
        warn_of(&machine);
    }
    if kernel_config::is_in_tree(shot.vmlinux)? {
        return boot_in_tree(args, shot, &machine, signals);
    }
    if let Some(kernel) = shot.kernel {
        bail!(
            "--kernel {}: {} was built without CONFIG_HYPERGRAPH, so a traced copy of it is booted; leave --kernel out",
            kernel.display(),
            shot.vmlinux.display()
        );
    }
    let request = &machine.request;
    let channel = channel::wanted(args, shot.append)?;
    let temp = tempfile::Builder::new().prefix("symbolize-").tempdir().context("cannot make a temporary directory")?;
    let kernel = temp.path().join("vmlinux.traced");
    let ring_mib = if args.deterministic { icount::ring_mib(request) } else { RING_MIB };
    let options = kernel_config::Options {
        cpus: request.cpus,
        ring_bytes: ring_bytes(args.ring_mib.unwrap_or(ring_mib))?,
        policy: policy(args, shot),
        ram_bytes: Some(request.memory),
        command_line: shot.append.as_bytes().to_vec(),
        sees_ram: channel.sees_ram(),
        ..kernel_config::Options::default()
    };
    let injected = kernel_config::inject(shot.vmlinux, &kernel, &options)
        .with_context(|| format!("{}: cannot be traced", shot.vmlinux.display()))?;
    let mut added_words = injected.command_line.clone();
    added_words.extend((!channel.word.is_empty()).then(|| channel.word.to_owned()));
    let added_words = added_words.join(" ");
    let command_line = [shot.append, &added_words].join(" ").trim().to_string();

    if args.recorder.is_some() && channel.channel != bootlevel::Channel::Hypercall {
        bail!("--recorder: how the host sees hypercalls is asked of --channel hypercall only; leave it out");
    }
    if channel.channel == bootlevel::Channel::Hypercall {
        if args.ram_file.is_some() {
            bail!("--ram-file: with --channel hypercall nothing is shared with the guest; leave one of them out");
        }
        let boot = Boot { kernel: &kernel, command_line: &command_line, initrd: shot.initrd, ram_file: None };
        let added = added(args, request, &boot);
        if !told {
            announce(&injected, &added_words, &added);
        }
        let meta = Meta {
            release: injected.release,
            build_id: hex(&injected.build_id),
            command_line: command_line.clone(),
            command_line_added: added_words,
            sites: injected.sites as u64,
            hooked: injected.hooked as u64,
            vmm: whole(args, &added),
            started_at: unix_time(),
            vmlinux: absolute(Some(shot.vmlinux)),
            cpus: request.cpus,
            ..Meta::default()
        };
        return hypercall::record(args, shot, meta, &added, signals).map(Some);
    }
    let port = channel.port(args, temp.path())?;
    let memory = channel.memory(args, request, injected.region_size, temp.path())?;
    let ram_file = channel.sees_ram().then(|| memory.path());
    let boot = Boot { kernel: &kernel, command_line: &command_line, initrd: shot.initrd, ram_file };
    let mut added = added(args, request, &boot);
    added.extend(channel.device(request, &memory));
    added.extend(port.as_ref().map(Port::arguments).unwrap_or_default());
    if !told {
        announce(&injected, &added_words, &added);
    }
    let ram = memory.open()?;
    let ending = ending(args, &machine, shot.vmlinux)?;
    let started_at = unix_time();
    let mut watch = start(args, &added, signals)?;
    // A device's memory begins as the region does.
    let place = if channel.sees_ram() { injected.region_phys } else { 0 };
    let found = wait_for_kernel(|| ram.region_at(place), &mut watch).map_err(|error| channel.in_vain(error))?;
    let Some(region) = found else {
        eprintln!("symbolize: stopped before the kernel ran; nothing was recorded");
        return Ok(None);
    };
    let meta = Meta {
        release: injected.release,
        build_id: hex(&injected.build_id),
        command_line,
        command_line_added: added_words,
        sites: injected.sites as u64,
        hooked: injected.hooked as u64,
        vmm: whole(args, &added),
        started_at,
        ..meta_of(&region)
    };
    let vmlinux = Some(shot.vmlinux);
    if let Some(port) = port {
        return record_port(args, shot, port, &region, meta, watch).map(Some);
    }
    record(args, Recording { vmlinux, to: shot.to, ram, region, meta, watch, ending }).map(Some)
}

/// Takes the trace from the port until the guest or the user ends it.
fn record_port(
    args: &Args,
    shot: &Shot<'_>,
    mut port: Port,
    region: &SharedRegion,
    meta: Meta,
    mut watch: Watch,
) -> anyhow::Result<Meta> {
    let to = shot.to;
    let path = std::path::absolute(shot.vmlinux).unwrap_or_default();
    let meta = Meta { vmlinux: path.display().to_string(), ..meta };
    TraceWriter::check(to.output, to.existing)?;
    let command_line = meta.command_line.clone();
    let mut recorder = Recorder::new(to.output, to.existing, meta);
    let mut printer = Printer::new(args.progress);
    let run = port.record(
        &mut recorder,
        || watch.poll(),
        |recorder, elapsed| {
            let (mut events, mut bytes) = (0, 0);
            for count in recorder.writer().map(|writer| writer.counts()).into_iter().flatten() {
                events += count.events;
                bytes += count.bytes;
            }
            printer.print(session::Progress { events, bytes, elapsed, ..session::Progress::default() });
        },
    );
    printer.clear();
    let (ended, failed) = outcome(run, &mut watch);
    recorder.warn(stream::refused(&command_line, &region.header_now()));
    let finished = recorder.finish(ended);
    if let Some(error) = failed {
        return Err(anyhow::Error::from(error).context("the recording ended early"));
    }
    let meta = finished.context("the recording could not be ended in order")?;
    match to.voice {
        Voice::Full => progress::summary(&meta, to.output, Some(shot.vmlinux)),
        Voice::Added | Voice::Brief => progress::warnings(&meta),
    }
    Ok(meta)
}

/// A kernel that has the tracer built in: boots it as it is, and finds its memory.
fn boot_in_tree(
    args: &Args,
    shot: &Shot<'_>,
    machine: &Machine,
    signals: &Arc<AtomicUsize>,
) -> anyhow::Result<Option<Meta>> {
    if args.ring_mib.is_some() {
        bail!(
            "--ring-mib: {} has the tracer built in, with rings as CONFIG_HYPERGRAPH_SIZE_MIB says; nothing was booted",
            shot.vmlinux.display()
        );
    }
    if args.overflow.is_some() {
        bail!(
            "--overflow: {} has the tracer built in and reads its command line only; nothing was booted. \
             Say --append hypergraph=overflow:drop",
            shot.vmlinux.display()
        );
    }
    let channel = channel::wanted(args, shot.append)?;
    if channel.channel == bootlevel::Channel::Hypercall {
        bail!(
            "{} has the tracer built in: its hypercalls are recorded by other tools. Boot it with \
             hypergraph=channel:hypercall under trace-cmd or perf (kvm:kvm_exit, kvm:kvm_entry, kvm:kvm_hypercall), and \
             give what they wrote to symbolize import; or leave --channel and channel: out. Nothing was booted",
            shot.vmlinux.display()
        );
    }
    if !channel.sees_ram() {
        bail!(
            "{} has the tracer built in, whose memory is part of the kernel's: its events cannot go to a device's. \
             Leave --channel and channel: out; nothing was booted",
            shot.vmlinux.display()
        );
    }
    let asked = shot.append.split_ascii_whitespace().any(|word| word.starts_with("hypergraph="));
    let switch = if asked { "" } else { "hypergraph=on" };
    // Nobody has told this kernel that its RAM is seen: under KVM it would choose hypercalls.
    let said = bootlevel::Options::read(shot.append.as_bytes()).channel.is_some();
    let word = if channel.word.is_empty() && !said { "hypergraph=channel:ram" } else { channel.word };
    let added_words = [switch, word].join(" ").trim().to_string();
    let command_line = [shot.append, &added_words].join(" ").trim().to_string();
    let temp = tempfile::Builder::new().prefix("symbolize-").tempdir().context("cannot make a temporary directory")?;
    let port = channel.port(args, temp.path())?;
    let memory = Memory::make(args.ram_file.as_deref(), machine.request.memory, temp.path())?;
    let ram = memory.open()?;
    let kernel = shot.kernel.unwrap_or(shot.vmlinux);
    let boot = Boot { kernel, command_line: &command_line, initrd: shot.initrd, ram_file: Some(memory.path()) };
    let mut added = added(args, &machine.request, &boot);
    added.extend(port.as_ref().map(Port::arguments).unwrap_or_default());
    if shot.to.voice != Voice::Brief {
        eprintln!("symbolize: {}: the tracer is built in", shot.vmlinux.display());
        announce_added(&added_words, &added);
    }
    let ending = ending(args, machine, shot.vmlinux)?;
    let started_at = unix_time();
    let mut watch = start(args, &added, signals)?;
    let look = || match ram.find() {
        Ok(region) => Ok(Some(region)),
        Err(CaptureError::NoRegion { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    let Some(region) = wait_for_kernel(look, &mut watch)? else {
        eprintln!("symbolize: stopped before the kernel began to record (hypergraph=off?); nothing was recorded");
        return Ok(None);
    };
    let vmm = whole(args, &added);
    let meta = Meta { command_line, command_line_added: added_words, vmm, started_at, ..meta_of(&region) };
    if let Some(port) = port {
        return record_port(args, shot, port, &region, meta, watch).map(Some);
    }
    let vmlinux = Some(shot.vmlinux);
    record(args, Recording { vmlinux, to: shot.to, ram, region, meta, watch, ending }).map(Some)
}

/// What the user's command asks for.
fn machine(args: &Args) -> anyhow::Result<Machine> {
    let words = args.command.get(1..).unwrap_or_default();
    let request = qemu_args::read(words)?;
    let mut outside = Vec::new();
    if args.deterministic {
        icount::check(words)?;
        outside = icount::outside(words);
    }
    Ok(Machine { request, outside })
}

/// Before a boot that may not repeat.
fn warn_of(machine: &Machine) {
    for what in &machine.outside {
        eprintln!(
            "symbolize: warning: --deterministic: a {what} answers in the host's time: boots may differ, and the trace \
             is not marked as deterministic"
        );
    }
}

/// What stands behind the user's arguments.
fn added(args: &Args, request: &Request, boot: &Boot<'_>) -> Vec<OsString> {
    let mut added = qemu_args::added(request, boot);
    if args.deterministic {
        added.extend(icount::added(args.command.get(1..).unwrap_or_default()));
    }
    added
}

pub(super) fn start(args: &Args, added: &[OsString], signals: &Arc<AtomicUsize>) -> anyhow::Result<Watch> {
    let vmm = Vmm::spawn(&args.command, added, std::io::stderr())?;
    let watch = Watch::new(Some(vmm), Arc::clone(signals), args.timeout);
    Ok(if args.deterministic { watch.with_brake() } else { watch })
}

/// The whole command, for the trace.
fn whole(args: &Args, added: &[OsString]) -> Vec<String> {
    args.command.iter().chain(added).map(|arg| arg.to_string_lossy().into_owned()).collect()
}

/// What is to happen when a ring is full.
fn policy(args: &Args, shot: &Shot<'_>) -> Policy {
    let asked = bootlevel::Options::read(shot.append.as_bytes()).overflow.map(|overflow| match overflow {
        bootlevel::Overflow::Wait => Overflow::Wait,
        bootlevel::Overflow::Drop => Overflow::Drop,
    });
    args.overflow.or(asked).unwrap_or(Overflow::Wait).policy()
}

/// Says what the user's command was extended by, so that it can be done by hand.
fn announce(injected: &Injected, words: &str, added: &[OsString]) {
    eprintln!("symbolize: kernel {}: {} of {} call sites hooked", injected.release, injected.hooked, injected.sites);
    announce_added(words, added);
}

fn announce_added(words: &str, added: &[OsString]) {
    if !words.is_empty() {
        eprintln!("symbolize: added to the kernel command line: {words}");
    }
    let added: Vec<_> = added.iter().map(|arg| super::super::quoted(&arg.to_string_lossy())).collect();
    eprintln!("symbolize: added to the command: {}", added.join(" "));
}

/// Where a boot of this kernel ends, if nothing speaks against boots that are the same.
fn ending(args: &Args, machine: &Machine, vmlinux: &Path) -> anyhow::Result<Option<Ending>> {
    if !args.deterministic || !machine.outside.is_empty() {
        return Ok(None);
    }
    let image = kernel_config::image::Image::open(vmlinux)?;
    let text = image.symbol("_stext").map_or(0, |symbol| symbol.address);
    let functions = FUNCTIONS.iter().filter_map(|name| image.symbol(name)?.address.checked_sub(text));
    Ok(Some(Ending { functions: functions.collect() }))
}

/// How a recording ended; a machine that nobody records any more is stopped.
pub(super) fn outcome(run: Result<Ended, CaptureError>, watch: &mut Watch) -> (Ended, Option<CaptureError>) {
    match run {
        Ok(ended) => (ended, None),
        Err(error) => {
            if let Some(vmm) = watch.vmm() {
                vmm.stop();
            }
            (Ended::Died { detail: format!("the recorder could not go on: {error}") }, Some(error))
        }
    }
}

/// A path as it is found from anywhere.
fn absolute(path: Option<&Path>) -> String {
    let path = path.and_then(|path| std::path::absolute(path).ok());
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

/// Drains until the guest or the user ends it; what is known of it then.
fn record(args: &Args, recording: Recording<'_>) -> anyhow::Result<Meta> {
    let Recording { vmlinux, to, ram, region, meta, mut watch, ending } = recording;
    // Where it is found again by those who compare boots.
    let meta = Meta { vmlinux: absolute(vmlinux), ..meta };
    // The rings first: the guest runs already.
    let deterministic = ending.is_some();
    let drainer = Drainer::new(region);
    let drainer = match ending {
        Some(ending) => drainer.ending_at(ending),
        None => drainer,
    };
    let writer = TraceWriter::create(to.output, &meta, to.existing)?;
    let mut session = Session { ram, drainer, writer, meta, deterministic };
    let mut printer = Printer::new(args.progress);
    let over = |fill| {
        watch.brake(fill);
        watch.poll()
    };
    let run = session.run::<CaptureError>(over, |progress: session::Progress| printer.print(progress));
    printer.clear();
    let (ended, failed) = outcome(run, &mut watch);
    let finished = session.finish(ended);
    if let Some(error) = failed {
        return Err(anyhow::Error::from(error).context("the recording ended early"));
    }
    let meta = finished.context("the recording could not be ended in order")?;
    match to.voice {
        Voice::Full => progress::summary(&meta, to.output, vmlinux),
        Voice::Added | Voice::Brief => progress::warnings(&meta),
    }
    if let Some(why) = icount::broken(&meta).filter(|_| deterministic) {
        eprintln!("symbolize: warning: --deterministic: {why}: another boot may differ, and the trace is not marked");
    }
    Ok(meta)
}
