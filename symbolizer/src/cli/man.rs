// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize man`. Out: the manual page, or one page per subcommand into a directory.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;

/// Arguments of `symbolize man`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Write the pages of all subcommands into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let command = super::Cli::command();
    if let Some(out) = &args.out {
        clap_mangen::generate_to(command, out).with_context(|| format!("{}: cannot write the pages", out.display()))?;
        return Ok(0);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    std::io::stdout().write_all(&page)?;
    Ok(0)
}
