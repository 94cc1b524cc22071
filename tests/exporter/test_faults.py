# SPDX-License-Identifier: MIT
"""A control socket at which nothing is as it should be."""

import http.client
import json
import os
import socket
import subprocess
import threading

import pytest
from exporter import TIMEOUT, exporter_program
from serve import eventually

GREETING = {"QMP": {"version": {}, "capabilities": []}}
VERSION = {"package": "ivshmem-server 1.2.3"}
STATUS = {"regions": 1}


def line(value):
    return json.dumps(value).encode() + b"\r\n"


def answers(*results):
    """What a server says: the greeting, the end of the negotiation, and what it returns."""
    return line(GREETING) + b"".join(line({"return": result}) for result in [{}, *results])


class Fake:
    """Says the same to whoever connects, and then nothing more."""

    def __init__(self, path, data, closes=False):
        self.path = path
        self._data = data
        self._closes = closes
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._connections = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT)
        for connection in [self._listener, *self._connections]:
            connection.close()

    def _serve(self):
        try:
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                connection.settimeout(TIMEOUT)
                connection.sendall(self._data)
                if self._closes:
                    connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


@pytest.fixture(name="fake")
def fixture_fake(tmp_path, stack):
    return lambda data, **options: stack.enter_context(Fake(tmp_path / "control", data, **options))


WRONG = [
    (b"", "the server does not answer in time"),
    (b"no newline", "the server does not answer in time"),
    (b"not JSON\n", "what the server has sent is not JSON"),
    (b"\0\n", "what the server has sent is not JSON"),
    (b"[" * 100000 + b"\n", "what the server has sent is not JSON"),
    (line({"hello": 1}), "is no control socket, or takes no more connections"),
    (line([]), "is no control socket, or takes no more connections"),
    (line({"error": {"class": "GenericError", "desc": "no"}}), "is no control socket"),
    (line(GREETING), "the server does not answer in time"),
    (line(GREETING) + line([5]), "the server's answer is neither a result nor an error"),
    (line(GREETING) + line({"return": None, "error": 1}), "is neither a result nor an error"),
    (line(GREETING) + line({"error": {"desc": "go away"}}), "go away"),
    (answers(VERSION, STATUS), "the server does not answer in time"),
    (answers(VERSION) + line({"event": "X"}) * 1000, "the server does not answer in time"),
]


@pytest.mark.parametrize(("data", "why"), WRONG, ids=lambda part: repr(part[:50]))
def test_wrong_answers_are_no_answers(fake, export, data, why):
    server = fake(data)
    exporter = export(server.path, "--timeout", 1)
    n_fds = exporter.n_fds()
    for _ in range(2):
        samples = exporter.scrape()
        assert samples["ivshmem_up", frozenset()] == 0
        assert not [name for name, _ in samples if name.startswith(("ivshmem_region", "ivshmem_build"))]
    exporter.settle(n_fds)
    said = exporter.end()
    assert said.startswith("ivshmem-exporter: ") and why in said and said.count("\n") == 1


def test_server_that_hangs_up(fake, export):
    server = fake(answers(VERSION), closes=True)
    exporter = export(server.path)
    assert exporter.value("ivshmem_up") == 0
    said = exporter.end()
    assert said in [f"ivshmem-exporter: {server.path}: {why}\n"
                    for why in ["the server has closed the connection", "cannot send: Broken pipe"]]


def test_endless_message(tmp_path, export, stack):
    """There is a bound on what is kept of it."""
    server = stack.enter_context(Fake(tmp_path / "control", b"[" + b" " * (200 << 20)))
    exporter = export(server.path, "--timeout", 60)
    assert exporter.value("ivshmem_up") == 0
    assert "the server's answer is too long" in exporter.end()


def test_nobody_accepts(tmp_path, export, stack):
    """The exporter does not wait for room in a queue that nobody empties."""
    path = tmp_path / "control"
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(str(path))
    listener.listen(0)
    stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
    exporter = export(path, "--timeout", 60)
    assert exporter.value("ivshmem_up") == 0
    assert exporter.end() == f"ivshmem-exporter: cannot connect to {path}: Connection timed out\n"


def test_path_that_is_no_socket(tmp_path, export):
    for path, why in [(tmp_path, "Connection refused"), ("x" * 200, "File name too long"),
                      ("", "Invalid argument")]:
        exporter = export(path)
        assert exporter.value("ivshmem_up") == 0
        assert why in exporter.end()


def test_what_is_missing_is_left_out_and_what_is_odd_is_escaped(fake, export):
    name = 'a"b\\c\nd{}é'
    region = {"region": name, "clients": 3, "joins": "many", "refusals": {'"': 1, "x": None}, "pending": None,
              "latency": {"sum-ns": 1}, "messages": -5, "bytes": -(1 << 63)}
    server = fake(answers(VERSION, {"since": {"seconds": 5}, "cpu-us": 1500000, "fds-used": 1.5}, 5,
                          [region, {}, 7, None], [{"clients": 1}]))
    exporter = export(server.path)
    samples = exporter.scrape()
    own = {key: value for key, value in samples.items() if key[0] != "ivshmem_scrape_duration_seconds"
           and not key[0].startswith("ivshmem_exporter")}
    labels = frozenset({("region", name)})
    assert own == {
        ("ivshmem_up", frozenset()): 1,
        ("ivshmem_build_info", frozenset({("version", "1.2.3")})): 1,
        ("ivshmem_process_cpu_seconds_total", frozenset()): 1.5,
        ("ivshmem_region_clients", labels): 3,
        ("ivshmem_region_refusals_total", labels | {("reason", '"')}): 1,
        ("ivshmem_region_sent_messages_total", labels): -5,
        ("ivshmem_region_sent_bytes_total", labels): -(1 << 63),
        ("ivshmem_region_connect_duration_seconds_sum", labels): 1e-9,
        ("ivshmem_region_connect_duration_seconds_count", labels): 0,
        ("ivshmem_listener_clients", frozenset({("region", ""), ("listener", "")})): 1,
    }


def test_events_between_the_answers(fake, export):
    event = line({"event": "CLIENT_LEFT", "data": {}, "timestamp": {}})
    data = answers(VERSION, STATUS, [], [], []).replace(b"\r\n", b"\r\n" + event)
    assert export(fake(data).path).value("ivshmem_regions") == 1


def test_many_regions(fake, export):
    stats = [{"region": f"r{i}", "clients": i, "latency": {"sum-ns": 0, "buckets": [
        {"count": 1, "up-to-us": 10 << k} for k in range(15)] + [{"count": 1}]}} for i in range(1024)]
    exporter = export(fake(answers(VERSION, STATUS, [], stats, [])).path)
    n_fds = exporter.n_fds()
    slow = exporter.connect()
    slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")  # and reads nothing of some megabytes
    samples = exporter.scrape()
    assert sum(name == "ivshmem_region_clients" for name, _ in samples) == 1024
    assert samples["ivshmem_region_clients", frozenset({("region", "r1023")})] == 1023
    slow.close()
    eventually(lambda: exporter.n_fds() == n_fds, what="the slow one's end")


def scrape(port):
    """What is served there; nothing if nobody listens yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except ConnectionRefusedError:
        return ""
    finally:
        connection.close()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_descriptors_that_are_closed(web, closed):
    """Else a socket gets the number of one of them, and is written what is meant for people."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", exporter_program()]
    process = subprocess.Popen([*shell, "-c", str(web.control), "-l", f"127.0.0.1:{port}"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: "ivshmem_up 1\n" in scrape(port), what="an answer")
        standard = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in range(3)]
        assert standard == ["/dev/null"] * 3
    finally:
        process.terminate()
        assert process.wait(TIMEOUT) == 0
