// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Regressions planted in a kernel's history are found by `symbolize bisect`, with no hint: the commit and the
//! function stand on its first line. The other kinds are searched by `cargo xtask bench regressions`.

use std::path::Path;

use xtask::planted::Planted;
use xtask::planted::history::Kind;
use xtask::planted::ranges::{self, Found, With};
use xtask::steps::Steps;

use crate::boots::{boot_lock, scratch, setup};

fn search(name: &str) -> (Found, ranges::Steps) {
    let kind = Kind::named(name).expect("a kind");
    let planted = Planted::prepare(&Steps::default()).expect("a kernel's history");
    let (setup, work) = (setup(), scratch(&format!("bisect-{name}")).join("work"));
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    let with = With { symbolize: &setup.symbolize, xtask, initrd: &setup.initrd, work: &work };
    let _one_at_a_time = boot_lock();
    let found = ranges::search(&planted, kind, with).expect("a search");
    let steps = ranges::steps(&work);
    assert_eq!(found.code, Some(0), "{}\n{}", found.report, found.messages);
    assert!(found.is_right_commit(), "{}\n{}", found.report, found.messages);
    assert!(found.is_right_function(), "{}\n{}", found.report, found.messages);
    (found, steps)
}

/// The next commit does not build, and the one after it has what this one has.
#[test]
fn an_init_of_level_fs_that_became_quadratic() {
    let (_, steps) = search("quadratic");
    assert!(steps.skipped > 0, "nobody looked at the commit that does not build: {steps:?}");
}

/// Two commits behind one that panics.
#[test]
fn a_function_that_is_called_a_thousand_times_more() {
    let (_, steps) = search("calls");
    assert!(steps.skipped > 0, "nobody looked at the commit that does not boot: {steps:?}");
}

/// It costs nothing: what has changed is when.
#[test]
fn an_initcall_that_moved_to_an_earlier_level_in_the_last_commit() {
    search("earlier");
}
