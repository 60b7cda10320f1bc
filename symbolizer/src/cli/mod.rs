// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The command line: one file per subcommand. Only this module and main print.

pub mod inject;
mod progress;
pub mod record;
pub mod report;

/// A word as the shell wants it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
