// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What `symbolize record` says on stderr while it records and at its end. In: [`Progress`], [`Meta`].

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use symbolizer::capture::session::Progress;
use symbolizer::trace_dir::{Ended, Meta};

/// Plain lines come this often.
const PLAIN_EVERY: Duration = Duration::from_secs(1);

enum Style {
    Silent,
    /// One line that is written over.
    Line,
    /// A line each time.
    Plain,
}

/// Prints the progress.
pub struct Printer {
    style: Style,
    last: Progress,
    printed: Instant,
}

impl Printer {
    /// Plain lines if asked for; else a line on a terminal, which the guest's console shares, or nothing.
    pub fn new(plain: bool) -> Printer {
        let style = match plain {
            true => Style::Plain,
            false if std::io::stderr().is_terminal() => Style::Line,
            false => Style::Silent,
        };
        Printer { style, last: Progress::default(), printed: Instant::now() }
    }

    /// Prints it, if it is time to.
    pub fn print(&mut self, now: Progress) {
        if matches!(self.style, Style::Plain) && self.printed.elapsed() < PLAIN_EVERY {
            return;
        }
        let seconds = (now.elapsed.saturating_sub(self.last.elapsed)).as_secs_f64().max(1e-3);
        let rate = now.events.saturating_sub(self.last.events) as f64 / seconds;
        let text = format!(
            "{} events, {:.1} MB, {} events/s, rings {:.0} % full, {} lost",
            scaled(now.events as f64),
            now.bytes as f64 / 1e6,
            scaled(rate),
            now.fill * 100.0,
            now.lost
        );
        let mut stderr = std::io::stderr();
        // A terminal that is gone ends nothing.
        let _ = match self.style {
            Style::Silent => Ok(()),
            Style::Line => write!(stderr, "\r{text}\x1b[K").and_then(|()| stderr.flush()),
            Style::Plain => writeln!(stderr, "symbolize: {text}"),
        };
        (self.last, self.printed) = (now, Instant::now());
    }

    /// Takes the line away.
    pub fn clear(&self) {
        if let Style::Line = self.style {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// The last words: what there is, and what to do with it.
pub fn summary(meta: &Meta, output: &Path, vmlinux: Option<&Path>) {
    let how = match &meta.ended {
        Some(Ended::PowerOff) => "the guest powered off".to_string(),
        Some(Ended::Stopped { detail }) => format!("stopped: {detail}"),
        Some(Ended::Died { detail }) => format!("the guest died: {detail}"),
        None => "no end".to_string(),
    };
    let totals = &meta.totals;
    let per_event = totals.bytes as f64 / (totals.events.max(1)) as f64;
    eprintln!(
        "symbolize: {how}. {} events in {:.1} MB ({per_event:.2} bytes each), {} lost",
        totals.events,
        totals.bytes as f64 / 1e6,
        totals.lost
    );
    warnings(meta);
    if totals.events == 0 {
        match meta.state.as_str() {
            "off" => eprintln!("symbolize: no event came: hypergraph=off on the kernel command line says so"),
            "on" => eprintln!("symbolize: no event came: nothing ran that hypergraph= on the command line asks for"),
            _ => eprintln!("symbolize: no event came: was it the traced kernel that ran?"),
        }
        return;
    }
    let vmlinux = vmlinux.map_or("VMLINUX".into(), |path| super::quoted(&path.display().to_string()));
    eprintln!("symbolize: next: symbolize {} {vmlinux}", super::quoted(&output.display().to_string()));
}

/// What went wrong with a recording.
pub fn warnings(meta: &Meta) {
    let waits: u64 = meta.per_cpu.iter().map(|cpu| cpu.waits).sum();
    if waits > 0 {
        eprintln!("symbolize: the guest waited {waits} times for the recorder; larger rings (--ring-mib) may help");
    }
    for warning in &meta.warnings {
        eprintln!("symbolize: warning: {warning}");
    }
}

/// A count in thousands or millions.
fn scaled(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2} M", value / 1e6),
        value if value >= 1e4 => format!("{:.0} k", value / 1e3),
        value => format!("{value:.0}"),
    }
}
