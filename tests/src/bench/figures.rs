// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The project's figures and their targets. In: measured values by name. Out: a table for people, a
//! list in JSON for machines. Never here: measuring.

use std::fmt::Write;

use anyhow::Result;
use serde_json::json;

/// What is good.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// Only to be known; the direction in which it would be better is down.
    None,
}

struct Definition {
    name: &'static str,
    unit: &'static str,
    target: Target,
}

const fn define(name: &'static str, unit: &'static str, target: Target) -> Definition {
    Definition { name, unit, target }
}

/// All figures, in the order of the table.
const DEFINITIONS: &[Definition] = &[
    define("guest_insns_per_event", "instructions", Target::AtMost(40.0)),
    define("boot_insns_ratio", "x", Target::AtMost(1.45)),
    define("ring_bytes_per_event", "B", Target::AtMost(6.0)),
    define("disk_bytes_per_event", "B", Target::AtMost(1.5)),
    define("events", "events", Target::AtLeast(10e6)),
    define("lost_events", "events", Target::AtMost(0.0)),
    define("witness_mismatches", "functions", Target::AtMost(0.0)),
    define("decode_events_per_s", "events/s", Target::AtLeast(20e6)),
    define("report_seconds", "s", Target::AtMost(3.0)),
    define("report_peak_mb", "MB", Target::AtMost(700.0)),
    // The peak above counts the pages of the mapped vmlinux too, which the system can take back.
    define("report_peak_anonymous_mb", "MB", Target::None),
    define("symbol_disagreements", "functions", Target::AtMost(0.0)),
    // Of `bench names` and `bench readers`: how many times as fast as the fastest other one we are.
    define("names", "addresses", Target::None),
    define("names_cold_ratio", "x", Target::AtLeast(4.0)),
    define("names_kept_ratio", "x", Target::AtLeast(50.0)),
    define("names_disagreements", "lines", Target::AtMost(0.0)),
    define("readers_ratio", "x", Target::AtLeast(10.0)),
];

/// The figures that were measured.
#[derive(Debug, Default)]
pub struct Figures {
    values: Vec<(&'static str, f64)>,
}

impl Figures {
    /// Notes a value.
    ///
    /// # Panics
    /// When no figure of that name is defined.
    pub fn add(&mut self, name: &'static str, value: f64) {
        assert!(DEFINITIONS.iter().any(|definition| definition.name == name), "no figure is called {name}");
        self.values.push((name, value));
    }

    fn rows(&self) -> impl Iterator<Item = (&'static Definition, f64)> + '_ {
        DEFINITIONS.iter().filter_map(|definition| {
            let (_, value) = self.values.iter().find(|(name, _)| *name == definition.name)?;
            Some((definition, *value))
        })
    }

    /// Whether every target is met.
    pub fn all_met(&self) -> bool {
        self.rows().all(|(definition, value)| definition.target.met(value))
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = format!("{:<26} {:>14} {:<13} target\n", "figure", "value", "unit");
        for (definition, value) in self.rows() {
            let verdict = if definition.target.met(value) { "" } else { "  MISSED" };
            let target = match definition.target {
                Target::AtMost(limit) => format!("<= {}", short(limit)),
                Target::AtLeast(limit) => format!(">= {}", short(limit)),
                Target::None => "-".into(),
            };
            let _ = writeln!(
                text,
                "{:<26} {:>14} {:<13} {target}{verdict}",
                definition.name,
                short(value),
                definition.unit
            );
        }
        text
    }

    /// For machines.
    ///
    /// # Errors
    /// When a value is no finite number.
    pub fn summary(&self) -> Result<String> {
        let list: Vec<_> = self
            .rows()
            .map(|(definition, value)| {
                let (target, better) = match definition.target {
                    Target::AtMost(limit) => (Some(limit), "lower"),
                    Target::AtLeast(limit) => (Some(limit), "higher"),
                    Target::None => (None, "lower"),
                };
                json!({"name": definition.name, "value": value, "unit": definition.unit, "target": target, "better": better})
            })
            .collect();
        Ok(serde_json::to_string_pretty(&list)? + "\n")
    }
}

impl Target {
    fn met(self, value: f64) -> bool {
        match self {
            Target::AtMost(limit) => value <= limit,
            Target::AtLeast(limit) => value >= limit,
            Target::None => true,
        }
    }
}

/// Whole numbers whole, others to the hundredth.
fn short(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100_000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_said_in_the_table_and_in_the_verdict() {
        let mut figures = Figures::default();
        figures.add("lost_events", 0.0);
        assert!(figures.all_met());
        figures.add("boot_insns_ratio", 1.5);
        assert!(!figures.all_met());
        let table = figures.table();
        assert!(table.contains("boot_insns_ratio                     1.50 x             <= 1.45  MISSED"), "{table}");
        assert!(table.contains("lost_events                             0 events        <= 0\n"), "{table}");
    }

    #[test]
    fn the_summary_names_target_and_direction() {
        let mut figures = Figures::default();
        figures.add("events", 13e6);
        let list: serde_json::Value = serde_json::from_str(&figures.summary().unwrap()).unwrap();
        assert_eq!(
            list,
            json!([{"name": "events", "value": 13e6, "unit": "events", "target": 10e6, "better": "higher"}])
        );
    }
}
