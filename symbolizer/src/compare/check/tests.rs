// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What is good, broken and unclear, on boots made by hand.

use super::*;
use crate::compare::boot::{Function, Initcall, Level, Sums, Totals};
use crate::compare::budget::parse::parse;
use crate::compare::{check_json, check_junit, check_text};

const MS: u64 = 1_000_000;

/// A boot whose level fs takes so long, with one initcall and two functions.
fn boot(fs_ms: u64, deterministic: bool) -> Boot {
    let level = |name: &str, time| Level { name: name.to_owned(), time, busy: time, ..Level::default() };
    let mut boot = Boot { version: 1, ns: true, ..Boot::default() };
    boot.meta.deterministic = deterministic;
    boot.totals = Totals { span: (fs_ms + 70) * MS, busy: (fs_ms + 70) * MS, ..Totals::default() };
    boot.levels = vec![level("fs", fs_ms * MS), level("device", 70 * MS)];
    boot.initcalls = vec![Initcall { name: "init_ext4".to_owned(), time: fs_ms * MS, runs: 1, ..Initcall::default() }];
    boot.functions =
        ["ext4_a", "ext4_b [ext4]"].map(|name| Function { name: name.to_owned(), ..Function::default() }).to_vec();
    boot.sums =
        Sums { function: vec![0, 1], level: vec![10, 10], calls: vec![30, 40], own: vec![5, 6], total: vec![5, 11] };
    boot
}

fn boots(times: &[u64]) -> Vec<Boot> {
    times.iter().map(|&time| boot(time, false)).collect()
}

/// The verdict of the first budget, and its remark.
fn judged(budget: &str, baseline: &[Boot], boots: &[Boot]) -> (Verdict, String) {
    let budgets = parse(budget).unwrap();
    let found = check(boots, baseline, Some(&budgets), None).unwrap().findings.remove(0);
    (found.verdict, found.remark)
}

#[test]
fn absolute_budgets_are_of_the_mean() {
    let all = boots(&[28, 30, 32]);
    for (budget, verdict) in [
        ("level fs < 30ms", Verdict::Broken),
        ("level fs <= 30ms", Verdict::Good),
        ("level fs < 30.1ms", Verdict::Good),
        ("boot time < 99ms", Verdict::Broken),
        ("function ext4_* calls < 71", Verdict::Good),
        ("function ext4_* calls < 70", Verdict::Broken),
        ("function ext4_b calls < 41", Verdict::Good),
        ("function ext4_b self < 6ns", Verdict::Broken),
        ("initcall init_* < 30ms", Verdict::Broken),
    ] {
        assert_eq!(judged(budget, &[], &all).0, verdict, "{budget}");
    }
    assert_eq!(
        judged("initcall init_ext5 < 1ms", &[], &all),
        (Verdict::Good, "no initcall of these boots is called init_ext5 (did you mean init_ext4?)".to_owned())
    );
}

#[test]
fn relative_budgets_are_broken_by_what_is_no_chance() {
    let (before, after) = (boots(&[100, 101, 102, 103, 104]), boots(&[110, 111, 112, 113, 114]));
    assert_eq!(judged("level fs < +2%", &before, &after).0, Verdict::Broken);
    assert_eq!(judged("level fs < +20ms", &before, &after).0, Verdict::Good);
    assert_eq!(judged("level fs < -5%", &after, &before).0, Verdict::Good);
    let noisy = boots(&[95, 112, 99, 108, 106]);
    let (verdict, remark) = judged("level fs < +1%", &before, &noisy);
    assert!(verdict == Verdict::Good && remark.contains("noise"), "{remark}");
    let (verdict, remark) = judged("level fs < +2%", &before[..1], &after[..1]);
    assert!(verdict == Verdict::Unclear && remark.contains("1 boot against 1"), "{remark}");
    // Within the limit nothing needs to be told from chance.
    assert_eq!(judged("level fs < +20%", &before[..1], &after[..1]).0, Verdict::Good);
}

#[test]
fn of_deterministic_boots_any_difference_is_real() {
    let (before, after) = ([boot(100, true)], [boot(103, true)]);
    assert_eq!(judged("level fs < +2%", &before, &after).0, Verdict::Broken);
    assert_eq!(judged("level fs instructions < +4%", &before, &after).0, Verdict::Good);
    let (verdict, remark) = judged("level fs instructions < 1G", &[], &boots(&[1]));
    assert!(verdict == Verdict::Unclear && remark.contains("--deterministic"), "{remark}");
}

#[test]
fn a_limit_below_the_baseline_is_what_boots_are_held_against() {
    let before = boots(&[100, 101, 102, 103, 104]);
    for budget in ["level fs < -10%", "level fs < -10ms"] {
        assert_eq!(judged(budget, &before, &boots(&[97, 98, 99, 100, 101])).0, Verdict::Broken, "{budget}");
        assert_eq!(judged(budget, &before, &boots(&[87, 88, 89, 90, 91])).0, Verdict::Good, "{budget}");
        let (verdict, remark) = judged(budget, &before, &boots(&[88, 94, 91, 96, 93]));
        assert!(verdict == Verdict::Good && remark.contains("noise"), "{budget}: {remark}");
    }
}

#[test]
fn nothing_is_no_more_than_nothing() {
    let (before, after) = (boots(&[100, 101]), boots(&[100, 101]));
    assert_eq!(judged("boot lost < +10%", &before, &after), (Verdict::Good, String::new()));
    let missing = "no function of these boots is called xfs_*";
    for budget in ["each function xfs_* calls < 10", "each function xfs_* calls < +10%"] {
        assert_eq!(judged(budget, &before, &after), (Verdict::Good, missing.to_owned()), "{budget}");
    }
}

#[test]
fn of_many_budgets_what_cannot_be_told_is_unclear_and_all_are_corrected() {
    let set = |from: u64| boots(&(from..from + 12).collect::<Vec<_>>());
    let (before, after) = (set(100), set(150));
    let judged = |budgets: usize| {
        let text = "level fs < +2%\n".to_owned() + &"level device < +2%\n".repeat(budgets - 1);
        check(&after, &before, Some(&parse(&text).unwrap()), None).unwrap().findings
    };
    assert_eq!(judged(1_000)[0].verdict, Verdict::Broken);
    assert_eq!(judged(1_001)[0].verdict, Verdict::Unclear);
    let some = judged(3);
    assert!(some[0].p.unwrap() < 0.001 && some[1].verdict == Verdict::Good && some[1].p == Some(1.0), "{some:?}");
}

#[test]
fn deterministic_boots_that_waited_are_held_against_chance() {
    let (before, mut after) = ([boot(100, true)], [boot(103, true)]);
    after[0].totals.lost = 1;
    let (verdict, remark) = judged("level fs < +2%", &before, &after);
    assert!(verdict == Verdict::Unclear && remark.contains("1 boot against 1"), "{remark}");
}

#[test]
fn new_and_gone_functions_are_counted() {
    let (before, mut after) = (boots(&[1]), boots(&[1]));
    after[0].functions.push(Function { name: "shiny".to_owned(), ..Function::default() });
    assert_eq!(judged("new functions < 1", &before, &after), (Verdict::Broken, "shiny".to_owned()));
    assert_eq!(judged("gone functions < 1", &before, &after).0, Verdict::Good);
    assert_eq!(judged("gone functions < 1", &after, &before).0, Verdict::Broken);
}

#[test]
fn a_boot_that_died_is_no_good_boot() {
    let mut all = boots(&[1, 1]);
    all[1].totals.ended = "died".to_owned();
    assert_eq!(judged("boot time < 1s", &[], &all).0, Verdict::Broken);
}

#[test]
fn what_cannot_be_checked_is_an_error() {
    let relative = parse("level fs < 3ms\nlevel fs < +2%").unwrap();
    let error = check(&boots(&[1]), &[], Some(&relative), None).unwrap_err();
    assert!(error.to_string().starts_with("line 2: `level fs time < +2%` is relative"), "{error}");
    assert!(check(&[], &[], Some(&relative), None).is_err());
    assert!(check(&boots(&[1]), &[], None, None).is_err());
}

#[test]
fn all_forms_say_the_same_and_hold_what_they_are_told() {
    let budgets = parse("level fs < 3ms\nlevel device < 1s\ninitcall \"<a&b>\" < 3ms\n").unwrap();
    let mut all = boots(&[30]);
    all[0].name = "a\u{1b}\"b\u{1}".to_owned();
    let check = check(&all, &[], Some(&budgets), None).unwrap();
    let mut text = Vec::new();
    check_text::write(&check, 100, &mut text).unwrap();
    let text = anstream::adapter::strip_str(std::str::from_utf8(&text).unwrap()).to_string();
    assert!(
        text.starts_with("regression: 1 of 3 budgets is broken\n  level fs time: 30.0 ms; the budget is < 3 ms\n"),
        "{text}"
    );
    let mut xml = Vec::new();
    check_junit::write(&check, &mut xml).unwrap();
    let xml = String::from_utf8(xml).unwrap();
    assert!(xml.contains("tests=\"3\" failures=\"1\" errors=\"0\""), "{xml}");
    assert!(xml.contains("&lt;a&amp;b&gt;") && !xml.contains('\u{1b}') && !xml.contains('\u{1}'), "{xml}");
    let mut json = Vec::new();
    check_json::write(&check, &mut json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&json["verdict"], json["findings"].as_array().unwrap().len()), (&"broken".into(), 3));
    let lines = check_junit::annotations(&check, Some("a,b:c.budget"));
    assert!(
        lines[0].starts_with("::error file=a%2Cb%3Ac.budget,line=1,title=symbolize check%3A level fs time::level fs"),
        "{lines:?}"
    );
}
