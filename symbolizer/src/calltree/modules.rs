// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The modules that were loaded in the boot, and whose code stood where and when. In: marks of each
//! task, one after the other. Out: [`Module`]s, and the module whose code is at an address just now.
//! All of it comes from the guest: counts and sizes are bounded, names are fit for a terminal. Never
//! here: files, symbols.
//!
//! A description is written by the task that loads the module, in one go: name, build ID, executable
//! sections, and at its end [`Mark::ModuleLoaded`]. Where a part of it is missing it is dropped and
//! counted: a function without a module is better than one with the wrong name. Code of a module stays
//! known after it was freed, until a later module lies there: nothing tells of the freeing, and nothing
//! traced runs there in between.

use std::collections::{BTreeMap, HashMap};

use early_ftrace_format::mark::{BUILD_ID_PARTS, Mark, NAME_PARTS, TEXT_BYTES};
use early_ftrace_format::word::KERNEL_HIGH;

use super::task::TaskId;

/// A module by its number in the order in which their descriptions came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(pub u32);

impl ModuleId {
    /// As an index into [`Modules::all`].
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// More than any boot loads, with those that are loaded again and again.
pub const MOST_MODULES: usize = 4096;

/// Executable sections of one module. Modules built with `-ffunction-sections` have had them merged.
pub const MOST_SECTIONS: usize = 64;

/// The largest section: the modules' area has 1 GiB at most.
const MOST_BYTES: u32 = 1 << 30;

/// Tasks that load a module at the same time.
const MOST_OPEN: usize = 64;

/// `MODULES_VADDR` of a kernel without `CONFIG_RANDOMIZE_BASE`, the lowest there is (arch/x86/include/asm/
/// pgtable_64_types.h), as a low half. Below lies the kernel's own code, which no module replaces.
pub const LOWEST: u32 = 0xa000_0000;

/// An executable section of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its index in the .ko.
    pub index: u16,
    /// Where it was loaded.
    pub address: u64,
    /// Bytes.
    pub size: u32,
}

impl Section {
    /// Whether an address is in it.
    pub const fn contains(&self, address: u64) -> bool {
        address >= self.address && address - self.address < self.size as u64
    }
}

/// A module as it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Its name, as `lsmod` shows it.
    pub name: String,
    /// Its build ID in hexadecimal; empty if the guest found none.
    pub build_id: String,
    /// Those with code, by index.
    pub sections: Vec<Section>,
    /// Ticks when it was loaded, before its init function ran.
    pub loaded: u64,
}

impl Module {
    /// The section that an address is in.
    pub fn section(&self, address: u64) -> Option<&Section> {
        self.sections.iter().find(|section| section.contains(address))
    }
}

impl Module {
    /// Whether its sections can be.
    fn is_possible(&self) -> bool {
        self.sections.len() <= MOST_SECTIONS
            && self.sections.iter().all(|section| {
                let low = section.address as u32;
                let end = section.size.checked_sub(1).and_then(|last| low.checked_add(last));
                section.address == KERNEL_HIGH | u64::from(low)
                    && low >= LOWEST
                    && section.size <= MOST_BYTES
                    && end.is_some()
            })
    }
}

/// A description whose end has not come yet.
#[derive(Debug, Default)]
struct Open {
    name: [Option<u32>; NAME_PARTS as usize],
    build_id: [Option<u32>; BUILD_ID_PARTS as usize],
    /// Address and size by index.
    sections: BTreeMap<u16, (Option<u32>, Option<u32>)>,
    /// More than a module can have.
    too_much: bool,
}

/// Code that stands somewhere just now, under the low half of its start.
#[derive(Clone, Copy, Debug)]
struct Code {
    /// Low half of the last address.
    last: u32,
    module: ModuleId,
}

/// All modules so far.
#[derive(Debug, Default)]
pub struct Modules {
    /// In order of their numbers.
    pub all: Vec<Module>,
    /// Descriptions that were dropped: parts missing, impossible, or too many.
    pub dropped: u64,
    open: HashMap<TaskId, Open>,
    code: BTreeMap<u32, Code>,
}

/// What changes when a module is loaded: ranges of low halves, first and last address.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What belonged to modules that are gone, or to nobody.
    pub cleared: Vec<(u32, u32)>,
}

impl Modules {
    /// Takes a mark of a task. Some if with it a module is complete. Marks that say nothing of modules
    /// change nothing.
    pub fn mark(&mut self, task: TaskId, mark: Mark, value: u32, time: u64) -> Option<(ModuleId, Change)> {
        match mark {
            Mark::ModuleName(0) => {
                if self.open.remove(&task).is_some() {
                    self.dropped += 1;
                }
                if self.open.len() < MOST_OPEN {
                    self.open.entry(task).or_default().name[0] = Some(value);
                } else {
                    self.dropped += 1;
                }
            }
            Mark::ModuleName(part) => self.part(task, |open| &mut open.name[usize::from(part)], value),
            Mark::ModuleBuildId(part) => self.part(task, |open| &mut open.build_id[usize::from(part)], value),
            Mark::SectionAddress(index) => self.section(task, index, |section| section.0 = Some(value)),
            Mark::SectionSize(index) => self.section(task, index, |section| section.1 = Some(value)),
            Mark::ModuleLoaded => {
                let module = self.open.remove(&task).and_then(|open| open.finish(time));
                match module.filter(|_| self.all.len() < MOST_MODULES) {
                    Some(module) => return Some(self.load(module)),
                    None => self.dropped += 1,
                }
            }
            _ => {}
        }
        None
    }

    /// Events were lost: descriptions that are under way may lack a part, even their whole middle.
    pub fn lose(&mut self) {
        self.dropped += self.open.len() as u64;
        self.open.clear();
    }

    /// The module whose code is at a site just now.
    pub fn at(&self, site: u32) -> Option<ModuleId> {
        let (_, code) = self.code.range(..=site).next_back()?;
        (site <= code.last).then_some(code.module)
    }

    /// Whether a description is under way.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// As they were when these had been loaded, in this order.
    pub(super) fn restore(all: &[Module], dropped: u64) -> Option<Modules> {
        let mut modules = Modules { dropped, ..Modules::default() };
        for module in all {
            if modules.all.len() == MOST_MODULES || !module.is_possible() {
                return None;
            }
            modules.load(module.clone());
        }
        Some(modules)
    }

    /// The module that had code at an address at a time: the one loaded last before it.
    pub fn loaded_at(&self, address: u64, time: u64) -> Option<&Module> {
        self.all.iter().rev().find(|module| module.loaded <= time && module.section(address).is_some())
    }

    /// The module with this number.
    pub fn get(&self, id: ModuleId) -> Option<&Module> {
        self.all.get(id.index())
    }

    fn part(&mut self, task: TaskId, slot: impl Fn(&mut Open) -> &mut Option<u32>, value: u32) {
        if let Some(open) = self.open.get_mut(&task) {
            *slot(open) = Some(value);
        }
    }

    fn section(&mut self, task: TaskId, index: u16, set: impl Fn(&mut (Option<u32>, Option<u32>))) {
        if let Some(open) = self.open.get_mut(&task) {
            if open.sections.len() < MOST_SECTIONS || open.sections.contains_key(&index) {
                set(open.sections.entry(index).or_default());
            } else {
                open.too_much = true;
            }
        }
    }

    fn load(&mut self, module: Module) -> (ModuleId, Change) {
        let id = ModuleId(self.all.len() as u32);
        let mut change = Change::default();
        for section in &module.sections {
            let (first, last) = (section.address as u32, section.address as u32 + (section.size - 1));
            // CPUs are not merged event by event: what was loaded later may have come before.
            if self.is_newer(first, last, module.loaded) {
                continue;
            }
            // What overlaps was freed as a whole, and so was what is left of it.
            while let Some((start, code)) = self.overlapping(first, last) {
                self.code.remove(&start);
                change.cleared.push((start, code.last));
            }
            self.code.insert(first, Code { last, module: id });
            change.cleared.push((first, last));
        }
        self.all.push(module);
        (id, change)
    }

    /// Whether a module that was loaded later than `time` overlaps.
    fn is_newer(&self, first: u32, last: u32, time: u64) -> bool {
        let mut overlapping = self.code.range(..=last).rev().take_while(|(_, code)| code.last >= first);
        overlapping.any(|(_, code)| self.get(code.module).is_some_and(|module| module.loaded > time))
    }

    fn overlapping(&self, first: u32, last: u32) -> Option<(u32, Code)> {
        let (&start, &code) = self.code.range(..=last).next_back()?;
        (code.last >= first).then_some((start, code))
    }
}

impl Open {
    /// The module, if nothing is missing or impossible.
    fn finish(self, loaded: u64) -> Option<Module> {
        let text = text(&self.name)?;
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
        let name: String = String::from_utf8_lossy(&text[..end])
            .chars()
            .map(|c| if c.is_control() || c.is_whitespace() { '\u{fffd}' } else { c })
            .collect();
        let build_id: String = self::text(&self.build_id)?.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut sections = Vec::new();
        for (index, section) in self.sections {
            let (Some(address), Some(size)) = section else { return None };
            if size == 0 {
                continue;
            }
            let end = address.checked_add(size - 1);
            if address < LOWEST || size > MOST_BYTES || end.is_none() {
                return None;
            }
            sections.push(Section { index, address: KERNEL_HIGH | u64::from(address), size });
        }
        let mut ends: Vec<(u64, u64)> = sections.iter().map(|s| (s.address, s.address + u64::from(s.size))).collect();
        ends.sort_unstable();
        let apart = ends.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        (apart && !name.is_empty() && !self.too_much).then_some(Module { name, build_id, sections, loaded })
    }
}

/// The bytes of parts; `None` if there is a hole in them. Parts at the end may be absent.
fn text(parts: &[Option<u32>]) -> Option<Vec<u8>> {
    let count = parts.iter().take_while(|part| part.is_some()).count();
    if parts[count..].iter().any(Option::is_some) {
        return None;
    }
    let mut bytes = Vec::with_capacity(count * TEXT_BYTES);
    bytes.extend(parts.iter().flatten().flat_map(|part| part.to_le_bytes()));
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: TaskId = TaskId(3);

    fn describe(modules: &mut Modules, task: TaskId, name: &str, sections: &[(u16, u32, u32)]) {
        for (part, bytes) in (0..).zip(name.as_bytes().chunks(4)) {
            let mut padded = [0; 4];
            padded[..bytes.len()].copy_from_slice(bytes);
            modules.mark(task, Mark::ModuleName(part), u32::from_le_bytes(padded), 0);
        }
        modules.mark(task, Mark::ModuleBuildId(0), u32::from_le_bytes([1, 2, 3, 4]), 0);
        for &(index, address, size) in sections {
            modules.mark(task, Mark::SectionAddress(index), address, 0);
            modules.mark(task, Mark::SectionSize(index), size, 0);
        }
    }

    fn load(modules: &mut Modules, name: &str, sections: &[(u16, u32, u32)], time: u64) -> Option<(ModuleId, Change)> {
        describe(modules, TASK, name, sections);
        modules.mark(TASK, Mark::ModuleLoaded, 0, time)
    }

    #[test]
    fn a_description_becomes_a_module() {
        let mut modules = Modules::default();
        let sections = [(9, 0xc000_8000, 0x10), (3, 0xc000_0000, 0x1000), (5, 0, 0)];
        let (id, change) = load(&mut modules, "virtio_ring", &sections, 77).unwrap();
        let module = modules.get(id).unwrap();
        assert_eq!((module.name.as_str(), module.build_id.as_str(), module.loaded), ("virtio_ring", "01020304", 77));
        assert_eq!(module.sections.iter().map(|s| (s.index, s.size)).collect::<Vec<_>>(), [(3, 0x1000), (9, 0x10)]);
        assert_eq!(change.cleared, [(0xc000_0000, 0xc000_0fff), (0xc000_8000, 0xc000_800f)]);
        assert_eq!(modules.at(0xc000_0fff), Some(id));
        assert_eq!(modules.at(0xc000_1000), None);
        assert_eq!(modules.at(0xbfff_ffff), None);
        assert_eq!(module.section(0xffff_ffff_c000_8005).map(|s| s.index), Some(9));
    }

    #[test]
    fn what_overlaps_is_gone_as_a_whole() {
        let mut modules = Modules::default();
        load(&mut modules, "first", &[(1, 0xc000_0000, 0x1000), (2, 0xc000_4000, 0x2000)], 1);
        let (second, change) = load(&mut modules, "second", &[(1, 0xc000_4800, 0x100)], 2).unwrap();
        assert_eq!(change.cleared, [(0xc000_4000, 0xc000_5fff), (0xc000_4800, 0xc000_48ff)]);
        assert_eq!(modules.at(0xc000_0010), Some(ModuleId(0)), "the other section stays");
        assert_eq!(modules.at(0xc000_4810), Some(second));
        assert_eq!(modules.at(0xc000_4010), None);
        assert_eq!(modules.at(0xc000_5010), None);
    }

    #[test]
    fn a_load_that_comes_late_replaces_nothing() {
        let mut modules = Modules::default();
        let (newer, _) = load(&mut modules, "newer", &[(1, 0xc000_0000, 16)], 20).unwrap();
        let (older, change) = load(&mut modules, "older", &[(1, 0xc000_0000, 32), (2, 0xc000_1000, 16)], 10).unwrap();
        assert_eq!(change.cleared, [(0xc000_1000, 0xc000_100f)]);
        assert_eq!((modules.at(0xc000_0000), modules.at(0xc000_1000)), (Some(newer), Some(older)));
    }

    #[test]
    fn two_tasks_load_at_the_same_time() {
        let mut modules = Modules::default();
        describe(&mut modules, TaskId(1), "one", &[(1, 0xc000_0000, 16)]);
        describe(&mut modules, TaskId(2), "two", &[(1, 0xc000_1000, 16)]);
        modules.mark(TaskId(1), Mark::ModuleLoaded, 0, 1);
        modules.mark(TaskId(2), Mark::ModuleLoaded, 0, 2);
        let names: Vec<&str> = modules.all.iter().map(|module| module.name.as_str()).collect();
        assert_eq!((names, modules.dropped), (vec!["one", "two"], 0));
    }

    #[test]
    fn what_has_no_begin_or_no_end_is_dropped() {
        let mut modules = Modules::default();
        assert!(modules.mark(TASK, Mark::ModuleLoaded, 0, 0).is_none(), "no description");
        assert_eq!(modules.dropped, 1);
        describe(&mut modules, TASK, "lost", &[]);
        modules.lose();
        assert_eq!(modules.dropped, 2);
        assert!(modules.mark(TASK, Mark::ModuleLoaded, 0, 0).is_none(), "its begin was lost");
        describe(&mut modules, TASK, "never", &[]);
        describe(&mut modules, TASK, "ended", &[]);
        assert_eq!(modules.dropped, 4, "the one before has no end");
    }

    #[test]
    fn impossible_sections_and_names_are_refused() {
        for (sections, why) in [
            (&[(1, 0x8100_0000, 16)][..], "in the kernel"),
            (&[(1, 0xffff_fff0, 32)], "past the end"),
            (&[(1, 0xc000_0000, u32::MAX)], "too large"),
            (&[(1, 0xc000_0000, 32), (2, 0xc000_0010, 32)], "on top of each other"),
        ] {
            let mut modules = Modules::default();
            assert!(load(&mut modules, "bad", sections, 0).is_none(), "{why}");
            assert_eq!(modules.dropped, 1, "{why}");
        }
        let mut modules = Modules::default();
        let many: Vec<(u16, u32, u32)> = (0..65).map(|i| (i, 0xc000_0000 + u32::from(i) * 16, 16)).collect();
        assert!(load(&mut modules, "many", &many, 0).is_none());
        describe(&mut modules, TASK, "hole", &[]);
        modules.mark(TASK, Mark::ModuleName(9), 1, 0);
        assert!(modules.mark(TASK, Mark::ModuleLoaded, 0, 0).is_none());
        describe(&mut modules, TASK, "half", &[]);
        modules.mark(TASK, Mark::SectionAddress(1), 0xc000_0000, 0);
        assert!(modules.mark(TASK, Mark::ModuleLoaded, 0, 0).is_none());
        assert!(load(&mut modules, "\x1b[2J", &[], 0).is_some());
        assert_eq!(modules.all[0].name, "\u{fffd}[2J");
    }

    #[test]
    fn floods_are_bounded() {
        let mut modules = Modules::default();
        for task in 0..1000 {
            describe(&mut modules, TaskId(task), "open", &[]);
        }
        assert_eq!(modules.open.len(), MOST_OPEN);
        modules.lose();
        for time in 0..MOST_MODULES as u64 + 10 {
            load(&mut modules, "again", &[(1, 0xc000_0000, 16)], time);
        }
        assert_eq!(modules.all.len(), MOST_MODULES);
        assert_eq!(modules.code.len(), 1);
    }
}
