// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The programs that we call and the Debian packages that have them. In: a list of [`Tool`]s. Out:
//! all of them are there, or an error with the exact command to type. Installs without asking only
//! where that cannot ask either: as root, or when `sudo -n` works. Never here: what they are for.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A program from a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// In PATH, or an absolute path: that of a library's header.
    program: &'static str,
    package: &'static str,
    /// Whether `program-NUMBER` will do as well, as Debian names LLVM's tools.
    numbered: bool,
}

/// The virtual machine.
pub const QEMU: Tool = Tool { program: "qemu-system-x86_64", package: "qemu-system-x86", numbered: false };
/// What rustc links with.
pub const GCC: Tool = Tool { program: "cc", package: "gcc", numbered: false };
/// The linker that takes an address for the text; also objcopy and strip.
pub const BINUTILS: Tool = Tool { program: "ld.bfd", package: "binutils", numbered: false };
/// Takes packages apart.
pub const DPKG: Tool = Tool { program: "dpkg-deb", package: "dpkg", numbered: false };
/// Takes the kernel out of its package.
pub const TAR: Tool = Tool { program: "tar", package: "tar", numbered: false };
/// The resolver that ours is compared with.
pub const LLVM_SYMBOLIZER: Tool = Tool { program: "llvm-symbolizer", package: "llvm", numbered: true };
/// GNU's resolver, beside it in the bench.
pub const ADDR2LINE: Tool = Tool { program: "addr2line", package: "binutils", numbered: false };
/// That of elfutils, where it is installed.
pub const EU_ADDR2LINE: Tool = Tool { program: "eu-addr2line", package: "elfutils", numbered: false };

/// Kbuild's.
const MAKE: Tool = Tool { program: "make", package: "make", numbered: false };
const FLEX: Tool = Tool { program: "flex", package: "flex", numbered: false };
const BISON: Tool = Tool { program: "bison", package: "bison", numbered: false };
const BC: Tool = Tool { program: "bc", package: "bc", numbered: false };
const XZ: Tool = Tool { program: "xz", package: "xz-utils", numbered: false };
const LIBELF: Tool = Tool { program: "/usr/include/libelf.h", package: "libelf-dev", numbered: false };
const LIBSSL: Tool = Tool { program: "/usr/include/openssl/ssl.h", package: "libssl-dev", numbered: false };

/// A recorder to compare with.
const PERF: Tool = Tool { program: "perf", package: "linux-perf", numbered: false };

/// For the tree of commits in which regressions are planted.
const GIT: Tool = Tool { program: "git", package: "git", numbered: false };

/// Outside readers of what we export, and Python's environments for others ([`crate::python`]).
const BABELTRACE: Tool = Tool { program: "babeltrace2", package: "babeltrace2", numbered: false };
const UFTRACE: Tool = Tool { program: "uftrace", package: "uftrace", numbered: false };
const TRACE_CMD: Tool = Tool { program: "trace-cmd", package: "trace-cmd", numbered: false };
const CALLGRIND: Tool = Tool { program: "callgrind_annotate", package: "valgrind", numbered: false };
const CHROMIUM: Tool = Tool { program: "chromium", package: "chromium", numbered: false };
const JAVA: Tool = Tool { program: "java", package: "default-jre-headless", numbered: false };
const PYTHON: Tool = Tool { program: "python3", package: "python3", numbered: false };
const VENV: Tool =
    Tool { program: "/usr/lib/python3.11/ensurepip/__init__.py", package: "python3.11-venv", numbered: false };

/// What a demo calls.
pub const DEMO: &[Tool] = &[QEMU, GCC, BINUTILS, DPKG, TAR];
/// What tests and bench call.
pub const TEST: &[Tool] = &[
    QEMU,
    GCC,
    BINUTILS,
    DPKG,
    TAR,
    LLVM_SYMBOLIZER,
    MAKE,
    FLEX,
    BISON,
    BC,
    XZ,
    LIBELF,
    LIBSSL,
    GIT,
    BABELTRACE,
    UFTRACE,
    TRACE_CMD,
    PERF,
    CALLGRIND,
    CHROMIUM,
    JAVA,
    PYTHON,
    VENV,
];
/// What `bench micro` boots.
pub const MICRO: &[Tool] = &[QEMU, GCC, BINUTILS, DPKG, TAR, PERF, BABELTRACE];
/// What takes pictures.
pub const PICTURES: &[Tool] = &[CHROMIUM];
/// What builds a kernel.
pub const KERNEL: &[Tool] = &[GCC, BINUTILS, DPKG, TAR, MAKE, FLEX, BISON, BC, XZ, LIBELF, LIBSSL];

/// What builds kernels of many commits.
pub const PLANTED: &[Tool] = &[GCC, BINUTILS, DPKG, TAR, MAKE, FLEX, BISON, BC, XZ, LIBELF, LIBSSL, GIT];

impl Tool {
    /// Where the program is.
    pub fn find(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let plain = directories.iter().map(|directory| directory.join(self.program)).find(|file| file.is_file());
        if plain.is_some() || !self.numbered {
            return plain;
        }
        let number = |name: &str| name.strip_prefix(self.program)?.strip_prefix('-')?.parse::<u32>().ok();
        directories
            .iter()
            .filter_map(|directory| std::fs::read_dir(directory).ok())
            .flatten()
            .flatten()
            .filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path())))
            .max()
            .map(|(_, path)| path)
    }
}

/// Makes sure that all `tools` are there.
///
/// # Errors
/// With the command to type, when something is missing and cannot be installed from here.
pub fn ensure(tools: &[Tool]) -> Result<()> {
    let packages = missing(tools);
    if packages.is_empty() {
        return Ok(());
    }
    let command = format!("apt-get install --no-install-recommends -y {}", packages.join(" "));
    eprintln!("missing: {}; running: {command}", packages.join(", "));
    let mut arguments = vec!["install", "--no-install-recommends", "-y", "-q"];
    arguments.extend(&packages);
    // The lists of a fresh machine may be empty or old: then the installation fails, and only then
    // is it worth the time to fetch them.
    if !apt_get(&arguments)? {
        eprintln!("fetching the package lists first: apt-get update");
        if !apt_get(&["update", "-q"])? || !apt_get(&arguments)? {
            bail!("`{command}` failed; its messages are above");
        }
    }
    let still = missing(tools);
    if !still.is_empty() {
        bail!("installed, but programs of these packages are still not in PATH: {}", still.join(", "));
    }
    Ok(())
}

fn missing(tools: &[Tool]) -> Vec<&'static str> {
    tools.iter().filter(|tool| tool.find().is_none()).map(|tool| tool.package).collect()
}

/// Runs apt-get as root; whether it succeeded.
///
/// # Errors
/// When we are not root and may not become it without a password, or there is no apt-get.
pub fn apt_get(arguments: &[&str]) -> Result<bool> {
    // SAFETY: geteuid has no arguments, no memory effects and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    let mut command = if root {
        Command::new("apt-get")
    } else if sudo_works() {
        let mut command = Command::new("sudo");
        command.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    } else {
        bail!(
            "not root, and sudo wants a password; run this yourself, then try again:\n    sudo apt-get {}",
            arguments.join(" ")
        );
    };
    let status = command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        // apt's chatter is progress, not a result.
        .stdout(std::io::stderr())
        .status()
        .with_context(|| {
            format!(
                "cannot run apt-get; on a system other than Debian install by hand what `apt-get {}` would",
                arguments.join(" ")
            )
        })?;
    Ok(status.success())
}

fn sudo_works() -> bool {
    Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
