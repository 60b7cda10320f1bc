// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Injection: from a vmlinux to a traced copy. In: a path, options. Out: a bootable file, and a report
//! of each change. Everything is patched in the file, before the boot; at run time the guest changes
//! nothing but its own pages' protections.
//!
//! What is changed, and why:
//! - each live call site calls our entry trampoline instead of `__fentry__`;
//! - four `ftrace_graph_*` functions and `is_ftrace_trampoline` jump to ours (`crate::facts::Replaced`);
//! - `start_kernel` calls ours instead of `ftrace_init`; its call to `setup_arch`, one in
//!   `setup_per_cpu_areas` and the jump in `__switch_to_asm` go to ours, which go on to the original;
//! - entries of `level2_fixmap_pgt` map the region, and two segments load the guest into it;
//! - initial values: our per-CPU variables, `init_task.ret_stack`, `ftrace_disabled`;
//! - call sites that the command line excludes become nops; the kernel's table of sites keeps the others;
//! - the PVH entry's GS base: it points where `gs:current_task` is not, but traced code runs already.

use crate::error::InjectError;
use crate::facts::KernelFacts;
use crate::image::{Image, START_KERNEL_MAP, Segment, Symbol};
use crate::layout::{FIRST_ENTRY, Layout, REGION_VIRT, STACK_SIZE, STACKS};
use crate::link::{GUEST_OBJECT, Linked, link};
use crate::sites::{CALL, NOPS, Sites, target};
use crate::{Injected, Options, Policy};
use bootlevel::Options as Asked;
use early_ftrace::percpu::Slots;
use early_ftrace::shadow::{Base, CLAIMED, Frame, skipped_frames};
use early_ftrace_format::shared::{
    CHUNK_SIZE, DATA_OFFSET, HOST_DID_GLOBS, HOST_SEES_RAM, Header, MAGIC, ORIGIN_INJECTED, POLICY_DROP, POLICY_WAIT,
    REGION_ALIGN,
};
use early_ftrace_format::{FORMAT_VERSION, word::LOWEST_FUNCTION};
use std::mem::offset_of;
use std::path::Path;
use zerocopy::{FromZeros, IntoBytes};

/// `jmp rel32`.
const JUMP: u8 = 0xe9;

/// `endbr64`: stays where it is, for indirect calls under IBT.
const ENDBR: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// Flags of a 2 MiB kernel mapping, writable and executable: present, write, accessed, dirty, large.
/// The guest narrows them in `eft_late_init`; no-execute cannot be set before EFER.NXE is.
const LARGE_PAGE: u64 = 0xe3;

/// Flags of a page-table entry that points to a table: present, write, accessed, dirty.
const TABLE: u64 = 0x63;

/// Makes a traced copy of the vmlinux `input` at `output`; the input is not changed.
///
/// # Errors
/// When the kernel cannot be traced, with the reason and before anything is written; or when the copy
/// cannot be written.
pub fn inject(input: &Path, output: &Path, options: &Options) -> Result<Injected, InjectError> {
    let mut image = Image::open(input)?;
    if !image.has_pvh_entry {
        return Err(InjectError::NoPvhNote(input.into()));
    }
    let facts = KernelFacts::read(&image)?;
    let sites = Sites::read(&image, &facts)?;
    if (facts.text_start as u32) < LOWEST_FUNCTION || facts.text_start >> 32 != 0xffff_ffff {
        return Err(InjectError::Malformed {
            path: input.into(),
            what: format!("its text starts at {:#x}, below what the event format can express", facts.text_start),
        });
    }
    let layout = Layout::new(options, image.phys_end())?;
    let guest = link_guest(&facts, &layout)?;

    let mut patch = Patch { image: &mut image, changes: Vec::new() };
    let asked = Asked::read(&options.command_line);
    let skipped = asked.depth.map_or(0, skipped_frames);
    let sites = patch.selected(sites, &facts, &options.command_line, asked.globs)?;
    patch.sites(&sites, guest.address("eft_entry")?)?;
    patch.functions(&facts, &guest)?;
    patch.calls(&facts, &guest)?;
    patch.page_tables(&facts, &layout)?;
    patch.initial_values(&facts, &layout, skipped)?;
    patch.pvh_gs_base(&facts)?;
    let changes = patch.changes;
    let code_len = guest.bytes.len() as u64;
    add_region(&mut image, &facts, &layout, options, &asked, guest.bytes);
    image.save(output)?;
    Ok(Injected {
        release: facts.release,
        build_id: image.build_id.clone(),
        sites: sites.live.len() + sites.nops + sites.other,
        hooked: sites.live.len(),
        region_phys: layout.phys,
        region_size: layout.size,
        code_virt: (REGION_VIRT, REGION_VIRT + code_len),
        command_line: Vec::new(),
        changes,
    })
}

fn link_guest(facts: &KernelFacts, layout: &Layout) -> Result<Linked, crate::link::LinkError> {
    link(GUEST_OBJECT, REGION_VIRT, |name| {
        Some(match name {
            "eft_fact_current_task" => facts.current_task,
            "eft_fact_slots" => facts.slots,
            "eft_fact_task_ret_stack" => facts.task.ret_stack,
            "eft_fact_task_pid" => facts.task.pid,
            "eft_fact_task_prio" => facts.task.prio,
            "eft_fact_task_state" => facts.task.state,
            "eft_fact_task_comm" => facts.task.comm,
            "eft_fact_header" => layout.header_virt(),
            "eft_fact_pmd_table" => facts.level2_fixmap_pgt,
            "eft_fact_pmd_first" => FIRST_ENTRY,
            "eft_fact_pmd_count" => layout.size / REGION_ALIGN,
            "eft_fact_region_phys" => layout.phys,
            "eft_fact_region_size" => layout.size,
            "eft_fact_per_cpu_offset" => facts.per_cpu_offset,
            "eft_fact_module_name" => facts.module_name,
            "eft_kernel_memblock_reserve" => facts.called.memblock_reserve,
            "eft_kernel_get_free_pages" => facts.called.get_free_pages,
            "eft_kernel_free_pages" => facts.called.free_pages,
            "eft_kernel_switch_percpu" => facts.called.switch_percpu,
            "eft_kernel_switch_to" => facts.called.switch_to,
            "eft_kernel_setup_arch" => facts.called.setup_arch,
            _ => *facts.addresses.get(name)?,
        })
    })
}

/// The image while it is being patched, with a line for each change.
struct Patch<'a> {
    image: &'a mut Image,
    changes: Vec<String>,
}

impl Patch<'_> {
    fn place(&self, place: &str, what: impl Into<String>) -> InjectError {
        InjectError::Place { path: self.image.path().into(), place: place.into(), what: what.into() }
    }

    fn put(&mut self, place: &str, at: u64, bytes: &[u8]) -> Result<(), InjectError> {
        if self.image.write(at, bytes) { Ok(()) } else { Err(self.place(place, format!("{at:#x} is not in the file"))) }
    }

    fn branch(&mut self, place: &str, opcode: u8, at: u64, to: u64) -> Result<(), InjectError> {
        let relative = to.wrapping_sub(at.wrapping_add(5)) as i64;
        let relative = i32::try_from(relative).map_err(|_| self.place(place, format!("{to:#x} is out of reach")))?;
        let mut code = [opcode, 0, 0, 0, 0];
        code[1..].copy_from_slice(&relative.to_le_bytes());
        self.put(place, at, &code)
    }

    /// Leaves only those sites in the kernel's table that the guest may lead anywhere: live ones, which the
    /// command line does not exclude. The others are nops, or become nops.
    fn selected(
        &mut self,
        mut sites: Sites,
        facts: &KernelFacts,
        line: &[u8],
        globs: bool,
    ) -> Result<Sites, InjectError> {
        if globs {
            let names = self.image.names();
            let wanted = |at: u64| {
                let name = names.get(&at).or_else(|| names.get(&(at - ENDBR.len() as u64)));
                name.is_none_or(|name| bootlevel::selects(line, name.as_bytes()))
            };
            let (kept, excluded): (Vec<u64>, Vec<u64>) = sites.live.iter().partition(|&&at| wanted(at));
            for &at in &excluded {
                self.put("call site", at, &NOPS[0])?;
            }
            self.changes.push(format!("{} call sites: nops, since the command line excludes them", excluded.len()));
            sites.live = kept;
            sites.nops += excluded.len();
        }
        let (start, stop) = facts.mcount_loc;
        for entry in (start..stop).step_by(8) {
            let at = self.image.read_u64(entry).unwrap_or(0);
            if at != 0 && sites.live.binary_search(&at).is_err() {
                self.put("__mcount_loc", entry, &[0; 8])?;
            }
        }
        Ok(sites)
    }

    fn sites(&mut self, sites: &Sites, entry: u64) -> Result<(), InjectError> {
        for &at in &sites.live {
            self.branch("call site", CALL, at, entry)?;
        }
        self.changes.push(format!("{} call sites: call {entry:#x} instead of __fentry__", sites.live.len()));
        Ok(())
    }

    /// First instruction (after endbr64) of a function becomes a jump.
    fn functions(&mut self, facts: &KernelFacts, guest: &Linked) -> Result<(), InjectError> {
        let replaced = &facts.replaced;
        let later = patched_by_kernel(self.image);
        for (name, function, ours) in [
            ("ftrace_graph_init_task", Some(replaced.graph_init_task), "eft_task_init"),
            ("ftrace_graph_exit_task", Some(replaced.graph_exit_task), "eft_task_exit"),
            ("ftrace_graph_init_idle_task", Some(replaced.graph_init_idle_task), "eft_idle_init"),
            ("ftrace_graph_ret_addr", Some(replaced.graph_ret_addr), "eft_ret_addr"),
            ("is_ftrace_trampoline", replaced.is_trampoline, "eft_is_trampoline"),
        ] {
            let Some(function) = function else { continue };
            let code = self.image.read(function.address, 9).ok_or_else(|| self.place(name, "is not in the file"))?;
            let at = function.address + if code[..4] == ENDBR { 4 } else { 0 };
            if function.size != 0 && at + 5 > function.address + function.size {
                return Err(self.place(name, "is too short for a jump"));
            }
            if later.iter().any(|&site| (at..at + 5).contains(&site)) {
                return Err(self.place(name, "its first instruction is one that the kernel patches itself"));
            }
            self.branch(name, JUMP, at, guest.address(ours)?)?;
            self.changes.push(format!("{name}: jumps to {ours}"));
        }
        Ok(())
    }

    /// One call or jump inside a function goes to ours.
    fn calls(&mut self, facts: &KernelFacts, guest: &Linked) -> Result<(), InjectError> {
        let called = &facts.called;
        for (name, function, opcode, to, ours) in [
            ("start_kernel", called.start_kernel, CALL, called.setup_arch, "eft_setup_arch"),
            ("start_kernel", called.start_kernel, CALL, called.ftrace_init, "eft_late_init"),
            ("setup_per_cpu_areas", called.setup_per_cpu_areas, CALL, called.switch_percpu, "eft_percpu_switch"),
            ("__switch_to_asm", called.switch_to_asm, JUMP, called.switch_to, "eft_switch"),
        ] {
            let at = self.find_branch(name, function, opcode, to)?;
            self.branch(name, opcode, at, guest.address(ours)?)?;
            self.changes.push(format!("{name}+{:#x}: goes to {ours}", at - function.address));
        }
        Ok(())
    }

    fn find_branch(&self, name: &str, function: Symbol, opcode: u8, to: u64) -> Result<u64, InjectError> {
        // Assembly functions may state no size.
        let len = if function.size == 0 { 512 } else { function.size } as usize;
        let code = self.image.read(function.address, len).ok_or_else(|| self.place(name, "is not in the file"))?;
        let mut found = (0..len.saturating_sub(4))
            .filter(|&i| code[i] == opcode && target(function.address + i as u64, &code[i..i + 5]) == to);
        match (found.next(), found.next()) {
            (Some(i), None) => Ok(function.address + i as u64),
            (None, _) => Err(self.place(name, format!("no call or jump to {to:#x} found"))),
            (Some(_), Some(_)) => Err(self.place(name, format!("more than one call or jump to {to:#x}"))),
        }
    }

    fn page_tables(&mut self, facts: &KernelFacts, layout: &Layout) -> Result<(), InjectError> {
        let count = layout.size / REGION_ALIGN;
        for i in 0..count {
            let at = facts.level2_fixmap_pgt + (FIRST_ENTRY + i) * 8;
            if self.image.read_u64(at) != Some(0) {
                return Err(self.place("level2_fixmap_pgt", format!("entry {} is in use", FIRST_ENTRY + i)));
            }
            self.put("level2_fixmap_pgt", at, &((layout.phys + i * REGION_ALIGN) | LARGE_PAGE).to_le_bytes())?;
        }
        self.changes.push(format!(
            "level2_fixmap_pgt: {count} entries map {REGION_VIRT:#x} to physical {:#x}, {} MiB",
            layout.phys,
            layout.size >> 20
        ));
        if let Some(table) = facts.pvh_level3 {
            let last = table + 511 * 8;
            if self.image.read_u64(last) == Some(0) {
                let entry = (facts.level2_fixmap_pgt - START_KERNEL_MAP) | TABLE;
                self.put("pvh_level3_kernel_pgt", last, &entry.to_le_bytes())?;
                self.changes.push("pvh_level3_kernel_pgt: last entry points to level2_fixmap_pgt".into());
            }
        }
        Ok(())
    }

    fn initial_values(&mut self, facts: &KernelFacts, layout: &Layout, skipped: u64) -> Result<(), InjectError> {
        // The boot CPU's variables, at their place in the image's per-CPU area.
        let slots = Slots::unopened(0);
        let at = facts.per_cpu_load + facts.slots;
        let words = [slots.position, slots.limit];
        self.put("per-CPU area", at, words.as_bytes())?;
        self.changes.push(format!("per-CPU area: our 64 bytes at offset {:#x}", facts.slots));
        let frames = 1 + skipped;
        let top = layout.header_virt() + layout.stacks_off + frames * size_of::<Frame>() as u64;
        self.put("init_task", facts.init_task + facts.task.ret_stack, &top.to_le_bytes())?;
        self.put("ftrace_disabled", facts.ftrace_disabled, &1u32.to_le_bytes())?;
        self.changes.push("init_task.ret_stack: the first shadow stack; ftrace_disabled: 1".into());
        Ok(())
    }

    /// `pvh_start_xen` sets GS base so that `gs:40` reads a stack canary, and calls C code before the
    /// kernel sets it up for good. With the image's per-CPU area as base, canary and `current_task` are
    /// both there (identity-mapped, so by physical address).
    fn pvh_gs_base(&mut self, facts: &KernelFacts) -> Result<(), InjectError> {
        // mov $MSR_GS_BASE, %ecx; then mov $imm32, %eax or lea rel32(%rip), %eax.
        const SET_GS: [u8; 5] = [0xb9, 0x01, 0x01, 0x00, 0xc0];
        const NAME: &str = "pvh_start_xen";
        let start = facts.pvh_start.address;
        let code = self.image.read(start, 0x400).ok_or_else(|| self.place(NAME, "is not in the file"))?;
        let at = code.windows(5).position(|w| w == SET_GS).ok_or_else(|| self.place(NAME, "does not set GS base"))?;
        let next = code.get(at + 5..at + 11).ok_or_else(|| self.place(NAME, "sets GS base too late"))?;
        let area = facts.per_cpu_load - START_KERNEL_MAP;
        let here = start + at as u64 + 5;
        let (place, value) = if next[0] == 0xb8 {
            (here + 1, area as u32)
        } else if next[..2] == [0x8d, 0x05] {
            // The code runs at its physical address.
            (here + 2, area.wrapping_sub(here - START_KERNEL_MAP + 6) as u32)
        } else {
            return Err(self.place(NAME, "sets GS base in an unknown way"));
        };
        self.put(NAME, place, &value.to_le_bytes())?;
        self.changes.push(format!("{NAME}: GS base is the image's per-CPU area"));
        Ok(())
    }
}

/// Addresses of instructions that the kernel will replace while it boots, and whose old bytes it checks:
/// the instruction fields of its alternatives, and its tables of returns and indirect branches.
fn patched_by_kernel(image: &Image) -> Vec<u64> {
    let table = |start: &str, stop: &str| {
        let (start, stop) = (image.symbol(start)?.address, image.symbol(stop)?.address);
        Some((start, image.read(start, usize::try_from(stop.checked_sub(start)?).ok()?)?))
    };
    // Each entry begins with a signed 32-bit offset from itself.
    let entries = |(start, bytes): (u64, &[u8]), size: usize| -> Vec<u64> {
        let each = bytes.chunks_exact(size).enumerate();
        each.map(|(i, e)| {
            let offset = i32::from_le_bytes([e[0], e[1], e[2], e[3]]);
            (start + (i * size) as u64).wrapping_add(offset as i64 as u64)
        })
        .collect()
    };
    let mut all = Vec::new();
    for (start, stop) in [("__return_sites", "__return_sites_end"), ("__retpoline_sites", "__retpoline_sites_end")] {
        all.extend(table(start, stop).map(|t| entries(t, 4)).unwrap_or_default());
    }
    if let Some(table) = table("__alt_instructions", "__alt_instructions_end") {
        // struct alt_instr has 12 bytes up to 6.2, 14 since; the wrong size gives addresses all over.
        let text = |list: &Vec<u64>| list.iter().filter(|&&at| image.read(at, 1).is_some()).count();
        let (short, long) = (entries(table, 12), entries(table, 14));
        let share = |list: &Vec<u64>| text(list) as f64 / list.len().max(1) as f64;
        all.extend(if share(&short) > share(&long) { short } else { long });
    }
    all
}

/// Two more segments: the guest's text; the header, the CPUs' control blocks, the flags
/// of the pool, the boot task's stack.
fn add_region(
    image: &mut Image,
    facts: &KernelFacts,
    layout: &Layout,
    options: &Options,
    asked: &Asked,
    code: Vec<u8>,
) {
    let skipped = asked.depth.map_or(0, skipped_frames);
    let mut header = Header::new_zeroed();
    header.magic = MAGIC;
    header.version = FORMAT_VERSION;
    header.header_size = size_of::<Header>() as u32;
    header.region_phys = layout.phys;
    header.region_virt = REGION_VIRT;
    header.region_size = layout.size;
    header.cpus = options.cpus;
    header.chunks_per_cpu = layout.chunks as u32;
    header.chunk_size = CHUNK_SIZE as u32;
    header.policy = match options.policy {
        Policy::Drop => POLICY_DROP,
        Policy::Wait => POLICY_WAIT,
    };
    header.wait_ticks = options.wait_ticks;
    header.guest_off = layout.guest_off;
    header.stacks_off = layout.stacks_off;
    header.stacks = STACKS;
    header.stack_size = STACK_SIZE as u32;
    header.rings_off = layout.rings_off;
    let id = &image.build_id[..image.build_id.len().min(32)];
    header.build_id_len = id.len() as u32;
    header.build_id[..id.len()].copy_from_slice(id);
    let release = &facts.release.as_bytes()[..facts.release.len().min(63)];
    header.release[..release.len()].copy_from_slice(release);
    header.text_start = facts.text_start;
    header.origin = ORIGIN_INJECTED;
    if asked.globs {
        header.host_did |= HOST_DID_GLOBS;
    }
    if options.sees_ram {
        header.host_did |= HOST_SEES_RAM;
    }
    header.skipped_frames = skipped;
    header.tsc_khz_phys = facts.tsc_khz.and_then(|virt| image.phys(virt)).unwrap_or(0);
    let mut data = vec![0; (layout.stacks_off + STACK_SIZE) as usize];
    // The boot task's stack, empty: no frame is pending.
    for frame in data[layout.stacks_off as usize..].chunks_exact_mut(size_of::<Frame>()) {
        frame[offset_of!(Frame, high)..][..4].copy_from_slice(&CLAIMED.to_le_bytes());
    }
    data[layout.stacks_off as usize..][offset_of!(Base, skipped)..][..4]
        .copy_from_slice(&(skipped as u32).to_le_bytes());
    data[..size_of::<Header>()].copy_from_slice(header.as_bytes());
    // The boot task has the first stack.
    data[layout.guest_off as usize] = 1;
    for (offset, bytes, flags) in [(0, code, 5), (DATA_OFFSET, data, 6)] {
        image.segments.push(Segment {
            virt: REGION_VIRT + offset,
            phys: layout.phys + offset,
            memory: bytes.len() as u64,
            data: bytes,
            flags,
        });
    }
}
