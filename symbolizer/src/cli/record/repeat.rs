// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize record --repeat N`: many boots, of one kernel or of two in turn, each to a trace of its own. In: the
//! arguments of `record`. Out: `OUTPUT/01`.. or `OUTPUT/a/01`.. and `OUTPUT/b/01`... What an earlier run has left whole
//! stays, the rest is made. Never here: what the boots say.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};
use symbolizer::capture::qemu_args;
use symbolizer::resolve::find;
use symbolizer::trace_dir::meta::META_FILE;
use symbolizer::trace_dir::{Ended, Existing, Meta, TraceWriter};

use super::boot::{self, Shot, Target, Voice};
use super::spread::{self, Side};

/// The effect sought, if nobody says.
const EFFECT: f64 = 0.01;

/// Many boots.
#[derive(clap::Args, Clone, Debug)]
// record's own arguments have the name Args as a group already.
#[group(skip)]
pub struct Args {
    /// Boot N times, to OUTPUT/01 and so on; boots that are there already, and whole, stay
    #[arg(long, value_name = "N", conflicts_with_all = ["attach", "untraced_too", "ram_file"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=9999))]
    repeat: Option<u32>,
    /// Before that boot each kernel W times and throw it away [default: 1; 0 with --deterministic]
    #[arg(long, value_name = "W", requires = "repeat")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=9999))]
    warm_up: Option<u32>,
    /// Boot this kernel, too, N times in turn with the other: to OUTPUT/a (--vmlinux) and OUTPUT/b (this one)
    #[arg(long, value_name = "VMLINUX", requires = "repeat", conflicts_with = "kernel")]
    against: Option<PathBuf>,
    /// Initial RAM disk of that kernel [default: that of --initrd]
    #[arg(long, value_name = "PATH", requires = "against")]
    against_initrd: Option<PathBuf>,
    /// The change of the boot's time that you want to see, such as 2%: warns if so many boots cannot tell it
    /// [default: 1%]
    #[arg(long, value_name = "PERCENT", requires = "repeat", value_parser = percent)]
    effect: Option<f64>,
}

impl Args {
    /// Whether many boots are asked for.
    pub fn wanted(&self) -> bool {
        self.repeat.is_some()
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.trim_end_matches('%').trim_end().parse().ok();
    let number = number.filter(|&number| number > 0.0 && number <= 1000.0);
    number.map(|number| number / 100.0).ok_or_else(|| "expected a part such as 2% or 0.5%".to_owned())
}

/// A kernel that is booted many times.
struct Kernel<'a> {
    /// `a`, `b`, or nothing if it is the only one.
    name: &'static str,
    vmlinux: &'a Path,
    initrd: Option<&'a Path>,
    /// Something was said of it.
    told: bool,
}

/// A boot that is to be made.
struct Planned {
    kernel: usize,
    output: PathBuf,
}

/// Runs it; the exit code: 0 if all boots are there, 1 if deterministic ones are not the same.
pub fn run(args: &super::Args, signals: &Arc<AtomicUsize>) -> anyhow::Result<u8> {
    let repeat = args.repeat.repeat.unwrap_or(1);
    if args.output.join(META_FILE).exists() {
        bail!("{}: a trace stands here; --repeat wants a directory for many", args.output.display());
    }
    let mut kernels = kernels(args)?;
    let (sides, planned) = plan(args, &kernels, repeat)?;
    let there = sides.iter().map(|side| side.traces.len()).sum::<usize>() - planned.len();
    let all = there + planned.len();
    if there > 0 {
        eprintln!("symbolize: {there} of {all} boots are there already");
    }
    if !planned.is_empty() {
        warm_up(args, &mut kernels, signals)?;
    }
    for (number, planned) in (there + 1..).zip(&planned) {
        let began = Instant::now();
        let meta = one(args, &mut kernels[planned.kernel], &planned.output, signals)?;
        let output = planned.output.display();
        let Some(meta) = meta.filter(whole) else {
            if signals.load(Ordering::Relaxed) > 0 {
                eprintln!("symbolize: stopped; {} of {all} boots are there, the same command goes on", number - 1);
                return Ok(2);
            }
            bail!("{output}: this boot did not come to its end; the same command goes on with it");
        };
        eprintln!(
            "symbolize: boot {number} of {all}: {output}: {:.3} s, {} events; {:.1} s here",
            spread::span(&planned.output)? as f64 / 1e9,
            meta.totals.events,
            began.elapsed().as_secs_f64()
        );
    }
    let mut same = true;
    if args.deterministic {
        same = spread::tell_same(&sides)?;
    } else {
        spread::tell(&sides, args.repeat.effect.unwrap_or(EFFECT))?;
    }
    if let [a, b] = &sides[..] {
        let [a, b] = [a, b].map(|side| super::super::quoted(&side.path.display().to_string()));
        eprintln!("symbolize: next: symbolize diff {a} {b}");
    }
    Ok(if same { 0 } else { 1 })
}

/// One, or two.
fn kernels(args: &super::Args) -> anyhow::Result<Vec<Kernel<'_>>> {
    let vmlinux = args.vmlinux.as_deref().context("--vmlinux is missing")?;
    let initrd = args.initrd.as_deref();
    let Some(against) = args.repeat.against.as_deref() else {
        return Ok(vec![Kernel { name: "", vmlinux, initrd, told: false }]);
    };
    let other = args.repeat.against_initrd.as_deref().or(initrd);
    Ok(vec![
        Kernel { name: "a", vmlinux, initrd, told: false },
        Kernel { name: "b", vmlinux: against, initrd: other, told: false },
    ])
}

/// All boots by kernel, and those that are to be made, in the order a, b, b, a, ...: what drifts on the host, drifts
/// for both alike.
fn plan(args: &super::Args, kernels: &[Kernel<'_>], repeat: u32) -> anyhow::Result<(Vec<Side>, Vec<Planned>)> {
    let path = |kernel: &Kernel<'_>| match kernel.name {
        "" => args.output.clone(),
        name => args.output.join(name),
    };
    let mut sides: Vec<Side> = kernels.iter().map(|kernel| Side { path: path(kernel), traces: Vec::new() }).collect();
    let mut planned = Vec::new();
    for round in 1..=repeat {
        let mut order: Vec<usize> = (0..kernels.len()).collect();
        if round % 2 == 0 {
            order.reverse();
        }
        for kernel in order {
            let output = sides[kernel].path.join(format!("{round:02}"));
            if args.force || !stands(args, &kernels[kernel], &output)? {
                TraceWriter::check(&output, Existing::Replace)?;
                planned.push(Planned { kernel, output: output.clone() });
            }
            sides[kernel].traces.push(output);
        }
    }
    Ok((sides, planned))
}

/// Whether the trace is there already, whole and of the same boot.
fn stands(args: &super::Args, kernel: &Kernel<'_>, output: &Path) -> anyhow::Result<bool> {
    if !output.join(META_FILE).exists() {
        return Ok(false);
    }
    let meta = Meta::read(output)?;
    if !whole(&meta) {
        return Ok(false);
    }
    let line = meta.command_line.strip_suffix(meta.command_line_added.as_str()).unwrap_or(&meta.command_line);
    let command: Vec<String> = args.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let same_kernel = match meta.build_id.as_str() {
        "" => std::path::absolute(kernel.vmlinux).is_ok_and(|path| path == Path::new(&meta.vmlinux)),
        build_id => find::has(kernel.vmlinux, build_id),
    };
    let differs = if !same_kernel {
        "kernel"
    } else if line.trim() != args.append.trim() {
        "command line"
    } else if !is_of(&meta.vmm, &command) || icount(&meta) != args.deterministic {
        "virtual machine"
    } else if initrd_of(&meta.vmm) != kernel.initrd.map(Path::to_string_lossy).as_deref() {
        "initial RAM disk"
    } else if args.ring_mib.is_some_and(|mib| u64::from(mib) << 20 != meta.region.ring_bytes) {
        "ring size (--ring-mib)"
    } else if args.overflow.is_some_and(|overflow| overflow_word(overflow) != meta.region.overflow) {
        "overflow"
    } else {
        return Ok(true);
    };
    bail!(
        "{}: the boot that stands here has another {differs}; take another --output, or --force to boot all anew",
        output.display()
    )
}

fn overflow_word(overflow: super::Overflow) -> &'static str {
    match overflow {
        super::Overflow::Wait => "wait",
        super::Overflow::Drop => "drop",
    }
}

/// What begins the arguments that record adds, but for a size of the memory if the user gave none.
const OUR_MEMORY: &str = "memory-backend-file,id=hgram,";

/// Where our arguments begin in a command, without that size.
fn ours_at(vmm: &[String]) -> Option<usize> {
    let words = vmm.windows(2);
    words.enumerate().rev().find(|(_, two)| two[0] == "-object" && two[1].starts_with(OUR_MEMORY)).map(|(at, _)| at)
}

/// Whether a command is the user's, with our arguments behind it and nothing else.
fn is_of(vmm: &[String], command: &[String]) -> bool {
    let Some(at) = ours_at(vmm) else { return false };
    let Some(rest) = vmm[..at].strip_prefix(command) else { return false };
    let says_memory = qemu_args::read(&command.iter().skip(1).map(OsString::from).collect::<Vec<_>>());
    match rest {
        [] => true,
        // A size that we have added; else it was the user's then, and is none of the user's now.
        [option, size] => {
            option == "-m"
                && says_memory.is_ok_and(|told| !told.says_memory && *size == format!("{}M", told.memory >> 20))
        }
        _ => false,
    }
}

/// The initial RAM disk among our arguments.
fn initrd_of(vmm: &[String]) -> Option<&str> {
    let ours = &vmm[ours_at(vmm)?..];
    // Its place is fixed; a command line may have the same word.
    let at = ours.chunks(2).position(|two| two[0] == "-initrd")?;
    ours.get(at * 2 + 1).map(String::as_str)
}

/// Whether the boot was made under `--deterministic`, if it was so at the end or not.
fn icount(meta: &Meta) -> bool {
    meta.vmm.iter().any(|word| word == "-icount")
}

/// It came to its end, or to the time at which all are stopped.
fn whole(meta: &Meta) -> bool {
    match &meta.ended {
        Some(Ended::PowerOff) => true,
        Some(Ended::Stopped { detail }) => detail.starts_with("time limit"),
        _ => false,
    }
}

/// Boots that nobody looks at: files of the host come into memory, the processor to its speed.
fn warm_up(args: &super::Args, kernels: &mut [Kernel<'_>], signals: &Arc<AtomicUsize>) -> anyhow::Result<()> {
    let count = args.repeat.warm_up.unwrap_or(if args.deterministic { 0 } else { 1 });
    for number in 1..=count {
        for kernel in &mut *kernels {
            if signals.load(Ordering::Relaxed) > 0 {
                return Ok(());
            }
            let thrown_away = tempfile::Builder::new().prefix("symbolize-warm-up-").tempdir();
            let thrown_away = thrown_away.context("cannot make a temporary directory")?;
            one(args, kernel, &thrown_away.path().join("trace"), signals)?;
            eprintln!("symbolize: warm-up {number} of {count}{}", named(kernel));
        }
    }
    Ok(())
}

fn named(kernel: &Kernel<'_>) -> String {
    if kernel.name.is_empty() { String::new() } else { format!(" ({})", kernel.name) }
}

fn one(
    args: &super::Args,
    kernel: &mut Kernel<'_>,
    output: &Path,
    signals: &Arc<AtomicUsize>,
) -> anyhow::Result<Option<Meta>> {
    if signals.load(Ordering::Relaxed) > 0 {
        return Ok(None);
    }
    let shot = Shot {
        vmlinux: kernel.vmlinux,
        kernel: args.kernel.as_deref(),
        initrd: kernel.initrd,
        append: &args.append,
        to: Target {
            output,
            existing: Existing::Replace,
            voice: if kernel.told { Voice::Brief } else { Voice::Added },
        },
    };
    kernel.told = true;
    boot::boot(args, &shot, signals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_parts_of_a_boot() {
        for (text, part) in [("2%", 0.02), ("0.5 %", 0.005), ("3", 0.03)] {
            assert_eq!(percent(text), Ok(part));
        }
        for text in ["", "%", "-1%", "0", "two", "nan"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_command_is_the_same_to_its_last_word() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let ours = "-object memory-backend-file,id=hgram,size=1 -machine memory-backend=hgram -kernel k -append a";
        let is = |then: &str, now: &str| is_of(&words(&format!("{then} {ours}")), &words(now));
        assert!(is("qemu -m 1G", "qemu -m 1G"));
        assert!(!is("qemu -m 1G -smp 4", "qemu -m 1G"));
        assert!(!is("qemu -m 1G", "qemu -m 1G -smp 4"));
        assert!(!is("qemu -m 3G", "qemu"));
        let size = qemu_args::read(&[]).unwrap().memory >> 20;
        assert!(is(&format!("qemu -m {size}M"), "qemu"));
        assert_eq!(initrd_of(&words(&format!("qemu {ours} -initrd i -no-reboot"))), Some("i"));
        assert_eq!(initrd_of(&words(&format!("qemu {ours} -no-reboot"))), None);
    }

    #[test]
    fn a_boot_is_whole_when_it_came_to_its_end() {
        let ended = |ended| whole(&Meta { ended, ..Meta::default() });
        let stopped = |detail: &str| Some(Ended::Stopped { detail: detail.into() });
        assert!(ended(Some(Ended::PowerOff)) && ended(stopped("time limit of 9 s")));
        assert!(!ended(None) && !ended(stopped("by a signal")));
        assert!(!ended(Some(Ended::Died { detail: String::new() })));
    }
}
