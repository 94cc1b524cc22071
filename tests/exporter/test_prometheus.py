# SPDX-License-Identifier: MIT
"""The real Prometheus, from Debian's package, scrapes the exporter."""

import fcntl
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

import exporter as exporting
import pytest
from debian import unpack
from serve import TREE, eventually

FOLDER = TREE / "build/prometheus"  # one for all builds
DASHBOARD = TREE / "dist/grafana/ivshmem.json"
TIMEOUT = 60


@pytest.fixture(name="bin", scope="session")
def fixture_bin():
    """Prometheus and promtool. The package is not installed: that would start a service."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    programs = FOLDER / "usr/bin"
    with open(FOLDER / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not programs.exists():
            with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
                unpack("prometheus", pathlib.Path(scratch))
                os.rename(pathlib.Path(scratch, "usr"), FOLDER / "usr")
    return programs


class Prometheus:
    """One that scrapes a target every second and can be queried."""

    def __init__(self, program, folder, target):
        config = folder / "prometheus.yml"
        config.write_text("global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
                          "scrape_configs:\n- job_name: ivshmem\n  static_configs:\n"
                          f"  - targets: ['{target}']\n", encoding="ascii")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._log = open(folder / "prometheus.log", "wb")
        self.process = subprocess.Popen(
            [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        self.log = folder / "prometheus.log"

    def __enter__(self):
        eventually(self._is_ready, TIMEOUT, "Prometheus ready")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self._log.close()

    def _is_ready(self):
        assert self.process.poll() is None, self.log.read_text(errors="replace")
        try:
            return self._get("/-/ready", {}) and True
        except (urllib.error.URLError, ConnectionError):
            return False

    def _get(self, path, arguments):
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            return answer.read().decode()

    def query(self, expression):
        """The instant vector: a list of (labels, value)."""
        answer = json.loads(self._get("/api/v1/query", {"query": expression}))
        assert answer["status"] == "success"
        return [(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]

    def await_answer(self, expression):
        """Waits for one: a rate needs two scrapes, and one that is late leaves a gap."""
        eventually(lambda: self.query(expression), TIMEOUT, f"an answer to {expression}")

    def series(self):
        """All samples that a scrape has brought, as exporter.parse() gives them."""
        rows = self.query('{job="ivshmem",__name__=~"ivshmem_.*"}')
        return {(labels["__name__"], frozenset((name, value) for name, value in labels.items()
                                               if name not in ("__name__", "instance", "job"))): value
                for labels, value in rows}


@pytest.fixture(name="scraped")
def fixture_scraped(bin, web, export, stack, tmp_path):  # pylint: disable=redefined-builtin
    """A Prometheus that scrapes an exporter of a server."""
    exporter = export(web.control)
    prometheus = stack.enter_context(
        Prometheus(bin / "prometheus", tmp_path, f"127.0.0.1:{exporter.port}"))
    prometheus.exporter = exporter
    return prometheus


def test_prometheus_has_the_values_of_the_exporter(scraped, web):
    for name in ["a", "a", "vm1"]:
        web.peer(name, 2)
    changing = {"ivshmem_scrape_duration_seconds", "ivshmem_process_cpu_seconds_total",
                "ivshmem_process_resident_memory_bytes", "ivshmem_process_open_fds",
                "ivshmem_control_connections"}

    def steady(samples):
        return {key: value for key, value in samples.items() if key[0] not in changing}

    eventually(lambda: steady(scraped.series()) == steady(scraped.exporter.scrape()), TIMEOUT,
               "Prometheus at what is served")
    assert set(scraped.series()) == set(scraped.exporter.scrape())
    assert scraped.query("ivshmem_listener_joins_total{listener='a'}")[0][1] == 2
    (_, up), = scraped.query("up")
    assert up == 1
    assert "level=" not in scraped.log.read_text(errors="replace")


def test_prometheus_sees_the_server_go_and_come_back(scraped, web):
    eventually(lambda: [value for _, value in scraped.query("ivshmem_up")] == [1], TIMEOUT, "up")
    web.server.stop()
    eventually(lambda: [value for _, value in scraped.query("ivshmem_up")] == [0], TIMEOUT, "down")
    # The exporter is there; what the server is not there to tell is gone, not 0.
    assert [value for _, value in scraped.query("up")] == [1]
    assert scraped.query("ivshmem_region_clients") == []
    web.server.start()
    eventually(lambda: [value for _, value in scraped.query("ivshmem_up")] == [1], TIMEOUT, "up again")


def test_promtool_finds_nothing(bin, web, export):  # pylint: disable=redefined-builtin
    web.peer("a", 2)
    exporter = export(web.control)
    for state in ["up", "down"]:
        done = subprocess.run([bin / "promtool", "check", "metrics"], input=exporter.get()[2], text=True,
                              capture_output=True, timeout=TIMEOUT, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), state
        web.server.stop()


def test_promtool_would_find_something(bin):  # pylint: disable=redefined-builtin
    done = subprocess.run([bin / "promtool", "check", "metrics"], input="a_count 1\n", text=True,
                          capture_output=True, timeout=TIMEOUT, check=False)
    assert done.returncode != 0 and "a_count" in done.stdout + done.stderr


def panels():
    """Of the dashboard: (title, expression)."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [(panel["title"], target["expr"]) for panel in board["panels"]
            for target in panel.get("targets", [])]


def test_dashboard_shows_what_there_is(scraped, web):
    """Prometheus takes each panel's expression, and has an answer to it."""
    web.peer("a", 2).close()
    web.peer("a", 2)
    for title, expression in panels():
        expression = expression.replace("$__rate_interval", "1m").replace("$region", ".*")
        expression = expression.replace("$instance", ".*")
        assert "$" not in expression, title
        scraped.await_answer(expression)


def test_dashboard_knows_no_other_metrics():
    table = exporting.table()
    known = {name for name, (kind, _, _) in table.items() if kind != "histogram"}
    known |= {f"{name}_{part}" for name, (kind, _, _) in table.items() if kind == "histogram"
              for part in ["bucket", "sum", "count"]}
    used = {name for _, expression in panels() for name in re.findall(r"\bivshmem_\w+", expression)}
    assert used and used <= known
    text = DASHBOARD.read_text(encoding="utf-8")
    assert set(re.findall(r"\bivshmem_\w+", text)) <= known


def test_dashboard_can_be_imported():
    """What Grafana asks of a file that somebody imports."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert board["id"] is None and board["title"] and board["uid"] and board["schemaVersion"] >= 36
    variables = {row["name"]: row for row in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    places = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & places, panel["title"]
        places |= cells
        assert panel["type"] in {"row", "stat", "timeseries", "table"}
        for target in panel.get("targets", []):
            assert target["datasource"] == panel["datasource"] == \
                {"type": "prometheus", "uid": "${datasource}"}
            assert target["refId"]
        used = set(re.findall(r"\$(\w+)", json.dumps(panel))) - {"__rate_interval"}
        assert used <= set(variables), panel["title"]
