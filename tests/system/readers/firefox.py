# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""Reads a profile for the Firefox profiler by what its types say (src/types/profile.ts): walks each sample's
stack, as the page does, and adds its weight to the function at its end and to all functions in it.

In: the path of the compressed profile. Out: JSON: self and total nanoseconds by name, and markers by type.
"""

import gzip
import json
import sys

with gzip.open(sys.argv[1]) as file:
    profile = json.load(file)
categories = profile["meta"]["categories"]
assert profile["meta"]["preprocessedProfileVersion"] >= 40, "a processed profile"
schemas = {schema["name"]: {field["key"] for field in schema["fields"]} for schema in profile["meta"]["markerSchema"]}
sums, markers, samples_read = {}, {}, 0


def table(table):
    """All its columns have its length."""
    for name, column in table.items():
        if isinstance(column, list):
            assert len(column) == table["length"], (name, len(column), table["length"])
    return table


for thread in profile["threads"]:
    strings = thread["stringArray"]
    funcs, frames, stacks = table(thread["funcTable"]), table(thread["frameTable"]), table(thread["stackTable"])
    samples, marks = table(thread["samples"]), table(thread["markers"])
    assert samples["weightType"] == "tracing-ms"
    assert all(a <= b for a, b in zip(samples["time"], samples["time"][1:])), "samples in order"
    assert all(category < len(categories) for category in frames["category"])
    paths = []
    for prefix, frame in zip(stacks["prefix"], stacks["frame"]):
        assert prefix is None or prefix < len(paths), "a stack before what it stands on"
        name = strings[funcs["name"][frames["func"][frame]]]
        paths.append((paths[prefix] if prefix is not None else ()) + (name,))
    for stack, weight in zip(samples["stack"], samples["weight"]):
        if stack is None:
            assert weight == 0
            continue
        samples_read += 1
        ns = round(weight * 1e6)
        for name in set(paths[stack]):
            sums.setdefault(name, [0, 0])[1] += ns
        sums[paths[stack][-1]][0] += ns
    for name, data, start, end, phase in zip(
        marks["name"], marks["data"], marks["startTime"], marks["endTime"], marks["phase"]
    ):
        assert set(data) - {"type"} <= schemas[data["type"]], data
        assert (end is None) == (phase == 0) and (end is None or end >= start), data
        markers.setdefault(data["type"], []).append(data["what"])
print(json.dumps({"functions": sums, "markers": markers, "samples": samples_read, "threads": len(profile["threads"])}))
