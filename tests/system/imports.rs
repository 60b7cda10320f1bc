// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What `symbolize import` reads, line by line against what the recorder's own tool prints of the same file. In: the
//! recordings of `symbolizer/tests/data/import` (trace-cmd 3.1.6 with and without zstd, perf 6.1 with and without -z, all from
//! the test bed; perf-z.data has sched_switch of all threads beside), trace-cmd and perf. Out: assertions: the same events in
//! the same order, with their times, CPUs, threads and arguments. Never here: what they mean.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use symbolizer::host::event::{Raw, RawKind};
use symbolizer::host::placed::Reason;
use symbolizer::host::reasons;
use symbolizer::import::{Import, Item};
use xtask::workspace;

/// An event, with its arguments as text.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    /// Nanoseconds, or ticks.
    time: u64,
    cpu: u32,
    thread: u32,
    what: String,
}

fn fixture(name: &str) -> Vec<u8> {
    let path = workspace::root().join("symbolizer/tests/data/import").join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if name.ends_with(".zst") { zstd::decode_all(&bytes[..]).expect("zstd's") } else { bytes }
}

/// What we read; `reason` says how the tool shows why the guest was left.
fn ours(file: Vec<u8>, reason: fn(Reason) -> String) -> Vec<Line> {
    let mut import = Import::of_bytes(file).expect("a recording");
    let lines = import.by_ref().map(|item| {
        let Item::Event(Raw { time, cpu, thread, kind }) = item else { panic!("{item:?}") };
        let what = match kind {
            RawKind::Exit { vcpu, isa, reason: code, rip, info } => {
                let (vcpu, reason) = (vcpu.expect("6.1 says it"), reason(Reason { isa, code }));
                format!("exit {vcpu} {reason} {rip:#x} {:#x} {:#x}", info[0], info[1])
            }
            RawKind::Hypercall(call) => format!("hypercall {:#x} {:x?}", call.number, call.args),
            RawKind::Entry { vcpu, rip } => format!("entry {vcpu} {:#x}", rip.expect("6.1 says it")),
            RawKind::Switch { prev, runnable, next } => format!("switch {prev} {runnable} {next}"),
            RawKind::Offset { vcpu, next } => format!("offset {vcpu} {next}"),
        };
        Line { time, cpu, thread, what }
    });
    let lines = lines.collect();
    assert_eq!(import.notes(), &Default::default());
    lines
}

fn number(text: &str) -> u64 {
    let digits = text.strip_prefix("0x");
    let number = digits.map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16));
    number.unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The event of a name, from its arguments.
fn what(event: &str, field: impl Fn(&str) -> String) -> String {
    let hex = |name: &str| format!("{:#x}", number(&field(name)));
    match event {
        "kvm_exit" => {
            let [rip, info1, info2] = ["guest_rip", "info1", "info2"].map(hex);
            format!("exit {} {} {rip} {info1} {info2}", field("vcpu_id"), field("exit_reason"))
        }
        "kvm_hypercall" => {
            format!("hypercall {} {:x?}", hex("nr"), ["a0", "a1", "a2", "a3"].map(|a| number(&field(a))))
        }
        "kvm_entry" => format!("entry {} {}", field("vcpu_id"), hex("rip")),
        // A letter, and + of who was preempted; or the number: 0x100 is the +.
        "sched_switch" => {
            let state = field("prev_state");
            let runnable = state.starts_with('R') || matches!(&*state, "0" | "256");
            format!("switch {} {runnable} {}", field("prev_pid"), field("next_pid"))
        }
        "kvm_write_tsc_offset" => format!("offset {} {}", field("vcpu_id"), field("next_tsc_offset")),
        other => panic!("nobody recorded {other}"),
    }
}

fn run(tool: &str, arguments: &[&str], file: &[u8]) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("recording");
    std::fs::write(&path, file).expect("written");
    let output = Command::new(tool).args(arguments).arg("-i").arg(&path).output();
    let output = output.unwrap_or_else(|e| panic!("{tool}: {e}; `cargo xtask test` installs it"));
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// `comm-41    [000] 33244428856: kvm_entry:      vcpu_id=0 rip=0x10000 immediate_exit=0`
fn trace_cmd(file: &[u8]) -> Vec<Line> {
    // Plugins would print in their own way.
    let text = run("trace-cmd", &["report", "-R", "-N"], file);
    let line = |line: &str| {
        let (who, rest) = line.split_once(" [").expect("a CPU");
        let (cpu, rest) = rest.split_once("] ").expect("a CPU's end");
        let (time, rest) = rest.split_once(": ").expect("a time");
        let (event, arguments) = rest.split_once(':').expect("an event");
        let fields: HashMap<&str, &str> =
            arguments.split_whitespace().filter_map(|word| word.split_once('=')).collect();
        let field = |name: &str| fields.get(name).unwrap_or_else(|| panic!("{line}: no {name}")).to_string();
        let thread = who.trim().rsplit_once('-').expect("a thread").1;
        Line {
            time: number(time.trim()),
            cpu: cpu.parse().expect("a CPU's number"),
            thread: thread.parse().expect("a thread's number"),
            what: what(event, field),
        }
    };
    text.lines().filter(|line| !line.starts_with("cpus=")).map(line).collect()
}

/// `vcpu1   104 [000]     4.129145152:  kvm:kvm_exit: vcpu 1 reason npf rip 0x10000 info1 0x0000000200000006 ...`
fn perf(file: &[u8]) -> Vec<Line> {
    let text = run("perf", &["script", "--ns", "-F", "comm,tid,cpu,time,event,trace"], file);
    let line = |line: &str| {
        let (who, rest) = line.split_once(" [").expect("a CPU");
        let (cpu, rest) = rest.split_once("] ").expect("a CPU's end");
        let (time, rest) = rest.split_once(": ").expect("a time");
        let (event, arguments) = rest.split_once(": ").expect("an event");
        let event = event.split_once(':').expect("its system").1;
        let (seconds, nanoseconds) = time.trim().split_once('.').expect("a point");
        assert_eq!(nanoseconds.len(), 9, "{line}");
        // `name value`, `name=value`, some with a comma behind.
        let words: Vec<&str> = arguments.split([' ', '=', ',']).filter(|word| !word.is_empty()).collect();
        let named = |name: &str| {
            let at = words.iter().position(|word| *word == name).unwrap_or_else(|| panic!("{line}: no {name}"));
            words[at + 1].to_owned()
        };
        let field = |name: &str| match (event, name) {
            (_, "vcpu_id") => named("vcpu"),
            // The kernel's own name is the instruction's.
            (_, "exit_reason") if named("reason") == "hypercall" => "vmmcall".into(),
            (_, "exit_reason") => named("reason"),
            ("kvm_exit", "guest_rip") => named("rip"),
            (_, "next_tsc_offset") => named("next"),
            _ => named(name),
        };
        // -1: of a thread that is about to end, whose last switch it is.
        let thread = match who.rsplit(' ').next() {
            Some("-1") => named("prev_pid").parse::<u32>(),
            tid => tid.unwrap_or_default().parse::<u32>(),
        };
        let thread = thread.expect("a thread's number");
        Line {
            time: number(seconds) * 1_000_000_000 + number(nanoseconds),
            cpu: cpu.parse().expect("a CPU's number"),
            thread,
            what: what(event, field),
        }
    };
    text.lines().map(line).collect()
}

fn compare(name: &str, found: &[Line], expected: &[Line], hypercalls: usize) {
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found, expected, "{name}: event {at}");
    }
    assert_eq!(found.len(), expected.len(), "{name}");
    let calls = expected.iter().filter(|line| line.what.starts_with("hypercall")).count();
    assert_eq!(calls, hypercalls, "{name}");
}

#[test]
fn recordings_of_trace_cmd_are_read_as_trace_cmd_reads_them() {
    for name in ["trace-v6.dat.zst", "trace-v7.dat"] {
        let file = fixture(name);
        let found = ours(file.clone(), |reason| reason.code.to_string());
        compare(name, &found, &trace_cmd(&file), 620);
    }
}

#[test]
fn recordings_of_perf_are_read_as_perf_reads_them() {
    for (name, calls) in [("perf.data.zst", 620), ("perf-z.data.zst", 220)] {
        let file = fixture(name);
        compare(name, &ours(file.clone(), reasons::name), &perf(&file), calls);
    }
}

/// perf 6.15 and later pack with another record, which has its length in front and padding behind; no Debian has it yet, and
/// so what perf 6.1 has packed is put into such records.
#[test]
fn the_packed_records_of_newer_perfs_are_read_like_the_old_ones() {
    let old = fixture("perf-z.data.zst");
    let (new, records) = newer(&old);
    assert!(records > 0, "nothing is packed in the fixture");
    let (found, expected) = (ours(new, reasons::name), ours(old, reasons::name));
    compare("perf-z.data", &found, &expected, 220);
}

/// With PERF_RECORD_COMPRESSED2 (83: length, bytes, padding to 8) in place of PERF_RECORD_COMPRESSED (81: bytes); how many.
fn newer(file: &[u8]) -> (Vec<u8>, usize) {
    let word = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().expect("eight bytes"));
    let half = |at: usize| u16::from_le_bytes(file[at..at + 2].try_into().expect("two bytes"));
    // perf_file_header: magic, size, attr_size, attrs, data, event_types (offset and size each), features.
    let (start, size) = (word(40) as usize, word(48) as usize);
    let (mut data, mut at, mut records) = (Vec::new(), start, 0);
    while at < start + size {
        let length = usize::from(half(at + 6));
        let record = &file[at..at + length];
        if record[0] == 81 && record[1..4] == [0; 3] {
            let (body, whole) = (&record[8..], (16 + length - 8).next_multiple_of(8));
            data.extend(83u32.to_le_bytes());
            data.extend(&record[4..6]);
            data.extend((whole as u16).to_le_bytes());
            data.extend((body.len() as u64).to_le_bytes());
            data.extend(body);
            data.resize(data.len().next_multiple_of(8), 0xee);
            records += 1;
        } else {
            data.extend(record);
        }
        at += length;
    }
    // Where each feature stands, behind the data: they have moved.
    let moved = data.len() as u64 - size as u64;
    let features: u32 = (0..4).map(|index| word(72 + 8 * index).count_ones()).sum();
    let mut behind = file[start + size..].to_vec();
    for feature in 0..features as usize {
        let place = word(start + size + 16 * feature) + moved;
        behind[16 * feature..16 * feature + 8].copy_from_slice(&place.to_le_bytes());
    }
    let mut new = [&file[..start], &data, &behind].concat();
    new[48..56].copy_from_slice(&(data.len() as u64).to_le_bytes());
    (new, records)
}

#[test]
fn fixtures_are_small() {
    let all = std::fs::read_dir(workspace::root().join("symbolizer/tests/data/import")).expect("the fixtures");
    let size = |entry: std::fs::DirEntry| Path::metadata(&entry.path()).map_or(0, |metadata| metadata.len());
    let bytes: u64 = all.flatten().map(size).sum();
    assert!(bytes < 150_000, "{bytes} bytes");
}
