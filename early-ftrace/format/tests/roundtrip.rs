// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Every sequence of events comes back exactly, values at and past each field's limit included; and
//! the bits of each word stand where FORMAT.md draws them.

use early_ftrace_format::decode::Decoder;
use early_ftrace_format::encode::{EncodeError, Encoder, entry_word, leaf_word, switch_words, time_word};
use early_ftrace_format::event::Event;
use early_ftrace_format::mark::Mark;
use early_ftrace_format::word::{
    CONTROL_MARK, ControlWord, EXIT_LOW, EndReason, EntryWord, KERNEL_HIGH, Kind, LEAF_DURATION_MAX, LEAF_REACH,
    LOWEST_FUNCTION, LeafWord, SwitchWord, Word, control,
};
use proptest::prelude::*;

fn site() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(KERNEL_HIGH | u64::from(LOWEST_FUNCTION)),
        Just(u64::MAX),
        (LOWEST_FUNCTION..=u32::MAX).prop_map(|low| KERNEL_HIGH | u64::from(low)),
    ]
}

/// Times near every boundary that the format has, and anywhere.
fn time() -> impl Strategy<Value = u64> {
    let near = prop_oneof![
        Just(1u64 << 15),
        Just(1 << 16),
        Just(1 << 17),
        Just(1 << 31),
        Just(1 << 32),
        Just(1 << 33),
        Just(1 << 63),
        Just(u64::MAX - 70_000)
    ];
    prop_oneof![(near, 0u64..140_000).prop_map(|(n, d)| n.saturating_add(d).saturating_sub(70_000)), any::<u64>()]
}

/// Time steps, so that sequences look like real ones too.
fn step() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0u64..2_000,
        2 => LEAF_DURATION_MAX - 2..LEAF_REACH + 3,
        1 => (1u64 << 30)..(1 << 34),
    ]
}

fn value() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..300, 32_765u32..32_770, any::<u32>()]
}

fn event_at(now: u64) -> impl Strategy<Value = Event> {
    let small = prop_oneof![4 => 0u64..3_000, 1 => LEAF_DURATION_MAX - 2..LEAF_DURATION_MAX + 3, 1 => 0u64..1 << 33];
    prop_oneof![
        4 => site().prop_map(move |site| Event::Entry { site, time: now }),
        4 => Just(Event::Exit { time: now }),
        4 => (site(), small).prop_map(move |(site, d)| Event::Leaf { site, start: now.saturating_sub(d), end: now }),
        2 => (value(), prop_oneof![-2i32..260, any::<i32>()], value())
            .prop_map(move |(state, prio, pid)| Event::Switch { state, prio, pid, time: now }),
        1 => any::<u32>().prop_map(|count| Event::Lost { count }),
        1 => (any::<u32>(), any::<[u8; 16]>()).prop_map(|(pid, name)| Event::Named { pid, name }),
        1 => any::<u32>().prop_map(|pid| Event::Ended { pid }),
        1 => any::<u32>().prop_map(|pid| Event::Running { pid }),
        1 => Just(Event::End { reason: EndReason::Stopped, time: now }),
        1 => (0u16..0x8000, any::<u32>())
            .prop_map(move |(code, value)| Event::Mark { mark: Mark::from_code(code), value, time: now }),
        1 => (13u64..256, any::<u32>())
            .prop_map(|(kind, data)| Event::Other { word: kind | u64::from(CONTROL_MARK) << 24 | u64::from(data) << 32 }),
    ]
}

/// Real-looking sequences (steps forward) and wild ones (any time, also backwards).
fn events() -> impl Strategy<Value = (u64, Vec<Event>)> {
    let forward = (time(), proptest::collection::vec(step(), 0..200)).prop_flat_map(|(start, steps)| {
        let mut now = start;
        let list: Vec<_> = steps
            .into_iter()
            .map(|s| {
                now = now.saturating_add(s);
                event_at(now)
            })
            .collect();
        (Just(start), list)
    });
    let wild = (time(), proptest::collection::vec(time().prop_flat_map(event_at), 0..100));
    prop_oneof![forward, wild]
}

/// A leaf that did not fit comes back as its entry and its exit: both forms to the longer one.
fn long_form(events: &[Event]) -> Vec<Event> {
    let mut out = Vec::new();
    for &event in events {
        match event {
            Event::Leaf { site, start, end } => {
                out.push(Event::Entry { site, time: start });
                out.push(Event::Exit { time: end });
            }
            other => out.push(other),
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_sequence_comes_back((start, events) in events()) {
        let mut encoder = Encoder::new(start);
        let mut words = Vec::new();
        for &event in &events {
            encoder.push(event, |word| words.push(word)).unwrap();
        }
        prop_assert!(words.iter().all(|&word| word as u32 != 0), "a written word with a low half of zero");
        let mut decoder = Decoder::new(start);
        let back: Vec<Event> = words.iter().filter_map(|&word| decoder.push(word)).collect();
        prop_assert_eq!(long_form(&back), long_form(&events));
        prop_assert_eq!(decoder.base(), encoder.base());
    }

    #[test]
    fn shifts_and_setters_build_the_same_words(site in any::<u32>(), time in any::<u32>(), end in any::<u16>(), arg in 0u16..0x8000) {
        let short = end & 0x7fff;
        let entry = EntryWord::new().with_site(site).with_time(time & 0x7fff_ffff);
        prop_assert_eq!(entry_word(site, time), entry.into_bits());
        let leaf = LeafWord::new().with_site(site).with_duration(short).with_end(end).with_leaf(true);
        prop_assert_eq!(leaf_word(site, short, end), leaf.into_bits());
        let exit = ControlWord::new().with_kind(1).with_arg(arg).with_mark(CONTROL_MARK).with_data(time);
        prop_assert_eq!(control(Kind::Exit, arg, time), exit.into_bits());
        let (state, prio) = (end as u8 & 0x7f, arg as u8 & 0x7f);
        let switch = SwitchWord::new().with_pid(short & 0x3fff).with_state(state).with_prio(prio + 1).with_time(time);
        let mut words = vec![];
        switch_words(state.into(), prio.into(), (short & 0x3fff).into(), time, &mut |word| words.push(word));
        prop_assert_eq!(words, vec![switch.into_bits()]);
    }

    #[test]
    fn any_words_decode_without_panic(start in any::<u64>(), words in proptest::collection::vec(any::<u64>(), 0..500)) {
        let mut decoder = Decoder::new(start);
        for word in words {
            decoder.push(word);
        }
    }

    #[test]
    fn what_has_no_word_is_refused(low in 0u32..LOWEST_FUNCTION, other in any::<u64>()) {
        let mut encoder = Encoder::new(0);
        let site = KERNEL_HIGH | u64::from(low);
        prop_assert_eq!(encoder.push(Event::Entry { site, time: 1 }, |_| ()), Err(EncodeError::Site(site)));
        let user = other & 0x0000_7fff_ffff_ffff;
        prop_assert_eq!(encoder.push(Event::Entry { site: user, time: 1 }, |_| ()), Err(EncodeError::Site(user)));
        let function = u64::from(LOWEST_FUNCTION | low) | other << 32;
        prop_assert_eq!(encoder.push(Event::Other { word: function }, |_| ()), Err(EncodeError::NotOther(function)));
    }
}

#[test]
fn a_leaf_is_one_word_up_to_its_limits() {
    let site = KERNEL_HIGH | 0x8123_4565;
    let words = |start, end| {
        let mut n = 0;
        Encoder::new(1_000).push(Event::Leaf { site, start, end }, |_| n += 1).unwrap();
        n
    };
    assert_eq!(words(1_000, 1_000 + LEAF_DURATION_MAX), 1);
    assert_eq!(words(1_000, 1_000 + LEAF_DURATION_MAX + 1), 2);
    assert_eq!(words(66_000, 1_000 + LEAF_REACH - 1), 1);
    assert_eq!(words(66_000, 1_000 + LEAF_REACH), 2);
    // The anchor is ahead of the leaf (an interrupt came between): no wrong guess, two words.
    assert_eq!(words(990, 999), 2);
}

/// Each field in its place: the diagrams of FORMAT.md, bit by bit.
#[test]
fn bits_stand_where_the_diagrams_say() {
    assert_eq!(entry_word(0x8100_1005, 0x7fff_fffe), 0x7fff_fffe_8100_1005);
    assert_eq!(leaf_word(0x8100_1005, 0x7fff, 0), 1 << 63 | 0x7fff << 32 | 0x8100_1005);
    assert_eq!(leaf_word(0x8100_1005, 0, 0xffff), 1 << 63 | 0xffff << 47 | 0x8100_1005);
    assert_eq!(time_word(0xdead_beef_fffe_0001), 0xdead_beef << 32 | 0x80 << 24 | 0x7fff << 8 | 2);
    assert_eq!(EXIT_LOW, 0x8000_0001);
    let mut words = vec![];
    let switch = Event::Switch { state: 2, prio: 120, pid: 5, time: 7 };
    Encoder::new(0).push(switch, |w| words.push(w)).unwrap();
    assert_eq!(words, [7 << 32 | 121 << 23 | 2 << 15 | 5]);
}

#[test]
fn words_are_told_apart() {
    assert!(Word::classify(0xffff_ffff_0000_0000) == Word::Unwritten);
    assert!(matches!(Word::classify(1), Word::Switch(_)));
    assert!(matches!(Word::classify(0x8000_00ff), Word::Unknown(_)));
    assert!(matches!(Word::classify(u64::from(CONTROL_MARK) << 24 | 1), Word::Control(Kind::Exit, _)));
    assert!(matches!(Word::classify(0x80ff_ffff), Word::Unknown(_)));
    assert!(matches!(Word::classify(0x8100_0000), Word::Entry(_)));
    assert!(matches!(Word::classify(1 << 63 | 0x8100_0000), Word::Leaf(_)));
}
