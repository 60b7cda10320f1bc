// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize bisect step`: one step for `git bisect run`. In: boots of a good and a bad kernel, the tree as it is
//! checked out. Out: an exit code that git understands. Never here: the search, which is git's.

use std::ffi::OsString;
use std::path::PathBuf;

use symbolizer::bisect::BisectError;
use symbolizer::bisect::boots::{Outcome, told as told_of_boot};
use symbolizer::bisect::search::{Candidate, Made};
use symbolizer::bisect::verdict::{Judge, Verdict};
use symbolizer::bisect::work::Work;
use symbolizer::compare::kept;

use super::lab::{self, Booting, Building, Judging};
use crate::cli::boots::{self, Boots};
use crate::cli::keep;
use crate::cli::phases::Phases;

const EXAMPLES: &str = "\
Examples:
  git bisect start BAD GOOD
  git bisect run symbolize bisect step --like good/ bad/ --initrd initrd.img --append console=ttyS0 \\
    -- qemu-system-x86_64 -M q35 -cpu max -m 1G -nographic -no-reboot
  symbolize bisect step --like good/ bad/ --vmlinux vmlinux ...      the kernel is built already

good/ and bad/ have traces or kept boots (symbolize keep) that were made in the same way.

Exit codes: 0 good, 1 bad, 125 it does not build or boot, or cannot be told, 128 an error, 130 interrupted; git bisect
run stops at the last two.";

/// git stops at codes from here on, instead of taking them for bad.
const ERROR: u8 = 128;

/// Arguments of `symbolize bisect step`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Traces or kept boots of a good kernel and of a bad one: two paths, or directories
    #[arg(long, num_args = 2, required = true, value_names = ["GOOD", "BAD"])]
    like: Vec<PathBuf>,
    /// The source tree, as it is checked out
    #[arg(long, value_name = "DIR", default_value = ".")]
    tree: PathBuf,
    /// Directory for objects, logs and boots, kept from step to step
    #[arg(long, value_name = "DIR", default_value = "eft-bisect")]
    work: PathBuf,
    #[command(flatten)]
    building: Building,
    #[command(flatten)]
    judging: Judging,
    #[command(flatten)]
    booting: Booting,
}

/// Whether the words of a command line that is not understood ask for a step.
pub fn is_asked_for(mut words: impl Iterator<Item = OsString>) -> bool {
    let mut words = words.by_ref().take_while(|word| word != "--");
    words.any(|word| word == "bisect") && words.any(|word| word == "step")
}

/// What clap says instead of a step; the exit code.
pub fn refused(error: &clap::Error) -> u8 {
    // Nobody may read it.
    let _ = error.print();
    if error.use_stderr() { ERROR } else { 0 }
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> u8 {
    // A panic ends with 101, which is bad to git.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| told(args))).unwrap_or(ERROR)
}

fn told(args: &Args) -> u8 {
    match step(args) {
        Ok((verdict, why)) => {
            let (word, code) = match verdict {
                Verdict::Good => ("good", 0),
                Verdict::Bad => ("bad", 1),
                Verdict::Unclear(_) => ("cannot be told", 125),
            };
            anstream::eprintln!("symbolize: {word}: {why}");
            code
        }
        Err(error) if matches!(error.downcast_ref(), Some(BisectError::Stopped)) => 130,
        Err(error) => {
            anstream::eprintln!("symbolize: {error:#}");
            ERROR
        }
    }
}

/// What the kernel is like, and why.
fn step(args: &Args) -> anyhow::Result<(Verdict, String)> {
    let tree = args.tree.canonicalize()?;
    let work = Work::open(&args.work)?;
    let hands = lab::hands(work.dir())?;
    let mut ends = Vec::new();
    for path in &args.like {
        let found = boots::look(std::slice::from_ref(path))?;
        ends.push(Boots::default().read(&found.boots, &found.vmlinux, &Phases::quiet())?);
    }
    let judge = Judge::new(&args.judging.by(), &ends[0], &ends[1], &args.judging.options())?;
    let candidate = Candidate { id: "step".to_owned(), title: String::new() };
    let dir = work.commit(&candidate)?;
    let unclear = |why: String| Ok((Verdict::Unclear(why.clone()), why));
    let builder = args.building.builder(&work.dir().join("objects"), false)?;
    let vmlinux = match builder.build(&tree, &candidate, &dir, &hands)? {
        Made::Kernel(vmlinux) => vmlinux,
        Made::No(why) => return unclear(format!("does not build: {why}")),
    };
    let booter = args.booting.booter(&lab::read)?;
    let (mut all, mut files) = (Vec::new(), Vec::new());
    for number in 1..=args.booting.boots() {
        let name = format!("step {number}");
        match booter.boot(&vmlinux, &name, (&dir, number), args.booting.timeout(), &hands)? {
            Outcome::Boot(boot) => {
                let file = dir.join(format!("{number}{}", kept::ENDING));
                keep::write(&boot, &file)?;
                files.push(file);
                all.push(*boot);
            }
            Outcome::No(why) => return unclear(told_of_boot(&why)),
        }
    }
    let verdict = judge.judge(&all, &files, &dir, &hands)?;
    let why = match &verdict {
        Verdict::Unclear(why) => why.clone(),
        Verdict::Good | Verdict::Bad => judge.words(),
    };
    Ok((verdict, why))
}
