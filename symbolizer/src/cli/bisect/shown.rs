// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What a bisection shows: while it works, lines and what is done now, on standard error; its result as text. Never
//! here: the search.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use symbolizer::bisect::Tell;
use symbolizer::bisect::drive::{Found, name};
use symbolizer::bisect::search::{Candidate, Mark};
use symbolizer::bisect::work::clock;
use symbolizer::compare::{diff_text, explain};

/// Lines of each table of the comparison.
const TOP: usize = 10;

/// Lines on standard error; on a terminal, below them, what is done now and for how long.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn new() -> Progress {
        // Nothing is drawn if standard error is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        Progress { bar }
    }

    /// What is done now goes away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Tell for Progress {
    fn line(&mut self, line: &str) {
        self.bar.suspend(|| anstream::eprintln!("symbolize: {line}"));
    }

    fn doing(&mut self, what: &str) {
        self.bar.enable_steady_tick(Duration::from_millis(200));
        self.bar.reset_elapsed();
        self.bar.set_message(what.to_owned());
    }
}

/// The result: its first line names the commit and what it has done; then what it differs in from the one before it,
/// for `width` columns.
pub fn report(found: &Found, work: &Path, width: usize) -> anyhow::Result<String> {
    let mut text = String::new();
    let said = explain::headline(&found.diff);
    let first = first_line(&found.judged_by, said.first().map_or("", String::as_str));
    match &found.candidates[..] {
        [commit] => text += &format!("{}: {first}\n", subject(commit)),
        several => {
            text += &format!("one of these {}, which could not be told apart: {first}\n", several.len());
            for candidate in several {
                text += &format!("  {}\n", subject(candidate));
            }
        }
    }
    for doubt in &found.doubts {
        text += &format!("doubt: {doubt}\n");
    }
    text += &format!("\nsearched for: {}\ncompared with the one before, {}:\n\n", found.judged_by, name(&found.before));
    let mut table = Vec::new();
    diff_text::write(&found.diff, diff_text::Options { width, top: TOP, by: None, lines: false }, &mut table)?;
    text += &String::from_utf8_lossy(&table);
    text += "\nsteps\n";
    for (number, known) in (1..).zip(&found.known) {
        let short = Candidate { id: known.id.clone(), title: String::new() }.short();
        let why = if known.why.is_empty() { String::new() } else { format!("  ({})", known.why) };
        let mark = match known.mark {
            Mark::Good => "good",
            Mark::Bad => "bad",
            Mark::Skip => "skipped",
        };
        text += &format!("  {number:>2}  {short}  {mark:<7}  {}{why}\n", known.title);
    }
    let spent = &found.spent;
    text += &format!(
        "\ntook {}: {} builds {}, {} boots {}; kept boots and logs are in {}\n",
        // What was killed could not say how long it had worked.
        clock(spent.seconds.max(spent.build_seconds + spent.boot_seconds)),
        spent.builds,
        clock(spent.build_seconds),
        spent.boots,
        clock(spent.boot_seconds),
        work.display()
    );
    Ok(text)
}

/// What is said of the commit: the comparison's first sentence; before it what was searched for, if the sentence names
/// none of it. (In real time a commit may differ from the one before it by noise that is larger than what it did.)
fn first_line(judged_by: &str, sentence: &str) -> String {
    let mut names = judged_by.split("; ").filter_map(|finding| finding.split(' ').nth(1));
    if judged_by.is_empty() || names.any(|name| sentence.contains(name)) {
        sentence.to_owned()
    } else {
        format!("{judged_by}; {sentence}")
    }
}

/// `1a2b3c4d5e6f subject`.
fn subject(candidate: &Candidate) -> String {
    let short = candidate.short();
    if short.contains('-') { short } else { format!("{short} {}", candidate.title) }
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn what_was_searched_for_is_named() {
        let judged_by = "initcall init_a on-CPU time 19.0 ms -> 1.25 ms; function work_b part on CPU 0 56 % -> 0 %";
        let named = "`work_b` moved from CPU 0 to CPU 1";
        assert_eq!(first_line(judged_by, named), named);
        assert_eq!(first_line(judged_by, "boot takes 1 s"), format!("{judged_by}; boot takes 1 s"));
        assert_eq!(first_line("", "boot takes 1 s"), "boot takes 1 s");
    }
}
