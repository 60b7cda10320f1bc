// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The memory that the guest shares, mapped. In: a RAM file and where the region lies in it. Out:
//! copies of headers, control blocks and words; stores to the few places that are the host's. Never
//! here: trust in what was read beyond the bounds of the mapping itself.
//!
//! Two rules for shared pages: no Rust reference to them ever exists, and each value is read once,
//! volatile, and used as a copy. On x86-64 an aligned volatile access of 64 bits is one access; the
//! fences beside it keep the order that the protocol needs.

use super::CaptureError;
use bootlevel::Channel;
use early_ftrace_format::FORMAT_VERSION;
use early_ftrace_format::shared::{
    CHUNK_SIZE, CPU_CONTROL_OFFSET, CPU_CONTROL_STRIDE, CpuControl, DATA_OFFSET, Header, MAGIC, MAX_CPUS, REGION_ALIGN,
};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::{File, OpenOptions};
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{Ordering, fence};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Most chunks in a CPU's ring that are believed: 64 GiB.
const MAX_CHUNKS: u32 = 1 << 20;

/// The file that is the guest's RAM.
pub struct RamFile {
    path: PathBuf,
    file: File,
}

/// The shared part of the region, from its header on.
pub struct SharedRegion {
    map: MmapRaw,
    header: Header,
    /// Offset in the file of the region's first byte.
    offset: u64,
}

impl RamFile {
    /// Opens it to read and write.
    ///
    /// # Errors
    /// [`CaptureError::RamFile`].
    pub fn open(path: &Path) -> Result<RamFile, CaptureError> {
        let open = OpenOptions::new().read(true).write(true).open(path);
        let file = open.map_err(|cause| CaptureError::RamFile { path: path.into(), action: "open", cause })?;
        Ok(RamFile { path: path.into(), file })
    }

    /// The region whose first byte is at `offset` of the file; `None` while no header is there.
    ///
    /// # Errors
    /// When the header is damaged or of another version, or the file cannot be mapped.
    pub fn region_at(&self, offset: u64) -> Result<Option<SharedRegion>, CaptureError> {
        let length = self.length()?;
        let mut header = Header::new_zeroed();
        let at = offset.saturating_add(DATA_OFFSET);
        if at.saturating_add(size_of::<Header>() as u64) > length {
            return Ok(None);
        }
        self.file.read_exact_at(header.as_mut_bytes(), at).map_err(|e| self.error("read", e))?;
        if header.magic != MAGIC {
            return Ok(None);
        }
        if header.version != FORMAT_VERSION {
            return Err(CaptureError::OtherVersion { found: header.version, supported: FORMAT_VERSION });
        }
        let size = check(&header, length - at).map_err(|reason| CaptureError::BadHeader {
            path: self.path.clone(),
            offset: at,
            reason,
        })?;
        let map = MmapOptions::new().offset(at).len(size).map_raw(&self.file).map_err(|e| self.error("map", e))?;
        Ok(Some(SharedRegion { map, header, offset }))
    }

    /// Looks for the region at every place where it may lie.
    ///
    /// # Errors
    /// [`CaptureError::NoRegion`], or as for [`RamFile::region_at`] when the only header is damaged.
    pub fn find(&self) -> Result<SharedRegion, CaptureError> {
        let length = self.length()?;
        let mut damaged = None;
        for offset in (0..length).step_by(REGION_ALIGN as usize) {
            match self.region_at(offset) {
                Ok(Some(region)) => return Ok(region),
                Ok(None) => {}
                Err(error) => damaged = damaged.or(Some(error)),
            }
        }
        Err(damaged.unwrap_or_else(|| CaptureError::NoRegion { path: self.path.clone(), searched: length }))
    }

    /// The kernel's `tsc_khz`: `None` when it is not known, or outside the file. Of a region in a device's memory it is
    /// what the guest has told last.
    pub fn tsc_khz(&self, region: &SharedRegion) -> Option<u64> {
        let header = &region.header;
        if [Channel::Ivshmem, Channel::Pmem].iter().any(|&moved| header.channel == moved as u32) {
            return Some(region.header_now().tsc_khz).filter(|khz| (1..=u64::from(u32::MAX)).contains(khz));
        }
        let mut bytes = [0; 4];
        // The file may begin at another guest address than 0: the region says by how much.
        let at = header.tsc_khz_phys.wrapping_sub(header.region_phys).wrapping_add(region.offset);
        if header.tsc_khz_phys == 0 || self.file.read_exact_at(&mut bytes, at).is_err() {
            return None;
        }
        Some(u64::from(u32::from_le_bytes(bytes))).filter(|&khz| khz != 0)
    }

    fn length(&self) -> Result<u64, CaptureError> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(|e| self.error("measure", e))
    }

    fn error(&self, action: &'static str, cause: std::io::Error) -> CaptureError {
        CaptureError::RamFile { path: self.path.clone(), action, cause }
    }
}

/// Bytes to map from the header on, if everything that the header promises lies in `room` bytes.
fn check(header: &Header, room: u64) -> Result<usize, String> {
    let fail = |what: &str, value: u64| Err(format!("{what} is {value}"));
    if header.header_size as usize != size_of::<Header>() {
        return fail("its size", header.header_size.into());
    }
    if header.cpus == 0 || header.cpus > MAX_CPUS {
        return fail("the number of CPUs", header.cpus.into());
    }
    if header.chunks_per_cpu < 2 || header.chunks_per_cpu > MAX_CHUNKS {
        return fail("the number of chunks", header.chunks_per_cpu.into());
    }
    if u64::from(header.chunk_size) != CHUNK_SIZE {
        return fail("the size of a chunk", header.chunk_size.into());
    }
    let controls_end = CPU_CONTROL_OFFSET + u64::from(header.cpus) * CPU_CONTROL_STRIDE;
    if header.rings_off < controls_end || !header.rings_off.is_multiple_of(8) {
        return fail("the offset of the rings", header.rings_off);
    }
    let rings = u64::from(header.cpus) * u64::from(header.chunks_per_cpu) * CHUNK_SIZE;
    let end = header.rings_off.checked_add(rings).filter(|&end| end <= room);
    let Some(end) = end else {
        return Err(format!("the rings ({rings} bytes at {}) reach beyond the RAM file", header.rings_off));
    };
    usize::try_from(end).map_err(|_| "the rings are too large for this machine".into())
}

impl SharedRegion {
    /// The header as it was when the region was mapped, validated.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header as it is now: only the fields that the guest counts in are of interest, and they
    /// are not validated.
    pub fn header_now(&self) -> Header {
        let mut words = [0; size_of::<Header>() / 8];
        self.copy_words(0, &mut words);
        Header::read_from_bytes(words.as_bytes()).unwrap_or(self.header)
    }

    /// A copy of a CPU's control block.
    pub fn control(&self, cpu: u32) -> CpuControl {
        let at = control_at(cpu);
        // First, and acquired: what the guest wrote before it counted a chunk is seen after this.
        let produced = self.load(at + offset_of!(CpuControl, produced) as u64);
        let mut words = [0; size_of::<CpuControl>() / 8];
        self.copy_words(at, &mut words);
        let copy = CpuControl::read_from_bytes(words.as_bytes()).unwrap_or_else(|_| CpuControl::new_zeroed());
        CpuControl { produced, ..copy }
    }

    /// Tells the guest that this many chunks of a CPU were taken.
    pub fn set_consumed(&self, cpu: u32, consumed: u64) {
        self.store(control_at(cpu) + offset_of!(CpuControl, consumed) as u64, consumed);
    }

    /// Tells the guest whether somebody drains the rings.
    pub fn set_attached(&self, attached: bool) {
        let at = offset_of!(Header, consumer_attached) as u64;
        let pointer = self.pointer(at, 4).cast::<u32>();
        // SAFETY: `pointer` gives an address inside the mapping, which lives as long as `self`; the
        // field is four bytes at a multiple of four (repr(C), the mapping is page-aligned).
        unsafe { pointer.write_volatile(attached.into()) };
    }

    /// Copies the words at `offset` from the header on.
    pub fn copy_words(&self, offset: u64, into: &mut [u64]) {
        let pointer = self.pointer(offset, size_of_val(into));
        for (index, word) in into.iter_mut().enumerate() {
            // SAFETY: `pointer` has checked that all of `into`'s length lies inside the mapping, at a
            // multiple of eight; any bytes are a u64. The guest may write meanwhile: volatile.
            *word = unsafe { pointer.add(index).read_volatile() };
        }
        fence(Ordering::Acquire);
    }

    /// Zeroes `count` words at `offset`. They must be the host's: of a closed chunk not yet counted as
    /// consumed.
    pub fn zero(&self, offset: u64, count: usize) {
        let pointer = self.pointer(offset, count * 8);
        for index in 0..count {
            // SAFETY: as in `copy_words`; the mapping is writable.
            unsafe { pointer.add(index).write_volatile(0) };
        }
    }

    fn load(&self, offset: u64) -> u64 {
        // SAFETY: `pointer` gives eight aligned bytes inside the mapping.
        let value = unsafe { self.pointer(offset, 8).read_volatile() };
        fence(Ordering::Acquire);
        value
    }

    fn store(&self, offset: u64, value: u64) {
        fence(Ordering::Release);
        // SAFETY: as in `load`; the mapping is writable.
        unsafe { self.pointer(offset, 8).write_volatile(value) };
    }

    /// Address of `length` bytes at `offset`. All offsets come from the header that [`check`] has
    /// bounded: one that is outside is a mistake of this program, and stops it.
    fn pointer(&self, offset: u64, length: usize) -> *mut u64 {
        let inside = usize::try_from(offset).ok().filter(|at| at.checked_add(length) <= Some(self.map.len()));
        let at = inside.filter(|at| at % 4 == 0 && at.checked_add(length).is_some());
        let at = at.expect("an offset was not bounded by the validated header");
        self.map.as_mut_ptr().wrapping_add(at).cast()
    }
}

impl Drop for SharedRegion {
    /// A guest that goes on must not wait for a recorder that is gone.
    fn drop(&mut self) {
        self.set_attached(false);
    }
}

fn control_at(cpu: u32) -> u64 {
    CPU_CONTROL_OFFSET + u64::from(cpu) * CPU_CONTROL_STRIDE
}
