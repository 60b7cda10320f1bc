// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The inputs of the corpora that are made from the formats' own types, byte for byte: so they stay
//! valid when a format changes, and nobody changes a format unawares. In: the encoders. Out: files
//! under `tests/fuzz/corpus`, written by `cargo xtask bless` and compared else. (The ELF files there
//! come from `tests/fuzz/tiny`, the others are written by hand.)

use std::borrow::Cow;
use std::path::Path;

use early_ftrace_format::encode::Encoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::shared::{CHUNK_MAGIC, CHUNK_SIZE, ChunkHeader, CpuControl, Header, MAGIC, POLICY_WAIT};
use early_ftrace_format::word::{EndReason, Kind, LOWEST_FUNCTION, control};
use symbolizer::compare::boot::{self, Boot};
use symbolizer::host::clock::{Clock, Conversion};
use symbolizer::host::event::{Exit, HostEvent, Hypercall};
use symbolizer::host::file::Writer;
use symbolizer::resolve::Symbol;
use symbolizer::resolve::table::{self, Contents, Nameless, Spot, Table};
use symbolizer::trace_dir::{Existing, HOST_FILE, Meta, TraceWriter};
use xtask::workspace;
use zerocopy::{FromZeros, IntoBytes};

/// When the chunks were opened.
const OPENED: u64 = 0x1_2345_6789;

fn site(number: u64) -> u64 {
    0xffff_ffff_8100_0005 + 16 * number
}

fn named(pid: u32, name: &[u8]) -> Event {
    let mut padded = [0; 16];
    padded[..name.len()].copy_from_slice(name);
    Event::Named { pid, name: padded }
}

/// Every kind of event that an honest guest writes, and the ways of times and pids that do not fit.
fn honest() -> Vec<u64> {
    let at = |ticks| OPENED + ticks;
    let switch = |pid, prio, state, ticks| Event::Switch { pid, prio, state, time: at(ticks) };
    let events = [
        Event::Running { pid: 0 },
        Event::Entry { site: site(1), time: at(10) },
        Event::Leaf { site: site(2), start: at(20), end: at(35) },
        Event::Leaf { site: site(2), start: at(40), end: at(90_000) },
        Event::Exit { time: at(100_000) },
        named(70_000, b"kworker/0:1"),
        switch(70_000, 120, 1, 100_010),
        Event::Entry { site: site(3), time: at(0x2_0000_0000) },
        Event::Lost { count: 7 },
        Event::Exit { time: at(0x2_0000_0100) },
        Event::Ended { pid: 70_000 },
        switch(0, 140, 0x1000, 0x2_0000_0200),
        Event::Leaf { site: 0xffff_ffff_c000_1005, start: at(0x2_0000_0300), end: at(0x2_0000_0310) },
        Event::End { reason: EndReason::PowerOff, time: at(0x2_0000_0400) },
    ];
    let (mut encoder, mut words) = (Encoder::new(OPENED), Vec::new());
    for event in events {
        encoder.push(event, |word| words.push(word)).expect("it has a word");
    }
    words
}

/// What no guest writes: times that step back and overflow, exits of nothing, notes out of bounds, a
/// name that would steer a terminal.
fn hostile() -> Vec<u64> {
    let low = u64::from(LOWEST_FUNCTION);
    let mut words = vec![
        control(Kind::Exit, 0, 0),
        control(Kind::Time, 0x7fff, u32::MAX),
        u64::MAX,
        low | 1 << 63 | 0x7fff << 32,
        control(Kind::Time, 0, 0),
        u64::MAX,
        low | 1 << 63 | 0x7fff << 32,
        low,
        low | u64::from(u32::MAX) << 32,
        control(Kind::Lost, 0, u32::MAX),
        control(Kind::Lost, 0x7fff, u32::MAX),
        control(Kind::Name, 0x7fff, u32::from_le_bytes(*b"\x1b[2J")),
        control(Kind::Name, 0, u32::from_le_bytes(*b"\x1b]0;")),
        control(Kind::Task, 0, u32::MAX),
        control(Kind::Task, 1, u32::MAX),
        control(Kind::Task, 1, 0),
        control(Kind::Task, 2, 5),
        control(Kind::Task, 0x7fff, 5),
        control(Kind::Escape, 0, u32::MAX),
        control(Kind::Escape, 1, u32::MAX),
        control(Kind::Escape, 9, u32::MAX),
        0x7fff_ffff,
        0xffff_ffff_0000_0001,
        control(Kind::Escape, 3, 1),
        control(Kind::Mark, 1, 1),
        0x8000_00ff,
        0xdead_0000_0000_0000,
        control(Kind::End, 9, 1),
        control(Kind::End, 2, 1),
        control(Kind::Exit, 0, 1),
    ];
    words.extend([0; 2]);
    words
}

fn with_time(words: &[u64]) -> Vec<u8> {
    [&[OPENED], words].concat().as_bytes().to_vec()
}

/// A CPU's file with a block for each of these chunks.
fn file(chunks: &[Vec<u64>]) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut meta = Meta { format_version: 1, cpus: 1, ..Meta::default() };
    let mut writer = TraceWriter::create(dir.path(), &meta, Existing::Replace).expect("a new directory");
    for (seq, words) in (0..).zip(chunks) {
        writer.append_chunk(0, &chunk(seq), words).expect("space");
        writer.flush().expect("space");
    }
    writer.finish(&mut meta).expect("space");
    std::fs::read(dir.path().join("cpu0.eft")).expect("what was just written")
}

fn chunk(seq: u64) -> ChunkHeader {
    ChunkHeader { magic: CHUNK_MAGIC, seq, tsc: OPENED, ..ChunkHeader::default() }
}

/// The header and two looks of a recorder; see `tests/fuzz/src/region.rs`.
fn region(change: impl Fn(&mut Header, &mut [CpuControl; 2], &mut [ChunkHeader; 2])) -> Vec<u8> {
    let mut header = Header::new_zeroed();
    header.magic = MAGIC;
    header.version = early_ftrace_format::FORMAT_VERSION;
    header.header_size = size_of::<Header>() as u32;
    (header.cpus, header.chunks_per_cpu, header.chunk_size) = (1, 2, CHUNK_SIZE as u32);
    (header.policy, header.rings_off) = (POLICY_WAIT, 0x4000);
    (header.stacks_off, header.stacks, header.stack_size) = (0x2000, 2, 4096);
    let mut controls = [CpuControl::new_zeroed(); 2];
    (controls[0].produced, controls[1].produced, controls[1].consumed) = (1, 3, 1);
    let mut chunks = [chunk(0), chunk(1)];
    change(&mut header, &mut controls, &mut chunks);
    let mut bytes = header.as_bytes().to_vec();
    for control in controls {
        bytes.extend(control.as_bytes());
        for chunk in &mut chunks {
            let start = bytes.len();
            bytes.extend(chunk.as_bytes());
            bytes.extend(honest()[..20].as_bytes());
            bytes.resize(start + 256, 0);
            chunk.seq += 2;
        }
    }
    bytes
}

/// What a guest does while it is recorded; see `tests/fuzz/src/guest.rs`.
fn steps(honest: bool) -> Vec<u8> {
    let step = |kind: u8, cpu: u8, slot: u8, count: u8, index: u32, value: u64| {
        [&[kind, cpu, slot, count][..], &index.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let entry = (u64::from(LOWEST_FUNCTION) + 0x100) | (1 << 32);
    let (open, close, look) = (5, 6, 7);
    let mut steps = vec![step(open, 0, 0, 40, 1, entry), step(open, 1, 0, 20, 2, control(Kind::Exit, 0, 9))];
    if !honest {
        // Words, chunk headers, stacks, counters: more than there is, less than there was.
        for (kind, index, value) in
            [(3, 8, u64::MAX), (2, 1, 77), (4, 6, entry), (4, 7, 0), (1, 2, u64::MAX), (0, 9, 1)]
        {
            steps.push(step(kind, 0, 0, 9, index, value));
        }
        steps.push(step(1, 1, 0, 0, 0, u64::MAX));
    }
    for round in 0..4 {
        steps.extend([step(close, 0, 0, 0, 0, 0), step(look, 0, 0, 0, 0, 0), step(look, 0, 0, 0, 0, 0)]);
        steps.push(step(open, 0, 0, 200, 3 + round, entry + u64::from(round)));
        if !honest {
            steps.push(step(1, 1, 0, 0, 0, u64::from(round)));
            steps.push(step(2, 0, round as u8, 0, 0, u64::from(CHUNK_MAGIC) | 7 << 32));
        }
    }
    steps.concat()
}

/// A table of names with one of each kind of entry. `size` is that of its functions.
fn names(size: u64, text: &str) -> Vec<u8> {
    let symbol = |number, name| Symbol { address: site(number) - 5, size, name: Cow::Borrowed(name), aliases: 1 };
    let symbols = [symbol(1, "start_kernel"), symbol(2, text), symbol(3, "rest_init")];
    let file = Some(table::Path { full: "/build/init/main.c", relative: "init/main.c" });
    let spot = Spot { file, line: Some(936), column: Some(1) };
    let table = Table::build(&Contents {
        build_id: "0123",
        layout: 0x1234_5678,
        text_start: Some(site(0) - 5),
        root: "/build/",
        functions: symbols.iter().map(|symbol| (symbol, spot)).collect(),
        longest: size,
        nameless: vec![(site(9) - 5, Nameless { name: Some("weak"), spot })],
        sites: Some(&[site(1) - 5, site(2) - 5, site(9) - 5]),
        kmods: vec![(site(2) - 5, "acpi")],
    });
    table.expect("a small table").bytes().concat()
}

/// The JSON of a kept boot: two levels, an initcall, three functions, a small tree. `text` is their names' end.
fn kept(number: u64, text: &str) -> Vec<u8> {
    let boot = Boot {
        version: boot::VERSION,
        name: format!("trace{text}"),
        meta: Meta { format_version: 1, cpus: 2, release: format!("6.1.0{text}"), ..Meta::default() },
        ns: true,
        totals: boot::Totals {
            events: number,
            calls: number,
            span: number,
            busy: number,
            ended: "power-off".to_owned(),
            ..boot::Totals::default()
        },
        levels: ["fs", "device"]
            .map(|name| boot::Level { name: name.to_owned(), time: number, busy: number, ..boot::Level::default() })
            .to_vec(),
        initcalls: vec![boot::Initcall {
            name: format!("init_ext4_fs{text}"),
            module: format!("ext4{text}"),
            kind: "built-in".to_owned(),
            level: "fs".to_owned(),
            runs: 1,
            time: number,
            on_cpu: number,
            calls: number,
        }],
        functions: ["start_kernel", "kfree", "memcpy"]
            .map(|name| boot::Function {
                name: format!("{name}{text}"),
                file: "mm/slab.c".to_owned(),
                ..Default::default()
            })
            .to_vec(),
        sums: boot::Sums {
            function: vec![0, 1, 1, 2],
            level: vec![10, 10, 12, boot::NO_LEVEL],
            calls: vec![1, number, 2, 3],
            own: vec![number, 5, 7, 9],
            total: vec![number, 5, 7, number],
        },
        cpus: boot::OnCpus { cpu: vec![0, 1], function: vec![1, 1], calls: vec![3, 4], own: vec![number, 9] },
        tree: boot::Tree {
            roots: vec![(10, 0)],
            parent: vec![0, 0, 1],
            function: vec![boot::Tree::NONE, 0, 1],
            calls: vec![0, 1, number],
            own: vec![0, number, 5],
            total: vec![number, number, 5],
        },
        ..Boot::default()
    };
    serde_json::to_vec(&boot).expect("JSON")
}

/// What a host has seen of two virtual CPUs: `host.eft`. `number` stands wherever a number can be large.
fn host(number: u64, clock: Clock) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut writer = Writer::create(dir.path(), &clock).expect("space");
    let exit = |vcpu, time, hypercall| {
        let (cpus, info) = ((vcpu, 3), [number, 1]);
        HostEvent::Exit(Exit { vcpu, thread: 77, cpus, time, length: 5, isa: 2, reason: 0x81, rip: 9, info, hypercall })
    };
    writer.push(&HostEvent::Offset { vcpu: 0, time: 10, next: number }).expect("space");
    for time in 20..30u64 {
        let call = Hypercall { number: 1000, args: [time, number, 3, u64::MAX] };
        writer.push(&exit((time % 2) as u32, time * 1_000, Some(call).filter(|_| time % 3 > 0))).expect("space");
        writer
            .push(&HostEvent::Away { vcpu: 0, time: time * 1_000 + 1, length: number, preempted: time % 2 > 0 })
            .expect("space");
    }
    // Out of order, at the end of time, of a virtual CPU that no trace can have.
    if number > u64::from(u32::MAX) {
        for (vcpu, time) in [(1, 0), (1, u64::MAX), (u32::MAX, 7)] {
            writer.push(&exit(vcpu, time, None)).expect("space");
        }
    }
    writer.finish().expect("space");
    std::fs::read(dir.path().join(HOST_FILE)).expect("what was just written")
}

/// Target, name, content.
fn made() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let one = file(&[hostile()]);
    let file = file(&[honest(), hostile(), honest()]);
    let valid = region(|_, _, _| {});
    let index = crate::fuzz::index::valid();
    let kept = names(16, "setup_arch");
    let boot = self::kept(123_456, "");
    let conversion = Conversion { zero: u64::MAX, mult: u32::MAX, shift: 63 };
    let seen = host(40, Clock::Tsc);
    vec![
        ("host", "truncated", seen[..seen.len() - 100].to_vec()),
        ("host", "valid", seen),
        ("host", "nanoseconds", host(40, Clock::Ns { conversion: None })),
        ("host", "hostile", host(u64::MAX - 2, Clock::Ns { conversion: Some(conversion) })),
        ("kept", "truncated", boot[..boot.len() - 40].to_vec()),
        ("kept", "valid", boot),
        ("kept", "hostile", self::kept(u64::MAX, "\u{1b}[2J\u{fffd}<&")),
        ("names", "truncated", kept[..kept.len() - 30].to_vec()),
        ("names", "valid", kept),
        ("names", "hostile", names(u64::MAX, "\x1b[2J\u{fffd}")),
        ("guest", "truncated", steps(true)[..100].to_vec()),
        ("guest", "valid", steps(true)),
        ("guest", "hostile", steps(false)),
        ("words", "valid", with_time(&honest())),
        ("words", "truncated", with_time(&honest())[..61].to_vec()),
        ("words", "hostile", with_time(&hostile())),
        ("trace", "truncated", file[..file.len() - 50].to_vec()),
        ("trace", "valid", file),
        ("trace", "hostile", one),
        ("index", "truncated", index[..index.len() / 2].to_vec()),
        ("index", "hostile", index.iter().map(|&byte| if byte == 1 { 0x7f } else { byte }).collect()),
        ("index", "valid", index),
        ("region", "truncated", valid[..500].to_vec()),
        ("region", "valid", valid),
        (
            "region",
            "hostile-header",
            region(|header, _, _| {
                (header.cpus, header.chunks_per_cpu) = (512, 1 << 20);
                (header.rings_off, header.tsc_khz_phys) = (u64::MAX - 7, u64::MAX);
            }),
        ),
        (
            "region",
            "hostile-stacks",
            region(|header, _, _| {
                (header.stacks_off, header.stacks, header.stack_size) = (0, 16, 1024);
            }),
        ),
        (
            "region",
            "hostile-counters",
            region(|_, controls, chunks| {
                (controls[0].produced, controls[0].consumed, controls[0].lost) = (u64::MAX, u64::MAX - 1, u64::MAX);
                (controls[1].produced, controls[1].nmi_lost) = (0, u64::MAX);
                (chunks[0].seq, chunks[1].seq) = (u64::MAX - 9, u64::MAX - 4);
                (chunks[0].lost, chunks[0].tsc, chunks[0].depth) = (u64::MAX, u64::MAX, u32::MAX);
            }),
        ),
    ]
}

#[test]
fn golden_corpus_is_made_of_todays_formats() {
    let bless = std::env::var_os("EFT_BLESS").is_some_and(|bless| bless == "1");
    for (target, name, content) in made() {
        let path = workspace::root().join("tests/fuzz/corpus").join(target).join(name);
        if bless {
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("our tree");
            std::fs::write(&path, content).expect("our tree");
            continue;
        }
        let stored =
            std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask bless`", path.display()));
        assert!(
            stored == content,
            "{}: the format's bytes have changed; if they should, run `cargo xtask bless`",
            path.display()
        );
    }
}
