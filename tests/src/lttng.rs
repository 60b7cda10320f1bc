// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! LTTng for a kernel of Debian's that runs in QEMU: its modules, built from `lttng-modules-dkms` without dkms and
//! without root, its daemons, and the libraries that they need. In: the vmlinux of a kernel in the cache. Out: files for
//! an initial RAM disk, which stay in the cache beside a list of all that went into them. Never here: what is recorded.
//!
//! Packages are fetched and unpacked, not installed. Debian's headers lack those in arch/x86/kvm, without which
//! LTTng's Kbuild leaves its probe of KVM out: they come from the source of the same version. Only the probes in
//! `MODULES` are built. Not all of them could be: that of timers (lttng-probe-timer) of LTTng 2.13.9 does not build
//! for 6.1.192, whose tracepoint hrtimer_start has another argument more than that of 6.1 had.

use std::fmt::Write;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::kernel_build::{self, output_of};
use crate::kernels::{self, is_newer_than_lists};
use crate::steps::Steps;
use crate::{debian, tools};

/// The modules' source.
const SOURCE: &str = "lttng-modules-dkms";
/// Daemons, their libraries (the C library comes with the machine), what loads modules, and a shell.
const PROGRAMS: [&str; 11] = [
    "lttng-tools",
    "liblttng-ctl0",
    "liblttng-ust-common1",
    "liblttng-ust-ctl5",
    "liburcu8",
    "libpopt0",
    "libkmod2",
    "libxml2",
    "libicu72",
    "kmod",
    "busybox-static",
];
/// What of them is put into the RAM disk, at the same place.
const KEPT: [&str; 5] = [
    "usr/bin/lttng",
    "usr/bin/lttng-sessiond",
    "usr/lib/x86_64-linux-gnu/lttng/libexec/lttng-consumerd",
    // Without it the session daemon gives up.
    "usr/share/xml/lttng/session.xsd",
    "bin/busybox",
];
/// What of [`KEPT`] is linked with libraries.
const LINKED: usize = 3;
/// Modules in the RAM disk: those without which lttng-sessiond gives up, and the probes that we ask for.
const MODULES: [&str; 20] = [
    "lib/lttng-lib-ring-buffer",
    "lib/lttng-counter",
    "lttng-clock",
    "lttng-counter-client-percpu-32-modular",
    "lttng-counter-client-percpu-64-modular",
    "lttng-ring-buffer-client-discard",
    "lttng-ring-buffer-client-mmap-discard",
    "lttng-ring-buffer-client-mmap-overwrite",
    "lttng-ring-buffer-client-overwrite",
    "lttng-ring-buffer-event-notifier-client",
    "lttng-ring-buffer-metadata-client",
    "lttng-ring-buffer-metadata-mmap-client",
    "lttng-statedump",
    "lttng-tracer",
    "lttng-wrapper",
    "probes/lttng-kprobes",
    "probes/lttng-kretprobes",
    "probes/lttng-probe-kvm-x86",
    "probes/lttng-probe-sched",
    "probes/lttng-uprobes",
];
/// The list of all that went into a result.
const MADE_FROM: &str = "made-from";

/// The first lines of a shell script that uses LTTng: starts its session daemon, which loads modules and these probes,
/// separated by commas. For root, with busybox's programs in PATH.
pub fn start(probes: &str) -> String {
    format!(
        "mkdir -p /run /var\nln -sfn /run /var/run\nmount -t tmpfs run /run\n\
         lttng-sessiond --daemonize --kmod-probes={probes} || exit 1\n"
    )
}

/// Files for the RAM disk of a guest that runs the kernel of `vmlinux`: paths in it, and here.
///
/// # Errors
/// When the kernel is not one of Debian's in the cache, or a package, the compiler or the disk fails.
pub fn files(vmlinux: &Path, steps: &Steps) -> Result<Vec<(String, PathBuf)>> {
    let root = prepare(vmlinux, steps)?;
    let mut files = Vec::new();
    gather(&root, &root, &mut files)?;
    files.retain(|(name, _)| name != MADE_FROM);
    files.sort();
    Ok(files)
}

/// A kernel by its name and version in Debian's archive.
struct Release {
    /// Such as `6.1.0-56-cloud-amd64`.
    name: String,
    /// Such as `6.1.192-2`.
    version: String,
    /// Such as `6.1`.
    series: String,
}

impl Release {
    fn of(vmlinux: &Path) -> Result<Self> {
        let directory = vmlinux.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        let parts = directory.strip_prefix("linux-image-").and_then(|rest| rest.split_once("-dbg_"));
        let (name, version) = parts.with_context(|| {
            format!("{}: LTTng's modules are built for Debian's kernels in the cache only", vmlinux.display())
        })?;
        let mut numbers = name.splitn(3, '.');
        let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
            bail!("{name}: not a kernel's release")
        };
        Ok(Self { name: name.to_owned(), version: version.to_owned(), series: format!("{major}.{minor}") })
    }

    /// The packages with its headers, all of the kernel's version.
    fn headers(&self) -> [String; 3] {
        let common = self.name.strip_suffix("-cloud-amd64").unwrap_or(&self.name);
        [
            format!("linux-headers-{}", self.name),
            format!("linux-headers-{common}-common"),
            format!("linux-kbuild-{}", self.series),
        ]
    }
}

fn prepare(vmlinux: &Path, steps: &Steps) -> Result<PathBuf> {
    let release = Release::of(vmlinux)?;
    let cache = kernels::cache()?.join("lttng");
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    // Kept open, and so locked, until the end of this function.
    let lock = File::create(cache.join("lock"))?;
    lock.lock().with_context(|| format!("cannot lock {}", cache.display()))?;
    let result = cache.join(format!("{}_{}", release.name, release.version));
    let recorded = result.join(MADE_FROM);
    let recipe = recipe()?;
    let known = std::fs::read_to_string(&recorded).unwrap_or_default();
    if known.starts_with(&recipe) && is_newer_than_lists(&recorded) {
        return Ok(result);
    }
    let headers = release.headers();
    let mut packages = Vec::new();
    for name in [SOURCE].into_iter().chain(PROGRAMS) {
        packages.push(debian::newest_named(name)?);
    }
    for name in &headers {
        let mut package = debian::newest_named(name)?;
        if package.version != release.version {
            package.version.clone_from(&release.version);
        }
        packages.push(package);
    }
    let mut made_from = recipe;
    for package in &packages {
        let _ = writeln!(made_from, "{} {}", package.name, package.version);
    }
    if known == made_from {
        // Says that these are the newest of today's lists, for `is_newer_than_lists`.
        let _ = File::open(&result).and_then(|directory| directory.set_modified(std::time::SystemTime::now()));
        return Ok(result);
    }
    tools::ensure(tools::KERNEL)?;
    let work = cache.join(format!("{}.tmp", release.name));
    let unpacked = work.join("unpacked");
    // What an earlier build has left goes on where it ended.
    if !std::fs::read(work.join(MADE_FROM)).is_ok_and(|left| left == made_from.as_bytes()) {
        kernels::remove(&work)?;
        std::fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
        steps.step(format_args!("downloading LTTng and the headers of {}", release.name));
        for package in &packages {
            let deb = debian::download(package, &work)?;
            output_of(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(&unpacked))?;
        }
        sources(&release, &unpacked, steps)?;
        std::fs::write(work.join(MADE_FROM), &made_from)?;
    }
    let root = work.join("root");
    kernels::remove(&root)?;
    build(&release, &unpacked, &work, steps)?;
    modules(&release, &unpacked, &root)?;
    programs(&unpacked, &root)?;
    std::fs::write(root.join(MADE_FROM), made_from)?;
    kernels::remove(&result)?;
    std::fs::rename(&root, &result).with_context(|| format!("cannot move {}", root.display()))?;
    kernels::remove(&work)?;
    Ok(result)
}

/// What a result hangs on besides packages.
fn recipe() -> Result<String> {
    let compiler = output_of(Command::new("cc").arg("--version"))?;
    let compiler = compiler.lines().next().unwrap_or_default();
    Ok(format!("{compiler}\n{MODULES:?}\n{KEPT:?}\n"))
}

/// Where the modules' source lies.
fn source(unpacked: &Path) -> Result<PathBuf> {
    let sources = unpacked.join("usr/src");
    let found = std::fs::read_dir(&sources)?.flatten().map(|entry| entry.path()).find(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("lttng-modules-"))
    });
    found.with_context(|| format!("{SOURCE} has no lttng-modules-* in {}", sources.display()))
}

/// Makes headers and modules ready to be built where they lie.
fn sources(release: &Release, unpacked: &Path, steps: &Steps) -> Result<()> {
    let [headers, common, _] = release.headers();
    let (headers, common) = (unpacked.join("usr/src").join(headers), unpacked.join("usr/src").join(common));
    // The only absolute path in these packages.
    let makefile = headers.join("Makefile");
    std::fs::write(&makefile, format!("include {}/Makefile\n", common.display()))
        .with_context(|| format!("cannot write {}", makefile.display()))?;
    steps.step("unpacking the headers of KVM");
    let archive = kernel_build::archive(&release.series, steps)?;
    let version = release.version.split_once('-').map_or(&*release.version, |(upstream, _)| upstream);
    let from = archive.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !from.contains(version) {
        bail!("the archive's source is {from}, and the kernel {version}: get the newer kernel");
    }
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--xz", "--no-same-owner", "--strip-components=1", "--wildcards", "--directory"]);
    tar.arg(&common).arg("--file").arg(archive.join(kernel_build::ARCHIVE));
    output_of(tar.args(["*/arch/x86/kvm/*.h", "*/virt/kvm/*.h"]))?;
    // Behind all that Kbuild has decided: the probes that we want, of those that it would build.
    let kbuild = source(unpacked)?.join("src/probes/Kbuild");
    let wanted = MODULES.iter().filter_map(|module| module.strip_prefix("probes/"));
    let wanted: Vec<String> = wanted.map(|name| format!("{name}.o")).collect();
    let decided = std::fs::read_to_string(&kbuild).with_context(|| format!("cannot read {}", kbuild.display()))?;
    std::fs::write(&kbuild, format!("{decided}\nobj-m := $(filter {}, $(obj-m))\n", wanted.join(" ")))?;
    Ok(())
}

/// Compiles all modules.
fn build(release: &Release, unpacked: &Path, work: &Path, steps: &Steps) -> Result<()> {
    let [headers, ..] = release.headers();
    let headers = unpacked.join("usr/src").join(headers);
    steps.step("building LTTng's modules (about a minute of each CPU)");
    let log = work.join("make.log");
    let mut make = Command::new("make");
    make.arg("-C").arg(&headers).arg(format!("M={}", source(unpacked)?.display()));
    make.arg(format!("-j{}", std::thread::available_parallelism().map_or(1, usize::from)));
    make.args(["modules", "CONFIG_LTTNG=m"]).env_remove("MAKEFLAGS").stdin(Stdio::null());
    let output = make.output().context("cannot run make")?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    std::fs::write(&log, &text)?;
    if !output.status.success() {
        let wrong: Vec<&str> =
            text.lines().filter(|line| line.contains("error:") || line.starts_with("ERROR:")).take(3).collect();
        bail!("LTTng's modules do not build for {}; {} tells more: {}", release.name, log.display(), wrong.join("\n"));
    }
    Ok(())
}

/// The modules that are kept, without debug information, and the tables by which modules are found.
fn modules(release: &Release, unpacked: &Path, root: &Path) -> Result<()> {
    let (source, place) = (source(unpacked)?.join("src"), root.join("lib/modules").join(&release.name));
    std::fs::create_dir_all(place.join("extra"))?;
    for module in MODULES {
        let (from, name) = (source.join(format!("{module}.ko")), module.rsplit('/').next().unwrap_or(module));
        if !from.is_file() {
            bail!("{}: LTTng's build has left it out", from.display());
        }
        let to = place.join("extra").join(format!("{name}.ko"));
        output_of(Command::new("strip").arg("--strip-debug").arg("-o").arg(to).arg(&from))?;
    }
    // Those that are built in are not LTTng's; without these lists depmod writes empty tables, which libkmod refuses.
    for list in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        std::fs::write(place.join(list), "")?;
    }
    let mut depmod = Command::new(unpacked.join("bin/kmod"));
    // A program of many names.
    depmod.arg0("depmod").arg("-b").arg(root).arg(&release.name);
    output_of(with_libraries(&mut depmod, unpacked))?;
    Ok(())
}

/// The daemons, and the libraries that the loader finds for them.
fn programs(unpacked: &Path, root: &Path) -> Result<()> {
    for name in KEPT {
        copy(&unpacked.join(name), &root.join(name))?;
    }
    // Whose members may talk to the session daemon; without it, it complains each time that it looks.
    std::fs::create_dir_all(root.join("etc"))?;
    std::fs::write(root.join("etc/group"), "root:x:0:\ntracing:x:0:\n")?;
    for name in &KEPT[..LINKED] {
        let from = unpacked.join(name);
        let found = output_of(with_libraries(Command::new("ldd").arg(&from), unpacked))?;
        if let Some(line) = found.lines().find(|line| line.contains("not found")) {
            bail!("{}: {}; a package with it is missing in tests/src/lttng.rs", from.display(), line.trim());
        }
        for path in found.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new) {
            let name = path.file_name().context("a library without a name")?;
            let directory = if path.starts_with("/lib64") { "lib64" } else { "lib/x86_64-linux-gnu" };
            copy(path, &root.join(directory).join(name))?;
        }
    }
    Ok(())
}

/// Lets a program find the unpacked libraries.
fn with_libraries<'a>(command: &'a mut Command, unpacked: &Path) -> &'a mut Command {
    let directories = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"].map(|name| unpacked.join(name));
    command.env("LD_LIBRARY_PATH", directories.map(|path| path.display().to_string()).join(":"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(directory) = to.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn gather(root: &Path, directory: &Path, files: &mut Vec<(String, PathBuf)>) -> Result<()> {
    for entry in std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            gather(root, &path, files)?;
        } else {
            files.push((path.strip_prefix(root)?.display().to_string(), path));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_headers_are_named_after_the_kernel() {
        let path = Path::new("/cache/linux-image-6.1.0-56-cloud-amd64-dbg_6.1.192-2/vmlinux");
        let release = Release::of(path).expect("Debian's");
        assert_eq!((&*release.name, &*release.version), ("6.1.0-56-cloud-amd64", "6.1.192-2"));
        let headers = ["linux-headers-6.1.0-56-cloud-amd64", "linux-headers-6.1.0-56-common", "linux-kbuild-6.1"];
        assert_eq!(release.headers(), headers);
        assert!(Release::of(Path::new("/boot/vmlinux-6.1")).is_err());
    }
}
