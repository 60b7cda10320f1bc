// SPDX-License-Identifier: MIT OR GPL-2.0-only
// The ELF file of the corpora `inject` and `resolve`: all that the injector looks for in a vmlinux and
// nothing else. It has never booted. Written from the list of names in kernel-config/src/facts.rs; no
// code of a kernel is in it. build.sh compiles it.

struct task_struct {
	unsigned int __state;
	int prio;
	union {
		struct {
			int pid;
			int tgid;
		};
		long both;
	};
	char comm[16];
	void *ret_stack;
};

#define NOTRACE __attribute__((no_instrument_function))

struct task_struct init_task = { .comm = "swapper" };
__attribute__((section(".data..percpu"))) struct task_struct *current_task;
// link.ld leaves an unused stretch in front of it.
__attribute__((section(".data..percpu..last"))) long last_of_area;
unsigned long __per_cpu_offset[2];
unsigned long level2_fixmap_pgt[512];
int ftrace_disabled;
unsigned int tsc_khz;
const char linux_banner[] = "Linux version 0.0.0-tiny (nobody@nowhere) #1\n";

// A PVH note: Xen, type 18, the 32-bit entry.
asm(".pushsection .notes, \"a\", @note\n.long 4, 4, 18\n.asciz \"Xen\"\n.long 0x1000000\n.popsection");

// The jump that the injector looks for, and the GS base that it sets.
asm(".text\n.globl __switch_to_asm\n.type __switch_to_asm, @function\n"
    "__switch_to_asm: .byte 0xe9\n.long __switch_to - . - 4\n.size __switch_to_asm, . - __switch_to_asm\n"
    ".globl pvh_start_xen\n.type pvh_start_xen, @function\n"
    "pvh_start_xen: mov $0xc0000101, %ecx\nmov $0, %eax\nret\n.size pvh_start_xen, . - pvh_start_xen");

NOTRACE void __fentry__(void) {}
void __switch_to(void) { asm volatile(""); }
void setup_arch(void) { asm volatile(""); }
void ftrace_init(void) { asm volatile(""); }
void switch_to_new_gdt(void) { asm volatile(""); }
void memblock_reserve(void) { asm volatile(""); }
void __get_free_pages(void) { asm volatile(""); }
void free_pages(void) { asm volatile(""); }
// Ours begin with a jump of five bytes: these are as long.
NOTRACE long ftrace_graph_init_task(long a) { return a * 0x12345678 + 0x1234567; }
NOTRACE long ftrace_graph_exit_task(long a) { return a * 0x22345678 + 0x1234567; }
NOTRACE long ftrace_graph_init_idle_task(long a) { return a * 0x32345678 + 0x1234567; }
NOTRACE long ftrace_graph_ret_addr(long a) { return a * 0x42345678 + 0x1234567; }

void setup_per_cpu_areas(void)
{
	switch_to_new_gdt();
	asm volatile("");
}

void start_kernel(void)
{
	setup_arch();
	setup_per_cpu_areas();
	ftrace_init();
	asm volatile("");
}
