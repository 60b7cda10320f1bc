// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A hostile guest beside a real recorder: two CPUs that write chunks as guests do, and one thread that writes anything
//! anywhere in the shared memory, at the same time, for a bounded time. Demanded: no crash, no hang, no more work for a
//! look at the rings than they are long; a trace that every reader takes. ([`crate::fuzzed`] has the same one step after
//! the other, with each failure repeatable.)

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use early_ftrace_format::shared::{CHUNK_MAGIC, CHUNK_SIZE};
use early_ftrace_format::word::{Kind, LOWEST_FUNCTION, control};
use symbolizer::capture::drain::Drainer;
use symbolizer::capture::region::RamFile;
use symbolizer::capture::session::Session;
use symbolizer::trace_dir::{Ended, Existing, Meta, TraceError, TraceWriter};

use crate::fuzz::guest::{CPUS, Memory, look, readable};
use crate::random::Random;

/// Chunks in each ring.
const CHUNKS: u32 = 8;

/// Chunks that are taken before the recorder's own loop goes on, and with it: a trace that can be reported in a moment.
const BY_HAND: u64 = 100;
const BY_SESSION: u64 = 300;

/// After this time the test ends with what it has.
const PATIENCE: Duration = Duration::from_secs(20);

/// Values that the vandal likes.
fn nasty(random: &mut Random) -> u64 {
    let exit = control(Kind::Exit, 0, 0);
    let values = [
        0,
        1,
        u64::MAX,
        u64::MAX - 7,
        1 << 63,
        u64::from(CHUNKS),
        u64::from(CHUNKS) + 1,
        u64::from(CHUNK_MAGIC),
        u64::from(CHUNK_MAGIC) | 1 << 32,
        CHUNK_SIZE,
        u64::from(LOWEST_FUNCTION) | 1 << 63,
        control(Kind::Time, 0x7fff, u32::MAX),
        control(Kind::Lost, 0x7fff, u32::MAX),
        control(Kind::Task, 1, u32::MAX),
        exit,
        0xffff_ffff_0000_0000,
    ];
    match random.below(3) {
        0 => random.next(),
        1 => random.below(64),
        _ => values[random.below(values.len() as u64) as usize],
    }
}

/// Chunks as guests write them, with room waited for as long as somebody who is patient would.
fn honest(memory: &Memory, cpu: u32, stop: &AtomicBool) {
    let words: Vec<u64> = (0..512).map(|nth| (u64::from(LOWEST_FUNCTION) + 16 * nth) | ((nth + 1) << 32)).collect();
    let mut tsc = 1 << 20;
    while !stop.load(Ordering::Relaxed) {
        let mut waited = 0;
        while memory.produced(cpu).wrapping_sub(memory.consumed(cpu)) >= u64::from(CHUNKS) && waited < 100 {
            std::thread::yield_now();
            waited += 1;
        }
        memory.open(cpu, tsc, &words);
        memory.close(cpu);
        tsc += 1 << 20;
    }
}

/// Anything, anywhere: mostly words, sometimes counters. In turns, so that honest chunks come through, too.
fn vandal(memory: &Memory, stop: &AtomicBool) {
    let mut random = Random(1);
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..random.below(64) {
            let kind = [0, 1, 2, 2, 3, 3, 3, 3, 4][random.below(9) as usize];
            let value = nasty(&mut random);
            memory.scribble(kind, random.next() as u32, random.next(), random.below(1 << 13), value);
        }
        std::thread::sleep(Duration::from_micros(random.below(500)));
    }
}

#[test]
fn a_hostile_guest_neither_stops_nor_misleads_the_recorder() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (path, trace) = (dir.path().join("ram"), dir.path().join("trace"));
    let memory = Memory::make(&path, CHUNKS);
    let ram = RamFile::open(&path).expect("our file");
    let mut drainer = Drainer::new(ram.find().expect("a valid region"));
    let meta = Meta { format_version: 1, cpus: CPUS, ..Meta::default() };
    let mut writer = TraceWriter::create(&trace, &meta, Existing::Keep).expect("a new directory");
    let (stop, began) = (AtomicBool::new(false), Instant::now());
    let (taken, meta) = std::thread::scope(|scope| {
        let (memory, stop) = (&memory, &stop);
        for cpu in 0..CPUS {
            scope.spawn(move || honest(memory, cpu, stop));
        }
        scope.spawn(move || vandal(memory, stop));
        // However this ends, the others end, too.
        let _end = Stop(stop);
        let mut taken = 0;
        while taken < BY_HAND && began.elapsed() < PATIENCE {
            taken += look(&mut drainer, &mut writer);
            // Who looks for the region now finds it, or says what is wrong with it.
            match ram.find() {
                Ok(region) => assert!(region.header().cpus > 0),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
        let mut session = Session { ram, drainer, writer, meta, deterministic: false };
        let mut looks = 0;
        let ended = session
            .run::<TraceError>(
                |fill| {
                    assert!((0.0..=1.0).contains(&fill), "{fill}");
                    looks += 1;
                    let over = looks * u64::from(CPUS * CHUNKS) >= BY_SESSION || began.elapsed() > PATIENCE;
                    Ok(over.then(|| Ended::Died { detail: "a test".into() }))
                },
                |progress| assert!(progress.fill <= 1.0),
            )
            .expect("space for a small trace");
        (taken, session.finish(ended).expect("space for a small trace"))
    });
    assert!(taken >= BY_HAND, "only {taken} chunks in {PATIENCE:?}");
    // If nothing was wrong, the vandal has done nothing.
    assert!(meta.per_cpu.iter().any(|cpu| cpu.damaged_chunks > 0) && !meta.warnings.is_empty(), "{meta:?}");
    assert!(meta.totals.events > 1000, "{meta:?}");
    readable(&trace);
}

/// Ends the threads when it goes, after a failed assertion, too.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
