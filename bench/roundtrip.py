# SPDX-License-Identifier: MIT
"""Round trips by `ivshmem-client ping`, each held against a floor that has run just before it."""
import contextlib
import json
import pathlib
import subprocess
import tempfile
import time

BOUND = 60  # seconds, for one program


def _on(cpu, command):
    """A command line that runs on one processor."""
    return ["taskset", "-c", str(cpu), *map(str, command)]


def _run(command):
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, timeout=BOUND, check=True)
    return json.loads(done.stdout)


@contextlib.contextmanager
def _started(command, sign=None):
    """A program that runs meanwhile; it says that it is ready, or a file appears."""
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True,
                               stdin=subprocess.DEVNULL)
    try:
        if sign:
            deadline = time.monotonic() + BOUND
            while not sign.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            yield ""
        else:
            yield process.stdout.readline()
    finally:
        process.terminate()  # a server that is killed leaves its worker behind
        process.communicate()


def host(build, server, spin, cpus, count, rounds):
    """Between two processes of the host, on one processor each: [{"ping": us, "floor": us}]."""
    client = build / "ivshmem-client"
    floor = [build / "bench/bench-pingpong", count, "spin" if spin else "doorbells", *cpus]
    measured = []
    with tempfile.TemporaryDirectory(prefix="ivshmem-bench-") as folder:
        socket = pathlib.Path(folder, "socket")
        at = [client, "-S", socket]
        with _started([server, "-F", "--memfd", "-l", "1M", "-S", socket], socket), \
                _started(_on(cpus[1], [*at, "pong"])) as ready:
            peer = ready.split()[1].removeprefix("id=")
            ping = _on(cpus[0], [*at, "ping", peer, "--count", count, "--json",
                                 *["--spin"][:spin]])
            for _ in range(rounds):
                before = _run(floor)["p50"]
                measured.append({"ping": _run(ping)["p50"], "floor": before})
    return measured
