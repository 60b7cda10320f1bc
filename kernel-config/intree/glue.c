// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's side of hypergraph=: lays out the memory that is shared with the host and starts the
 * recorder (guest.S) when the command line asks for it. Wrappers for kernel functions that the recorder
 * calls under names of its own (eft_kernel_...); those that it takes the address of are in symbols.h.
 *
 * hypergraph_region lies behind __end_of_kernel_reserve: mapped like the rest of the image, never
 * cleared, and free memory from setup_arch() on unless it is reserved. So a kernel that is not asked to
 * trace loses nothing.
 */
#include <linux/elf.h>
#include <linux/ftrace.h>
#include <linux/gfp.h>
#include <linux/kallsyms.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/stop_machine.h>
#include <linux/string.h>
#include <linux/utsname.h>

#include <asm/processor.h>
#include <asm/sections.h>
#include <asm/setup.h>
#include <asm/tsc.h>

#include "layout.h"

#define SIZE		((u64)CONFIG_HYPERGRAPH_SIZE_MIB << 20)
/* The recorder's own page: flags of the stacks, its plan. */
#define GUEST_OFF	ALIGN(EFT_CPU_CONTROL_OFFSET + CONFIG_HYPERGRAPH_CPUS * EFT_CPU_CONTROL_STRIDE, PAGE_SIZE)
#define STACKS_OFF	ALIGN(GUEST_OFF + PAGE_SIZE, EFT_STACK_SIZE)
#define RINGS_OFF	ALIGN(STACKS_OFF + EFT_STACKS * EFT_STACK_SIZE, EFT_CHUNK_SIZE)
#define MOST_CHUNKS	((SIZE - RINGS_OFF) / EFT_CHUNK_SIZE / CONFIG_HYPERGRAPH_CPUS)

static_assert(SIZE > RINGS_OFF && MOST_CHUNKS >= 2,
	      "CONFIG_HYPERGRAPH_SIZE_MIB is too small for CONFIG_HYPERGRAPH_CPUS");

u8 hypergraph_region[SIZE] __aligned(PMD_SIZE) __section(".bss..hypergraph");

bool hypergraph_on __ro_after_init;

/* Per-CPU variables of the recorder: it knows what lies where. */
struct hypergraph_slots {
	u64 position;
	u64 rest[EFT_SLOTS_SIZE / 8 - 1];
};
DEFINE_PER_CPU_ALIGNED(struct hypergraph_slots, hypergraph_slots) = { .position = EFT_NO_CHUNK };

/* guest.S: reads boot_command_line; leads the call sites to the recorder if it is to record. */
void eft_configure(void);
void eft_percpu_switch(int cpu);

#define header_u32(field)	(*(u32 *)(hypergraph_region + EFT_HEADER_##field))
#define header_u64(field)	(*(u64 *)(hypergraph_region + EFT_HEADER_##field))

/* The linker script's, as in kernel/ksysfs.c. */
extern const void __start_notes;
extern const void __stop_notes;

static void __init put_build_id(void)
{
	const void *at = &__start_notes, *end = &__stop_notes;

	while (at + sizeof(Elf64_Nhdr) <= end) {
		const Elf64_Nhdr *note = at;
		const void *name = at + sizeof(*note), *id = name + ALIGN(note->n_namesz, 4);

		if (note->n_type == 3 && note->n_namesz == 4 && !memcmp(name, "GNU", 4)) {
			u32 len = min_t(u32, note->n_descsz, EFT_BUILD_ID_MAX);

			memcpy(hypergraph_region + EFT_HEADER_BUILD_ID, id, len);
			header_u32(BUILD_ID_LEN) = len;
			return;
		}
		at = id + ALIGN(note->n_descsz, 4);
	}
}

/* The memory that guest and host share, as early-ftrace/format/src/shared.rs lays it out. */
static void __init put_header(void)
{
	/* The host counts from a page that an injected recorder has for its text. */
	header_u64(REGION_PHYS) = __pa_symbol(hypergraph_region) - EFT_DATA_OFFSET;
	header_u64(REGION_VIRT) = (u64)hypergraph_region - EFT_DATA_OFFSET;
	header_u64(REGION_SIZE) = SIZE + EFT_DATA_OFFSET;
	header_u32(VERSION) = EFT_FORMAT_VERSION;
	header_u32(HEADER_SIZE) = EFT_HEADER_BYTES;
	header_u32(CPUS) = CONFIG_HYPERGRAPH_CPUS;
	header_u32(CHUNKS_PER_CPU) = rounddown_pow_of_two(MOST_CHUNKS);
	header_u32(CHUNK_SIZE) = EFT_CHUNK_SIZE;
	header_u32(POLICY) = EFT_POLICY_WAIT;
	header_u64(WAIT_TICKS) = EFT_WAIT_TICKS;
	header_u64(GUEST_OFF) = GUEST_OFF;
	header_u64(STACKS_OFF) = STACKS_OFF;
	header_u32(STACKS) = EFT_STACKS;
	header_u32(STACK_SIZE) = EFT_STACK_SIZE;
	header_u64(RINGS_OFF) = RINGS_OFF;
	header_u64(TEXT_START) = (u64)_stext;
	header_u64(TSC_KHZ_PHYS) = __pa_symbol(&tsc_khz);
	header_u32(ORIGIN) = EFT_ORIGIN_IN_TREE;
	strscpy(hypergraph_region + EFT_HEADER_RELEASE, init_uts_ns.name.release, EFT_RELEASE_MAX);
	put_build_id();
}

/* The boot task's shadow stack: the first one, empty. */
static void __init put_boot_stack(void)
{
	u8 *stack = hypergraph_region + STACKS_OFF;
	u32 at;

	for (at = 0; at < EFT_STACK_SIZE; at += EFT_FRAME_SIZE)
		*(u32 *)(stack + at + EFT_FRAME_HIGH) = EFT_CLAIMED;
	hypergraph_region[GUEST_OFF] = 1;
	init_task.ret_stack = (void *)(stack + EFT_FRAME_SIZE);
}

/*
 * From head64.c, as soon as boot_command_line is there: bss is clear, one CPU runs, interrupts are off,
 * text is writable.
 */
void __init hypergraph_start(void)
{
	if (!strstr(boot_command_line, "hypergraph="))
		return;
	memset(hypergraph_region, 0, SIZE);
	put_header();
	put_boot_stack();
	eft_configure();
	hypergraph_on = header_u32(STATE) == EFT_STATE_ON;
	if (hypergraph_on) {
		memblock_reserve(__pa_symbol(hypergraph_region), SIZE);
		/* Last: the host may take it from here on. */
		smp_store_release((u64 *)(hypergraph_region + EFT_HEADER_MAGIC), EFT_MAGIC);
	} else {
		init_task.ret_stack = NULL;
	}
}

/* Instead of ftrace_init(). */
void __init hypergraph_say_why(void)
{
	ftrace_kill();
	pr_info("ftrace: off, since hypergraph= traces this boot\n");
	/* The kernel protects our pages itself: that is all that is left of eft_late_init(). */
	header_u64(LATE_INIT) = 1;
}

void __init hypergraph_switch_percpu_traced(int cpu)
{
	eft_percpu_switch(cpu);
}

void eft_task_exit(struct task_struct *task);

void hypergraph_task_gone(struct task_struct *task)
{
	/* A task whose fork failed before it got a stack. */
	if (!task->ret_stack)
		return;
	eft_task_exit(task);
	task->ret_stack = NULL;
}

int eft_kernel_memblock_reserve(u64 base, u64 size);
int __init_memblock eft_kernel_memblock_reserve(u64 base, u64 size)
{
	return memblock_reserve(base, size);
}

unsigned long eft_kernel_get_free_pages(gfp_t gfp, unsigned int order);
unsigned long eft_kernel_get_free_pages(gfp_t gfp, unsigned int order)
{
	return __get_free_pages(gfp, order);
}
