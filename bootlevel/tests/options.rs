// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The grammar from outside: what is printed is read back, any bytes are read, what is wrong takes nothing
//! else with it.

use bootlevel::options::{CHANNELS, DEEPEST, EVENTS, KEYS, OVERFLOWS, PHASES};
use bootlevel::{
    Channel, EventKind, Events, Item, Options, Overflow, Part, Phase, PhaseSet, Problem, Span, items, selects, texts,
};
use proptest::prelude::*;

fn line(text: &str) -> Vec<u8> {
    format!("quiet hypergraph={text} ro").into_bytes()
}

/// The values with commas between them.
fn text(line: &[u8]) -> Vec<u8> {
    texts(line).map(|(_, value)| value).collect::<Vec<_>>().join(&b',')
}

/// Each item as text: parts as they print, problems with the bytes that they are about.
fn read(line: &[u8]) -> Vec<String> {
    let text = text(line);
    items(line)
        .map(|(item, span)| {
            let bytes = &text[usize::from(span.at)..][..usize::from(span.len)];
            match item {
                Item::Part(part) => part.to_string(),
                Item::Problem(problem) => format!("{problem:?} '{}'", bytes.escape_ascii()),
            }
        })
        .collect()
}

#[test]
fn names_and_numbers_agree() {
    assert!(PHASES.split_whitespace().eq(Phase::ALL.iter().map(|phase| phase.name())));
    assert!(EVENTS.split_whitespace().eq(EventKind::ALL.iter().map(|kind| kind.name())));
    assert!(CHANNELS.split_whitespace().eq(Channel::ALL.iter().map(|channel| channel.name())));
    assert!(OVERFLOWS.split_whitespace().eq(Overflow::ALL.iter().map(|overflow| overflow.name())));
    assert_eq!(KEYS.split_whitespace().count(), 11);
    for names in [KEYS, PHASES, EVENTS, CHANNELS, OVERFLOWS] {
        assert!(names.ends_with(' ') && !names.contains("  "), "{names:?}");
    }
}

#[test]
fn elements_are_read_as_people_mean_them() {
    for (text, expected) in [
        ("on", &["on"][..]),
        ("off,on", &["off", "on"]),
        ("filter:fs", &["filter:fs"]),
        ("filter:fs,late", &["filter:fs", "filter:late"]),
        ("filter:core-fs,start-smp", &["filter:core-fs", "filter:start-smp"]),
        ("filter:fs-fs", &["filter:fs"]),
        ("events:func,sched,until:late", &["events:func", "events:sched", "until:late"]),
        ("func:a*,b?,notrace:c", &["func:a*", "func:b?", "notrace:c"]),
        ("func:on,on,vfs_*", &["func:on", "on", "NoPart 'vfs_*'"]),
        ("func:depth,20", &["func:depth", "func:20"]),
        ("depth:1,depth:127,depth:007", &["depth:1", "depth:127", "depth:7"]),
        ("channel:ivshmem,overflow:drop", &["channel:ivshmem", "overflow:drop"]),
        (",,on,,", &["on"]),
        ("", &[]),
        // Problems.
        ("fs", &["NoPart 'fs'"]),
        ("depth:3,fs", &["depth:3", "NoPart 'fs'"]),
        ("fliter:fs,late,on", &["UnknownPart 'fliter'", "on"]),
        (":fs,x", &["UnknownPart ':fs'"]),
        ("Filter:fs", &["UnknownPart 'Filter'"]),
        ("filter:,fs", &["NoValue 'filter:'", "filter:fs"]),
        ("on:1,off:", &["TakesNoValue 'on:1'", "TakesNoValue 'off:'"]),
        ("filter:flies,fs", &["UnknownPhase 'flies'", "filter:fs"]),
        ("filter:fs-lat", &["UnknownPhase 'lat'"]),
        ("filter:fs-", &["UnknownPhase 'fs-'"]),
        ("filter:-fs", &["UnknownPhase '-fs'"]),
        ("filter:core-fs-late", &["UnknownPhase 'fs-late'"]),
        ("filter:late-fs", &["RangeBackwards 'late-fs'"]),
        ("filter:firmware", &["BeforeTheKernel 'firmware'"]),
        ("until:firmware,until:fs-late", &["BeforeTheKernel 'firmware'", "UnknownPhase 'fs-late'"]),
        ("func:vfs_[rw]*", &["BadPattern 'vfs_[rw]*'"]),
        ("func:a:b", &["BadPattern 'a:b'"]),
        (
            "depth:0,depth:128,depth:+3,depth:99999999999",
            &["BadDepth '0'", "BadDepth '128'", "BadDepth '+3'", "BadDepth '99999999999'"],
        ),
        ("events:calls", &["UnknownEvent 'calls'"]),
        ("channel:", &["NoValue 'channel:'"]),
        ("channel:usb,overflow:Wait", &["UnknownChannel 'usb'", "UnknownOverflow 'Wait'"]),
    ] {
        assert_eq!(read(&line(text)), expected, "{text}");
    }
    assert_eq!(
        read(b"\"hypergraph= filter : core - fs , late ,depth: 3\""),
        ["filter:core-fs", "filter:late", "depth:3"]
    );
    // A list goes on in the next word: the text is what counts.
    assert_eq!(read(b"hypergraph=filter:fs hypergraph=late hypergraph=off"), ["filter:fs", "filter:late", "off"]);
}

#[test]
fn options_sum_up() {
    let read = |text: &str| Options::read(&line(text));
    let none = Options::read(b"quiet");
    let expected = Options {
        present: false,
        on: None,
        phases: PhaseSet::ALL,
        until: None,
        depth: None,
        events: Events::DEFAULT,
        channel: None,
        overflow: None,
        pack: None,
        globs: false,
    };
    assert_eq!(none, expected);
    assert_eq!(read(""), Options { present: true, ..none });
    assert_eq!(read("fliter:fs"), Options { present: true, ..none });
    assert_eq!(read("filter:fs,off,depth:3").on, Some(false));
    assert_eq!(read("off,on").on, Some(true));
    assert_eq!(read("depth:3,depth:5").depth, Some(5));
    assert_eq!(read("until:late,until:init").until, Some(Phase::Init));
    assert_eq!(read("channel:port,overflow:drop,channel:ram").channel, Some(Channel::Ram));
    assert_eq!(read("overflow:drop").overflow, Some(Overflow::Drop));
    assert_eq!((read("pack:2,pack:5").pack, read("channel:pmem").channel), (Some(2), Some(Channel::Pmem)));
    assert!(read("notrace:a").globs && read("func:a").globs);
    assert_eq!(read("filter:nothing").phases, PhaseSet::ALL);
    let phases = read("filter:core-postcore,late").phases;
    assert!(Phase::ALL.iter().all(|&p| phases.contains(p) == [Phase::Core, Phase::Postcore, Phase::Late].contains(&p)));
    let events = read("events:irq,func").events;
    assert_eq!(EventKind::ALL.map(|kind| events.contains(kind)), [true, false, false, true]);
    assert_eq!(EventKind::ALL.map(|kind| none.events.contains(kind)), [true, true, true, false]);
}

#[test]
fn functions_are_selected() {
    assert!(selects(b"quiet", b"do_exit"));
    assert!(selects(b"hypergraph=filter:fs", b"do_exit"));
    assert!(!selects(b"hypergraph=func:vfs_*", b"do_exit"));
    assert!(selects(b"hypergraph=func:vfs_* hypergraph=do_exit", b"do_exit"));
    assert!(!selects(b"hypergraph=notrace:do_*,func:do_exit", b"do_exit"));
    assert!(selects(b"hypergraph=notrace:[", b"do_exit"));
}

fn pattern() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_.$*?]{1,12}"
}

fn phase() -> impl Strategy<Value = Phase> {
    (1..Phase::ALL.len()).prop_map(|number| Phase::ALL[number])
}

/// A part, printed: its patterns are borrowed.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(Part::On.to_string()),
        Just(Part::Off.to_string()),
        (phase(), phase()).prop_map(|(a, b)| Part::Filter(a.min(b), a.max(b)).to_string()),
        pattern().prop_map(|text| Part::Func(text.as_bytes()).to_string()),
        pattern().prop_map(|text| Part::Notrace(text.as_bytes()).to_string()),
        (1..=DEEPEST).prop_map(|most| Part::Depth(most).to_string()),
        (0..4usize).prop_map(|number| Part::Events(EventKind::ALL[number]).to_string()),
        phase().prop_map(|phase| Part::Until(phase).to_string()),
        (0..5usize).prop_map(|number| Part::Channel(Channel::ALL[number]).to_string()),
        (0..2usize).prop_map(|number| Part::Overflow(Overflow::ALL[number]).to_string()),
    ]
}

/// Something that is wrong and no list, so it must not touch what stands beside it.
fn wrong() -> impl Strategy<Value = &'static str> {
    let all =
        ["fliter:x", "depth:0", "on:1", "channel:usb", "until:now", "overflow:", ":", "depth:1x", "events:no", "x:y:z"];
    prop_oneof![(0..all.len()).prop_map(move |number| all[number])]
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(parts in prop::collection::vec((part(), any::<bool>()), 0..12)) {
        // Some in the same word, some in one of their own.
        let mut line = String::from("ro");
        for (part, same) in &parts {
            line += if *same && line != "ro" { "," } else { " hypergraph=" };
            line += part;
        }
        let parts: Vec<String> = parts.into_iter().map(|(part, _)| part).collect();
        prop_assert_eq!(read(line.as_bytes()), parts);
    }

    #[test]
    fn a_problem_leaves_the_rest_as_it_is(
        before in prop::collection::vec(part(), 0..5),
        wrong in wrong(),
        after in prop::collection::vec(part(), 0..5),
    ) {
        let with: Vec<&str> =
            before.iter().map(String::as_str).chain([wrong]).chain(after.iter().map(String::as_str)).collect();
        let without = [&before[..], &after].concat();
        let found = read(&line(&with.join(",")));
        prop_assert_eq!(found.len(), without.len() + 1);
        prop_assert_eq!(&found[..before.len()], &before[..]);
        prop_assert_eq!(&found[before.len() + 1..], &after[..]);
        // All but whether it is there at all.
        let expected = Options { present: true, ..Options::read(&line(&without.join(","))) };
        prop_assert_eq!(Options::read(&line(&with.join(","))), expected);
    }

    #[test]
    fn spans_lie_in_the_text_in_order(
        words in prop::collection::vec("(hypergraph=)?[a-z:,*\" \\-\\x00\\xa0]{0,20}|\"hypergraph=[a-z:,\"]{0,9}\"", 0..6),
        joint in "[ \\t\"]",
    ) {
        let line = words.join(&joint);
        let text = text(line.as_bytes());
        let mut end = 0;
        for (_, Span { at, len }) in items(line.as_bytes()) {
            prop_assert!(len > 0 && at >= end && usize::from(at + len) <= text.len());
            end = at + len;
        }
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let line = [b"hypergraph=".as_slice(), &bytes].concat();
        let text = text(&line);
        for (_, Span { at, len }) in items(&line) {
            prop_assert!(usize::from(at) + usize::from(len) <= text.len());
        }
        Options::read(&line);
        selects(&line, &bytes);
    }
}

#[test]
fn long_lines_are_read_to_their_end() {
    let line = line(&("depth:3,".repeat(20_000) + "fs"));
    let (last, span) = items(&line).last().expect("a problem");
    assert_eq!((last, span), (Item::Problem(Problem::NoPart), Span { at: 0xffff, len: 0 }));
    assert_eq!(items(&line).count(), 20_001);
}
