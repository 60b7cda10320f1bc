// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Files of other recorders: real ones (tests/data/import: trace-cmd 3.1.6, perf 6.1 and LTTng 2.13.9 in the test bed, KVM
//! under TCG, `tests/guest/hypercalls.rs` as the guest), and a trace.dat made here whose hypercalls carry a guest's events.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Output;

use early_ftrace_format::encode::Encoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::shared::{CHUNK_MAGIC, ChunkHeader, Header, MAGIC};
use early_ftrace_format::stream::{Call, FrameKind, Head};
use symbolizer::host::aggregate::Aggregator;
use symbolizer::host::axes::axes;
use symbolizer::host::clock::How;
use symbolizer::host::event::{HostEvent, Hypercall, RawKind};
use symbolizer::host::file;
use symbolizer::import::{Import, Item, Kind, Times};
use symbolizer::trace_dir::{Meta, TraceDir};
use zerocopy::{FromZeros, IntoBytes};

use super::fixture::symbolize;

fn command<S: AsRef<OsStr>, const N: usize>(args: [S; N]) -> Output {
    symbolize(args.iter().map(AsRef::as_ref))
}

pub fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import").join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if name.ends_with(".zst") { zstd::decode_all(&bytes[..]).unwrap() } else { bytes }
}

/// What the guest of the fixtures was told to call.
fn calls() -> Vec<Hypercall> {
    so_many_calls(300)
}

fn so_many_calls(count: u64) -> Vec<Hypercall> {
    let call =
        |i: u64| Hypercall { number: 1000 + i % 8, args: [i, i.wrapping_mul(0x9e37_79b9_7f4a_7c15), !i, i << 32 | 7] };
    (0..count).map(call).collect()
}

#[test]
fn real_files_have_all_hypercalls_of_both_vcpus_in_order() {
    for (name, kind) in
        [("trace-v7.dat", Kind::TraceDat), ("trace-v6.dat.zst", Kind::TraceDat), ("perf.data.zst", Kind::PerfData)]
    {
        let mut import = Import::of_bytes(data(name)).unwrap();
        assert_eq!(import.kinds(), [kind]);
        match (import.times(), kind) {
            (Times::Tsc, Kind::TraceDat) => {}
            (Times::Ns { conversion: Some(conversion), .. }, Kind::PerfData) => assert_eq!(conversion.shift, 31),
            (times, _) => panic!("{name}: {times:?}"),
        }
        let (mut aggregator, mut events, mut before, mut raw) = (Aggregator::new(), Vec::new(), 0, [0; 5]);
        for item in &mut import {
            assert!(before <= item.time(), "{name}: out of order");
            before = item.time();
            let Item::Event(event) = item else { panic!("{name}: {item:?}") };
            raw[match event.kind {
                RawKind::Exit { .. } => 0,
                RawKind::Hypercall(_) => 1,
                RawKind::Entry { .. } => 2,
                RawKind::Switch { .. } => 3,
                RawKind::Offset { .. } => 4,
            }] += 1;
            aggregator.push(event, &mut |event| events.push(event));
        }
        aggregator.finish(&mut |event| events.push(event));
        assert_eq!(import.notes(), &Default::default(), "{name}");
        assert_eq!((raw[1], raw[4]), (620, 2), "{name}: {raw:?}");

        let mut found: BTreeMap<u32, (Vec<Hypercall>, Vec<Hypercall>)> = BTreeMap::new();
        for event in events {
            if let HostEvent::Exit(exit) = event
                && let Some(call) = exit.hypercall
            {
                assert_eq!((exit.isa, exit.reason), (2, 0x81), "{name}");
                let (own, forged) = found.entry(exit.vcpu).or_default();
                // The guest's two programs: at CPL 0, and at CPL 3.
                match exit.rip {
                    0x1_0000..0x1_0040 => own.push(call),
                    0x2_0000..0x2_0040 => forged.push(call),
                    rip => panic!("{name}: a hypercall at {rip:#x}"),
                }
            }
        }
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 1], "{name}");
        for (own, forged) in found.values() {
            assert!(own == &calls() && forged[..] == calls()[..10], "{name}");
        }
    }
}

#[test]
fn a_file_that_is_cut_off_gives_what_is_whole_and_says_so() {
    for name in ["trace-v7.dat", "trace-v6.dat.zst", "perf.data.zst"] {
        let whole = data(name);
        let all = Import::of_bytes(whole.clone()).unwrap().count();
        // All heads are in front; of version 7 the tables of packed pages are at the end, of perf's what events mean.
        let mut import = match Import::of_bytes(whole[..whole.len() * 3 / 4].to_vec()) {
            Err(error) if name != "trace-v6.dat.zst" => {
                assert!(error.to_string().contains("damaged at offset 0x"), "{error}");
                continue;
            }
            other => other.unwrap(),
        };
        let some = import.by_ref().count();
        assert!(some > all / 3 && some < all, "{name}: {some} of {all}");
        assert!(!import.notes().warnings.is_empty(), "{name}");
    }
}

#[test]
fn what_is_no_recording_is_refused_with_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    std::fs::write(&path, "not a recording").unwrap();
    for path in [path, dir.path().join("missing"), dir.path().to_path_buf()] {
        let output = command([OsStr::new("import"), path.as_os_str(), "-o".as_ref(), dir.path().join("t").as_os_str()]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(&*path.to_string_lossy()), "{text}");
    }
    // A real one, but of a guest that is not traced.
    let path = dir.path().join("trace.dat");
    std::fs::write(&path, data("trace-v7.dat")).unwrap();
    let to = dir.path().join("t");
    let output = command([OsStr::new("import"), path.as_os_str(), "-o".as_ref(), to.as_os_str()]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("nothing was written") && text.contains("--into"), "{text}");
    assert!(!to.exists());
}

/// A trace.dat of version 6, with fields at other places than any kernel has them.
pub struct Made {
    pub cpus: [Vec<u8>; 2],
    pub times: [u64; 2],
    pub lost: [Option<u64>; 2],
    pub clock: &'static str,
}

/// Name, offset and size of a field.
type Field = (&'static str, usize, usize);

/// Name, then each field's name, offset and size.
const FORMATS: &[(&str, u16, &[Field])] = &[
    ("kvm_exit", 900, &[("guest_rip", 8, 8), ("exit_reason", 16, 4), ("isa", 20, 4), ("vcpu_id", 24, 4)]),
    ("kvm_hypercall", 901, &[("a3", 8, 8), ("a2", 16, 8), ("a1", 24, 8), ("a0", 32, 8), ("nr", 40, 8)]),
    ("kvm_entry", 902, &[("vcpu_id", 8, 4)]),
    ("kvm_write_tsc_offset", 903, &[("next_tsc_offset", 8, 8), ("vcpu_id", 16, 4)]),
];

pub const PAGE: usize = 4096;

impl Made {
    pub fn new() -> Made {
        Made { cpus: [Vec::new(), Vec::new()], times: [0; 2], lost: [None; 2], clock: "local [x86-tsc]" }
    }

    pub fn push(&mut self, cpu: usize, time: u64, pid: u32, event: usize, values: &[u64]) {
        let (_, id, fields) = FORMATS[event];
        let mut record = vec![0u8; 48];
        record[..2].copy_from_slice(&id.to_le_bytes());
        record[4..8].copy_from_slice(&pid.to_le_bytes());
        for ((_, at, size), value) in fields.iter().zip(values) {
            record[*at..at + size].copy_from_slice(&value.to_le_bytes()[..*size]);
        }
        let pages = &mut self.cpus[cpu];
        let used = match pages.len().checked_sub(PAGE) {
            Some(start) => u64::from_le_bytes(pages[start + 8..start + 16].try_into().unwrap()) & 0xfff_ffff,
            None => PAGE as u64,
        };
        let mut used = used as usize;
        if used + 16 + 8 + 52 > PAGE - 8 {
            pages.resize(pages.len() + PAGE, 0);
            used = 0;
            let start = pages.len() - PAGE;
            pages[start..start + 8].copy_from_slice(&time.to_le_bytes());
            self.times[cpu] = time;
        }
        let start = pages.len() - PAGE;
        let delta = time - std::mem::replace(&mut self.times[cpu], time);
        // Always with a time of its own before it: 30, and the upper bits.
        let low = (delta as u32 & 0x7ff_ffff) << 5;
        let mut bytes = (low | 30).to_le_bytes().to_vec();
        bytes.extend(((delta >> 27) as u32).to_le_bytes());
        bytes.extend(12u32.to_le_bytes());
        bytes.extend(&record);
        pages[start + 16 + used..start + 16 + used + bytes.len()].copy_from_slice(&bytes);
        used += bytes.len();
        let flags = match self.lost[cpu] {
            Some(count) => {
                let at = start + 16 + used;
                pages[at..at + 8].copy_from_slice(&count.to_le_bytes());
                3 << 30
            }
            None => 0,
        };
        pages[start + 8..start + 16].copy_from_slice(&(used as u64 | flags).to_le_bytes());
    }

    /// An exit for a hypercall, and the entry on another CPU: the thread has moved.
    fn call(&mut self, time: u64, (vcpu, pid): (u64, u32), rip: u64, number: u64, args: [u64; 4]) {
        self.push(0, time, pid, 0, &[rip, 0x81, 2, vcpu]);
        self.push(0, time + 10, pid, 1, &[args[3], args[2], args[1], args[0], number]);
        self.push(1, time + 20, pid, 2, &[vcpu]);
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut file = b"\x17\x08\x44tracing6\0\0\x08".to_vec();
        file.extend((PAGE as u32).to_le_bytes());
        let page = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\tfield: local_t commit;\toffset:8;\tsize:8;\
                    \tsigned:1;\n\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n";
        let event = "# compressed entry header\n\ttype_len    :    5 bits\n\ttime_delta  :   27 bits\n\tarray       :   32 \
                     bits\n\n\tpadding     : type == 29\n\ttime_extend : type == 30\n\ttime_stamp : type == 31\n\
                     \tdata max type_len  == 28\n";
        for (name, text) in [("header_page\0", page), ("header_event\0", event)] {
            file.extend(name.bytes());
            file.extend((text.len() as u64).to_le_bytes());
            file.extend(text.bytes());
        }
        file.extend([0, 0, 0, 0, 1, 0, 0, 0]);
        file.extend(b"kvm\0");
        file.extend((FORMATS.len() as u32).to_le_bytes());
        for (name, id, fields) in FORMATS {
            let mut text = format!(
                "name: {name}\nID: {id}\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
                 \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
            );
            for (field, offset, size) in *fields {
                text += &format!("\tfield:u{} {field};\toffset:{offset};\tsize:{size};\tsigned:0;\n", size * 8);
            }
            file.extend((text.len() as u64).to_le_bytes());
            file.extend(text.bytes());
        }
        // kallsyms, formats of printk, names.
        file.extend([0; 16]);
        file.extend(2u32.to_le_bytes());
        file.extend(b"options  \0");
        file.extend(4u16.to_le_bytes());
        file.extend((self.clock.len() as u32 + 1).to_le_bytes());
        file.extend(self.clock.bytes());
        file.push(0);
        file.extend([0, 0]);
        file.extend(b"flyrecord\0");
        let mut at = (file.len() + 32).next_multiple_of(PAGE);
        for pages in &self.cpus {
            file.extend((at as u64).to_le_bytes());
            file.extend((pages.len() as u64).to_le_bytes());
            at += pages.len();
        }
        file.resize(file.len().next_multiple_of(PAGE), 0);
        file.extend(self.cpus.iter().flatten());
        file
    }
}

pub const RIP: u64 = 0xffff_ffff_8180_0010;

/// A frame as hypercalls of a level, four words each.
fn frame(level: u8, kind: FrameKind, number: u8, words: &[u64]) -> Vec<(u64, [u64; 4])> {
    let head = Head { kind, number, cpu: 0, count: words.len() as u16 };
    let all = [&[head.word()], words].concat();
    let calls = all.chunks(4).enumerate().map(|(at, words)| {
        let mut args = [0; 4];
        args[..words.len()].copy_from_slice(words);
        (Call { level, first: at == 0, words: words.len() as u8 }.number(), args)
    });
    calls.collect()
}

fn site(number: u64) -> u64 {
    0xffff_ffff_8100_0005 + 16 * number
}

/// The header of a guest of one CPU.
fn head(level: u8) -> Vec<(u64, [u64; 4])> {
    let mut header = Header::new_zeroed();
    (header.magic, header.version) = (MAGIC, early_ftrace_format::FORMAT_VERSION);
    header.header_size = size_of::<Header>() as u32;
    (header.cpus, header.chunks_per_cpu, header.hypercall_rip) = (1, 2, RIP);
    header.first_tsc = 1_000;
    header.release[..6].copy_from_slice(b"6.1.99");
    let header: Vec<u64> = header.as_bytes().chunks(8).map(|b| u64::from_le_bytes(b.try_into().unwrap())).collect();
    frame(level, FrameKind::Header, 0, &header)
}

/// A guest of one CPU: its header, and a chunk with `count` calls of functions.
fn guest(level: u8, count: u64) -> Vec<(u64, [u64; 4])> {
    let calls = (0..count).map(|number| (number % 7, 1_000 + 100 * number));
    [head(level), chunk(level, 0, 1_000, calls)].concat()
}

/// A chunk that was opened at a time, with calls of functions of 30 ticks: their numbers and times.
fn chunk(level: u8, seq: u64, opened: u64, calls: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, [u64; 4])> {
    let chunk = ChunkHeader { magic: CHUNK_MAGIC, seq, tsc: opened, ..ChunkHeader::default() };
    let mut encoder = Encoder::new(opened);
    let mut words: Vec<u64> = chunk.as_bytes().chunks(8).map(|b| u64::from_le_bytes(b.try_into().unwrap())).collect();
    for (number, time) in calls {
        encoder.push(Event::Leaf { site: site(number), start: time, end: time + 30 }, |w| words.push(w)).unwrap();
    }
    frame(level, FrameKind::Chunk, 1 + seq as u8, &words)
}

fn made(dir: &Path, level: u8) -> (PathBuf, usize) {
    let (mut file, calls) = (Made::new(), guest(level, 500));
    file.push(0, 5, 41, 3, &[0x1000, 0]);
    for (time, (number, args)) in (0..).zip(&calls) {
        let time = 1_000 + 1_000 * time;
        file.call(time, (0, 41), RIP, *number, *args);
        // A process of the guest makes the same hypercalls with words of its own.
        file.call(time + 500, (0, 41), 0x40_1000, *number, [u64::MAX; 4]);
    }
    let path = dir.join(format!("level{level}.dat"));
    std::fs::write(&path, file.bytes()).unwrap();
    (path, calls.len())
}

#[test]
fn a_guests_events_come_out_of_its_hypercalls_and_forged_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    for level in [0u8, 2] {
        let ((file, calls), to) = (made(dir.path(), level), dir.path().join(format!("trace{level}")));
        let level = level.to_string();
        let args = ["import", file.to_str().unwrap(), "-o", to.to_str().unwrap(), "--level", &level];
        let output = command(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        assert!(text.contains(&format!("{calls} hypercalls bore our numbers")), "{text}");
        let meta = Meta::read(&to).unwrap();
        assert_eq!((meta.totals.events, meta.totals.lost, &*meta.release), (1_000, 0, "6.1.99"), "{text}");
        let trace = TraceDir::open(&to).unwrap();
        let block = trace.cpus()[0].read(0).unwrap();
        assert_eq!((block.runs[0].seq, block.runs[0].tsc), (0, 1_000));
        // Two exits for each of the guest's, with all words: its own and the forged.
        let host = file::read(&to).unwrap().expect("host events");
        assert_eq!(host.events.len(), 2 * calls + 1);
        let args = host.events.iter().filter_map(|event| match event {
            HostEvent::Exit(exit) => {
                assert_eq!((exit.length, exit.cpus), (20, (0, 1)));
                Some((exit.rip == RIP, exit.hypercall?.args))
            }
            _ => None,
        });
        let (own, forged): (Vec<_>, Vec<_>) = args.partition(|(own, _)| *own);
        let sent: Vec<_> = guest(level.parse().unwrap(), 500).iter().map(|(_, args)| (true, *args)).collect();
        assert_eq!(own, sent);
        assert!(forged.len() == calls && forged.iter().all(|(_, args)| *args == [u64::MAX; 4]));
        // Again: not unasked.
        assert_eq!(command(["import", file.to_str().unwrap(), "-o", to.to_str().unwrap()]).status.code(), Some(2));
    }
}

#[test]
fn without_offsets_the_guests_own_times_place_exits() {
    // The guest's counter has two ticks in each of the host's nanoseconds, and began at 1,000,000 of them.
    let guest_at = |host: u64| 2 * (host - 1_000_000);
    let (mut file, mut count) = (Made { clock: "[local] x86-tsc", ..Made::new() }, 0);
    let mut send = |host: u64, calls: Vec<(u64, [u64; 4])>| {
        for (host, (number, args)) in (host..).step_by(30).zip(calls) {
            file.call(host, (0, 41), RIP, number, args);
            count += 1;
        }
    };
    send(1_000_100, head(0));
    for seq in 0..20 {
        // Open for 50 us, and sent at once.
        let opened = 1_050_000 + 100_000 * seq;
        let calls = (1..50).map(|n| (n % 7, guest_at(opened + 1_000 * n)));
        send(opened + 50_000, chunk(0, seq, guest_at(opened), calls));
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, to) = (dir.path().join("trace.dat"), dir.path().join("trace"));
    std::fs::write(&path, file.bytes()).unwrap();
    let output = command([OsStr::new("import"), path.as_os_str(), "-o".as_ref(), to.as_os_str()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let host = file::HostFile::open(&to).unwrap().expect("host events");
    let axes = axes(&host, Some(2_000_000));
    assert_eq!((axes.exits, axes.unplaced), (count, 0));
    let axis = &axes.by_vcpu[&0];
    // Of each chunk its end, and of each but two its begin.
    assert_eq!(axis.how(), How::Estimated { bounds: 20 + 18, refused: 0 });
    for host in (1_100_000..3_000_000).step_by(10_000) {
        let wrong = axis.guest(host).unwrap().abs_diff(guest_at(host));
        assert!(wrong <= axis.error(), "{wrong} {}", axis.error());
    }
}

/// What is kept of `file` for thread 41: the offsets, and what was said.
fn offsets_of_41(trace: &Path, file: &Made) -> (Vec<u64>, String) {
    let path = trace.with_extension("dat");
    std::fs::write(&path, file.bytes()).unwrap();
    let (from, to) = (path.to_str().unwrap(), trace.to_str().unwrap());
    let output = command(["import", from, "--into", to, "--force", "--threads", "41"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let host = file::read(trace).unwrap().expect("host events");
    let exits = host.events.iter().filter(|event| matches!(event, HostEvent::Exit(exit) if exit.thread == 41)).count();
    let offsets = host.events.iter().filter_map(|event| match event {
        HostEvent::Offset { vcpu: 0, next, .. } => Some(*next),
        _ => None,
    });
    let offsets: Vec<u64> = offsets.collect();
    assert_eq!((exits, host.events.len()), (2, 2 + offsets.len()), "{:?}", host.events);
    (offsets, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn offsets_of_another_guest_are_left_out() {
    const OFFSET: usize = 3;
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let (made, _) = made(dir.path(), 0);
    assert!(command(["import", made.to_str().unwrap(), "-o", trace.to_str().unwrap()]).status.success());
    // Who sets offsets of a vCPU 0 (thread and value) before the first exit of thread 41, and between it and the next.
    let kept = |before: &[(u32, u64)], later: &[(u32, u64)]| {
        let mut file = Made::new();
        for (time, offsets) in [(1_000, before), (2_000, later)] {
            for (at, (thread, offset)) in (0..).zip(offsets) {
                file.push(0, time + at, *thread, OFFSET, &[*offset, 0]);
            }
            file.push(0, time + 100, 51, 0, &[RIP, 0x81, 2, 0]);
            file.push(0, time + 110, 51, 2, &[0]);
            file.push(0, time + 200, 41, 0, &[RIP, 0x81, 2, 0]);
            file.push(0, time + 210, 41, 2, &[0]);
        }
        offsets_of_41(&trace, &file)
    };
    // Each guest's vCPUs set their own.
    for (before, later, own) in [
        (&[(41, 7)][..], &[(51, 9)][..], &[7][..]),
        (&[(51, 9), (41, 7)], &[(51, 8)], &[7]),
        (&[(41, 7), (51, 9)], &[(41, 6)], &[7, 6]),
    ] {
        let (offsets, said) = kept(before, later);
        assert_eq!(offsets, own);
        assert!(!said.contains("warning"), "{said}");
    }
    // A thread that is no vCPU's has set it.
    let (offsets, said) = kept(&[(40, 7)], &[(51, 9)]);
    assert_eq!(offsets, [7]);
    assert!(said.contains("1 that others set are taken"), "{said}");
}

#[test]
fn host_events_are_added_to_a_trace_once() {
    let dir = tempfile::tempdir().unwrap();
    let ((file, calls), to) = (made(dir.path(), 0), dir.path().join("trace"));
    let (file, to) = (file.to_str().unwrap(), to.to_str().unwrap());
    assert!(command(["import", file, "-o", to]).status.success());
    std::fs::remove_file(Path::new(to).join(symbolizer::trace_dir::HOST_FILE)).unwrap();
    let meta = Meta::read(Path::new(to)).unwrap();
    assert!(command(["import", file, "--into", to]).status.success());
    assert_eq!(Meta::read(Path::new(to)).unwrap(), meta, "the guest's part is as it was");
    let host = file::read(Path::new(to)).unwrap().expect("host events");
    assert_eq!(host.events.len(), 2 * calls + 1);
    let again = command(["import", file, "--into", to]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--force"));
    assert!(command(["import", file, "--into", to, "--force"]).status.success());
    let left: Vec<_> = std::fs::read_dir(to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn lost_events_are_counted_and_break_pairs() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = Made::new();
    file.push(0, 1_000, 41, 0, &[RIP, 0x81, 2, 0]);
    // A new page, before which seven are missing: among them the entry.
    let whole = file.cpus[0].len();
    file.cpus[0].resize(whole + PAGE, 0);
    file.times[0] = 2_000;
    file.cpus[0][whole..whole + 8].copy_from_slice(&2_000u64.to_le_bytes());
    file.lost[0] = Some(7);
    file.push(0, 2_000, 41, 2, &[0]);
    let path = dir.path().join("lost.dat");
    std::fs::write(&path, file.bytes()).unwrap();
    let mut import = Import::open(&[&path]).unwrap();
    let items: Vec<Item> = import.by_ref().collect();
    assert_eq!((import.notes().lost, import.notes().gaps, items.len()), (7, 0, 3), "{items:?}");
    assert!(matches!(items[1], Item::Lost(lost) if lost.count == Some(7) && lost.time == 2_000), "{items:?}");
    let trace = dir.path().join("trace");
    let (made, _) = made(dir.path(), 0);
    assert!(command(["import", made.to_str().unwrap(), "-o", trace.to_str().unwrap()]).status.success());
    let output = command(["import", path.to_str().unwrap(), "--into", trace.to_str().unwrap(), "--force"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("has lost 7 events"), "{text}");
    let host = file::read(&trace).unwrap().expect("host events");
    // The exit did not get the entry behind the gap.
    assert_eq!(host.lost, 7);
    assert!(matches!(host.events[..], [HostEvent::Exit(exit)] if exit.length == 0), "{:?}", host.events);
}

/// `lttng enable-event -k kvm_x86_exit,kvm_x86_hypercall,kvm_x86_entry,kvm_x86_write_tsc_offset,sched_switch`, with the
/// context tid: one vCPU that makes 1,000 hypercalls.
#[test]
fn a_real_trace_of_lttng_has_all_hypercalls_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for (from, to) in [("lttng-metadata.zst", "metadata"), ("lttng-c_0.zst", "c_0")] {
        std::fs::write(dir.path().join(to), data(from)).unwrap();
    }
    let mut import = Import::open(&[dir.path()]).unwrap();
    assert_eq!(import.kinds(), [Kind::Ctf]);
    let (mut aggregator, mut events) = (Aggregator::new(), Vec::new());
    for item in &mut import {
        let Item::Event(event) = item else { panic!("{item:?}") };
        aggregator.push(event, &mut |event| events.push(event));
    }
    aggregator.finish(&mut |event| events.push(event));
    let found = events.iter().filter_map(|event| match event {
        HostEvent::Exit(exit) => Some(exit),
        _ => None,
    });
    let found: Vec<_> = found.filter(|exit| exit.hypercall.is_some()).collect();
    assert!(found.iter().all(|exit| (exit.vcpu, exit.isa, exit.reason) == (0, 2, 0x81) && exit.length > 0));
    assert!(found.iter().all(|exit| (0x1_0000..0x1_0040).contains(&exit.rip)));
    assert!(found.iter().map(|exit| exit.hypercall.unwrap()).eq(so_many_calls(1_000)));
    // The first entry and the last exit.
    let counts = aggregator.counts();
    assert_eq!((counts.raw, counts.unpaired), (3_194, 2), "{counts:?}");
    // Of the address in place of the vCPU; nothing else.
    let notes = import.notes();
    assert_eq!((notes.lost, notes.gaps, notes.warnings.len()), (0, 0, 1), "{notes:?}");
    assert!(notes.warnings[0].starts_with("kvm_x86_entry does not tell its vCPU"), "{notes:?}");
}

/// LTTng's format as its modules write it (lttng-modules' instrumentation/events/arch/x86/kvm/trace.h); LTTng itself
/// records in tests/system/lttng.rs. The input is the fuzz target's: its metadata and packets are written by hand.
#[test]
fn ctf_is_read_as_its_metadata_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus/import/ctf");
    let bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(6).position(|window| window == b"\n----\n").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let kernel = dir.path().join("kernel");
    std::fs::create_dir(&kernel).unwrap();
    std::fs::write(kernel.join("metadata"), &bytes[..at]).unwrap();
    std::fs::write(kernel.join("channel0_3"), &bytes[at + 6..]).unwrap();
    let mut import = Import::open(&[dir.path()]).unwrap();
    let items: Vec<Item> = import.by_ref().collect();
    assert_eq!(import.times(), &Times::Ns { clock: "monotonic".into(), conversion: None });
    let begin = (9 << 27) + 100;
    let mut events = items.iter().filter_map(|item| match item {
        Item::Event(raw) => Some((raw.time, raw.cpu, raw.thread, raw.kind)),
        Item::Lost(_) => None,
    });
    let switch = |prev, runnable, next| RawKind::Switch { prev, runnable, next };
    assert_eq!(events.next(), Some((begin + 1, 3, 7, switch(7, true, 8))));
    let call = RawKind::Hypercall(Hypercall { number: 1000, args: [1, 2, 3, u64::MAX] });
    assert_eq!(events.next(), Some((begin + (1 << 27) - 50, 3, 8, call)));
    assert_eq!(events.next(), Some((begin + (1 << 28) + 9, 3, 8, switch(8, false, 7))));
    assert!(events.next().is_some() && events.next().is_none());
    assert_eq!((import.notes().lost, &import.notes().warnings[..]), (6, &[][..]), "{items:?}");
}
