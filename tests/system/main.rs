// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Tests of the whole: real kernels in QEMU, the command as a user calls it. One binary, so that
//! what is slow to get (kernels, a recorded boot) is got once. The tour:
//!
//! - [`boots`]: what the tests share: kernels, recordings, one boot at a time;
//! - [`untraced`]: the kernels and init without us, so that a failure elsewhere is the tracer's;
//! - [`counts`]: the trace against the witness, call site by call site;
//! - [`channels`]: the same, with the events in the memory of a device;
//! - [`levels`]: what `hypergraph=` asks for is what is recorded;
//! - [`suggest`]: the line that leaves most events out, against that trace;
//! - [`port`]: through the debug port, against the witness; a channel that is not there;
//! - [`ending`]: a panic in an initcall, through each channel;
//! - [`overhead`]: what the recorder costs, and times without it;
//! - [`merge`]: boots merged, against the reports of each;
//! - [`check`]: budgets and baselines, the examples of CHECK.md as CI would run them, and trends of the same boots;
//! - [`deterministic`]: boots that are the same to the last byte, and many boots;
//! - [`nmi`]: the same with NMIs at any instruction;
//! - [`killed`]: either side dies in the middle of a boot;
//! - [`index`]: parts of the recorded trace by its index, against the whole;
//! - [`damage`]: the recorded trace with bytes flipped and ends cut off;
//! - [`fuzzed`]: the fuzz targets ([`fuzz`]) over their [`corpus`], as it is and mutated ([`random`]);
//! - [`hostile`]: a recorder beside a guest that writes anything;
//! - [`images`], [`vmm`], [`traces`]: bad input, and what is said about it ([`refusal`]);
//! - [`imports`]: recordings of other tools, against what these tools print of them;
//! - [`nesting`]: guests in guests there: events of the innermost one at the outermost host;
//! - [`clock`]: the host's times and the guest's, of the same moments;
//! - [`lttng`]: the same recorded by LTTng, and read by us;
//! - [`kvm`], [`kvm_linux`]: real KVM in a test bed, recorded by its tracepoints: single hypercalls, a whole kernel;
//! - [`intree`]: a kernel from source, with the tracer in its tree;
//! - [`bisect`]: what is planted in a kernel's history is found;
//! - [`readers`]: what we export, read back by others' readers;
//! - [`arrows`]: the layout that DESIGN.md promises.
//!
//! Never here: times. Speed is measured by `cargo xtask bench`.

mod arrows;
mod bisect;
mod boots;
mod channels;
mod check;
mod clock;
mod corpus;
mod counts;
mod damage;
mod deterministic;
mod ending;
#[path = "../fuzz/src/lib.rs"]
mod fuzz;
mod fuzzed;
mod hostile;
mod images;
mod imports;
mod index;
mod intree;
mod killed;
mod kvm;
mod kvm_linux;
mod levels;
mod lttng;
mod merge;
mod nesting;
mod nmi;
mod overhead;
mod port;
mod random;
mod readers;
mod refusal;
mod shutdown;
mod suggest;
mod traces;
mod untraced;
mod vmm;
