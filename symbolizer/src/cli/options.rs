// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize options`: says what a `hypergraph=` line means before it is booted; and the same check for
//! `symbolize record`. In: a command line. Out: words on standard output, problems on standard error.

use std::io::Write;
use std::path::{Path, PathBuf};

use symbolizer::options::{self, snippet, words};
use symbolizer::report::Names;
use symbolizer::report::names::CALL;
use symbolizer::resolve::{Cache, Vmlinux};

/// Bytes of the text that the trace keeps.
const KEPT: usize = early_ftrace_format::mark::OPTION_PARTS as usize * early_ftrace_format::mark::TEXT_BYTES;

const EXAMPLES: &str = "\
Examples:
  symbolize options filter:fs,depth:20
  symbolize options 'hypergraph=func:vfs_*,notrace:*_lock' --vmlinux vmlinux
  symbolize options \"$(cat /proc/cmdline)\"

Parts (the grammar is in bootlevel/GRAMMAR.md):
  on, off                      trace, or do not
  filter:LEVEL[-LEVEL],...     only these phases of the boot: start console setup early smp pure core
                               postcore arch subsys fs rootfs device late final init user shutdown
  func:GLOB,...  notrace:GLOB,...   only, or not, functions with such names
  depth:N                      at most N traced functions on a task's stack, up to 127
  events:func,sched,initcall,irq    only these kinds of events
  until:LEVEL                  the recording ends when this phase ends
  channel:auto|ram|ivshmem|hypercall|port   where events go
  overflow:wait|drop           what happens when a ring is full

Exit codes: 0 all is understood, 2 something is not.";

/// Arguments of `symbolize options`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What follows `hypergraph=`, or a kernel command line with such words
    #[arg(required = true)]
    line: Vec<String>,
    /// Count the functions of this kernel that are asked for
    #[arg(long)]
    vmlinux: Option<PathBuf>,
}

/// Runs it; the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let line = whole_line(&args.line.join(" "));
    let functions = args.vmlinux.as_deref().map(functions).transpose()?;
    let wrong = complain(&line)?;
    let mut out = anstream::stdout().lock();
    if wrong {
        writeln!(out, "without that:")?;
    } else if bootlevel::texts(line.as_bytes()).next().is_none() {
        writeln!(out, "no hypergraph= on this line:")?;
    } else {
        let word = format!("hypergraph={}", String::from_utf8_lossy(&options::text(line.as_bytes())));
        writeln!(out, "{}", if word.contains(' ') { format!("\"{word}\"") } else { word })?;
    }
    for (topic, said) in words::meaning(line.as_bytes(), functions.as_deref()) {
        writeln!(out, "  {topic:<9}  {said}")?;
    }
    out.flush()?;
    for idle in functions.map(|functions| words::idle_patterns(line.as_bytes(), &functions)).unwrap_or_default() {
        anstream::eprintln!("symbolize: warning: {idle} matches no function that can be traced");
    }
    Ok(if wrong { 2 } else { 0 })
}

/// The argument as a kernel command line.
fn whole_line(given: &str) -> String {
    let has_ours = bootlevel::texts(given.as_bytes()).next().is_some() || !options::strays(given.as_bytes()).is_empty();
    let other_line = given.split_whitespace().nth(1).is_some() || given.contains("root=") || given.contains("console=");
    // A text with spaces in it must be quoted, as it must be for the kernel.
    if has_ours || (other_line && !given.contains(':')) || given.contains('"') {
        given.to_owned()
    } else {
        format!("\"hypergraph={given}\"")
    }
}

/// Prints all that is wrong with a kernel command line to standard error; whether anything is.
pub fn complain(line: &str) -> anyhow::Result<bool> {
    let text = options::text(line.as_bytes());
    let (findings, strays) = (options::check(line.as_bytes()), options::strays(line.as_bytes()));
    let width = terminal_size::terminal_size_of(std::io::stderr()).map_or(100, |(width, _)| usize::from(width.0));
    anstream::eprint!("{}", snippet::render(&text, &findings, width.max(40)));
    for stray in &strays {
        anstream::eprintln!("symbolize: {stray}");
    }
    if text.len() > KEPT {
        anstream::eprintln!(
            "symbolize: warning: the text has {} bytes; it holds as a whole, but a trace keeps its first {KEPT}",
            text.len()
        );
    }
    Ok(!findings.is_empty() || !strays.is_empty())
}

/// Names of the functions that can be traced.
fn functions(path: &Path) -> anyhow::Result<Vec<String>> {
    let vmlinux = Vmlinux::open(path)?;
    let names = Names::cached(&vmlinux, Cache::standard())?;
    let Some(sites) = names.call_sites() else {
        anyhow::bail!("{}: it lists no call sites (__mcount_loc): nothing in it can be traced", path.display());
    };
    Ok(sites.into_iter().map(|call| names.quick(call + CALL).name).collect())
}
