// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Capturing from outside: a fake guest writes by the real layout, late, wrongly or with malice; the
//! trace must hold what it wrote and say what it did not.

use super::fake_guest::FakeGuest;
use super::synthetic::{Boot, Random};
use early_ftrace_format::shared::{CHUNK_WORDS, ChunkHeader, Header};
use early_ftrace_format::word::{EndReason, Kind, Word, control};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use symbolizer::capture::CaptureError;
use symbolizer::capture::drain::Drainer;
use symbolizer::capture::region::RamFile;
use symbolizer::capture::session::Session;
use symbolizer::trace_dir::{Ended, Existing, Meta, TraceDir, TraceError, TraceWriter};

const PLACE: u64 = 4 << 20;

struct Setup {
    dir: tempfile::TempDir,
    guest: FakeGuest,
}

fn setup(cpus: u32, chunks: u32) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let guest = FakeGuest::new(&dir.path().join("ram"), PLACE, cpus, chunks);
    Setup { dir, guest }
}

impl Setup {
    fn ram(&self) -> RamFile {
        RamFile::open(self.guest.path()).unwrap()
    }

    fn drainer(&self) -> Drainer {
        Drainer::new(self.ram().region_at(PLACE).unwrap().unwrap())
    }

    fn trace(&self) -> std::path::PathBuf {
        self.dir.path().join("trace")
    }

    fn writer(&self) -> TraceWriter {
        let meta = Meta { format_version: 1, cpus: self.guest.header.cpus, ..Meta::default() };
        TraceWriter::create(&self.trace(), &meta, Existing::Replace).unwrap()
    }

    fn session(&self) -> Session {
        let meta = Meta { format_version: 1, cpus: self.guest.header.cpus, ..Meta::default() };
        Session { ram: self.ram(), drainer: self.drainer(), writer: self.writer(), meta, deterministic: false }
    }
}

/// All words of a CPU; its file must be whole.
fn words(trace: &Path, cpu: usize) -> Vec<u64> {
    let trace = TraceDir::open(trace).unwrap();
    let cpu = &trace.cpus()[cpu];
    assert_eq!(cpu.gaps(), []);
    (0..cpu.blocks().len()).flat_map(|index| cpu.read(index).unwrap().words).collect()
}

fn is_end(word: u64, reason: EndReason) -> bool {
    matches!(Word::classify(word), Word::Control(Kind::End, end) if end.arg() == reason as u16)
}

#[test]
fn every_word_of_two_cpus_comes_through_rings_that_fill_up() {
    let setup = setup(2, 2);
    let guest = &setup.guest;
    guest.set_tsc_khz(2_100_000);
    let session = setup.session();
    let (running, written) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|cpu| {
                scope.spawn(move || {
                    let mut boot = Boot::new(u64::from(cpu));
                    let mut all = Vec::new();
                    for number in 0..60 {
                        let (header, words) = boot.chunk();
                        guest.open(cpu, &header, &words);
                        if number < 59 {
                            guest.close(cpu);
                        }
                        all.extend(words);
                    }
                    all
                })
            })
            .collect();
        let mut session = session;
        let ended = session
            .run::<TraceError>(
                |_| Ok(writers.iter().all(|writer| writer.is_finished()).then_some(Ended::PowerOff)),
                |_| {},
            )
            .unwrap();
        assert!(guest.attached());
        let meta = session.finish(ended).unwrap();
        (meta, writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>())
    });
    assert!(!guest.attached());
    assert_eq!(running.tsc_khz, Some(2_100_000));
    assert_eq!(running.first_tsc, 77);
    assert_eq!(running.warnings, Vec::<String>::new());
    for (cpu, written) in written.iter().enumerate() {
        let mut back = words(&setup.trace(), cpu);
        assert!(is_end(back.pop().unwrap(), EndReason::PowerOff));
        assert!(back == *written, "CPU {cpu}");
        assert_eq!(guest.consumed(cpu as u32), 59);
        assert!(guest.is_zero(cpu as u32, 58), "a chunk is zero when the guest gets it back");
    }
}

#[test]
fn a_late_word_is_waited_for() {
    let setup = setup(1, 4);
    let (mut drainer, mut writer) = (setup.drainer(), setup.writer());
    let word = control(Kind::Exit, 0, 9);
    setup.guest.open(0, &ChunkHeader::default(), &[word, 7 << 32, word]);
    setup.guest.open(0, &ChunkHeader::default(), &[word; CHUNK_WORDS]);
    setup.guest.put(0, 0, 1, 7 << 32);
    setup.guest.close(0);
    assert_eq!(drainer.pass(&mut writer).unwrap().chunks, 0);
    assert_eq!(setup.guest.consumed(0), 0);
    setup.guest.put(0, 0, 1, word);
    assert_eq!(drainer.pass(&mut writer).unwrap().chunks, 1);
    writer.flush().unwrap();
    assert_eq!(words(&setup.trace(), 0), [word; CHUNK_WORDS]);
}

#[test]
fn a_word_that_never_comes_is_kept_as_it_is_and_counted() {
    let setup = setup(1, 4);
    let mut session = setup.session();
    let mut all = vec![control(Kind::Exit, 0, 9); CHUNK_WORDS];
    all[5] = 7 << 32;
    setup.guest.open(0, &ChunkHeader::default(), &all);
    setup.guest.close(0);
    while session.drainer.pass(&mut session.writer).unwrap().chunks == 0 {
        std::thread::yield_now();
    }
    let meta = session.finish(Ended::PowerOff).unwrap();
    assert_eq!(meta.per_cpu[0].unwritten, 1);
    all.push(*words(&setup.trace(), 0).last().unwrap());
    assert_eq!(words(&setup.trace(), 0), all);
    // The chunk was taken and no other was open: the end is a run of its own.
    let trace = TraceDir::open(&setup.trace()).unwrap();
    let runs = trace.cpus()[0].read(0).unwrap().runs;
    assert_eq!(runs.iter().map(|run| run.seq).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn the_open_chunk_of_a_dead_guest_is_taken_up_to_its_last_word() {
    let setup = setup(2, 2);
    let session = setup.session();
    let header = ChunkHeader { tsc: 0x5_0000_0000, ..ChunkHeader::default() };
    let exit = control(Kind::Exit, 0, 100);
    setup.guest.open(1, &header, &[exit, 0, exit, 0, 0]);
    let meta = session.finish(Ended::Died { detail: "a test".into() }).unwrap();
    assert!(matches!(meta.ended, Some(Ended::Died { .. })));
    let back = words(&setup.trace(), 1);
    assert_eq!(back[..3], [exit, 0, exit]);
    assert!(back.len() == 4 && is_end(back[3], EndReason::Died));
    assert_eq!(back[3] >> 32, 100, "the end has the time of the last event");
    assert_eq!(words(&setup.trace(), 0), [0u64; 0], "a CPU that never ran has no end");
}

#[test]
fn a_header_that_promises_too_much_is_refused() {
    let setup = setup(1, 2);
    let good = setup.guest.header;
    type Change = fn(&mut Header);
    let changes: [(&str, Change); 10] = [
        ("size", |h| h.header_size = 8),
        ("CPUs", |h| h.cpus = 0),
        ("CPUs", |h| h.cpus = u32::MAX),
        ("rings", |h| h.cpus = 512),
        ("chunks", |h| h.chunks_per_cpu = 0),
        ("chunks", |h| h.chunks_per_cpu = u32::MAX),
        ("beyond", |h| h.chunks_per_cpu = 1 << 20),
        ("chunk", |h| h.chunk_size = 4096),
        ("rings", |h| h.rings_off = 0),
        ("rings", |h| h.rings_off = u64::MAX - 7),
    ];
    for (word, change) in changes {
        let mut header = good;
        change(&mut header);
        setup.guest.put_header(&header);
        match setup.ram().region_at(PLACE) {
            Err(error @ CaptureError::BadHeader { .. }) => assert!(error.to_string().contains(word), "{error}"),
            other => panic!("{word}: {:?}", other.map(|region| region.is_some())),
        }
    }
    setup.guest.put_header(&Header { version: 99, ..good });
    assert!(matches!(setup.ram().region_at(PLACE), Err(CaptureError::OtherVersion { found: 99, .. })));
    setup.guest.put_header(&Header { magic: 1, ..good });
    assert!(setup.ram().region_at(PLACE).unwrap().is_none());
    for place in [0, PLACE + (2 << 20), u64::MAX] {
        assert!(setup.ram().region_at(place).unwrap().is_none());
    }
}

#[test]
fn the_region_is_found_where_it_lies_and_its_absence_is_said() {
    let setup = setup(1, 2);
    let region = setup.ram().find().unwrap();
    assert_eq!(region.header().region_phys, setup.guest.header.region_phys);
    assert_eq!(setup.ram().tsc_khz(&region), None, "not calibrated yet");
    setup.guest.put_header(&Header { magic: 0, ..setup.guest.header });
    let error = setup.ram().find().err().unwrap().to_string();
    assert!(error.contains("no traced kernel"), "{error}");
}

#[test]
fn counters_that_jump_are_survived_and_reported() {
    let setup = setup(1, 4);
    let mut session = setup.session();
    let exit = [control(Kind::Exit, 0, 9); CHUNK_WORDS];
    let mut random = Random(5);
    let jumps = [u64::MAX, 1 << 40, 0, 5, 4, 3, u64::MAX - 1].into_iter().chain((0..50).map(|_| random.next()));
    for produced in jumps {
        setup.guest.set_produced(0, produced);
        assert!(session.drainer.pass(&mut session.writer).unwrap().chunks <= 4);
        assert_eq!(setup.guest.consumed(0), produced);
    }
    // An honest chunk afterwards comes through.
    setup.guest.set_produced(0, 8);
    session.drainer.pass(&mut session.writer).unwrap();
    setup.guest.open(0, &ChunkHeader::default(), &exit);
    setup.guest.close(0);
    assert_eq!(session.drainer.pass(&mut session.writer).unwrap().chunks, 1);
    let meta = session.finish(Ended::PowerOff).unwrap();
    assert!(!meta.warnings.is_empty() && meta.warnings.len() <= 20);
    assert!(meta.per_cpu[0].damaged_chunks > 0);
    assert_eq!(words(&setup.trace(), 0)[..CHUNK_WORDS], exit);
}

#[test]
fn a_guest_that_scribbles_while_it_is_drained_does_no_harm() {
    let setup = setup(1, 2);
    let (mut drainer, mut writer) = (setup.drainer(), setup.writer());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(11);
            while !done.load(Ordering::Relaxed) {
                setup.guest.put(0, random.below(2), random.below(CHUNK_WORDS as u64) as usize, random.next());
                setup.guest.set_produced(0, random.below(6));
            }
        });
        for _ in 0..300 {
            drainer.pass(&mut writer).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    drainer.finish(&mut writer, EndReason::Stopped).unwrap();
    writer.flush().unwrap();
    words(&setup.trace(), 0);
}

#[test]
fn the_next_recorder_goes_on_where_the_last_one_stopped() {
    let setup = setup(1, 4);
    let chunk = |time| [control(Kind::Exit, 0, time); CHUNK_WORDS];
    let (mut drainer, mut writer) = (setup.drainer(), setup.writer());
    for time in 1..3 {
        setup.guest.open(0, &ChunkHeader::default(), &chunk(time));
        setup.guest.close(0);
    }
    assert_eq!(drainer.pass(&mut writer).unwrap().chunks, 2);
    std::mem::forget((drainer, writer));
    setup.guest.open(0, &ChunkHeader::default(), &chunk(3));
    setup.guest.close(0);
    let session = setup.session();
    session.finish(Ended::Stopped { detail: "by a test".into() }).unwrap();
    let back = words(&setup.trace(), 0);
    assert_eq!(back[..CHUNK_WORDS], chunk(3));
    assert!(is_end(back[CHUNK_WORDS], EndReason::Stopped));
}
