# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Takes a CI example out of CHECK.md and prints its steps from the recording on, as a runner runs them:
# [{"run": LINES, "always": whether also after a failure}, ...]
#   python3 check_examples.py CHECK.md github|gitlab

import json
import re
import sys

import yaml


def github(document):
    steps = document["jobs"]["boot"]["steps"]
    runs = [{"run": step["run"], "always": step.get("if") == "always()"} for step in steps if "run" in step]
    first = next(index for index, step in enumerate(runs) if "symbolize record" in step["run"])
    uploaded = next(step["with"]["path"] for step in steps if step.get("uses", "").startswith("actions/upload-artifact@"))
    return runs[first:], uploaded.split()


def gitlab(document):
    job = document["boot"]
    steps = [{"run": line, "always": False} for line in job["script"]]
    steps += [{"run": line, "always": True} for line in job["after_script"]]
    return steps, [job["artifacts"]["reports"]["junit"], *job["artifacts"]["paths"]]


def main():
    page, which = sys.argv[1:]
    text = open(page, encoding="utf-8").read()
    name = {"github": ".github/workflows/boot.yml", "gitlab": ".gitlab-ci.yml"}[which]
    (block,) = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.S) if block.startswith(f"# {name}\n")]
    steps, uploaded = {"github": github, "gitlab": gitlab}[which](yaml.safe_load(block))
    # What is uploaded is what the steps write.
    for path in uploaded:
        assert any(path in step["run"] for step in steps), path
    json.dump(steps, sys.stdout)


main()
