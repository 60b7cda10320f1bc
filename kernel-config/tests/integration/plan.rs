// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What the guest makes of a command line, on a real CPU: which sites stay, what is marked.

use crate::harness::{Machine, run};
use early_ftrace_format::event::Event;
use early_ftrace_format::mark::{Mark, Measured};
use early_ftrace_format::shared::{POLICY_DROP, POLICY_WAIT, State};

const RET: u8 = 0xc3;
const NOP: [u8; 5] = [0x0f, 0x1f, 0x44, 0, 0];

/// One function that is in the kernel's table, run twice under a command line; its first bytes after that.
fn boot(machine: &mut Machine, line: &str) -> [u8; 5] {
    machine.command_line(line);
    let leaf = machine.traced(&[RET]);
    machine.list(leaf, 0);
    run(leaf, 0, 0);
    run(leaf, 0, 0);
    // SAFETY: made-up code, readable.
    unsafe { (leaf as *const [u8; 5]).read_volatile() }
}

fn calls(machine: &Machine) -> u64 {
    machine.events().0.iter().map(Event::weight).sum::<u64>() / 2
}

#[test]
fn without_options_all_is_recorded_and_the_first_mark_says_so() {
    let mut machine = Machine::new(4, POLICY_DROP, 0);
    assert_eq!(boot(&mut machine, "quiet ro")[0], 0xe8);
    assert_eq!(calls(&machine), 2);
    let (events, holes) = machine.all_events();
    assert_eq!(holes, 0);
    let marks: Vec<_> = events
        .iter()
        .filter_map(|event| match *event {
            Event::Mark { mark, value, .. } => Some((mark, value)),
            _ => None,
        })
        .collect();
    let (first, measured) = marks.split_at(2);
    assert_eq!(first, [(Mark::Option(0), 0), (Mark::Phase(bootlevel::Phase::Start as u8), 0)]);
    check_calibration(measured);
    assert_ne!(machine.header().phase_began[bootlevel::Phase::Start as usize], 0);
    assert_eq!(machine.header().state, State::On as u32);
}

/// What the guest has measured of itself: a batch costs more with the trampolines than without, and its
/// parts fit into the whole.
fn check_calibration(marks: &[(Mark, u32)]) {
    let numbers: Vec<_> = marks.iter().map(|&(mark, _)| mark).collect();
    assert_eq!(numbers, Measured::ALL.map(|what| Mark::Calibration(what as u8)));
    let at = |what: Measured| marks.iter().find(|mark| mark.0 == Mark::Calibration(what as u8));
    let of = |what: Measured| at(what).map(|mark| mark.1).expect("all are there");
    let none = of(Measured::Empty);
    assert!(of(Measured::Leaves) > of(Measured::PlainLeaves), "{marks:?}");
    assert!(of(Measured::Pairs) > of(Measured::PlainPairs), "{marks:?}");
    assert!(of(Measured::Pairs) > of(Measured::Leaves), "{marks:?}");
    assert!(none < of(Measured::Leaves) && of(Measured::LeavesInside) < of(Measured::Leaves), "{marks:?}");
    let parts = of(Measured::PairsBefore) + of(Measured::PairsInside) + of(Measured::PairsAfter);
    assert!(parts < of(Measured::Pairs), "{marks:?}");
    assert!(of(Measured::Took) > of(Measured::Pairs), "{marks:?}");
}

/// With a stack of three frames there is no room for a call in a call: the measured calls have a stack of
/// their own.
#[test]
fn what_is_measured_does_not_depend_on_the_depth_asked_for() {
    let mut machine = Machine::new(4, POLICY_DROP, 0);
    machine.command_line("hypergraph=depth:1");
    let leaf = machine.traced(&[RET]);
    run(leaf, 0, 0);
    let marks: Vec<_> = machine
        .all_events()
        .0
        .iter()
        .filter_map(|event| match *event {
            Event::Mark { mark: mark @ Mark::Calibration(_), value, .. } => Some((mark, value)),
            _ => None,
        })
        .collect();
    check_calibration(&marks);
    assert_eq!(machine.depth(), 0);
}

#[test]
fn off_makes_nops_and_records_nothing() {
    let mut machine = Machine::new(4, POLICY_DROP, 0);
    assert_eq!(boot(&mut machine, "hypergraph=off"), NOP);
    assert_eq!(machine.all_events().0, []);
    assert_eq!(machine.header().state, State::Off as u32);
    assert_eq!(machine.control().lost, 0);
    assert_eq!(machine.depth(), 0);
}

#[test]
fn outside_the_phases_asked_for_sites_are_nops() {
    {
        let mut machine = Machine::new(4, POLICY_DROP, 0);
        assert_eq!(boot(&mut machine, "hypergraph=filter:fs"), NOP);
        assert_eq!(calls(&machine), 0);
        assert_eq!(machine.control().lost, 0);
    }
    let mut machine = Machine::new(4, POLICY_DROP, 0);
    assert_eq!(boot(&mut machine, "hypergraph=filter:start-fs")[0], 0xe8);
    assert_eq!(calls(&machine), 2);
}

#[test]
fn what_is_not_understood_is_told_and_the_rest_holds() {
    let mut machine = Machine::new(4, POLICY_WAIT, 0);
    boot(&mut machine, "hypergraph=fliter:fs,overflow:drop,depth:0 ro");
    assert_eq!(calls(&machine), 2);
    assert_eq!(machine.header().policy, POLICY_DROP);
    let mut text = Vec::new();
    let mut problems = Vec::new();
    for event in machine.all_events().0 {
        match event {
            Event::Mark { mark: Mark::Option(part), value, .. } => {
                assert_eq!(usize::from(part) * 4, text.len());
                text.extend(value.to_le_bytes());
            }
            Event::Mark { mark: Mark::Problem(code), value, .. } => problems.push((code, value & 0xffff, value >> 16)),
            _ => {}
        }
    }
    let text = String::from_utf8(text).expect("ASCII");
    assert_eq!(text.trim_end_matches('\0'), "fliter:fs,overflow:drop,depth:0");
    use bootlevel::Problem;
    assert_eq!(problems, [(Problem::UnknownPart as u8, 0, 6), (Problem::BadDepth as u8, 30, 1)]);
}
