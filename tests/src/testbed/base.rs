// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the test bed's initial RAM disk is made of, built once and kept in the cache under a name made of all that went
//! in. In: Debian packages (fetched and unpacked, not installed), programs of this machine with their libraries. Out:
//! cpio archives; the kernel reads several, one behind the other. Never here: scripts.

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::debian;
use crate::initrd::Archive;
use crate::kernels::{self, Kernel};
use crate::steps::Steps;

/// Series of the L1 kernel.
const SERIES: &str = "6.1";

/// Its modules, in the order in which they are loaded.
const MODULES: &[&str] = &[
    "virt/lib/irqbypass",
    "arch/x86/kvm/kvm",
    "arch/x86/kvm/kvm-amd",
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci",
    "drivers/block/virtio_blk",
];

/// Of these, those that guests of guests need.
const KVM_MODULES: usize = 3;

/// Programs of this machine that scripts may call, where they are installed.
const PROGRAMS: &[&str] = &["/usr/bin/trace-cmd", "/usr/bin/perf"];

/// QEMU, and where it looks for firmware.
const QEMU: &str = "/usr/bin/qemu-system-x86_64";
const FIRMWARE: &[&str] =
    &["bios-256k.bin", "pvh.bin", "linuxboot_dma.bin", "multiboot_dma.bin", "kvmvapic.bin", "efi-virtio.rom"];
const FIRMWARE_DIRECTORIES: &[&str] = &["/usr/share/qemu", "/usr/share/seabios"];

/// Unpacked packages.
#[derive(Clone, Debug)]
pub struct Packages {
    /// L1's kernel.
    pub vmlinuz: PathBuf,
    /// kernel/ of its modules.
    modules: PathBuf,
    /// A static busybox.
    busybox: PathBuf,
}

/// Fetches and unpacks what is not there yet.
///
/// # Errors
/// When Debian's archive or the disk fails.
pub fn packages(steps: &Steps) -> Result<Packages> {
    // The same version as the kernel with debug information that all tests use, and so no question to apt.
    let vmlinux = Kernel::Series(SERIES.into()).vmlinux(steps)?;
    let known = vmlinux.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let Some((debug, version)) = known.split_once("-dbg_") else {
        bail!("{}: not named after a package", vmlinux.display())
    };
    let cache = kernels::cache()?.join("testbed");
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    // Kept open, and so locked, until the end of this function.
    let lock = File::create(cache.join("lock"))?;
    lock.lock().context("cannot lock the test bed's cache")?;
    let image = unpacked(&cache, debug, Some(version), steps)?;
    let busybox = unpacked(&cache, "busybox-static", None, steps)?.join("bin/busybox");
    let release = debug.strip_prefix("linux-image-").unwrap_or(debug);
    Ok(Packages {
        vmlinuz: image.join(format!("boot/vmlinuz-{release}")),
        modules: image.join(format!("lib/modules/{release}/kernel")),
        busybox,
    })
}

/// The directory of a package's files.
fn unpacked(cache: &Path, name: &str, version: Option<&str>, steps: &Steps) -> Result<PathBuf> {
    let place = cache.join(match version {
        Some(version) => format!("{name}_{version}"),
        None => name.to_owned(),
    });
    if place.is_dir() {
        return Ok(place);
    }
    let mut package = debian::newest_named(name)?;
    if let Some(version) = version {
        package.version = version.to_owned();
    }
    let work = cache.join(format!("{name}.tmp"));
    kernels::remove(&work)?;
    std::fs::create_dir_all(work.join("files"))?;
    steps.step(format_args!("downloading {} {}", package.name, package.version));
    let deb = debian::download(&package, &work)?;
    let status = Command::new("dpkg-deb")
        .arg("--extract")
        .arg(&deb)
        .arg(work.join("files"))
        .stdin(Stdio::null())
        .status()
        .context("cannot run dpkg-deb")?;
    if !status.success() {
        bail!("cannot unpack {}; dpkg-deb's message is above", deb.display());
    }
    std::fs::rename(work.join("files"), &place)?;
    kernels::remove(&work)?;
    Ok(place)
}

/// Busybox, modules, init, trace-cmd and perf.
///
/// # Errors
/// When the disk fails.
pub fn tools(packages: &Packages) -> Result<PathBuf> {
    let mut contents = Contents::default();
    for directory in ["proc", "sys", "dev", "tmp", "bin", "modules", "usr", "usr/bin"] {
        contents.directories.insert(directory.into());
    }
    contents.text.push(("init".into(), include_str!("init.sh").into()));
    contents.files.insert(("bin/busybox".into(), packages.busybox.clone()));
    let mut list = String::new();
    for module in MODULES {
        let name = module.rsplit('/').next().unwrap_or(module);
        contents.files.insert((format!("modules/{name}.ko"), packages.modules.join(format!("{module}.ko"))));
        list.push_str(name);
        list.push('\n');
    }
    contents.text.push(("modules/list".into(), list));
    for program in PROGRAMS.iter().filter(|program| Path::new(program).is_file()) {
        contents.program(Path::new(program))?;
    }
    contents.write("tools")
}

/// What a guest of L1 needs to have guests of its own: busybox, kvm's modules, `files` in /in, and `script`, which its
/// init runs there. See `nested.sh`.
///
/// # Errors
/// When a file cannot be read.
pub fn nested(packages: &Packages, script: &str, files: &[(&str, &Path)]) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in ["proc", "sys", "dev", "tmp", "bin", "modules", "in"] {
        archive.directory(directory);
    }
    archive.file("init", include_str!("nested.sh").as_bytes());
    archive.file("in/.script", script.as_bytes());
    let modules = MODULES.iter().take(KVM_MODULES);
    let name = |module: &str| format!("modules/{}.ko", module.rsplit('/').next().unwrap_or(module));
    let modules = modules.map(|module| (name(module), packages.modules.join(format!("{module}.ko"))));
    let files = files.iter().map(|(name, path)| (format!("in/{name}"), path.to_path_buf()));
    let busybox = [("bin/busybox".to_owned(), packages.busybox.clone())];
    for (name, path) in busybox.into_iter().chain(modules).chain(files) {
        archive.file(&name, &std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(archive.finish())
}

/// QEMU with its libraries and firmware.
///
/// # Errors
/// When there is no QEMU here.
pub fn qemu() -> Result<PathBuf> {
    let mut contents = Contents::default();
    contents.program(Path::new(QEMU))?;
    for name in FIRMWARE {
        let found = FIRMWARE_DIRECTORIES.iter().map(|directory| Path::new(directory).join(name));
        if let Some(path) = found.into_iter().find(|path| path.is_file()) {
            contents.add(&format!("usr/share/qemu/{name}"), &path);
        }
    }
    contents.write("qemu")
}

/// LTTng's daemons, libraries and modules for the L1 kernel ([`crate::lttng`]).
///
/// # Errors
/// When a package, the compiler or the disk fails.
pub fn lttng(steps: &Steps) -> Result<PathBuf> {
    let vmlinux = Kernel::Series(SERIES.into()).vmlinux(steps)?;
    let mut contents = Contents::default();
    for (name, path) in crate::lttng::files(&vmlinux, steps)? {
        contents.add(&name, &path);
    }
    contents.write("lttng")
}

/// Files of an archive before it is written.
#[derive(Default)]
struct Contents {
    directories: BTreeSet<String>,
    files: BTreeSet<(String, PathBuf)>,
    text: Vec<(String, String)>,
}

impl Contents {
    fn add(&mut self, name: &str, path: &Path) {
        let mut above = name;
        while let Some((directory, _)) = above.rsplit_once('/') {
            self.directories.insert(directory.to_owned());
            above = directory;
        }
        self.files.insert((name.to_owned(), path.to_owned()));
    }

    /// A program of this machine and the libraries that it is linked with, at the same places.
    fn program(&mut self, program: &Path) -> Result<()> {
        self.add(&inside(program), program);
        let output = Command::new("ldd").arg(program).stdin(Stdio::null()).output().context("cannot run ldd")?;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            // `name => path (address)`, or `path (address)` for the loader.
            let path = line.split_whitespace().find(|word| word.starts_with('/'));
            if let Some(path) = path {
                self.add(&inside(Path::new(path)), Path::new(path));
            }
        }
        Ok(())
    }

    /// The archive in the cache.
    fn write(self, name: &str) -> Result<PathBuf> {
        let mut hash = DefaultHasher::new();
        self.text.hash(&mut hash);
        for (name, path) in &self.files {
            let metadata = path.metadata().with_context(|| format!("cannot read {}", path.display()))?;
            (name, path, metadata.len(), metadata.modified()?).hash(&mut hash);
        }
        let cache = kernels::cache()?.join("testbed");
        let place = cache.join(format!("{name}-{:016x}.cpio", hash.finish()));
        if place.is_file() {
            return Ok(place);
        }
        let mut archive = Archive::default();
        for directory in &self.directories {
            archive.directory(directory);
        }
        for (name, text) in &self.text {
            archive.file(name, text.as_bytes());
        }
        for (name, path) in &self.files {
            archive.file(name, &std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
        }
        // Whole, or not there: two processes may build it at once.
        let work = cache.join(format!("{name}-{}.tmp", std::process::id()));
        std::fs::write(&work, archive.finish()).with_context(|| format!("cannot write {}", work.display()))?;
        std::fs::rename(&work, &place)?;
        Ok(place)
    }
}

/// `/usr/bin/x` as `usr/bin/x`.
fn inside(path: &Path) -> String {
    path.display().to_string().trim_start_matches('/').to_owned()
}
