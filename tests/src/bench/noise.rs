// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench noise`: how often `symbolize diff` raises an alarm where nothing has changed. In: a kernel. Out: a
//! table on stdout, `noise.json`. Ten boots of one kernel in real time are divided into five and five in twenty ways,
//! always the same ones, and each is compared, at the level that `diff` has of itself and at 5 %: what differs is chance. Then two boots under `--deterministic`, one
//! against one: nothing may differ. Boots that are there from an earlier run, and whole, are taken.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::Bench;
use crate::kernels::Kernel;
use crate::machine::{COMMAND_LINE, Machine};

/// Boots in real time, half of them on each side.
const BOOTS: usize = 10;
/// Comparisons of them.
const COMPARISONS: usize = 20;
/// Probability of a false alarm that each comparison accepts: that of `symbolize diff` itself, and a laxer one.
const LEVELS: [&str; 2] = ["0.01", "0.05"];
/// Alarms that are chance in so many comparisons at these levels.
const MOST_ALARMS: [usize; 2] = [0, 1];

/// One comparison.
struct Compared {
    /// Numbers of the boots on the first side, from 1.
    first: Vec<usize>,
    /// At each level.
    alarms: [bool; LEVELS.len()],
    /// The first line of the comparison at the last level.
    said: String,
}

/// Measures; whether alarms are as rare as they should be.
///
/// # Errors
/// When a boot or a program fails.
pub fn run(kernel: &Kernel) -> Result<bool> {
    let bench = Bench::prepare(kernel)?;
    bench.steps.step(format_args!("{BOOTS} boots in real time"));
    let boots = bench.repeated("noise", BOOTS, &["--warm-up", "1"])?;
    bench.steps.step("2 deterministic boots");
    let same = bench.repeated("noise-deterministic", 2, &["--deterministic"])?;
    bench.steps.step(format_args!("{COMPARISONS} comparisons of {} and {} boots", BOOTS / 2, BOOTS / 2));
    let mut rows = Vec::new();
    for first in splits() {
        let (a, b): (Vec<_>, Vec<_>) = boots.iter().enumerate().partition(|(number, _)| first.contains(&(number + 1)));
        let side = |boots: Vec<(usize, &PathBuf)>| boots.into_iter().map(|(_, path)| path.clone()).collect::<Vec<_>>();
        rows.push(bench.compared(first, &side(a), &side(b))?);
    }
    let exact = bench.compared(vec![1], &same[..1], &same[1..])?;
    let alarms: [usize; LEVELS.len()] =
        std::array::from_fn(|level| rows.iter().filter(|row| row.alarms[level]).count());
    let mut table =
        format!("{:<18}{:<16}said\n", "boots of side A", LEVELS.map(|level| format!("at {level}")).join(" "));
    for row in &rows {
        let numbers = row.first.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let told = row.alarms.map(|alarm| if alarm { "yes" } else { "no" }).join("   ");
        let _ = writeln!(table, "{numbers:<18}{told:<20}{}", row.said);
    }
    println!("{table}");
    for (level, (alarms, most)) in LEVELS.iter().zip(alarms.iter().zip(MOST_ALARMS)) {
        println!(
            "level {level}: {alarms} alarms in {} comparisons of boots in real time ({most} is chance)",
            rows.len()
        );
    }
    println!("deterministic, 1 against 1: {}", exact.said);
    let told = |row: &Compared| json!({"side_a": row.first, "alarms": row.alarms, "said": row.said});
    let result = json!({"levels": LEVELS, "alarms": alarms, "comparisons": rows.iter().map(told).collect::<Vec<_>>(),
        "deterministic": told(&exact)});
    super::write(&bench.directory.join("noise.json"), &serde_json::to_vec_pretty(&result)?)?;
    Ok(alarms.iter().zip(MOST_ALARMS).all(|(&alarms, most)| alarms <= most) && exact.alarms == [false; LEVELS.len()])
}

/// Twenty of the 126 ways to divide the boots into halves, evenly chosen; each half once.
fn splits() -> Vec<Vec<usize>> {
    // The first boot is always on side A: the other half is the same comparison.
    let all: Vec<Vec<usize>> = (0..1u32 << (BOOTS - 1))
        .filter(|others| others.count_ones() as usize == BOOTS / 2 - 1)
        .map(|others| {
            let others = (0..BOOTS - 1).filter(|at| others & (1 << at) != 0).map(|at| at + 2);
            [1].into_iter().chain(others).collect()
        })
        .collect();
    (0..COMPARISONS).map(|at| all[at * all.len() / COMPARISONS].clone()).collect()
}

impl Bench {
    /// Boots the kernel so many times; a kept boot of each.
    fn repeated(&self, name: &str, boots: usize, arguments: &[&str]) -> Result<Vec<PathBuf>> {
        let directory = self.directory.join(name);
        let mut record = Command::new(&self.symbolize);
        record.arg("record").arg("--vmlinux").arg(&self.vmlinux).arg("--initrd").arg(&self.initrd);
        record.arg("-o").arg(&directory).args(["--repeat", &boots.to_string()]).args(arguments);
        record.args(["--append", COMMAND_LINE, "--"]).args(Machine::with_cpus(1).qemu());
        done(record.stdin(Stdio::null()).stdout(Stdio::null()), "symbolize record --repeat")?;
        (1..=boots)
            .map(|number| {
                let trace = directory.join(format!("{number:02}"));
                let file = self.directory.join(format!("{name}-{number:02}.boot.zst"));
                let mut keep = Command::new(&self.symbolize);
                keep.arg("keep").arg(&trace).arg(&self.vmlinux).arg("-o").arg(&file);
                done(&mut keep, "symbolize keep")?;
                Ok(file)
            })
            .collect()
    }

    fn compared(&self, first: Vec<usize>, a: &[PathBuf], b: &[PathBuf]) -> Result<Compared> {
        let mut compared = Compared { first, alarms: [false; LEVELS.len()], said: String::new() };
        for (level, alarm) in LEVELS.iter().zip(&mut compared.alarms) {
            let mut diff = Command::new(&self.symbolize);
            diff.args(["diff", "--significance", level]).args(a).arg("--").args(b);
            let output = diff.stderr(Stdio::inherit()).output().context("cannot run symbolize")?;
            *alarm = match output.status.code() {
                Some(0) => false,
                Some(1) => true,
                _ => bail!("symbolize diff: {}; its messages are above", output.status),
            };
            compared.said = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned();
        }
        Ok(compared)
    }
}

fn done(command: &mut Command, name: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name}: {status}; its messages are above");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_halves_and_no_two_are_the_same() {
        let mut splits = splits();
        assert_eq!(splits.len(), COMPARISONS);
        assert!(splits.iter().all(|half| half.len() == BOOTS / 2 && half.iter().all(|&boot| boot <= BOOTS)));
        splits.sort();
        splits.dedup();
        assert_eq!(splits.len(), COMPARISONS);
    }
}
