// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo fuzz`'s way to [`early_ftrace_fuzz::host::run`]. In: bytes. Out: a crash, if there is a bug.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| early_ftrace_fuzz::host::run(data));
