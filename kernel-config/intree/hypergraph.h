/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hooks of hypergraph=: a predicted branch each while the command line does not ask for it, nothing at
 * all without CONFIG_HYPERGRAPH. Included by linux/ftrace.h, at its end.
 */
#ifndef _LINUX_HYPERGRAPH_H
#define _LINUX_HYPERGRAPH_H

#ifdef CONFIG_HYPERGRAPH

#include <linux/compiler.h>
#include <linux/types.h>

struct task_struct;

/* Set once, before anything is traced. */
extern bool hypergraph_on;

void hypergraph_start(void);
void hypergraph_say_why(void);
void hypergraph_task_gone(struct task_struct *task);
void hypergraph_switch_percpu_traced(int cpu);

/* guest.S */
void eft_task_init(struct task_struct *task);
void eft_idle_init(struct task_struct *task, int cpu);
void eft_on_switch(struct task_struct *prev, struct task_struct *next);
unsigned long eft_ret_addr(struct task_struct *task, int *idx, unsigned long ret, unsigned long *retp);

/* A new task, after ftrace has set it up: it gets a shadow stack. */
static inline void hypergraph_task_init(struct task_struct *task)
{
	if (unlikely(hypergraph_on))
		eft_task_init(task);
}

/* A task is freed, before ftrace would free what it takes for its own. */
static inline void hypergraph_task_exit(struct task_struct *task)
{
	if (unlikely(hypergraph_on))
		hypergraph_task_gone(task);
}

/* In place of ftrace_graph_init_idle_task(), which would reset the boot task's stack. */
static inline void hypergraph_init_idle_task(struct task_struct *task, int cpu)
{
	if (unlikely(hypergraph_on))
		eft_idle_init(task, cpu);
	else
		ftrace_graph_init_idle_task(task, cpu);
}

/* The next task is about to run. */
static inline void hypergraph_switch(struct task_struct *prev, struct task_struct *next)
{
	if (unlikely(hypergraph_on))
		eft_on_switch(prev, next);
}

/* In place of ftrace_graph_ret_addr(), for the unwinder. */
static inline unsigned long hypergraph_ret_addr(struct task_struct *task, int *idx, unsigned long ret,
						unsigned long *retp)
{
	if (unlikely(hypergraph_on))
		return eft_ret_addr(task, idx, ret, retp);
	return ftrace_graph_ret_addr(task, idx, ret, retp);
}

/* In place of ftrace_init(): the call sites stay live. */
#define hypergraph_ftrace_init()			\
do {							\
	if (unlikely(hypergraph_on))			\
		hypergraph_say_why();			\
	else						\
		ftrace_init();				\
} while (0)

/* In place of the function that moves the boot CPU to its final per-CPU area. */
#define hypergraph_switch_percpu(cpu, move)		\
do {							\
	if (unlikely(hypergraph_on))			\
		hypergraph_switch_percpu_traced(cpu);	\
	else						\
		move(cpu);				\
} while (0)
#define hypergraph_switch_to_new_gdt(cpu)		\
	hypergraph_switch_percpu(cpu, switch_to_new_gdt)
#define hypergraph_switch_gdt_and_percpu_base(cpu)	\
	hypergraph_switch_percpu(cpu, switch_gdt_and_percpu_base)

#else /* !CONFIG_HYPERGRAPH */

#define hypergraph_start()			do { } while (0)
#define hypergraph_task_init(task)		do { } while (0)
#define hypergraph_task_exit(task)		do { } while (0)
#define hypergraph_switch(prev, next)		do { } while (0)
#define hypergraph_init_idle_task		ftrace_graph_init_idle_task
#define hypergraph_ret_addr			ftrace_graph_ret_addr
#define hypergraph_ftrace_init			ftrace_init
#define hypergraph_switch_to_new_gdt		switch_to_new_gdt
#define hypergraph_switch_gdt_and_percpu_base	switch_gdt_and_percpu_base

#endif /* CONFIG_HYPERGRAPH */

#endif /* _LINUX_HYPERGRAPH_H */
