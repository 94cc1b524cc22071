# SPDX-License-Identifier: MIT
"""Under a service manager: what it is told, its watchdog, and the sockets that it passes."""

import contextlib
import os
import pathlib
import signal
import socket
import stat
import subprocess
import time

import pytest
from control import Control
from manager import Manager
from peer import Peer, settle
from serve import Server, children, eventually, kill_if_there, server_program

WATCHDOG = 3.0  # seconds; long enough for a busy machine


@pytest.fixture(name="manager")
def fixture_manager(stack):
    return stack.enter_context(Manager())


@pytest.fixture(name="watching")
def fixture_watching(stack):
    return stack.enter_context(Manager(watchdog=WATCHDOG))


@pytest.fixture(name="folder")
def fixture_folder(tmp_path):
    """Of sockets: short."""
    return tmp_path


def worker_of(server):
    return eventually(lambda: children(server.process.pid), what="a worker")[0]


# What it is told


def test_ready_and_stopping(serve, manager):
    server = serve(manager=manager)
    assert manager.hear("READY=1") in server.pids()
    manager.hear("STATUS=Serving 1 region")
    assert "STOPPING=1" not in manager.heard()
    assert server.stop() == 0
    manager.hear("STOPPING=1", timeout=1)
    server.expected.append(".*")


def test_not_ready_before_it_can_be_connected_to(manager):
    with Server(manager=manager, more=["--memfd"]) as server:
        manager.hear("READY=1")
        with Peer(server.socket, 1) as peer:
            peer.setup()


def test_not_ready_if_the_start_fails(manager, folder):
    command = manager.command([server_program(), "-F", "--memfd", "-S", folder / "no/such/socket"])
    done = subprocess.run(command, env=manager.environment(), capture_output=True, text=True,
                          timeout=10, check=False)
    assert done.returncode == 1
    assert manager.heard() == []


def test_reload_is_told(manager, folder):
    config = folder / "config"
    config.mkdir()
    (config / "a.conf").write_text(f"[region]\n[listener x]\nsocket={folder}/a\n", encoding="ascii")
    control = folder / "control"
    # The usual arguments are the command line's region, which a configuration replaces.
    command = manager.command([server_program(), "-F", "--config", config, "--control", control])
    with subprocess.Popen(command, env=manager.environment(), stderr=subprocess.PIPE) as process:
        try:
            manager.hear("STATUS=Serving 1 region")
            (config / "b.conf").write_text("[region]\n", encoding="ascii")
            process.send_signal(signal.SIGHUP)
            before = time.monotonic_ns() // 1000
            manager.hear("RELOADING=1")
            (stamp,) = [int(line.split("=")[1]) for line in manager.messages[-1][0]
                        if line.startswith("MONOTONIC_USEC=")]
            assert before - 10_000_000 < stamp <= time.monotonic_ns() // 1000
            manager.hear("READY=1")
            manager.hear("STATUS=Serving 2 regions")
            (config / "b.conf").write_text("nonsense\n", encoding="ascii")
            process.send_signal(signal.SIGHUP)
            manager.hear("RELOADING=1")
            manager.hear("READY=1")
            with Control(control).negotiate() as commands:
                commands.ask("region-add", region="c")
            manager.hear("STATUS=Serving 3 regions")
        finally:
            process.terminate()
            process.communicate(timeout=10)
    assert process.returncode == 0


def test_full_queue_makes_nobody_wait(manager, serve, connect):
    """The manager does not read for a while; what it is told then is whole and in order."""
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with filler:
        filler.connect(str(manager.path))
        filler.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                filler.send(b"X=1")
        server = serve(manager=manager)
        connect(server).setup()
    manager.hear("READY=1")
    lines = manager.heard()
    assert lines[lines.index("READY=1") + 1:] == ["STATUS=Serving 1 region"]


def test_manager_that_has_gone(manager, serve, connect):
    server = serve(manager=manager)
    manager.hear("READY=1")
    manager.socket.close()
    before = server.cpu()
    connect(server).setup()
    os.kill(worker_of(server), signal.SIGKILL)  # the next one tells READY=1
    server.expected.append("the worker was killed")
    connect(server).setup()
    assert server.cpu() - before < 1


@pytest.mark.parametrize("name", ["", "relative", "@", "/" + 200 * "x", "/nowhere/at/all"])
def test_notify_socket_that_is_none(name):
    done = subprocess.run([server_program(), "-F", "-S", "/nowhere/socket"], capture_output=True, text=True,
                          env={**os.environ, "NOTIFY_SOCKET": name}, timeout=10, check=False)
    assert done.returncode == 1
    assert f"cannot tell the service manager anything, at {name}" in done.stderr.splitlines()[0]


# The watchdog


def test_watchdog_is_fed_by_the_worker(serve, watching):
    began = time.monotonic()
    server = serve(manager=watching)
    worker = worker_of(server)
    watching.hear("READY=1")
    for _ in range(3):
        assert watching.hear("WATCHDOG=1") == worker
    assert time.monotonic() - began > 0.9 * WATCHDOG  # and not all the time


def test_no_watchdog_unless_asked_for(serve, manager):
    server = serve(manager=manager)
    manager.hear("STATUS=Serving 1 region")
    server.await_last_start()
    before = server.wake_ups()
    time.sleep(1.5)
    assert server.wake_ups() == before
    assert "WATCHDOG=1" not in manager.heard()


def test_watchdog_of_another_process_is_not_ours(serve, watching, monkeypatch):
    """WATCHDOG_PID names whom it is for."""
    monkeypatch.setattr("manager.SCRIPT", 'export WATCHDOG_PID=1; exec "$@"')
    serve(manager=watching)
    watching.hear("READY=1")
    with pytest.raises(AssertionError, match="was not told"):
        watching.hear("WATCHDOG=1", timeout=WATCHDOG)


def test_worker_that_hangs_is_replaced(serve, connect, watching):
    """Before the manager would end everything; its clients see nothing."""
    server = serve(manager=watching)
    server.expected += ["has not answered the watchdog", "the worker was killed by signal 9"]
    peers = [connect(server).setup() for _ in range(2)]
    settle(peers)
    watching.hear("STATUS=Serving 1 region")
    hung = worker_of(server)
    os.kill(hung, signal.SIGSTOP)
    newcomer = connect(server).setup()
    settle([*peers, newcomer])
    assert worker_of(server) != hung
    assert watching.hear("READY=1") == worker_of(server)
    assert "has not answered the watchdog" in server.errors()


def test_keeper_without_workers_is_not_taken_for_hung(serve, watching):
    server = serve(manager=watching)
    server.expected += ["the worker was killed", "no more are started"]

    def gives_up():
        for worker in children(server.process.pid):
            kill_if_there(worker)
        return "no more are started" in server.errors()

    eventually(gives_up, timeout=60, what="that it gives up")
    watching.hear("STATUS=Holding everything open without a worker: nobody can join")
    for _ in range(3):
        assert watching.hear("WATCHDOG=1") == server.process.pid
    assert server.stop() == 0  # what the last workers were about to use is closed by then only


# Sockets that it passes


def test_passed_socket_is_used_and_left(manager, stack):
    server = Server(manager=manager, more=["--memfd"])
    path = server.socket
    manager.listen(path, mode=0o640)
    before = path.stat()
    stack.enter_context(server)
    manager.hear("READY=1")
    with Peer(path, 1) as peer:
        peer.setup()
        owner = peer.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        assert int.from_bytes(owner[:4], "little") == server.process.pid  # not who has made it
    assert pathlib.Path(f"{path}.lock").exists()
    assert server.stop() == 0
    after = path.stat()
    assert (after.st_ino, after.st_mode, after.st_uid, after.st_gid) == \
        (before.st_ino, before.st_mode, before.st_uid, before.st_gid)


def test_connection_that_was_there_before_is_served(manager, stack):
    server = Server(manager=manager, more=["--memfd"])
    manager.listen(server.socket)
    with Peer(server.socket, 1) as peer:
        stack.enter_context(server)
        peer.setup()


def test_passed_socket_survives_the_worker(manager, stack):
    server = Server(manager=manager, more=["--memfd"])
    manager.listen(server.socket)
    stack.enter_context(server)
    manager.hear("READY=1")
    os.kill(worker_of(server), signal.SIGKILL)
    with Peer(server.socket, 1) as peer:
        peer.setup()


def test_passed_sockets_of_a_configuration(manager, folder):
    """A listener, the observers' and the control socket; the listener is made anew by a reload."""
    config = folder / "config"
    config.mkdir()
    text = f"[region]\nvectors=2\n[listener x]\nsocket={folder}/x\n"
    (config / "a.conf").write_text(text, encoding="ascii")
    names = ["x", "a.observers", "control"]
    for name in names:
        manager.listen(folder / name)
    inodes = {name: (folder / name).stat().st_ino for name in names}
    command = manager.command([server_program(), "-F", "--config", config,
                               "--control", folder / "control"])
    with subprocess.Popen(command, env=manager.environment(), close_fds=False) as process:
        try:
            manager.hear("READY=1")
            with Peer(folder / "x", 2) as peer:
                peer.setup()
            with Control(folder / "control").negotiate() as commands:
                (config / "a.conf").write_text(f"{text}vectors=1\n", encoding="ascii")
                commands.ask("reload")
            with Peer(folder / "x", 1) as peer:
                peer.setup()
        finally:
            process.terminate()
            assert process.wait(10) == 0
    assert {name: (folder / name).stat().st_ino for name in names} == inodes


def refused(manager, *arguments):
    """The one line of a start that fails."""
    command = manager.command([server_program(), "-F", "--memfd", *arguments])
    done = subprocess.run(command, env=manager.environment(), close_fds=False, capture_output=True,
                          text=True, timeout=10, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


def test_socket_that_nobody_wants(manager, folder):
    manager.listen(folder / "other")
    line = refused(manager, "-S", folder / "socket")
    assert line == ("ivshmem-server: no listener is configured for the socket "
                    f"{folder}/other that the service manager has passed")
    assert stat.S_ISSOCK((folder / "other").stat().st_mode)
    assert not (folder / "socket").exists()


@pytest.mark.parametrize("kind", ["file", "datagram", "abstract", "connected", "network"])
def test_descriptor_that_is_no_listener(manager, folder, kind, stack):
    if kind == "file":
        thing = stack.enter_context(open("/dev/null", encoding="ascii"))
    elif kind == "connected":
        thing = stack.enter_context(socket.socketpair()[0])
    else:
        family = socket.AF_INET if kind == "network" else socket.AF_UNIX
        thing = stack.enter_context(socket.socket(
            family, socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM))
        thing.bind({"abstract": f"\0{folder}", "network": ("127.0.0.1", 0)}.get(kind, f"{folder}/socket"))
        if kind != "datagram":
            thing.listen(1)
    manager.hand(thing.fileno(), "thing")
    line = refused(manager, "-S", folder / "socket")
    assert line == ("ivshmem-server: the service manager has passed descriptor 3 (thing), which is not a "
                    "Unix socket that listens at a path")


def test_other_kind_of_socket_at_the_path(manager, folder, stack):
    listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    listener.bind(str(folder / "socket"))
    listener.listen(1)
    manager.hand(listener.fileno(), "socket")
    assert "it is not a Unix stream socket" in refused(manager, "-S", folder / "socket")


def test_path_of_another_server(manager, stack):
    """The lock is what counts, whoever has made the socket."""
    server = Server(manager=manager, more=["--memfd"])
    manager.listen(server.socket)
    stack.enter_context(server)
    manager.hear("READY=1")
    assert "another server listens" in refused(manager, "-S", server.socket)


def test_what_is_not_of_our_store_is_refused(manager, stack):
    """It bears our name, so clients may be waiting in it: whoever can is to look."""
    with open("/dev/null", encoding="ascii") as null:
        manager.hand(null.fileno(), "ivshmem-thing")
    server = Server(manager=manager, more=["--memfd"])
    manager.listen(server.socket, name="ivshmem-server.socket")
    with pytest.raises(AssertionError, match="store has 0 of 0 descriptors"):
        stack.enter_context(server)


def test_sockets_of_another_process_are_not_ours(manager, folder, stack, monkeypatch):
    """LISTEN_PID names whom they are for; what was inherited otherwise is closed."""
    manager.listen(folder / "other")
    monkeypatch.setattr("manager.SCRIPT", 'export LISTEN_PID=1; exec "$@"')
    server = stack.enter_context(Server(manager=manager, more=["--memfd"]))
    targets = [os.readlink(f"/proc/{server.process.pid}/fd/{fd}")
               for fd in os.listdir(f"/proc/{server.process.pid}/fd")]
    with open("/proc/net/unix", encoding="utf-8") as table:
        (inode,) = [line.split()[6] for line in table if line.endswith(f" {folder}/other\n")]
    assert f"socket:[{inode}]" not in targets
