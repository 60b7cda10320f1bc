// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The ring in which the kernel hands events to us. In: a perf event's file. Out: bytes, whole records one behind the
//! other. The only file that touches the ring's pages, and that opens perf events. Never here: what the records say.

use super::KvmError;
use memmap2::{MmapOptions, MmapRaw};
use perf_event_open_sys as sys;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use sys::bindings::{perf_event_attr, perf_event_mmap_page};

const PAGE: usize = 4096;

/// `cap_user_time_zero` of `struct perf_event_mmap_page` (include/uapi/linux/perf_event.h), behind two of `cap_bit0`,
/// `cap_user_rdpmc` and `cap_user_time`.
const CAP_USER_TIME_ZERO: u64 = 1 << 4;

/// Opens an event of this thread, and of the processes and threads that it starts from here on, on one CPU.
pub fn open(attributes: &mut perf_event_attr, cpu: u32) -> io::Result<OwnedFd> {
    let cpu = i32::try_from(cpu).map_err(|_| io::ErrorKind::InvalidInput)?;
    let flags = u64::from(sys::bindings::PERF_FLAG_FD_CLOEXEC);
    // SAFETY: `attributes` is a live structure whose `size` says how long it is; the kernel reads it and writes `size`.
    let fd = unsafe { sys::perf_event_open(attributes, 0, cpu, -1, flags as _) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this file for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has `event` write to the ring of `first`, which is on the same CPU.
pub fn join(event: &OwnedFd, first: &OwnedFd) -> io::Result<()> {
    // SAFETY: both are open perf events; the argument is a number.
    let done = unsafe { sys::ioctls::SET_OUTPUT(event.as_raw_fd(), first.as_raw_fd()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How perf's clock hangs on the time stamp counter, if the kernel says so (`cap_user_time_zero`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserTime {
    /// time_zero.
    pub zero: u64,
    /// time_mult.
    pub mult: u32,
    /// time_shift.
    pub shift: u16,
}

/// A ring.
pub struct Ring {
    map: MmapRaw,
    /// Bytes of data, a power of two.
    size: usize,
}

impl Ring {
    /// Maps the ring of `event`, with at least `bytes` of data.
    pub fn map(event: &OwnedFd, bytes: usize, cpu: u32) -> Result<Ring, KvmError> {
        let size = bytes.next_power_of_two().max(PAGE);
        let map = MmapOptions::new().len(PAGE + size).map_raw(event);
        let map = map.map_err(|cause| KvmError::Ring { cpu, bytes: size, cause })?;
        Ok(Ring { map, size })
    }

    /// Its first page.
    fn page(&self) -> *mut perf_event_mmap_page {
        self.map.as_mut_ptr().cast()
    }

    /// See [`UserTime`].
    pub fn user_time(&self) -> Option<UserTime> {
        let page = self.page();
        // SAFETY: the first page of the mapping is this structure, and lives as long as `self`. The kernel may change it
        // at any time: all is read by volatile reads, and `lock` tells whether it has changed in between.
        unsafe {
            let lock = AtomicU32::from_ptr(&raw mut (*page).lock);
            // It changes rarely, at each move of the event; a bound all the same.
            for _ in 0..1000 {
                let before = lock.load(Ordering::Acquire);
                let capabilities: u64 = (&raw const (*page).__bindgen_anon_1.capabilities).read_volatile();
                let found = UserTime {
                    zero: (&raw const (*page).time_zero).read_volatile(),
                    mult: (&raw const (*page).time_mult).read_volatile(),
                    shift: (&raw const (*page).time_shift).read_volatile(),
                };
                std::sync::atomic::fence(Ordering::Acquire);
                if before & 1 == 0 && lock.load(Ordering::Relaxed) == before {
                    let said = capabilities & CAP_USER_TIME_ZERO != 0 && found.mult != 0 && found.shift < 64;
                    return said.then_some(found);
                }
            }
        }
        None
    }

    /// Adds what is in the ring to `bytes` and gives its room back to the kernel.
    pub fn take(&mut self, bytes: &mut Vec<u8>) {
        let page = self.page();
        // SAFETY: the first page of the mapping is this structure, and lives as long as `self`; both words are aligned, and
        // are accessed atomically by the kernel, too. `data_tail` is written by nobody but us: `&mut self`.
        let (head, tail) = unsafe {
            (AtomicU64::from_ptr(&raw mut (*page).data_head), AtomicU64::from_ptr(&raw mut (*page).data_tail))
        };
        let (end, begin) = (head.load(Ordering::Acquire), tail.load(Ordering::Relaxed));
        let count = usize::try_from(end.wrapping_sub(begin)).unwrap_or(usize::MAX).min(self.size);
        let at = (begin % self.size as u64) as usize;
        let first = count.min(self.size - at);
        bytes.reserve(count);
        // SAFETY: the data are the `size` bytes behind the first page of the mapping (its length is PAGE + size); `at` +
        // `first` <= size and `count` - `first` <= at. The kernel writes between `end` and `begin` only, until
        // `data_tail` is moved below; the Acquire load above orders these reads behind its writes. `bytes` is our own, and
        // has room for `count` more.
        unsafe {
            let data = self.map.as_ptr().add(PAGE);
            let to = bytes.as_mut_ptr().add(bytes.len());
            std::ptr::copy_nonoverlapping(data.add(at), to, first);
            std::ptr::copy_nonoverlapping(data, to.add(first), count - first);
            bytes.set_len(bytes.len() + count);
        }
        tail.store(end, Ordering::Release);
    }
}
