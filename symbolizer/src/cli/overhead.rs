// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `--correct`: times without the recorder's own cost. In: arguments, an opened trace. Out: the trace's costs,
//! its phases as they would have been, the untraced boot to compare with. Never here: subtracting.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use symbolizer::calltree::build;
use symbolizer::calltree::levels::Levels;
use symbolizer::calltree::overhead::costs::Costs;
use symbolizer::calltree::phases::Timeline;
use symbolizer::decode::pipeline;
use symbolizer::report::overhead::Reference;
use symbolizer::report::units::Clock;
use symbolizer::trace_dir::TraceDir;

use super::filters::Span;
use super::phases::Phases;
use super::source::Opened;

/// So many events an untraced boot may have: those before the guest has read its command line.
const MOST_EVENTS: u64 = 1_000;

/// The arguments for it.
#[derive(clap::Args, Debug, Default)]
pub struct Overhead {
    /// Subtract the recorder's own cost, as the guest measured it in the same boot, from all times
    #[arg(long)]
    correct: bool,
    /// Compare corrected times with this untraced boot: a time, e.g. 868ms, or a trace recorded with
    /// hypergraph=events:initcall [default: TRACE/untraced, if record --untraced-too has left it]
    #[arg(long, value_name = "TIME|TRACE", requires = "correct")]
    untraced: Option<String>,
}

impl Overhead {
    /// Makes the trace one whose times are corrected, if that is asked for.
    pub fn apply(&self, opened: &mut Opened<'_>, phases: &mut Phases) -> anyhow::Result<()> {
        if !self.correct {
            return Ok(());
        }
        opened.costs = Some(Costs::read(&opened.trace).context("--correct")?);
        // Phases begin earlier than recorded: only a run tells by how much.
        let mut levels = Levels::new(Timeline::default(), None, None);
        opened.run(&mut levels, |_| {});
        opened.timeline = Timeline::new(levels.timeline.starts().to_vec());
        opened.untraced = match &self.untraced {
            Some(text) => Some(reference(text, &opened.trace)?),
            // Nobody asked for that one: what is wrong with it is no reason to stop.
            None => beside(&opened.trace).unwrap_or_else(|error| {
                anstream::eprintln!(
                    "symbolize: warning: {error:#}; corrected times are compared with no untraced boot"
                );
                None
            }),
        };
        phases.done("phases without the recorder");
        Ok(())
    }
}

/// Where `record --untraced-too` leaves the untraced boot of a trace.
pub fn untraced(trace: &Path) -> PathBuf {
    trace.join("untraced")
}

/// The untraced boot that was recorded after this one, if there is one.
fn beside(trace: &TraceDir) -> anyhow::Result<Option<Reference>> {
    let path = untraced(trace.path());
    if !path.is_dir() {
        return Ok(None);
    }
    let other = TraceDir::open(&path)?;
    // One that an earlier recording at this place has left says nothing.
    if other.meta().started_at < trace.meta().started_at {
        return Ok(None);
    }
    of_trace(&other, trace).map(Some)
}

/// A time, or a trace.
fn reference(text: &str, trace: &TraceDir) -> anyhow::Result<Reference> {
    let path = Path::new(text);
    if path.is_dir() {
        return of_trace(&TraceDir::open(path).context("--untraced")?, trace);
    }
    let span: Span = text.parse().map_err(|error| anyhow!("--untraced: {text} is no directory, and {error}"))?;
    Ok(Reference::Span(span.ticks(Clock::new(trace.meta().tsc_khz))?))
}

fn of_trace(other: &TraceDir, trace: &TraceDir) -> anyhow::Result<Reference> {
    let (path, meta) = (other.path().display(), other.meta());
    ensure!(meta.build_id == trace.meta().build_id, "--untraced: {path} is of another kernel than the trace");
    let mut timeline = Timeline::new(meta.phases());
    if timeline.starts().is_empty() {
        let mut levels = Levels::new(timeline, None, None);
        pipeline::run(other, |pipeline| build(pipeline, &mut levels, |_| {}));
        timeline = levels.timeline;
    }
    ensure!(
        timeline.starts().len() > 1,
        "--untraced: {path} does not tell its levels; record it with hypergraph=events:initcall, to the end of the boot"
    );
    let events: u64 = other.cpus().iter().flat_map(|cpu| cpu.blocks()).map(|block| block.events).sum();
    ensure!(
        events <= MOST_EVENTS,
        "--untraced: {path} has {events} entries and exits, and was slowed down by them; record the boot with \
         hypergraph=events:initcall, which records levels alone"
    );
    // Built in, it begins with its first mark and not with the first function: no whole phase.
    let from = usize::from(meta.origin == "in-tree");
    Ok(Reference::of_phases(&timeline.starts()[from..], Clock::new(meta.tsc_khz), Clock::new(trace.meta().tsc_khz)))
}
