// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench scale`: reports of boots of about 10, 100 and 322 million events, the size of the largest
//! published trace. In: a kernel. Out: a table on stdout, `scale.json`. Each is one real boot, whose init does its
//! work again and again (`eft.work=N`); traces are kept in `target/bench` and recorded again when the kernel,
//! the tool or init has changed. Never here: one short trace many times over.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::child::{self, Usage};
use super::{Bench, RUNS, median, size_of_directory};
use crate::initrd;
use crate::kernels::Kernel;
use crate::machine::Machine;
use crate::recording::{self, number};

/// Rounds of init's work: nearly 600,000 events each, after a boot of 13 million.
const ROUNDS: [u32; 3] = [0, 150, 530];

/// Events of the largest published trace; the largest one here has as many.
const LARGEST: u64 = 322_000_000;

/// The report of the largest one may take so long, and so much memory.
const MOST_SECONDS: f64 = 10.0;
const MOST_BYTES: u64 = 512 << 20;

/// An event of the largest trace may take so many times what one of the middle trace takes: linear.
const MOST_TIMES: f64 = 1.25;

/// What is read with the index and without.
const PARTS: [(&str, &[&str]); 2] =
    [("level fs", &["--level", "fs"]), ("50 ms of it", &["--from", "900ms", "--to", "950ms"])];

struct Row {
    events: u64,
    bytes: u64,
    /// The median of whole reports, the names known.
    report: Usage,
    decode_per_s: f64,
    index_bytes: u64,
    /// For each of [`PARTS`]: seconds without the index and with it.
    parts: Vec<[f64; 2]>,
}

/// Measures; whether the targets are met.
///
/// # Errors
/// When a boot or a program fails.
pub fn run(kernel: &Kernel) -> Result<bool> {
    let bench = Bench::prepare(kernel)?;
    let rows = ROUNDS.into_iter().map(|rounds| bench.scale(rounds)).collect::<Result<Vec<_>>>()?;
    println!("{}", table(&rows));
    let path = bench.directory.join("scale.json");
    super::write(&path, &serde_json::to_vec_pretty(&json(&rows))?)?;
    let missed = missed(&rows);
    missed.iter().for_each(|what| eprintln!("missed: {what}"));
    Ok(missed.is_empty())
}

impl Bench {
    fn scale(&self, rounds: u32) -> Result<Row> {
        let trace = self.boot_of(rounds)?;
        let meta = recording::meta(&trace)?;
        let events = number(&meta, "/totals/events")?;
        ensure!(number(&meta, "/totals/lost")? == 0, "the boot with {rounds} rounds has lost events");
        self.steps.step(format_args!("{} million events: reports", events / 1_000_000));
        let index = trace.join("index.eft");
        let _ = std::fs::remove_file(&index);
        // The first one writes the index, and finds the names; and it must see what the recorder wrote.
        let whole = recording::json(self.report_of(&trace, &["--format", "json"]).stderr(Stdio::inherit()))?;
        let seen = number(&whole, "/summary/events")?;
        ensure!(seen == events, "the report has {seen} events, meta.json {events}");
        let report = self.timed(|| self.report_of(&trace, &["--no-index"]))?;
        let mut rates = Vec::new();
        for _ in 0..RUNS {
            let result = recording::json(Command::new(&self.symbolize).arg("bench-decode").arg(&trace))?;
            rates.push(result["events_per_s"].as_f64().context("bench-decode prints no events_per_s")?);
        }
        let mut parts = Vec::new();
        for (name, filter) in PARTS {
            self.steps.step(format_args!("{} million events: {name}", events / 1_000_000));
            let without = self.timed(|| self.report_of(&trace, &[filter, &["--no-index"]].concat()))?;
            let with = self.timed(|| self.report_of(&trace, filter))?;
            parts.push([without.seconds, with.seconds]);
        }
        let index_bytes = std::fs::metadata(&index).map_or(0, |found| found.len());
        let bytes = size_of_directory(&trace)? - index_bytes;
        Ok(Row { events, bytes, report, decode_per_s: median(rates), index_bytes, parts })
    }

    fn report_of(&self, trace: &Path, arguments: &[&str]) -> Command {
        let mut report = recording::report(&self.symbolize, trace, &self.vmlinux);
        report.args(arguments);
        report
    }

    /// The run with the median time; memory is the most of all.
    fn timed(&self, command: impl Fn() -> Command) -> Result<Usage> {
        let runs = (0..RUNS).map(|_| child::measure(command().stdout(Stdio::null()))).collect::<Result<Vec<_>>>()?;
        let most = |of: fn(&Usage) -> u64| runs.iter().map(of).max().unwrap_or(0);
        Ok(Usage {
            seconds: median(runs.iter().map(|run| run.seconds).collect()),
            peak_bytes: most(|run| run.peak_bytes),
            peak_anonymous_bytes: most(|run| run.peak_anonymous_bytes),
        })
    }

    /// The trace of a boot with so many rounds of work; one from an earlier run if nothing has changed since.
    fn boot_of(&self, rounds: u32) -> Result<PathBuf> {
        let trace = self.directory.join(format!("scale-{rounds}"));
        let (stamp, inputs) = (trace.with_extension("inputs"), self.inputs(rounds)?);
        if std::fs::read_to_string(&stamp).is_ok_and(|found| found == inputs) && trace.join("meta.json").exists() {
            self.steps.step(format_args!("boot with {rounds} rounds of work: recorded before"));
            return Ok(trace);
        }
        self.steps.step(format_args!("boot with {rounds} rounds of work"));
        recording::clear(&trace)?;
        let machine = Machine { cpus: 1, single_thread: true, extra: Vec::new() };
        // A busy host may keep the guest's timer back for so long that the kernel takes it for broken.
        let words = format!("eft.work={rounds} no_timer_check");
        let mut record = recording::record_with(&self.symbolize, &self.vmlinux, &self.initrd, &trace, &machine, &words);
        let output = record.stderr(Stdio::inherit()).output().context("cannot run symbolize")?;
        let console = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !console.contains(initrd::DONE) {
            bail!("the boot with {rounds} rounds did not reach its end ({}); its console:\n{console}", output.status);
        }
        std::fs::write(&stamp, inputs).with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(trace)
    }

    /// What the trace hangs on: the kernel, init, and the recorder's source as far as versions tell.
    fn inputs(&self, rounds: u32) -> Result<String> {
        let mut hasher = DefaultHasher::new();
        std::fs::read(&self.initrd).context("cannot read the initial RAM disk")?.hash(&mut hasher);
        self.witness.sites.hash(&mut hasher);
        let mut version = Command::new(&self.symbolize);
        let version = version.arg("--version").output().context("cannot run symbolize")?.stdout;
        Ok(format!(
            "{} {rounds} {:x} {}",
            self.vmlinux.display(),
            hasher.finish(),
            String::from_utf8_lossy(&version).trim()
        ))
    }
}

impl Row {
    fn per_s(&self) -> f64 {
        self.events as f64 / self.report.seconds
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:>12}{:>9}{:>11}{:>14}{:>10}{:>12}{:>14}",
        "events", "MB", "report, s", "events/s", "peak, MB", "anon., MB", "bench, ev/s"
    );
    for (name, _) in PARTS {
        let _ = write!(text, "{:>22}", format!("{name}, s (index)"));
    }
    let _ = writeln!(text, "{:>11}", "index, KB");
    for row in rows {
        let _ = write!(
            text,
            "{:>12}{:>9.1}{:>11.2}{:>14.0}{:>10.0}{:>12.0}{:>14.0}",
            row.events,
            row.bytes as f64 / 1e6,
            row.report.seconds,
            row.per_s(),
            row.report.peak_bytes as f64 / 1e6,
            row.report.peak_anonymous_bytes as f64 / 1e6,
            row.decode_per_s,
        );
        for [without, with] in &row.parts {
            let _ = write!(text, "{:>22}", format!("{without:.2} ({with:.2})"));
        }
        let _ = writeln!(text, "{:>11.0}", row.index_bytes as f64 / 1e3);
    }
    text.push_str("report: the whole text, without an index, the kernel's names known from an earlier run.\n");
    text
}

fn json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let parts = PARTS.iter().zip(&row.parts).map(|((name, _), [without, with])| {
            json!({"part": name, "seconds_without_index": without, "seconds_with_index": with})
        });
        json!({"events": row.events, "disk_bytes": row.bytes, "report_seconds": row.report.seconds,
            "events_per_s": row.per_s(), "report_peak_bytes": row.report.peak_bytes,
            "report_peak_anonymous_bytes": row.report.peak_anonymous_bytes,
            "decode_events_per_s": row.decode_per_s, "index_bytes": row.index_bytes,
            "parts": parts.collect::<Vec<_>>()})
    };
    Value::Array(rows.iter().map(row).collect())
}

/// Targets that are not met, in words.
fn missed(rows: &[Row]) -> Vec<String> {
    let mut missed = Vec::new();
    let [.., middle, largest] = rows else { return missed };
    if largest.events < LARGEST {
        missed.push(format!("the largest trace has {} events, fewer than {LARGEST}", largest.events));
    }
    if largest.report.seconds > MOST_SECONDS {
        missed.push(format!("its report takes {:.1} s, more than {MOST_SECONDS}", largest.report.seconds));
    }
    if largest.report.peak_bytes > MOST_BYTES {
        missed.push(format!("its report takes {} bytes of memory, more than {MOST_BYTES}", largest.report.peak_bytes));
    }
    let times = middle.per_s() / largest.per_s();
    if times > MOST_TIMES {
        missed.push(format!("an event of it takes {times:.2} times one of the middle trace, more than {MOST_TIMES}"));
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(events: u64, seconds: f64, peak_bytes: u64) -> Row {
        let report = Usage { seconds, peak_bytes, peak_anonymous_bytes: 0 };
        Row { events, bytes: 0, report, decode_per_s: 0.0, index_bytes: 0, parts: Vec::new() }
    }

    #[test]
    fn each_target_can_be_missed() {
        let of = |events, seconds, bytes| missed(&[row(100_000_000, 1.0, 0), row(events, seconds, bytes)]).len();
        assert_eq!(of(322_000_000, 3.3, 400 << 20), 0);
        assert_eq!(of(321_000_000, 3.3, 400 << 20), 1, "too few events");
        assert_eq!(of(322_000_000, 3.3, 600 << 20), 1, "too much memory");
        assert_eq!(of(322_000_000, 5.0, 400 << 20), 1, "more than linear");
        assert_eq!(of(3_220_000_000, 33.0, 400 << 20), 1, "too slow");
    }
}
