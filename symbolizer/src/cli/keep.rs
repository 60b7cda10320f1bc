// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize keep TRACE.. -o DIR`: small files of boots, to compare them later without traces and vmlinux. In:
//! traces. Out: a file of each. Never here: what is in a file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use symbolizer::compare::boot::Boot;
use symbolizer::compare::identity::Identity;
use symbolizer::compare::{kept, trend_text};
use symbolizer::report::style::printable;

use super::boots::{self, Boots};
use super::output::Output;
use super::phases::Phases;

const EXAMPLES: &str = "\
Examples:
  symbolize keep trace/ vmlinux -o baseline/            baseline/trace.boot.zst
  symbolize keep boots/*/ -o store/                     a file of each; their vmlinux is found by build ID
  symbolize keep trace/ -o store/6.1.192.boot.zst       under a name of your own
  zstdcat store/6.1.192.boot.zst | jq .totals           it is JSON: symbolizer/JSON.md describes it

diff, check, bisect and trend take such files wherever they take traces.";

/// Arguments of `symbolize keep`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Traces (or directories of traces), and vmlinux files
    #[arg(required = true, value_name = "TRACE")]
    paths: Vec<PathBuf>,
    /// Directory for the files, named after their traces; or, of a single trace, the file (NAME.boot.zst)
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// Call the boot so, instead of by its trace's path
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Replace files of other boots
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    boots: Boots,
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let phases = Phases::new(false);
    let found = boots::look(&args.paths)?;
    let single = args.output.to_str().is_some_and(|path| path.ends_with(kept::ENDING));
    anyhow::ensure!(
        found.boots.len() == 1 || (!single && args.name.is_none()),
        "{} boots were given: -o must be a directory, and --name is for one",
        found.boots.len()
    );
    let (mut known, mut written) = (boots::Known::default(), HashSet::new());
    // One after the other, so that what is done stays done.
    for path in &found.boots {
        let read = known.only_new(args.boots.read(std::slice::from_ref(path), &found.vmlinux, &phases)?);
        let Some(mut boot) = read.into_iter().next() else { continue };
        if let Some(name) = &args.name {
            boot.name.clone_from(name);
        }
        let to = if single { args.output.clone() } else { args.output.join(file_name(path)) };
        // What this command itself has written is never meant.
        if !written.insert(to.clone()) || !args.replace {
            refuse_another(&boot, &to)?;
        }
        write(&boot, &to)?;
    }
    phases.finish();
    Ok(0)
}

/// A kept boot may be all that is left of it: another does not take its place unasked.
fn refuse_another(boot: &Boot, to: &Path) -> anyhow::Result<()> {
    let Some(other) = kept::read(to).ok().filter(|other| Identity::of(other) != Identity::of(boot)) else {
        return Ok(());
    };
    anyhow::bail!(
        "{}: this file has another boot (Linux {}{}); give another -o, or --replace",
        to.display(),
        printable(&other.meta.release),
        match trend_text::date(other.meta.started_at) {
            date if date.is_empty() => date,
            date => format!(", recorded {date} UTC"),
        }
    )
}

/// Writes a boot to a file; directories above it are made.
pub fn write(boot: &Boot, path: &Path) -> anyhow::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    let output = Output::open(Some(path))?;
    let mut bytes = Vec::new();
    kept::write(boot, &mut bytes)?;
    output.bytes(&bytes)?;
    output.done()?;
    anstream::eprintln!("written: {}", path.display());
    Ok(())
}

/// `boots/a/trace` becomes `boots-a-trace.boot.zst`.
fn file_name(path: &Path) -> String {
    let parts: Vec<String> = path
        .components()
        .filter_map(|part| match part {
            std::path::Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    let last: Vec<String> = parts.into_iter().rev().take(3).collect();
    let name = last.into_iter().rev().collect::<Vec<_>>().join("-");
    format!("{}{}", name.trim_end_matches(kept::ENDING), kept::ENDING)
}
