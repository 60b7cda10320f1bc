// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! All that knows kernel internals. The tour, in the order that an injection goes:
//! 1. [`image`]: read a vmlinux, refuse what is none;
//! 2. [`facts`] (with `dwarf`, or `btf`): what the guest must know about this kernel;
//! 3. [`sites`]: the call sites, live or not;
//! 4. [`layout`]: where the shared region goes and what lies in it;
//! 5. [`link`]: the guest object, linked for this kernel (`build.rs` compiles and checks it);
//! 6. [`inject`](inject()): patch a copy, write it.
//!
//! Or, for a kernel that is built from source: [`intree`], [`build`].

mod btf;
pub mod build;
pub mod check;
mod dwarf;
mod error;
pub mod facts;
pub mod image;
mod inject;
pub mod intree;
pub mod layout;
pub mod link;
pub mod sites;

pub use check::is_in_tree;
pub use error::InjectError;
pub use inject::inject;

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
    /// Size of each CPU's ring in bytes (a power of two, at least 128 KiB).
    pub ring_bytes: u64,
    /// Full ring.
    pub policy: Policy,
    /// Most ticks that one event waits for the host.
    pub wait_ticks: u64,
    /// Guest RAM in bytes, when known: the region must lie below it.
    pub ram_bytes: Option<u64>,
    /// The kernel's command line as far as it is known: what `func:`, `notrace:` and `depth:` of its
    /// `hypergraph=` say is then in the image already. The guest reads the line that it is booted with.
    pub command_line: Vec<u8>,
    /// Whoever boots the image sees the guest's RAM: `channel:auto` is that.
    pub sees_ram: bool,
    /// Physical address of the region; chosen after the kernel's image when `None`.
    pub region_phys: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cpus: 1,
            ring_bytes: 8 << 20,
            policy: Policy::Wait,
            // Some seconds: a host that does not drain for so long is gone.
            wait_ticks: 1 << 34,
            ram_bytes: None,
            command_line: Vec::new(),
            sees_ram: false,
            region_phys: None,
        }
    }
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
    /// Words that the tool must add to the kernel command line (empty: none are needed).
    pub command_line: Vec<String>,
    /// What was changed in the image, one line each, for `--verbose`.
    pub changes: Vec<String>,
}
