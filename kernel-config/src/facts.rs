// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `KernelFacts`: all that the guest must know about one kernel, as one plain struct. In: an image with
//! symbols and DWARF, or BTF. Out: numbers. The in-tree build will fill the same struct from the build.

use crate::btf::Types;
use crate::dwarf::Sections;
use crate::error::InjectError;
use crate::image::{Image, Symbol};
use early_ftrace::facts::KERNEL_ADDRESSES;
use std::collections::HashMap;

/// Facts of one kernel. Addresses are virtual link addresses; offsets are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFacts {
    /// Offset of `current_task` in the per-CPU area.
    pub current_task: u64,
    /// Offset of a 64-byte hole in the per-CPU area, for `early_ftrace::percpu::Slots`.
    pub slots: u64,
    /// Offsets in `struct task_struct`.
    pub task: TaskFacts,
    /// `__fentry__`, which the call sites call.
    pub fentry: u64,
    /// `__start_mcount_loc` and `__stop_mcount_loc`: the table of call sites.
    pub mcount_loc: (u64, u64),
    /// `init_task`.
    pub init_task: u64,
    /// `__per_cpu_offset`.
    pub per_cpu_offset: u64,
    /// `__per_cpu_load`: where the boot CPU's per-CPU area lies in the image.
    pub per_cpu_load: u64,
    /// `level2_fixmap_pgt`.
    pub level2_fixmap_pgt: u64,
    /// `pvh_level3_kernel_pgt` (6.11 and later): the PVH entry has page tables of its own.
    pub pvh_level3: Option<u64>,
    /// `pvh_start_xen`.
    pub pvh_start: Symbol,
    /// `ftrace_disabled`.
    pub ftrace_disabled: u64,
    /// `_stext`.
    pub text_start: u64,
    /// `tsc_khz`, if there.
    pub tsc_khz: Option<u64>,
    /// Offset of `name` in `struct module`.
    pub module_name: u64,
    /// Values of the guest's symbols that are kernel symbols' addresses (`early_ftrace::facts`); 0 for those
    /// that a kernel may do without and does not have.
    pub addresses: HashMap<&'static str, u64>,
    /// Functions that are replaced by ours.
    pub replaced: Replaced,
    /// Functions that ours call.
    pub called: Called,
    /// Kernel release.
    pub release: String,
}

/// Offsets in `struct task_struct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskFacts {
    /// `ret_stack`, a pointer (to an array of longs since 6.12).
    pub ret_stack: u64,
    /// `pid`.
    pub pid: u64,
    /// `prio`.
    pub prio: u64,
    /// `__state`.
    pub state: u64,
    /// `comm`.
    pub comm: u64,
}

/// Kernel functions whose first instruction becomes a jump to ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// `ftrace_graph_init_task`: would reset our shadow stack pointer.
    pub graph_init_task: Symbol,
    /// `ftrace_graph_exit_task`: would free it with `kfree`.
    pub graph_exit_task: Symbol,
    /// `ftrace_graph_init_idle_task`: would reset the boot task's.
    pub graph_init_idle_task: Symbol,
    /// `ftrace_graph_ret_addr`: the unwinder asks it for replaced return addresses.
    pub graph_ret_addr: Symbol,
    /// `is_ftrace_trampoline`: a stack dump passes over addresses that it does not know as text. Without it the
    /// console shows no callers.
    pub is_trampoline: Option<Symbol>,
}

/// Kernel functions that ours call, and where their callers are redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called {
    /// `start_kernel`, which calls `setup_arch` and `ftrace_init`.
    pub start_kernel: Symbol,
    /// `setup_arch`.
    pub setup_arch: u64,
    /// `ftrace_init`: would turn the call sites into nops, and is not called.
    pub ftrace_init: u64,
    /// `setup_per_cpu_areas`, which calls `switch_percpu`.
    pub setup_per_cpu_areas: Symbol,
    /// `switch_to_new_gdt`, or `switch_gdt_and_percpu_base` since 6.4.
    pub switch_percpu: u64,
    /// `__switch_to_asm`, which jumps to `__switch_to`.
    pub switch_to_asm: Symbol,
    /// `__switch_to`.
    pub switch_to: u64,
    /// `memblock_reserve`.
    pub memblock_reserve: u64,
    /// `__get_free_pages` (`get_free_pages_noprof` since 6.10).
    pub get_free_pages: u64,
    /// `free_pages`.
    pub free_pages: u64,
}

/// Kernel symbols that a kernel may do without: PVH, modules, a time stamp counter, PCI.
const OPTIONAL: &[&str] = &[
    "pvh_start_info",
    "module_finalize",
    "tsc_khz",
    "pci_conf1_read",
    "pci_conf1_write",
    "pci_mmcfg_read",
    "pci_mmcfg_write",
    "panic",
    "__die",
    "stop_this_cpu",
    "syscore_shutdown",
    "emergency_restart",
];

/// Size and alignment of the guest's per-CPU variables.
const SLOTS: u64 = 64;

impl KernelFacts {
    /// Reads the facts of a kernel.
    ///
    /// # Errors
    /// When symbols, debug information or a per-CPU hole are missing.
    pub fn read(image: &Image) -> Result<KernelFacts, InjectError> {
        let mut missing = Vec::new();
        let mut any = |names: &[&str]| -> Symbol {
            names.iter().find_map(|name| image.symbol(name)).unwrap_or_else(|| {
                missing.push(names.join(" or "));
                Symbol { address: 0, size: 0 }
            })
        };
        let replaced = Replaced {
            graph_init_task: any(&["ftrace_graph_init_task"]),
            graph_exit_task: any(&["ftrace_graph_exit_task"]),
            graph_init_idle_task: any(&["ftrace_graph_init_idle_task"]),
            graph_ret_addr: any(&["ftrace_graph_ret_addr"]),
            is_trampoline: image.symbol("is_ftrace_trampoline"),
        };
        let called = Called {
            start_kernel: any(&["start_kernel"]),
            setup_arch: any(&["setup_arch"]).address,
            ftrace_init: any(&["ftrace_init"]).address,
            setup_per_cpu_areas: any(&["setup_per_cpu_areas"]),
            switch_percpu: any(&["switch_gdt_and_percpu_base", "switch_to_new_gdt"]).address,
            switch_to_asm: any(&["__switch_to_asm"]),
            switch_to: any(&["__switch_to"]).address,
            memblock_reserve: any(&["memblock_reserve"]).address,
            get_free_pages: any(&["get_free_pages_noprof", "__get_free_pages"]).address,
            free_pages: any(&["free_pages"]).address,
        };
        let mut facts = KernelFacts {
            current_task: any(&["current_task", "pcpu_hot"]).address,
            slots: 0,
            task: TaskFacts { ret_stack: 0, pid: 0, prio: 0, state: 0, comm: 0 },
            fentry: any(&["__fentry__"]).address,
            mcount_loc: (any(&["__start_mcount_loc"]).address, any(&["__stop_mcount_loc"]).address),
            init_task: any(&["init_task"]).address,
            per_cpu_offset: any(&["__per_cpu_offset"]).address,
            per_cpu_load: any(&["__per_cpu_load"]).address,
            level2_fixmap_pgt: any(&["level2_fixmap_pgt"]).address,
            pvh_level3: image.symbol("pvh_level3_kernel_pgt").map(|s| s.address),
            pvh_start: any(&["pvh_start_xen"]),
            ftrace_disabled: any(&["ftrace_disabled"]).address,
            text_start: any(&["_stext"]).address,
            tsc_khz: image.symbol("tsc_khz").map(|s| s.address),
            module_name: 0,
            addresses: HashMap::new(),
            replaced,
            called,
            release: String::new(),
        };
        for &name in KERNEL_ADDRESSES.iter().chain(["eft_kernel_stop_machine", "eft_kernel_kallsyms_lookup"].iter()) {
            let symbol = name.trim_start_matches("eft_kernel_");
            let address = match image.symbol(symbol) {
                Some(found) => found.address,
                None if OPTIONAL.contains(&symbol) => 0,
                None => any(&[symbol]).address,
            };
            facts.addresses.insert(name, address);
        }
        if !missing.is_empty() {
            let hint = if missing.iter().any(|n| n == "__fentry__" || n.contains("mcount_loc")) {
                "the kernel was built without CONFIG_FUNCTION_TRACER, or its symbol table is incomplete"
            } else if missing.iter().any(|n| n.contains("graph")) {
                "the kernel was built without CONFIG_FUNCTION_GRAPH_TRACER"
            } else if missing.iter().any(|n| n.starts_with("pvh")) {
                "the kernel was built without CONFIG_PVH"
            } else {
                "the symbol table is incomplete, or this kernel version is not known"
            };
            return Err(InjectError::MissingSymbols { path: image.path().into(), names: missing, hint });
        }
        facts.release = release(image).unwrap_or_default();
        facts.slots = percpu_hole(image, facts.per_cpu_load).ok_or_else(|| InjectError::NoRoom {
            what: format!("{}: no unused {SLOTS} bytes in the per-CPU area", image.path().display()),
        })?;
        read_structures(image, &mut facts)?;
        Ok(facts)
    }
}

/// Where structures are described.
enum Structures<'a> {
    Dwarf(Sections<'a>),
    /// Of a kernel that is stripped of its debug information.
    Btf(Types<'a>),
}

impl<'a> Structures<'a> {
    fn load(bytes: &'a [u8]) -> Option<Structures<'a>> {
        match Sections::load(bytes) {
            Some(sections) => Some(Structures::Dwarf(sections)),
            None => Types::load(bytes).map(Structures::Btf),
        }
    }

    fn member_offsets(&self, structure: &str, members: &[&str]) -> Option<HashMap<String, u64>> {
        match self {
            Structures::Dwarf(sections) => sections.member_offsets(structure, members),
            Structures::Btf(types) => types.member_offsets(structure, members),
        }
    }
}

fn read_structures(image: &Image, facts: &mut KernelFacts) -> Result<(), InjectError> {
    let none = |what: &str| InjectError::NoDebugInfo { path: image.path().into(), what: what.into() };
    let structures = Structures::load(image.bytes()).ok_or_else(|| none("struct task_struct"))?;
    let fields = ["ret_stack", "pid", "prio", "__state", "comm"];
    let found = structures.member_offsets("task_struct", &fields).ok_or_else(|| none("struct task_struct"))?;
    let get = |name: &str| found.get(name).copied().ok_or_else(|| none(&format!("task_struct.{name}")));
    facts.task = TaskFacts {
        ret_stack: get("ret_stack")?,
        pid: get("pid")?,
        prio: get("prio")?,
        state: get("__state")?,
        comm: get("comm")?,
    };
    // A kernel without CONFIG_MODULES has no module to name.
    facts.module_name =
        structures.member_offsets("module", &["name"]).and_then(|found| found.get("name").copied()).unwrap_or(0);
    if image.symbol("current_task").is_none() {
        let hot = structures.member_offsets("pcpu_hot", &["current_task"]).ok_or_else(|| none("struct pcpu_hot"))?;
        facts.current_task += hot.get("current_task").copied().ok_or_else(|| none("pcpu_hot.current_task"))?;
    }
    Ok(())
}

/// "Linux version 6.1.0-56-cloud-amd64 (...": the third word.
fn release(image: &Image) -> Option<String> {
    let banner = image.symbol("linux_banner")?;
    let bytes = image.read(banner.address, banner.size.clamp(1, 512) as usize)?;
    let text = String::from_utf8_lossy(bytes);
    text.strip_prefix("Linux version ")?.split(' ').next().map(str::to_string)
}

/// An unused, zero stretch of the per-CPU area between two symbols, away from both: alignment leaves
/// several. Symbols of unknown size are kept away from by 64 bytes.
fn percpu_hole(image: &Image, load: u64) -> Option<u64> {
    let symbols = image.percpu_symbols();
    let mut end = 0u64;
    let next = symbols.iter().map(|s| s.address).chain([image.percpu_size]);
    for (i, start) in next.enumerate() {
        let hole = (end + SLOTS).next_multiple_of(SLOTS);
        if hole + 2 * SLOTS <= start {
            let around = image.read(load.checked_add(hole)?, SLOTS as usize)?;
            if around.iter().all(|&b| b == 0) {
                return Some(hole);
            }
        }
        if let Some(symbol) = symbols.get(i) {
            end = end.max(symbol.address + symbol.size.max(8));
        }
    }
    None
}
