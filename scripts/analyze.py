#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Looks for mistakes in the product's sources without running them: gcc -fanalyzer, clang-tidy (its
checks are in .clang-tidy) and cppcheck. Any finding is a failure.

A finding that is none is silenced where it is, with its reason beside it: NOLINT(check) for
clang-tidy, cppcheck-suppress for cppcheck, a pragma for gcc.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
BOUND = 170  # seconds, for one run of a tool

# cppcheck does not know __attribute__((cleanup)): what it takes for leaks is closed and freed there.
# The tests count descriptors, and the sanitizers what was allocated.
CPPCHECK = [
    "cppcheck", "--quiet", "--std=c11", "--enable=warning,performance,portability", "--inline-suppr",
    "--suppress=resourceLeak", "--suppress=memleak", "--template=gcc", "--error-exitcode=1",
    "-D_GNU_SOURCE", "-DHAVE_SECCOMP", '-DIVSHMEM_VERSION="0"', "-Iinclude", "-Isrc", f"-j{os.cpu_count()}",
]


def sources(build):
    """The product's sources and how each is compiled: {path: (words, directory)}."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        path = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        if path.is_relative_to(ROOT / "src") and not path.name.startswith("test-"):
            found.setdefault(path, (shlex.split(entry["command"]), entry["directory"]))
    return found


# To follow each path into all that it calls takes clang's analyzer ten times as long, and is left to the
# long check. gcc's does it every time.
SHALLOW = [f"--extra-arg={word}" for word in ("-Xclang", "-analyzer-config", "-Xclang", "mode=shallow")]


def jobs(build):
    """What is to be run: (name, words, directory)."""
    yield "cppcheck", [*CPPCHECK, "src"], ROOT
    depth = [] if os.environ.get("IVSHMEM_LONG") else SHALLOW
    for path, (words, directory) in sorted(sources(build).items()):
        name = path.relative_to(ROOT)
        yield f"clang-tidy {name}", ["clang-tidy", "--quiet", "-p", build, *depth, path], ROOT
        words[words.index("-MF") + 1] = words[words.index("-o") + 1] = "/dev/null"
        yield f"gcc {name}", [*words, "-fanalyzer", "-Werror", "-fdiagnostics-color=never"], directory


def run(job):
    """Gives the name, the seconds and None, or what was found."""
    name, words, directory = job
    began = time.monotonic()
    try:
        done = subprocess.run(words, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=BOUND, check=False)
        found = done.stdout.strip() or "failed" if done.returncode else None
    except subprocess.TimeoutExpired:
        found = f"did not end within {BOUND} s"
    return name, time.monotonic() - began, found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path, help="a build with gcc, complete")
    parser.add_argument("--junitxml", type=pathlib.Path)
    options = parser.parse_args()
    suite = ElementTree.Element("testsuite", name="analyze")
    status = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, seconds, found in pool.map(run, list(jobs(options.build.resolve()))):
            case = ElementTree.SubElement(
                suite, "testcase", classname="analyze", name=name, time=f"{seconds:.1f}")
            if found:
                print(f"{name}:\n{found}", flush=True)
                ElementTree.SubElement(case, "failure", message=found.splitlines()[0])
                status = 1
    if options.junitxml:
        ElementTree.ElementTree(suite).write(options.junitxml, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
