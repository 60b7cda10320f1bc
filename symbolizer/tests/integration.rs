// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Tests of the crate from outside, one binary: a module a topic in `integration/`.

mod integration {
    mod capture;
    mod fake_guest;
    mod record_command;
    mod synthetic;
    mod trace_dir;
    mod trace_versions;
}
