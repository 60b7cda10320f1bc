// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Recordings that cannot be made for want of a machine or of space: QEMU missing or refusing, no
//! permission, a full disk.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use xtask::machine::Machine;

use crate::boots::{self, OLD, boot_lock, recorder, scratch, setup, subject};
use crate::refusal::refused;

/// A recorder that would start `qemu` with the arguments after it.
fn recorder_with(name: &str, qemu: &[&str]) -> Command {
    let trace = scratch(name).join("trace");
    let mut command = Command::new(&setup().symbolize);
    command.arg("record").arg("--vmlinux").arg(&subject(OLD).vmlinux).arg("-o").arg(trace).arg("--").args(qemu);
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    id.stdout == b"0\n"
}

#[test]
fn a_missing_qemu_is_named() {
    let command = recorder_with("vmm-missing", &["qemu-system-that-is-not-there", "-m", "512M"]);
    refused(&command, &["qemu-system-that-is-not-there", "no such file|not found|cannot run|install"]);
}

#[test]
fn what_qemu_refuses_is_shown() {
    let _one_at_a_time = boot_lock();
    let command = recorder_with("vmm-refusing", &["qemu-system-x86_64", "-m", "512M", "-no-such-option"]);
    refused(&command, &["no-such-option", "qemu"]);
}

#[test]
fn a_directory_without_permission_is_named() {
    let directory = scratch("vmm-permission");
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o500)).expect("our directory");
    let trace = directory.join("trace");
    // Root may write anywhere unless it gives that up.
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.arg("--bounding-set=-dac_override,-dac_read_search").arg(&setup().symbolize);
        command
    } else {
        Command::new(&setup().symbolize)
    };
    command.arg("record").arg("--vmlinux").arg(&subject(OLD).vmlinux).arg("-o").arg(&trace);
    command.args(["--", "qemu-system-x86_64", "-m", "512M"]);
    refused(&command, &["permission", "vmm-permission"]);
}

#[test]
fn a_full_disk_is_said_and_what_fits_is_a_trace() {
    let directory = scratch("vmm-full");
    let disk = directory.join("disk");
    std::fs::create_dir(&disk).expect("a mount point");
    let report = directory.join("report.json");
    // A file system of 2 MB that only this shell and its children see, and that ends with them.
    let mut unshare = vec!["unshare", "--mount"];
    if !is_root() {
        unshare.extend(["--user", "--map-root-user"]);
    }
    let mount = "mount -t tmpfs -o size=2m tmpfs \"$1\"";
    let try_mount = Command::new(unshare[0]).args(&unshare[1..]).args(["sh", "-c", mount, "sh"]).arg(&disk).status();
    if !try_mount.is_ok_and(|status| status.success()) {
        eprintln!("not tested: this machine lets nobody mount a small file system");
        return;
    }
    let subject = subject(OLD);
    let record = recorder(subject, &disk.join("trace"), &Machine::with_cpus(1));
    let script = format!(
        "{mount} && report=$2 symbolize=$3 vmlinux=$4 disk=$1 && shift 4 && \"$@\"; code=$?; \
         \"$symbolize\" \"$disk/trace\" \"$vmlinux\" --format json >\"$report\" || exit 99; exit $code"
    );
    let _one_at_a_time = boot_lock();
    let mut command = Command::new(unshare[0]);
    command.args(&unshare[1..]).args(["sh", "-c", &script, "sh"]).arg(&disk).arg(&report);
    command.arg(&setup().symbolize).arg(&subject.vmlinux).arg(record.get_program()).args(record.get_args());
    refused(&command, &["space"]);

    let text = std::fs::read(&report).expect("the report of what fitted");
    let json = serde_json::from_slice(&text).expect("JSON");
    let traced = xtask::recording::traced_functions(&json, &boots::subject(OLD).witness.sites).expect("functions");
    assert!(!traced.is_empty(), "nothing of 2 MB can be read");
}
