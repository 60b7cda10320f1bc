// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Modules in made-up executions: marks go through the whole of [`build`](super::build()), as words.

use early_ftrace_format::event::Event;
use early_ftrace_format::mark::Mark;

use super::tests::{Built, chunk, run};

/// Where one module's code is, and later another's.
const SITE: u64 = 0xffff_ffff_c010_0005;
const KERNEL: u64 = 0xffff_ffff_8100_1005;

/// What the guest writes for a module with one section of 256 bytes.
fn load(name: &str, section: u32, time: u64) -> Vec<Event> {
    let mark = |mark, value| Event::Mark { mark, value, time };
    let mut marks: Vec<Event> = (0..)
        .zip(name.as_bytes().chunks(4))
        .map(|(part, bytes)| {
            let mut padded = [0; 4];
            padded[..bytes.len()].copy_from_slice(bytes);
            mark(Mark::ModuleName(part), u32::from_le_bytes(padded))
        })
        .collect();
    marks.push(mark(Mark::SectionAddress(5), section));
    marks.push(mark(Mark::SectionSize(5), 0x100));
    marks.push(mark(Mark::ModuleLoaded, 0));
    marks
}

fn leaf(site: u64, start: u64) -> Event {
    Event::Leaf { site, start, end: start + 2 }
}

/// Module and calls of each function number.
fn calls(built: &Built) -> Vec<(u64, Option<&str>, u64)> {
    built
        .totals
        .functions()
        .enumerate()
        .map(|(index, site)| (site.address, site.module.map(|module| module.name.as_str()), built.calls(index)))
        .collect()
}

#[test]
fn an_address_is_one_modules_function_and_then_anothers() {
    let mut events = vec![leaf(KERNEL, 101), leaf(SITE, 103)];
    events.extend(load("first", 0xc010_0000, 110));
    events.extend([leaf(SITE, 120), leaf(KERNEL, 130), leaf(SITE, 140)]);
    events.extend(load("second_module", 0xc010_0000, 150));
    events.extend([leaf(SITE, 160), leaf(KERNEL, 170)]);
    events.extend(load("first", 0xc010_0000, 180));
    events.extend([leaf(SITE, 190), leaf(SITE, 200), leaf(SITE, 210)]);
    let built = run(vec![vec![chunk(0, 100, 0, 1, &events)]]);
    assert_eq!(
        calls(&built),
        [
            (KERNEL, None, 3),
            (SITE, None, 1),
            (SITE, Some("first"), 2),
            (SITE, Some("second_module"), 1),
            (SITE, Some("first"), 3),
        ]
    );
    assert_eq!((built.totals.modules.all.len(), built.totals.modules.dropped), (3, 0));
}

#[test]
fn a_call_that_is_open_when_a_module_is_loaded_keeps_its_function() {
    let mut events = vec![Event::Entry { site: KERNEL, time: 101 }];
    events.extend(load("first", 0xc010_0000, 110));
    events.push(Event::Entry { site: SITE, time: 120 });
    // Loaded by its init function, elsewhere.
    events.extend(load("second", 0xc020_0000, 130));
    events.extend([Event::Exit { time: 140 }, leaf(SITE + 0x10_0000, 150), Event::Exit { time: 160 }]);
    let built = run(vec![vec![chunk(0, 100, 0, 1, &events)]]);
    let found = [(KERNEL, None, 1), (SITE, Some("first"), 1), (SITE + 0x10_0000, Some("second"), 1)];
    assert_eq!(calls(&built), found);
    assert_eq!((built.of(SITE).total, built.totals.orphans), (20, 0));
}

#[test]
fn another_cpu_calls_into_a_module_within_a_stretch_that_began_before_the_load() {
    let mut loader = vec![leaf(KERNEL, 120)];
    loader.extend(load("late", 0xc010_0000, 130));
    let streams = vec![
        // Its stretch begins first and is handled as a whole before the load.
        vec![chunk(0, 100, 0, 2, &[leaf(KERNEL, 101), leaf(SITE, 140)])],
        vec![chunk(0, 110, 0, 1, &loader)],
    ];
    let built = run(streams);
    assert_eq!(calls(&built), [(KERNEL, None, 2), (SITE, Some("late"), 1)]);
}

#[test]
fn a_description_with_a_loss_in_it_is_dropped() {
    let marks = load("broken", 0xc010_0000, 110);
    let (begin, end) = marks.split_at(2);
    let mut events = begin.to_vec();
    events.push(Event::Lost { count: 7 });
    events.extend(end);
    events.push(leaf(SITE, 120));
    let built = run(vec![vec![chunk(0, 100, 0, 1, &events)]]);
    assert_eq!(calls(&built), [(SITE, None, 1)]);
    assert!(built.totals.modules.all.is_empty() && built.totals.modules.dropped > 0);
}
