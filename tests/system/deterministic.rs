// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `record --deterministic` and `--repeat`: boots of a kernel that are the same to the last byte, also with two CPUs;
//! what an earlier run has left; and what is said of a machine whose boots need not be the same.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use symbolizer::compare::boot::Boot;
use symbolizer::compare::kept;
use symbolizer::trace_dir::Meta;
use xtask::machine::{COMMAND_LINE, Machine};
use xtask::recording;

use crate::boots::{OLD, boot_lock, bounded, scratch, setup, subject};

/// `symbolize record` with these arguments, of 6.1 in this machine.
fn record(output: &Path, arguments: &[&str], machine: &Machine) -> Output {
    record_with(output, arguments, COMMAND_LINE, machine)
}

/// The same, with another command line for the kernel.
fn record_with(output: &Path, arguments: &[&str], line: &str, machine: &Machine) -> Output {
    let setup = setup();
    let mut command = Command::new(&setup.symbolize);
    command.arg("record").arg("--vmlinux").arg(&subject(OLD).vmlinux).arg("-o").arg(output);
    command.arg("--initrd").arg(&setup.initrd).args(["--append", line]).args(arguments).arg("--");
    command.args(machine.qemu());
    let _one_at_a_time = boot_lock();
    bounded(&command).stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("symbolize runs")
}

fn messages(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn meta(trace: &Path) -> Value {
    recording::meta(trace).expect("meta.json")
}

/// What is kept of the boot, but for what is another in each: when, and paths of temporary files.
fn kept_boot(trace: &Path) -> Boot {
    let file = PathBuf::from(format!("{}{}", trace.display(), kept::ENDING));
    let mut keep = Command::new(&setup().symbolize);
    keep.arg("keep").arg(trace).arg(&subject(OLD).vmlinux).arg("-o").arg(&file).env("EFT_NAMES_CACHE", "off");
    assert!(keep.status().expect("symbolize runs").success());
    let boot = kept::read(&file).expect("a kept boot");
    Boot { name: String::new(), meta: Meta { started_at: 0, vmm: Vec::new(), ..boot.meta }, ..boot }
}

fn same_to_the_last_byte(one: &Path, other: &Path, cpus: u32) {
    for cpu in 0..cpus {
        let read = |trace: &Path| std::fs::read(trace.join(format!("cpu{cpu}.eft"))).expect("a CPU's file");
        assert!(read(one) == read(other), "cpu{cpu}.eft of {} and {} differ", one.display(), other.display());
    }
    let (one, other) = (kept_boot(one), kept_boot(other));
    assert!(one.is_deterministic() && one.meta == other.meta, "{:#?}\n{:#?}", one.meta, other.meta);
    // Without printing both: they are long.
    assert!(one == other, "the kept boots differ");
}

#[test]
fn two_deterministic_boots_are_the_same_to_the_last_byte() {
    let directory = scratch("deterministic");
    let machine = Machine::with_cpus(1);
    let first = record(&directory, &["--deterministic", "--repeat", "1"], &machine);
    assert!(first.status.success(), "{}", messages(&first));
    let began = meta(&directory.join("01"))["started_at"].clone();

    // The first stays, the second is made.
    let both = record(&directory, &["--deterministic", "--repeat", "2"], &machine);
    let said = messages(&both);
    assert!(both.status.success(), "{said}");
    assert!(said.contains("1 of 2 boots are there already"), "{said}");
    assert!(said.contains("2 boots are the same to the last byte"), "{said}");
    let (one, two) = (directory.join("01"), directory.join("02"));
    assert_eq!(meta(&one)["started_at"], began);
    assert_eq!(meta(&two)["deterministic"], true);
    assert!(meta(&two)["totals"]["events"].as_u64().expect("events") > 1_000_000);
    same_to_the_last_byte(&one, &two, 1);

    // One that is not like the others is noticed; it is whole, so it stays.
    let file = two.join("cpu0.eft");
    let mut bytes = std::fs::read(&file).expect("a CPU's file");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).expect("a CPU's file");
    let differs = record(&directory, &["--deterministic", "--repeat", "2"], &machine);
    assert_eq!(differs.status.code(), Some(1), "{}", messages(&differs));
    assert!(messages(&differs).contains("02: cpu0.eft is not that of"), "{}", messages(&differs));

    // Boots of another kind do not go into the same set.
    let other = record(&directory, &["--repeat", "2"], &machine);
    assert_eq!(other.status.code(), Some(2));
    assert!(messages(&other).contains("another virtual machine"), "{}", messages(&other));
}

#[test]
fn two_cpus_are_the_same_to_the_last_byte_too() {
    let directory = scratch("deterministic-2cpu");
    let output = record(&directory, &["--deterministic", "--repeat", "2"], &Machine::with_cpus(2));
    assert!(output.status.success(), "{}", messages(&output));
    let (one, two) = (directory.join("01"), directory.join("02"));
    for cpu in ["/per_cpu/0/events", "/per_cpu/1/events"] {
        assert!(meta(&one).pointer(cpu).and_then(Value::as_u64).expect("events") > 1000, "{:#}", meta(&one));
    }
    same_to_the_last_byte(&one, &two, 2);
}

#[test]
fn small_rings_halt_the_guest_instead_of_letting_it_wait() {
    let directory = scratch("deterministic-rings");
    let output = record(&directory.join("large"), &["--deterministic"], &Machine::with_cpus(1));
    assert!(output.status.success(), "{}", messages(&output));
    let large = meta(&directory.join("large"));
    assert_eq!((&large["deterministic"], &large["region"]["ring_bytes"]), (&true.into(), &(64 << 20).into()));
    let words = large["totals"]["words"].as_u64().expect("words") * 8;
    assert!(words > 64 << 20, "{words} bytes fit into one ring: it proves nothing");
}

#[test]
fn a_machine_with_a_disk_is_not_called_deterministic() {
    let directory = scratch("deterministic-disk");
    let disk = directory.join("disk");
    std::fs::File::create(&disk).and_then(|file| file.set_len(1 << 20)).expect("a disk");
    let mut machine = Machine::with_cpus(1);
    let drive = format!("file={},if=virtio,format=raw", disk.display());
    machine.extra.extend(["-drive".into(), drive.into()]);
    let trace = directory.join("trace");
    // Initcalls alone: it is the mark that matters.
    let line = format!("{COMMAND_LINE} hypergraph=events:initcall");
    let output = record_with(&trace, &["--deterministic"], &line, &machine);
    let said = messages(&output);
    assert!(output.status.success() && said.contains("a disk (-drive"), "{said}");
    assert_eq!(meta(&trace)["deterministic"], false);
}

#[test]
fn two_kernels_are_booted_in_turn() {
    let directory = scratch("repeat-against");
    let newer = subject(crate::boots::NEW).vmlinux.display().to_string();
    let arguments = ["--repeat", "2", "--warm-up", "0", "--against", &newer, "--effect", "5%"];
    let output = record(&directory, &arguments, &Machine::with_cpus(1));
    let said = messages(&output);
    assert!(output.status.success(), "{said}");
    let metas = ["a/01", "b/01", "b/02", "a/02"].map(|boot| meta(&directory.join(boot)));
    let began = metas.each_ref().map(|meta| meta["started_at"].as_u64().expect("a time"));
    assert!(began.is_sorted(), "{began:?}");
    assert_eq!(metas[0]["build_id"], metas[3]["build_id"]);
    assert_eq!(metas[1]["build_id"], metas[2]["build_id"]);
    assert_ne!(metas[0]["build_id"], metas[1]["build_id"]);
    // Of two boots nothing can be told, and that is said.
    assert!(said.contains("less than 5 boots"), "{said}");
    assert!(said.contains("symbolize diff"), "{said}");
}
