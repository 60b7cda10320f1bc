// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Real KVM, in the test bed: hypercalls of a small virtual machine as our recorder sees them, put together, forged ones
//! told apart, threads that move between CPUs. In: known hypercalls. Out: assertions. Never here: a kernel in the guest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use xtask::steps::Steps;
use xtask::testbed::{self, Testbed};

use crate::boots::boot_lock;

/// Where the program of `tests/guest/hypercalls.rs` has its loop at CPL 0 and 3: the instruction, not the loop's begin.
pub const KERNEL: std::ops::Range<u64> = 0x1_0000..0x1_1000;
const USER: std::ops::Range<u64> = 0x2_0000..0x2_1000;

/// SVM's exit by a hypercall.
pub const HYPERCALL: u64 = 0x81;

/// The test bed takes some seconds, on a machine that has time.
const LIMIT: Duration = Duration::from_secs(600);

/// A line of the recorder.
pub struct Exit {
    pub time: u64,
    pub length: u64,
    pub vcpu: u64,
    pub cpus: (u64, u64),
    pub reason: u64,
    pub rip: u64,
    pub call: Option<[u64; 5]>,
}

/// Its lines.
pub struct Found {
    pub exits: Vec<Exit>,
    pub away: usize,
    /// vCPU and offset.
    pub offsets: Vec<(u64, u64)>,
    /// The counts.
    pub summary: Value,
}

fn number(text: &str) -> u64 {
    let digits = text.strip_prefix("0x");
    digits.map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16)).expect("a number")
}

/// Reads them.
pub fn read(lines: &[u8]) -> Found {
    let text = std::str::from_utf8(lines).expect("text");
    let (mut exits, mut away, mut offsets) = (Vec::new(), 0, Vec::new());
    let mut summary = Value::Null;
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["exit", time, length, vcpu, _thread, from, to, _isa, reason, rip, ref call @ ..] => {
                let call: Vec<u64> = call.iter().map(|word| number(word)).collect();
                let call = <[u64; 5]>::try_from(call).ok();
                let [time, length, vcpu, reason, rip] = [time, length, vcpu, reason, rip].map(number);
                exits.push(Exit { time, length, vcpu, cpus: (number(from), number(to)), reason, rip, call });
            }
            ["away", ..] => away += 1,
            ["offset", _, vcpu, next] => offsets.push((number(vcpu), number(next))),
            _ => summary = serde_json::from_str(line).expect("the counts"),
        }
    }
    Found { exits, away, offsets, summary }
}

impl Found {
    /// One of the counts.
    pub fn count(&self, name: &str) -> u64 {
        self.summary[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.summary))
    }

    /// A vCPU's hypercalls from a range of addresses, in order.
    pub fn calls(&self, vcpu: u64, range: &std::ops::Range<u64>) -> Vec<[u64; 5]> {
        let of_it = self.exits.iter().filter(|exit| exit.vcpu == vcpu && range.contains(&exit.rip));
        of_it.filter_map(|exit| exit.call).collect()
    }

    /// What holds of each recording, of so many vCPUs.
    fn check(&self, vcpus: u64) {
        assert_eq!(self.summary["success"], true, "{}", self.summary);
        assert_eq!([self.count("lost"), self.count("strange"), self.count("backwards")], [0; 3], "{}", self.summary);
        assert_eq!(self.count("out") as usize, self.exits.len() + self.away + self.offsets.len());
        // The first entry and the last exit of each.
        assert!(self.count("unpaired") <= 2 * vcpus, "{}", self.summary);
        for exit in self.exits.iter().filter(|exit| exit.call.is_some()) {
            assert_eq!(exit.reason, HYPERCALL);
            assert!(exit.length > 0, "each hypercall has its entry");
        }
        // Three events to a record.
        let calls = self.exits.iter().filter(|exit| exit.call.is_some()).count() as u64;
        assert!(self.count("raw") >= 3 * calls && self.count("out") < self.count("raw") / 2, "{}", self.summary);
    }
}

/// Our recorder as a program for L1.
pub fn recorder() -> PathBuf {
    testbed::recorder("dev").unwrap_or_else(|error| panic!("{error:#}"))
}

/// Runs `script` beside a recorder, the small machine and its hypercalls.
pub fn run(bed: &Testbed, script: &str, calls: &[[u64; 5]]) -> testbed::Output {
    let work = tempfile::tempdir().expect("a directory");
    let (program, list) = (work.path().join("hypercalls"), work.path().join("calls"));
    testbed::hypercalls(&program).expect("it is built");
    std::fs::write(&list, testbed::calls(calls.iter().copied())).expect("it is written");
    let recorder = recorder();
    let files: [(&str, &Path); 3] = [("hypercalls", &program), ("calls", &list), ("host_record", &recorder)];
    let _one_at_a_time = boot_lock();
    bed.run(script, &files, LIMIT).unwrap_or_else(|error| panic!("{error:#}"))
}

pub(crate) fn calls(count: u64) -> Vec<[u64; 5]> {
    (0..count).map(|i| [1000 + i % 8, i, i.wrapping_mul(0x9e37_79b9_7f4a_7c15), !i, i << 32 | 7]).collect()
}

#[test]
fn hypercalls_are_recorded_in_order_and_forged_ones_are_told_apart() {
    let mut expected = calls(1000);
    // The guest puts its time stamp counter there.
    for call in expected.iter_mut().step_by(10) {
        call[1] = u64::MAX;
    }
    let bed = Testbed::new(&Steps::default()).unwrap_or_else(|error| panic!("{error:#}"));
    let script = "./host_record /out/perf ./hypercalls calls --cpus 2 --forge 10
                  ./host_record --bpf /out/bpf sh -c './hypercalls calls --cpus 2 --forge 10; true'";
    let output = run(&bed, script, &expected);
    // Through perf's rings; put together in the kernel, and of a program that the command starts.
    for way in ["perf", "bpf"] {
        let found = read(output.file(way).expect("recorded"));
        found.check(2);
        in_order(&found, &expected);
    }
}

fn in_order(found: &Found, expected: &[[u64; 5]]) {
    let mut late = Vec::new();
    for vcpu in 0..2 {
        let (made, forged) = (found.calls(vcpu, &KERNEL), found.calls(vcpu, &USER));
        assert_eq!((made.len(), forged.len()), (expected.len(), 10), "vCPU {vcpu}");
        for (at, (made, expected)) in made.iter().chain(&forged).zip(expected.iter().chain(expected)).enumerate() {
            let without_time = |call: &[u64; 5]| [call[0], call[2], call[3], call[4]];
            assert_eq!(without_time(made), without_time(expected), "vCPU {vcpu}, hypercall {at}");
            assert!(expected[1] == u64::MAX || made[1] == expected[1], "vCPU {vcpu}, hypercall {at}");
        }
        // All of ours come from one instruction, all of the others from another.
        let mut places: Vec<u64> = found.exits.iter().filter(|exit| exit.call.is_some()).map(|exit| exit.rip).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 2, "{places:x?}");
        // The guest's counter is the host's plus the offset; the exit comes behind the reading.
        let offset = found.offsets.iter().rfind(|offset| offset.0 == vcpu).expect("an offset of each").1;
        let read = found.exits.iter().filter(|exit| exit.vcpu == vcpu).filter_map(|exit| {
            let call = exit.call.filter(|call| expected[call[3].wrapping_neg() as usize - 1][1] == u64::MAX)?;
            Some(exit.time.wrapping_add(offset).wrapping_sub(call[1]) as i64)
        });
        late.extend(read);
    }
    late.sort_unstable();
    let median = late[late.len() / 2];
    assert_eq!(late.len(), 2 * (100 + 1));
    // Some hundred microseconds under TCG; the wrong offset would be off by seconds.
    assert!(median > 0 && median < 100_000_000, "the median is {median} ticks");
}

#[test]
fn virtual_cpus_that_move_in_the_middle_of_an_exit_keep_their_hypercalls() {
    let expected = calls(3000);
    let bed = Testbed::new(&Steps::default()).unwrap_or_else(|error| panic!("{error:#}")).with_cpus(2);
    let script = "./host_record /out/perf ./hypercalls calls --cpus 2 --hop
                  ./host_record --bpf /out/bpf ./hypercalls calls --cpus 2 --hop";
    let output = run(&bed, script, &expected);
    for way in ["perf", "bpf"] {
        let found = read(output.file(way).expect("recorded"));
        found.check(2);
        let moved = found.exits.iter().filter(|exit| exit.cpus.0 != exit.cpus.1).count();
        assert!(moved > 0, "{way}: no exit ended on another CPU than it began on");
        for vcpu in 0..2 {
            assert!(found.calls(vcpu, &KERNEL) == expected, "{way}: vCPU {vcpu}: other hypercalls, or another order");
        }
    }
}
