# SPDX-License-Identifier: MIT
"""Measure the server against floors: the plainest loop that does the kernel's part of the same work,
run in the same minute on the same machine. Floor and server alternate; what counts is the median of
the ratios of neighbours, not the times. README.md says what each benchmark does.

The results are left in bench/ of the build folder: table.txt, results.json and the plots.
"""
import argparse
import json
import os
import pathlib
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import plots
import roundtrip as round_trips

TREE = pathlib.Path(__file__).resolve().parent.parent
BUILD = (TREE / os.environ.get("IVSHMEM_BUILD", "build")).resolve()
SERVER = pathlib.Path(os.environ.get("IVSHMEM_SERVER", BUILD / "ivshmem-server"))
BOUND = 1200  # seconds, for one program
FLOOD_UID = 61234  # nobody else's


class Failure(Exception):
    """A benchmark could not be run."""


def program(name, *arguments):
    """Runs one of the C programs; gives the lines that it has printed, each a JSON object."""
    command = [str(BUILD / "bench" / f"bench-{name}"), *map(str, arguments)]
    # A program that fails ends at once and leaves its folder behind.
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)  # a flood is another user's, who has to find the socket
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL, text=True, timeout=BOUND, check=False,
                                  env=os.environ | {"TMPDIR": folder})
        except subprocess.TimeoutExpired:
            raise Failure(f"bench-{name} has taken more than {BOUND} seconds") from None
    if done.returncode:
        raise Failure(f"{' '.join(command)}: status {done.returncode}\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def row(what, unit, value, bar="", floor=None, ratio=None, holds=None):
    """One line of the table. value and floor are numbers in the unit."""
    return {"what": what, "unit": unit, "value": value, "floor": floor, "ratio": ratio, "bar": bar,
            "holds": holds}


def compare(what, rounds, mine, other, most, unit="ms CPU", scale=1e-6):
    """A row for rounds that measured two things side by side; the bar is on their ratio."""
    ratio = spread([mine(r) / other(r) for r in rounds])
    return row(what, unit, statistics.median(map(mine, rounds)) * scale,
               f"ratio <= {most}" if most else "",
               statistics.median(map(other, rounds)) * scale, ratio,
               ratio["median"] <= most if most else None)


def server(r):
    return r["server"]


def floor(r):
    return r["floor"]


# The benchmarks. Each gives its rows and, for the plots, what it has measured.

def bringup(quick):
    """server CPU to bring clients up one after the other, over bare sendmmsg of the same messages"""
    cases = [(50, 8, 3), (20, 64, 2), (200, 1, 2)] if quick else \
        [(200, 8, 9), (300, 64, 3), (3000, 1, 2)]
    curve = [10, 25, 50] if quick else [25, 50, 100, 200, 400, 800]
    rows, points = [], []
    for clients, vectors, rounds in cases:
        done = program("bringup", SERVER, clients, vectors, rounds)
        what = f"bring up {clients} x {vectors} ({done[0]['messages']} messages)"
        rows.append(compare(what, done, server, floor, 1.15))
    for clients in curve:
        done = program("bringup", SERVER, clients, 8, 1 if clients > 200 else 3)
        points.append({"clients": clients, "server": statistics.median(map(server, done)) / 1e9,
                       "floor": statistics.median(map(floor, done)) / 1e9})
    return rows, points


def burst(quick):
    """server CPU when all clients connect at once, over bare sendmmsg, and over one by one"""
    cases = [(50, 8, 3)] if quick else [(200, 8, 11), (700, 1, 5)]
    rows, measured = [], {}
    for clients, vectors, rounds in cases:
        done = program("bringup", SERVER, clients, vectors, rounds, "burst")
        what = f"{clients} x {vectors} at once"
        rows += [
            compare(what, done, lambda r: r["burst_server"], lambda r: r["burst_floor"], 1.15),
            compare(f"{what}, over one by one", done, lambda r: r["burst_server"], server, 1.0),
            compare(f"{what}, over one by one, both by the floor", done,
                    lambda r: r["burst_floor"], floor, None),
        ]
        measured[what] = done
    return rows, measured


def latency(quick):
    """time from connect to the memory, idle and while others come and go"""
    count, samples, rounds = (50, 50, 2) if quick else (1000, 500, 5)
    idle = 20 if quick else 200
    curve = [10, 25] if quick else [50, 200, 500]
    rows, points = [], []

    def measure(clients, silent, loaded, n_samples, n_rounds):
        return program("latency", SERVER, clients, silent, 8, int(loaded), n_samples, n_rounds)

    def add(what, done, name, most=None):
        rows.append(compare(f"connect to memory, {what}, {name}", done,
                            lambda r: r["server"][name], lambda r: r["floor"][name], most, "us",
                            1e-3))

    def point(clients, done):
        points.append({"clients": clients} | {
            f"{side}_{name}": statistics.median(r[side][name] for r in done) / 1e6
            for side in ("server", "floor") for name in ("p50", "p99")})

    for what, clients in (("idle", 0), (f"{idle} x 8 idle", idle)):
        done = measure(clients, 0, False, max(20, samples // 4), rounds)
        add(what, done, "p50")
        add(what, done, "p99")
    for clients in curve:
        point(clients, measure(clients, clients // 10, True, max(20, samples // 4), rounds))
    done = measure(count, count // 10, True, samples, rounds)
    point(count, done)
    add(f"{count} x 8 busy", done, "p50")
    add(f"{count} x 8 busy", done, "p99", 3)
    return rows, points


def waited(side, when, name):
    return lambda r: r[side][when][name]


def flood(quick):
    """time from connect to the memory while another user connects as fast as he can"""
    if os.geteuid() != 0:
        return [], None  # nobody else can be another user
    samples, rounds = (20, 2) if quick else (400, 5)
    rows, measured = [], {}
    for kind, options, what in [
            ("leave", [], "hangs up"), ("stay", [], "stays"),
            ("stay", ["--max-clients-per-user", 8], "stays, 8 allowed")]:
        done = program("flood", SERVER, kind, FLOOD_UID, samples, rounds, *options)
        for name in ("p50", "p99"):
            flooded, idle, bare_flooded, bare_idle = (
                waited(side, when, name) for side in ("server", "floor")
                for when in ("flooded", "idle"))
            most = 5 if name == "p99" else None
            for text, mine, other, bar in [
                    (f"connect to memory while a flood {what}, over idle, {name}", flooded, idle, most),
                    ("the same, of a loop that turns the flood away", bare_flooded, bare_idle, None),
                    ("while flooded, over that loop", flooded, bare_flooded, None)]:
                rows.append(compare(text, done, mine, other, bar, "us", 1e-3))
        measured[what] = done
    return rows, measured


def state(quick):
    """server CPU with a state that outlives the worker, over one process that takes it along"""
    clients, rounds = (50, 3) if quick else (200, 15)
    done = program("bringup", SERVER, clients, 8, rounds, "alone")
    return [compare(f"bring up {clients} x 8, over --no-keeper", done, server,
                    lambda r: r["alone"], 1.03)], done


def recovery(quick):
    """the longest wait from connect to the memory when the worker is killed"""
    clients, deaths = (50, 3) if quick else (1000, 25)
    done = program("recovery", SERVER, clients, 8, deaths)
    return [compare(f"longest wait when the worker is killed, {clients} x 8", done, server, floor,
                    5, "us", 1e-3),
            compare("the same while it is not", done, lambda r: r["undisturbed"], floor,
                    None, "us", 1e-3)], done


def takeover(quick):
    """the longest wait from connect to the memory while another process takes over"""
    clients, rounds = (50, 3) if quick else (1000, 15)
    done = program("takeover", SERVER, clients, 8, rounds)
    return [compare(f"longest wait during a take-over, {clients} x 8", done, server, floor, 5, "us",
                    1e-3)], done


def capacity(quick):
    """how many clients fit into RLIMIT_NOFILE"""
    limit = 256 if quick else 2048
    rows = []
    for vectors in (1, 8, 64):
        most = program("population", SERVER, vectors, limit, 0, "most")[-1]
        kept = limit - most["clients"] * (1 + vectors)
        rows.append(row(f"clients x {vectors} with {limit} descriptors, {kept} of them kept free",
                        "clients", most["clients"], f">= {(limit - 64) // (1 + vectors)}",
                        holds=most["clients"] >= (limit - 64) // (1 + vectors)))
    return rows, None


def memory(quick):
    """the server's resident memory for each client"""
    cases = [(1, [100, 200]), (8, [100])] if quick else [(1, [1000, 5000, 9000]), (8, [1000])]
    rows = []
    for vectors, counts in cases:
        start, *grown = program("population", SERVER, vectors, 0, 0, *counts)
        for now in grown:
            n = now["clients"]
            each = (now["resident"] - start["resident"]) / n
            bar = 1024 + 4 * vectors + n / 4
            rows.append(row(f"memory of one of {n} x {vectors}", "bytes", each, f"<= {bar:.0f}",
                            holds=each <= bar))
    return rows, None


def idle(quick):
    """how often the server wakes up while nothing happens"""
    clients, seconds = (100, 2) if quick else (1000, 10)
    done = program("population", SERVER, 1, 0, seconds, clients)[-1]
    return [row(f"wake-ups in {seconds} s with {clients} clients", "wake-ups", done["wakeups"],
                "0", holds=done["wakeups"] == 0)], done


def churn(quick):
    """what the server keeps of clients that have come and gone"""
    done = program("churn", SERVER, 1, 2000 if quick else 100000)[0]
    before, half, after = done["before"], done["half"], done["after"]
    what = f"after {done['connects']} clients came and went"
    return [
        row(f"descriptors left {what}", "descriptors", after["fds"] - before["fds"], "0",
            holds=after["fds"] == before["fds"]),
        row(f"memory more {what}", "KiB", (after["resident"] - before["resident"]) / 1024),
        row("of that, in their second half", "KiB", (after["resident"] - half["resident"]) / 1024),
    ], done


def regions(quick):
    """start of a hundred regions, idle and busy: the same costs as with one"""
    n, each, seconds, starts = (20, 5, 1, 2) if quick else (100, 10, 10, 9)
    clients, rounds = (20, 2) if quick else (200, 7)
    samples, turns = (20, 1) if quick else (500, 5)
    *started, rest = program("regions", SERVER, n, each, seconds, starts)
    brought = program("bringup", SERVER, clients, 8, rounds, n, each)
    waited = program("latency", SERVER, clients, clients // 10, 8, 1, samples, turns, n, each)
    start = statistics.median(r["start"] for r in started) / 1e9
    rows = [
        row(f"start of {n} regions", "s", start, "<= 1", holds=start <= 1),
        row("CPU time of that", "ms CPU", statistics.median(r["cpu"] for r in started) / 1e6),
        row(f"wake-ups in {seconds} s with {n} x {each} clients", "wake-ups", rest["wakeups"], "0",
            holds=rest["wakeups"] == 0),
    ]
    for many, side in ((1, "server"), (n, "many")):
        rows.append(compare(f"bring up {clients} x 8 in one of {many}", brought,
                            lambda r, side=side: r[side], floor, 1.15))
    rows.append(compare(f"the same, one of {n} over the only one", brought, lambda r: r["many"],
                        server, 1.05))
    for many, side in ((1, "server"), (n, "many")):
        rows.append(compare(f"connect to memory, {clients} x 8 busy, in one of {many}, p99", waited,
                            lambda r, side=side: r[side]["p99"], lambda r: r["floor"]["p99"], 3, "us",
                            1e-3))
    rows.append(compare(f"the same, one of {n} over the only one", waited, lambda r: r["many"]["p99"],
                        lambda r: r["server"]["p99"], None, "us", 1e-3))
    return rows, {"start": started, "idle": rest, "bringup": brought, "latency": waited}


def doorbell(quick):
    """ringing a doorbell by the client library and through a port, over write()"""
    if not (BUILD / "bench" / "bench-doorbell").exists():
        return [], None
    done = program("doorbell", SERVER, 10 if quick else 50)
    return [compare(f"a doorbell by the {what}", done, lambda r, name=name: r[name],
                    lambda r: r["write"], most, "ns", 1)
            for name, what, most in (("library", "library", 1.05), ("port", "port", 1.05),
                                     ("wary", "library, wary", None))], done


def roundtrip(quick):
    """round trips by ivshmem-client's ping, over two bare processes"""
    if not (BUILD / "ivshmem-client").exists():
        return [], None
    rows, measured = [], {}
    first, *others = sorted(os.sched_getaffinity(0))
    cases = [("by doorbells, one processor", False, [first, first], 20000, 1.10)]
    if others:
        cases += [("by doorbells, two processors", False, [first, others[0]], 10000, 1.10),
                  ("spinning, two processors", True, [first, others[0]], 500000, 1.10)]
    for name, spin, cpus, count, most in cases:
        try:
            done = round_trips.host(BUILD, SERVER, spin, cpus, count // 20 if quick else count,
                                    3 if quick else 21)
        except (OSError, subprocess.SubprocessError, IndexError) as error:
            raise Failure(f"round trips {name}: {error}") from None
        rows.append(compare(f"a round trip {name}", done, lambda r: r["ping"],
                            lambda r: r["floor"], most, "us", 1))
        measured[name] = done
    return rows, measured


def guest(quick):
    """the same in a virtual machine, over the plainest program that uses vfio, and over a store"""
    if not shutil.which(os.environ.get("IVSHMEM_QEMU", "qemu-system-x86_64")):
        return [], None
    import guest as guests  # what the tests need, and nobody else
    try:
        trips, rings, to_nobody = guests.measure(*((50, 3) if quick else (1000, 31)))
    except (OSError, RuntimeError, AssertionError, TimeoutError) as error:
        raise Failure(f"in a virtual machine: {error}") from None
    rows = [
        compare("a round trip from a guest, by doorbells", trips, lambda r: r["ping"],
                lambda r: r["floor"], 1.10, "us", 1),
        compare("a doorbell by the port in a guest, over a store", rings, lambda r: r["port"],
                lambda r: r["store"], 1.05, "ns", 1),
        compare("the same to nobody", to_nobody, lambda r: r["port"], lambda r: r["store"], None,
                "ns", 1),
    ]
    return rows, {"round trips": trips, "rings": rings, "to nobody": to_nobody}


BENCHMARKS = {f.__name__: f for f in
              (bringup, burst, latency, flood, state, recovery, takeover, capacity, memory, idle, churn,
               regions, doorbell, roundtrip, guest)}


def number(value):
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def table(rows):
    """The rows as text, in columns."""
    cells = [("", "server", "floor", "unit", "ratio (min .. max)", "bar", "")]
    for r in rows:
        ratio = "{median:.2f} ({min:.2f} .. {max:.2f})".format(**r["ratio"]) if r["ratio"] else ""
        holds = {None: "", True: "holds", False: "MISSED"}[r["holds"]]
        cells.append((r["what"], number(r["value"]), number(r["floor"]), r["unit"], ratio, r["bar"],
                      holds))
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(c.rjust(w) if i in (1, 2) else c.ljust(w)
                               for i, (c, w) in enumerate(zip(line, widths))).rstrip()
                     for line in cells) + "\n"


def machine():
    return {"cpus": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg(),
            "fd_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[1], "started": time.time()}


def compile_programs():
    """The C programs are not part of an ordinary build."""
    done = subprocess.run(["ninja", "-C", str(BUILD), "bench-programs"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Failure(done.stdout)


def parse_arguments():
    names = "\n".join(f"  {name:10} {f.__doc__}" for name, f in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="./dev bench", description=__doc__, epilog=f"benchmarks:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help="small numbers: shows that it works, within a minute")
    parser.add_argument("--output", type=pathlib.Path, default=BUILD / "bench",
                        help="folder for the results (%(default)s)")
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *BENCHMARKS],
                        help="which benchmarks; all if none is named")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    results = {"quick": arguments.quick, "machine": machine(), "rows": [], "measured": {}}
    status = 0
    try:
        compile_programs()
        for name in arguments.names or BENCHMARKS:
            print(f"{name}: {BENCHMARKS[name].__doc__}", file=sys.stderr)
            rows, measured = BENCHMARKS[name](arguments.quick)
            results["rows"] += rows
            results["measured"][name] = measured
    except Failure as failure:
        print(f"bench: {failure}", file=sys.stderr)
        status = 1
    arguments.output.mkdir(parents=True, exist_ok=True)
    text = table(results["rows"])
    (arguments.output / "table.txt").write_text(text)
    (arguments.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(text, end="")
    if shutil.which("gnuplot"):
        plots.draw(results["measured"], arguments.output)
    else:
        print("bench: no gnuplot, no plots", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
