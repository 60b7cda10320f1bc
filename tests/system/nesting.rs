// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Guests in guests: events of the innermost one at the outermost host. In: known calls, made by a small guest at each
//! level of the test bed. Out: assertions: the words that it writes into shared memory, whose pages each level hands on
//! to the next, are in the outermost host's file, the same at each level; hypercalls arrive one level up. And a whole
//! traced Linux as a guest of the bed's host, recorded by this machine, which is no host of its. Never here: what it costs
//! (`cargo xtask bench nesting`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use early_ftrace_format::FORMAT_VERSION;
use early_ftrace_format::decode::Decoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::shared::{CHUNK_SIZE, ChunkHeader, DATA_OFFSET, Header, MAGIC};
use early_ftrace_format::word::LOWEST_FUNCTION;
use symbolizer::calltree::sink::{Call, Sink};
use symbolizer::calltree::{self, Frame, Function, Site, Task, TaskId};
use symbolizer::capture::drain::Drainer;
use symbolizer::capture::region::RamFile;
use symbolizer::capture::session::Session;
use symbolizer::capture::stream;
use symbolizer::decode::pipeline;
use symbolizer::report::Names;
use symbolizer::resolve::Vmlinux;
use symbolizer::trace_dir::{Ended, Existing, Meta, TraceDir, TraceError, TraceWriter};
use xtask::initrd;
use xtask::kernels::Kernel;
use xtask::steps::Steps;
use xtask::testbed::Testbed;
use xtask::testbed::nested::{self, HEADER, LEVELS, RINGS, SHARED};
use zerocopy::{FromZeros, IntoBytes};

use crate::{boots, kvm};

const _: () = assert!(HEADER == DATA_OFFSET);

/// A file with a header, as an injector would put it there: one CPU, two chunks.
fn prepare(path: &Path) {
    let mut header = Header::new_zeroed();
    (header.magic, header.version, header.header_size) = (MAGIC, FORMAT_VERSION, size_of::<Header>() as u32);
    (header.cpus, header.chunks_per_cpu, header.chunk_size) = (1, 2, CHUNK_SIZE as u32);
    (header.region_size, header.rings_off) = (SHARED, RINGS);
    let mut bytes = vec![0; SHARED as usize];
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
    let site = |i: u64| u64::from(LOWEST_FUNCTION) + 5 + i * 7 % 4096 * 16;
    (0..count).map(|i| [1000 + 8 * level, site(i), i, !i, level]).collect()
}

#[test]
fn events_of_the_innermost_guest_are_in_the_outermost_hosts_file() {
    const CALLS: u64 = 250;
    let bed = Testbed::new(&Steps::default()).and_then(Testbed::with_qemu).unwrap_or_else(|error| panic!("{error:#}"));
    let work = tempfile::tempdir().expect("a directory");
    let lists = [calls(0, CALLS), calls(1, CALLS)];
    (0..lists.len()).for_each(|level| prepare(&nested::shared(work.path(), level)));
    let recorder = kvm::recorder();
    let output = {
        let _one_at_a_time = boots::boot_lock();
        nested::run(bed, work.path(), &lists, Some(&recorder)).unwrap_or_else(|error| panic!("{error:#}"))
    };

    // By shared memory: each level by its channel, whole, in order; no level between has done anything for it.
    for (level, (list, name)) in lists.iter().zip(LEVELS).enumerate() {
        let trace = work.path().join(format!("trace-{name}"));
        let (sites, meta) = arrived(&nested::shared(work.path(), level), &trace);
        let written: Vec<u32> = list.iter().map(|call| call[1] as u32).collect();
        assert!(sites == written, "{name}: {} of {} calls; {}", sites.len(), written.len(), output.console);
        assert_eq!((meta.totals.events, meta.totals.lost), (2 * CALLS, 0), "{name}: {meta:?}");
    }

    // By hypercalls: the outermost host sees those of its own guest with their words.
    let [one, two] = LEVELS.map(|name| kvm::read(output.file(name).expect("recorded")));
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

/// In L1: the traced kernel as a guest, whose device has the memory of L1's device.
const LINUX: &str = r#"
for device in /sys/bus/pci/devices/*; do
    [ "$(cat $device/device)" = 0x1110 ] && echo 1 > $device/enable && memory=$device/resource2
done
qemu-system-x86_64 -M q35 -accel kvm -cpu host -m 512M -nodefaults -display none -no-reboot -serial stdio -kernel traced \
    -initrd initrd -append "console=ttyS0 panic=-1 quiet no_timer_check tsc=reliable hypergraph=channel:ivshmem" \
    -object memory-backend-file,id=shared,share=on,size=32M,mem-path=$memory -device ivshmem-plain,memdev=shared < /dev/null
"#;

/// Calls by function.
struct Calls<'a> {
    names: &'a Names<'a>,
    functions: Vec<(String, u64)>,
}

impl Sink for Calls<'_> {
    fn function(&mut self, _function: Function, site: Site<'_>) {
        self.functions.push((self.names.quick(site.address).name.to_string(), 0));
    }
    fn attach(&mut self, _id: TaskId, _task: &Task, _cpu: u32, _time: u64) {}
    fn enter(&mut self, _frames: &[Frame]) {}
    fn leaf(&mut self, _frames: &[Frame], function: Function, _start: u64, _ticks: u64) {
        self.functions[function.index()].1 += 1;
    }
    fn leave(&mut self, _frames: &[Frame], call: &Call) {
        self.functions[call.function.index()].1 += 1;
    }
}

/// Records whoever appears in the file, until it is over.
fn record(path: &Path, trace: &Path, over: &AtomicBool) -> Option<Meta> {
    let ram = RamFile::open(path).expect("our file");
    let region = loop {
        match ram.find() {
            Ok(region) => break region,
            Err(_) if over.load(Ordering::Relaxed) => return None,
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let meta = stream::described(region.header());
    let writer = TraceWriter::create(trace, &meta, Existing::Keep).expect("a new directory");
    let mut session = Session { ram, drainer: Drainer::new(region), writer, meta, deterministic: false };
    let stopped = Ended::Stopped { detail: "the test bed has ended".into() };
    let is_over = |_| Ok(over.load(Ordering::Relaxed).then(|| stopped.clone()));
    let ended = session.run::<TraceError>(is_over, |_| ()).expect("room for the trace");
    Some(session.finish(ended).expect("room for the trace"))
}

#[test]
fn a_linux_in_a_guest_is_recorded_through_its_host_without_its_help() {
    const MEMORY: u64 = 32 << 20;
    let steps = Steps::default();
    let bed = Testbed::new(&steps).and_then(Testbed::with_qemu).unwrap_or_else(|error| panic!("{error:#}"));
    let work = tempfile::tempdir().expect("a directory");
    let at = |name: &str| work.path().join(name);
    let vmlinux = Kernel::Series(boots::OLD.into()).vmlinux(&steps).expect("a kernel");
    kernel_config::inject(&vmlinux, &at("traced"), &kernel_config::Options::default()).expect("it can be traced");
    initrd::build(&at("initrd")).expect("it is built");
    std::fs::write(at("shared"), vec![0; MEMORY as usize]).expect("a file of the device's size");
    let (traced, disk) = (at("traced"), at("initrd"));
    let files: [(&str, &Path); 2] = [("traced", &traced), ("initrd", &disk)];
    let bed = bed.with_shared(&at("shared"), MEMORY);
    let over = AtomicBool::new(false);
    let (output, meta) = std::thread::scope(|scope| {
        let recording = scope.spawn(|| record(&at("shared"), &at("trace"), &over));
        let _one_at_a_time = boots::boot_lock();
        let output = bed.run(LINUX, &files, Duration::from_secs(600));
        over.store(true, Ordering::Relaxed);
        (output, recording.join().expect("the recorder goes to its end"))
    });
    let console = output.unwrap_or_else(|error| panic!("{error:#}")).console;
    assert!(console.contains(initrd::DONE), "{console}");
    let meta = meta.unwrap_or_else(|| panic!("nothing has appeared in the file; {console}"));
    let [damaged, unwritten] = [meta.per_cpu[0].damaged_chunks, meta.per_cpu[0].unwritten];
    assert_eq!([meta.totals.lost, damaged, unwritten], [0; 3], "{meta:?}");

    // From the first function of the boot to the last.
    let opened = Vmlinux::open(&vmlinux).expect("the kernel");
    let names = Names::open(&opened).expect("its symbols");
    let mut calls = Calls { names: &names, functions: Vec::new() };
    let trace = TraceDir::open(&at("trace")).expect("a trace");
    let totals = pipeline::run(&trace, |pipeline| calltree::build(pipeline, &mut calls, |_| {}));
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, calls) in &calls.functions {
        *sums.entry(name).or_default() += calls;
    }
    assert_eq!(totals.events, meta.totals.events);
    for once in ["start_kernel", "rest_init", "kernel_init", "kernel_power_off"] {
        assert_eq!(sums.get(once), Some(&1), "{once}");
    }
    assert!(sums.len() > 5_000 && totals.events > 5_000_000, "{} functions, {} events", sums.len(), totals.events);
}
