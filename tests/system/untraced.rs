// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Boots without any tracing: kernel, init, QEMU's arguments and the witness. When these pass and
//! others fail, the tracer is to blame.

use xtask::initrd;
use xtask::machine::Machine;
use xtask::witness::Counts;

use crate::boots::{NEW, OLD, boot_lock, bounded, scratch, setup, subject};

/// Boots to power-off; what the witness counted.
fn boot(series: &str) -> Counts {
    let out = scratch(&format!("untraced-{series}")).join("counts.json");
    let machine =
        Machine { single_thread: true, extra: subject(series).witness.arguments(&out, true), ..Machine::with_cpus(1) };
    let _one_at_a_time = boot_lock();
    let command = machine.untraced(&subject(series).vmlinux, &setup().initrd);
    let output = bounded(&command).output().expect("QEMU runs");
    let console = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && console.contains(initrd::DONE), "{}\n{console}", output.status);
    Counts::read(&out).expect("the witness's counts")
}

fn check(counts: &Counts) {
    // A boot has some 7 million calls and 1.4 to 2 thousand million instructions; far fewer mean that
    // the witness missed most of it.
    assert!(counts.calls() > 5_000_000, "{} calls", counts.calls());
    let instructions = counts.instructions.expect("counted");
    assert!(instructions.kernel > 1_000_000_000, "{instructions:?}");
    assert!(instructions.user > 0 && instructions.other > 0, "{instructions:?}");
    assert_eq!(instructions.hook, 0, "there is no tracer");
}

#[test]
fn an_untraced_6_1_kernel_runs_init_to_its_end() {
    check(&boot(OLD));
}

#[test]
fn an_untraced_6_12_kernel_runs_init_to_its_end() {
    check(&boot(NEW));
}
