// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A file of budgets. In: its text. Demanded: an end; places of mistakes inside their lines; text that does not steer
//! a terminal; budgets that are read back as they print.

use symbolizer::compare::budget::{mistake, parse};

use super::shown;

/// Reads it, and what it prints again.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse::parse(text) {
        Ok(budgets) => {
            for budget in budgets {
                let line = budget.to_string();
                let again = parse::parse(&line).unwrap_or_else(|wrong| panic!("{line}: {wrong:?}"));
                assert_eq!(again.len(), 1, "{line}");
                assert_eq!(again[0].to_string(), line);
            }
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            for mistake in &mistakes {
                let line = text.lines().nth(mistake.line - 1).unwrap_or_default();
                assert!(line.get(mistake.span.clone()).is_some(), "{mistake:?} in {line:?}");
            }
            shown::check(mistake::render(text, "boot.budget", &mistakes, 80).as_bytes());
        }
    }
}
