// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `symbolize suggest` on a real boot: the line that it prints, held against that boot's events, leaves
//! as many as it says.

use symbolizer::calltree::sink::{Call, How, Sink};
use symbolizer::calltree::{self, Frame, Function, Site, Task, TaskId};
use symbolizer::decode::pipeline;
use symbolizer::report::Names;
use symbolizer::resolve::Vmlinux;
use symbolizer::trace_dir::TraceDir;
use xtask::recording;

use crate::boots::{OLD, setup, shared, subject};

/// Events of functions that a line does not want.
struct Removed<'a> {
    wants: &'a dyn Fn(u64) -> bool,
    wanted: Vec<bool>,
    events: u64,
}

impl Sink for Removed<'_> {
    fn function(&mut self, _function: Function, site: Site<'_>) {
        self.wanted.push((self.wants)(site.address));
    }
    fn attach(&mut self, _id: TaskId, _task: &Task, _cpu: u32, _time: u64) {}
    fn enter(&mut self, _frames: &[Frame]) {}
    fn leaf(&mut self, _frames: &[Frame], function: Function, _start: u64, _ticks: u64) {
        self.events += if self.wanted[function.index()] { 0 } else { 2 };
    }
    fn leave(&mut self, _frames: &[Frame], call: &Call) {
        let events = 1 + u64::from(call.how == How::Returned);
        self.events += if self.wanted[call.function.index()] { 0 } else { events };
    }
}

#[test]
fn the_suggested_line_removes_what_it_says() {
    let kernel = &subject(OLD).vmlinux;
    let mut command = std::process::Command::new(&setup().symbolize);
    command.arg("suggest").arg(&shared().trace).arg(kernel).args(["--format", "json", "--reduce", "60%"]);
    let found = recording::json(&mut command).expect("a suggestion");
    let number = |name: &str| found[name].as_u64().expect("a number");
    let line = found["line"].as_str().expect("a line");

    let vmlinux = Vmlinux::open(kernel).expect("the kernel");
    let names = Names::open(&vmlinux).expect("its symbols");
    let wants = |site| bootlevel::selects(line.as_bytes(), names.quick(site).name.as_bytes());
    let mut removed = Removed { wants: &wants, wanted: Vec::new(), events: 0 };
    let trace = TraceDir::open(&shared().trace).expect("the shared trace");
    let totals = pipeline::run(&trace, |pipeline| calltree::build(pipeline, &mut removed, |_| {}));
    assert_eq!(number("events"), totals.events);
    assert_eq!(number("events_removed"), removed.events, "{line}");
    assert_eq!(
        removed.wanted.iter().filter(|wanted| !**wanted).count(),
        found["functions"].as_array().expect("a list").len()
    );
    // What a user wants of it: half of the events for a line that fits.
    assert!(removed.events * 2 > totals.events, "{} of {}", removed.events, totals.events);
    assert!(found["time_covered_share"].as_f64().expect("a share") >= 0.99);
    assert!(bootlevel::items(line.as_bytes()).all(|(item, _)| matches!(item, bootlevel::Item::Part(_))), "{line}");
}
