// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where chunks go. In: what the command line asks for, closed chunks. Out: `header.channel`; chunks sent, if nobody
//! takes them out of memory. Never here: events; how one channel works (each has a file).
//!
//! Memory channels ([`ivshmem`], [`pmem`], plain RAM): the host takes chunks out of the rings. What differs is only which
//! physical memory the region's pages are ([`remap`]), so that an event costs the same. Stream channels ([`hypercall`], [`port`]):
//! the guest sends each chunk when it is closed, as frames (`early_ftrace_format::stream`), and takes it back at once.

pub mod hypercall;
pub mod ivshmem;
pub mod pci;
pub mod pmem;
pub mod port;
pub mod remap;

use crate::ring::header;
use bootlevel::Channel;
use early_ftrace_format::shared::HOST_SEES_RAM;

/// Chooses where this boot's chunks go. Once, by the boot CPU, before the first chunk is opened.
pub fn choose(asked: Option<Channel>) {
    let taken = match asked.unwrap_or(Channel::Auto) {
        Channel::Auto => automatic(),
        one if take(one) => one,
        _ => Channel::Ram,
    };
    // SAFETY: our header; only this CPU runs.
    unsafe { (*header()).channel = taken as u32 };
}

/// The first that is there.
fn automatic() -> Channel {
    // SAFETY: a header field that never changes.
    if unsafe { (*header()).host_did } & HOST_SEES_RAM != 0 {
        return Channel::Ram;
    }
    for channel in [Channel::Ivshmem, Channel::Pmem, Channel::Hypercall] {
        if take(channel) {
            return channel;
        }
    }
    Channel::Ram
}

/// Takes a channel into use; false if it is not there.
fn take(channel: Channel) -> bool {
    match channel {
        Channel::Auto | Channel::Ram => true,
        Channel::Ivshmem => ivshmem::take(),
        Channel::Pmem => pmem::take(),
        Channel::Hypercall => hypercall::take(),
        Channel::Port => port::take(),
    }
}
