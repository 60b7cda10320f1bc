// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `kernel-config`: kernels that are built from source. In: arguments. Out: a changed tree, a diff or an
//! answer on stdout; exit code 0 done, 1 `check` found something missing, 2 an error.

use clap::{Parser, Subcommand};
use kernel_config::build::{Build, Config, SMALL, jobs};
use kernel_config::check;
use kernel_config::intree::{self, IntegrateError, Plan, diff};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode};

#[derive(Parser)]
#[command(name = "kernel-config", version, about = "Puts the boot tracer into a Linux source tree, and looks whether a kernel can be traced", long_about = None)]
#[command(after_help = "Examples:
  kernel-config integrate --diff linux-6.1 | less    what would be changed
  kernel-config integrate linux-6.1                  then: make menuconfig, CONFIG_HYPERGRAPH
  kernel-config remove linux-6.1                     the tree as it was, byte for byte
  kernel-config check .config
  kernel-config check vmlinux
  kernel-config build linux-6.1 -o objects           a small kernel that can be traced: objects/vmlinux")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Add CONFIG_HYPERGRAPH to a source tree; doing it twice is doing it once
    Integrate(Tree),
    /// Take it out again, byte for byte
    Remove(Tree),
    /// Say whether a kernel can be traced, and what is missing
    #[command(after_help = "Exit code 1 if something is missing.")]
    Check {
        /// A vmlinux, or the .config of a build
        #[arg(value_name = "VMLINUX|.config")]
        path: PathBuf,
    },
    /// Build a kernel that can be traced; the next build costs what has changed
    #[command(after_help = "Equal source gives an equal kernel: user, host and time of the build are fixed, and the \
                            release does not name the commit. ccache is used if it is installed.")]
    Build(BuildArgs),
}

#[derive(clap::Args)]
struct BuildArgs {
    /// Top of the source tree; nothing is written there
    #[arg(value_name = "LINUX_TREE")]
    tree: PathBuf,
    /// Directory for objects, kept from build to build
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// A whole .config, instead of the small kernel's
    #[arg(long, value_name = "FILE", conflicts_with = "fragment")]
    config: Option<PathBuf>,
    /// On top of the small kernel's configuration (may be repeated)
    #[arg(long, value_name = "FILE")]
    fragment: Vec<PathBuf>,
    /// Commands at the same time [default: as many as there are processors]
    #[arg(short, long)]
    jobs: Option<usize>,
    /// What to build (may be repeated)
    #[arg(long, value_name = "NAME", default_value = "vmlinux")]
    target: Vec<String>,
    /// Do not use ccache
    #[arg(long)]
    no_ccache: bool,
}

#[derive(clap::Args)]
struct Tree {
    /// Top of the source tree
    #[arg(value_name = "LINUX_TREE")]
    tree: PathBuf,
    /// Print the change as a patch, and change nothing
    #[arg(long)]
    diff: bool,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Integrate(Tree { tree, diff }) => change(intree::integrate(&tree), &tree, diff, "integrated"),
        Command::Remove(Tree { tree, diff }) => change(intree::remove(&tree), &tree, diff, "removed"),
        Command::Check { path } => check(&path),
        Command::Build(args) => build(args),
    };
    done.unwrap_or_else(|message| {
        eprintln!("kernel-config: {message}");
        ExitCode::from(2)
    })
}

fn change(plan: Result<Plan, IntegrateError>, tree: &Path, only_diff: bool, word: &str) -> Result<ExitCode, String> {
    let plan = plan.map_err(|error| error.to_string())?;
    let mut text = String::new();
    let mut count = 0;
    for (path, before, after) in plan.changes() {
        count += 1;
        if only_diff {
            text.push_str(&diff::unified(path, before, after));
        }
    }
    if !only_diff {
        plan.write().map_err(|error| error.to_string())?;
        text = match count {
            0 => format!("{}: nothing to change\n", tree.display()),
            _ => format!("{}: {word}, {count} files changed\n", tree.display()),
        };
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn check(path: &Path) -> Result<ExitCode, String> {
    let found = check::check(path).map_err(|error| error.to_string())?;
    let mut text: String = found.facts.iter().map(|fact| format!("{fact}\n")).collect();
    for missing in &found.missing {
        text.push_str(&format!("missing: {missing}\n"));
    }
    if found.missing.is_empty() {
        text.push_str("can be traced\n");
    }
    print(&text)?;
    Ok(ExitCode::from(u8::from(!found.missing.is_empty())))
}

fn build(args: BuildArgs) -> Result<ExitCode, String> {
    let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()));
    let config = match &args.config {
        Some(path) => Config::Whole(read(path)?),
        None => {
            let added = args.fragment.iter().map(read).collect::<Result<String, _>>()?;
            Config::Fragment(format!("{SMALL}{added}"))
        }
    };
    let (tree, objects) = (absolute(&args.tree)?, absolute(&args.output)?);
    let build = Build {
        config,
        targets: args.target,
        jobs: args.jobs.unwrap_or_else(jobs),
        ccache: !args.no_ccache,
        ..Build::small(&tree, &objects)
    };
    eprintln!("kernel-config: building; {} tells more", build.log.display());
    let vmlinux = build.run(&mut |command: &mut Process| command.status()).map_err(|error| chain(&error))?;
    print(&format!("{}\n", vmlinux.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", chain(cause)))
}

/// A reader that has closed its end has seen enough.
fn print(text: &str) -> Result<(), String> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("stdout: {error}")),
        _ => Ok(()),
    }
}
