#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the fuzzers of a build, each for some seconds, and says which found something.

The fuzzers are the executables fuzz-NAME in BUILD/fuzz. fuzz/corpus/NAME holds the inputs to start
from; new ones and those that crash are kept in BUILD/corpus/NAME and BUILD/crashes.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent import futures

ROOT = pathlib.Path(__file__).resolve().parent.parent


def fuzz(program, build, seconds):
    """Runs one fuzzer; None, or why it failed."""
    name = program.name[len("fuzz-"):]
    found = build / "corpus" / name
    crashes = build / "crashes"
    for folder in (found, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    command = [program, f"-max_total_time={seconds}", "-timeout=10", "-print_final_stats=1"]
    command += [f"-artifact_prefix={crashes}/{name}-", found]
    seeds = ROOT / "fuzz" / "corpus" / name
    if seeds.is_dir():
        command.append(seeds)
    try:
        # A socket that a crash leaves behind goes with the folder.
        with tempfile.TemporaryDirectory(prefix="ivshmem-fuzz-") as folder:
            done = subprocess.run(command, cwd=folder, timeout=seconds + 60, check=False)
    except subprocess.TimeoutExpired:
        return "did not end in time"
    return None if done.returncode == 0 else f"ended with status {done.returncode}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("name", nargs="?")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--junitxml", type=pathlib.Path)
    options = parser.parse_args()
    build = options.build.resolve()

    programs = sorted(p for p in (build / "fuzz").glob("fuzz-*") if p.is_file() and os.access(p, os.X_OK))
    names = [program.name[len("fuzz-"):] for program in programs]
    if options.name:
        if options.name not in names:
            sys.exit(f"dev: no fuzzer '{options.name}'; there are: {' '.join(names)}")
        programs = [programs[names.index(options.name)]]

    suite = ElementTree.Element("testsuite", name="fuzz")

    def run(program):
        began = time.monotonic()
        why = fuzz(program, build, options.seconds)
        print(f"{program.name}: {why or 'found nothing'}", flush=True)
        case = ElementTree.SubElement(
            suite, "testcase", classname="fuzz", name=program.name, time=f"{time.monotonic() - began:.1f}"
        )
        if why:
            ElementTree.SubElement(case, "failure", message=why)
        return bool(why)

    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:  # each is a process of its own
        status = int(any(list(pool.map(run, programs))))
    if options.junitxml:
        ElementTree.ElementTree(suite).write(options.junitxml, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
