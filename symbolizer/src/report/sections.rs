// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The tables of the text report, one function each. In: a [`Report`]. Out: text. Never here: what is
//! in the header.

use std::io::{self, Write};

use super::model::{FunctionRow, OpenRow, Report, Sort, sort};
use super::style::{BAR, DIM, bar, heading, left, right, shorten, table, wrap};
use super::text::Options;
use super::units::{count, percent};

/// Most stacks of open calls that are written out.
const OPEN_STACKS: usize = 12;

/// Most inlined functions that are shown of one.
const INLINED: usize = 12;

/// How deep they are shown: further in, there is little but accessors.
const INLINED_DEPTH: usize = 3;

/// Most tasks that are named with a stack of open calls.
const TASKS_OF_A_STACK: usize = 4;

/// Functions in one order.
///
/// # Errors
/// Those of the writer.
pub fn functions(report: &Report<'_>, options: Options, by: Sort, out: &mut dyn Write) -> io::Result<()> {
    let (title, remark) = match by {
        Sort::Own => ("Top functions by self time", "on-CPU time without the calls made from them; without idle"),
        Sort::Total => ("Top functions by total time", "on-CPU time with the calls made from them; without idle"),
        Sort::Calls => ("Top functions by calls", "interrupts of idle tasks too"),
        Sort::Max => ("Functions by their longest call", "on-CPU time"),
        Sort::Name => ("Functions by name", ""),
    };
    let mut rows: Vec<FunctionRow> = report.functions.clone();
    sort(&mut rows, by);
    rows.truncate(options.top);
    heading(out, options.width, title, remark)?;
    if rows.is_empty() {
        return writeln!(out, "  none");
    }
    let (clock, busy) = (report.clock, report.busy());
    // Names matter more than means where there is no room for both.
    let wide = options.width >= 96;
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let mean = row.all.total.checked_div(row.all.calls).unwrap_or(0);
            let returned = row.all.min <= row.all.max;
            let source = match (&row.named.file, row.named.line) {
                (Some(file), Some(line)) if options.lines => format!("{file}:{line}"),
                (Some(file), _) if options.lines => file.clone(),
                (Some(file), _) => super::super::resolve::tree::subsystem(file).to_owned(),
                (None, _) => "?".to_owned(),
            };
            let mut cells = vec![
                clock.show(row.busy_own()),
                percent(row.busy_own(), busy),
                clock.show(row.busy_total()),
                count(row.all.calls),
            ];
            if wide {
                cells.push(clock.show(mean));
                cells.push(if returned { clock.show(row.all.max) } else { "-".to_owned() });
            }
            cells.extend([row.named.name.clone(), source]);
            cells
        })
        .collect();
    let mut columns = vec![right("self"), right("%"), right("total"), right("calls")];
    if wide {
        columns.extend([right("mean"), right("longest")]);
    }
    columns.extend([left("function"), left(if options.lines { "source" } else { "in" })]);
    table(out, options.width, &columns, columns.len() - 2, &cells)
}

/// What is inlined into the first functions; nothing unless asked for.
///
/// # Errors
/// Those of the writer.
pub fn inlined(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    if report.inlined.is_empty() {
        return Ok(());
    }
    let remark = "code of other functions inside these, whose time counts here; places of the calls";
    heading(out, options.width, "Inlined", remark)?;
    for (name, parts) in &report.inlined {
        writeln!(out, "  {name}{}", if parts.is_empty() { "  (nothing)" } else { "" })?;
        let shown: Vec<_> = parts.iter().filter(|part| part.depth <= INLINED_DEPTH).collect();
        for part in shown.iter().take(INLINED) {
            let place = match (&part.file, part.line) {
                (Some(file), Some(line)) => format!("{file}:{line}"),
                (Some(file), None) => file.clone(),
                (None, _) => "?".to_owned(),
            };
            let indent = 2 * part.depth.min(10);
            writeln!(out, "  {:>8} B  {:indent$}{}  {DIM}{place}{DIM:#}", count(part.bytes), "", part.name)?;
        }
        if parts.len() > shown.len().min(INLINED) {
            writeln!(out, "              and {} more", count((parts.len() - shown.len().min(INLINED)) as u64))?;
        }
    }
    Ok(())
}

/// Self time by source directory, with bars.
///
/// # Errors
/// Those of the writer.
pub fn subsystems(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    heading(out, options.width, "Where the time went", "self time by source directory; without idle")?;
    let busy = report.busy();
    let traced = report.subsystems.iter().fold(0u64, |sum, row| sum.saturating_add(row.own));
    let shown = report.subsystems.iter().take(options.top);
    let mut rows: Vec<(String, u64, u64)> = shown.map(|row| (row.name.clone(), row.own, row.calls)).collect();
    let rest = report.subsystems.iter().skip(options.top);
    let (more, own, calls) =
        rest.fold((0u64, 0, 0), |sum, row| (sum.0 + 1, row.own.saturating_add(sum.1), sum.2 + row.calls));
    if more > 0 {
        rows.push((format!("({more} more)"), own, calls));
    }
    if report.filtered.is_none() {
        rows.push(("(in no traced call)".to_owned(), busy.saturating_sub(traced), 0));
    }
    // The rest is no directory and gets no bar.
    let longest = rows.iter().filter(|row| !row.0.starts_with('(')).map(|row| row.1).max().unwrap_or(0);
    let name_width = rows.iter().map(|row| row.0.chars().count()).max().unwrap_or(0).clamp(9, 28);
    let bar_width = options.width.saturating_sub(name_width + 36).max(8);
    writeln!(out, "  {DIM}{:<name_width$}  {:>8}  {:>5}  {:>12}{DIM:#}", "directory", "self", "%", "calls")?;
    for (name, own, calls) in &rows {
        let calls = if *calls == 0 { String::new() } else { count(*calls) };
        writeln!(
            out,
            "  {:<name_width$}  {:>8}  {:>5}  {calls:>12}  {BAR}{}{BAR:#}",
            shorten(name, name_width),
            report.clock.show(*own),
            percent(*own, busy),
            bar(if name.starts_with('(') { 0 } else { *own }, longest, bar_width),
        )?;
    }
    Ok(())
}

/// Tasks that are not idle.
///
/// # Errors
/// Those of the writer.
pub fn tasks(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let busy = report.busy();
    let all = || report.tasks.iter().filter(|task| task.idle.is_none());
    heading(out, options.width, "Tasks", &format!("{} in all; by time on a CPU", count(all().count() as u64)))?;
    let cells: Vec<Vec<String>> = all()
        .take(options.top)
        .map(|task| {
            vec![
                report.clock.show(task.on_cpu),
                percent(task.on_cpu, busy),
                count(task.calls),
                count(task.switches),
                report.clock.show(task.first),
                task.pid.to_string(),
                if task.ended { format!("{} (ended)", task.name) } else { task.name.clone() },
            ]
        })
        .collect();
    let columns = [
        right("on CPU"),
        right("%"),
        right("calls"),
        right("switched in"),
        right("first at"),
        right("pid"),
        left("task"),
    ];
    table(out, options.width, &columns, 6, &cells)
}

/// Idle time of each CPU.
///
/// # Errors
/// Those of the writer.
pub fn idle(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    let mut idle: Vec<_> = report.tasks.iter().filter(|task| task.idle.is_some()).collect();
    idle.sort_by_key(|task| task.idle);
    if idle.is_empty() {
        return Ok(());
    }
    heading(
        out,
        options.width,
        "Idle",
        "time of the idle tasks, with the interrupts taken meanwhile; % of the time span",
    )?;
    let cells: Vec<Vec<String>> = idle
        .iter()
        .map(|task| {
            vec![
                report.clock.show(task.on_cpu),
                percent(task.on_cpu, report.span()),
                count(task.calls),
                count(task.switches),
                format!("CPU {}", task.idle.unwrap_or(0)),
            ]
        })
        .collect();
    table(out, options.width, &[right("idle"), right("%"), right("calls"), right("switched in"), left("")], 4, &cells)
}

/// The longest single calls, with their callers.
///
/// # Errors
/// Those of the writer.
pub fn longest(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    heading(
        out,
        options.width,
        "Longest single calls",
        "on-CPU time; one of each function, and none that is mostly one call made from it",
    )?;
    for long in report.longest.iter().take(options.top) {
        writeln!(
            out,
            "  {:>8}  {}  {DIM}at {} in {} on CPU {}{DIM:#}",
            report.clock.show(long.total),
            shorten(&long.name, options.width.saturating_sub(54).max(16)),
            report.clock.show(long.start),
            long.task,
            long.cpu
        )?;
        if !long.path.is_empty() {
            let path = elide(&long.path, 8).join(" > ");
            for line in wrap(&path, options.width.saturating_sub(14).max(20)) {
                writeln!(out, "            {DIM}{line}{DIM:#}")?;
            }
        }
    }
    if report.longest.is_empty() {
        writeln!(out, "  none")?;
    }
    Ok(())
}

/// Calls that were open at the end.
///
/// # Errors
/// Those of the writer.
pub fn open(report: &Report<'_>, options: Options, out: &mut dyn Write) -> io::Result<()> {
    if report.open.is_empty() {
        return Ok(());
    }
    let frames: usize = report.open.iter().map(|open| open.stack.len()).sum();
    let calls = if frames == 1 { "call" } else { "calls" };
    let tasks = if report.open.len() == 1 { "task" } else { "tasks" };
    let title = format!("{} {calls} in {} {tasks}", count(frames as u64), count(report.open.len() as u64));
    heading(out, options.width, "Open at the end", &format!("{title}; time counts up to the end"))?;
    // Many tasks wait in the same place: one entry for each stack, what changed last first.
    let mut groups: Vec<(Vec<&str>, Vec<&OpenRow>)> = Vec::new();
    for open in &report.open {
        let names: Vec<&str> = open.stack.iter().map(|frame| frame.0.as_str()).collect();
        match groups.iter_mut().find(|group| group.0 == names) {
            Some(group) => group.1.push(open),
            None => groups.push((names, vec![open])),
        }
    }
    let since = |open: &OpenRow| open.stack.last().map_or(0, |frame| frame.1);
    groups.sort_by_key(|group| std::cmp::Reverse(group.1.iter().map(|open| since(open)).max()));
    let most = OPEN_STACKS.max(options.top);
    for (names, tasks) in groups.iter().take(most) {
        let latest = tasks.iter().map(|open| since(open)).max().unwrap_or(0);
        let label =
            |open: &&OpenRow| if open.pid == 0 { open.task.clone() } else { format!("{}-{}", open.task, open.pid) };
        let mut labels: Vec<String> = tasks.iter().take(TASKS_OF_A_STACK).map(label).collect();
        if tasks.len() > TASKS_OF_A_STACK {
            labels.push(format!("and {} more", tasks.len() - TASKS_OF_A_STACK));
        }
        let head = format!("{} since {}", labels.join(", "), report.clock.show(latest));
        for (index, line) in wrap(&head, options.width.saturating_sub(4).max(20)).iter().enumerate() {
            writeln!(out, "{}{line}", if index == 0 { "  " } else { "    " })?;
        }
        for line in wrap(&elide(names, 12).join(" > "), options.width.saturating_sub(4).max(20)) {
            writeln!(out, "    {DIM}{line}{DIM:#}")?;
        }
    }
    if groups.len() > most {
        writeln!(out, "  and {} more stacks (all are in --format json)", count((groups.len() - most) as u64))?;
    }
    Ok(())
}

/// A path with its middle left out if it is long.
fn elide<T: AsRef<str>>(path: &[T], most: usize) -> Vec<String> {
    let path: Vec<String> = path.iter().map(|name| name.as_ref().to_owned()).collect();
    if path.len() <= most {
        return path;
    }
    let (head, tail) = (2, most - 3);
    let mut short = path[..head].to_vec();
    short.push(format!("… {} more …", path.len() - head - tail));
    short.extend_from_slice(&path[path.len() - tail..]);
    short
}
