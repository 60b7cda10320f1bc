// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize record`: boots a traced copy of a kernel in the user's virtual machine and writes what
//! it does to a trace directory; or, with `--attach`, drains a guest that runs already.

use super::overhead;
use super::progress::Printer;
use anyhow::{Context, bail};
use early_ftrace_format::shared::CHUNK_SIZE;
use kernel_config::{Injected, Policy};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use symbolizer::capture::drain::Drainer;
use symbolizer::capture::qemu_args::{self, Boot, Request};
use symbolizer::capture::region::{RamFile, SharedRegion};
use symbolizer::capture::session::Session;
use symbolizer::capture::vmm::{Vmm, Watch};
use symbolizer::capture::{CaptureError, session};
use symbolizer::trace_dir::meta::{RegionMeta, TRACE_VERSION};
use symbolizer::trace_dir::{Ended, Existing, Meta, TraceWriter};

/// Of each CPU's ring, unless `--ring-mib` says otherwise.
const RING_MIB: u32 = 8;

/// The traced kernel must be in the guest's memory after this time.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// A header may be half there while QEMU loads the image; after this time it is damaged.
const LOAD_PATIENCE: Duration = Duration::from_millis(500);

/// Arguments of `symbolize record`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  symbolize record --vmlinux vmlinux --initrd initrd.img --append console=ttyS0 \\\n    -- qemu-system-x86_64 -M q35 -m 1G -nographic\n\n  A kernel built with CONFIG_HYPERGRAPH is booted as it is, with KASLR as a bzImage:\n  symbolize record --vmlinux vmlinux --kernel arch/x86/boot/bzImage -- qemu-system-x86_64 -m 1G"
)]
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
    /// File for the guest's memory, kept afterwards (default: a temporary one in /dev/shm)
    #[arg(long, value_name = "PATH", conflicts_with = "attach")]
    ram_file: Option<PathBuf>,
    /// Drain a guest that runs already; PATH is its memory-backend-file
    #[arg(long, value_name = "PATH", conflicts_with_all = ["vmlinux", "command"])]
    attach: Option<PathBuf>,
    /// Boot once more with levels alone recorded, to OUTPUT/untraced: what `report --correct` compares with
    #[arg(long, conflicts_with = "attach")]
    untraced_too: bool,
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
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    TraceWriter::check(&args.output, existing)?;
    let signals = signals()?;
    match &args.attach {
        Some(ram) => attach(&args, ram, existing, signals),
        None => {
            let code = boot(&args, existing, Arc::clone(&signals))?;
            // Who stopped the first boot wants no other.
            if code != 0 || !args.untraced_too || signals.load(Ordering::Relaxed) > 0 {
                return Ok(code);
            }
            eprintln!("symbolize: once more, with levels alone recorded");
            let again = Args { output: overhead::untraced(&args.output), append: levels_alone(&args.append), ..args };
            TraceWriter::check(&again.output, existing)?;
            boot(&again, existing, signals)
        }
    }
}

/// The same command line for a boot that is not slowed down by tracing.
fn levels_alone(line: &str) -> String {
    let others = line.split_ascii_whitespace().filter(|word| !word.starts_with("hypergraph="));
    others.chain(["hypergraph=events:initcall"]).collect::<Vec<_>>().join(" ")
}

/// Counts Ctrl-C and requests to terminate from here on.
fn signals() -> anyhow::Result<Arc<AtomicUsize>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let mut signals =
        signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM, SIGXFSZ]).context("cannot catch Ctrl-C")?;
    std::thread::spawn(move || {
        // A file that grows beyond the limit is an error of the write; the signal says nothing more.
        for _ in signals.forever().filter(|&signal| signal != SIGXFSZ) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    Ok(count)
}

fn attach(args: &Args, path: &Path, existing: Existing, signals: Arc<AtomicUsize>) -> anyhow::Result<u8> {
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
    record(args, existing, ram, region, meta, watch, None)
}

fn boot(args: &Args, existing: Existing, signals: Arc<AtomicUsize>) -> anyhow::Result<u8> {
    let vmlinux = args.vmlinux.as_deref().context("--vmlinux is missing")?;
    if super::options::complain(&args.append)? && !args.unchecked_options {
        bail!(
            "--append: not all of it is understood; nothing was booted. `symbolize options --help` lists the parts; \
             --unchecked-options goes on without what is wrong"
        );
    }
    let request = qemu_args::read(args.command.get(1..).unwrap_or_default())?;
    for path in [Some(vmlinux), args.kernel.as_deref(), args.initrd.as_deref()].into_iter().flatten() {
        std::fs::File::open(path).with_context(|| format!("{}: cannot open it", path.display()))?;
    }
    if kernel_config::is_in_tree(vmlinux)? {
        return boot_in_tree(args, vmlinux, &request, existing, signals);
    }
    if let Some(kernel) = &args.kernel {
        bail!(
            "--kernel {}: {} was built without CONFIG_HYPERGRAPH, so a traced copy of it is booted; leave --kernel out",
            kernel.display(),
            vmlinux.display()
        );
    }
    let temp = tempfile::Builder::new().prefix("symbolize-").tempdir().context("cannot make a temporary directory")?;
    let kernel = temp.path().join("vmlinux.traced");
    let options = kernel_config::Options {
        cpus: request.cpus,
        ring_bytes: ring_bytes(args.ring_mib.unwrap_or(RING_MIB))?,
        policy: policy(args),
        ram_bytes: Some(request.memory),
        command_line: args.append.clone().into_bytes(),
        ..kernel_config::Options::default()
    };
    let injected = kernel_config::inject(vmlinux, &kernel, &options)
        .with_context(|| format!("{}: cannot be traced", vmlinux.display()))?;
    let added_words = injected.command_line.join(" ");
    let command_line = [args.append.as_str(), &added_words].join(" ").trim().to_string();

    let (ram_path, _remove) = ram_file(args.ram_file.as_deref(), request.memory, temp.path())?;
    let ram = RamFile::open(&ram_path)?;
    let boot =
        Boot { kernel: &kernel, command_line: &command_line, initrd: args.initrd.as_deref(), ram_file: &ram_path };
    let added = qemu_args::added(&request, &boot);
    announce(&injected, &added_words, &added);
    let started_at = unix_time();
    let vmm = Vmm::spawn(&args.command, &added, std::io::stderr())?;
    let mut watch = Watch::new(Some(vmm), signals, args.timeout);
    let Some(region) = wait_for_kernel(|| ram.region_at(injected.region_phys), &mut watch)? else {
        eprintln!("symbolize: stopped before the kernel ran; nothing was recorded");
        return Ok(2);
    };
    let vmm = args.command.iter().chain(&added).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let meta = Meta {
        release: injected.release,
        build_id: hex(&injected.build_id),
        command_line,
        command_line_added: added_words,
        sites: injected.sites as u64,
        hooked: injected.hooked as u64,
        vmm,
        started_at,
        ..meta_of(&region)
    };
    record(args, existing, ram, region, meta, watch, Some(vmlinux))
}

/// A kernel that has the tracer built in: boots it as it is, and finds its memory.
fn boot_in_tree(
    args: &Args,
    vmlinux: &Path,
    request: &Request,
    existing: Existing,
    signals: Arc<AtomicUsize>,
) -> anyhow::Result<u8> {
    if args.ring_mib.is_some() {
        bail!(
            "--ring-mib: {} has the tracer built in, with rings as CONFIG_HYPERGRAPH_SIZE_MIB says; nothing was booted",
            vmlinux.display()
        );
    }
    if args.overflow.is_some() {
        bail!(
            "--overflow: {} has the tracer built in and reads its command line only; nothing was booted. \
             Say --append hypergraph=overflow:drop",
            vmlinux.display()
        );
    }
    let asked = args.append.split_ascii_whitespace().any(|word| word.starts_with("hypergraph="));
    let added_words = if asked { "" } else { "hypergraph=on" };
    let command_line = [args.append.as_str(), added_words].join(" ").trim().to_string();
    let temp = tempfile::Builder::new().prefix("symbolize-").tempdir().context("cannot make a temporary directory")?;
    let (ram_path, _remove) = ram_file(args.ram_file.as_deref(), request.memory, temp.path())?;
    let ram = RamFile::open(&ram_path)?;
    let kernel = args.kernel.as_deref().unwrap_or(vmlinux);
    let boot = Boot { kernel, command_line: &command_line, initrd: args.initrd.as_deref(), ram_file: &ram_path };
    let added = qemu_args::added(request, &boot);
    eprintln!("symbolize: {}: the tracer is built in", vmlinux.display());
    announce_added(added_words, &added);
    let started_at = unix_time();
    let vmm = Vmm::spawn(&args.command, &added, std::io::stderr())?;
    let mut watch = Watch::new(Some(vmm), signals, args.timeout);
    let look = || match ram.find() {
        Ok(region) => Ok(Some(region)),
        Err(CaptureError::NoRegion { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    let Some(region) = wait_for_kernel(look, &mut watch)? else {
        eprintln!("symbolize: stopped before the kernel began to record (hypergraph=off?); nothing was recorded");
        return Ok(2);
    };
    let vmm = args.command.iter().chain(&added).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let meta = Meta { command_line, command_line_added: added_words.into(), vmm, started_at, ..meta_of(&region) };
    record(args, existing, ram, region, meta, watch, Some(vmlinux))
}

/// What is to happen when a ring is full.
fn policy(args: &Args) -> Policy {
    let asked = bootlevel::Options::read(args.append.as_bytes()).overflow.map(|overflow| match overflow {
        bootlevel::Overflow::Wait => Overflow::Wait,
        bootlevel::Overflow::Drop => Overflow::Drop,
    });
    args.overflow.or(asked).unwrap_or(Overflow::Wait).policy()
}

/// What the header in the shared memory says.
fn meta_of(region: &SharedRegion) -> Meta {
    let header = region.header();
    let end = header.release.iter().position(|&byte| byte == 0).unwrap_or(header.release.len());
    let id = header.build_id.get(..header.build_id_len as usize).unwrap_or(&header.build_id);
    Meta {
        format_version: TRACE_VERSION,
        words_version: header.version,
        tool: concat!("symbolize ", env!("CARGO_PKG_VERSION")).into(),
        release: String::from_utf8_lossy(&header.release[..end]).into_owned(),
        build_id: hex(id),
        text_start: header.text_start,
        cpus: header.cpus,
        region: RegionMeta {
            phys: header.region_phys,
            virt: header.region_virt,
            size: header.region_size,
            ring_bytes: u64::from(header.chunks_per_cpu) * CHUNK_SIZE,
            overflow: if header.policy == early_ftrace_format::shared::POLICY_WAIT { "wait" } else { "drop" }.into(),
        },
        ..Meta::default()
    }
}

/// The file for the guest's memory, and what removes it at the end if it is temporary.
fn ram_file(named: Option<&Path>, size: u64, temp: &Path) -> anyhow::Result<(PathBuf, Option<tempfile::TempPath>)> {
    let (path, remove) = match named {
        Some(path) => (path.to_path_buf(), None),
        None => {
            let shm = Path::new("/dev/shm");
            let room = rustix::fs::statvfs(shm).is_ok_and(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) >= size);
            let dir = if room { shm } else { temp };
            let file = tempfile::Builder::new()
                .prefix("symbolize-ram-")
                .tempfile_in(dir)
                .with_context(|| format!("{}: cannot make the guest's RAM file", dir.display()))?;
            let path = file.into_temp_path();
            (path.to_path_buf(), Some(path))
        }
    };
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
    file.and_then(|file| file.set_len(size))
        .with_context(|| format!("{}: cannot make the guest's RAM file of {size} bytes", path.display()))?;
    Ok((path, remove))
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
    let added: Vec<_> = added.iter().map(|arg| super::quoted(&arg.to_string_lossy())).collect();
    eprintln!("symbolize: added to the command: {}", added.join(" "));
}

/// Waits until QEMU has loaded the traced kernel; `None` when it was told to stop before.
fn wait_for_kernel(
    look: impl Fn() -> Result<Option<SharedRegion>, CaptureError>,
    watch: &mut Watch,
) -> anyhow::Result<Option<SharedRegion>> {
    let began = Instant::now();
    let mut damaged_since = None;
    loop {
        match look() {
            Ok(Some(region)) => return Ok(Some(region)),
            Ok(None) => damaged_since = None,
            Err(error) => {
                if damaged_since.get_or_insert_with(Instant::now).elapsed() > LOAD_PATIENCE {
                    return Err(error.into());
                }
            }
        }
        if let Some(ended) = watch.poll()? {
            // It may have run in the moment between the two looks.
            if let Ok(Some(region)) = look() {
                return Ok(Some(region));
            }
            let status = watch.vmm().map(|vmm| vmm.poll()).transpose()?.flatten();
            return match (ended, watch.vmm().zip(status)) {
                (Ended::Stopped { .. }, _) | (_, None) => Ok(None),
                (_, Some((vmm, status))) => Err(vmm.refused(status).into()),
            };
        }
        if began.elapsed() > START_PATIENCE {
            return Err(CaptureError::NoStart { seconds: START_PATIENCE.as_secs() }.into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn record(
    args: &Args,
    existing: Existing,
    ram: RamFile,
    region: SharedRegion,
    meta: Meta,
    mut watch: Watch,
    vmlinux: Option<&Path>,
) -> anyhow::Result<u8> {
    // Where it is found again by those who compare boots.
    let path = vmlinux.and_then(|path| std::path::absolute(path).ok());
    let meta = Meta { vmlinux: path.map(|path| path.display().to_string()).unwrap_or_default(), ..meta };
    // The rings first: the guest runs already.
    let drainer = Drainer::new(region);
    let writer = TraceWriter::create(&args.output, &meta, existing)?;
    let mut session = Session { ram, drainer, writer, meta };
    let mut printer = Printer::new(args.progress);
    let run = session.run::<CaptureError>(|| watch.poll(), |progress: session::Progress| printer.print(progress));
    printer.clear();
    let (ended, failed) = match run {
        Ok(ended) => (ended, None),
        Err(error) => (Ended::Died { detail: format!("the recorder could not go on: {error}") }, Some(error)),
    };
    if failed.is_some()
        && let Some(vmm) = watch.vmm()
    {
        vmm.stop();
    }
    let finished = session.finish(ended);
    if let Some(error) = failed {
        return Err(anyhow::Error::from(error).context("the recording ended early"));
    }
    let meta = finished.context("the recording could not be ended in order")?;
    super::progress::summary(&meta, &args.output, vmlinux);
    Ok(0)
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
