// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What most commands begin with: a trace and the vmlinux of its kernel. In: arguments. Out: [`Opened`], with
//! build IDs compared and KASLR undone. Never here: calls, output.

use std::path::{Path, PathBuf};

use symbolizer::calltree::both::Both;
use symbolizer::calltree::build::build;
use symbolizer::calltree::exits::{Exits, Place, Sums};
use symbolizer::calltree::filter::Wanted;
use symbolizer::calltree::levels::Levels;
use symbolizer::calltree::overhead::costs::Costs;
use symbolizer::calltree::overhead::{Corrected, Subtracted, build_without};
use symbolizer::calltree::phases::Timeline;
use symbolizer::calltree::sink::{Nothing, Sink};
use symbolizer::calltree::steal::{Taken, Unstolen};
use symbolizer::calltree::{Filter, Task, Totals};
use symbolizer::decode::pipeline;
use symbolizer::host::placed::Reason;
use symbolizer::report::Names;
use symbolizer::report::overhead::Reference;
use symbolizer::report::units::Clock;
use symbolizer::resolve::{ModuleFiles, Vmlinux};
use symbolizer::trace_dir::{Meta, TraceDir};

use super::filters::Filters;
use super::host::Host;
use super::index::Index;
use super::names::Keep;
use super::overhead::Overhead;
use super::phases::Phases;

/// The arguments for it.
#[derive(clap::Args, Debug)]
pub struct Source {
    /// The trace directory
    // Optional for the type only: a subcommand in their place lifts the requirement.
    #[arg(required = true)]
    trace: Option<PathBuf>,
    /// The vmlinux with symbols of the kernel that was traced
    #[arg(required = true)]
    vmlinux: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

/// How traces are read.
#[derive(clap::Args, Debug, Default)]
pub struct Reading {
    /// Look for modules' .ko files in and below DIR too, not only where packages put them (may be repeated)
    #[arg(long, value_name = "DIR")]
    modules: Vec<PathBuf>,
    /// Go on although the vmlinux is of another kernel than the trace, or boots to merge are not alike
    #[arg(long)]
    pub force: bool,
    /// Neither read nor write the trace's index, which finds times and levels in large traces
    #[arg(long)]
    no_index: bool,
    /// Names kept from run to run.
    #[command(flatten)]
    pub keep: Keep,
    #[command(flatten)]
    overhead: Overhead,
}

/// A trace and the names of its functions.
pub struct Opened<'a> {
    /// The trace.
    pub trace: TraceDir,
    /// The names.
    pub names: Names<'a>,
    /// Ticks to nanoseconds.
    pub clock: Clock,
    /// The phases of the boot, as far as meta.json knows them.
    pub timeline: Timeline,
    /// What the host has seen, if that was recorded.
    pub host: Option<Host>,
    /// The index beside the trace.
    pub index: Index,
    /// The same as recorded, before anything was subtracted.
    pub recorded: Timeline,
    /// What the recorder costs, if that is to be subtracted from all times.
    pub costs: Option<Costs>,
    /// The boot without the recorder, to compare with.
    pub untraced: Option<Reference>,
}

/// What a run has found of the host.
pub struct HostSums {
    /// Where, why, what it cost.
    pub rows: Vec<(Place, Reason, Sums)>,
    /// Exits that the filter has left out, if there was one.
    pub left_out: Option<u64>,
    /// Steal that was taken off all times.
    pub taken: Option<Taken>,
}

impl Source {
    fn paths(&self) -> anyhow::Result<(&Path, &Path)> {
        match (&self.trace, &self.vmlinux) {
            (Some(trace), Some(vmlinux)) => Ok((trace, vmlinux)),
            _ => anyhow::bail!("a trace and a vmlinux are needed: symbolize TRACE VMLINUX (or symbolize --help)"),
        }
    }

    /// The vmlinux; [`Source::open`] borrows it.
    pub fn vmlinux(&self) -> anyhow::Result<Vmlinux> {
        Ok(Vmlinux::open(self.paths()?.1)?)
    }

    /// Opens the trace and reads the symbols.
    pub fn open<'a>(&self, vmlinux: &'a Vmlinux, phases: &mut Phases) -> anyhow::Result<Opened<'a>> {
        self.reading.open(self.paths()?.0, vmlinux, phases)
    }
}

impl Reading {
    /// Opens a trace of that kernel and reads the symbols.
    pub fn open<'a>(&self, trace: &Path, vmlinux: &'a Vmlinux, phases: &mut Phases) -> anyhow::Result<Opened<'a>> {
        let trace = TraceDir::open(trace)?;
        phases.done("open the trace");
        let mut names = self.keep.names(vmlinux)?;
        check_build_id(trace.meta(), &names, vmlinux.path(), self.force)?;
        set_slide(&mut names, trace.meta(), self.force)?;
        names.look_for_modules(ModuleFiles::new(&self.modules, vmlinux.path(), &trace.meta().release)?);
        phases.done("read the symbols");
        let clock = Clock::new(trace.meta().tsc_khz);
        let timeline = Timeline::new(trace.meta().phases());
        let host = Host::open(&trace);
        // It knows the guest's own times only.
        let index = Index { used: !self.no_index && host.is_none() };
        let recorded = timeline.clone();
        let mut opened = Opened { trace, names, clock, timeline, recorded, costs: None, untraced: None, host, index };
        self.overhead.apply(&mut opened, phases)?;
        Ok(opened)
    }
}

impl Opened<'_> {
    /// Which calls `filters` ask for; reads through the trace first where only that can tell.
    pub fn wanted(&mut self, filters: &Filters, phases: &mut Phases) -> anyhow::Result<Wanted> {
        if self.timeline.starts().is_empty() && filters.by_level() {
            // The recorder was killed: only the marks know.
            let mut levels = Levels::new(self.timeline.clone(), None, None);
            self.run(&mut levels, |_| {});
            self.timeline = levels.timeline;
            phases.done("phases of the boot");
        }
        let mut wanted = filters.wanted(self.clock, &self.timeline)?;
        if wanted.tasks.is_some() {
            let totals = match self.index.read(&self.trace, None) {
                Some((outline, _)) => outline.into_totals(),
                None => self.run(&mut Nothing, |_| {}).0,
            };
            wanted.last_names = totals.tasks.iter().map(Task::label).collect();
            phases.done("names of tasks");
        }
        Ok(wanted)
    }

    /// Runs through the whole trace: as it was recorded, or without what the recorder took.
    /// Of one whose host was recorded: without what the host gave to others, unless corrected.
    pub fn run<S: Sink>(&self, sink: &mut S, progress: impl FnMut(u64)) -> (Totals, Option<Subtracted>) {
        match &self.host {
            Some(host) if self.costs.is_none() => {
                let mut unstolen = Unstolen::new(sink, host.lanes());
                let mut totals = pipeline::run(&self.trace, |pipeline| build(pipeline, &mut unstolen, progress));
                unstolen.finish(&mut totals);
                (totals, None)
            }
            _ => pipeline::run(&self.trace, |pipeline| build_without(pipeline, self.costs, sink, progress)),
        }
    }

    /// The same, and which functions the exits were in, of calls that pass `filter`.
    pub fn run_with<S: Sink>(
        &self,
        host: &Host,
        filter: Filter<'_>,
        sink: &mut S,
        progress: impl FnMut(u64),
    ) -> (Totals, Option<Subtracted>, HostSums) {
        let mut exits = Exits::new(host.lanes(), Some(filter));
        let (totals, subtracted, taken) = match self.costs {
            None => {
                let mut unstolen = Unstolen::new(sink, host.lanes());
                let mut both = Both(&mut exits, &mut unstolen);
                let mut totals = pipeline::run(&self.trace, |pipeline| build(pipeline, &mut both, progress));
                let taken = unstolen.finish(&mut totals);
                (totals, None, Some(taken))
            }
            Some(costs) => {
                let mut corrected = Corrected::new(sink, costs);
                let mut both = Both(&mut exits, &mut corrected);
                let mut totals = pipeline::run(&self.trace, |pipeline| build(pipeline, &mut both, progress));
                let subtracted = corrected.finish(&mut totals);
                (totals, Some(subtracted), None)
            }
        };
        let (rows, left_out) = exits.finish();
        (totals, subtracted, HostSums { rows, left_out, taken })
    }

    /// What was chosen and done to times, in words, for outputs that have no other place to say it.
    pub fn told(&self, filters: &Filters) -> anyhow::Result<Option<String>> {
        let corrected = self.costs.map(|_| "calls with times corrected for tracing".to_owned());
        let all: Vec<String> = corrected.into_iter().chain(filters.words(self.clock)?).collect();
        Ok((!all.is_empty()).then(|| all.join(", ")))
    }

    /// Words in the trace.
    pub fn words(&self) -> u64 {
        self.trace.cpus().iter().flat_map(|cpu| cpu.blocks()).map(|block| block.words).sum()
    }

    /// The counter when the trace began.
    pub fn first_tick(&self) -> u64 {
        self.trace.cpus().iter().filter_map(|cpu| cpu.blocks().first()).map(|block| block.first_tsc).min().unwrap_or(0)
    }

    /// Bytes of its blocks.
    pub fn bytes(&self) -> u64 {
        self.trace.cpus().iter().flat_map(|cpu| cpu.blocks()).map(|block| block.size).sum()
    }
}

/// Undoes KASLR in names, or warns with `--force` that it cannot be done.
pub fn set_slide(names: &mut Names<'_>, meta: &Meta, force: bool) -> anyhow::Result<()> {
    match names.ran_at(meta.text_start) {
        Err(error) if force => anstream::eprintln!("symbolize: warning: {error}; names will be wrong if it moved"),
        other => other?,
    }
    Ok(())
}

/// Refuses a vmlinux that is not of the traced kernel, or warns with `--force`.
pub fn check_build_id(meta: &Meta, names: &Names<'_>, path: &Path, force: bool) -> anyhow::Result<()> {
    let found = names.build_id();
    if found.as_deref() == Some(meta.build_id.as_str()) || (meta.build_id.is_empty() && found.is_none()) {
        return Ok(());
    }
    let or_none = |id: &str| if id.is_empty() { "none".to_owned() } else { id.to_owned() };
    let release = if meta.release.is_empty() { String::new() } else { format!(" (Linux {})", meta.release) };
    let message = format!(
        "{}: this is not the kernel that was traced: its build ID is {}, the trace is of {}{release}",
        path.display(),
        or_none(found.as_deref().unwrap_or_default()),
        or_none(&meta.build_id),
    );
    if force {
        anstream::eprintln!("symbolize: warning: {message}; names will be wrong where the two differ");
        return Ok(());
    }
    anyhow::bail!(
        "{message}. Give the vmlinux with that build ID (`readelf -n vmlinux` shows it; on Debian it comes in \
         linux-image-RELEASE-dbg), or --force to go on with names that may be wrong"
    )
}
