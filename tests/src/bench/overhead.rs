// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench overhead`: how much of the recorder's own cost `--correct` takes out. In: a kernel. Out: a
//! table on stdout, `overhead.json`. All boots run under QEMU's icount, where the time stamp counter
//! counts instructions and boots repeat: one traced; one of which only the marks are recorded
//! (`hypergraph=events:initcall`), whose call sites are nops, as in a kernel that nobody traces; and
//! one of the untouched kernel under the witness.
//!
//! Phases are compared as a whole, initcalls one by one by the time that their task was on the CPU: what
//! workers and timers do meanwhile falls into other phases of a boot that is faster (so `fs` may show too much
//! and `device` too little, while the sum and the initcalls of both are right). The untouched kernel
//! does what the others are spared (`ftrace_init` and what belongs to it): so it is told, not compared.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::Bench;
use crate::kernels::Kernel;
use crate::recording::{self, number};
use crate::witness::Counts;

/// So far may the corrected boot be from the untraced one, in percent of it.
const MOST_RESIDUE: f64 = 1.0;

/// Shorter initcalls (in instructions) hang on where a timer interrupt falls.
const SHORT: u64 = 100_000;

/// Measures; whether the target is met.
///
/// # Errors
/// When a boot or a program fails.
pub fn run(kernel: &Kernel) -> Result<bool> {
    let bench = Bench::prepare(kernel)?;
    let untouched = bench.untraced_icount("overhead")?;
    let (marks, marks_instructions) = bench.recorded("marks", "hypergraph=events:initcall")?;
    let (traced, traced_instructions) = bench.recorded("traced", "")?;
    bench.steps.step("reports");
    let report = |trace: &Path, correct: bool| {
        let mut command = recording::report(&bench.symbolize, trace, &bench.vmlinux);
        command.args(["--format", "json"]);
        if correct {
            command.arg("--correct").arg("--untraced").arg(&marks);
        }
        recording::json(&mut command)
    };
    let (plain, recorded, corrected) = (report(&marks, false)?, report(&traced, false)?, report(&traced, true)?);
    let correction = &corrected["correction"];
    let compared = correction["compared"].as_array().context("the report compares nothing")?;
    let initcalls = Initcalls::compare(&plain, &recorded, &corrected)?;
    let mut table = format!(
        "{:<14}{:>16}{:>16}{:>16}{:>12}{:>14}\n",
        "level", "recorded", "corrected", "untraced", "residue, %", "initcalls, %"
    );
    for row in compared {
        let ticks = |what: &str| row[what].as_u64().map_or("-".to_owned(), |ticks| ticks.to_string());
        let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:+.2}"));
        let _ = writeln!(
            table,
            "{:<14}{:>16}{:>16}{:>16}{:>12}{:>14}",
            row["level"].as_str().unwrap_or("all of these"),
            ticks("recorded_ticks"),
            ticks("corrected_ticks"),
            ticks("untraced_ticks"),
            percent(row["residue_percent"].as_f64()),
            percent(initcalls.of_level(row["level"].as_str())),
        );
    }
    println!("Instructions (time stamp counter under icount):\n{table}");
    println!("{}", initcalls.text());
    println!(
        "calibrated: {} instructions a leaf call, {} any other; {} leaf calls, {} others; {} subtracted, {} clamped",
        correction["leaf_ticks"],
        correction["other_ticks"],
        correction["leaf_calls"],
        correction["other_calls"],
        correction["subtracted_ticks"],
        correction["clamped_ticks"],
    );
    println!(
        "kernel instructions by the witness: untouched {untouched}, marks alone {marks_instructions}, traced \
         {traced_instructions}"
    );
    let residue = compared.first().and_then(|row| row["residue_percent"].as_f64()).context("no residue")?;
    let path = bench.directory.join("overhead.json");
    let json = json!({"residue_percent": residue, "correction": correction, "initcalls": initcalls.json(),
        "kernel_instructions": {"untouched": untouched, "marks": marks_instructions, "traced": traced_instructions}});
    super::write(&path, &serde_json::to_vec_pretty(&json)?)?;
    let met = residue.abs() <= MOST_RESIDUE;
    if !met {
        eprintln!("missed: the residue is {residue:+.2} %, more than {MOST_RESIDUE} %");
    }
    Ok(met)
}

impl Bench {
    /// A recorded boot with these words on its command line: the trace, and its kernel and tracer instructions.
    fn recorded(&self, name: &str, words: &str) -> Result<(PathBuf, u64)> {
        self.steps.step(format_args!("boot: {name}"));
        let out = self.directory.join(format!("overhead-{name}.json"));
        let trace = self.directory.join(format!("overhead-{name}"));
        recording::clear(&trace)?;
        let machine = self.machine(&out)?.icount();
        let mut record = recording::record_with(&self.symbolize, &self.vmlinux, &self.initrd, &trace, &machine, words);
        let output = record.output().context("cannot run symbolize")?;
        if !output.status.success() {
            bail!("symbolize record: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        let meta = recording::meta(&trace)?;
        let waits = number(&meta, "/per_cpu/0/waits")?;
        if waits > 0 {
            bail!("the guest waited {waits} times for the recorder: its times are not its own; run it again");
        }
        let region = number(&meta, "/region/virt")?;
        let counted = Counts::read(&out)?.instructions_with(region..region + number(&meta, "/region/size")?)?;
        Ok((trace, counted.kernel + counted.hook))
    }
}

/// Built-in initcalls that all three have, by their time on a CPU.
#[derive(Debug, Default)]
struct Initcalls {
    count: usize,
    /// Sums: untraced, recorded, corrected.
    sums: [u64; 3],
    /// The same for each level.
    levels: BTreeMap<String, [u64; 3]>,
    /// Residues in percent of those that are not [`SHORT`], ascending, with their names.
    residues: Vec<(f64, String)>,
}

impl Initcalls {
    fn compare(plain: &Value, recorded: &Value, corrected: &Value) -> Result<Initcalls> {
        let times = |report: &Value| -> Result<BTreeMap<String, (u64, String)>> {
            let list = report["initcalls"].as_array().context("no initcalls in the report")?;
            let own = list.iter().filter(|initcall| initcall["kind"] == "built-in");
            own.map(|initcall| {
                let name = initcall["name"].as_str().context("an initcall without a name")?;
                let level = initcall["level"].as_str().unwrap_or_default().to_owned();
                Ok((name.to_owned(), (number(initcall, "/on_cpu_ticks")?, level)))
            })
            .collect()
        };
        let (plain, recorded, corrected) = (times(plain)?, times(recorded)?, times(corrected)?);
        let mut all = Initcalls::default();
        for (name, (untraced, level)) in &plain {
            let (Some(recorded), Some(corrected)) = (recorded.get(name), corrected.get(name)) else { continue };
            let (untraced, recorded, corrected) = (*untraced, recorded.0, corrected.0);
            all.count += 1;
            let of_level = all.levels.entry(level.clone()).or_default();
            for sums in [&mut all.sums, of_level] {
                for (sum, value) in sums.iter_mut().zip([untraced, recorded, corrected]) {
                    *sum += value;
                }
            }
            if untraced >= SHORT {
                all.residues.push(((corrected as f64 / untraced as f64 - 1.0) * 100.0, name.clone()));
            }
        }
        if all.residues.is_empty() {
            bail!("the three boots have no initcall of {SHORT} instructions in common");
        }
        all.residues.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(all)
    }

    /// What correction leaves over in the initcalls of a level, or of all, in percent.
    fn of_level(&self, level: Option<&str>) -> Option<f64> {
        let [untraced, _, corrected] = *level.map_or(Some(&self.sums), |level| self.levels.get(level))?;
        (untraced > 0).then(|| (corrected as f64 / untraced as f64 - 1.0) * 100.0)
    }

    /// The residue that so many of a hundred stay below.
    fn percentile(&self, percent: usize) -> f64 {
        self.residues[(self.residues.len() - 1) * percent / 100].0
    }

    fn text(&self) -> String {
        let [untraced, recorded, corrected] = self.sums;
        let over = |ticks: u64| (ticks as f64 / untraced as f64 - 1.0) * 100.0;
        let (least, most) = (&self.residues[0], &self.residues[self.residues.len() - 1]);
        format!(
            "{} initcalls, time on the CPU: untraced {untraced}, recorded {recorded} ({:+.1} %), corrected {corrected} \
             ({:+.2} %)\nresidue of the {} that take {SHORT} or more: 10th percentile {:+.2} %, median {:+.2} %, 90th \
             {:+.2} %; least {:+.2} % ({}), most {:+.2} % ({})",
            self.count,
            over(recorded),
            over(corrected),
            self.residues.len(),
            self.percentile(10),
            self.percentile(50),
            self.percentile(90),
            least.0,
            least.1,
            most.0,
            most.1,
        )
    }

    fn json(&self) -> Value {
        let [untraced, recorded, corrected] = self.sums;
        json!({"count": self.count, "untraced": untraced, "recorded": recorded, "corrected": corrected,
            "residues": self.residues.iter().map(|(percent, name)| json!([name, percent])).collect::<Vec<_>>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initcalls_are_compared_by_name() {
        let report = |a: u64, b: u64| {
            json!({"initcalls": [
                {"name": "a", "kind": "built-in", "level": "fs", "on_cpu_ticks": a},
                {"name": "b", "kind": "built-in", "level": "late", "on_cpu_ticks": b},
                {"name": "c", "kind": "async", "on_cpu_ticks": 5}]})
        };
        let compared = Initcalls::compare(&report(200_000, 10), &report(300_000, 20), &report(202_000, 11));
        let compared = compared.expect("well-formed");
        assert_eq!((compared.count, compared.sums), (2, [200_010, 300_020, 202_011]));
        assert_eq!(compared.residues.len(), 1);
        assert!((compared.percentile(50) - 1.0).abs() < 1e-9);
        assert!((compared.of_level(Some("late")).expect("there is one") - 10.0).abs() < 1e-9);
        assert_eq!(compared.of_level(Some("device")), None);
        assert!(Initcalls::compare(&report(1, 1), &report(1, 1), &report(1, 1)).is_err());
    }
}
