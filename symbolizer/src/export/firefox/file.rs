// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The Firefox profiler's processed profile, its tables as that page wants them. In: samples, markers, names.
//! Out: JSON. Never here: how samples are made.
//!
//! The format has no document but its types (`src/types/profile.ts` in firefox-devtools/profiler); this is
//! version 55 of it, as the crate fxprof-processed-profile writes it, and the page upgrades it when it loads it.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::{Function, NONE, REST};
use crate::report::Report;

/// Most categories that have a colour of their own; the others are "Other".
const CATEGORIES: usize = 24;

/// Those that the page knows.
const COLOURS: [&str; 8] = ["blue", "green", "orange", "purple", "yellow", "magenta", "lightblue", "red"];

/// A thread's number that no task has: of the one with the markers.
const BOOT: u64 = 1 << 32;

/// What goes into a file.
pub(super) struct Parts<'a> {
    pub title: &'a str,
    pub filtered: Option<&'a str>,
    /// Times are in ticks: shown as if one was a nanosecond.
    pub ticks: bool,
    pub functions: &'a [Function],
    pub stacks: &'a [(u32, u32)],
    /// Pid and name.
    pub tasks: Vec<(u32, &'a str)>,
    pub samples: HashMap<(u32, u64, u32), u64>,
    pub shift: u32,
    pub missing: &'a [(u64, u32, String)],
}

#[derive(Serialize)]
struct Profile {
    meta: Value,
    libs: [u8; 0],
    pages: [u8; 0],
    #[serde(rename = "profilerOverhead")]
    overhead: [u8; 0],
    counters: [u8; 0],
    threads: Vec<Thread>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Thread {
    name: String,
    is_main_thread: bool,
    process_type: &'static str,
    process_name: String,
    process_startup_time: f64,
    process_shutdown_time: Option<f64>,
    register_time: f64,
    unregister_time: Option<f64>,
    paused_ranges: [u8; 0],
    show_markers_in_timeline: bool,
    pid: String,
    tid: u64,
    frame_table: FrameTable,
    func_table: FuncTable,
    native_symbols: Value,
    resource_table: Value,
    stack_table: StackTable,
    string_array: Vec<String>,
    samples: Samples,
    markers: Markers,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct FrameTable {
    length: usize,
    address: Vec<i64>,
    inline_depth: Vec<u32>,
    category: Vec<usize>,
    subcategory: Vec<u32>,
    func: Vec<usize>,
    native_symbol: Vec<Option<u32>>,
    #[serde(rename = "innerWindowID")]
    inner_window_id: Vec<u32>,
    line: Vec<Option<u32>>,
    column: Vec<Option<u32>>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct FuncTable {
    length: usize,
    name: Vec<usize>,
    #[serde(rename = "isJS")]
    is_js: Vec<bool>,
    #[serde(rename = "relevantForJS")]
    relevant_for_js: Vec<bool>,
    resource: Vec<i32>,
    file_name: Vec<Option<usize>>,
    line_number: Vec<Option<u32>>,
    column_number: Vec<Option<u32>>,
}

#[derive(Serialize, Default)]
struct StackTable {
    length: usize,
    prefix: Vec<Option<usize>>,
    frame: Vec<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Samples {
    length: usize,
    weight_type: &'static str,
    stack: Vec<Option<usize>>,
    time: Vec<f64>,
    weight: Vec<f64>,
}

impl Default for Samples {
    fn default() -> Samples {
        Samples { length: 0, weight_type: "tracing-ms", stack: Vec::new(), time: Vec::new(), weight: Vec::new() }
    }
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Markers {
    length: usize,
    category: Vec<u32>,
    data: Vec<Value>,
    start_time: Vec<f64>,
    end_time: Vec<Option<f64>>,
    name: Vec<usize>,
    /// 0: an instant, 1: an interval.
    phase: Vec<u32>,
}

/// Nanoseconds in milliseconds.
fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Writes the file.
pub(super) fn write(parts: Parts<'_>, report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let time = |ticks: u64| report.clock.ns(ticks).unwrap_or(ticks);
    let end = time(report.span());
    let categories = Categories::of(&parts);
    let mut by_task: BTreeMap<u32, Vec<(u64, u32, u64)>> = BTreeMap::new();
    for (&(task, slice, stack), &own) in &parts.samples {
        by_task.entry(task).or_default().push((slice, stack, own));
    }
    let base = |name: String, tid, pid: String| Thread {
        name,
        process_type: "default",
        process_name: parts.title.to_owned(),
        process_shutdown_time: Some(ms(end)),
        unregister_time: Some(ms(end)),
        show_markers_in_timeline: true,
        native_symbols: json!({ "length": 0, "address": [], "functionSize": [], "libIndex": [], "name": [] }),
        resource_table: json!({ "length": 0, "lib": [], "name": [], "host": [], "type": [] }),
        pid,
        tid,
        ..Thread::default()
    };
    let mut threads =
        vec![markers(base("Boot: levels and initcalls".to_owned(), BOOT, "0".to_owned()), &parts, report)];
    // Busiest first, as the page lists them.
    let mut tasks: Vec<_> = by_task.into_iter().collect();
    let weight = |samples: &[(u64, u32, u64)]| samples.iter().fold(0u64, |sum, sample| sum.saturating_add(sample.2));
    tasks.sort_by_key(|(number, samples)| (std::cmp::Reverse(weight(samples)), *number));
    for (number, samples) in tasks {
        let (pid, name) = parts.tasks.get(number as usize).copied().unwrap_or((0, "?"));
        let name = if pid == 0 { name.to_owned() } else { format!("{name} ({pid})") };
        threads.push(thread(base(name, u64::from(number), "0".to_owned()), &parts, &categories, samples));
    }
    let visible: Vec<usize> = (0..threads.len().min(12)).collect();
    let note = match (parts.filtered, parts.ticks) {
        (Some(words), _) => format!("; only {words}"),
        (None, true) => "; the clock's speed is not known: a ns is a tick".to_owned(),
        (None, false) => String::new(),
    };
    let meta = json!({
        "categories": categories.list,
        "markerSchema": schema(),
        "interval": ms(1 << parts.shift.min(62)),
        "startTime": 0,
        "processType": 0,
        "product": format!("{}{note}", parts.title),
        "importedFrom": concat!("symbolize ", env!("CARGO_PKG_VERSION")),
        "version": 24,
        "preprocessedProfileVersion": 55,
        "symbolicated": true,
        "stackwalk": 0,
        "debug": false,
        "extensions": { "length": 0, "baseURL": [], "id": [], "name": [] },
        "sampleUnits": { "time": "ms", "eventDelay": "ms", "threadCPUDelta": "µs" },
        "pausedRanges": [],
        "usesOnlyOneStackType": true,
        "sourceCodeIsNotOnSearchfox": true,
        "initialVisibleThreads": visible,
        "initialSelectedThreads": [1.min(threads.len() - 1)],
    });
    let profile = Profile { meta, libs: [], pages: [], overhead: [], counters: [], threads };
    serde_json::to_writer(out, &profile)?;
    Ok(())
}

/// Subsystems with most self time, as the page's categories.
struct Categories<'a> {
    list: Vec<Value>,
    numbers: HashMap<&'a str, usize>,
}

impl<'a> Categories<'a> {
    fn of(parts: &Parts<'a>) -> Categories<'a> {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (&(_, _, stack), &own) in &parts.samples {
            let function = parts.stacks.get(stack as usize).and_then(|stack| parts.functions.get(stack.1 as usize));
            let sum = sums.entry(function.map_or("Other", |function| &function.subsystem)).or_default();
            *sum = sum.saturating_add(own);
        }
        let mut order: Vec<(&str, u64)> = sums.into_iter().filter(|sum| sum.0 != "Other").collect();
        order.sort_by_key(|sum| (std::cmp::Reverse(sum.1), sum.0));
        order.truncate(CATEGORIES);
        let category = |name: &str, colour: &str| json!({ "name": name, "color": colour, "subcategories": ["Other"] });
        let mut list = vec![category("Other", "grey")];
        let mut numbers = HashMap::new();
        for (index, (name, _)) in order.into_iter().enumerate() {
            numbers.insert(name, list.len());
            list.push(category(name, COLOURS[index % COLOURS.len()]));
        }
        Categories { list, numbers }
    }
}

/// Strings of a thread, each once.
#[derive(Default)]
struct Strings {
    all: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Strings {
    fn number(&mut self, text: &str) -> usize {
        if let Some(&known) = self.numbers.get(text) {
            return known;
        }
        self.numbers.insert(text.to_owned(), self.all.len());
        self.all.push(text.to_owned());
        self.all.len() - 1
    }
}

/// A task's thread: `samples` are slice, stack, self time.
fn thread(
    mut thread: Thread,
    parts: &Parts<'_>,
    categories: &Categories<'_>,
    mut samples: Vec<(u64, u32, u64)>,
) -> Thread {
    samples.sort_unstable();
    let (mut strings, mut functions, mut stacks) = (Strings::default(), HashMap::new(), HashMap::new());
    let length = 1u64 << parts.shift.min(63);
    let mut index = 0;
    while index < samples.len() {
        let slice = samples[index].0;
        let count = samples[index..].iter().take_while(|sample| sample.0 == slice).count();
        let here = &samples[index..index + count];
        index += count;
        // One after the other, as far as there is room in the slice.
        let sum = here.iter().fold(0u64, |sum, sample| sum.saturating_add(sample.2));
        let squeeze = (length as f64 / sum.max(1) as f64).min(1.0);
        let (start, mut done) = (slice.saturating_mul(length), 0u64);
        for &(_, stack, own) in here {
            let number = table(stack, parts, categories, &mut thread, &mut strings, (&mut functions, &mut stacks));
            thread.samples.stack.push(Some(number));
            thread.samples.time.push(ms(start) + done as f64 * squeeze / 1e6);
            thread.samples.weight.push(ms(own));
            done = done.saturating_add(own);
        }
        // Then it was away.
        let next = samples.get(index).map(|sample| sample.0);
        if done < length && next != Some(slice + 1) || next.is_none() {
            thread.samples.stack.push(None);
            thread.samples.time.push(ms(start) + done as f64 * squeeze / 1e6);
            thread.samples.weight.push(0.0);
        }
    }
    thread.samples.length = thread.samples.stack.len();
    thread.string_array = strings.all;
    thread
}

/// The number of a stack in a thread; puts it there with all around it.
fn table(
    stack: u32,
    parts: &Parts<'_>,
    categories: &Categories<'_>,
    thread: &mut Thread,
    strings: &mut Strings,
    (functions, known): (&mut HashMap<u32, usize>, &mut HashMap<u32, usize>),
) -> usize {
    let mut path = Vec::new();
    let mut at = stack;
    while at != NONE && !known.contains_key(&at) {
        path.push(at);
        at = parts.stacks.get(at as usize).map_or(NONE, |stack| stack.0);
    }
    let mut prefix = known.get(&at).copied();
    for &at in path.iter().rev() {
        let function = parts.stacks.get(at as usize).map_or(super::super::REST, |stack| stack.1);
        let found = parts.functions.get(function as usize).filter(|_| at != REST);
        let frame = *functions.entry(function).or_insert_with(|| {
            let (frames, funcs) = (&mut thread.frame_table, &mut thread.func_table);
            let line = found.and_then(|found| found.line);
            let category = found.and_then(|found| categories.numbers.get(found.subsystem.as_str()).copied());
            frames.address.push(-1);
            frames.inline_depth.push(0);
            frames.category.push(category.unwrap_or(0));
            frames.subcategory.push(0);
            frames.func.push(funcs.length);
            frames.native_symbol.push(None);
            frames.inner_window_id.push(0);
            frames.line.push(line);
            frames.column.push(None);
            frames.length += 1;
            funcs.name.push(strings.number(found.map_or("[other ways]", |found| &found.name)));
            funcs.is_js.push(false);
            funcs.relevant_for_js.push(false);
            funcs.resource.push(-1);
            funcs.file_name.push(found.and_then(|found| found.file.as_deref()).map(|file| strings.number(file)));
            funcs.line_number.push(line);
            funcs.column_number.push(None);
            funcs.length += 1;
            frames.length - 1
        });
        thread.stack_table.prefix.push(prefix);
        thread.stack_table.frame.push(frame);
        prefix = Some(thread.stack_table.length);
        known.insert(at, thread.stack_table.length);
        thread.stack_table.length += 1;
    }
    // Each stack that has samples has at least one call.
    prefix.unwrap_or(0)
}

/// The thread with what happened to the boot as a whole.
fn markers(mut thread: Thread, parts: &Parts<'_>, report: &Report<'_>) -> Thread {
    let time = |ticks: u64| report.clock.ns(ticks).unwrap_or(ticks);
    let mut strings = Strings::default();
    let mut all: Vec<(u64, Option<u64>, &str, Value)> = Vec::new();
    for row in &report.boot.levels {
        let (start, end) = (time(row.began), time(row.began.saturating_add(row.ticks)));
        // All before the trace has no place on its axis.
        if row.phase != bootlevel::Phase::Firmware {
            let data = json!({ "type": "Level", "what": row.phase.name(), "calls": row.calls });
            all.push((start, Some(end), "Level", data));
        }
    }
    for row in &report.boot.initcalls {
        let (start, end) = (time(row.start), time(row.start.saturating_add(row.wall)));
        let data = json!({
            "type": "Initcall",
            "what": row.name,
            "level": row.phase.map_or("?", |phase| phase.name()),
            "cpu": ms(time(row.on_cpu)),
        });
        all.push((start, Some(end), "Initcall", data));
    }
    for (at, cpu, what) in parts.missing {
        all.push((*at, None, "Missing", json!({ "type": "Missing", "what": what, "cpu": cpu })));
    }
    all.sort_by_key(|marker| marker.0);
    for (start, end, name, data) in all {
        thread.markers.category.push(0);
        thread.markers.data.push(data);
        thread.markers.start_time.push(ms(start));
        thread.markers.end_time.push(end.map(ms));
        thread.markers.name.push(strings.number(name));
        thread.markers.phase.push(u32::from(end.is_some()));
    }
    thread.markers.length = thread.markers.name.len();
    thread.string_array = strings.all;
    thread.is_main_thread = true;
    thread
}

/// What the page is to say about markers.
fn schema() -> Value {
    let field = |key: &str, label: &str, format: &str| json!({ "key": key, "label": label, "format": format });
    let one = |name: &str, fields: &[Value]| {
        let label = "{marker.data.what}";
        json!({
            "name": name,
            "display": ["marker-chart", "marker-table", "timeline-overview"],
            "chartLabel": label,
            "tooltipLabel": format!("{name}: {label}"),
            "tableLabel": label,
            "fields": fields,
        })
    };
    json!([
        one("Level", &[field("what", "Level", "string"), field("calls", "Calls that began in it", "integer")]),
        one(
            "Initcall",
            &[
                field("what", "Function", "string"),
                field("level", "Level", "string"),
                field("cpu", "Time on a CPU", "duration"),
            ]
        ),
        one("Missing", &[field("what", "What", "string"), field("cpu", "CPU", "integer")]),
    ])
}
