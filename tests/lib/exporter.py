# SPDX-License-Identifier: MIT
"""ivshmem-exporter under test, and what it serves, read by rules of our own.

The environment says which: IVSHMEM_EXPORTER, or ivshmem-exporter in the build folder (see serve.py).
"""

import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess

from serve import build_folder, eventually

TIMEOUT = 20.0
SAMPLE = re.compile(r'(\w+)(?:\{(\w+="(?:[^"\\\n]|\\[\\"n])*"(?:,\w+="(?:[^"\\\n]|\\[\\"n])*")*)\})? (\S+)')
LABEL = re.compile(r'(\w+)="((?:[^"\\\n]|\\[\\"n])*)"')


def exporter_program():
    return os.environ.get("IVSHMEM_EXPORTER", str(build_folder() / "ivshmem-exporter"))


def run(*arguments, **options):
    """Runs it to its end."""
    return subprocess.run([exporter_program(), *map(str, arguments)], capture_output=True, text=True,
                          timeout=TIMEOUT, check=False, **options)


def table():
    """The metrics that it has: {name: (type, labels, help)}."""
    rows = [line.split("\t") for line in run("--metrics").stdout.splitlines()]
    return {name: (kind, labels.split(",") if labels else [], text) for name, kind, labels, text in rows}


def parse(text):
    """The samples: {(name, {label: value} as a frozenset): number}. Every line is held to the format."""
    samples, announced = {}, {}
    for line in text.splitlines():
        if head := re.fullmatch(r"# (HELP|TYPE) (\w+) (.+)", line):
            assert (head[1], head[2]) not in announced, f"twice: {line}"
            announced[head[1], head[2]] = head[3]
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, f"not a line of the format: {line!r}"
        family = re.sub(r"_(bucket|sum|count)$", "", sample[1])
        assert ("TYPE", sample[1]) in announced or announced["TYPE", family] == "histogram", line
        labels = frozenset((name, re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), value))
                           for name, value in LABEL.findall(sample[2] or ""))
        assert (sample[1], labels) not in samples, f"twice: {line}"
        samples[sample[1], labels] = float(sample[3])
    return samples


class Exporter:
    """One that runs, on a free port of the loopback: with Exporter(control) as exporter."""

    def __init__(self, control, *more, program=None, **options):
        self.process = subprocess.Popen(
            [program or exporter_program(), "-c", str(control), "-l", "127.0.0.1:0", *map(str, more)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
        self.url = self.process.stdout.readline().strip()
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/metrics", self.url)
        assert found, self.process.communicate(timeout=TIMEOUT)
        self.port = int(found[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def end(self, number=signal.SIGTERM):
        """Ends it; gives what it has said on standard error. Its status must be 0."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=TIMEOUT)
        assert self.process.returncode == 0, said
        return said

    def connect(self):
        """A TCP connection that has said nothing."""
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT)

    def get(self, path="/metrics", method="GET"):
        """Gives the status, the headers and the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def scrape(self):
        """The samples now."""
        status, headers, body = self.get()
        assert status == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return parse(body)

    def value(self, name, **labels):
        """Of one sample; None if it is not there."""
        return self.scrape().get((name, frozenset(labels.items())))

    def n_fds(self):
        return len(list(pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def settle(self, n_fds):
        """Waits until it has as many descriptors as before."""
        eventually(lambda: self.n_fds() == n_fds, TIMEOUT, f"{n_fds} descriptors")
