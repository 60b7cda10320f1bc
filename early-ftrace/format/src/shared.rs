// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The region of guest memory that guest and host share: where what lies, as plain structs. In: the
//! bytes of the region. Out: the structs over them. Never here: access to live memory (each side has
//! its own; the host copies with raw-pointer reads and validates the copy).
//!
//! ```text
//! region (2 MiB aligned, physical address chosen by the injector)
//! +0                 guest text and constants, one 2 MiB page, read-only after boot
//! +DATA_OFFSET       Header (one page)
//!   +0x1000          CpuControl, one each CPU_CONTROL_STRIDE bytes
//!   header.guest_off guest-private data (never read by the host)
//!   header.stacks_off  shadow stacks
//!   header.rings_off   rings: for each CPU `chunks_per_cpu` chunks of CHUNK_SIZE
//! ```

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// First eight bytes of [`Header`].
pub const MAGIC: u64 = u64::from_le_bytes(*b"erlyftrc");

/// From the start of the region to [`Header`]: the text has a 2 MiB page of its own.
pub const DATA_OFFSET: u64 = 2 << 20;

/// The region is mapped with 2 MiB pages: its physical address is a multiple of this, and a reader
/// that looks for [`MAGIC`] in a RAM file needs to look at multiples only.
pub const REGION_ALIGN: u64 = 2 << 20;

/// From [`Header`] to the first [`CpuControl`].
pub const CPU_CONTROL_OFFSET: u64 = 0x1000;

/// From one [`CpuControl`] to the next: guest-written and host-written lines never share a cache line.
pub const CPU_CONTROL_STRIDE: u64 = 256;

/// Size of a chunk with its [`ChunkHeader`], in bytes.
pub const CHUNK_SIZE: u64 = 64 << 10;

/// Words that a chunk holds.
pub const CHUNK_WORDS: usize = ((CHUNK_SIZE as usize) - size_of::<ChunkHeader>()) / 8;

/// Most CPUs that a region describes.
pub const MAX_CPUS: u32 = 512;

/// [`ChunkHeader::magic`].
pub const CHUNK_MAGIC: u32 = u32::from_le_bytes(*b"eftC");

/// [`Header::policy`]: an event that finds the ring full is lost (and counted).
pub const POLICY_DROP: u32 = 0;

/// [`Header::policy`]: an event that finds the ring full waits for the consumer, for at most
/// [`Header::wait_ticks`], and only while a consumer is attached.
pub const POLICY_WAIT: u32 = 1;

/// Head of the shared region, at [`DATA_OFFSET`]. Written by the injector, but for the fields that
/// say otherwise. Sizes in bytes, offsets from this header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`crate::FORMAT_VERSION`].
    pub version: u32,
    /// `size_of::<Header>()` of the writer.
    pub header_size: u32,
    /// Guest physical address of the region's first byte.
    pub region_phys: u64,
    /// Guest virtual address of the region's first byte.
    pub region_virt: u64,
    /// Size of the region.
    pub region_size: u64,
    /// CPUs that have a ring.
    pub cpus: u32,
    /// Chunks in each CPU's ring, a power of two, at least 2.
    pub chunks_per_cpu: u32,
    /// [`CHUNK_SIZE`].
    pub chunk_size: u32,
    /// [`POLICY_DROP`] or [`POLICY_WAIT`].
    pub policy: u32,
    /// Most ticks that one event waits under [`POLICY_WAIT`].
    pub wait_ticks: u64,
    /// Guest-private data.
    pub guest_off: u64,
    /// Shadow stacks.
    pub stacks_off: u64,
    /// Number of shadow stacks.
    pub stacks: u32,
    /// Size of one shadow stack.
    pub stack_size: u32,
    /// First chunk of CPU 0.
    pub rings_off: u64,
    /// Length of the build ID in `build_id`.
    pub build_id_len: u32,
    /// Written by the host: nonzero while a consumer drains the rings.
    pub consumer_attached: u32,
    /// GNU build ID of the traced vmlinux.
    pub build_id: [u8; 32],
    /// Kernel release (as in `uname -r`), NUL-padded.
    pub release: [u8; 64],
    /// Address of `_stext` as it runs (what `word::EntryWord::site` values are near to).
    pub text_start: u64,
    /// Written by the guest: time stamp counter at the first event; 0 before.
    pub first_tsc: u64,
    /// Written by the guest: calls not recorded since their task's shadow stack was full.
    pub depth_overflows: u64,
    /// Reserved, 0: tasks without a shadow stack (the guest asks the kernel for more when all are in use).
    pub stacks_exhausted: u64,
    /// Written by the guest: 1 once late initialisation has run (page protections are final).
    pub late_init: u64,
    /// Written by the guest: CPUs beyond `cpus` that came up and are not traced.
    pub cpus_untraced: u64,
    /// Guest physical address of the kernel's `unsigned int tsc_khz` (time stamp counter frequency in
    /// kHz, 0 until the kernel has calibrated it); 0 if the symbol is missing.
    pub tsc_khz_phys: u64,
    /// How the guest code came into the kernel: [`ORIGIN_INJECTED`] or [`ORIGIN_IN_TREE`].
    pub origin: u32,
    /// Written by the guest: a [`State`] as a number.
    pub state: u32,
    /// Parts of the command line that are the host's own words, not the kernel's: bits `HOST_...`.
    pub host_did: u32,
    /// Guest-private: nonzero while call sites that lead to the gate record.
    pub gate: u32,
    /// Guest-private: frames that a new shadow stack leaves unused, so that it is full `depth:N` frames later.
    pub skipped_frames: u64,
    /// Written by the guest: where its events go, a `bootlevel::Channel` as a number; 0: not decided yet.
    pub channel: u32,
    /// Written by the guest: words in each hypercall, 1 to 4.
    pub pack: u32,
    /// Written by the guest once the kernel knows it (at the latest when the boot ends): frequency of the time stamp
    /// counter in kHz, for hosts that do not see all of its memory; 0 before.
    pub tsc_khz: u64,
    /// Written by the guest: ticks at which each phase began, by `bootlevel::Phase` as a number; 0: not (yet).
    pub phase_began: [u64; MOST_PHASES],
    /// Written by the guest: address of the one instruction that makes its hypercalls; 0: it makes none. User space
    /// can make hypercalls of the same number, not from there.
    pub hypercall_rip: u64,
    /// 0.
    pub reserved: u32,
    /// Written by the guest: nonzero once it is about to end: chunks that are sent are short from then on.
    pub tail: u32,
}

/// Where QEMU has its isa-debugcon unless told otherwise; a read gives the same number.
pub const DEBUG_PORT: u16 = 0xe9;

/// [`Header::phase_began`] has room for so many.
pub const MOST_PHASES: usize = 32;

/// [`Header::origin`]: an injector has put the guest code into an image.
pub const ORIGIN_INJECTED: u32 = 0;

/// [`Header::origin`]: the kernel was built with it (CONFIG_HYPERGRAPH). Addresses of text are those at
/// which it runs: KASLR may have moved them by a multiple of 2 MiB from where the vmlinux says.
pub const ORIGIN_IN_TREE: u32 = 1;

/// [`Header::host_did`]: call sites that `func:` and `notrace:` exclude are nops in the image already.
pub const HOST_DID_GLOBS: u32 = 1;

/// [`Header::host_did`]: whoever boots this image sees the guest's RAM.
pub const HOST_SEES_RAM: u32 = 2;

/// [`Header::state`]: what the guest made of the kernel's command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// It has not looked yet.
    Unread = 0,
    /// `off`: nothing is recorded.
    Off = 1,
    /// Recording, or waiting for a phase that is to be recorded.
    On = 2,
}

/// Control block of one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CpuControl {
    /// Written by the guest: chunks closed so far. Chunk number `n` lies in slot `n % chunks_per_cpu`.
    pub produced: u64,
    /// Written by the guest: 1 once the CPU has opened its first chunk.
    pub started: u64,
    /// Written by the guest: events lost since the boot (ring full).
    pub lost: u64,
    /// Written by the guest: how often an event waited for the consumer.
    pub waits: u64,
    /// Written by the guest: ticks spent so.
    pub wait_ticks: u64,
    /// Written by the guest: events lost in an NMI that came while the chunk was being changed.
    pub nmi_lost: u64,
    /// Written by the guest: frames sent, if it sends them (`crate::stream`).
    pub frames: u64,
    /// Keeps the host's line apart.
    pub pad: [u64; 9],
    /// Written by the host: chunks taken so far. The host zeroes a chunk before it counts it here.
    pub consumed: u64,
    /// Keeps the next CPU's line apart.
    pub pad2: [u64; 15],
}

/// First bytes of a chunk, written by the guest when it opens the chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ChunkHeader {
    /// [`CHUNK_MAGIC`], written last.
    pub magic: u32,
    /// The CPU.
    pub cpu: u32,
    /// Number of this chunk on its CPU, from 0.
    pub seq: u64,
    /// Time stamp counter when the chunk was opened: the decoder's time base and anchor.
    pub tsc: u64,
    /// Events lost between the last word of the chunk before and the first of this one.
    pub lost: u64,
    /// Pid of the running task.
    pub pid: u32,
    /// Open frames on the running task's shadow stack.
    pub depth: u32,
    /// Zero.
    pub reserved: [u64; 3],
}

/// A frame of a shadow stack: one open function. The host reads these once, when the guest has ended:
/// an entry word that was still pending then is nowhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Frame {
    /// Low half of the address after the call site.
    pub site: u32,
    /// Low half of the time of entry.
    pub time: u32,
    /// Where the function returns to.
    pub ret: u64,
    /// Stack pointer inside the entry trampoline: the return address lies a fixed distance above.
    pub stack: u64,
    /// Upper half of the time of entry, with [`CLAIMED`].
    pub high: u32,
    /// Guest-private: of a marked function, which one.
    pub mark: u32,
}

/// Bit of [`Frame::high`]: the entry word of this frame is written, or being written. Clear means
/// pending. Whoever sets it (by one `bts`, atomic with respect to interrupts) writes the word. Bit 63 of
/// a time is never set, so that the clock's upper half is a pending frame's as it is; frames that are not
/// in use have the bit set.
pub const CLAIMED: u32 = 1 << 31;

const _: () = assert!(size_of::<Frame>() == 32);

/// What lies in frame 0 of a shadow stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FrameBase {
    /// First half of the name that was last recorded.
    pub comm_low: u64,
    /// Second half.
    pub comm_high: u64,
    /// The task's pid, for the host: what is pending when the guest ends belongs to the CPU that runs it.
    pub pid: u64,
    /// Where the first frame looks whether its parent is pending: [`CLAIMED`].
    pub high: u32,
    /// Frames that are left out between this one and the first.
    pub skipped: u32,
}

const _: () = assert!(size_of::<FrameBase>() == size_of::<Frame>());
const _: () = assert!(core::mem::offset_of!(FrameBase, high) == core::mem::offset_of!(Frame, high));

const _: () = assert!(size_of::<CpuControl>() as u64 == CPU_CONTROL_STRIDE);
const _: () = assert!(size_of::<ChunkHeader>() == 64);
const _: () = assert!(size_of::<Header>() <= CPU_CONTROL_OFFSET as usize);

impl Header {
    /// Offset from the header of the chunk in `slot` of `cpu`, or `None` when out of bounds.
    pub fn chunk_offset(&self, cpu: u32, slot: u64) -> Option<u64> {
        if cpu >= self.cpus || slot >= u64::from(self.chunks_per_cpu) {
            return None;
        }
        let index = u64::from(cpu).checked_mul(u64::from(self.chunks_per_cpu))?.checked_add(slot)?;
        self.rings_off.checked_add(index.checked_mul(u64::from(self.chunk_size))?)
    }
}
