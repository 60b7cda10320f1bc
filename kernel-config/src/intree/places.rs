// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Where a kernel's source is changed: a table of short anchors, and what goes there. In: nothing. Out:
//! [`PLACES`]. Never here: text of the kernel beyond the anchors, or how an edit is done.

/// One change of one file.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Path in the tree.
    pub file: &'static str,
    /// What to do there.
    pub action: Action,
}

/// A change. Lines are compared without the white space around them.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Lines go before the one line that is this anchor.
    Before(&'static str, &'static [&'static str]),
    /// Lines go after the one line that is this anchor.
    After(&'static str, &'static [&'static str]),
    /// The only call of one of these functions becomes one of ours, whose name is given beside it.
    Rename(&'static [(&'static str, &'static str)]),
}

/// All changes.
pub const PLACES: &[Place] = &[
    Place {
        file: "kernel/Makefile",
        action: Action::After("obj-$(CONFIG_FUNCTION_TRACER) += trace/", &["obj-$(CONFIG_HYPERGRAPH) += hypergraph/"]),
    },
    Place {
        file: "kernel/trace/Kconfig",
        action: Action::Before("endif # FTRACE", &["source \"kernel/hypergraph/Kconfig\"", ""]),
    },
    Place {
        file: "include/linux/ftrace.h",
        action: Action::Before("#endif /* _LINUX_FTRACE_H */", &["#include <linux/hypergraph.h>", ""]),
    },
    // Behind what setup_arch() reserves and before .brk, the last part of the image that stays mapped.
    Place {
        file: "arch/x86/kernel/vmlinux.lds.S",
        action: Action::After(
            "__end_of_kernel_reserve = .;",
            &[
                "",
                "#ifdef CONFIG_HYPERGRAPH",
                "\t. = ALIGN(HPAGE_SIZE);",
                "\t.hypergraph : AT(ADDR(.hypergraph) - LOAD_OFFSET) {",
                "\t\t*(.bss..hypergraph)",
                "\t}",
                "#endif",
            ],
        ),
    },
    Place { file: "arch/x86/kernel/head64.c", action: Action::Before("#include <asm/setup.h>", INCLUDE_FTRACE) },
    // The command line was copied just before, and nothing that can be traced has run since.
    Place { file: "arch/x86/kernel/head64.c", action: Action::Before("load_ucode_bsp();", &["\thypergraph_start();"]) },
    Place { file: "arch/x86/kernel/setup_percpu.c", action: Action::Before("#include <asm/setup.h>", INCLUDE_FTRACE) },
    Place {
        file: "arch/x86/kernel/setup_percpu.c",
        action: Action::Rename(&[
            ("switch_to_new_gdt", "hypergraph_switch_to_new_gdt"),
            ("switch_gdt_and_percpu_base", "hypergraph_switch_gdt_and_percpu_base"),
        ]),
    },
    Place {
        file: "arch/x86/kernel/dumpstack.c",
        action: Action::Rename(&[("ftrace_graph_ret_addr", "hypergraph_ret_addr")]),
    },
    Place {
        file: "arch/x86/include/asm/unwind.h",
        action: Action::Rename(&[("ftrace_graph_ret_addr", "hypergraph_ret_addr")]),
    },
    Place { file: "init/main.c", action: Action::Rename(&[("ftrace_init", "hypergraph_ftrace_init")]) },
    Place {
        file: "kernel/fork.c",
        action: Action::After("ftrace_graph_init_task(p);", &["\thypergraph_task_init(p);"]),
    },
    Place {
        file: "kernel/fork.c",
        action: Action::Before("ftrace_graph_exit_task(tsk);", &["\thypergraph_task_exit(tsk);"]),
    },
    Place {
        file: "kernel/sched/core.c",
        action: Action::Rename(&[("ftrace_graph_init_idle_task", "hypergraph_init_idle_task")]),
    },
    Place {
        file: "kernel/sched/core.c",
        action: Action::Before("switch_to(prev, next, prev);", &["\thypergraph_switch(prev, next);"]),
    },
];

/// `linux/ftrace.h` brings our header, in the order that it needs.
const INCLUDE_FTRACE: &[&str] = &["#include <linux/ftrace.h>"];
