# SPDX-License-Identifier: MIT
"""HTTP: who asks well is answered, and who does not hurts nobody else."""

import contextlib
import http.client
import random
import select
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from exporter import TIMEOUT, Exporter, exporter_program, run
from serve import eventually

MOST = 64  # connections that are accepted at once
SILENCE = 10  # seconds after which whoever is silent is cut


def test_pages(web, export):
    exporter = export(web.control)
    status, headers, body = exporter.get("/")
    assert status == 200 and "/metrics" in body and headers["Content-Type"].startswith("text/html")
    assert exporter.get("/metric")[0] == exporter.get("/metrics/x")[0] == 404
    assert exporter.get("/metrics?a=b")[0] == 200
    for method in ["POST", "PUT", "DELETE", "OPTIONS"]:
        status, headers, _ = exporter.get(method=method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
    status, headers, body = exporter.get(method="HEAD")
    assert (status, body) == (200, "") and int(headers["Content-Length"]) > 1000
    assert headers["Connection"] == "close"


def test_body_is_not_kept(web, export):
    exporter = export(web.control)
    for method, status in [("GET", b" 200 "), ("POST", b" 405 ")]:
        with exporter.connect() as client:
            client.sendall(f"{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode()
                           + b"x" * 1000)
            assert status in client.recv(65536).split(b"\r\n")[0]


def test_many_at_once_get_the_same_answer(web, export):
    exporter = export(web.control)
    n_fds = exporter.n_fds()
    web.server.pause()
    clients = [exporter.connect() for _ in range(40)]
    with contextlib.ExitStack() as stack:
        for client in clients:
            stack.enter_context(client)
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: exporter.n_fds() >= n_fds + len(clients), what="all of them accepted")
        web.server.resume()
        answers = {read_to_end(client).split(b"\r\n\r\n", 1)[1] for client in clients}
    # One or two: those whose request came after the server had been asked are asked for again.
    assert 1 <= len(answers) <= 2 and all(b"ivshmem_up 1\n" in answer for answer in answers)
    exporter.settle(n_fds)


def test_server_is_asked_ten_times_a_second_at_most(web, export):
    exporter = export(web.control)
    began = time.monotonic()
    starts = {exporter.get()[2] for _ in range(11)}
    # Each has asked for itself, since the first was answered before the second came.
    assert len(starts) == 11 and time.monotonic() - began >= 1


def test_many_threads_of_scrapes(web, export):
    exporter = export(web.control)
    n_fds = exporter.n_fds()
    wrong = []

    def scrape():
        try:
            wrong.extend(name for _ in range(20) for name in [exporter.value("ivshmem_up")] if name != 1)
        except (OSError, http.client.HTTPException, AssertionError) as error:
            wrong.append(error)

    threads = [threading.Thread(target=scrape) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert wrong == []
    exporter.settle(n_fds)


GARBAGE = [
    b"\r\n\r\n\r\n",
    b"\0" * 1000 + b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /metrics HTTP/9.9\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 100000 + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500,
]


def test_garbage(web, export):
    exporter = export(web.control)
    n_fds = exporter.n_fds()
    seed = random.randrange(1 << 32)
    print("seed", seed)
    source = random.Random(seed)
    noise = [source.randbytes(source.randrange(1, 4000)) for _ in range(40 - len(GARBAGE))]
    with contextlib.ExitStack() as stack:
        # Fewer at once than would be cut for one another. What is no end of a request is waited for.
        clients = [stack.enter_context(exporter.connect()) for _ in range(40)]
        for data, client in zip(GARBAGE + noise, clients):
            with contextlib.suppress(OSError):
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
        assert exporter.value("ivshmem_up") == 1
        for client in clients:
            client.settimeout(SILENCE + TIMEOUT)
            with contextlib.suppress(ConnectionError):
                read_to_end(client)
    assert exporter.value("ivshmem_up") == 1
    exporter.settle(n_fds)
    assert exporter.end() == ""


def test_silent_crowd_keeps_nobody_out(web, export):
    exporter = export(web.control)
    n_fds = exporter.n_fds()
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(exporter.connect()) for _ in range(4 * MOST)]
        for client in crowd[::2]:
            with contextlib.suppress(ConnectionError):  # some are cut already
                client.sendall(b"GET /metr")
        assert exporter.value("ivshmem_up") == 1
        assert exporter.n_fds() <= n_fds + MOST + 1
        # The oldest were cut to make room for those who came later.
        assert crowd[0] in select.select(crowd, [], [], TIMEOUT)[0]
        assert exporter.value("ivshmem_up") == 1
    exporter.settle(n_fds)


def connect_slow(exporter):
    """A client that the kernel takes no more than some 15 KB for."""
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 88)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    client.settimeout(TIMEOUT)
    client.connect(("127.0.0.1", exporter.port))
    return client


def test_crowd_that_does_not_read_keeps_nobody_out(web, export):
    exporter = export(web.control)
    n_fds = exporter.n_fds()
    with contextlib.ExitStack() as stack:
        for _ in range(4 * MOST):
            client = stack.enter_context(connect_slow(exporter))
            with contextlib.suppress(ConnectionError):
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        assert exporter.value("ivshmem_up") == 1
        assert exporter.n_fds() <= n_fds + MOST + 1
    exporter.settle(n_fds)


@pytest.mark.parametrize("connect", [Exporter.connect, connect_slow], ids=["leaves", "stays"])
def test_crowd_that_is_answered_at_once(web, export, connect):
    """As many as it takes wait, with others behind them, and are answered in one turn: whether they
    go then or do not read, the next ones are taken."""
    control = web.connect()
    for i in range(14):  # the answer is more than the kernel takes for a slow one
        control.ask("region-add", region=f"more-{i:050}", size=4096)
    exporter = export(web.control)
    n_fds = exporter.n_fds()
    web.server.pause()
    with contextlib.ExitStack() as stack:
        n_behind = 8
        while n_behind:  # some are cut while others wait
            n_behind -= exporter.n_fds() >= n_fds + MOST
            with contextlib.suppress(ConnectionError):
                stack.enter_context(connect(exporter)).sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        web.server.resume()
        with exporter.connect() as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            client.settimeout(SILENCE / 2)  # else it could have been those that it cuts for their silence
            assert b"ivshmem_up 1\n" in read_to_end(client)
    exporter.settle(n_fds)


def test_silent_client_is_cut(web, export):
    exporter = export(web.control)
    with exporter.connect() as client:
        client.settimeout(SILENCE + TIMEOUT)
        began = time.monotonic()
        assert client.recv(1) == b""
        assert time.monotonic() - began > SILENCE / 2


@pytest.mark.long
def test_trickle_is_cut(web, export):
    """A byte now and then is no silence, but a connection has an end."""
    exporter = export(web.control, "--timeout", 1)
    with exporter.connect() as client:
        began = time.monotonic()
        client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        with contextlib.suppress(ConnectionError):
            while not select.select([client], [], [], 1)[0]:
                client.sendall(b"x")
                assert time.monotonic() - began < 60
            assert client.recv(1) == b""
        assert 25 < time.monotonic() - began < 60
    assert exporter.value("ivshmem_up") == 1


def test_clients_that_vanish(web, export):
    exporter = export(web.control)
    n_fds = exporter.n_fds()
    web.server.pause()
    for _ in range(3 * MOST):
        client = exporter.connect()
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        # An RST instead of an end.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    web.server.resume()
    assert exporter.value("ivshmem_up") == 1
    exporter.settle(n_fds)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_end_while_somebody_waits(web, export, number):
    exporter = export(web.control)
    n_fds = exporter.n_fds()
    web.server.pause()
    with exporter.connect() as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: exporter.n_fds() == n_fds + 2, what="the question to the server")
        assert exporter.end(number) == ""
        assert client.recv(1) == b""
    web.server.resume()


WRONG = [
    (("--nope",), "unknown option '--nope' (see --help)"),
    (("--time=1",), "unknown option '--time=1' (see --help)"),
    (("-c",), "a value is missing after '-c' (see --help)"),
    (("x",), "unexpected argument 'x' (see --help)"),
    (("--timeout", "0"), "--timeout '0': not a number of seconds from 1 to 60"),
    (("--timeout", "61"), "--timeout '61': not a number of seconds from 1 to 60"),
    *[(("--listen", text), f"--listen '{text}': not a numeric address and a port")
      for text in ["", ":", "127.0.0.1", ":10411", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
                   "127.0.0.1:-1", "localhost:10411", "::1:10411", "[::1:10411", "[127.0.0.1]:1",
                   "1.2.3.4.5:1", "[]:1", "x" * 200 + ":1"]],
    (("--listen", "192.0.2.1:1"), "cannot listen at 192.0.2.1:1: Cannot assign requested address"),
]


@pytest.mark.parametrize(("words", "why"), WRONG)
def test_wrong_options(words, why):
    done = run(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"ivshmem-exporter: {why}") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--help", "--version", "--metrics"])
def test_text_that_cannot_be_written(option):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([exporter_program(), option], stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=20, check=False)
    assert (done.returncode, done.stderr) == (
        1, "ivshmem-exporter: cannot write to standard output: No space left on device\n")


def test_port_that_is_taken(web, export):
    exporter = export(web.control)
    done = run("-l", f"127.0.0.1:{exporter.port}")
    assert (done.returncode, done.stdout, done.stderr) == \
        (1, "", f"ivshmem-exporter: cannot listen at 127.0.0.1:{exporter.port}: Address already in use\n")


def read_to_end(client):
    data = b""
    while piece := client.recv(65536):
        data += piece
    return data
