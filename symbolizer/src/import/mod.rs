// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Host events that other tools have recorded: trace-cmd's trace.dat, perf.data, LTTng's CTF. In: their files. Out:
//! [`crate::host::event::Raw`] events in order. Never here: what they mean together.
