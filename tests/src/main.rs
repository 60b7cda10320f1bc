// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask`: the command line over the library. In: arguments. Out: exit code 0 done, 1 a check
//! failed, 2 an error with its reason on stderr.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use xtask::kernel_build::{self, Flavour};
use xtask::kernels::Kernel;
use xtask::planted::history::KINDS;
use xtask::steps::Steps;
use xtask::{bench, checks, demo, pictures, planted, testbed};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Demo, tests and measurements of early-ftrace", long_about = None)]
#[command(after_help = "Examples:
  cargo xtask demo                 trace the boot of Debian's 6.1 cloud kernel and report it
  cargo xtask test                 all tests, with real boots
  cargo xtask bench                the project's figures against their targets
  cargo xtask COMMAND --help       more about one of them")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trace the boot of a stock Debian kernel and print what happened in it
    #[command(after_help = "Examples:
  cargo xtask demo
  cargo xtask demo --kernel 6.12 --cpus 2
  cargo xtask demo --vmlinux /usr/lib/debug/boot/vmlinux-$(uname -r) --keep /tmp/demo

The first run downloads Debian's debug package of the kernel (about 300 MB) to
$XDG_CACHE_HOME/early-ftrace, by default ~/.cache/early-ftrace, and installs QEMU if
it is missing (as root or through sudo).")]
    Demo {
        #[command(flatten)]
        kernel: KernelArgs,
        /// Virtual CPUs
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
        cpus: u32,
        /// Keep the initial RAM disk and the trace here [default: target/demo, replaced by each demo]
        #[arg(long, value_name = "DIR")]
        keep: Option<PathBuf>,
    },
    /// Install what is missing and run all tests of the workspace, with real boots
    #[command(after_help = "Examples:
  cargo xtask test
  cargo xtask test -- --test system counts

What stands after -- goes to `cargo test --workspace`.")]
    Test {
        /// Arguments for cargo test
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Measure the project's figures and compare them with their targets
    #[command(after_help = "Examples:
  cargo xtask bench
  cargo xtask bench --kernel 6.12

  cargo xtask bench channels
  cargo xtask bench levels
  cargo xtask bench in-tree
  cargo xtask bench micro
  cargo xtask bench overhead
  cargo xtask bench scale
  cargo xtask bench names
  cargo xtask bench nesting
  cargo xtask bench noise
  cargo xtask bench readers
  cargo xtask bench recorder
  cargo xtask bench regressions
  cargo xtask bench regressions --kind cpu

Prints a table and writes target/bench/summary.json (of a part: its own file). Exit code 1 if a
target is missed.")]
    Bench {
        /// What to measure: the whole, or each boot level alone
        #[arg(value_enum, default_value_t = Part::All)]
        part: Part,
        /// Of regressions: only this one (may be repeated)
        #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(KINDS.iter().map(|kind| kind.name)))]
        kind: Vec<String>,
        #[command(flatten)]
        kernel: KernelArgs,
    },
    /// Build a small kernel from Debian's source, with the tracer in the tree
    #[command(after_help = "Examples:
  cargo xtask kernel
  cargo xtask kernel --plain
  cargo xtask kernel --series 6.12

Prints the paths of its vmlinux and bzImage. The first build takes some minutes; what nothing has
changed for is taken from the cache, $XDG_CACHE_HOME/early-ftrace, by default ~/.cache/early-ftrace.")]
    Kernel {
        /// As Debian has it, without CONFIG_HYPERGRAPH
        #[arg(long)]
        plain: bool,
        /// Series of Debian's linux-source
        #[arg(long, default_value = "6.1", value_name = "SERIES")]
        series: String,
    },
    /// Take the pictures of the HTML report that the README shows
    #[command(after_help = "Examples:
  cargo xtask pictures
  cargo xtask pictures --page target/demo/boot.html --out /tmp/pictures

Without --page it runs the demo first. Chromium takes the pictures, light and dark.")]
    Pictures {
        #[command(flatten)]
        kernel: KernelArgs,
        /// Of this page
        #[arg(long, value_name = "FILE")]
        page: Option<PathBuf>,
        /// Where to [default: symbolizer/pictures]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Make a kernel's source with regressions in its history, and print how each is searched
    #[command(after_help = "Examples:
  cargo xtask planted

A git repository of Debian's linux-source in the cache, with a branch for each kind of regression
and the tag planted-good where all begin. `cargo xtask bench regressions` searches them all.")]
    Planted,
    /// Run a script on a host with real KVM (emulated): root, tracefs, trace-cmd, perf, kvm-amd
    #[command(after_help = "Examples:
  cargo xtask testbed script.sh --out results
  cargo xtask testbed script.sh --file symbolize=target/debug/symbolize --qemu --out results

The script runs in /in, beside the files given and `hypercalls` (tests/guest/hypercalls.rs), a small
virtual machine; what it leaves in /out is copied to --out. Its output is printed.")]
    Testbed {
        /// The shell script
        script: PathBuf,
        /// A file for /in (may be repeated)
        #[arg(long, value_name = "NAME=PATH", value_parser = named)]
        file: Vec<(String, PathBuf)>,
        /// With QEMU
        #[arg(long)]
        qemu: bool,
        /// Its clocks count instructions, one a nanosecond
        #[arg(long)]
        icount: bool,
        /// With LTTng: `lttng`, `lttng-sessiond` and its modules
        #[arg(long)]
        lttng: bool,
        /// CPUs of the host
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
        cpus: u32,
        /// Where its files go
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Give up after this time
        #[arg(long, default_value_t = 120, value_name = "SECS")]
        limit: u64,
    },
    /// Build what is checked out in the tree in which regressions are planted: what bisections call
    #[command(hide = true)]
    PlantedKernel {
        /// The directory with the tree
        root: PathBuf,
        /// That program
        kernel_config: PathBuf,
    },
    /// Rewrite the golden files from what the code prints now
    #[command(after_help = "Examples:
  cargo xtask bless && git diff

Runs the tests with `golden` in their name under EFT_BLESS=1. Look at the difference before
you commit it.")]
    Bless,
    /// Formatting, lints, documentation, then all tests
    #[command(after_help = "Examples:
  cargo xtask ci")]
    Ci,
}

/// What `bench` measures.
#[derive(clap::ValueEnum, Clone, Copy)]
enum Part {
    /// The guest's cost, the host's speed
    All,
    /// The same boot by each channel
    Channels,
    /// Each boot level traced alone
    Levels,
    /// A kernel from source, with the tracer in its tree
    InTree,
    /// System calls and context switches under each tracer, in instructions
    Micro,
    /// What of the recorder's own cost --correct leaves in the times
    Overhead,
    /// Reports of boots of 10, 100 and 322 million events
    Scale,
    /// Addresses to names, beside llvm-symbolizer and addr2line
    Names,
    /// Hypercalls and shared memory of a guest, and of a guest in a guest
    Nesting,
    /// False alarms of `symbolize diff` between boots of one kernel
    Noise,
    /// Reading a trace, beside trace-cmd, babeltrace2 and uftrace
    Readers,
    /// KVM's events through perf's rings and by BPF, in instructions of the host
    Recorder,
    /// Regressions planted in a kernel's history, found by `symbolize bisect`
    Regressions,
}

#[derive(clap::Args)]
struct KernelArgs {
    /// Series of Debian's cloud kernel
    #[arg(long, default_value = "6.1", value_name = "SERIES")]
    kernel: String,
    /// Use this kernel image with debug information instead of Debian's
    #[arg(long, value_name = "PATH", conflicts_with = "kernel")]
    vmlinux: Option<PathBuf>,
}

impl From<KernelArgs> for Kernel {
    fn from(arguments: KernelArgs) -> Self {
        match arguments.vmlinux {
            Some(path) => Kernel::File(path),
            None => Kernel::Series(arguments.kernel),
        }
    }
}

fn kernel(series: &str, flavour: Flavour) -> anyhow::Result<bool> {
    let steps = Steps::default();
    let built = kernel_build::build(series, flavour, &steps)?;
    steps.step("done");
    println!("{}\n{}", built.vmlinux.display(), built.image.display());
    Ok(true)
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("expected NAME=PATH")?;
    Ok((name.to_owned(), path.into()))
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo { kernel, cpus, keep } => demo::run(&kernel.into(), cpus, keep.as_deref()),
        Command::Test { arguments } => checks::test(&arguments),
        Command::Bench { part: Part::All, kernel, .. } => bench::run(&kernel.into()),
        Command::Bench { part: Part::Channels, kernel, .. } => bench::channels::run(&kernel.into()),
        Command::Bench { part: Part::Levels, kernel, .. } => bench::levels::run(&kernel.into()),
        Command::Kernel { plain, series } => kernel(&series, if plain { Flavour::Plain } else { Flavour::Hypergraph }),
        Command::Bench { part: Part::InTree, kernel, .. } => bench::intree::run(&kernel.kernel),
        Command::Bench { part: Part::Micro, kernel, .. } => bench::micro::run(&kernel.into()),
        Command::Bench { part: Part::Overhead, kernel, .. } => bench::overhead::run(&kernel.into()),
        Command::Bench { part: Part::Recorder, .. } => bench::recorder::run(),
        Command::Bench { part: Part::Scale, kernel, .. } => bench::scale::run(&kernel.into()),
        Command::Pictures { kernel, page, out } => pictures::run(&kernel.into(), page.as_deref(), out.as_deref()),
        Command::Bench { part: Part::Names, kernel, .. } => bench::names::run(&kernel.into()),
        Command::Bench { part: Part::Nesting, .. } => bench::nesting::run(),
        Command::Bench { part: Part::Noise, kernel, .. } => bench::noise::run(&kernel.into()),
        Command::Bench { part: Part::Readers, kernel, .. } => bench::readers::run(&kernel.into()),
        Command::Bench { part: Part::Regressions, kind, .. } => bench::regressions::run(&kind),
        Command::Planted => planted::run(),
        Command::Testbed { script, file, qemu, lttng, icount, cpus, out, limit } => {
            let parts = testbed::Parts { qemu, lttng, icount, cpus };
            testbed::command(&script, &file, &parts, out.as_deref(), Duration::from_secs(limit))
        }
        Command::PlantedKernel { root, kernel_config } => planted::kernels::build_checked_out(&root, &kernel_config),
        Command::Bless => checks::bless(),
        Command::Ci => checks::ci(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}
