// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! One of the two processes is killed in the middle of a boot. What was drained by then must be
//! there and readable, and nothing may be left running.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use xtask::machine::Machine;
use xtask::recording::{self, number};

use crate::boots::{self, OLD, recorder, scratch, setup};

/// The boot is in its middle when so many bytes of the trace are on disk; the whole has some 10 MB.
const MIDDLE: u64 = 1 << 20;
/// How often a condition is looked at before the test fails: a hang must end, not a slow machine.
const LOOKS: u32 = 12_000;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// A recorder whose guest is in the middle of its boot; ended when the test ends, however it does.
struct Running {
    recorder: Child,
    qemu: u32,
}

impl Running {
    fn in_mid_boot(trace: &Path) -> Self {
        let mut command = recorder(boots::subject(OLD), trace, &Machine::with_cpus(1));
        let recorder = command.spawn().expect("symbolize runs");
        let mut running = Self { recorder, qemu: 0 };
        let file = trace.join("cpu0.eft");
        wait_until("the trace grows", || {
            let ended = running.recorder.try_wait().expect("our child");
            assert!(ended.is_none(), "the recorder ended before it had written {MIDDLE} bytes: {ended:?}");
            file.metadata().is_ok_and(|metadata| metadata.len() >= MIDDLE)
        });
        running.qemu = child_of(running.recorder.id()).expect("the recorder has started QEMU");
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a failed assertion there may be something left to end.
        let _ = self.recorder.kill();
        let _ = self.recorder.wait();
        if name_and_parent(self.qemu).is_some_and(|(name, _)| name.starts_with("qemu-system")) {
            kill(self.qemu);
        }
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if condition() {
            return;
        }
        sleep(PAUSE);
    }
    panic!("waited in vain until {what}");
}

/// The QEMU whose parent is `parent`.
fn child_of(parent: u32) -> Option<u32> {
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let (name, of) = name_and_parent(pid)?;
        (of == parent && name.starts_with("qemu-system")).then_some(pid)
    })
}

/// Name and parent of a process that is no zombie: the fields of /proc/PID/stat are
/// `pid (name) state ppid ...`, and the name may hold anything.
fn name_and_parent(pid: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (start, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let alive = !matches!(fields.next()?, "Z" | "X");
    alive.then_some((start.split_once('(')?.1.to_owned(), fields.next()?.parse().ok()?))
}

fn kill(pid: u32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs");
    assert!(status.success(), "cannot kill {pid}");
}

/// The report of what is there; it must be of the first part of a boot.
fn report_of_a_part(trace: &Path) -> Value {
    let mut report = recording::report(&setup().symbolize, trace, &boots::subject(OLD).vmlinux);
    let report = recording::json(report.args(["--format", "json"])).expect("the part is readable");
    let sites = &boots::subject(OLD).witness.sites;
    let traced = recording::traced_functions(&report, sites).expect("functions");
    let calls: u64 = traced.values().map(|function| function.calls).sum();
    assert!(calls > 100_000, "only {calls} calls in a trace of {MIDDLE} bytes");
    assert!(traced.values().any(|function| function.name == "start_kernel"), "the start of the boot is missing");
    report
}

/// What a person is told.
fn text_report(trace: &Path) -> String {
    let mut report = recording::report(&setup().symbolize, trace, &boots::subject(OLD).vmlinux);
    let output = report.output().expect("symbolize runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).to_lowercase()
}

#[test]
fn a_killed_qemu_leaves_a_trace_that_says_so() {
    let trace = scratch("killed-qemu").join("trace");
    let lock = boots::boot_lock();
    let mut running = Running::in_mid_boot(&trace);
    kill(running.qemu);
    wait_until("the recorder ends after QEMU", || running.recorder.try_wait().expect("our child").is_some());
    drop(lock);
    let mut messages = String::new();
    let mut stderr = running.recorder.stderr.take().expect("piped");
    stderr.read_to_string(&mut messages).expect("UTF-8");
    assert!(["died", "killed", "signal"].iter().any(|word| messages.contains(word)), "{messages}");

    let meta = recording::meta(&trace).expect("meta.json");
    assert_eq!(meta["ended"]["how"], "died", "{meta:#}");
    assert!(number(&meta, "/totals/events").expect("events") > 0);
    report_of_a_part(&trace);
    let text = text_report(&trace);
    assert!(["died", "killed", "incomplete"].iter().any(|word| text.contains(word)), "{text}");
}

#[test]
fn a_killed_recorder_leaves_a_readable_trace_and_no_qemu() {
    let trace = scratch("killed-recorder").join("trace");
    let lock = boots::boot_lock();
    let mut running = Running::in_mid_boot(&trace);
    running.recorder.kill().expect("kill -9");
    running.recorder.wait().expect("our child");
    wait_until("QEMU ends after its recorder", || name_and_parent(running.qemu).is_none());
    drop(lock);

    report_of_a_part(&trace);
    let text = text_report(&trace);
    assert!(["recorder", "killed", "incomplete"].iter().any(|word| text.contains(word)), "{text}");
}
