// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What is tried with bytes from outside, one module for each parser. In: any bytes. Out: nothing, or
//! a panic where a parser broke a promise: it must end, must not panic, and must not take for whole
//! what is damaged. The tour, in the order that data flows:
//!
//! 1. [`inject`]: a vmlinux that is to be traced;
//! 2. [`qemu_args`]: the user's QEMU command;
//! 3. [`options`]: the kernel's command line;
//! 4. [`region`]: the memory that a hostile guest shares;
//! 5. [`guest`]: that guest, writing while it is recorded, up to the printed report;
//! 6. [`words`]: event words;
//! 7. [`trace`]: a CPU's file in a trace directory, up to the printed report;
//! 8. [`meta`]: its `meta.json`;
//! 9. [`index`]: its index;
//! 10. [`resolve`]: a vmlinux that names are looked up in;
//! 11. [`ko`]: a module's file that they are looked up in;
//! 12. [`names`]: a table of names that was kept from an earlier run;
//! 13. [`kept`]: the file of a kept boot, up to what is written of many;
//! 14. [`budget`]: a file of budgets;
//! 15. [`stream`]: frames through a port or as hypercalls;
//! 16. [`import`]: files of trace-cmd, perf and LTTng;
//! 17. [`host`]: the file of what the host has seen.
//!
//! [`shown`] is what all of them demand of text that goes to a terminal, [`scratch`] where their files are, [`repaired`] how
//! they get behind checksums.
//!
//! Each has a fuzz target and a directory of inputs under `corpus/`. The targets need a nightly
//! compiler; new inputs go to the first directory, the stored ones are only read:
//!
//! ```text
//! cargo install cargo-fuzz
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz trace /tmp/new tests/fuzz/corpus/trace -- -detect_leaks=0
//! ```
//!
//! (Leaks are not looked for: each input of `trace`, `resolve` and `ko` starts threads, and the leak checker
//! takes what ends with them for lost.)
//!
//! `tests/system/fuzzed.rs` has these modules too, and runs them over the corpus, as it is and
//! mutated, with each `cargo test`. `tiny/` holds the sources of the corpus's ELF files.

pub mod budget;
pub mod guest;
pub mod host;
pub mod import;
pub mod index;
pub mod inject;
pub mod kept;
pub mod ko;
pub mod meta;
pub mod names;
pub mod options;
pub mod qemu_args;
pub mod region;
pub mod repaired;
pub mod resolve;
pub mod scratch;
pub mod shown;
pub mod stream;
pub mod trace;
pub mod words;
