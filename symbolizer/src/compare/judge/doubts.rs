// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What stands between these boots and a sound comparison. In: [`Boot`]s, and rows of both sides. Out: settings that
//! differ, sentences. Never here: what has changed.

use super::Options;
use super::rows::Rows;
use crate::compare::boot::Boot;
use crate::compare::diff::{Basis, Metric, Row};
use crate::compare::settings::{self, Difference};
use crate::compare::statistics::permutation::enough;
use crate::compare::statistics::{pooled_sd, size_for, smallest_seen};
use crate::report::style::printable;
use crate::trace_dir::Meta;

/// If more than this part of a boot's events is lost, its figures are not those of the boot.
const MANY_LOST: f64 = 0.001;
/// If the guest waited for the recorder for more than this part of the boot, it is said.
const LONG_WAITS: f64 = 0.02;
/// More boots than anybody makes.
const MANY: usize = 1_000;
/// If nearly all functions take that much longer on one side, it is the machine, or the whole kernel.
const PACE: f64 = 0.05;
/// Functions from which the pace is told: at least so many,
const PACE_OF: usize = 50;
/// called at least so often on both sides.
const OFTEN: f64 = 100.0;
/// Boots that are named in a sentence.
const NAMED: usize = 3;

/// A setting that is no part of [`Meta`], or not compared by [`settings`].
type Setting = (&'static str, fn(&Boot) -> String);

const SETTINGS: [Setting; 8] = [
    ("hypergraph= options", |boot| boot.options.clone().unwrap_or_else(|| "none".to_owned())),
    ("chosen calls", |boot| boot.filtered.clone().unwrap_or_else(|| "all".to_owned())),
    ("the recorder's own cost", |boot| (if boot.corrected { "taken out" } else { "within" }).to_owned()),
    ("deterministic", |boot| (if boot.is_deterministic() { "yes" } else { "no" }).to_owned()),
    ("unit of times", |boot| (if boot.ns { "ns" } else { "ticks" }).to_owned()),
    ("what an event does that finds its ring full", |boot| match boot.meta.region.overflow.as_str() {
        "" => "not known".to_owned(),
        overflow => overflow.to_owned(),
    }),
    ("how it ended", |boot| boot.totals.ended.clone()),
    ("lost events", |boot| (if lost(boot) > MANY_LOST { "more than 0.1 %" } else { "none or few" }).to_owned()),
];

fn lost(boot: &Boot) -> f64 {
    boot.totals.lost as f64 / boot.totals.events.max(1) as f64
}

/// Where the boots' settings differ. The kernel itself is what is compared: its build ID is none.
pub fn settings(a: &[Boot], b: &[Boot]) -> Vec<Difference> {
    let boots = || a.iter().chain(b);
    let metas: Vec<(String, Meta)> = boots().map(|boot| (printable(&boot.name), settings_of(&boot.meta))).collect();
    let mut found = settings::differences(&metas);
    found.extend(SETTINGS.iter().filter_map(|&(what, tell)| {
        Difference::of(what, boots().map(|boot| (printable(&tell(boot)), printable(&boot.name))))
    }));
    found
}

/// What of it is a setting.
fn settings_of(meta: &Meta) -> Meta {
    // What the recorder adds depends on the kernel's size.
    let command_line = match meta.command_line_added.trim() {
        "" => meta.command_line.trim().to_owned(),
        added => meta.command_line.replacen(added, "", 1).trim().to_owned(),
    };
    Meta {
        build_id: String::new(),
        command_line,
        origin: meta.origin.clone(),
        vmm: meta.vmm.clone(),
        cpus: meta.cpus,
        tsc_khz: meta.tsc_khz,
        ..Meta::default()
    }
}

/// What can be said of these boots.
pub fn basis(a: &[Boot], b: &[Boot], options: &Options) -> Basis {
    if a.iter().chain(b).all(Boot::is_exact) {
        Basis::Exact
    } else if a.len() + b.len() > 2
        && crate::compare::statistics::permutation::least_p(a.len(), b.len()) <= options.level
    {
        Basis::Tested
    } else {
        Basis::TooFew
    }
}

/// Part of the boot that its CPUs waited for the recorder, at most.
fn waited(boot: &Boot) -> f64 {
    let ticks = boot.meta.per_cpu.iter().map(|cpu| cpu.wait_ticks).max().unwrap_or_default() as f64;
    let khz = boot.meta.tsc_khz.filter(|&khz| khz > 0 && boot.ns);
    let time = khz.map_or(ticks, |khz| ticks * 1e6 / khz as f64);
    time / boot.totals.span.max(1) as f64
}

/// Sentences about what makes the result doubtful; and how many boots on each side would do, if that is more than there
/// are.
pub fn doubts(a: &[Boot], b: &[Boot], rows: &Rows, basis: Basis, options: &Options) -> (Vec<String>, Option<usize>) {
    let mut said = Vec::new();
    let mut needed = None;
    if basis == Basis::TooFew {
        let least = enough(options.level);
        needed = Some(least);
        said.push(format!(
            "{} on side A and {} on side B are too few to tell a change from chance: differences are shown, and none \
                 is called a change; {least} on each side would do, or one deterministic boot (record --deterministic)",
            count(a.len()),
            count(b.len())
        ));
    }
    if basis != Basis::Exact {
        noise(a, b, &rows.boot, options, &mut said, &mut needed);
        said.extend(pace(&rows.functions));
        said.extend(one_after_the_other(a, b));
    }
    said.extend(named(a, b, |boot| boot.totals.lost > 0, "lost events: their calls and times are missing here"));
    said.extend(named(a, b, |boot| boot.totals.gaps > 0, "have damaged parts: their calls and times are missing here"));
    said.extend(named(
        a,
        b,
        |boot| boot.totals.ended != "power-off",
        "did not come to power-off: what they would have done is missing",
    ));
    said.extend(named(
        a,
        b,
        |boot| boot.is_deterministic() && boot.waits() > 0,
        "waited for the recorder, so that they are not deterministic; record with a larger --ring-mib",
    ));
    let long = |boot: &Boot| !boot.is_deterministic() && waited(boot) > LONG_WAITS;
    said.extend(named(
        a,
        b,
        long,
        "waited for the recorder for more than 2 % of the boot, which is within their times; a larger --ring-mib helps",
    ));
    if basis == Basis::Exact {
        said.extend(not_the_same(a).or_else(|| not_the_same(b)));
    }
    (said, needed)
}

fn count(boots: usize) -> String {
    if boots == 1 { "1 boot".to_owned() } else { format!("{boots} boots") }
}

/// A sentence about those boots of which something is so.
fn named(a: &[Boot], b: &[Boot], so: impl Fn(&Boot) -> bool, what: &str) -> Option<String> {
    let names: Vec<String> = a.iter().chain(b).filter(|boot| so(boot)).map(|boot| printable(&boot.name)).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| format!("{}{more} {what}", names[..names.len().min(NAMED)].join(", ")))
}

/// How small a change of the boot's time could be seen.
fn noise(a: &[Boot], b: &[Boot], whole: &Row, options: &Options, said: &mut Vec<String>, needed: &mut Option<usize>) {
    let Some(change) = whole.change(Metric::Time) else { return };
    let freedom = (a.len() + b.len()).saturating_sub(2);
    let mean = (change.a.mean + change.b.mean) / 2.0;
    if freedom == 0 || mean <= 0.0 {
        return;
    }
    let sd = pooled_sd((change.a.sd, a.len()), (change.b.sd, b.len())) / mean;
    let seen = smallest_seen(sd, a.len(), b.len());
    let size = size_for(sd, options.effect).max(enough(options.level));
    if seen > options.effect {
        *needed = Some(size.max(needed.unwrap_or(0)));
        said.push(format!(
            "boots of one side differ by {}: a change of less than {} of the boot's time would not be seen; one of {} \
             would take {} on each side, or deterministic ones",
            percent(sd),
            percent(seen),
            percent(options.effect),
            if size > MANY { format!("more than {MANY} boots") } else { format!("about {size} boots") }
        ));
    }
}

fn percent(part: f64) -> String {
    let percent = part * 100.0;
    if percent >= 10.0 { format!("{percent:.0} %") } else { format!("{percent:.1} %") }
}

/// All boots of one side were made before those of the other: then a machine that has become busier looks like a slower
/// kernel.
fn one_after_the_other(a: &[Boot], b: &[Boot]) -> Option<String> {
    let times = |boots: &[Boot]| -> Option<(u64, u64)> {
        let times = || boots.iter().map(|boot| boot.meta.started_at).filter(|&time| time > 0);
        Some((times().min()?, times().max()?))
    };
    let (a, b) = (times(a)?, times(b)?);
    (a.1 < b.0 || b.1 < a.0).then(|| {
        "the boots of one side were all made before those of the other: had the machine been busier meanwhile, that would \
         look like a change too; boots made in turns (record --against) exclude it"
            .to_owned()
    })
}

/// Nearly all functions take longer, or all less.
fn pace(functions: &[Row]) -> Option<String> {
    let own = |row: &Row| -> Option<f64> {
        let (own, calls) = (row.change(Metric::Own)?, row.change(Metric::Calls)?);
        let often = calls.a.mean >= OFTEN && calls.b.mean >= OFTEN && own.a.mean > 0.0 && own.b.mean > 0.0;
        often.then(|| own.b.mean / calls.b.mean / (own.a.mean / calls.a.mean))
    };
    let mut ratios: Vec<f64> = functions.iter().filter_map(own).collect();
    ratios.sort_by(f64::total_cmp);
    let at = |part: usize| ratios.get(ratios.len() * part / 10).copied();
    let (low, middle, high) = (at(1)?, at(5)?, at(9)?);
    let (slower, faster) = (low > 1.0 && middle > 1.0 + PACE, high < 1.0 && middle < 1.0 - PACE);
    (ratios.len() >= PACE_OF && (slower || faster)).then(|| {
        format!(
            "nearly all functions take {} time for each call on side B ({} in the middle), as if not the kernel but the \
             machine was {}",
            if slower { "more" } else { "less" },
            percent((middle - 1.0).abs()),
            if slower { "slower" } else { "faster" }
        )
    })
}

/// Deterministic boots of one kernel that are not the same.
fn not_the_same(boots: &[Boot]) -> Option<String> {
    let differs = boots.iter().find(|boot| {
        let (first, totals) = (&boots[0], &boot.totals);
        boot.meta.build_id == first.meta.build_id && *totals != first.totals
    })?;
    Some(format!(
        "{} and {} are deterministic boots of one kernel, and yet not the same: what they differ by is not taken for a change",
        printable(&boots[0].name),
        printable(&differs.name)
    ))
}
