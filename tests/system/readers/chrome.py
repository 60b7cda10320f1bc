# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""Reads Chrome's trace event JSON as its viewers do: rows are named by metadata, calls nest by begin and
duration. Prints what it finds as JSON."""

import collections
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    events = json.load(file)["traceEvents"]

processes, threads = {}, {}
rows = collections.defaultdict(list)
for event in events:
    if event["ph"] == "M" and event["name"] == "process_name":
        processes[event["pid"]] = event["args"]["name"]
    elif event["ph"] == "M" and event["name"] == "thread_name":
        threads[event["pid"], event["tid"]] = event["args"]["name"]
    elif event["ph"] == "X":
        rows[event["pid"], event["tid"]].append((round(event["ts"] * 1000), round(event["dur"] * 1000), event["name"]))
    else:
        assert event["ph"] in "Mi", event

kernel = max(processes)
calls, self_ns = collections.Counter(), collections.Counter()
for (pid, tid), row in rows.items():
    assert (pid, tid) in threads, "each row has a name"
    stack = []
    for begin, duration, name in sorted(row, key=lambda event: (event[0], -event[1])):
        while stack and stack[-1][0] <= begin:
            stack.pop()
        if stack:
            assert begin + duration <= stack[-1][0], "what overlaps is nested"
            if pid == kernel:
                self_ns[stack[-1][1]] -= duration
        if duration > 0:
            stack.append((begin + duration, name))
        if pid == kernel:
            calls[name] += 1
            self_ns[name] += duration
        else:
            assert len(stack) <= 1, "levels, initcalls and tasks do not nest"

named = collections.defaultdict(dict)
for (pid, tid), row in rows.items():
    if pid != kernel:
        named[processes[pid]][threads[pid, tid]] = [name for _, _, name in row]
print(
    json.dumps(
        {
            "calls": calls,
            "self_ns": self_ns,
            "threads": sorted(name for (pid, _), name in threads.items() if pid == kernel),
            "rows": named,
            "initcalls": sum(len(row) for name, row in named["Boot"].items() if name.startswith("initcalls")),
        }
    )
)
