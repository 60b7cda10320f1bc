// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From addresses to names, files and lines. In: a vmlinux and .ko files. Out: what a site's function is called and
//! where its source is. Never here: traces, printing.
//!
//! The tour:
//! 1. [`image`]: the file, mapped; its build ID and its list of call sites; [`find`]: where such files are;
//! 2. [`kernel`]: all that is asked of a kernel, and where the answer comes from;
//! 3. [`cache`] and [`table`]: from the last time, in a file that is searched as it is;
//! 4. [`slide`]: how far KASLR moved the kernel;
//! 5. [`symbols`]: the ELF symbols, which give the outermost name (they know `.isra` and `.constprop`
//!    clones, aliases, and functions without DWARF);
//! 6. [`debug`] and `units`: the sections of DWARF, and which of its units have code at an address;
//! 7. [`lines`]: files and lines from there;
//! 8. [`frames`] and [`inlined`]: the functions inside a function, from the same;
//! 9. [`ko`]: the same of a module's file, and [`module_files`]: where such files are;
//! 10. [`initcalls`]: what the tables of initcalls say of their functions;
//! 11. [`tree`]: from a path in DWARF to a path in the kernel's source tree.

pub mod cache;
pub mod debug;
pub mod find;
pub mod frames;
pub mod image;
pub mod initcalls;
pub mod inlined;
pub mod kernel;
pub mod ko;
pub mod lines;
pub mod module_files;
pub mod slide;
pub mod symbols;
pub mod table;
pub mod tree;
mod units;

use std::path::PathBuf;

pub use cache::Cache;
pub use frames::Frame;
pub use image::Vmlinux;
pub use inlined::Inlined;
pub use kernel::Kernel;
pub use lines::{Place, Places, Want};
pub use module_files::{Missing, ModuleFiles};
pub use slide::Slide;
pub use symbols::{Found, Symbol, Symbols};

/// What can be wrong with a vmlinux.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// It cannot be opened or mapped.
    #[error("{}: cannot read the vmlinux", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error(
        "{}: this is no 64-bit x86 ELF file ({reason}); give the uncompressed vmlinux with symbols, not bzImage or vmlinuz",
        path.display()
    )]
    NotElf {
        /// The file.
        path: PathBuf,
        /// What the ELF reader says.
        reason: String,
    },
    /// It was stripped.
    #[error(
        "{}: it has no function symbols; give the vmlinux of the kernel's debug package (on Debian: linux-image-RELEASE-dbg, /usr/lib/debug/boot/vmlinux-RELEASE)",
        path.display()
    )]
    NoSymbols {
        /// The file.
        path: PathBuf,
    },
    /// A directory with modules cannot be read.
    #[error("{}: cannot read this directory, which --modules names", path.display())]
    Modules {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel cannot have run where the trace says.
    #[error(
        "the trace says that the kernel's text began at {ran:#x}, and the vmlinux has it at {linked:#x}: KASLR moves a kernel upwards, within 1 GiB, by a multiple of 2 MiB; the trace is damaged or of another kernel"
    )]
    Slide {
        /// Address of `_stext` in the guest.
        ran: u64,
        /// Its address in the vmlinux.
        linked: u64,
    },
    /// Its DWARF cannot be used.
    #[error("{}: the debug information cannot be read: {reason}", path.display())]
    Dwarf {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}
