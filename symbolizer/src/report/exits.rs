// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the guest's exits have cost, and where. In: sums by function and reason, how well the host's clock is known.
//! Out: plain data ([`ExitReport`]), its tables and its JSON. Never here: which exit belongs where.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use serde::Serialize;

use super::model::Report;
use super::style::{heading, left, right, table, wrap};
use super::text::Options;
use super::units::{Clock, count, percent};
use crate::calltree::exits::{Place, Sums};
use crate::calltree::steal::Taken;
use crate::host::axes::Axes;
use crate::host::clock::How;
use crate::host::placed::Reason;
use crate::host::reasons;

/// Reasons that are named with a function.
const REASONS: usize = 3;

/// A function's exits.
#[derive(Clone, Debug)]
pub struct ExitRow {
    /// Its name, or where else the guest was.
    pub name: String,
    /// Address behind the call site, if it is a function.
    pub site: Option<u64>,
    /// All.
    pub sums: Sums,
    /// By reason, most exits first.
    pub reasons: Vec<(String, Sums)>,
}

/// Everything about exits.
#[derive(Clone, Debug, Default)]
pub struct ExitReport {
    /// All that were charged.
    pub all: Sums,
    /// By reason, most exits first.
    pub reasons: Vec<(Reason, Sums)>,
    /// By function, most exits first.
    pub functions: Vec<ExitRow>,
    /// Exits without a place in the guest's time.
    pub unplaced: u64,
    /// The counters' frequencies of host and guest in kHz, if KVM scales the guest's.
    pub scaled: Option<(u64, u64)>,
    /// Exits that were in no call that was asked for; `None` where all calls were.
    pub left_out: Option<u64>,
    /// Events that are lost or damaged, and places where the file is.
    pub lost: (u64, u64),
    /// Of each vCPU, by how many ticks its host times may be wrong, and how they were found.
    pub clocks: Vec<(u32, u64, How)>,
    /// Steal that was taken off all times; `None` if it was not.
    pub taken: Option<Taken>,
}

impl ExitReport {
    /// Of the sums of a run; `lost` are events, and gaps of the file.
    pub fn new(
        rows: &[(Place, Reason, Sums)],
        axes: &Axes,
        lost: (u64, u64),
        taken: Option<Taken>,
        name: impl Fn(usize) -> Option<(String, u64)>,
    ) -> ExitReport {
        let mut all = Sums::default();
        let mut reasons: BTreeMap<Reason, Sums> = BTreeMap::new();
        let mut functions: HashMap<Place, ExitRow> = HashMap::new();
        for (place, reason, sums) in rows {
            all.add(sums);
            reasons.entry(*reason).or_default().add(sums);
            let row = functions.entry(*place).or_insert_with(|| {
                let (name, site) = match place {
                    Place::In(function) => match name(function.index()) {
                        Some((name, site)) => (name, Some(site)),
                        None => ("[unknown]".to_owned(), None),
                    },
                    Place::Nowhere => ("(no traced call)".to_owned(), None),
                    Place::Outside => ("(outside trace)".to_owned(), None),
                };
                ExitRow { name, site, sums: Sums::default(), reasons: Vec::new() }
            });
            row.sums.add(sums);
            row.reasons.push((reasons::name(*reason), *sums));
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by(|a, b| b.1.exits.cmp(&a.1.exits).then(a.0.cmp(&b.0)));
        let mut functions: Vec<ExitRow> = functions.into_values().collect();
        for row in &mut functions {
            row.reasons.sort_by(|a, b| b.1.exits.cmp(&a.1.exits).then_with(|| a.0.cmp(&b.0)));
        }
        functions.sort_by(|a, b| {
            let order = b.sums.exits.cmp(&a.sums.exits).then(b.sums.host.cmp(&a.sums.host));
            order.then_with(|| a.name.cmp(&b.name)).then(a.site.cmp(&b.site))
        });
        let clocks = axes.by_vcpu.iter().map(|(&vcpu, axis)| (vcpu, axis.error(), axis.how())).collect();
        let lost = (lost.0.saturating_add(axes.damaged), lost.1);
        let (unplaced, scaled, left_out) = (axes.unplaced, axes.scaled, None);
        ExitReport { all, reasons, functions, unplaced, scaled, left_out, lost, clocks, taken }
    }

    /// Exits that the tracer's own hypercalls are.
    fn ours(&self) -> Sums {
        let mut all = Sums::default();
        self.reasons.iter().filter(|(reason, _)| reason.is_ours()).for_each(|(_, sums)| all.add(sums));
        all
    }

    /// How well the host's times are known, in words.
    fn clock(&self, clock: Clock) -> String {
        let Some(worst) = self.clocks.iter().map(|known| known.1).max() else {
            return "the host's times cannot be put on the guest's axis: record kvm:kvm_write_tsc_offset from before the guest \
                    starts, or the guest's events by hypercalls"
                .to_owned();
        };
        let estimated = self.clocks.iter().filter_map(|(_, _, how)| match how {
            How::Estimated { bounds, refused } => Some((*bounds, *refused)),
            How::Offset => None,
        });
        let (bounds, refused) = estimated.fold((0u64, 0u64), |(b, r), (more, none)| (b + more, r + none));
        let how = match (bounds, refused) {
            (0, _) => "from the offset that KVM has set".to_owned(),
            (bounds, 0) => format!("estimated from {} bounds", count(bounds)),
            (bounds, refused) => {
                format!("estimated from {} bounds, of which {} fit no steady clock", count(bounds), count(refused))
            }
        };
        format!("host times +-{}, {how}", clock.show(worst))
    }

    /// What must be known to read the tables.
    fn remarks(&self, clock: Clock) -> Vec<String> {
        let mut lines = vec![self.clock(clock)];
        if let Some(Taken { ours: 1.., .. }) = self.taken {
            let sums = self.ours();
            lines.push(format!(
                "{} exits are the tracer's own hypercalls; their {} are taken off all self and total times",
                count(sums.exits),
                clock.show(self.taken.unwrap_or_default().ours)
            ));
        }
        match self.taken {
            Some(Taken { busy, .. }) if busy > 0 => lines.push(format!(
                "{} in which the host gave the CPU to others are taken off all self and total times",
                clock.show(busy)
            )),
            None if self.all.stolen > 0 => {
                lines.push("with --correct, times are not freed from what was stolen by the host".to_owned());
            }
            _ => {}
        }
        if let Some((host, guest)) = self.scaled {
            lines.push(format!(
                "the guest's time stamp counter runs at {} kHz, the host's at {}: the offset that KVM has set does not \
                 lead from one to the other and is not used",
                count(guest),
                count(host)
            ));
        }
        if let Some(left_out) = self.left_out {
            lines.push(format!("{} exits in no such call are left out", count(left_out)));
        }
        let mut say = |number: u64, what: &str| {
            if number > 0 {
                lines.push(format!("{} {what}", count(number)));
            }
        };
        say(self.unplaced, "exits have no place in the guest's time and count nowhere");
        say(self.lost.0, "events of the host are lost");
        say(self.lost.1, "places of host.eft cannot be read");
        lines
    }
}

/// The tables: by reason, and by function.
///
/// # Errors
/// Those of the writer.
pub fn write(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let Some(exits) = &report.exits else { return Ok(()) };
    let (clock, events) = (report.clock, report.totals.events);
    let per = |exits: u64| match events {
        0 => "-".to_owned(),
        _ => format!("{:.1}", exits as f64 * 1000.0 / events as f64),
    };
    heading(out, options.width, "Exits", "the guest was left for its host; work: what the host did for it")?;
    for line in exits.remarks(clock) {
        for part in wrap(&line, options.width.saturating_sub(2)) {
            writeln!(out, "  {part}")?;
        }
    }
    let cells = |name: String, sums: &Sums| {
        vec![
            count(sums.exits),
            percent(sums.exits, exits.all.exits),
            per(sums.exits),
            clock.show(sums.host),
            clock.show(sums.stolen),
            clock.show(sums.asleep),
            name,
        ]
    };
    let columns =
        [right("exits"), right("%"), right("per 1,000 events"), right("work"), right("stolen"), right("asleep")];
    let mut rows: Vec<Vec<String>> =
        exits.reasons.iter().take(options.top).map(|(reason, sums)| cells(reasons::name(*reason), sums)).collect();
    rows.push(cells("(all)".to_owned(), &exits.all));
    table(out, options.width, &[&columns[..], &[left("reason")]].concat(), 6, &rows)?;

    heading(out, options.width, "Functions by exits", "innermost traced function in which the guest was left")?;
    let rows: Vec<Vec<String>> = exits
        .functions
        .iter()
        .take(options.top)
        .map(|row| {
            let mut cells = cells(row.name.clone(), &row.sums);
            let reasons = row.reasons.iter().take(REASONS);
            cells.push(
                reasons.map(|(name, sums)| format!("{name} {}", count(sums.exits))).collect::<Vec<_>>().join(", "),
            );
            cells
        })
        .collect();
    if rows.is_empty() {
        return writeln!(out, "  none");
    }
    table(out, options.width, &[&columns[..], &[left("function"), left("reasons")]].concat(), 6, &rows)
}

/// [`ExitReport`] for programs.
#[derive(Serialize)]
pub struct ExitsJson<'a> {
    #[serde(flatten)]
    all: SumsJson,
    unplaced: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
    events_lost: u64,
    gaps: u64,
    stolen_taken_off: bool,
    own_hypercalls: u64,
    own_hypercalls_taken_off_ns: Option<u64>,
    own_hypercalls_taken_off_ticks: u64,
    clocks: Vec<ClockJson>,
    reasons: Vec<ReasonJson>,
    functions: Vec<RowJson<'a>>,
}

#[derive(Serialize)]
struct SumsJson {
    exits: u64,
    work_ns: Option<u64>,
    work_ticks: u64,
    stolen_ns: Option<u64>,
    stolen_ticks: u64,
    asleep_ns: Option<u64>,
    asleep_ticks: u64,
}

#[derive(Serialize)]
struct ClockJson {
    vcpu: u32,
    error_ns: Option<u64>,
    error_ticks: u64,
    how: &'static str,
    bounds: u64,
    bounds_refused: u64,
}

#[derive(Serialize)]
struct ReasonJson {
    name: String,
    isa: &'static str,
    code: u32,
    #[serde(flatten)]
    sums: SumsJson,
}

#[derive(Serialize)]
struct RowJson<'a> {
    name: &'a str,
    site: Option<String>,
    #[serde(flatten)]
    sums: SumsJson,
    reasons: Vec<NamedJson<'a>>,
}

#[derive(Serialize)]
struct NamedJson<'a> {
    name: &'a str,
    #[serde(flatten)]
    sums: SumsJson,
}

/// For programs, if the host's events are known.
pub fn json<'a>(report: &'a Report<'_>, top: Option<usize>) -> Option<ExitsJson<'a>> {
    let (exits, clock) = (report.exits.as_ref()?, report.clock);
    let sums = |sums: &Sums| SumsJson {
        exits: sums.exits,
        work_ns: clock.ns(sums.host),
        work_ticks: sums.host,
        stolen_ns: clock.ns(sums.stolen),
        stolen_ticks: sums.stolen,
        asleep_ns: clock.ns(sums.asleep),
        asleep_ticks: sums.asleep,
    };
    let known = |&(vcpu, error, how): &(u32, u64, How)| {
        let (how, bounds, bounds_refused) = match how {
            How::Offset => ("offset", 0, 0),
            How::Estimated { bounds, refused } => ("estimated", bounds, refused),
        };
        ClockJson { vcpu, error_ns: clock.ns(error), error_ticks: error, how, bounds, bounds_refused }
    };
    let reason = |(reason, of): &(Reason, Sums)| {
        let isa = match reason.isa {
            reasons::VMX => "vmx",
            reasons::SVM => "svm",
            reasons::OURS => "own",
            _ => "unknown",
        };
        ReasonJson { name: reasons::name(*reason), isa, code: reason.code, sums: sums(of) }
    };
    let row = |row: &'a ExitRow| RowJson {
        name: &row.name,
        site: row.site.map(|site| format!("{site:#x}")),
        sums: sums(&row.sums),
        reasons: row.reasons.iter().map(|(name, of)| NamedJson { name, sums: sums(of) }).collect(),
    };
    Some(ExitsJson {
        all: sums(&exits.all),
        unplaced: exits.unplaced,
        left_out: exits.left_out,
        events_lost: exits.lost.0,
        gaps: exits.lost.1,
        stolen_taken_off: exits.taken.is_some(),
        own_hypercalls: exits.ours().exits,
        own_hypercalls_taken_off_ns: clock.ns(exits.taken.unwrap_or_default().ours),
        own_hypercalls_taken_off_ticks: exits.taken.unwrap_or_default().ours,
        clocks: exits.clocks.iter().map(known).collect(),
        reasons: exits.reasons.iter().map(reason).collect(),
        functions: exits.functions.iter().take(top.unwrap_or(usize::MAX)).map(row).collect(),
    })
}
