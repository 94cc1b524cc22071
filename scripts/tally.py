#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Adds up the results of ./dev check.

tally.py stage DIR SECONDS   one line about a stage; status 1 if it failed
tally.py output TESTLOG.JSON what the programs that failed under meson have printed
tally.py total DIR...        what failed and what was skipped, then the sum; status 1 if anything
                             failed or if no test ran

A stage's folder holds `status`, the exit status of its command, and the JUnit files of its tests;
for meson's, `testlog.json` as well. A stage without JUnit files is itself one test. However a
command ends, a failure of it is at least one failed test.
"""
import collections
import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
TIMED_OUT = (124, 137)  # what timeout(1) makes of it
Test = collections.namedtuple("Test", "name outcome reason")


def read_junit(path):
    for case in ElementTree.parse(path).iter("testcase"):
        outcome, reason = PASSED, ""
        for child in case:
            if child.tag in ("failure", "error"):
                outcome, reason = FAILED, child.get("message") or child.text or ""
            elif child.tag == "skipped" and outcome == PASSED:
                outcome, reason = SKIPPED, child.get("message") or child.text or ""
        yield Test(f"{case.get('classname')}: {case.get('name')}", outcome, reason)


def failed_programs(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        program = json.loads(line)
        if program["result"] not in ("OK", "SKIP", "EXPECTEDFAIL"):
            yield program


def read_meson(path, tests):
    """Adds what meson's JUnit file leaves out: a program that crashed, hung or fell silent after
    subtests that passed."""
    for program in failed_programs(path):
        name = program["name"].split(" / ")[-1]
        if not any(test.outcome == FAILED and name in test.name for test in tests):
            yield Test(name, FAILED, f"{program['result']}, status {program['returncode']}")


def read_stage(stage):
    status = int((stage / "status").read_text())
    tests = []
    for path in sorted(stage.glob("*.xml")):
        try:
            tests += read_junit(path)
        except ElementTree.ParseError as error:
            tests.append(Test(path.name, FAILED, str(error)))
    for path in stage.glob("testlog.json"):
        tests += list(read_meson(path, tests))

    if status and not any(test.outcome == FAILED for test in tests):
        why = "did not end in time" if status in TIMED_OUT else f"ended with status {status}"
        tests.append(Test(stage.name, FAILED, why))
    elif not tests and not list(stage.glob("*.xml")):
        tests.append(Test(stage.name, PASSED, ""))
    return tests


def count(tests):
    counter = collections.Counter(test.outcome for test in tests)
    return counter[PASSED], counter[FAILED], counter[SKIPPED]


def show_stage(stage, seconds):
    passed, failed, skipped = count(read_stage(stage))
    text = f"FAILED: {failed} of {passed + failed}" if failed else f"ok: {passed}"
    if skipped:
        text += f", {skipped} left out"
    print(f"{text} ({seconds} s)", flush=True)
    return 1 if failed else 0


def show_output(path):
    for program in failed_programs(path):
        print(f"{program['name']}: {program['result']}, status {program['returncode']}")
        print(program.get("stdout", ""), program.get("stderr", ""))


def show_total(stages):
    tests = []
    for stage in stages:
        for test in read_stage(stage):
            tests.append(test)
            if test.outcome != PASSED:
                reason = test.reason.strip().splitlines()
                print(f"{test.outcome}: {stage.name}: {test.name}" + (f": {reason[0]}" if reason else ""))
    passed, failed, skipped = count(tests)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


def main(arguments):
    if arguments[0] == "stage":
        return show_stage(pathlib.Path(arguments[1]), arguments[2])
    if arguments[0] == "output":
        return show_output(pathlib.Path(arguments[1]))
    return show_total([pathlib.Path(path) for path in arguments[1:]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
