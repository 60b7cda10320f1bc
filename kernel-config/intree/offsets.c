// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the recorder must know about structures, in the compiler's own words. Built to assembly only;
 * kbuild makes offsets.h from it.
 */
#define COMPILE_OFFSETS

#include <linux/kbuild.h>
#include <linux/module.h>
#include <linux/sched.h>

int main(void)
{
	DEFINE(eft_fact_task_ret_stack, offsetof(struct task_struct, ret_stack));
	DEFINE(eft_fact_task_pid, offsetof(struct task_struct, pid));
	DEFINE(eft_fact_task_prio, offsetof(struct task_struct, prio));
	DEFINE(eft_fact_task_state, offsetof(struct task_struct, __state));
	DEFINE(eft_fact_task_comm, offsetof(struct task_struct, comm));
#ifdef CONFIG_MODULES
	DEFINE(eft_fact_module_name, offsetof(struct module, name));
#else
	DEFINE(eft_fact_module_name, 0);
#endif
	return 0;
}
