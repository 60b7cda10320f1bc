// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! From a running guest's memory to a trace directory. In: the file that is the guest's RAM, and the
//! command that runs the guest. Out: chunks, given to [`crate::trace_dir::TraceWriter`]. Never here:
//! what the words mean; printing.
//!
//! The guest is hostile: it may write anything into its memory at any time. [`region`] is the only
//! file that touches shared pages, by volatile reads into copies of our own; [`drain`] validates the
//! copies and bounds every count. [`qemu_args`] reads what the user's command asks for and says what
//! must be added, [`icount`] the same for boots that repeat ([`ending`]: where they end), [`vmm`] runs it, [`kvm`] watches what the host does for it, [`session`] is the loop over all of them.
//! [`stream`]: the same of guests that send their words instead.

pub mod drain;
pub mod ending;
mod error;
pub mod icount;
pub mod kvm;
mod pending;
pub mod qemu_args;
pub mod region;
pub mod session;
pub mod stream;
pub mod vmm;

pub use error::CaptureError;
