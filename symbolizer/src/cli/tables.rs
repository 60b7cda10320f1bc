// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Kept boots as rows of the tables that `symbolizer::export::parquet` writes. In: [`Boot`]s. Out: files in a
//! directory of tables. Never here: columns.

use std::path::Path;

use symbolizer::compare::boot::Boot;

/// A directory of tables.
#[derive(Debug)]
pub struct Tables {
    #[cfg(feature = "parquet")]
    place: symbolizer::export::parquet::place::Place,
}

#[cfg(not(feature = "parquet"))]
impl Tables {
    /// Without the library there are none.
    pub fn new(_: &Path) -> anyhow::Result<Tables> {
        anyhow::bail!(super::format::WITHOUT_PARQUET)
    }

    /// Nothing can be written.
    pub fn write(&mut self, _: &Boot) -> anyhow::Result<()> {
        anyhow::bail!(super::format::WITHOUT_PARQUET)
    }
}

#[cfg(feature = "parquet")]
mod rows {
    use std::collections::HashSet;

    use bootlevel::Phase;
    use symbolizer::compare::boot::{Boot, Function};
    use symbolizer::export::parquet::columns::{self, BootRow, FunctionRow, InitcallRow, LevelRow};
    use symbolizer::export::parquet::table::Table;
    use symbolizer::resolve::tree;
    use symbolizer::trace_dir::meta::Ended;

    fn phase(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.name() == name)
    }

    fn ns(boot: &Boot, time: u64) -> Option<u64> {
        boot.ns.then_some(time)
    }

    /// The tables of one boot. What a kept boot does not know is `NULL`, or empty.
    pub fn of(boot: &Boot) -> [Table; 4] {
        [functions(boot), initcalls(boot), levels(boot), boots(boot)]
    }

    fn functions(boot: &Boot) -> Table {
        let sums = &boot.sums;
        let row = |at: usize| -> Option<FunctionRow<'_>> {
            let function = boot.functions.get(*sums.function.get(at)? as usize)?;
            let level = sums.level.get(at).and_then(|&level| Phase::ALL.get(usize::from(level)).copied());
            Some(FunctionRow {
                level: columns::level(level),
                function: &function.name,
                module: &function.module,
                subsystem: subsystem(function),
                file: &function.file,
                calls: *sums.calls.get(at)?,
                total_ns: ns(boot, *sums.total.get(at)?),
                self_ns: ns(boot, *sums.own.get(at)?),
                ..FunctionRow::default()
            })
        };
        columns::functions((0..sums.function.len()).filter_map(row).collect())
    }

    fn subsystem(function: &Function) -> &str {
        match (function.file.is_empty(), function.module.is_empty()) {
            (false, _) => tree::subsystem(&function.file),
            (true, false) => "[modules]",
            (true, true) => "[no source known]",
        }
    }

    fn initcalls(boot: &Boot) -> Table {
        let rows: Vec<InitcallRow<'_>> = boot
            .initcalls
            .iter()
            .map(|initcall| InitcallRow {
                level: columns::level(phase(&initcall.level)),
                kind: &initcall.kind,
                function: &initcall.name,
                module: &initcall.module,
                time_ns: ns(boot, initcall.time),
                on_cpu_ns: ns(boot, initcall.on_cpu),
                calls: initcall.calls,
                runs: initcall.runs,
                ..InitcallRow::default()
            })
            .collect();
        columns::initcalls(&rows)
    }

    fn levels(boot: &Boot) -> Table {
        let rows: Vec<LevelRow<'_>> = boot
            .levels
            .iter()
            .map(|level| {
                let inside = || boot.initcalls.iter().filter(|initcall| initcall.level == level.name);
                LevelRow {
                    level: columns::level(phase(&level.name)),
                    began_ns: ns(boot, level.began),
                    time_ns: ns(boot, level.time),
                    busy_ns: ns(boot, level.busy),
                    events: level.events,
                    calls: level.calls,
                    bytes: None,
                    initcalls: inside().map(|initcall| initcall.runs).fold(0, u64::saturating_add),
                    slowest: inside().max_by_key(|initcall| initcall.time).map_or("", |initcall| &*initcall.name),
                }
            })
            .collect();
        columns::levels(&rows)
    }

    fn boots(boot: &Boot) -> Table {
        let (meta, totals) = (&boot.meta, &boot.totals);
        let called: HashSet<u32> = boot.sums.function.iter().copied().collect();
        columns::boots(BootRow {
            started_at: meta.started_at,
            build_id: &meta.build_id,
            command_line: &meta.command_line,
            options: boot.options.as_deref().unwrap_or_default(),
            origin: &meta.origin,
            recorder: &meta.tool,
            filtered: boot.filtered.as_deref().unwrap_or_default(),
            cpus: u64::from(meta.cpus),
            tsc_khz: meta.tsc_khz.filter(|_| boot.ns),
            span_ns: ns(boot, totals.span),
            busy_ns: ns(boot, totals.busy),
            events: totals.events,
            calls: totals.calls,
            functions: called.len() as u64,
            switches: None,
            lost: totals.lost,
            gaps: totals.gaps,
            sites: None,
            sites_hit: None,
            ended: &totals.ended,
            ended_detail: match &meta.ended {
                Some(Ended::Stopped { detail } | Ended::Died { detail }) => detail,
                _ => "",
            },
            name: &boot.name,
            deterministic: meta.deterministic,
        })
    }
}

#[cfg(feature = "parquet")]
impl Tables {
    /// Below this directory; it is made if need be.
    pub fn new(directory: &Path) -> anyhow::Result<Tables> {
        Ok(Tables { place: symbolizer::export::parquet::place::Place::new(directory.to_owned())? })
    }

    /// Writes a boot; an earlier one of the same recording is replaced.
    pub fn write(&mut self, boot: &Boot) -> anyhow::Result<()> {
        let place = symbolizer::export::parquet::place::Boot::new(&boot.meta, boot.meta.first_tsc, None);
        Ok(self.place.write(&place, &rows::of(boot))?)
    }
}
