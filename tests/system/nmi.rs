// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! NMIs at any instruction of a boot, sent through QEMU's monitor: the only interrupt that comes inside
//! the tracer's slow paths, too. No call may be counted wrong: one that was lost there is counted as lost.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use xtask::machine::Machine;
use xtask::recording::{self, number};
use xtask::witness::Counts;

use crate::boots::{self, OLD, bounded, recorder, scratch, setup};

/// Between two NMIs: the kernel prints some lines for each, so that more of them only queue up.
const EVERY: Duration = Duration::from_micros(2_000);

/// So much of the trace is on disk when the kernel has handlers: an NMI before that resets the machine.
const HANDLERS: u64 = 1 << 20;

/// Sends NMIs until the guest is gone.
fn send_nmis(trace: &Path, socket: &Path, stop: &AtomicBool) -> u64 {
    let file = trace.join("cpu0.eft");
    while !file.metadata().is_ok_and(|metadata| metadata.len() >= HANDLERS) {
        if stop.load(Ordering::Relaxed) {
            return 0;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let Ok(stream) = UnixStream::connect(socket) else { return 0 };
    let mut answers = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut commands = stream;
    let mut line = String::new();
    let mut sent = 0;
    let mut ask = |command: &str| {
        let asked = writeln!(commands, "{{\"execute\": \"{command}\"}}");
        line.clear();
        asked.is_ok() && answers.read_line(&mut line).is_ok_and(|read| read > 0)
    };
    // The greeting is read with the first answer's call; which line answers what does not matter.
    if !ask("qmp_capabilities") {
        return 0;
    }
    while !stop.load(Ordering::Relaxed) && ask("inject-nmi") {
        sent += 1;
        std::thread::sleep(EVERY);
    }
    sent
}

/// Run by hand (`cargo test -p xtask --test system nmi -- --ignored`): of six runs one did not end within
/// its ten minutes, and whether the tracer or the flood of the kernel's own messages is the cause is open.
#[test]
#[ignore = "one run of six did not end, cause not found yet"]
fn nmis_at_any_instruction_lose_no_call_in_silence() {
    let directory = scratch("nmi");
    let (trace, out, socket) = (directory.join("trace"), directory.join("counts.json"), directory.join("qmp"));
    let subject = boots::subject(OLD);
    let mut machine = Machine { extra: subject.witness.arguments(&out, false), ..Machine::with_cpus(2) };
    let monitor = format!("unix:{},server=on,wait=off", socket.display());
    machine.extra.extend(["-qmp".into(), monitor.into()]);

    let stop = AtomicBool::new(false);
    let (output, sent) = std::thread::scope(|scope| {
        let _one_at_a_time = boots::boot_lock();
        let sender = scope.spawn(|| send_nmis(&trace, &socket, &stop));
        let output = bounded(&recorder(subject, &trace, &machine)).output().expect("symbolize runs");
        stop.store(true, Ordering::Relaxed);
        (output, sender.join().expect("the sender"))
    });
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "record: {}\n{messages}", output.status);
    let meta = recording::meta(&trace).expect("meta.json");
    assert_eq!(meta["ended"]["how"], "power-off", "{meta:#}\n{messages}");

    let mut report = recording::report(&setup().symbolize, &trace, &subject.vmlinux);
    let report = recording::json(report.args(["--format", "json"])).expect("a report");
    let traced = recording::traced_functions(&report, &subject.witness.sites).expect("functions");
    let handled = traced.values().filter(|function| function.name.starts_with("nmi_handle"));
    let handled: u64 = handled.map(|function| function.calls).sum();
    assert!(sent > 200 && handled > 100, "{sent} NMIs sent, {handled} handled: the test proves nothing");

    // What is missing was counted, no more and no less; where nothing was lost, nothing differs.
    let counts = Counts::read(&out).expect("the witness's counts");
    let calls: u64 = traced.values().map(|function| function.calls).sum();
    let lost = number(&meta, "/totals/lost").expect("a total");
    assert!(calls <= counts.calls(), "{calls} calls traced, {} witnessed", counts.calls());
    let missing = counts.calls() - calls;
    // A CPU that is stopped for good between reserving a slot and writing it leaves the slot empty.
    let unwritten = number(&report, "/summary/unwritten").expect("a count");
    assert!(missing <= lost + unwritten, "{missing} calls missing, {lost} events lost, {unwritten} slots not written");
    assert!(lost < 1_000 && unwritten < 10, "{lost} lost, {unwritten} not written");
    let events = number(&meta, "/totals/events").expect("a total");
    let open = report["open"].as_array().map_or(0, Vec::len);
    println!("{sent} NMIs sent, {handled} handled, {events} events, {lost} lost, {open} tasks with open calls");
}
