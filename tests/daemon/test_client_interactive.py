# SPDX-License-Identifier: MIT
"""ivshmem-client without a command: QEMU's prompt, commands and patience."""
import signal

import pytest
from serve import Server
from tool import Tool, run


@pytest.fixture(name="server")
def fixture_server(serve):
    return serve(n_vectors=2)


def test_conversation(server, connect):
    with Tool("-S", server.socket) as tool:
        peer = connect(server)
        assert tool.line().startswith("listen on server socket ")
        tool.until("cmd> ")
        peer.setup()
        own = 1 - peer.id
        tool.type("dump\n")
        shown = tool.until("cmd> ")
        assert f"our_id = {own}\n  vector 0 is enabled" in shown
        assert f"peer_id = {peer.id}\n  vector 0 is enabled" in shown
        tool.type(f"int {peer.id} 1\n")
        assert peer.wait(1)
        tool.type(f"int {peer.id} all\r")
        assert peer.wait(0) and peer.wait(1)
        tool.type("int all;")
        assert peer.wait(0) and peer.wait(1)
        peer.until_told(own)
        peer.ring(own, 1)
        tool.until(f"receive notification from peer_id={own} vector=1\n")
        tool.type("quit\n")
        assert tool.wait() == 0


def test_all_commands_at_once(server):
    done = run("-S", server.socket, given=b"dump; help\r?\nint 5 0\nint 0 9\nfrob\nint 0 0 0 0 0\n")
    assert done.returncode == 0
    told = done.stdout.decode()
    assert "our_id = 0\n" in told
    assert told.count("int <peer> <vector>") == 2
    assert told.count("invalid command, type help\n") == 2
    assert done.stderr == (b"ivshmem-client: there is no peer 5\n"
                           b"ivshmem-client: peer 0 has no vector 9: it has 2\n")


def test_command_without_a_newline_at_the_end(server):
    assert b"our_id = 0\n" in run("-S", server.socket, given=b"dump").stdout


def test_nothing_after_quit(server):
    assert b"our_id" not in run("-S", server.socket, given=b"quit;dump\n").stdout


def test_long_command(server):
    done = run("-S", server.socket, given=b"x" * 5000 + b"\ndump\n")
    assert b"more than 1023 bytes" in done.stderr
    assert b"our_id = 0\n" in done.stdout
    assert b"invalid" in run("-S", server.socket, given=b"x" * 1023).stdout


def test_bytes_that_are_no_text(server):
    assert run("-S", server.socket, given=b"\0\xff\0;dump\0x\n\0").returncode == 0


def test_verbose(server):
    assert b"our_id=0\n" in run("-S", server.socket, "-v", given=b"").stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal(server, number):
    with Tool("-S", server.socket) as tool:
        tool.until("cmd> ")
        assert tool.end(number) == 0


def test_waits_for_a_server():
    server = Server()
    with Tool("-S", server.socket) as tool:
        tool.until("retry in 1 second\n", tool.process.stderr)
        with server:
            tool.until("cmd> ")
            server.stop()
            tool.until("disconnected from server")
            tool.until("retry in 1 second\n", tool.process.stderr)
            server.start()
            tool.until("cmd> ")
            assert tool.end() == 0


def test_signal_while_there_is_no_server(tmp_path):
    with Tool("-S", tmp_path / "socket") as tool:
        tool.until("retry in 1 second\n", tool.process.stderr)
        assert tool.end() == 0


def test_end_of_input_while_there_is_no_server(tmp_path):
    done = run("-S", tmp_path / "socket", given=b"")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.count(b"retry in 1 second\n") == 1


def test_commands_wait_for_a_server():
    """Also more of them than are read ahead, and the end of the input behind them."""
    server = Server()
    with Tool("-S", server.socket) as tool:
        tool.until("retry in 1 second\n", tool.process.stderr)
        tool.type("dump\n" + "\n" * 2000 + "int 5 0")
        tool.end_input()
        tool.until("retry in 1 second\n", tool.process.stderr)
        with server:
            tool.until("our_id = 0\n")
            tool.until("there is no peer 5\n", tool.process.stderr)
            assert tool.wait() == 0
