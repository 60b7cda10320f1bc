// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a long command shows while it works: a bar on a terminal, times of its phases on request.
//! Both go to standard error. Never here: the work.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The phases of a command.
pub struct Phases {
    timings: bool,
    begin: Instant,
    last: Instant,
    bar: ProgressBar,
}

impl Phases {
    /// Begins; `timings` asks for the times of the phases.
    pub fn new(timings: bool) -> Phases {
        let now = Instant::now();
        // Nothing is drawn if standard error is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template("{msg:<18} {wide_bar:.cyan/dim} {percent:>3} %") {
            bar.set_style(style.progress_chars("━━─"));
        }
        Phases { timings, begin: now, last: now, bar }
    }

    /// Shows nothing: for one of several that work at the same time.
    pub fn quiet() -> Phases {
        let now = Instant::now();
        Phases { timings: false, begin: now, last: now, bar: ProgressBar::hidden() }
    }

    /// A phase with a known amount of work begins.
    pub fn work(&self, what: &'static str, amount: u64) {
        self.bar.set_message(what);
        self.bar.set_length(amount);
    }

    /// So much of it is done.
    pub fn at(&self, position: u64) {
        // Short work needs no bar.
        if self.begin.elapsed() > Duration::from_millis(300) {
            self.bar.set_position(position);
        }
    }

    /// The phase ended.
    pub fn done(&mut self, what: &str) {
        let now = Instant::now();
        if self.timings {
            anstream::eprintln!("{what:<24} {:>8.1} ms", (now - self.last).as_secs_f64() * 1e3);
        }
        self.last = now;
    }

    /// All is done; the bar goes away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
        if self.timings {
            anstream::eprintln!("{:<24} {:>8.1} ms", "all", self.begin.elapsed().as_secs_f64() * 1e3);
        }
    }
}
