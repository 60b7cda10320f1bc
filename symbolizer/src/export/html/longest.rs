// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A bounded number of things, the longest ones. In: things with their lengths, as they come. Out: those
//! that are at least as long as a threshold that rises whenever there are too many. Never here: what they are.
//!
//! If a part is never longer than its whole, a whole is kept with each part that is kept: so what is kept of
//! nested calls is closed under callers.

/// Keeps the longest.
#[derive(Debug)]
pub struct Longest<T> {
    kept: Vec<(u64, T)>,
    budget: usize,
    least: u64,
    left_out: u64,
}

impl<T> Longest<T> {
    /// At most `budget` in the end, and twice as many meanwhile.
    pub fn new(budget: usize) -> Longest<T> {
        Longest { kept: Vec::new(), budget: budget.max(1), least: 0, left_out: 0 }
    }

    /// One more, of this length.
    #[inline]
    pub fn push(&mut self, length: u64, thing: T) {
        if length < self.least {
            self.left_out += 1;
            return;
        }
        self.kept.push((length, thing));
        if self.kept.len() >= 2 * self.budget {
            self.prune();
        }
    }

    /// All that are as short as the first one too many go, so that equal ones share their fate.
    #[cold]
    fn prune(&mut self) {
        let over = self.kept.len().saturating_sub(self.budget);
        let Some(last) = over.checked_sub(1) else { return };
        let mut lengths: Vec<u64> = self.kept.iter().map(|kept| kept.0).collect();
        let (_, &mut length, _) = lengths.select_nth_unstable(last);
        self.least = length.saturating_add(1);
        let (before, least) = (self.kept.len(), self.least);
        self.kept.retain(|kept| kept.0 >= least);
        self.left_out += (before - self.kept.len()) as u64;
    }

    /// What was kept, in the order in which it came; the length from which on all are kept; and how many
    /// are not.
    pub fn finish(mut self) -> (Vec<T>, u64, u64) {
        self.prune();
        (self.kept.into_iter().map(|kept| kept.1).collect(), self.least, self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_stay_in_order() {
        let mut longest = Longest::new(4);
        for length in [5, 1, 9, 2, 8, 3, 7, 4, 6, 10] {
            longest.push(length, length);
        }
        assert_eq!(longest.finish(), (vec![9, 8, 7, 10], 7, 6));
    }

    #[test]
    fn few_all_stay() {
        let mut longest = Longest::new(4);
        longest.push(0, 'a');
        longest.push(3, 'b');
        assert_eq!(longest.finish(), (vec!['a', 'b'], 0, 0));
    }

    #[test]
    fn nested_calls_keep_their_callers() {
        // Callees come before their callers, as calls do when they end.
        let mut longest = Longest::new(50);
        for number in 0..1000u64 {
            let inner = (number * 7919) % 1000;
            longest.push(inner, (number, 1));
            longest.push(inner + number % 2, (number, 0));
        }
        let (kept, _, left_out) = longest.finish();
        assert!(kept.len() <= 50 && kept.len() as u64 + left_out == 2000);
        let has = |call| kept.contains(&call);
        assert!(kept.iter().all(|&(number, depth)| depth == 0 || has((number, 0))));
    }
}
