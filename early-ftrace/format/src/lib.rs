// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What guest and host must agree on: the event words, the memory that they share, and the
//! constants of both. Nothing else is shared between the two sides.
//!
//! The tour, in the order that data flows:
//! 1. [`shared`]: the region of guest memory that both sides map: header, CPU control blocks,
//!    chunks;
//! 2. [`word`]: the 64-bit event words inside a chunk, as bit fields;
//! 3. [`encode`]: from one [`event::Event`] to words, as the guest does it (the hot kinds are
//!    written by the assembly trampolines in the same layout);
//! 4. [`decode`]: from words back to events with full 64-bit times.
//!
//! Never here: allocation, panics on outside bytes, DWARF, files.
#![no_std]
#![forbid(unsafe_code)]
#![doc = include_str!("../FORMAT.md")]

pub mod decode;
pub mod encode;
pub mod event;
pub mod mark;
pub mod shared;
pub mod stream;
pub mod word;

/// Version of everything in this crate; stands in the shared header and in each trace.
///
/// A reader refuses a version that is newer than its own. CHANGELOG.md has a heading per version.
pub const FORMAT_VERSION: u32 = 1;
