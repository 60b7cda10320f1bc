// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The guest's own events. In: host events. Out: which hypercalls are the guest's.
