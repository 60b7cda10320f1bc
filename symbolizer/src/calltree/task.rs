// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Tasks, their clocks and their open frames. In: switches, names and ends, from [`mod@super::build`].
//! Out: which task a pid is just now. Never here: the events themselves.

use std::collections::HashMap;

use super::sites::Function;

/// A task by its number in order of first appearance; a pid that comes again is another task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

impl TaskId {
    /// As an index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// An open call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What was called.
    pub function: Function,
    /// Ticks at entry.
    pub start: u64,
    /// [`Task::away`] at entry.
    pub away: u64,
    /// Total ticks of the calls made from it that have ended.
    pub children: u64,
    /// Total ticks of the longest of those.
    pub longest_child: u64,
}

/// A task. Times in ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// The kernel's number; 0 for idle tasks.
    pub pid: u32,
    /// The CPU whose idle task this is.
    pub idle: Option<u32>,
    /// It is an idle task that does not idle yet: `start_kernel` and `start_secondary` run in it, up to
    /// its first switch.
    pub booting: bool,
    /// Time on a CPU while it was booting.
    pub boot: u64,
    /// `comm`, NUL-padded; the latest one.
    pub name: [u8; 16],
    /// Open calls, outermost first.
    pub frames: Vec<Frame>,
    /// Time not on a CPU so far, between first and last time on one.
    pub away: u64,
    /// Since when it is not on a CPU.
    pub out_since: Option<u64>,
    /// Since when it is on a CPU.
    pub in_since: u64,
    /// The CPU it runs on.
    pub running: Option<u32>,
    /// The CPU it runs on or ran on last.
    pub cpu: u32,
    /// It is gone.
    pub ended: bool,
    /// How many of the outermost frames were open while events of another CPU, where the task may
    /// have run meanwhile, were lost.
    pub suspect: usize,
    /// Time on a CPU.
    pub on_cpu: u64,
    /// Time of its first event.
    pub first: u64,
    /// How often it came onto a CPU.
    pub switches: u64,
    /// Calls made.
    pub calls: u64,
    /// Exits without an entry.
    pub orphans: u64,
    /// Frames cut at a loss.
    pub cut: u64,
}

impl Task {
    /// The name for people: `comm`, or `swapper/CPU` for idle tasks, or `?`.
    pub fn label(&self) -> String {
        let end = self.name.iter().position(|&byte| byte == 0).unwrap_or(self.name.len());
        match (self.idle, end) {
            (Some(cpu), _) => format!("swapper/{cpu}"),
            (None, 0) => "?".to_owned(),
            // A guest's bytes go to a terminal: nothing below a space may pass.
            (None, _) => String::from_utf8_lossy(&self.name[..end])
                .chars()
                .map(|c| if c.is_control() { '\u{fffd}' } else { c })
                .collect(),
        }
    }

    /// Whether what it does now is idling (and the interrupts taken meanwhile).
    pub fn is_idling(&self) -> bool {
        self.idle.is_some() && !self.booting
    }

    /// The task comes onto a CPU.
    pub(super) fn switch_in(&mut self, cpu: u32, time: u64) {
        if let Some(out) = self.out_since.take() {
            self.away = self.away.wrapping_add(time.saturating_sub(out));
        }
        self.in_since = time;
        self.running = Some(cpu);
        self.cpu = cpu;
        self.switches += 1;
    }

    /// The task leaves its CPU.
    pub(super) fn switch_out(&mut self, time: u64) {
        self.on_cpu = self.on_cpu.saturating_add(time.saturating_sub(self.in_since));
        if self.booting {
            self.boot = self.on_cpu;
            self.booting = false;
        }
        self.out_since = Some(time);
        self.running = None;
    }
}

/// All tasks so far.
#[derive(Debug, Default)]
pub struct Tasks {
    /// In order of their numbers.
    pub all: Vec<Task>,
    by_pid: HashMap<u32, TaskId>,
    idle: HashMap<u32, TaskId>,
}

impl Tasks {
    /// The task that `pid` is now; pid 0 is the idle task of `cpu`.
    pub fn of(&mut self, pid: u32, cpu: u32, time: u64) -> TaskId {
        let next = TaskId(self.all.len() as u32);
        let known = if pid == 0 { self.idle.entry(cpu) } else { self.by_pid.entry(pid) };
        let id = *known.or_insert(next);
        if id == next {
            let idle = (pid == 0).then_some(cpu);
            self.all.push(Task { pid, idle, first: time, cpu, ..Task::default() });
        }
        id
    }

    /// The first `count` of `known`, of which those in `live` were as they are there, and the others gone.
    pub(super) fn restore(known: &[Task], count: usize, live: &[(u32, Task)]) -> Option<Tasks> {
        let gone = |task: &Task| Task { frames: Vec::new(), ended: true, running: None, suspect: 0, ..task.clone() };
        let mut tasks = Tasks { all: known.get(..count)?.iter().map(gone).collect(), ..Tasks::default() };
        for (id, task) in live {
            *tasks.all.get_mut(*id as usize)? = task.clone();
            if task.ended {
                continue;
            }
            let before = match task.idle {
                Some(cpu) => tasks.idle.insert(cpu, TaskId(*id)),
                None => tasks.by_pid.insert(task.pid, TaskId(*id)),
            };
            if before.is_some() {
                return None;
            }
        }
        Some(tasks)
    }

    /// The task is gone: its pid, if it comes again, will be another task.
    pub fn end(&mut self, pid: u32) -> Option<TaskId> {
        let id = self.by_pid.remove(&pid)?;
        self.all[id.index()].ended = true;
        Some(id)
    }

    /// Those that have not ended, in no order.
    pub fn live(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.by_pid.values().chain(self.idle.values()).copied()
    }
}
