// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What differs from kernel to kernel, as undefined symbols: the *address* of a symbol is the value.
//! The injector fills them from a vmlinux (`kernel_config::facts`). The assembly uses the same symbols
//! as displacements, so that a fact costs nothing at run time.

use core::ffi::c_void;

/// Declares the facts, with one accessor each, and lists their names for the gate of the object.
macro_rules! facts {
    ($($(#[$doc:meta])* $symbol:ident => $name:ident;)*) => {
        unsafe extern "C" {
            $(static $symbol: u8;)*
        }
        /// The symbols that the object leaves undefined for the injector.
        pub const FACT_SYMBOLS: &[&str] = &[$(stringify!($symbol)),*];
        $(
            $(#[$doc])*
            #[inline(always)]
            pub fn $name() -> usize {
                // Only the address is taken: the symbol is a number, not a place.
                (&raw const $symbol).addr()
            }
        )*
    };
}

facts! {
    /// Offset of `current_task` in the per-CPU area.
    eft_fact_current_task => current_task;
    /// Offset of our [`crate::percpu::Slots`] in the per-CPU area.
    eft_fact_slots => slots;
    /// Offset of `ret_stack` in `struct task_struct`: holds the top of the task's shadow stack.
    eft_fact_task_ret_stack => task_ret_stack;
    /// Offset of `pid` in `struct task_struct` (pid_t, 32 bits).
    eft_fact_task_pid => task_pid;
    /// Offset of `prio` in `struct task_struct` (int).
    eft_fact_task_prio => task_prio;
    /// Offset of `__state` in `struct task_struct` (unsigned int).
    eft_fact_task_state => task_state;
    /// Offset of `comm` in `struct task_struct` (16 bytes).
    eft_fact_task_comm => task_comm;
    /// Address of our header in the shared region.
    eft_fact_header => header;
    /// Address of `level2_fixmap_pgt`, whose entries map our region.
    eft_fact_pmd_table => pmd_table;
    /// Index of the first entry there.
    eft_fact_pmd_first => pmd_first;
    /// How many entries.
    eft_fact_pmd_count => pmd_count;
    /// Physical address of the region.
    eft_fact_region_phys => region_phys;
    /// Size of the region in bytes.
    eft_fact_region_size => region_size;
    /// Address of `__per_cpu_offset` (unsigned long per CPU).
    eft_fact_per_cpu_offset => per_cpu_offset;
}

unsafe extern "C" {
    /// The kernel's `memblock_reserve(phys_addr_t base, phys_addr_t size)`.
    pub fn eft_kernel_memblock_reserve(base: u64, size: u64) -> i32;
    /// The kernel's `__get_free_pages(gfp_t, unsigned int order)`.
    pub fn eft_kernel_get_free_pages(gfp: u32, order: u32) -> usize;
    /// The kernel's `free_pages(unsigned long addr, unsigned int order)`.
    pub fn eft_kernel_free_pages(addr: usize, order: u32);
    /// The kernel's `switch_to_new_gdt(int cpu)`, `switch_gdt_and_percpu_base(int cpu)` since 6.4.
    pub fn eft_kernel_switch_percpu(cpu: i32);
    /// The kernel's `__switch_to`; reached by a jump only.
    pub fn eft_kernel_switch_to(prev: *mut c_void, next: *mut c_void) -> *mut c_void;
    /// The kernel's `setup_arch`; reached by a jump only.
    pub fn eft_kernel_setup_arch(command_line: *mut c_void);
}

/// Kernel functions that the object calls or jumps to.
pub const KERNEL_SYMBOLS: &[&str] = &[
    "eft_kernel_memblock_reserve",
    "eft_kernel_get_free_pages",
    "eft_kernel_free_pages",
    "eft_kernel_switch_percpu",
    "eft_kernel_switch_to",
    "eft_kernel_setup_arch",
];

/// `GFP_KERNEL`: `__GFP_RECLAIM | __GFP_IO | __GFP_FS` (include/linux/gfp_types.h, unchanged since 5.0).
pub const GFP_KERNEL: u32 = 0xcc0;
