// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The one test binary of the crate: traces, kernels and guests made on the spot, and the `symbolize`
//! command from outside.

mod integration {
    mod capture;
    mod errors;
    mod fake_guest;
    mod filters;
    mod fixture;
    mod golden;
    mod graph;
    mod levels;
    mod llvm;
    mod modules;
    mod options_command;
    mod record_command;
    mod report;
    mod suggest;
    mod sums;
    mod synthetic;
    mod trace_dir;
    mod trace_versions;
}
