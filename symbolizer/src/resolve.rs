// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From addresses to names, files and lines. In: a vmlinux. Out: what a site's function is called and
//! where its source is. Never here: traces, printing.
//!
//! The tour:
//! 1. [`image`]: the file, mapped; its build ID and its list of call sites;
//! 2. [`symbols`]: the ELF symbols, which give the outermost name (they know `.isra` and `.constprop`
//!    clones, aliases, and functions without DWARF);
//! 3. [`lines`]: DWARF, for files, lines and inlined functions;
//! 4. [`inlined`]: the functions inside a function, from the same;
//! 5. [`initcalls`]: what the tables of initcalls say of their functions;
//! 6. [`tree`]: from a path in DWARF to a path in the kernel's source tree.

pub mod image;
pub mod initcalls;
pub mod inlined;
pub mod lines;
pub mod symbols;
pub mod tree;

use std::path::PathBuf;

pub use image::Vmlinux;
pub use inlined::Inlined;
pub use lines::{Place, Want};
pub use symbols::{Symbol, Symbols};

/// What can be wrong with a vmlinux.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// It cannot be opened or mapped.
    #[error("{}: cannot read the vmlinux: {source}", path.display())]
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
    /// Its DWARF cannot be used.
    #[error("{}: the debug information cannot be read: {reason}", path.display())]
    Dwarf {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}
