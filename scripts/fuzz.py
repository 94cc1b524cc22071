#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the fuzzers of a build, each for some seconds, and says which found something.

The fuzzers are the executables fuzz-NAME in BUILD/fuzz. fuzz/corpus/NAME holds the inputs to start
from; new ones and those that crash are kept in BUILD/corpus/NAME and BUILD/crashes, and what a
fuzzer says in fuzz-NAME.log, in BUILD/logs or beside the JUnit file. What is wrong stands at the
end: for each fuzzer that failed its last lines, and then a line each with the reason.
"""
import argparse
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent import futures

ROOT = pathlib.Path(__file__).resolve().parent.parent
INPUT_SECONDS = 10  # an input may take, which are milliseconds otherwise
TAIL = 30  # lines
# libFuzzer's, and what they are for
STATUSES = {
    70: f"found an input that takes more than {INPUT_SECONDS} s",
    71: "found an input that takes too much memory",
    77: "found something",
}
# What a rule, a sanitizer or libFuzzer itself says is wrong; the first is the cause.
CAUSE = re.compile(r": broken: |: runtime error: |ERROR: |Assertion .* failed")
ARTIFACT = re.compile(r"Test unit written to (.*)")
INPUT = re.compile(r"Base64: (\S+)")


def run_bounded(command, log, folder, seconds):
    """The status, or None if it had to be stopped: with a signal that lets it say where it was."""
    with log.open("wb") as output, subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
    ) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
    return None


def read_log(log):
    """The lines, of printable characters alone: inputs are among them."""
    text = log.read_text(encoding="ascii", errors="replace")
    return [re.sub(r"[^ -~]", "?", line)[:400] for line in text.splitlines()]


def last_match(pattern, lines):
    found = [match for match in map(pattern.search, lines) if match]
    return found[-1].group(1) if found else None


def explain(status, lines):
    """Why a fuzzer failed: what happened, the cause in its words, and the input."""
    if status is None:
        why = "did not end in time"
    else:
        why = STATUSES.get(status, f"ended with status {status}")
    cause = next((line for line in lines if CAUSE.search(line)), None)
    artifact, text = last_match(ARTIFACT, lines), last_match(INPUT, lines)
    return why + "".join(
        f"; {part}"
        for part in (
            cause and cause.strip(),
            artifact and f"input: {artifact}",
            text and f"in base64: {text}",
        )
        if part
    )


def fuzz(program, build, log, options):
    """Runs one fuzzer; None, or why it failed."""
    name = program.name[len("fuzz-"):]
    found = build / "corpus" / name
    crashes = build / "crashes"
    for folder in (found, crashes, log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    command = [program, f"-max_total_time={options.seconds}", f"-timeout={INPUT_SECONDS}", "-print_final_stats=1"]
    command += [f"-artifact_prefix={crashes}/{name}-", found]
    seeds = ROOT / "fuzz" / "corpus" / name
    if seeds.is_dir():
        command.append(seeds)
    # A socket that a crash leaves behind goes with the folder.
    with tempfile.TemporaryDirectory(prefix="ivshmem-fuzz-") as folder:
        status = run_bounded(command, log, folder, options.seconds + options.patience)
    return None if status == 0 else explain(status, read_log(log))


def count_runs(log):
    return last_match(re.compile(r"number_of_executed_units: (\d+)"), read_log(log)) or "?"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("name", nargs="?")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--patience", type=int, default=60, help="seconds beyond those until it is stopped")
    parser.add_argument("--junitxml", type=pathlib.Path)
    options = parser.parse_args()
    build = options.build.resolve()
    logs = options.junitxml.resolve().parent if options.junitxml else build / "logs"

    programs = sorted(p for p in (build / "fuzz").glob("fuzz-*") if p.is_file() and os.access(p, os.X_OK))
    names = [program.name[len("fuzz-"):] for program in programs]
    if options.name:
        if options.name not in names:
            sys.exit(f"dev: no fuzzer '{options.name}'; there are: {' '.join(names)}")
        programs = [programs[names.index(options.name)]]

    suite = ElementTree.Element("testsuite", name="fuzz")

    def run(program):
        began = time.monotonic()
        log = logs / f"{program.name}.log"
        why = fuzz(program, build, log, options)
        how = "failed" if why else f"found nothing in {count_runs(log)} runs"
        print(f"{program.name}: {how}\n", end="", flush=True)  # in one piece: others print, too
        case = ElementTree.SubElement(
            suite, "testcase", classname="fuzz", name=program.name, time=f"{time.monotonic() - began:.1f}"
        )
        if why:
            ElementTree.SubElement(case, "failure", message=why)
        return why

    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:  # each is a process of its own
        failed = {program.name: why for program, why in zip(programs, pool.map(run, programs)) if why}
    for name in failed:
        print(f"\n{name}, the end of {logs / name}.log:")
        for line in read_log(logs / f"{name}.log")[-TAIL:]:
            print(f"    {line}")
    for name, why in failed.items():
        print(f"{name}: {why}")
    if options.junitxml:
        ElementTree.ElementTree(suite).write(options.junitxml, encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
