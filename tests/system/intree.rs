// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A kernel from Debian's source with the tracer in its tree: not asked to trace it is as it was, ftrace
//! included; asked to, it traces each call, as vmlinux and, with KASLR, as bzImage.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::image::Image;
use xtask::initrd;
use xtask::kernel_build::{self, Built, Flavour};
use xtask::machine::Machine;
use xtask::recording::{self, number};
use xtask::steps::Steps;
use xtask::witness::{Counts, Mismatch, Witness, mismatches};

use crate::boots::{OLD, boot_lock, bounded, scratch, setup};

/// The kernel, from the cache; cold it takes some minutes.
fn kernel() -> &'static Built {
    static KERNEL: OnceLock<Built> = OnceLock::new();
    KERNEL.get_or_init(|| {
        setup();
        kernel_build::build(OLD, Flavour::Hypergraph, &Steps::default()).expect("a kernel from source")
    })
}

/// Functions that are called, so often, before the kernel knows its command line and so whether it is to
/// trace. An injected tracer is there already.
const BEFORE: [(&str, u64); 4] =
    [("xen_prepare_pvh", 1), ("idt_setup_early_handler", 1), ("idt_setup_from_table", 32), ("set_intr_gate", 32)];

/// Without what the compiler adds, such as `.constprop.0`.
fn plain(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

/// A recorded boot.
struct Recorded {
    trace: PathBuf,
    console: String,
    meta: Value,
}

fn record(name: &str, image: Option<&Path>, machine: &Machine, words: &str) -> Recorded {
    let trace = scratch(&format!("in-tree-{name}")).join("trace");
    let (built, setup) = (kernel(), setup());
    let command =
        recording::record_kernel(&setup.symbolize, &built.vmlinux, image, &setup.initrd, &trace, machine, words);
    let _one_at_a_time = boot_lock();
    let output = bounded(&command).output().expect("symbolize runs");
    let console = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && console.contains(initrd::DONE), "{}\n{messages}\n{console}", output.status);
    let meta = recording::meta(&trace).expect("meta.json");
    Recorded { trace, console, meta }
}

impl Recorded {
    fn is_whole(&self, cpus: u64) {
        let total = |name: &str| number(&self.meta, &format!("/totals/{name}")).expect("a total");
        assert_eq!(total("lost"), 0, "{:#}", self.meta);
        assert!(total("events") > 1_000_000, "{:#}", self.meta);
        let traced = self.meta["per_cpu"].as_array().expect("CPUs").iter();
        let busy = traced.filter(|cpu| cpu["events"].as_u64().is_some_and(|events| events > 0)).count();
        assert_eq!(busy as u64, cpus, "{:#}", self.meta);
        assert_eq!(self.meta["ended"]["how"], "power-off", "{:#}", self.meta);
    }

    fn report(&self) -> Value {
        let mut report = recording::report(&setup().symbolize, &self.trace, &kernel().vmlinux);
        recording::json(report.args(["--format", "json"])).expect("a report")
    }
}

fn names(report: &Value) -> BTreeSet<String> {
    let functions = report["functions"].as_array().expect("functions").iter();
    functions.filter_map(|function| Some(function["name"].as_str()?.to_owned())).collect()
}

/// Boots without a recorder; the console.
fn untraced(words: &str) -> String {
    let built = kernel();
    let _one_at_a_time = boot_lock();
    let command = Machine::with_cpus(1).untraced_with(&built.vmlinux, &setup().initrd, words);
    let output = bounded(&command).output().expect("QEMU runs");
    let console = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && console.contains(initrd::DONE), "{}\n{console}", output.status);
    console
}

#[test]
fn a_kernel_that_is_not_asked_to_trace_has_its_ftrace() {
    let console = untraced("eft.graph");
    assert!(console.contains("graph begins"), "{console}");
    // Such as ` 0)   0.123 us    |  foo();`
    assert!(console.contains("# tracer: function_graph") && console.contains("();"), "{console}");
}

#[test]
fn ftrace_is_refused_while_we_trace() {
    let recorded = record("graph", None, &Machine::with_cpus(1), "hypergraph=filter:core eft.graph ignore_loglevel");
    assert!(recorded.console.contains("ftrace: off, since hypergraph= traces this boot"), "{}", recorded.console);
    assert!(recorded.console.contains("graph refused"), "{}", recorded.console);
}

#[test]
fn each_call_of_a_boot_is_traced_once() {
    let directory = scratch("in-tree-witness");
    let image = Image::read(&kernel().vmlinux).expect("a readable kernel");
    let witness = Witness::prepare(&image, &directory).expect("a witness");
    let out = directory.join("counts.json");
    for cpus in [1, 2] {
        let machine = Machine { extra: witness.arguments(&out, false), ..Machine::with_cpus(cpus) };
        let recorded = record(&format!("pvh-{cpus}"), None, &machine, "");
        recorded.is_whole(cpus.into());
        let counts = Counts::read(&out).expect("the witness's counts");
        let traced = recording::traced_functions(&recorded.report(), &witness.sites).expect("functions");
        let mut wrong = mismatches(&traced, &counts);
        let functions = image.functions();
        wrong.retain(|mismatch| {
            // The call is the first instruction, or comes after endbr64.
            let names = [mismatch.site, mismatch.site - 4].into_iter().find_map(|at| functions.get(&at));
            let name = names.and_then(|names| names.first()).map_or("", |name| plain(name));
            BEFORE.iter().all(|&(known, calls)| known != name || mismatch.traced + calls != mismatch.witnessed)
        });
        let shown: Vec<_> = wrong.iter().take(20).map(Mismatch::to_string).collect();
        assert!(wrong.is_empty(), "{cpus} CPUs: {} functions differ:\n{}", wrong.len(), shown.join("\n"));
    }
}

#[test]
fn a_compressed_kernel_is_traced_wherever_kaslr_puts_it() {
    let link =
        number(&recording::meta(&record("base", None, &Machine::with_cpus(1), "").trace).expect("meta"), "/text_start");
    let link = link.expect("where it was linked");
    let straight = names(&record("straight", None, &Machine::with_cpus(1), "").report());
    let mut moved = 0;
    for cpus in [1, 2] {
        let recorded = record(&format!("kaslr-{cpus}"), Some(&kernel().image), &Machine::with_cpus(cpus), "");
        recorded.is_whole(cpus.into());
        moved += u32::from(number(&recorded.meta, "/text_start").expect("text_start") != link);
        let report = recorded.report();
        let found = names(&report);
        let unnamed: Vec<_> = found.iter().filter(|name| name.starts_with("0x")).collect();
        assert!(unnamed.is_empty(), "{unnamed:?}");
        // Another entry, other firmware tables; on two CPUs what two CPUs need.
        let common = found.intersection(&straight).count();
        assert!(common * 100 >= straight.len() * 95, "{common} of {} names", straight.len());
        assert!(found.contains("start_kernel") || found.contains("setup_arch"), "no function of the start");
    }
    // One of 500 places each.
    assert!(moved > 0, "KASLR moved neither kernel");
}

#[test]
fn off_records_nothing() {
    let trace = scratch("in-tree-off").join("trace");
    let (built, setup) = (kernel(), setup());
    let machine = Machine::with_cpus(1);
    let command =
        recording::record_with(&setup.symbolize, &built.vmlinux, &setup.initrd, &trace, &machine, "hypergraph=off");
    let _one_at_a_time = boot_lock();
    let output = bounded(&command).output().expect("symbolize runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(initrd::DONE), "{output:?}");
    assert!(!trace.join("meta.json").exists());
}

#[test]
fn what_only_the_injector_can_do_is_refused() {
    let (built, setup) = (kernel(), setup());
    for option in [["--ring-mib", "16"], ["--overflow", "drop"]] {
        let trace = scratch("in-tree-refused").join("trace");
        let mut command = Command::new(&setup.symbolize);
        command.args(["record", option[0], option[1], "--vmlinux"]).arg(&built.vmlinux).arg("-o").arg(&trace);
        command.args(["--", "qemu-system-x86_64", "-m", "512M"]).stdin(Stdio::null());
        let output = command.output().expect("symbolize runs");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains(option[0]), "{message}");
    }
}

/// The same image with the tracer injected beside the one in its tree, which sleeps then.
#[test]
fn the_injected_tracer_sees_the_same_functions() {
    let directory = scratch("in-tree-injected");
    let (image, ram, trace) = (directory.join("traced"), directory.join("ram"), directory.join("trace"));
    let mut inject = Command::new(&setup().symbolize);
    inject.arg("inject").arg(&kernel().vmlinux).arg("-o").arg(&image).args(["--ring-mib", "64"]);
    let output = inject.output().expect("symbolize runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // With time as instructions both see the same timers.
    let icount = ["-icount", "shift=0,sleep=off"].map(OsString::from).to_vec();
    let mut machine = Machine { cpus: 1, single_thread: true, extra: icount };
    let straight = record("beside", None, &machine, "");

    let _one_at_a_time = boot_lock();
    let memory = format!("memory-backend-file,id=eft,size=512M,share=on,mem-path={}", ram.display());
    machine.extra.extend(["-object", &memory, "-machine", "memory-backend=eft"].map(OsString::from));
    let mut qemu = machine.untraced_with(&image, &setup().initrd, "");
    let mut qemu = qemu.stdout(Stdio::null()).spawn().expect("QEMU runs");
    let patience = Instant::now() + Duration::from_secs(60);
    let mut attach = Command::new(&setup().symbolize);
    attach.args(["record", "--force", "--attach"]).arg(&ram).arg("-o").arg(&trace).stderr(Stdio::null());
    let mut recorder = attach.spawn().expect("symbolize runs");
    while qemu.try_wait().expect("QEMU is ours").is_none() {
        assert!(Instant::now() < patience, "the guest does not power off");
        std::thread::sleep(Duration::from_millis(20));
        // It gives up as long as QEMU has not loaded the image.
        if recorder.try_wait().expect("symbolize is ours").is_some() {
            recorder = attach.spawn().expect("symbolize runs");
        }
    }
    let pid = libc::pid_t::try_from(recorder.id()).expect("a pid");
    // SAFETY: kill has no effect on our memory; the process is our child, not yet waited for.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
    assert!(recorder.wait().expect("symbolize is ours").success(), "no trace was left");
    let mut report = recording::report(&setup().symbolize, &trace, &kernel().vmlinux);
    let theirs = names(&recording::json(report.args(["--format", "json"])).expect("a report"));
    let ours = names(&straight.report());
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    let explained = |names: Vec<String>, known: &[&str]| {
        names.into_iter().filter(|name| !known.contains(&plain(name))).collect::<Vec<_>>()
    };
    let only_ours = explained(only(&ours, &theirs), &[]);
    let only_theirs = explained(only(&theirs, &ours), &BEFORE.map(|(name, _)| name));
    // What a timer calls that fires a little earlier or later, such as pool_mayday_timeout.
    let few = |names: &[String]| names.len() <= 8;
    assert!(few(&only_ours) && few(&only_theirs), "in the tree {only_ours:?}\ninjected {only_theirs:?}");
    assert!(ours.len() > 1000, "{} names", ours.len());
}
