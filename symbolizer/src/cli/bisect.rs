// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize bisect`: from a good and a bad kernel to the first bad commit and the function. In: arguments. Out: the
//! first line names both, then the report. Never here: the search.

mod lab;
mod shown;
pub mod step;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use symbolizer::bisect::drive::{self, Plan};
use symbolizer::bisect::git::{Git, Place};
use symbolizer::bisect::kernels;
use symbolizer::bisect::list::List;
use symbolizer::bisect::measure::Measure;
use symbolizer::bisect::search::Search;
use symbolizer::bisect::work::Work;
use symbolizer::bisect::{BisectError, build};

use self::lab::{Booting, Building, Judging};
use self::shown::Progress;
use super::output::Output;
use super::report::width;

const EXAMPLES: &str = "\
Examples:
  symbolize bisect --tree linux --good v6.1 --bad HEAD --initrd initrd.img --append console=ttyS0 \\
    -- qemu-system-x86_64 -M q35 -cpu max -m 1G -nographic -no-reboot
      builds small kernels, boots each once where time is instructions, and finds the commit
  symbolize bisect --tree linux --good v6.1 --bad HEAD --config .config ... -- qemu-system-x86_64 ...
  symbolize bisect --tree linux --good v6.1 --bad HEAD --build 'make -j8 O=$EFT_OBJECTS vmlinux' \\
    --vmlinux ../objects/vmlinux ... -- qemu-system-x86_64 ...
  symbolize bisect --kernels packages/ ... -- qemu-system-x86_64 ...
      packages linux-image-*-dbg or vmlinux files in order, no git
  symbolize bisect ... --what 'level fs time' ...       only this figure counts
  git bisect run symbolize bisect step --like good/ bad/ ... -- qemu-system-x86_64 ...

It works in --work, where the same command goes on after an interruption; symbolizer/BISECT.md tells more.

Exit codes: 0 found, 1 one of several kernels it is, 2 an error (the ends do not differ, for one), 130 interrupted.";

/// Arguments of `symbolize bisect`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    step: Option<Sub>,
    /// The kernel's repository; its checkout is not touched
    #[arg(long, value_name = "DIR", required_unless_present = "kernels", requires = "good", requires = "bad")]
    tree: Option<PathBuf>,
    /// A revision that is as it should be
    #[arg(long, value_name = "REV", requires = "tree")]
    good: Option<String>,
    /// A revision that is not
    #[arg(long, value_name = "REV", requires = "tree")]
    bad: Option<String>,
    /// Instead of a repository: kernels in order, the first good, the last bad (may be repeated). A vmlinux, a package
    /// that has one, a directory of these (in the order of their versions), a text file with a path in each line
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "tree")]
    kernels: Vec<PathBuf>,
    /// Check commits out in --tree itself, for builds that need files there which git does not know
    #[arg(long, requires = "tree")]
    in_place: bool,
    /// Directory for all that is made on the way; the same command goes on there
    #[arg(long, value_name = "DIR", default_value = "eft-bisect")]
    work: PathBuf,
    /// Forget an unfinished search in --work; kernels' boots there count nevertheless
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    building: Building,
    #[command(flatten)]
    judging: Judging,
    #[command(flatten)]
    booting: Booting,
    /// Write the result to a file
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
}

#[derive(clap::Subcommand, Debug)]
enum Sub {
    /// One step for `git bisect run`: exit code 0 good, 1 bad, 125 cannot be told, 128 an error
    Step(step::Args),
}

/// Runs it; the exit code.
pub fn run(args: Args) -> anyhow::Result<u8> {
    if let Some(Sub::Step(step)) = args.step {
        return Ok(step::run(&step));
    }
    let mut progress = Progress::new();
    match bisect(&args, &mut progress) {
        Err(error) if matches!(error.downcast_ref(), Some(BisectError::Stopped)) => Ok(130),
        other => {
            progress.finish();
            other
        }
    }
}

fn bisect(args: &Args, progress: &mut Progress) -> anyhow::Result<u8> {
    let output = Output::open(args.output.as_deref())?;
    let work = Work::open(&args.work)?;
    let dir = work.dir().to_owned();
    let hands = lab::hands(&dir)?;
    let (search, what, build_settings) = search(args, &dir)?;
    let booter = args.booting.booter(&lab::read)?;
    let (boots, by) = (args.booting.boots(), args.judging.by());
    let told = format!("{what}{}, {boots} boots of each\n{}{build_settings}", args.judging.words(), booter.settings());
    let plan = Plan {
        search: told,
        restart: args.restart,
        boots,
        by,
        options: args.judging.options(),
        keep_kernels: args.booting.keeps_traces(),
    };
    let limit = args.booting.timeout();
    let mut measure = Measure { search, build_settings, booter, work, hands, tell: progress, limit };
    let found = drive::run(&mut measure, &plan)?;
    drop(measure);
    progress.finish();
    let text = shown::report(&found, &dir, width(None))?;
    let report = dir.join("report.txt");
    std::fs::write(&report, anstream::adapter::strip_str(&text).to_string())
        .with_context(|| format!("cannot write {}", report.display()))?;
    output.text(text.as_bytes())?;
    output.done()?;
    Ok(u8::from(found.candidates.len() > 1))
}

/// Where kernels come from; the same in words; how they are built, in words.
fn search(args: &Args, work: &Path) -> anyhow::Result<(Box<dyn Search>, String, String)> {
    let (Some(tree), Some(good), Some(bad)) = (&args.tree, &args.good, &args.bad) else {
        let none = args.building.is_none();
        ensure!(none, "--kernels: they are built already; --build, --config, --fragment and --vmlinux are for --tree");
        let kernels = kernels::kernels(&args.kernels)?;
        let list = List::new(kernels);
        let words = list.words();
        return Ok((Box::new(list), words, String::from("build: none\n")));
    };
    let tree = tree.canonicalize().with_context(|| format!("--tree {}: cannot find it", tree.display()))?;
    let builder: build::Builder = args.building.builder(&work.join("objects"), true)?;
    let settings = builder.settings();
    let place = if args.in_place { Place::Here } else { Place::Own(work.join("tree")) };
    let git = Git::new(&tree, (good, bad), place, builder, &work.join("bisect-log"))?;
    let (first, last) = git.ends();
    let what = format!("tree {}\ngood {}\nbad {}\n", tree.display(), first.id, last.id);
    Ok((Box::new(git), what, settings))
}
