// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What differs from kernel to kernel, as undefined symbols: the *address* of a symbol is the value.
//! The injector fills them from a vmlinux (`kernel_config::facts`). The assembly uses the same symbols
//! as displacements, so that a fact costs nothing at run time.

use core::ffi::c_void;

/// Declares the facts, with one accessor each, and lists their names for the gate of the object.
macro_rules! facts {
    (@addresses $list:ident $($rest:tt)*) => {
        facts! { @list $list "Kernel symbols whose addresses the object takes: `eft_kernel_` and the name." $($rest)* }
    };
    (@list $list:ident $what:literal $($(#[$doc:meta])* $symbol:ident => $name:ident;)*) => {
        unsafe extern "C" {
            $(static $symbol: u8;)*
        }
        #[doc = $what]
        pub const $list: &[&str] = &[$(stringify!($symbol)),*];
        $(
            $(#[$doc])*
            #[inline(always)]
            pub fn $name() -> usize {
                // Only the address is taken: the symbol is a number, not a place.
                (&raw const $symbol).addr()
            }
        )*
    };
    ($($rest:tt)*) => {
        facts! { @list FACT_SYMBOLS "The symbols that the object leaves undefined for the injector." $($rest)* }
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
    /// Offset of `name` in `struct module`.
    eft_fact_module_name => module_name;
}

facts! {
    @addresses KERNEL_ADDRESSES
    /// `char boot_command_line[COMMAND_LINE_SIZE]`.
    eft_kernel_boot_command_line => boot_command_line;
    /// `struct hvm_start_info pvh_start_info`; 0 without CONFIG_PVH.
    eft_kernel_pvh_start_info => pvh_start_info;
    /// `unsigned long __start_mcount_loc[]`: the table of call sites.
    eft_kernel___start_mcount_loc => mcount_start;
    /// Its end.
    eft_kernel___stop_mcount_loc => mcount_stop;
    /// `__fentry__`.
    eft_kernel___fentry__ => fentry;
    /// `_end`: behind the kernel's image.
    eft_kernel__end => image_end;
    /// `atomic_t __num_online_cpus`.
    eft_kernel___num_online_cpus => num_online_cpus;
    /// `struct cpumask __cpu_online_mask`.
    eft_kernel___cpu_online_mask => cpu_online_mask;
    /// First entry of the early level in the table of initcalls.
    eft_kernel___initcall_start => initcalls_early;
    /// First entry of the pure level.
    eft_kernel___initcall0_start => initcalls_pure;
    /// First entry of the core level.
    eft_kernel___initcall1_start => initcalls_core;
    /// First entry of the postcore level.
    eft_kernel___initcall2_start => initcalls_postcore;
    /// First entry of the arch level.
    eft_kernel___initcall3_start => initcalls_arch;
    /// First entry of the subsys level.
    eft_kernel___initcall4_start => initcalls_subsys;
    /// First entry of the fs level.
    eft_kernel___initcall5_start => initcalls_fs;
    /// First entry of the rootfs level.
    eft_kernel___initcallrootfs_start => initcalls_rootfs;
    /// First entry of the device level.
    eft_kernel___initcall6_start => initcalls_device;
    /// First entry of the late level.
    eft_kernel___initcall7_start => initcalls_late;
    /// End of the table of initcalls.
    eft_kernel___initcall_end => initcalls_end;
    /// `do_one_initcall(initcall_t)`.
    eft_kernel_do_one_initcall => do_one_initcall;
    /// `console_init(void)`.
    eft_kernel_console_init => console_init;
    /// `kernel_execve(const char *, const char *const *, const char *const *)`.
    eft_kernel_kernel_execve => kernel_execve;
    /// `kernel_restart(char *)`.
    eft_kernel_kernel_restart => kernel_restart;
    /// `kernel_halt(void)`.
    eft_kernel_kernel_halt => kernel_halt;
    /// `kernel_power_off(void)`.
    eft_kernel_kernel_power_off => kernel_power_off;
    /// `module_finalize(const Elf_Ehdr *, const Elf_Shdr *, struct module *)`; 0 without CONFIG_MODULES.
    eft_kernel_module_finalize => module_finalize;
    /// `irq_enter_rcu(void)`.
    eft_kernel_irq_enter_rcu => irq_enter_rcu;
    /// `irq_exit_rcu(void)`.
    eft_kernel_irq_exit_rcu => irq_exit_rcu;
    /// `unsigned int tsc_khz`; 0 if it is missing.
    eft_kernel_tsc_khz => tsc_khz;
    /// `pci_conf1_read(unsigned int seg, unsigned int bus, unsigned int devfn, int reg, int len, u32 *value)`; 0 without
    /// CONFIG_PCI_DIRECT.
    eft_kernel_pci_conf1_read => pci_conf1_read;
    /// `pci_conf1_write(..., u32 value)`; likewise.
    eft_kernel_pci_conf1_write => pci_conf1_write;
    /// `pci_mmcfg_read`, of the same shape; 0 without CONFIG_PCI_MMCONFIG.
    eft_kernel_pci_mmcfg_read => pci_mmcfg_read;
    /// `pci_mmcfg_write`; likewise.
    eft_kernel_pci_mmcfg_write => pci_mmcfg_write;
    /// `panic(const char *, ...)`.
    eft_kernel_panic => panic;
    /// `__die(const char *, struct pt_regs *, long)`: of each oops.
    eft_kernel___die => die;
    /// `stop_this_cpu(void *)`: what the other CPUs end in, after a panic and at a shutdown.
    eft_kernel_stop_this_cpu => stop_this_cpu;
    /// `syscore_shutdown()`: on the CPU that ends the machine, which need not be the one that was asked to.
    eft_kernel_syscore_shutdown => syscore_shutdown;
    /// `emergency_restart()`: what a panic ends with, if the kernel does not stand still then.
    eft_kernel_emergency_restart => emergency_restart;
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
    /// The kernel's `stop_machine(cpu_stop_fn_t, void *, const struct cpumask *)`: runs a function on the
    /// CPUs of the mask at once, interrupts off; may sleep.
    pub fn eft_kernel_stop_machine(function: *const u8, data: usize, cpus: usize) -> i32;
    /// The kernel's `kallsyms_lookup(unsigned long, unsigned long *, unsigned long *, char **, char *)`: a
    /// pointer to a function's name, or null.
    pub fn eft_kernel_kallsyms_lookup(
        address: u64,
        size: *mut u64,
        offset: *mut u64,
        module: *mut usize,
        buffer: *mut u8,
    ) -> *const u8;
}

/// Kernel functions that the object calls or jumps to.
pub const KERNEL_SYMBOLS: &[&str] = &[
    "eft_kernel_memblock_reserve",
    "eft_kernel_get_free_pages",
    "eft_kernel_free_pages",
    "eft_kernel_switch_percpu",
    "eft_kernel_switch_to",
    "eft_kernel_setup_arch",
    "eft_kernel_stop_machine",
    "eft_kernel_kallsyms_lookup",
];

/// `GFP_KERNEL`: `__GFP_RECLAIM | __GFP_IO | __GFP_FS` (include/linux/gfp_types.h, unchanged since 5.0).
pub const GFP_KERNEL: u32 = 0xcc0;
