// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Event words. In: eight bytes for the time at which the chunk was opened, then words. Demanded: each
//! word gives at most one event, and an event that can be written again comes back the same.

use early_ftrace_format::decode::Decoder;
use early_ftrace_format::encode::Encoder;
use early_ftrace_format::event::Event;
use early_ftrace_format::word::Word;

/// Decodes, and encodes what was decoded.
pub fn run(data: &[u8]) {
    let (eights, _) = data.as_chunks::<8>();
    let Some((tsc, words)) = eights.split_first() else { return };
    let mut decoder = Decoder::new(u64::from_le_bytes(*tsc));
    for word in words.iter().map(|eight| u64::from_le_bytes(*eight)) {
        let base = decoder.base();
        let Some(event) = decoder.push(word) else { continue };
        assert!(!matches!(Word::classify(word), Word::Unwritten), "{word:#x} was never written");
        let mut again = Vec::new();
        // An error is right for what a guest can write and no honest one would: a leaf that begins
        // before time 0, a control word out of its bounds.
        if Encoder::resume(base).push(event, |word| again.push(word)).is_err() {
            assert!(again.is_empty(), "{event:?}: an error after {} words", again.len());
            continue;
        }
        let mut second = Decoder::new(0);
        // The encoder went on from this base: tell the decoder by the full time stamp that sets it.
        let mut back = Vec::new();
        if base == early_ftrace_format::decode::TimeBase::at(base.anchor) {
            second.open_chunk(base.anchor);
            back.extend(again.iter().filter_map(|&word| second.push(word)));
            let parted = match event {
                Event::Leaf { site, start, end } => vec![Event::Entry { site, time: start }, Event::Exit { time: end }],
                other => vec![other],
            };
            assert!(back == [event] || back == parted, "{event:?} came back as {back:?}");
        }
    }
}
