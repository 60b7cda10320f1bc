// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `cargo xtask bench`: one untraced and one traced boot under the witness, then the host side on the
//! trace. In: a kernel. Out: a table on stdout, `summary.json`. Speed on the guest's side is told in
//! instructions, which repeat; seconds only where the target is in seconds.
//!
//! [`child`] measures a process, [`resolvers`] compares addresses with llvm-symbolizer, [`figures`]
//! holds the targets. Never here: assertions of tests.

pub mod channels;
pub mod child;
pub mod figures;
pub mod intree;
pub mod levels;
pub mod micro;
pub mod names;
pub mod nesting;
pub mod noise;
pub mod overhead;
pub mod peers;
pub mod readers;
pub mod recorder;
pub mod regressions;
pub mod resolvers;
pub mod scale;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::image::Image;
use crate::kernels::Kernel;
use crate::machine::Machine;
use crate::recording::{self, number};
use crate::steps::Steps;
use crate::witness::{self, Counts, Instructions, Witness};
use crate::{initrd, tools, workspace};
use figures::Figures;

/// How often a time is taken; the median counts.
const RUNS: usize = 3;
/// Mismatches and disagreements that are shown of many.
const SHOWN: usize = 10;

/// What all parts work on.
struct Bench {
    steps: Steps,
    directory: PathBuf,
    symbolize: PathBuf,
    vmlinux: PathBuf,
    initrd: PathBuf,
    image: Image,
    witness: Witness,
}

/// Measures all figures; whether all targets are met.
///
/// # Errors
/// When a boot or a program fails.
pub fn run(kernel: &Kernel) -> Result<bool> {
    let bench = Bench::prepare(kernel)?;
    let mut figures = Figures::default();
    let untraced = bench.untraced()?;
    let trace = bench.traced(&untraced, &mut figures)?;
    bench.host_side(&trace, &mut figures)?;
    bench.resolvers(&trace, &mut figures)?;

    print!("{}", figures.table());
    let summary = bench.directory.join("summary.json");
    write(&summary, figures.summary()?.as_bytes())?;
    Ok(figures.all_met())
}

impl Bench {
    fn prepare(kernel: &Kernel) -> Result<Self> {
        let steps = Steps::default();
        tools::ensure(tools::TEST)?;
        let vmlinux = kernel.vmlinux(&steps)?;
        steps.step("building symbolize and the witness");
        let symbolize = workspace::build_release("symbolizer", "symbolize")?;
        let directory = workspace::target().join("bench");
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let initrd = directory.join("initrd.cpio");
        initrd::build(&initrd)?;
        let image = Image::read(&vmlinux)?;
        let witness = Witness::prepare(&image, &directory)?;
        Ok(Self { steps, directory, symbolize, vmlinux, initrd, image, witness })
    }

    fn machine(&self, out: &Path) -> Result<Machine> {
        // Counts of an earlier run must not be taken for this one's.
        if out.exists() {
            std::fs::remove_file(out).with_context(|| format!("cannot remove {}", out.display()))?;
        }
        Ok(Machine { cpus: 1, single_thread: true, extra: self.witness.arguments(out, true) })
    }

    fn untraced(&self) -> Result<Instructions> {
        self.steps.step("untraced boot under the witness");
        let out = self.directory.join("untraced.json");
        let mut boot = self.machine(&out)?.untraced(&self.vmlinux, &self.initrd);
        recording::untraced(&mut boot, "untraced")?;
        let counts = Counts::read(&out)?;
        let instructions = counts.instructions.context("the witness counted no instructions")?;
        self.steps.step(format_args!(
            "untraced: {} kernel instructions, {} calls of traced functions",
            instructions.kernel + instructions.hook,
            counts.calls()
        ));
        Ok(instructions)
    }

    /// Kernel instructions of the kernel as it is, in a boot that repeats; what is kept of it begins with `name`.
    fn untraced_icount(&self, name: &str) -> Result<u64> {
        self.steps.step("untraced boot");
        let out = self.directory.join(format!("{name}-untraced.json"));
        let mut boot = self.machine(&out)?.icount().untraced(&self.vmlinux, &self.initrd);
        recording::untraced(&mut boot, "untraced")?;
        let counted = Counts::read(&out)?.instructions.context("the witness counted no instructions")?;
        Ok(counted.kernel + counted.hook)
    }

    fn traced(&self, untraced: &Instructions, figures: &mut Figures) -> Result<PathBuf> {
        self.steps.step("traced boot under the witness");
        let (out, trace) = (self.directory.join("traced.json"), self.directory.join("trace"));
        recording::clear(&trace)?;
        let machine = self.machine(&out)?;
        let mut record = recording::record(&self.symbolize, &self.vmlinux, &self.initrd, &trace, &machine);
        let status = record.stdout(std::io::stderr()).status().context("cannot run symbolize")?;
        if !status.success() {
            bail!("symbolize record: {status}; its messages are above");
        }
        let counts = Counts::read(&out)?;
        let meta = recording::meta(&trace)?;
        let region = number(&meta, "/region/virt")?;
        let instructions = counts.instructions_with(region..region + number(&meta, "/region/size")?)?;
        let events = number(&meta, "/totals/events")?;
        if events == 0 {
            bail!("the trace has no events");
        }
        let per_event = |value: u64| value as f64 / events as f64;
        figures.add("guest_insns_per_event", per_event(instructions.hook));
        // The few instructions of the untraced kernel's own __fentry__ are the kernel's there. What the
        // traced kernel saves, since it does not turn its call sites into nops, counts in its favour.
        let before = untraced.kernel + untraced.hook;
        figures.add("boot_insns_ratio", (instructions.kernel + instructions.hook) as f64 / before as f64);
        figures.add("ring_bytes_per_event", per_event(number(&meta, "/totals/words")? * 8));
        figures.add("disk_bytes_per_event", per_event(size_of_directory(&trace)?));
        figures.add("events", events as f64);
        figures.add("lost_events", number(&meta, "/totals/lost")? as f64);

        self.steps.step("comparing the trace with the witness");
        let mut report = recording::report(&self.symbolize, &trace, &self.vmlinux);
        let report = recording::json(report.args(["--format", "json"]))?;
        let traced = recording::traced_functions(&report, &self.witness.sites)?;
        let mismatches = witness::mismatches(&traced, &counts);
        for mismatch in mismatches.iter().take(SHOWN) {
            eprintln!("    {mismatch}");
        }
        figures.add("witness_mismatches", mismatches.len() as f64);
        Ok(trace)
    }

    fn host_side(&self, trace: &Path, figures: &mut Figures) -> Result<()> {
        self.steps.step("decoding");
        let mut rates = Vec::new();
        for _ in 0..RUNS {
            let result = recording::json(Command::new(&self.symbolize).arg("bench-decode").arg(trace))?;
            rates.push(result["events_per_s"].as_f64().context("bench-decode prints no events_per_s")?);
        }
        figures.add("decode_events_per_s", median(rates));
        self.steps.step("reporting");
        let (mut seconds, mut peak, mut anonymous) = (Vec::new(), 0, 0);
        for _ in 0..RUNS {
            let mut report = recording::report(&self.symbolize, trace, &self.vmlinux);
            let run = child::measure(report.stdout(Stdio::null()))?;
            seconds.push(run.seconds);
            peak = peak.max(run.peak_bytes);
            anonymous = anonymous.max(run.peak_anonymous_bytes);
        }
        figures.add("report_seconds", median(seconds));
        figures.add("report_peak_mb", peak as f64 / 1e6);
        figures.add("report_peak_anonymous_mb", anonymous as f64 / 1e6);
        Ok(())
    }

    fn resolvers(&self, trace: &Path, figures: &mut Figures) -> Result<()> {
        self.steps.step("resolving each address twice");
        let ours = resolvers::ours(&self.symbolize, trace, &self.vmlinux)?;
        let theirs = resolvers::llvm(&self.vmlinux, &ours)?;
        let differences = resolvers::compare(&ours, &theirs, &self.image.functions());
        eprintln!("{differences}");
        for line in differences.other.iter().take(SHOWN) {
            eprintln!("    {line}");
        }
        figures.add("symbol_disagreements", differences.other.len() as f64);
        Ok(())
    }
}

/// A result for programs, beside the table.
fn write(path: &Path, json: &[u8]) -> Result<()> {
    std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("written: {}", path.display());
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn size_of_directory(directory: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        size += entry?.metadata()?.len();
    }
    Ok(size)
}
