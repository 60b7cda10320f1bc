// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What we export, read back by readers that are not ours, one file for each format: what they count must be
//! what our report counts. In: the shared boot. Never here: formats.

mod callgrind;
mod chrome;
mod ctf;
mod firefox;
mod flamegraph;
mod fleet;
mod folded;
mod html;
mod json_lines;
mod perfetto;
mod trace_dat;
mod uftrace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use xtask::recording;

use crate::boots::{OLD, setup, shared, subject};

/// Which calls are exported where all would take too long: some 90,000.
pub const SOME: &[&str] = &["--level", "arch,subsys"];

/// `symbolize TRACE VMLINUX --format FORMAT -o OUTPUT ARGUMENTS`, of the shared boot.
pub fn export(format: &str, output: &Path, arguments: &[&str]) {
    let mut command = recording::report(&setup().symbolize, &shared().trace, &subject(OLD).vmlinux);
    command.args(["--format", format, "-o"]).arg(output).args(arguments);
    let done = command.stdin(Stdio::null()).output().expect("symbolize runs");
    assert!(done.status.success(), "--format {format}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Our own report of the same calls.
pub fn report(arguments: &[&str]) -> Value {
    let mut command = recording::report(&setup().symbolize, &shared().trace, &subject(OLD).vmlinux);
    recording::json(command.args(["--format", "json"]).args(arguments)).expect("our report")
}

/// A number for each function's name in a report, summed where names are shared.
pub fn by_name(report: &Value, number: impl Fn(&Value) -> u64) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for function in report["functions"].as_array().expect("functions") {
        *sums.entry(function["name"].as_str().expect("a name").to_owned()).or_default() += number(function);
    }
    sums
}

/// Calls for each name.
pub fn calls(report: &Value) -> BTreeMap<String, u64> {
    by_name(report, |function| function["calls"].as_u64().expect("calls"))
}

/// What an outside program prints.
pub fn printed(command: &mut Command) -> String {
    let done = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text")
}

/// The path of a script beside these tests.
pub fn script(name: &str) -> PathBuf {
    xtask::workspace::root().join("tests/system/readers").join(name)
}
