// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! One run through a trace: sums, levels, and whatever else wants to see the calls. In: an opened trace. Out:
//! [`Analysis`], and a [`Report`] made of it. Never here: arguments, output.

use symbolizer::calltree::aggregate::Aggregate;
use symbolizer::calltree::both::Both;
use symbolizer::calltree::build::build_noting;
use symbolizer::calltree::levels::Levels;
use symbolizer::calltree::overhead::Subtracted;
use symbolizer::calltree::partial::Contradiction;
use symbolizer::calltree::sink::Sink;
use symbolizer::calltree::{Filter, Totals};
use symbolizer::decode::pipeline;
use symbolizer::report::Report;
use symbolizer::report::exits::ExitReport;
use symbolizer::report::levels::Boot;
use symbolizer::report::model::{Sort, Sources};
use symbolizer::report::names::{Coverage, Named};
use symbolizer::report::overhead::Correction;

use super::phases::Phases;
use super::source::{HostSums, Opened};

/// What one run has found.
pub struct Analysis<'f> {
    /// What was in the trace.
    pub totals: Totals,
    subtracted: Option<Subtracted>,
    host: Option<HostSums>,
    aggregate: Aggregate<'f>,
    levels: Levels,
}

/// Runs through the trace, or those parts of it that concern `filter`; `extra` sees all calls, the sums those
/// that pass `filter`.
pub fn run<'f, S: Sink>(opened: &Opened<'_>, filter: Filter<'f>, extra: &mut S, phases: &mut Phases) -> Analysis<'f> {
    let site = |name| opened.names.site_of(name);
    let sites = [site("async_run_entry_fn"), site("deferred_probe_work_func")];
    if filter.is_of_times()
        && opened.costs.is_none()
        && !extra.wants(0, u64::MAX)
        && let Some(found) = parts(opened, filter.clone(), sites, phases)
    {
        return found;
    }
    phases.work("rebuilding calls", opened.words());
    let of_exits = filter.clone();
    let mut aggregate = Aggregate::new(filter).by_phase(opened.timeline.clone());
    let mut levels = Levels::new(opened.timeline.clone(), sites[0], sites[1]);
    let mut notes = opened.index.notes(&opened.trace).filter(|_| opened.costs.is_none());
    let mut both = Both(&mut aggregate, &mut levels);
    let mut both = Both(&mut both, extra);
    let progress = |words| phases.at(words);
    let mut host = None;
    let (mut totals, subtracted) = match (&mut notes, &opened.host) {
        (_, Some(seen)) => {
            let (totals, subtracted, sums) = opened.run_with(seen, of_exits, &mut both, progress);
            host = Some(sums);
            (totals, subtracted)
        }
        (None, None) => opened.run(&mut both, progress),
        (notes, None) => (pipeline::run(&opened.trace, |p| build_noting(p, &mut both, notes.as_mut(), progress)), None),
    };
    levels.finish(totals.last, &totals.tasks);
    phases.done("decode, rebuild calls");
    if let Some(notes) = notes {
        totals = opened.index.write(&opened.trace, notes, totals, &levels);
        phases.done("write the index");
    }
    Analysis { totals, subtracted, host, aggregate, levels }
}

/// The same with the help of an index, which knows what does not hang on the filter.
fn parts<'f>(
    opened: &Opened<'_>,
    filter: Filter<'f>,
    sites: [Option<u64>; 2],
    phases: &mut Phases,
) -> Option<Analysis<'f>> {
    let (outline, levels) = opened.index.read(&opened.trace, Some(sites))?;
    phases.done("read the index");
    let mut aggregate = Aggregate::new(filter).by_phase(opened.timeline.clone());
    match outline.run(&opened.trace, &mut aggregate) {
        Ok(read) => {
            phases.done(&format!("decode {} parts of {}", read.read, read.of));
            Some(Analysis { totals: outline.into_totals(), subtracted: None, host: None, aggregate, levels })
        }
        Err(Contradiction) => {
            anstream::eprintln!("symbolize: warning: the index does not fit the trace, of which all is read now");
            None
        }
    }
}

impl Analysis<'_> {
    /// Names, files and lines of the functions, in order of their numbers.
    pub fn named(&self, opened: &Opened<'_>, phases: &mut Phases) -> anyhow::Result<Vec<Named>> {
        let named = opened.names.resolve(self.totals.functions())?;
        phases.done("read the DWARF");
        Ok(named)
    }

    /// All that a report says.
    pub fn report<'a>(
        &'a self,
        opened: &'a Opened<'_>,
        named: Vec<Named>,
        sort: Sort,
        filtered: Option<String>,
    ) -> Report<'a> {
        let exits = opened.host.as_ref().zip(self.host.as_ref()).map(|(host, sums)| {
            let name = |index: usize| named.get(index).map(|named| (named.name.clone(), named.site));
            let lost = (host.file.lost(), host.file.gap_count());
            let mut exits = ExitReport::new(&sums.rows, &host.axes, lost, sums.taken, name);
            exits.left_out = sums.left_out;
            exits
        });
        let coverage = Coverage::of(opened.names.call_sites(), &named);
        let boot = Boot::new(&self.levels, &self.aggregate, &self.totals, &opened.names, opened.bytes());
        let sources = Sources {
            meta: opened.trace.meta(),
            build_id: opened.names.build_id(),
            slide: opened.names.slide(),
            totals: &self.totals,
            aggregate: &self.aggregate,
            named,
            coverage,
            nameless: opened.names.nameless(),
            boot,
        };
        let mut report = Report::new(sources, sort, filtered);
        report.exits = exits;
        if let Some(subtracted) = self.subtracted {
            report.correction = Some(Correction::of(&report, subtracted, &opened.recorded, opened.untraced.as_ref()));
        }
        report
    }
}
