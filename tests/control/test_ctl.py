# SPDX-License-Identifier: MIT
"""ivshmem-ctl, and ivshmem-client --region, on a server with a configuration."""

import json
import os
import select
import signal
import subprocess

import pytest
import tool
from serve import TREE, build_folder, eventually

CTL = os.environ.get("IVSHMEM_CTL", str(build_folder() / "ivshmem-ctl"))


@pytest.fixture(name="ctl")
def fixture_ctl(configured):
    """Starts a server with a region and runs the tool on it: ctl("status")."""
    configured.write("web", "[region]\nvectors=2\n[listener a]\nsocket={folder}/a")
    configured.start()

    def run(*words, status=0):
        done = subprocess.run([CTL, "-c", configured.control, *map(str, words)], timeout=20,
                              capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        assert (done.stderr == "") == (status != 1) and done.stderr.count("\n") <= 1
        return done.stderr if status == 1 else done.stdout

    return run


def rows(text):
    return [line.split() for line in text.splitlines()]


def test_questions_have_tables(ctl, configured, place):
    configured.peer("a", 2)
    assert "package: ivshmem-server" in ctl("version")
    assert "clients: 1" in ctl("status").splitlines()
    assert rows(ctl("regions"))[1][:6] == ["web", "4M", "memfd", "2", "2", "1"]
    assert [row[:2] for row in rows(ctl("listeners"))[1:]] == [["web", "a"], ["web", "observers"]]
    assert rows(ctl("listeners", "web"))[1][-1] == f"{place.folder}/a"
    header, client = rows(ctl("clients"))
    assert header[:5] == ["REGION", "ID", "NAME", "PID", "UID"]
    assert client[:5] == ["web", "0", "a", str(os.getpid()), str(os.geteuid())]
    assert client[-1] == "0,0"
    assert rows(ctl("stats", "web"))[1][:3] == ["web", "1", "1"]
    assert "query-clients" in ctl("commands")


def test_answers_as_json(ctl, configured):
    configured.peer("a", 2)
    assert json.loads(ctl("--json", "clients"))[0]["name"] == "a"
    assert json.loads(ctl("--json", "stats"))[0]["latency"]["buckets"]
    assert json.loads(ctl("--json", "status"))["running"] is True


def test_all_clients_are_listed(ctl, configured):
    peers = [configured.peer("a", 2) for _ in range(70)]
    assert [row[1] for row in rows(ctl("clients"))[1:]] == [str(peer.id) for peer in peers]


def test_changes(ctl, configured, place):
    ctl("region-add", "new", "size=1M", "vectors=4", "no-reserve=yes")
    ctl("listener-add", "new", "l", f"socket={place.folder}/l", "allow-user=root,nobody",
        "reserved-id=3")
    assert rows(ctl("listeners", "new"))[2][:3] == ["new", "l", "3"]
    peer = configured.peer("l", 4)
    assert "has 1 client;" in ctl("region-remove", "new", status=1)
    assert "disconnected: 1" in ctl("client-disconnect", "new", 3)
    peer.until_hung_up()
    ctl("listener-remove", "new", "l")
    ctl("region-remove", "new", "force=yes")
    ctl("quit")


def test_reload_tells_whether_all_was_done(ctl, configured):
    """By its status, also where the answer is for a program."""
    left = "region web: vectors cannot change while the region is there"
    configured.write("db", "[region]").write("web", "[region]\nvectors=3")
    assert ctl("reload", status=2).splitlines() == [
        "done: region web: listener a: removed", "done: region db: made", f"left: {left}"]
    assert json.loads(ctl("--json", "reload", status=2)) == {"done": [], "left": [left]}
    configured.write("web", "[region]\nvectors=2\n[listener a]\nsocket={folder}/a")
    assert ctl("reload") == "done: region web: listener a: made\n"
    assert json.loads(ctl("--json", "reload")) == {"done": [], "left": []}
    configured.write("web", "[region]\nvectors=x")
    assert "nothing has changed" in ctl("reload", status=1)


def test_ring_is_done_as_an_observer(ctl, configured):
    peer = configured.peer("a", 2)
    ctl("ring", "web", peer.id, 1)
    assert peer.wait(1) == 1
    ctl("ring", "web", peer.id)
    assert (peer.wait(0), peer.wait(1)) == (1, 1)
    assert "there is no peer 9" in ctl("ring", "web", 9, status=1)
    assert "is not a vector of peer 0: 0 to 1, or all" in ctl("ring", "web", 0, 2, status=1)
    assert "is not an ID" in ctl("ring", "web", "x", status=1)
    assert configured.peer("a", 2).id == 1  # the observers have used none up


COMPLETE = '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ivshmem_ctl; ' \
           'echo "${COMPREPLY[*]}"'


@pytest.mark.parametrize("option", [["-c"], ["--control", "="]], ids=["word", "equals"])
def test_names_are_completed(ctl, configured, option):
    peer = configured.peer("a", 2)

    def complete(*words):
        path = f"{os.path.dirname(CTL)}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", COMPLETE, "bash", TREE / "dist/completion/ivshmem-ctl", "ivshmem-ctl",
             *option, configured.control, *words],
            env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.split()

    ctl("status")
    assert complete("listeners", "") == ["web"]
    assert complete("listener-remove", "web", "") == ["a", "observers"]
    assert complete("listener-remove", "web", "a", "") == ["force=yes"]
    assert complete("ring", "web", "") == [str(peer.id)]
    assert complete("client-disconnect", "web", "") == [str(peer.id)]


def test_ring_of_a_server_that_has_relative_paths(configured):
    control = configured.control
    configured.control = os.path.relpath(control)
    configured.write("web", "[region]\n[listener a]\nsocket={folder}/a").start()
    peer = configured.peer("a")
    subprocess.run([CTL, "-c", control, "ring", "web", str(peer.id)], cwd="/", timeout=20, check=True)
    assert peer.wait(0) == 1


WRONG = [
    ((), "no command (see --help)"),
    (("nope",), "unknown command 'nope' (see --help)"),
    (("--nope",), "unknown option '--nope' (see --help)"),
    (("--time=1",), "unknown option '--time=1' (see --help)"),
    (("--timeout", "0", "status"), "--timeout '0': not a number of seconds from 1 to"),
    (("status", "x"), "status: unexpected argument 'x' (see --help)"),
    (("status", "x=1"), "query-status has no argument 'x'"),
    (("regions", "a"), "regions: unexpected argument 'a'"),
    (("clients", "a"), "there is no region 'a'"),
    (("region-add",), "region-add needs REGION [KEY=VALUE]... (see --help)"),
    (("region-add", "web"), "there is a region 'web' already"),
    (("region-add", "x", "size=1M", "size=1M"), "the argument 'size' comes a second time"),
    (("region-add", "x", "size=big"), "argument 'size' 'big': not a size"),
    (("region-add", "x", "vectors=two"), "'two' is not a value of the argument 'vectors': integer"),
    (("region-add", "x", "vectors=99999999999999999999"),
     "'99999999999999999999' is not a value of the argument 'vectors': integer"),
    (("region-add", "x", "no-reserve=1"), "'1' is not a value of the argument 'no-reserve': yes or no"),
    (("region-add", "x", "nope=1"), "region-add has no argument 'nope'"),
    (("listener-add", "web"), "listener-add needs REGION NAME"),
    (("listener-add", "web", "l", "socket=/x", "reserved-id=65536"), "not a number from 0 to 65535"),
    (("client-disconnect", "web"), "needs the argument 'id' or 'pid'"),
    (("client-disconnect", "web", "65536"), "argument 'id' is not a number from 0 to 65535"),
    (("client-disconnect", "web", "1"), "region web has no client 1"),
    (("ring", "web"), "ring needs REGION ID [VECTOR|all] (see --help)"),
    (("ring", "x", "0"), "there is no region 'x'"),
    (("watch", "x"), "watch: unexpected argument 'x'"),
]


def test_wrong_words_are_named(ctl):
    for words, why in WRONG:
        assert why in ctl(*words, status=1), words


def test_no_server(tmp_path):
    done = subprocess.run([CTL, "-c", tmp_path / "none", "status"], capture_output=True, text=True,
                          timeout=10, check=False)
    assert (done.returncode, done.stderr) == \
        (1, f"ivshmem-ctl: cannot connect to {tmp_path}/none: No such file or directory\n")


@pytest.mark.parametrize("as_json", [False, True])
def test_watch(ctl, configured, as_json):
    ctl("status")
    command = [CTL, "-c", configured.control, *["--json"][:as_json], "watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        # Before it has negotiated, it hears of nothing.
        eventually(lambda: configured.peer("a", 2) and select.select([watch.stdout], [], [], 0.05)[0],
                   what="a line")
        line = watch.stdout.readline()
        if as_json:
            assert json.loads(line)["event"] == "CLIENT_CONNECTED"
        else:
            assert "CLIENT_CONNECTED region=web id=" in line and f" name=a pid={os.getpid()} " in line
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 0


def test_client_of_a_region_is_an_observer(ctl, configured, place):
    peer = configured.peer("a", 2)
    ctl("status")
    options = ["--region", "web", "--control", configured.control]
    assert tool.run(*options, "list", "--json").returncode == 0
    assert tool.run(*options, "ring", peer.id, 0).returncode == 0
    assert peer.wait(0) == 1
    assert tool.run(*options, "write", 0, given=b"hello").returncode == 0
    assert tool.run(*options, "read", 0, 5).stdout == b"hello"
    for words, why in [((*options, "wait"), b"--region does not go with wait"),
                       ((*options, "-S", place.folder / "a", "list"), b"only one of --socket"),
                       (("--control", "x", "list"), b"--control does not go without --region"),
                       (("--region", "", "list"), b"not the name of a region"),
                       (("--region", "a/b", "list"), b"not the name of a region"),
                       (("--region", "x", *options[2:], "list"),
                        b"/x.observers: No such file or directory (no server has an observers' socket "
                        b"of such a region there; see --control)\n")]:
        done = tool.run(*words)
        assert done.returncode == 1 and why in done.stderr
