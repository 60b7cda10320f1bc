// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Comparisons of boots made up here: what is the same, what has changed, what cannot be compared.

use proptest::prelude::*;

use super::*;
use crate::compare::boot::{Function, Initcall, Level, OnCpus, Totals, Tree};
use crate::compare::diff::{Basis, Kind};
use crate::compare::signature::{Signature, Verdict, nearer};
use crate::compare::statistics::permutation::Random;
use crate::trace_dir::Meta;

/// Levels that the boots have: device, late.
const LEVELS: [(u8, &str); 2] = [(13, "device"), (14, "late")];

/// A boot of 40 functions, called by the initcall of their level: each takes about 1 ms, give or take `noise`.
struct Plan {
    seed: u64,
    noise: f64,
    /// Function `number` is called so often, and takes so much longer in all.
    planted: Vec<(u32, u64, u64)>,
    /// The first initcall's level.
    level: &'static str,
    deterministic: bool,
}

const PLAIN: Plan = Plan { seed: 0, noise: 0.0, planted: Vec::new(), level: "device", deterministic: false };

fn boot(plan: &Plan) -> Boot {
    let mut random = Random(plan.seed.wrapping_mul(0x1234_5678_9abc_def1));
    let speed = 1.0 + plan.noise * (random.below(2_000) as f64 / 1_000.0 - 1.0);
    let mut boot = Boot {
        version: 1,
        name: format!("boot{}", plan.seed),
        meta: Meta { cpus: 1, tsc_khz: Some(1_000_000), deterministic: plan.deterministic, ..Meta::default() },
        ns: true,
        totals: Totals { ended: "power-off".to_owned(), ..Totals::default() },
        ..Boot::default()
    };
    for (at, (level, name)) in LEVELS.into_iter().enumerate() {
        let mut row = Level { name: name.to_owned(), ..Level::default() };
        let root = boot.tree.parent.len() as u32;
        boot.tree.roots.push((level, root));
        push(&mut boot.tree, root, Tree::NONE, 0, 0);
        for number in (at as u32 * 20)..(at as u32 * 20 + 20) {
            let mut own = 1_000_000.0 * speed * (1.0 + plan.noise * (random.below(2_000) as f64 / 1_000.0 - 1.0));
            let mut calls = 100;
            for &(_, times, longer) in plan.planted.iter().filter(|planted| planted.0 == number) {
                (calls, own) = (times, own + longer as f64);
            }
            let own = own as u64;
            boot.functions.push(Function {
                name: format!("f{number:02}"),
                file: "a.c".to_owned(),
                module: String::new(),
            });
            boot.sums.function.push(number);
            boot.sums.level.push(level);
            boot.sums.calls.push(calls);
            boot.sums.own.push(own);
            boot.sums.total.push(own);
            push(&mut boot.tree, root, number, calls, own);
            row.time += own;
            row.calls += calls;
            row.events += 2 * calls;
        }
        row.busy = row.time;
        boot.tree.total[root as usize] = row.time;
        boot.totals.span += row.time;
        boot.totals.busy += row.busy;
        boot.totals.calls += row.calls;
        boot.totals.events += row.events;
        boot.initcalls.push(Initcall {
            name: format!("init{at}"),
            kind: "built-in".to_owned(),
            module: format!("module{at}"),
            level: (if at == 0 { plan.level } else { name }).to_owned(),
            runs: 1,
            time: row.time,
            on_cpu: row.busy,
            calls: row.calls,
        });
        boot.levels.push(row);
    }
    boot
}

fn push(tree: &mut Tree, parent: u32, function: u32, calls: u64, own: u64) {
    tree.parent.push(parent);
    tree.function.push(function);
    tree.calls.push(calls);
    tree.own.push(own);
    tree.total.push(own);
}

/// So many boots with this noise, each another.
fn boots(count: u64, seed: u64, noise: f64, planted: &[(u32, u64, u64)]) -> Vec<Boot> {
    (0..count).map(|at| boot(&Plan { seed: seed + at, noise, planted: planted.to_vec(), ..PLAIN })).collect()
}

fn compare(a: &[Boot], b: &[Boot]) -> Diff {
    diff(a, b, &Options::default()).unwrap()
}

/// What has changed, in a word each.
fn changed(diff: &Diff) -> Vec<String> {
    let rows = diff.functions.iter().chain(&diff.initcalls).chain(&diff.levels).chain([&diff.boot]);
    rows.filter(|row| row.changed()).map(|row| format!("{:?} {}", row.kind, row.item.name)).collect()
}

#[test]
fn what_is_planted_is_found_and_nothing_else() {
    let (a, b) = (boots(5, 1, 0.01, &[]), boots(5, 101, 0.01, &[(7, 12_000, 20_000_000)]));
    let found = compare(&a, &b);
    assert_eq!(found.basis, Basis::Tested);
    assert_eq!(changed(&found), ["Function f07", "Initcall init0", "Level device", "Boot "]);
    let row = &found.functions[0];
    let (own, calls) = (row.change(Metric::Own).unwrap(), row.change(Metric::Calls).unwrap());
    assert!(own.changed && calls.changed && own.adjusted.unwrap() <= 0.05 && own.effect == 1.0);
    assert!((own.difference - 2e7).abs() < 1e6, "{own:?}");
    let (low, high) = own.interval.unwrap();
    assert!(low < own.difference && own.difference < high && low > 1.9e7, "{own:?}");
    assert_eq!(calls.difference, 11_900.0);
    let way = found.ways.iter().find(|way| way.function == Some(0)).unwrap();
    assert_eq!(way.calls, (100.0, 12_000.0));
    assert_eq!(found.ways[way.parent].level, Some(bootlevel::Phase::Device));
}

#[test]
fn few_boots_say_nothing_of_chance() {
    let found = compare(&boots(2, 1, 0.01, &[]), &boots(2, 101, 0.01, &[(7, 12_000, 20_000_000)]));
    assert_eq!((found.basis, found.changed(), found.tests), (Basis::TooFew, false, 0));
    assert!(found.needed >= Some(5), "{:?}", found.needed);
    assert!(found.doubts[0].contains("5 on each side would do"), "{:?}", found.doubts);
    assert_eq!(found.functions[0].item.name, "f07", "the largest difference comes first");
    assert!(found.functions[0].changes[0].interval.is_some());
}

#[test]
fn deterministic_boots_need_no_others() {
    let exact = |planted: &[(u32, u64, u64)]| boot(&Plan { planted: planted.to_vec(), deterministic: true, ..PLAIN });
    let same = compare(&[exact(&[])], &[exact(&[])]);
    assert_eq!((same.basis, same.changed()), (Basis::Exact, false));
    assert_eq!(same.doubts, [""; 0]);
    // 0.25 % of the boot, and a tick more that does not matter.
    let found = compare(&[exact(&[])], &[exact(&[(3, 100, 100_000), (9, 101, 1)])]);
    assert_eq!(changed(&found), ["Function f03", "Initcall init0", "Level device", "Boot "]);
    assert_eq!(found.functions[0].changes[0].interval, Some((100_000.0, 100_000.0)));
}

#[test]
fn a_deterministic_boot_that_waited_for_its_recorder_is_none() {
    let mut boot = boot(&Plan { deterministic: true, ..PLAIN });
    boot.meta.per_cpu.push(crate::trace_dir::meta::CpuMeta { waits: 3, ..Default::default() });
    let found = compare(&[boot.clone()], &[boot]);
    assert_eq!(found.basis, Basis::TooFew);
    assert!(found.doubts.iter().any(|doubt| doubt.contains("--ring-mib")), "{:?}", found.doubts);
}

#[test]
fn an_initcall_that_begins_elsewhere_is_a_change_of_any_number_of_boots() {
    let moved = boot(&Plan { level: "late", ..PLAIN });
    let found = compare(&[boot(&PLAIN)], std::slice::from_ref(&moved));
    assert_eq!(changed(&found), ["Initcall init0"]);
    assert!(found.initcalls[0].moved() && found.changed());
    let signature = Signature::of(&found).unwrap();
    assert_eq!(signature.findings[0].metric, None);
    assert_eq!(nearer(&signature, &[boot(&PLAIN)]), Verdict::Good);
    assert_eq!(nearer(&signature, &[moved]), Verdict::Bad);
}

#[test]
fn a_new_initcall_is_a_change_and_work_beside_is_not() {
    let mut more = boot(&PLAIN);
    let new = |name: &str, kind: &str| Initcall {
        name: name.to_owned(),
        kind: kind.to_owned(),
        level: "device".to_owned(),
        ..Initcall::default()
    };
    more.initcalls.extend([new("beside", "async"), new("new", "built-in")]);
    let found = compare(&[boot(&PLAIN)], std::slice::from_ref(&more));
    assert_eq!(changed(&found), ["Initcall new"]);
    let signature = Signature::of(&found).unwrap();
    assert_eq!([nearer(&signature, &[boot(&PLAIN)]), nearer(&signature, &[more])], [Verdict::Good, Verdict::Bad]);
}

#[test]
fn an_initcall_that_only_waited_for_others_has_not_changed() {
    let exact = boot(&Plan { deterministic: true, ..PLAIN });
    let mut later = exact.clone();
    later.initcalls[0].time += 14_000_000;
    let found = compare(std::slice::from_ref(&exact), &[later.clone()]);
    assert_eq!(changed(&found), [""; 0]);
    assert!(!found.modules[0].changed());
    // Its level took longer too: it has slept.
    later.levels[0].time += 14_000_000;
    let found = compare(&[exact], &[later]);
    assert_eq!(changed(&found), ["Initcall init0", "Level device"]);
}

#[test]
fn work_that_moved_to_another_cpu_is_found() {
    let on = |cpu: u32, seed: u64| {
        let mut boot = boot(&Plan { seed, noise: 0.01, ..PLAIN });
        boot.meta.cpus = 2;
        let count = boot.functions.len() as u32;
        // A tiny function is now here and now there.
        let cpu_of = |number| if number == 5 { cpu } else { u32::from(number == 6 && seed.is_multiple_of(2)) };
        boot.sums.own[6] = 10;
        boot.cpus = OnCpus {
            cpu: (0..count).map(cpu_of).collect(),
            function: (0..count).collect(),
            calls: boot.sums.calls.clone(),
            own: boot.sums.own.clone(),
        };
        boot
    };
    let (a, b): (Vec<Boot>, Vec<Boot>) = (0..5).map(|seed| (on(0, seed), on(1, 100 + seed))).unzip();
    let found = compare(&a, &b);
    assert_eq!(changed(&found), ["Function f05"]);
    let change = found.functions[0].change(Metric::OnFirstCpu).unwrap();
    assert_eq!((change.a.mean, change.b.mean), (1e6, 0.0));
    let tiny = found.functions.iter().find(|row| row.item.name == "f06").unwrap();
    assert_eq!(tiny.change(Metric::OnFirstCpu), None);
    let signature = Signature::of(&found).unwrap();
    assert_eq!(signature.findings[0].metric, Some(Metric::OnFirstCpu));
    assert_eq!([nearer(&signature, &a[..1]), nearer(&signature, &b[..1])], [Verdict::Good, Verdict::Bad]);
}

#[test]
fn a_total_has_changed_if_something_in_it_has() {
    // `f00` calls `f07`, and takes 300 us longer for it, or for nothing in particular.
    let calling = |seed: u64, longer: u64, planted: &[(u32, u64, u64)]| {
        let mut boot = boot(&Plan { seed, noise: 0.01, planted: planted.to_vec(), ..PLAIN });
        boot.sums.total[0] += longer;
        let node = |number| boot.tree.function.iter().position(|&function| function == number).unwrap();
        let (caller, callee) = (node(0), node(7));
        boot.tree.parent[callee] = caller as u32;
        boot.tree.total[caller] += boot.tree.total[callee];
        boot
    };
    let a: Vec<Boot> = (0..5).map(|seed| calling(seed, 0, &[])).collect();
    let total = |b: &[Boot]| {
        let found = compare(&a, b);
        let row = found.functions.iter().find(|row| row.item.name == "f00").unwrap();
        let change = row.change(Metric::Total).unwrap();
        assert!(change.adjusted.unwrap() < 0.05, "{change:?}");
        change.changed
    };
    let b: Vec<Boot> = (100..105).map(|seed| calling(seed, 300_000, &[])).collect();
    assert!(!total(&b));
    let b: Vec<Boot> = (100..105).map(|seed| calling(seed, 300_000, &[(7, 100, 300_000)])).collect();
    assert!(total(&b));
}

#[test]
fn boots_made_otherwise_are_refused_unless_forced() {
    let mut other = boot(&PLAIN);
    other.meta.cpus = 2;
    other.meta.build_id = "another".to_owned();
    other.totals.ended = "died".to_owned();
    let (a, b) = ([boot(&PLAIN)], [other]);
    let Err(Refused::Settings(settings)) = diff(&a, &b, &Options::default()) else { panic!("not refused") };
    let told: Vec<&str> = settings.iter().map(|setting| setting.what).collect();
    assert_eq!(told, ["CPUs", "how it ended"]);
    let forced = diff(&a, &b, &Options { force: true, ..Options::default() }).unwrap();
    assert_eq!(forced.settings, settings);
    assert_eq!(diff(&[], &a, &Options::default()), Err(Refused::Empty('A')));
}

#[test]
fn noise_larger_than_the_effect_sought_is_said() {
    let loud = compare(&boots(5, 1, 0.2, &[]), &boots(5, 101, 0.2, &[]));
    assert!(loud.doubts[0].contains("would not be seen"), "{:?}", loud.doubts);
    assert!(loud.needed > Some(5), "{:?}", loud.needed);
    let quiet = compare(&boots(5, 1, 0.0001, &[]), &boots(5, 101, 0.0001, &[]));
    assert_eq!((quiet.doubts.len(), quiet.needed), (0, None), "{:?}", quiet.doubts);
}

#[test]
fn the_first_of_two_regressions_decides_which_side_a_boot_is_on() {
    let small = (30, 100, 5_000_000);
    let (good, bad) = (boots(5, 1, 0.01, &[]), boots(5, 101, 0.01, &[(7, 100, 20_000_000), small]));
    let signature = Signature::of(&compare(&good, &bad)).unwrap();
    assert_eq!(signature.headline().map(|row| row.item.name.as_str()), Some("f07"));
    let found: Vec<&str> = signature.findings.iter().map(|finding| finding.row.item.name.as_str()).collect();
    assert!(found.contains(&"f30"), "{found:?}");
    assert_eq!(nearer(&signature, &boots(2, 201, 0.01, &[small])), Verdict::Good);
    assert_eq!(nearer(&signature, &boots(2, 201, 0.01, &[(7, 100, 20_000_000)])), Verdict::Bad);
    assert!(matches!(nearer(&signature, &boots(1, 201, 0.01, &[(7, 100, 10_000_000)])), Verdict::Unclear { .. }));
    assert!(matches!(nearer(&signature, &[]), Verdict::Unclear { .. }));
    assert_eq!(Signature::of(&compare(&good, &good)), None);
}

#[test]
fn a_slower_machine_is_not_passed_over_in_silence() {
    let wide = |seed: u64, times: u64| {
        let mut boot = boot(&Plan { seed, noise: 0.001, ..PLAIN });
        for number in 40..100 {
            boot.functions.push(Function { name: format!("g{number}"), ..Function::default() });
            boot.sums.function.push(number);
            boot.sums.level.push(13);
            boot.sums.calls.push(100);
            boot.sums.own.push(1_000_000);
            boot.sums.total.push(1_000_000);
        }
        boot.sums.own.iter_mut().for_each(|own| *own = *own * times / 10);
        boot
    };
    let (a, b): (Vec<Boot>, Vec<Boot>) = (0..5).map(|seed| (wide(seed, 10), wide(100 + seed, 12))).unzip();
    let found = compare(&a, &b);
    assert!(found.doubts.iter().any(|doubt| doubt.contains("the machine was slower")), "{:?}", found.doubts);
}

#[test]
fn ten_against_ten_of_one_kernel_raise_no_alarm_in_twenty_comparisons() {
    let alarms = (0..20)
        .filter(|round| {
            let of = |seed| boots(10, seed, 0.1, &[]);
            let options = Options { permutations: 1_000, ..Options::default() };
            diff(&of(round * 1_000), &of(round * 1_000 + 500), &options).unwrap().changed()
        })
        .count();
    // One is expected of a test at the 5 % level; four or more would be one in sixty.
    assert!(alarms < 4, "{alarms} of 20");
}

/// The same change, seen from the other side.
fn turned(row: &Row) -> Vec<(Metric, f64, f64, Option<f64>, bool)> {
    row.changes
        .iter()
        .map(|change| (change.metric, -change.difference, -change.effect, change.adjusted, change.changed))
        .collect()
}

fn seen(row: &Row) -> Vec<(Metric, f64, f64, Option<f64>, bool)> {
    row.changes
        .iter()
        .map(|change| (change.metric, change.difference, change.effect, change.adjusted, change.changed))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_set_against_itself_has_not_changed(seed in 0u64..1_000, count in 1u64..6, noise in 0.0f64..0.5, exact in any::<bool>()) {
        let mut set = boots(count, seed, noise, &[]);
        set.iter_mut().for_each(|boot| boot.meta.deterministic = exact);
        let found = compare(&set, &set);
        prop_assert_eq!(changed(&found), [""; 0]);
        prop_assert_eq!(found.boot.change(Metric::Time).unwrap().difference, 0.0);
    }

    #[test]
    fn the_order_of_boots_does_not_matter_and_the_other_side_sees_the_opposite(
        seed in 0u64..1_000, noise in 0.0f64..0.1, function in 0u32..40, longer in 0u64..20_000_000,
    ) {
        let (a, b) = (boots(4, seed, noise, &[]), boots(5, seed + 100, noise, &[(function, 300, longer)]));
        let found = compare(&a, &b);
        let (mut a_turned, mut b_turned) = (a.clone(), b.clone());
        a_turned.reverse();
        b_turned.rotate_left(2);
        let again = compare(&a_turned, &b_turned);
        let back = compare(&b, &a);
        let near = |one: f64, other: f64| (one - other).abs() <= 1e-6 * (1.0 + one.abs());
        for (row, other) in found.functions.iter().zip(&again.functions) {
            prop_assert_eq!(&row.item, &other.item);
            for (one, other) in row.changes.iter().zip(&other.changes) {
                prop_assert!(near(one.difference, other.difference) && one.adjusted == other.adjusted);
            }
        }
        prop_assert_eq!(changed(&found), changed(&again));
        for row in &found.functions {
            let other = back.functions.iter().find(|other| other.item == row.item).unwrap();
            for (one, other) in seen(row).into_iter().zip(turned(other)) {
                prop_assert!(near(one.1, other.1) && (one.0, one.2, one.3, one.4) == (other.0, other.2, other.3, other.4));
            }
        }
        prop_assert!(found.functions.iter().all(|row| row.kind == Kind::Function));
    }
}
