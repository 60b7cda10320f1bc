// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Tests of the permutation test: its probabilities against counting by hand, and against distributions.

use proptest::prelude::*;

use super::*;

const ANY: Smallest = Smallest { difference: 0.0, times: f64::INFINITY, more: f64::INFINITY };

fn figure(values: &[f64]) -> Figure {
    Figure { values: values.to_vec(), smallest: ANY, slack: 0.01 }
}

/// About a normal distribution: the sum of twelve even ones.
fn noise(random: &mut Random) -> f64 {
    (0..12).map(|_| random.below(1 << 53) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
}

#[test]
fn ways_are_binomial_coefficients() {
    assert_eq!([ways(4, 4), ways(10, 10), ways(1, 19), ways(19, 1), ways(5, 3)], [70, 184_756, 20, 20, 56]);
    assert_eq!(ways(500, 500), u64::MAX);
    assert_eq!(all(7, 3).len(), 35);
    assert_eq!(all(8, 4).into_iter().collect::<std::collections::HashSet<_>>().len(), 70);
    assert_eq!((enough(0.05), enough(0.01), enough(1.0)), (4, 5, 1));
}

#[test]
fn sides_that_are_apart_are_as_unlikely_as_can_be() {
    let chances = test(&[figure(&[1.0, 1.0, 1.0, 1.0, 121.0, 121.0, 121.0, 121.0])], 4, 20_000, 1);
    assert_eq!(chances, [Some(Chance { p: 2.0 / 70.0, adjusted: 2.0 / 70.0 })]);
    let chances = test(&[figure(&[1.0, 2.0, 3.0, 9.0, 8.0, 7.0, 6.0])], 3, 20_000, 1);
    assert_eq!(chances, [Some(Chance { p: 1.0 / 35.0, adjusted: 1.0 / 35.0 })]);
}

#[test]
fn what_cannot_matter_is_not_tested() {
    let smallest = Smallest { difference: 10.0, times: 2.0, more: 5.0 };
    let of = |values: &[f64]| Figure { values: values.to_vec(), smallest, slack: 0.01 };
    let chances = test(&[of(&[1.0; 8]), of(&[50.0, 51.0, 52.0, 53.0, 56.0, 57.0, 58.0, 59.0])], 4, 20_000, 1);
    assert_eq!(chances, [None, None]);
    // Six more, and more than twice as many.
    let chances = test(&[of(&[1.0, 1.0, 1.0, 1.0, 7.0, 7.0, 7.0, 7.0])], 4, 20_000, 1);
    assert_eq!(chances[0].unwrap().adjusted, 2.0 / 70.0);
}

#[test]
fn one_clear_change_among_thousands_is_found_with_four_boots_on_each_side() {
    let mut random = Random(7);
    let mut figures: Vec<Figure> =
        (0..5_000).map(|_| figure(&(0..8).map(|_| 1_000.0 + noise(&mut random)).collect::<Vec<_>>())).collect();
    figures[1_234].values[4..].iter_mut().for_each(|value| *value += 200.0);
    let chances = test(&figures, 4, 20_000, 1);
    let changed: Vec<usize> = (0..5_000).filter(|&at| chances[at].unwrap().adjusted <= 0.05).collect();
    assert_eq!(changed, [1_234]);
}

#[test]
fn of_equal_sets_no_more_than_one_in_twenty_has_any_false_alarm() {
    // Figures that depend on each other, as those of a boot do: all share the speed of the machine.
    let mut random = Random(42);
    let (mut alarms, mut raw) = (0, 0);
    for round in 0..200 {
        let speed: Vec<f64> = (0..10).map(|_| noise(&mut random)).collect();
        let figures: Vec<Figure> = (0..200)
            .map(|_| figure(&speed.iter().map(|speed| 100.0 + speed + noise(&mut random)).collect::<Vec<_>>()))
            .collect();
        let chances = test(&figures, 5, 20_000, round);
        alarms += u32::from(chances.iter().any(|chance| chance.unwrap().adjusted <= 0.05));
        raw += u32::from(chances[0].unwrap().p <= 0.05);
    }
    // 200 tries of 5 %: 10 expected; 18 or more would be one in a hundred.
    assert!(alarms < 18, "{alarms} of 200");
    assert!(raw < 18, "{raw} of 200");
    assert!(raw > 0, "a test that never alarms tests nothing");
}

#[test]
fn random_permutations_agree_with_all_of_them() {
    let mut random = Random(3);
    let figures: Vec<Figure> = (0..20)
        .map(|at| {
            figure(
                &(0..12)
                    .map(|boot| noise(&mut random) + if boot < 6 { 0.0 } else { f64::from(at) / 8.0 })
                    .collect::<Vec<_>>(),
            )
        })
        .collect();
    let (exact, about) = (test(&figures, 6, 1_000, 1), test(&figures, 6, 900, 1));
    for (exact, about) in exact.iter().zip(&about) {
        let (exact, about) = (exact.unwrap(), about.unwrap());
        assert!((exact.p - about.p).abs() < 0.06, "{exact:?} {about:?}");
        assert!((exact.adjusted - about.adjusted).abs() < 0.06, "{exact:?} {about:?}");
    }
}

proptest! {
    #[test]
    fn the_order_of_boots_within_a_side_does_not_matter(
        values in proptest::collection::vec(proptest::collection::vec(0u8..20, 8), 1..12),
        a in 2usize..7,
    ) {
        let figures: Vec<Figure> = values.iter().map(|values| figure(&values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>())).collect();
        let turned: Vec<Figure> = figures
            .iter()
            .map(|of| {
                let (mut a, b) = (of.values[..a].to_vec(), &of.values[a..]);
                a.reverse();
                figure(&a.into_iter().chain(b.iter().rev().copied()).collect::<Vec<_>>())
            })
            .collect();
        prop_assert_eq!(test(&figures, a, 100, 1), test(&turned, a, 100, 1));
        // The other side first: the same chances.
        let swapped: Vec<Figure> =
            figures.iter().map(|of| figure(&of.values[a..].iter().chain(&of.values[..a]).copied().collect::<Vec<_>>())).collect();
        prop_assert_eq!(test(&figures, a, 100, 1), test(&swapped, 8 - a, 100, 1));
    }
}
