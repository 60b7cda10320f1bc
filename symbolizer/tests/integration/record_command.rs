// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize record` as a process: killed, interrupted, with a full disk, with a virtual machine
//! monitor that fails. The guest is a fake one; the kernel is not traced here.

use super::fake_guest::FakeGuest;
use super::synthetic::Random;
use early_ftrace_format::shared::{CHUNK_WORDS, ChunkHeader};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use symbolizer::capture::CaptureError;
use symbolizer::capture::vmm::{Vmm, Watch};
use symbolizer::trace_dir::{Ended, TraceDir};

const SYMBOLIZE: &str = env!("CARGO_BIN_EXE_symbolize");

/// A hang of the recorder must fail the test, not hang it; far above anything that happens.
const FAR: Duration = Duration::from_secs(60);

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < FAR, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Chunks of words that no compressor makes smaller.
fn fill(guest: &FakeGuest, seed: u64, chunks: usize) {
    let mut random = Random(seed);
    for _ in 0..chunks {
        let words: Vec<u64> = (0..CHUNK_WORDS).map(|_| random.next() | 1).collect();
        guest.open(0, &ChunkHeader::default(), &words);
        guest.close(0);
    }
}

fn attach(ram: &Path, trace: &Path) -> Child {
    Command::new(SYMBOLIZE)
        .args(["record", "--force", "--attach"])
        .args([ram.as_os_str(), "-o".as_ref(), trace.as_os_str()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn killed_half_way_then_attached_again_then_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let guest = FakeGuest::new(&dir.path().join("ram"), 2 << 20, 1, 4);
    let trace = dir.path().join("trace");

    let mut first = attach(guest.path(), &trace);
    wait_until("the recorder attaches", || guest.attached());
    fill(&guest, 1, 40);
    wait_until("blocks are written", || std::fs::metadata(trace.join("cpu0.eft")).is_ok_and(|file| file.len() > 0));
    signal(&first, rustix::process::Signal::KILL);
    first.wait().unwrap();
    let left = TraceDir::open(&trace).unwrap();
    assert_eq!(left.meta().ended, None);
    assert_eq!(left.meta().release, "test");
    assert_eq!(left.cpus()[0].gaps(), []);
    assert_eq!(left.cpus()[0].read(0).unwrap().runs[0].seq, 0);

    let second = attach(guest.path(), &trace);
    fill(&guest, 2, 10);
    wait_until("the second recorder drains", || guest.consumed(0) == 50);
    signal(&second, rustix::process::Signal::INT);
    let output = second.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("stopped: by a signal"), "{}", stderr(&output));
    let left = TraceDir::open(&trace).unwrap();
    assert_eq!(left.meta().ended, Some(Ended::Stopped { detail: "by a signal".into() }));
    assert_eq!(left.cpus()[0].blocks()[0].number, 0);
    assert!(!guest.attached());
}

#[test]
fn a_full_disk_ends_the_recording_and_keeps_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let guest = FakeGuest::new(&dir.path().join("ram"), 2 << 20, 1, 64);
    let trace = dir.path().join("trace");
    // The limit stands in for the disk: 3,000 KiB a file, a block of such words has about 1 MiB.
    let child = Command::new("sh")
        .args(["-c", "ulimit -f 6000; exec \"$@\"", "sh", SYMBOLIZE, "record", "--attach"])
        .args([guest.path().as_os_str(), "-o".as_ref(), trace.as_os_str()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    fill(&guest, 3, 62);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no space left"), "{}", stderr(&output));
    let left = TraceDir::open(&trace).unwrap();
    assert_eq!(left.cpus()[0].gaps(), []);
    assert!(left.cpus()[0].read(0).unwrap().words.len() > CHUNK_WORDS);
    assert!(matches!(&left.meta().ended, Some(Ended::Died { detail }) if detail.contains("no space left")));
}

#[test]
fn refusals_are_errors_with_code_two_and_touch_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("notes"), "mine").unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(SYMBOLIZE).arg("record").args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        stderr(&output)
    };
    let here = dir.path().to_str().unwrap();
    assert!(run(&["--attach", "/nonexistent", "-o", here]).contains("not empty and not a trace"));
    let trace = dir.path().join("trace");
    let trace = trace.to_str().unwrap();
    assert!(run(&["--attach", "/nonexistent", "-o", trace]).contains("/nonexistent"));
    let kernel = run(&["--vmlinux", "v", "-o", trace, "--", "qemu-system-x86_64", "-kernel", "bzImage"]);
    assert!(kernel.contains("--vmlinux"), "{kernel}");
    let missing = run(&["--vmlinux", "/nonexistent/vmlinux", "-o", trace, "--", "qemu-system-x86_64"]);
    assert!(missing.contains("/nonexistent/vmlinux"), "{missing}");
    assert!(!Path::new(trace).exists());
}

#[test]
fn what_contradicts_deterministic_boots_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let run = |arguments: &[&str], machine: &[&str]| {
        let mut command = Command::new(SYMBOLIZE);
        command.args(["record", "--vmlinux", "vmlinux", "-o"]).arg(&trace).args(arguments);
        let output = command.args(["--", "qemu-system-x86_64"]).args(machine).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {machine:?}");
        assert!(!trace.exists());
        stderr(&output)
    };
    for (machine, said) in [
        (&["-enable-kvm"][..], "-accel tcg"),
        (&["-M", "q35,accel=kvm"], "-accel tcg"),
        (&["-accel", "tcg,thread=multi"], "one thread"),
        (&["-icount", "shift=auto"], "sets icount itself"),
        (&["-rtc", "base=utc"], "clock=vm"),
        (&["-cpu", "host"], "-cpu max"),
    ] {
        let message = run(&["--deterministic"], machine);
        assert!(message.contains(said) && message.contains(machine[0]), "{machine:?}: {message}");
    }
    for (arguments, said) in [
        (&["--warm-up", "1"][..], "--repeat"),
        (&["--against", "other"], "--repeat"),
        (&["--repeat", "0"], "1..=9999"),
        (&["--repeat", "2", "--untraced-too"], "--untraced-too"),
        (&["--repeat", "2", "--effect", "much"], "2% or 0.5%"),
    ] {
        let message = run(arguments, &[]);
        assert!(message.contains(said), "{arguments:?}: {message}");
    }
}

#[test]
fn many_boots_are_not_put_into_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("meta.json"), "{}").unwrap();
    let mut command = Command::new(SYMBOLIZE);
    command.args(["record", "--repeat", "2", "--vmlinux", "v", "-o"]).arg(dir.path());
    let output = command.args(["--", "qemu-system-x86_64"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("a trace stands here"), "{}", stderr(&output));
}

/// State of a process, as /proc tells it: `T` is halted.
fn state(pid: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1[..1].to_owned()
}

#[test]
fn a_guest_that_runs_ahead_is_halted_until_its_rings_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", file.display());
    let vmm = spawn(&["sh", "-c", &script]).unwrap();
    wait_until("it runs", || file.exists());
    let pid: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    let signals = Arc::new(AtomicUsize::new(0));
    let mut watch = Watch::new(Some(vmm), Arc::clone(&signals), None).with_brake();
    watch.brake(0.2);
    assert_ne!(state(pid), "T");
    watch.brake(0.3);
    wait_until("it is halted", || state(pid) == "T");
    assert_eq!(watch.poll().unwrap(), None);
    // A request to stop comes while it is halted: it ends as soon as it goes on.
    signals.store(1, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(watch.poll().unwrap(), None);
    watch.brake(0.1);
    let mut end = None;
    wait_until("it ends", || {
        end = watch.poll().unwrap();
        end.is_some()
    });
    assert_eq!(end, Some(Ended::Stopped { detail: "by a signal".into() }));
}

fn spawn(words: &[&str]) -> Result<Vmm, CaptureError> {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    Vmm::spawn(&words[..words.len() - 1], &words[words.len() - 1..], std::io::sink())
}

/// How a process that is watched ends.
fn ended(vmm: Vmm, signals: usize, limit: Option<Duration>) -> Ended {
    let mut watch = Watch::new(Some(vmm), Arc::new(AtomicUsize::new(signals)), limit);
    let mut end = None;
    wait_until("the process ends", || {
        end = watch.poll().unwrap();
        end.is_some()
    });
    end.unwrap()
}

#[test]
fn each_end_of_the_monitor_is_told_apart() {
    assert_eq!(ended(spawn(&["true", ""]).unwrap(), 0, None), Ended::PowerOff);
    let died = |words: &[&str]| match ended(spawn(words).unwrap(), 0, None) {
        Ended::Died { detail } => detail,
        other => panic!("{other:?}"),
    };
    assert!(died(&["false", ""]).contains("code 1"));
    assert!(died(&["sh", "-c", "kill -9 $$"]).contains("signal 9"));
    let said = died(&["sh", "-c", "echo no such machine >&2; exit 3"]);
    assert!(said.contains("code 3") && said.contains("no such machine"), "{said}");
    let stopped = |detail: &str| Ended::Stopped { detail: detail.into() };
    assert_eq!(ended(spawn(&["sleep", "1000"]).unwrap(), 1, None), stopped("by a signal"));
    let limit = Some(Duration::from_millis(20));
    assert_eq!(ended(spawn(&["sleep", "1000"]).unwrap(), 0, limit), stopped("time limit of 0.02 s"));
    let deaf = ["sh", "-c", "trap '' TERM; exec sleep 1000"];
    assert_eq!(ended(spawn(&deaf).unwrap(), 2, None), stopped("by a signal"));
}

#[test]
fn a_monitor_that_is_missing_or_refuses_is_quoted() {
    let missing = spawn(&["/nonexistent/qemu", "-m"]).err().unwrap().to_string();
    assert!(missing.contains("/nonexistent/qemu") && missing.contains("installed"), "{missing}");
    let mut vmm = spawn(&["sh", "-c", "echo bad option -x >&2; exit 1"]).unwrap();
    let mut status = None;
    wait_until("it ends", || {
        status = vmm.poll().unwrap();
        status.is_some()
    });
    let refused = vmm.refused(status.unwrap()).to_string();
    assert!(refused.contains("bad option -x") && refused.contains("code 1"), "{refused}");
}
