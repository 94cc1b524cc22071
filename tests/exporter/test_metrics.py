# SPDX-License-Identifier: MIT
"""What is served is what the server says of itself, to a program that asks it otherwise."""

import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import exporter as exporting
import pytest
from serve import build_folder, children, eventually

CTL = os.environ.get("IVSHMEM_CTL", str(build_folder() / "ivshmem-ctl"))
# The metrics that are members of what ivshmem-ctl shows.
STATUS = {"process_max_fds": "fds-allowed", "regions": "regions",
          "workers_killed_total": "workers-killed"}
STATS = {"clients": "clients", "observers": "observers", "clients_allowed": "max-clients",
         "joins_total": "joins", "departures_total": "departures", "sent_messages_total": "messages",
         "sent_bytes_total": "bytes", "send_retries_total": "retries", "pending_changes": "pending",
         "fds": "fds-used", "fds_allowed": "fds-allowed", "ids_used": "ids-used", "ids_left": "ids-left"}
LISTENERS = {"clients": "clients", "clients_allowed": "max-clients", "joins_total": "joins",
             "refusals_total": "refusals"}


def ask(control, command):
    return json.loads(subprocess.run([CTL, "-c", control, "--json", command], capture_output=True,
                                     check=True, timeout=20).stdout)


def expected(control):
    """The samples that follow from ivshmem-ctl's answers, but those that change by asking."""
    samples = {}

    def add(name, value, **labels):
        samples[f"ivshmem_{name}", frozenset(labels.items())] = value

    add("up", 1)
    status = ask(control, "status")
    for name, member in STATUS.items():
        add(name, status[member])
    add("process_start_time_seconds", status["since"]["seconds"] + status["since"]["microseconds"] / 1e6)
    add("build_info", 1, version=ask(control, "version")["package"].split()[-1])
    for row in ask(control, "regions"):
        add("region_memory_bytes", row["size"], region=row["name"])
        add("region_vectors", row["vectors"], region=row["name"])
    for row in ask(control, "stats"):
        region = row["region"]
        for name, member in STATS.items():
            add(f"region_{name}", row[member], region=region)
        for reason, count in row["refusals"].items():
            add("region_refusals_total", count, region=region, reason=reason)
        so_far = 0
        for bucket in row["latency"]["buckets"]:
            so_far += bucket["count"]
            bound = f"{bucket['up-to-us'] / 1e6:g}" if "up-to-us" in bucket else "+Inf"
            add("region_connect_duration_seconds_bucket", so_far, region=region, le=bound)
        add("region_connect_duration_seconds_count", so_far, region=region)
        add("region_connect_duration_seconds_sum", row["latency"]["sum-ns"] / 1e9, region=region)
    for row in ask(control, "listeners"):
        for name, member in LISTENERS.items():
            if member in row:
                add(f"listener_{name}", row[member], region=row["region"], listener=row["name"])
    return samples


def refuse(path):
    """Connects where one is turned away."""
    with socket.socket(socket.AF_UNIX) as refused:
        refused.connect(str(path))
        refused.settimeout(10)
        assert refused.recv(1) == b""


def check_equal(served, said):
    """The exporter has more: of itself, and what changes from one question to the next."""
    more = {"ivshmem_scrape_duration_seconds", "ivshmem_exporter_failures_total",
            "ivshmem_exporter_build_info", "ivshmem_process_cpu_seconds_total",
            "ivshmem_process_resident_memory_bytes", "ivshmem_process_open_fds",
            "ivshmem_control_connections"}
    assert {name for name, _ in served} == {name for name, _ in said} | more
    for key, value in said.items():
        assert math.isclose(served.pop(key), value, rel_tol=1e-12), key
    assert {name for name, _ in served} == more


def test_values_are_those_of_the_server(web, export, place):
    exporter = export(web.control)
    check_equal(exporter.scrape(), expected(web.control))
    peers = [web.peer(name, 2) for name in ["a", "a", "vm1", "a"]]
    peers[1].close()
    for _ in range(3):
        refuse(place.folder / "only")
    eventually(lambda: ask(web.control, "stats")[1]["departures"], what="a departure")
    check_equal(exporter.scrape(), expected(web.control))
    # Its connection may be there, or that of whoever asked last.
    n_fds = exporter.value("ivshmem_process_open_fds")
    assert web.server.n_fds() <= n_fds <= web.server.n_fds() + 2
    assert exporter.end() == ""


def test_what_happens_moves_the_right_counters(web, export, place):
    exporter = export(web.control)
    before = exporter.scrape()
    first, second = web.peer("a", 2), web.peer("a", 2)
    second.close()
    refuse(place.folder / "only")
    refuse(place.folder / "only")
    key = ("ivshmem_region_departures_total", frozenset({("region", "web")}))
    after = eventually(lambda: (now := exporter.scrape())[key] and now, what="a departure")

    def moved(name, **labels):
        key = f"ivshmem_{name}", frozenset(labels.items())
        return after[key] - before[key]

    assert moved("region_joins_total", region="web") == 2
    assert moved("region_departures_total", region="web") == 1
    assert moved("region_clients", region="web") == 1
    assert moved("region_fds", region="web") == 3
    assert moved("region_connect_duration_seconds_count", region="web") == 2
    assert moved("region_connect_duration_seconds_sum", region="web") > 0
    assert moved("region_ids_used", region="web") == 2
    assert moved("region_ids_left", region="web") == -2
    messages = moved("region_sent_messages_total", region="web")
    assert messages >= 2 * (3 + 2) and moved("region_sent_bytes_total", region="web") == 8 * messages
    assert moved("listener_joins_total", region="web", listener="a") == 2
    assert moved("listener_joins_total", region="web", listener="vm1") == 0
    assert moved("listener_clients", region="web", listener="a") == 1
    assert moved("region_refusals_total", region="db", reason="policy") == 2
    assert moved("listener_refusals_total", region="db", listener="only") == 2
    for reason in ["no-fd", "no-memory", "user-limit", "no-id", "read-only", "reserved"]:
        assert moved("region_refusals_total", region="db", reason=reason) == 0
    assert moved("region_joins_total", region="db") == moved("region_refusals_total", region="web",
                                                              reason="policy") == 0
    first.close()


def test_histogram_counts_upwards_and_adds_up(web, export):
    for _ in range(30):
        web.peer("a", 2)
    samples = export(web.control).scrape()
    name = "ivshmem_region_connect_duration_seconds"
    buckets = {float(dict(labels)["le"]): value for (found, labels), value in samples.items()
               if found == f"{name}_bucket" and ("region", "web") in labels}
    bounds = sorted(buckets)
    assert bounds[0] == 1e-5 and bounds[-1] == math.inf and len(bounds) == 16
    assert all(math.isclose(b, 2 * a) for a, b in zip(bounds, bounds[1:-1]))
    counts = [buckets[bound] for bound in bounds]
    web_only = frozenset({("region", "web")})
    assert counts == sorted(counts) and counts[-1] == samples[f"{name}_count", web_only] == 30
    total = samples[f"{name}_sum", web_only]
    each = [b - a for a, b in zip([0, *counts], counts)]
    assert total >= sum(n * low for n, low in zip(each, [0, *bounds]))
    if not each[-1]:
        assert total <= sum(n * high for n, high in zip(each[:-1], bounds))


def test_counters_outlive_a_worker(web, export):
    exporter = export(web.control)
    web.peer("a", 2)
    labels = {"region": "web", "listener": "a"}
    worker, = children(web.server.process.pid)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: children(web.server.process.pid) not in ([], [worker]), what="a new worker")
    eventually(lambda: exporter.value("ivshmem_workers_killed_total") == 1, what="its answer")
    assert exporter.value("ivshmem_listener_joins_total", **labels) == 1
    assert exporter.value("ivshmem_region_joins_total", region="web") == 1
    assert exporter.value("ivshmem_region_clients", region="web") == 1


def test_server_that_goes_and_comes_back(web, export):
    exporter = export(web.control)
    assert exporter.value("ivshmem_up") == 1
    assert web.server.stop() == 0
    for n in [1, 2]:
        gone = exporter.scrape()
        assert gone["ivshmem_up", frozenset()] == 0
        assert gone["ivshmem_exporter_failures_total", frozenset()] == n
        assert not [name for name, _ in gone if name.startswith(("ivshmem_region", "ivshmem_process"))]
    web.server.start()
    assert exporter.value("ivshmem_up") == 1
    assert exporter.value("ivshmem_region_clients", region="web") == 0
    assert exporter.end().splitlines() == [
        f"ivshmem-exporter: cannot connect to {web.control}: No such file or directory",
        f"ivshmem-exporter: {web.control}: the server answers again"]


def test_server_that_is_stopped_is_not_waited_for(web, export):
    exporter = export(web.control, "--timeout", 1)
    web.server.pause()
    assert exporter.value("ivshmem_up") == 0
    web.server.resume()
    assert exporter.value("ivshmem_up") == 1
    assert "the server does not answer in time" in exporter.end()


def test_table_is_what_is_served(web, export):
    web.peer("a", 2)
    body = export(web.control).get()[2]
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", body, re.MULTILINE))
    texts = dict(re.findall(r"^# HELP (\S+) (.+)$", body, re.MULTILINE))
    table = exporting.table()
    assert kinds == {name: kind for name, (kind, _, _) in table.items()}
    assert texts == {name: text for name, (_, _, text) in table.items()}
    for name, labels in exporting.parse(body):
        family = name if name in table else re.sub(r"_(bucket|sum|count)$", "", name)
        assert set(dict(labels)) - {"le"} == set(table[family][1]), name


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_group_of_the_control_socket_is_enough(configured, export, unprivileged):
    """As the unit does it: another user, who is in the group."""
    group = unprivileged + 1
    configured.write("web", "[region]\n[listener a]\nsocket={folder}/a")
    configured.start("--control-group", str(group))
    os.chmod(configured.place.folder, 0o711)
    program = configured.place.folder / "exporter"
    shutil.copy(exporting.exporter_program(), program)
    who = {"user": unprivileged, "group": unprivileged, "program": program}
    inside = export(configured.control, extra_groups=[group], **who)
    assert inside.value("ivshmem_up") == 1 and inside.value("ivshmem_region_clients", region="web") == 0
    outside = export(configured.control, extra_groups=[], **who)
    assert outside.value("ivshmem_up") == 0
    assert "Permission denied" in outside.end()


def test_nothing_is_gained_by_starting_programs(web, export):
    exporter = export(web.control)
    status = pathlib.Path(f"/proc/{exporter.process.pid}/status").read_text(encoding="ascii")
    assert "\nNoNewPrivs:\t1\n" in status and "\nThreads:\t1\n" in status


def test_idle_exporter_is_never_woken(web, export):
    exporter = export(web.control)
    assert exporter.value("ivshmem_up") == 1
    path = pathlib.Path(f"/proc/{exporter.process.pid}/status")

    def switches():
        return re.search(r"^voluntary_ctxt_switches:\s*(\d+)", path.read_text(encoding="ascii"),
                         re.MULTILINE)[1]

    def pause(seconds):
        before = switches()
        time.sleep(seconds)
        return switches() == before

    eventually(lambda: pause(0.1), what="the end of the scrape")
    assert pause(1.5)
