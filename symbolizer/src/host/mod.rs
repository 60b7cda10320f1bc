// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a host that runs the guest under KVM has seen of it: exits, hypercalls, when a vCPU was off its CPU. In: events of
//! the host's tracepoints, from whichever recorder ([`event::Raw`]). Out: one record for each exit ([`event::HostEvent`]).
//! Never here: how a recorder's file or ring looks (`crate::import`, `crate::capture`), the guest's own events.

pub mod aggregate;
pub mod event;
