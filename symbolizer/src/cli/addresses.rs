// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize addresses TRACE VMLINUX`. Out: `0xADDRESS NAME FILE:LINE` for each function of the
//! trace, by address. For scripts and for the comparison with other symbolizers.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use symbolizer::calltree::aggregate::Aggregate;
use symbolizer::calltree::filter::{Filter, Wanted};
use symbolizer::calltree::{self, Site};
use symbolizer::decode::pipeline;
use symbolizer::report::names::CALL;
use symbolizer::resolve::{ModuleFiles, Vmlinux};
use symbolizer::trace_dir::TraceDir;

use super::names::Keep;

/// Arguments of `symbolize addresses`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The trace directory
    trace: PathBuf,
    /// The vmlinux with symbols of the kernel that was traced
    vmlinux: PathBuf,
    /// All functions with a call site in the vmlinux, whether the trace has them or not
    #[arg(long)]
    all: bool,
    /// Look for modules' .ko files in and below DIR too, not only where packages put them (may be repeated)
    #[arg(long, value_name = "DIR")]
    modules: Vec<PathBuf>,
    /// Go on although the vmlinux is of another kernel than the trace
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    keep: Keep,
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let vmlinux = Vmlinux::open(&args.vmlinux)?;
    let mut names = args.keep.names(&vmlinux)?;
    let mut functions = if args.all {
        names.resolve(names.call_sites().unwrap_or_default().into_iter().map(|call| call + CALL))?
    } else {
        let trace = TraceDir::open(&args.trace)?;
        super::source::check_build_id(trace.meta(), &names, &args.vmlinux, args.force)?;
        super::source::set_slide(&mut names, trace.meta(), args.force)?;
        names.look_for_modules(ModuleFiles::new(&args.modules, &args.vmlinux, &trace.meta().release)?);
        let nameless = |_: Site<'_>| String::new();
        let mut aggregate = Aggregate::new(Filter::new(Wanted::default(), &nameless));
        let totals = pipeline::run(&trace, |pipeline| calltree::build(pipeline, &mut aggregate, |_| {}));
        names.resolve(totals.functions())?
    };
    // One address may have been one module's code and then another's.
    functions.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
    functions.dedup_by(|a, b| (a.address, &a.name) == (b.address, &b.name));
    let mut out = BufWriter::new(std::io::stdout().lock());
    for function in &functions {
        let file = function.file.as_deref().unwrap_or("??");
        writeln!(out, "{:#018x} {} {}:{}", function.address, function.name, file, function.line.unwrap_or(0))?;
    }
    out.flush()?;
    Ok(0)
}
