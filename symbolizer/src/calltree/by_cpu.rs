// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where functions run: calls and self time of each function on each CPU, without idling. In: calls, as a [`Sink`].
//! Out: [`ByCpu`]. Times in ticks. A call counts on the CPU on which it ends. Never here: names.

use super::sink::{Call, Sink};
use super::sites::{Function, Site};
use super::task::{Frame, Task, TaskId};

/// Most lines of all CPUs: a damaged trace may name many CPUs and many functions.
const MOST: usize = 1 << 22;

/// The sums so far.
#[derive(Debug, Default)]
pub struct ByCpu {
    /// For each CPU and function: calls and self time.
    cpus: Vec<Vec<(u64, u64)>>,
    lines: usize,
    functions: usize,
    /// The CPU whose task is attached, unless that idles or there is no room.
    now: Option<usize>,
}

impl ByCpu {
    /// CPU, function, calls, self time; where there is any.
    pub fn rows(&self) -> impl Iterator<Item = (u32, Function, u64, u64)> + '_ {
        self.cpus.iter().enumerate().flat_map(|(cpu, lines)| {
            let some = lines.iter().enumerate().filter(|(_, line)| **line != (0, 0));
            some.map(move |(function, &(calls, own))| (cpu as u32, Function(function as u32), calls, own))
        })
    }

    #[inline]
    fn add(&mut self, function: Function, own: u64) {
        let Some(cpu) = self.now else { return };
        if self.cpus[cpu].len() <= function.index() {
            self.grow(cpu);
        }
        if let Some(line) = self.cpus[cpu].get_mut(function.index()) {
            line.0 += 1;
            line.1 = line.1.saturating_add(own);
        }
    }

    #[cold]
    fn grow(&mut self, cpu: usize) {
        let more = self.functions.saturating_sub(self.cpus[cpu].len());
        if self.lines + more <= MOST {
            self.cpus[cpu].resize(self.functions, (0, 0));
            self.lines += more;
        }
    }
}

impl Sink for ByCpu {
    fn function(&mut self, function: Function, _site: Site<'_>) {
        self.functions = self.functions.max(function.index() + 1);
    }

    fn attach(&mut self, _id: TaskId, task: &Task, cpu: u32, _time: u64) {
        let cpu = cpu as usize;
        self.now = (!task.is_idling() && cpu < crate::trace_dir::meta::MAX_CPUS as usize).then_some(cpu);
        if self.now.is_some() && self.cpus.len() <= cpu {
            self.cpus.resize_with(cpu + 1, Vec::new);
        }
    }

    fn enter(&mut self, _frames: &[Frame]) {}

    #[inline]
    fn leaf(&mut self, _frames: &[Frame], function: Function, _start: u64, ticks: u64) {
        self.add(function, ticks);
    }

    #[inline]
    fn leave(&mut self, _frames: &[Frame], call: &Call) {
        self.add(call.function, call.own);
    }
}
