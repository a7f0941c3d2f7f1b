"""Counts what Autobahn's fuzzing client found (index.json) and fails on any failure.

Runs in Python 2.7, which the suite brings along, and in 3.
"""
from __future__ import print_function

import collections
import json
import sys

# What the RFC leaves open; the suite only notes how a server does it.
FINE = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED")
# So many cases at least, or something was not run.
LEAST = 250

report = json.load(open(sys.argv[1]))
failed = []
for agent in sorted(report):
    cases = report[agent]
    counts = collections.Counter(case["behavior"] for case in cases.values())
    closes = collections.Counter(case["behaviorClose"] for case in cases.values())
    print("%-6s %d cases: %s; closing: %s" % (
        agent, len(cases),
        ", ".join("%s %d" % item for item in sorted(counts.items())),
        ", ".join("%s %d" % item for item in sorted(closes.items()))))
    for name in sorted(cases, key=lambda n: [int(part) for part in n.split(".")]):
        case = cases[name]
        if case["behavior"] not in FINE or case["behaviorClose"] not in FINE:
            failed.append("%s %s: %s, closing: %s" % (
                agent, name, case["behavior"], case["behaviorClose"]))
    if len(cases) < LEAST:
        failed.append("%s: only %d cases ran" % (agent, len(cases)))
for line in failed:
    print("FAILED " + line)
if len(report) < 2:
    failed.append("agents")
    print("FAILED: not every server was tested")
sys.exit(1 if failed else 0)
