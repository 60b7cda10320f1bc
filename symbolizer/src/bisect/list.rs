// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The search in a list. In: kernels in order, marks. Out: the one in the middle of those that may be the first bad
//! one; near it, if that was skipped. Never here: verdicts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::BisectError;
use super::child::Hands;
use super::kernels;
use super::search::{Candidate, Made, Mark, Next, Search, steps};

/// See the head of this file.
pub struct List {
    kernels: Vec<PathBuf>,
    candidates: Vec<Candidate>,
    /// See [`kernels::key`].
    keys: Vec<String>,
    marks: BTreeMap<usize, Mark>,
}

impl List {
    /// Of kernels that [`kernels::kernels`] has found: at least two.
    pub fn new(kernels: Vec<PathBuf>) -> List {
        let candidates = kernels::candidates(&kernels);
        let keys = kernels.iter().map(|kernel| kernels::key(kernel)).collect();
        List { kernels, candidates, keys, marks: BTreeMap::new() }
    }

    /// In words: which kernels, in order.
    pub fn words(&self) -> String {
        self.keys.iter().map(|key| format!("kernel {key}\n")).collect()
    }

    fn place(&self, id: &str) -> Option<usize> {
        self.candidates.iter().position(|candidate| candidate.id == id)
    }

    fn next(&self) -> Next {
        let is = |place: usize, mark: Mark| self.marks.get(&place) == Some(&mark);
        let last = self.candidates.len().saturating_sub(1);
        let bad = (0..=last).find(|&place| is(place, Mark::Bad)).unwrap_or(last);
        let good = (0..bad).rev().find(|&place| is(place, Mark::Good)).unwrap_or(0);
        let open: Vec<usize> = (good + 1..bad).filter(|&place| !is(place, Mark::Skip)).collect();
        let middle = good + (bad - good) / 2;
        match open.iter().min_by_key(|&&place| place.abs_diff(middle)) {
            Some(&place) => {
                Next::Test { candidate: self.candidates[place].clone(), left: bad - good, steps: steps(bad - good) }
            }
            None => Next::Found(self.candidates[good + 1..=bad].to_vec()),
        }
    }
}

impl Search for List {
    fn ends(&self) -> (Candidate, Candidate) {
        (self.candidates[0].clone(), self.candidates[self.candidates.len() - 1].clone())
    }

    fn key(&self, candidate: &Candidate) -> String {
        self.place(&candidate.id).map(|place| self.keys[place].clone()).unwrap_or_default()
    }

    fn make(&mut self, candidate: &Candidate, dir: &Path, hands: &Hands) -> Result<Made, BisectError> {
        match self.place(&candidate.id) {
            Some(place) => kernels::vmlinux(&self.kernels[place], dir, hands),
            None => Ok(Made::No("it is not in the list".to_owned())),
        }
    }

    fn begin(&mut self, known: &[(String, Mark)]) -> Result<Next, BisectError> {
        self.marks = known.iter().filter_map(|(id, mark)| Some((self.place(id)?, *mark))).collect();
        Ok(self.next())
    }

    fn mark(&mut self, id: &str, mark: Mark) -> Result<Next, BisectError> {
        self.marks.extend(self.place(id).map(|place| (place, mark)));
        Ok(self.next())
    }

    fn before(&mut self, id: &str) -> Result<Option<Candidate>, BisectError> {
        let before = self.place(id).and_then(|place| place.checked_sub(1));
        Ok(before.map(|place| self.candidates[place].clone()))
    }

    fn finish(&mut self) -> Result<(), BisectError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches the first bad one of `count` with those of `skipped` not to be told; the candidates and the steps.
    fn search(count: usize, first_bad: usize, skipped: &[usize]) -> (Vec<usize>, usize) {
        let mut list = List::new((0..count).map(|number| PathBuf::from(format!("/k/{number}"))).collect());
        let mut next = list.begin(&[]).unwrap();
        let mut taken = 0;
        loop {
            match next {
                Next::Found(found) => {
                    return (found.iter().map(|found| list.place(&found.id).unwrap()).collect(), taken);
                }
                Next::Test { candidate, .. } => {
                    let place = list.place(&candidate.id).unwrap();
                    let mark = match place {
                        place if skipped.contains(&place) => Mark::Skip,
                        place if place >= first_bad => Mark::Bad,
                        _ => Mark::Good,
                    };
                    taken += 1;
                    assert!(taken <= count, "it goes round and round");
                    next = list.mark(&candidate.id, mark).unwrap();
                }
            }
        }
    }

    #[test]
    fn the_first_bad_one_is_found_in_as_many_steps_as_bits() {
        for count in 2..40 {
            for first_bad in 1..count {
                let (found, taken) = search(count, first_bad, &[]);
                assert_eq!(found, [first_bad]);
                assert!(taken <= steps(count - 1), "{taken} steps of {count}");
            }
        }
    }

    #[test]
    fn what_cannot_be_told_is_left_with_the_bad_one_behind_it() {
        assert_eq!(search(17, 9, &[8, 12]).0, [8, 9]);
        assert_eq!(search(17, 9, &[3, 12]).0, [9]);
        assert_eq!(search(5, 4, &[1, 2, 3]).0, [1, 2, 3, 4]);
        assert_eq!(search(5, 1, &[1]).0, [1, 2]);
    }

    #[test]
    fn what_is_known_is_not_asked_again() {
        let mut list = List::new((0..16).map(|number| PathBuf::from(format!("/k/{number}"))).collect());
        let Next::Test { candidate, .. } = list.begin(&[]).unwrap() else { panic!("a test") };
        let after = list.mark(&candidate.id, Mark::Bad).unwrap();
        let mut again = List::new(list.kernels.clone());
        assert_eq!(again.begin(&[(candidate.id.clone(), Mark::Bad)]).unwrap(), after);
    }
}
