# SPDX-License-Identifier: MIT
"""The units of the service manager: confined, without a fault, and letting the server do what it does."""

import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest
from control import Control
from manager import Manager
from peer import Peer
from serve import TREE, build_folder, children, eventually, is_sanitized, server_program

UNITS = ["ivshmem-server.service", "ivshmem-server@.service", "ivshmem-server.socket",
         "ivshmem-setup@.service", "ivshmem-exporter.service"]
SERVER_UNITS = UNITS[:2]
THRESHOLD = 15  # tenths of systemd-analyze's ten
SCMP_ACT_KILL_PROCESS = 0x80000000
SCMP_ACT_ALLOW = 0x7FFF0000


@pytest.fixture(name="units", scope="module")
def fixture_units():
    """A folder of the units as they are installed, but for where the programs are."""
    (prefix,) = re.findall(r"^ExecStart=(\S+)/ivshmem-server ", source(UNITS[0]), re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        for unit in UNITS:
            text = source(unit).replace(f"{prefix}/", f"{build_folder()}/")
            pathlib.Path(folder, unit).write_text(text, encoding="utf-8")
        yield pathlib.Path(folder)


def source(unit):
    made = build_folder() / "dist" / unit
    return (made if made.exists() else TREE / "dist" / unit).read_text(encoding="utf-8")


def analyze(*words):
    done = subprocess.run(["systemd-analyze", "--no-pager", *words], capture_output=True, text=True,
                          timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_all_units_are_there():
    made = {path.name for pattern in ["*.service", "*.socket"]
            for folder in [TREE / "dist", build_folder() / "dist"] for path in folder.glob(pattern)}
    assert made == set(UNITS)


@pytest.mark.parametrize("unit", SERVER_UNITS)
def test_exposure_is_small(units, unit):
    status, text = analyze("security", "--offline=true", f"--threshold={THRESHOLD}", units / unit)
    assert status == 0, text
    assert "Overall exposure level" in text


def test_exposure_of_a_bare_unit_is_not(tmp_path):
    unit = tmp_path / "bare.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n", encoding="ascii")
    assert analyze("security", "--offline=true", f"--threshold={THRESHOLD}", unit)[0] != 0


@pytest.mark.parametrize("unit", UNITS)
def test_nothing_is_wrong_with_it(units, unit):
    instance = units / unit.replace("@.", "@web.")
    if "@" in unit:
        shutil.copy(units / unit, instance)
    assert analyze("verify", "--man=no", instance) == (0, "")


def test_what_is_wrong_would_be_seen(tmp_path):
    unit = tmp_path / "wrong.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nProtectTheSystem=yes\n", encoding="ascii")
    assert "ProtectTheSystem" in analyze("verify", "--man=no", unit)[1]


@pytest.mark.parametrize("unit", UNITS)
def test_manuals_exist(unit):
    pages = re.findall(r"man:([\w.-]+)\((\d)\)", source(unit))
    assert pages
    assert [name for name, section in pages if not (TREE / f"man/{name}.{section}").exists()] == []


# The filter of system calls


def members(group, seen=()):
    """The calls of one of systemd's groups."""
    status, text = analyze("syscall-filter", group)
    assert status == 0, text
    names = set(re.findall(r"^ +([@\w-]+)$", text, re.MULTILINE)) - {group, *seen}
    return {call for name in names
            for call in (members(name, (*seen, group)) if name.startswith("@") else {name})}


def allowed(unit):
    """What the unit's lines let through, which count in their order."""
    calls = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", source(unit), re.MULTILINE):
        named = {call for word in line.removeprefix("~").split()
                 for call in (members(word) if word.startswith("@") else {word})}
        calls = calls - named if line.startswith("~") else calls | named
    # What systemd always allows in a list of what is allowed.
    return calls | members("@default")


@pytest.mark.parametrize("unit", SERVER_UNITS)
def test_filter_lets_through_what_the_server_allows_itself(unit):
    table = (build_folder() / "src/daemon/syscalls.inc").read_text(encoding="ascii")
    own = set(re.findall(r"SCMP_SYS\((\w+)\)", table))
    assert len(own) > 50
    assert own - allowed(unit) == set()


def filtered(calls):
    """A function that confines the process that calls it to these system calls."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(SCMP_ACT_KILL_PROCESS))
    for call in calls:
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:
            assert library.seccomp_rule_add(context, ctypes.c_uint32(SCMP_ACT_ALLOW), number, 0) == 0

    def confine():
        assert library.seccomp_load(context) == 0

    return confine


@pytest.mark.skipif(is_sanitized(), reason="sanitizers make calls of their own")
def test_server_lives_under_the_filter(tmp_path):
    """From its start to its end: clients, commands, a reload, a worker that is killed, all that a
    server can be asked to make."""
    confine = filtered(allowed(UNITS[0]) | {"execve"})
    config = tmp_path / "config"
    config.mkdir()
    (config / "a.conf").write_text(f"[region]\n[listener x]\nsocket={tmp_path}/x\nmode=0660\ngroup=0\n",
                                   encoding="ascii")
    control = tmp_path / "control"
    with Manager(watchdog=3.0) as manager:
        process = subprocess.Popen(
            [server_program(), "-F", "--config", config, "--control", control, "--control-group=0"],
            env=manager.environment(), stderr=subprocess.PIPE, text=True, preexec_fn=confine)
        try:
            manager.hear("READY=1")
            with Peer(tmp_path / "x", 1) as peer, Control(control).negotiate() as commands:
                peer.setup()
                commands.ask("region-add", region="b", size="1M")
                commands.ask("region-add", region="c", size="1M", **{"shm-name": tmp_path.name})
                commands.ask("listener-add", region="b", name="y", socket=str(tmp_path / "y"), group="0")
                for query in ["query-status", "query-clients", "query-regions", "query-stats"]:
                    commands.ask(query)
            process.send_signal(signal.SIGHUP)
            manager.hear("RELOADING=1")
            worker = children(process.pid)[0]
            os.kill(worker, signal.SIGKILL)
            eventually(lambda: children(process.pid) not in ([], [worker]), what="another worker")
            with Peer(tmp_path / "y", 1) as peer:
                peer.setup()
            manager.hear("WATCHDOG=1")
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            errors = process.communicate()[1]
    assert process.returncode == 0, errors
    assert [line for line in errors.splitlines() if "was killed by signal 9" not in line] == []
