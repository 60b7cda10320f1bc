// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a host that runs the guest under KVM has seen of it: exits, hypercalls, when a vCPU was off its CPU. In:
//! events of the host's tracepoints, from whichever recorder ([`event::Raw`]). Out: one record for each exit
//! ([`event::HostEvent`]). Never here: how a recorder's file or ring looks (`crate::import`, `crate::capture`), the
//! guest's own events.
//!
//! [`aggregate`] makes the records of the events.
//!
//! Behind the events: [`mod@file`] keeps them in the trace, [`clock`] (with [`corridor`]) leads from the host's times
//! to the guest's, for each vCPU as [`axes`] finds the way (by [`bounds`], if KVM has not said it), [`placed`] puts a
//! vCPU's events there, and [`reasons`] names exit reasons.

pub mod aggregate;
pub mod axes;
pub mod bounds;
pub mod clock;
pub mod corridor;
mod error;
pub mod event;
pub mod file;
pub mod placed;
pub mod reasons;

pub use error::HostError;
