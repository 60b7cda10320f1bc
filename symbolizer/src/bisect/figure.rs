// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! A figure of a boot that the user names: `level fs time`, `function memset calls`. In: text; boots. Out: its value.
//! Never here: what is good or bad.

use std::fmt;
use std::str::FromStr;

use crate::compare::boot::Boot;
use crate::report::units;

/// What the grammar is, for messages.
const GRAMMAR: &str = "expected 'boot FIGURE' or 'level|initcall|function NAME FIGURE', with time, busy, calls or \
                       events (boot, level), time, busy or calls (initcall), own, total or calls (function)";

/// Of what.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    Boot,
    Level(String),
    Initcall(String),
    Function(String),
}

/// See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    of: Of,
    figure: String,
}

impl FromStr for Figure {
    type Err = String;

    fn from_str(text: &str) -> Result<Figure, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (of, figure, known): (Of, &str, &[&str]) = match words[..] {
            ["boot", figure] => (Of::Boot, figure, &["time", "busy", "calls", "events"]),
            ["level", name, figure] => (Of::Level(name.to_owned()), figure, &["time", "busy", "calls", "events"]),
            ["initcall", name, figure] => (Of::Initcall(name.to_owned()), figure, &["time", "busy", "calls"]),
            ["function", name, figure] => (Of::Function(name.to_owned()), figure, &["own", "total", "calls"]),
            _ => return Err(GRAMMAR.to_owned()),
        };
        if !known.contains(&figure) {
            return Err(format!("'{figure}' is none of {}; {GRAMMAR}", known.join(", ")));
        }
        Ok(Figure { of, figure: figure.to_owned() })
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Of::Boot => write!(f, "boot {}", self.figure),
            Of::Level(name) => write!(f, "level {name} {}", self.figure),
            Of::Initcall(name) => write!(f, "initcall {name} {}", self.figure),
            Of::Function(name) => write!(f, "function {name} {}", self.figure),
        }
    }
}

impl Figure {
    /// Its value; 0 of what is not there. Times in nanoseconds, or in ticks if the clock is not known.
    pub fn of(&self, boot: &Boot) -> f64 {
        let figure = self.figure.as_str();
        let sum = |values: &mut dyn Iterator<Item = u64>| values.fold(0, u64::saturating_add) as f64;
        match &self.of {
            Of::Boot => match figure {
                "time" => boot.totals.span as f64,
                "busy" => boot.totals.busy as f64,
                "calls" => boot.totals.calls as f64,
                _ => boot.totals.events as f64,
            },
            Of::Level(name) => {
                sum(&mut boot.levels.iter().filter(|level| level.name == *name).map(|level| match figure {
                    "time" => level.time,
                    "busy" => level.busy,
                    "calls" => level.calls,
                    _ => level.events,
                }))
            }
            Of::Initcall(name) => {
                let rows = boot.initcalls.iter().filter(|initcall| initcall.name == *name);
                sum(&mut rows.map(|initcall| match figure {
                    "time" => initcall.time,
                    "busy" => initcall.on_cpu,
                    _ => initcall.calls,
                }))
            }
            Of::Function(name) => {
                let is = |number: &u32| boot.functions.get(*number as usize).is_some_and(|one| one.name == *name);
                let column = match figure {
                    "own" => &boot.sums.own,
                    "total" => &boot.sums.total,
                    _ => &boot.sums.calls,
                };
                let rows = boot.sums.function.iter().zip(column);
                sum(&mut rows.filter(|(number, _)| is(number)).map(|(_, &value)| value))
            }
        }
    }

    /// A value in words.
    pub fn show(&self, value: f64, ns: bool) -> String {
        let whole = value.max(0.0).round() as u64;
        match self.figure.as_str() {
            "calls" | "events" => units::count(whole),
            _ if ns => units::duration(whole),
            _ => format!("{} ticks", units::count(whole)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::boot::{Function, Initcall, Level, Sums};

    #[test]
    fn figures_are_read_and_taken_from_boots() {
        let function = |name: &str| Function { name: name.to_owned(), ..Function::default() };
        let boot = Boot {
            levels: vec![Level { name: "fs".to_owned(), time: 7, ..Level::default() }],
            initcalls: vec![Initcall { name: "init_a".to_owned(), on_cpu: 9, ..Initcall::default() }],
            functions: vec![function("a"), function("b")],
            sums: Sums {
                function: vec![0, 1, 1],
                level: vec![1, 1, 2],
                calls: vec![5, 6, 7],
                own: vec![1, 2, 3],
                total: vec![1, 2, 3],
            },
            ..Boot::default()
        };
        let value = |text: &str| text.parse::<Figure>().unwrap().of(&boot);
        assert_eq!(value("level fs time"), 7.0);
        assert_eq!(value("level  late  time"), 0.0);
        assert_eq!(value("initcall init_a busy"), 9.0);
        assert_eq!(value("function b calls"), 13.0);
        assert_eq!("function b own".parse::<Figure>().unwrap().to_string(), "function b own");
        for wrong in ["", "level fs", "level fs own", "boot fs time", "module x time"] {
            assert!(wrong.parse::<Figure>().is_err(), "{wrong}");
        }
    }
}
