// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask demo`: from nothing to the report of a traced boot, and the commands with which a
//! reader goes on. In: a kernel. Out: the report on stdout, the trace and a page in a directory. Never here: a
//! shortcut past what a user would type.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::kernels::Kernel;
use crate::machine::Machine;
use crate::steps::Steps;
use crate::{initrd, recording, tools, workspace};

/// Runs the demo.
///
/// # Errors
/// When a step fails, with its reason.
pub fn run(kernel: &Kernel, cpus: u32, keep: Option<&Path>) -> Result<bool> {
    let steps = Steps::default();
    steps.step("checking the tools");
    tools::ensure(tools::DEMO)?;
    steps.step("looking for the kernel");
    let vmlinux = kernel.vmlinux(&steps)?;
    steps.step(format_args!("kernel: {}", vmlinux.display()));
    steps.step("building symbolize");
    let symbolize = workspace::build_release("symbolizer", "symbolize")?;

    let directory = match keep {
        Some(directory) => directory.to_owned(),
        None => {
            let ours = workspace::target().join("demo");
            // Only our own directory is ever replaced; a user's is left to `symbolize record`.
            if ours.exists() {
                std::fs::remove_dir_all(&ours).with_context(|| format!("cannot remove {}", ours.display()))?;
            }
            ours
        }
    };
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    steps.step("building the initial RAM disk");
    let (initrd, trace) = (directory.join("initrd.cpio"), directory.join("trace"));
    initrd::build(&initrd)?;

    let mut record = recording::record(&symbolize, &vmlinux, &initrd, &trace, &Machine::with_cpus(cpus));
    steps.step(format_args!("recording the boot: {}", shown(&record)));
    let status = record.status().context("cannot run symbolize")?;
    if !status.success() {
        bail!("symbolize record: {status}; its messages are above");
    }
    // A guest that died has left a valid trace, which is success for the recorder but not for a demo.
    let ended = &recording::meta(&trace)?["ended"]["how"];
    let whole = ended == "power-off";
    if !whole {
        steps.step(format_args!("the guest did not power off: {ended}"));
    }
    let mut report = recording::report(&symbolize, &trace, &vmlinux);
    steps.step(format_args!("the report: {}", shown(&report)));
    let status = report.status().context("cannot run symbolize")?;
    if !status.success() {
        bail!("symbolize: {status}; its messages are above");
    }
    let page = directory.join("boot.html");
    let mut write = recording::report(&symbolize, &trace, &vmlinux);
    write.arg("-o").arg(&page);
    steps.step(format_args!("the report as a page: {}", shown(&write)));
    let status = write.status().context("cannot run symbolize")?;
    if !status.success() {
        bail!("symbolize: {status}; its messages are above");
    }
    steps.step(format_args!("done; the trace stays in {}", trace.display()));
    steps.step(format_args!("to look at it in a browser: {}", page.display()));
    Ok(whole)
}

/// A command as one could type it.
fn shown(command: &Command) -> String {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+=,:@%".contains(&byte));
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .map(|word| if plain(&word) { word.into_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_typed() {
        let mut command = Command::new("symbolize");
        command.args(["record", "--append", "a=b quiet", "it's"]);
        assert_eq!(shown(&command), r"symbolize record --append 'a=b quiet' 'it'\''s'");
    }
}
