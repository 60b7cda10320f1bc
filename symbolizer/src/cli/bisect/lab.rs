// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What bisect and its single step have in common: how kernels are built, booted and judged. In: arguments. Out: what
//! the library wants. Never here: the search.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use kernel_config::build::{Config, SMALL, jobs};
use symbolizer::bisect::boots::{Booter, Reader};
use symbolizer::bisect::build::{Builder, How};
use symbolizer::bisect::child::Hands;
use symbolizer::bisect::figure::Figure;
use symbolizer::bisect::verdict::By;
use symbolizer::compare::boot::Boot;
use symbolizer::compare::judge::Options;

use crate::cli::boots::Boots;
use crate::cli::phases::Phases;
use crate::cli::signals;

/// Boots of each kernel in real time: with fewer on each side no test can tell anything.
const BOOTS: usize = 5;

/// How kernels are built.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "How kernels are built")]
pub struct Building {
    /// Command for sh -c, in the tree, with $EFT_COMMIT and $EFT_OBJECTS (a directory that is kept) [default: a small
    /// kernel by kernel-config, of which only what has changed is built again]
    #[arg(long, value_name = "COMMAND")]
    build: Option<String>,
    /// Where the vmlinux is after --build, from the tree
    #[arg(long, value_name = "PATH")]
    vmlinux: Option<PathBuf>,
    /// A whole .config instead of the small kernel's
    #[arg(long, value_name = "FILE", conflicts_with = "build")]
    config: Option<PathBuf>,
    /// On top of the small kernel's configuration (may be repeated)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["build", "config"])]
    fragment: Vec<PathBuf>,
    /// Jobs of the build [default: as many as there are processors]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
}

impl Building {
    /// Nothing was said of it.
    pub fn is_none(&self) -> bool {
        self.build.is_none() && self.vmlinux.is_none() && self.config.is_none() && self.fragment.is_empty()
    }

    /// With objects there. `must`: a vmlinux alone is no way to build.
    pub fn builder(&self, objects: &Path, must: bool) -> anyhow::Result<Builder> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).with_context(|| format!("cannot read the configuration {}", path.display()))
        };
        let how = match (&self.build, &self.config, &self.vmlinux) {
            (Some(command), ..) => How::Command(command.clone()),
            (None, Some(config), _) => How::Config(Config::Whole(read(config)?)),
            (None, None, Some(_)) if !must => How::Nothing,
            (None, None, Some(_)) => anyhow::bail!("--vmlinux says where --build leaves it: give --build, too"),
            (None, None, None) => {
                let added = self.fragment.iter().map(read).collect::<anyhow::Result<String>>()?;
                How::Config(Config::Fragment(format!("{SMALL}{added}")))
            }
        };
        let vmlinux = self.vmlinux.clone().unwrap_or_else(|| PathBuf::from("vmlinux"));
        Ok(Builder { how, objects: objects.to_owned(), vmlinux, jobs: self.jobs.unwrap_or_else(jobs) })
    }
}

/// What tells a bad kernel.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "What tells a bad kernel")]
pub struct Judging {
    /// A figure: 'boot time', 'level fs time', 'initcall foo_init calls', 'function foo own' [default: what differs
    /// most clearly between the ends]
    #[arg(long, value_name = "FIGURE", conflicts_with = "test")]
    what: Option<Figure>,
    /// Command for sh -c, with the kept boots as its last arguments: exit code 0 good, 125 cannot be told, else bad
    #[arg(long, value_name = "COMMAND")]
    test: Option<String>,
}

impl Judging {
    /// For the library.
    pub fn by(&self) -> By {
        match (&self.what, &self.test) {
            (Some(figure), _) => By::Figure(figure.clone()),
            (None, Some(command)) => By::Test(command.clone()),
            (None, None) => By::Ends,
        }
    }

    /// In words.
    pub fn words(&self) -> String {
        match self.by() {
            By::Ends => "judged by what differs between the ends".to_owned(),
            By::Figure(figure) => format!("judged by {figure}"),
            By::Test(command) => format!("judged by the command {command}"),
        }
    }

    /// How boots are compared.
    pub fn options(&self) -> Options {
        Options::default()
    }
}

/// How kernels are booted.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "How kernels are booted")]
pub struct Booting {
    /// Boots of each kernel [default: 1, with --real-time 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    boots: Option<u16>,
    /// Time is instructions, so that a kernel boots the same each time, and one boot tells all (the default)
    #[arg(long, conflicts_with = "real_time")]
    deterministic: bool,
    /// Time is the machine's: several boots of each kernel, both ends again beside each
    #[arg(long)]
    real_time: bool,
    /// Kernel command line
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    append: String,
    /// Initial RAM disk; its init must power off
    #[arg(long, value_name = "PATH")]
    initrd: Option<PathBuf>,
    /// Most seconds that a boot takes; once both ends have booted, ten times as long as they took is enough
    #[arg(long, value_name = "SECS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
    /// Size of each CPU's ring in MiB, see record
    #[arg(long, value_name = "N")]
    ring_mib: Option<u32>,
    /// Keep all traces and kernels, not only small files of the boots
    #[arg(long)]
    keep_traces: bool,
    /// The virtual machine: QEMU and its arguments
    // Optional for the type only: a subcommand in its place lifts the requirement.
    #[arg(last = true, required = true, value_name = "QEMU")]
    command: Vec<OsString>,
}

impl Booting {
    /// Time is instructions.
    pub fn is_deterministic(&self) -> bool {
        !self.real_time
    }

    /// Traces and kernels stay.
    pub fn keeps_traces(&self) -> bool {
        self.keep_traces
    }

    /// Of each kernel.
    pub fn boots(&self) -> usize {
        self.boots.map_or(if self.real_time { BOOTS } else { 1 }, usize::from)
    }

    /// Of a boot.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout))
    }

    /// For the library; `read` reads traces.
    pub fn booter<'a>(&self, read: &'a Reader<'a>) -> anyhow::Result<Booter<'a>> {
        let symbolize = std::env::current_exe().context("cannot find this program")?;
        let absolute = |path: &PathBuf| std::path::absolute(path).context("--initrd");
        let initrd = self.initrd.as_ref().map(absolute).transpose()?;
        if let Some(path) = &initrd {
            anyhow::ensure!(path.is_file(), "--initrd {}: no such file", path.display());
        }
        let record = self.ring_mib.map(|mib| [OsString::from("--ring-mib"), mib.to_string().into()]);
        Ok(Booter {
            symbolize,
            append: self.append.clone(),
            initrd,
            deterministic: self.is_deterministic(),
            record: record.into_iter().flatten().collect(),
            command: self.command.clone(),
            keep_traces: self.keep_traces,
            read,
        })
    }
}

/// Makes a kept boot of a trace.
pub fn read(trace: &Path, vmlinux: &Path, name: &str) -> Result<Boot, String> {
    let boots = Boots::default().read(&[trace.to_owned()], &[vmlinux.to_owned()], &Phases::quiet());
    let mut boot = boots.map_err(|error| format!("{error:#}"))?.pop().ok_or("it has no boot")?;
    name.clone_into(&mut boot.name);
    Ok(boot)
}

/// Programs are run until Ctrl-C or a request to terminate.
pub fn hands(work: &Path) -> anyhow::Result<Hands> {
    Ok(Hands::new(signals::count(&[])?, work))
}
