// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The report for programs. In: a [`Report`]. Out: one JSON object, as `symbolizer/JSON.md` describes.
//! Never here: rounding for people.

use std::io::Write;

use serde::Serialize;

use super::levels_json;

use super::model::{FunctionRow, Report};
use super::units::Clock;
use super::{exits, overhead};

/// Version of the JSON; grows when a field changes its meaning or goes. New fields may come without.
pub const JSON_VERSION: u32 = 1;

/// The whole; times in nanoseconds are `null` where the frequency is not known.
#[derive(Serialize)]
struct Document<'a> {
    json_version: u32,
    summary: Summary<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correction: Option<overhead::CorrectionJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exits: Option<exits::ExitsJson<'a>>,
    functions: Vec<FunctionJson<'a>>,
    tasks: Vec<TaskJson<'a>>,
    subsystems: Vec<SubsystemJson<'a>>,
    longest: Vec<LongJson<'a>>,
    gaps: Vec<GapJson<'a>>,
    open: Vec<OpenJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inlined: Vec<InlinedJson<'a>>,
    #[serde(flatten)]
    boot: levels_json::BootJson<'a>,
}

#[derive(Serialize)]
struct InlinedJson<'a> {
    function: &'a str,
    parts: Vec<PartJson<'a>>,
}

#[derive(Serialize)]
struct PartJson<'a> {
    name: &'a str,
    depth: usize,
    file: Option<&'a str>,
    line: Option<u32>,
    bytes: u64,
}

#[derive(Serialize)]
struct Summary<'a> {
    kernel_release: &'a str,
    build_id: &'a str,
    vmlinux_build_id: Option<&'a str>,
    slide: String,
    command_line: &'a str,
    cpus: u32,
    events: u64,
    calls: u64,
    lost: u64,
    loss_places: u64,
    gaps: u64,
    unwritten: u64,
    orphan_exits: u64,
    cut_frames: u64,
    suspect_exits: u64,
    task_mismatches: u64,
    depth_overflows: u64,
    stacks_exhausted: u64,
    cpus_untraced: u64,
    switches: u64,
    tsc_khz: Option<u64>,
    span_ns: Option<u64>,
    span_ticks: u64,
    busy_ns: Option<u64>,
    busy_ticks: u64,
    ended: &'static str,
    ended_detail: &'a str,
    sites: Option<u64>,
    sites_hit: u64,
    sites_in_modules: u64,
    sites_unlisted: u64,
    modules: usize,
    modules_dropped: u64,
    modules_nameless: Vec<NamelessJson<'a>>,
    functions: u64,
    filtered: Option<&'a str>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct NamelessJson<'a> {
    module: &'a str,
    reason: String,
}

#[derive(Serialize)]
struct FunctionJson<'a> {
    name: &'a str,
    module: Option<&'a str>,
    address: String,
    site: String,
    aliases: u32,
    file: Option<&'a str>,
    line: Option<u32>,
    calls: u64,
    total_ns: Option<u64>,
    self_ns: Option<u64>,
    min_ns: Option<u64>,
    max_ns: Option<u64>,
    total_ticks: u64,
    self_ticks: u64,
    min_ticks: Option<u64>,
    max_ticks: Option<u64>,
    idle_calls: u64,
    idle_total_ticks: u64,
    idle_self_ticks: u64,
    cut: u64,
    ended_with_task: u64,
    open: u64,
}

#[derive(Serialize)]
struct TaskJson<'a> {
    name: &'a str,
    pid: u32,
    idle_cpu: Option<u32>,
    on_cpu_ns: Option<u64>,
    on_cpu_ticks: u64,
    self_ns: Option<u64>,
    self_ticks: u64,
    calls: u64,
    switches: u64,
    first_ns: Option<u64>,
    first_ticks: u64,
    ended: bool,
}

#[derive(Serialize)]
struct SubsystemJson<'a> {
    name: &'a str,
    self_ns: Option<u64>,
    self_ticks: u64,
    calls: u64,
}

#[derive(Serialize)]
struct LongJson<'a> {
    name: &'a str,
    total_ns: Option<u64>,
    total_ticks: u64,
    start_ns: Option<u64>,
    start_ticks: u64,
    task: &'a str,
    cpu: u32,
    callers: &'a [String],
}

#[derive(Serialize)]
struct GapJson<'a> {
    cpu: u32,
    offset: Option<u64>,
    reason: &'a str,
}

#[derive(Serialize)]
struct OpenJson<'a> {
    task: &'a str,
    pid: u32,
    stack: Vec<OpenFrameJson<'a>>,
}

#[derive(Serialize)]
struct OpenFrameJson<'a> {
    name: &'a str,
    since_ns: Option<u64>,
    since_ticks: u64,
}

/// Writes the report; `top` limits the functions.
///
/// # Errors
/// Those of the writer.
pub fn write(report: &Report<'_>, top: Option<usize>, mut out: impl Write) -> std::io::Result<()> {
    let clock = report.clock;
    let document = Document {
        json_version: JSON_VERSION,
        summary: summary(report),
        correction: overhead::json(report),
        exits: exits::json(report, top),
        functions: report.functions.iter().take(top.unwrap_or(usize::MAX)).map(|row| function(row, clock)).collect(),
        tasks: report
            .tasks
            .iter()
            .map(|task| TaskJson {
                name: &task.name,
                pid: task.pid,
                idle_cpu: task.idle,
                on_cpu_ns: clock.ns(task.on_cpu),
                on_cpu_ticks: task.on_cpu,
                self_ns: clock.ns(task.traced),
                self_ticks: task.traced,
                calls: task.calls,
                switches: task.switches,
                first_ns: clock.ns(task.first),
                first_ticks: task.first,
                ended: task.ended,
            })
            .collect(),
        subsystems: report
            .subsystems
            .iter()
            .map(|row| SubsystemJson {
                name: &row.name,
                self_ns: clock.ns(row.own),
                self_ticks: row.own,
                calls: row.calls,
            })
            .collect(),
        longest: report
            .longest
            .iter()
            .map(|long| LongJson {
                name: &long.name,
                total_ns: clock.ns(long.total),
                total_ticks: long.total,
                start_ns: clock.ns(long.start),
                start_ticks: long.start,
                task: &long.task,
                cpu: long.cpu,
                callers: &long.path,
            })
            .collect(),
        gaps: report
            .totals
            .gaps
            .iter()
            .map(|(cpu, offset, reason)| GapJson { cpu: *cpu, offset: *offset, reason })
            .collect(),
        boot: levels_json::boot(&report.boot, clock),
        inlined: report
            .inlined
            .iter()
            .map(|(function, parts)| InlinedJson {
                function,
                parts: parts
                    .iter()
                    .map(|part| PartJson {
                        name: &part.name,
                        depth: part.depth,
                        file: part.file.as_deref(),
                        line: part.line,
                        bytes: part.bytes,
                    })
                    .collect(),
            })
            .collect(),
        open: report
            .open
            .iter()
            .map(|open| OpenJson {
                task: &open.task,
                pid: open.pid,
                stack: open
                    .stack
                    .iter()
                    .map(|(name, since)| OpenFrameJson { name, since_ns: clock.ns(*since), since_ticks: *since })
                    .collect(),
            })
            .collect(),
    };
    serde_json::to_writer_pretty(&mut out, &document)?;
    writeln!(out)
}

fn summary<'a>(report: &'a Report<'_>) -> Summary<'a> {
    let (meta, totals, clock) = (report.meta, report.totals, report.clock);
    let (ended, ended_detail) = report.end.words();
    Summary {
        kernel_release: &meta.release,
        build_id: &meta.build_id,
        vmlinux_build_id: report.build_id.as_deref(),
        slide: format!("{:#x}", report.slide.bytes()),
        command_line: &meta.command_line,
        cpus: meta.cpus,
        events: totals.events,
        calls: report.calls(),
        lost: totals.lost,
        loss_places: totals.losses,
        gaps: totals.gap_count,
        unwritten: totals.unwritten,
        orphan_exits: totals.orphans,
        cut_frames: totals.cut,
        suspect_exits: totals.suspect,
        task_mismatches: totals.mismatches,
        depth_overflows: meta.depth_overflows,
        stacks_exhausted: meta.stacks_exhausted,
        cpus_untraced: meta.cpus_untraced,
        switches: totals.switches,
        tsc_khz: clock.khz(),
        span_ns: clock.ns(report.span()),
        span_ticks: report.span(),
        busy_ns: clock.ns(report.busy()),
        busy_ticks: report.busy(),
        ended,
        ended_detail,
        sites: report.coverage.sites,
        sites_hit: report.coverage.hit,
        sites_in_modules: report.coverage.modules,
        sites_unlisted: report.coverage.strangers,
        modules: totals.modules.all.len(),
        modules_dropped: totals.modules.dropped,
        modules_nameless: report
            .nameless
            .iter()
            .map(|(module, why)| NamelessJson { module, reason: why.to_string() })
            .collect(),
        functions: report.functions.len() as u64,
        filtered: report.filtered.as_deref(),
        warnings: &meta.warnings,
    }
}

fn function(row: &FunctionRow, clock: Clock) -> FunctionJson<'_> {
    let returned = row.all.min <= row.all.max;
    let (min, max) = (returned.then_some(row.all.min), returned.then_some(row.all.max));
    FunctionJson {
        name: &row.named.name,
        module: row.named.module.as_deref(),
        address: format!("{:#x}", row.named.address),
        site: format!("{:#x}", row.named.site),
        aliases: row.named.aliases,
        file: row.named.file.as_deref(),
        line: row.named.line,
        calls: row.all.calls,
        total_ns: clock.ns(row.all.total),
        self_ns: clock.ns(row.all.own),
        min_ns: min.and_then(|ticks| clock.ns(ticks)),
        max_ns: max.and_then(|ticks| clock.ns(ticks)),
        total_ticks: row.all.total,
        self_ticks: row.all.own,
        min_ticks: min,
        max_ticks: max,
        idle_calls: row.idle.calls,
        idle_total_ticks: row.idle.total,
        idle_self_ticks: row.idle.own,
        cut: row.unfinished.cut,
        ended_with_task: row.unfinished.ended,
        open: row.unfinished.open,
    }
}
