// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Boots whose events lie in a device's memory: the recorder sees nothing else of the guest. Each call that the witness
//! has counted is in the trace once, from the first, which is before the kernel has found the device, to the last; while
//! the kernel looked at the device, too.

use xtask::initrd;
use xtask::recording::{self, number};
use xtask::witness::{Mismatch, mismatches};

use crate::boots::{self, NEW, OLD, Recorded, setup};

/// As a user would say it; `symbolize record` adds the device.
const IVSHMEM: &str = "hypergraph=channel:ivshmem";
const PMEM: &str = "hypergraph=channel:pmem";

/// The report; all that the witness has seen is in it.
fn check(recorded: &Recorded, device: &str) -> serde_json::Value {
    let meta = recording::meta(&recorded.trace).expect("meta.json");
    let vmm = meta["vmm"].to_string();
    assert!(vmm.contains(device) && !vmm.contains("memory-backend=hgram"), "{vmm}");
    assert_eq!(number(&meta, "/totals/lost").expect("a total"), 0, "{meta:#}");
    assert_eq!(meta["ended"]["how"], "power-off", "{meta:#}");
    assert_eq!(meta["warnings"].as_array().map_or(0, Vec::len), 0, "{meta:#}");
    // The guest has told it: the recorder cannot see the kernel's variable.
    assert!(number(&meta, "/tsc_khz").expect("a frequency") > 100_000, "{meta:#}");

    let mut report = recording::report(&setup().symbolize, &recorded.trace, &recorded.subject.vmlinux);
    let report = recording::json(report.args(["--format", "json"])).expect("a report");
    let traced = recording::traced_functions(&report, &recorded.subject.witness.sites).expect("functions");
    let wrong = mismatches(&traced, &recorded.counts);
    let shown: Vec<_> = wrong.iter().take(20).map(Mismatch::to_string).collect();
    assert!(wrong.is_empty(), "{} functions differ:\n{}", wrong.len(), shown.join("\n"));
    let calls: u64 = traced.values().map(|function| function.calls).sum();
    assert_eq!(calls, recorded.counts.calls());
    // It was there while the kernel asked the device how large its memory is.
    assert!(traced.values().any(|function| function.name == "pci_conf1_write"), "no PCI in this kernel?");
    report
}

fn done(recorded: &Recorded) {
    assert!(recorded.console.contains(initrd::DONE), "init's line is not on the console:\n{}", recorded.console);
}

#[test]
fn each_call_of_a_6_1_boot_is_in_the_memory_of_ivshmem() {
    let recorded = boots::record_with(OLD, 1, "ivshmem", IVSHMEM);
    done(&recorded);
    check(&recorded, "ivshmem-plain");
}

#[test]
fn each_call_of_a_6_12_boot_with_two_cpus_is_in_the_memory_of_ivshmem() {
    let recorded = boots::record_with(NEW, 2, "ivshmem-2cpu", IVSHMEM);
    done(&recorded);
    check(&recorded, "ivshmem-plain");
}

#[test]
fn a_kernel_that_moves_the_device_does_not_move_the_memory() {
    // With another alignment than the firmware's it gets other addresses; a recorder whose memory went there, too, would
    // lose what is written meanwhile.
    let words = format!("{IVSHMEM} loglevel=7 pci=resource_alignment=26@00:01.0");
    let recorded = boots::record_with(OLD, 1, "ivshmem-moved", &words);
    let moved = |line: &str| line.contains("0000:00:01.0: BAR 2 [mem") && line.contains("]: assigned");
    assert!(recorded.console.lines().any(moved), "{}", recorded.console);
    done(&recorded);
    check(&recorded, "ivshmem-plain");
}

#[test]
fn each_call_of_a_6_1_boot_is_in_the_memory_of_pmem() {
    let recorded = boots::record_with(OLD, 1, "pmem", PMEM);
    done(&recorded);
    check(&recorded, "virtio-pmem-pci");
}

#[test]
fn the_last_functions_before_a_panic_are_in_the_memory() {
    // Nothing to run, nothing to mount: the kernel panics, and the machine is reset.
    let recorded = boots::record_with(OLD, 1, "ivshmem-panic", &format!("{IVSHMEM} rdinit=/nothing"));
    assert!(recorded.console.contains("Kernel panic"), "{}", recorded.console);
    let report = check(&recorded, "ivshmem-plain");
    let names: Vec<_> =
        report["functions"].as_array().into_iter().flatten().filter_map(|function| function["name"].as_str()).collect();
    for last in ["mount_root", "panic", "emergency_restart", "native_machine_emergency_restart"] {
        assert!(names.contains(&last), "no {last} in the trace");
    }
}
