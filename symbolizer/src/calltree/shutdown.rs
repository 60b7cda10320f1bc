// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! How a machine was ended: which way, in which steps, what each took. In: calls, as a [`Sink`], and the functions'
//! names. Out: [`Found`] from a first run, [`Spent`] from a second one, which knows when each step began. Times in
//! ticks. Never here: text.
//!
//! The kernel marks none of its steps, but each begins or ends with a call of a function that is neither static nor
//! inlined, under the same name since 4.x: `ENTERS` and `LEAVES` are all that is known of it. One task goes
//! through them all, `kernel_power_off` and the others never return, and a step is never gone back to.

use std::collections::{HashMap, VecDeque};

use super::filter::NameOf;
use super::sink::{Call, How, Sink};
use super::sites::{Function, Site};
use super::task::{Frame, Task, TaskId};

/// The way a machine was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `kernel_power_off`.
    PowerOff,
    /// `kernel_restart`.
    Restart,
    /// `kernel_halt`.
    Halt,
    /// `kernel_kexec`.
    Kexec,
    /// `emergency_restart`: SysRq-B, or a watchdog.
    Emergency,
    /// `panic`, with what it does after its message.
    Panic,
}

impl Way {
    /// In a word, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Way::PowerOff => "power-off",
            Way::Restart => "restart",
            Way::Halt => "halt",
            Way::Kexec => "kexec",
            Way::Emergency => "emergency-restart",
            Way::Panic => "panic",
        }
    }

    /// The way that begins with this function.
    fn of(name: &str) -> Option<Way> {
        Some(match name {
            "kernel_power_off" => Way::PowerOff,
            "kernel_restart" => Way::Restart,
            "kernel_halt" => Way::Halt,
            "kernel_kexec" => Way::Kexec,
            "emergency_restart" => Way::Emergency,
            "panic" | "vpanic" => Way::Panic,
            _ => return None,
        })
    }
}

/// A step on the way, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Step {
    /// Processes are ended, up to the system call that asks for the machine's end.
    User,
    /// Who has asked to be told is told: `reboot_notifier_list`.
    Notifiers,
    /// A panic's message, its notifiers and dumpers.
    Panic,
    /// `device_shutdown`.
    Devices,
    /// Preparations of who switches off, and the way to the boot CPU: `migrate_to_reboot_cpu`.
    Prepare,
    /// `syscore_shutdown`: what belongs to no device.
    Core,
    /// The last line on the console, `kmsg_dump`.
    Messages,
    /// Other CPUs and the interrupt controllers stop: `machine_power_off` and the like.
    Machine,
    /// Firmware and hardware: `do_kernel_power_off`, `native_machine_emergency_restart`, `stop_this_cpu`.
    Off,
}

/// How many there are.
pub const STEPS: usize = 9;

impl Step {
    /// All, in order.
    pub const ALL: [Step; STEPS] = [
        Step::User,
        Step::Notifiers,
        Step::Panic,
        Step::Devices,
        Step::Prepare,
        Step::Core,
        Step::Messages,
        Step::Machine,
        Step::Off,
    ];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Step::User => "user",
            Step::Notifiers => "notifiers",
            Step::Panic => "panic",
            Step::Devices => "devices",
            Step::Prepare => "prepare",
            Step::Core => "syscore",
            Step::Messages => "messages",
            Step::Machine => "machine",
            Step::Off => "off",
        }
    }
}

/// Functions with whose call a step begins.
const ENTERS: &[(&str, Step)] = &[
    ("kernel_power_off", Step::Notifiers),
    ("kernel_restart", Step::Notifiers),
    ("kernel_halt", Step::Notifiers),
    ("kernel_kexec", Step::Notifiers),
    ("panic", Step::Panic),
    ("vpanic", Step::Panic),
    ("device_shutdown", Step::Devices),
    ("migrate_to_reboot_cpu", Step::Prepare),
    ("syscore_shutdown", Step::Core),
    ("machine_power_off", Step::Machine),
    ("machine_restart", Step::Machine),
    ("machine_halt", Step::Machine),
    ("machine_shutdown", Step::Machine),
    ("native_machine_shutdown", Step::Machine),
    ("emergency_restart", Step::Off),
    ("machine_emergency_restart", Step::Off),
    ("native_machine_emergency_restart", Step::Off),
    ("do_kernel_power_off", Step::Off),
    // Before 5.19 there was no list of who can switch off.
    ("acpi_power_off", Step::Off),
    ("stop_this_cpu", Step::Off),
    ("machine_kexec", Step::Off),
];

/// Functions after whose end a step begins.
const LEAVES: &[(&str, Step)] = &[("device_shutdown", Step::Prepare), ("syscore_shutdown", Step::Messages)];

/// What a function is to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Role {
    way: Option<Way>,
    enters: Option<Step>,
    leaves: Option<Step>,
    /// Sends a signal to a process.
    signals: bool,
    /// Stands between that and its caller, unless the compiler has inlined it.
    relays: bool,
    /// Is the kill system call, which sends the signal itself if it is for all processes; for one or for a group,
    /// `kill_pid_info` and `__kill_pgrp_info` stand between.
    kills: bool,
    /// Is the reboot system call.
    reboots: bool,
    /// Begins another program.
    execs: bool,
}

impl Role {
    fn of(name: &str) -> Role {
        let step = |table: &[(&str, Step)]| table.iter().find(|(known, _)| *known == name).map(|(_, step)| *step);
        let is_call = |call: &str| {
            ["__x64_sys_", "__ia32_sys_", "__do_sys_", "__se_sys_"]
                .iter()
                .any(|kind| name.strip_prefix(kind).is_some_and(|rest| rest == call))
        };
        Role {
            way: Way::of(name),
            enters: step(ENTERS),
            leaves: step(LEAVES),
            signals: name == "do_send_sig_info",
            relays: name == "group_send_sig_info",
            kills: name == "kill_something_info" || is_call("kill"),
            reboots: is_call("reboot"),
            execs: name == "bprm_execve" || name == "begin_new_exec",
        }
    }
}

/// A function that began near the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// When.
    pub time: u64,
    /// Which.
    pub function: Function,
    /// Its callers, outermost first.
    pub path: Vec<Function>,
    /// On which CPU.
    pub cpu: u32,
    /// Whose.
    pub task: TaskId,
    /// Whether it returned.
    pub returned: bool,
}

/// How many of those are kept.
pub const LATE: usize = 12;

/// What the first run has found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The way.
    pub way: Way,
    /// The function with which it began.
    pub began_with: Function,
    /// The task that went it.
    pub task: TaskId,
    /// Steps and their begins, in order.
    pub steps: Vec<(Step, u64)>,
    /// The signal to all processes that counts as the begin of user space's end; else that is the system call.
    pub told_all: bool,
    /// The functions that began last, on any CPU, in order.
    pub last: VecDeque<Late>,
}

/// Looks for the end of the machine.
pub struct Finder<'a> {
    name_of: NameOf<'a>,
    /// Not before this time.
    from: u64,
    roles: Vec<Role>,
    attached: (TaskId, u32, u32),
    /// First signal to all processes since pid 1 became the program that it is.
    told_all: Option<u64>,
    /// For each task, the time of its system call.
    reboots: HashMap<TaskId, u64>,
    found: Option<Found>,
}

impl<'a> Finder<'a> {
    /// Looks at what begins at `from` or later.
    pub fn new(name_of: NameOf<'a>, from: u64) -> Finder<'a> {
        let attached = (TaskId(0), 0, 0);
        Finder { name_of, from, roles: Vec::new(), attached, told_all: None, reboots: HashMap::new(), found: None }
    }

    /// What was found; `None` if no machine was ended.
    pub fn finish(self) -> Option<Found> {
        self.found
    }

    fn begins(&mut self, frames: &[Frame], function: Function, time: u64, returned: bool) {
        let role = self.roles.get(function.index()).copied().unwrap_or_default();
        let (task, pid, cpu) = self.attached;
        if time < self.from {
            return;
        }
        if role.signals && self.told_all.is_none() && self.found.is_none() {
            let role = |frame: &&Frame| self.roles.get(frame.function.index()).copied().unwrap_or_default();
            let by = frames.iter().rev().find(|frame| !role(frame).relays);
            // The begin of the call as a whole.
            self.told_all = by.filter(|frame| role(frame).kills).map(|frame| frame.start);
        }
        if role.execs && pid == 1 && self.found.is_none() {
            self.told_all = None;
        }
        if role.reboots {
            self.reboots.insert(task, time);
        }
        if let (None, Some(way)) = (&self.found, role.way) {
            let call = self.reboots.get(&task).copied();
            let user = self.told_all.or(call).filter(|user| *user <= time);
            let steps = user.map(|user| (Step::User, user)).into_iter().collect();
            let told_all = self.told_all.is_some();
            self.found = Some(Found { way, began_with: function, task, steps, told_all, last: VecDeque::new() });
        }
        let Some(found) = &mut self.found else { return };
        if task == found.task
            && let Some(step) = role.enters
        {
            found.step(step, time);
        }
        let path = frames.iter().map(|frame| frame.function);
        found.late(Late { time, function, path: Vec::new(), cpu, task, returned }, path);
    }
}

impl Found {
    /// When all began.
    pub fn began(&self) -> u64 {
        self.steps.first().map_or(0, |step| step.1)
    }

    fn step(&mut self, step: Step, time: u64) {
        if self.steps.last().is_none_or(|last| last.0 < step && last.1 <= time) {
            self.steps.push((step, time));
        }
    }

    /// CPUs' calls come in the order of their stretches: not quite in that of their times.
    fn late(&mut self, mut late: Late, path: impl Iterator<Item = Function>) {
        let at = self.last.iter().rposition(|before| before.time <= late.time).map_or(0, |at| at + 1);
        if at == 0 && self.last.len() >= LATE {
            return;
        }
        // The first one's path is the next one's memory: nearly every call comes here.
        let (at, memory) = match self.last.len() >= LATE {
            true => (at - 1, self.last.pop_front().map(|first| first.path)),
            false => (at, None),
        };
        late.path = memory.unwrap_or_default();
        late.path.clear();
        late.path.extend(path);
        self.last.insert(at, late);
    }
}

impl Sink for Finder<'_> {
    fn function(&mut self, _function: Function, site: Site<'_>) {
        self.roles.push(Role::of(&(self.name_of)(site)));
    }

    fn attach(&mut self, id: TaskId, task: &Task, cpu: u32, _time: u64) {
        self.attached = (id, task.pid, cpu);
    }

    fn enter(&mut self, frames: &[Frame]) {
        if let Some((frame, callers)) = frames.split_last() {
            self.begins(callers, frame.function, frame.start, false);
        }
    }

    fn leaf(&mut self, frames: &[Frame], function: Function, start: u64, ticks: u64) {
        self.begins(frames, function, start, true);
        self.ends(function, start.saturating_add(ticks));
    }

    fn leave(&mut self, _frames: &[Frame], call: &Call) {
        if call.how == How::Returned {
            self.ends(call.function, call.end);
            let task = self.attached.0;
            if let Some(found) = &mut self.found
                && let Some(late) = found
                    .last
                    .iter_mut()
                    .rev()
                    .find(|late| (late.function, late.time, late.task) == (call.function, call.start, task))
            {
                late.returned = true;
            }
        }
    }

    fn wants(&self, _from: u64, to: u64) -> bool {
        to >= self.from
    }
}

impl Finder<'_> {
    fn ends(&mut self, function: Function, time: u64) {
        if let (Some(found), Some(role)) = (&mut self.found, self.roles.get(function.index()))
            && self.attached.0 == found.task
            && let Some(step) = role.leaves
        {
            found.step(step, time);
        }
    }
}

/// Figures of a function in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Calls that began in it.
    pub calls: u64,
    /// Time in it less that of the calls made from it.
    pub own: u64,
    /// Of [`Sums::parts`]: time of the calls that began in the step, whole.
    pub total: u64,
}

/// What a step took.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// Time of tasks that were not idling on all CPUs, in traced functions.
    pub busy: u64,
    /// Calls.
    pub calls: u64,
    /// Each function.
    pub functions: HashMap<Function, Figures>,
    /// Those that a step is made of, such as each driver's function: see `is_part`.
    pub parts: HashMap<Function, Figures>,
}

/// Whether a function called from `by` (inside `device_shutdown` or not) is a part of its step for itself. Locks and
/// the like are none.
fn is_part(step: Step, name: &str, by: &str, in_devices: bool) -> bool {
    let locks = ["down_", "up_", "mutex_", "__rcu_", "rcu_", "_raw_", "__cond_resched"];
    if locks.iter().any(|lock| name.starts_with(lock)) {
        return false;
    }
    match step {
        // System calls, and the ends of processes; the one that asks is all that follows.
        Step::User => (name.starts_with("__x64_sys_") && name != "__x64_sys_reboot") || name == "do_exit",
        Step::Devices => in_devices && name.contains("shutdown"),
        Step::Core => by == "syscore_shutdown",
        Step::Machine => by == "native_machine_shutdown" || by == "machine_shutdown",
        Step::Notifiers | Step::Panic | Step::Prepare | Step::Off => by.ends_with("notifier_call_chain"),
        Step::Messages => name.starts_with("kmsg_dump") || name == "_printk" || name == "printk",
    }
}

/// Sums up what each step took.
pub struct Spent<'a> {
    name_of: NameOf<'a>,
    steps: Vec<(Step, u64)>,
    names: Vec<Box<str>>,
    devices: Option<Function>,
    /// For each step.
    pub sums: [Sums; STEPS],
    /// For each task: up to when its time is counted, and [`Task::away`] then.
    stands: HashMap<TaskId, (u64, u64)>,
    task: TaskId,
    idles: bool,
    now: (u64, u64),
}

impl<'a> Spent<'a> {
    /// With the steps that were found.
    pub fn new(name_of: NameOf<'a>, found: &Found) -> Spent<'a> {
        Spent {
            name_of,
            steps: found.steps.clone(),
            names: Vec::new(),
            devices: None,
            sums: Default::default(),
            stands: HashMap::new(),
            task: TaskId(0),
            idles: false,
            now: (0, 0),
        }
    }

    fn step(&self, time: u64) -> Option<Step> {
        let after = self.steps.partition_point(|step| step.1 <= time);
        after.checked_sub(1).map(|at| self.steps[at].0)
    }

    /// The time since the last event was spent in `function`.
    fn until(&mut self, function: Option<Function>, time: u64) {
        let mut from = self.now.0;
        self.now.0 = time.max(from);
        let Some(function) = function.filter(|_| !self.idles) else { return };
        // A stretch may reach over the begin of a step on another CPU.
        while from < time {
            let next = self.steps.iter().map(|step| step.1).find(|begin| *begin > from).unwrap_or(u64::MAX);
            let end = next.min(time);
            if let Some(step) = self.step(from) {
                let sums = &mut self.sums[step as usize];
                sums.busy = sums.busy.saturating_add(end - from);
                let own = &mut sums.functions.entry(function).or_default().own;
                *own = own.saturating_add(end - from);
            }
            from = end;
        }
    }

    fn count(&mut self, function: Function, start: u64) {
        if let Some(step) = self.step(start).filter(|_| !self.idles) {
            let sums = &mut self.sums[step as usize];
            sums.calls += 1;
            sums.functions.entry(function).or_default().calls += 1;
        }
    }

    /// A call that has ended, made from the last of `callers`.
    fn part(&mut self, callers: &[Frame], function: Function, start: u64, total: u64) {
        let Some(step) = self.step(start).filter(|_| !self.idles) else { return };
        let name = |function: Function| self.names.get(function.index()).map_or("", |name| name);
        let by = callers.last().map_or("", |frame| name(frame.function));
        let in_devices = self.devices.is_some_and(|devices| callers.iter().any(|frame| frame.function == devices));
        // Of calls inside one of the same function only the outer one.
        let again = callers.iter().any(|frame| frame.function == function);
        if !again && is_part(step, name(function), by, in_devices) {
            let figures = self.sums[step as usize].parts.entry(function).or_default();
            figures.calls += 1;
            figures.total = figures.total.saturating_add(total);
        }
    }
}

impl Sink for Spent<'_> {
    fn function(&mut self, function: Function, site: Site<'_>) {
        let name = (self.name_of)(site);
        if name == "device_shutdown" {
            self.devices = Some(function);
        }
        self.names.push(name.into());
    }

    fn attach(&mut self, id: TaskId, task: &Task, _cpu: u32, time: u64) {
        self.task = id;
        self.idles = task.is_idling();
        let (since, away) = self.stands.get(&id).copied().unwrap_or((time, task.away));
        // What it was away for since then is not its time.
        let back = since.saturating_add(task.away.wrapping_sub(away));
        self.now = (back.min(time), task.away);
        let open = task.frames.last().map(|frame| frame.function);
        self.until(open, time);
    }

    fn detach(&mut self, _task: &Task) {
        self.stands.insert(self.task, self.now);
    }

    fn enter(&mut self, frames: &[Frame]) {
        if let Some((frame, callers)) = frames.split_last() {
            self.until(callers.last().map(|frame| frame.function), frame.start);
            self.count(frame.function, frame.start);
        }
    }

    fn leaf(&mut self, frames: &[Frame], function: Function, start: u64, ticks: u64) {
        self.until(frames.last().map(|frame| frame.function), start);
        self.count(function, start);
        self.until(Some(function), start.saturating_add(ticks));
        self.part(frames, function, start, ticks);
    }

    fn leave(&mut self, frames: &[Frame], call: &Call) {
        self.until(Some(call.function), call.end);
        self.part(frames, call.function, call.start, call.total);
    }

    fn wants(&self, _from: u64, to: u64) -> bool {
        to >= self.steps.first().map_or(u64::MAX, |step| step.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 12] = [
        "__x64_sys_kill",
        "do_send_sig_info",
        "__x64_sys_reboot",
        "kernel_power_off",
        "blocking_notifier_call_chain",
        "perf_reboot",
        "device_shutdown",
        "i8042_shutdown",
        "syscore_shutdown",
        "machine_power_off",
        "do_kernel_power_off",
        "begin_new_exec",
    ];

    fn name_of(site: Site<'_>) -> String {
        NAMES[site.address as usize].to_owned()
    }

    fn number(name: &str) -> Function {
        Function(NAMES.iter().position(|known| *known == name).expect("a known name") as u32)
    }

    /// One task's calls, as a builder would tell them.
    struct Player<'a, S> {
        sink: &'a mut S,
        frames: Vec<Frame>,
    }

    impl<S: Sink> Player<'_, S> {
        fn enter(&mut self, name: &str, start: u64) {
            let frame = Frame { function: number(name), start, away: 0, children: 0, longest_child: 0 };
            self.frames.push(frame);
            self.sink.enter(&self.frames);
        }

        fn leave(&mut self, end: u64, how: How) {
            let Frame { function, start, children, .. } = self.frames.pop().expect("open");
            let total = end - start;
            if let Some(caller) = self.frames.last_mut() {
                caller.children += total;
            }
            let own = total - children;
            self.sink.leave(&self.frames, &Call { function, start, end, total, own, longest_child: 0, how });
        }

        fn leaf(&mut self, name: &str, start: u64, ticks: u64) {
            self.sink.leaf(&self.frames, number(name), start, ticks);
            if let Some(caller) = self.frames.last_mut() {
                caller.children += ticks;
            }
        }
    }

    fn play<S: Sink>(sink: &mut S, tells_all: bool, execs: bool) {
        for (number, _) in NAMES.iter().enumerate() {
            sink.function(Function(number as u32), Site { address: number as u64, module: None });
        }
        let task = Task { pid: 1, ..Task::default() };
        sink.attach(TaskId(0), &task, 0, 5);
        let mut all = Player { sink, frames: Vec::new() };
        if tells_all {
            all.enter("__x64_sys_kill", 10);
            all.leaf("do_send_sig_info", 12, 3);
            all.leave(20, How::Returned);
        }
        if execs {
            all.leaf("begin_new_exec", 30, 1);
        }
        all.enter("__x64_sys_reboot", 40);
        all.enter("kernel_power_off", 50);
        all.enter("blocking_notifier_call_chain", 52);
        all.leaf("perf_reboot", 55, 10);
        all.leave(70, How::Returned);
        all.enter("device_shutdown", 100);
        all.leaf("i8042_shutdown", 110, 30);
        all.leave(200, How::Returned);
        all.leaf("syscore_shutdown", 210, 5);
        all.enter("machine_power_off", 300);
        all.enter("do_kernel_power_off", 330);
        all.leave(400, How::Open);
        all.leave(400, How::Open);
        all.leave(400, How::Open);
        all.leave(400, How::Open);
    }

    fn found(tells_all: bool, execs: bool) -> Found {
        let mut finder = Finder::new(&name_of, 0);
        play(&mut finder, tells_all, execs);
        finder.finish().expect("a machine that was ended")
    }

    #[test]
    fn each_step_begins_with_its_function() {
        let found = found(false, false);
        assert_eq!((found.way, found.began_with, found.told_all), (Way::PowerOff, number("kernel_power_off"), false));
        let steps = [
            (Step::User, 40),
            (Step::Notifiers, 50),
            (Step::Devices, 100),
            (Step::Prepare, 200),
            (Step::Core, 210),
            (Step::Messages, 215),
            (Step::Machine, 300),
            (Step::Off, 330),
        ];
        assert_eq!(found.steps, steps);
        let last = found.last.back().expect("functions");
        assert_eq!((last.function, last.returned, last.path.len()), (number("do_kernel_power_off"), false, 3));
        assert!(found.last.iter().rfind(|late| late.function == number("device_shutdown")).is_some_and(|l| l.returned));
    }

    #[test]
    fn a_signal_to_all_is_the_begin_unless_init_became_another_program() {
        assert_eq!(found(true, false).steps[0], (Step::User, 10));
        let later = found(true, true);
        assert_eq!((later.steps[0], later.told_all), ((Step::User, 40), false));
    }

    #[test]
    fn time_is_given_to_steps_functions_and_parts() {
        let found = found(true, false);
        let mut spent = Spent::new(&name_of, &found);
        play(&mut spent, true, false);
        let of = |step: Step, name: &str| spent.sums[step as usize].functions.get(&number(name)).copied();
        let own = |step: Step, name: &str| of(step, name).map_or(0, |figures| figures.own);
        assert_eq!(own(Step::Devices, "device_shutdown"), 70);
        assert_eq!(own(Step::Devices, "i8042_shutdown"), 30);
        // It waits in each step for what it has called.
        assert_eq!(own(Step::Prepare, "kernel_power_off"), 10);
        assert_eq!(own(Step::Messages, "kernel_power_off"), 85);
        assert_eq!(own(Step::Off, "do_kernel_power_off"), 70);
        let busy: u64 = spent.sums.iter().map(|sums| sums.busy).sum();
        assert_eq!(busy, 10 + (400 - 40), "between the two system calls no function is open");
        let part = |step: Step, name: &str| spent.sums[step as usize].parts.get(&number(name)).map(|part| part.total);
        assert_eq!(part(Step::Notifiers, "perf_reboot"), Some(10));
        assert_eq!(part(Step::Devices, "i8042_shutdown"), Some(30));
        assert_eq!(part(Step::User, "__x64_sys_kill"), Some(10));
        assert_eq!(part(Step::User, "__x64_sys_reboot"), None);
    }

    #[test]
    fn a_trace_without_an_end_has_none() {
        let mut finder = Finder::new(&name_of, 1000);
        play(&mut finder, true, false);
        assert!(finder.finish().is_none());
    }
}
