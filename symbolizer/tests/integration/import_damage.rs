// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Files of other recorders that are damaged, made to cost more than they are worth, or say that events are lost: what
//! is read of them, and what is said.

use symbolizer::host::event::{Raw, RawKind};
use symbolizer::import::{Import, ImportError, Item, Lost, ctf};

use super::import::{Made, PAGE, RIP, data};

fn refused(bytes: Vec<u8>) -> String {
    match Import::of_bytes(bytes) {
        Err(error @ ImportError::Damaged { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was opened"),
    }
}

fn items(import: &mut Import) -> Vec<Item> {
    import.by_ref().collect()
}

#[test]
fn damage_inside_a_ring_page_is_a_loss_and_the_next_page_is_read() {
    let mut file = Made::new();
    // One CPU's events on two pages.
    for number in 0..100 {
        file.push(0, 1_000 + number, 41, 0, &[RIP, 0x81, 2, 0]);
    }
    let all = items(&mut Import::of_bytes(file.bytes()).unwrap()).len();
    assert!(all == 100 && file.cpus[0].len() == 2 * PAGE);
    // The fifth event: 8 bytes of time, then the head, with a length of its own if that is needed.
    let at = 16 + 4 * 60 + 8;
    for bytes in
        [&[0, 0, 0, 0, 3, 0, 0, 0], &[0, 0, 0, 0, 0, 0xff, 0, 0], &[29 | 1 << 5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]]
    {
        let mut file = Made { cpus: file.cpus.clone(), ..Made::new() };
        file.cpus[0][at..at + 8].copy_from_slice(bytes);
        let mut import = Import::of_bytes(file.bytes()).unwrap();
        let items = items(&mut import);
        let lost: Vec<usize> =
            (0..).zip(&items).filter(|(_, i)| matches!(i, Item::Lost(_))).map(|(at, _)| at).collect();
        assert_eq!(lost, [4], "{items:?}");
        // Behind it the second page.
        let second = items.len() - 5;
        assert!(second > 20 && matches!(items.last(), Some(Item::Event(raw)) if raw.time == 1_099), "{items:?}");
        assert_eq!((import.notes().lost, import.notes().gaps), (0, 1));
        let warnings = &import.notes().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("page of CPU 0"), "{warnings:?}");
    }
}

#[test]
fn cpus_that_share_pages_or_are_too_many_are_refused() {
    let mut file = Made::new();
    file.push(0, 1_000, 41, 0, &[RIP, 0x81, 2, 0]);
    file.push(1, 1_010, 41, 2, &[0]);
    let whole = file.bytes();
    let table = whole.windows(10).position(|window| window == b"flyrecord\0").unwrap() + 10;
    let place = |at: usize| u64::from_le_bytes(whole[table + at..table + at + 8].try_into().unwrap());
    let mut shared = whole.clone();
    shared[table + 16..table + 24].copy_from_slice(&(place(0) + PAGE as u64 - 1).to_le_bytes());
    assert!(refused(shared).contains("CPU 1 begin within those of CPU 0"));
    // 8,192 CPUs with a byte each, and one more.
    for more in [0, 1u64] {
        let mut many = whole[..table].to_vec();
        let count = many.windows(10).position(|window| window == b"options  \0").unwrap() - 4;
        many[count..count + 4].copy_from_slice(&(8192 + more as u32).to_le_bytes());
        let start = (many.len() as u64 + 9000 * 16).next_multiple_of(4096);
        for cpu in 0..8192 + more {
            many.extend((start + cpu).to_le_bytes());
            many.extend(1u64.to_le_bytes());
        }
        many.resize(start as usize + 9000, 0);
        match more {
            0 => assert_eq!(Import::of_bytes(many).unwrap().count(), 0),
            _ => assert!(refused(many).contains("more than 8192 CPUs")),
        }
    }
}

#[test]
fn attributes_of_perf_cannot_name_the_same_ids_for_ever() {
    let (each, ids) = (64 + 16, 1u64 << 20);
    let mut file = b"PERFILE2".to_vec();
    for word in [104u64, each, 104, 4096 * each, 0, 0, 0, 0, 0, 0, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for _ in 0..4096 {
        file.extend([0; 64]);
        file.extend(104u64.to_le_bytes());
        file.extend(ids.to_le_bytes());
    }
    file.resize(104 + ids as usize, 0);
    assert!(refused(file).contains("too many IDs"));
}

/// perf.data with more records behind the others.
fn with(mut file: Vec<u8>, records: &[u8]) -> Vec<u8> {
    let word = |file: &[u8], at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    let set = |file: &mut [u8], at: usize, value: u64| file[at..at + 8].copy_from_slice(&value.to_le_bytes());
    let (more, end) = (records.len() as u64, (word(&file, 40) + word(&file, 48)) as usize);
    // The table of features stands there, and they behind it.
    let features: u32 = file[72..104].iter().map(|byte| byte.count_ones()).sum();
    for feature in 0..features as usize {
        let at = end + 16 * feature;
        let place = word(&file, at);
        set(&mut file, at, place + more);
    }
    let size = word(&file, 48);
    set(&mut file, 48, size + more);
    file.splice(end..end, records.iter().copied());
    file
}

#[test]
fn losses_that_perf_says_twice_are_counted_once_and_cut_nothing() {
    let file = data("perf.data.zst");
    let word = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    let (attribute, each) = (word(24) as usize, word(16) as usize);
    let sample = word(attribute + 24);
    let id = word(word(attribute + each - 16) as usize);
    let all = items(&mut Import::of_bytes(file.clone()).unwrap());
    let last = all.last().unwrap().time();
    let record = |kind: u32, fields: &[u64], time: u64| {
        let mut words = fields.to_vec();
        // TID, TIME, ID, STREAM_ID, CPU, IDENTIFIER, as far as they are there.
        let trailer = [(1 << 1, 0), (1 << 2, time), (1 << 6, id), (1 << 9, 0), (1 << 7, 0), (1 << 16, id)];
        words.extend(trailer.into_iter().filter(|(bit, _)| sample & bit != 0).map(|(_, value)| value));
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend((8 + 8 * words.len() as u16).to_le_bytes());
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes
    };
    // The kernel's LOST: of an ID, so many. What perf adds at its end, of two events.
    let kernel = record(2, &[id, 5], last);
    let end = [record(13, &[4], 0), record(13, &[3], 0)].concat();
    for (records, counts) in [
        ([kernel.clone(), record(13, &[5], 0)].concat(), &[5][..]),
        // Two were lost behind the last record that the kernel could write.
        ([kernel, end.clone()].concat(), &[5, 2]),
        (end, &[4, 3]),
    ] {
        let mut import = Import::of_bytes(with(file.clone(), &records)).unwrap();
        let found = items(&mut import);
        assert_eq!(found[..all.len()], all);
        let lost: Vec<u64> = found[all.len()..]
            .iter()
            .map(|item| match item {
                Item::Lost(Lost { time, count: Some(count), .. }) if *time == last => *count,
                item => panic!("{item:?}"),
            })
            .collect();
        assert_eq!(lost, counts);
        assert_eq!((import.notes().lost, &import.notes().warnings[..]), (counts.iter().sum(), &[][..]));
    }
}

/// A trace in CTF, with the fields of its only event.
fn metadata(fields: &str) -> Vec<u8> {
    let text = "typealias integer { size = 32; align = 8; signed = false; } := u32;
        typealias integer { size = 64; align = 8; signed = false; } := u64;
        typealias integer { size = 64; align = 8; signed = false; map = clock.monotonic.value; } := time;
        typealias integer { size = 1; align = 1; signed = false; } := bit;
        trace { major = 1; minor = 8; byte_order = le; packet.header := struct { u32 magic; u32 stream_id; }; };
        clock { name = \"monotonic\"; freq = 1000000000; };
        stream { id = 0; packet.context := struct { time timestamp_begin; time timestamp_end; u64 content_size;
            u64 packet_size; u64 packet_seq_num; u64 events_discarded; u32 cpu_id; }; EVENTS };
        event { name = \"sched_switch\"; id = 0; stream_id = 0; fields := struct { FIELDS }; };
        event { name = \"kvm_x86_entry\"; id = 1; stream_id = 0; fields := struct { u32 _vcpu_id; }; };";
    let head = if fields.contains("bit") { "" } else { "event.header := struct { u32 id; time timestamp; };" };
    text.replace("EVENTS", head).replace("FIELDS", fields).into_bytes()
}

/// A packet from `begin` to `end`.
fn packet(begin: u64, end: u64, number: u64, discarded: u64, events: &[u8]) -> Vec<u8> {
    let mut bytes = 0xc1fc_1fc1u32.to_le_bytes().to_vec();
    bytes.extend([0; 4]);
    let size = 8 * (8 + 52 + events.len() as u64);
    for word in [begin, end, size, size, number, discarded] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(3u32.to_le_bytes());
    bytes.extend(events);
    bytes
}

#[test]
fn what_lttng_discards_is_missing_behind_a_packets_events() {
    let event = |id: u32, time: u64, fields: &[u32]| {
        let words = fields.iter().flat_map(|field| field.to_le_bytes());
        id.to_le_bytes().into_iter().chain(time.to_le_bytes()).chain(words).collect::<Vec<u8>>()
    };
    let first = [event(0, 110, &[7, 0, 8]), event(1, 120, &[2])].concat();
    let second = [event(1, 210, &[2]), event(0, 220, &[8, 0, 7]), event(1, 230, &[2])].concat();
    let third = event(1, 310, &[2]);
    let file = [
        packet(100, 150, 0, 5, &first),
        packet(200, 250, 1, 5, &second),
        // One is missing before it, and one event behind its last.
        packet(300, 350, 3, 6, &third),
    ];
    let mut import = ctf::of_bytes(metadata("u32 _prev_tid; u32 _prev_state; u32 _next_tid;"), file.concat()).unwrap();
    let lost = |time, count| Item::Lost(Lost { time, cpu: 3, count });
    let switch = |time, prev, next| {
        let kind = RawKind::Switch { prev, runnable: true, next };
        Item::Event(Raw { time, cpu: 3, thread: prev, kind })
    };
    let entry = |time, thread| Item::Event(Raw { time, cpu: 3, thread, kind: RawKind::Entry { vcpu: 2, rip: None } });
    // Who runs is not known behind a loss, up to the next switch.
    let nobody = u32::MAX - 3;
    let expected = [
        switch(110, 7, 8),
        entry(120, 8),
        lost(150, Some(5)),
        entry(210, nobody),
        switch(220, 8, 7),
        entry(230, 7),
        lost(300, None),
        entry(310, nobody),
        lost(350, Some(1)),
    ];
    assert_eq!(items(&mut import), expected);
    assert_eq!((import.notes().lost, import.notes().gaps), (6, 1));
}

#[test]
fn values_without_bits_cost_no_more_than_those_with() {
    let events = vec![0; 30_000];
    for (empty, whole) in [("", true), ("struct { } _none[1000];", false)] {
        let fields = format!("bit _prev_tid; bit _prev_state; bit _next_tid; {empty}");
        let mut import = ctf::of_bytes(metadata(&fields), packet(1, 2, 0, 0, &events)).unwrap();
        let count = items(&mut import).len();
        assert_eq!((count == 80_000, import.notes().warnings.is_empty()), (whole, whole), "{count}");
        assert!(whole || (60..100).contains(&count), "{count}");
    }
}
