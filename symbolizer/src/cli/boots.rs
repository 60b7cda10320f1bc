// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Boots to compare, as arguments: traces, kept boots, directories of either, and vmlinux files among them, which are
//! told by what they are. In: paths. Out: [`Boot`]s, in the order given. A few traces are read at a time. Never here:
//! figures, output.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use symbolizer::calltree::both::Both;
use symbolizer::calltree::by_cpu::ByCpu;
use symbolizer::calltree::contexts::{Contexts, Grouping};
use symbolizer::calltree::{Filter, Site};
use symbolizer::compare::boot::Boot;
use symbolizer::compare::identity::Identity;
use symbolizer::compare::kept;
use symbolizer::report::model::Sort;
use symbolizer::report::style::printable;
use symbolizer::resolve::{Vmlinux, find};
use symbolizer::trace_dir::Meta;
use symbolizer::trace_dir::meta::META_FILE;

use super::analysis;
use super::filters::Filters;
use super::phases::Phases;
use super::side_by_side;
use super::source::Reading;

/// How deep a directory of boots is searched.
const MOST_DEPTH: usize = 4;

/// Most boots that are taken from directories.
const MOST_BOOTS: usize = 100_000;

/// How boots are read.
#[derive(clap::Args, Debug, Default)]
pub struct Boots {
    /// The vmlinux of a kernel that was traced; found by build ID among those given (may be repeated), beside the
    /// trace, where its recorder had it, and where packages put it
    #[arg(long, value_name = "PATH")]
    vmlinux: Vec<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    filters: Filters,
}

/// Arguments by what they are.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Traces and kept boots, in the order given; those of a directory by name.
    pub boots: Vec<PathBuf>,
    /// vmlinux files.
    pub vmlinux: Vec<PathBuf>,
}

/// What the paths are.
///
/// # Errors
/// A path that is not there, or is nothing that can be compared; a directory without boots.
pub fn look(paths: &[PathBuf]) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for path in paths {
        let told = std::fs::metadata(path).with_context(|| format!("{}: cannot read it", path.display()))?;
        let before = found.boots.len();
        if told.is_dir() {
            look_in(path, 0, &mut found.boots);
            anyhow::ensure!(
                found.boots.len() > before,
                "{}: neither a trace nor a directory of traces or kept boots (*{})",
                path.display(),
                kept::ENDING
            );
        } else if is_elf(path) {
            found.vmlinux.push(path.clone());
        } else {
            found.boots.push(path.clone());
        }
    }
    let mut known: HashSet<PathBuf> = HashSet::new();
    found.boots.retain(|path| known.insert(std::fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
    Ok(found)
}

/// Boots that were read already: each counts once, or it would make look certain what is not.
#[derive(Debug, Default)]
pub struct Known(HashMap<Identity, String>);

impl Known {
    /// Those that were not; of others it is said.
    pub fn only_new(&mut self, mut boots: Vec<Boot>) -> Vec<Boot> {
        boots.retain(|boot| {
            let identity = Identity::of(boot);
            if !identity.is_known() {
                return true;
            }
            if let Some(name) = self.0.get(&identity) {
                let (again, name) = (printable(&boot.name), printable(name));
                anstream::eprintln!("symbolize: note: {again} is the same boot as {name}, which counts once");
                return false;
            }
            self.0.insert(identity, boot.name.clone());
            true
        });
        boots
    }

    /// The first of these that is among them.
    pub fn find<'b>(&self, boots: &'b [Boot]) -> Option<&'b Boot> {
        boots.iter().find(|boot| self.0.contains_key(&Identity::of(boot)))
    }
}

fn look_in(path: &Path, depth: usize, boots: &mut Vec<PathBuf>) {
    if boots.len() >= MOST_BOOTS {
        return;
    }
    if path.join(META_FILE).is_file() {
        return boots.push(path.to_owned());
    }
    let Ok(entries) = std::fs::read_dir(path) else { return };
    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        // Links are not followed into directories: they may lead back up.
        if entry.is_dir() && !entry.is_symlink() && depth < MOST_DEPTH {
            look_in(&entry, depth + 1, boots);
        } else if is_kept(&entry) {
            boots.push(entry);
        }
    }
}

fn is_kept(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(kept::ENDING)) && path.is_file()
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}

impl Boots {
    /// Reads all, some at a time; `vmlinux` are further ones that were found among the arguments.
    ///
    /// # Errors
    /// The first that cannot be read, with its path.
    pub fn read(&self, paths: &[PathBuf], vmlinux: &[PathBuf], phases: &Phases) -> anyhow::Result<Vec<Boot>> {
        let named: Vec<PathBuf> = self.vmlinux.iter().chain(vmlinux).cloned().collect();
        let mut boots: Vec<Option<Boot>> = paths.iter().map(|_| None).collect();
        let one = |path: &Path| self.one(path, &named);
        side_by_side::read(paths, "reading boots", phases, one, |number, boot| boots[number] = Some(boot))?;
        Ok(boots.into_iter().flatten().collect())
    }

    fn one(&self, path: &Path, named: &[PathBuf]) -> anyhow::Result<Boot> {
        if path.is_dir() {
            return self.of_trace(path, named).with_context(|| path.display().to_string());
        }
        let mut boot = kept::read(path)?;
        if boot.name.is_empty() {
            boot.name = path.display().to_string();
        }
        Ok(boot)
    }

    /// Reads a trace.
    fn of_trace(&self, trace: &Path, named: &[PathBuf]) -> anyhow::Result<Boot> {
        let meta = Meta::read(trace)?;
        let vmlinux = self.vmlinux_of(&meta, trace, named)?;
        let mut phases = Phases::quiet();
        let mut opened = self.reading.open(trace, &vmlinux, &mut phases)?;
        let wanted = opened.wanted(&self.filters, &mut phases)?;
        let words = opened.told(&self.filters)?;
        let name_of = |site: Site<'_>| opened.names.quick(site).name;
        let filter = || Filter::new(wanted.clone(), &name_of);
        let grouping = Grouping { phases: true, tasks: false };
        let mut contexts = Contexts::new(filter(), opened.timeline.clone(), grouping);
        let mut by_cpu = ByCpu::default();
        let analysis = analysis::run(&opened, filter(), &mut Both(&mut contexts, &mut by_cpu), &mut phases);
        let named = analysis.named(&opened, &mut phases)?;
        let report = analysis.report(&opened, named.clone(), Sort::Name, words);
        Ok(Boot::of(&trace.display().to_string(), &report, &named, &contexts.finish(), &by_cpu))
    }

    fn vmlinux_of(&self, meta: &Meta, trace: &Path, named: &[PathBuf]) -> anyhow::Result<Vmlinux> {
        let above = trace.parent().map(Path::to_owned).unwrap_or_default();
        let beside = [trace.to_owned(), above, PathBuf::from(&meta.vmlinux)];
        if let Some(path) = find::find(&meta.build_id, &meta.release, named, &beside) {
            return Ok(Vmlinux::open(&path)?);
        }
        // One that does not fit is refused by its build ID, with words, or taken with --force.
        if let [only] = named {
            return Ok(Vmlinux::open(only)?);
        }
        anyhow::bail!(
            "no vmlinux with build ID {} (Linux {}) was found; name it with --vmlinux PATH",
            if meta.build_id.is_empty() { "(none)".to_owned() } else { printable(&meta.build_id) },
            printable(&meta.release)
        )
    }
}
