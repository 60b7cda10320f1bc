// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A host with real KVM, without hardware for it: QEMU's TCG emulates AMD's SVM, so that Debian's kernel in it (L1) can
//! run guests of its own (L2). In: a shell script and files, as if a user had them on such a host. Out: its console, and
//! what the script left in /out. Never here: what is recorded there.
//!
//! L1 is Debian's cloud kernel with an initial RAM disk of busybox, the kernel's kvm modules, trace-cmd, perf, and, where
//! asked for, QEMU with its libraries ([`base`]). The script runs as root, in /in, with tracefs and debugfs mounted and
//! kvm loaded; /out goes to the host as a tar on a raw disk. One CPU unless asked: with two, time stamp counters flap.

pub mod base;
pub mod nested;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::initrd::Archive;
use crate::steps::Steps;
use crate::workspace;

/// Bytes that /out may have.
const ROOM: u64 = 512 << 20;

/// The line behind which nothing comes but the script's exit code.
const ENDED: &str = "testbed: script ended with ";

/// A prepared L1.
#[derive(Clone, Debug)]
pub struct Testbed {
    packages: base::Packages,
    parts: Vec<PathBuf>,
    cpus: u32,
    memory_mib: u32,
    arguments: Vec<OsString>,
}

/// What a script did.
#[derive(Clone, Debug)]
pub struct Output {
    /// What it wrote to stdout and stderr, and what its kernel said.
    pub console: String,
    /// What it left in /out, by path there.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Output {
    /// A file of /out.
    ///
    /// # Errors
    /// When there is none.
    pub fn file(&self, name: &str) -> Result<&[u8]> {
        let found = self.files.get(name).map(Vec::as_slice);
        found.with_context(|| {
            let names: Vec<&str> = self.files.keys().map(String::as_str).collect();
            format!("the script left no {name}, but: {}; its console:\n{}", names.join(", "), self.console)
        })
    }

    /// Writes all of /out to a directory.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn save(&self, directory: &Path) -> Result<()> {
        for (name, bytes) in &self.files {
            let path = directory.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
            }
            std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

impl Testbed {
    /// With busybox, trace-cmd and perf; from the cache, or built now.
    ///
    /// # Errors
    /// When Debian's archive or the disk fails.
    pub fn new(steps: &Steps) -> Result<Self> {
        let packages = base::packages(steps)?;
        let tools = base::tools(&packages)?;
        Ok(Self { packages, parts: vec![tools], cpus: 1, memory_mib: 1024, arguments: Vec::new() })
    }

    /// The same, and QEMU: for whole kernels as L2.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn with_qemu(mut self) -> Result<Self> {
        self.parts.push(base::qemu()?);
        self.memory_mib = 3072;
        Ok(self)
    }

    /// The same, and LTTng with its modules; [`crate::lttng::start`] is the first line of a script that uses it.
    ///
    /// # Errors
    /// When Debian's archive, the compiler or the disk fails.
    pub fn with_lttng(mut self, steps: &Steps) -> Result<Self> {
        self.parts.push(base::lttng(steps)?);
        Ok(self)
    }

    /// The same with so many CPUs. With more than one the TSC offset of guests flaps: not for tests of clocks.
    pub fn with_cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// The same under icount: L1's time stamp counter, and those of all guests in it, count L1's instructions.
    pub fn with_icount(mut self) -> Self {
        self.arguments.extend(["-icount", "shift=0,sleep=off"].map(OsString::from));
        self
    }

    /// The same with an ivshmem device whose memory is this file: its size a power of two, of at least 1 MiB. In L1 it is
    /// `/sys/bus/pci/devices/*/resource2` of the device 0x1110, of several in the order in which they were added.
    pub fn with_shared(mut self, file: &Path, size: u64) -> Self {
        let id = format!("shared{}", self.arguments.len());
        // QEMU takes two commas for one.
        let path = file.display().to_string().replace(',', ",,");
        let object = format!("memory-backend-file,id={id},share=on,size={size},mem-path={path}");
        self.arguments
            .extend(["-object", &object, "-device", &format!("ivshmem-plain,memdev={id}")].map(OsString::from));
        self
    }

    /// L1's kernel, for guests of it.
    pub fn kernel(&self) -> &Path {
        &self.packages.vmlinuz
    }

    /// An initial RAM disk for a guest of L1 that has guests of its own: busybox, kvm, `files` in /in; it runs `script`
    /// there and powers off.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn nested(&self, script: &str, files: &[(&str, &Path)]) -> Result<Vec<u8>> {
        base::nested(&self.packages, script, files)
    }

    /// Runs `script`, with `files` in /in under their names, all of them executable.
    ///
    /// # Errors
    /// When L1 does not boot, the script fails, or it has not ended after `limit`.
    pub fn run(&self, script: &str, files: &[(&str, &Path)], limit: Duration) -> Result<Output> {
        let work = Scratch::new()?;
        let mut archive = Archive::default();
        archive.directory("in");
        for (name, path) in files {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            archive.file(&format!("in/{name}"), &bytes);
        }
        archive.file("in/.script", script.as_bytes());
        let mut initrd = std::fs::File::create(work.path("initrd"))?;
        for part in &self.parts {
            let mut part = std::fs::File::open(part).with_context(|| format!("cannot read {}", part.display()))?;
            std::io::copy(&mut part, &mut initrd)?;
        }
        std::io::Write::write_all(&mut initrd, &archive.finish())?;
        drop(initrd);
        std::fs::File::create(work.path("disk"))?.set_len(ROOM)?;

        let console = self.boot(&work, limit)?;
        let status = console.rsplit_once(ENDED).and_then(|(_, rest)| rest.split_whitespace().next());
        match status {
            Some("0") => {}
            Some(code) => bail!("the script in the test bed ended with code {code}; its console:\n{console}"),
            None => bail!("the test bed did not get to the end of its script; its console:\n{console}"),
        }
        let out = work.path("out");
        std::fs::create_dir(&out)?;
        let unpacked = Command::new("tar")
            .args(["--extract", "--no-same-owner", "--file"])
            .arg(work.path("disk"))
            .arg("--directory")
            .arg(&out)
            .stdin(Stdio::null())
            .status()
            .context("cannot run tar")?;
        if !unpacked.success() {
            bail!("the test bed's results are no tar; its console:\n{console}");
        }
        let mut files = BTreeMap::new();
        gather(&out, &out, &mut files)?;
        Ok(Output { console, files })
    }

    fn boot(&self, work: &Scratch, limit: Duration) -> Result<String> {
        let console = work.path("console");
        // On a busy machine the emulated timer may be too late for the kernel's checks of it: they are left out.
        // As fast as it gets: one thread for all CPUs, a CPU model with SVM.
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-M", "q35", "-accel", "tcg,thread=single", "-cpu", "max", "-nodefaults", "-display", "none"])
            .args(["-no-reboot", "-smp", &self.cpus.to_string(), "-m", &format!("{}M", self.memory_mib)])
            .arg("-kernel")
            .arg(&self.packages.vmlinuz)
            .arg("-initrd")
            .arg(work.path("initrd"))
            .args(["-append", "console=ttyS0 quiet panic=-1 nokaslr mitigations=off no_timer_check tsc=reliable"])
            .arg("-drive")
            .arg(format!("file={},format=raw,if=none,id=out", work.path("disk").display()))
            .args(["-device", "virtio-blk-pci,drive=out", "-serial"])
            .arg(format!("file:{}", console.display()))
            .args(&self.arguments)
            .stdin(Stdio::null());
        let mut child = command.spawn().context("cannot run qemu-system-x86_64")?;
        let began = Instant::now();
        let ended = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if began.elapsed() > limit {
                let _ = child.kill();
                child.wait()?;
                break None;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let text = String::from_utf8_lossy(&std::fs::read(&console).unwrap_or_default()).replace('\r', "");
        match ended {
            Some(status) if status.success() => Ok(text),
            Some(status) => bail!("QEMU ended with {status}; the test bed's console:\n{text}"),
            None => bail!("the test bed has not ended after {} s; its console:\n{text}", limit.as_secs()),
        }
    }
}

/// What `cargo xtask testbed` is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// QEMU with its libraries.
    pub qemu: bool,
    /// LTTng.
    pub lttng: bool,
    /// Time counts instructions.
    pub icount: bool,
    /// CPUs.
    pub cpus: u32,
}

/// `cargo xtask testbed`: runs a script with files of the user's.
///
/// # Errors
/// When it fails.
pub fn command(
    script: &Path,
    files: &[(String, PathBuf)],
    parts: &Parts,
    out: Option<&Path>,
    limit: Duration,
) -> Result<bool> {
    let steps = Steps::default();
    let bed = Testbed::new(&steps)?.with_cpus(parts.cpus);
    let bed = if parts.lttng { bed.with_lttng(&steps)? } else { bed };
    let bed = if parts.qemu { bed.with_qemu()? } else { bed };
    let bed = if parts.icount { bed.with_icount() } else { bed };
    let script = std::fs::read_to_string(script).with_context(|| format!("cannot read {}", script.display()))?;
    let work = Scratch::new()?;
    let program = work.path("hypercalls");
    hypercalls(&program)?;
    let mut given: Vec<(&str, &Path)> = files.iter().map(|(name, path)| (&**name, &**path)).collect();
    given.push(("hypercalls", &program));
    steps.step("booting the test bed");
    let output = bed.run(&script, &given, limit)?;
    steps.step("done");
    print!("{}", output.console);
    if let Some(out) = out {
        output.save(out)?;
    }
    Ok(true)
}

/// Our recorder as a program for L1 (`symbolizer/examples/host_record.rs`), of this profile of cargo's; EFT_HOST_RECORD
/// names one that is built already.
///
/// # Errors
/// When it cannot be built.
pub fn recorder(profile: &str) -> Result<PathBuf> {
    if let Some(built) = std::env::var_os("EFT_HOST_RECORD") {
        return Ok(built.into());
    }
    let built = workspace::cargo()
        .args(["build", "--profile", profile, "--package", "symbolizer", "--features", "parquet"])
        .args(["--example", "host_record"])
        .status()
        .context("cannot run cargo")?;
    if !built.success() {
        bail!("the recorder cannot be built; cargo's messages are above");
    }
    let directory = if profile == "dev" { "debug" } else { profile };
    Ok(workspace::target().join(directory).join("examples/host_record"))
}

/// A kernel as a host without debug information has it, with symbols and BTF: small enough for L1.
///
/// # Errors
/// When objcopy fails.
pub fn slimmed(vmlinux: &Path, to: &Path) -> Result<()> {
    let mut strip = Command::new("objcopy");
    strip.args(["--remove-section=.debug_*", "--remove-section=.rela*"]).arg(vmlinux).arg(to);
    let status = strip.status().context("cannot run objcopy")?;
    if !status.success() {
        bail!("objcopy {}: {status}; its message is above", vmlinux.display());
    }
    Ok(())
}

/// Compiles the program that makes hypercalls (`tests/guest/hypercalls.rs`) to `path`; it needs no libraries.
///
/// # Errors
/// When the compiler fails.
pub fn hypercalls(path: &Path) -> Result<()> {
    let source = workspace::root().join("tests/guest/hypercalls.rs");
    let status = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition=2024", "-Copt-level=1", "-Ctarget-feature=+crt-static", "-Cstrip=symbols", "-o"])
        .arg(path)
        .arg(&source)
        .stdin(Stdio::null())
        .status()
        .context("cannot run rustc")?;
    if !status.success() {
        bail!("rustc cannot build {}; its messages are above", source.display());
    }
    Ok(())
}

/// The file that it reads: numbers and arguments.
pub fn calls(calls: impl IntoIterator<Item = [u64; 5]>) -> Vec<u8> {
    calls.into_iter().flatten().flat_map(u64::to_le_bytes).collect()
}

fn gather(root: &Path, directory: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(root, &path, files)?;
        } else if path.is_file() {
            let name = path.strip_prefix(root)?.display().to_string();
            files.insert(name, std::fs::read(&path)?);
        }
    }
    Ok(())
}

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("early-ftrace-testbed-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
