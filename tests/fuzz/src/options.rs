// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The kernel's command line. In: a line. Demanded: an end; places inside the text, in order; parts that
//! are read back as they print; a sum that says the same as its parts.

use bootlevel::{Item, Options, Part, items, selects, texts};

/// Reads the line in all ways.
pub fn run(data: &[u8]) {
    let text = texts(data).map(|(_, value)| value).collect::<Vec<_>>().join(&b',');
    for (at, value) in texts(data) {
        assert_eq!(text.get(at..at + value.len()), Some(value));
    }
    let (mut parts, mut end) = (Vec::new(), 0);
    for (item, span) in items(data) {
        let (at, len) = (usize::from(span.at), usize::from(span.len));
        assert!(at >= end && at + len <= text.len(), "{span:?}");
        // Past 16 bits all are at the last place.
        assert!(len > 0 || span.at == u16::MAX, "{span:?}");
        end = at + len;
        match item {
            Item::Part(part) => parts.push(part),
            Item::Problem(problem) => assert!(!problem.description().is_empty()),
        }
    }
    let options = Options::read(data);
    assert_eq!(options.on.is_some(), !parts.is_empty());
    assert!(options.present || parts.is_empty());
    assert_eq!(options.globs, parts.iter().any(|part| matches!(part, Part::Func(_) | Part::Notrace(_))));

    let printed: Vec<String> = parts.iter().map(Part::to_string).collect();
    let printed = format!("hypergraph={}", printed.join(","));
    assert!(items(printed.as_bytes()).map(|(item, _)| item).eq(parts.into_iter().map(Item::Part)), "{printed}");
    assert_eq!(Options { present: options.present, ..Options::read(printed.as_bytes()) }, options, "{printed}");
    for name in [&b"vfs_read"[..], b"", b"ext4_init_fs", &text] {
        assert_eq!(selects(data, name), selects(printed.as_bytes(), name), "{printed}");
    }
}
