// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `--correct`: times without the recorder's own cost. In: arguments, an opened trace. Out: the trace's costs,
//! its phases as they would have been, the untraced boot to compare with. Never here: subtracting.

use std::path::Path;

use anyhow::Context;
use symbolizer::calltree::levels::Levels;
use symbolizer::calltree::overhead::costs::Costs;
use symbolizer::calltree::phases::Timeline;
use symbolizer::calltree::{self};
use symbolizer::decode::pipeline;
use symbolizer::report::overhead::Reference;
use symbolizer::report::units::Clock;
use symbolizer::trace_dir::TraceDir;

use super::filters::Span;
use super::phases::Phases;
use super::source::Opened;

/// The arguments for it.
#[derive(clap::Args, Debug)]
pub struct Overhead {
    /// Subtract the recorder's own cost, as the guest measured it in the same boot, from all times
    #[arg(long)]
    correct: bool,
    /// Compare corrected times with this untraced boot: a time, e.g. 868ms, or a trace of its levels alone
    /// (recorded with hypergraph=events:initcall)
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
        opened.untraced = self.untraced.as_deref().map(|text| reference(text, opened.clock)).transpose()?;
        phases.done("phases without the recorder");
        Ok(())
    }
}

/// A time, or a trace.
fn reference(text: &str, clock: Clock) -> anyhow::Result<Reference> {
    let path = Path::new(text);
    if !path.is_dir() {
        let span: Span =
            text.parse().map_err(|error| anyhow::anyhow!("--untraced: {text} is no directory, and {error}"))?;
        return Ok(Reference::Span(span.ticks(clock)?));
    }
    let trace = TraceDir::open(path).context("--untraced")?;
    let mut timeline = Timeline::new(trace.meta().phases());
    if timeline.starts().is_empty() {
        let mut levels = Levels::new(timeline, None, None);
        pipeline::run(&trace, |pipeline| calltree::build(pipeline, &mut levels, |_| {}));
        timeline = levels.timeline;
    }
    anyhow::ensure!(
        timeline.starts().len() > 1,
        "--untraced: {text} does not tell its levels; record it with hypergraph=events:initcall, to the end of the boot"
    );
    // A few thousand are interrupts and what happens before the command line is read.
    let events: u64 = trace.cpus().iter().flat_map(|cpu| cpu.blocks()).map(|block| block.events).sum();
    anyhow::ensure!(
        events < 10_000,
        "--untraced: {text} is a trace of {events} entries and exits, and was slowed down by them; record the boot \
         with hypergraph=events:initcall, which records levels alone"
    );
    Ok(Reference::of_phases(timeline.starts(), Clock::new(trace.meta().tsc_khz), clock))
}
