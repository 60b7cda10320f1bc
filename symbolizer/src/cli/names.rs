// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Whether names are kept from run to run. In: an argument, the environment. Out: a vmlinux that is asked for names.
//! Never here: what is kept.

use symbolizer::report::Names;
use symbolizer::resolve::{Cache, ResolveError, Vmlinux};

/// The argument for it.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Keep {
    /// Read the vmlinux although its names are known, and keep none: else they are kept by build ID in
    /// $XDG_CACHE_HOME/early-ftrace/names, or where EFT_NAMES_CACHE says (a directory, or off)
    #[arg(long)]
    no_cache: bool,
}

impl Keep {
    /// Where names are kept, if they are.
    pub fn cache(self) -> Option<Cache> {
        if self.no_cache { None } else { Cache::standard() }
    }

    /// The names of a kernel.
    pub fn names(self, vmlinux: &Vmlinux) -> Result<Names<'_>, ResolveError> {
        Names::cached(vmlinux, self.cache())
    }
}
