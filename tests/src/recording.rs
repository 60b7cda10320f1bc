// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A traced boot, recorded and reported as a user does it. In: files and a [`Machine`]. Out: commands,
//! and the parts of `--format json` that bench and tests compare. Never here: the trace's format.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::initrd;
use crate::machine::{COMMAND_LINE, Machine};

/// Length of `call rel32`, from a call site to the address that the hook finds on the stack.
const CALL_LENGTH: u64 = 5;

/// `symbolize record ...`: boots `vmlinux` in `machine` and writes `trace`.
pub fn record(symbolize: &Path, vmlinux: &Path, initrd: &Path, trace: &Path, machine: &Machine) -> Command {
    record_with(symbolize, vmlinux, initrd, trace, machine, "")
}

/// The same, with more words on the kernel's command line.
pub fn record_with(
    symbolize: &Path,
    vmlinux: &Path,
    initrd: &Path,
    trace: &Path,
    machine: &Machine,
    words: &str,
) -> Command {
    record_kernel(symbolize, vmlinux, None, initrd, trace, machine, words)
}

/// The same; QEMU boots `kernel`, the bzImage of a vmlinux that has the tracer in its tree.
pub fn record_kernel(
    symbolize: &Path,
    vmlinux: &Path,
    kernel: Option<&Path>,
    initrd: &Path,
    trace: &Path,
    machine: &Machine,
    words: &str,
) -> Command {
    let line = format!("{COMMAND_LINE} {words}");
    let mut command = Command::new(symbolize);
    command.arg("record").arg("--vmlinux").arg(vmlinux).arg("-o").arg(trace);
    if let Some(kernel) = kernel {
        command.arg("--kernel").arg(kernel);
    }
    command.arg("--initrd").arg(initrd).args(["--append", line.trim_end(), "--"]).args(machine.qemu());
    command.stdin(Stdio::null());
    command
}

/// Removes the trace of an earlier run, if there is one.
///
/// # Errors
/// When it cannot be removed.
pub fn clear(trace: &Path) -> Result<()> {
    if trace.exists() {
        std::fs::remove_dir_all(trace).with_context(|| format!("cannot remove {}", trace.display()))?;
    }
    Ok(())
}

/// Runs an untraced boot up to the last line of its init; its console.
///
/// # Errors
/// When it does not get there.
pub fn untraced(boot: &mut Command, name: &str) -> Result<String> {
    let output = boot.stderr(Stdio::inherit()).output().context("cannot run QEMU")?;
    let console = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || !console.contains(initrd::DONE) {
        bail!("the boot {name} did not reach its end ({}); its console:\n{console}", output.status);
    }
    Ok(console)
}

/// `symbolize TRACE VMLINUX`: the report, which keeps no names: what is measured or tested must not hang on what ran
/// before.
pub fn report(symbolize: &Path, trace: &Path, vmlinux: &Path) -> Command {
    let mut command = Command::new(symbolize);
    command.arg(trace).arg(vmlinux).stdin(Stdio::null()).env("EFT_NAMES_CACHE", "off");
    command
}

/// The trace's `meta.json`.
///
/// # Errors
/// When it cannot be read.
pub fn meta(trace: &Path) -> Result<Value> {
    let path = trace.join("meta.json");
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))
}

/// An unsigned number at `pointer` in `value`, such as `/totals/events`.
///
/// # Errors
/// When there is none.
pub fn number(value: &Value, pointer: &str) -> Result<u64> {
    let found = value.pointer(pointer).with_context(|| format!("no {pointer} in the JSON"))?;
    address(found).with_context(|| format!("{pointer} is {found}, no number"))
}

/// A number, or one in a string, hexadecimal with `0x` before it.
fn address(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        },
        other => other.as_u64(),
    }
}

/// A function of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// As the report names it.
    pub name: String,
    /// How often it was entered.
    pub calls: u64,
}

/// The functions of `--format json`, by the address of their call instruction. The report's sites are
/// those of `sites`, or the addresses after them, which the hook sees.
///
/// # Errors
/// When the report fails, or is not of the documented shape.
pub fn traced_functions(report: &Value, sites: &[u64]) -> Result<BTreeMap<u64, Traced>> {
    let Some(functions) = report["functions"].as_array() else { bail!("the report has no list \"functions\"") };
    let mut traced = BTreeMap::new();
    for function in functions {
        let read = || {
            let site = address(&function["site"])?;
            let call = if sites.binary_search(&site).is_ok() { site } else { site.checked_sub(CALL_LENGTH)? };
            let name = function["name"].as_str()?.to_owned();
            Some((call, Traced { name, calls: address(&function["calls"])? }))
        };
        let Some((call, function)) = read() else {
            bail!("a function of the report lacks name, site or calls: {function}")
        };
        if let Some(twin) = traced.insert(call, function) {
            bail!("the report has two functions at the call site {call:#x}, one of them {}", twin.name);
        }
    }
    Ok(traced)
}

/// Runs `command`, which prints JSON.
///
/// # Errors
/// When it fails or prints something else.
pub fn json(command: &mut Command) -> Result<Value> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?} printed no JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_at_and_after_the_call_are_the_same_function() {
        let report = serde_json::json!({"functions": [
            {"name": "a", "site": "0xffffffff81000004", "calls": 3},
            {"name": "b", "site": 0xffff_ffff_8100_0015_u64, "calls": 4},
        ]});
        let sites = [0xffff_ffff_8100_0004, 0xffff_ffff_8100_0010];
        let traced = traced_functions(&report, &sites).expect("well-formed");
        assert_eq!(traced[&sites[0]], Traced { name: "a".into(), calls: 3 });
        assert_eq!(traced[&sites[1]], Traced { name: "b".into(), calls: 4 });
    }

    #[test]
    fn a_report_of_another_shape_is_an_error() {
        assert!(traced_functions(&serde_json::json!({}), &[]).is_err());
        assert!(traced_functions(&serde_json::json!({"functions": [{"name": "a"}]}), &[]).is_err());
    }
}
