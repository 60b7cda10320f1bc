// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the boots of `--repeat` are like, on stderr: how their time is spread and what so many can tell; or, of
//! deterministic ones, whether they are the same. In: traces. Never here: which boots were made.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use symbolizer::compare::noise::{LEAST, Noise};
use symbolizer::compare::settings;
use symbolizer::compare::spread::Spread;
use symbolizer::trace_dir::{Meta, TraceDir};

/// Boots of one kernel.
pub struct Side {
    /// Their directory.
    pub path: PathBuf,
    /// Their traces, in order.
    pub traces: Vec<PathBuf>,
}

/// From the first event to the last: nanoseconds, or ticks if the clock is not known.
pub fn span(trace: &Path) -> anyhow::Result<u64> {
    let trace = TraceDir::open(trace)?;
    let blocks = || trace.cpus().iter().flat_map(|cpu| cpu.blocks());
    let first = blocks().map(|block| block.first_tsc).min().unwrap_or(0);
    let last = blocks().map(|block| block.last_tsc).max().unwrap_or(0);
    let ticks = last.saturating_sub(first);
    Ok(match trace.meta().tsc_khz {
        Some(khz @ 1..) => u64::try_from(u128::from(ticks) * 1_000_000 / u128::from(khz)).unwrap_or(u64::MAX),
        _ => ticks,
    })
}

/// Says how the boots' time is spread, and what so many boots tell; warns if that is not the effect sought.
pub fn tell(sides: &[Side], effect: f64) -> anyhow::Result<()> {
    let mut spans = Vec::new();
    for side in sides {
        let times = side.traces.iter().map(|trace| span(trace)).collect::<anyhow::Result<Vec<_>>>()?;
        let spread = Spread::of(times.iter().copied());
        let deviation = spread.relative().map_or(String::new(), |sd| format!(", standard deviation {}", percent(sd)));
        eprintln!(
            "symbolize: {}: {} boots of {:.3} s (median; {:.3} to {:.3} s){deviation}",
            side.path.display(),
            times.len(),
            spread.median / 1e9,
            spread.min as f64 / 1e9,
            spread.max as f64 / 1e9,
        );
        spans.push(times);
        warn_of_settings(side)?;
    }
    let Some(noise) = Noise::of(&spans) else { return Ok(()) };
    let Some(tells) = noise.tells(noise.boots) else {
        eprintln!(
            "symbolize: warning: less than {LEAST} boots on a side tell nothing from chance; --repeat {LEAST} or more"
        );
        return Ok(());
    };
    eprintln!(
        "symbolize: {} boots on each side tell a change of {} of the boot's time from chance (5 % level, 4 times of 5)",
        noise.boots,
        percent(tells)
    );
    if tells > effect {
        let wanted = percent(effect);
        match noise.needed(effect) {
            Some(boots) => eprintln!(
                "symbolize: warning: the noise is larger than the effect sought ({wanted}): that takes about {boots} \
                 boots of each kernel; --repeat {boots} goes on from here. Or --deterministic, which has no noise"
            ),
            None => eprintln!(
                "symbolize: warning: the noise is far larger than the effect sought ({wanted}); --deterministic has none"
            ),
        }
    }
    Ok(())
}

/// Says whether the boots of each side are the same to the last byte; whether all are.
pub fn tell_same(sides: &[Side]) -> anyhow::Result<bool> {
    let mut same = true;
    for side in sides {
        let Some((first, others)) = side.traces.split_first() else { continue };
        let meta = Meta::read(first)?;
        let mut alike = true;
        for other in others {
            if let Some(file) = differs(first, other, &meta)? {
                alike = false;
                eprintln!(
                    "symbolize: warning: {}: {file} is not that of {}: what comes from outside of the guest?",
                    other.display(),
                    first.display()
                );
            }
        }
        if alike && !others.is_empty() {
            eprintln!(
                "symbolize: {}: {} boots are the same to the last byte: {} events, {:.3} s of the guest's time",
                side.path.display(),
                side.traces.len(),
                meta.totals.events,
                span(first)? as f64 / 1e9
            );
        }
        same &= alike;
        warn_of_settings(side)?;
    }
    Ok(same)
}

/// Name of the first file with events that is not the same in both traces.
fn differs(one: &Path, other: &Path, meta: &Meta) -> anyhow::Result<Option<String>> {
    for cpu in 0..meta.cpus {
        let name = format!("cpu{cpu}.eft");
        if !same_bytes(&one.join(&name), &other.join(&name))? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn same_bytes(one: &Path, other: &Path) -> anyhow::Result<bool> {
    let open = |path: &Path| File::open(path).with_context(|| format!("{}: cannot open it", path.display()));
    let (one, other) = (open(one)?, open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(one).bytes(), BufReader::new(other).bytes());
    loop {
        match (one.next().transpose()?, other.next().transpose()?) {
            (None, None) => return Ok(true),
            (a, b) if a != b => return Ok(false),
            _ => {}
        }
    }
}

/// Boots of one side that an earlier run has left may have been made otherwise, or one has not come as far.
fn warn_of_settings(side: &Side) -> anyhow::Result<()> {
    let metas = side
        .traces
        .iter()
        .map(|trace| Ok((trace.display().to_string(), Meta::read(trace)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    // A kernel that panics ends its boot, too.
    let most = metas.iter().map(|(_, meta)| meta.phases().len()).max().unwrap_or(0);
    for (boot, meta) in metas.iter().filter(|(_, meta)| meta.phases().len() < most) {
        let last = meta.phases().last().map_or("nothing", |(phase, _)| phase.name());
        eprintln!(
            "symbolize: warning: {boot} came to {last} only, others further: remove it, and the same command boots again"
        );
    }
    for difference in settings::differences(&metas) {
        eprintln!("symbolize: warning: the boots of {} were not made alike: {difference}", side.path.display());
    }
    Ok(())
}

/// `1.2 %`, with the digits that matter.
fn percent(part: f64) -> String {
    match part * 100.0 {
        percent if percent >= 10.0 => format!("{percent:.0} %"),
        percent if percent >= 1.0 => format!("{percent:.1} %"),
        percent => format!("{percent:.2} %"),
    }
}
