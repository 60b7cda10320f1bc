// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The project's own commands: everything around the toolkit that a person or a CI machine runs.
//! The tour, in the order of a demo:
//!
//! 1. [`tools`]: are the programs there that we call? install what is missing;
//! 2. [`kernels`]: the newest debug kernel of a series, from Debian's archive into a cache
//!    ([`debian`] asks apt); or [`kernel_build`]: one from its source, with the tracer in the tree;
//! 3. [`initrd`]: the demo's init and its archive;
//! 4. [`workspace`]: cargo builds what we run;
//! 5. [`machine`]: QEMU's arguments, and [`recording`]: the `symbolize record` around them;
//! 6. [`demo`], [`bench`](mod@bench) and [`checks`]: the commands themselves.
//!
//! [`planted`] is a kernel's source with regressions in its history, for `symbolize bisect` to find.
//!
//! [`testbed`] is a host with real KVM, without hardware for it; [`lttng`] is for it and for a bench.
//!
//! Beside it stand [`image`] (what a vmlinux says about its call sites) and [`witness`] (boots that a
//! QEMU plugin counts), and [`python`] (outside readers of exports), [`browser`] (which [`pictures`] uses, too), for the bench and for the tests under
//! `tests/system/`.
//!
//! Never here: knowledge of the trace format or of kernel internals; the commands drive `symbolize`
//! as a user would.

pub mod bench;
pub mod browser;
pub mod checks;
pub mod debian;
pub mod demo;
pub mod image;
pub mod initrd;
pub mod kernel_build;
pub mod kernels;
pub mod lttng;
pub mod machine;
pub mod pictures;
pub mod planted;
pub mod python;
pub mod recording;
pub mod steps;
pub mod testbed;
pub mod tools;
pub mod witness;
pub mod workspace;
