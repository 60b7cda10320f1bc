// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What an exporter is told against [`Aggregate`], under random filters; and that it is told in order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::calltree::aggregate::Aggregate;
use crate::calltree::both::Both;
use crate::calltree::contexts::tests::{filters, name_of, run, traces};
use crate::calltree::filter::Wanted;
use crate::export::Wants;
use crate::report::Report;

/// Notes what it is told, and complains of what must not be.
#[derive(Default)]
struct Listener {
    /// For each task: numbers and begins of its open calls.
    open: BTreeMap<u32, Vec<(u32, u64)>>,
    /// For each function: calls and self time.
    sums: BTreeMap<u32, (u64, u64)>,
    begun: u64,
    tasks: Vec<u32>,
    functions: u32,
    wrong: Vec<String>,
}

impl Listener {
    fn check(&mut self, right: bool, what: &str) {
        if !right {
            self.wrong.push(what.to_owned());
        }
    }
}

impl Exporter for Listener {
    fn wants(&self) -> Wants {
        Wants::Calls
    }

    fn function(&mut self, number: u32, _named: &Named) -> io::Result<()> {
        self.check(number == self.functions, "functions out of order");
        self.functions += 1;
        Ok(())
    }

    fn task(&mut self, task: &TaskHead) -> io::Result<()> {
        self.tasks.push(task.number);
        Ok(())
    }

    fn ran(&mut self, task: u32, _cpu: u32, from: u64, to: u64) -> io::Result<()> {
        self.check(self.tasks.contains(&task) && from <= to, "ran");
        Ok(())
    }

    fn enter(&mut self, enter: &Enter) -> io::Result<()> {
        self.begun += 1;
        self.check(enter.function < self.functions, "a function that was not told");
        self.check(self.tasks.contains(&enter.at.task), "a task that was not told");
        let open = self.open.entry(enter.at.task).or_default();
        let (depth, after) = (open.len(), open.last().is_none_or(|last| last.1 <= enter.time));
        open.push((enter.function, enter.time));
        self.check(depth == enter.at.depth, "depth at enter");
        self.check(after, "a call before its caller");
        Ok(())
    }

    fn leave(&mut self, leave: &Leave) -> io::Result<()> {
        let sum = self.sums.entry(leave.function).or_default();
        *sum = (sum.0 + 1, sum.1 + leave.own);
        let open = self.open.entry(leave.at.task).or_default();
        let last = open.pop();
        let depth = open.len();
        self.check(last == Some((leave.function, leave.start)), "another call ends than began last");
        self.check(depth == leave.at.depth && leave.start <= leave.end, "leave");
        self.check(leave.own <= leave.total && leave.total <= leave.end - leave.start, "times");
        Ok(())
    }

    fn finish(&mut self, _report: &Report<'_>) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_told_equals_the_aggregate(trace in traces(), wanted in filters(), everything in any::<bool>()) {
        let wanted = if everything { Wanted::default() } else { wanted };
        let named = |site: Site<'_>| Named {
            name: name_of(site),
            address: site.address,
            site: site.address,
            aliases: 0,
            file: None,
            line: None,
            origin: crate::report::names::Origin::Symbol,
            module: None,
        };
        let mut listener = Listener::default();
        let mut drive = Drive::new(&mut listener, Filter::new(wanted.clone(), &name_of), Clock::new(None), Some(&named));
        let mut aggregate = Aggregate::new(Filter::new(wanted, &name_of));
        let totals = run(&trace, &mut Both(&mut drive, &mut aggregate));
        let calls = drive.finish().unwrap();
        prop_assert_eq!(&listener.wrong, &Vec::<String>::new());
        prop_assert!(listener.open.values().all(Vec::is_empty));
        prop_assert_eq!(calls, listener.begun);
        let wanted: BTreeMap<u32, (u64, u64)> = (0..totals.functions().len() as u32)
            .map(|number| (number, aggregate.all(Function(number))))
            .filter(|(_, all)| all.calls > 0)
            .map(|(number, all)| (number, (all.calls, all.own)))
            .collect();
        prop_assert_eq!(listener.sums, wanted);
    }
}
