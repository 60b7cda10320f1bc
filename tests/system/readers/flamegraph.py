# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""Reads a flame graph as XML: for each name the calls, self time and total time that its frames show.

Total time is that of the outermost frames of a name, from their widths; self time that of the words for the
mouse. In: the path of the SVG. Out: JSON.
"""

import json
import re
import sys
import xml.etree.ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"
FG = "{http://github.com/jonhoo/inferno}"
UNITS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
TITLE = re.compile(
    r"^(.*) \(([\d,]+) ns, [\d.]+%; self ([\d.]+) (ns|us|ms|s), (?:in [^,]*, )?"
    r"(?:([\d,]+) calls?|began in a level before)\)$"
)

frames = []
root = ET.parse(sys.argv[1]).getroot()
for group in root.iter(SVG + "g"):
    title, rect = group.find(SVG + "title"), group.find(SVG + "rect")
    if title is None or rect is None:
        continue
    found = TITLE.match(title.text)
    start, width = int(rect.get(FG + "x")), int(rect.get(FG + "w"))
    frames.append((start, -width, float(rect.get("y")), title.text, found))

# Callers first: from left to right, the higher ones first.
frames.sort(key=lambda frame: (frame[0], frame[2]))
sums, whole, groups, stack = {}, 0, [], []
for start, width, y, text, found in frames:
    end = start - width
    while stack and stack[-1][0] <= y - 1 and (stack[-1][0] >= y or stack[-1][1] < end or stack[-1][1] <= start):
        stack.pop()
    while stack and stack[-1][0] >= y:
        stack.pop()
    if text.startswith("all ("):
        whole = -width
    elif found is None:
        groups.append(text)
    else:
        name, shown, own, unit, calls = found.groups()
        assert int(shown.replace(",", "")) == -width, text
        sum = sums.setdefault(name, {"calls": 0, "self": 0, "total": 0, "frames": 0})
        sum["calls"] += int(calls.replace(",", "")) if calls else 0
        sum["self"] += float(own) * UNITS[unit]
        sum["frames"] += 1
        if all(outer[2] != name for outer in stack):
            sum["total"] -= width
        stack.append((y, end, name))
print(json.dumps({"whole": whole, "groups": groups, "functions": sums}))
