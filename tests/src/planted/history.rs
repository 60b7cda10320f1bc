// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What is planted: sixteen commits that everybody has, and the regressions that stand among them, one in each
//! range. In: nothing. Out: [`SETUP`], [`COMMON`], [`KINDS`]. Never here: text of the kernel; files of ours that go
//! into it stand in `sources/`.

use super::edits::Edit;

/// A commit.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// The first line of its message.
    pub subject: &'static str,
    /// Makes a difference in a boot, or not.
    pub is: Is,
    /// What it changes.
    pub edits: &'static [Edit],
}

/// What becomes of a kernel of this commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    /// Builds and boots, as fast as before or faster.
    Good,
    /// The compiler refuses it.
    Unbuildable,
    /// It panics before init.
    Unbootable,
    /// What is looked for.
    Regression,
}

/// A range of commits with one regression.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The branch.
    pub name: &'static str,
    /// As people call it.
    pub what: &'static str,
    /// It stands before this one of [`COMMON`]; behind all of them if there is none.
    pub before: usize,
    /// The commit.
    pub commit: Commit,
    /// Any of these functions on the first line names what is slow.
    pub functions: &'static [&'static str],
    /// On this many CPUs, and in real time if it is more than one.
    pub cpus: u32,
}

const INDEX: &str = "fs/name_index.c";
const TABLE: &str = "kernel/boot_table.c";
const CMOS: &str = "drivers/rtc/rtc-cmos.c";
const LOOP: &str = "drivers/block/loop.c";
const TCP: &str = "net/ipv4/tcp_cong.c";
const TCP_V4: &str = "net/ipv4/tcp_ipv4.c";

/// On top of Debian's source, before any range begins: files that later commits change.
pub const SETUP: Commit = Commit {
    subject: "Two small files whose work a boot does",
    is: Is::Good,
    edits: &[
        Edit::Create(INDEX, include_str!("sources/name_index.c")),
        Edit::Append("fs/Makefile", "obj-y += name_index.o\n"),
        Edit::Create(TABLE, include_str!("sources/boot_table.c")),
        Edit::Append("kernel/Makefile", "obj-y += boot_table.o\n"),
    ],
};

/// What all ranges have, oldest first.
pub const COMMON: &[Commit] = &[
    Commit {
        subject: "rtc: cmos: say who may call the probe",
        is: Is::Good,
        edits: &[Edit::Define(CMOS, "cmos_do_probe", "/* Called once, by the bus that finds the clock first. */\n")],
    },
    Commit {
        subject: "rtc: Kconfig: help for those in a hurry",
        is: Is::Good,
        edits: &[Edit::Help("drivers/rtc/Kconfig", "RTC_DRV_CMOS", "\t  If unsure, say Y: every PC has it.\n\n")],
    },
    Commit {
        subject: "loop: a function that tells idle devices, for later",
        is: Is::Good,
        edits: &[Edit::Define(
            LOOP,
            "loop_init",
            "static bool __maybe_unused loop_is_idle(struct loop_device *lo)\n{\n\
             \treturn lo->lo_state == Lo_unbound;\n}\n\n",
        )],
    },
    Commit {
        subject: "ext4: say when it is being set up",
        is: Is::Good,
        edits: &[Edit::Call(
            "fs/ext4/super.c",
            "ext4_init_fs",
            "ext4_init_es",
            "\tpr_info(\"ext4: setting up\\n\");\n",
        )],
    },
    Commit {
        subject: "name_index: keep the hash with the name",
        is: Is::Unbuildable,
        // The member is not there yet.
        edits: &[Edit::Ours(
            INDEX,
            "\tstrscpy(entry->name, name, sizeof(entry->name));\n",
            "\tstrscpy(entry->name, name, sizeof(entry->name));\n\tentry->hash = hash;\n",
        )],
    },
    Commit {
        subject: "name_index: declare the hash, too",
        is: Is::Good,
        edits: &[Edit::Ours(
            INDEX,
            "\tstruct hlist_node node;\n\tchar",
            "\tstruct hlist_node node;\n\tu32 hash;\n\tchar",
        )],
    },
    Commit {
        subject: "boot_table: the factor gets a name",
        is: Is::Good,
        edits: &[
            Edit::Ours(TABLE, "#define ROUNDS\t4096\n", "#define ROUNDS\t4096\n#define FACTOR\t1664525\n"),
            Edit::Ours(TABLE, "value * 1664525", "value * FACTOR"),
        ],
    },
    Commit {
        subject: "tcp: a word about the list of algorithms",
        is: Is::Good,
        edits: &[Edit::Define(TCP, "tcp_ca_find", "/* The list is short: nobody minds that it is searched. */\n")],
    },
    Commit {
        subject: "name_index: look for the end of a name once",
        is: Is::Good,
        edits: &[
            Edit::Ours(
                INDEX,
                "\tu32 hash = full_name_hash(NULL, name, strlen(name));\n",
                "\tsize_t length = strnlen(name, sizeof_field(struct indexed_name, name) - 1);\n\
                 \tu32 hash = full_name_hash(NULL, name, length);\n",
            ),
            Edit::Ours(
                INDEX,
                "\tstrscpy(entry->name, name, sizeof(entry->name));\n",
                "\tmemcpy(entry->name, name, length);\n",
            ),
        ],
    },
    Commit {
        subject: "boot_table: stop if the table is not what it should be",
        is: Is::Unbootable,
        // The first row is not 1 after so many rounds.
        edits: &[Edit::Ours(
            TABLE,
            "\tboot_table_build();\n\treturn 0;\n",
            "\tboot_table_build();\n\tif (boot_table[0] != 1)\n\t\tpanic(\"boot_table: broken\\n\");\n\treturn 0;\n",
        )],
    },
    Commit {
        subject: "boot_table: a broken table has zeroes",
        is: Is::Good,
        edits: &[Edit::Ours(TABLE, "\tif (boot_table[0] != 1)\n", "\tif (!boot_table[0] && !boot_table[1])\n")],
    },
    Commit {
        subject: "loop: say how many devices there are",
        is: Is::Good,
        edits: &[Edit::Call(LOOP, "loop_init", "printk", "\tpr_info(\"loop: %d devices\\n\", max_loop);\n")],
    },
    Commit {
        subject: "name_index: four times the buckets, for fewer comparisons",
        is: Is::Good,
        edits: &[Edit::Ours(INDEX, "#define BUCKETS\t64\n", "#define BUCKETS\t256\n")],
    },
    Commit {
        subject: "Documentation: the index of names",
        is: Is::Good,
        edits: &[Edit::Create(
            "Documentation/filesystems/name-index.rst",
            ".. SPDX-License-Identifier: GPL-2.0-only\n\nThe index of names\n==================\n\n\
             Names are kept in buckets by their hash, each once.\n",
        )],
    },
    Commit {
        subject: "name_index: a function that empties it",
        is: Is::Good,
        edits: &[Edit::Define(
            INDEX,
            "name_index_init",
            "static void __maybe_unused name_index_clear(void)\n{\n\tstruct indexed_name *entry;\n\
             \tstruct hlist_node *next;\n\tint i;\n\n\tfor (i = 0; i < BUCKETS; i++)\n\
             \t\thlist_for_each_entry_safe(entry, next, &name_buckets[i], node) {\n\
             \t\t\thlist_del(&entry->node);\n\t\t\tkfree(entry);\n\t\t}\n}\n\n",
        )],
    },
    Commit {
        subject: "boot_table: nobody writes to it later",
        is: Is::Good,
        edits: &[
            Edit::Ours(TABLE, "#include <linux/cpumask.h>\n", "#include <linux/cache.h>\n#include <linux/cpumask.h>\n"),
            Edit::Ours(TABLE, "static u32 boot_table[ROWS];\n", "static u32 boot_table[ROWS] __ro_after_init;\n"),
        ],
    },
];

/// The regressions.
pub const KINDS: &[Kind] = &[
    // The very first commit, right behind the good end.
    Kind {
        name: "probe",
        what: "a delay in a driver's probe",
        before: 0,
        commit: Commit {
            subject: "rtc: cmos: let the chip settle before it is asked",
            is: Is::Regression,
            edits: &[
                Edit::Define(
                    CMOS,
                    "cmos_do_probe",
                    "#include <linux/delay.h>\n\n/* Some chips answer late after their ports were claimed. */\n\
                     static noinline void cmos_settle(void)\n{\n\tint i;\n\n\tfor (i = 0; i < 150; i++)\n\
                     \t\tudelay(100);\n}\n\n",
                ),
                Edit::Call(CMOS, "cmos_do_probe", "mc146818_does_rtc_work", "\tcmos_settle();\n\n"),
            ],
        },
        functions: &["cmos_settle", "cmos_do_probe"],
        cpus: 1,
    },
    // Right before the one that does not build.
    Kind {
        name: "quadratic",
        what: "an O(n^2) in an init of level fs",
        before: 4,
        commit: Commit {
            subject: "name_index: names that differ in case only are the same",
            is: Is::Regression,
            edits: &[
                Edit::Ours(INDEX, "!strcmp(entry->name, name)", "!strcasecmp(entry->name, name)"),
                // A hash knows the case, so all buckets are looked at.
                Edit::Ours(
                    INDEX,
                    "\thlist_for_each_entry(entry, &name_buckets[hash % BUCKETS], node)\n",
                    "\tfor (i = 0; i < BUCKETS; i++)\n\thlist_for_each_entry(entry, &name_buckets[i], node)\n",
                ),
                Edit::Ours(
                    INDEX,
                    "\tstruct indexed_name *entry;\n\n\tfor (i",
                    "\tstruct indexed_name *entry;\n\tint i;\n\n\tfor (i",
                ),
            ],
        },
        functions: &["name_same", "name_known", "name_index_add", "name_index_init"],
        cpus: 1,
    },
    // The last commit, which is the bad end.
    Kind {
        name: "earlier",
        what: "an initcall moved to an earlier level",
        before: COMMON.len(),
        commit: Commit {
            subject: "loop: be there before file systems are",
            is: Is::Regression,
            edits: &[Edit::Rename(LOOP, "module_init", "subsys_initcall_sync", "loop_init")],
        },
        functions: &["loop_init"],
        cpus: 1,
    },
    // In the middle, right behind the one that does not boot and its correction.
    Kind {
        name: "calls",
        what: "a function called 1,000 times more",
        before: 11,
        commit: Commit {
            subject: "tcp: see that sockets can be had before it begins",
            is: Is::Regression,
            edits: &[
                // It is called twice without them.
                Edit::Define(
                    TCP_V4,
                    "tcp_v4_init",
                    "/* Who starts with too little memory shall know early. */\n\
                     static noinline void tcp_v4_try(void)\n{\n\tint tries = 2000;\n\tstruct sock *sk;\n\n\
                     \twhile (tries--) {\n\
                     \t\tif (inet_ctl_sock_create(&sk, PF_INET, SOCK_RAW, IPPROTO_TCP, &init_net))\n\
                     \t\t\tpanic(\"tcp: no sockets\\n\");\n\t\tinet_ctl_sock_destroy(sk);\n\t}\n}\n\n",
                ),
                Edit::Call(TCP_V4, "tcp_v4_init", "register_pernet_subsys", "\ttcp_v4_try();\n\n"),
            ],
        },
        functions: &["inet_ctl_sock_create", "tcp_v4_try"],
        cpus: 1,
    },
    // Somewhere in the middle.
    Kind {
        name: "cpu",
        what: "work moved to another CPU",
        before: 12,
        commit: Commit {
            subject: "boot_table: spare the boot CPU the work",
            is: Is::Regression,
            edits: &[
                Edit::Define(
                    TABLE,
                    "boot_table_init",
                    "static long boot_table_on(void *unused)\n{\n\tboot_table_build();\n\treturn 0;\n}\n\n",
                ),
                Edit::Ours(
                    TABLE,
                    "\tboot_table_build();\n\tif (",
                    "\twork_on_cpu(cpumask_last(cpu_online_mask), boot_table_on, NULL);\n\tif (",
                ),
            ],
        },
        functions: &["boot_table_build", "boot_table_row", "boot_table_init", "boot_table_on"],
        cpus: 2,
    },
];

impl Kind {
    /// Its range, oldest first.
    pub fn commits(&self) -> impl Iterator<Item = &Commit> {
        let (before, behind) = COMMON.split_at(self.before);
        before.iter().chain([&self.commit]).chain(behind)
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.name == name)
    }
}
