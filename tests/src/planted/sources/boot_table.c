// SPDX-License-Identifier: GPL-2.0-only
/*
 * A table that is computed while the kernel boots: planted by early-ftrace's tests, so that there is
 * something to change.
 */
#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/workqueue.h>

#define ROWS	1024
#define ROUNDS	4096

static u32 boot_table[ROWS];

static noinline void boot_table_row(unsigned int row)
{
	u32 value = row + 1;
	int i;

	for (i = 0; i < ROUNDS; i++)
		value = value * 1664525 + (value >> 13);
	boot_table[row] = value;
}

static noinline void boot_table_build(void)
{
	unsigned int row;

	for (row = 0; row < ROWS; row++)
		boot_table_row(row);
}

/* For whoever needs it; without a reader the compiler would leave the table out, and its work. */
u32 boot_table_value(unsigned int row);
u32 boot_table_value(unsigned int row)
{
	return boot_table[row % ROWS];
}

static int __init boot_table_init(void)
{
	boot_table_build();
	return 0;
}
device_initcall(boot_table_init);
