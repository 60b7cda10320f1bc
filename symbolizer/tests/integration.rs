// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The one test binary of the crate: traces, kernels and guests made on the spot, and the `symbolize`
//! command from outside.

mod integration {
    mod bisect;
    mod capture;
    mod check;
    mod diff;
    mod errors;
    mod exits;
    mod explore;
    mod explore_terminal;
    mod fake_guest;
    mod filters;
    mod fixture;
    mod golden;
    mod graph;
    mod html;
    mod import;
    mod import_damage;
    mod judge;
    mod keep;
    mod levels;
    mod llvm;
    mod merge;
    mod modules;
    mod names_cache;
    mod options_command;
    mod overhead;
    mod record_command;
    mod report;
    mod resolve;
    mod suggest;
    mod sums;
    mod synthetic;
    mod trace_dir;
    mod trace_versions;
}
