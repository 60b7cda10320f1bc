// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Guests in guests: events of the innermost one at the outermost host. In: known calls, made by a small guest at each
//! level of the test bed. Out: assertions: the words that it writes into shared memory, whose pages each level hands on
//! to the next, are in the outermost host's file, the same at each level; hypercalls arrive one level up. Never here: what
//! it costs (`cargo xtask bench nesting`).

use std::path::Path;
use std::time::Duration;

use early_ftrace_format::FORMAT_VERSION;
use early_ftrace_format::decode::Decoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::shared::{CHUNK_SIZE, ChunkHeader, DATA_OFFSET, Header, MAGIC};
use early_ftrace_format::word::KERNEL_HIGH;
use symbolizer::capture::drain::Drainer;
use symbolizer::capture::region::RamFile;
use symbolizer::capture::session::Session;
use symbolizer::trace_dir::{Ended, Existing, Meta, TraceWriter};
use xtask::steps::Steps;
use xtask::testbed::{self, Testbed};
use zerocopy::{FromZeros, IntoBytes};

use crate::{boots, kvm};

/// Bytes of a device's memory: what `tests/guest/hypercalls.rs` shares.
const SIZE: u64 = 4 << 20;

/// From the header to the ring: `CHUNK` in that program.
const RINGS: u64 = 0x1_0000;

const LIMIT: Duration = Duration::from_secs(240);

/// A file with a header, as an injector would put it there: one CPU, two chunks.
fn prepare(path: &Path) {
    let mut header = Header::new_zeroed();
    (header.magic, header.version, header.header_size) = (MAGIC, FORMAT_VERSION, size_of::<Header>() as u32);
    (header.cpus, header.chunks_per_cpu, header.chunk_size) = (1, 2, CHUNK_SIZE as u32);
    (header.region_size, header.rings_off) = (SIZE, RINGS);
    let mut bytes = vec![0; SIZE as usize];
    bytes[DATA_OFFSET as usize..][..size_of::<Header>()].copy_from_slice(header.as_bytes());
    std::fs::write(path, bytes).expect("a file of the device's size");
}

/// The functions that were entered and left, one after the other, as the outermost host's file has them; and what a
/// recorder makes of it.
fn arrived(path: &Path, trace: &Path) -> (Vec<u32>, Meta) {
    let ram = RamFile::open(path).expect("our file");
    let region = ram.find().expect("the header");
    let mut words = vec![0; CHUNK_SIZE as usize / 8];
    region.copy_words(RINGS, &mut words);
    let header = size_of::<ChunkHeader>() / 8;
    let mut decoder = Decoder::new(words[2]);
    let events: Vec<Event> = words[header..].iter().filter_map(|&word| decoder.push(word)).collect();
    let pair = |pair: &[Event]| match *pair {
        [Event::Entry { site, time }, Event::Exit { time: end }] if time <= end => site as u32,
        _ => panic!("no call: {pair:?}"),
    };
    let sites = events.chunks(2).map(pair).collect();
    let meta = Meta { format_version: FORMAT_VERSION, cpus: 1, ..Meta::default() };
    let writer = TraceWriter::create(trace, &meta, Existing::Keep).expect("a new directory");
    let session = Session { ram, drainer: Drainer::new(region), writer, meta, deterministic: false };
    (sites, session.finish(Ended::Stopped { detail: "read afterwards".into() }).expect("a trace"))
}

/// `count` calls of functions in the kernel's text, as hypercalls of a level's numbers.
fn calls(level: u64, count: u64) -> Vec<[u64; 5]> {
    let site = |i: u64| (KERNEL_HIGH as u32 | 0x8100_0005) as u64 + i * 7 % 4096 * 16;
    (0..count).map(|i| [1000 + 8 * level, site(i), i, !i, level]).collect()
}

/// In L1: a guest of it shares the first device's memory; a guest of its guest the second's. Both recorded.
const OUTER: &str = r#"
set --
for device in /sys/bus/pci/devices/*; do
    [ "$(cat $device/device)" = 0x1110 ] && echo 1 > $device/enable && set -- $@ $device/resource2
done
./host_record /out/one ./hypercalls one --shared $1 || exit 1
./host_record /out/two qemu-system-x86_64 -M q35 -accel kvm -cpu host -m 256M -nodefaults -display none -no-reboot \
    -serial stdio -kernel vmlinuz -initrd nested -append "console=ttyS0 quiet panic=-1 nokaslr no_timer_check tsc=reliable" \
    -object memory-backend-file,id=shared,share=on,size=4M,mem-path=$2 -device ivshmem-plain,memdev=shared < /dev/null
"#;

/// In L1's guest: what its KVM sees of a guest of its own.
const INNER: &str = r#"
mount -t tracefs tracefs /sys/kernel/tracing
for device in /sys/bus/pci/devices/*; do
    [ "$(cat $device/device)" = 0x1110 ] && echo 1 > $device/enable && bar=$device/resource2
done
echo 1 > /sys/kernel/tracing/events/kvm/kvm_hypercall/enable
./hypercalls two --shared $bar
echo 0 > /sys/kernel/tracing/events/kvm/kvm_hypercall/enable
echo "nested: $(grep -c 'nr 0x3f0 ' /sys/kernel/tracing/trace) of level 1"
"#;

#[test]
fn events_of_the_innermost_guest_are_in_the_outermost_hosts_file() {
    const CALLS: u64 = 250;
    let bed = Testbed::new(&Steps::default()).and_then(Testbed::with_qemu).unwrap_or_else(|error| panic!("{error:#}"));
    let work = tempfile::tempdir().expect("a directory");
    let at = |name: &str| work.path().join(name);
    let lists = [calls(0, CALLS), calls(1, CALLS)];
    for (list, name) in lists.iter().zip(["one", "two"]) {
        std::fs::write(at(name), testbed::calls(list.iter().copied())).expect("it is written");
        prepare(&at(&format!("shared-{name}")));
    }
    testbed::hypercalls(&at("hypercalls")).unwrap_or_else(|error| panic!("{error:#}"));
    let nested = bed.nested(INNER, &[("hypercalls", &at("hypercalls")), ("two", &at("two"))]);
    std::fs::write(at("nested"), nested.unwrap_or_else(|error| panic!("{error:#}"))).expect("it is written");
    let recorder = kvm::recorder();
    let kernel = bed.kernel().to_owned();
    let (program, one, nested) = (at("hypercalls"), at("one"), at("nested"));
    let files: [(&str, &Path); 5] = [
        ("hypercalls", &program),
        ("one", &one),
        ("nested", &nested),
        ("host_record", &recorder),
        ("vmlinuz", &kernel),
    ];
    let bed = bed.with_shared(&at("shared-one"), SIZE).with_shared(&at("shared-two"), SIZE);
    let output = {
        let _one_at_a_time = boots::boot_lock();
        bed.run(OUTER, &files, LIMIT).unwrap_or_else(|error| panic!("{error:#}"))
    };

    // By shared memory: each level by its channel, whole, in order; no level between has done anything for it.
    for (list, name) in lists.iter().zip(["one", "two"]) {
        let (sites, meta) = arrived(&at(&format!("shared-{name}")), &at(&format!("trace-{name}")));
        let written: Vec<u32> = list.iter().map(|call| call[1] as u32).collect();
        assert!(sites == written, "{name}: {} of {} calls; {}", sites.len(), written.len(), output.console);
        assert_eq!((meta.totals.events, meta.totals.lost), (2 * CALLS, 0), "{name}: {meta:?}");
    }

    // By hypercalls: the outermost host sees those of its own guest with their words.
    let [one, two] = ["one", "two"].map(|name| kvm::read(output.file(name).expect("recorded")));
    for found in [&one, &two] {
        assert_eq!([found.count("lost"), found.count("strange")], [0; 2], "{}", found.summary);
    }
    assert!(one.calls(0, &kvm::KERNEL) == lists[0], "other hypercalls, or another order");
    // Of a guest in its guest it sees that one was made, and where; the words are for its guest.
    let blind = |exit: &&kvm::Exit| exit.reason == kvm::HYPERCALL && kvm::KERNEL.contains(&exit.rip);
    let (told, untold): (Vec<_>, Vec<_>) = two.exits.iter().filter(blind).partition(|exit| exit.call.is_some());
    assert_eq!((told.len(), untold.len() as u64), (0, CALLS), "{}", output.console);
    assert!(!two.exits.iter().filter_map(|exit| exit.call).any(|call| call[0] == lists[1][0][0]));
    // Which knows them by their number.
    assert!(output.console.contains(&format!("nested: {CALLS} of level 1\n")), "{}", output.console);
}
