// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize report` (skeleton).

/// Arguments of `symbolize report`.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Runs it; the exit code.
pub fn run(_args: Args) -> anyhow::Result<u8> {
    anyhow::bail!("not written yet")
}
