// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench readers`: how fast a trace is read, beside the readers that other traces have. In: a kernel, of
//! which one boot is recorded. Out: a table on stdout, `readers.json`. The same calls are written in the format of
//! each, and each reads its own; what it prints goes nowhere.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::figures::Figures;
use super::peers::{self, Peer};
use super::size_of_directory;
use crate::kernels::Kernel;
use crate::machine::Machine;
use crate::recording::{self, number};
use crate::steps::Steps;
use crate::{initrd, tools, workspace};

/// The report that is compared with the others.
const REPORT: &str = "symbolize, report";

/// Where everything is.
struct Files {
    symbolize: PathBuf,
    vmlinux: PathBuf,
    trace: PathBuf,
    directory: PathBuf,
}

/// Measures; whether the target is met.
///
/// # Errors
/// When a boot or a program fails.
pub fn run(kernel: &Kernel) -> Result<bool> {
    let steps = Steps::default();
    tools::ensure(tools::TEST)?;
    let vmlinux = kernel.vmlinux(&steps)?;
    steps.step("building symbolize");
    let symbolize = workspace::build_release("symbolizer", "symbolize")?;
    let directory = workspace::target().join("bench/readers");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let files = Files { symbolize, vmlinux, trace: directory.join("trace"), directory };
    steps.step("recording a boot");
    files.record()?;
    let events = number(&recording::meta(&files.trace)?, "/totals/events")? as f64;

    let own = |arguments: &[&str]| -> Result<Command> {
        let mut command = files.report();
        command.args(arguments).stdout(Stdio::null());
        Ok(command)
    };
    let dat = files.export(&steps, "trace-dat", "trace.dat")?;
    let ctf = files.export(&steps, "ctf", "ctf")?;
    let uftrace = files.export(&steps, "uftrace", "uftrace")?;
    let other = |program: &str, arguments: &[&str], path: &Path| -> Result<Command> {
        let mut command = Command::new(program);
        command.args(arguments).arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    };
    let read_by_uftrace = |what: &str| other("uftrace", &[what, "--no-pager", "-d"], &uftrace);
    let all = [
        Peer { name: REPORT, ours: true, command: Box::new(|| own(&[])) },
        Peer { name: "symbolize, report, cold", ours: true, command: Box::new(|| own(&["--no-cache"])) },
        Peer { name: "symbolize, each call", ours: true, command: Box::new(|| own(&["--format", "tree"])) },
        Peer {
            name: "trace-cmd report",
            ours: false,
            command: Box::new(|| other("trace-cmd", &["report", "-i"], &dat)),
        },
        Peer { name: "babeltrace2, text", ours: false, command: Box::new(|| other("babeltrace2", &[], &ctf)) },
        Peer {
            name: "babeltrace2, no output",
            ours: false,
            command: Box::new(|| other("babeltrace2", &["-o", "dummy"], &ctf)),
        },
        Peer { name: "uftrace report", ours: false, command: Box::new(|| read_by_uftrace("report")) },
        Peer { name: "uftrace dump", ours: false, command: Box::new(|| read_by_uftrace("dump")) },
        Peer { name: "uftrace replay", ours: false, command: Box::new(|| read_by_uftrace("replay")) },
    ];
    let took = peers::race(&steps, &all)?;

    let mut figures = Figures::default();
    figures.add("events", events);
    figures.add("readers_ratio", peers::ratio(&took, REPORT).context("nobody to compare with")?);
    println!("{}", peers::table(&took, events, "events"));
    let sizes = [("ours", size_of_directory(&files.trace)?), ("trace.dat", dat.metadata()?.len())];
    for (name, size) in
        sizes.into_iter().chain([("CTF", size_of_directory(&ctf)?), ("uftrace", size_of_directory(&uftrace)?)])
    {
        println!("{name:<36}{:>10.1} MB{:>13.2} B/event", size as f64 / 1e6, size as f64 / events);
    }
    print!("\n{}", figures.table());
    let path = workspace::target().join("bench/readers.json");
    let json = json!({
        "events": events,
        "peers": peers::list(&took, events),
        "figures": serde_json::from_str::<serde_json::Value>(&figures.summary()?)?,
    });
    super::write(&path, &serde_json::to_vec_pretty(&json)?)?;
    Ok(figures.all_met())
}

impl Files {
    fn record(&self) -> Result<()> {
        let initrd = self.directory.join("initrd.cpio");
        initrd::build(&initrd)?;
        let machine = Machine { cpus: 1, single_thread: true, extra: Vec::new() };
        let mut record = recording::record(&self.symbolize, &self.vmlinux, &initrd, &self.trace, &machine);
        let status = record.stdout(std::io::stderr()).status().context("cannot run symbolize")?;
        if !status.success() {
            bail!("symbolize record: {status}; its messages are above");
        }
        Ok(())
    }

    /// The report, with names kept between runs.
    fn report(&self) -> Command {
        let mut command = recording::report(&self.symbolize, &self.trace, &self.vmlinux);
        command.env("EFT_NAMES_CACHE", self.directory.join("names"));
        command
    }

    /// Writes the calls in a format; where they are.
    fn export(&self, steps: &Steps, format: &str, name: &str) -> Result<PathBuf> {
        steps.step(format_args!("writing {name}"));
        let path = self.directory.join(name);
        let status =
            self.report().args(["--format", format, "-o"]).arg(&path).status().context("cannot run symbolize")?;
        if !status.success() {
            bail!("symbolize --format {format}: {status}; its messages are above");
        }
        Ok(path)
    }
}
