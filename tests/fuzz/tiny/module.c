// SPDX-License-Identifier: MIT OR GPL-2.0-only
// A module in small: two sections with code, a symbol with two names, one inlined function.
#define INIT __attribute__((section(".init.text"), noinline))

static inline __attribute__((always_inline)) void inlined(void) { asm volatile("nop"); }

void tiny_work(void) { inlined(); }

static INIT int tiny_start(void)
{
	tiny_work();
	return 0;
}

int init_module(void) __attribute__((alias("tiny_start")));
