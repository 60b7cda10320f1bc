# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Reads a JUnit file with a reader that is not ours, and prints what it counts as JSON: the cases one by one, which must
# be what the suite says of itself.
#   python3 check_junit.py FILE

import json
import sys

from junitparser import Error, Failure, JUnitXml

suites = list(JUnitXml.fromfile(sys.argv[1]))
(suite,) = suites
cases = list(suite)
found = {
    "tests": len(cases),
    "failures": sum(any(isinstance(result, Failure) for result in case.result) for case in cases),
    "errors": sum(any(isinstance(result, Error) for result in case.result) for case in cases),
}
told = {"tests": suite.tests, "failures": suite.failures, "errors": suite.errors}
assert found == told, (found, told)
for case in cases:
    assert case.name and case.classname, case
json.dump(found, sys.stdout)
