// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize completions SHELL`. In: a shell's name. Out: its completion script.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

/// Arguments of `symbolize completions`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "symbolize", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(0)
}
