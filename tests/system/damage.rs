// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A recorded boot with single bytes flipped and its end cut off, at places that look random. What is
//! still delivered must be what was recorded, word for word; the rest must be said to be missing. Hundreds
//! of places are tried with the library, a few with the command. Never here: made-up traces.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use symbolizer::trace_dir::reader::BlockInfo;
use symbolizer::trace_dir::{Block, Meta, TraceDir};
use xtask::recording;

use crate::boots::{OLD, scratch, setup, shared, subject};
use crate::random::Random;

const CPU_FILE: &str = "cpu0.eft";

/// The shared boot as it was recorded: what its blocks hold.
struct Whole {
    infos: Vec<BlockInfo>,
    blocks: Vec<Block>,
    length: u64,
}

impl Whole {
    fn read() -> &'static Whole {
        static WHOLE: OnceLock<Whole> = OnceLock::new();
        WHOLE.get_or_init(|| {
            let trace = TraceDir::open(&shared().trace).expect("the recorded trace");
            let file = &trace.cpus()[0];
            assert_eq!(file.gaps(), []);
            let infos = file.blocks().to_vec();
            assert!(infos.len() > 10, "{} blocks are too few to damage one and look at others", infos.len());
            let blocks = (0..infos.len()).map(|index| file.read(index).expect("a whole block")).collect();
            let length = infos.iter().map(|info| info.size).sum();
            Whole { infos, blocks, length }
        })
    }

    /// The block that the byte at `at` belongs to.
    fn hit(&self, at: u64) -> usize {
        self.infos.partition_point(|info| info.offset <= at) - 1
    }
}

/// A copy of the shared trace, and its file of CPU 0 to be written to.
fn copy(name: &str) -> (PathBuf, File) {
    let directory = scratch(name);
    for name in ["meta.json", CPU_FILE] {
        std::fs::copy(shared().trace.join(name), directory.join(name)).expect("space for a trace");
    }
    let file = OpenOptions::new().read(true).write(true).open(directory.join(CPU_FILE)).expect("our copy");
    (directory, file)
}

/// Opens a damaged trace and looks at its blocks. All but those in `lost` must be there, as they were
/// recorded; there must be a gap if any is lost. Contents are read of those that `read` chooses: to read
/// all of them hundreds of times would take minutes, and the bytes of the others are known to be the same.
fn check(directory: &Path, lost: BTreeSet<usize>, read: impl Fn(usize) -> bool, what: &str) {
    let whole = Whole::read();
    let trace = TraceDir::open(directory).unwrap_or_else(|error| panic!("{what}: {error}"));
    let file = &trace.cpus()[0];
    let mut delivered = BTreeSet::new();
    let mut gaps = file.gaps().len();
    for (index, info) in file.blocks().iter().enumerate() {
        let number = info.number as usize;
        if lost.contains(&number) || read(number) {
            match file.read(index) {
                Ok(block) => assert!(whole.blocks.get(number) == Some(&block), "{what}: other words in block {number}"),
                Err(gap) => {
                    assert!(lost.contains(&number), "{what}: {gap:?}");
                    gaps += 1;
                    continue;
                }
            }
        }
        assert_eq!(whole.infos.get(number), Some(info), "{what}");
        assert!(delivered.insert(number), "{what}: block {number} comes twice");
    }
    let expected: BTreeSet<usize> = (0..whole.blocks.len()).filter(|number| !lost.contains(number)).collect();
    assert_eq!(delivered, expected, "{what}");
    assert!(gaps > 0 || lost.is_empty(), "{what}: nothing says that blocks are missing");
}

#[test]
fn a_flipped_byte_costs_its_block_and_nothing_else() {
    let whole = Whole::read();
    let (directory, file) = copy("damage-flips");
    let mut random = Random(1);
    for round in 0..400 {
        // Headers are few bytes of many: half of the flips are for them.
        let at = match round % 2 {
            0 => random.below(whole.length),
            _ => whole.infos[random.below(whole.infos.len() as u64) as usize].offset + random.below(80),
        };
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("inside the file");
        let damaged = [byte[0] ^ (1 + random.below(255)) as u8];
        file.write_all_at(&damaged, at).expect("inside the file");
        let hit = whole.hit(at);
        let other = random.below(whole.blocks.len() as u64) as usize;
        check(&directory, [hit].into(), |number| number == other, &format!("byte {at} is {damaged:?}"));
        file.write_all_at(&byte, at).expect("inside the file");
    }
    check(&directory, [].into(), |_| true, "all bytes as they were");
}

#[test]
fn a_file_cut_anywhere_keeps_the_blocks_before() {
    let whole = Whole::read();
    let (directory, file) = copy("damage-cuts");
    let mut random = Random(2);
    let mut lengths: Vec<u64> = (0..100).map(|_| random.below(whole.length)).collect();
    // And into headers, and at borders, where only meta.json tells that more was there.
    lengths.extend([whole.length - 1, whole.infos[7].offset + 79, whole.infos[6].offset, whole.infos[6].offset + 1]);
    lengths.extend([whole.infos[3].offset, 1, 0]);
    // Each shorter than the one before: so nothing need be put back.
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    for length in lengths {
        file.set_len(length).expect("our copy");
        let kept = whole.hit(length);
        let lost = (kept..whole.blocks.len()).collect();
        let other = random.below(kept as u64 + 1) as usize;
        check(&directory, lost, |number| number == other, &format!("cut at {length}"));
    }
}

#[test]
fn a_damaged_meta_file_is_read_or_refused() {
    let (directory, _) = copy("damage-meta");
    let path = directory.join("meta.json");
    let text = std::fs::read(&path).expect("meta.json");
    let mut random = Random(3);
    for _ in 0..300 {
        let mut damaged = text.clone();
        let at = random.below(text.len() as u64) as usize;
        damaged[at] ^= (1 + random.below(255)) as u8;
        std::fs::write(&path, damaged).expect("our copy");
        if let Err(error) = Meta::read(&directory) {
            assert!(error.to_string().contains("damage-meta"), "{error}");
        }
    }
}

/// The report as JSON, which must come.
fn report(directory: &Path) -> Value {
    let mut report = recording::report(&setup().symbolize, directory, &subject(OLD).vmlinux);
    recording::json(report.args(["--format", "json"])).expect("a damaged trace is reported")
}

fn names(report: &Value) -> BTreeSet<&str> {
    let functions = report["functions"].as_array().expect("functions");
    functions.iter().map(|function| function["name"].as_str().expect("a name")).collect()
}

/// Reports a damaged copy: it says so, and nothing is in it that was not in the boot.
fn check_report(directory: &Path, what: &str) {
    static REPORT: OnceLock<Value> = OnceLock::new();
    let whole = REPORT.get_or_init(|| report(&shared().trace));
    let damaged = report(directory);
    assert!(damaged["summary"]["gaps"].as_u64() > Some(0), "{what}: {:#}", damaged["summary"]);
    let events = |report: &Value| report["summary"]["events"].as_u64().expect("a number");
    assert!(events(&damaged) < events(whole), "{what}");
    let (all, left) = (names(whole), names(&damaged));
    let strangers: Vec<_> = left.difference(&all).collect();
    assert!(strangers.is_empty(), "{what}: functions that the boot did not call: {strangers:?}");
    assert!(!left.is_empty(), "{what}: nothing is left");
}

#[test]
fn reports_of_damaged_traces_say_so_and_invent_nothing() {
    let whole = Whole::read();
    let (directory, file) = copy("damage-reports");
    let mut random = Random(4);
    let (mut byte, mut damaged) = ([0], Vec::new());
    // In a payload, in a header, then both and much more of it.
    for at in [whole.length / 3, whole.infos[5].offset + 30] {
        file.read_exact_at(&mut byte, at).expect("inside the file");
        file.write_all_at(&[!byte[0]], at).expect("inside the file");
        damaged.push((byte, at));
        check_report(&directory, &format!("bytes {damaged:?}"));
    }
    for _ in 0..20 {
        let at = random.below(whole.length);
        file.write_all_at(&random.next().to_le_bytes(), at).expect("inside the file or just behind it");
    }
    check_report(&directory, "eight bytes in 20 places");
    file.set_len(whole.length / 2 + 7).expect("our copy");
    check_report(&directory, "eight bytes in 20 places and half of it cut off");

    // What a person reads, and what a script sees.
    let output = recording::report(&setup().symbolize, &directory, &subject(OLD).vmlinux).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("Not whole") && text.contains("cannot be read"), "{text}");
    assert!(!text.contains("is whole"), "{text}");

    // Cut where a block ends: nothing in the file itself is wrong then.
    let (directory, file) = copy("damage-border");
    file.set_len(whole.infos[4].offset).expect("our copy");
    check_report(&directory, "cut between two blocks");
}
