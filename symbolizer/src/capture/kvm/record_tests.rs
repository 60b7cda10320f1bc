// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Records made by hand, with the fields of Debian's 6.1.192, and bytes that are none. In: bytes. Out: assertions.

use super::*;
use proptest::prelude::*;

/// Name, number, and fields as offset and size.
type Described = (&'static str, u64, &'static [(&'static str, usize, usize)]);

const FORMATS: [Described; 4] = [
    (
        "kvm_exit",
        1473,
        &[
            ("exit_reason", 8, 4),
            ("guest_rip", 16, 8),
            ("isa", 24, 4),
            ("info1", 32, 8),
            ("info2", 40, 8),
            ("vcpu_id", 56, 4),
        ],
    ),
    ("kvm_hypercall", 1481, &[("nr", 8, 8), ("a0", 16, 8), ("a1", 24, 8), ("a2", 32, 8), ("a3", 40, 8)]),
    ("kvm_entry", 1482, &[("vcpu_id", 8, 4), ("rip", 16, 8)]),
    ("kvm_write_tsc_offset", 1453, &[("vcpu_id", 8, 4), ("next_tsc_offset", 24, 8)]),
];

fn tracefs(formats: &[Described]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, id, fields) in formats {
        let place = dir.path().join("kvm").join(name);
        std::fs::create_dir_all(&place).unwrap();
        let mut text = format!("name: {name}\nID: {id}\nformat:\n");
        for (field, offset, size) in [&("common_type", 0, 2)].into_iter().chain(*fields) {
            text += &format!("\tfield:unsigned long {field};\toffset:{offset};\tsize:{size};\tsigned:0;\n");
        }
        std::fs::write(place.join("format"), text).unwrap();
    }
    dir
}

fn layout() -> Layout {
    Layout::read(tracefs(&FORMATS).path()).unwrap()
}

/// pid, tid, time, cpu, zero.
fn id(thread: u32, time: u64, cpu: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [77u32, thread] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(time.to_le_bytes());
    for word in [cpu, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

fn record(kind: u32, misc: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend(misc.to_le_bytes());
    bytes.extend((body.len() as u16 + 8).to_le_bytes());
    bytes.extend(body);
    bytes
}

fn sample(thread: u32, time: u64, cpu: u32, id_of: u16, fields: &[(usize, u64)]) -> Vec<u8> {
    let mut raw = vec![0; 68];
    raw[..2].copy_from_slice(&id_of.to_le_bytes());
    for &(at, value) in fields {
        raw[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    let mut body = id(thread, time, cpu);
    body.extend((raw.len() as u32).to_le_bytes());
    body.extend(raw);
    record(perf::PERF_RECORD_SAMPLE, 0, &body)
}

fn read(bytes: &[u8]) -> (Vec<Seen>, u64) {
    let mut found = Vec::new();
    let strange = layout().read_all(bytes, |seen| found.push(seen));
    (found, strange)
}

#[test]
fn samples_become_events() {
    let mut bytes =
        sample(9, 100, 1, 1473, &[(8, 0x81), (16, 0xffff_ffff_a000_0010), (24, 2), (32, 5), (40, 6), (56, 3)]);
    bytes.extend(sample(9, 101, 1, 1481, &[(8, 1007), (16, 11), (24, 12), (32, 13), (40, u64::MAX)]));
    bytes.extend(sample(9, 102, 2, 1482, &[(8, 3), (16, 0xffff_ffff_a000_0013)]));
    bytes.extend(sample(9, 103, 2, 1453, &[(8, 3), (24, u64::MAX - 5)]));
    let (found, strange) = read(&bytes);
    let raw = |time, cpu, kind| Seen::Raw(Raw { time, cpu, thread: 9, kind });
    let exit = RawKind::Exit { vcpu: Some(3), isa: 2, reason: 0x81, rip: 0xffff_ffff_a000_0010, info: [5, 6] };
    assert_eq!(
        found,
        [
            raw(100, 1, exit),
            raw(101, 1, RawKind::Hypercall(Hypercall { number: 1007, args: [11, 12, 13, u64::MAX] })),
            raw(102, 2, RawKind::Entry { vcpu: 3, rip: Some(0xffff_ffff_a000_0013) }),
            raw(103, 2, RawKind::Offset { vcpu: 3, next: u64::MAX - 5 }),
        ]
    );
    assert_eq!(strange, 0);
}

#[test]
fn switches_and_losses_are_told_by_their_trailers() {
    let mut bytes = record(perf::PERF_RECORD_SWITCH, 0x2000 | 0x4000, &id(9, 5, 0));
    bytes.extend(record(perf::PERF_RECORD_SWITCH, 0x2000, &id(9, 6, 0)));
    bytes.extend(record(perf::PERF_RECORD_SWITCH, 0, &id(9, 7, 1)));
    let mut body = [1u64.to_le_bytes(), 42u64.to_le_bytes()].concat();
    body.extend(id(9, 8, 1));
    bytes.extend(record(perf::PERF_RECORD_LOST, 0, &body));
    // What we have not asked for.
    bytes.extend(record(perf::PERF_RECORD_THROTTLE, 0, &[0; 40]));
    let (found, strange) = read(&bytes);
    let raw = |time, cpu, kind| Seen::Raw(Raw { time, cpu, thread: 9, kind });
    assert_eq!(
        found,
        [
            raw(5, 0, RawKind::Switch { prev: 9, runnable: true, next: 0 }),
            raw(6, 0, RawKind::Switch { prev: 9, runnable: false, next: 0 }),
            raw(7, 1, RawKind::Switch { prev: 0, runnable: true, next: 9 }),
            Seen::Lost { time: 8, count: 42 },
        ]
    );
    assert_eq!(strange, 0);
}

#[test]
fn a_kernel_that_describes_less_is_told_what_is_missing() {
    let dir = tracefs(&FORMATS[..3]);
    let error = Layout::read(dir.path()).err().unwrap().to_string();
    assert!(error.contains("kvm_write_tsc_offset/format") && error.contains("modprobe kvm"), "{error}");
    let mut other = FORMATS;
    other[1].2 = &[("nr", 8, 8)];
    let error = Layout::read(tracefs(&other).path()).err().unwrap().to_string();
    assert!(error.contains("kvm_hypercall/format") && error.contains("no field a0"), "{error}");
}

#[test]
fn records_that_make_no_sense_are_counted_and_left_out() {
    let good = sample(9, 100, 1, 1482, &[(8, 3)]);
    // Another tracepoint's, one whose raw data are longer than it is, one of size 0.
    let other = sample(9, 100, 1, 7, &[]);
    let mut long = sample(9, 100, 1, 1482, &[]);
    long[8 + 24] = 0xff;
    let bytes = [&*good, &other, &long, &good, &[9, 0, 0, 0, 0, 0, 0, 0]].concat();
    let (found, strange) = read(&bytes);
    assert_eq!((found.len(), strange), (2, 3));
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0..20u32) {
        read(&bytes);
        let (_, strange) = read(&record(kind, 0, &bytes));
        prop_assert!(strange <= 1);
    }
}
