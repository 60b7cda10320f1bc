// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! All that knows kernel internals (skeleton: the interface that `symbolize record` uses).

use std::path::Path;

/// What to do when a ring is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Count the event as lost.
    Drop,
    /// Wait for the host, bounded, only while a consumer is attached.
    #[default]
    Wait,
}

/// How to inject.
#[derive(Clone, Debug)]
pub struct Options {
    /// CPUs that get a ring.
    pub cpus: u32,
    /// Size of each CPU's ring in bytes (a multiple of 64 KiB, at least two chunks).
    pub ring_bytes: u64,
    /// Full ring.
    pub policy: Policy,
    /// Guest RAM in bytes, when known: the region must lie below it.
    pub ram_bytes: Option<u64>,
    /// Physical address of the region; chosen after the kernel's image when `None`.
    pub region_phys: Option<u64>,
}

/// What was injected, for the user and for the trace's metadata.
#[derive(Clone, Debug)]
pub struct Injected {
    /// Kernel release, as `uname -r`.
    pub release: String,
    /// GNU build ID.
    pub build_id: Vec<u8>,
    /// Call sites in the image.
    pub sites: usize,
    /// Call sites that were hooked.
    pub hooked: usize,
    /// Physical address of the shared region.
    pub region_phys: u64,
    /// Size of the shared region.
    pub region_size: u64,
    /// Virtual address range of the guest's code, start and end.
    pub code_virt: (u64, u64),
    /// Words that the tool must add to the kernel command line (empty if none).
    pub command_line: Vec<String>,
    /// What was changed in the image, one line each, for `--verbose`.
    pub changes: Vec<String>,
}

/// Why an image cannot be traced.
#[derive(Debug)]
pub struct InjectError(pub String);

impl std::fmt::Display for InjectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for InjectError {}

/// Makes a traced copy of a vmlinux; the input is not changed.
///
/// # Errors
/// When the kernel cannot be traced, with the reason.
pub fn inject(_input: &Path, _output: &Path, _options: &Options) -> Result<Injected, InjectError> {
    Err(InjectError("not written yet".into()))
}

#[cfg(test)]
mod tests {}
