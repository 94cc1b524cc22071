#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Gathers the system calls that the sandbox allows from the sources that make them.

    syscalls.py MARKER OUTPUT SOURCE...

A comment line that contains MARKER and a colon lists calls behind it, each alone or with a condition on one
argument: name(ARGUMENT&MASK=VALUE) or name(ARGUMENT=VALUE), in C's own constants.
"""
import re
import sys

CALL = re.compile(r"(\w+)(?:\((\d)(?:&(\w+))?=(\w+)\))?$")


def calls(marker_word, path):
    with open(path, encoding="utf-8") as source:
        for number, line in enumerate(source, 1):
            _, marker, names = line.partition(f" {marker_word}:")
            if not marker or '"' in line:
                continue
            for word in names.replace("*/", "").split():
                match = CALL.match(word)
                if not match:
                    sys.exit(f"{path}:{number}: not a system call: {word}")
                yield match.groups()


def main(marker, output, sources):
    found = sorted({call for source in sources for call in calls(marker, source)}, key=str)
    if not found:
        sys.exit("no source lists any system call")
    with open(output, "w", encoding="utf-8") as table:
        for name, argument, mask, value in found:
            if argument is None:
                table.write(f"{{SCMP_SYS({name}), 0, 0, 0}},\n")
            else:
                table.write(f"{{SCMP_SYS({name}), {argument}, {mask or 'UINT64_MAX'}, {value}}},\n")


main(sys.argv[1], sys.argv[2], sys.argv[3:])
