#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Gathers the system calls that the sandbox allows from the sources that make them.

    syscalls.py OUTPUT SOURCE...

A comment line that contains "seccomp:" lists calls behind it, one with "seccomp-change:" those that
only a server needs that can be changed while it runs, one with "seccomp-keeper:" those of a process
that starts workers, and one with "seccomp-successor:" those of one that takes over from another.
Each stands alone or with a condition on one
argument: name(ARGUMENT&MASK=VALUE) or name(ARGUMENT=VALUE), in C's own constants.
"""
import re
import sys

WHEN = {None: "ALWAYS", "-change": "CHANGE", "-keeper": "KEEPER", "-successor": "SUCCESSOR"}
CALL = re.compile(r"(\w+)(?:\((\d)(?:&(\w+))?=(\w+)\))?$")


def calls(path):
    with open(path, encoding="utf-8") as source:
        for number, line in enumerate(source, 1):
            if re.search(r"[^\w\"]seccomp(-\w+)?:\s*$", line):
                sys.exit(f"{path}:{number}: no system calls behind the colon")
            marker = re.search(r"(?:^|[^\w\"])seccomp(-change|-keeper|-successor)?: (.*)", line)
            if not marker or '"' in line:
                continue
            when, names = WHEN[marker[1]], marker[2]
            for word in names.replace("*/", "").split():
                match = CALL.match(word)
                if not match:
                    sys.exit(f"{path}:{number}: not a system call: {word}")
                yield (*match.groups(), when)


def main(output, sources):
    found = sorted({call for source in sources for call in calls(source)}, key=str)
    if not found:
        sys.exit("no source lists any system call")
    with open(output, "w", encoding="utf-8") as table:
        for name, argument, mask, value, when in found:
            if when != "ALWAYS" and (name, None, None, None, "ALWAYS") in found:
                continue
            if argument is None:
                table.write(f"{{SCMP_SYS({name}), 0, 0, 0, {when}}},\n")
            else:
                table.write(f"{{SCMP_SYS({name}), {argument}, {mask or 'UINT64_MAX'}, {value}, {when}}},\n")


main(sys.argv[1], sys.argv[2:])
