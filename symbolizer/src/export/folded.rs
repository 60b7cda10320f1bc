// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Folded stacks, one line each: `task;outer;inner NANOSECONDS`, as flame graph tools read them. In: the
//! merged call tree by tasks. Out: text. Never here: idling, which is no work of the boot; and lines without
//! any time.

use std::io::{self, Write};

use super::{Context, Exporter, Grouping, REST, Wants};
use crate::report::Report;
use crate::report::names::Named;

/// Writes folded stacks.
#[derive(Debug)]
pub struct Folded<W> {
    out: W,
    names: Vec<String>,
}

impl<W: Write> Folded<W> {
    /// To this output.
    pub fn new(out: W) -> Folded<W> {
        Folded { out, names: Vec::new() }
    }
}

/// A frame as the format allows it: semicolons part frames.
fn frame(name: &str) -> String {
    name.replace(';', ":")
}

impl<W: Write> Exporter for Folded<W> {
    fn wants(&self) -> Wants {
        Wants::Contexts(Grouping { tasks: true, phases: false })
    }

    fn function(&mut self, _number: u32, named: &Named) -> io::Result<()> {
        self.names.push(frame(&named.name));
        Ok(())
    }

    fn context(&mut self, context: &Context<'_>) -> io::Result<()> {
        if context.idle || context.own == 0 {
            return Ok(());
        }
        let task = context.task.map_or("?", |task| &task.name);
        write!(self.out, "{}", frame(task))?;
        for &function in context.stack {
            let name =
                if function == REST { "[other ways]" } else { self.names.get(function as usize).map_or("?", |n| n) };
            write!(self.out, ";{name}")?;
        }
        writeln!(self.out, " {}", context.own)
    }

    fn finish(&mut self, _report: &Report<'_>) -> io::Result<()> {
        self.out.flush()
    }
}
