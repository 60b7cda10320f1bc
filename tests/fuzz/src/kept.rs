// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The file of a kept boot. In: the file, or the JSON in it. Demanded: what is read can be written and read again;
//! whatever it says, it can be compared, checked and drawn, and no text of that steers a terminal.

use std::path::Path;

use symbolizer::compare::boot::Boot;
use symbolizer::compare::budget::parse;
use symbolizer::compare::trend::{self, Trend};
use symbolizer::compare::{
    check, check_json, check_junit, check_text, explain, judge, kept, trend_json, trend_svg, trend_text,
};

use super::shown;

/// Budgets of all kinds.
const BUDGETS: &str = "boot time < 1ms\nboot instructions < +2%\neach level * busy < +1us\nlevel fs calls < 7\n\
    initcall * < -3%\nmodule ext4 calls < 1\neach function * calls < +2\nfunction a* self < 1ns\nnew functions < 1\n\
    gone initcalls <= 0\nboot lost <= 0\n";

/// Reads it as a file, and as what a file has inside.
pub fn run(data: &[u8]) {
    let path = Path::new("fuzzed");
    let packed = zstd::encode_all(data, 1).expect("memory can be compressed");
    for boot in [kept::read_from(data, path), kept::read_from(&packed[..], path)].into_iter().flatten() {
        let mut written = Vec::new();
        kept::write(&boot, &mut written).expect("memory takes it");
        let again = kept::read_from(&written[..], path).expect("what we write can be read");
        assert!(again == boot, "what is read again differs");
        try_all(&boot);
    }
}

fn try_all(boot: &Boot) {
    let other = Boot { sums: Default::default(), ..boot.clone() };
    let boots = [boot.clone(), other, boot.clone()];
    let trend = Trend::of(&boots, trend::Options::default());
    let mut text = Vec::new();
    trend_text::write(&trend, trend_text::Options { width: 80, top: 9 }, &mut text).expect("memory takes it");
    shown::check(&text);
    let mut svg = Vec::new();
    trend_svg::write(&trend, &mut svg).expect("memory takes it");
    plain(&svg);
    trend_json::write(&trend, &mut Vec::new()).expect("memory takes it");

    let diff = judge::diff(&boots[..1], &boots[1..], &judge::Options { force: true, ..Default::default() });
    let diff = diff.expect("boots on both sides, by force");
    let budgets = parse::parse(BUDGETS).expect("budgets");
    for budgets in [None, Some(&budgets[..])] {
        let mut check = check::check(&boots[1..], &boots[..1], budgets, Some(&diff)).expect("boots");
        check.headline = explain::headline(&diff);
        let mut text = Vec::new();
        check_text::write(&check, 80, &mut text).expect("memory takes it");
        shown::check(&text);
        let mut xml = Vec::new();
        check_junit::write(&check, &mut xml).expect("memory takes it");
        plain(&xml);
        for line in check_junit::annotations(&check, Some("boot.budget")) {
            plain(line.as_bytes());
            assert!(!line.contains('\n'), "{line:?}");
        }
        check_json::write(&check, &mut Vec::new()).expect("memory takes it");
    }
}

/// Without colours too.
fn plain(text: &[u8]) {
    assert!(!text.contains(&0x1b));
    shown::check(text);
}
