// SPDX-License-Identifier: GPL-2.0-only
/*
 * An index of names: planted by early-ftrace's tests, so that there is something to change. Names go to
 * buckets by their hash; a name that is there already is not added again.
 */
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/stringhash.h>

#define NAMES	400
#define BUCKETS	64

struct indexed_name {
	struct hlist_node node;
	char name[24];
};

static struct hlist_head name_buckets[BUCKETS];

static noinline bool name_same(const struct indexed_name *entry, const char *name)
{
	return !strcmp(entry->name, name);
}

static noinline bool name_known(const char *name, u32 hash)
{
	struct indexed_name *entry;

	hlist_for_each_entry(entry, &name_buckets[hash % BUCKETS], node)
		if (name_same(entry, name))
			return true;
	return false;
}

static noinline void name_index_add(const char *name)
{
	u32 hash = full_name_hash(NULL, name, strlen(name));
	struct indexed_name *entry;

	if (name_known(name, hash))
		return;
	entry = kzalloc(sizeof(*entry), GFP_KERNEL);
	if (!entry)
		return;
	strscpy(entry->name, name, sizeof(entry->name));
	hlist_add_head(&entry->node, &name_buckets[hash % BUCKETS]);
}

static int __init name_index_init(void)
{
	char name[24];
	int i;

	for (i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		name_index_add(name);
	}
	return 0;
}
fs_initcall(name_index_init);
