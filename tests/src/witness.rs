// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Boots under the witness plugin. In: an [`Image`]. Out: QEMU arguments that load the plugin, its
//! counts after the boot, and where a trace differs from them. Never here: what the plugin does
//! (`tests/witness/`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::image::Image;
use crate::recording::{Traced, number};
use crate::workspace;

/// The plugin, and what it is told about one kernel.
#[derive(Debug)]
pub struct Witness {
    library: PathBuf,
    sites_file: PathBuf,
    /// Sorted addresses of the kernel's call instructions.
    pub sites: Vec<u64>,
}

/// Instructions that a boot executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instructions {
    /// In the tracer's code, where the image alone tells its place.
    pub hook: u64,
    /// In the rest of the kernel.
    pub kernel: u64,
    /// In init.
    pub user: u64,
    /// In the firmware and before paging.
    pub other: u64,
}

/// What the plugin saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// None when they were not counted.
    pub instructions: Option<Instructions>,
    /// The kernel's instructions by 2 MiB page, for [`Counts::instructions_with`].
    pub kernel_pages: BTreeMap<u64, u64>,
    /// Executions of each call instruction that was executed at all.
    pub sites: BTreeMap<u64, u64>,
}

impl Witness {
    /// Builds the plugin and writes the kernel's sites into `directory`.
    ///
    /// # Errors
    /// When the kernel has no table of sites, or the build or the disk fails.
    pub fn prepare(image: &Image, directory: &Path) -> Result<Self> {
        let library = workspace::build_release("witness", "witness")?;
        let sites = image.call_sites()?;
        let sites_file = directory.join("sites");
        let bytes: Vec<u8> = sites.iter().flat_map(|site| site.to_le_bytes()).collect();
        std::fs::write(&sites_file, bytes).with_context(|| format!("cannot write {}", sites_file.display()))?;
        Ok(Self { library, sites_file, sites })
    }

    /// QEMU arguments that make the plugin write its counts to `out`. Instructions are exact only with
    /// [`crate::machine::Machine::single_thread`] or one CPU.
    pub fn arguments(&self, out: &Path, instructions: bool) -> Vec<OsString> {
        let mut plugin = escaped(&self.library);
        for (name, path) in [(",sites=", &*self.sites_file), (",out=", out)] {
            plugin.push(name);
            plugin.push(escaped(path));
        }
        plugin.push(if instructions { ",insns=on" } else { ",insns=off" });
        vec!["-plugin".into(), plugin]
    }
}

/// In QEMU's option lists a comma stands twice.
fn escaped(path: &Path) -> OsString {
    path.to_string_lossy().replace(',', ",,").into()
}

impl Counts {
    /// Reads what the plugin wrote.
    ///
    /// # Errors
    /// When it wrote nothing, or not its JSON.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path)
            .with_context(|| format!("no counts of the witness at {} (did QEMU load the plugin?)", path.display()))?;
        let json: Value = serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))?;
        let instructions = match json.get("insns") {
            None => None,
            Some(insns) => Some(Instructions {
                hook: number(insns, "/hook")?,
                kernel: number(insns, "/kernel")?,
                user: number(insns, "/user")?,
                other: number(insns, "/other")?,
            }),
        };
        let list = |name: &str| -> Result<BTreeMap<u64, u64>> {
            let pairs = json.get(name).and_then(Value::as_array).with_context(|| format!("no list {name} in it"))?;
            pairs.iter().map(|pair| Ok((number(pair, "/0")?, number(pair, "/1")?))).collect()
        };
        let kernel_pages = if instructions.is_some() { list("kernel_pages")? } else { BTreeMap::new() };
        Ok(Self { instructions, kernel_pages, sites: list("sites")? })
    }

    /// The instructions, with those in `region` given to the tracer: where it mapped its code is known
    /// only after the boot, from the trace.
    ///
    /// # Errors
    /// When none were counted, or `region` is not made of whole pages.
    pub fn instructions_with(&self, region: Range<u64>) -> Result<Instructions> {
        const PAGE: u64 = 2 << 20;
        let counted = self.instructions.context("the witness counted no instructions")?;
        if region.is_empty() || !region.start.is_multiple_of(PAGE) {
            bail!("the tracer's region {region:#x?} does not begin with a 2 MiB page");
        }
        let moved: u64 = self.kernel_pages.range(region).map(|(_, count)| count).sum();
        Ok(Instructions { hook: counted.hook + moved, kernel: counted.kernel - moved, ..counted })
    }

    /// All calls.
    pub fn calls(&self) -> u64 {
        self.sites.values().sum()
    }
}

/// A function whose calls the trace counts otherwise than the witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Address of the call instruction.
    pub site: u64,
    /// The trace's name for it.
    pub name: Option<String>,
    /// Calls in the trace.
    pub traced: u64,
    /// Executions that the witness saw.
    pub witnessed: u64,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("(not in the trace)");
        write!(f, "{:#x} {name}: traced {}, witnessed {}", self.site, self.traced, self.witnessed)
    }
}

/// Compares site by site.
pub fn mismatches(traced: &BTreeMap<u64, Traced>, counts: &Counts) -> Vec<Mismatch> {
    let sites: std::collections::BTreeSet<u64> = traced.keys().chain(counts.sites.keys()).copied().collect();
    let mismatch = |site| {
        let function = traced.get(&site);
        let (calls, witnessed) = (function.map_or(0, |f| f.calls), counts.sites.get(&site).copied().unwrap_or(0));
        (calls != witnessed).then(|| Mismatch {
            site,
            name: function.map(|f| f.name.clone()),
            traced: calls,
            witnessed,
        })
    };
    sites.into_iter().filter_map(mismatch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_in_either_direction_is_a_mismatch() {
        let function = |name: &str, calls| Traced { name: name.into(), calls };
        let traced = BTreeMap::from([(1, function("same", 5)), (2, function("fewer", 5)), (3, function("only", 1))]);
        let counts = Counts {
            instructions: None,
            kernel_pages: BTreeMap::new(),
            sites: BTreeMap::from([(1, 5), (2, 6), (4, 9)]),
        };
        let found: Vec<_> = mismatches(&traced, &counts).iter().map(Mismatch::to_string).collect();
        assert_eq!(
            found,
            [
                "0x2 fewer: traced 5, witnessed 6",
                "0x3 only: traced 1, witnessed 0",
                "0x4 (not in the trace): traced 0, witnessed 9",
            ]
        );
    }

    #[test]
    fn instructions_in_the_region_are_the_tracer_s() {
        let region = 0xffff_ffff_9000_0000..0xffff_ffff_9060_0000;
        let counts = Counts {
            instructions: Some(Instructions { hook: 5, kernel: 100, user: 7, other: 9 }),
            kernel_pages: BTreeMap::from([(0xffff_ffff_8100_0000, 60), (region.start, 30), (region.end, 10)]),
            sites: BTreeMap::new(),
        };
        let found = counts.instructions_with(region).expect("whole pages");
        assert_eq!(found, Instructions { hook: 35, kernel: 70, user: 7, other: 9 });
        assert!(counts.instructions_with(0..0).is_err());
        assert!(counts.instructions_with(0xffff_ffff_9000_1000..0xffff_ffff_9040_0000).is_err());
    }

    #[test]
    fn commas_in_paths_are_doubled_for_qemu() {
        assert_eq!(escaped(Path::new("/a,b/c")), "/a,,b/c");
    }
}
