// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Many figures of two sets of boots, tested at once. In: values. Out: probabilities. Never here: what figures mean.
//!
//! Were nothing changed, it would not matter which boots are called A and which B. So the names are exchanged in all
//! ways there are (or in many of them, chosen by a fixed seed), and what such a permutation shows is chance. No
//! distribution is assumed, and figures may depend on each other, since whole boots are exchanged.
//!
//! Thousands of figures are tested, of which one in twenty would look changed by chance. To multiply each probability
//! by their number (Bonferroni) leaves nothing to be found: four boots against four can be exchanged in 70 ways, so no
//! probability is below 2/70, and times 5,000 that is 1. Instead each figure is compared with the largest that any of
//! them shows under the same permutation (Westfall and Young, "Resampling-based multiple testing", 1993: step-down
//! maxT): what is larger than the largest by chance is a change. The probability of any false alarm among all figures
//! is then at most the level, and a clear change among 5,000 is found with four boots against four.
//!
//! What is compared is the difference of means in units of its own standard error, as Student's t, with a constant
//! added to the error (Tusher, Tibshirani and Chu, 2001): else figures that happen to vary little would show the
//! largest by chance, and one that is 1 in all boots of A and 121 in all of B would be infinite. A difference too small
//! to matter counts as none, in permutations too, so that small figures do not hide large ones.

use std::num::NonZero;
use std::thread;

/// How large a difference must be to matter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smallest {
    /// It is at least this large,
    pub difference: f64,
    /// or one mean is this many times the other,
    pub times: f64,
    /// and the difference at least this large.
    pub more: f64,
}

impl Smallest {
    /// Whether means differ so much.
    #[inline]
    pub fn reached(&self, a: f64, b: f64) -> bool {
        let difference = (b - a).abs();
        difference >= self.difference || (difference >= self.more && a.max(b) >= self.times * a.min(b))
    }
}

/// A figure.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Its values: first those of A, then those of B.
    pub values: Vec<f64>,
    /// What matters.
    pub smallest: Smallest,
    /// Added to the standard error; more than 0.
    pub slack: f64,
}

/// Probabilities of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chance {
    /// Of such a difference in this figure by chance.
    pub p: f64,
    /// Of one as clear in any of the figures by chance.
    pub adjusted: f64,
}

/// In how many ways boots can be exchanged: `a` of `a + b`; saturates.
pub fn ways(a: usize, b: usize) -> u64 {
    let mut ways: u128 = 1;
    for step in 1..=a.min(b) as u128 {
        // Each such product is divisible: it is a binomial coefficient times `step`.
        ways = ways.saturating_mul(a.max(b) as u128 + step) / step;
        if ways > u128::from(u64::MAX) {
            return u64::MAX;
        }
    }
    ways as u64
}

/// The smallest probability that sets of these sizes can show: with sides of equal size, to exchange all is to exchange
/// none.
pub fn least_p(a: usize, b: usize) -> f64 {
    (if a == b { 2.0 } else { 1.0 }) / ways(a, b) as f64
}

/// How many boots on each side are enough to show a probability of at most `level`.
pub fn enough(level: f64) -> usize {
    (1..30).find(|&size| least_p(size, size) <= level).unwrap_or(30)
}

/// Tests all figures, of `a` boots before those of B; none for those that no permutation could show to matter. At most
/// `most` permutations, of all kinds if there are no more, else chosen by `seed`. Values must be finite.
pub fn test(figures: &[Figure], a: usize, most: u64, seed: u64) -> Vec<Option<Chance>> {
    let boots = figures.first().map_or(0, |figure| figure.values.len());
    let mut chances = vec![None; figures.len()];
    if a == 0 || boots <= a || boots < 3 {
        return chances;
    }
    let family = Family::of(figures, a, boots);
    let labelings = if ways(a, boots - a) <= most { all(boots, a) } else { some(boots, a, most.max(1), seed) };
    let counts = family.count(&labelings);
    let total = labelings.len() as f64;
    let mut worst: f64 = 0.0;
    for (place, &number) in family.order.iter().enumerate() {
        // What is less clear cannot be less likely by chance; and what is as clear is as likely.
        worst = worst.max(f64::from(counts[place].1) / total);
        chances[number] = Some(Chance { p: f64::from(counts[place].0) / total, adjusted: worst });
    }
    chances
}

/// Equal but for rounding.
const ROUNDING: f64 = 1.0 - 1e-9;

/// The figures that could matter, the clearest first, as columns.
struct Family<'f> {
    figures: &'f [Figure],
    a: usize,
    boots: usize,
    /// Numbers of the figures.
    order: Vec<usize>,
    /// Of each boot: values less their mean over all boots.
    columns: Vec<Vec<f64>>,
    /// Of each figure: its mean over all boots.
    means: Vec<f64>,
    /// Of each figure: the sum of squares of what is in `columns`.
    squares: Vec<f64>,
    /// Of each figure: what matters, and its slack.
    limits: Vec<(Smallest, f64)>,
    /// Of each figure as it is: how clear the difference is; the second is 0 for those that do not matter.
    observed: Vec<(f64, f64)>,
}

impl<'f> Family<'f> {
    fn of(figures: &'f [Figure], a: usize, boots: usize) -> Family<'f> {
        let matters = |figure: &Figure| {
            let low = figure.values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = figure.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            low < high && figure.smallest.reached(low, high)
        };
        let order: Vec<usize> = (0..figures.len()).filter(|&number| matters(&figures[number])).collect();
        let mut family = Family {
            figures,
            a,
            boots,
            order,
            columns: Vec::new(),
            means: Vec::new(),
            squares: Vec::new(),
            limits: Vec::new(),
            observed: Vec::new(),
        };
        family.fill();
        let first: Vec<u32> = (0..a as u32).collect();
        let mut observed = vec![(0.0, 0.0); family.order.len()];
        family.clear(&first, &mut vec![0.0; family.order.len()], &mut observed);
        let mut places: Vec<usize> = (0..family.order.len()).collect();
        places.sort_by(|&one, &other| {
            let (one, other) = (observed[one], observed[other]);
            other.1.total_cmp(&one.1).then(other.0.total_cmp(&one.0))
        });
        family.order = places.iter().map(|&place| family.order[place]).collect();
        family.observed = places.iter().map(|&place| observed[place]).collect();
        family.fill();
        family
    }

    /// Columns in the order of the figures.
    fn fill(&mut self) {
        let figures: Vec<&Figure> = self.order.iter().map(|&number| &self.figures[number]).collect();
        self.limits = figures.iter().map(|figure| (figure.smallest, figure.slack)).collect();
        self.means = figures.iter().map(|figure| super::mean_and_sd(&figure.values).0).collect();
        self.columns = (0..self.boots)
            .map(|boot| figures.iter().zip(&self.means).map(|(figure, mean)| figure.values[boot] - mean).collect())
            .collect();
        self.squares =
            (0..figures.len()).map(|at| self.columns.iter().map(|column| column[at].powi(2)).sum()).collect();
    }

    /// How clear each difference is if these boots are A.
    fn clear(&self, labels: &[u32], sums: &mut [f64], clear: &mut [(f64, f64)]) {
        sums.fill(0.0);
        for &boot in labels {
            for (sum, value) in sums.iter_mut().zip(&self.columns[boot as usize]) {
                *sum += value;
            }
        }
        let (a, b) = (self.a as f64, (self.boots - self.a) as f64);
        let parts = 1.0 / a + 1.0 / b;
        let freedom = a + b - 2.0;
        for (at, clear) in clear.iter_mut().enumerate() {
            let (smallest, slack) = self.limits[at];
            let sum = sums[at];
            // All values less their mean add up to nothing: the sum of B is that of A, negative.
            let (mean_a, mean_b) = (self.means[at] + sum / a, self.means[at] - sum / b);
            let variance = (self.squares[at] - sum * sum * parts).max(0.0) / freedom;
            let t = (mean_b - mean_a).abs() / ((variance * parts).sqrt() + slack);
            *clear = (t, if smallest.reached(mean_a, mean_b) { t } else { 0.0 });
        }
    }

    /// Of each figure: how many permutations show as much in it, and as much in it or any that is less clear.
    fn count(&self, labelings: &[Vec<u32>]) -> Vec<(u32, u32)> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let share = labelings.len().div_ceil(threads).max(1);
        let mut total = vec![(0, 0); self.order.len()];
        thread::scope(|scope| {
            let workers: Vec<_> =
                labelings.chunks(share).map(|labelings| scope.spawn(move || self.count_some(labelings))).collect();
            for worker in workers {
                let counts = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                for (to, count) in total.iter_mut().zip(counts) {
                    *to = (to.0 + count.0, to.1 + count.1);
                }
            }
        });
        total
    }

    fn count_some(&self, labelings: &[Vec<u32>]) -> Vec<(u32, u32)> {
        let mut counts = vec![(0, 0); self.order.len()];
        let mut sums = vec![0.0; self.order.len()];
        let mut clear = vec![(0.0, 0.0); self.order.len()];
        for labels in labelings {
            self.clear(labels, &mut sums, &mut clear);
            let mut largest: f64 = 0.0;
            for at in (0..counts.len()).rev() {
                largest = largest.max(clear[at].1);
                let (observed, matters) = self.observed[at];
                counts[at].0 += u32::from(clear[at].0 >= observed * ROUNDING);
                counts[at].1 += u32::from(largest >= matters * ROUNDING);
            }
        }
        counts
    }
}

/// All choices of `a` of the boots.
fn all(boots: usize, a: usize) -> Vec<Vec<u32>> {
    let mut found = Vec::new();
    let mut chosen: Vec<u32> = (0..a as u32).collect();
    loop {
        found.push(chosen.clone());
        // The last that can move up does, and those behind it follow closely.
        let Some(at) = (0..a).rev().find(|&at| (chosen[at] as usize) < boots - a + at) else { return found };
        chosen[at] += 1;
        for behind in at + 1..a {
            chosen[behind] = chosen[behind - 1] + 1;
        }
    }
}

/// The boots as they are, and further choices by chance.
fn some(boots: usize, a: usize, count: u64, seed: u64) -> Vec<Vec<u32>> {
    let mut random = Random(seed);
    let mut all: Vec<u32> = (0..boots as u32).collect();
    let mut found = vec![all[..a].to_vec()];
    for _ in 1..count {
        for at in 0..a {
            let other = at + random.below((boots - at) as u64) as usize;
            all.swap(at, other);
        }
        let mut chosen = all[..a].to_vec();
        chosen.sort_unstable();
        found.push(chosen);
    }
    found
}

/// Numbers that look like chance, the same for each seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One below `end`, which is more than 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // Of 2^64 values a part of `end` / 2^64 is more likely: nothing to be seen.
        ((u128::from(self.draw()) * u128::from(end)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests;
