// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench names`: how fast addresses become names, beside the symbolizers that everybody has. In: a kernel,
//! and the first address of each function that can be traced. Out: a table on stdout, `names.json`. All get the
//! same addresses on standard input and print name, file and line to nowhere.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::figures::Figures;
use super::peers::{self, Peer};
use crate::kernels::Kernel;
use crate::steps::Steps;
use crate::tools::{self, Tool};
use crate::workspace;

/// Cold: from the vmlinux alone.
const COLD: &str = "symbolize resolve, cold";
/// With what an earlier run has kept.
const CACHED: &str = "symbolize resolve, names kept";

/// Measures; whether the targets are met.
///
/// # Errors
/// When a program is missing or fails.
pub fn run(kernel: &Kernel) -> Result<bool> {
    let steps = Steps::default();
    tools::ensure(&[tools::LLVM_SYMBOLIZER, tools::ADDR2LINE])?;
    let vmlinux = kernel.vmlinux(&steps)?;
    steps.step("building symbolize");
    let symbolize = workspace::build_release("symbolizer", "symbolize")?;
    let directory = workspace::target().join("bench/names");
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let cache = directory.join("cache");
    if cache.exists() {
        std::fs::remove_dir_all(&cache)?;
    }
    let addresses = directory.join("addresses");
    let count = write_addresses(&symbolize, &vmlinux, &addresses)?;

    let asking = |program: &Path| -> Result<Command> {
        let mut command = Command::new(program);
        command.stdin(File::open(&addresses)?).stdout(Stdio::null()).env("EFT_NAMES_CACHE", &cache);
        Ok(command)
    };
    let ours = |arguments: &[&str]| -> Result<Command> {
        let mut command = asking(&symbolize)?;
        command.arg("resolve").arg(&vmlinux).args(arguments);
        Ok(command)
    };
    let llvm = || -> Result<Command> {
        let mut command = asking(&tools::LLVM_SYMBOLIZER.find().context("no llvm-symbolizer in PATH")?)?;
        command.arg("--obj").arg(&vmlinux).args(["--no-inlines", "--output-style=LLVM"]);
        Ok(command)
    };
    let addr2line = |tool: Tool| -> Result<Command> {
        let mut command = asking(&tool.find().context("no addr2line in PATH")?)?;
        command.arg("-f").arg("-e").arg(&vmlinux);
        Ok(command)
    };
    let mut all = vec![
        Peer { name: COLD, ours: true, command: Box::new(|| ours(&["--no-cache"])) },
        Peer { name: CACHED, ours: true, command: Box::new(|| ours(&[])) },
        Peer { name: "llvm-symbolizer", ours: false, command: Box::new(llvm) },
        Peer { name: "GNU addr2line", ours: false, command: Box::new(|| addr2line(tools::ADDR2LINE)) },
    ];
    // Only where it happens to be: it is not what others are measured by.
    if tools::EU_ADDR2LINE.find().is_some() {
        all.push(Peer { name: "eu-addr2line", ours: false, command: Box::new(|| addr2line(tools::EU_ADDR2LINE)) });
    }
    let took = peers::race(&steps, &all)?;

    steps.step("comparing answers with llvm-symbolizer");
    let (mine, theirs) = (printed(ours(&["--format", "llvm"])?)?, printed(llvm()?)?);
    let differences = mine.lines().zip(theirs.lines()).filter(|(mine, theirs)| mine != theirs).count();
    let missing = mine.lines().count().abs_diff(theirs.lines().count());

    let mut figures = Figures::default();
    figures.add("names", count as f64);
    figures.add("names_cold_ratio", peers::ratio(&took, COLD).context("nobody to compare with")?);
    figures.add("names_kept_ratio", peers::ratio(&took, CACHED).context("nobody to compare with")?);
    figures.add("names_disagreements", (differences + missing) as f64);
    println!("{}", peers::table(&took, count as f64, "addresses"));
    print!("{}", figures.table());
    let path = workspace::target().join("bench/names.json");
    let json = json!({
        "addresses": count,
        "peers": peers::list(&took, count as f64),
        "figures": serde_json::from_str::<serde_json::Value>(&figures.summary()?)?,
    });
    super::write(&path, &serde_json::to_vec_pretty(&json)?)?;
    Ok(figures.all_met())
}

/// Writes the first address of each function with a call site; how many there are.
fn write_addresses(symbolize: &Path, vmlinux: &Path, to: &Path) -> Result<usize> {
    let mut command = Command::new(symbolize);
    // With --all the trace is not looked at.
    command.arg("addresses").arg(".").arg(vmlinux).args(["--all", "--no-cache"]);
    let text = printed(command)?;
    let addresses: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    std::fs::write(to, addresses.join("\n") + "\n").with_context(|| format!("cannot write {}", to.display()))?;
    Ok(addresses.len())
}

fn printed(mut command: Command) -> Result<String> {
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{command:?} prints no UTF-8"))
}
