# SPDX-License-Identifier: MIT
"""A worker that is killed half way through a change: the next one does the rest."""

import contextlib
import os
import pathlib
import time

import pytest
from deadly import Deadly
from disturbances import SETTLED
from peer import settle
from serve import eventually, is_listening, is_sanitized

pytestmark = pytest.mark.skipif(is_sanitized(), reason="a sanitizer's own library must be loaded first")

MOST_CALLS = 300  # of one change


@pytest.fixture(name="deadly")
def fixture_deadly(place, monkeypatch):
    """Its environment is that of all servers which are started in the test."""
    deadly = Deadly(place.folder)
    for name, value in deadly.environment.items():
        monkeypatch.setenv(name, value)
    return deadly


def try_to(control, command, **arguments):
    """Has a command done, in which the worker may be killed; gives the answer, if there is one."""
    with contextlib.suppress(ConnectionError):
        control.send({"execute": command, "arguments": arguments})
        while (answer := control.receive()) and "event" in answer:
            pass
        return answer
    return None


def ask(configured, command, **arguments):
    """Asks whichever worker there is."""
    return eventually(lambda: try_to(configured.connect(), command, **arguments), what="an answer")["return"]


def each_call(configured, deadly, command, **arguments):
    """Has the worker killed before the first system call of a command, before the second, and so on,
    until it does all of it. Gives the number before each."""
    for number in range(1, MOST_CALLS):
        yield number
        time.sleep(SETTLED)  # or the keeper takes the deaths for a series
        control = configured.connect()
        deadly.die_at(number)
        answer = try_to(control, command, **arguments)
        if not deadly.is_over():
            assert "return" in answer
            return
    raise AssertionError(f"more than {MOST_CALLS} calls")


CHANGING = """[region]
[listener a]
socket={{folder}}/a
[listener b]
socket={{folder}}/b
max-clients={most}
[listener {last}]
socket={{folder}}/c
"""


def write(configured, number):
    configured.write("web", CHANGING.format(most=number, last=f"c{number}"))
    return {"a": 0, "b": number, f"c{number}": 0, "observers": 0}


def listeners_of(configured):
    return {row["name"]: row.get("max-clients", 0) for row in ask(configured, "query-listeners")}


def test_reload(configured, deadly):
    """All of it is done or, if it had not begun, nothing; and nobody who is connected notices."""
    before = wanted = write(configured, 1000)
    server = configured.start()
    server.expected = ["worker was killed"]
    peer = configured.peer("a")
    number = 0
    for number in each_call(configured, deadly, "reload"):
        found = listeners_of(configured)
        assert found in (before, wanted), f"after call {number - 1}"
        before, wanted = found, write(configured, number)
        settle([peer])
    assert number > 10 and listeners_of(configured) == wanted
    settle([peer, configured.peer("b"), configured.peer("c")])


def test_reload_that_kills_every_worker_is_given_up(configured, deadly):
    before = write(configured, 5)
    server = configured.start()
    server.expected = ["worker was killed", "a reload has killed two workers, and is given up"]
    peer = configured.peer("a")
    wanted = write(configured, 6)
    deadly.die_at(1, deaths=3, of_bind=True)
    assert try_to(configured.connect(), "reload") is None
    assert listeners_of(configured).keys() == before.keys() & wanted.keys() - {"b"}
    assert not deadly.is_over(), "the third death was not needed"
    assert "given up" in server.errors()
    ask(configured, "reload")
    assert listeners_of(configured) == wanted
    settle([peer, configured.peer("b")])


NEW = {"region": "new", "shm-name": f"ivshmem-test-{os.getpid()}", "size": "64K"}
MEMORY = pathlib.Path("/dev/shm", NEW["shm-name"])


@pytest.fixture(name="web")
def fixture_web(configured, stack, deadly):  # pylint: disable=unused-argument
    write(configured, 5)
    configured.start().expected = ["worker was killed"]
    stack.callback(MEMORY.unlink, missing_ok=True)
    return configured


def has_new(web):
    """Whether the region is there. If not, nothing of it is."""
    there = {row["name"] for row in ask(web, "query-regions")} == {"web", "new"}
    assert MEMORY.exists() == there
    return there


def test_region_that_is_made(web, deadly):
    peer = web.peer("a")
    for number in each_call(web, deadly, "region-add", **NEW):
        if has_new(web):
            ask(web, "region-remove", region="new")
        settle([peer])
    assert number > 10 and has_new(web)
    settle([peer])


def test_region_that_is_removed(web, deadly, place):
    peer = web.peer("a")
    for number in each_call(web, deadly, "region-remove", region="new"):
        if not has_new(web):
            assert not (place.folder / "n").exists()
            assert ask(web, "region-add", **NEW) == {}
            ask(web, "listener-add", region="new", name="n", socket=f"{place.folder}/n")
        assert is_listening(place.folder / "n")
        settle([peer])
    assert number > 10 and not has_new(web)
    settle([peer])


def test_memory_that_was_there_stays(web, deadly):
    """Somebody else made it; the region only uses it."""
    with open(MEMORY, "wb") as file:
        file.truncate(65536)
    MEMORY.chmod(0o600)
    made = MEMORY.stat().st_ino
    for _ in each_call(web, deadly, "region-add", **NEW):
        ask(web, "query-regions")
        with contextlib.suppress(KeyError):  # it is not there
            ask(web, "region-remove", region="new")
        assert MEMORY.stat().st_ino == made
    ask(web, "region-remove", region="new")
    assert MEMORY.stat().st_ino == made


@pytest.mark.parametrize("command, ends_with", [("listener-add", True), ("listener-remove", False)])
def test_listener(web, deadly, place, command, ends_with):
    """Its path is there as long as it is."""
    new = {"region": "web", "name": "n"}
    path = place.folder / "n"
    arguments = new | ({"socket": str(path)} if ends_with else {})
    peer = web.peer("a")
    for number in each_call(web, deadly, command, **arguments):
        has = "n" in listeners_of(web)
        assert path.exists() == has == is_listening(path)
        if has and ends_with:
            ask(web, "listener-remove", **new)
        elif not has and not ends_with:
            ask(web, "listener-add", socket=str(path), **new)
        settle([peer])
    assert number > 3 and ("n" in listeners_of(web)) == path.exists() == ends_with
    settle([peer])
