// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Why an image cannot be traced, for the user: what, where, and what to do.

use std::path::PathBuf;

/// An image cannot be read, cannot be traced, or its copy cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InjectError {
    /// The file cannot be read or written.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Not an ELF file at all.
    #[error("{}: not an ELF file; a vmlinux is needed (Debian: package linux-image-$(uname -r)-dbg, /usr/lib/debug/boot/)", .0.display())]
    NotElf(PathBuf),
    /// A compressed kernel.
    #[error("{}: a compressed bzImage; the uncompressed vmlinux of the same build is needed (Debian: package linux-image-$(uname -r)-dbg, /usr/lib/debug/boot/; own builds: `vmlinux` at the top of the build tree)", .0.display())]
    BzImage(PathBuf),
    /// Another machine's kernel.
    #[error("{path}: a kernel for {machine}; only x86-64 kernels can be traced", path = path.display())]
    Machine {
        /// The file.
        path: PathBuf,
        /// Its machine.
        machine: String,
    },
    /// Damaged or unusual ELF.
    #[error("{path}: {what}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Stripped.
    #[error("{}: has no symbols; take the vmlinux before it was stripped (Debian: package linux-image-$(uname -r)-dbg)", .0.display())]
    NoSymbols(PathBuf),
    /// Symbols that are needed are missing.
    #[error("{path}: symbols are missing: {names}; {hint}", path = path.display(), names = names.join(", "))]
    MissingSymbols {
        /// The file.
        path: PathBuf,
        /// Which.
        names: Vec<String>,
        /// What this most likely means.
        hint: &'static str,
    },
    /// No debug information, or not about what is needed.
    #[error("{path}: no debug information about {what}; take a vmlinux with DWARF (CONFIG_DEBUG_INFO=y; Debian: package linux-image-$(uname -r)-dbg) or BTF (CONFIG_DEBUG_INFO_BTF=y)", path = path.display())]
    NoDebugInfo {
        /// The file.
        path: PathBuf,
        /// `struct task_struct`, or a field of it.
        what: String,
    },
    /// Cannot be booted uncompressed.
    #[error("{}: has no PVH entry (Xen note 18): QEMU cannot boot it uncompressed; build it with CONFIG_PVH=y", .0.display())]
    NoPvhNote(PathBuf),
    /// The call sites are nops in the file.
    #[error("{path}: no live call sites: {nops} of {sites} are nops in the file, so that a hooked __fentry__ would never fire ({cause}); rebuild without it", path = path.display())]
    NoLiveSites {
        /// The file.
        path: PathBuf,
        /// Sites listed in `__mcount_loc`.
        sites: usize,
        /// Of them nops.
        nops: usize,
        /// `clang` or `-mnop-mcount`.
        cause: &'static str,
    },
    /// A place in the code does not look as it must to be patched.
    #[error("{path}: {place}: {what}; this kernel is laid out in a way that the injector does not know", path = path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// The function.
        place: String,
        /// What was expected.
        what: String,
    },
    /// The guest object does not link for this kernel.
    #[error(transparent)]
    Link(#[from] crate::link::LinkError),
    /// The region does not fit.
    #[error("{what}")]
    NoRoom {
        /// How much is needed, how much there is, and what to do.
        what: String,
    },
}
