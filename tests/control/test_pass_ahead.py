# SPDX-License-Identifier: MIT
"""What a successor gets while the running server still serves, and what has changed when it stops."""

import os
import signal
import subprocess

import pytest
from between import Between
from control import Control
from peer import Peer, ring_each_other, settle
from serve import children, eventually, kill_if_there, server_program, standby
from successor import Successor, arguments, refused, take_over

N_VECTORS = 2
SERIES = 20  # workers that die in a row, after which no more are started
MANY_VECTORS = 300  # more than fit into a message
KEEPER = [[], ["--no-keeper"]]


@pytest.fixture(name="old", params=KEEPER, ids=["keeper", "alone"])
def fixture_old(controlled, request):
    return controlled("--memfd", *request.param, n_vectors=N_VECTORS)


@pytest.fixture(name="before")
def fixture_before(place, old, stack):
    """Has something happen before a byte of the successor's arrives: before(b"R", act) gives the path of
    a control socket."""
    def start(byte, act):
        def change(data):
            if data == byte:
                act()
            return data
        return stack.enter_context(Between(place.folder / "between", old.control, change)).path
    return start


def hang_up():
    raise ConnectionResetError


def eventfds(pid):
    return sum(os.readlink(f"/proc/{pid}/fd/{fd}") == "anon_inode:[eventfd]" for fd in os.listdir(f"/proc/{pid}/fd"))


def close_all(fds):
    for fd in fds.values():
        os.close(fd)


def test_clients_come_and_go_after_they_were_passed(old, place, stack, before):
    """Newcomers have the descriptors' numbers of those who have left."""
    def change_places():
        for peer in [peers.pop(1), peers.pop(2)]:
            peer.close()
            gone.append(peer.id)
        for peer in peers:
            for i in gone:
                peer.until_gone(i)
        peers.extend(place.peer(N_VECTORS, old.socket) for _ in range(3))

    gone, peers = [], [place.peer(N_VECTORS, old.socket) for _ in range(5)]
    at_start = eventfds(old.process.pid) - 5 * N_VECTORS
    process = take_over(old, stack, control=before(b"R", change_places))
    settle(peers)
    ring_each_other(peers, N_VECTORS - 1)
    peers.append(place.peer(N_VECTORS, old.socket))
    settle(peers)
    assert len({peer.id for peer in peers} | set(gone)) == 9
    eventually(lambda: eventfds(process.pid) == at_start + 7 * N_VECTORS, what="no descriptor of those who have left")


def test_reserved_identity_changes_hands_after_it_was_passed(configured, place, stack):
    """The ID and its eventfds are the same, the connection is not."""
    def change_places():
        peers.pop().close()
        peers.append(configured.peer("b"))

    configured.write("web", "[region]\n[listener a]\nsocket={folder}/a\n"
                            "[listener b]\nsocket={folder}/b\nreserved-id=7\n")
    server = configured.start()
    peers = [configured.peer("a"), configured.peer("b")]
    between = stack.enter_context(Between(
        place.folder / "between", configured.control, lambda data: (data == b"R" and change_places(), data)[1]))
    process = subprocess.Popen([server_program(), "-F", f"--config={configured.folder}", "--take-over",
                                between.path], stderr=subprocess.PIPE, text=True)
    assert server.process.wait(timeout=20) == 0, server.log()
    server.process = None
    for _ in range(2):
        peers[0].ring(7, 0)
        assert peers[1].wait(0)
        peers.pop().close()
        peers.append(configured.peer("b"))
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors


def test_end_of_a_client_that_was_passed(old, place, stack, before):
    """That another process has its socket, too, does not keep it."""
    def disconnect():
        control.ask("client-disconnect", region=region, id=peers[1].id)
        peers.pop(1).until_hung_up()

    peers = [place.peer(N_VECTORS, old.socket) for _ in range(3)]
    control = old.connect()
    region = control.ask("query-regions")[0]["name"]
    take_over(old, stack, control=before(b"R", disconnect))
    settle(peers)


def test_clients_that_fit_into_no_message(controlled, place, stack):
    """They come with the rest."""
    server = controlled("--memfd", n_vectors=MANY_VECTORS)
    peers = [place.peer(MANY_VECTORS, server.socket) for _ in range(2)]
    take_over(server, stack)
    peers.append(place.peer(MANY_VECTORS, server.socket))
    settle(peers)
    peers[0].ring(peers[1].id, MANY_VECTORS - 1)
    assert peers[1].wait(MANY_VECTORS - 1)


def test_region_that_comes_after_states_were_passed(controlled, place, stack):
    """It is copied with the rest. (One that is not confined need not have known of its path.)"""
    def change(data):
        if data == b"R":
            control.ask("region-add", region="new", vectors=1)
        return data

    server = controlled("--memfd", n_vectors=N_VECTORS)
    control = server.connect()
    peer = place.peer(N_VECTORS, server.socket)
    between = stack.enter_context(Between(place.folder / "between", server.control, change))
    take_over(server, stack, control=between.path)
    assert len(server.connect().ask("query-regions")) == 2
    settle([peer, place.peer(N_VECTORS, server.socket)])


def test_region_that_goes_after_its_state_was_passed(old, place, stack, before):
    """What was begun for it is closed once, while its number is nobody else's."""
    control = old.connect()
    control.ask("region-add", region="new", vectors=1)
    peers = [place.peer(N_VECTORS, old.socket) for _ in range(3)]
    waiting = []

    def remove():
        control.ask("region-remove", region="new")
        old.pause()
        waiting.extend(stack.enter_context(Peer(old.socket, N_VECTORS)) for _ in range(8))
        old.resume()

    process = take_over(old, stack, control=before(b"R", remove))
    peers += [peer.setup() for peer in waiting]
    if children(process.pid):
        eventually(lambda: standby(process.pid), what="all that is put off done")
    peers += [place.peer(N_VECTORS, old.socket) for _ in range(8)]
    settle(peers)
    ring_each_other(peers, N_VECTORS - 1)


def test_later_successor_gets_everything(old, place, stack):
    """One that has stopped half way keeps nobody from being served, nor another one from taking over."""
    peers = [place.peer(N_VECTORS, old.socket) for _ in range(3)]
    first = Successor(old.control)
    close_all(first.say(b"A").receive() | first.say(b"M").receive())
    peers.append(place.peer(N_VECTORS, old.socket))
    settle(peers)
    take_over(old, stack)
    assert first.socket.recv(1) == b""
    settle([*peers, place.peer(N_VECTORS, old.socket)])


def test_all_is_in_the_rest_for_one_who_was_passed_nothing(old, place):
    """What was passed to an earlier one does not count."""
    peers = [place.peer(N_VECTORS, old.socket) for _ in range(3)]
    first = Successor(old.control)
    ahead = first.say(b"A").receive() | first.say(b"M").receive()
    rest = first.say(b"R").receive()
    assert len(ahead) == 1 + 3 * (1 + N_VECTORS) and len(rest) < 10
    first.close()
    eventually(lambda: "take-over failed" in old.errors(), what="the reason in the log")
    second = Successor(old.control)
    everything = second.say(b"R").receive()
    assert set(everything) >= set(ahead)
    second.close()
    close_all(ahead | rest)
    close_all(everything)
    settle(peers)
    old.expected = ["the take-over failed when .*; this server goes on"]


def test_nothing_to_pass(old):
    successor = Successor(old.control)
    fds = successor.say(b"A").receive()
    assert len(fds) == 1 and not successor.say(b"M").receive() and not successor.say(b"M").receive()
    close_all(fds)
    successor.close()
    old.expected = ["the take-over failed when the successor was to be ready"]
    eventually(lambda: old.expected[0] in old.errors(), what="the reason in the log")


def test_nonsense(old, place):
    successor = Successor(old.control).say(b"x")
    assert successor.socket.recv(1) == b""
    old.expected = ["the take-over failed when the successor was to be ready: Protocol error"]
    assert old.expected[0] in old.errors()
    settle([place.peer(N_VECTORS, old.socket)])


def test_first_worker_is_killed_before_it_is_let_go(controlled, place, stack):
    """The next one hears the same."""
    def change(data):
        if data == b"P":
            workers.append(eventually(lambda: children(between.client_pid()), what="a worker")[0])
            os.kill(workers[0], signal.SIGKILL)
            eventually(lambda: children(between.client_pid()) not in ([], workers), what="the next one")
        return data

    workers = []
    server = controlled("--memfd", n_vectors=N_VECTORS)
    peers = [place.peer(N_VECTORS, server.socket) for _ in range(3)]
    between = stack.enter_context(Between(place.folder / "between", server.control, change))
    take_over(server, stack, control=between.path)
    settle([*peers, place.peer(N_VECTORS, server.socket)])


def test_successor_whose_workers_die_again_and_again(controlled, place, stack):
    """None of them has served: it gives up, and the predecessor goes on."""
    def change(data):
        if data == b"P":
            dead = []
            while len(dead) < SERIES:
                dead.append(eventually(lambda: set(children(between.client_pid())) - set(dead), what="a worker").pop())
                os.kill(dead[-1], signal.SIGKILL)
            eventually(lambda: not os.path.exists(f"/proc/{between.client_pid()}/exe"), what="the end")
        return data

    server = controlled("--memfd", n_vectors=N_VECTORS)
    peers = [place.peer(N_VECTORS, server.socket) for _ in range(3)]
    between = stack.enter_context(Between(place.folder / "between", server.control, change))
    done = subprocess.run(arguments(server, control=between.path), capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 1 and done.stderr.count("the worker was killed by signal 9") == SERIES
    server.expected = ["the take-over failed"]
    settle([*peers, place.peer(N_VECTORS, server.socket)])


def test_keeper_is_killed_before_its_launcher_is_let_go(place, stack):
    """The worker does that then."""
    def change(data):
        if data == b"P":
            keeper.append(between.client_pid())
            worker = eventually(lambda: children(keeper[0]), what="a worker")[0]
            os.kill(keeper[0], signal.SIGKILL)
            stack.callback(kill_if_there, worker)
        return data

    keeper, control = [], place.folder / "control"
    pid = place.daemon("--memfd", "--control", control)
    peer = place.peer()
    between = stack.enter_context(Between(place.folder / "between", control, change))
    done = place.run("--memfd", "--take-over", between.path, foreground=False)
    assert done.returncode == 0 and "the keeper has ended" in done.stderr
    assert place.daemon_pid() not in (pid, *keeper)
    settle([peer, place.peer()])


def test_successor_that_is_not_let_go(old, place, before):
    peers = [place.peer(N_VECTORS, old.socket) for _ in range(3)]
    line = refused(arguments(old, control=before(b"P", hang_up)))
    assert "the running server does not let go" in line
    old.expected = ["the take-over failed when the successor was to prepare itself"]
    settle([*peers, place.peer(N_VECTORS, old.socket)])


def test_pidfile_stays_with_a_predecessor_that_goes_on(place, stack):
    """And whoever has started the successor is told."""
    control = place.folder / "control"
    pid = place.daemon("--memfd", "--control", control)
    stack.callback(kill_if_there, pid)
    peer = place.peer()
    between = stack.enter_context(Between(place.folder / "between", control,
                                          lambda data: hang_up() if data == b"P" else data))
    done = place.run("--memfd", "--take-over", between.path, foreground=False)
    assert done.returncode == 1 and "does not let go" in done.stderr
    assert place.daemon_pid() == pid
    with Control(control) as connection:
        assert connection.negotiate().ask("query-status")["running"]
    with Peer(place.socket, 1) as newcomer:
        settle([peer, newcomer.setup()])
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not place.pidfile.exists(), what="the end")
