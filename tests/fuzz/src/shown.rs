// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What goes to a terminal. In: printed text. Demanded: no control character but line feeds and our
//! own colours. A guest, a trace from elsewhere or a vmlinux must not steer the reader's terminal.

use symbolizer::report::{Report, json, text};

/// A report in all its forms: JSON that can be read, text that is fit for a terminal.
pub fn report(report: &Report<'_>) {
    let mut out = Vec::new();
    json::write(report, None, &mut out).expect("memory takes all");
    serde_json::from_slice::<serde_json::Value>(&out).expect("JSON");
    out.clear();
    let options = text::Options { width: 80, top: 5, sort: None, lines: true, by: None };
    text::write(report, options, &mut out).expect("memory takes all");
    check(&out);
}

/// Looks at a whole output.
pub fn check(text: &[u8]) {
    let text = std::str::from_utf8(text).expect("reports are UTF-8");
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        if char == '\u{1b}' {
            let ended = rest.next() == Some('[') && rest.find(|c| !c.is_ascii_digit() && *c != ';') == Some('m');
            assert!(ended, "an escape sequence that is no colour in {text:?}");
        } else {
            assert!(char == '\n' || !char.is_control(), "{char:?} in {text:?}");
        }
    }
}
